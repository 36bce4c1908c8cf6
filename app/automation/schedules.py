"""What administrators do to schedules and task classes, planned in the same transaction (WA3, WI5).

A promised deadline stays what it was; runs and their history are kept. Whoever saves a form has
locked the schedule's row; the other acts lock it themselves. The caller commits.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from pydantic import ValidationError
from sqlalchemy.orm import Session, selectinload

from app.automation.automation_base import why_idle, why_inert
from app.automation.registry import Registration, get_automation_class
from app.automation.scheduler_ops import Renewed, describe_classes, renew_one
from app.models.automation import (
    AutomationClasses,
    AutomationSchedule,
    ScheduleType,
    StoppedBecause,
)
from app.models.practice import Practice
from app.services import chains, occurrences, recurring, webhook_events
from app.services.actors import Actor
from app.services.deadline import WAITLIST_TASK, answer_windows, grants, remind_before
from app.services.letter_words import duration
from app.services.locks import locked
from app.services.plan import CONFIRMED_UNTIL
from app.services.refusals import Refusal

log = logging.getLogger("app.automation")

SHORT_ANSWER, LONG_ANSWER = timedelta(hours=24), timedelta(hours=72)  # rulings RE4
MOST_CONFIG = 64 * 1024  # bytes
OF_WAITLIST = {"answer_windows", "remind_before"}


class BadName(Refusal):
    """Names are part of job ids (schedules D2)."""

    code, status = "bad_name", 400
    sentence = _l("Write 1 to 200 characters without a slash, and not beginning with system:.")


class NameTaken(Refusal):
    """Two schedules would share their jobs."""

    code = "name_taken"
    sentence = _l("Another schedule has this name already.")


class WrongSide(Refusal):
    """The task makes no sense before, or after, its event (waitlist WA7)."""

    code, status = "wrong_side", 400


class WrongEvents(Refusal):
    """The task makes no sense from these events (waitlist WA7)."""

    code, status = "wrong_events", 400


class BadConfig(Refusal):
    """The task can't be set up like that."""

    code, status = "bad_config", 400
    sentence = _l("This is no JSON object. Write something like {} or leave the field empty.")


class OfAllPractices(Refusal):
    """What holds for every practice of an installation is no single office's to change."""

    code = "of_all_practices"
    sentence = _l("This holds for all practices: no single office changes it.")


class PastChanged(Refusal):
    """What an administrator has seen is not what there is."""

    code = "past_changed"
    sentence = _l("This schedule leaves %(count)s trainings alone: look at the list once more.")


class ClassMissing(Refusal):
    """Nothing answers to this name any more."""

    code = "class_missing"
    sentence = _l("This task class is missing: whoever runs the installation brings it back.")


class OffInCode(Refusal):
    """The code of a task class has the last word on whether it may run."""

    code = "off_in_code"
    sentence = _l("This task class is switched off by its own code.")


class Timing(NamedTuple):
    """When a schedule runs, and what: who changes it never fires what is past (I14)."""

    task: int | None
    side: Any
    events: Any
    interval: timedelta | None
    types: frozenset[int]


def timing(schedule: AutomationSchedule) -> Timing:
    """As it is now."""
    types = frozenset(kind.id for kind in schedule.training_types)
    task = schedule.automation_class_id
    return Timing(task, schedule.beforeafter, schedule.events, schedule.interval, types)


# --- schedules -----------------------------------------------------------------------------------


def save(
    session: Session,
    schedule: AutomationSchedule,
    former_name: str,
    was: Timing | None,
    now: datetime,
) -> Renewed:
    """Check a schedule that was filled in, and plan it; `was` None: it is new.

    Raises `BadName`, `NameTaken`, `WrongSide`, `WrongEvents`, `BadConfig`, `OfAllPractices` and
    what `answer_windows` and `remind_before` raise.
    """
    if schedule.active is False:
        schedule.next_execution_at = None  # before anything is flushed: a CHECK wants it so
    require_own(session, schedule)
    schedule.name = a_name(session, schedule)
    _require_sense(schedule)
    _require_config(schedule)
    session.flush()  # ids of class and types
    if was is not None and timing(schedule) != was:
        schedule.active_since = None
    return renew_one(session, schedule, former_name, now)


def switch(
    session: Session, schedule: AutomationSchedule, on: bool, actor: Actor, now: datetime
) -> Renewed:
    """Switch it off, so that it plans and ends nothing, or on again. Twice is harmless.

    A recurring one goes on from now (schedules N2).
    """
    _take(session, schedule)
    if on:
        schedule.active, schedule.paused_at, schedule.stopped_because = True, None, None
        schedule.paused_by = schedule.pause_reason = schedule.resume_at = None
    else:
        recurring.stop(session, schedule, StoppedBecause.PAUSED)
        webhook_events.paused(session, schedule, now)
        chains.give_up_retries(session, schedule, now)
    return _planned(session, schedule, actor, now, "on" if on else "off")


def pause(session: Session, schedule: AutomationSchedule, actor: Actor, now: datetime) -> Renewed:
    """Off for a while: as `switch`, and seen as paused; nothing is next (schedules N2)."""
    _take(session, schedule)
    schedule.paused_at, schedule.paused_by = schedule.paused_at or now, actor.name
    schedule.next_execution_at = None
    schedule.stopped_because = StoppedBecause.PAUSED
    webhook_events.paused(session, schedule, now)
    session.flush()  # what follows a given up run reads the row anew
    chains.give_up_retries(session, schedule, now)
    return _planned(session, schedule, actor, now, "paused")


def confirm_past(
    session: Session, schedule: AutomationSchedule, count: int, actor: Actor, now: datetime
) -> Renewed:
    """Put away also what ended before it was switched on, an administrator having seen it (WB).

    `count` is how many they saw. Raises `PastChanged` if there are more or fewer.
    """
    _take(session, schedule)
    there = len(occurrences.ended_before(session, schedule, now))
    if count != there:
        raise PastChanged(count=there)
    until = schedule.active_since or now
    schedule.task_config = (schedule.task_config or {}) | {CONFIRMED_UNTIL: until.isoformat()}
    return _planned(session, schedule, actor, now, "past confirmed")


def delete(session: Session, schedule: AutomationSchedule, actor: Actor, now: datetime) -> Renewed:
    """It leaves the lists and plans nothing; its runs stay, its name is free again.

    Of a recurring one the runs that wait are cancelled (schedules O1).
    """
    _take(session, schedule)
    recurring.stop(session, schedule, schedule.stopped_because or StoppedBecause.PAUSED)
    if schedule.schedule_type != ScheduleType.EVENT:
        chains.stop_for_good(session, schedule, now, "removed")
    schedule.deleted_at = schedule.deleted_at or now
    return _planned(session, schedule, actor, now, "deleted")


def _take(session: Session, schedule: AutomationSchedule) -> None:
    locked(session, AutomationSchedule, schedule.id)
    require_own(session, schedule)
    schedule.version += 1


def _planned(
    session: Session, schedule: AutomationSchedule, actor: Actor, now: datetime, what: str
) -> Renewed:
    done = renew_one(session, schedule, schedule.name, now)
    log.info(
        "schedule %s: schedule=%s actor=%s planned=%s removed=%s",
        what,
        schedule.id,
        actor.name,
        done.planned,
        done.removed,
    )
    return done


def require_own(session: Session, schedule: AutomationSchedule) -> None:
    """One practice's, or the only practice's. Raises `OfAllPractices`."""
    if schedule.practice_id is None:
        require_alone(session)


def require_alone(session: Session) -> None:
    """There is one practice only. Raises `OfAllPractices`."""
    if len(session.scalars(sa.select(Practice.id).limit(2)).all()) > 1:
        raise OfAllPractices


def a_name(session: Session, schedule: AutomationSchedule) -> str:
    """Its name, trimmed. Raises `BadName`, `NameTaken`."""
    name = (schedule.name or "").strip()
    odd = "/" in name or not name.isprintable() or name.lower().startswith("system:")
    if not 1 <= len(name) <= 200 or odd:
        raise BadName
    s = AutomationSchedule
    taken = sa.select(s.id).where(s.name == name, s.deleted_at.is_(None))
    with session.no_autoflush:
        others = [id_ for id_ in session.scalars(taken) if id_ != schedule.id]
    if others:
        raise NameTaken
    return name


def _require_sense(schedule: AutomationSchedule) -> None:
    record = record_of(schedule)
    if record is None or (why_not := record.cls.why_inert(schedule)) is None:
        return
    events, schedule.events = schedule.events, None
    of_events = record.cls.why_inert(schedule) is None
    schedule.events = events
    raise (WrongEvents if of_events else WrongSide)(as_sentence(why_not))


def _require_config(schedule: AutomationSchedule) -> None:
    config, record = schedule.task_config, record_of(schedule)
    if not isinstance(config, dict) or len(json.dumps(config)) > MOST_CONFIG:
        raise BadConfig
    if record is not None and record.name == WAITLIST_TASK:
        if unknown := sorted(set(config) - OF_WAITLIST):
            raise BadConfig(_("This task knows no %(what)s.", what=", ".join(unknown)[:200]))
        answer_windows(config)
        remind_before(config)
    elif record is not None and record.cls.config_model is not None:
        try:
            record.cls.config_model.model_validate(config)
        except ValidationError as wrong:
            told = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in wrong.errors()]
            raise BadConfig("; ".join(told)[:500]) from wrong


# --- what is to be said of one -------------------------------------------------------------------


def record_of(schedule: AutomationSchedule) -> Registration | None:
    """What is registered under the name of its class."""
    row = schedule.automation_class
    return get_automation_class(row.class_name) if row else None


def as_sentence(words: str) -> str:
    """`a reminder runs before its event` as a sentence."""
    return f"{words[:1].upper()}{words[1:]}."


def why_not(schedule: AutomationSchedule) -> str | None:
    """Why it plans nothing although it is on, as a sentence; None: it plans, or is off."""
    if not schedule.switched_on:
        return None
    follows_events = schedule.schedule_type in (None, ScheduleType.EVENT)
    found = (why_inert if follows_events else why_idle)(schedule, record_of(schedule))
    return as_sentence(found) if found else None


def remarks(session: Session, schedule: AutomationSchedule) -> list[str]:
    """What an administrator should know of a schedule that is on (WI1, RE4)."""
    if not schedule.switched_on:
        return []
    if inert := why_not(schedule):
        return [_("It plans nothing: %(why)s", why=inert)]
    found = []
    task = schedule.automation_class
    if task is not None and task.class_name == WAITLIST_TASK:
        if schedule.interval is not None and not SHORT_ANSWER <= schedule.interval <= LONG_ANSWER:
            found.append(
                _(
                    "An answer time from 24 to 72 hours suits most people; this one is %(length)s.",
                    length=duration(schedule.interval),
                )
            )
        if first := never_governs(session, schedule):
            found.append(_("It never sets a deadline: %(name)s comes first.", name=first.name))
    return found


def never_governs(session: Session, schedule: AutomationSchedule) -> AutomationSchedule | None:
    """The schedule that comes before this one of the waitlist in every training (WI1)."""
    s = AutomationSchedule
    here = sa.or_(s.practice_id.is_(None), s.practice_id == schedule.practice_id)
    earlier = (
        sa.select(s)
        .join(AutomationClasses)
        .where(grants(), here, s.id < schedule.id)
        .options(selectinload(s.training_types))
        .order_by(s.id)
    )
    mine, covered = {kind.id for kind in schedule.training_types}, set[int]()
    for other in session.scalars(earlier):
        theirs = {kind.id for kind in other.training_types}
        covered |= theirs
        if (not mine and not theirs) or (mine and mine <= covered):
            return other
    return None


# --- task classes --------------------------------------------------------------------------------


def class_row(session: Session, name: str) -> AutomationClasses | None:
    """The row of a task class, written if it is registered and no scheduler has started yet."""
    mine = sa.select(AutomationClasses).where(AutomationClasses.class_name == name)
    found = session.scalars(mine).one_or_none()
    if found is None and get_automation_class(name) is not None:
        describe_classes(session)
        session.flush()  # it is looked up at once
        found = session.scalars(mine).one_or_none()
    return found


def enable(
    session: Session, row: AutomationClasses, on: bool, actor: Actor, now: datetime
) -> list[Renewed]:
    """Whether schedules of a class may run; each is planned or taken out of the plan at once.

    Raises `OfAllPractices`, `ClassMissing`, `OffInCode`.
    """
    require_alone(session)
    record = get_automation_class(row.class_name)
    if on and record is None:
        raise ClassMissing
    if on and record is not None and not record.enabled:
        raise OffInCode
    s = AutomationSchedule
    mine = sa.select(s.id).where(s.automation_class_id == row.id, s.deleted_at.is_(None))
    found = [locked(session, s, id_) for id_ in session.scalars(mine.order_by(s.id)).all()]
    row.enabled = on  # after its schedules: everybody locks in this order
    what = "class enabled" if on else "class disabled"
    return [_planned(session, one, actor, now, what) for one in found]
