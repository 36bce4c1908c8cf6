"""A training: its places, its dated meetings, who teaches it and where."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, object_session, relationship

from app.extensions import Model, utcnow
from app.models.person import Trainer
from app.models.practice import Practice
from app.models.rules import rules_of
from app.models.types import UtcDateTime, enum_type

if TYPE_CHECKING:
    from app.models.automation import AutomationSchedule
    from app.models.enrolment import TrainingEnroll
    from app.models.user import User

MOST_PARTICIPANTS = 10_000

schedule_types = sa.Table(
    "automation_schedule_type",
    Model.metadata,
    sa.Column("schedule_id", sa.ForeignKey("automation_schedule.id"), primary_key=True),
    sa.Column(
        "training_type_id",
        sa.ForeignKey("training_type.id"),
        primary_key=True,
        index=True,
    ),
)


class Location(Model):
    """Where a training meets."""

    __tablename__ = "location"

    id: Mapped[int] = mapped_column(primary_key=True)
    practice_id: Mapped[int] = mapped_column(sa.ForeignKey("practice.id"), index=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    address: Mapped[str] = mapped_column(sa.String(500), default="", server_default="")

    def __repr__(self) -> str:
        return f"<Location {self.id}>"


class TrainingType(Model):
    """What kind of training it is; a schedule may hold for some types only."""

    __tablename__ = "training_type"
    __table_args__ = (sa.UniqueConstraint("practice_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    practice_id: Mapped[int] = mapped_column(sa.ForeignKey("practice.id"))
    name: Mapped[str] = mapped_column(sa.String(200))
    description: Mapped[str] = mapped_column(sa.Text, default="", server_default="")

    schedules: Mapped[list[AutomationSchedule]] = relationship(
        secondary=schedule_types, back_populates="training_types"
    )

    def __repr__(self) -> str:
        return f"<TrainingType {self.id}>"


class Training(Model):
    """A course with a capacity. Its row is the lock of all that happens in it (L3).

    `seats_taken` and `overbooked_by` are the ledger: recounted at the end of every act, and a CHECK
    refuses an oversell that code forgot (waitlist WF2). `history_seq` and `last_position` are the
    highest numbers given so far (rulings RC3).
    """

    __tablename__ = "training"
    __table_args__ = (
        sa.CheckConstraint(f"max_participants BETWEEN 0 AND {MOST_PARTICIPANTS}", name="capacity"),
        sa.CheckConstraint(
            "min_participants IS NULL OR min_participants >= 0", name="min_participants"
        ),
        sa.CheckConstraint("seats_kept >= 0", name="seats_kept"),
        sa.CheckConstraint("overbooked_by >= 0", name="overbooked_by"),
        # The last line against an oversell (reliability I1).
        sa.CheckConstraint("seats_taken <= max_participants + overbooked_by", name="oversold"),
        sa.UniqueConstraint("practice_id", "import_key"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    practice_id: Mapped[int] = mapped_column(sa.ForeignKey("practice.id"), index=True)
    training_type_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("training_type.id"), index=True
    )
    name: Mapped[str] = mapped_column(sa.String(200))  # not unique
    description: Mapped[str] = mapped_column(sa.Text, default="", server_default="")
    import_key: Mapped[str | None] = mapped_column(sa.String(100))  # names it in a CSV file
    max_participants: Mapped[int]
    min_participants: Mapped[int | None]
    active: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    apply_policies: Mapped[bool] = mapped_column(default=True, server_default=sa.true())
    # Its free place was announced: no booking limit until it is full (waitlist WB).
    limit_waived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    invite_cutoff: Mapped[timedelta | None] = mapped_column(sa.Interval)  # null = practice's
    waitlist_paused: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    seats_kept: Mapped[int] = mapped_column(default=0, server_default="0")
    seats_taken: Mapped[int] = mapped_column(default=0, server_default="0")
    overbooked_by: Mapped[int] = mapped_column(default=0, server_default="0")
    history_seq: Mapped[int] = mapped_column(default=0, server_default="0")
    last_position: Mapped[int] = mapped_column(default=0, server_default="0")
    cancelled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    version: Mapped[int] = mapped_column(default=1, server_default="1")

    practice: Mapped[Practice] = relationship()
    training_type: Mapped[TrainingType | None] = relationship()
    events: Mapped[list[TrainingEvent]] = relationship(
        back_populates="training",
        order_by="TrainingEvent.start_time, TrainingEvent.id",
        cascade="all, delete-orphan",
    )
    trainers: Mapped[list[TrainingTrainer]] = relationship(
        back_populates="training",
        order_by="TrainingTrainer.rank",
        cascade="all, delete-orphan",
    )

    @property
    def trainer_users(self) -> list[User]:
        """The users of the trainers who accepted."""
        return [t.trainer.user for t in self.trainers if t.status is AssignmentStatus.ACCEPTED]

    @property
    def bookable(self) -> bool:
        """Open but for its start: active, not cancelled, not archived (waitlist WD3)."""
        return self.active and self.cancelled_at is None and self.archived_at is None

    def waitlist_enrollments_eligible(self, now: datetime | None = None) -> list[TrainingEnroll]:
        """The eligible rows for whom a spot is free now, first in line first (waitlist WD4)."""
        from app.models.queue import (
            first_in_line,
            standing,
        )  # they select from this table

        session, now = object_session(self), now or utcnow()
        if session is None:
            return []
        free = standing(session, self, now).to_invite
        return first_in_line(session, self.id, free, rules_of(session), now) if free else []

    def __repr__(self) -> str:
        return f"<Training {self.id}>"


class TrainingEvent(Model):
    """One dated meeting of a training."""

    __tablename__ = "training_event"
    __table_args__ = (
        sa.CheckConstraint("start_time < end_time", name="starts_before_it_ends"),
        {"sqlite_autoincrement": True},  # calendars know events by id: never given twice
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    training_id: Mapped[int] = mapped_column(sa.ForeignKey("training.id"), index=True)
    location_id: Mapped[int | None] = mapped_column(sa.ForeignKey("location.id"))
    start_time: Mapped[datetime] = mapped_column(UtcDateTime)
    end_time: Mapped[datetime] = mapped_column(UtcDateTime)

    training: Mapped[Training] = relationship(back_populates="events")
    location: Mapped[Location | None] = relationship()

    def __repr__(self) -> str:
        return f"<TrainingEvent {self.id}>"


class AssignmentStatus(StrEnum):
    """A trainer's answer to a training."""

    ACCEPTED = "accepted"
    PROPOSED = "proposed"
    DECLINED = "declined"


class TrainingTrainer(Model):
    """Who teaches a training, in which order they were asked."""

    __tablename__ = "training_trainer"
    __table_args__ = (sa.UniqueConstraint("training_id", "trainer_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    training_id: Mapped[int] = mapped_column(sa.ForeignKey("training.id"))
    trainer_id: Mapped[int] = mapped_column(sa.ForeignKey("trainer.id"), index=True)
    rank: Mapped[int] = mapped_column(default=1, server_default="1")
    answer_by: Mapped[datetime | None] = mapped_column(UtcDateTime)
    status: Mapped[AssignmentStatus] = mapped_column(
        enum_type(AssignmentStatus, "status"),
        default=AssignmentStatus.ACCEPTED,
        server_default=AssignmentStatus.ACCEPTED,
    )
    # The last number of the history that a digest told, or that was old news (waitlist WN15).
    told_seq: Mapped[int] = mapped_column(default=0, server_default="0")

    training: Mapped[Training] = relationship(back_populates="trainers")
    trainer: Mapped[Trainer] = relationship()
