"""What plain code wrote past the services, made whole (rulings RC9, waitlist WI2, WI5)."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.automation import AutomationClasses, AutomationSchedule
from app.models.enrolment import INVITED, WAITLIST, TrainingEnroll
from app.models.enrolment_history import EnrolmentHistory
from app.models.queue import standing
from app.models.training import Training
from app.services import deadline_changes, history
from app.services.actors import SYSTEM
from app.services.deadline import answer_until, governing_schedule, grants
from app.services.ledger import next_position, settle
from app.services.locks import locked

IN_LINE = (WAITLIST, INVITED)


def schedules_to_switch(session: Session) -> list[tuple[int, bool]]:
    """(schedule id, whether it is on) where its open invitations say otherwise (WI5)."""
    on = list(session.scalars(_granting()))
    odd = session.scalars(_at_odds(), {"on": on or [0]})
    return [(id_, id_ in on) for id_ in sorted(odd)]


@cache
def _granting() -> sa.Select[Any]:
    return sa.select(AutomationSchedule.id).join(AutomationClasses).where(grants())


@cache
def _at_odds() -> sa.Select[Any]:
    """Lifted though its schedule is on, or not though it is off; without a join: all are read."""
    e = TrainingEnroll
    on = e.invite_schedule_id.in_(sa.bindparam("on", expanding=True))
    lifted = e.invite_promised_until.is_not(None)
    granted = sa.and_(~lifted, e.invite_expires_at.is_not(None))
    odd = sa.or_(sa.and_(on, lifted), sa.and_(~on, granted))
    mine = sa.select(e.invite_schedule_id).where(e.invite_schedule_id.is_not(None))
    return mine.where(e.status == INVITED, ~e.expiry_exempt, odd).distinct()


def switch(session: Session, schedule_id: int, on: bool, now: datetime) -> int:
    """Lift what a schedule that is off has granted, or restore it; return how many (WI5)."""
    schedule = session.get_one(AutomationSchedule, schedule_id)
    change = deadline_changes.restore if on else deadline_changes.lift
    return change(session, schedule, SYSTEM, now)


def trainings_to_repair(session: Session) -> list[int]:
    """The ids of trainings with open rows that plain code left incomplete."""
    return sorted(session.scalars(_of_incomplete()))


@cache
def _of_incomplete() -> sa.Select[Any]:
    e = TrainingEnroll
    return sa.select(e.training_id).where(e.status.in_(IN_LINE), _incomplete()).distinct()


def _incomplete() -> sa.ColumnElement[bool]:
    e = TrainingEnroll
    without_position = sa.and_(e.status == INVITED, e.queue_position.is_(None))
    return sa.or_(e.joined_at.is_(None), without_position, _never_timed())


def _never_timed() -> sa.ColumnElement[bool]:
    """Invited without a deadline by something that is no service: no history tells of it."""
    e, h = TrainingEnroll, EnrolmentHistory
    told = sa.exists().where(
        h.enrolment_id == e.id, h.event == "invited", h.invite_no == e.invite_no
    )
    return sa.and_(
        e.status == INVITED,
        e.invite_expires_at.is_(None),
        e.invite_promised_until.is_(None),
        ~e.expiry_exempt,
        ~told,
    )


def repair(session: Session, training_id: int, now: datetime) -> int:
    """Complete the rows of a training: position, joining time, deadline; return how many changed.

    A deadline counts from the `invite_date` that was written, so it may be past: then the sweep
    ends the invitation. Nothing is locked if nothing can be completed.
    """
    training = session.get_one(Training, training_id)
    if not any(_missing(session, row, training, now) for row in _rows(session, training_id)):
        return 0
    training = locked(session, Training, training_id)
    changed = 0
    for row in _rows(session, training_id):
        changes = _missing(session, row, training, now)
        if "queue_position" in changes:
            changes["queue_position"] = next_position(session, training_id)
        for name, value in changes.items():
            setattr(row, name, value)
        changed += bool(changes)
        if "invite_expires_at" in changes:
            session.flush()  # the history copies the row
            until = {"deadline": changes["invite_expires_at"].isoformat()}
            history.note(
                session, row, "deadline-changed", SYSTEM, now, reason="repaired", data=until
            )
    settle(session, training, takes_spot=False)
    return changed


def _rows(session: Session, training_id: int) -> list[TrainingEnroll]:
    e = TrainingEnroll
    mine = sa.select(e).where(e.training_id == training_id, e.status.in_(IN_LINE), _incomplete())
    return list(session.scalars(mine.order_by(e.id).execution_options(populate_existing=True)))


def _missing(
    session: Session, row: TrainingEnroll, training: Training, now: datetime
) -> dict[str, Any]:
    """What the row lacks and can be given."""
    found: dict[str, Any] = {}
    if row.joined_at is None:
        found["joined_at"] = row.invite_date or now
    if row.status is INVITED and row.queue_position is None:
        found["queue_position"] = None  # given under the lock
    if session.scalar(sa.select(sa.exists().where(TrainingEnroll.id == row.id, _never_timed()))):
        schedule = governing_schedule(session, training)
        invited_at = row.invite_date or now
        until = answer_until(schedule, standing(session, training, invited_at), invited_at)
        if until is not None:
            found |= {
                "invite_expires_at": until,
                "invite_schedule_id": schedule.id if schedule else None,
            }
    return found
