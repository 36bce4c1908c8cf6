"""The safety net: what a training needs if no job ever ran (waitlist WF9)."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.enrolment import INVITED, TrainingEnroll
from app.models.practice import Practice
from app.models.queue import eligible, hard_stop, obstacle, standing, starts_at, waiting
from app.models.rules import rules_of
from app.models.training import Training
from app.services import history, invitations, trainings, waitlist
from app.services.actors import SYSTEM
from app.services.ledger import settle
from app.services.locks import locked


def trainings_to_sweep(session: Session, now: datetime) -> list[int]:
    """The ids of trainings in which something is due: at most three statements when nothing is."""
    e, t = TrainingEnroll, Training
    due = sa.union(
        sa.select(e.training_id).where(e.status == INVITED, e.overdue_at(now)),
        sa.select(e.training_id).where(e.invite_planned_at <= now),
        sa.select(e.training_id)
        .join(t, t.id == e.training_id)
        .where(e.status == INVITED, ~_bookable()),
    )
    return sorted({*session.scalars(due), *_fillable(session, now)})


def _fillable(session: Session, now: datetime) -> list[int]:
    """Open trainings with a free place, someone eligible and time enough to answer (WF5)."""
    t, rules = Training, rules_of(session)
    begins = starts_at(t.id)
    rows = session.execute(
        sa.select(t.id, begins, t.invite_cutoff, Practice.invite_cutoff)
        .join(Practice, Practice.id == t.practice_id)
        .where(
            _bookable(),
            ~t.waitlist_paused,
            t.seats_taken + t.seats_kept < t.max_participants,
            sa.or_(begins.is_(None), begins > now),
            eligible(t.id, rules, now, sa.literal(1)).order_by(None).exists(),
        )
    )
    stops = [(id_, hard_stop(start, own, practice, rules)) for id_, start, own, practice in rows]
    return [id_ for id_, stop in stops if stop is None or stop - now >= rules.min_answer]


def sweep_training(session: Session, training_id: int, now: datetime) -> None:
    """End what is overdue, invite who was planned, fill what is free; harmless otherwise."""
    training = locked(session, Training, training_id)
    invite_planned(session, training, now)
    if not training.bookable:
        trainings.withdraw_all(session, training, SYSTEM, now, reason="not-open")
        return
    waitlist.expire_overdue(session, training_id, now)


def invite_planned(session: Session, training: Training, now: datetime) -> list[str]:
    """Invite whose planned time has come; who can't be any more loses the plan (WF8)."""
    rules = rules_of(session)
    due = waiting(
        training.id,
        TrainingEnroll.id,
        obstacle(rules, now, planned=False).label("code"),
    ).where(TrainingEnroll.invite_planned_at <= now)
    invited: list[str] = []
    for id_, code in session.execute(due).all():
        enrolment = session.get_one(TrainingEnroll, id_, populate_existing=True)
        enrolment.invite_planned_at = None  # its place is free for a moment, to be counted again
        session.flush()
        stand = standing(session, training, now)
        if code is None and stand.to_invite:
            invited += [p.uuid for p in invitations.make(session, stand, [id_], SYSTEM)]
            settle(session, training, takes_spot=True)
        else:
            reason = code or "no-place"
            history.note(session, enrolment, "plan-dropped", SYSTEM, now, reason=reason)
    return invited


def _bookable() -> sa.ColumnElement[bool]:
    t = Training
    return sa.and_(t.active, t.cancelled_at.is_(None), t.archived_at.is_(None))
