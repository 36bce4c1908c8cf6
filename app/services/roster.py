"""Everyone in a training as staff see them (people PT2), and what their acts ask before and after.

Reads only, and as many statements for five rows as for fifty (people PG6). Places, eligibility and
codes are those of `models/queue.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session, aliased

from app.models.bulk import among
from app.models.enrolment import (
    DECLINED,
    DEROLLED,
    ENROLLED,
    EXPIRED,
    INVITED,
    WAITLIST,
    EnrolmentStatus,
    TrainingEnroll,
)
from app.models.enrolment_history import EnrolmentHistory
from app.models.outbox import Outbox, OutboxState
from app.models.person import Student
from app.models.queue import Standing, clock, eligible, obstacle
from app.models.rules import rules_of
from app.models.training import Training
from app.models.user import User, UserSettings
from app.services import waitlist
from app.services.actors import Actor
from app.services.courses import PAGE, has_words
from app.services.letter_facts import plain
from app.services.locks import locked
from app.services.refusals import Refusal
from app.services.scope import within
from app.services.transitions import reread

E = TrainingEnroll

STATUS_WORDS = {
    ENROLLED: _l("enrolled"),
    INVITED: _l("invited"),
    WAITLIST: _l("waiting"),
    EXPIRED: _l("ran out"),
    DECLINED: _l("declined"),
    DEROLLED: _l("left"),
}


class ChangedMeanwhile(Refusal):
    """What somebody decides on is no longer what they saw (people PG3)."""

    code = "changed_meanwhile"
    sentence = _l("This changed meanwhile: it was %(was)s, now it is %(now)s. Look again.")


class TouchedMeanwhile(ChangedMeanwhile):
    """Where the status is still what it was."""

    sentence = _l("Somebody changed this meanwhile; it is still %(now)s. Look again.")


class Section(StrEnum):
    """Where someone stands on the roster."""

    ENROLLED = "enrolled"
    INVITED = "invited"
    WAITING = "waiting"
    CLOSED = "closed"

    @classmethod
    def of(cls, status: EnrolmentStatus) -> Section:
        """The section that a status belongs to."""
        return {ENROLLED: cls.ENROLLED, INVITED: cls.INVITED, WAITLIST: cls.WAITING}.get(
            status, cls.CLOSED
        )


NUMBER = {section: number for number, section in enumerate(Section)}


def _section() -> sa.ColumnElement[int]:
    number: sa.ColumnElement[int] = sa.case(
        (E.status == ENROLLED, NUMBER[Section.ENROLLED]),
        (E.status == INVITED, NUMBER[Section.INVITED]),
        (E.status == WAITLIST, NUMBER[Section.WAITING]),
        else_=NUMBER[Section.CLOSED],
    )
    return number


@dataclass(frozen=True)
class Entry:
    """One person of the roster. Plain values but `enrolment`, so that it outlives a commit."""

    enrolment: TrainingEnroll
    uuid: str
    status: EnrolmentStatus
    version: int
    name: str  # who was erased has none
    email: str
    phone: str | None
    place: int | None  # in the line, from 1
    code: str | None  # why passed over (WD4)
    since: datetime | None  # the last time the status moved
    event: str | None  # by what
    reason: str | None
    letter: OutboxState | None  # of the present invitation
    letter_fails: bool

    @property
    def section(self) -> Section:
        """Where it stands."""
        return Section.of(self.status)


def totals(session: Session, training_id: int) -> dict[Section, int]:
    """How many people there are in each section."""
    rows = session.execute(
        sa.select(E.status, sa.func.count()).where(E.training_id == training_id).group_by(E.status)
    )
    found = dict.fromkeys(Section, 0)
    for status, count in rows:
        found[Section.of(EnrolmentStatus(status))] += count
    return found


def people(
    session: Session,
    training_id: int,
    now: datetime,
    *,
    section: Section | None = None,
    search: str = "",
    page: int = 1,
) -> tuple[list[Entry], int]:
    """One page of the roster, section after section, and how many it goes over."""
    which = [E.training_id == training_id]
    if section is not None:
        which.append(_section() == NUMBER[section])
    if search:
        name = User.first_name + " " + User.last_name
        which.append(sa.or_(has_words(name, search), has_words(User.email, search)))
    asked = _in_order(which).limit(PAGE).offset((page - 1) * PAGE)
    return _entries(session, asked, now)


def picked(session: Session, training_id: int, uuids: Sequence[str], now: datetime) -> list[Entry]:
    """Those of the roster whom staff ticked, in its order; who is not on it is left out."""
    these = _in_order([E.training_id == training_id, among(E.uuid, uuids)])
    return _entries(session, these, now)[0]


def attendees(session: Session, training_id: int, now: datetime) -> list[Entry]:
    """Everyone who has a place, by name."""
    enrolled = _in_order([E.training_id == training_id, E.status == ENROLLED])
    return _entries(session, enrolled, now)[0]


def _in_order(which: list[sa.ColumnElement[bool]]) -> sa.Select[Any]:
    """Ids in the order of the roster: `n` counts them, `total` says how many there are."""
    order = (
        _section(),
        sa.case((E.status == WAITLIST, E.queue_position), else_=0),
        sa.case((E.status == INVITED, E.invite_expires_at)).is_(None),
        sa.case((E.status == INVITED, E.invite_expires_at)),
        sa.func.lower(User.last_name),
        sa.func.lower(User.first_name),
        E.id,
    )
    n = sa.func.row_number().over(order_by=order).label("n")
    return (
        sa.select(E.id, n, sa.func.count().over().label("total"))
        .join(Student, Student.id == E.student_id)
        .join(User, User.id == Student.user_id)
        .where(*which)
        .order_by(n)
    )


def _entries(session: Session, ids: sa.Select[Any], now: datetime) -> tuple[list[Entry], int]:
    rules, these = rules_of(session), ids.subquery()
    h, o = _history(), Outbox
    letter = sa.select(sa.func.max(o.id)).where(
        o.enrolment_id == E.id,
        o.invite_no == E.invite_no,
        o.user_id == User.id,
        o.kind == "invited",
    )
    asked = (
        sa.select(E, User.first_name, User.last_name, User.email, User.phone, User.erased_at)
        .add_columns(_place(), sa.case((E.status == WAITLIST, obstacle(rules))), these.c.total)
        .add_columns(h.at, h.event, h.reason, o.state, o.last_error)
        .select_from(these)
        .join(E, E.id == these.c.id)
        .join(Student, Student.id == E.student_id)
        .join(User, User.id == Student.user_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .outerjoin(h, sa.and_(h.training_id == E.training_id, h.seq == _last_move()))
        .outerjoin(o, o.id == letter.correlate(E, User).scalar_subquery())
        .order_by(these.c.n)
        .execution_options(populate_existing=True)
    )
    rows = session.execute(asked, clock(rules, now)).all()
    return [_entry(row) for row in rows], rows[0].total if rows else 0


@cache
def _history() -> type[EnrolmentHistory]:
    """Under a name of its own, for the codes ask the history too; making it takes a while."""
    return aliased(EnrolmentHistory)


@cache
def _place() -> sa.Case[Any]:
    """1 + those who wait before (WF3)."""
    other = aliased(E)
    before = sa.select(sa.func.count() + 1).where(
        other.training_id == E.training_id,
        other.status == WAITLIST,
        other.queue_position < E.queue_position,
    )
    return sa.case((E.status == WAITLIST, before.correlate(E).scalar_subquery()))


@cache
def _last_move() -> sa.ScalarSelect[Any]:
    h = aliased(EnrolmentHistory)
    moved = sa.or_(h.from_status.is_(None), h.from_status != h.to_status)
    last = sa.select(sa.func.max(h.seq)).where(h.enrolment_id == E.id, moved)
    return last.correlate(E).scalar_subquery()


def _entry(row: Any) -> Entry:
    e, first, last, email, phone, erased_at, place, code, _total, *moved, state, error = row
    since, event, reason = moved
    return Entry(
        enrolment=e,
        uuid=e.uuid,
        status=e.status,
        version=e.version,
        name=plain(f"{first} {last}"),
        email="" if erased_at else email,
        phone=phone,
        place=place,
        code=code,
        since=since or e.joined_at,
        event=event,
        reason=reason,
        letter=state if e.status is INVITED else None,
        letter_fails=bool(error),
    )


# --- for the pages of acts -----------------------------------------------------------------------


def would_be_invited(session: Session, stand: Standing, freed: int) -> list[str]:
    """Who comes next if so many more places became free now, first in line first."""
    count = max(stand.spare - stand.training.seats_kept + freed, 0)
    if not stand.invites or not count:
        return []
    asked = eligible(stand.training.id, stand.rules, User.first_name, User.last_name).limit(count)
    rows = session.execute(asked, clock(stand.rules, stand.now))
    return [plain(f"{first} {last}") for first, last in rows]


def invited_at(session: Session, training_id: int, now: datetime) -> list[str]:
    """Whom an act of this very instant invited."""
    rows = session.execute(
        sa.select(User.first_name, User.last_name)
        .select_from(E)
        .join(Student, Student.id == E.student_id)
        .join(User, User.id == Student.user_id)
        .where(E.training_id == training_id, E.status == INVITED, E.invite_date == now)
        .order_by(E.queue_position)
    )
    return [plain(f"{first} {last}") for first, last in rows]


def out_of_turn(session: Session, stand: Standing, chosen: Sequence[Entry]) -> bool:
    """Whether inviting these passes somebody by, or one of them is passed over: with a reason."""
    ids = {one.enrolment.id for one in chosen}
    line = waitlist.next_in_line(session, stand, len(ids) + 1)
    others = [place.queue_position or 0 for place in line if place.id not in ids]
    first = min(others, default=None)
    return any(
        one.code not in (None, "planned")
        or (first is not None and (one.enrolment.queue_position or 0) > first)
        for one in chosen
    )


@dataclass(frozen=True)
class Candidate:
    """A student of the practice who may be added to a training."""

    student_id: int
    name: str
    email: str
    status: EnrolmentStatus | None  # in this training, if they were ever in it


def candidates(
    session: Session, training: Training, search: str, most: int = 20
) -> list[Candidate]:
    """Students of the practice whose name or address has these words; at most `most`."""
    name = User.first_name + " " + User.last_name
    rows = session.execute(
        sa.select(Student.id, User.first_name, User.last_name, User.email, E.status)
        .join(User, User.id == Student.user_id)
        .outerjoin(E, sa.and_(E.student_id == Student.id, E.training_id == training.id))
        .where(
            Student.practice_id == training.practice_id,
            User.erased_at.is_(None),
            sa.or_(has_words(name, search), has_words(User.email, search)),
        )
        .order_by(sa.func.lower(User.last_name), sa.func.lower(User.first_name), Student.id)
        .limit(most)
    )
    return [Candidate(id_, plain(f"{f} {n}"), email, st) for id_, f, n, email, st in rows]


def status_of(session: Session, training_id: int, student_id: int) -> EnrolmentStatus | None:
    """Where a student stands in a training; None if they were never in it."""
    asked = sa.select(E.status).where(E.training_id == training_id, E.student_id == student_id)
    return session.scalar(asked)


# --- nothing changed since it was shown ----------------------------------------------------------


def unchanged(
    session: Session,
    enrolment: TrainingEnroll,
    actor: Actor,
    version: int,
    status: EnrolmentStatus,
) -> None:
    """Lock the training and see that the row is still the one that staff saw, in that status.

    Raises `NotFound`, `ChangedMeanwhile`.
    """
    within(actor, locked(session, Training, enrolment.training_id))
    reread(session, enrolment)
    is_now = STATUS_WORDS[enrolment.status]
    if enrolment.status is not status:
        raise ChangedMeanwhile(was=STATUS_WORDS[status], now=is_now)
    if enrolment.version != version:
        raise TouchedMeanwhile(now=is_now)


def unchanged_number(
    session: Session,
    training_id: int,
    actor: Actor,
    column: str,
    seen: int,
    wanted: int | None = None,
) -> None:
    """The same for a number of the training, which may be as `wanted` already.

    Raises `NotFound`, `ChangedMeanwhile`.
    """
    training = within(actor, locked(session, Training, training_id))
    value = getattr(training, column)
    if value not in (seen, wanted):
        raise ChangedMeanwhile(was=seen, now=value)
