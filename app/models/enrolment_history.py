"""What happened in a training, in order: one append-only row per transition (L8)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model
from app.models.enrolment import EnrolmentStatus
from app.models.types import PlainJson, UtcDateTime


class EnrolmentHistory(Model):
    """Who moved whom, when and why; `seq` counts a training's rows from 1 without gap (I4).

    A row whose `from_status` and `to_status` differ is a transition; others are notes: a deadline
    that moved, a list that was paused.
    """

    __tablename__ = "enrolment_history"
    __table_args__ = (
        sa.UniqueConstraint("training_id", "seq"),
        # Each invitation ends once (reliability I2).
        sa.Index(
            "uq_enrolment_history_invitation_ends_once",
            "enrolment_id",
            "invite_no",
            unique=True,
            postgresql_where=sa.text(
                "from_status = 'waitlist-invited' AND to_status <> 'waitlist-invited'"
            ),
            sqlite_where=sa.text(
                "from_status = 'waitlist-invited' AND to_status <> 'waitlist-invited'"
            ),
        ),
        # The rate limit asks for a student's invitations of the last hours (waitlist WF7).
        sa.Index(
            "ix_enrolment_history_invitations",
            "student_id",
            "at",
            postgresql_where=sa.text("event = 'invited'"),
            sqlite_where=sa.text("event = 'invited'"),
        ),
        sa.Index("ix_enrolment_history_enrolment", "enrolment_id", "seq"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    training_id: Mapped[int] = mapped_column(sa.ForeignKey("training.id", ondelete="RESTRICT"))
    seq: Mapped[int]
    enrolment_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("training_enroll.id", ondelete="RESTRICT")
    )
    student_id: Mapped[int | None]  # the enrolment's own, kept by its key
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(sa.String(80))  # user:7, schedule:3, system, link, console
    event: Mapped[str] = mapped_column(sa.String(40))
    from_status: Mapped[EnrolmentStatus | None] = mapped_column(sa.String(40))
    to_status: Mapped[EnrolmentStatus | None] = mapped_column(sa.String(40))
    invite_no: Mapped[int | None]
    queue_position: Mapped[int | None]
    reason: Mapped[str | None] = mapped_column(sa.String(40))  # a code: left, removed, erased …
    note: Mapped[str | None] = mapped_column(sa.String(500))  # what staff wrote
    data: Mapped[dict[str, Any] | None] = mapped_column(PlainJson)

    def __repr__(self) -> str:
        return f"<EnrolmentHistory {self.training_id}#{self.seq} {self.event}>"
