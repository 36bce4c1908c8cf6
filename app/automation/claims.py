"""Making due jobs ours, and what becomes of them: plain functions over the job table (RC8, JX).

A claim moves `next_run_time` to the end of a lease; `due` stays. Whoever dies with a claim loses
only the time of the lease. A job is deleted when it is done, never before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.automation import AutomationClasses, AutomationRun, AutomationSchedule
from app.models.bulk import among, dialect_of, send
from app.models.job import Job
from app.models.rules import Environment, rules_of
from app.models.system import SchedulerEpoch
from app.models.text import REASON, is_storable, storable

LEASE = timedelta(seconds=30)
LATEST = 4e9  # Unix seconds: the year 2096
MOST_ATTEMPTS = 1_000_000  # counted; nobody's number overflows
VERSION = 1
THREE_TEXTS = [str, str, str]
JOBS: Any = Job.__table__
# What a state names must fit into its column: item, schedule, class.
LONGEST: tuple[int, ...] = tuple(
    column.type.length
    for column in (AutomationRun.item, AutomationSchedule.name, AutomationClasses.class_name)
)
# What most of them are, read in a third of the time; plain ASCII, without escapes.
AS_WE_WRITE_IT = re.compile(
    rb'\{"v": 1, "args": \['
    + b", ".join(rb'"([ !#-\[\]-~]{1,%d})"' % most for most in LONGEST)
    + rb'\], "kwargs": \{\}\}'
)


class BadState(ValueError):
    """The bytes of a job are none of ours: it is parked, never run, never deleted (DB8)."""


class Fenced(BaseException):
    """Another scheduler took over: this one claims nothing any more (SI4).

    No `Exception`: what goes on after an error must not go on after this.
    """


class State(NamedTuple):
    """What a job is about: the arguments of `_execute_automation_task_job`."""

    item: str
    schedule_name: str
    class_name: str


class Claimed(NamedTuple):
    """A job that is ours until its lease ends."""

    id: str
    state: State | BadState
    due: datetime
    attempts: int
    token: str
    error: str | None = None  # why it was put off last

    @property
    def died(self) -> bool:
        """It was claimed before, and nobody gave it back or put it off: its worker died."""
        return self.attempts > 1 and self.error is None


def read_state(job_state: bytes) -> State:
    """Read a job's JSON. Raises `BadState`; nothing is ever unpickled."""
    if ours := AS_WE_WRITE_IT.fullmatch(job_state):
        item, schedule_name, class_name = ours.groups()
        return State(item.decode(), schedule_name.decode(), class_name.decode())
    try:
        state = json.loads(bytes(job_state).decode())
        version, args, kwargs = state["v"], state["args"], state["kwargs"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadState("its state is no JSON of ours") from error
    if version != VERSION:
        raise BadState(f"its state has version {version!r:.50}, not {VERSION}")
    if type(args) is not list or kwargs != {} or [type(arg) for arg in args] != THREE_TEXTS:
        raise BadState("its arguments are not item, schedule and class")
    for what, text, most in zip(State._fields, args, LONGEST, strict=True):
        if not 0 < len(text) <= most or not is_storable(text):
            raise BadState(f"its {what} is empty, too long or not to be stored")
    return State(*args)


def next_due(session: Session) -> datetime | None:
    """When the next job is due, or the next lease ends; None: nothing is planned."""
    at = session.scalar(_next_due(rules_of(session).environment))
    # Whatever stands there: what is no date that Python can hold must not stop the others.
    if not isinstance(at, (int, float)):
        return None
    return datetime.fromtimestamp(min(LATEST, max(0.0, at)), UTC)


@cache
def _next_due(environment: Environment) -> Any:
    return sa.select(sa.func.min(JOBS.c.next_run_time)).where(_not_of_another(environment))


def _not_of_another(environment: Environment) -> sa.ColumnElement[bool]:
    """Jobs of another ENVIRONMENT are not touched (schedules D7); a nameless one is, and parked."""
    others = [other for other in Environment if other is not environment]
    return sa.and_(*[~JOBS.c.id.endswith(f"/{other}") for other in others])


def claim(
    session: Session, now: datetime, room: int, token: str, epoch: int | None = None
) -> list[Claimed]:
    """At most `room` due jobs, the longest due first, ours until `now` + `LEASE`.

    Raises `Fenced` if `epoch` is no longer the last.
    """
    if epoch is not None:
        require_epoch(session, epoch)
    what = {"due_by": now.timestamp(), "room": room, "token": token, "until": _end(now)}
    statement = _claim(dialect_of(session), rules_of(session).environment)
    rows = send(session, statement, what).all()
    claimed = [_claimed(row, now, token) for row in rows]
    return sorted(claimed, key=lambda job: (job.due, str(job.id)))


# What we or Python raise over a value that is not of its column's type, or no date of Python's.
UNREADABLE = (ValueError, TypeError, OverflowError)


@lru_cache(maxsize=10_000)  # what is due together is often due at one instant
def instant(text: str | None) -> datetime | None:
    """A due time as `DUE_TEXT` shows it. Raises ValueError if it is none."""
    if text is None:
        return None
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _claimed(row: Any, now: datetime, token: str) -> Claimed:
    """The job of a row; one that cannot be read stops no other."""
    id_, job_state, due, attempts, error = row
    try:
        at = instant(due)
    except UNREADABLE:
        return Claimed(id_, BadState("when it is due cannot be read"), now, 1, token, error)
    try:
        state: State | BadState = read_state(job_state)
    except BadState as bad:
        state = bad
    return Claimed(id_, state, at or now, attempts, token, error)


# Cast, since SQLite keeps a text that somebody wrote there as a text.
STATE = sa.cast(JOBS.c.job_state, JOBS.c.job_state.type).label("job_state")
# As a text, whatever stands there: not every database only lets dates in, nor only Python's.
DUE_TEXT = sa.cast(JOBS.c.due, sa.Text).label("due")
CTID: Any = sa.literal_column("apscheduler_jobs.ctid")
MINE = (JOBS.c.id, STATE, DUE_TEXT, JOBS.c.attempts, JOBS.c.last_error)
ONE_MORE_ATTEMPT = sa.case(
    (JOBS.c.attempts < MOST_ATTEMPTS, JOBS.c.attempts + 1), else_=MOST_ATTEMPTS
)


@cache
def _claim(dialect: str, environment: Environment) -> Any:
    # Where PostgreSQL has a row it is not looked up again by its name: it is locked, so it stays.
    key = CTID if dialect == "postgresql" else JOBS.c.id
    due = (
        sa.select(key.label("place"))
        .where(
            JOBS.c.next_run_time <= sa.bindparam("due_by", type_=sa.Double),
            _not_of_another(environment),
        )
        .order_by(JOBS.c.next_run_time)
        .limit(sa.bindparam("room", type_=sa.Integer))
    )
    which = key.in_(due)
    if dialect == "postgresql":  # materialised, else the planner may exceed the limit (JX1)
        cte = due.with_for_update(skip_locked=True).cte("due_jobs").prefix_with("MATERIALIZED")
        which = key == sa.any_(sa.func.array(sa.select(cte.c.place).scalar_subquery()))
    ours = {"claim": sa.bindparam("token", type_=sa.String), "attempts": ONE_MORE_ATTEMPT}
    leased = sa.update(JOBS).values(next_run_time=sa.bindparam("until", type_=sa.Double), **ours)
    return leased.where(which).returning(*MINE)


def claim_one(session: Session, job_id: str, now: datetime, token: str) -> Claimed | None:
    """This very job, whether due or not, unless someone has it."""
    free = sa.or_(JOBS.c.claim.is_(None), JOBS.c.next_run_time <= now.timestamp())
    row = session.execute(
        sa.update(JOBS)
        .where(JOBS.c.id == job_id, free)
        .values(next_run_time=_end(now), attempts=ONE_MORE_ATTEMPT, claim=token)
        .returning(*MINE)
    ).one_or_none()
    return _claimed(row, now, token) if row else None


def _end(now: datetime) -> float:
    return (now + LEASE).timestamp()


def require_epoch(session: Session, epoch: int) -> None:
    """Raises `Fenced` unless `epoch` is the last; who shares it holds up no other (SI4)."""
    if session.execute(_epoch(), {"mine": epoch}).one_or_none() is None:
        raise Fenced


@cache
def _epoch() -> Any:
    e = SchedulerEpoch
    mine = sa.select(e.id).where(e.id == 1, e.epoch == sa.bindparam("mine"))
    return mine.with_for_update(read=True)


def keep(session: Session, tokens: Sequence[str], now: datetime) -> None:
    """Renew the leases of what is still being worked on."""
    session.execute(_keep(), {"tokens": list(tokens), "until": _end(now)})


@cache
def _keep() -> Any:
    until = sa.bindparam("until", type_=sa.Double)
    mine = _not_locked(among(JOBS.c.claim, "tokens"))
    return sa.update(JOBS).where(mine).values(next_run_time=until)


def _not_locked(which: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """These jobs, but for those that a task holds: who hangs with one must hold up nobody else."""
    free = sa.select(JOBS.c.id).where(which).with_for_update(skip_locked=True)
    return JOBS.c.id.in_(free)  # type: ignore[no-any-return]


def let_go(session: Session, jobs: Sequence[Claimed], begun: Sequence[str], now: datetime) -> None:
    """Take jobs from a worker that hangs: whoever comes next has them.

    The `begun` ones, by id, count as those of a worker that died.
    """
    if not jobs:
        return
    what = {"ids": [job.id for job in jobs], "token": jobs[0].token, "at": now.timestamp()}
    session.execute(_let_go(), what | {"begun": list(begun)})


@cache
def _let_go() -> Any:
    mine = _not_locked(among(JOBS.c.id, "ids") & (JOBS.c.claim == sa.bindparam("token")))
    attempts = JOBS.c.attempts - sa.case((among(JOBS.c.id, "begun"), 0), else_=1)
    at = sa.bindparam("at", type_=sa.Double)
    return sa.update(JOBS).where(mine).values(next_run_time=at, claim=None, attempts=attempts)


def done(session: Session, jobs: Sequence[Claimed]) -> int:
    """Delete what is done and return how many were still ours.

    A job planned anew meanwhile carries no claim of ours and stays.
    """
    if not jobs:
        return 0
    ids = {"ids": [job.id for job in jobs], "token": jobs[0].token}
    gone: int = send(session, _done(), ids).rowcount
    return gone


@cache
def _done() -> Any:
    ours = JOBS.c.claim == sa.bindparam("token")
    return sa.delete(JOBS).where(among(JOBS.c.id, "ids"), ours)


def plan_again(session: Session, job: Claimed, due: datetime) -> None:
    """Its event moved: the alarm goes off then."""
    _release(session, job, due, due=due, attempts=0, last_error=None)


def back_off(session: Session, job: Claimed, until: datetime, error: str) -> None:
    """It failed: again at `until`."""
    _release(session, job, until, last_error=storable(error, REASON))


def give_back(session: Session, jobs: Sequence[Claimed], now: datetime) -> None:
    """Claimed, but not begun: whoever comes next takes them."""
    if jobs:
        what = {"ids": [job.id for job in jobs], "token": jobs[0].token, "at": now.timestamp()}
        session.execute(_give_back(), what)


@cache
def _give_back() -> Any:
    ours = JOBS.c.claim == sa.bindparam("token")
    at = sa.bindparam("at", type_=sa.Double)
    freed = sa.update(JOBS).where(among(JOBS.c.id, "ids"), ours)
    return freed.values(next_run_time=at, claim=None, attempts=JOBS.c.attempts - 1)


def park(session: Session, job: Claimed, error: str) -> None:
    """Unreadable, or of an unknown class: it stays, visible, until someone mends it (JX6)."""
    _release(session, job, None, last_error=storable(error, REASON))


def _release(session: Session, job: Claimed, at: datetime | None, **changes: Any) -> None:
    session.execute(
        sa.update(JOBS)
        .where(JOBS.c.id == job.id, JOBS.c.claim == job.token)
        .values(next_run_time=at.timestamp() if at else None, claim=None, **changes)
    )
