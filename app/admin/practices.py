"""The practice itself: what it is called, its zone, what holds for all its trainings."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from wtforms import SelectField
from wtforms.fields.choices import SelectChoice

from app.admin import office
from app.admin.fields import LANGUAGES
from app.admin.frame import SecureView
from app.models import Practice
from app.services.local_time import zone_names
from app.services.students import valid_address


class PracticeView(SecureView):
    """One row: the office's own."""

    column_list = ("name", "shortname", "timezone", "language", "sender")
    column_details_list = (*column_list, "invite_cutoff", "on_bounce")
    column_export_list = column_list
    form_columns = ("name", "timezone", "language", "sender", "invite_cutoff", "on_bounce")
    column_labels = {
        "shortname": _l("Short name"),
        "timezone": _l("Time zone"),
        "sender": _l("Letters come from"),
        "invite_cutoff": _l("Invitations end before the start"),
        "on_bounce": _l("When a letter bounces"),
    }
    form_args = {
        "invite_cutoff": {
            "description": _l("Such as 2:00:00 or 1 day; empty: as this installation is set.")
        },
        "on_bounce": {"description": _l("Keep the invitation open, or offer the place at once.")},
    }
    form_overrides = {"timezone": SelectField, "language": SelectField}
    refused_at = {"bad_address": "sender"}
    can_create = False

    def scope(self) -> sa.ColumnElement[bool]:
        """Only its own."""
        return Practice.id == office.practice_id()

    def scaffold_form(self) -> Any:
        """Zones and languages are chosen."""
        names = [*sorted(z for z in zone_names() if "/" in z), "UTC"]
        zones = [SelectChoice(name) for name in names]
        self.form_args = self.form_args | {
            "timezone": {"choices": zones},
            "language": {"choices": list(LANGUAGES)},
        }
        return super().scaffold_form()

    def save(self, form: Any, row: Any, created: bool, now: Any) -> str | None:
        """The sender is an address."""
        if form.sender.data:
            form.sender.data = valid_address(form.sender.data)
        return super().save(form, row, created, now)


def views() -> list[SecureView]:
    """Of this module."""
    return [PracticeView(Practice, "Practice", "System")]
