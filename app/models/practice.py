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

    def __repr__(self) -> str:
        return f"<Practice {self.id}>"
