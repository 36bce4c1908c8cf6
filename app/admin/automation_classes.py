"""Task classes: what can be automated. The code says which there are; an office switches them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import g
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from markupsafe import Markup

from app.admin import items
from app.admin.acts import Act
from app.admin.frame import SecureView
from app.admin.names import badge
from app.automation import schedules
from app.extensions import db
from app.models import AutomationClasses, AutomationSchedule


def _enable(on: bool) -> Any:
    def do(session: Any, row: Any, actor: Any, now: Any) -> None:
        schedules.enable(session, row, on, actor, now)

    return do


ACTS = (
    Act(
        "enable",
        _l("Enable"),
        _enable(True),
        _l("Schedules of this class plan and run again."),
        offered=lambda row: not row.enabled,
    ),
    Act(
        "disable",
        _l("Disable"),
        _enable(False),
        _l(
            "None of its schedules runs any more: their jobs are removed. Invitations that they"
            " would have ended stay open until the last moment."
        ),
        danger=True,
        offered=lambda row: row.enabled,
    ),
)


def state_of(row: AutomationClasses) -> Markup:
    """One badge: whether it runs, and if it is there at all."""
    if row.class_name not in items.registered():
        return badge("bad", _("Missing"))
    return badge("ok", _("Enabled")) if row.enabled else badge("dim", _("Disabled"))


def count_of(row: AutomationClasses) -> int:
    """How many of its schedules the office sees; counted once a request for all classes."""
    if "schedules_of_class" not in g:
        s = AutomationSchedule
        mine = sa.select(s.automation_class_id, sa.func.count()).where(
            s.deleted_at.is_(None), items.own_schedules()
        )
        rows = db.session.execute(mine.group_by(s.automation_class_id))
        g.schedules_of_class = dict(rows.all())
    return int(g.schedules_of_class.get(row.id, 0))


class AutomationClassView(SecureView):
    """Written by the scheduler when it starts, never by hand (waitlist WA6)."""

    column_list = ("class_name", "description", "state", "schedules", "module_path")
    column_details_list = (
        "class_name", "description", "state", "schedules", "module_path", "qualified_name",
        "workflow_id",
    )  # fmt: skip
    column_export_list = (
        "class_name", "description", "enabled", "missing", "schedules", "module_path",
        "qualified_name", "workflow_id",
    )  # fmt: skip
    column_searchable_list = ("class_name", "description")
    column_sortable_list = ("class_name", "module_path")
    column_default_sort = "class_name"
    column_labels = {
        "class_name": _l("Automation class"),
        "description": _l("What it does"),
        "state": _l("State"),
        "schedules": _l("Schedules"),
        "module_path": _l("Module"),
        "qualified_name": _l("Class"),
        "workflow_id": _l("Number"),
        "enabled": _l("Enabled"),
        "missing": _l("Missing"),
    }
    column_formatters = {
        "state": lambda _v, _c, row, _n: state_of(row),
        "schedules": lambda _v, _c, row, _n: str(count_of(row)),
    }
    column_formatters_detail = column_formatters
    column_formatters_export = {
        "missing": lambda _v, _c, row, _n: str(row.class_name not in items.registered()),
        "schedules": column_formatters["schedules"],
    }
    form_columns = ()
    can_create = can_edit = False
    acts = ACTS
    details_template = "admin/automation_classes/details.html"

    def get_empty_list_message(self) -> str:
        """Who fills it."""
        return str(_("No task class is written down yet: the scheduler does so when it starts."))

    def scope(self) -> sa.ColumnElement[bool]:
        """All: code knows no practices."""
        return sa.true()

    def details_more(self, row: Any) -> dict[str, Any]:
        """Its schedules; whether it is missing."""
        s = AutomationSchedule
        mine = sa.select(s).where(
            s.automation_class_id == row.id, s.deleted_at.is_(None), items.own_schedules()
        )
        found = db.session.scalars(mine.order_by(s.name)).all()
        return {
            "missing": row.class_name not in items.registered(),
            "its_schedules": [
                items.Named(one.name, items.at_page("automationschedule", one.id)) for one in found
            ],
        }


def views() -> list[SecureView]:
    """Of this module."""
    return [AutomationClassView(AutomationClasses, "Automation classes", "Automation")]
