"""Thousands of acts in any order against a plain oracle that keeps its own books (reliability TM1).

The oracle is written from the specification, in Python, with no row and no query. After each act
the tables must say what it says; in the end history, letters and jobs must add up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.orm import Session

from app.models import EnrolmentHistory, Outbox, TrainingEnroll
from app.services import enrolments, overrides, sweep, trainings, waitlist
from app.services.actors import LINK
from app.services.refusals import Refusal
from app.services.trainings import BelowTakenChoice
from tests.cast import DAY, HOUR, MINUTE, NOON, REASON, Cast

NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva")
ANSWER = 48 * HOUR
START = NOON + 3 * DAY
END, HARD_STOP = START + 3 * HOUR, START - 2 * HOUR
TICK = timedelta(milliseconds=1)
WAITING, INVITED, ENROLLED = "waitlist", "waitlist-invited", "enrolled"
EXPIRED, DECLINED, DEROLLED = "waitlist-invite-expired", "waitlist-declined", "derolled"


# --- the oracle: what should be true -------------------------------------------------------------


class Refused(Exception):
    """The act is not possible now."""


@dataclass
class Person:
    """What the books say of one student."""

    status: str | None = None
    position: int | None = None
    skipped: bool = False
    not_before: datetime | None = None
    deadline: datetime | None = None
    invited_at: list[datetime] = field(default_factory=list)
    ended: bool = False  # the latest invitation, by staff


@dataclass
class Books:
    """A training and its people, kept by hand."""

    capacity: int
    now: datetime = NOON
    kept: int = 0
    over: int = 0
    last: int = 0
    paused: bool = False
    people: dict[str, Person] = field(default_factory=lambda: {n: Person() for n in NAMES})

    # what can be read off

    def having(self, *statuses: str | None) -> list[Person]:
        return [person for person in self.people.values() if person.status in statuses]

    @property
    def taken(self) -> int:
        return len(self.having(ENROLLED, INVITED))

    @property
    def free(self) -> int:
        return max(0, max(0, self.capacity - self.taken) - self.kept)

    @property
    def line(self) -> list[Person]:
        """Who may be invited, in order (WD4)."""
        if self.now >= HARD_STOP:
            return []
        able = [p for p in self.having(WAITING) if not p.skipped and self._rested(p)]
        return sorted(able, key=lambda person: person.position or 0)

    def _rested(self, person: Person) -> bool:
        recent = [at for at in person.invited_at if at > self.now - DAY]
        later = person.not_before is not None and person.not_before > self.now
        return len(recent) < 3 and not later

    # what follows from an act

    def settle(self) -> None:
        self.over = min(self.over, max(0, self.taken - self.capacity))

    def fill(self) -> None:
        """First in line first, as many as are free (WF5); then the ledger (WF2)."""
        if self.now < START and not self.paused and HARD_STOP - self.now >= 15 * MINUTE:
            for person in self.line[: self.free]:
                person.status, person.deadline = INVITED, min(self.now + ANSWER, HARD_STOP)
                person.invited_at.append(self.now)
        self.settle()

    def to_the_tail(self, person: Person) -> None:
        self.last += 1
        person.status, person.position = WAITING, self.last
        person.skipped, person.not_before = False, None

    def moved(self, name: str, from_: tuple[str, ...], to: str, *, may: bool = True) -> Person:
        person = self.people[name]
        if person.status not in from_ or not may:
            raise Refused
        person.status = to
        return person

    # the acts

    def enrol(self, name: str) -> None:
        person, late = self.people[name], HARD_STOP <= self.now < START
        if person.status in (ENROLLED, INVITED) or (person.status == WAITING and not late):
            return
        if self.now >= START:
            raise Refused
        if person.status in (EXPIRED, DECLINED):
            self.to_the_tail(person)
        self.fill()
        if person.status in (WAITING, INVITED) and not late:
            return
        if self.free >= 1 and not self.paused and not self.line:
            person.status = ENROLLED
        elif person.status != WAITING:
            self.to_the_tail(person)

    def accept(self, name: str) -> None:
        deadline = self.people[name].deadline or self.now
        self.moved(name, (INVITED,), ENROLLED, may=self.now < min(deadline, START))

    def decline(self, name: str, keep: bool) -> None:
        deadline = self.people[name].deadline or self.now
        self.moved(name, (INVITED,), DECLINED, may=self.now < deadline)
        self.freed(keep)

    def deroll(self, name: str, keep: bool, *, staff: bool = False) -> None:
        before, may = self.people[name].status, staff or self.now < START
        self.moved(name, (ENROLLED, DEROLLED), DEROLLED, may=may)
        if before == ENROLLED:  # again: no second effect
            self.freed(keep)

    def leave(self, name: str) -> None:
        before = self.people[name].status
        self.moved(name, (WAITING, INVITED, DEROLLED), DEROLLED)
        if before != DEROLLED:
            self.fill()

    def freed(self, keep: bool) -> None:
        if keep:
            self.kept += 1
            self.settle()
        else:
            self.fill()

    def force(self, name: str) -> None:
        person = self.people[name]
        if self.now >= END:
            raise Refused
        if person.status == ENROLLED:
            return
        if person.status != INVITED:
            if self.free < 1 and self.capacity - self.taken >= 1:
                self.kept -= 1
            self.over = max(self.over, self.taken + 1 - self.capacity)
        person.status, person.skipped, person.not_before = ENROLLED, False, None
        self.settle()

    def take_back(self, name: str, for_a_day: bool) -> None:
        person = self.moved(name, (INVITED,), WAITING)
        person.skipped = not for_a_day
        person.not_before = self.now + DAY if for_a_day else None
        self.fill()

    def end(self, name: str) -> None:
        person = self.people[name]
        if person.status == EXPIRED and person.ended:  # again: no second effect
            return
        self.moved(name, (INVITED,), EXPIRED).ended = True
        self.fill()

    def expire(self, name: str) -> None:
        person = self.people[name]
        if person.status == INVITED and person.deadline and person.deadline <= self.now:
            person.status, person.ended = EXPIRED, False
        self.fill()

    def skip(self, name: str) -> None:
        self.moved(name, (WAITING,), WAITING).skipped = True
        self.people[name].not_before = None

    def unskip(self, name: str) -> None:
        person = self.moved(name, (WAITING,), WAITING)
        person.skipped, person.not_before = False, None
        self.fill()

    def resize(self, places: int, choice: str | None) -> None:
        over = self.taken - places
        if over > 0 and places < self.capacity:
            if choice is None:
                raise Refused
            newest = sorted(self.having(INVITED), key=lambda p: (p.invited_at[-1], p.position or 0))
            for person in reversed(newest[-over:] if choice == "withdraw" else []):
                person.status, over = WAITING, over - 1
        self.capacity, self.over = places, max(self.over, over)
        self.fill()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self.fill()

    def keep(self, count: int) -> None:
        if count > self.free:
            raise Refused
        self.kept += count

    def release(self, count: int) -> None:
        if count > self.kept:
            raise Refused
        self.kept -= count
        self.fill()

    def sweep(self) -> None:
        for person in self.having(INVITED):
            if person.deadline and person.deadline <= self.now:
                person.status, person.ended = EXPIRED, False
        self.fill()


# --- the machine: both do the same ---------------------------------------------------------------

people = st.sampled_from(NAMES)
picks = st.integers(0, len(NAMES) - 1)
SELDOM = st.sampled_from([False, False, False, True])


def when(*statuses: str | None) -> Callable[[Any], Any]:
    """The rule needs somebody in one of these statuses; most acts on others are refused at once."""
    return precondition(lambda life: life.books.having(*statuses))


class Life(RuleBasedStateMachine):
    """One example: acts on Pottery in a savepoint, then all is rolled back."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.savepoint = session.begin_nested()

    @initialize(
        places=st.integers(1, 2),
        comers=st.permutations(NAMES),
        count=st.integers(3, 5),
        leaves=st.booleans(),
        begins=st.sampled_from([NOON, NOON, HARD_STOP - HOUR]),
    )
    def open(
        self, places: int, comers: list[str], count: int, leaves: bool, begins: datetime
    ) -> None:
        """Some have come, the first may have left again; it is early or late."""
        self.cast = Cast(self.session, places)
        self.id = self.cast.pottery.id
        for event in self.cast.pottery.events:
            event.start_time, event.end_time = START, END
        self.student_ids = {name: self.cast.student(name).id for name in NAMES}
        self.books = Books(places, begins)
        for name in comers[:count]:
            self.enrol_one(name)
        if leaves:
            self.a_place_comes_free(0)

    def teardown(self) -> None:
        if hasattr(self, "books"):
            self.check_history()
            self.check_promises()
        self.savepoint.rollback()
        self.session.expunge_all()

    # one act, on the rows and in the books

    def act(self, do: Callable[[], object], expected: Callable[[], None]) -> None:
        before = replace(
            self.books, people={name: replace(p) for name, p in self.books.people.items()}
        )
        try:
            expected()
            refused = False
        except Refused:
            self.books, refused = before, True
        if refused:
            self.must_refuse(do)
        else:
            do()
        self.check_rows()

    def must_refuse(self, do: Callable[[], object]) -> None:
        try:
            with self.session.begin_nested():
                answer = do()
        except Refusal:
            return
        assert answer in SAID_NO, "the books refuse it"

    def row(self, name: str) -> TrainingEnroll | None:
        mine = sa.select(TrainingEnroll).where(
            TrainingEnroll.training_id == self.id,
            TrainingEnroll.student_id == self.student_ids[name],
        )
        return self.session.scalars(mine).one_or_none()

    def on_row(self, name: str, do: Callable[[TrainingEnroll], object]) -> Callable[[], object]:
        row = self.row(name)
        return (lambda: NO_ROW) if row is None else (lambda: do(row))

    def one(self, pick: int, *statuses: str | None) -> str:
        """Somebody in one of these statuses."""
        names = [name for name, p in self.books.people.items() if p.status in statuses]
        return names[pick % len(names)]

    # what people do

    @when(None, EXPIRED, DECLINED, DEROLLED)
    @rule(pick=picks)
    def enrol(self, pick: int) -> None:
        self.enrol_one(self.one(pick, None, EXPIRED, DECLINED, DEROLLED))

    @when(ENROLLED)
    @rule(pick=picks)
    def a_place_comes_free(self, pick: int) -> None:
        name, now = self.one(pick, ENROLLED), self.books.now
        do = self.on_row(
            name,
            lambda row: enrolments.deroll(self.session, row, self.cast.max, now, reason=REASON),
        )
        self.act(do, lambda: self.books.deroll(name, keep=False, staff=True))

    @when(WAITING, INVITED, ENROLLED)
    @rule(pick=picks)
    def enrol_again(self, pick: int) -> None:
        self.enrol_one(self.one(pick, WAITING, INVITED, ENROLLED))

    def enrol_one(self, name: str) -> None:
        now = self.books.now
        self.act(
            lambda: enrolments.enrol(
                self.session, self.id, self.student_ids[name], LINK, now, terms=True
            ),
            lambda: self.books.enrol(name),
        )

    @when(INVITED)
    @rule(pick=picks)
    def accept(self, pick: int) -> None:
        name = self.one(pick, INVITED)
        now = self.books.now
        do = self.on_row(name, lambda row: waitlist.accept(self.session, row, LINK, now))
        self.act(do, lambda: self.books.accept(name))

    @when(INVITED)
    @rule(pick=picks, keep=SELDOM)
    def decline(self, pick: int, keep: bool) -> None:
        name = self.one(pick, INVITED)
        now = self.books.now
        options: Any = {"reason": REASON, "keep_place": keep}
        do = self.on_row(
            name, lambda row: waitlist.decline(self.session, row, LINK, now, **options)
        )
        self.act(do, lambda: self.books.decline(name, keep))

    @when(ENROLLED)
    @rule(pick=picks, keep=SELDOM)
    def deroll(self, pick: int, keep: bool) -> None:
        name = self.one(pick, ENROLLED)
        now, actor = self.books.now, self.cast.max if keep else LINK
        options: Any = {"reason": REASON, "keep_place": keep}
        do = self.on_row(
            name, lambda row: enrolments.deroll(self.session, row, actor, now, **options)
        )
        self.act(do, lambda: self.books.deroll(name, keep, staff=keep))

    @when(WAITING, INVITED)
    @rule(pick=picks)
    def leave(self, pick: int) -> None:
        name = self.one(pick, WAITING, INVITED)
        now = self.books.now
        do = self.on_row(name, lambda row: enrolments.leave(self.session, row, LINK, now))
        self.act(do, lambda: self.books.leave(name))

    @rule(name=people, act=st.sampled_from(["accept", "decline", "deroll", "leave", "end"]))
    def whoever(self, name: str, act: str) -> None:
        """The same acts on just anybody, most of whom cannot."""
        staff, session, now = self.cast.max, self.session, self.books.now
        do, expected = {
            "accept": (lambda row: waitlist.accept(session, row, LINK, now), self.books.accept),
            "decline": (
                lambda row: waitlist.decline(session, row, LINK, now),
                lambda name: self.books.decline(name, False),
            ),
            "deroll": (
                lambda row: enrolments.deroll(session, row, LINK, now),
                lambda name: self.books.deroll(name, False),
            ),
            "leave": (lambda row: enrolments.leave(session, row, LINK, now), self.books.leave),
            "end": (
                lambda row: waitlist.deinvite(session, row, staff, now, REASON),
                self.books.end,
            ),
        }[act]
        self.act(self.on_row(name, do), lambda: expected(name))

    # what staff do

    @when(None, WAITING, INVITED, EXPIRED, DECLINED, DEROLLED)
    @rule(pick=picks)
    def force(self, pick: int) -> None:
        name = self.one(pick, None, WAITING, INVITED, EXPIRED, DECLINED, DEROLLED)
        student, now = self.student_ids[name], self.books.now
        self.act(
            lambda: enrolments.force(self.session, self.id, student, self.cast.max, now, REASON),
            lambda: self.books.force(name),
        )

    @when(INVITED)
    @rule(pick=picks, for_a_day=st.booleans())
    def take_back(self, pick: int, for_a_day: bool) -> None:
        name = self.one(pick, INVITED)
        now = self.books.now
        later = now + DAY if for_a_day else None
        do = self.on_row(
            name,
            lambda row: waitlist.return_to_list(
                self.session, row, self.cast.max, now, REASON, not_before=later
            ),
        )
        self.act(do, lambda: self.books.take_back(name, for_a_day))

    @when(INVITED)
    @rule(pick=picks)
    def end(self, pick: int) -> None:
        name = self.one(pick, INVITED)
        now = self.books.now
        do = self.on_row(
            name, lambda row: waitlist.deinvite(self.session, row, self.cast.max, now, REASON)
        )
        self.act(do, lambda: self.books.end(name))

    @when(WAITING)
    @rule(pick=picks, on=st.booleans())
    def skip(self, pick: int, on: bool) -> None:
        name = self.one(pick, WAITING)
        now, verb = self.books.now, overrides.skip if on else overrides.unskip
        do = self.on_row(name, lambda row: verb(self.session, row, self.cast.max, now, REASON))
        self.act(do, lambda: self.books.skip(name) if on else self.books.unskip(name))

    @rule(more=st.integers(-2, 2), choice=st.sampled_from([None, *BelowTakenChoice]))
    def resize(self, more: int, choice: BelowTakenChoice | None) -> None:
        now, staff = self.books.now, self.cast.max
        places = max(0, self.books.taken + more)
        self.act(
            lambda: trainings.set_capacity(
                self.session, self.id, places, staff, now, choice=choice, reason=REASON
            ),
            lambda: self.books.resize(places, choice),
        )

    @rule(on=SELDOM)
    def pause(self, on: bool) -> None:
        on = on and not self.books.paused
        now, verb = self.books.now, overrides.pause_list if on else overrides.resume_list
        self.act(
            lambda: verb(self.session, self.id, self.cast.max, now, REASON),
            lambda: self.books.pause() if on else self.books.resume(),
        )

    @rule(count=st.integers(1, 2), back=st.sampled_from([True, True, False]))
    def keep(self, count: int, back: bool) -> None:
        now, verb = self.books.now, overrides.release_spots if back else overrides.keep_spots
        self.act(
            lambda: verb(self.session, self.id, count, self.cast.max, now, REASON),
            lambda: self.books.release(count) if back else self.books.keep(count),
        )

    # what the clock does

    @rule(hours=st.sampled_from([0.2, 7, 25, 47, -1, -24]))
    def time_passes(self, hours: float) -> None:
        self.books.now += timedelta(hours=hours)

    @when(INVITED)
    @rule(pick=picks, off=st.sampled_from([-TICK, 0 * TICK, TICK]))
    def jump_to_a_deadline(self, pick: int, off: timedelta) -> None:
        name = self.one(pick, INVITED)
        self.books.now = (self.books.people[name].deadline or self.books.now) + off

    @precondition(lambda life: life.books.now > NOON + 2 * DAY)
    @rule(instant=st.sampled_from([HARD_STOP - 15 * MINUTE, HARD_STOP, START, END]),
          off=st.sampled_from([-TICK, 0 * TICK]))  # fmt: skip
    def jump_to_an_edge(self, instant: datetime, off: timedelta) -> None:
        self.books.now = instant + off

    @when(INVITED)
    @rule(pick=picks)
    def a_job_runs(self, pick: int) -> None:
        name = self.one(pick, INVITED)
        now = self.books.now
        do = self.on_row(name, lambda row: [waitlist.expire(self.session, row, self.cast.max, now)])
        self.act(do, lambda: self.books.expire(name))

    @rule()
    def sweep(self) -> None:
        self.act(self.sweep_all, self.books.sweep)

    def sweep_all(self) -> None:
        for id_ in sweep.trainings_to_sweep(self.session, self.books.now):
            sweep.sweep_training(self.session, id_, self.books.now)

    # what must be true

    def check_rows(self) -> None:
        e, books = TrainingEnroll, self.books
        found = {
            row.student_id: (str(row.status), row.queue_position, row.invite_expires_at)
            for row in self.session.execute(
                sa.select(e.student_id, e.status, e.queue_position, e.invite_expires_at).where(
                    e.training_id == self.id
                )
            )
        }
        for name, person in books.people.items():
            status, position, deadline = found.get(self.student_ids[name], (None, None, None))
            assert status == person.status, name
            if status == WAITING:
                assert position == person.position, name
            if status == INVITED:
                assert deadline == person.deadline, name
        taken, kept, over = self.cast.ledger()
        assert (taken, kept, over) == (books.taken, books.kept, books.over)
        assert taken <= books.capacity + over

    def check_history(self) -> None:
        """Numbers without gap; folding the history gives the table (reliability I4)."""
        h = EnrolmentHistory
        rows = self.session.execute(
            sa.select(h.seq, h.student_id, h.event, h.from_status, h.to_status)
            .where(h.training_id == self.id)
            .order_by(h.seq)
        ).all()
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        now: dict[int, str | None] = {}
        for row in rows:
            if row.student_id is not None:
                assert now.get(row.student_id) == row.from_status, row
                now[row.student_id] = row.to_status
        ids = {id_: name for name, id_ in self.student_ids.items()}
        assert {ids[id_]: status for id_, status in now.items()} == {
            name: person.status for name, person in self.books.people.items() if person.status
        }

    def check_promises(self) -> None:
        """One letter for each invitation, one job for each that is open."""
        invitations = [at for person in self.books.people.values() for at in person.invited_at]
        letters = sa.select(sa.func.count(Outbox.id)).where(Outbox.kind == "invited")
        assert self.session.scalar(letters) == len(invitations)
        open_now = {
            f"{self.cast.schedule.name}/{row.uuid}/PRODUCTION": row.invite_expires_at
            for name in NAMES
            if (row := self.row(name)) is not None and row.status == INVITED
        }
        assert self.cast.jobs() == open_now


NO_ROW = "nobody there"
SAID_NO = (NO_ROW, *(set(waitlist.Answer) - {waitlist.Answer.ENROLLED, waitlist.Answer.DECLINED}))


def live(session: Session, examples: int, steps: int = 30, **more: Any) -> None:
    run_state_machine_as_test(
        lambda: Life(session),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
            **more,
        ),
    )


@pytest.mark.timeout(600)  # acts by the thousand: slow where the machine is shared
def test_any_order_of_acts_agrees_with_the_oracle(session: Session, kind: str) -> None:
    live(session, 30 if kind == "sqlite" else 10, derandomize=True)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_many_more_orders_of_acts_agree_with_the_oracle(session: Session, kind: str) -> None:
    live(session, 5000, phases=[Phase.generate, Phase.shrink])
