"""What somebody says of themselves, and how they want to be told (people PS7, PS8)."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField, DateField, RadioField, SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, Length, Optional

from app.extensions import db, utcnow, write
from app.models.user import TrainerLetters, User
from app.services import accounts, catalogue
from app.services.accounts import BadPhone
from app.services.refusals import Refusal
from app.web import whoami
from app.web.forms import Form
from app.web.frame import page_of_form, see_other, zone
from app.web.languages import LANGUAGES
from app.web.whoami import signed_in

bp = Blueprint("profile", __name__, url_prefix="/me")

LANGUAGE_NAMES = {"en": "English", "nl": "Nederlands"}


class ProfileForm(Form):
    """Names, phone, birthday, language."""

    first_name = StringField(
        _l("First name"), [DataRequired(_l("Type your first name.")), Length(max=100)]
    )
    last_name = StringField(
        _l("Last name"), [DataRequired(_l("Type your last name.")), Length(max=100)]
    )
    phone = StringField(
        _l("Phone"), description=_l("With the country code, such as +31 6 12345678.")
    )
    birthday = DateField(_l("Birthday"), [Optional()])
    language = SelectField(
        _l("Language"),
        [DataRequired()],
        choices=[SelectChoice(name, LANGUAGE_NAMES[name]) for name in LANGUAGES],
    )


@bp.route("/profile", methods=["GET", "POST"])
@signed_in
def edit() -> Any:
    """Name and phone; the way to password, address and codes."""
    user = _me()
    form = ProfileForm(obj=user, language=whoami.language() or LANGUAGES[0])
    if form.validate_on_submit():
        try:
            with write(db.session):
                _save(user, form)
            return _saved()
        except Refusal as no:
            form.refuse(no, "phone" if isinstance(no, BadPhone) else "birthday")
    return page_of_form("profile/edit.html", form)


def _saved() -> Any:
    """Back to the training that somebody came from to complete their profile (people PS3)."""
    asked, practice = request.args.get("join", ""), whoami.practice()
    joining = int(asked) if re.fullmatch("[0-9]{1,9}", asked) else 0
    if practice and catalogue.offer(db.session(), practice.id, joining, None, utcnow()):
        return see_other("catalogue.join", _("Your profile is saved."), training_id=joining)
    return see_other("profile.edit", _("Your profile is saved."))


def _save(user: User, form: ProfileForm) -> None:
    accounts.change_profile(
        user,
        first_name=(form.first_name.data or "").strip(),
        last_name=(form.last_name.data or "").strip(),
        phone=form.phone.data or "",
        birthday=form.birthday.data,
        language=form.language.data,
        today=utcnow().astimezone(zone()).date(),
    )


class NotificationsForm(Form):
    """Which letters come."""

    invitations = BooleanField(
        _l("Invitations and changes"),
        description=_l("When a place is free for you, and when something about it changes."),
    )
    reminders = BooleanField(
        _l("Reminders"), description=_l("Before a training that you attend, or wait for.")
    )
    last_minute = BooleanField(
        _l("Last-minute places"),
        description=_l("When a training begins soon and a place in it is still free."),
    )
    sure = BooleanField(_l("Pass me over until I switch invitations on again"))
    trainer_letters = RadioField(
        _l("Of the trainings you teach"),
        choices=[
            SelectChoice(TrainerLetters.EACH.value, _l("A letter each time something happens")),
            SelectChoice(
                TrainerLetters.DIGEST.value, _l("One letter a day, if something happened")
            ),
            SelectChoice(
                TrainerLetters.CENTRE.value, _l("No letters; I look at my courses myself")
            ),
        ],
        validators=[Optional()],
    )


@bp.route("/notifications", methods=["GET", "POST"])
@signed_in
def notifications() -> Any:
    """Letters on and off; without invitations nobody can be next in line (waitlist WD3)."""
    user = _me()
    settings = user.settings
    form = NotificationsForm(
        invitations=settings is None or settings.msg_transactional_emails,
        reminders=settings is None or settings.msg_reminders,
        last_minute=settings is None or settings.msg_last_min_spots,
        trainer_letters=settings.trainer_letters if settings else TrainerLetters.EACH.value,
    )
    lists: list[str] = []
    if form.validate_on_submit():
        if not form.invitations.data and not form.sure.data:
            lists = accounts.waits_for(db.session(), user)
        if not lists:
            with write(db.session):
                _notify(user, form)
            return see_other("profile.notifications", _("Your choice is saved."))
        form.refuse(_("Tick below that you want to be passed over."), "sure")
    return page_of_form("profile/notifications.html", form, lists=lists)


def _notify(user: User, form: NotificationsForm) -> None:
    accounts.change_notifications(
        db.session(),
        user,
        invitations=bool(form.invitations.data),
        reminders=bool(form.reminders.data),
        last_minute=bool(form.last_minute.data),
        now=utcnow(),
    )
    if whoami.trainer() is not None and form.trainer_letters.data:
        how = TrainerLetters(form.trainer_letters.data)
        accounts.change_trainer_letters(db.session(), user, how, utcnow())


def _me() -> User:
    user = whoami.person()
    assert user is not None  # noqa: S101  `signed_in` stands above each view
    return user
