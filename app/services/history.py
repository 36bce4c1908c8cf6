"""One append-only row for everything that happens to an enrolment or a training (L8).

The numbers of a training have no gap, since every act holds its lock (rulings RC3).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.bulk import among, insert_many, insert_selected
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
    return record_many(session, [place_of(enrolment)], event, from_, to, actor, now, **why)


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
    data: dict[str, Any] | None = None,
    data_of_first: dict[str, Any] | None = None,
) -> int:
    """Write down a transition of several enrolments of one training, in the order of the line.

    Returns the number of the first. `data` stands in each row, `data_of_first` in the first of them
    beside it: what one decision about all of them was made from.
    """
    if from_ is not to and not is_legal(event, from_, to):
        raise IllegalMove(f"{event!r} does not lead from {from_} to {to}")
    if not places:
        return 0
    first = _numbers(session, places[0].training_id, len(places))
    e, to_json = TrainingEnroll, EnrolmentHistory.data.type
    whole = (data or {}) | data_of_first if data_of_first else data
    in_line = sa.func.row_number().over(order_by=(sa.func.coalesce(e.queue_position, 0), e.id))
    columns = {
        "training_id": e.training_id,
        "seq": sa.cast(in_line, sa.Integer) + (first - 1),
        "enrolment_id": e.id,
        "student_id": e.student_id,
        "at": now,
        "actor": actor.name,
        "event": event,
        "from_status": from_,
        "to_status": to,
        "invite_no": e.invite_no,
        "queue_position": e.queue_position,
        "reason": reason,
        "note": note,
        "data": sa.case(
            (e.id == places[0].id, sa.literal(whole, to_json)), else_=sa.literal(data, to_json)
        ),
    }
    these = sa.select(e).where(among(e.id, [place.id for place in places]))
    insert_selected(session, EnrolmentHistory, columns, these)
    return first


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
