"""The only place where a status moves (L2): check and change are one guarded UPDATE.

`EVENTS` is the whole life of an enrolment (waitlist WE2): from which statuses an event leads where.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import ColumnElement, true
from sqlalchemy.orm import InstrumentedAttribute, Session, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.util import identity_key

from app.models.automation import AutomationRun, RunStatus
from app.models.bulk import among, send, written_out
from app.models.enrolment import (
    DECLINED,
    DEROLLED,
    ENROLLED,
    EXPIRED,
    INVITED,
    OPEN,
    WAITLIST,
    EnrolmentStatus,
    TrainingEnroll,
)

ALWAYS = true()
Status = EnrolmentStatus | None  # None: there was no row yet


class Event(NamedTuple):
    """What may happen to an enrolment: from one of these statuses to that one."""

    from_: tuple[Status, ...]
    to: EnrolmentStatus


EVENTS: dict[str, Event] = {
    "enrolled": Event((None, DEROLLED), ENROLLED),
    "queued": Event((None, DEROLLED), WAITLIST),
    "re-enabled": Event((EXPIRED, DECLINED), WAITLIST),
    "invited": Event((WAITLIST,), INVITED),
    "accepted": Event((INVITED,), ENROLLED),
    "declined": Event((INVITED,), DECLINED),
    "expired": Event((INVITED,), EXPIRED),
    "deinvited": Event((INVITED,), EXPIRED),
    "returned": Event((INVITED,), WAITLIST),
    "forced": Event((None, WAITLIST, INVITED, EXPIRED, DECLINED, DEROLLED), ENROLLED),
    "derolled": Event((ENROLLED,), DEROLLED),
    "left": Event((WAITLIST, INVITED), DEROLLED),
    "removed": Event((WAITLIST, INVITED), DEROLLED),
    "cancelled": Event(OPEN, DEROLLED),
    "archived": Event((WAITLIST, INVITED), DEROLLED),
}

QUEUED, RUNNING = RunStatus.QUEUED, RunStatus.RUNNING
ENDED = tuple(status for status in RunStatus if status not in (QUEUED, RUNNING))

# Which moves any event allows, per model whose rows have a status.
MOVES: dict[type, frozenset[tuple[Any, Any]]] = {
    TrainingEnroll: frozenset((from_, e.to) for e in EVENTS.values() for from_ in e.from_),
    # schedules X1; running to running: its worker died, another one begins anew (R5).
    AutomationRun: frozenset(
        {
            *((QUEUED, to) for to in (RUNNING, *ENDED)),
            *((RUNNING, to) for to in (QUEUED, RUNNING, *ENDED)),
        }
    ),
}


def is_legal(event: str, from_: Status, to: Status) -> bool:
    """Whether `event` leads from one status to the other."""
    known = EVENTS.get(event)
    return known is not None and from_ in known.from_ and to is known.to


class IllegalMove(Exception):
    """Code asked for a move that no event allows: a bug, not a refusal."""


class Place(NamedTuple):
    """An enrolment as history, letters and jobs need it: a row, not an ORM object."""

    id: int
    uuid: str
    training_id: int
    student_id: int
    queue_position: int | None
    invite_no: int
    ical_sequence: int


PLACE: tuple[InstrumentedAttribute[Any], ...] = tuple(
    getattr(TrainingEnroll, name) for name in Place._fields
)

# What a move often counts on: composed once, as the statements that hold them.
NEXT_SEQUENCE = TrainingEnroll.ical_sequence + 1
NEXT_INVITATION = TrainingEnroll.invite_no + 1
ONE_MORE_MISSED = TrainingEnroll.missed_invites + 1


def place_of(enrolment: TrainingEnroll) -> Place:
    """The enrolment as a `Place`."""
    return Place(*(getattr(enrolment, name) for name in Place._fields))


def known(session: Session, id_: int, training_id: int) -> TrainingEnroll:
    """An enrolment of which this is all that was read: `move` and `reread` tell the rest."""
    row = session.identity_map.get(identity_key(TrainingEnroll, id_))
    if row is not None:
        session.expire(row)  # loaded before, maybe long ago
        return row
    row = TrainingEnroll(id=id_, training_id=training_id)
    make_transient_to_detached(row)
    session.add(row)
    return row


def reread(session: Session, enrolment: TrainingEnroll) -> None:
    """Let `enrolment` show what is true now: it may have been loaded before the lock."""
    session.flush()  # reading anew must not overwrite what is still unwritten
    session.scalars(_one_enrolment(), {"id": enrolment.id}).one()


@cache
def _one_enrolment() -> sa.Select[Any]:
    one = sa.select(TrainingEnroll).where(TrainingEnroll.id == sa.bindparam("id"))
    return one.execution_options(populate_existing=True)


def move(
    session: Session,
    row: Any,
    from_: Any,
    to: Any,
    *,
    where: ColumnElement[bool] = ALWAYS,
    given: dict[str, Any] | None = None,
    **changes: Any,
) -> bool:
    """Move `row` from `from_` (one status, or a tuple) to `to`; say whether it was us who did.

    Check and change are one statement, so of two that race exactly one gets True. `where` holds
    what else must be true, deadlines above all; `given` are the values of its parameters.
    Afterwards `row` shows what is true.
    """
    statement, values = _guarded(type(row), "one", from_, to, where, changes)
    values |= {"moving": row.id, **(given or {})}
    moved = send(session, statement, values).mappings().one_or_none()
    if moved is None:
        session.refresh(row)
        return False
    for name, value in moved.items():
        set_committed_value(row, name, value)
    return True


def move_many(
    session: Session,
    ids: Sequence[int],
    from_: EnrolmentStatus,
    to: EnrolmentStatus,
    *,
    where: ColumnElement[bool] = ALWAYS,
    given: dict[str, Any] | None = None,
    **changes: Any,
) -> list[Place]:
    """The same guard over a set of enrolments; return those that moved, in the order of `ids`."""
    if not ids:
        return []
    statement, values = _guarded(TrainingEnroll, "many", from_, to, where, changes)
    rows = send(session, statement, values | {"moving": list(ids), **(given or {})})
    moved = {row.id: Place(*row) for row in rows}
    forget(session, moved)
    return [moved[id_] for id_ in ids if id_ in moved]


def move_runs(
    session: Session,
    ids: Sequence[int],
    from_: Any,
    to: RunStatus,
    *,
    where: ColumnElement[bool] = ALWAYS,
    given: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[int, int]:
    """The same guard over runs of the ledger; return who moved: id -> attempt."""
    if not ids:
        return {}
    statement, values = _guarded(AutomationRun, "many", from_, to, where, changes)
    rows = send(session, statement, values | {"moving": list(ids), **(given or {})})
    return {row.id: row.attempt for row in rows}


def count_moved(
    session: Session,
    ids: Sequence[int],
    from_: Any,
    to: RunStatus,
    *,
    where: ColumnElement[bool] = ALWAYS,
    given: dict[str, Any] | None = None,
    **changes: Any,
) -> int:
    """As `move_runs`, but only how many moved: of ten thousand nobody asks which."""
    statement, values = _guarded(AutomationRun, "count", from_, to, where, changes)
    moved: int = send(session, statement, values | {"moving": list(ids), **(given or {})}).rowcount
    return moved


def forget(session: Session, ids: Iterable[int]) -> None:
    """Let the rows that this session already holds be read anew: a set moved past them."""
    for id_ in ids:
        row = session.identity_map.get(identity_key(TrainingEnroll, id_))
        if row is not None:
            session.expire(row)


def _guarded(
    model: Any,
    how_many: str,
    from_: Any,
    to: Any,
    where: ColumnElement[bool],
    changes: dict[str, Any],
) -> tuple[Any, dict[str, Any]]:
    """The guarded UPDATE and the values of its parameters."""
    froms = from_ if isinstance(from_, tuple) else (from_,)
    for one in froms:
        if (one, to) not in MOVES[model]:
            raise IllegalMove(f"{model.__name__}: no event leads from {one} to {to}")
    made = {n: v for n, v in changes.items() if isinstance(v, sa.SQLColumnExpression)}
    plain = [name for name in changes if name not in made]
    statement = _compose(model, how_many, froms, to, where, tuple(plain), tuple(made.items()))
    return statement, {f"new_{name}": changes[name] for name in plain}


@lru_cache(maxsize=256)  # expressions are told apart by identity, so the usual ones are constants
def _compose(
    model: Any,
    how_many: str,
    froms: tuple[Any, ...],
    to: Any,
    where: ColumnElement[bool],
    plain: tuple[str, ...],
    made: tuple[tuple[str, Any], ...],
) -> Any:
    columns = model.__table__.c
    new = {name: sa.bindparam(f"new_{name}", type_=columns[name].type) for name in plain}
    many = how_many != "one"
    which = among(model.id, "moving") if many else model.id == sa.bindparam("moving")
    if "version" in columns:
        new["version"] = model.version + 1
    # In words that no index has: a set is found by its ids, never by what else is said of them.
    status = model.status.concat("") if many else model.status
    guarded = (
        sa.update(model.__table__)
        .where(which, status.in_([str(one) for one in froms]), where)
        .values(status=to, **new, **dict(made))
    )
    if how_many == "count":
        return written_out(guarded)
    if many:
        returned = PLACE if model is TrainingEnroll else (model.id, model.attempt)
        return written_out(guarded.returning(*returned))
    return written_out(guarded.returning(*columns))
