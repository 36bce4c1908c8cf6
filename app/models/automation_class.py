"""Task classes: what can be scheduled."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model
from app.models.types import Uuid, new_uuid


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
