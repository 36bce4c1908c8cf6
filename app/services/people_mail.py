"""How much a practice writes to its people by itself, and when (schedules B2, F2).

Greetings and profile checks share two caps, per local day and per week from Monday. What was
written is counted in their own ledgers, so that a lost outbox row gives no room for another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.automation import AutomationSchedule
from app.models.greeting import Greeting
from app.models.person import Student
from app.models.practice import Practice
from app.models.profile_review import ProfileReview
from app.models.queue import greetings_wanted, mail_allowed
from app.models.user import User
from app.services.local_time import instant_of
from app.services.schedule_models import in_window


@dataclass(frozen=True)
class Office:
    """A practice about to write: what its clocks show, and how many letters it may still send."""

    practice_id: int
    local: datetime  # now, in the zone that the schedule counts in
    is_open: bool  # within the hours for letters
    left: int | None  # null: no cap
    day_ends_at: datetime  # the local day


class Budget:
    """Letters that may still be planned: of the run, and of each practice."""

    def __init__(self, offices: list[Office], most: int | None) -> None:
        self._run = most
        self._of = {office.practice_id: office.left for office in offices}

    def take(self, practice_id: int) -> bool:
        """One letter more; False if there is none left."""
        of_practice = self._of[practice_id]
        if self._run == 0 or of_practice == 0:
            return False
        self._run = None if self._run is None else self._run - 1
        self._of[practice_id] = None if of_practice is None else of_practice - 1
        return True


def offices(
    session: Session, schedule: AutomationSchedule | None, window: str, now: datetime
) -> list[Office]:
    """The practice of a schedule, in the schedule's zone if it has one; without a practice all.

    Of several each counts in its own zone.
    """
    p = Practice
    which = sa.select(p).order_by(p.id)
    of = schedule.practice_id if schedule else None
    zone = schedule.timezone if schedule and of is not None else None
    found = session.scalars(which if of is None else which.where(p.id == of))
    return [_office(session, practice, zone, window, now) for practice in found]


def _office(
    session: Session, practice: Practice, zone: str | None, window: str, now: datetime
) -> Office:
    here = ZoneInfo(zone or practice.timezone)
    local = now.astimezone(here)
    ends_at = _begins(local.date() + timedelta(days=1), here)
    return Office(
        practice.id, local, in_window(window, local), _left(session, practice, now), ends_at
    )


def _left(session: Session, practice: Practice, now: datetime) -> int | None:
    """What both caps leave; they count in the practice's own zone, whoever writes."""
    zone = ZoneInfo(practice.timezone)
    today = now.astimezone(zone).date()
    monday = today - timedelta(days=today.weekday())
    caps = ((practice.people_mail_daily_cap, today), (practice.people_mail_weekly_cap, monday))
    left = [
        cap - _written(session, practice.id, _begins(day, zone))
        for cap, day in caps
        if cap is not None
    ]
    return max(0, min(left)) if left else None


def _begins(day: date, zone: ZoneInfo) -> datetime:
    return instant_of(datetime.combine(day, time()), zone)


def _written(session: Session, practice_id: int, since: datetime) -> int:
    """Letters of both kinds since then."""
    g, v = Greeting, ProfileReview
    greeted = sa.select(sa.func.count()).where(g.practice_id == practice_id, g.greeted_at >= since)
    checked = (
        sa.select(sa.func.count())
        .select_from(v)
        .join(Student, Student.id == v.student_id)
        .where(Student.practice_id == practice_id, v.invited, v.reviewed_at >= since)
    )
    both = sa.select(greeted.scalar_subquery() + checked.scalar_subquery())
    return session.scalar(both) or 0


def may_be_written_to() -> sa.ColumnElement[bool]:
    """Of a `User` with settings: has an account, an address that works, and wants such letters."""
    return sa.and_(User.active, mail_allowed(), greetings_wanted())
