"""All we have promised to tell anyone: a row per reader and channel, sent afterwards (L6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.extensions import Model
from app.models.bulk import among, send
from app.models.enrolment import TrainingEnroll
from app.models.types import PlainJson, UtcDateTime, Uuid, enum_type, new_uuid


class OutboxState(StrEnum):
    """`pending` waits or is retried; the last four have ended (reliability OB)."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    SKIPPED = "skipped"
    DEAD = "dead"
    BOUNCED = "bounced"


class Outbox(Model):
    """A promise. `key` names its occasion, so that promising twice is promising once (WM6).

    Rows of one `aggregate` go out in the order of their ids. `payload` holds facts that no other
    row keeps; all else is read when the letter is sent.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        sa.CheckConstraint(
            "(ended_at IS NULL) = (state IN ('pending', 'sending'))",
            name="ended_or_under_way",
        ),
        sa.Index(
            "ix_outbox_channel",
            "channel",
            "id",
            postgresql_where=sa.text("ended_at IS NULL"),
            sqlite_where=sa.text("ended_at IS NULL"),
        ),
        sa.Index(
            "ix_outbox_aggregate",
            "channel",
            "aggregate",
            "id",
            postgresql_where=sa.text("ended_at IS NULL"),
            sqlite_where=sa.text("ended_at IS NULL"),
        ),
        # What fails is rare: every expiry asks for it.
        sa.Index(
            "ix_outbox_failing",
            "enrolment_id",
            postgresql_where=sa.text("ended_at IS NULL AND last_error IS NOT NULL"),
            sqlite_where=sa.text("ended_at IS NULL AND last_error IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(Uuid, default=new_uuid)  # the letter's Message-ID
    key: Mapped[str] = mapped_column(sa.String(200), unique=True)
    channel: Mapped[str] = mapped_column(sa.String(20))
    aggregate: Mapped[str] = mapped_column(sa.String(80))
    kind: Mapped[str] = mapped_column(sa.String(40))  # the letter
    # No foreign keys: thousands of rows are written under a training's lock, and what they speak of
    # stays anyway, an enrolment by its history (RESTRICT), an account by being erased, not deleted.
    user_id: Mapped[int | None] = mapped_column(index=True)
    enrolment_id: Mapped[int | None] = mapped_column(index=True)
    invite_no: Mapped[int | None]  # the invitation it speaks of
    sequence: Mapped[int | None]  # of its calendar part, the same for all days (WM5)
    payload: Mapped[dict[str, Any]] = mapped_column(PlainJson)
    state: Mapped[OutboxState] = mapped_column(
        enum_type(OutboxState, "state"), default=OutboxState.PENDING
    )
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    first_tried_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # the first that failed
    claim: Mapped[str | None] = mapped_column(sa.String(36))
    last_error: Mapped[str | None] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    def __repr__(self) -> str:
        return f"<Outbox {self.id} {self.kind}>"


FAILURES_TO_PAUSE = 5  # in a row, then a channel rests (OB7)


class ChannelState(Model):
    """How a channel fares: paused after failures in a row, its tokens for the rate (OB7, OB8)."""

    __tablename__ = "channel_state"

    channel: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    paused_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    reason: Mapped[str | None] = mapped_column(sa.Text)
    failures: Mapped[int] = mapped_column(default=0, server_default="0")  # in a row
    tokens: Mapped[float | None]  # letters that may go at once; null = a full bucket
    refilled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


def failing_invitations(session: Session, ids: Sequence[int], now: datetime) -> set[int]:
    """Those of these enrolments whose present invitation could not be sent yet.

    Its letter met an error, or its channel rests: from the first error until it is sent or given up
    (reliability OB9); merely unsent is no fault.
    """
    if not ids:
        return set()
    return set(send(session, _failing(), {"ids": list(ids), "now": now}).scalars())


@cache
def _failing() -> sa.Select[Any]:
    o, c, e = Outbox, ChannelState, TrainingEnroll
    now = sa.bindparam("now", type_=UtcDateTime())
    rests = sa.or_(c.paused_until > now, c.failures >= FAILURES_TO_PAUSE)
    resting = sa.select(c.channel).where(rests)
    open_one = (o.kind == "invited", o.ended_at.is_(None), among(o.enrolment_id, "ids"))
    # Two questions, since only the first has an index; the second is asked while a channel rests.
    met_an_error = sa.select(o.enrolment_id, o.invite_no).where(
        o.last_error.is_not(None), *open_one
    )
    held_up = sa.select(o.enrolment_id, o.invite_no).where(
        resting.exists(), o.channel.in_(resting), *open_one
    )
    fails = sa.union_all(met_an_error, held_up).subquery()
    present = sa.and_(e.id == fails.c.enrolment_id, e.invite_no == fails.c.invite_no)
    return sa.select(e.id).select_from(fails).join(e, present)


class LetterText(Model):
    """A practice's own wording of a letter; without one the shipped text goes out (WM4)."""

    __tablename__ = "letter_text"
    __table_args__ = (sa.UniqueConstraint("practice_id", "key", "language", "variant"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    practice_id: Mapped[int] = mapped_column(sa.ForeignKey("practice.id"))
    key: Mapped[str] = mapped_column(sa.String(40))
    language: Mapped[str] = mapped_column(sa.String(10))
    variant: Mapped[str] = mapped_column(sa.String(40), default="", server_default="")
    subject: Mapped[str] = mapped_column(sa.String(200))
    text: Mapped[str] = mapped_column(sa.Text)
    html: Mapped[str] = mapped_column(sa.Text)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
