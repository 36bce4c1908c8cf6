"""Whether schedules are run: the scheduler's heartbeat, what waits, what is overdue (A7)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.automation import AutomationRun, AutomationSchedule, RunStatus, ScheduleType
from app.models.system import SchedulerEpoch, SystemState

SILENT = timedelta(seconds=30)
DEAD = timedelta(seconds=120)
OVERDUE = timedelta(seconds=60)
MANY_QUEUED = 100


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


def _one(select: sa.Select[Any], name: str) -> Any:
    return select.scalar_subquery().label(name)
