"""Reminders of invitations that run out soon (waitlist WI6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.automation import AutomationSchedule
from app.models.bulk import among
from app.models.enrolment import INVITED, TrainingEnroll
from app.models.training import Training
from app.services import letters
from app.services.deadline import TOO_NEAR, next_reminder, remind_before
from app.services.locks import locked
from app.services.refusals import Refusal
from app.services.transitions import forget, place_of


def remind(session: Session, training_id: int, now: datetime) -> int:
    """Promise the reminders of a training that are due, once each; return how many.

    Of several that became due meanwhile only one goes out, and none within ten minutes of the
    deadline, or while the schedule is off.
    """
    locked(session, Training, training_id)
    e = TrainingEnroll
    rows = session.scalars(
        sa.select(e)
        .where(e.training_id == training_id, e.status == INVITED, e.invite_remind_at <= now)
        .order_by(e.queue_position, e.id)
        .execution_options(populate_existing=True)
    ).all()
    alike: dict[tuple[int | None, datetime | None, bool], list[TrainingEnroll]] = {}
    for row in rows:
        lifted = row.invite_promised_until is not None or row.expiry_exempt
        key = (row.invite_schedule_id, row.invite_expires_at, lifted)
        alike.setdefault(key, []).append(row)
    return sum(_remind(session, some, *key, now) for key, some in alike.items())


def _remind(
    session: Session,
    rows: Sequence[TrainingEnroll],
    schedule_id: int | None,
    deadline: datetime | None,
    lifted: bool,
    now: datetime,
) -> int:
    """Those with one schedule and one deadline."""
    schedule = session.get(AutomationSchedule, schedule_id) if schedule_id else None
    works = schedule is not None and schedule.switched_on and not lifted
    places = [place_of(row) for row in rows]
    _set_next(
        session, [p.id for p in places], next_reminder(schedule, deadline, now) if works else None
    )
    if not works or deadline is None or deadline - now < TOO_NEAR:
        return 0
    letters.invite_reminder(session, places, _number(schedule, deadline, now), now)
    return len(places)


def _number(schedule: AutomationSchedule | None, deadline: datetime, now: datetime) -> int:
    """Which of the reminders this is: 1 is the first, the farthest from the deadline."""
    try:
        before = remind_before(schedule.task_config if schedule else None)
    except Refusal:  # spoilt since the invitation was made
        return 1
    return max(1, sum(deadline - length <= now for length in before))


def _set_next(session: Session, ids: Sequence[int], at: datetime | None) -> None:
    session.execute(
        sa.update(TrainingEnroll)
        .where(among(TrainingEnroll.id, ids))
        .values(invite_remind_at=at)
        .execution_options(synchronize_session=False)
    )
    forget(session, ids)
