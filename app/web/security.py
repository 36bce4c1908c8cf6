"""Signing in and out (Flask-Security): passwords, sessions, tries (reliability SE2, SE3, SE16)."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import sqlalchemy as sa
from flask import Flask, render_template, request, session
from flask_babel import lazy_gettext as _l
from flask_limiter.util import get_remote_address
from flask_login import logout_user, user_logged_in, user_logged_out
from flask_security import LoginForm, Security, SQLAlchemyUserDatastore
from sqlalchemy.orm import joinedload
from wtforms import EmailField, PasswordField
from wtforms.validators import DataRequired

from app.extensions import db
from app.limits import limiter
from app.models.user import Role, User, WebAuthn
from app.web import whoami
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
    security = Security()
    security.init_app(
        app,
        People(db, User, Role, WebAuthn),
        login_form=SignInForm,
        render_template=_render,
    )
    security.want_json(lambda _request: False)
    app.before_request(_end_old_sessions)
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
        "MSG_GENERIC_AUTHN_FAILED": (WRONG, "error"),
        "MSG_LOGIN": (_l("You are signed in."), "success"),
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


# --- trying to sign in ---------------------------------------------------------------------------


class SignInForm(LoginForm):
    """Address and password; tries are counted before anything is hashed (SE3, SE16)."""

    remember = None
    email = EmailField(_l("E-mail address"), [DataRequired(_l("Type your e-mail address."))])
    password = PasswordField(_l("Password"), [DataRequired(_l("Type your password."))])

    def validate(self, **more: Any) -> bool:
        """Whether these are somebody's. Raises `RateLimitExceeded`."""
        with (
            limiter.limit(TRIES_IN_ALL, key_func=lambda: "sign-in"),
            limiter.limit(TRIES, key_func=self._who_tries),
            hashing,
        ):
            right = bool(super().validate(**more))
        if not right:
            log.info("a sign-in was refused")
        return right

    def _who_tries(self) -> str:
        return f"sign-in {get_remote_address()} {(self.email.data or '').strip().lower()[:254]}"


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
    whoami.forget()
    log.info("user %s signed in", user.id)


def _end(_app: Flask, **_more: Any) -> None:
    session.clear()
    whoami.forget()


def _end_old_sessions() -> None:
    if request.endpoint == "static" or "_user_id" not in session:
        return
    now = int(time.time())
    idle = now - session.get("seen", 0)
    if now - session.get("since", 0) > LONGEST_SESSION or idle > _longest_idle():
        logout_user()
        session.clear()
        whoami.forget()
    elif idle > STEP:
        session["seen"] = now


def _longest_idle() -> float:
    return min((LONGEST_IDLE.get(role, LONGEST_SESSION) for role in whoami.roles()), default=0)
