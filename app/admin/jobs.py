"""Jobs: one alarm for each coming occurrence; read without trust, run again, removed (PA6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask import flash, redirect, request
from flask_admin.base import expose
from flask_admin.contrib.sqla import filters as stock
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from markupsafe import Markup
from sqlalchemy.orm import Session, load_only

from app.admin import items
from app.admin.acts import Act
from app.admin.filters import Contains, Since, Until
from app.admin.frame import SecureView
from app.admin.names import badge, local
from app.automation.claims import STATE
from app.automation.lock import wake_scheduler
from app.automation.planned import Planned, planned, try_now
from app.automation.removal import withdraw
from app.automation.scheduler_ops import renew_automations
from app.extensions import db, utcnow
from app.models import AutomationSchedule, Job
from app.models.bulk import among
from app.services import attention
from app.services.diff import schedule_of
from app.services.letter_words import duration
from app.services.refusals import NotFound

SHOWN_STATE = 2_000  # bytes of what cannot be read


@dataclass(frozen=True)
class Shown:
    """A job with the words for it."""

    job: Planned
    about: items.Named | None
    now: datetime

    @property
    def item(self) -> Markup | str:
        """What it is about."""
        return self.about.link() if self.about else (self.job.item or "")

    @property
    def due(self) -> Markup | str:
        """When, in the office's zone, and how long from now."""
        if self.job.due is None:
            return _("unreadable") if self.job.odd_due else ""
        late, left = self.job.due < self.now, abs(self.job.due - self.now)
        said = _("%(time)s ago", time=duration(left)) if late else _("in %(t)s", t=duration(left))
        shown = Markup('<span>{}<br><span class="muted small">{}</span></span>')
        return shown.format(local(self.job.due), said)

    @property
    def state(self) -> Markup:
        """One badge."""
        if self.job.parked:
            return badge("hold", _("Parked"))
        if self.job.running:
            return badge("act", _("Running"))
        if self.job.error:
            return badge("late", _("Trying again"))
        return badge("late", _("Due")) if self.job.late_by(self.now) else badge("dim", _("Planned"))


def read_jobs(
    session: Session, which: sa.ColumnElement[bool], now: datetime, limit: int | None = None
) -> list[Shown]:
    """The office's jobs of a condition, the earliest due first; two statements."""
    found = list(planned(session, sa.and_(which, items.own_jobs()), limit))
    called = items.named(session, [job.item for job in found])
    return [Shown(job, called.get(job.item or ""), now) for job in found]


# --- acts ----------------------------------------------------------------------------------------


def _now(session: Any, row: Any, _actor: Any, now: datetime) -> None:
    try_now(session, row.id, now)


def _remove(session: Any, row: Any, actor: Any, now: datetime) -> None:
    if not withdraw(session, row.id, now, actor):
        raise NotFound(what="job", id=row.id[:100])


ACTS = (
    Act(
        "now",
        _l("Try again now"),
        _now,
        _l("A job that waits after a failure, or is parked, runs as soon as it is due."),
        offered=lambda row: row.seen.job.parked or row.seen.job.error is not None,
    ),
    Act(
        "remove",
        _l("Remove"),
        _remove,
        _l(
            "Its occurrence is recorded as cancelled and not planned again. If it is the end of an"
            " invitation, that invitation stays open until the last moment before the training."
        ),
        danger=True,
    ),
)


# --- filters -------------------------------------------------------------------------------------


class OfSchedule(Contains):
    """The first segment of the id."""

    def apply(self, query: Any, value: str, alias: Any = None) -> Any:
        """Part of the schedule's name."""
        return query.filter(schedule_of(Job.id).icontains(value.strip(), autoescape=True))


class InState(stock.BaseSQLAFilter):
    """What hinders a job."""

    STATES = {
        "parked": Job.next_run_time.is_(None),
        "failing": sa.and_(Job.last_error.is_not(None), Job.next_run_time.is_not(None)),
        "running": Job.claim.is_not(None),
    }
    WORDS = [
        ("late", _l("Late")),
        ("parked", _l("Parked")),
        ("failing", _l("Failed, trying again")),
        ("running", _l("Running")),
    ]

    def clean(self, value: str) -> str:
        """Raises `KeyError`, as `ValueError`, for what is none."""
        if value not in dict(self.WORDS):
            raise ValueError
        return value

    def apply(self, query: Any, value: str, alias: Any = None) -> Any:
        """Those in it."""
        late = value == "late"
        return query.filter(attention.is_late(utcnow()) if late else self.STATES[value])

    def operation(self) -> Any:
        """Named on the page."""
        return _l("is")


# --- the view ------------------------------------------------------------------------------------


def _seen(name: str) -> Any:
    return lambda _view, _context, row, _n: getattr(row.seen, name)


def _fact(name: str) -> Any:
    return lambda _view, _context, row, _n: getattr(row.seen.job, name) or ""


def _exact_due(_view: Any, _context: Any, row: Any, _name: str) -> str:
    due = row.seen.job.due
    return due.isoformat() if due else ""


class JobView(SecureView):
    """Never written by hand: jobs follow from rows (L1)."""

    column_list = ("id", "item", "due_at", "state", "attempts", "error")
    column_details_list = (
        "id", "schedule", "item", "task", "due_at", "state", "attempts", "error",
    )  # fmt: skip
    column_export_list = (
        "id", "schedule", "item_id", "about", "task", "due_at", "parked", "attempts", "error",
    )  # fmt: skip
    column_searchable_list = ("id",)
    column_filters = (
        OfSchedule(Job.id, _l("Schedule")),
        InState(Job.id, _l("State"), InState.WORDS),
        Since(Job.due, _l("Due"), data_type="date"),
        Until(Job.due, _l("Due"), data_type="date"),
    )
    column_sortable_list = ("id", ("due_at", "due"), "attempts")
    column_default_sort = [("due", False), ("id", False)]
    column_labels = {
        "id": _l("Job"),
        "schedule": _l("Schedule"),
        "item": _l("About"),
        "item_id": _l("Item"),
        "about": _l("About"),
        "task": _l("Automation class"),
        "due_at": _l("Due"),
        "state": _l("State"),
        "attempts": _l("Tries"),
        "error": _l("Last error"),
        "parked": _l("Parked"),
    }
    column_formatters = {
        "item": _seen("item"),
        "due_at": _seen("due"),
        "state": _seen("state"),
        "error": _fact("error"),
        "schedule": _fact("schedule"),
        "task": _fact("task"),
    }
    column_formatters_detail = column_formatters
    column_formatters_export = {
        "schedule": _fact("schedule"),
        "item_id": _fact("item"),
        "about": lambda _v, _c, row, _n: row.seen.about.words if row.seen.about else "",
        "task": _fact("task"),
        "due_at": _exact_due,
        "parked": lambda _v, _c, row, _n: str(row.seen.job.parked),
        "error": _fact("error"),
    }
    form_columns = ()
    can_create = can_edit = False
    loads = (load_only(Job.id, Job.attempts, raiseload=True),)  # the rest may be anything
    acts = ACTS
    list_template = "admin/jobs/list.html"
    details_template = "admin/jobs/details.html"

    def get_empty_list_message(self) -> str:
        """What will stand there."""
        return str(
            _("Nothing is planned. Jobs come with invitations, and with dates of trainings.")
        )

    def scope(self) -> sa.ColumnElement[bool]:
        """About no other practice's items, of no other practice's schedules."""
        return items.own_jobs()

    def furnish(self, rows: Any) -> None:
        """Rows as they could be read, in two further statements however many they are."""
        read_all(rows)

    def name_of(self, row: Any) -> str:
        """Its id, and what it is about."""
        about = row.seen.about
        return f"{row.id} ({about.words})" if about else str(row.id)

    def _ticked(self) -> list[Any]:
        rows = super()._ticked()
        read_all(rows)
        return rows

    def details_more(self, row: Any) -> dict[str, Any]:
        """What stands in it, as text, if it could not be read."""
        if row.seen.job.args is not None:
            return {"raw": None}
        state = db.session.scalar(sa.select(STATE).where(Job.id == row.id))
        return {"raw": repr(bytes(state or b"")[:SHOWN_STATE])[2:-1]}

    def _act(self, *asked: Any) -> Any:
        answer = super()._act(*asked)
        wake_scheduler()
        return answer

    @expose("/renew/", methods=("POST",))
    def renew_view(self) -> Any:
        """POST says what would change; POST with `sure` changes it (WA5)."""
        sure = bool(request.form.get("sure"))
        db.session.rollback()  # renew has a session of its own
        done = renew_automations(utcnow(), dry_run=not sure)
        if not sure:
            left = _own(done.left_out)
            return self.render(
                "admin/jobs/renew.html", done=done, left_out=left, return_url=self.back()
            )
        wake_scheduler()
        said = _("Planned %(n)s, removed %(gone)s.", n=done.planned, gone=done.removed)
        flash(said, "notice")
        return redirect(self.back(), 303)


def _own(left_out: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Of schedules that the office sees."""
    mine = sa.select(AutomationSchedule.name).where(items.own_schedules())
    names = set(db.session.scalars(mine))
    return [(what, why) for what, why in left_out if what.partition("/")[0] in names]


def read_all(rows: Sequence[Any]) -> None:
    """`.seen` of each."""
    if rows:
        found = read_jobs(db.session(), among(Job.id, [row.id for row in rows]), utcnow())
        seen = {shown.job.id: shown for shown in found}
        now = utcnow()
        for row in rows:
            gone = Planned(row.id, None, None, None, None, False, row.attempts, None)
            row.seen = seen.get(row.id) or Shown(gone, None, now)


def views() -> list[SecureView]:
    """Of this module."""
    return [JobView(Job, "Jobs", "Automation")]
