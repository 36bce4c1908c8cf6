"""How trainings stand, for everybody and for one student: what all their pages say (people PG8).

Reads only, for many trainings in as many statements as for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from app.models.bulk import among
from app.models.enrolment import (
    DECLINED,
    ENROLLED,
    EXPIRED,
    INVITED,
    OPEN,
    TAKING,
    WAITLIST,
    EnrolmentStatus,
    TrainingEnroll,
)
from app.models.person import Student
from app.models.practice import Practice
from app.models.queue import Standing, clock, obstacle, reachable
from app.models.rules import Rules, rules_of
from app.models.training import Location, Training, TrainingEvent, TrainingType
from app.models.user import User, UserSettings
from app.services import deadline, policies, waitlist
from app.services.policies import OverLimit


class Day(NamedTuple):
    """A dated meeting of a training."""

    training_id: int
    id: int
    start: datetime
    end: datetime
    location: str
    address: str


class Mine(NamedTuple):
    """A student's own row in a training."""

    row: TrainingEnroll
    place: int | None  # in the line, while they wait (waitlist WF3)
    obstacle: str | None  # why they are passed over: a code of waitlist WD4


@dataclass(frozen=True)
class Offer:
    """A training as one student meets it; without `mine` as a visitor does."""

    stand: Standing
    type_name: str
    answering: int  # people who are invited now
    days: tuple[Day, ...]
    mine: Mine | None
    limit: OverLimit | None = None  # that keeps the student from joining, where it was asked for

    @property
    def training(self) -> Training:
        return self.stand.training

    @property
    def status(self) -> EnrolmentStatus | None:
        return self.mine.row.status if self.mine else None

    @property
    def over(self) -> bool:
        """Its last day has ended."""
        return bool(self.days) and max(day.end for day in self.days) <= self.stand.now

    @property
    def time_left(self) -> timedelta | None:
        """To answer an invitation; None without a deadline."""
        until = self.mine.row.invite_expires_at if self.mine else None
        return until - self.stand.now if until else None

    @property
    def overdue(self) -> bool:
        """Its invitation has run out, whether or not it has been taken off the list yet."""
        left = self.time_left
        return self.status is INVITED and left is not None and left <= timedelta(0)

    @property
    def first_come(self) -> bool:
        """Nobody is invited any more; whoever comes first takes a free place (waitlist WF4)."""
        return self.stand.is_open and not self.stand.before_hard_stop


class State(StrEnum):
    """What a training is to a student: one of these, on every page."""

    PLACES = "places"
    FULL = "full"
    PAUSED = "paused"
    INVITED = "invited"
    WAITING = "waiting"
    ENROLLED = "enrolled"
    HAD_PLACE = "had-place"
    RAN_OUT = "ran-out"
    DECLINED = "declined"
    LEFT = "left"
    INACTIVE = "inactive"
    LIMITED = "limited"
    CLOSED = "closed"
    STARTED = "started"
    CANCELLED = "cancelled"


def state(offer: Offer, *, active: bool = True) -> State:
    """The one state of a training for a student, who is `active` or not."""
    stand, status = offer.stand, offer.status
    if stand.training.cancelled_at is not None:
        return State.CANCELLED
    if status is ENROLLED:
        return State.HAD_PLACE if offer.over else State.ENROLLED
    if status is INVITED:
        return State.INVITED if stand.is_open and not offer.overdue else State.RAN_OUT
    if status in (EXPIRED, DECLINED):
        return State.RAN_OUT if status is EXPIRED else State.DECLINED
    if status is WAITLIST and not stand.started:
        return State.WAITING  # closed for booking, they keep their place and may leave
    if not stand.is_open:
        return State.STARTED if stand.started else State.CLOSED
    if status is not None:
        return State.LEFT
    return _to_newcomers(offer, active)


def _to_newcomers(offer: Offer, active: bool) -> State:
    stand = offer.stand
    if not active:
        return State.INACTIVE
    if offer.limit is not None:
        return State.LIMITED
    if stand.training.waitlist_paused:
        return State.PAUSED
    return State.PLACES if stand.free else State.FULL


class Act(StrEnum):
    """What a student can do about a training."""

    ACCEPT = "accept"
    DECLINE = "decline"
    LEAVE = "leave"  # the list
    CANCEL = "cancel"  # a place
    JOIN = "join"
    JOIN_AGAIN = "join-again"


def acts(offer: Offer, *, active: bool = True) -> tuple[Act, ...]:
    """What is open to a student now; what is decided in the end, the lock decides."""
    can = _acts(offer, active)
    return tuple(act for act in can if not (act in JOINING and offer.limit is not None))


JOINING = (Act.JOIN, Act.JOIN_AGAIN)


def _acts(offer: Offer, active: bool) -> tuple[Act, ...]:
    stand, now_is = offer.stand, state(offer, active=active)
    if now_is is State.INVITED:
        return (Act.ACCEPT, Act.DECLINE) if active else (Act.DECLINE,)
    if offer.status is WAITLIST and now_is is not State.CANCELLED:
        takes = active and offer.first_come and stand.free and not stand.training.waitlist_paused
        return (Act.JOIN, Act.LEAVE) if takes else (Act.LEAVE,)
    if now_is is State.ENROLLED:
        return () if stand.started else (Act.CANCEL,)
    if now_is in (State.PLACES, State.FULL, State.PAUSED):
        return (Act.JOIN,)
    came_back_from = now_is in (State.RAN_OUT, State.DECLINED, State.LEFT)
    return (Act.JOIN_AGAIN,) if came_back_from and stand.is_open and active else ()


# --- what joining would do ------------------------------------------------------------------------


def would_get_in(session: Session, offer: Offer) -> bool:
    """Whether who joins now gets a place at once, rather than one in the line (waitlist WF4)."""
    stand = offer.stand
    if not stand.free or stand.training.waitlist_paused:
        return False
    if offer.first_come:
        return True
    return len(waitlist.next_in_line(session, stand, stand.free)) < stand.free


def answer_time(session: Session, offer: Offer) -> timedelta | None:
    """How long an invitation made now would leave to answer; None: no limit."""
    stand = offer.stand
    schedule = deadline.governing_schedule(session, stand.training)
    until = deadline.answer_until(schedule, stand, stand.now)
    return None if until is None else max(until - stand.now, timedelta(0))


def can_be_told(session: Session, student_id: int) -> bool:
    """Whether letters, or another way, reach the student (waitlist WD3)."""
    asked = _told(rules_of(session))
    return bool(session.scalar(asked, {"student": student_id}))


@cache
def _told(rules: Rules) -> Any:
    return _people(reachable(rules)).where(Student.id == sa.bindparam("student"))


def _people(*columns: Any) -> Any:
    return (
        sa.select(*columns)
        .select_from(Student)
        .join(User, User.id == Student.user_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
    )


# --- reading -------------------------------------------------------------------------------------


def rows_of(session: Session, user_id: int, now: datetime) -> dict[int, Mine]:
    """All that somebody is, or was, on, in whichever practice: by training. One statement."""
    rules = rules_of(session)
    asked = clock(rules, now) | {"user": user_id}
    rows = session.execute(_rows(rules).where(_is_theirs()), asked)
    return {mine.row.training_id: mine for mine in map(_mine, rows)}


def row_in(session: Session, student_id: int, training_id: int, now: datetime) -> Mine | None:
    """A student's row in one training."""
    rules = rules_of(session)
    theirs = TrainingEnroll.student_id == sa.bindparam("student")
    one = _rows(rules).where(TrainingEnroll.training_id == training_id, theirs)
    found = session.execute(one, clock(rules, now) | {"student": student_id}).first()
    return _mine(found) if found else None


def row_called(session: Session, user_id: int, uuid: str, now: datetime) -> Mine | None:
    """Somebody's own row by its uuid; None for others' (reliability SE7)."""
    rules = rules_of(session)
    one = _rows(rules).where(TrainingEnroll.uuid == uuid, _is_theirs())
    found = session.execute(one, clock(rules, now) | {"user": user_id}).first()
    return _mine(found) if found else None


def _is_theirs() -> sa.ColumnElement[bool]:
    return Student.user_id == sa.bindparam("user", type_=sa.Integer)


def _mine(found: Any) -> Mine:
    return Mine(*found)


@cache
def _rows(rules: Rules) -> Any:
    e, before = TrainingEnroll, aliased(TrainingEnroll)
    place = (
        sa.select(sa.func.count())
        .where(
            before.training_id == e.training_id,
            before.status == WAITLIST,
            before.queue_position <= e.queue_position,
        )
        .scalar_subquery()
    )
    waits = e.status == WAITLIST
    return (
        sa.select(e, sa.case((waits, place)), sa.case((waits, obstacle(rules))))
        .select_from(e)
        .join(Student, Student.id == e.student_id)
        .join(User, User.id == Student.user_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .execution_options(populate_existing=True)
    )


def offers(
    session: Session, training_ids: Iterable[int], mine: Mapping[int, Mine], now: datetime
) -> dict[int, Offer]:
    """These trainings, each with the student's row in it, if there is one. Two statements."""
    ids = {"ids": sorted(training_ids)}
    if not ids["ids"]:
        return {}
    days: dict[int, list[Day]] = {id_: [] for id_ in ids["ids"]}
    for day in session.execute(_days(), ids):
        days[day[0]].append(Day(*day))
    found = {}
    rules = rules_of(session)
    for training, type_name, cutoff, taken, planned, waiting, answering in session.execute(
        _standings(), ids
    ):
        meets = tuple(days[training.id])
        begins = meets[0].start if meets else None
        stand = Standing(training, rules, now, taken, planned, waiting, begins, cutoff)
        own = mine.get(training.id)
        found[training.id] = Offer(stand, type_name or "", answering, meets, own)
    return found


def with_limits(session: Session, student_id: int, offers: dict[int, Offer]) -> dict[int, Offer]:
    """The same, with the booking limit that keeps a student from each (WP2). One statement."""
    may_join = [o.stand for o in offers.values() if o.status not in TAKING]
    over = policies.closed_to(session, student_id, may_join)
    return {id_: replace(one, limit=over.get(id_)) for id_, one in offers.items()}


@cache
def _standings() -> Any:
    """The counts of `models.queue.standing`, for many trainings: ONE statement (STYLE P1)."""
    e = TrainingEnroll
    planned = sa.and_(e.status == WAITLIST, e.invite_planned_at.is_not(None))
    counts = (
        sa.select(
            e.training_id,
            sa.func.sum(e.seats).filter(e.status.in_(TAKING)).label("taken"),
            sa.func.sum(e.seats).filter(planned).label("planned"),
            sa.func.count().filter(e.status == WAITLIST).label("waiting"),
            sa.func.count().filter(e.status == INVITED).label("answering"),
        )
        .where(among(e.training_id, "ids"), e.status.in_(OPEN))
        .group_by(e.training_id)
        .subquery()
    )
    numbers = [sa.func.coalesce(counts.c[name], 0) for name in list(counts.c.keys())[1:]]
    return (
        sa.select(Training, TrainingType.name, Practice.invite_cutoff, *numbers)
        .join(Practice, Practice.id == Training.practice_id)
        .outerjoin(TrainingType, TrainingType.id == Training.training_type_id)
        .outerjoin(counts, counts.c.training_id == Training.id)
        .where(among(Training.id, "ids"))
        .execution_options(populate_existing=True)
    )


@cache
def _days() -> Any:
    d, where = TrainingEvent, Location
    name, address = (sa.func.coalesce(column, "") for column in (where.name, where.address))
    return (
        sa.select(d.training_id, d.id, d.start_time, d.end_time, name, address)
        .outerjoin(where, where.id == d.location_id)
        .where(among(d.training_id, "ids"))
        .order_by(d.start_time, d.id)
    )
