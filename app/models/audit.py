"""Who changed what staff decide, when and from what to what: append-only (people PA13)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model
from app.models.types import PlainJson, UtcDateTime


class AuditEntry(Model):
    """One act on one row, written in the act's own transaction.

    It outlives the row that it is about: `subject` is the row's table, and `subject_id` no key.
    `old` and `new` hold what changed; what was made has no old, what was deleted no new.
    Schedules and enrolments have histories of their own.
    """

    __tablename__ = "audit_entry"
    __table_args__ = (
        sa.Index("ix_audit_entry_subject", "subject", "subject_id", "at"),
        sa.Index("ix_audit_entry_at", "at"),  # what is too old goes
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    practice_id: Mapped[int] = mapped_column(sa.ForeignKey("practice.id"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(sa.String(80))  # user:7, system, console
    action: Mapped[str] = mapped_column(sa.String(40))  # policy_update
    subject: Mapped[str] = mapped_column(sa.String(40))
    subject_id: Mapped[int]
    called: Mapped[str] = mapped_column(sa.String(200))  # as the row was called then
    old: Mapped[dict[str, Any] | None] = mapped_column(PlainJson)
    new: Mapped[dict[str, Any] | None] = mapped_column(PlainJson)

    def __repr__(self) -> str:
        return f"<AuditEntry {self.id} {self.action}>"
