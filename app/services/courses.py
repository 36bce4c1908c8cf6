"""The trainings that staff look after, with their numbers (people PT1).

Reads only, and as many statements for five rows as for fifty (people PG6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload

from app.models.bulk import among
from app.models.enrolment import INVITED, OPEN, TAKING, WAITLIST, TrainingEnroll
from app.models.person import Trainer
from app.models.queue import starts_at
from app.models.training import AssignmentStatus, Training, TrainingEvent, TrainingTrainer
from app.models.user import User
from app.services.actors import Actor
from app.services.refusals import NotFound
from app.services.scope import within

PAGE = 50  # rows of a list (people PG5)
E, T = TrainingEnroll, Training


def has_words(column: Any, words: str) -> sa.ColumnElement[bool]:
    """Whether a text has these words, whatever their case; NUL is in no text."""
    found: sa.ColumnElement[bool] = sa.func.lower(column).contains(
        words.replace("\0", "").lower(), autoescape=True
    )
    return found


# --- my trainings --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Course:
    """A training in the list of those who teach it."""

    training: Training
    starts_at: datetime | None
    trainers: int  # who accepted
    taken: int = 0  # seats of enrolled and invited
    invited: int = 0
    waiting: int = 0
    next_deadline: datetime | None = None
    undelivered: int = 0  # invitations whose letter did not arrive


@dataclass(frozen=True)
class Courses:
    """One page of them, and how many there are in all."""

    courses: list[Course]
    total: int


def courses(
    session: Session,
    practices: frozenset[int],
    now: datetime,
    *,
    taught_by: int | None = None,
    past: bool = False,
    search: str = "",
    page: int = 1,
) -> Courses:
    """The trainings of these practices, of one user's only if asked; next to start first.

    Past are those whose last meeting is over and the archived ones, newest first.
    """
    begins, ends, staff = starts_at(T.id), _ends_at(), _trainers(sa.func.count())
    over = sa.or_(T.archived_at.is_not(None), sa.func.coalesce(ends <= now, sa.false()))
    asked = sa.select(T, begins, staff, sa.func.count().over()).where(
        T.practice_id.in_(practices), over if past else sa.not_(over)
    )
    if taught_by is not None:
        asked = asked.where(_taught_by(taught_by))
    if search:
        asked = asked.where(has_words(T.name, search))
    order = begins.desc() if past else begins.asc()
    asked = asked.order_by(begins.is_(None), order, T.name, T.id)
    found = session.execute(asked.limit(PAGE).offset((page - 1) * PAGE)).all()
    counts = _counts(session, [row[0].id for row in found])
    total = found[0][3] if found else 0
    return Courses([Course(*row[:3], *counts.get(row[0].id, ())) for row in found], total)


def _ends_at() -> sa.ScalarSelect[Any]:
    last = sa.select(sa.func.max(TrainingEvent.end_time))
    return last.where(TrainingEvent.training_id == T.id).scalar_subquery()


def _trainers(what: Any) -> sa.ScalarSelect[Any]:
    accepted = TrainingTrainer.status == AssignmentStatus.ACCEPTED
    return (
        sa.select(what)
        .select_from(TrainingTrainer)
        .join(Trainer, Trainer.id == TrainingTrainer.trainer_id)
        .join(User, User.id == Trainer.user_id)
        .where(TrainingTrainer.training_id == T.id, accepted)
        .correlate(T)
        .scalar_subquery()
    )


def _taught_by(user_id: int) -> sa.ColumnElement[bool]:
    mine = sa.select(TrainingTrainer.training_id).join(
        Trainer, Trainer.id == TrainingTrainer.trainer_id
    )
    accepted = TrainingTrainer.status == AssignmentStatus.ACCEPTED
    return T.id.in_(mine.where(Trainer.user_id == user_id, accepted))


def _counts(session: Session, ids: Sequence[int]) -> dict[int, tuple[Any, ...]]:
    invited = E.status == INVITED
    rows = session.execute(
        sa.select(
            E.training_id,
            sa.func.coalesce(sa.func.sum(E.seats).filter(E.status.in_(TAKING)), 0),
            sa.func.count().filter(invited),
            sa.func.count().filter(E.status == WAITLIST),
            sa.func.min(E.invite_expires_at).filter(invited),
            sa.func.count().filter(invited, E.invite_undelivered_at.is_not(None)),
        )
        .where(among(E.training_id, ids), E.status.in_(OPEN))
        .group_by(E.training_id)
    )
    return {row[0]: tuple(row[1:]) for row in rows}


# --- one training --------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainingSeen:
    """A training of the actor's practices, with the names of who teaches it."""

    training: Training
    trainers: str


def training_of(session: Session, actor: Actor, training_id: int) -> TrainingSeen:
    """Its practice and type are loaded too. Raises `NotFound`: there is none, or it is others'."""
    names = _trainers(sa.func.aggregate_strings(User.first_name + " " + User.last_name, ", "))
    asked = sa.select(T, names).where(T.id == training_id)
    with_both = asked.options(joinedload(T.practice), joinedload(T.training_type))
    found = session.execute(with_both).one_or_none()
    if found is None:
        raise NotFound(what="training", id=training_id)
    return TrainingSeen(within(actor, found[0]), found[1] or "")


def meetings(session: Session, training_id: int) -> list[TrainingEvent]:
    """Its meetings in order, each with its location."""
    of = sa.select(TrainingEvent).where(TrainingEvent.training_id == training_id)
    inorder = of.order_by(TrainingEvent.start_time, TrainingEvent.id)
    return list(session.scalars(inorder.options(joinedload(TrainingEvent.location))))
