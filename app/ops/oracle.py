"""A second pair of eyes on a replay: books of its own, no function of the services (rulings RD3).

The oracle is told of every act that was asked of the services. It knows the rules in its own words,
reads the rows and the history that came of it by plain SELECTs, and counts what should not be:

- `oversold`: a place given that was not there, cuts of the capacity aside;
- `fifo_violations`: someone passed a person who came earlier, took a place after their right to it
  had lapsed, or lost it before;
- `idle_spots`: a place left free, at rest, while someone waits;
- `history_gaps`: numbers with a gap, a move that is none of waitlist WE2, one that nobody asked
  for, one that did not come, or a history that does not lead to what the table says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.models import EnrolmentHistory, TrainingEnroll

# waitlist WE2, copied by hand: event -> from which statuses, to which.
NONE, WAITING, INVITED, ENROLLED = None, "waitlist", "waitlist-invited", "enrolled"
EXPIRED, DECLINED, DEROLLED = "waitlist-invite-expired", "waitlist-declined", "derolled"
MOVES: dict[str, tuple[tuple[str | None, ...], str]] = {
    "enrolled": ((NONE, DEROLLED), ENROLLED),
    "queued": ((NONE, DEROLLED), WAITING),
    "re-enabled": ((EXPIRED, DECLINED), WAITING),
    "invited": ((WAITING,), INVITED),
    "accepted": ((INVITED,), ENROLLED),
    "declined": ((INVITED,), DECLINED),
    "expired": ((INVITED,), EXPIRED),
    "deinvited": ((INVITED,), EXPIRED),
    "returned": ((INVITED,), WAITING),
    "forced": ((NONE, WAITING, INVITED, EXPIRED, DECLINED, DEROLLED), ENROLLED),
    "derolled": ((ENROLLED,), DEROLLED),
    "left": ((WAITING, INVITED), DEROLLED),
    "removed": ((WAITING, INVITED), DEROLLED),
    "cancelled": ((WAITING, INVITED, ENROLLED), DEROLLED),
    "archived": ((WAITING, INVITED), DEROLLED),
}
TAKING = (ENROLLED, INVITED)

# The rules of the replay, in the oracle's own words (waitlist WD3, WF5).
CUT_OFF = timedelta(hours=2)  # before the start the last answer is due
SHORTEST_ANSWER = timedelta(minutes=15)  # nobody is invited with less time left

# What each act may lead to, for whom it was asked; refills invite by themselves.
ASKED_FOR = {
    "enrol": ("enrolled", "queued"),
    "leave": ("derolled", "left"),
    "accept": ("accepted",),
    "decline": ("declined",),
}

# Asked after every act, so written once: a statement takes longer to build than to run.
NEWS = (
    sa.select(
        EnrolmentHistory.seq,
        EnrolmentHistory.student_id,
        EnrolmentHistory.event,
        EnrolmentHistory.from_status,
        EnrolmentHistory.to_status,
    )
    .where(
        EnrolmentHistory.training_id == sa.bindparam("training_id"),
        EnrolmentHistory.seq > sa.bindparam("read"),
    )
    .order_by(EnrolmentHistory.seq)
)
HISTORY = sa.select(sa.func.count(), sa.func.max(EnrolmentHistory.seq)).where(
    EnrolmentHistory.training_id == sa.bindparam("training_id")
)
STATUSES = (
    sa.select(TrainingEnroll.status, sa.func.count(), sa.func.sum(TrainingEnroll.seats))
    .where(TrainingEnroll.training_id == sa.bindparam("training_id"))
    .group_by(TrainingEnroll.status)
)
ROWS = (
    sa.select(TrainingEnroll.student_id, TrainingEnroll.status)
    .where(TrainingEnroll.training_id == sa.bindparam("training_id"))
    .order_by(TrainingEnroll.queue_position)
)


@dataclass
class Violations:
    """How often each promise was broken; all zero is what we want."""

    oversold: int = 0
    fifo_violations: int = 0
    idle_spots: int = 0
    history_gaps: int = 0

    def __bool__(self) -> bool:
        return any(vars(self).values())


class Fact(NamedTuple):
    """A row of the history that moved someone."""

    seq: int
    student_id: int
    event: str
    from_: str | None
    to: str


@dataclass
class Book:
    """What the oracle knows of one training."""

    capacity: int
    starts_at: datetime
    overbooked: int = 0  # what a cut of the capacity left above it
    seq: int = 0
    taken: int = 0
    status: dict[int, str] = field(default_factory=dict)  # by student, folded from the history
    line: dict[int, int] = field(default_factory=dict)  # who waits -> when they came
    came: dict[int, int] = field(default_factory=dict)  # student -> number of our call
    answer_by: dict[int, datetime] = field(default_factory=dict)  # who is invited -> until when
    asked: dict[int, tuple[str, datetime]] = field(default_factory=dict)  # what must show in rows

    @property
    def hard_stop(self) -> datetime:
        return self.starts_at - CUT_OFF

    def invites_at(self, now: datetime) -> bool:
        return now <= self.hard_stop - SHORTEST_ANSWER


class Oracle:
    """Keeps the books of all trainings of a replay, reading through a connection of its own."""

    def __init__(self, connection: Connection, answer_time: timedelta) -> None:
        self.connection = connection
        self.answer_time = answer_time
        self.books: dict[int, Book] = {}
        self.violations = Violations()
        self.calls = 0

    # --- what it is told ---

    def opened(self, training_id: int, capacity: int, starts_at: datetime) -> None:
        self.books[training_id] = Book(capacity, starts_at)

    def resized(self, training_id: int, capacity: int) -> None:
        """The registrar changed the capacity; who has a place above it keeps it."""
        book = self.books[training_id]
        book.capacity, book.overbooked = capacity, max(0, book.taken - capacity)

    def enrolled(self, training_id: int, student_ids: Iterable[int], now: datetime) -> None:
        """These asked for a place; those of one call came at the same time."""
        self.calls += 1
        book = self.books[training_id]
        for student_id in student_ids:
            book.came[student_id] = self.calls
            book.asked[student_id] = ("enrol", now)

    def left(self, training_id: int, student_id: int, now: datetime) -> None:
        self.books[training_id].asked[student_id] = ("leave", now)

    def answered(self, training_id: int, student_id: int, accepts: bool, now: datetime) -> None:
        self.books[training_id].asked[student_id] = ("accept" if accepts else "decline", now)

    def swept(self, training_id: int, now: datetime) -> list[Fact]:
        """The sweep went over this training: nobody's time is up and still holds a place."""
        facts = self.check(training_id, now)
        overdue = [who for who, until in self.books[training_id].answer_by.items() if until <= now]
        self.violations.idle_spots += len(overdue)
        return facts

    # --- what it checks ---

    def check(self, training_id: int, now: datetime) -> list[Fact]:
        """Read what is new in a training and judge it; return who moved, in order."""
        book = self.books[training_id]
        facts = self._news(training_id, book)
        for fact in facts:
            self._fold(book, fact, now)
        self._nothing_is_missing(book)
        self._statuses_agree(training_id, book)
        self._nothing_is_idle(book, now)
        return facts

    def check_all(self, now: datetime) -> None:
        """Each training in full: every row, and the whole line."""
        for training_id in self.books:
            self.check(training_id, now)
            self._rows_agree(training_id)
            self._history_is_whole(training_id)

    def deadline(self, training_id: int, now: datetime) -> datetime:
        """Until when an invitation made now may be answered."""
        return self._deadline(self.books[training_id], now)

    def _deadline(self, book: Book, now: datetime) -> datetime:
        return min(now + self.answer_time, book.hard_stop)

    def _news(self, training_id: int, book: Book) -> list[Fact]:
        facts = []
        asked = {"training_id": training_id, "read": book.seq}
        for row in self.connection.execute(NEWS, asked):
            self.violations.history_gaps += row.seq != book.seq + 1
            book.seq = row.seq
            if row.from_status != row.to_status:
                facts.append(Fact._make(row))
        return facts

    def _fold(self, book: Book, fact: Fact, now: datetime) -> None:
        """One move: was it legal, asked for, and whose turn was it?"""
        who, before = fact.student_id, book.status.get(fact.student_id)
        froms, to = MOVES.get(fact.event, ((), ""))
        if fact.from_ != before or before not in froms or fact.to != to:
            self.violations.history_gaps += 1
        self._was_asked_for(book, fact, now)
        if fact.to in TAKING and before not in TAKING:
            self._takes_a_place(book, fact)
        if who in book.answer_by:
            lapsed = book.answer_by[who] <= now
            wrong = "accepted" if lapsed else "expired"
            self.violations.fifo_violations += fact.event == wrong
        self._note(book, fact, now)

    def _was_asked_for(self, book: Book, fact: Fact, now: datetime) -> None:
        if fact.event in ("invited", "expired"):
            return  # the system's own acts
        act, at = book.asked.pop(fact.student_id, ("", now))
        if fact.event not in ASKED_FOR.get(act, ()) or at != now:
            self.violations.history_gaps += 1

    def _takes_a_place(self, book: Book, fact: Fact) -> None:
        if book.taken >= book.capacity:
            self.violations.oversold += 1
            book.overbooked = max(book.overbooked, book.taken + 1 - book.capacity)
        came = book.line.get(fact.student_id)  # none for a newcomer, who is behind all who wait
        if any(came is None or earlier < came for earlier in book.line.values()):
            self.violations.fifo_violations += 1

    def _note(self, book: Book, fact: Fact, now: datetime) -> None:
        who = fact.student_id
        book.taken += (fact.to in TAKING) - (book.status.get(who) in TAKING)
        book.overbooked = min(book.overbooked, max(0, book.taken - book.capacity))
        book.status[who] = fact.to
        book.line.pop(who, None)
        book.answer_by.pop(who, None)
        if fact.to == WAITING:
            book.line[who] = book.came.get(who, self.calls)
        if fact.to == INVITED:
            book.answer_by[who] = self._deadline(book, now)

    def _nothing_is_missing(self, book: Book) -> None:
        """What was asked for and stands in no history: refused, though it was right."""
        for who, (act, at) in book.asked.items():
            if act in ("enrol", "leave"):
                self.violations.history_gaps += 1
            elif who in book.answer_by and at < book.answer_by[who]:
                self.violations.fifo_violations += 1
        book.asked.clear()

    def _statuses_agree(self, training_id: int, book: Book) -> None:
        rows = self.connection.execute(STATUSES, {"training_id": training_id}).all()
        if {status: count for status, count, _ in rows} != Counter(book.status.values()):
            self.violations.history_gaps += 1
        taken = sum(seats for status, _, seats in rows if status in TAKING)
        over = max(0, taken - book.capacity)
        if over > book.overbooked:
            self.violations.oversold += over - book.overbooked
            book.overbooked = over

    def _nothing_is_idle(self, book: Book, now: datetime) -> None:
        if book.invites_at(now):
            free = max(0, book.capacity - book.taken)
            self.violations.idle_spots += min(free, len(book.line))

    def _rows_agree(self, training_id: int) -> None:
        """Each row has the status its history leads to; the line stands as people came."""
        book = self.books[training_id]
        rows = self.connection.execute(ROWS, {"training_id": training_id}).all()
        differing = {(r.student_id, str(r.status)) for r in rows} ^ set(book.status.items())
        self.violations.history_gaps += len({who for who, _ in differing})
        line = [book.came.get(r.student_id, 0) for r in rows if r.status == WAITING]
        self.violations.fifo_violations += sum(a > b for a, b in pairwise(line))

    def _history_is_whole(self, training_id: int) -> None:
        """Nothing was written beneath what had been read."""
        count, last = self.connection.execute(HISTORY, {"training_id": training_id}).one()
        if (count, last or 0) != (self.books[training_id].seq,) * 2:
            self.violations.history_gaps += 1
