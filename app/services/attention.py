"""What needs an administrator's eye: asked in few statements, on every page (people PA0, PA1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.automation import AutomationRun, AutomationSchedule, RunStatus
from app.models.enrolment import INVITED, WAITLIST, TrainingEnroll
from app.models.job import Job
from app.models.outbox import FAILURES_TO_PAUSE, ChannelState, Outbox, OutboxState
from app.models.person import Student
from app.models.system import SchedulerEpoch
from app.models.training import Training
from app.models.types import UtcDateTime
from app.models.user import User
from app.services import post_reading

SILENT = timedelta(seconds=30)  # a scheduler that lives is seen more often
MANY_JOBS = 100
LATE = timedelta(seconds=60)


@dataclass(frozen=True)
class Warnings:
    """What stands on top of every page; nothing is wrong where all are empty."""

    seen_at: datetime | None  # the scheduler's last sign of life
    silent: bool
    resting: bool  # a channel sends nothing
    all_paused: bool  # there are schedules, and none is on
    waiting: int  # jobs that are due; only told above MANY_JOBS


def warnings(session: Session, now: datetime) -> Warnings:
    """One statement."""
    row = session.execute(_warnings(), {"now": now, "due": now.timestamp()}).one()
    silent = row.seen_at is None or now - row.seen_at > SILENT
    waiting = row.waiting if row.waiting > MANY_JOBS else 0
    paused = bool(row.schedules) and not row.working
    return Warnings(row.seen_at, silent, bool(row.resting), paused, waiting)


@cache
def _warnings() -> sa.Select[Any]:
    now = sa.bindparam("now", type_=UtcDateTime())
    c, s = ChannelState, AutomationSchedule
    resting = sa.or_(c.paused_until > now, c.failures >= FAILURES_TO_PAUSE)
    due = sa.select(Job.id).where(Job.next_run_time <= sa.bindparam("due"))
    due_jobs = due.limit(MANY_JOBS * 100).subquery()
    there = sa.and_(s.deleted_at.is_(None), s.active)
    return sa.select(
        _one(sa.select(SchedulerEpoch.seen_at).order_by(SchedulerEpoch.id).limit(1), "seen_at"),
        sa.exists().where(resting).label("resting"),
        sa.exists().where(there).label("schedules"),
        sa.exists().where(there, s.paused_at.is_(None)).label("working"),
        _one(sa.select(sa.func.count()).select_from(due_jobs), "waiting"),
    )


def _one(select: sa.Select[Any], name: str) -> Any:
    return select.scalar_subquery().label(name)


@dataclass(frozen=True)
class Attention:
    """The numbers of the first page, each with a list behind it."""

    invitations: int  # open ones
    ending_soon: int  # within the next day
    waiting: int
    dead_letters: int
    unsent_letters: int  # that wait to be sent
    late_jobs: int
    failed_runs: int  # of the last day
    undeliverable: int  # students whom no letter reaches


def attention(
    session: Session,
    practice_id: int,
    now: datetime,
    jobs: sa.ColumnElement[bool],
    runs: sa.ColumnElement[bool],
) -> Attention:
    """One statement, for one practice; `jobs` and `runs` say which of these its lists show."""
    e, t, theirs = TrainingEnroll, Training, [practice_id]
    ours = e.training_id.in_(sa.select(t.id).where(t.practice_id == practice_id))
    letters = post_reading.of_practices(theirs)
    asked = sa.select(
        _count(e.id, ours, e.status == INVITED),
        _count(e.id, ours, ending_soon(now)),
        _count(e.id, ours, e.status == WAITLIST),
        _count(Outbox.id, letters, Outbox.state == OutboxState.DEAD),
        _count(Outbox.id, letters, Outbox.state == OutboxState.PENDING),
        _count(Job.id, jobs, is_late(now)),
        _count(AutomationRun.id, runs, went_wrong(now)),
        sa.select(sa.func.count(Student.id))
        .where(Student.practice_id == practice_id, unreached())
        .scalar_subquery(),
    )
    return Attention(*session.execute(asked).one())


def ending_soon(now: datetime) -> sa.ColumnElement[bool]:
    """Invitations that end within a day."""
    e, until = TrainingEnroll, now + timedelta(days=1)
    soon = sa.and_(e.invite_expires_at > now, e.invite_expires_at <= until)
    return sa.and_(e.status == INVITED, soon)


def is_late(now: datetime) -> sa.ColumnElement[bool]:
    """Jobs that should have run."""
    late: sa.ColumnElement[bool] = Job.next_run_time <= (now - LATE).timestamp()
    return late


def went_wrong(now: datetime) -> sa.ColumnElement[bool]:
    """Runs of the last day that failed, or never were."""
    r = AutomationRun
    failed = r.status.in_((RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.MISSED))
    return sa.and_(failed, r.finished_at > now - timedelta(days=1))


def unreached(_now: datetime | None = None) -> sa.ColumnElement[bool]:
    """Students whom no letter reaches."""
    bounced = sa.select(User.id).where(User.undeliverable_at.is_not(None))
    return Student.user_id.in_(bounced)


def _count(column: Any, *conditions: sa.ColumnElement[bool]) -> Any:
    return sa.select(sa.func.count(column)).where(*conditions).scalar_subquery()
