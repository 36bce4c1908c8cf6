"""Accounts and their roles: who may do what, kept by `services/accounts.py` (people PA15)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask import request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import joinedload, selectinload
from wtforms import EmailField, SelectMultipleField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length
from wtforms.widgets import CheckboxInput, ListWidget

from app.admin import office
from app.admin.acts import Act, WithReason
from app.admin.fields import readable
from app.admin.frame import SecureView
from app.admin.letters import invite_to_sign_in
from app.admin.names import badge, name_of
from app.admin.password_again import password_first
from app.extensions import db
from app.models import PersonStatus, Practice, Role, Student, Trainer, User
from app.models.user import roles_users
from app.services import accounts, students
from app.services.belonging import require_not_erased, require_within
from app.services.locks import locked
from app.services.refusals import a_reason

ROLE_WORDS = {
    "admin": _l("Administrator"),
    "trainer": _l("Trainer"),
    "student": _l("Student"),
    "organiser": _l("Organiser"),
    "venue-owner": _l("Venue owner"),
}


def roles_of(session: Any, user: User) -> list[str]:
    """What somebody is here: by account, and by rows of this practice."""
    held = {role.name for role in user.roles}
    for name, model in (("student", Student), ("trainer", Trainer)):
        row: Any = model
        active = sa.select(row.id).where(
            row.user_id == user.id,
            row.practice_id == office.practice_id(),
            row.status == PersonStatus.ACTIVE,
        )
        held |= {name} if user.id and session.scalar(active) is not None else set()
    return [name for name in ROLE_WORDS if name in held]


# --- acts ----------------------------------------------------------------------------------------


def _reset_codes(session: Any, row: User, actor: Any, now: datetime, reason: str) -> None:
    require_within(session, row, actor)
    accounts.reset_codes(session, row, a_reason(reason), office.practice_id(), now)


def _sign_out(session: Any, row: User, actor: Any, _now: datetime) -> None:
    require_within(session, row, actor)
    accounts.end_sessions(row)


def _invite(session: Any, row: User, actor: Any, now: datetime) -> None:
    require_within(session, row, actor)
    invite_to_sign_in(session, row, now)


ACTS = (
    Act(
        "invite",
        _l("Send the letter to choose a password"),
        _invite,
        _l("A link that works for seven days."),
        offered=lambda row: row.active and not row.password,
    ),
    Act(
        "deactivate",
        _l("Close the account"),
        accounts.deactivate,
        _l("They cannot sign in, and are passed over while they wait."),
        danger=True,
        offered=lambda row: row.active,
    ),
    Act(
        "activate",
        _l("Open the account"),
        accounts.activate,
        _l("They can sign in and book again."),
        offered=lambda row: not row.active and row.erased_at is None,
    ),
    Act(
        "reset-codes",
        _l("Reset the authenticator app"),
        _reset_codes,
        _l("They set up a new one when they sign in next; they are told why."),
        WithReason,
        danger=True,
        bulk=False,
        weighty=True,
        offered=lambda row: bool(row.tf_primary_method),
    ),
    Act("sign-out", _l("End all sessions"), _sign_out, _l("They have to sign in anew.")),
)


# --- the view ------------------------------------------------------------------------------------


def _roles(_view: Any, _context: Any, row: User, _name: str) -> str:
    return ", ".join(str(ROLE_WORDS.get(role.name, role.name)) for role in row.roles)


def _state(_view: Any, _context: Any, row: User, _name: str) -> Any:
    if row.erased_at:
        return badge("dim", _("Erased"))
    if not row.active:
        return badge("dim", _("Closed"))
    return badge("ok", _("Open")) if row.password else badge("wait", _("No password yet"))


class UserView(SecureView):
    """Accounts of the office and of the practice's people; no secret of theirs is shown."""

    column_list = ("email", "name", "office", "state", "codes")
    column_details_list = ("email", "name", "held", "state", "codes", "undeliverable_at")
    column_export_list = ("id", "email", "first_name", "last_name", "office", "active")
    column_searchable_list = ("email", "first_name", "last_name")
    column_filters = ("active",)
    column_sortable_list = ("email", "active")
    column_default_sort = "email"
    column_labels = {
        "email": _l("E-mail"),
        "name": _l("Name"),
        "office": _l("Roles of the account"),
        "held": _l("Roles"),
        "state": _l("Account"),
        "codes": _l("Authenticator app"),
        "active": _l("Open"),
        "undeliverable_at": _l("Letters come back since"),
    }
    column_formatters = {
        "name": lambda _v, _c, row, _n: row.fullname,
        "office": _roles,
        "held": lambda _v, _c, row, _n: ", ".join(
            str(ROLE_WORDS[name]) for name in roles_of(db.session(), row)
        ),
        "state": _state,
        "codes": lambda _v, _c, row, _n: _("Set up") if row.tf_primary_method else "",
    }
    column_formatters_detail = column_formatters
    column_formatters_export = {"office": _roles}
    form_columns = ("email", "first_name", "last_name", "held")
    form_extra_fields = {
        "email": EmailField(
            _l("E-mail address"), [InputRequired(_l("Type an address.")), Length(max=254)]
        ),
        "first_name": StringField(_l("First name"), [Length(max=100), readable]),
        "last_name": StringField(_l("Last name"), [Length(max=100), readable]),
        "held": SelectMultipleField(
            _l("Roles"),
            choices=[SelectChoice(name, said) for name, said in ROLE_WORDS.items()],
            widget=ListWidget(prefix_label=False),
            option_widget=CheckboxInput(),
        ),
    }
    refused_at = {
        "bad_address": "email",
        "address_taken": "email",
        "last_admin": "held",
        "own_office": "held",
    }
    loads = (selectinload(User.roles), joinedload(User.settings))
    acts = ACTS
    locks = False  # trainings come first: `save` does

    def _handle_view(self, name: str, **values: Any) -> Any:
        """Roles and addresses are given by whoever typed their password lately."""
        refused = super()._handle_view(name, **values)
        if refused is None and name in ("create_view", "edit_view"):
            return password_first(request.full_path)
        return refused

    def scope(self) -> sa.ColumnElement[bool]:
        """The office, and whoever learns or teaches here."""
        mine = office.practice_id()
        learns = sa.exists().where(Student.user_id == User.id, Student.practice_id == mine)
        teaches = sa.exists().where(Trainer.user_id == User.id, Trainer.practice_id == mine)
        return sa.or_(User.practice_id == mine, learns, teaches)

    def edit_form(self, obj: Any = None) -> Any:
        """With the roles they hold."""
        obj.held = roles_of(db.session(), obj)
        return super().edit_form(obj)

    def present(self, row: Any, name: str) -> Any:
        """Roles are asked of the database."""
        return roles_of(db.session(), row) if name == "held" else getattr(row, name)

    def save(self, form: Any, row: Any, created: bool, now: datetime) -> str | None:
        """Roles given and taken; the last administrator keeps theirs."""
        session, practice, actor = db.session(), office.practice(), office.actor()
        assert practice is not None  # noqa: S101  administrators have one
        wanted = set(form.held.data or ())
        if created:
            user = accounts.create(session, form.email.data, practice, sorted(wanted))
            user.practice_id = (
                practice.id if not wanted & {"student", "trainer"} else user.practice_id
            )
        else:
            user = row
            locked(session, Practice, practice.id)
            students.lock_person(session, user)
            self._require_fresh(form, row)  # somebody may have saved while we waited
            require_within(session, user, actor)
            require_not_erased(user)
            held = set(roles_of(session, user))
            for name in sorted(held - wanted):
                accounts.take_role(session, user, name, practice, actor, now)
            for name in sorted(wanted - held):
                accounts.give_role(session, user, name, practice, actor, now)
            if form.email.data.strip().lower() != user.email.lower():
                accounts.change_address(session, user, form.email.data, practice.id, now)
        first, last = form.first_name.data or "", form.last_name.data or ""
        accounts.change_name(user, first.strip(), last.strip())
        if created:
            invite_to_sign_in(session, user, now)
            return _("%(name)s gets a letter to choose a password.", name=user.email)
        return _("%(name)s is saved.", name=name_of(user))


class RoleView(SecureView):
    """Which roles there are, and how many accounts of the office hold each."""

    column_list = ("name", "holders")
    column_details_list = column_list
    column_export_list = column_list
    column_default_sort = "name"
    column_labels = {"name": _l("Role"), "holders": _l("Accounts of this office")}
    column_formatters = {"holders": lambda _v, _c, row, _n: str(row.holders)}
    column_formatters_export = column_formatters
    form_columns = ()
    can_create = can_edit = can_view_details = False

    def scope(self) -> sa.ColumnElement[bool]:
        """Roles are the same everywhere."""
        return sa.true()

    def get_list(self, *asked: Any, **more: Any) -> Any:
        """Rows with their numbers, in one further statement."""
        count, rows = super().get_list(*asked, **more)
        ours = (
            sa.select(roles_users.c.role_id, sa.func.count().label("number"))
            .join(User, User.id == roles_users.c.user_id)
            .where(User.practice_id == office.practice_id(), User.active)
            .group_by(roles_users.c.role_id)
        )
        held = {row.role_id: row.number for row in db.session.execute(ours)}
        for row in rows:
            row.holders = held.get(row.id, 0)
        return count, rows


def views() -> list[SecureView]:
    """Of this module."""
    return [UserView(User, "Users", "People"), RoleView(Role, "Roles", "People")]
