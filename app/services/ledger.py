"""What a training's row keeps count of: places taken, positions given (waitlist WF2, WF3)."""

from __future__ import annotations

import logging

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from app.models.bulk import composed, send
from app.models.enrolment import INVITED, TAKING, WAITLIST, TrainingEnroll
from app.models.training import Training

log = logging.getLogger("app.services.ledger")


def settle(session: Session, training: Training, *, takes_spot: bool) -> None:
    """Recount who holds a place: the last step of every act that changes it, under the lock.

    With the last place taken a booking limit that was waived holds again (waitlist WB).
    `overbooked_by` falls to what is really over. Only an act that takes no spot may raise it, to
    what it finds: rows written past the services, which is logged. A spot taken beyond it breaks
    the CHECK `oversold`, so nothing of the act remains.
    """
    found = send(session, _recount(takes_spot), {"training": training.id}).one()
    if found.overbooked_by > training.overbooked_by:
        log.warning(
            "more seats taken than allowed: training=%s over=%s",
            training.id,
            found.overbooked_by,
        )
    set_committed_value(training, "seats_taken", found.seats_taken)
    set_committed_value(training, "overbooked_by", found.overbooked_by)
    set_committed_value(training, "limit_waived_at", found.limit_waived_at)


@composed
def _recount(takes_spot: bool) -> sa.Update:
    t, e = Training.__table__.c, TrainingEnroll
    taken = (
        sa.select(sa.func.coalesce(sa.func.sum(e.seats), 0))
        .where(e.training_id == t.id, e.status.in_(TAKING))
        .scalar_subquery()
    )
    over = taken - t.max_participants
    lower = sa.case((over < t.overbooked_by, over), else_=t.overbooked_by)
    return (
        sa.update(Training.__table__)  # type: ignore[arg-type]
        .where(t.id == sa.bindparam("training"))
        .values(
            seats_taken=taken,
            overbooked_by=sa.case((over <= 0, 0), else_=lower if takes_spot else over),
            limit_waived_at=sa.case((over + t.seats_kept < 0, t.limit_waived_at)),
        )
        .returning(t.seats_taken, t.overbooked_by, t.limit_waived_at)
    )


def allow_over(session: Session, training: Training, seats: int) -> None:
    """Let `seats` stand above the capacity: what staff decided, before the act takes them (WO1)."""
    training.overbooked_by = max(training.overbooked_by, seats)
    session.flush()  # the CHECK must know before the recount


def next_position(session: Session, training_id: int) -> int:
    """A place in the line never given before: the highest ever, plus one (WF3).

    Rows written past the services have positions too, and invited ones may come back to theirs.
    """
    position: int = send(session, _next_position(), {"training": training_id}).scalar_one()
    return position


@composed
def _next_position() -> sa.Update:
    t, e = Training.__table__.c, TrainingEnroll
    highest = (
        sa.select(sa.func.max(e.queue_position))
        .where(e.training_id == t.id, e.status.in_((WAITLIST, INVITED)))
        .scalar_subquery()
    )
    last = sa.case((highest > t.last_position, highest), else_=t.last_position)
    return (
        sa.update(Training.__table__)  # type: ignore[arg-type]
        .where(t.id == sa.bindparam("training"))
        .values(last_position=last + 1)
        .returning(t.last_position)
    )
