"""Who changed a schedule, when and how: append-only (schedules O6)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model
from app.models.schedule import MadeBy
from app.models.types import PlainJson, UtcDateTime, Uuid, enum_type


class ScheduleAudit(Model):
    """One act on one schedule, written in the act's own transaction.

    It outlives its schedule, which goes with its last run (H3): `schedule_id` is the schedule's
    uuid and no key. `old` and `new` hold the columns that changed.
    """

    __tablename__ = "schedule_audit"
    __table_args__ = (
        sa.Index("ix_schedule_audit_schedule", "schedule_id", "at"),
        sa.Index("ix_schedule_audit_at", "at"),  # what is too old goes
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    schedule_id: Mapped[str] = mapped_column(Uuid)
    practice_id: Mapped[int | None] = mapped_column(sa.ForeignKey("practice.id"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(sa.String(80))  # user:7, system, console
    via: Mapped[MadeBy] = mapped_column(enum_type(MadeBy, "via"), default=MadeBy.CODE)
    action: Mapped[str] = mapped_column(sa.String(40))  # as its line of the log says (M2)
    reason: Mapped[str | None] = mapped_column(sa.String(500))
    old: Mapped[dict[str, Any] | None] = mapped_column(PlainJson)
    new: Mapped[dict[str, Any] | None] = mapped_column(PlainJson)

    def __repr__(self) -> str:
        return f"<ScheduleAudit {self.id} {self.action}>"
