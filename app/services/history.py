"""One append-only row for everything that happens to an enrolment or a training (L8).

The numbers of a training have no gap, since every act holds its lock (rulings RC3).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.bulk import among, composed, dialect_of, given, insert_many, insert_selected, send
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
    written = {
        "ids": [place.id for place in places],
        "at": now,
        "actor": actor.name,
        "event": event,
        "from": from_,
        "to": to,
        "reason": reason,
        "note": note,
        "first": places[0].id,
        "whole": (data or {}) | data_of_first if data_of_first else data,
        "data": data,
    }
    return _write(session, places[0].training_id, len(places), written)


def _write(session: Session, training_id: int, count: int, written: dict[str, Any]) -> int:
    """Number the rows and write them: one statement where a statement can do both."""
    dialect = dialect_of(session)
    if dialect == "postgresql":
        numbered = written | {"training": training_id, "count": count}
        given_out: int = min(send(session, _numbered_rows(), numbered).scalars())
        return given_out
    first = _numbers(session, training_id, count)
    send(session, _rows(dialect), written | {"before": first - 1})
    return first


@composed
def _rows(dialect: str) -> Any:
    these = sa.select(TrainingEnroll).where(among(TrainingEnroll.id, "ids"))
    before = sa.bindparam("before", type_=sa.Integer)
    return insert_selected(dialect, EnrolmentHistory, _columns(before), these)


@composed
def _numbered_rows() -> Any:
    given_out = _next_numbers().cte("given_out")
    these = sa.select(TrainingEnroll).where(among(TrainingEnroll.id, "ids"))
    before = given_out.c.history_seq - sa.bindparam("count", type_=sa.Integer)
    rows = these.join(given_out, sa.true())
    statement = insert_selected("postgresql", EnrolmentHistory, _columns(before), rows)
    return statement.returning(EnrolmentHistory.seq)


def _columns(before: sa.ColumnElement[int]) -> dict[str, Any]:
    """A row of the history for each enrolment, numbered from `before` on."""
    e, to_json = TrainingEnroll, EnrolmentHistory.data.type
    in_line = sa.func.row_number().over(order_by=(sa.func.coalesce(e.queue_position, 0), e.id))
    return {
        "training_id": e.training_id,
        "seq": sa.cast(in_line, sa.Integer) + before,
        "enrolment_id": e.id,
        "student_id": e.student_id,
        "at": given("at"),
        "actor": given("actor"),
        "event": given("event"),
        "from_status": given("from"),
        "to_status": given("to"),
        "invite_no": e.invite_no,
        "queue_position": e.queue_position,
        "reason": given("reason"),
        "note": given("note"),
        "data": sa.case(
            (
                e.id == sa.bindparam("first", type_=sa.Integer),
                sa.bindparam("whole", type_=to_json),
            ),
            else_=sa.bindparam("data", type_=to_json),
        ),
    }


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
    given_out = {"training": training_id, "count": count}
    last: int = send(session, _next_numbers(), given_out).scalar_one()
    return last - count + 1


@composed
def _next_numbers() -> Any:
    table = Training.__table__
    seq = table.c.history_seq + sa.bindparam("count", type_=sa.Integer)
    one = sa.update(table).where(table.c.id == sa.bindparam("training"))  # type: ignore[arg-type]
    return one.values(history_seq=seq).returning(table.c.history_seq)
