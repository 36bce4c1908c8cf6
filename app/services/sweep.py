"""The safety net: what a training needs if no job ever ran (waitlist WF9)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.bulk import among
from app.models.enrolment import INVITED, TAKING, WAITLIST, TrainingEnroll
from app.models.practice import Practice
from app.models.queue import clock, eligible, hard_stop, obstacle, standing, starts_at, waiting
from app.models.rules import rules_of
from app.models.training import Training
from app.services import deadline_changes, history, invitations, reminders, trainings, waitlist
from app.services.actors import SYSTEM
from app.services.ledger import settle
from app.services.locks import locked
from app.services.transitions import PLACE, Place, forget


def trainings_to_sweep(session: Session, now: datetime) -> list[int]:
    """The ids of trainings in which something is due, in three statements."""
    e, t = TrainingEnroll, Training
    ends = waitlist.expires_at_deadline()
    due = sa.union(
        sa.select(e.training_id).where(e.status == INVITED, e.overdue_at(now), ends),
        sa.select(e.training_id).where(e.status == WAITLIST, e.invite_planned_at <= now),
        sa.select(e.training_id).where(e.status == INVITED, e.invite_remind_at <= now),
        sa.select(e.training_id)
        .join(t, t.id == e.training_id)
        .where(e.status == INVITED, sa.or_(~_bookable(), starts_at(t.id) <= now)),
    )
    stopped = _at_the_hard_stop(session, now)
    return sorted({*session.scalars(due), *stopped, *_fillable(session, now)})


def _at_the_hard_stop(session: Session, now: datetime) -> list[int]:
    """Trainings whose hard stop ends what a schedule granted that is off since (WI5)."""
    e = TrainingEnroll
    left_open = sa.exists().where(
        e.training_id == Training.id,
        e.status == INVITED,
        e.overdue_at(now),
        ~waitlist.expires_at_deadline(),
    )
    stops = _hard_stops(session, {}, left_open)
    return [id_ for id_, stop in stops if stop is not None and stop <= now]


def _fillable(session: Session, now: datetime) -> list[int]:
    """Open trainings with a free place, someone eligible and time enough to answer (WF5)."""
    e, t, rules = TrainingEnroll, Training, rules_of(session)
    begins = starts_at(t.id)
    holds = sa.or_(e.status.in_(TAKING), e.invite_planned_at.is_not(None))
    held = (
        sa.select(sa.func.coalesce(sa.func.sum(e.seats), 0))
        .where(e.training_id == t.id, e.status.in_((*TAKING, WAITLIST)), holds)
        .scalar_subquery()  # counted, not read from the ledger: rows may be written past it
    )
    stops = _hard_stops(
        session,
        clock(rules, now),
        _bookable(),
        ~t.waitlist_paused,
        sa.or_(begins.is_(None), begins > now),
        eligible(t.id, rules, sa.literal(1)).order_by(None).exists(),
        held + t.seats_kept < t.max_participants,
    )
    return [id_ for id_, stop in stops if stop is None or stop - now >= rules.min_answer]


def _hard_stops(
    session: Session, given: dict[str, Any], *where: sa.ColumnElement[bool]
) -> list[tuple[int, datetime | None]]:
    """(id, hard stop) of the trainings of which all this is true."""
    t, rules = Training, rules_of(session)
    rows = session.execute(
        sa.select(t.id, starts_at(t.id), t.invite_cutoff, Practice.invite_cutoff)
        .join(Practice, Practice.id == t.practice_id)
        .where(*where),
        given,
    )
    return [(id_, hard_stop(start, own, practice, rules)) for id_, start, own, practice in rows]


def sweep_training(session: Session, training_id: int, now: datetime) -> None:
    """End what is overdue, invite who was planned, fill what is free; harmless otherwise.

    Who is still invited to a training that is no longer open goes back to the line.
    """
    training = locked(session, Training, training_id)
    invite_planned(session, training, now)
    if training.bookable:
        deadline_changes.postpone_failing(session, training, now)
        waitlist.expire_overdue(session, training_id, now)
        reminders.remind(session, training_id, now)
    if not standing(session, training, now).is_open:
        trainings.withdraw_all(session, training, SYSTEM, now, reason="not-open")


def invite_planned(session: Session, training: Training, now: datetime) -> list[str]:
    """Invite whose planned time has come, while places last; others lose the plan (WF8)."""
    rules = rules_of(session)
    what_else = obstacle(rules, planned=False).label("code")
    due = session.execute(
        waiting(training.id, *PLACE, what_else).where(TrainingEnroll.invite_planned_at <= now),
        clock(rules, now),
    ).all()
    if not due:
        return []
    _clear_plans(session, [row.id for row in due])
    stand = standing(session, training, now)
    room, held = stand.spare - training.seats_kept, _planned_positions(session, training)
    chosen: list[int] = []
    for row in due:
        # A later plan of someone behind gives way: whoever is first gets the place (I7).
        behind = sum(position > row.queue_position for position in held)
        if row.code is None and stand.invites and room + behind > len(chosen):
            chosen.append(row.id)
    invited = invitations.make(session, stand, chosen, SYSTEM)
    settle(session, training, takes_spot=bool(invited))
    for row in due:
        if row.id not in chosen:
            _drop_plan(session, Place(*row[:-1]), row.code or "no-place", now)
    return [place.uuid for place in invited]


def _planned_positions(session: Session, training: Training) -> list[int]:
    planned = waiting(training.id, TrainingEnroll.queue_position).where(
        TrainingEnroll.invite_planned_at.is_not(None)
    )
    return list(session.scalars(planned))


def _clear_plans(session: Session, ids: list[int]) -> None:
    session.execute(
        sa.update(TrainingEnroll)
        .where(among(TrainingEnroll.id, ids))
        .values(invite_planned_at=None)
        .execution_options(synchronize_session=False)
    )
    forget(session, ids)


def _drop_plan(session: Session, place: Place, reason: str, now: datetime) -> None:
    history.record_many(
        session, [place], "plan-dropped", WAITLIST, WAITLIST, SYSTEM, now, reason=reason
    )


def _bookable() -> sa.ColumnElement[bool]:
    t = Training
    return sa.and_(t.active, t.cancelled_at.is_(None), t.archived_at.is_(None))
