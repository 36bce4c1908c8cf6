"""What a link in a letter stands for at this moment, and what may be done by it (people PI, WK).

The token is the authority, the row says what is true. `look` reads for a page, `act` is the click:
it goes through the very services that everybody calls, so a link can do nothing that they refuse.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.bulk import composed, send
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
from app.models.link import LinkToken
from app.models.person import PersonStatus, Student
from app.models.practice import Practice
from app.models.queue import standing, starts_at
from app.models.training import Location, Training, TrainingEvent
from app.models.user import User, UserSettings
from app.services import enrolments, history, links, policies, students, waitlist
from app.services.actors import LINK, SYSTEM
from app.services.locks import locked
from app.services.policies import OverLimit
from app.services.transitions import known, reread
from app.services.waitlist import Answer


class State(StrEnum):
    """What a genuine link tells: the rows of people PI2, and those of `/waitlist/<token>`."""

    OPEN = "open"  # what the link is for can be done
    ENROLLED = "enrolled"
    DECLINED = "declined"
    RAN_OUT = "ran-out"
    WITHDRAWN = "withdrawn"  # back on the list, by staff
    REJOINED = "rejoined"  # back on the list, by themselves
    SUPERSEDED = "superseded"
    OVER = "over"  # `why` says the rest
    LEFT = "left"
    KEPT = "kept"


class Why(StrEnum):
    """Why what was offered cannot be had any more."""

    LEFT = "left"
    NOT_WAITING = "not-waiting"
    STARTED = "started"
    CANCELLED = "cancelled"
    CLOSED = "closed"
    INACTIVE = "inactive"


# What may be done by a link, by its purpose (WK2).
ACTS = {
    "answer": ("accept", "decline", "re-enable"),
    "leave": ("leave",),
    "keep": ("keep",),
    "re-enable": ("re-enable",),
}
CONFIRMED = "interest-confirmed"  # in the history: whoever waits said that they still do


class Day(NamedTuple):
    """A meeting, as the page shows it."""

    start: datetime
    end: datetime
    location: str
    address: str


class Facts(NamedTuple):
    """All that a page asks of the rows, in one statement."""

    digest: str
    purpose: str
    asked: int  # the invitation that the letter spoke of
    linked_at: datetime
    enrolment_id: int
    uuid: str
    status: EnrolmentStatus
    invite_no: int
    invite_date: datetime | None
    deadline: datetime | None
    joined_at: datetime | None
    first_name: str
    account_active: bool
    student_status: PersonStatus
    training_id: int
    training_name: str
    booking: bool
    cancelled_at: datetime | None
    archived_at: datetime | None
    starts_at: datetime | None
    practice_name: str
    timezone: str
    student_id: int


@dataclass(frozen=True)
class Line:
    """How many wait, and which of them this is; when their interest was last confirmed."""

    waiting: int = 0
    place: int | None = None
    confirmed_at: datetime | None = None
    ended_at: datetime | None = None  # the invitation, before its deadline or at it


@dataclass(frozen=True)
class Seen:
    """A link's page, ready to be shown."""

    facts: Facts
    state: State
    why: Why | None
    acts: tuple[str, ...]  # legal now, the first one first
    days: list[Day]
    line: Line
    now: datetime
    limit: OverLimit | None = None  # what keeps them from joining again

    @property
    def seconds_left(self) -> float | None:
        """Until the deadline of an open invitation."""
        deadline = self.facts.deadline
        return (deadline - self.now).total_seconds() if deadline else None

    @property
    def ended_at(self) -> datetime | None:
        """When the invitation ran out, or was ended before."""
        deadline = self.facts.deadline
        return deadline if deadline and deadline <= self.now else self.line.ended_at


# --- reading -------------------------------------------------------------------------------------


def look(session: Session, token: str, page: str, now: datetime) -> Seen | None:
    """What the link's page tells now; None for whatever is no genuine link of that page (WK3).

    What does not verify costs one statement, whatever is wrong with it.
    """
    asked = links.asked_for(token, page, now)
    found = send(session, _facts(), asked).one_or_none()
    if found is None:
        return None
    facts = Facts(*found)
    line = _line(session, facts)
    state, why = state_of(facts, line, now)
    days = [Day(*row) for row in send(session, _days(), {"training": facts.training_id})]
    acts = _legal(facts, state, now)
    limit = _limit(session, facts, now) if "re-enable" in acts else None
    return Seen(facts, state, why, () if limit else acts, days, line, now, limit)


def state_of(facts: Facts, line: Line, now: datetime) -> tuple[State, Why | None]:
    """The state of a link, and why not where it is over: the table of people PI2."""
    if facts.invite_no > facts.asked:
        return State.SUPERSEDED, None
    if facts.status is ENROLLED:
        return State.ENROLLED, None
    if facts.purpose in ("leave", "keep"):
        return _on_the_list(facts, line)
    return _invited(facts, now)


def _invited(facts: Facts, now: datetime) -> tuple[State, Why | None]:
    """Of a link that answers an invitation, or that brings back who no longer had one."""
    closed = _closed(facts, now)
    if facts.status is WAITLIST:
        rejoined = facts.purpose == "re-enable" or _came_back(facts)
        return (State.REJOINED if rejoined else State.WITHDRAWN), None
    if facts.status is DEROLLED:
        return State.OVER, closed if closed is Why.CANCELLED else Why.LEFT
    if facts.status is INVITED and not _too_late(facts, now):
        return (State.OVER, closed) if closed else (State.OPEN, None)
    if facts.purpose == "re-enable":
        return (State.OVER, closed) if closed else (State.OPEN, None)
    return (State.DECLINED if facts.status is DECLINED else State.RAN_OUT), None


def _on_the_list(facts: Facts, line: Line) -> tuple[State, Why | None]:
    """Of a link that leaves the list, or confirms that one waits."""
    if facts.cancelled_at:
        return State.OVER, Why.CANCELLED
    if facts.status is DEROLLED:
        return (State.LEFT, None) if facts.purpose == "leave" else (State.OVER, Why.LEFT)
    if facts.status in (EXPIRED, DECLINED):
        return State.OVER, Why.NOT_WAITING
    confirmed = line.confirmed_at is not None and line.confirmed_at >= facts.linked_at
    if facts.purpose == "keep" and confirmed:
        return State.KEPT, None
    return State.OPEN, None


def _closed(facts: Facts, now: datetime) -> Why | None:
    """Why nobody can book this training, or this student none."""
    if facts.cancelled_at:
        return Why.CANCELLED
    if facts.archived_at or not facts.booking:
        return Why.CLOSED
    if facts.starts_at and facts.starts_at <= now:
        return Why.STARTED
    active = facts.account_active and facts.student_status is PersonStatus.ACTIVE
    return None if active else Why.INACTIVE


def _too_late(facts: Facts, now: datetime) -> bool:
    return facts.deadline is not None and facts.deadline <= now


def _came_back(facts: Facts) -> bool:
    """Whoever joins again after an invitation starts anew; who is put back keeps their date."""
    return bool(facts.joined_at and facts.invite_date and facts.joined_at > facts.invite_date)


def _legal(facts: Facts, state: State, now: datetime) -> tuple[str, ...]:
    if state is State.OPEN:
        return {"answer": ("accept", "decline")}.get(facts.purpose, (facts.purpose,))
    ended = state in (State.DECLINED, State.RAN_OUT)
    return ("re-enable",) if ended and _closed(facts, now) is None else ()


def _limit(session: Session, facts: Facts, now: datetime) -> OverLimit | None:
    """The booking limit they would run into, so that no button promises what it can't (WP2)."""
    training = session.get_one(Training, facts.training_id)
    if not (limits := policies.limits_on(session, training)):
        return None
    stand, student = standing(session, training, now), facts.student_id
    return policies.too_many(session, stand, limits, [student]).get(student)


@composed
def _facts() -> Any:
    link, e, t, p = LinkToken, TrainingEnroll, Training, Practice
    return (
        sa.select(
            link.digest,
            link.purpose,
            link.invite_no,
            link.created_at,
            e.id,
            e.uuid,
            e.status,
            e.invite_no,
            e.invite_date,
            e.invite_expires_at,
            e.joined_at,
            User.first_name,
            User.active,
            Student.status,
            t.id,
            t.name,
            t.active,
            t.cancelled_at,
            t.archived_at,
            starts_at(t.id),
            p.name,
            p.timezone,
            e.student_id,
        )
        .select_from(link)
        .join(User, User.id == link.user_id)
        .join(e, e.id == link.enrolment_id)
        .join(Student, Student.id == e.student_id)
        .join(t, t.id == e.training_id)
        .join(p, p.id == t.practice_id)
        .where(links.is_genuine())
    )


def _line(session: Session, facts: Facts) -> Line:
    """Asked only where the page tells of it."""
    if facts.status in (INVITED, ENROLLED, DEROLLED):
        return Line()
    which = {"enrolment": facts.enrolment_id, "training": facts.training_id}
    return Line(*send(session, _in_line(), which | {"number": facts.asked}).one())


@composed
def _in_line() -> Any:
    e, h, own = TrainingEnroll, EnrolmentHistory, sa.orm.aliased(TrainingEnroll)
    this, of = (sa.bindparam(name, type_=sa.Integer) for name in ("enrolment", "training"))
    mine = sa.select(own.queue_position).where(own.id == this, own.status == WAITLIST)
    here = e.queue_position <= mine.scalar_subquery()
    confirmed = sa.select(sa.func.max(h.at)).where(h.enrolment_id == this, h.event == CONFIRMED)
    ended = sa.select(sa.func.max(h.at)).where(
        h.enrolment_id == this,
        h.invite_no == sa.bindparam("number", type_=sa.Integer),
        h.event.in_(("expired", "deinvited")),
    )
    return sa.select(
        sa.func.count(),
        sa.func.count().filter(here),
        confirmed.scalar_subquery(),
        ended.scalar_subquery(),
    ).where(e.training_id == of, e.status == WAITLIST)


@composed
def _days() -> Any:
    d = TrainingEvent
    where = (sa.func.coalesce(Location.name, ""), sa.func.coalesce(Location.address, ""))
    return (
        sa.select(d.start_time, d.end_time, *where)
        .outerjoin(Location, Location.id == d.location_id)
        .where(d.training_id == sa.bindparam("training", type_=sa.Integer))
        .order_by(d.start_time, d.id)
    )


# --- acting --------------------------------------------------------------------------------------


class Outcome(StrEnum):
    """What became of a click; where nothing is said the link's page tells what is true."""

    SEE = "see"  # done now, done before, or no longer possible (rulings RC3)
    OPPOSITE = "opposite"  # the other answer was given before


class Held(NamedTuple):
    """A genuine link and the row it is about."""

    enrolment: TrainingEnroll
    digest: str
    purpose: str
    asked: int


def held(session: Session, token: str, page: str, now: datetime) -> Held | None:
    """The row that a genuine link is about, for whoever acts; None as in `look`."""
    found = send(session, _held(), links.asked_for(token, page, now)).one_or_none()
    if found is None:
        return None
    id_, training_id, *link = found
    return Held(known(session, id_, training_id), *link)


@cache
def _held() -> Any:
    e, link = TrainingEnroll, LinkToken
    return (
        sa.select(e.id, e.training_id, link.digest, link.purpose, link.invite_no)
        .select_from(link)
        .join(User, User.id == link.user_id)
        .join(e, e.id == link.enrolment_id)
        .where(links.is_genuine())
    )


def act(session: Session, link: Held, verb: str, now: datetime) -> Outcome:
    """Do by a link what it allows. Raises the refusals of joining again."""
    if verb not in ACTS[link.purpose]:
        return Outcome.SEE
    do = {
        "accept": _accept,
        "decline": _decline,
        "leave": _leave,
        "keep": _keep,
        "re-enable": _join_again,
    }[verb]
    return do(session, link, now)


def _accept(session: Session, link: Held, now: datetime) -> Outcome:
    said = waitlist.accept(session, link.enrolment, LINK, now, invite_no=link.asked)
    return Outcome.OPPOSITE if said is Answer.ALREADY_DECLINED else Outcome.SEE


def _decline(session: Session, link: Held, now: datetime) -> Outcome:
    said = waitlist.decline(session, link.enrolment, LINK, now, invite_no=link.asked)
    return Outcome.OPPOSITE if said is Answer.ALREADY_ENROLLED else Outcome.SEE


def _leave(session: Session, link: Held, now: datetime) -> Outcome:
    status = _status_now(session, link)
    if status is ENROLLED:
        return Outcome.OPPOSITE
    if status in (WAITLIST, INVITED):
        enrolments.leave(session, link.enrolment, LINK, now)
    return Outcome.SEE


def _keep(session: Session, link: Held, now: datetime) -> Outcome:
    if _status_now(session, link) is WAITLIST and not _confirmed(session, link):
        history.note(session, link.enrolment, CONFIRMED, LINK, now)
    return Outcome.SEE


def _confirmed(session: Session, link: Held) -> bool:
    """By this link, before: a second click writes nothing."""
    h = EnrolmentHistory
    since = sa.select(LinkToken.created_at).where(LinkToken.digest == link.digest)
    said = sa.select(h.id).where(h.enrolment_id == link.enrolment.id, h.event == CONFIRMED)
    return session.scalar(said.where(h.at >= since.scalar_subquery()).limit(1)) is not None


def _join_again(session: Session, link: Held, now: datetime) -> Outcome:
    """Back to the tail; whose time ran out just now is taken off the list first.

    Raises `NotOpen`, `StudentInactive`, `ProfileIncomplete`, `Unreachable`.
    """
    row = link.enrolment
    if _status_now(session, link) is INVITED:
        waitlist.expire(session, row, SYSTEM, now)
    if row.status in (EXPIRED, DECLINED):
        # Whoever joins again agrees to the terms anew: the page says so beside the button.
        enrolments.enrol(session, row.training_id, row.student_id, LINK, now, terms=True)
    return Outcome.SEE


def _status_now(session: Session, link: Held) -> EnrolmentStatus | None:
    """The row's status under the lock of its training; None: there is a newer invitation."""
    locked(session, Training, link.enrolment.training_id)
    reread(session, link.enrolment)
    return link.enrolment.status if link.enrolment.invite_no == link.asked else None


# --- letters one can do without (PS10) ------------------------------------------------------------


class Reader(NamedTuple):
    """To whom a link to unsubscribe was sent."""

    digest: str
    user_id: int
    first_name: str
    practice_name: str
    wants_reminders: bool


def reader(session: Session, token: str, now: datetime) -> Reader | None:
    """Whose reminders a link is about; None for what is no genuine link, at the same cost."""
    asked = links.asked_for(token, "unsubscribe", now)
    found = session.execute(_reader(), asked).one_or_none()
    return Reader(*found) if found else None


def stop_reminders(session: Session, who: Reader) -> None:
    """No more reminders; invitations and changes still come. Twice is once."""
    students.want_reminders(session, who.user_id, False)


@composed
def _reader() -> Any:
    link, e = LinkToken, TrainingEnroll
    wants = sa.func.coalesce(UserSettings.msg_reminders, sa.true())
    return (
        sa.select(link.digest, User.id, User.first_name, Practice.name, wants)
        .select_from(link)
        .join(User, User.id == link.user_id)
        .join(e, e.id == link.enrolment_id)
        .join(Training, Training.id == e.training_id)
        .join(Practice, Practice.id == Training.practice_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .where(links.is_genuine())
    )
