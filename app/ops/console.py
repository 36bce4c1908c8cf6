"""The documents' functions for a shell or a script: each commits what it did (rulings RC5).

They need an application context, and work in its `db.session`: with their own act they commit, or
roll back, whatever else is pending there.

    from app import create_app
    from app.ops.console import invite_from_waitlist

    with create_app().app_context():
        invite_from_waitlist(enrollment)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from app.automation.lock import wake_scheduler
from app.extensions import db, unit
from app.models import (
    AutomationClasses,
    AutomationSchedule,
    Job,
    Student,
    Training,
    TrainingEnroll,
)
from app.services import documented
from app.services.deadline import WAITLIST_TASK
from app.services.refusals import Refusal
from app.services.waitlist import NotInvited, NotWaiting

log = logging.getLogger("app.automation.console")

# What a log line calls the status that a row should have had (waitlist WS22).
NOT_IN = {NotInvited: "waitlist-invited", NotWaiting: "waitlist"}

LARGE_QUEUE = 100  # expiry jobs


def invite_from_waitlist(enrollment: TrainingEnroll | None, schedule_expiry: bool = True) -> bool:
    """Invite a waiting student now and commit; False, a WARNING and no change if that is refused.

    `schedule_expiry=False` exempts the invitation from running out before the hard stop (WA11).
    """

    def invite(row: TrainingEnroll) -> None:
        documented.invite_from_waitlist(db.session(), row, schedule_expiry)

    return _act(enrollment, invite, "invited user: %s from training: %s")


def deinvite_from_waitlist(enrollment: TrainingEnroll | None) -> bool:
    """End an open invitation now, invite the next in line and commit; else False (WA11)."""

    def deinvite(row: TrainingEnroll) -> None:
        documented.deinvite_from_waitlist(db.session(), row)

    return _act(enrollment, deinvite, "deinvited user: %s from training: %s")


def schedule_invitation(enrollment: TrainingEnroll | None, delay: timedelta) -> bool:
    """Plan one invitation `delay` from now, its place held meanwhile, and commit; else False."""

    def plan(row: TrainingEnroll) -> None:
        documented.schedule_invitation(db.session(), row, delay)

    return _act(enrollment, plan, "planned invitation of user: %s from training: %s")


def invite_batch_from_waitlist(training: Training, batch_size: int = 5) -> list[str]:
    """Plan the first eligible rows a minute apart and commit; the uuids planned (WF8)."""
    session, id_ = db.session(), _id_of(training)
    here = session.get(Training, id_) if id_ else None
    if here is None:
        log.warning("no such training: %s", str(training))
        return []
    uuids = unit(
        db.session, lambda: documented.invite_batch_from_waitlist(session, here, batch_size)
    )
    wake_scheduler()
    log.info("planned invitations: %s from training: %s", len(uuids), str(here))
    return uuids


def check_invitation_rate(student: Student, limit: int = 3, window_hours: float = 24) -> bool:
    """Whether the student was invited fewer than `limit` times in the last hours (WF7)."""
    return documented.check_invitation_rate(db.session(), student, limit, window_hours)


def check_job_queue() -> int:
    """How many expiry jobs of the waitlist are planned; more than 100 are a WARNING (WS14)."""
    names = db.session.scalars(
        sa.select(AutomationSchedule.name)
        .join(AutomationClasses)
        .where(AutomationClasses.class_name == WAITLIST_TASK)
    )
    ours = [Job.id.startswith(f"{name}/", autoescape=True) for name in names]
    rows = sa.select(sa.func.count()).select_from(Job).where(sa.or_(sa.false(), *ours))
    count = db.session.scalar(rows) or 0
    if count > LARGE_QUEUE:
        log.warning("Large waitlist job queue: %s", count)
    return count


def _act(
    enrollment: TrainingEnroll | None, act: Callable[[TrainingEnroll], None], line: str
) -> bool:
    """Do it in one transaction and write the documented line; False: refused, nothing changed."""

    def run() -> tuple[str, str] | None:
        row = _here(enrollment)
        if row is None:
            return None
        act(row)
        return str(row.student.user), str(row.training)  # read before the commit forgets them

    try:
        done = unit(db.session, run)
    except Refusal as no:
        _refused(enrollment, no)
        return False
    if done is None:
        log.warning("no such enrollment: %s", str(enrollment))
        return False
    wake_scheduler()
    log.info(line, *done)
    return True


def _here(enrollment: TrainingEnroll | None) -> TrainingEnroll | None:
    """The row in the session of this context, in whatever session it was loaded."""
    if enrollment is None or enrollment in db.session:
        return enrollment
    id_ = _id_of(enrollment)
    return db.session.get(TrainingEnroll, id_) if id_ else None


def _id_of(row: TrainingEnroll | Training) -> int | None:
    state: Any = sa.inspect(row)
    return state.identity[0] if state.identity else None


def _refused(enrollment: TrainingEnroll | None, no: Refusal) -> None:
    row = str(enrollment)  # a text: whoever formats the line later has no session
    if status := NOT_IN.get(type(no)):
        log.warning("%s status is not %s", row, status)
    else:
        log.warning("%s left as it is: %s", row, str(no.sentence))
