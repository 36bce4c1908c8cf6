"""What has happened in the demo: people enrol, queue, leave, answer or stay silent (people PF3).

Everything is done by the services that everyone calls, each at its own instant of the past, so that
history, positions and letters are what they would be.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import Student, Training, TrainingEnroll, User
from app.models.enrolment import ENROLLED
from app.ops.demo_data import people
from app.ops.demo_data.courses import COURSES, QUICK, Course
from app.ops.demo_data.scene import ANSWER_TIME, QUICK_ANSWER_TIME, Scene
from app.services import enrolments, overrides, students, trainings, waitlist
from app.services.actors import SYSTEM, student

MINUTE, HOUR, HALF_DAY, DAY = (timedelta(minutes=n) for n in (1, 60, 720, 1440))

# Where those are who have an account: with a place, and where in the line as it is now.
PLACES = {
    "Sourdough from scratch": ["enrolled"],
    "Wheel throwing for beginners": ["invited"],
    "Drawing, six evenings": ["enrolled"],
    "Felt slippers": ["enrolled"],
    "Four Saturdays of boat repair": ["enrolled"],
}
LINES = {
    "Build a stool": {1: "waiting"},
    "Porcelain lamps": {4: "waiting"},
    "Raku by the water": {0: "invited"},  # whom `opening` invites
}
# In these, four were invited before: the first and the last accepted, one declined, one was silent.
ANSWERED = {
    "Indigo dyeing": {1: "waiting"},
    "Letterpress cards": {2: "waiting"},
    "Porcelain lamps": {0: "enrolled"},
    "Four Saturdays of boat repair": {},
}
# Here an invitation is open, made so long ago.
OPEN_SINCE = {
    "Glazing and firing": 20 * HOUR,
    "Indigo dyeing": 40 * HOUR,
    "Porcelain lamps": 6 * HOUR,
}
LAST_INVITED = "Raku by the water"
RUN_OUT_AFTER = (60, 90, 120)  # seconds after `opening`, one for each training of type Quick

Doing = Callable[[Session, datetime], object]


class Act(NamedTuple):
    """What is done at an instant."""

    at: datetime
    do: Doing


class Story:
    """The acts of all trainings, by chance but for what the tables above say."""

    def __init__(self, scene: Scene, chance: random.Random, now: datetime) -> None:
        self.scene, self.chance, self.now = scene, chance, now
        known = {account.address for account in people.ACCOUNTS} | {people.UNREACHABLE}
        self.extras = sorted(scene.students.keys() - known)

    def acts(self) -> list[Act]:
        """All of them, in the order of time."""
        found = [act for course in COURSES for act in self._of(course)]
        return sorted(found, key=lambda act: act.at)  # of one instant, as they were told

    def _of(self, course: Course) -> Iterator[Act]:
        if course.trait == "draft":
            return
        training, admin = self.scene.trainings[course.name], self.scene.admin
        id_, begins = training.id, training.events[0].start_time
        opened = min(self.now, begins).replace(hour=8, minute=0, second=0) - 40 * DAY
        yield Act(opened, lambda s, at: trainings.activate(s, id_, admin, at))
        seats = course.places if course.enrolled is None else course.enrolled
        here = self._people(course, seats)
        for n, who in enumerate(here):
            at = opened + (n + 1) * HALF_DAY + timedelta(seconds=20 * n + self.chance.randrange(20))
            yield Act(at, self._enrol(training, who))
        yield from self._turns(course, training, here[:seats], here[seats:])

    def _people(self, course: Course, seats: int) -> list[str]:
        """Who comes, in this order: those who get a place, then the line."""
        gone = 4 * (course.name in ANSWERED) + (course.name in OPEN_SINCE)
        later = course.type == QUICK or course.name == LAST_INVITED or course.trait == "opted out"
        more = 2 * (course.trait == "over-full") + later
        here = self.chance.sample(self.extras, seats + gone + course.waiting + more)
        for n, who in enumerate(PLACES.get(course.name, [])):
            here[n] = who
        for n, who in ANSWERED.get(course.name, {}).items():
            here[seats + n] = who
        for n, who in LINES.get(course.name, {}).items():
            here[seats + gone + n] = who
        return here

    def _turns(
        self, course: Course, training: Training, seated: Sequence[str], line: Sequence[str]
    ) -> Iterator[Act]:
        """What became of them afterwards."""
        leavers = list(reversed(seated))
        if course.name in ANSWERED:
            yield from self._four_answers(training, leavers, line)
        if course.name in OPEN_SINCE:
            yield Act(self.now - OPEN_SINCE[course.name], self._leave(training, leavers.pop(0)))
        yield from self._by_trait(course, training, leavers, line)

    def _four_answers(
        self, training: Training, leavers: list[str], line: Sequence[str]
    ) -> Iterator[Act]:
        id_, start = training.id, self.now - 12 * DAY + self.chance.randrange(500) * MINUTE
        yield Act(start, self._leave(training, leavers.pop(0)))
        yield Act(start + 5 * HOUR, self._accept(training, line[0]))
        again = start + DAY
        yield Act(again, self._leave(training, leavers.pop(0)))
        declined = again + 20 * HOUR
        yield Act(declined, self._decline(training, line[1]))
        over = declined + ANSWER_TIME
        yield Act(over, lambda s, at: waitlist.expire_overdue(s, id_, at, actor=SYSTEM))
        yield Act(over + 3 * HOUR, self._accept(training, line[3]))

    def _by_trait(
        self, course: Course, training: Training, leavers: list[str], line: Sequence[str]
    ) -> Iterator[Act]:
        id_, admin, students_ = training.id, self.scene.admin, self.scene.students
        if course.trait == "archived":
            over = training.events[-1].end_time + DAY
            yield Act(over, lambda s, at: trainings.archive(s, id_, admin, at))
        elif course.trait == "cancelled":
            why = "The kiln is broken and cannot be mended in time."
            yield Act(self.now - DAY, lambda s, at: trainings.cancel(s, id_, admin, at, reason=why))
        elif course.trait == "paused":
            why = "The press is being moved; we do not know yet whether we can go on."
            paused = self.now - 30 * HOUR
            yield Act(paused, lambda s, at: overrides.pause_list(s, id_, admin, at, why))
            yield Act(paused + 5 * HOUR, self._leave(training, leavers.pop(0)))
        elif course.trait == "over-full":
            for who in line[-2:]:
                yield Act(self.now - 3 * DAY, self._force(training, who))
        elif course.trait == "opted out":
            first = students_[line[0]]
            yield Act(self.now - 5 * DAY, lambda s, at: students.opt_out(s, first))
            yield Act(self.now - 30 * HOUR, self._leave(training, leavers.pop(0)))
        elif course.name == "Felt slippers":  # a letter that cannot be delivered
            yield Act(self.now - 3 * HOUR, self._enrol(training, people.UNREACHABLE))

    # --- what people do ---

    def _enrol(self, training: Training, who: str) -> Doing:
        id_, one = training.id, self.scene.students[who]
        student_id, actor = one.id, student(one.user_id)
        return lambda s, at: enrolments.enrol(s, id_, student_id, actor, at, terms=True)

    def _force(self, training: Training, who: str) -> Doing:
        id_, one, admin = training.id, self.scene.students[who].id, self.scene.admin
        return lambda s, at: enrolments.force(s, id_, one, admin, at, "Promised at the open day.")

    def _leave(self, training: Training, who: str) -> Doing:
        return self._with_row(training, who, partial(enrolments.deroll, late=True))

    def _accept(self, training: Training, who: str) -> Doing:
        return self._with_row(training, who, waitlist.accept)

    def _decline(self, training: Training, who: str) -> Doing:
        return self._with_row(training, who, waitlist.decline)

    def _with_row(self, training: Training, who: str, act: Callable[..., object]) -> Doing:
        one = self.scene.students[who]
        mine = sa.select(TrainingEnroll).filter_by(training_id=training.id, student_id=one.id)
        actor = student(one.user_id)
        return lambda s, at: act(s, s.scalars(mine).one(), actor, at)


def opening(session: Session, now: datetime) -> None:
    """The last invitations: three of type Quick that run out 60, 90 and 120 s from `now`, then one.

    For when the scheduler is ready (rulings RD4). The newest letter is that of invited@.
    """
    quick = [course.name for course in COURSES if course.type == QUICK]
    for name, seconds in zip(quick, RUN_OUT_AFTER, strict=True):
        _someone_leaves(session, name, now + timedelta(seconds=seconds) - QUICK_ANSWER_TIME)
    _someone_leaves(session, LAST_INVITED, now)


def _someone_leaves(session: Session, training_name: str, at: datetime) -> None:
    """Whoever came last gives up the place, so that the first in line is invited."""
    last = (
        sa.select(TrainingEnroll, Student.user_id)
        .join(Training, Training.id == TrainingEnroll.training_id)
        .join(Student, Student.id == TrainingEnroll.student_id)
        .join(User, User.id == Student.user_id)
        .where(Training.name == training_name, TrainingEnroll.status == ENROLLED)
        .where(User.password.is_(None))  # nobody who signs in
        .order_by(TrainingEnroll.id.desc())
        .limit(1)
    )
    row, user_id = session.execute(last).one()
    enrolments.deroll(session, row, student(user_id), at, late=True)
