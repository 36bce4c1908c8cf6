"""The history of one training folded row by row: what must hold at every prefix.

What is legal stands here a second time, on purpose: a checker that asks the code it checks finds
nothing. Spec: reliability I1–I4, I7, I9, I10; waitlist WE2.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

WAITING, INVITED, ENROLLED = "waitlist", "waitlist-invited", "enrolled"
EXPIRED, DECLINED, LEFT = "waitlist-invite-expired", "waitlist-declined", "derolled"
TAKING = {ENROLLED, INVITED}

# Event -> from which statuses to which one (waitlist WE2).
LEGAL: dict[str, tuple[set[str | None], str]] = {
    "enrolled": ({None, LEFT}, ENROLLED),
    "queued": ({None, LEFT}, WAITING),
    "re-enabled": ({EXPIRED, DECLINED}, WAITING),
    "invited": ({WAITING}, INVITED),
    "accepted": ({INVITED}, ENROLLED),
    "declined": ({INVITED}, DECLINED),
    "expired": ({INVITED}, EXPIRED),
    "deinvited": ({INVITED}, EXPIRED),
    "returned": ({INVITED}, WAITING),
    "forced": ({None, WAITING, INVITED, EXPIRED, DECLINED, LEFT}, ENROLLED),
    "derolled": ({ENROLLED}, LEFT),
    "left": ({WAITING, INVITED}, LEFT),
    "removed": ({WAITING, INVITED}, LEFT),
    "cancelled": ({WAITING, INVITED, ENROLLED}, LEFT),
    "archived": ({WAITING, INVITED}, LEFT),
}
NEED_A_NOTE = {"forced", "deinvited"}
JOINING = {"queued", "re-enabled"}
# Instants are read before the lock is waited for, so another training's rows may be this much off.
SKEW = timedelta(minutes=1)


@dataclass(frozen=True)
class Violation:
    """One broken promise: the invariant, where, and a sentence for whoever has to look."""

    rule: str
    training_id: int | None
    sentence: str

    def __str__(self) -> str:
        where = "" if self.training_id is None else f" training {self.training_id}:"
        return f"{self.rule}{where} {self.sentence}"


class Row(NamedTuple):
    """One row of `enrolment_history`."""

    seq: int
    enrolment_id: int | None
    student_id: int | None
    at: datetime
    actor: str
    event: str
    from_: str | None
    to: str | None
    invite_no: int | None
    position: int | None
    reason: str | None
    note: str | None
    data: dict[str, Any] | None

    @property
    def moves(self) -> bool:
        return self.enrolment_id is not None and self.from_ != self.to

    @property
    def facts(self) -> dict[str, Any]:
        return self.data or {}


@dataclass
class Place:
    """An enrolment as the history tells it up to some row."""

    student_id: int | None
    status: str | None = None
    position: int | None = None
    invite_no: int = 0
    deadline: datetime | None = None
    unusual: bool = False  # skipped, returned, planned …: it may or may not have been eligible
    planned: bool = False


@dataclass
class People:
    """What the fold must know of students from beyond one training."""

    reachable: set[int]  # active and told by mail, now and as far as one can see ever since
    invitations: dict[int, list[datetime]]  # of all trainings, ascending
    limit: int
    window: timedelta

    def surely_eligible(self, place: Place, at: datetime) -> bool:
        """Nothing that is written anywhere stood in the way of inviting this person then."""
        if place.unusual or place.student_id is None or place.student_id not in self.reachable:
            return False
        return self.invited_lately(place.student_id, at) < self.limit

    def invited_lately(self, student_id: int | None, at: datetime) -> int:
        """How often a student was invited in the window before `at`, at most."""
        of_student = self.invitations.get(student_id or 0, [])
        since = bisect.bisect_right(of_student, at - self.window - SKEW)
        return bisect.bisect_right(of_student, at + SKEW) - since


@dataclass
class Fold:
    """Reads the rows of a training in order; `violations` says what broke on the way."""

    training_id: int
    uuids: dict[int, str]  # enrolment id -> uuid
    seats: dict[int, int]
    people: People
    capacities: list[tuple[int, int]]  # (seq, places at most from this row on), ascending
    hard_stops: list[tuple[int, datetime | None]]  # (seq, the earliest from this row on), ascending
    exact_deadlines: bool = True  # in DEVELOPMENT invitations end before their time (WA9)
    places: dict[int, Place] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    highest: int = 0  # position given so far
    taken: int = 0
    ended: set[tuple[int, int]] = field(default_factory=set)
    passed_over: dict[str, list[Any]] = field(default_factory=dict)  # by the first one's uuid

    def read(self, rows: list[Row]) -> None:
        last = 0
        for row in rows:
            if row.seq != last + 1:
                self._say("I4", row, f"comes after row {last}")
            last = row.seq
            if row.enrolment_id is not None:
                self._apply(row, row.enrolment_id)

    def _apply(self, row: Row, id_: int) -> None:
        place = self.places.setdefault(id_, Place(row.student_id))
        if row.from_ != place.status:
            self._say("I4", row, f"starts from {row.from_}, but the row was {place.status}")
        if not row.moves:
            self._note(row, place)
            return
        self._legal(row)
        self._invitation(row, id_, place)
        for holds in CHECKS.get(row.event, ()):
            holds(self, row, id_, place)
        self._step(row, id_, place)
        if row.event in ("invited", "enrolled") and self.taken > self._capacity(row.seq):
            self._say("I1", row, f"makes {self.taken} seats taken of {self._capacity(row.seq)}")

    def _step(self, row: Row, id_: int, place: Place) -> None:
        before, after = place.status in TAKING, row.to in TAKING
        self.taken += (after - before) * self.seats.get(id_, 1)
        place.status, place.position = row.to, row.position
        place.invite_no = row.invite_no or 0
        if row.event in JOINING:
            place.unusual = False
        if row.event in ("returned", "invited"):
            place.unusual, place.planned = row.event == "returned", False
        if row.event == "invited":
            place.deadline = _instant(row.facts.get("deadline"))

    def _note(self, row: Row, place: Place) -> None:
        place.unusual = True
        if row.event in ("planned", "plan-dropped"):
            place.planned = row.event == "planned"
        if row.event == "deadline-changed":
            place.deadline = _instant(row.facts.get("deadline"))

    def _legal(self, row: Row) -> None:
        froms, to = LEGAL.get(row.event, (set(), ""))
        if row.from_ not in froms or row.to != to:
            self._say("I3", row, f"is no such transition: {row.from_} -> {row.to}")
        if row.event in NEED_A_NOTE and not row.note:
            self._say("I3", row, "has no reason")

    def _invitation(self, row: Row, id_: int, place: Place) -> None:
        number = place.invite_no + (row.event == "invited")
        if (row.invite_no or 0) != number:
            self._say("I2", row, f"speaks of invitation {row.invite_no}, it is {number}")
        if row.from_ == INVITED:
            invitation = (id_, row.invite_no or 0)
            if invitation in self.ended:
                self._say("I2", row, f"ends invitation {row.invite_no} a second time")
            self.ended.add(invitation)

    def _at_the_tail(self, row: Row, _id: int, _place: Place) -> None:
        if row.position is None or row.position <= self.highest:
            self._say("I3", row, f"takes position {row.position}, given before")
        self.highest = max(self.highest, row.position or 0)

    def _same_position(self, row: Row, _id: int, place: Place) -> None:
        if row.position != place.position:
            self._say("I3", row, f"moved from position {place.position} to {row.position}")

    def _first_in_line(self, row: Row, id_: int, place: Place) -> None:
        """I7: whoever stood before had an obstacle, and the decision wrote it down."""
        decided_with = row.facts.get("decided_with", self.uuids.get(id_, ""))
        if "passed_over" in row.facts:
            self.passed_over[decided_with] = row.facts["passed_over"]
        if row.note or place.planned:
            return  # an act of staff with its reason; a place held since the plan
        told = self.passed_over.get(decided_with, [])
        codes = {entry["enrolment"]: entry["code"] for entry in told}
        for other_id, other in self._before(place):
            code = codes.get(self.uuids.get(other_id, ""))
            if code is None or self._contradicted(code, other, row.at):
                self._say("I7", row, f"passes over enrolment {other_id}, who was {code or 'next'}")

    def _contradicted(self, code: str, other: Place, at: datetime) -> bool:
        """What was written down then, the rows deny now; what they do not keep is believed."""
        if code == "rate-limited":  # the limit may have been another
            return not self.people.invited_lately(other.student_id, at)
        return code != "inactive" and self.people.surely_eligible(other, at)

    def _nobody_waits(self, row: Row, id_: int, _place: Place) -> None:
        """I9: nobody comes in directly past someone who could be invited."""
        stop = _from(self.hard_stops, row.seq)
        if stop is not None and row.at >= stop:
            return  # whoever comes first takes a free place (WF4)
        for other_id, other in self._before(None):
            if other_id != id_ and self.people.surely_eligible(other, row.at):
                self._say("I9", row, f"passes over enrolment {other_id}, who waits")

    def _in_time(self, row: Row, _id: int, place: Place) -> None:
        students_own = row.event == "accepted" or row.actor == "link"
        if students_own and place.deadline is not None and row.at >= place.deadline:
            self._say("I10", row, f"came after the deadline {place.deadline:%Y-%m-%d %H:%M:%S}")

    def _overdue(self, row: Row, _id: int, place: Place) -> None:
        if row.reason or not self.exact_deadlines:
            return  # released because its letter came back
        if place.deadline is None or row.at < place.deadline:
            self._say("I10", row, f"came before the deadline {place.deadline}")

    def _before(self, place: Place | None) -> Iterator[tuple[int, Place]]:
        """Who waits, before `place` if one is given."""
        for id_, other in self.places.items():
            if other.status == WAITING and (
                place is None or (other.position or 0) < (place.position or 0)
            ):
                yield id_, other

    def _capacity(self, seq: int) -> int:
        return _from(self.capacities, seq)

    def _say(self, rule: str, row: Row, what: str) -> None:
        sentence = f"history row {row.seq} ({row.event}) {what}"
        self.violations.append(Violation(rule, self.training_id, sentence))


CHECKS: dict[str, tuple[Callable[[Fold, Row, int, Place], None], ...]] = {
    "queued": (Fold._at_the_tail,),
    "re-enabled": (Fold._at_the_tail,),
    "returned": (Fold._same_position,),
    "invited": (Fold._same_position, Fold._first_in_line),
    "enrolled": (Fold._nobody_waits,),
    "accepted": (Fold._in_time,),
    "declined": (Fold._in_time,),
    "expired": (Fold._overdue,),
}


def capacities(rows: list[Row], now: int) -> list[tuple[int, int]]:
    """How many places there were from which history row on; `now` is the table's.

    Between two changes that do not meet, someone wrote past the services: the larger one counts.
    """
    changes = [(row.seq, row.facts) for row in rows if row.event == "capacity" and row.facts]
    ends = [change["from"] for _, change in changes] + [now]
    begins = [(0, ends[0])] + [(seq, change["to"]) for seq, change in changes]
    return [(seq, max(to, end)) for (seq, to), end in zip(begins, ends, strict=True)]


def hard_stops(rows: list[Row], now: datetime | None) -> list[tuple[int, datetime | None]]:
    """The last instant of answers from which history row on; `now` is the table's.

    Between two changes that do not meet, someone wrote past the services: the earlier one counts.
    """
    changes = [(r.seq, r.facts["hard_stop"]) for r in rows if "hard_stop" in r.facts]
    ends = [_instant(change["from"]) for _, change in changes] + [now]
    begins = [(0, ends[0])] + [(seq, _instant(change["to"])) for seq, change in changes]
    pairs = zip(begins, ends, strict=True)
    return [(seq, min((s for s in (to, end) if s), default=None)) for (seq, to), end in pairs]


def _from(steps: list[tuple[int, T]], seq: int) -> T:
    """What holds at a history row."""
    return steps[bisect.bisect_right(steps, seq, key=lambda step: step[0]) - 1][1]


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
