"""Why is this not running? Each cause looked at, with OK or the cure (schedules S1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.models.automation import AutomationRun, AutomationSchedule, RunStatus
from app.models.job import Job
from app.models.rules import rules_of
from app.models.system import SchedulerEpoch, SystemState
from app.models.types import UtcDateTime
from app.services import recurring, symptoms
from app.services.occurrence import name_of
from app.services.plan import job_id
from app.services.recurring import WITHOUT_TIME
from app.services.schedule_errors import InvalidScheduleException, ScheduleNotFoundException
from app.services.schedule_faces import Door, TaskFace
from app.services.schedule_health import Missed, missed_lately
from app.services.schedule_models import in_window
from app.services.schedule_reading import Who, actor_of, live_runs

SILENT = timedelta(seconds=30)  # without a sign of life
CLOCKS = timedelta(seconds=5)  # that two clocks may differ by
LAST = 3
BAD_ENDS = (RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.MISSED)


@dataclass(frozen=True)
class Finding:
    """One cause that was looked at: fine, or what to do about it."""

    cause: str
    ok: bool
    text: str


def explain(
    session: Session,
    schedule_id: str,
    user_id: Who = None,
    *,
    now: datetime,
    door: Door,
    called: Callable[[str], str] = str,
) -> list[Finding]:
    """All causes, in the order to look at them; a deleted schedule is explained too.

    `called` says how whoever reads it calls an actor, such as `user:7`. Raises
    `ScheduleNotFoundException`.
    """
    schedule = _also_deleted(session, schedule_id, user_id)
    row = schedule.automation_class
    face = door.face(row.class_name) if row else None
    return [
        _heartbeat(session, now),
        _clock(session, now),
        _active(schedule, called),
        _deleted(schedule),
        _all_paused(session, called),
        _registered(schedule, face),
        _enabled(schedule, face),
        _config(session, schedule, face, now),
        _next(schedule, now),
        _job(session, schedule),
        _span(schedule, now),
        _count(schedule),
        _live(session, schedule, face),
        _window(session, schedule, now),
        _outcomes(session, schedule),
        _missed(session, schedule, now),
        _said("several_times", symptoms.several_times(session, schedule)),
        _time(session, schedule),
        _said("at_once", symptoms.at_once(session)),
        _said("permissions", symptoms.lacking_rights(session)),
    ]


def why_not(findings: list[Finding]) -> Finding | None:
    """The first cause that is not fine; None: it runs."""
    return next((one for one in findings if not one.ok), None)


def _also_deleted(session: Session, schedule_id: str, user_id: Who) -> AutomationSchedule:
    s, theirs = AutomationSchedule, actor_of(user_id).practice_ids
    mine = sa.select(s).where(s.schedule_id == str(schedule_id))
    if theirs is not None:
        mine = mine.where(sa.or_(s.practice_id.is_(None), s.practice_id.in_(theirs)))
    found = session.scalars(mine).one_or_none()
    if found is None:
        raise ScheduleNotFoundException(str(schedule_id)[:100])
    return found


def _said(cause: str, problem: str | None) -> Finding:
    return Finding(cause, problem is None, problem or _("OK"))


def _heartbeat(session: Session, now: datetime) -> Finding:
    seen = session.scalar(sa.select(SchedulerEpoch.seen_at).limit(1))
    if seen is None:
        return _said("heartbeat", _("No scheduler ever ran here: start run_scheduler.py."))
    if now - seen > SILENT:
        at = name_of(seen)
        return _said("heartbeat", _("The scheduler is silent since %(at)s: start it.", at=at))
    return _said("heartbeat", None)


def _clock(session: Session, now: datetime) -> Finding:
    """The clock of the database beside ours; both must agree on what is due."""
    theirs = session.scalar(sa.select(sa.type_coerce(sa.func.current_timestamp(), UtcDateTime())))
    if isinstance(theirs, str):
        theirs = datetime.fromisoformat(theirs).replace(tzinfo=UTC)
    if theirs is None or abs(theirs - now) <= CLOCKS:
        return _said("clock", None)
    seconds = round(abs(theirs - now).total_seconds())
    return _said(
        "clock", _("The database's clock differs by %(seconds)s s: set both by NTP.",
                   seconds=seconds)
    )  # fmt: skip


def _active(schedule: AutomationSchedule, called: Callable[[str], str]) -> Finding:
    if schedule.switched_on or schedule.deleted_at is not None:
        return _said("active", None)
    state = schedule.state.value
    if state == "completed":
        return _said(
            "active", _("It is completed: raise its limit or its times, then switch it on again.")
        )
    if state == "failed":
        error = schedule.last_run_error or "-"
        return _said(
            "active",
            _("It failed too often (%(error)s): mend it, then switch it on again.", error=error),
        )
    who, why = schedule.paused_by, schedule.pause_reason
    if who is None:
        return _said("active", _("It is not switched on: switch it on."))
    who = called(who)
    if why is None:
        return _said("active", _("It is paused by %(who)s: switch it on again.", who=who))
    return _said(
        "active", _("It is paused by %(who)s (%(why)s): switch it on again.", who=who, why=why)
    )


def _deleted(schedule: AutomationSchedule) -> Finding:
    if schedule.deleted_at is None:
        return _said("deleted", None)
    return _said("deleted", _("It was removed: make a new one."))


def _all_paused(session: Session, called: Callable[[str], str]) -> Finding:
    state = session.get(SystemState, 1)
    if state is None or state.schedules_paused_at is None:
        return _said("all_paused", None)
    who = called(state.schedules_paused_by or "-")
    return _said("all_paused", _("All schedules rest, by %(who)s: let them go on.", who=who))


def _registered(schedule: AutomationSchedule, face: TaskFace | None) -> Finding:
    if schedule.automation_class is None:
        return _said("class", _("It has no task class: choose one."))
    if face is None:
        name = schedule.automation_class.class_name
        return _said("class", _("No code is registered for %(name)s: bring it back.", name=name))
    return _said("class", None)


def _enabled(schedule: AutomationSchedule, face: TaskFace | None) -> Finding:
    row = schedule.automation_class
    off = (row is not None and not row.enabled) or (face is not None and not face.enabled)
    return _said("enabled", _("Its task class is disabled: enable it.") if off else None)


def _config(
    session: Session, schedule: AutomationSchedule, face: TaskFace | None, now: datetime
) -> Finding:
    try:
        recurring.next_of(session, schedule, now)
        if face is not None:
            face.config(schedule.task_config or {})
    except InvalidScheduleException as bad:
        return _said("config", _("Its configuration is refused: %(why)s", why=bad.detail))
    return _said("config", None)


def _next(schedule: AutomationSchedule, now: datetime) -> Finding:
    if schedule.schedule_type in WITHOUT_TIME or not schedule.switched_on:
        return _said("next", None)
    at = schedule.next_execution_at
    if at is None:
        return _said("next", _("It has no next occurrence: save it once more, or renew."))
    if at <= now:
        return _said("next", _("It is due since %(at)s: see the scheduler.", at=name_of(at)))
    return _said("next", None)


def _job(session: Session, schedule: AutomationSchedule) -> Finding:
    if schedule.next_execution_at is None:
        return _said("job", None)
    id_ = job_id(schedule.name, schedule.schedule_id, rules_of(session).environment)
    job = session.get(Job, id_)
    if job is None:
        return _said("job", _("Its job is not in the store: renew the plan."))
    if job.last_error:
        return _said("job", _("Its job was put off: %(why)s", why=job.last_error))
    return _said("job", None)


def _span(schedule: AutomationSchedule, now: datetime) -> Finding:
    if schedule.start_at is not None and schedule.start_at > now:
        return _said("span", _("It starts at %(at)s.", at=name_of(schedule.start_at)))
    if schedule.end_at is not None and schedule.end_at < now:
        at = name_of(schedule.end_at)
        return _said("span", _("It ended at %(at)s: set a later end.", at=at))
    return _said("span", None)


def _count(schedule: AutomationSchedule) -> Finding:
    if not recurring.limit_reached(schedule):
        return _said("count", None)
    most = schedule.max_executions
    return _said("count", _("It began %(most)s times, as often as it may: raise it.", most=most))


def _live(session: Session, schedule: AutomationSchedule, face: TaskFace | None) -> Finding:
    live = live_runs(session, [schedule.id]).get(schedule.id, 0)
    most = schedule.max_instances or (face.max_instances if face else 1)
    if live < most or schedule.schedule_type in WITHOUT_TIME[:1]:
        return _said("live", None)
    return _said("live", _("%(live)s runs wait or run, as many as may: cancel one.", live=live))


def _window(session: Session, schedule: AutomationSchedule, now: datetime) -> Finding:
    window = (schedule.task_config or {}).get("send_window")
    at = schedule.next_execution_at
    if not isinstance(window, str) or at is None:
        return _said("window", None)
    zone = ZoneInfo(recurring.recurrence_of(session, schedule).zone)
    if in_window(window, max(at, now).astimezone(zone)):
        return _said("window", None)
    return _said("window", _("Its next run lies outside %(window)s: it will be skipped.",
                             window=window))  # fmt: skip


def _outcomes(session: Session, schedule: AutomationSchedule) -> Finding:
    last = list(_last(session, schedule))
    if not last or any(status not in BAD_ENDS for status, _error in last):
        return _said("outcomes", None)
    told = "; ".join(f"{status.value}: {error or '-'}" for status, error in last)
    return _said("outcomes", _("Its last runs came to nothing: %(told)s", told=told[:500]))


def _missed(session: Session, schedule: AutomationSchedule, now: datetime) -> Finding:
    """Whether it came too late of late, and the grace that would have let it run (S2)."""
    for one in missed_lately(session, now, schedule):
        return _said("missed", grace_words(one))
    return _said("missed", None)


def _time(session: Session, schedule: AutomationSchedule) -> Finding:
    """Whether it runs when its row says; that it is read in another zone is no fault."""
    if wrong := symptoms.wrong_time(session, schedule):
        return _said("wrong_time", wrong)
    return Finding("wrong_time", True, symptoms.other_zone(session, schedule) or _("OK"))


def grace_words(one: Missed) -> str:
    """`Missed 4 times in 30 days: raise grace to 7200 s.`"""
    words = _("Missed %(count)s times in 30 days: raise grace to %(seconds)s s.",
              count=one.count, seconds=one.grace_seconds)  # fmt: skip
    return str(words)


def _last(session: Session, schedule: AutomationSchedule) -> Iterator[tuple[RunStatus, str | None]]:
    r = AutomationRun
    ended = sa.select(r.status, r.error, r.reason).where(
        r.schedule_id == schedule.id, r.finished_at.is_not(None)
    )
    for status, error, reason in session.execute(ended.order_by(r.id.desc()).limit(LAST)):
        yield status, error or reason
