"""Replays demand through the services, on the clock of the demand (rulings RD3).

One write unit per change of a training, one per answer, one per training swept; after each the
oracle looks. What people do is drawn from the seed and from who they are (the n-th to come to a
course), never from a number that a database gave: both databases tell the same story.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.extensions import db, unit, write
from app.models import EnrolmentHistory, EnrolmentStatus, Outbox, TrainingEnroll
from app.ops.demand import Change, Demand
from app.ops.oracle import Fact, Oracle
from app.ops.replay_stage import ANSWER_TIME, Course, Person, arrivals, prepare
from app.services import enrolments, trainings, waitlist
from app.services.actors import CONSOLE, LINK, student

ACCEPT, DECLINE = 0.60, 0.15  # the rest stays silent
SOONEST, LATEST = timedelta(minutes=10), timedelta(hours=36)
SWEEP_EVERY = timedelta(minutes=10)  # once the changes have ended
REASON = "registrar"

ENROLLED, WAITING = EnrolmentStatus.ENROLLED, EnrolmentStatus.WAITLIST
INVITED, DEROLLED = EnrolmentStatus.INVITED, EnrolmentStatus.DEROLLED
OPEN = (ENROLLED, WAITING, INVITED)
GONE = (EnrolmentStatus.DECLINED, EnrolmentStatus.EXPIRED)

Progress = Callable[[int, int], None]  # changes done, of how many


@dataclass(frozen=True)
class Figures:
    """What a replay comes to; all but `seconds` follow from the demand and the seed."""

    trainings: int
    arrivals: int
    departures: int
    absorbed: int
    enrolled: int
    waiting: int
    invited_total: int
    accepted: int
    declined: int
    expired: int
    too_late: int
    oversold: int
    fifo_violations: int
    idle_spots: int
    history_gaps: int
    letters: int
    seconds: float

    @property
    def violations(self) -> int:
        return self.oversold + self.fifo_violations + self.idle_spots + self.history_gaps

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, order=True)
class Alarm:
    """What will happen to an invitation: an answer comes, or its deadline."""

    at: datetime
    key: str
    n: int
    person: Person = field(compare=False)
    accepts: bool = field(default=False, compare=False)


def run(
    app: Flask,
    demand: Demand,
    *,
    seed: int = 1,
    until: datetime | None = None,
    clients: int = 1,
    progress: Progress = lambda _done, _all: None,
) -> Figures:
    """Replay `demand` on the empty database of `app`, and stop the clock at `until`.

    With several `clients` the people of one step come at once, in that many threads.
    """
    began = time.perf_counter()
    changes = [c for c in demand.changes if until is None or c.at <= until]
    with app.app_context(), ExitStack() as stack:
        with write(db.session):
            courses, people = prepare(db.session(), demand, arrivals(changes))
        oracle = Oracle(stack.enter_context(db.engine.connect()), ANSWER_TIME)
        pool = stack.enter_context(ThreadPoolExecutor(clients)) if clients > 1 else None
        replay = Replay(app, db.session(), courses, people, oracle, seed, pool)
        replay.play(changes, until, progress)
        return replay.figures(time.perf_counter() - began)


class Replay:
    """The clock, the people and what they do."""

    def __init__(
        self,
        app: Flask,
        session: Session,
        courses: dict[str, Course],
        people: Sequence[Person],
        oracle: Oracle,
        seed: int,
        pool: ThreadPoolExecutor | None,
    ) -> None:
        self.app, self.session, self.courses = app, session, courses
        self.people: Iterator[Person] = iter(people)
        self.oracle, self.seed, self.pool = oracle, seed, pool
        self.answers: list[Alarm] = []  # two heaps
        self.deadlines: list[Alarm] = []
        self.arrivals = self.departures = self.absorbed = self.too_late = 0
        for course in courses.values():
            oracle.opened(course.training_id, course.places, course.starts_at)

    # --- the clock ---

    def play(self, changes: Sequence[Change], until: datetime | None, progress: Progress) -> None:
        """All in order of time: the answers since the last step, a sweep, the changes of a step.

        After the last change the clock runs on until no invitation is open.
        """
        done, now = 0, changes[0].at
        for now, step in groupby(changes, key=lambda change: change.at):
            self._clock(now)
            for change in step:
                self._change(self.courses[change.key], change)
                done += 1
                progress(done, len(changes))
        while self._open_invitations() and (until is None or now < until):
            now = min(now + SWEEP_EVERY, until or now + SWEEP_EVERY)
            self._clock(now)
        self.oracle.check_all(now)

    def _clock(self, now: datetime) -> None:
        while self.answers and self.answers[0].at <= now:
            self._answer(heapq.heappop(self.answers))
        self._sweep(now)

    def _sweep(self, now: datetime) -> None:
        """End what is overdue, as the scheduler would, but only as often as the file has a step."""
        overdue = set()
        while self._open_invitations() and self.deadlines[0].at <= now:
            overdue.add(heapq.heappop(self.deadlines).key)
        for key in sorted(overdue):
            course = self.courses[key]
            unit(
                self.session,
                partial(waitlist.expire_overdue, self.session, course.training_id, now),
            )
            self._learn(course, self.oracle.swept(course.training_id, now), now)

    def _open_invitations(self) -> bool:
        while self.deadlines and self.deadlines[0].person.status != INVITED:
            heapq.heappop(self.deadlines)
        return bool(self.deadlines)

    # --- a change of the demand ---

    def _change(self, course: Course, change: Change) -> None:
        rise = change.wanted - course.wanted
        absorbed = min(course.gone, max(0, -rise))
        leavers = self._leavers(course, -rise - absorbed, change.at)
        comers = [next(self.people) for _ in range(rise)]
        places = change.places if change.places != course.places else None
        course.wanted, course.places = change.wanted, change.places
        course.gone -= absorbed
        self.absorbed += absorbed
        self.departures += len(leavers)
        self.arrivals += len(comers)
        if places is not None or leavers or comers:
            self._act(course, places, leavers, comers, change.at)

    def _leavers(self, course: Course, count: int, now: datetime) -> list[Person]:
        if count <= 0:
            return []
        draw = random.Random(f"{self.seed}/{course.key}/{now}")  # noqa: S311  no secret
        return draw.sample([p for p in course.people.values() if p.status in OPEN], count)

    def _act(
        self,
        course: Course,
        places: int | None,
        leavers: list[Person],
        comers: list[Person],
        now: datetime,
    ) -> None:
        """Do it, tell the oracle of it, and learn what came of it."""
        alone = comers if self.pool is None else []

        def act() -> None:
            if places is not None:
                _resize(self.session, course, places, now)
            for person in leavers:
                _leave(self.session, person, now)
            for person in alone:
                _enrol(self.session, course, person, now)

        unit(self.session, act)
        if self.pool is not None:
            self._all_at_once(course, comers, now)
        if places is not None:
            self.oracle.resized(course.training_id, places)
        for person in leavers:
            self.oracle.left(course.training_id, person.student_id, now)
        for some in [[person] for person in alone] or [comers]:
            self.oracle.enrolled(course.training_id, [p.student_id for p in some], now)
        for person in comers:
            course.people[person.student_id] = person
            person.n = len(course.people)
        self._learn(course, self.oracle.check(course.training_id, now), now)

    def _all_at_once(self, course: Course, comers: list[Person], now: datetime) -> None:
        def come(person: Person) -> None:
            with self.app.app_context():
                unit(db.session, lambda: _enrol(db.session(), course, person, now))

        assert self.pool is not None  # noqa: S101
        list(self.pool.map(come, comers))

    # --- invitations ---

    def _learn(self, course: Course, facts: list[Fact], now: datetime) -> None:
        """Who moved; whoever is invited makes up their mind."""
        for fact in facts:
            person = course.people[fact.student_id]
            person.status = fact.to
            course.gone += fact.to in GONE
            if fact.to == INVITED:
                self._invited(course, person, now)

    def _invited(self, course: Course, person: Person, now: datetime) -> None:
        draw = random.Random(f"{self.seed}/{course.key}/{person.n}")  # noqa: S311  no secret
        mood, wait = draw.random(), draw.uniform(SOONEST.total_seconds(), LATEST.total_seconds())
        deadline = self.oracle.deadline(course.training_id, now)
        heapq.heappush(self.deadlines, Alarm(deadline, course.key, person.n, person))
        if mood < ACCEPT + DECLINE:
            at = now + timedelta(seconds=round(wait))
            heapq.heappush(self.answers, Alarm(at, course.key, person.n, person, mood < ACCEPT))

    def _answer(self, alarm: Alarm) -> None:
        """The click on the link, in time or not; who has left does not answer."""
        person, course = alarm.person, self.courses[alarm.key]
        if person.status == DEROLLED:
            return
        verb = waitlist.accept if alarm.accepts else waitlist.decline

        def act() -> waitlist.Answer:
            row = self.session.get_one(TrainingEnroll, person.enrolment_id)
            return verb(self.session, row, LINK, alarm.at)

        answer = unit(self.session, act)
        self.too_late += answer is waitlist.Answer.TOO_LATE
        self.oracle.answered(course.training_id, person.student_id, alarm.accepts, alarm.at)
        self._learn(course, self.oracle.check(course.training_id, alarm.at), alarm.at)

    # --- the end ---

    def figures(self, seconds: float) -> Figures:
        status, event = TrainingEnroll.status, EnrolmentHistory.event
        now, ever = self._counts(status), self._counts(event)
        return Figures(
            trainings=len(self.courses),
            arrivals=self.arrivals,
            departures=self.departures,
            absorbed=self.absorbed,
            enrolled=now.get(ENROLLED, 0),
            waiting=now.get(WAITING, 0),
            invited_total=ever.get("invited", 0),
            accepted=ever.get("accepted", 0),
            declined=ever.get("declined", 0),
            expired=ever.get("expired", 0),
            too_late=self.too_late,
            **vars(self.oracle.violations),
            letters=sum(self._counts(Outbox.kind).values()),
            seconds=round(seconds, 1),
        )

    def _counts(self, column: Any) -> dict[str, int]:
        rows = self.session.execute(sa.select(column, sa.func.count()).group_by(column))
        return {str(value): count for value, count in rows}


def _resize(session: Session, course: Course, places: int, now: datetime) -> None:
    trainings.set_capacity(
        session,
        course.training_id,
        places,
        CONSOLE,
        now,
        choice=trainings.BelowTakenChoice.OVERBOOK,
        reason=REASON,
    )


def _leave(session: Session, person: Person, now: datetime) -> None:
    row = session.get_one(TrainingEnroll, person.enrolment_id)
    verb = enrolments.deroll if person.status == ENROLLED else enrolments.leave
    verb(session, row, student(person.user_id), now)


def _enrol(session: Session, course: Course, person: Person, now: datetime) -> None:
    actor = student(person.user_id)
    row = enrolments.enrol(session, course.training_id, person.student_id, actor, now, terms=True)
    person.enrolment_id = row.id
