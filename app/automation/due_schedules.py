"""A recurring schedule that is due becomes runs, each occurrence once (schedules C, G).

    due --guard--> next_execution_at moves on
          |-- too late          one `missed` row that counts them
          |-- too many run      one `skipped` row
          `-- the rest          `queued`, each with its job

One short transaction per schedule. The alarm only wakes us: what is due stands in the rows, so that
a lost, stale or doubled job changes nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload

from app.automation.automation_base import LEAST_GRACE, BaseAutomationTask, get_automation_class
from app.automation.registry import known_classes
from app.models.automation import (
    AutomationClasses,
    AutomationRun,
    AutomationSchedule,
    OverlapPolicy,
    RunStatus,
    ScheduleType,
)
from app.models.job import Job
from app.models.rules import rules_of
from app.models.system import SystemState
from app.models.text import REASON, said_by, storable
from app.services import aaa, chains, recurrence, recurring, runs, webhook_events
from app.services.occurrence import name_of
from app.services.plan import job_id

log = logging.getLogger("app.automation.due")

LIMIT = 100  # schedules of one look (C4)
BACKOFF = runs.Backoff()


@dataclass(frozen=True)
class Manners:
    """How a schedule deals with what is late or too much; its class decides what it left open."""

    grace: timedelta | None  # None: never too late
    coalesce: bool
    max_instances: int

    @classmethod
    def of(cls, schedule: AutomationSchedule, task: type[BaseAutomationTask]) -> Manners:
        grace = schedule.misfire_grace_time
        grace = task.misfire_grace_time if grace is None else grace
        coalesce = task.coalesce if schedule.coalesce is None else schedule.coalesce
        return cls(
            None if grace is None else max(timedelta(seconds=grace), LEAST_GRACE),
            coalesce,
            schedule.max_instances or task.max_instances,
        )

    def is_missed(self, occurrence: datetime, now: datetime) -> bool:
        """Later than its grace; equal is in time (G1)."""
        return self.grace is not None and now - occurrence > self.grace


@dataclass(frozen=True)
class Late:
    """The occurrences from the planned one to now: oldest first, and how many are older still."""

    times: list[datetime]
    older: int

    def __len__(self) -> int:
        return len(self.times) + self.older


# --- looking -------------------------------------------------------------------------------------


def check_due_schedules(
    session: Session, now: datetime, limit: int = LIMIT
) -> list[dict[str, str | None]]:
    """Claim what is due, a savepoint each; what began, as document 004 lists it (C4)."""
    begun = []
    for schedule_id in look(session, now, limit):
        try:
            with session.begin_nested():
                begun += claim(session, schedule_id, now)
        except Exception as error:  # the others have their turn
            put_off(session, schedule_id, error, now)
    return begun


def look(session: Session, now: datetime, limit: int = LIMIT) -> list[int]:
    """`due_schedules`, with a line of the log if nobody can see them; raises all the same (M)."""
    try:
        return due_schedules(session, now, limit)
    except Exception as error:
        aaa.look_failed(type(error).__name__)
        raise


def due_schedules(session: Session, now: datetime, limit: int = LIMIT) -> list[int]:
    """The recurring schedules whose next occurrence has come; those that are put off wait."""
    s, job = AutomationSchedule, Job.__table__.c
    environment = rules_of(session).environment
    its_job = s.name + "/" + s.schedule_id + f"/{environment}"
    put_off_ = sa.select(job.id).where(
        job.id == its_job, job.next_run_time > now.timestamp(), job.last_error.is_not(None)
    )
    # One whose class is gone or disabled must not stand in the way of the others.
    its_class = sa.and_(
        AutomationClasses.enabled,
        AutomationClasses.class_name.in_(known_classes()),
    )
    due = (
        sa.select(s.id)
        .join(AutomationClasses, AutomationClasses.id == s.automation_class_id)
        .where(s.active, s.paused_at.is_(None), s.deleted_at.is_(None))
        .where(s.next_execution_at <= now, its_class, ~put_off_.exists())
        .order_by(s.next_execution_at, s.id)
        .limit(limit)
    )
    return [] if all_paused(session) else list(session.scalars(due))


def all_paused(session: Session) -> bool:
    """Whether somebody let all recurring schedules rest (C6)."""
    paused = sa.select(SystemState.schedules_paused_at).where(SystemState.id == 1)
    return session.scalar(paused) is not None


def put_off(session: Session, schedule_id: int, error: Exception, now: datetime) -> None:
    """A claim raised: its alarm again in 1, 2, 4 .. 60 minutes, with the reason (C3)."""
    schedule = session.get_one(AutomationSchedule, schedule_id, populate_existing=True)
    aaa.error("schedule_trigger_error", schedule, exception=type(error).__name__)
    log.error("a schedule could not be claimed: %s", schedule_id, exc_info=error)
    id_ = job_id(schedule.name, schedule.schedule_id, rules_of(session).environment)
    if session.get(Job, id_) is None:  # else it would be tried at each look
        recurring.set_alarm(session, schedule)
    job = session.get(Job, id_, populate_existing=True)
    if job is None:
        return
    job.attempts += 1
    at = BACKOFF.next_try(min(job.attempts, BACKOFF.tries - 1), now) or now + BACKOFF.longest
    job.next_run_time, job.claim = at.timestamp(), None
    job.last_error = storable(said_by(error), REASON)


# --- claiming ------------------------------------------------------------------------------------


def claim(session: Session, schedule_id: int, now: datetime) -> list[dict[str, str | None]]:
    """Let what is due of a schedule become runs, in the caller's transaction; what began.

    Of several that claim the same occurrence one does, and the others begin nothing (C2).
    """
    schedule = _read(session, schedule_id)
    task = _task_of(schedule)
    if task is None or all_paused(session):
        return []  # its job comes again, or is parked, with the reason
    if not _is_due(schedule, now):
        _reset_alarm(session, schedule, now)
        return []
    late = _late(session, schedule, now)
    following = recurring.next_of(session, schedule, now)
    if not _move_on(session, schedule, following):
        return []
    if recurring.limit_reached(schedule):
        _finish(session, schedule, now)
        return []
    manners = Manners.of(schedule, task)
    wanted, missed = _split(late, manners, now)
    if missed:
        count = len(late) - len(wanted)
        recurring.note(session, schedule, RunStatus.MISSED, "too-late", max(missed), count, now)
        aaa.missed(schedule, max(missed), schedule.misfire_grace_time, count)
    begun = _begin(session, schedule, wanted, len(late), manners, now)
    if recurring.limit_reached(schedule):
        _finish(session, schedule, now)
    elif following is None or schedule.schedule_type == ScheduleType.ONE_TIME:
        recurring.complete(session, schedule)
    else:
        recurring.set_alarm(session, schedule)
    return begun


def _reset_alarm(session: Session, schedule: AutomationSchedule, now: datetime) -> None:
    """For what is still to come; what was due and may not run is no alarm's business (C2.1)."""
    at = schedule.next_execution_at
    if at is not None and at > now and schedule.switched_on:
        recurring.set_alarm(session, schedule)
    else:
        recurring.drop_alarm(session, schedule)


def _read(session: Session, schedule_id: int) -> AutomationSchedule:
    with_class = joinedload(AutomationSchedule.automation_class)
    return session.get_one(
        AutomationSchedule, schedule_id, options=[with_class], populate_existing=True
    )


def _task_of(schedule: AutomationSchedule) -> type[BaseAutomationTask] | None:
    row = schedule.automation_class
    record = get_automation_class(row.class_name) if row else None
    return record.cls if record else None


def _is_due(schedule: AutomationSchedule, now: datetime) -> bool:
    enabled = schedule.automation_class is not None and schedule.automation_class.enabled
    at = schedule.next_execution_at
    return schedule.switched_on and enabled and at is not None and at <= now


def _late(session: Session, schedule: AutomationSchedule, now: datetime) -> Late:
    """From the planned occurrence to now; of very many the oldest are only counted (C2.2)."""
    first = schedule.next_execution_at
    assert first is not None  # noqa: S101  it is due
    most = rules_of(session).schedule_max_catchup
    past = recurrence.occurrences_between(
        recurring.recurrence_of(session, schedule), first, now, most
    )
    # What somebody wrote into the row may be no occurrence of its rule; it was promised all the
    # same.
    times = list(reversed(past.newest))
    if not past.rest and (not times or times[0] != first):
        times = [first, *times]
    return Late(times, past.rest)


def _move_on(session: Session, schedule: AutomationSchedule, following: datetime | None) -> bool:
    """Of all who see this occurrence due, one moves it on (C2.3)."""
    s = AutomationSchedule
    moved: Any = session.execute(
        sa.update(s)
        .where(
            s.id == schedule.id,
            s.active,
            s.deleted_at.is_(None),
            s.version == schedule.version,
            s.next_execution_at == schedule.next_execution_at,
        )
        .values(next_execution_at=following)
        .execution_options(synchronize_session=False)
    )
    session.refresh(schedule)
    return bool(moved.rowcount == 1)


def _split(late: Late, manners: Manners, now: datetime) -> tuple[list[datetime], list[datetime]]:
    """What is to run, and what is too late to: merged first, judged then (G2)."""
    if manners.coalesce:
        newest = late.times[-1:]
        return ([], late.times) if manners.is_missed(newest[0], now) else (newest, [])
    # What is older than the newest hundred is missed, and with it the oldest that has a name.
    nameless = late.times[:1] if late.older else []
    missed = [at for at in late.times if at in nameless or manners.is_missed(at, now)]
    return [at for at in late.times if at not in missed], missed


def _begin(
    session: Session,
    schedule: AutomationSchedule,
    wanted: list[datetime],
    late: int,
    manners: Manners,
    now: datetime,
) -> list[dict[str, str | None]]:
    """Queue what the limits allow, oldest first; the rest is on record or dropped (C2.6, C2.7)."""
    # A run that waits for another try gives way to the next occurrence (R3, G5).
    chains.give_up_retries(session, schedule, now)
    allowed, refused = _beside(session, schedule, wanted, manners)
    if refused:
        recurring.note(
            session, schedule, RunStatus.SKIPPED, "max_instances", max(refused), len(refused), now
        )
        aaa.skipped(schedule, "max_instances")
    if schedule.max_executions is not None:
        allowed = allowed[: schedule.max_executions - schedule.execution_count]
    merged = late - 1 if manners.coalesce and allowed else 0
    begun = []
    for at in allowed:
        cause = recurring.Cause(missed=merged)
        execution_id = recurring.queue(session, schedule, name_of(at), at, now, cause)
        if execution_id is not None:
            schedule.execution_count += 1
            begun.append(_told(schedule, execution_id, now))
            aaa.triggered(schedule, execution_id)
    return begun


def _beside(
    session: Session, schedule: AutomationSchedule, wanted: list[datetime], manners: Manners
) -> tuple[list[datetime], list[datetime]]:
    """Who may wait beside those that are under way, and who is left out (G5)."""
    r = AutomationRun
    mine = sa.and_(r.schedule_id == schedule.id, r.item == schedule.schedule_id)
    live = dict(
        session.execute(
            sa.select(r.status, sa.func.count())
            .where(mine, r.status.in_((RunStatus.QUEUED, RunStatus.RUNNING)))
            .group_by(r.status)
        ).all()
    )
    if not wanted or sum(live.values()) < manners.max_instances:
        return wanted, []
    may_wait = schedule.overlap_policy == OverlapPolicy.QUEUE_ONE
    if may_wait and not live.get(RunStatus.QUEUED):
        return wanted[-1:], wanted[:-1]
    return [], wanted


def _finish(session: Session, schedule: AutomationSchedule, now: datetime) -> None:
    recurring.complete(session, schedule)
    aaa.limit_reached(schedule)
    webhook_events.limit_reached(session, schedule, now)


def _told(schedule: AutomationSchedule, execution_id: str, now: datetime) -> dict[str, str | None]:
    of_class: AutomationClasses | None = schedule.automation_class
    return {
        "schedule_id": schedule.schedule_id,
        "workflow_id": of_class.workflow_id if of_class else None,
        "task_key": of_class.class_name if of_class else None,
        "execution_id": execution_id,
        "triggered_at": name_of(now),
    }
