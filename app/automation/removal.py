"""Taking one occurrence out of the plan so that renew does not write it again (WI4, WA11)."""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.automation.automation_base import get_automation_class, no_exit
from app.automation.claims import DUE_TEXT, STATE, UNREADABLE, State, instant, read_state
from app.models.automation import AutomationSchedule, RunStatus
from app.models.enrolment import INVITED, TrainingEnroll
from app.models.job import Job
from app.services import deadline_changes, runs, runs_by_hand
from app.services.actors import CONSOLE, Actor
from app.services.deadline import WAITLIST_TASK
from app.services.plan import Occurrence
from app.services.runs import Wanted

log = logging.getLogger("app.automation")


def withdraw(session: Session, job_id: str, now: datetime, actor: Actor = CONSOLE) -> bool:
    """Remove a job; False if there is none.

    An invitation's is exempted from running out before the hard stop; another occurrence is
    written down as cancelled. What cannot be read is only removed.
    """
    job = session.execute(sa.select(STATE, DUE_TEXT).where(Job.id == job_id)).one_or_none()
    if job is None:
        return False
    try:
        state, due = read_state(job.job_state), instant(job.due)
    except UNREADABLE:  # `BadState` is one of them
        log.warning("unreadable job removed: job=%s", job_id[:300])
    else:
        _remember(session, state, due or now, actor, now)
    session.execute(
        sa.delete(Job).where(Job.id == job_id).execution_options(synchronize_session=False)
    )
    return True


def _remember(session: Session, state: State, due: datetime, actor: Actor, now: datetime) -> None:
    schedule = session.scalars(
        sa.select(AutomationSchedule).where(
            AutomationSchedule.name == state.schedule_name,
            AutomationSchedule.deleted_at.is_(None),
        )
    ).one_or_none()
    if state.class_name == WAITLIST_TASK:
        enrolment = session.scalars(
            sa.select(TrainingEnroll).where(
                TrainingEnroll.uuid == state.item, TrainingEnroll.status == INVITED
            )
        ).one_or_none()
        if enrolment is not None:
            deadline_changes.exempt(session, enrolment, actor, now)
    elif schedule is not None:
        _cancel(session, schedule, state, due, now)


def _cancel(
    session: Session, schedule: AutomationSchedule, state: State, due: datetime, now: datetime
) -> None:
    by_hand = runs_by_hand.waiting_by_hand(session, [state.item]).get(state.item)
    if by_hand is not None:
        runs_by_hand.cancel_run(session, by_hand, now)
        return
    registration = get_automation_class(state.class_name)
    planned: dict[str, Occurrence] = {}
    if registration is not None:
        left_out = partial(log.warning, "removed, but left out of the plan: %s because=%s")
        with no_exit():
            planned = registration.cls.planned(session, schedule, now, [state.item], left_out)
    occurrence = planned.get(state.item) or Occurrence(state.item, due, due)
    wanted = Wanted(schedule.id, state.item, occurrence.name, occurrence.due)
    # What it is just doing is rolled back at its end (schedules X4).
    runs.note(session, [wanted], RunStatus.CANCELLED, now, "removed", begun_too=True)
