"""Automatic looks at students' profiles: what was missing, who was written to (schedules F3)."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model
from app.models.types import PlainJson, UtcDateTime, Uuid


class ProfileReview(Model):
    """One student, looked at by one live run.

    It outlives the run, whose `execution_id` is no key here (F5).
    """

    __tablename__ = "profile_review"
    __table_args__ = (
        sa.UniqueConstraint("student_id", "execution_id"),
        sa.CheckConstraint("completeness BETWEEN 0 AND 100", name="completeness"),
        sa.CheckConstraint("days_dormant >= 0", name="days_dormant"),
        sa.Index("ix_profile_review_latest", "student_id", "reviewed_at"),
        sa.Index("ix_profile_review_reviewed", "reviewed_at"),  # caps, and what is too old
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    student_id: Mapped[int] = mapped_column(sa.ForeignKey("student.id"))
    execution_id: Mapped[str] = mapped_column(Uuid)
    reviewed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    missing: Mapped[list[str]] = mapped_column(PlainJson, default=list)  # the checks that failed
    completeness: Mapped[int]  # per cent
    days_dormant: Mapped[int | None]  # null: never active, or not dormant
    invited: Mapped[bool] = mapped_column(default=False, server_default=sa.false())

    def __repr__(self) -> str:
        return f"<ProfileReview {self.id}>"
