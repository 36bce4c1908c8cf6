"""Templates: what a new schedule can be filled in with (schedules O8)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Model, utcnow
from app.models.automation_class import AutomationClasses
from app.models.types import JsonObject, UtcDateTime, Uuid, new_uuid

OF_ALL = sa.text("practice_id IS NULL")


class ScheduleTemplate(Model):
    """A task class with values for the columns of a schedule. They are copied, never followed.

    `settings` holds them by the names of those columns. A name is unique within its practice.
    """

    __tablename__ = "schedule_template"
    __table_args__ = (
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name="name_length"),
        sa.CheckConstraint("length(description) <= 500", name="description_length"),
        sa.UniqueConstraint("practice_id", "name"),
        # Null equals no other null, so the rows of all practices need an index of their own.
        sa.Index(
            "uq_schedule_template_name_of_all",
            "name",
            unique=True,
            postgresql_where=OF_ALL,
            sqlite_where=OF_ALL,
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    template_id: Mapped[str] = mapped_column(Uuid, unique=True, default=new_uuid)
    practice_id: Mapped[int | None] = mapped_column(sa.ForeignKey("practice.id"))  # null = all
    name: Mapped[str] = mapped_column(sa.String(200))
    description: Mapped[str | None] = mapped_column(sa.String(500))
    automation_class_id: Mapped[int | None] = mapped_column(sa.ForeignKey("automation_classes.id"))
    settings: Mapped[dict[str, Any]] = mapped_column(JsonObject, default=dict)
    created_by: Mapped[str] = mapped_column(sa.String(80), default="system")  # an actor
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    updated_by: Mapped[str | None] = mapped_column(sa.String(80))
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    version: Mapped[int] = mapped_column(default=1, server_default="1")

    automation_class: Mapped[AutomationClasses | None] = relationship()

    def __repr__(self) -> str:
        return f"<ScheduleTemplate {self.id}>"
