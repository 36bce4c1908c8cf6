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
    unsent_letters: int
    late_jobs: int
    failed_runs: int  # of the last day
    undeliverable: int  # students whom no letter reaches


def attention(session: Session, practice_id: int, now: datetime) -> Attention:
    """One statement, for one practice; letters, jobs and runs are this installation's."""
    values = {
        "practice": practice_id,
        "now": now,
        "tomorrow": now + timedelta(days=1),
        "yesterday": now - timedelta(days=1),
        "late": (now - LATE).timestamp(),
    }
    return Attention(*session.execute(_attention(), values).one())


@cache
def _attention() -> sa.Select[Any]:
    e, t = TrainingEnroll, Training
    now, tomorrow, yesterday = (
        sa.bindparam(name, type_=UtcDateTime()) for name in ("now", "tomorrow", "yesterday")
    )
    practice: Any = sa.bindparam("practice")
    ours = e.training_id.in_(sa.select(t.id).where(t.practice_id == practice))
    soon = sa.and_(e.invite_expires_at > now, e.invite_expires_at <= tomorrow)
    failed = AutomationRun.status.in_((RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.MISSED))
    bounced = sa.select(sa.func.count(Student.id)).join(User, User.id == Student.user_id)
    return sa.select(
        _count(e.id, ours, e.status == INVITED),
        _count(e.id, ours, e.status == INVITED, soon),
        _count(e.id, ours, e.status == WAITLIST),
        _count(Outbox.id, Outbox.state == OutboxState.DEAD),
        _count(Outbox.id, Outbox.ended_at.is_(None), Outbox.due_at <= now),
        _count(Job.id, Job.next_run_time <= sa.bindparam("late")),
        _count(AutomationRun.id, failed, AutomationRun.finished_at > yesterday),
        bounced.where(
            Student.practice_id == practice, User.undeliverable_at.is_not(None)
        ).scalar_subquery(),
    )


def _count(column: Any, *conditions: sa.ColumnElement[bool]) -> Any:
    return sa.select(sa.func.count(column)).where(*conditions).scalar_subquery()
