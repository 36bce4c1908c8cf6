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


class RunTrigger(StrEnum):
    """What started it: its time, a person, another run that ended (schedules D3)."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    CHAIN = "chain"


COUNTERS = (
    "messages_sent",
    "profiles_visited",
    "items_found",
    "items_done",
    "items_skipped",
    "items_failed",
    "missed_count",
)


class AutomationRun(Model):
    """One occurrence of a schedule for an item, and what became of it: the ledger (L7).

    `item` is the schedule's own uuid if it recurs; `occurrence` is a UTC instant, `manual:<uuid>`
    or `chain:<execution id of the parent>` (schedules D3). Of a dry run both documented counters,
    `messages_sent` and `profiles_visited`, stay 0 (X6).
    """

    __tablename__ = "automation_run"
    __table_args__ = (
        sa.UniqueConstraint("schedule_id", "item", "occurrence"),
        sa.CheckConstraint("\"trigger\" IN ('schedule', 'manual', 'chain')", name="trigger"),
        *(sa.CheckConstraint(f"{counter} >= 0", name=counter) for counter in COUNTERS),
        sa.Index("ix_automation_run_started", "started_at"),
        sa.Index("ix_automation_run_due", "schedule_id", "due_at"),
        sa.Index("ix_automation_run_status", "status", "not_before"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    execution_id: Mapped[str] = mapped_column(Uuid, unique=True, default=new_uuid)
    schedule_id: Mapped[int] = mapped_column(sa.ForeignKey("automation_schedule.id"))
    item: Mapped[str] = mapped_column(sa.String(100))
    occurrence: Mapped[str] = mapped_column(sa.String(100))
    status: Mapped[RunStatus] = mapped_column(enum_type(RunStatus, "status"))
    reason: Mapped[str | None] = mapped_column(sa.String(100))
    trigger: Mapped[str] = mapped_column(  # a RunTrigger
        sa.String(20), default=RunTrigger.SCHEDULE, server_default=RunTrigger.SCHEDULE
    )
    triggered_by: Mapped[str | None] = mapped_column(sa.String(80))  # an actor; null: its time
    parent_execution_id: Mapped[str | None] = mapped_column(Uuid)  # whose end started it (R8)
    retry_of: Mapped[str | None] = mapped_column(Uuid)  # the failed run it tries again (R4)
    dry_run: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    config_snapshot: Mapped[dict[str, Any] | None] = mapped_column(PlainJson)  # what it ran with
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)  # the next try, while queued
    attempt: Mapped[int] = mapped_column(default=1, server_default="1")
    # Those that ended: start, end, outcome, error. Written as a whole, never changed in place.
    attempts: Mapped[list[dict[str, Any]]] = mapped_column(
        PlainJson, default=list, server_default="[]"
    )
    interruptions: Mapped[int] = mapped_column(default=0, server_default="0")  # its worker died
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deadline_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # started + time-out
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    duration_ms: Mapped[int | None]
    worker: Mapped[str | None] = mapped_column(sa.String(100))  # host, pid and epoch
    # Occurrences that were merged into this one, or missed and skipped with it (G3).
    missed_count: Mapped[int] = mapped_column(default=0, server_default="0")
    messages_sent: Mapped[int] = mapped_column(default=0, server_default="0")  # letters promised
    profiles_visited: Mapped[int] = mapped_column(default=0, server_default="0")
    items_found: Mapped[int] = mapped_column(default=0, server_default="0")
    items_done: Mapped[int] = mapped_column(default=0, server_default="0")
    items_skipped: Mapped[int] = mapped_column(default=0, server_default="0")
    items_failed: Mapped[int] = mapped_column(default=0, server_default="0")
    result: Mapped[dict[str, Any] | None] = mapped_column(PlainJson)
    error: Mapped[str | None] = mapped_column(sa.Text)
    error_type: Mapped[str | None] = mapped_column(sa.String(200))
    traceback: Mapped[str | None] = mapped_column(sa.Text)

    schedule: Mapped[AutomationSchedule] = relationship()

    def __repr__(self) -> str:
        return f"<AutomationRun {self.execution_id}>"
