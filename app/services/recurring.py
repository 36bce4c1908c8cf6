"""What follows from a recurring schedule's row: its alarm, its runs, its end (schedules 1, C2).

The row's `next_execution_at` is the truth. The alarm is a job named after the schedule's uuid; each
queued run has a job of its own, named after its execution id. Losing all of them loses nothing:
`jobs_of` says which there should be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.automation import (
    AutomationRun,
    AutomationSchedule,
    RunStatus,
    RunTrigger,
    ScheduleType,
    StoppedBecause,
)
from app.models.bulk import upsert_many
from app.models.job import Job
from app.models.practice import Practice
from app.models.rules import rules_of
from app.models.types import new_uuid
from app.services import plan, recurrence, runs, webhook_events
from app.services.occurrence import Occurrence, name_of
from app.services.recurrence import Recurrence

WITHOUT_TIME = (ScheduleType.EVENT, ScheduleType.CHAINED)  # of their own


@dataclass(frozen=True)
class Cause:
    """Why a run begins: its time, a person, another run; and what it is told (schedules D3, P4)."""

    trigger: RunTrigger = RunTrigger.SCHEDULE
    by: str | None = None
    dry_run: bool | None = None  # null: as the schedule says
    parent: str | None = None
    retry_of: str | None = None
    missed: int = 0  # earlier occurrences that it stands for
    asked: Mapping[str, Any] = field(default_factory=dict)  # the request with its key (O1)
    told: Mapping[str, Any] = field(default_factory=dict)


def recurrence_of(session: Session, schedule: AutomationSchedule) -> Recurrence:
    """When the schedule runs; without a zone of its own in its practice's, else in UTC."""
    return Recurrence(
        schedule.schedule_type,
        schedule.schedule_config or {},
        schedule.timezone or _zone_of_practice(session, schedule),
        schedule.anchor_at or schedule.created_at,
        schedule.start_at,
        schedule.end_at,
    )


def _zone_of_practice(session: Session, schedule: AutomationSchedule) -> str:
    if schedule.practice_id is None:
        return "UTC"
    return session.get_one(Practice, schedule.practice_id).timezone


def next_of(session: Session, schedule: AutomationSchedule, after: datetime) -> datetime | None:
    """Its first occurrence later than `after`; None: there is none, or it has no time of its own.

    What an earlier version left in the row and makes no sense raises `InvalidScheduleException`.
    """
    if schedule.schedule_type in WITHOUT_TIME:
        return None
    return recurrence.next_after(recurrence_of(session, schedule), after)


# --- the alarm -----------------------------------------------------------------------------------


def set_alarm(session: Session, schedule: AutomationSchedule) -> None:
    """The schedule's job, due at its next occurrence; none if it has none."""
    if schedule.next_execution_at is None or schedule.automation_class is None:
        drop_alarm(session, schedule)
        return
    at = schedule.next_execution_at
    upsert_many(session, Job, [_alarm(session, schedule, schedule.schedule_id, at)], key="id")


def drop_alarm(session: Session, schedule: AutomationSchedule) -> None:
    """Take its job away: it waits for no occurrence."""
    drop_job(session, schedule, schedule.schedule_id)


def drop_job(session: Session, schedule: AutomationSchedule, item: str) -> None:
    """Take away one of its jobs: the alarm, or that of a run by its execution id."""
    id_ = plan.job_id(schedule.name, item, rules_of(session).environment)
    session.execute(
        sa.delete(Job).where(Job.id == id_).execution_options(synchronize_session=False)
    )


def _alarm(
    session: Session, schedule: AutomationSchedule, item: str, due: datetime
) -> dict[str, Any]:
    assert schedule.automation_class is not None  # noqa: S101  nobody plans without
    class_name, environment = schedule.automation_class.class_name, rules_of(session).environment
    return plan.alarm(schedule.name, class_name, item, environment, due)


def jobs_of(session: Session, schedule: AutomationSchedule) -> dict[str, Occurrence]:
    """The jobs there should be: item -> what it stands for (C5).

    A next occurrence that has passed is kept, so that its lateness is judged and not forgotten.
    """
    wanted: dict[str, Occurrence] = {}
    at = schedule.next_execution_at
    of_class = schedule.automation_class
    if at is not None and schedule.switched_on and of_class is not None and of_class.enabled:
        wanted[schedule.schedule_id] = Occurrence(schedule.schedule_id, at, at)
    r = AutomationRun
    waiting = sa.select(r.execution_id, r.not_before, r.due_at).where(
        r.schedule_id == schedule.id, r.status == RunStatus.QUEUED
    )
    for execution_id, not_before, due_at in session.execute(waiting):
        at = not_before or due_at
        if at is not None:
            wanted[execution_id] = Occurrence(execution_id, at, at)
    return wanted


def under_way(session: Session, schedule: AutomationSchedule) -> set[str]:
    """The runs that have begun: should their worker die, their jobs bring them back (R5)."""
    r = AutomationRun
    begun = sa.select(r.execution_id).where(
        r.schedule_id == schedule.id, r.status == RunStatus.RUNNING
    )
    return set(session.scalars(begun))


# --- its runs ------------------------------------------------------------------------------------


def queue(
    session: Session,
    schedule: AutomationSchedule,
    occurrence: str,
    due: datetime,
    now: datetime,
    cause: Cause = Cause(),
) -> str | None:
    """A run that waits for its turn, with its job, due now; its execution id.

    None: the ledger knows this occurrence, so it is done or under way.
    """
    execution_id = runs.queue(session, _row(schedule, occurrence, due, cause) | {"not_before": now})
    if execution_id is not None:
        upsert_many(session, Job, [_alarm(session, schedule, execution_id, now)], key="id")
        schedule.last_execution_id = execution_id
    return execution_id


def tried_out(
    session: Session,
    schedule: AutomationSchedule,
    now: datetime,
    cause: Cause,
    result: dict[str, Any],
) -> str:
    """A dry run that is over already, with what it found; its execution id."""
    row = _row(schedule, f"manual:{new_uuid()}", now, cause)
    over = {"started_at": now, "finished_at": now, "duration_ms": 0, "result": result}
    return runs.tried_out(session, row | over)


def _row(
    schedule: AutomationSchedule, occurrence: str, due: datetime, cause: Cause
) -> dict[str, Any]:
    """A run of a schedule as a whole."""
    return {
        "execution_id": new_uuid(),
        "schedule_id": schedule.id,
        "item": schedule.schedule_id,
        "occurrence": occurrence,
        "due_at": due,
        "trigger": cause.trigger,
        "triggered_by": cause.by,
        "parent_execution_id": cause.parent,
        "retry_of": cause.retry_of,
        "missed_count": cause.missed,
        "dry_run": schedule.dry_run if cause.dry_run is None else cause.dry_run,
        "config_snapshot": {
            "task_config": dict(schedule.task_config or {}),
            "context_data": dict(schedule.context_data or {}),
            **({"parent": dict(cause.told)} if cause.told else {}),
            **({"asked": dict(cause.asked)} if cause.asked else {}),
        },
    }


def note(
    session: Session,
    schedule: AutomationSchedule,
    status: RunStatus,
    reason: str,
    newest: datetime,
    count: int,
    now: datetime,
) -> None:
    """One row for `count` occurrences that do not run, named after the newest (C2.5, C2.6)."""
    one = runs.Wanted(schedule.id, schedule.schedule_id, name_of(newest), newest)
    if noted := runs.note_times(session, one, status, now, reason, count):
        webhook_events.runs_ended(session, now, execution_ids=[noted])


# --- its end -------------------------------------------------------------------------------------


def limit_reached(schedule: AutomationSchedule) -> bool:
    """Whether it has begun as often as it may (G6)."""
    most = schedule.max_executions
    return most is not None and schedule.execution_count >= most


def complete(session: Session, schedule: AutomationSchedule) -> None:
    """Nothing more is to come: inactive at once, `completed` (C2.8)."""
    stop(session, schedule, StoppedBecause.COMPLETED)


def stop(session: Session, schedule: AutomationSchedule, because: StoppedBecause) -> None:
    """Inactive, without a next occurrence, its alarm dropped; what runs goes on (N2)."""
    schedule.active, schedule.next_execution_at = False, None
    schedule.stopped_because = because
    session.flush()  # the alarm's row is dropped by a statement
    drop_alarm(session, schedule)


def rename_jobs(session: Session, schedule: AutomationSchedule, former: str) -> None:
    """The jobs of a schedule that was renamed, under its new name (D7)."""
    environment = rules_of(session).environment
    wanted = jobs_of(session, schedule) if schedule.automation_class else {}
    stale = [plan.job_id(former, item, environment) for item in (schedule.schedule_id, *wanted)]
    session.execute(
        sa.delete(Job).where(Job.id.in_(stale)).execution_options(synchronize_session=False)
    )
    jobs = [_alarm(session, schedule, item, planned.due) for item, planned in wanted.items()]
    if jobs:
        upsert_many(session, Job, jobs, key="id")
