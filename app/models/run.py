"""Runs: what became of each occurrence of a schedule."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Model
from app.models.schedule import AutomationSchedule
from app.models.types import PlainJson, UtcDateTime, Uuid, enum_type, new_uuid


class RunStatus(StrEnum):
    """What can become of an occurrence; no other word (schedules X1)."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    MISSED = "missed"
    SKIPPED = "skipped"


class AutomationRun(Model):
    """One occurrence of a schedule for an item, and what became of it: the ledger (L7)."""

    __tablename__ = "automation_run"
    __table_args__ = (
        sa.UniqueConstraint("schedule_id", "item", "occurrence"),
        sa.Index("ix_automation_run_started", "started_at"),
        sa.Index("ix_automation_run_due", "schedule_id", "due_at"),
        sa.Index("ix_automation_run_status", "status", "not_before"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    execution_id: Mapped[str] = mapped_column(Uuid, unique=True, default=new_uuid)
    schedule_id: Mapped[int] = mapped_column(sa.ForeignKey("automation_schedule.id"))
    item: Mapped[str] = mapped_column(sa.String(100))
    occurrence: Mapped[str] = mapped_column(sa.String(100))  # a UTC instant, or manual:<uuid>
    status: Mapped[RunStatus] = mapped_column(enum_type(RunStatus, "status"))
    reason: Mapped[str | None] = mapped_column(sa.String(100))
    trigger: Mapped[str] = mapped_column(
        sa.String(20), default="schedule", server_default="schedule"
    )
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)  # the next try, while queued
    attempt: Mapped[int] = mapped_column(default=1, server_default="1")
    interruptions: Mapped[int] = mapped_column(default=0, server_default="0")  # its worker died
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deadline_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # started + time-out
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    duration_ms: Mapped[int | None]
    worker: Mapped[str | None] = mapped_column(sa.String(100))  # host, pid and epoch
    messages_sent: Mapped[int] = mapped_column(default=0, server_default="0")  # letters promised
    result: Mapped[dict[str, Any] | None] = mapped_column(PlainJson)
    error: Mapped[str | None] = mapped_column(sa.Text)
    error_type: Mapped[str | None] = mapped_column(sa.String(200))
    traceback: Mapped[str | None] = mapped_column(sa.Text)

    schedule: Mapped[AutomationSchedule] = relationship()

    def __repr__(self) -> str:
        return f"<AutomationRun {self.execution_id}>"
