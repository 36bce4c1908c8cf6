"""Who somebody is to the practices of this installation: asked once for each page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.person import PersonStatus, Student, Trainer
from app.models.practice import Practice
from app.models.user import User


@dataclass(frozen=True)
class Standing:
    """The practice whose pages somebody sees, and what they are; nothing for a stranger.

    One may learn in one practice and teach in another (PG1): `practice` is the student's, else the
    trainer's, else the office's, else the first there is.
    """

    practice: Practice | None = None
    student: Student | None = None
    trainer: Trainer | None = None  # only one who is active, in whichever practice
    learns: tuple[tuple[Practice, Student], ...] = ()  # everywhere

    def at(self, practice_id: int) -> Standing:
        """The same person on the pages of another practice where they learn."""
        for practice, student in self.learns:
            if practice.id == practice_id:
                return replace(self, practice=practice, student=student)
        return self


def standing(session: Session, user_id: int | None) -> Standing:
    """What a user is in all practices: one statement.

    A stranger gets the practice alone: its name stands on every page.
    """
    rows = session.execute(_rows(), {"user": user_id}).all()
    learns = [row for row in rows if row.Student]
    teaches = [row for row in rows if row.Trainer]
    works = [row for row in rows if row.in_office]
    home = next(iter(learns or teaches or works or rows), None)
    return Standing(
        practice=home.Practice if home else None,
        student=learns[0].Student if learns else None,
        trainer=teaches[0].Trainer if teaches else None,
        learns=tuple((row.Practice, row.Student) for row in learns),
    )


@cache
def _rows() -> Any:
    """The practices where somebody is anything, and the first there is; each with their rows."""
    user = sa.bindparam("user", type_=sa.Integer)
    office = sa.select(User.practice_id).where(User.id == user).scalar_subquery()
    in_office = sa.func.coalesce(Practice.id == office, sa.false()).label("in_office")
    first = sa.select(sa.func.min(Practice.id)).scalar_subquery()
    theirs = sa.or_(Student.id.is_not(None), Trainer.id.is_not(None), in_office)
    return (
        sa.select(Practice, Student, Trainer, in_office)
        .outerjoin(Student, (Student.practice_id == Practice.id) & (Student.user_id == user))
        .outerjoin(
            Trainer,
            (Trainer.practice_id == Practice.id)
            & (Trainer.user_id == user)
            & (Trainer.status == PersonStatus.ACTIVE),
        )
        .where(sa.or_(theirs, Practice.id == first))
        .order_by(Practice.id)
    )


def practices_worked_for(session: Session, user_id: int) -> frozenset[int]:
    """Where somebody teaches or is part of the office."""
    teaches = sa.select(Trainer.practice_id).where(
        Trainer.user_id == user_id, Trainer.status == PersonStatus.ACTIVE
    )
    office = sa.select(User.practice_id).where(User.id == user_id, User.practice_id.is_not(None))
    return frozenset(session.scalars(teaches.union(office)))
