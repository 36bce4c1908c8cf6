"""Stored deadlines move here and nowhere else: each is a promise (waitlist WI3, WI5, WI8).

Every change writes history, plans the job anew and, unless another letter tells it, a letter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.models.automation import AutomationSchedule
from app.models.bulk import among
from app.models.enrolment import INVITED, TrainingEnroll
from app.models.outbox import failing_invitations
from app.models.queue import Standing, standing
from app.models.rules import Environment, rules_of
from app.models.training import Training
from app.services import history, letters, plan
from app.services.actors import SYSTEM, Actor
from app.services.deadline import answer_until, next_reminder
from app.services.locks import locked, locked_trainings
from app.services.refusals import Refusal, a_reason
from app.services.scope import within
from app.services.transitions import PLACE, Place, forget, place_of, reread
from app.services.waitlist import NotInvited

LEFT_WHEN_BACK = timedelta(hours=2)  # at least, once a schedule works again (WI5)
LATE = timedelta(minutes=15)  # a letter may take so long without giving more time (WI8)


class NotLater(Refusal):
    """More time is more time, and never past the hard stop."""

    code, status = "not_later", 400
    sentence = _l("The new deadline must be later than the present one and before the last moment.")


def give_more_time(
    session: Session,
    enrolment: TrainingEnroll,
    until: datetime,
    actor: Actor,
    now: datetime,
    reason: str | None,
) -> None:
    """Staff grant a later deadline, at most the hard stop (WI3, WO2).

    Raises `NotFound`, `NotInvited`, `NotLater`, `ReasonNeeded`.
    """
    note = a_reason(reason)
    training = within(actor, locked(session, Training, enrolment.training_id))
    reread(session, enrolment)
    deadline = enrolment.invite_expires_at
    if enrolment.status is not INVITED:
        raise NotInvited
    stop = standing(session, training, now).hard_stop
    if deadline is None or until <= max(deadline, now) or (stop and until > stop):
        raise NotLater
    _change(session, {enrolment.id: until}, "more-time", actor, now, note=note)
    reread(session, enrolment)


def exempt(session: Session, enrolment: TrainingEnroll, actor: Actor, now: datetime) -> None:
    """This invitation runs out at the hard stop only; renew plans nothing for it (WI4).

    A new invitation is not exempt. Raises `NotFound`, `NotInvited`.
    """
    training = within(actor, locked(session, Training, enrolment.training_id))
    reread(session, enrolment)
    if enrolment.status is not INVITED:
        raise NotInvited
    if enrolment.expiry_exempt:
        return
    enrolment.expiry_exempt, enrolment.invite_promised_until = True, None
    session.flush()  # no job is planned for who is exempt
    stop = standing(session, training, now).hard_stop
    _change(session, {enrolment.id: stop}, "exempt", actor, now)
    reread(session, enrolment)


def cut_to_hard_stop(session: Session, stand: Standing, actor: Actor, *, tell: bool) -> list[Place]:
    """After an earlier start no deadline lies behind the hard stop (WI3); return whose moved."""
    if stand.hard_stop is None:
        return []
    late = sa.select(TrainingEnroll.id).where(
        TrainingEnroll.training_id == stand.training.id,
        TrainingEnroll.status == INVITED,
        sa.or_(
            TrainingEnroll.invite_expires_at.is_(None),
            TrainingEnroll.invite_expires_at > stand.hard_stop,
        ),
    )
    changed = dict.fromkeys(session.scalars(late), stand.hard_stop)
    return _change(session, changed, "rescheduled", actor, stand.now, tell=tell)


def lift(session: Session, schedule: AutomationSchedule, actor: Actor, now: datetime) -> int:
    """The schedule went off: what it granted stays open until the hard stop (WI5).

    The old deadline is kept in `invite_promised_until`. Returns how many; twice is harmless.
    """
    count = 0
    for stand, rows in _granted_by(session, schedule, now):
        ids = [row.id for row in rows if row.invite_promised_until is None]
        _remember(session, ids, TrainingEnroll.invite_expires_at)
        to_the_end = dict.fromkeys(ids, stand.hard_stop)
        _change(session, to_the_end, "schedule-off", actor, now)
        count += len(ids)
    return count


def restore(session: Session, schedule: AutomationSchedule, actor: Actor, now: datetime) -> int:
    """The schedule works again: its promises hold, with at least two hours left (WI5)."""
    count = 0
    for stand, rows in _granted_by(session, schedule, now):
        back: dict[int, datetime | None] = {}
        for row in rows:
            if row.invite_promised_until is not None:
                until = max(row.invite_promised_until, now + LEFT_WHEN_BACK)
                back[row.id] = min(until, stand.hard_stop) if stand.hard_stop else until
        _remember(session, list(back), sa.null())
        _change(session, back, "schedule-on", actor, now)
        count += len(back)
    return count


def delay_for_late_letters(
    session: Session, invitations: Mapping[int, int], now: datetime
) -> list[Place]:
    """Who hears late of an invitation has the whole answer time from `now` (WI8).

    `invitations`: enrolment id -> number of the invitation whose letter is about to be rendered.
    Return whose deadline moved; never to an earlier one, never past the hard stop, and not in
    DEVELOPMENT. Locks the trainings in question.
    """
    if rules_of(session).environment is Environment.DEVELOPMENT or not invitations:
        return []
    late = sa.and_(
        among(TrainingEnroll.id, list(invitations)),
        TrainingEnroll.status == INVITED,
        TrainingEnroll.invite_date < now - LATE,
    )
    trainings = session.scalars(sa.select(TrainingEnroll.training_id).where(late).distinct()).all()
    moved: list[Place] = []
    for training in locked_trainings(session, trainings) if trainings else []:
        rows = [
            row
            for row in _invited_to(session, training, late)
            if row.invite_no == invitations[row.id]
        ]
        moved += _whole_time_again(session, training, rows, now)
    return moved


def postpone_failing(session: Session, training: Training, now: datetime) -> list[Place]:
    """Instead of running out, who could not be told gets the answer time anew (WI8).

    For who holds the training's lock. Not past the hard stop, and not in DEVELOPMENT.
    """
    if rules_of(session).environment is Environment.DEVELOPMENT:
        return []
    overdue = sa.select(TrainingEnroll.id).where(
        TrainingEnroll.training_id == training.id,
        TrainingEnroll.status == INVITED,
        TrainingEnroll.overdue_at(now),
    )
    failing = failing_invitations(session, session.scalars(overdue).all(), now)
    if not failing:
        return []
    rows = _invited_to(session, training, among(TrainingEnroll.id, list(failing)))
    return _whole_time_again(session, training, rows, now)


def _invited_to(
    session: Session, training: Training, which: sa.ColumnElement[bool]
) -> list[TrainingEnroll]:
    rows = session.scalars(
        sa.select(TrainingEnroll)
        .where(TrainingEnroll.training_id == training.id, TrainingEnroll.status == INVITED, which)
        .order_by(TrainingEnroll.id)
        .execution_options(populate_existing=True)
    )
    return list(rows)


def _whole_time_again(
    session: Session, training: Training, rows: list[TrainingEnroll], now: datetime
) -> list[Place]:
    stand = standing(session, training, now)
    later: dict[int, datetime | None] = {}
    for row in rows:
        granted_by = row.invite_schedule_id
        schedule = session.get(AutomationSchedule, granted_by) if granted_by else None
        until = answer_until(None if row.expiry_exempt else schedule, stand, now)
        if until and row.invite_expires_at and until > max(row.invite_expires_at, now):
            later[row.id] = until
    return _change(session, later, "letter-late", SYSTEM, now, tell=False)


def _granted_by(
    session: Session, schedule: AutomationSchedule, now: datetime
) -> list[tuple[Standing, list[TrainingEnroll]]]:
    """The open invitations of a schedule, per training, all their trainings locked."""
    mine = sa.and_(
        TrainingEnroll.status == INVITED,
        TrainingEnroll.invite_schedule_id == schedule.id,
        ~TrainingEnroll.expiry_exempt,
    )
    ids = session.scalars(sa.select(TrainingEnroll.training_id).where(mine).distinct()).all()
    found = []
    for training in locked_trainings(session, ids):
        rows = session.scalars(
            sa.select(TrainingEnroll)
            .where(TrainingEnroll.training_id == training.id, mine)
            .order_by(TrainingEnroll.id)
            .execution_options(populate_existing=True)
        )
        found.append((standing(session, training, now), list(rows)))
    return found


def _change(
    session: Session,
    deadlines: Mapping[int, datetime | None],
    why: str,
    actor: Actor,
    now: datetime,
    *,
    tell: bool = True,
    note: str | None = None,
) -> list[Place]:
    """Set deadlines (enrolment id -> instant) with history, jobs and letters."""
    if not deadlines:
        return []
    places: list[Place] = []
    for deadline in sorted(set(deadlines.values()), key=str):
        ids = [id_ for id_, at in deadlines.items() if at == deadline]
        moved = _set(session, ids, deadline)
        seq = history.record_many(
            session,
            moved,
            "deadline-changed",
            INVITED,
            INVITED,
            actor,
            now,
            reason=why,
            note=note,
            data={"deadline": deadline.isoformat() if deadline else None},
        )
        if tell:
            letters.deadline_changed(session, moved, seq, now)
        plan.drop_expiry(session, ids)
        _plan_again(session, ids, deadline, now)
        places += moved
    return places


def _set(session: Session, ids: Sequence[int], deadline: datetime | None) -> list[Place]:
    """Set the deadline where it is another one; return where that was."""
    rows = session.execute(
        sa.update(TrainingEnroll)
        .where(
            among(TrainingEnroll.id, ids),
            TrainingEnroll.status == INVITED,
            TrainingEnroll.invite_expires_at.is_distinct_from(deadline),
        )
        .values(
            invite_expires_at=deadline,
            invite_remind_at=None,  # `_plan_again` says when
            version=TrainingEnroll.version + 1,
        )
        .returning(*PLACE)
        .execution_options(synchronize_session=False)
    )
    places = sorted((Place(*row) for row in rows), key=lambda place: place.id)
    forget(session, [place.id for place in places])
    return places


def _plan_again(
    session: Session, ids: Sequence[int], deadline: datetime | None, now: datetime
) -> None:
    """Jobs for those whose schedule still ends them: not exempt, not lifted."""
    rows = session.scalars(
        sa.select(TrainingEnroll).where(
            among(TrainingEnroll.id, ids),
            ~TrainingEnroll.expiry_exempt,
            TrainingEnroll.invite_schedule_id.is_not(None),
            TrainingEnroll.invite_promised_until.is_(None),
        )
    ).all()
    for schedule_id in {row.invite_schedule_id for row in rows}:
        schedule = session.get(AutomationSchedule, schedule_id)
        places = [place_of(row) for row in rows if row.invite_schedule_id == schedule_id]
        plan.expiry_jobs(session, places, schedule, deadline, now)
        if remind_at := next_reminder(schedule, deadline, now):
            _remind_at(session, [place.id for place in places], remind_at)


def _remind_at(session: Session, ids: Sequence[int], at: datetime) -> None:
    session.execute(
        sa.update(TrainingEnroll)
        .where(among(TrainingEnroll.id, ids))
        .values(invite_remind_at=at)
        .execution_options(synchronize_session=False)
    )
    forget(session, ids)


def _remember(session: Session, ids: Sequence[int], promised: Any) -> None:
    session.execute(
        sa.update(TrainingEnroll)
        .where(among(TrainingEnroll.id, ids))
        .values(invite_promised_until=promised)
        .execution_options(synchronize_session=False)
    )
