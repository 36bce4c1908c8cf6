"""How long an invited student has to answer (waitlist WI1, WI2)."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.models.automation import (
    AutomationClasses,
    AutomationSchedule,
    BeforeAfterEnum,
    EventsEnum,
)
from app.models.bulk import composed, send
from app.models.queue import Standing
from app.models.training import Training, schedule_types
from app.services.intervals import parse_interval
from app.services.refusals import Refusal

log = logging.getLogger("app.services.deadline")

WAITLIST_TASK = "AutomaticWaitList"
MOST_REMINDERS = 3  # of one invitation (WI6)
TOO_NEAR = timedelta(minutes=10)  # the deadline is: a reminder would help nobody (WI6)


class BadAnswerWindows(Refusal):
    """The rows of `answer_windows` contradict each other."""

    code, status = "bad_answer_windows", 400
    sentence = _l(
        "Each row of the answer times needs its own limit, and answers may not grow towards the"
        " start, as in: within 1 00:00:00, answer 0 01:30:00."
    )


class BadReminders(Refusal):
    """`remind_before` is no list of at most three lengths of time."""

    code, status = "bad_remind_before", 400
    sentence = _l(
        "Give at most three different times before the deadline, as in: 1 00:00:00, 0 02:00:00."
    )


class Governing(NamedTuple):
    """What the schedule that sets a training's answer time says of it."""

    id: int
    name: str
    interval: timedelta | None
    task_config: dict[str, Any] | None


def governing_schedule(session: Session, training: Training) -> Governing | None:
    """The one schedule that sets a training's answer time (WI1).

    Among the waitlist schedules that work: one for its type before one for all, lowest id first.
    """
    of = {"type": training.training_type_id, "practice": training.practice_id}
    found = send(session, _governing(), of).one_or_none()
    return None if found is None else Governing(*found)


@composed
def _governing() -> sa.Select[Any]:
    s, typed = AutomationSchedule, schedule_types.c
    types_of = sa.select(typed.schedule_id).where(typed.schedule_id == s.id)
    of_its_type = types_of.where(typed.training_type_id == sa.bindparam("type")).exists()
    return (
        sa.select(s.id, s.name, s.interval, s.task_config)
        .join(AutomationClasses, AutomationClasses.id == s.automation_class_id)
        .where(
            grants(),
            sa.or_(s.practice_id.is_(None), s.practice_id == sa.bindparam("practice")),
            sa.or_(of_its_type, ~types_of.exists()),
        )
        .order_by(sa.case((of_its_type, 0), else_=1), s.id)
        .limit(1)
    )


def grants() -> sa.ColumnElement[bool]:
    """A schedule that gives answer times, and ends what it gave: on, and making sense (WA7).

    Select from `AutomationSchedule` joined with its class.
    """
    s = AutomationSchedule
    return sa.and_(
        AutomationClasses.class_name == WAITLIST_TASK,
        s.works(),
        s.beforeafter == BeforeAfterEnum.after,
        sa.or_(s.events.is_(None), s.events == EventsEnum.invited),
        s.interval.is_not(None),
    )


def answer_until(
    schedule: Governing | AutomationSchedule | None, stand: Standing, now: datetime
) -> datetime | None:
    """The deadline of an invitation made `now`: answer time, at most the hard stop (WI2).

    Without a schedule: the hard stop; without events either: None.
    """
    answer = answer_time(schedule, stand, now)
    limits = [stand.hard_stop, now + answer if answer is not None else None]
    return min((limit for limit in limits if limit is not None), default=None)


def answer_time(
    schedule: Governing | AutomationSchedule | None, stand: Standing, now: datetime
) -> timedelta | None:
    """How long the schedule grants: its `interval`, or the row of `answer_windows` that fits."""
    if schedule is None:
        return None
    if stand.starts_at is not None:
        to_start = stand.starts_at - now
        for within, answer in _windows_of(schedule):
            if within >= to_start:
                return answer
    return schedule.interval


def _windows_of(schedule: Governing | AutomationSchedule) -> list[tuple[timedelta, timedelta]]:
    """A config spoilt past the form costs its windows, not everyone's invitations (STYLE P6)."""
    try:
        return answer_windows(schedule.task_config)
    except Refusal as no:
        log.warning("answer_windows ignored: schedule=%s because=%s", schedule.id, no.code)
        return []


def answer_windows(config: dict[str, Any] | None) -> list[tuple[timedelta, timedelta]]:
    """`[{"within": "1 00:00:00", "answer": "0 01:30:00"}, …]` as (within, answer), nearest first.

    Raises `BadAnswerWindows` or `BadInterval`.
    """
    rows = (config or {}).get("answer_windows") or []
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and set(row) == {"within", "answer"} for row in rows
    ):
        raise BadAnswerWindows
    windows = sorted(
        (parse_interval(str(row["within"])), parse_interval(str(row["answer"]))) for row in rows
    )
    limits, answers = [w for w, _ in windows], [a for _, a in windows]
    if len(set(limits)) < len(limits) or answers != sorted(answers):
        raise BadAnswerWindows
    return windows


def remind_before(config: dict[str, Any] | None) -> list[timedelta]:
    """`["1 00:00:00", "0 02:00:00"]`: how long before the deadline to remind, the longest first.

    Raises `BadReminders` or `BadInterval`.
    """
    given = (config or {}).get("remind_before") or []
    texts = isinstance(given, list) and all(isinstance(text, str) for text in given)
    if not texts or len(given) > MOST_REMINDERS:
        raise BadReminders
    before = sorted((parse_interval(text) for text in given), reverse=True)
    if len(set(before)) < len(before):
        raise BadReminders
    return before


def next_reminder(
    schedule: Governing | AutomationSchedule | None, deadline: datetime | None, now: datetime
) -> datetime | None:
    """When to remind of an invitation next, after `now`; None: no more (WI6)."""
    if schedule is None or deadline is None:
        return None
    try:
        instants = [deadline - before for before in remind_before(schedule.task_config)]
    except Refusal as no:
        log.warning("remind_before ignored: schedule=%s because=%s", schedule.id, no.code)
        return None
    return next((at for at in instants if now < at <= deadline - TOO_NEAR), None)
