"""Students and trainers: people of the practice; what they are is changed by services (WT5-WT7)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import joinedload
from wtforms import DateField, EmailField, SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length, Optional

from app.admin import office
from app.admin.acts import Act
from app.admin.fields import LANGUAGES, legible, readable, stripped
from app.admin.filters import Choice, ChoiceOrMore
from app.admin.frame import SecureView
from app.admin.letters import invite_to_sign_in
from app.admin.names import badge, name_of, words
from app.admin.password_again import password_first
from app.extensions import db
from app.models import PersonStatus, Student, Trainer, User
from app.services import accounts, attention, students
from app.services.belonging import require_within

OF_USER = ("first_name", "last_name", "email", "phone", "birthday")


def fields_of_person() -> dict[str, Any]:
    """What the office knows of somebody."""
    named = [InputRequired(_l("Type a name.")), Length(max=100), readable, legible]
    return {
        "first_name": StringField(_l("First name"), named, filters=[stripped]),
        "last_name": StringField(_l("Last name"), named, filters=[stripped]),
        "email": EmailField(
            _l("E-mail address"), [InputRequired(_l("Type an address.")), Length(max=254)]
        ),
        "phone": StringField(
            _l("Phone"),
            [Length(max=40), readable],
            description=_l("With the country code, such as +31 6 12345678."),
        ),
        "birthday": DateField(_l("Birthday"), [Optional()]),
        "language": SelectField(
            _l("Language"), choices=[SelectChoice("", _l("(not set)")), *LANGUAGES]
        ),
    }


def _status(_view: Any, _context: Any, row: Any, _name: str) -> Any:
    if row.user.erased_at:
        return badge("dim", _("Erased"))
    return badge("ok" if row.status is PersonStatus.ACTIVE else "dim", words(row.status))


def _mail(_view: Any, _context: Any, row: Any, _name: str) -> Any:
    return badge("bad", _("Letters come back")) if row.user.undeliverable_at else ""


class PersonView(SecureView):
    """What both have: a name, an address, being active."""

    role = ""
    column_list = ("user.last_name", "user.first_name", "user.email", "status", "letters")
    column_details_list = (
        "user.first_name", "user.last_name", "user.email", "user.phone", "user.birthday",
        "status", "letters",
    )  # fmt: skip
    column_export_list = (
        "id", "user.email", "user.first_name", "user.last_name", "user.phone", "user.birthday",
        "status",
    )  # fmt: skip
    column_searchable_list = ("user.first_name", "user.last_name", "user.email")
    column_sortable_list = (
        ("user.last_name", "user.last_name"),
        ("user.first_name", "user.first_name"),
        ("user.email", "user.email"),
        "status",
    )
    column_default_sort = [("user.last_name", False), ("user.first_name", False), ("id", False)]
    column_labels = {
        "user.last_name": _l("Last name"),
        "user.first_name": _l("First name"),
        "user.email": _l("E-mail"),
        "user.phone": _l("Phone"),
        "user.birthday": _l("Birthday"),
        "status": _l("Status"),
        "letters": _l("Letters"),
    }
    column_formatters = {"status": _status, "letters": _mail}
    column_formatters_detail = column_formatters
    form_columns = (*OF_USER, "language")
    form_extra_fields = fields_of_person()
    refused_at = {
        "bad_address": "email",
        "address_taken": "email",
        "bad_phone": "phone",
        "bad_birthday": "birthday",
    }
    locks = False  # trainings come first: `save` does

    def _handle_view(self, name: str, **values: Any) -> Any:
        """An address is changed by whoever typed their password lately."""
        refused = super()._handle_view(name, **values)
        if refused is None and name == "edit_view" and request.method == "POST":
            user = self.get_one(request.args.get("id")).user
            if _another(request.form.get("email"), user):
                return password_first(request.full_path)
        return refused

    def edit_form(self, obj: Any = None) -> Any:
        """Filled from the account."""
        for name in self.form_columns:
            setattr(obj, name, self.present(obj, name))
        return super().edit_form(obj)

    def present(self, row: Any, name: str) -> Any:
        """The account's."""
        if name == "language":
            return row.user.settings.language if row.user.settings else None
        return getattr(row.user, name)

    def save(self, form: Any, row: Any, created: bool, now: datetime) -> str | None:
        """An account for somebody new, by letter; else what changed in it."""
        session, practice = db.session(), office.practice()
        assert practice is not None  # noqa: S101  administrators have one
        if created:
            user = accounts.create(session, form.email.data, practice, [self.role])
            invite_to_sign_in(session, user, now)
        else:
            user = row.user
            students.lock_person(session, user)
            self._require_fresh(form, row)  # somebody may have saved while we waited
            require_within(session, user, office.actor())
            if _another(form.email.data, user):
                accounts.change_address(session, user, form.email.data, practice.id, now)
        accounts.change_profile(
            user,
            first_name=form.first_name.data.strip(),
            last_name=form.last_name.data.strip(),
            phone=form.phone.data or "",
            birthday=form.birthday.data,
            language=form.language.data or None,
            today=now.astimezone(office.zone()).date(),
        )
        return _("%(name)s is saved.", name=name_of(user))


def _another(address: str | None, user: User) -> bool:
    return (address or "").strip().lower() != user.email.lower()


# --- students ------------------------------------------------------------------------------------


def _is_active(row: Any) -> bool:
    return row.status is PersonStatus.ACTIVE and row.user.erased_at is None


def _is_inactive(row: Any) -> bool:
    return row.status is PersonStatus.INACTIVE and row.user.erased_at is None


class StudentView(PersonView):
    """Who learns."""

    role = "student"
    column_filters = (
        ChoiceOrMore(
            Student.status,
            _l("Status"),
            [(s.value, words(s)) for s in PersonStatus],
            {"unreached": (_l("Letters come back"), attention.unreached)},
        ),
    )
    loads = (joinedload(Student.user).joinedload(User.settings),)
    acts = (
        Act(
            "deactivate",
            _l("Switch off"),
            students.deactivate,
            _l("They cannot book and are passed over while they wait; open invitations end."),
            offered=_is_active,
        ),
        Act(
            "activate",
            _l("Switch on"),
            students.activate,
            _l("They can book again, and are invited where their turn has come."),
            offered=_is_inactive,
        ),
        Act(
            "erase",
            _l("Erase"),
            students.erase,
            _l("Name, address and phone are forgotten, in every practice. This is final."),
            danger=True,
            offered=lambda row: row.user.erased_at is None,
        ),
    )
    details_template = "admin/students/details.html"

    def details_more(self, row: Any) -> dict[str, Any]:
        """Their enrolments are a list of their own."""
        at = url_for("admin_trainingenroll.index_view", search=row.user.email)
        return {"enrolments": at}


# --- trainers ------------------------------------------------------------------------------------


def _take_trainer(session: Any, row: Any, actor: Any, now: datetime) -> None:
    accounts.take_role(session, row.user, "trainer", row.practice, actor, now)


def _give_trainer(session: Any, row: Any, actor: Any, now: datetime) -> None:
    accounts.give_role(session, row.user, "trainer", row.practice, actor, now)


class TrainerView(PersonView):
    """Who teaches."""

    role = "trainer"
    column_filters = (
        Choice(Trainer.status, _l("Status"), [(s.value, words(s)) for s in PersonStatus]),
    )
    loads = (joinedload(Trainer.user).joinedload(User.settings), joinedload(Trainer.practice))
    acts = (
        Act(
            "deactivate",
            _l("Switch off"),
            _take_trainer,
            _l("They no longer see the pages of trainers."),
            weighty=True,
            offered=_is_active,
        ),
        Act(
            "activate",
            _l("Switch on"),
            _give_trainer,
            _l("They see the pages of trainers again."),
            weighty=True,
            offered=_is_inactive,
        ),
    )


def views() -> list[SecureView]:
    """Of this module."""
    return [StudentView(Student, "Students", "People"), TrainerView(Trainer, "Trainers", "People")]
