"""Automations: which task classes there are, when they run, what became of each run."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Model, utcnow
from app.models.training import TrainingType, schedule_types
from app.models.types import (
    JsonObject,
    PlainJson,
    UtcDateTime,
    Uuid,
    enum_type,
    new_uuid,
)


class BeforeAfterEnum(StrEnum):
    """On which side of its event a schedule runs."""

    before = "before"
    after = "after"


class EventsEnum(StrEnum):
    """Which event of an item it runs from."""

    first = "first"
    last = "last"
    all = "all"
    invited = "invited"


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


class AutomationClasses(Model):
    """A task class that can be scheduled, as the registry last described it."""

    __tablename__ = "automation_classes"

    id: Mapped[int] = mapped_column(primary_key=True)
    workflow_id: Mapped[str] = mapped_column(Uuid, unique=True, default=new_uuid)
    class_name: Mapped[str] = mapped_column(sa.String(100), unique=True)
    description: Mapped[str] = mapped_column(sa.String(500), default="", server_default="")
    module_path: Mapped[str] = mapped_column(sa.String(300), default="", server_default="")
    qualified_name: Mapped[str] = mapped_column(sa.String(400), default="", server_default="")
    enabled: Mapped[bool] = mapped_column(default=True, server_default=sa.true())

    def __repr__(self) -> str:
        return f"<AutomationClasses {self.class_name}>"


class AutomationSchedule(Model):
    """A task class joined with a time. Rows made by plain ORM code are complete by the defaults.

    Names are part of job ids, so they hold no `/` and are unique among the rows not deleted
    (schedules D2).
    """

    __tablename__ = "automation_schedule"
    __table_args__ = (
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name="name_length"),
        sa.CheckConstraint("name NOT LIKE '%/%'", name="name_without_slash"),
        sa.Index(
            "uq_automation_schedule_name",
            "name",
            unique=True,
            postgresql_where=sa.text("deleted_at IS NULL"),
            sqlite_where=sa.text("deleted_at IS NULL"),
        ),
        sa.Index("ix_automation_schedule_class", "automation_class_id"),
        sa.Index("ix_automation_schedule_practice", "practice_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    schedule_id: Mapped[str] = mapped_column(Uuid, unique=True, default=new_uuid)
    practice_id: Mapped[int | None] = mapped_column(sa.ForeignKey("practice.id"))  # null = all
    name: Mapped[str] = mapped_column(sa.String(200))
    description: Mapped[str | None] = mapped_column(sa.String(500))
    automation_class_id: Mapped[int | None] = mapped_column(sa.ForeignKey("automation_classes.id"))
    beforeafter: Mapped[BeforeAfterEnum] = mapped_column(
        enum_type(BeforeAfterEnum, "beforeafter"), default=BeforeAfterEnum.after
    )
    # Null lets the task decide: `invited` for AutomaticWaitList, else `first` (waitlist WA7).
    events: Mapped[EventsEnum | None] = mapped_column(enum_type(EventsEnum, "events"))
    interval: Mapped[timedelta | None] = mapped_column(sa.Interval)
    active: Mapped[bool] = mapped_column(default=True, server_default=sa.true())
    active_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    paused_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    task_config: Mapped[dict[str, Any]] = mapped_column(JsonObject, default=dict)
    # Null lets the task class decide.
    misfire_grace_time: Mapped[int | None]  # seconds
    timeout_seconds: Mapped[int | None]
    last_execution_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when it began
    last_execution_id: Mapped[str | None] = mapped_column(Uuid)
    last_run_status: Mapped[str | None] = mapped_column(sa.String(20))  # a RunStatus
    last_run_error: Mapped[str | None] = mapped_column(sa.Text)  # null after a success
    execution_count: Mapped[int] = mapped_column(default=0, server_default="0")
    consecutive_failures: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    version: Mapped[int] = mapped_column(default=1, server_default="1")

    automation_class: Mapped[AutomationClasses | None] = relationship()
    training_types: Mapped[list[TrainingType]] = relationship(
        secondary=schedule_types, back_populates="schedules"
    )

    @staticmethod
    def works() -> ColumnElement[bool]:
        """The schedule is on: active, not paused, not deleted, its class there and enabled."""
        return sa.and_(
            AutomationSchedule.active,
            AutomationSchedule.paused_at.is_(None),
            AutomationSchedule.deleted_at.is_(None),
            AutomationSchedule.automation_class_id.in_(
                sa.select(AutomationClasses.id).where(AutomationClasses.enabled)
            ),
        )

    @property
    def switched_on(self) -> bool:
        """Active, not paused, not deleted; whether its class works is another question."""
        # A row not yet flushed has no defaults: it is active (STYLE P4).
        return self.active is not False and self.paused_at is None and self.deleted_at is None

    def __repr__(self) -> str:
        return f"<AutomationSchedule {self.id}>"


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
