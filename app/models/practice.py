"""The tenant: a training provider."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model
from app.models.types import enum_type


class OnBounce(StrEnum):
    """What becomes of an invitation whose letter bounced (waitlist WI8)."""

    KEEP = "keep"
    RELEASE = "release"


class Practice(Model):
    """A provider: its trainings, people and rules see only each other (waitlist WD1)."""

    __tablename__ = "practice"
    __table_args__ = (
        sa.CheckConstraint("people_mail_daily_cap BETWEEN 1 AND 2000", name="people_mail_daily"),
        sa.CheckConstraint("people_mail_weekly_cap BETWEEN 1 AND 2000", name="people_mail_weekly"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    shortname: Mapped[str] = mapped_column(sa.String(40), unique=True)
    timezone: Mapped[str] = mapped_column(sa.String(64), default="Europe/Amsterdam")
    language: Mapped[str] = mapped_column(sa.String(10), default="en")
    sender: Mapped[str | None] = mapped_column(sa.String(254))  # the address letters come from
    invite_cutoff: Mapped[timedelta | None] = mapped_column(sa.Interval)  # null = WAITLIST_CUTOFF
    four_eyes: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    on_bounce: Mapped[OnBounce] = mapped_column(
        enum_type(OnBounce, "on_bounce"),
        default=OnBounce.KEEP,
        server_default=OnBounce.KEEP,
    )

    # Greetings and reviews together write to so many people; null = no cap (schedules B2).
    people_mail_daily_cap: Mapped[int | None] = mapped_column(default=15, server_default="15")
    people_mail_weekly_cap: Mapped[int | None] = mapped_column(default=100, server_default="100")

    def __repr__(self) -> str:
        return f"<Practice {self.id}>"
