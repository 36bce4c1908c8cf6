"""Runs: what became of each occurrence; read only, but for cancelling and trying again (PA7)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask_admin.contrib.sqla import filters as stock
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from markupsafe import Markup
from sqlalchemy.orm import joinedload

from app.admin import items
from app.admin.acts import Act
from app.admin.filters import ChoiceOrMore, Number, OneOf, Since, Until
from app.admin.frame import SecureView
from app.admin.names import badge, who, words
from app.automation import faces
from app.automation.lock import wake_scheduler
from app.extensions import db
from app.models import AutomationRun, MadeBy, RunStatus
from app.models.run import RunTrigger
from app.models.schedule import ScheduleType
from app.services import attention, chains, run_reasons, runs_by_hand, schedules
from app.services.people_letters import delivered

LOOKS = {
    RunStatus.QUEUED: "wait",
    RunStatus.RUNNING: "act",
    RunStatus.SUCCESS: "ok",
    RunStatus.FAILED: "bad",
    RunStatus.TIMEOUT: "bad",
    RunStatus.CANCELLED: "dim",
    RunStatus.MISSED: "late",
    RunStatus.SKIPPED: "dim",
}
NO_BREAK = "\N{NO-BREAK SPACE}"
OPEN = (RunStatus.QUEUED, RunStatus.RUNNING)
TO_RETRY = (RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.CANCELLED)


def status_badge(status: str) -> Markup:
    """With its icon."""
    known = RunStatus(status) if status in set(RunStatus) else None
    return badge(LOOKS[known], words(known)) if known else badge("dim", status)


# --- acts ----------------------------------------------------------------------------------------


def _recurs(row: AutomationRun) -> bool:
    return row.schedule.schedule_type != ScheduleType.EVENT


def _cancel(session: Any, row: AutomationRun, actor: Any, now: datetime) -> None:
    if _recurs(row):
        door = faces.door(MadeBy.FORM)
        schedules.cancel_run(session, row.execution_id, actor, now=now, door=door)
    else:
        chains.cancel(session, row, now)


def _again(session: Any, row: AutomationRun, actor: Any, now: datetime) -> None:
    if _recurs(row):
        door = faces.door(MadeBy.FORM)
        schedules.retry_run(session, row.execution_id, actor, now=now, door=door)
    else:
        runs_by_hand.retry_run(session, row, now)


ACTS = (
    Act(
        "cancel",
        _l("Cancel"),
        _cancel,
        _l("It ends now; what it is doing is undone. Its occurrence does not run any more."),
        danger=True,
        offered=lambda row: row.status in OPEN,
    ),
    Act(
        "again",
        _l("Run again"),
        _again,
        _l("A new run of the same item starts at once, with the facts as they are now."),
        offered=lambda row: row.status in TO_RETRY and row.schedule.deleted_at is None,
    ),
)


# --- the view ------------------------------------------------------------------------------------


def took(row: AutomationRun) -> str:
    """`38 ms`, `2.5 s`."""
    if row.duration_ms is None:
        return ""
    if row.duration_ms < 1000:
        return f"{row.duration_ms}{NO_BREAK}ms"
    return f"{row.duration_ms / 1000:.1f}{NO_BREAK}s"


def why_of(row: AutomationRun) -> str:
    """Its reason, or the first line of its error."""
    return run_reasons.in_words(row.reason) or (row.error or "").strip().partition("\n")[0][:120]


TRIGGERS = {
    RunTrigger.SCHEDULE: _l("its time"),
    RunTrigger.MANUAL: _l("a person"),
    RunTrigger.CHAIN: _l("another schedule"),
}
COUNTED = {
    "items_done": _l("done"),
    "items_skipped": _l("skipped"),
    "items_failed": _l("failed"),
    "messages_sent": _l("letters"),
    "profiles_visited": _l("profiles"),
    "missed_count": _l("missed before"),
}


def look_of(row: AutomationRun) -> Markup:
    """How it stands; and whether it was only tried out."""
    status = status_badge(row.status)
    return Markup("{} {}").format(status, badge("hold", _("Test"))) if row.dry_run else status


def schedule_of(row: AutomationRun) -> Markup | str:
    """Its schedule, as a link unless that is deleted."""
    schedule = row.schedule
    if schedule.deleted_at is not None:
        return schedule.name
    return items.Named(schedule.name, items.at_page("automationschedule", schedule.id)).link()


def counts_of(row: AutomationRun) -> str:
    """`done: 3, letters: 2`; what is more than nothing."""
    found = ((getattr(row, name) or 0, said) for name, said in COUNTED.items())
    return ", ".join(f"{said}: {count}" for count, said in found if count)


def trigger_of(row: AutomationRun) -> str:
    """What started it."""
    known = row.trigger in tuple(RunTrigger)
    return str(TRIGGERS[RunTrigger(row.trigger)]) if known else str(row.trigger)


def pretty(value: Any) -> str:
    """JSON for people; empty for nothing."""
    return json.dumps(value, indent=2, ensure_ascii=False) if value else ""


def _item(_view: Any, _context: Any, row: Any, _name: str) -> Any:
    if row.item == row.schedule.schedule_id:  # it recurs: it is about nothing but itself
        return ""
    return row.called.link() if row.called else row.item


class RunView(SecureView):
    """The ledger, newest first."""

    column_list = (
        "id", "schedule", "item", "status", "started_at", "took", "counts", "attempt", "why",
    )  # fmt: skip
    column_details_list = (
        "status", "why", "schedule", "item", "occurrence", "trigger", "triggered_by", "due_at",
        "not_before", "started_at", "finished_at", "took", "deadline_at", "attempt",
        "interruptions", "counts", "messages_sent", "error_type", "worker", "execution_id",
    )  # fmt: skip
    column_export_list = (
        "id", "execution_id", "schedule", "item", "about", "occurrence", "trigger", "status",
        "reason", "attempt", "due_at", "started_at", "finished_at", "duration_ms", "messages_sent",
        "error_type", "error", "dry_run", "profiles_visited", "items_done", "items_skipped",
        "items_failed", "missed_count",
    )  # fmt: skip
    column_searchable_list = ("item", "execution_id", "error")
    column_filters = (
        "schedule.name",
        ChoiceOrMore(
            AutomationRun.status,
            _l("Status"),
            [(s.value, words(s)) for s in RunStatus],
            {"wrong": (_l("Failed or missed since yesterday"), attention.went_wrong)},
        ),
        "item",
        Since(AutomationRun.started_at, _l("Started"), data_type="date"),
        Until(AutomationRun.started_at, _l("Started"), data_type="date"),
        Number(AutomationRun.schedule_id, _l("Schedule (number)")),
        OneOf(
            AutomationRun.trigger,
            _l("Started by"),
            [(trigger.value, said) for trigger, said in TRIGGERS.items()],
        ),
        stock.BooleanEqualFilter(AutomationRun.dry_run, _l("Test")),
    )
    column_sortable_list = ("id", "started_at", "status", "attempt")
    column_default_sort = ("id", True)
    column_labels = {
        "id": _l("No."),
        "schedule": _l("Schedule"),
        "schedule.name": _l("Schedule"),
        "item": _l("Item"),
        "about": _l("About"),
        "status": _l("Status"),
        "started_at": _l("Started"),
        "finished_at": _l("Ended"),
        "due_at": _l("Due"),
        "not_before": _l("Next try"),
        "deadline_at": _l("Times out"),
        "took": _l("Took"),
        "attempt": _l("Try"),
        "why": _l("Why"),
        "counts": _l("Counted"),
        "triggered_by": _l("By whom"),
        "dry_run": _l("Test"),
        "profiles_visited": _l("Profiles looked at"),
        "items_done": _l("Items done"),
        "items_skipped": _l("Items skipped"),
        "items_failed": _l("Items failed"),
        "missed_count": _l("Missed before"),
        "reason": _l("Reason"),
        "occurrence": _l("Occurrence"),
        "trigger": _l("Started by"),
        "interruptions": _l("Workers that died"),
        "messages_sent": _l("Letters promised"),
        "error": _l("Error"),
        "error_type": _l("Kind of error"),
        "worker": _l("Worker"),
        "execution_id": _l("Number"),
        "duration_ms": _l("Took (ms)"),
    }
    column_formatters = {
        "status": lambda _v, _c, row, _n: look_of(row),
        "counts": lambda _v, _c, row, _n: counts_of(row),
        "trigger": lambda _v, _c, row, _n: trigger_of(row),
        "item": _item,
        "took": lambda _v, _c, row, _n: took(row),
        "why": lambda _v, _c, row, _n: why_of(row),
    }
    column_formatters_detail = column_formatters | {
        "schedule": lambda _v, _c, row, _n: schedule_of(row),
        "triggered_by": lambda _v, _c, row, _n: who(row.triggered_by or ""),
    }
    column_formatters_export = {
        "about": lambda _v, _c, row, _n: row.called.words if row.called else "",
    }
    form_columns = ()
    can_create = can_edit = False
    loads = (joinedload(AutomationRun.schedule),)
    acts = ACTS
    details_template = "admin/runs/details.html"

    def get_empty_list_message(self) -> str:
        """What will stand there."""
        return str(_("Nothing has run yet."))

    def scope(self) -> sa.ColumnElement[bool]:
        """Of the practice's schedules and everybody's, about no other practice's items."""
        return items.own_runs()

    def furnish(self, rows: Any) -> None:
        """Rows with the names of their items, in one further statement."""
        name_all(rows)

    def name_of(self, row: Any) -> str:
        """`waitlist_invitation_expiry, no. 12`."""
        return f"{row.schedule.name}, {_('no.')} {row.id}"

    def details_more(self, row: Any) -> dict[str, Any]:
        """What it ran with, what it would have done, its tries, and the runs it belongs to."""
        result, (sent, promised) = dict(row.result or {}), delivered(db.session(), row)
        steps = result.pop("steps", [])
        return {
            "steps": [step for step in steps if isinstance(step, dict)],
            "result": pretty(result),
            "snapshot": pretty(row.config_snapshot),
            "kin": kin_of(row),
            "recurring": _recurs(row),
            "delivered": _("%(n)s of %(m)s", n=sent, m=promised) if promised else "",
            "status_badge": status_badge,
        }

    def _act(self, *asked: Any) -> Any:
        answer = super()._act(*asked)
        wake_scheduler()
        return answer


def kin_of(row: AutomationRun) -> list[tuple[str, AutomationRun]]:
    """What started it, what it tries again, what it started: the office's, in one statement."""
    r, its = AutomationRun, row.execution_id
    above = [one for one in (row.parent_execution_id, row.retry_of) if one]
    near = sa.or_(r.execution_id.in_(above), r.parent_execution_id == its, r.retry_of == its)
    found = db.session.scalars(
        sa.select(r).where(near, items.own_runs()).options(*RunView.loads).order_by(r.id).limit(50)
    )
    return [(_kinship(row, one), one) for one in found]


def _kinship(row: AutomationRun, other: AutomationRun) -> str:
    if other.execution_id == row.parent_execution_id:
        return str(_("Started by"))
    if other.execution_id == row.retry_of:
        return str(_("Tries again"))
    again = other.retry_of == row.execution_id
    return str(_("Tried again by")) if again else str(_("Started"))


def name_all(rows: list[Any]) -> None:
    """`.called` of each: its item in words, or None."""
    found = items.named(db.session(), [row.item for row in rows])
    for row in rows:
        row.called = found.get(row.item)


def views() -> list[SecureView]:
    """Of this module."""
    return [RunView(AutomationRun, "Runs", "Automation")]
