"""Schedules at `/admin/automationschedule/`: a task class joined with a time (people PA3, PA4)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask import request, url_for
from flask_admin.base import expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import joinedload, selectinload
from wtforms import BooleanField
from wtforms.validators import InputRequired, NumberRange, Optional

from app.admin import items, office
from app.admin.acts import Act, Needed, Question
from app.admin.fields import WholeNumber
from app.admin.frame import SecureView
from app.admin.jobs import read_jobs
from app.admin.names import local
from app.admin.runs import status_badge, why_of
from app.admin.schedule_form import (
    BLANK,
    EVENTS,
    FORMS,
    SIDES,
    LengthField,
    ObjectField,
    TaskField,
    WordsField,
)
from app.admin.schedule_words import (
    interval_of,
    last_run_of,
    said_of,
    state_of,
    told,
    when_of,
)
from app.automation import schedules
from app.automation.claims import DUE_TEXT, UNREADABLE, instant
from app.automation.lock import wake_scheduler
from app.automation.scheduler_ops import Renewed
from app.extensions import db, utcnow
from app.models import AutomationRun, AutomationSchedule, BeforeAfterEnum, Job
from app.models.bulk import among
from app.services import occurrences
from app.services.actors import Actor
from app.services.diff import schedule_of
from app.services.plan import TRAINING_TASKS, Anchor
from app.services.refusals import Refusal

log = logging.getLogger("app.admin")

LATEST = 10  # jobs and runs on the details page
MOST_LEFT = 200  # trainings that ended before, by name
YEAR_SECONDS = 31_536_000


# --- acts ----------------------------------------------------------------------------------------


def _switch(on: bool) -> Any:
    def do(session: Any, row: Any, actor: Any, now: datetime) -> None:
        schedules.switch(session, row, on, actor, now)

    return do


class HowMany(Question):
    """Who has seen the list knows how long it is."""

    count = WholeNumber(
        _l("How many trainings the list has"),
        [InputRequired(_l("Count what the list of the schedule has.")), NumberRange(1)],
    )


def _confirm(session: Any, row: Any, actor: Actor, now: datetime, count: int) -> None:
    schedules.confirm_past(session, row, count, actor, now)


def puts_away(row: Any) -> bool:
    """It counts from the ends of trainings: what ended before it waits to be confirmed (WB)."""
    task = row.automation_class
    anchor = TRAINING_TASKS.get(task.class_name) if task else None
    return anchor is Anchor.LAST_END and bool(row.switched_on)


ACTS = (
    Act(
        "confirm-past",
        _l("Archive what ended before"),
        _confirm,
        _l(
            "Trainings that ended before this schedule was switched on leave the lists, fifty at a"
            " time. Who still waits for one leaves it silently. Look at the list first."
        ),
        HowMany,
        danger=True,
        bulk=False,
        offered=puts_away,
    ),
    Act(
        "resume",
        _l("Switch on"),
        _switch(True),
        _l(
            "It plans again from now on, and catches up on nothing. Invitations that it had granted"
            " keep what was promised, with two hours left at least."
        ),
        offered=lambda row: not row.switched_on,
    ),
    Act(
        "pause",
        _l("Pause"),
        schedules.pause,
        _l(
            "Its jobs are removed. Open invitations that it granted stay open until the last"
            " moment before the training."
        ),
        offered=lambda row: row.switched_on,
    ),
    Act(
        "delete-schedule",
        _l("Delete"),
        schedules.delete,
        _l(
            "Its jobs are removed and it leaves this list. Open invitations stay open until the"
            " last moment; what ran is kept. A new schedule may take its name."
        ),
        danger=True,
    ),
)


# --- the view ------------------------------------------------------------------------------------


class ScheduleView(SecureView):
    """No counter, no `last_…` is typed; saving plans in the same transaction (schedules U2)."""

    column_list = ("name", "automation_class", "when", "state", "next_due", "jobs", "last_run")
    column_details_list = (
        "name", "state", "automation_class", "when", "beforeafter", "events", "interval",
        "training_types", "whose", "description", "misfire_grace_time", "timeout_seconds",
        "task_config", "next_due", "jobs", "last_run", "last_run_error", "execution_count",
        "consecutive_failures", "active_since", "created_at", "schedule_id",
    )  # fmt: skip
    column_export_list = (
        "id", "name", "automation_class", "beforeafter", "events", "interval", "training_types",
        "active", "paused_at", "next_due", "jobs", "last_execution_at", "last_run_status",
        "execution_count", "schedule_id",
    )  # fmt: skip
    column_searchable_list = ("name", "description")
    column_filters = ("automation_class.class_name", "active")
    column_sortable_list = (
        "name", ("automation_class", "automation_class.class_name"),
        ("last_run", "last_execution_at"),
    )  # fmt: skip
    column_default_sort = "name"
    column_labels = {
        "name": _l("Name"),
        "automation_class": _l("Automation Class"),
        "automation_class.class_name": _l("Automation Class"),
        "when": _l("When"),
        "beforeafter": _l("Before/After"),
        "events": _l("Events"),
        "interval": _l("Interval"),
        "active": _l("Active"),
        "state": _l("State"),
        "next_due": _l("Next"),
        "jobs": _l("Jobs"),
        "last_run": _l("Last run"),
        "last_run_error": _l("Last error"),
        "last_execution_at": _l("Last run"),
        "last_run_status": _l("Last status"),
        "training_types": _l("Training types"),
        "description": _l("Description"),
        "misfire_grace_time": _l("May run late by (seconds)"),
        "timeout_seconds": _l("Time-out (seconds)"),
        "task_config": _l("Settings of the task"),
        "execution_count": _l("Runs so far"),
        "consecutive_failures": _l("Failures in a row"),
        "active_since": _l("Plans what is due since"),
        "created_at": _l("Created"),
        "paused_at": _l("Paused"),
        "whose": _l("Holds for"),
        "schedule_id": _l("Number"),
    }
    column_formatters = {
        "when": lambda _v, _c, row, _n: when_of(row),
        "state": lambda _v, _c, row, _n: state_of(row),
        "interval": lambda _v, _c, row, _n: interval_of(row),
        "next_due": lambda _v, _c, row, _n: local(row.next_due) if row.next_due else "",
        "jobs": lambda _v, _c, row, _n: str(row.jobs),
        "last_run": lambda _v, _c, row, _n: last_run_of(row),
        "task_config": lambda _v, _c, row, _n: str(row.task_config) if row.task_config else "",
        "training_types": lambda view, _c, row, _n: view.types_of(row),
        "whose": lambda _v, _c, row, _n: _("this practice") if row.practice_id else _("all"),
    }
    column_formatters_detail = column_formatters
    column_formatters_export = {
        "next_due": lambda _v, _c, row, _n: row.next_due.isoformat() if row.next_due else "",
        "jobs": column_formatters["jobs"],
    }
    form_columns = (
        "name", "automation_class", "beforeafter", "events", "interval", "active",
        "training_types", "description", "misfire_grace_time", "timeout_seconds", "task_config",
    )  # fmt: skip
    form_args = {
        "name": {
            "label": _l("Name"),
            "validators": [InputRequired(_l("Give it a name."))],
            "description": _l("It begins the id of each of its jobs: no slash."),
        },
        "training_types": {
            "label": _l("Training types"),
            "description": _l("None chosen: all. Hold Ctrl or ⌘ to choose several."),
        },
        "misfire_grace_time": {
            "label": _l("May run late by (seconds)"),
            "validators": [Optional(), NumberRange(0, YEAR_SECONDS)],
            "description": _l("Empty: as the task has it. Later it is recorded as missed."),
        },
        "timeout_seconds": {
            "label": _l("Time-out (seconds)"),
            "validators": [Optional(), NumberRange(1, 86_400)],
            "description": _l("Empty: as the task has it."),
        },
    }
    form_extra_fields = {
        "automation_class": TaskField(
            _l("Automation Class"),
            [Needed()],
            description=_l("What it does. Without one the schedule is saved, but does nothing."),
        ),
        "beforeafter": WordsField(
            _l("Before/After"),
            [InputRequired(_l("Say before or after."))],
            said=SIDES,
            default=BeforeAfterEnum.after,
        ),
        "events": WordsField(
            _l("Events"),
            said=EVENTS,
            none=BLANK,
            description=_l("Not set: invited for AutomaticWaitList, first for all others."),
        ),
        "interval": LengthField(
            _l("Interval"), [InputRequired(_l("Say how long."))], description=FORMS
        ),
        "active": BooleanField(_l("Active"), default=True),
        "task_config": ObjectField(
            _l("Settings of the task"),
            description=_l(
                'JSON; for AutomaticWaitList such as {"remind_before": ["1 00:00:00"],'
                ' "answer_windows": [{"within": "1 00:00:00", "answer": "0 01:30:00"}]}.'
            ),
        ),
    }
    refused_at = {
        "bad_name": "name",
        "name_taken": "name",
        "wrong_side": "beforeafter",
        "wrong_events": "events",
        "bad_config": "task_config",
        "bad_answer_windows": "task_config",
        "bad_remind_before": "task_config",
        "bad_interval": "task_config",
    }
    loads = (
        joinedload(AutomationSchedule.automation_class),
        selectinload(AutomationSchedule.training_types),
    )
    acts = ACTS
    create_words = _l("Create")
    create_template = edit_template = "admin/schedules/edit.html"
    details_template = "admin/schedules/details.html"

    def scope(self) -> sa.ColumnElement[bool]:
        """The practice's and everybody's; what is deleted is in the runs only."""
        return sa.and_(items.own_schedules(), AutomationSchedule.deleted_at.is_(None))

    def get_list(self, *asked: Any, **more: Any) -> Any:
        """Rows with their jobs, in one further statement however many they are."""
        items.registered()
        count, rows = super().get_list(*asked, **more)
        with_jobs(rows)
        return count, rows

    def get_one(self, id: Any) -> Any:
        """One row with its jobs."""
        items.registered()
        row = super().get_one(id)
        with_jobs([row])
        return row

    def types_of(self, row: AutomationSchedule) -> str:
        """Their names; none means all."""
        return ", ".join(kind.name for kind in row.training_types) or _("all")

    # --- saving ---

    def save(self, form: Any, row: Any, created: bool, now: datetime) -> str | None:
        """Fill in, check and plan; what became of the plan is the notice."""
        done = self._fill_in(form, row, created, now)
        return " ".join([_("%(name)s is saved.", name=row.name), said_of(done), *told(row, done)])

    def _fill_in(self, form: Any, row: Any, created: bool, now: datetime) -> Renewed:
        session = db.session()
        was = None if created else schedules.timing(row)
        former = row.name
        with session.no_autoflush:  # not before it is checked
            schedules.require_own(session, row)
            row.automation_class = form.automation_class.row()
            for name in self.form_columns:
                if name != "automation_class":
                    form[name].populate_obj(row, name)
            row.name = schedules.a_name(session, row)
            if created:
                session.add(row)
            return schedules.save(session, row, former or row.name, was, now)

    def _saved(self, form: Any, row: Any, created: bool) -> bool:
        if saved := super()._saved(form, row, created):
            log.info("schedule saved: schedule=%s actor=%s", row.id, office.actor().name)
            wake_scheduler()
        return saved

    def _act(self, *asked: Any) -> Any:
        answer = super()._act(*asked)
        wake_scheduler()
        return answer

    # --- pages ---

    @expose("/preview/", methods=("POST",))
    def preview_view(self) -> Any:
        """What saving would do, and nothing done (people PA4)."""
        key, now = request.form.get("row", ""), utcnow()
        row = self.get_one(key) if key else self.build_new_instance()
        form = self.edit_form(obj=row) if key else self.create_form()
        stamp = self.stamp(row) if key else ""
        seen = None
        if form.validate():
            typed = {name: field.data for name, field in form._fields.items()}
            if not key:
                row.practice_id = office.practice_id()
            try:
                done = self._fill_in(form, row, not key, now)
                seen = self._seen(row, done, now)
            except Refusal as no:
                self._refuse(form, no, typed)
            finally:
                db.session.rollback()
        row = self.get_one(key) if key else None
        return self.render(
            self.edit_template,
            form=form,
            model=row,
            stamp=stamp,
            return_url=self.back(),
            seen=seen,
            action=self.get_url(".edit_view", id=key) if key else self.get_url(".create_view"),
        )

    def _seen(self, row: Any, done: Renewed, now: datetime) -> dict[str, Any]:
        which = schedule_of(Job.id) == row.name
        jobs = read_jobs(db.session(), which, now, 5) if row.switched_on else []
        return {"when": when_of(row), "done": said_of(done), "told": told(row, done), "jobs": jobs}

    def details_more(self, row: Any) -> dict[str, Any]:
        """What is to be said of it, its next jobs, its latest runs."""
        session, r = db.session(), AutomationRun
        runs = session.scalars(
            sa.select(r)
            .where(r.schedule_id == row.id, items.not_of_others(r.item))
            .order_by(r.id.desc())
            .limit(LATEST)
        ).all()
        jobs = read_jobs(session, schedule_of(Job.id) == row.name, utcnow(), LATEST)
        left = occurrences.ended_before(session, row, utcnow()) if puts_away(row) else []
        return {
            "left_alone": left[:MOST_LEFT],
            "left_count": len(left),
            "remarks": schedules.remarks(session, row),
            "next_jobs": jobs,
            "runs": runs,
            "status_badge": status_badge,
            "why_of": why_of,
            "called": items.named(session, [run.item for run in runs]),
            "all_jobs": url_for("admin_job.index_view", search=f"{row.name}/"),
            "all_runs": url_for("admin_automationrun.index_view", flt0_0=row.name),
        }


def with_jobs(rows: Sequence[Any]) -> None:
    """How many jobs each schedule has and when the first is due: `.jobs`, `.next_due`."""
    name = schedule_of(Job.id)
    first = sa.cast(sa.func.min(DUE_TEXT.element), sa.Text)
    asked = sa.select(name, sa.func.count(), first).where(
        among(name, [row.name for row in rows]), Job.next_run_time.is_not(None)
    )
    found = {n: (count, due) for n, count, due in db.session.execute(asked.group_by(name))}
    for row in rows:
        row.jobs, due = found.get(row.name, (0, None))
        try:
            row.next_due = instant(due)
        except UNREADABLE:  # somebody wrote there what is no date
            row.next_due = None


def views() -> list[SecureView]:
    """Of this module."""
    return [ScheduleView(AutomationSchedule, "Schedules", "Automation")]
