"""A student's place in a training, waiting, invited or in: the table of enrolments."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Model
from app.models.person import Student
from app.models.training import Training
from app.models.types import UtcDateTime, Uuid, enum_type, new_uuid


class EnrolmentStatus(StrEnum):
    """The six documented statuses (waitlist WE1)."""

    WAITLIST = "waitlist"
    INVITED = "waitlist-invited"
    ENROLLED = "enrolled"
    EXPIRED = "waitlist-invite-expired"
    DECLINED = "waitlist-declined"
    DEROLLED = "derolled"


WAITLIST, INVITED, ENROLLED = (
    EnrolmentStatus.WAITLIST,
    EnrolmentStatus.INVITED,
    EnrolmentStatus.ENROLLED,
)
EXPIRED, DECLINED, DEROLLED = (
    EnrolmentStatus.EXPIRED,
    EnrolmentStatus.DECLINED,
    EnrolmentStatus.DEROLLED,
)
TAKING = (ENROLLED, INVITED)  # who holds a place
OPEN = (WAITLIST, INVITED, ENROLLED)
CLOSED = (EXPIRED, DECLINED, DEROLLED)


class TrainingEnroll(Model):
    """One row per student and training, for ever: coming back moves it, `uuid` stays (WE1).

    Only `services/transitions.py` writes `status` after the row's birth (L2).
    """

    __tablename__ = "training_enroll"
    __table_args__ = (
        sa.UniqueConstraint("student_id", "training_id"),  # reliability I11
        # Who waits has a place in the line.
        sa.CheckConstraint(
            "status <> 'waitlist' OR queue_position IS NOT NULL",
            name="waiting_has_position",
        ),
        # Who is invited was invited at some instant; the deadline follows from it.
        sa.CheckConstraint(
            "status <> 'waitlist-invited' OR invite_date IS NOT NULL",
            name="invited_has_date",
        ),
        sa.CheckConstraint("seats >= 1", name="seats"),
        sa.Index("idx_training_enroll_status", "status"),
        sa.Index("idx_training_enroll_invite_date", "invite_date"),
        sa.Index("ix_training_enroll_queue", "training_id", "status", "queue_position"),
        sa.Index(
            "ix_training_enroll_deadline",
            "invite_expires_at",
            postgresql_where=sa.text("status = 'waitlist-invited'"),
            sqlite_where=sa.text("status = 'waitlist-invited'"),
        ),
        sa.Index(
            "ix_training_enroll_planned",
            "invite_planned_at",
            postgresql_where=sa.text("invite_planned_at IS NOT NULL"),
            sqlite_where=sa.text("invite_planned_at IS NOT NULL"),
        ),
        # Nobody stands where someone else stands.
        sa.Index(
            "uq_training_enroll_waiting_position",
            "training_id",
            "queue_position",
            unique=True,
            postgresql_where=sa.text("status = 'waitlist'"),
            sqlite_where=sa.text("status = 'waitlist'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(Uuid, unique=True, default=new_uuid)
    training_id: Mapped[int] = mapped_column(sa.ForeignKey("training.id"))
    student_id: Mapped[int] = mapped_column(sa.ForeignKey("student.id"))
    status: Mapped[EnrolmentStatus] = mapped_column(enum_type(EnrolmentStatus, "status"))
    seats: Mapped[int] = mapped_column(default=1, server_default="1")
    queue_position: Mapped[int | None]
    joined_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    terms_accepted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    invite_no: Mapped[int] = mapped_column(default=0, server_default="0")
    invite_date: Mapped[datetime | None] = mapped_column(UtcDateTime)
    invite_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # null: no deadline
    invite_promised_until: Mapped[datetime | None] = mapped_column(UtcDateTime)  # WI5
    invite_remind_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    invite_planned_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    invite_schedule_id: Mapped[int | None] = mapped_column(sa.ForeignKey("automation_schedule.id"))
    invite_undelivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expiry_exempt: Mapped[bool] = mapped_column(default=False, server_default=sa.false())

    skipped: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)
    missed_invites: Mapped[int] = mapped_column(default=0, server_default="0")
    passes: Mapped[int] = mapped_column(default=0, server_default="0")
    more_time_used: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    ical_sequence: Mapped[int] = mapped_column(default=0, server_default="0")
    paid: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    version: Mapped[int] = mapped_column(default=1, server_default="1")

    training: Mapped[Training] = relationship()
    student: Mapped[Student] = relationship()

    @staticmethod
    def open_at(now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
        """An answer given at `now` is in time. The twin of `overdue_at`: never both (I10)."""
        deadline = TrainingEnroll.invite_expires_at
        return sa.or_(deadline.is_(None), deadline > now)

    @staticmethod
    def overdue_at(now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
        """The deadline has come: from that very instant an answer is too late."""
        return TrainingEnroll.invite_expires_at <= now

    def __repr__(self) -> str:
        return f"<TrainingEnroll {self.id}>"
