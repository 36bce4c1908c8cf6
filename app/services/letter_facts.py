"""What a letter may know: reader, training and enrolment, as plain values (waitlist WM3).

`letter_reading` reads them when the letter is sent, `letter_rules` says whether it is still true,
`letter_words` puts it into the words of its reader.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from app.models.enrolment import INVITED, EnrolmentStatus
from app.models.outbox import Outbox
from app.models.queue import greetings_wanted, reminders_wanted
from app.models.user import User, UserSettings

UNDELIVERED = "undelivered_trainer"
OPEN_SPOT, ATTENDEE_LIST, MINIMUM_ALERT = "open_spot", "attendee_list", "minimum_alert"
OF_TODAY = ("training_rescheduled",)  # speaks of whatever invitation is open when it goes out
TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


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
    active: bool
    wants_mail: bool
    wants_reminders: bool
    language: str | None
    wants_greetings: bool = True
    phone: str | None = None

    @property
    def fullname(self) -> str:
        return plain(f"{self.first_name} {self.last_name}")


# A `Person` as a statement reads them; needs the settings by an outer join.
PERSON: tuple[Any, ...] = (
    User.id,
    User.email,
    User.first_name,
    User.last_name,
    User.undeliverable_at,
    User.erased_at,
    User.active,
    sa.func.coalesce(UserSettings.msg_transactional_emails, sa.true()),
    reminders_wanted(),
    UserSettings.language,
    greetings_wanted(),
    User.phone,
)


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
    minimum: int | None = None  # participants that it needs


class Change(NamedTuple):
    """What became of a student, in a word of `letter_words.CHANGES`."""

    how: str
    student: Person


class Offer(NamedTuple):
    """An open invitation."""

    student: Person
    deadline: datetime | None


class News(NamedTuple):
    """What a digest tells of one training, and how it stands now."""

    training_id: int
    name: str
    starts_at: datetime | None
    places: int
    taken: int
    waiting: int
    cancelled: bool  # lately
    rescheduled: bool
    changes: tuple[Change, ...]
    offers: tuple[Offer, ...]


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
    active: bool = True  # neither the student nor the account is switched off


class Happened(NamedTuple):
    """The history row that a letter tells of: who did it, and what staff noted."""

    training_id: int
    seq: int
    enrolment_id: int | None
    invite_no: int | None
    ended_invitation: bool
    event: str
    reason: str | None
    actor: str
    note: str | None
    filled: bool  # whether the place went to the next in line in the same act


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
    told: Happened | None
    actor_name: str
    note: str
    attendees: tuple[Person, ...]
    free: int | None = None  # places free for this reader, whom a free place is announced to
    news: tuple[News, ...] = ()  # of a digest

    @property
    def to_trainer(self) -> bool:
        """Whether it speaks to who teaches."""
        return is_for_trainers(self.row.kind)

    @property
    def invite_no(self) -> int | None:
        """The invitation that it speaks of: that of its row, or what a new timetable finds open."""
        if self.seat is None:
            return None
        of_today = self.row.invite_no is None or self.row.kind in OF_TODAY
        return self.seat.invite_no if of_today else self.row.invite_no

    @property
    def invitation(self) -> str:
        """What became of the invitation it speaks of: `open` or `ended`; blank if of none."""
        if self.seat is None:
            return ""
        if self.seat.status is INVITED and self.invite_no == self.seat.invite_no:
            return "open"
        undelivered = self.row.kind == UNDELIVERED and self.row.payload.get("letter", "invited")
        return "ended" if undelivered == "invited" else ""

    @property
    def ended_by(self) -> str:
        """Who ended it, if neither student nor clock: `staff` or `undelivered`; else blank."""
        if self.told is None or not self.told.ended_invitation:
            return ""
        if self.told.reason == "bounced":
            return "undelivered"
        by_person = self.told.actor == "console" or self.told.actor.startswith("user:")
        by_student = self.seat is not None and user_in(self.told.actor) == self.seat.user_id
        ended = self.told.event in ("deinvited", "declined")
        return "staff" if ended and by_person and not by_student else ""

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
        planned = as_instant(self.row.payload.get("occurrence"))
        return min(last, planned) if last and planned else last


def is_for_trainers(kind: str) -> bool:
    """Whether a letter of this kind speaks to who teaches, not to who learns."""
    return kind.endswith("_trainer") or kind in (ATTENDEE_LIST, MINIMUM_ALERT)


def number_in(key: str) -> int | None:
    """The number in the history that a key names as its occasion (WM6)."""
    parts = key.split(":")
    return int(parts[2]) if len(parts) > 2 and parts[2].isdecimal() else None


def user_in(actor: str) -> int | None:
    """The user whom the history names as an actor, if it was one."""
    kind, _colon, number = actor.partition(":")
    return int(number) if kind == "user" and number.isdecimal() else None


def as_instant(text: Any) -> datetime | None:
    """The instant that an occurrence is named by, if it is one."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else None


def plain(text: str) -> str:
    """One line without control characters: a name is shown, it does not act (B48)."""
    return " ".join("".join(" " if _acts(sign) else sign for sign in text).split())


def plain_lines(text: str) -> str:
    """The same of several lines: these stay, and so do the blanks within them."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join("".join(" " if _acts(sign) else sign for sign in line) for line in lines)


def _acts(sign: str) -> bool:
    """Control characters, and those that turn the direction of what follows."""
    return unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") or sign in TURNS
