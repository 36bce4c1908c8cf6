"""What a user is to a practice: someone who learns, someone who teaches."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Model
from app.models.practice import Practice
from app.models.types import enum_type
from app.models.user import User


class PersonStatus(StrEnum):
    """Only an active student books or is invited (waitlist WD1)."""

    ACTIVE = "active"
    INACTIVE = "inactive"


class Student(Model):
    """Who learns, once per user and practice."""

    __tablename__ = "student"
    __table_args__ = (sa.UniqueConstraint("user_id", "practice_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"))
    practice_id: Mapped[int] = mapped_column(sa.ForeignKey("practice.id"), index=True)
    status: Mapped[PersonStatus] = mapped_column(
        enum_type(PersonStatus, "status"), default=PersonStatus.ACTIVE
    )

    user: Mapped[User] = relationship()
    practice: Mapped[Practice] = relationship()

    def __repr__(self) -> str:
        return f"<Student {self.id}>"


class Trainer(Model):
    """Who teaches, once per user and practice."""

    __tablename__ = "trainer"
    __table_args__ = (sa.UniqueConstraint("user_id", "practice_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"))
    practice_id: Mapped[int] = mapped_column(sa.ForeignKey("practice.id"), index=True)
    status: Mapped[PersonStatus] = mapped_column(
        enum_type(PersonStatus, "status"), default=PersonStatus.ACTIVE
    )

    user: Mapped[User] = relationship()
    practice: Mapped[Practice] = relationship()

    def __repr__(self) -> str:
        return f"<Trainer {self.id}>"
