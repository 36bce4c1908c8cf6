"""The second step of signing in: codes of an authenticator app, and recovery codes (SE4, S2)."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from flask import Flask, current_app, flash, redirect, request, session, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_security import (
    MfRecoveryCodesUtil,
    MfRecoveryForm,
    Totp,
    TwoFactorRescueForm,
    TwoFactorSetupForm,
    TwoFactorVerifyCodeForm,
    login_user,
    tf_code_confirmed,
    tf_disabled,
    tf_profile_changed,
)
from passlib.exc import UsedTokenError
from wtforms import RadioField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired

from app.extensions import db, utcnow
from app.limits import count
from app.models.user import User
from app.services import account_letters, accounts, people
from app.services.locks import locked
from app.web import whoami

log = logging.getLogger("app.web.codes")

TRIES = "5 per 15 minutes"  # of one person
RECOVERY_CODES = 10
PAGES = ("security.two_factor_token_validation", "security.mf_recovery")


def init_app(app: Flask) -> None:
    """Whose codes change is signed out everywhere else, and told."""
    tf_profile_changed.connect(_changed, app)
    tf_disabled.connect(_changed, app)
    tf_code_confirmed.connect(_recommend_recovery, app)
    app.before_request(_nothing_to_confirm)


def _nothing_to_confirm() -> Any:
    """To the front page from a page that asks for a code nobody needs to type now (RC1).

    Whoever is signed in and is not setting up an app would be signed out there by the library.
    """
    if request.endpoint != PAGES[0] or whoami.person() is None:
        return None
    begun = session.get("tf_primary_method") and session.get("tf_totp_secret")
    if begun and session.get("tf_state") == "validating_profile":
        return None
    return redirect(url_for("pages.front"), 303)


class Codes(Totp):
    """A code works once, also when two use it at the same moment."""

    def get_last_counter(self, user: Any) -> int | None:
        """The half minute of the last code that worked."""
        counter: int | None = user.totp_counter
        return counter

    def set_last_counter(self, user: Any, tmatch: Any) -> None:
        """Keep the half minute of this code. Raises `UsedTokenError` if another was faster."""
        newer = sa.or_(User.totp_counter.is_(None), User.totp_counter < tmatch.counter)
        kept: Any = db.session.execute(
            sa.update(User)
            .where(User.id == user.id, newer)
            .values(totp_counter=tmatch.counter)
            .execution_options(synchronize_session=False)
        )
        if not kept.rowcount:
            raise UsedTokenError

    def generate_qrcode(self, username: str, totp: str) -> str:
        """The picture as a data URI: dark on light in dark mode too, or no phone reads it."""
        import qrcode  # heavy, and only this page needs it
        from qrcode.image.svg import SvgPathFillImage

        picture = qrcode.make(
            self.get_totp_uri(username, totp), image_factory=SvgPathFillImage, box_size=8
        )
        return f"data:image/svg+xml;base64,{_base64(picture.to_string())}"


def _base64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()


class RecoveryCodes(MfRecoveryCodesUtil):
    """Only a keyed hash of each is kept, so they are shown once, when they are made."""

    def create_recovery_codes(self, user: Any) -> list[str]:
        """Ten new ones; the old ones work no more."""
        made = current_app.extensions["security"].totp_factory.generate_recovery_codes(
            RECOVERY_CODES
        )
        user.mf_recovery_codes = [_hashed(code) for code in made]
        return list(made)

    def get_recovery_codes(self, user: Any) -> list[str]:
        """None: nobody can read them again."""
        return []

    def check_recovery_code(self, user: Any, code: str) -> bool:
        """Whether it is one that has not been used; its owner's row is locked until the commit."""
        owner = locked(db.session(), User, user.id)
        return _hashed(code) in (owner.mf_recovery_codes or [])

    def delete_recovery_code(self, user: Any, code: str) -> bool:
        """It has been used."""
        left = [kept for kept in user.mf_recovery_codes or [] if kept != _hashed(code)]
        used = len(left) < len(user.mf_recovery_codes or [])
        user.mf_recovery_codes = left
        return used


def _hashed(code: str) -> str:
    plain = "".join(sign for sign in code.lower() if sign.isalnum())
    key = str(current_app.config["SECURITY_PASSWORD_SALT"]).encode()
    return hmac.digest(key, b"recovery code " + plain.encode(), hashlib.sha256).hex()


class SetUpForm(TwoFactorSetupForm):
    """Codes of an app, or none any more; the page has a button for each."""

    setup = RadioField(
        choices=[SelectChoice("authenticator"), SelectChoice("disable")], validate_choice=False
    )


class NoRescueForm(TwoFactorRescueForm):
    """The library's way out by mail, which is none: one mailbox would open both locks."""

    help_setup = RadioField(choices=[])

    def validate(self, **more: Any) -> bool:
        """Never."""
        return False


class CodeForm(TwoFactorVerifyCodeForm):
    """The code that the app shows now; tries are counted before it is looked at."""

    code = StringField(_l("Code of your app"), [DataRequired(_l("Type the code of six digits."))])

    def validate(self, **more: Any) -> bool:
        """Whether it is right and new. Raises `TooManyRequests`."""
        self.code.data = "".join((self.code.data or "").split())
        return _tried(self.user, lambda: bool(super(CodeForm, self).validate(**more)))


class RecoveryForm(MfRecoveryForm):
    """A recovery code; tries count as those of the app's codes."""

    code = StringField(_l("Recovery code"), [DataRequired(_l("Type a recovery code."))])

    def validate(self, **more: Any) -> bool:
        """Whether it has not been used. Raises `TooManyRequests`."""
        return _tried(self.user, lambda: bool(super(RecoveryForm, self).validate(**more)))


def _tried(user: Any, is_right: Callable[[], bool]) -> bool:
    take_off = count(TRIES, "codes", str(user.id))
    right = is_right()
    if right:
        take_off()
    else:
        log.info("user %s typed a wrong code", user.id)
    return right


def _changed(_app: Flask, user: Any, **_more: Any) -> None:
    """Signed out everywhere else, told of it, and still signed in here."""
    who: User = user._get_current_object() if hasattr(user, "_get_current_object") else user
    if not who.tf_totp_secret:
        who.mf_recovery_codes = None
    practice = people.standing(db.session(), who.id).practice
    account_letters.changed(db.session(), practice.id if practice else None, who, "codes", utcnow())
    accounts.end_sessions(who)
    login_user(who)
    session["code"] = bool(who.tf_totp_secret)


def _recommend_recovery(_app: Flask, user: User, **_more: Any) -> None:
    if not user.mf_recovery_codes:
        flash(_("You have no recovery codes yet. Make some on your profile page."), "notice")
