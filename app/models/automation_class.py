"""Task classes: what can be scheduled."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model
from app.models.types import Uuid

CLASSES = UUID("5e0c1c5e-7d3b-5c0e-9b7a-0d2f6f0e9a41")  # the namespace of task classes


def workflow_id_of(class_name: str) -> str:
    """The uuid of a task class, the same after every rebuild (schedules D4)."""
    return str(uuid5(CLASSES, class_name))


def _own_workflow_id(context: Any) -> str:
    return workflow_id_of(context.get_current_parameters()["class_name"])


class AutomationClasses(Model):
    """A task class that can be scheduled, as the registry last described it."""

    __tablename__ = "automation_classes"

    id: Mapped[int] = mapped_column(primary_key=True)
    workflow_id: Mapped[str] = mapped_column(Uuid, unique=True, default=_own_workflow_id)
    class_name: Mapped[str] = mapped_column(sa.String(100), unique=True)
    description: Mapped[str] = mapped_column(sa.String(500), default="", server_default="")
    module_path: Mapped[str] = mapped_column(sa.String(300), default="", server_default="")
    qualified_name: Mapped[str] = mapped_column(sa.String(400), default="", server_default="")
    enabled: Mapped[bool] = mapped_column(default=True, server_default=sa.true())

    def __repr__(self) -> str:
        return f"<AutomationClasses {self.class_name}>"
