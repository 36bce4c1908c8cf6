"""Schedules: which task classes there are, and when they run."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Model, utcnow
from app.models.automation_class import AutomationClasses
from app.models.training import TrainingType, schedule_types
from app.models.types import (
    JsonObject,
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


class ScheduleType(StrEnum):
    """What its time follows from: events of items, a clock, or the end of another (schedules T)."""

    EVENT = "event"
    CRON = "cron"
    INTERVAL = "interval"
    ONE_TIME = "one_time"
    DAILY = "daily"
    WEEKLY = "weekly"
    CHAINED = "chained"


class StoppedBecause(StrEnum):
    """Why a schedule is not active any more (schedules D2)."""

    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"


class ScheduleState(StrEnum):
    """What people see of it."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"


class OverlapPolicy(StrEnum):
    """What becomes of an occurrence while as many run as may (schedules G5)."""

    SKIP = "skip"
    QUEUE_ONE = "queue_one"


class RetryBackoff(StrEnum):
    """Whether the wait before each further try grows (schedules R1)."""

    EXPONENTIAL = "exponential"
    FIXED = "fixed"


class MadeBy(StrEnum):
    """The door through which a schedule came; each has its own defaults (schedules T10)."""

    CODE = "code"
    FORM = "form"
    SCHEDULER_API = "scheduler"  # family A, /scheduler
    SCHEDULES_API = "schedules"  # family B, /api/v1
    COMMAND = "command"
    IMPORT = "import"


MOST = 2_147_483_647
YEAR_SECONDS = 31_536_000
RANGES = {
    "max_executions": (1, MOST),
    "execution_count": (0, MOST),
    "consecutive_failures": (0, MOST),
    "max_instances": (1, 100),
    "misfire_grace_time": (0, YEAR_SECONDS),
    "timeout_seconds": (1, 86_400),
    "retry_max": (0, 10),
    "retry_base_seconds": (1, YEAR_SECONDS),
    "retry_cap_seconds": (1, YEAR_SECONDS),
}


class AutomationSchedule(Model):
    """A task class joined with a time. Rows made by plain ORM code are complete by the defaults.

    Names are part of job ids, so they hold no `/` and are unique among the rows not deleted
    (schedules D2).
    """

    __tablename__ = "automation_schedule"
    __table_args__ = (
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name="name_length"),
        sa.CheckConstraint("name NOT LIKE '%/%'", name="name_without_slash"),
        sa.CheckConstraint("lower(substr(name, 1, 7)) <> 'system:'", name="name_not_of_system"),
        sa.CheckConstraint("length(description) <= 500", name="description_length"),
        # Null passes: it lets the task class decide, or means that there is no limit.
        *(
            sa.CheckConstraint(f"{column} BETWEEN {least} AND {most}", name=column)
            for column, (least, most) in RANGES.items()
        ),
        sa.CheckConstraint("start_at < end_at", name="starts_before_it_ends"),
        # Only what is active and has a time of its own has a next one.
        sa.CheckConstraint(
            "next_execution_at IS NULL OR (active AND schedule_type NOT IN ('event', 'chained'))",
            name="next_only_if_active",
        ),
        sa.Index(
            "uq_automation_schedule_name",
            "name",
            unique=True,
            postgresql_where=sa.text("deleted_at IS NULL"),
            sqlite_where=sa.text("deleted_at IS NULL"),
        ),
        sa.Index("ix_automation_schedule_class", "automation_class_id"),
        sa.Index("ix_automation_schedule_practice", "practice_id"),
        sa.Index("ix_automation_schedule_next", "active", "next_execution_at"),  # what is due
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

    # When it runs, unless events say so.
    schedule_type: Mapped[ScheduleType] = mapped_column(
        enum_type(ScheduleType, "schedule_type"),
        default=ScheduleType.EVENT,
        server_default=ScheduleType.EVENT,
        index=True,
    )
    schedule_config: Mapped[dict[str, Any]] = mapped_column(  # as stored (T3)
        JsonObject, default=dict, server_default="{}"
    )
    timezone: Mapped[str | None] = mapped_column(sa.String(64))
    start_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    end_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    anchor_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # an interval counts from here
    next_execution_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    max_executions: Mapped[int | None]  # null: no limit
    on_success_schedule_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("automation_schedule.id", name="fk_automation_schedule_on_success")
    )
    on_failure_schedule_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("automation_schedule.id", name="fk_automation_schedule_on_failure")
    )

    # Why it does not run now.
    stopped_because: Mapped[StoppedBecause | None] = mapped_column(
        enum_type(StoppedBecause, "stopped_because")
    )
    paused_by: Mapped[str | None] = mapped_column(sa.String(80))  # an actor
    pause_reason: Mapped[str | None] = mapped_column(sa.String(500))
    resume_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    # How it runs. Where null is allowed it lets the task class decide.
    dry_run: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    context_data: Mapped[dict[str, Any]] = mapped_column(
        JsonObject, default=dict, server_default="{}"
    )
    misfire_grace_time: Mapped[int | None]  # seconds
    coalesce: Mapped[bool | None]
    max_instances: Mapped[int | None]
    overlap_policy: Mapped[OverlapPolicy] = mapped_column(
        enum_type(OverlapPolicy, "overlap_policy"),
        default=OverlapPolicy.SKIP,
        server_default=OverlapPolicy.SKIP,
    )
    timeout_seconds: Mapped[int | None]
    retry_max: Mapped[int | None]
    retry_backoff: Mapped[RetryBackoff] = mapped_column(
        enum_type(RetryBackoff, "retry_backoff"),
        default=RetryBackoff.EXPONENTIAL,
        server_default=RetryBackoff.EXPONENTIAL,
    )
    retry_base_seconds: Mapped[int] = mapped_column(default=60, server_default="60")
    retry_cap_seconds: Mapped[int] = mapped_column(default=3600, server_default="3600")

    # What became of it.
    last_execution_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when it began
    last_execution_id: Mapped[str | None] = mapped_column(Uuid)
    last_run_status: Mapped[str | None] = mapped_column(sa.String(20))  # a RunStatus
    last_run_error: Mapped[str | None] = mapped_column(sa.Text)  # null after a success
    execution_count: Mapped[int] = mapped_column(default=0, server_default="0")
    consecutive_failures: Mapped[int] = mapped_column(default=0, server_default="0")

    # Where it comes from. Who is an actor's name: `user:7`, `system`, `console`.
    template_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("schedule_template.id", name="fk_automation_schedule_template")
    )
    created_via: Mapped[MadeBy] = mapped_column(
        enum_type(MadeBy, "created_via"), default=MadeBy.CODE, server_default=MadeBy.CODE
    )
    created_by: Mapped[str] = mapped_column(
        sa.String(80), default="system", server_default="system"
    )
    updated_by: Mapped[str | None] = mapped_column(sa.String(80))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    # The last edit, not the last run; null where code older than this column made the row.
    updated_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=utcnow)
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

    @property
    def state(self) -> ScheduleState:
        """Active, or why not; what is off for no stated reason reads as paused (schedules D2)."""
        if self.active is not False and self.paused_at is None:
            return ScheduleState.ACTIVE
        return ScheduleState(self.stopped_because or StoppedBecause.PAUSED)

    def __repr__(self) -> str:
        return f"<AutomationSchedule {self.id}>"
