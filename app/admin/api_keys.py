"""Keys with which programs ask for schedules: made, shown once, revoked (people PA12)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import g, request
from flask_admin.base import expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import IntegerField, SelectMultipleField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length, NumberRange
from wtforms.widgets import CheckboxInput, ListWidget

from app.admin import office
from app.admin.acts import Act
from app.admin.fields import readable
from app.admin.frame import SecureView
from app.admin.names import badge, name_of
from app.admin.password_again import password_first
from app.extensions import db, utcnow
from app.models import ApiKey, User
from app.services import api_keys

SCOPE_WORDS = {
    api_keys.READ: _l("See schedules and their runs"),
    api_keys.WRITE: _l("Make, change, pause and remove schedules"),
    api_keys.RUN: _l("Start, cancel and repeat runs"),
}


def _owner(_view: Any, _context: Any, row: ApiKey, _name: str) -> str:
    who = db.session.get(User, row.user_id) if row.user_id else None
    return name_of(who) if who else ""


def _state(_view: Any, _context: Any, row: ApiKey, _name: str) -> Any:
    if row.revoked_at is not None:
        return badge("dim", _("Revoked"))
    if row.expires_at is not None and row.expires_at <= utcnow():
        return badge("late", _("Over"))
    return badge("ok", _("Works"))


class ApiKeyView(SecureView):
    """The practice's keys; of the key itself nothing but four characters is kept."""

    column_list = ("name", "first_characters", "owner", "scopes", "state", "last_used_at")
    column_details_list = (*column_list, "created_at", "expires_at", "revoked_at")
    column_export_list = ("id", "name", "first_characters", "created_at", "expires_at")
    column_searchable_list = ("name", "first_characters")
    column_sortable_list = ("name", "last_used_at", "expires_at")
    column_default_sort = ("id", True)
    column_labels = {
        "name": _l("Name"),
        "first_characters": _l("Begins with"),
        "owner": _l("Made by"),
        "scopes": _l("May"),
        "state": _l("State"),
        "last_used_at": _l("Last used"),
        "created_at": _l("Made"),
        "expires_at": _l("Works until"),
        "revoked_at": _l("Revoked"),
    }
    column_formatters = {
        "first_characters": lambda _v, _c, row, _n: f"nsk_{row.first_characters}…",
        "owner": _owner,
        "scopes": lambda _v, _c, row, _n: ", ".join(row.scopes),
        "state": _state,
    }
    column_formatters_detail = column_formatters
    form_columns = ("name", "scopes", "days")
    form_extra_fields = {
        "name": StringField(
            _l("Name"),
            [InputRequired(_l("Say what the key is for.")), Length(max=100), readable],
            description=_l("What the key is for, such as the program that uses it."),
        ),
        "scopes": SelectMultipleField(
            _l("What it may do"),
            [InputRequired(_l("Tick at least one thing that it may do."))],
            choices=[SelectChoice(name, said) for name, said in SCOPE_WORDS.items()],
            widget=ListWidget(prefix_label=False),
            option_widget=CheckboxInput(),
        ),
        "days": IntegerField(
            _l("Days that it works"),
            [InputRequired(), NumberRange(1, api_keys.MOST_DAYS)],
            default=api_keys.DAYS,
        ),
    }
    refused_at = {"bad_key_name": "name", "bad_scopes": "scopes", "bad_key_life": "days"}
    can_edit = False
    acts = (
        Act(
            "revoke",
            _l("Revoke"),
            api_keys.revoke,
            _l("Programs that use this key are refused from now on; it never comes back."),
            danger=True,
            offered=lambda row: row.revoked_at is None,
        ),
    )

    def get_empty_list_message(self) -> str:
        """What will stand there."""
        return str(_("No program has a key yet. With one it may ask for schedules, or run them."))

    def _handle_view(self, name: str, **values: Any) -> Any:
        """A key is given to whoever typed their password lately (reliability SE4)."""
        refused = super()._handle_view(name, **values)
        if refused is None and name == "create_view":
            return password_first(request.full_path)
        return refused

    # exposed again: what was made is shown at once, or never
    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """The form; once saved, the key itself, this one time."""
        answer = super().create_view()
        made = g.pop("made_key", None)
        if made is None:
            return answer
        key, text = made
        page = self.render("admin/api_keys/made.html", key=key, text=text, return_url=self.back())
        return page, 201, {"Cache-Control": "no-store"}

    def save(self, form: Any, row: Any, created: bool, now: datetime) -> str | None:
        """A new key of the practice."""
        user = office.administrator()
        g.made_key = api_keys.create(
            db.session(),
            form.name.data,
            form.scopes.data or (),
            office.actor(),
            now,
            practice_id=office.practice_id(),
            user_id=user.id if user else None,
            days=form.days.data,
        )
        return _("The key is made.")


def views() -> list[SecureView]:
    """Of this module."""
    return [ApiKeyView(ApiKey, "API keys", "System")]
