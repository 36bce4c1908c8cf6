"""Whether schedules are run: the scheduler's heartbeat, what waits, what is overdue (A7)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.automation import (
    AutomationRun,
    AutomationSchedule,
    RunStatus,
    RunTrigger,
    ScheduleType,
)
from app.models.job import Job
from app.models.system import SchedulerEpoch, SystemState

SILENT = timedelta(seconds=30)
DEAD = timedelta(seconds=120)
OVERDUE = timedelta(seconds=60)
MANY_QUEUED = 100
LATELY = timedelta(days=30)
MOST_MISSED = 10_000  # runs that are looked at
MOST_GRACE = 31_536_000  # seconds that a schedule may be late (D2)


class HealthStatus(StrEnum):
    """In one word."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True)
class Health:
    """How it stands; the numbers are those of recurring schedules."""

    status: HealthStatus
    scheduler_running: bool
    database: bool = True
    schedules: int | None = None
    active: int | None = None

    @property
    def http(self) -> int:
        """What a probe is answered with."""
        return 503 if self.status is HealthStatus.UNHEALTHY else 200


# What there is to say where even the database does not answer.
DOWN = Health(HealthStatus.UNHEALTHY, scheduler_running=False, database=False)


def health(session: Session, now: datetime) -> Health:
    """One statement."""
    row = session.execute(_asked(now)).one()
    silent = now - row.seen_at if row.seen_at is not None else DEAD * 2
    # While all rest, what is due may wait (C6).
    overdue = row.oldest is not None and now - row.oldest > OVERDUE and row.all_paused is None
    if silent > DEAD:
        status = HealthStatus.UNHEALTHY
    elif silent > SILENT or row.queued > MANY_QUEUED or overdue:
        status = HealthStatus.DEGRADED
    else:
        status = HealthStatus.HEALTHY
    return Health(status, silent <= SILENT, True, row.schedules, row.active)


def _asked(now: datetime) -> sa.Select[Any]:
    s, r = AutomationSchedule, AutomationRun
    there = sa.and_(s.deleted_at.is_(None), s.schedule_type != ScheduleType.EVENT)
    active = sa.and_(there, s.active, s.paused_at.is_(None))
    queued = sa.select(r.id).where(r.status == RunStatus.QUEUED, r.not_before <= now)
    some = queued.limit(MANY_QUEUED + 1).subquery()
    paused = sa.select(SystemState.schedules_paused_at)
    return sa.select(
        _one(sa.select(SchedulerEpoch.seen_at).order_by(SchedulerEpoch.id).limit(1), "seen_at"),
        _one(paused.limit(1), "all_paused"),
        _one(sa.select(sa.func.count(s.id)).where(there), "schedules"),
        _one(sa.select(sa.func.count(s.id)).where(active), "active"),
        _one(sa.select(sa.func.count()).select_from(some), "queued"),
        _one(sa.select(sa.func.min(s.next_execution_at)).where(s.works()), "oldest"),
    )


# --- what waits (S2) ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Waiting:
    """Who runs schedules since when, and what waits to be run."""

    holder: str | None
    epoch: int | None
    started_at: datetime | None
    seen_at: datetime | None
    jobs: int
    late: int  # jobs that are due
    parked: int
    queued: int
    running: int
    oldest_due: datetime | None  # of the jobs


def what_waits(session: Session, now: datetime) -> Waiting:
    """Jobs and runs, and the last scheduler; three statements."""
    last = session.scalars(sa.select(SchedulerEpoch).order_by(SchedulerEpoch.id).limit(1)).first()
    at = Job.next_run_time
    late = at <= now.timestamp()
    jobs = session.execute(
        sa.select(
            sa.func.count(Job.id).label("all"),
            sa.func.count(Job.id).filter(late).label("late"),
            sa.func.count(Job.id).filter(at.is_(None)).label("parked"),
            sa.func.min(at).filter(late).label("oldest"),
        )
    ).one()
    r = AutomationRun
    live = sa.select(r.status, sa.func.count()).group_by(r.status)
    runs: dict[Any, int] = dict(
        session.execute(live.where(r.status.in_((RunStatus.QUEUED, RunStatus.RUNNING)))).all()
    )
    return Waiting(
        last.holder if last else None,
        last.epoch if last else None,
        last.started_at if last else None,
        last.seen_at if last else None,
        jobs.all,
        jobs.late,
        jobs.parked,
        runs.get(RunStatus.QUEUED, 0),
        runs.get(RunStatus.RUNNING, 0),
        datetime.fromtimestamp(jobs.oldest, UTC) if jobs.oldest is not None else None,
    )


@dataclass(frozen=True)
class Missed:
    """A schedule that came too late of late, and the grace that would have let it run."""

    schedule_id: str
    name: str
    count: int
    grace_seconds: int


def missed_lately(
    session: Session, now: datetime, schedule: AutomationSchedule | None = None
) -> list[Missed]:
    """What was missed in thirty days, of one schedule or of all, the most often first (S2).

    What a person or another run began is late by no grace, and one whose grace was raised since is
    past its trouble: neither is listed.
    """
    r, s = AutomationRun, AutomationSchedule
    asked = (
        sa.select(
            s.schedule_id, s.name, s.misfire_grace_time, r.due_at, r.finished_at, r.missed_count
        )
        .join(s, s.id == r.schedule_id)
        .where(r.status == RunStatus.MISSED, r.trigger == RunTrigger.SCHEDULE)
        .where(r.finished_at > now - LATELY, s.deleted_at.is_(None))
    )
    if schedule is not None:
        asked = asked.where(s.id == schedule.id)
    found: dict[tuple[str, str], tuple[int, int]] = {}
    has: dict[tuple[str, str], int | None] = {}
    for id_, name, grace, due_at, finished_at, missed in session.execute(
        asked.order_by(r.id.desc()).limit(MOST_MISSED)
    ):
        count, least = found.get((id_, name), (0, 0))
        late = math.ceil((finished_at - due_at).total_seconds()) if due_at and finished_at else 0
        found[id_, name] = (count + max(missed, 1), min(max(least, late), MOST_GRACE))
        has[id_, name] = grace
    told = [
        Missed(*key, count, least)
        for key, (count, least) in found.items()
        if least > (has[key] or 0)
    ]
    return sorted(told, key=lambda one: one.count, reverse=True)


def _one(select: sa.Select[Any], name: str) -> Any:
    return select.scalar_subquery().label(name)
