"""Keys with which programs ask for schedules (people PA12, schedules A1)."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model, utcnow
from app.models.types import PlainJson, UtcDateTime


class ApiKey(Model):
    """What a key may do and until when. Only the SHA-256 of its text is kept, never the key."""

    __tablename__ = "api_key"
    __table_args__ = (
        sa.CheckConstraint("length(name) BETWEEN 1 AND 100", name="name_length"),
        sa.CheckConstraint("length(digest) = 64", name="digest_length"),
        sa.CheckConstraint("length(first_characters) = 4", name="first_characters"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    practice_id: Mapped[int | None] = mapped_column(  # null = all
        sa.ForeignKey("practice.id"), index=True
    )
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"), index=True)  # its owner
    name: Mapped[str] = mapped_column(sa.String(100))
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)  # hex
    first_characters: Mapped[str] = mapped_column(sa.String(4))  # all that logs and pages show
    scopes: Mapped[list[str]] = mapped_column(PlainJson, default=list)
    created_by: Mapped[str] = mapped_column(sa.String(80), default="system")  # an actor
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # null: never
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @staticmethod
    def usable_at(now: datetime) -> ColumnElement[bool]:
        """Neither revoked nor run out."""
        runs_on = sa.or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now)
        return sa.and_(ApiKey.revoked_at.is_(None), runs_on)

    def __repr__(self) -> str:
        return f"<ApiKey {self.id}>"
