"""Signing in and out (Flask-Security): passwords, sessions, tries (reliability SE2, SE3, SE16)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from flask import Flask, current_app, flash, render_template, request, session
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_limiter.util import get_remote_address
from flask_login import logout_user, user_logged_in, user_logged_out
from flask_security import LoginForm, Security, SQLAlchemyUserDatastore, VerifyForm, hash_password
from sqlalchemy.orm import joinedload
from wtforms import EmailField, PasswordField
from wtforms.validators import DataRequired

from app.extensions import db
from app.limits import count
from app.models.user import Role, User, WebAuthn
from app.services import accounts, letter_facts
from app.services.students import BadAddress, valid_address
from app.web import codes, whoami
from app.web.mailing import OutboxMail
from config import Settings, plain, totp_secrets

log = logging.getLogger("app.web.security")

LONGEST_SESSION = 12 * 3600  # seconds since the sign-in
LONGEST_IDLE = {"admin": 30 * 60}  # seconds since the last page
STEP = 60  # the cookie is written again at most this often

TRIES = "5 per 15 minutes"  # of one account from one address
TRIES_IN_ALL = "100 per minute"

hashing = threading.Lock()  # one password at a time: each takes 64 MiB (SE3)


def init_app(app: Flask, settings: Settings) -> None:
    """Wire Flask-Security to our people, our pages and our cookies."""
    app.config.update(_options(settings))
    app.before_request(_ask_for_nobody)  # before the library asks who it is
    security = Security(
        datastore=People(db, User, Role, WebAuthn),
        login_form=SignInForm,
        verify_form=PasswordAgainForm,
        two_factor_setup_form=codes.SetUpForm,
        two_factor_rescue_form=codes.NoRescueForm,
        two_factor_verify_code_form=codes.CodeForm,
        mf_recovery_form=codes.RecoveryForm,
        totp_cls=codes.Codes,
        mf_recovery_codes_util_cls=codes.RecoveryCodes,
        mail_util_cls=OutboxMail,
        render_template=_render,
    )
    security.init_app(app)
    security.want_json(lambda _request: False)
    codes.init_app(app)
    app.before_request(_end_old_sessions)
    app.before_request(_ask_for_a_code)
    user_logged_in.connect(_begin, app)
    user_logged_out.connect(_end, app)


def _options(settings: Settings) -> dict[str, Any]:
    options = {
        "PASSWORD_SALT": plain(settings.security_password_salt),
        "TOTP_SECRETS": dict(totp_secrets(settings)),
        "TOTP_ISSUER": "Nextseat",
        "PASSWORD_HASH": "argon2",
        "PASSWORD_HASH_PASSLIB_OPTIONS": {
            "argon2__type": "ID",
            "argon2__memory_cost": 64 * 1024,  # KiB
            "argon2__time_cost": 3,
            "argon2__parallelism": 4,
        },
        "PASSWORD_LENGTH_MIN": 12,
        "RETURN_GENERIC_RESPONSES": True,  # nobody learns whether an address is known
        "EMAIL_VALIDATOR_ARGS": {"check_deliverability": False},  # no DNS (libraries T18)
        "LOGIN_URL": "/sign-in",
        "LOGOUT_URL": "/sign-out",
        "LOGOUT_METHODS": ["POST"],
        "LOGIN_USER_TEMPLATE": "accounts/sign_in.html",
        "POST_LOGIN_VIEW": "/",
        "POST_LOGOUT_VIEW": "/",
        "CLI_USERS_NAME": "",  # ours are `flask users`
        "CLI_ROLES_NAME": "",
        "STATIC_FOLDER": None,
        "TWO_FACTOR": True,  # for whom: `User.check_tf_required` (libraries S2)
        "TWO_FACTOR_ENABLED_METHODS": ["authenticator"],
        "TWO_FACTOR_AUTHENTICATOR_VALIDITY": 30,  # seconds a clock may be wrong
        "TWO_FACTOR_RESCUE_EMAIL": False,
        "TWO_FACTOR_SETUP_URL": "/codes/set-up",
        "TWO_FACTOR_TOKEN_VALIDATION_URL": "/codes",
        "TWO_FACTOR_RESCUE_URL": "/codes/help",
        "TWO_FACTOR_SELECT_URL": "/codes/which",
        "TWO_FACTOR_POST_SETUP_VIEW": "/me/profile",
        "MULTI_FACTOR_RECOVERY_CODES": True,
        "MULTI_FACTOR_RECOVERY_CODES_URL": "/codes/recovery",
        "MULTI_FACTOR_RECOVERY_URL": "/codes/lost",
        "VERIFY_URL": "/password",
        "FRESHNESS": timedelta(minutes=15),  # then the password is asked again (SE4)
        "FRESHNESS_GRACE_PERIOD": timedelta(0),
        "MSG_GENERIC_AUTHN_FAILED": (WRONG, "error"),
        "MSG_LOGIN": (_l("You are signed in."), "success"),
        "MSG_INVALID_PASSWORD": (_l("This is not your password."), "error"),
        "MSG_REAUTHENTICATION_REQUIRED": (_l("Type your password again to go on."), "success"),
        "MSG_REAUTHENTICATION_SUCCESSFUL": (_l("Thank you. Please go on."), "success"),
        "MSG_TWO_FACTOR_INVALID_TOKEN": (_l("This code is wrong, old or used already."), "error"),
        "MSG_TWO_FACTOR_LOGIN_SUCCESSFUL": (_l("You are signed in."), "success"),
        "MSG_TWO_FACTOR_CHANGE_METHOD_SUCCESSFUL": (_l("Your app is set up."), "success"),
        "MSG_TWO_FACTOR_DISABLED": (_l("You sign in without codes from now on."), "success"),
        "MSG_TWO_FACTOR_PERMISSION_DENIED": (_l("Sign in first; then comes the code."), "error"),
        "MSG_TWO_FACTOR_SETUP_EXPIRED": (_l("That took too long. Please start again."), "error"),
        "MSG_INVALID_RECOVERY_CODE": (_l("This recovery code is wrong or was used."), "error"),
    }
    return {f"SECURITY_{name}": value for name, value in options.items()}


WRONG = _l("The e-mail address or the password is not right.")


class People(SQLAlchemyUserDatastore):
    """Finds who somebody is in one statement, with what every page asks of them."""

    def find_user(self, case_insensitive: bool = False, **by: Any) -> User | None:
        """The user whose one attribute has this value."""
        ((name, value),) = by.items()
        column = getattr(User, name)
        match = sa.func.lower(column) == value.lower() if case_insensitive else column == value
        everything = (joinedload(User.settings), joinedload(User.roles))
        asked = sa.select(User).where(match).options(*everything)
        found: User | None = db.session.scalars(asked).unique().one_or_none()
        return found

    def must_use_code(self, user: User) -> bool:
        """Whether they sign in with a code like it or not: by role, but not in the demo (S2)."""
        wanted = _roles_with_codes()
        return bool(wanted) and accounts.must_use_code(db.session(), user, wanted)


def _roles_with_codes() -> list[str]:
    settings: Settings = current_app.extensions["settings"]
    return [] if settings.demo else settings.totp_roles


def hashed(password: str) -> str:
    """A password as it is kept."""
    with hashing:
        return str(hash_password(password))


# --- trying to sign in ---------------------------------------------------------------------------


class SignInForm(LoginForm):
    """Address and password; tries are counted before anything is hashed (SE3, SE16)."""

    remember = None
    email = EmailField(_l("E-mail address"), [DataRequired(_l("Type your e-mail address."))])
    password = PasswordField(_l("Password"), [DataRequired(_l("Type your password."))])

    def validate(self, **more: Any) -> bool:
        """Whether these are somebody's. Raises `TooManyRequests`."""
        self.email.data = _as_kept(self.email.data or "")
        count(TRIES_IN_ALL, "sign-in", "all")
        take_off = count(TRIES, "sign-in", get_remote_address(), self.email.data.lower())
        with hashing:
            right = bool(super().validate(**more))
        if right:
            take_off()
        else:
            log.info("a sign-in was refused")
        return right


def _as_kept(address: str) -> str:
    """An address however a browser writes it: with blanks around it, its domain as `xn--…`."""
    try:
        return valid_address(address)
    except BadAddress:
        return letter_facts.plain(address)[:254]  # nobody's


class PasswordAgainForm(VerifyForm):
    """The password once more, before something weighty; tries count as those of signing in."""

    password = PasswordField(_l("Password"), [DataRequired(_l("Type your password."))])

    def validate(self, **more: Any) -> bool:
        """Whether it is theirs. Raises `TooManyRequests`."""
        return _tried(self.user, lambda: bool(super(PasswordAgainForm, self).validate(**more)))


def knows_password(user: User, typed: str) -> bool:
    """Whether somebody who is signed in knows their password, however they type it (SE3).

    Raises `TooManyRequests`.
    """
    password = current_app.extensions["security"].password_util.normalize(typed)
    return _tried(user, lambda: bool(user.verify_and_update_password(password)))


def _tried(user: Any, is_right: Callable[[], bool]) -> bool:
    take_off = count(TRIES, "password", str(user.id))
    with hashing:
        right = is_right()
    if right:
        take_off()
    else:
        log.info("user %s typed a wrong password", user.id)
    return right


def _render(template: str, **values: Any) -> Any:
    """Flask-Security's pages answer 400 where a form has errors (PG4)."""
    wrong = any(getattr(value, "errors", None) for value in values.values())
    return render_template(template, **values), 400 if wrong else 200


# --- how long a session lives (SE2) --------------------------------------------------------------


def _begin(_app: Flask, user: User, **_more: Any) -> None:
    """A new session: nothing of the visitor's is kept, the key against forgery neither."""
    kept = {name: session[name] for name in session if name.startswith(("_", "fs_", "tf_"))}
    session.clear()
    session.update(kept)
    session.permanent = True
    session["since"] = session["seen"] = int(time.time())
    session["code"] = request.endpoint in codes.PAGES
    whoami.forget()
    log.info("user %s signed in", user.id)


def _end(_app: Flask, **_more: Any) -> None:
    session.clear()
    whoami.forget()


def _ask_for_nobody() -> None:
    if whoami.for_anybody():
        whoami.nobody()
    elif not session:
        whoami.stranger()


def _end_old_sessions() -> None:
    if whoami.for_anybody() or "_user_id" not in session:
        return
    now = int(time.time())
    idle = now - session.get("seen", 0)
    if now - session.get("since", 0) > LONGEST_SESSION or idle > _longest_idle():
        logout_user()
        session.clear()
        whoami.forget()
    elif idle > STEP:
        session["seen"] = now


def _ask_for_a_code() -> Any:
    """Whoever got a role that needs codes signs in anew before any page shows it (PG1)."""
    if request.endpoint in (None, "security.logout") or session.get("code"):
        return None
    if whoami.person() is None or not set(whoami.roles()) & set(_roles_with_codes()):
        return None
    logout_user()
    session.clear()
    whoami.forget()
    flash(_("Sign in again: your role needs a code of an authenticator app."), "notice")
    return whoami.to_sign_in()


def _longest_idle() -> float:
    return min((LONGEST_IDLE.get(role, LONGEST_SESSION) for role in whoami.roles()), default=0)
