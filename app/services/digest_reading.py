"""What the digests of trainers say, asked of the rows when they are about to be sent (WN15).

A digest names numbers of the history. Whom they are about, and how each training stands, is read
now: in as many statements for one digest as for a thousand, for one training as for fifty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.bulk import among
from app.models.enrolment import INVITED, WAITLIST, TrainingEnroll
from app.models.enrolment_history import EnrolmentHistory
from app.models.outbox import Outbox
from app.models.person import PersonStatus, Student, Trainer
from app.models.queue import starts_at
from app.models.training import AssignmentStatus, Training, TrainingTrainer
from app.models.user import User, UserSettings
from app.services.letter_facts import PERSON, Change, News, Offer, Person
from app.services.people_letters import TRAINER_DIGEST

# What became of a student by each event; an invitation stands among those that are open.
HOW = {
    "enrolled": "enrolled",
    "forced": "enrolled",
    "accepted": "enrolled",
    "queued": "queued",
    "re-enabled": "queued",
    "derolled": "left",
    "left": "left",
    "removed": "left",
    "declined": "ended",
    "expired": "ended",
    "deinvited": "ended",
}
UNREACHED = "undelivered"  # no change of place: it stands beside what became of them


def read(session: Session, rows: Sequence[Outbox]) -> dict[int, tuple[News, ...]]:
    """The news of each digest among these rows by its id, next to start first.

    Trainings that its reader no longer teaches are left out.
    """
    digests = [row for row in rows if row.kind == TRAINER_DIGEST]
    if not digests:
        return {}
    about = _About(session, digests)
    return {row.id: about.news_of(row) for row in digests}


def _named(row: Outbox) -> dict[int, list[int]]:
    """The numbers that a digest tells of, by training."""
    return {int(training): numbers for training, numbers in row.payload.get("news", {}).items()}


class _About:
    """What the digests speak of, read once for all of them."""

    def __init__(self, session: Session, digests: Sequence[Outbox]) -> None:
        told = [_named(row) for row in digests]
        ids = {"ids": sorted({training for one in told for training in one})}
        numbers = sorted({n for one in told for some in one.values() for n in some})
        self.trainings = {row.id: row for row in session.execute(_trainings(), ids)}
        self.teaches = {tuple(row) for row in session.execute(_teaches(), ids)}
        self.offers: dict[int, list[Offer]] = defaultdict(list)
        for training_id, deadline, *person in session.execute(_offers(), ids):
            self.offers[training_id].append(Offer(Person(*person), deadline))
        self.happened: dict[tuple[int, int], Any] = {}
        for row in session.execute(_happened(), ids | {"numbers": numbers}):
            self.happened[row.training_id, row.seq] = row

    def news_of(self, row: Outbox) -> tuple[News, ...]:
        """Of the trainings that its reader still teaches."""
        told = [
            self._news(training_id, numbers)
            for training_id, numbers in _named(row).items()
            if (training_id, row.user_id) in self.teaches and training_id in self.trainings
        ]
        dated = [one for one in told if one.starts_at is not None]
        dated.sort(key=lambda one: (one.starts_at, one.training_id))
        return (*dated, *(one for one in told if one.starts_at is None))

    def _news(self, training_id: int, numbers: Sequence[int]) -> News:
        row = self.trainings[training_id]
        known = (self.happened.get((training_id, number)) for number in sorted(numbers))
        happened = [one for one in known if one is not None]
        events = {one.event for one in happened}
        return News(
            training_id,
            row.name,
            row.starts_at,
            row.max_participants,
            row.seats_taken,
            row.waiting,
            "training-cancelled" in events,
            "rescheduled" in events and row.cancelled_at is None,
            _changes(happened),
            tuple(self.offers[training_id]),
        )


def _changes(happened: Sequence[Any]) -> tuple[Change, ...]:
    """What became of each student in the end, and whom letters did not reach."""
    of_students = [row for row in happened if row.enrolment_id is not None]
    unreached = {row.enrolment_id: row for row in of_students if row.event == UNREACHED}
    last = {row.enrolment_id: row for row in of_students if row.event != UNREACHED}
    changes = [(HOW[row.event], row) for row in last.values() if row.event in HOW]
    changes += [("unreached", row) for row in unreached.values()]
    return tuple(Change(how, Person(*row[4:])) for how, row in changes)


@cache
def _trainings() -> Any:
    t, e = Training, TrainingEnroll
    waiting = sa.select(sa.func.count()).where(e.training_id == t.id, e.status == WAITLIST)
    return sa.select(
        t.id,
        t.name,
        t.max_participants,
        t.seats_taken,
        t.cancelled_at,
        starts_at(t.id).label("starts_at"),
        waiting.scalar_subquery().label("waiting"),
    ).where(among(t.id, "ids"))


@cache
def _teaches() -> Any:
    t = TrainingTrainer
    return (
        sa.select(t.training_id, Trainer.user_id)
        .join(Trainer, Trainer.id == t.trainer_id)
        .where(
            among(t.training_id, "ids"),
            t.status == AssignmentStatus.ACCEPTED,
            Trainer.status == PersonStatus.ACTIVE,
        )
    )


@cache
def _offers() -> Any:
    e = TrainingEnroll
    return (
        _with_person(sa.select(e.training_id, e.invite_expires_at, *PERSON), e.student_id)
        .where(among(e.training_id, "ids"), e.status == INVITED)
        .order_by(e.training_id, e.queue_position, e.id)
    )


@cache
def _happened() -> Any:
    h = EnrolmentHistory
    columns = (h.training_id, h.seq, h.event, h.enrolment_id, *PERSON)
    return _with_person(sa.select(*columns), h.student_id, outer=True).where(
        among(h.training_id, "ids"), among(h.seq, "numbers")
    )


def _with_person(select: Any, student_id: Any, *, outer: bool = False) -> Any:
    """With the user of that student, if there is one."""
    return (
        select.join(Student, Student.id == student_id, isouter=outer)
        .join(User, User.id == Student.user_id, isouter=outer)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
    )
