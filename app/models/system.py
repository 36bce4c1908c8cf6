"""What the scheduler process remembers: which start this is, when its duties last ran, whether all
schedules rest.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model
from app.models.types import UtcDateTime


class SchedulerEpoch(Model):
    """One row: how often a scheduler took over. Who has an older number claims nothing (SI4)."""

    __tablename__ = "scheduler_epoch"

    id: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(default=0, server_default="0")
    environment: Mapped[str | None] = mapped_column(sa.String(20))  # whose database this is (SI9)
    holder: Mapped[str | None] = mapped_column(sa.String(200))  # host and pid
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # its last sign of life


class SystemDuty(Model):
    """The last run of a fixed duty `system:<name>`, so that downtime loses none (L1)."""

    __tablename__ = "system_duty"

    name: Mapped[str] = mapped_column(sa.String(60), primary_key=True)
    last_run_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_error: Mapped[str | None] = mapped_column(sa.Text)


class Setback(Model):
    """A row that a duty failed on: why, and when to try it again (waitlist WF9, L5)."""

    __tablename__ = "setback"

    duty: Mapped[str] = mapped_column(sa.String(60), primary_key=True)
    item: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    failures: Mapped[int]
    not_before: Mapped[datetime] = mapped_column(UtcDateTime)
    error: Mapped[str] = mapped_column(sa.Text)


class SystemState(Model):
    """One row of switches for the whole installation; a missing row means that none is set."""

    __tablename__ = "system_state"
    __table_args__ = (sa.CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    # All recurring schedules rest: nothing is claimed, rows and jobs stay (schedules C6).
    schedules_paused_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    schedules_paused_by: Mapped[str | None] = mapped_column(sa.String(80))  # an actor
    schedules_pause_reason: Mapped[str | None] = mapped_column(sa.String(500))
