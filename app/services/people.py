"""Who somebody is to the practices of this installation: asked once for each page."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.person import PersonStatus, Student, Trainer
from app.models.practice import Practice
from app.models.user import User


@dataclass(frozen=True)
class Standing:
    """The practice somebody belongs to, and what they are there; nothing for a stranger."""

    practice: Practice | None = None
    student: Student | None = None
    trainer: Trainer | None = None  # only one who is active


def standing(session: Session, user_id: int | None) -> Standing:
    """A user's practice: where they learn, teach or work, else the first there is.

    One statement. A stranger gets the practice alone: its name stands on every page.
    """
    office = sa.select(User.practice_id).where(User.id == user_id).scalar_subquery()
    theirs = sa.or_(Student.id.is_not(None), Trainer.id.is_not(None), Practice.id == office)
    found = session.execute(
        sa.select(Practice, Student, Trainer)
        .outerjoin(Student, (Student.practice_id == Practice.id) & (Student.user_id == user_id))
        .outerjoin(
            Trainer,
            (Trainer.practice_id == Practice.id)
            & (Trainer.user_id == user_id)
            & (Trainer.status == PersonStatus.ACTIVE),
        )
        .order_by(sa.case((theirs, 0), else_=1), Practice.id)
        .limit(1)
    ).first()
    return Standing(*found) if found else Standing()


def practices_worked_for(session: Session, user_id: int) -> frozenset[int]:
    """Where somebody teaches or is part of the office."""
    teaches = sa.select(Trainer.practice_id).where(
        Trainer.user_id == user_id, Trainer.status == PersonStatus.ACTIVE
    )
    office = sa.select(User.practice_id).where(User.id == user_id, User.practice_id.is_not(None))
    return frozenset(session.scalars(teaches.union(office)))
