"""The scene of a replay: a practice, its trainings, and everyone who will come (rulings RD3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import (
    AutomationClasses,
    AutomationSchedule,
    BeforeAfterEnum,
    EventsEnum,
    Practice,
    Student,
    Trainer,
    Training,
    TrainingEvent,
    TrainingTrainer,
    User,
)
from app.models.bulk import insert_many
from app.models.types import new_uuid
from app.ops.demand import Change, Demand, Section

ANSWER_TIME = timedelta(hours=24)


@dataclass
class Person:
    """A student; `n` counts who came to their course, from 1."""

    student_id: int
    user_id: int
    n: int = 0
    enrolment_id: int = 0
    status: str = ""


@dataclass
class Course:
    """A training, and the people of whom its demand consists."""

    key: str
    training_id: int
    starts_at: datetime
    places: int
    wanted: int = 0
    gone: int = 0  # declined or ran out since demand last fell
    people: dict[int, Person] = field(default_factory=dict)  # by student, as they came


def arrivals(changes: Sequence[Change]) -> int:
    """How many people come in all: the sum of the rises."""
    wanted: dict[str, int] = {}
    came = 0
    for change in changes:
        came += max(0, change.wanted - wanted.get(change.key, 0))
        wanted[change.key] = change.wanted
    return came


def prepare(
    session: Session, demand: Demand, people: int
) -> tuple[dict[str, Course], list[Person]]:
    """Write the scene, uncommitted: the courses by key, and as many people in a fixed order."""
    practice = Practice(name="Replay", shortname="replay", timezone=demand.zone)
    session.add_all([practice, _schedule(session)])
    session.flush()  # the rows below name the practice
    trainers = _trainers(session, practice.id, {s.instructor for s in demand.sections})
    made = [(s, _training(practice.id, s, demand, trainers)) for s in demand.sections]
    session.add_all([training for _, training in made])
    session.flush()  # courses are known by their trainings' ids
    courses = {
        s.key: Course(s.key, training.id, training.events[0].start_time, s.places)
        for s, training in made
    }
    return courses, [Person(*ids) for ids in _students(session, practice.id, people)]


def _schedule(session: Session) -> AutomationSchedule:
    name = "AutomaticWaitList"
    known = sa.select(AutomationClasses).where(AutomationClasses.class_name == name)
    return AutomationSchedule(
        name="replay",
        automation_class=session.scalars(known).one_or_none() or AutomationClasses(class_name=name),
        beforeafter=BeforeAfterEnum.after,
        events=EventsEnum.invited,
        interval=ANSWER_TIME,
    )


def _training(
    practice_id: int, section: Section, demand: Demand, trainers: dict[str, int]
) -> Training:
    begins, ends = (
        datetime.combine(demand.held_on, clock, ZoneInfo(demand.zone)).astimezone(UTC)
        for clock in section.meets
    )
    return Training(
        practice_id=practice_id,
        name=section.name,
        max_participants=section.places,
        active=True,
        events=[TrainingEvent(start_time=begins, end_time=ends)],
        trainers=[TrainingTrainer(trainer_id=trainers[section.instructor])],
    )


def _trainers(session: Session, practice_id: int, names: set[str]) -> dict[str, int]:
    """Trainer id by name: whoever teaches has an account, and is told of everything."""
    users = _users(session, "trainer", sorted(names))
    rows = [{"user_id": user_id, "practice_id": practice_id} for user_id in users]
    insert_many(session, Trainer, rows)
    ids = session.scalars(sa.select(Trainer.id).order_by(Trainer.user_id))
    return dict(zip(sorted(names), ids, strict=True))


def _students(session: Session, practice_id: int, count: int) -> Iterator[tuple[int, int]]:
    """(student id, user id), always in the same order."""
    users = _users(session, "student", [str(n + 1) for n in range(count)])
    rows = [{"user_id": user_id, "practice_id": practice_id} for user_id in users]
    insert_many(session, Student, rows)
    ids = session.execute(sa.select(Student.id, Student.user_id).order_by(Student.user_id))
    return ((row.id, row.user_id) for row in ids)


def _users(session: Session, role: str, names: list[str]) -> list[int]:
    """Their ids, in the order of `names` and rising."""
    before = session.scalar(sa.select(sa.func.max(User.id))) or 0
    insert_many(session, User, [_user(role, n, name) for n, name in enumerate(names, start=1)])
    return list(session.scalars(sa.select(User.id).where(User.id > before).order_by(User.id)))


def _user(role: str, n: int, name: str) -> dict[str, Any]:
    return {
        "email": f"{role}-{n}@replay.example",
        "first_name": role.capitalize(),
        "last_name": name or "Staff",
        "active": True,
        "fs_uniquifier": new_uuid(),
    }
