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
