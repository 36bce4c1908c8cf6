"""What to know of a schedule beside others: warnings, which block nothing (schedules O7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.models.automation import AutomationRun, AutomationSchedule
from app.services import aaa, recurrence, recurring
from app.services.recurring import WITHOUT_TIME
from app.services.schedule_errors import InvalidScheduleException
from app.services.schedule_reading import Who, get_schedule

CLOSE = timedelta(minutes=10)
AHEAD = timedelta(days=14)
MOST_TIMES = 2_000  # of one schedule that are compared
MOST_AT_ONCE = 10
LOOKED_BACK = 20  # durations


@dataclass(frozen=True)
class Conflict:
    """Something two schedules, or one and its own length, have against each other."""

    kind: str  # close, twin, slow, crowd
    text: str
    schedule_ids: tuple[str, ...] = ()


def conflicts(
    session: Session, schedule_id: str, user_id: Who = None, *, now: datetime
) -> list[Conflict]:
    """What a saved schedule is in conflict with. Raises `ScheduleNotFoundException`."""
    return conflicts_of(session, get_schedule(session, schedule_id, user_id), now)


def conflicts_of(session: Session, schedule: AutomationSchedule, now: datetime) -> list[Conflict]:
    """The same of a row, also of one that is about to be saved; a resting one has none."""
    if schedule.schedule_type in WITHOUT_TIME or not schedule.switched_on:
        return []
    with session.no_autoflush:
        others = _of_same_task(session, schedule)
        found = [_close(session, schedule, others, now), _twin(session, schedule, others)]
        found += [_slow(session, schedule, now), _crowd(session, schedule)]
    return [one for one in found if one is not None]


def warnings_of(session: Session, schedule: AutomationSchedule, now: datetime) -> list[str]:
    """The same in words, for the answer to whoever saved it; each is logged."""
    found = conflicts_of(session, schedule, now)
    for one in found:
        aaa.warned("schedule_conflict", schedule, reason=one.kind)
    return [one.text for one in found]


def _of_same_task(session: Session, schedule: AutomationSchedule) -> list[AutomationSchedule]:
    s, of_class = AutomationSchedule, schedule.automation_class
    if of_class is None:
        return []
    same = sa.select(s).where(
        s.automation_class_id == of_class.id,
        s.practice_id == schedule.practice_id
        if schedule.practice_id is not None
        else s.practice_id.is_(None),
        s.schedule_type.not_in(WITHOUT_TIME),
        s.schedule_id != schedule.schedule_id,
        s.active,
        s.paused_at.is_(None),
        s.deleted_at.is_(None),
    )
    return list(session.scalars(same.order_by(s.id)))


def _close(
    session: Session,
    schedule: AutomationSchedule,
    others: Sequence[AutomationSchedule],
    now: datetime,
) -> Conflict | None:
    mine = _coming(session, schedule, now)
    near = [one for one in others if _meet(mine, _coming(session, one, now))]
    if not near:
        return None
    text = _("Within ten minutes of the same task: %(names)s.", names=_names(near))
    return Conflict("close", text, _ids(near))


def _coming(session: Session, schedule: AutomationSchedule, now: datetime) -> list[datetime]:
    times = islice(_next(session, schedule, now), MOST_TIMES)
    return list(takewhile(lambda at: at <= now + AHEAD, times))


def _next(session: Session, schedule: AutomationSchedule, now: datetime) -> Iterator[datetime]:
    """Its times; one that was written past the forms and has none is in nobody's way."""
    with suppress(InvalidScheduleException):
        yield from recurrence.following(recurring.recurrence_of(session, schedule), now)


def _meet(mine: Sequence[datetime], theirs: Sequence[datetime]) -> bool:
    """Whether two of them are less than ten minutes apart; both are in order."""
    left, right = 0, 0
    while left < len(mine) and right < len(theirs):
        if abs(mine[left] - theirs[right]) < CLOSE:
            return True
        if mine[left] < theirs[right]:
            left += 1
        else:
            right += 1
    return False


def _twin(
    session: Session, schedule: AutomationSchedule, others: Sequence[AutomationSchedule]
) -> Conflict | None:
    same = [one for one in others if _told(session, one) == _told(session, schedule)]
    if not same:
        return None
    text = _("The same task, set up alike, at the same times: %(names)s.", names=_names(same))
    return Conflict("twin", text, _ids(same))


def _told(session: Session, schedule: AutomationSchedule) -> tuple[Any, ...]:
    its = recurring.recurrence_of(session, schedule)
    return its.type, dict(its.config), its.zone, dict(schedule.task_config or {})


def _slow(session: Session, schedule: AutomationSchedule, now: datetime) -> Conflict | None:
    r = AutomationRun
    last = sa.select(r.duration_ms).where(
        r.schedule_id == schedule.id, r.duration_ms.is_not(None), r.dry_run.is_(False)
    )
    newest = last.order_by(r.id.desc()).limit(LOOKED_BACK)
    took = [ms for ms in session.scalars(newest) if ms is not None] if schedule.id else []
    times = list(islice(_next(session, schedule, now), 2))
    if not took or len(times) < 2:
        return None
    mean, period = sum(took) / len(took) / 1000, (times[1] - times[0]).total_seconds()
    if mean <= period:
        return None
    text = _("Its runs take %(mean)s seconds, longer than the %(period)s from one to the next.",
             mean=round(mean), period=round(period))  # fmt: skip
    return Conflict("slow", text)


def _crowd(session: Session, schedule: AutomationSchedule) -> Conflict | None:
    at = schedule.next_execution_at
    if at is None:
        return None
    s, minute = AutomationSchedule, at.replace(second=0, microsecond=0)
    crowd = sa.select(sa.func.count()).where(
        s.active,
        s.deleted_at.is_(None),
        s.schedule_id != schedule.schedule_id,
        s.next_execution_at >= minute,
        s.next_execution_at < minute + timedelta(minutes=1),
    )
    count = (session.scalar(crowd) or 0) + 1
    if count <= MOST_AT_ONCE:
        return None
    return Conflict("crowd", _("%(count)s schedules run in the same minute.", count=count))


def _names(schedules: Sequence[AutomationSchedule]) -> str:
    return ", ".join(one.name for one in schedules[:5])


def _ids(schedules: Sequence[AutomationSchedule]) -> tuple[str, ...]:
    return tuple(one.schedule_id for one in schedules)
