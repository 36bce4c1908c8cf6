"""Addresses of other people's programs that are told what schedules do (schedules O9)."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model, utcnow
from app.models.types import PlainJson, UtcDateTime, Uuid, new_uuid

CHANNEL = "webhook:"  # and the number of the endpoint: each rests alone (reliability OB7)


class Webhook(Model):
    """An endpoint: where to, what of, and the secret that signs what it is told.

    What it is told stands in the outbox, in a channel of its own.
    """

    __tablename__ = "webhook"
    __table_args__ = (
        sa.CheckConstraint("length(name) BETWEEN 1 AND 100", name="name_length"),
        sa.CheckConstraint("substr(url, 1, 8) = 'https://'", name="https"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(Uuid, unique=True, default=new_uuid)
    practice_id: Mapped[int | None] = mapped_column(  # null = hears of all
        sa.ForeignKey("practice.id"), index=True
    )
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"), index=True)  # its owner
    name: Mapped[str] = mapped_column(sa.String(100))
    url: Mapped[str] = mapped_column(sa.String(500))
    secret: Mapped[str] = mapped_column(sa.String(100))  # needed as it is: it signs
    types: Mapped[list[str]] = mapped_column(PlainJson, default=list)  # empty = all
    active: Mapped[bool] = mapped_column(default=True, server_default=sa.true())
    off_because: Mapped[str | None] = mapped_column(sa.String(200))
    created_by: Mapped[str] = mapped_column(sa.String(80), default="system")  # an actor
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)

    @property
    def channel(self) -> str:
        """The channel of the outbox that leads there."""
        return f"{CHANNEL}{self.id}"

    def __repr__(self) -> str:
        return f"<Webhook {self.id}>"
