"""Getting in without a password yet: signing up, a new password, a new address (rulings RD1).

Each begins with an address and the same answer for all, goes on in a letter, and ends on a page
whose GET only shows a form. Nobody learns here whether an address is known (people PS10).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Blueprint, current_app, redirect, render_template, session, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_limiter.util import get_remote_address
from flask_security import login_user
from wtforms import BooleanField, EmailField, PasswordField, StringField
from wtforms.validators import DataRequired, Length

from app.extensions import db, utcnow, write
from app.limits import count
from app.models.practice import Practice
from app.models.user import User
from app.services import account_letters, accounts, people, tickets
from app.services.accounts import AlreadySignedUp, Application
from app.services.passwords import a_password
from app.services.refusals import Refusal
from app.services.students import valid_address
from app.services.tickets import NEW_ADDRESS, NEW_PASSWORD, SIGN_UP
from app.web import whoami
from app.web.forms import Form
from app.web.frame import has_page, page_of_form, see_other
from app.web.security import hashed, knows_password

bp = Blueprint("accounts", __name__)

LETTERS = "5 per hour"  # to one address, and from one network address (SE16)
BENT = " \t\r\n.,;:!?>)]}'\"<("  # what mail programs leave around a link


class AddressForm(Form):
    """An e-mail address."""

    email = EmailField(_l("E-mail address"), [DataRequired(_l("Type your e-mail address."))])


class PasswordForm(Form):
    """A new password."""

    password = PasswordField(
        _l("Password"),
        [DataRequired(_l("Choose a password."))],
        description=_l("At least 12 characters. A few words in a row are easy to remember."),
    )


class FinishForm(PasswordForm):
    """All that an account needs."""

    first_name = StringField(
        _l("First name"), [DataRequired(_l("Type your first name.")), Length(max=100)]
    )
    last_name = StringField(
        _l("Last name"), [DataRequired(_l("Type your last name.")), Length(max=100)]
    )
    terms = BooleanField(
        _l("I agree to the terms"), [DataRequired(_l("Tick this to agree to the terms."))]
    )


class ChangeForm(PasswordForm):
    """The old password and a new one."""

    current = PasswordField(
        _l("Your password now"), [DataRequired(_l("Type the password you have now."))]
    )


# --- with an address -----------------------------------------------------------------------------


@bp.route("/sign-up", methods=["GET", "POST"])
def sign_up() -> Any:
    """An address, to which a letter goes."""
    if whoami.person() is not None:
        return redirect(url_for("pages.front"))
    return _ask("accounts/sign_up.html", SIGN_UP)


@bp.route("/new-password", methods=["GET", "POST"])
def new_password() -> Any:
    """The same for a password that one has forgotten."""
    return _ask("accounts/new_password.html", NEW_PASSWORD)


@bp.get("/letter-sent")
def sent() -> str:
    """Where to look now; the same for every address."""
    return render_template("accounts/sent.html")


def _ask(template: str, wanted: str) -> Any:
    form = AddressForm()
    if not form.validate_on_submit():
        return page_of_form(template, form)
    try:
        address = valid_address(form.email.data or "")
    except Refusal as no:
        form.refuse(no, "email")
        return page_of_form(template, form)
    for whose in (get_remote_address(), address.lower()):
        count(LETTERS, "letters", whose)
    with write(db.session):
        _write_to(address, wanted, utcnow())
    return see_other("accounts.sent")


def _write_to(address: str, wanted: str, now: datetime) -> None:
    """One letter whatever is known of the address, so that all take the same time."""
    user, practice = accounts.find(db.session(), address), whoami.practice()
    where = practice.id if practice else None
    if user is None or not (user.password or user.roles or not user.active):
        until = now + tickets.VALID_FOR[SIGN_UP]
        page = _page(SIGN_UP, [address], until)
        account_letters.sign_up(db.session(), where, address, page, until, now, wanted=wanted)
    elif user.active:
        until = now + tickets.VALID_FOR[NEW_PASSWORD]
        page = _page(NEW_PASSWORD, [user.id, accounts.version(user)], until)
        account_letters.reset(db.session(), where, user, page, until, now, wanted=wanted)
    else:
        account_letters.closed(db.session(), where, user, now)


# --- with the link of a letter -------------------------------------------------------------------


@bp.route("/sign-up/<token>", methods=["GET", "POST"])
def finish(token: str) -> Any:
    """Name, password, terms: then there is an account."""
    now, practice = utcnow(), whoami.practice()
    facts = _read(SIGN_UP, token, now)
    if not facts or practice is None:
        return _gone("accounts.sign_up")
    known = accounts.find(db.session(), facts[0])
    if known is not None and (known.password or not known.active):
        return _gone("security.login", str(AlreadySignedUp.sentence))
    form = FinishForm(obj=known)
    if form.validate_on_submit():
        try:
            return _finished(form, facts[0], practice, now)
        except AlreadySignedUp as no:
            return _gone("security.login", str(no.sentence))
        except Refusal as no:
            form.refuse(no, "password")
    return page_of_form("accounts/finish.html", form, email=facts[0])


def _finished(form: FinishForm, email: str, practice: Practice, now: datetime) -> Any:
    first, last = (form.first_name.data or "").strip(), (form.last_name.data or "").strip()
    password = a_password(form.password.data or "", email, f"{first} {last}")
    who = Application(email, first, last, hashed(password))
    approval = current_app.extensions["settings"].student_approval
    with write(db.session):
        user = accounts.sign_up(db.session(), practice, who, approval, now)
    if approval:
        return _let_in(user, _("Thank you. You can book once we have approved you; we will write."))
    return _let_in(user, _("Welcome. You can join trainings now."))


@bp.route("/new-password/<token>", methods=["GET", "POST"])
def choose(token: str) -> Any:
    """A new password for whoever got the letter."""
    now = utcnow()
    user = _owner(_read(NEW_PASSWORD, token, now))
    if user is None or not user.active:
        return _gone("accounts.new_password")
    form = PasswordForm()
    if form.validate_on_submit():
        try:
            password = hashed(a_password(form.password.data or "", user.email, user.fullname))
            practice = people.standing(db.session(), user.id).practice
            with write(db.session):
                accounts.set_password(
                    db.session(), user, password, practice.id if practice else None, now
                )
            return see_other("security.login", _("Your password is changed. Sign in with it."))
        except Refusal as no:
            form.refuse(no, "password")
    return page_of_form("accounts/choose.html", form, email=user.email)


@bp.route("/new-address/<token>", methods=["GET", "POST"])
def confirm_address(token: str) -> Any:
    """The new address counts once whoever reads there says so (people PS7)."""
    now = utcnow()
    facts = _read(NEW_ADDRESS, token, now)
    user = _owner(facts and facts[:2])
    if facts is None or user is None or not user.active:
        return _gone("profile.edit")
    form = Form()
    if form.validate_on_submit():
        practice = people.standing(db.session(), user.id).practice
        with write(db.session):
            accounts.change_address(
                db.session(), user, facts[2], practice.id if practice else None, now
            )
        return see_other("pages.front", _("Your e-mail address is changed. Letters go there now."))
    return page_of_form("accounts/confirm_address.html", form, email=facts[2], token=token)


def _gone(next_endpoint: str, sentence: str | None = None) -> Any:
    """410: forged, used or too old, all the same (DESIGN 7)."""
    page = render_template("accounts/gone.html", sentence=sentence, endpoint=next_endpoint)
    return page, 410


def _let_in(user: User, notice: str) -> Any:
    """Signed in, unless that takes a code."""
    if user.check_tf_required([], False)[0] or user.tf_totp_secret:
        return see_other("security.login", notice)
    login_user(user)
    return see_other("catalogue.index" if has_page("catalogue.index") else "pages.front", notice)


# --- signed in -----------------------------------------------------------------------------------


@bp.route("/me/password", methods=["GET", "POST"])
@whoami.signed_in
def change_password() -> Any:
    """Another password; whoever is signed in elsewhere is not any more (SE2)."""
    user, form = _me(), ChangeForm()
    if form.validate_on_submit():
        if not knows_password(user, form.current.data or ""):
            form.refuse(_("This is not your password."), "current")
            return page_of_form("accounts/change_password.html", form)
        try:
            new = hashed(a_password(form.password.data or "", user.email, user.fullname))
            practice, code = whoami.practice(), session.get("code")
            with write(db.session):
                where = practice.id if practice else None
                accounts.set_password(db.session(), user, new, where, utcnow())
            login_user(user)
            session["code"] = code
            return see_other("profile.edit", _("Your password is changed."))
        except Refusal as no:
            form.refuse(no, "password")
    return page_of_form("accounts/change_password.html", form)


class NewAddressForm(AddressForm):
    """Another address, and the password: who reads the letters can get in."""

    password = PasswordField(_l("Your password"), [DataRequired(_l("Type your password."))])


@bp.route("/me/address", methods=["GET", "POST"])
@whoami.signed_in
def change_address() -> Any:
    """Ask for another address: a letter goes there, and only its link changes anything."""
    user, form, now = _me(), NewAddressForm(), utcnow()
    if form.validate_on_submit():
        try:
            address = valid_address(form.email.data or "")
        except Refusal as no:
            form.refuse(no, "email")
            return page_of_form("accounts/change_address.html", form)
        if not knows_password(user, form.password.data or ""):
            form.refuse(_("This is not your password."), "password")
            return page_of_form("accounts/change_address.html", form)
        count(LETTERS, "new address", str(user.id))
        with write(db.session):
            _write_to_new(user, address, now)
        notice = _("We have written to %(address)s. Open the letter there.", address=address)
        return see_other("profile.edit", notice)
    return page_of_form("accounts/change_address.html", form)


def _write_to_new(user: User, address: str, now: datetime) -> None:
    if accounts.find(db.session(), address) is not None:
        return  # nobody learns that somebody has it
    until, practice = now + tickets.VALID_FOR[NEW_ADDRESS], whoami.practice()
    page = _page(NEW_ADDRESS, [user.id, accounts.version(user), address], until)
    where = practice.id if practice else None
    account_letters.address(db.session(), where, user, address, page, until, now)


def _me() -> User:
    user = whoami.person()
    assert user is not None  # noqa: S101  `signed_in` stands above
    return user


# --- tokens --------------------------------------------------------------------------------------


def _page(purpose: str, facts: list[Any], until: datetime) -> str:
    key = str(current_app.config["SECRET_KEY"])
    return tickets.path(purpose, tickets.write(key, purpose, facts, until))


def _read(purpose: str, token: str, now: datetime) -> list[Any] | None:
    return tickets.read(str(current_app.config["SECRET_KEY"]), purpose, token.strip(BENT), now)


def _owner(facts: list[Any] | None) -> User | None:
    """Whose link it is, if nothing has changed since."""
    user = db.session.get(User, facts[0]) if facts else None
    return user if user is not None and facts and facts[1] == accounts.version(user) else None
