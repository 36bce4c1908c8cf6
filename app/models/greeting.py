"""Birthdays that were congratulated on: each once (schedules B3)."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model
from app.models.types import UtcDateTime, Uuid


class Greeting(Model):
    """One letter for one birthday of one person, however many schedules and practices know them.

    The day itself is not kept. It outlives its run: `execution_id` is no key (B6).
    """

    __tablename__ = "greeting"
    __table_args__ = (
        sa.UniqueConstraint("user_id", "birthday_year"),
        sa.CheckConstraint("days_late BETWEEN 0 AND 365", name="days_late"),
        sa.Index("ix_greeting_sent", "practice_id", "greeted_at"),  # the caps of a practice (B2)
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"))
    birthday_year: Mapped[int]  # in which the birthday fell
    practice_id: Mapped[int] = mapped_column(sa.ForeignKey("practice.id"))  # who congratulated
    days_late: Mapped[int] = mapped_column(default=0, server_default="0")
    greeted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    execution_id: Mapped[str | None] = mapped_column(Uuid)

    def __repr__(self) -> str:
        return f"<Greeting {self.id}>"
