"""One append-only row for everything that happens to an enrolment or a training (L8).

The numbers of a training have no gap, since every act holds its lock (rulings RC3).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.bulk import insert_many
from app.models.enrolment import EnrolmentStatus, TrainingEnroll
from app.models.enrolment_history import EnrolmentHistory
from app.models.training import Training
from app.services.actors import Actor
from app.services.transitions import IllegalMove, Place, Status, is_legal, place_of


def record(
    session: Session,
    enrolment: TrainingEnroll,
    event: str,
    from_: Status,
    to: EnrolmentStatus,
    actor: Actor,
    now: datetime,
    **why: Any,
) -> int:
    """Write down one transition and return its number; `why`: `reason`, `note`, `data`."""
    place = place_of(enrolment)
    return record_many(session, [place], event, from_, to, actor, now, **why)[place.id]


def record_many(
    session: Session,
    places: Sequence[Place],
    event: str,
    from_: Status,
    to: EnrolmentStatus,
    actor: Actor,
    now: datetime,
    *,
    reason: str | None = None,
    note: str | None = None,
    data: Any = None,
) -> dict[int, int]:
    """Write down a transition of several enrolments of one training: enrolment id -> number.

    `data` is one object for all, or a function of the place.
    """
    if from_ is not to and not is_legal(event, from_, to):
        raise IllegalMove(f"{event!r} does not lead from {from_} to {to}")
    if not places:
        return {}
    seq = _numbers(session, places[0].training_id, len(places))
    rows = [
        {
            "training_id": place.training_id,
            "seq": seq + n,
            "enrolment_id": place.id,
            "student_id": place.student_id,
            "at": now,
            "actor": actor.name,
            "event": event,
            "from_status": from_,
            "to_status": to,
            "invite_no": place.invite_no,
            "queue_position": place.queue_position,
            "reason": reason,
            "note": note,
            "data": data(place) if callable(data) else data,
        }
        for n, place in enumerate(places)
    ]
    insert_many(session, EnrolmentHistory, rows)
    return {row["enrolment_id"]: row["seq"] for row in rows}


def note(
    session: Session,
    enrolment: TrainingEnroll,
    event: str,
    actor: Actor,
    now: datetime,
    **why: Any,
) -> int:
    """Write down something that moved no status: a deadline that changed, a row to be skipped."""
    return record(session, enrolment, event, enrolment.status, enrolment.status, actor, now, **why)


def note_training(
    session: Session,
    training: Training,
    event: str,
    actor: Actor,
    now: datetime,
    *,
    reason: str | None = None,
    note: str | None = None,
    data: dict[str, Any] | None = None,
) -> int:
    """Write down what happened to the training itself: capacity, pause, new dates."""
    seq = _numbers(session, training.id, 1)
    row = {
        "training_id": training.id,
        "seq": seq,
        "at": now,
        "actor": actor.name,
        "event": event,
        "reason": reason,
        "note": note,
        "data": data,
    }
    insert_many(session, EnrolmentHistory, [row])
    return seq


def _numbers(session: Session, training_id: int, count: int) -> int:
    """The first of `count` fresh numbers of a training whose lock we hold."""
    last: int = session.execute(
        sa.update(Training)
        .where(Training.id == training_id)
        .values(history_seq=Training.history_seq + count)
        .returning(Training.history_seq)
        .execution_options(synchronize_session=False)
    ).scalar_one()
    return last - count + 1
