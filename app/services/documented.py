"""The documents' functions, under their names, over the services (rulings RC5).

Their reason is `console` unless said, and they commit nothing. The same names for a shell, with
context and commit, are the top floor's.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.extensions import utcnow
from app.models.enrolment import INVITED, WAITLIST, TrainingEnroll
from app.models.person import Student
from app.models.queue import invitations_since, standing
from app.models.training import Training
from app.services import invitations, waitlist
from app.services.actors import CONSOLE
from app.services.locks import locked
from app.services.refusals import a_reason
from app.services.transitions import place_of, reread


def invite_from_waitlist(
    session: Session,
    enrolment: TrainingEnroll,
    schedule_expiry: bool = True,
    *,
    reason: str = "console",
    now: datetime | None = None,
) -> None:
    """Invite a waiting student now. Raises the refusals of `waitlist.invite`."""
    waitlist.invite(
        session,
        enrolment,
        CONSOLE,
        now or utcnow(),
        reason=reason,
        schedule_expiry=schedule_expiry,
    )


def deinvite_from_waitlist(
    session: Session,
    enrolment: TrainingEnroll,
    *,
    reason: str = "console",
    now: datetime | None = None,
) -> None:
    """End an open invitation now; the next in line is invited.

    Raises `NotInvited`, at a second call too: the documented name answers False then (WA11).
    """
    locked(session, Training, enrolment.training_id)
    reread(session, enrolment)
    if enrolment.status is not INVITED:
        raise waitlist.NotInvited
    waitlist.deinvite(session, enrolment, CONSOLE, now or utcnow(), reason)


def check_invitation_rate(
    session: Session,
    student: Student,
    limit: int = 3,
    window_hours: float = 24,
    now: datetime | None = None,
) -> bool:
    """Whether the student was invited fewer than `limit` times in the last hours (WF7)."""
    since = (now or utcnow()) - timedelta(hours=window_hours)
    invited: int = session.execute(sa.select(invitations_since(student.id, since))).scalar_one()
    return invited < limit


def invite_batch_from_waitlist(
    session: Session,
    training: Training,
    batch_size: int = 5,
    now: datetime | None = None,
) -> list[str]:
    """Plan the first eligible rows a minute apart, as far as places are free (WF8).

    Returns the uuids planned, first in line first; row i is due `now` + i minutes.
    """
    now = now or utcnow()
    training = locked(session, Training, training.id)
    stand = standing(session, training, now)
    places = waitlist.next_in_line(session, stand, min(batch_size, stand.to_invite))
    when = {place: now + timedelta(minutes=i) for i, place in enumerate(places)}
    invitations.hold_for_later(session, when, CONSOLE, now)
    return [place.uuid for place in places]


def schedule_invitation(
    session: Session,
    enrolment: TrainingEnroll,
    delay: timedelta,
    now: datetime | None = None,
    *,
    reason: str = "console",
) -> datetime:
    """Plan one invitation `delay` from now; its place is held meanwhile. Returns the instant.

    Whoever is not first in line needs the reason (WO2). An instant that leaves too little time to
    answer is refused, for the plan would only be dropped then (WF5).
    Raises `NotWaiting`, `NoFreeSpot`, `CannotBeInvited`, `ReasonNeeded`.
    """
    now = now or utcnow()
    training = locked(session, Training, enrolment.training_id)
    reread(session, enrolment)
    if enrolment.status is not WAITLIST:
        raise waitlist.NotWaiting
    stand = standing(session, training, now)
    if enrolment.invite_planned_at is None and not stand.to_invite:
        raise waitlist.NoFreeSpot
    if stand.hard_stop is not None and stand.hard_stop - (now + delay) < stand.rules.min_answer:
        raise waitlist.CannotBeInvited(code="too-late")
    first = waitlist.is_next(session, stand, enrolment)
    note = a_reason(reason) if reason or not first else None
    when = {place_of(enrolment): now + delay}
    invitations.hold_for_later(session, when, CONSOLE, now, note=note)
    return now + delay
