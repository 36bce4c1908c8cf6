"""What a letter may say, asked of the rows when it is sent: plain values only (waitlist WM3, OB4).

`gather` reads for many rows of the outbox at once, in as many statements for one as for a thousand,
and says which letters are no longer true. `variables` puts one letter's facts into the words of its
reader's language, in the zone of the practice.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from flask_babel import format_datetime
from flask_babel import gettext as _
from flask_babel import ngettext as _n
from sqlalchemy.orm import Session

from app.models.bulk import among
from app.models.enrolment import (
    DECLINED,
    DEROLLED,
    ENROLLED,
    EXPIRED,
    INVITED,
    OPEN,
    WAITLIST,
    EnrolmentStatus,
    TrainingEnroll,
)
from app.models.enrolment_history import EnrolmentHistory
from app.models.outbox import Outbox
from app.models.person import PersonStatus, Student, Trainer
from app.models.practice import Practice
from app.models.queue import reminders_wanted
from app.models.training import (
    AssignmentStatus,
    Location,
    Training,
    TrainingEvent,
    TrainingTrainer,
    TrainingType,
)
from app.models.user import User, UserSettings
from app.services import account_letters

TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
DATE, TIME = "EEE d MMMM y", "HH:mm"

# Every variable of every letter (WM3); a text that names another is refused.
NAMES = frozenset(
    {
        "recipient_name",
        "student_name",
        "training_name",
        "type_name",
        "practice_name",
        "events",
        "deadline",
        "answer_time",
        "time_left",
        "place",
        "waiting",
        "reason",
        "policy_text",
        "actor_name",
        "attendees",
        "links",
    }
)


@dataclass(frozen=True)
class Untrue:
    """A letter not to be sent any more, and why (OB4)."""

    reason: str


class Person(NamedTuple):
    """Someone a letter goes to or speaks of."""

    id: int
    email: str
    first_name: str
    last_name: str
    undeliverable_at: datetime | None
    erased_at: datetime | None
    wants_mail: bool
    wants_reminders: bool
    language: str | None

    @property
    def fullname(self) -> str:
        return plain(f"{self.first_name} {self.last_name}")


class Day(NamedTuple):
    """A dated meeting of a training."""

    training_id: int
    id: int
    start: datetime
    end: datetime
    location: str
    address: str


class Course(NamedTuple):
    """A training and its practice."""

    id: int
    name: str
    type_name: str | None
    cancelled_at: datetime | None
    archived_at: datetime | None
    history_seq: int
    practice_id: int
    practice_name: str
    zone: str
    language: str
    sender: str | None


class Seat(NamedTuple):
    """An enrolment as it is now."""

    id: int
    uuid: str
    training_id: int
    status: EnrolmentStatus
    invite_no: int
    invite_date: datetime | None
    deadline: datetime | None
    ical_sequence: int
    user_id: int


class Happened(NamedTuple):
    """The history row that a letter tells of: who did it, and what staff noted."""

    training_id: int
    seq: int
    enrolment_id: int | None
    invite_no: int | None
    ended_invitation: bool
    actor: str
    note: str | None


@dataclass(frozen=True)
class Facts:
    """All that one letter needs to know; its reader may still get it."""

    row: Outbox
    reader: Person
    course: Course
    days: tuple[Day, ...]
    seat: Seat | None  # None: a trainer's letter about the whole training
    student: Person | None
    place: int | None
    waiting: int | None
    actor_name: str
    note: str
    attendees: tuple[Person, ...]

    @property
    def to_trainer(self) -> bool:
        """Whether it speaks to who teaches."""
        return is_for_trainers(self.row.kind)

    @property
    def languages(self) -> tuple[str, ...]:
        """The reader's, else the practice's, else English; `nl-BE` is also `nl`."""
        asked = (self.reader.language or "", self.course.language, "en")
        each = (part for name in asked for part in (name, name.partition("-")[0]))
        return tuple(dict.fromkeys(language for language in each if language))

    @property
    def event(self) -> Day | None:
        """The meeting that a reminder is about, if it names one that is still there."""
        named = self.row.payload.get("event")
        return next((day for day in self.days if day.id == named), None)

    @property
    def begins(self) -> datetime | None:
        """What a reminder has to arrive before: its meeting, or the start that it was planned for.

        Where the timetable has changed since, at the latest the last meeting there is now.
        """
        if self.event is not None:
            return self.event.start
        last = max((day.start for day in self.days), default=None)
        planned = _as_instant(self.row.payload.get("occurrence"))
        return min(last, planned) if last and planned else last


def is_for_trainers(kind: str) -> bool:
    """Whether a letter of this kind speaks to who teaches, not to who learns."""
    return kind.endswith("_trainer")


# --- which letters are still true (OB4) ----------------------------------------------------------

Rule = Callable[[Facts, datetime], str | None]  # why it is no longer true


def _in(*statuses: EnrolmentStatus) -> Rule:
    """The enrolment is in one of these statuses."""

    def rule(facts: Facts, _now: datetime) -> str | None:
        seat = facts.seat
        if seat is None:
            return "the enrolment is gone"
        return None if seat.status in statuses else f"now {seat.status}"

    return rule


def _same_invitation(facts: Facts, _now: datetime) -> str | None:
    newer = facts.seat is not None and facts.row.invite_no not in (None, facts.seat.invite_no)
    return "there is a newer invitation" if newer else None


def _in_time(facts: Facts, now: datetime) -> str | None:
    deadline = facts.seat.deadline if facts.seat else None
    return "the deadline has passed" if deadline is not None and deadline <= now else None


def _ahead(facts: Facts, now: datetime) -> str | None:
    if facts.row.payload.get("event") is not None and facts.event is None:
        return "that meeting is gone"
    return "it has started" if facts.begins is None or facts.begins <= now else None


def _takes_place(facts: Facts, _now: datetime) -> str | None:
    return "the training is cancelled" if facts.course.cancelled_at else None


OPEN_INVITATION: tuple[Rule, ...] = (_in(INVITED), _same_invitation, _in_time)

# Every letter we write, and what must be true when it goes out. What trainers are told of happened,
# whatever came after; only what lies ahead can become untrue.
RULES: dict[str, tuple[Rule, ...]] = {
    "enrolled": (_in(ENROLLED),),
    "waitlisted": (_in(WAITLIST),),
    "invited": OPEN_INVITATION,
    "invite_reminder": OPEN_INVITATION,
    "accepted": (_in(ENROLLED),),
    "declined": (_in(DECLINED), _same_invitation),
    "expired": (_in(EXPIRED, WAITLIST), _same_invitation),  # it may go back on the list (WI7)
    "invitation_withdrawn": (_in(WAITLIST), _same_invitation),
    "deadline_changed": OPEN_INVITATION,
    "derolled": (_in(DEROLLED),),
    "left_waitlist": (_in(DEROLLED),),
    "training_rescheduled": (_in(*OPEN), _takes_place),
    "training_cancelled": (),
    "reminder_student": (_in(ENROLLED), _takes_place, _ahead),
    "enrolled_trainer": (),
    "waitlisted_trainer": (),
    "invited_trainer": (),
    "accepted_trainer": (),
    "declined_trainer": (),
    "expired_trainer": (),
    "derolled_trainer": (),
    "left_waitlist_trainer": (),
    "training_rescheduled_trainer": (_takes_place,),
    "training_cancelled_trainer": (),
    "reminder_trainer": (_takes_place, _ahead),
    "undelivered_trainer": (_in(INVITED, EXPIRED), _same_invitation),
} | dict.fromkeys(account_letters.KINDS, ())
TO_THE_OFFICE_TOO = ("undelivered_trainer",)  # whose readers need not teach
ONE_CAN_DO_WITHOUT = ("reminder_student",)  # and each says how (people PS10)
NAMES_ATTENDEES = ("reminder_trainer",)


# --- reading -------------------------------------------------------------------------------------


def gather(session: Session, rows: Sequence[Outbox], now: datetime) -> dict[int, Facts | Untrue]:
    """The facts of each row by its id, or why it is not to be sent; nothing is locked."""
    about = _About(session, rows)
    return {row.id: about.facts_of(row, now) for row in rows}


class _About:
    """What the rows speak of, read once for all of them."""

    def __init__(self, session: Session, rows: Sequence[Outbox]) -> None:
        self.session = session
        self.seats = self._seats(row.enrolment_id for row in rows)
        trainings = {_training_of(row, self.seats) for row in rows}
        self.courses = {c.id: c for c in self._ask(Course, _courses(), trainings)}
        self.days: dict[int, list[Day]] = defaultdict(list)
        for day in self._ask(Day, _days(), trainings):
            self.days[day.training_id].append(day)
        self.line = self._line(trainings)
        self.happened = self._happened(rows, trainings)
        self.attendees = self._attendees(rows)
        self.people = self._people(rows)
        self.teachers = self._teachers(rows, trainings)
        self.offices = self._offices(rows)

    def facts_of(self, row: Outbox, now: datetime) -> Facts | Untrue:
        """What one row may say; says no where its reader or its subject is not there any more."""
        if row.kind in account_letters.KINDS:
            return self._account_facts(row, now)
        reader = self.people.get(row.user_id or 0)
        course = self.courses.get(_training_of(row, self.seats) or 0)
        if reader is None or course is None:
            return Untrue("there is nobody, or nothing, to write about")
        facts = self._facts(row, reader, course)
        return next((Untrue(why) for why in self._objections(facts, now)), facts)

    def _account_facts(self, row: Outbox, now: datetime) -> Facts | Untrue:
        """A letter about an account has a practice, but no training; whoever opted out gets it."""
        said, until = row.payload, _as_instant(row.payload.get("until"))
        reader = self.people.get(row.user_id or 0) or NOBODY
        if said.get("to"):
            reader = reader._replace(email=str(said["to"]), undeliverable_at=None)
        if row.kind in account_letters.WITH_LINK and not said.get("page"):
            return Untrue("its link went out with it")
        if until and until <= now:
            return Untrue(account_letters.RAN_OUT)
        if reader.erased_at or not reader.email:
            return Untrue("erased")
        if reader.undeliverable_at:
            return Untrue("undeliverable")
        office = self.offices.get(said.get("practice", 0), NO_PRACTICE)
        about = self.people.get(said.get("about", 0))
        return Facts(row, reader, office, (), None, about, None, None, "", "", ())

    def _objections(self, facts: Facts, now: datetime) -> Iterable[str]:
        reader, kind = facts.reader, facts.row.kind
        if reader.erased_at:
            yield "erased"
        if reader.undeliverable_at:
            yield "undeliverable"
        if not reader.wants_mail or (kind in ONE_CAN_DO_WITHOUT and not reader.wants_reminders):
            yield "opted out"
        pair = (facts.course.id, reader.id)
        if facts.to_trainer and kind not in TO_THE_OFFICE_TOO and pair not in self.teachers:
            yield "no longer teaches this"
        yield from (why for rule in RULES.get(kind, ()) if (why := rule(facts, now)))

    def _facts(self, row: Outbox, reader: Person, course: Course) -> Facts:
        seat = self.seats.get(row.enrolment_id or 0)
        place, waiting = self.line.get(seat.id if seat else 0, (None, None))
        told = self._told(row, course)
        return Facts(
            row=row,
            reader=reader,
            course=course,
            days=tuple(self.days[course.id]),
            seat=seat,
            student=self.people.get(seat.user_id) if seat else None,
            place=place,
            waiting=waiting,
            actor_name=self._actor_name(told, seat),
            note=(told.note or "") if told else "",
            attendees=tuple(self.attendees.get(course.id, ())),
        )

    def _told(self, row: Outbox, course: Course) -> Happened | None:
        """The history row behind a letter: by its number, else by the invitation it ended."""
        if row.kind not in TELLS_WHO:
            return None  # what staff noted is for staff
        seq = number_in(row.key)
        by_number = (h for h in self.happened if (h.training_id, h.seq) == (course.id, seq))
        by_invitation = (
            h
            for h in self.happened
            if h.ended_invitation and (h.enrolment_id, h.invite_no) == _invitation_of(row)
        )
        of_invitation = row.kind.removesuffix("_trainer") in OF_AN_INVITATION
        return next(by_invitation if of_invitation else by_number, None)

    def _actor_name(self, told: Happened | None, seat: Seat | None) -> str:
        """Who among the staff did it; nobody if it was the student, or no person."""
        user_id = _user_in(told.actor) if told else None
        if user_id is None or (seat is not None and user_id == seat.user_id):
            return ""
        found = self.people.get(user_id)
        return found.fullname if found else ""

    # --- the statements, one each ---

    def _ask(self, shape: Any, statement: sa.Select[Any], ids: Iterable[int | None]) -> list[Any]:
        wanted = sorted({id_ for id_ in ids if id_ is not None})
        if not wanted:
            return []
        return [shape(*row) for row in self.session.execute(statement, {"ids": wanted})]

    def _seats(self, ids: Iterable[int | None]) -> dict[int, Seat]:
        return {seat.id: seat for seat in self._ask(Seat, _seats(), ids)}

    def _line(self, trainings: Iterable[int | None]) -> dict[int, tuple[int, int]]:
        waits = {s.training_id for s in self.seats.values() if s.status is WAITLIST}
        mine = [s.id for s in self.seats.values() if s.training_id in waits]
        if not mine:
            return {}
        asked = {"trainings": sorted(waits), "ids": sorted(mine)}
        found = self.session.execute(_places(), asked)
        return {id_: (place, waiting) for id_, place, waiting in found}

    def _happened(self, rows: Sequence[Outbox], trainings: set[int | None]) -> list[Happened]:
        told = [row for row in rows if row.kind in TELLS_WHO]
        if not told:
            return []
        asked = {
            "trainings": sorted(t for t in trainings if t is not None),
            "numbers": sorted({number_in(row.key) or 0 for row in told}),
            "ids": sorted({row.enrolment_id or 0 for row in told}),
        }
        return [Happened(*row) for row in self.session.execute(_history(), asked)]

    def _attendees(self, rows: Sequence[Outbox]) -> dict[int, list[Person]]:
        named = [_training_of(row, self.seats) for row in rows if row.kind in NAMES_ATTENDEES]
        found: dict[int, list[Person]] = defaultdict(list)
        wanted = sorted({id_ for id_ in named if id_ is not None})
        if wanted:
            for training_id, *person in self.session.execute(_enrolled(), {"ids": wanted}):
                found[training_id].append(Person(*person))
        return found

    def _people(self, rows: Sequence[Outbox]) -> dict[int, Person]:
        ids = [row.user_id for row in rows]
        ids += [seat.user_id for seat in self.seats.values()]
        ids += [_user_in(h.actor) for h in self.happened]
        ids += [row.payload.get("about") for row in rows if row.kind in account_letters.KINDS]
        return {person.id: person for person in self._ask(Person, _people(), ids)}

    def _offices(self, rows: Sequence[Outbox]) -> dict[int, Course]:
        """The practices that account letters come from, each as a course without a training."""
        named = [r.payload.get("practice") for r in rows if r.kind in account_letters.KINDS]
        return {c.practice_id: c for c in self._ask(Course, _practices(), named)}

    def _teachers(
        self, rows: Sequence[Outbox], trainings: Iterable[int | None]
    ) -> set[tuple[int, int]]:
        if not any(is_for_trainers(row.kind) for row in rows):
            return set()
        return set(self._ask(_pair, _teachers(), trainings))


def _pair(training_id: int, user_id: int) -> tuple[int, int]:
    return training_id, user_id


OF_AN_INVITATION = ("accepted", "declined", "expired")
# Whose reader wants to know who did it, and why: staff among themselves.
TELLS_WHO = frozenset(
    {
        "enrolled_trainer",
        "declined_trainer",
        "expired_trainer",
        "derolled_trainer",
        "left_waitlist_trainer",
        "training_cancelled_trainer",
        "training_rescheduled_trainer",
    }
)


def _as_instant(text: Any) -> datetime | None:
    """The instant that an occurrence is named by, if it is one."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else None


def _training_of(row: Outbox, seats: dict[int, Seat]) -> int | None:
    seat = seats.get(row.enrolment_id or 0)
    named = row.payload.get("training")
    return seat.training_id if seat else named if isinstance(named, int) else None


def number_in(key: str) -> int | None:
    """The number in the history that a key names as its occasion (WM6)."""
    parts = key.split(":")
    return int(parts[2]) if len(parts) > 2 and parts[2].isdecimal() else None


def _invitation_of(row: Outbox) -> tuple[int | None, int | None]:
    return row.enrolment_id, row.invite_no


def _user_in(actor: str) -> int | None:
    kind, _colon, number = actor.partition(":")
    return int(number) if kind == "user" and number.isdecimal() else None


@cache
def _seats() -> Any:
    e = TrainingEnroll
    return (
        sa.select(
            e.id,
            e.uuid,
            e.training_id,
            e.status,
            e.invite_no,
            e.invite_date,
            e.invite_expires_at,
            e.ical_sequence,
            Student.user_id,
        )
        .join(Student, Student.id == e.student_id)
        .where(among(e.id, "ids"))
    )


@cache
def _courses() -> Any:
    t, p = Training, Practice
    return (
        sa.select(
            t.id,
            t.name,
            TrainingType.name,
            t.cancelled_at,
            t.archived_at,
            t.history_seq,
            p.id,
            p.name,
            p.timezone,
            p.language,
            p.sender,
        )
        .join(p, p.id == t.practice_id)
        .outerjoin(TrainingType, TrainingType.id == t.training_type_id)
        .where(among(t.id, "ids"))
    )


@cache
def _practices() -> Any:
    p, none = Practice, sa.null()
    of_no_training = (sa.literal(0), sa.literal(""), none, none, none, sa.literal(0))
    return sa.select(*of_no_training, p.id, p.name, p.timezone, p.language, p.sender).where(
        among(p.id, "ids")
    )


NOBODY = Person(0, "", "", "", None, None, True, True, None)  # who signs up has no account yet
NO_PRACTICE = Course(0, "", None, None, None, 0, 0, "Nextseat", "UTC", "en", None)


@cache
def _days() -> Any:
    d, where = TrainingEvent, Location
    return (
        sa.select(
            d.training_id,
            d.id,
            d.start_time,
            d.end_time,
            sa.func.coalesce(where.name, ""),
            sa.func.coalesce(where.address, ""),
        )
        .outerjoin(where, where.id == d.location_id)
        .where(among(d.training_id, "ids"))
        .order_by(d.start_time, d.id)
    )


@cache
def _places() -> Any:
    """Place and length of the line for some who wait (WF3)."""
    e = TrainingEnroll
    line = (
        sa.select(
            e.id,
            sa.func.row_number()
            .over(partition_by=e.training_id, order_by=e.queue_position)
            .label("place"),
            sa.func.count().over(partition_by=e.training_id).label("waiting"),
        )
        .where(among(e.training_id, "trainings"), e.status == WAITLIST)
        .subquery()
    )
    return sa.select(line).where(among(line.c.id, "ids"))


@cache
def _history() -> Any:
    h = EnrolmentHistory
    ended = sa.and_(h.from_status == INVITED, h.to_status != INVITED)
    by_number = sa.and_(among(h.training_id, "trainings"), among(h.seq, "numbers"))
    by_invitation = sa.and_(among(h.enrolment_id, "ids"), ended)
    is_end = sa.func.coalesce(ended, sa.false())
    return (
        sa.select(h.training_id, h.seq, h.enrolment_id, h.invite_no, is_end, h.actor, h.note)
        .where(sa.or_(by_number, by_invitation))
        .order_by(h.id)
    )


PERSON: tuple[Any, ...] = (
    User.id,
    User.email,
    User.first_name,
    User.last_name,
    User.undeliverable_at,
    User.erased_at,
    sa.func.coalesce(UserSettings.msg_transactional_emails, sa.true()),
    reminders_wanted(),
    UserSettings.language,
)


@cache
def _people() -> Any:
    wanted = sa.select(*PERSON).outerjoin(UserSettings, UserSettings.user_id == User.id)
    return wanted.where(among(User.id, "ids"))


@cache
def _enrolled() -> Any:
    """Who comes to some trainings, by name."""
    e = TrainingEnroll
    return (
        sa.select(e.training_id, *PERSON)
        .select_from(e)
        .join(Student, Student.id == e.student_id)
        .join(User, User.id == Student.user_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .where(among(e.training_id, "ids"), e.status == ENROLLED)
        .order_by(User.last_name, User.first_name, User.id)
    )


@cache
def _teachers() -> Any:
    t = TrainingTrainer
    accepted = sa.and_(t.status == AssignmentStatus.ACCEPTED, Trainer.status == PersonStatus.ACTIVE)
    return (
        sa.select(t.training_id, Trainer.user_id)
        .join(Trainer, Trainer.id == t.trainer_id)
        .where(among(t.training_id, "ids"), accepted)
    )


# --- in words ------------------------------------------------------------------------------------


def variables(facts: Facts, links: dict[str, str], now: datetime) -> dict[str, Any]:
    """The letter's variables as plain values, in the locale that is in force (WM3)."""
    seat, zone = facts.seat, zone_of(facts.course.zone)
    deadline = _deadline_told(facts, now)
    ends = deadline or _as_instant(facts.row.payload.get("until"))  # or a link stops working
    student = facts.student
    return {
        "recipient_name": plain(facts.reader.first_name or facts.reader.last_name),
        "student_name": student_name(student),
        "training_name": plain(facts.course.name),
        "type_name": plain(facts.course.type_name or ""),
        "practice_name": plain(facts.course.practice_name),
        "events": [_event(day, zone) for day in _days_told(facts)],
        "deadline": instant(deadline, zone) if deadline else "",
        "answer_time": duration(deadline - seat.invite_date)
        if deadline and seat and seat.invite_date
        else "",
        "time_left": duration(ends - now) if ends and ends > now else "",
        "place": facts.place or "",
        "waiting": facts.waiting or "",
        "reason": plain(str(facts.row.payload.get("reason") or facts.note)),
        "policy_text": plain(str(facts.row.payload.get("policy_text") or "")),
        "actor_name": facts.actor_name,
        "attendees": [
            {"number": n, "name": student_name(person)}
            for n, person in enumerate(facts.attendees, start=1)
        ],
        "links": links,
    }


def student_name(person: Person | None) -> str:
    """Name or else address; who was erased has neither."""
    if person is None or person.erased_at:
        return str(_("Former student"))
    return person.fullname or plain(person.email)


def _deadline_told(facts: Facts, now: datetime) -> datetime | None:
    """The deadline of the invitation that the letter is about, not of a later one.

    An invitation that has ended had a deadline only if it came to that.
    """
    seat = facts.seat
    if seat is None or seat.deadline is None or facts.row.invite_no != seat.invite_no:
        return None
    return seat.deadline if seat.status is INVITED or seat.deadline <= now else None


def _days_told(facts: Facts) -> Sequence[Day]:
    return (facts.event,) if facts.event is not None else facts.days


def _event(day: Day, zone: ZoneInfo) -> dict[str, str]:
    start, end = day.start.astimezone(zone), day.end.astimezone(zone)
    one_day = start.date() == end.date()
    until = clock_time(end) if one_day else instant(day.end, zone)
    return {
        "when": f"{date_of(start)}, {clock_time(start)} – {clock_time(end)} ({zone_name(start)})"
        if one_day
        else f"{instant(day.start, zone)} – {instant(day.end, zone)}",
        "start": instant(day.start, zone),
        "end": until,
        "starts_at": start.isoformat(),
        "ends_at": end.isoformat(),
        "zone": zone_name(start),
        "location": plain(day.location),
        "address": plain(day.address),
        "where": ", ".join(part for part in (plain(day.location), plain(day.address)) if part),
    }


def instant(at: datetime, zone: ZoneInfo) -> str:
    """In full, zone in words: `Tue 3 March 2026, 14:30 (Amsterdam)` (people PG7)."""
    local = at.astimezone(zone)
    return f"{date_of(local)}, {clock_time(local)} ({zone_name(local)})"


def date_of(local: datetime) -> str:
    """`Tue 3 March 2026`."""
    return str(format_datetime(local, DATE, rebase=False))


def clock_time(local: datetime) -> str:
    """`14:30`."""
    return str(format_datetime(local, TIME, rebase=False))


def zone_name(local: datetime) -> str:
    """`Amsterdam`; in the hour that comes twice in autumn `Amsterdam, UTC+02:00`."""
    name = str(local.tzinfo).rpartition("/")[2].replace("_", " ")
    other = local.replace(fold=1 - local.fold)
    if other.utcoffset() == local.utcoffset():
        return name
    return f"{name}, UTC{local.strftime('%z')[:3]}:{local.strftime('%z')[3:]}"


@cache
def zone_of(name: str) -> ZoneInfo:
    """The zone of that name; UTC for one that this machine does not know."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def duration(length: timedelta) -> str:
    """Its two largest parts, rounded down: `2 days`, `1 day 3 hours`, `45 minutes`."""
    minutes = max(int(length.total_seconds()) // 60, 0)
    days, hours = divmod(minutes // 60, 24)
    minutes %= 60
    parts = [
        (_n("%(num)s day", "%(num)s days", days), days),
        (_n("%(num)s hour", "%(num)s hours", hours), hours),
        (_n("%(num)s minute", "%(num)s minutes", minutes), minutes if not days else 0),
    ]
    said = [str(words) for words, count in parts if count]
    return " ".join(said) or str(_("less than a minute"))


def plain(text: str) -> str:
    """One line without control characters: a name is shown, it does not act (B48)."""
    return " ".join("".join(" " if _acts(sign) else sign for sign in text).split())


def _acts(sign: str) -> bool:
    """Control characters, and those that turn the direction of what follows."""
    return unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") or sign in TURNS
