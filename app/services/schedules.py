"""What people do to schedules: every face calls these (schedules O1).

    add ---> active --pause--> paused --resume--> active
               |  `--(limit, end, failures)--> completed, failed --resume--> active
               `--remove--> gone from the lists; row and history stay

All is checked, the next occurrence computed, then written (T2), with its job, an audit row and a
line of the log. `session` comes first, `now` is aware UTC, and nothing is committed. `user_id` is
an `Actor`, who sees only their practices, an id that was vouched for, or None for the system.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.models.automation import (
    AutomationSchedule,
    RunTrigger,
    ScheduleType,
    StoppedBecause,
)
from app.models.types import new_uuid
from app.services import chains, recurrence, recurring, webhook_events
from app.services import schedule_filling as filling
from app.services.actors import Actor
from app.services.recurrence import Preview, Recurrence
from app.services.schedule_config import Rules, Timing, read_flat
from app.services.schedule_conflicts import Conflict, conflicts, conflicts_of, warnings_of
from app.services.schedule_errors import (
    InvalidScheduleException,
)
from app.services.schedule_explain import Finding, explain
from app.services.schedule_faces import Door, TaskFace
from app.services.schedule_options import read_context
from app.services.schedule_reading import (
    Page,
    Who,
    actor_of,
    get_run,
    get_schedule,
    history,
    list_schedules,
    timing_of,
)
from app.services.schedule_records import decided, record
from app.services.schedule_runs import cancel_run, retry_run, run_now
from app.services.schedule_stats import stats
from app.services.schedule_taking import a_bool, face_of, take

__all__ = [
    "Conflict",
    "Door",
    "Finding",
    "Page",
    "TaskFace",
    "Who",
    "add_schedule",
    "cancel_run",
    "clone_schedule",
    "conflicts",
    "conflicts_of",
    "due_to_resume",
    "explain",
    "get_run",
    "get_schedule",
    "history",
    "insert",
    "list_schedules",
    "pause_schedule",
    "preview",
    "remove_schedule",
    "resume_in_time",
    "resume_schedule",
    "retry_run",
    "run_now",
    "stats",
    "update_schedule",
    "warnings_of",
]

MOST_REASON = 500

Config = Mapping[str, Any] | Timing


# --- making one ----------------------------------------------------------------------------------


def add_schedule(
    session: Session,
    workflow_id: str,
    schedule_config: Config,
    user_id: Who,
    community_id: int | None,
    context_data: dict[str, Any] | None = None,
    *,
    now: datetime,
    door: Door,
    **options: Any,
) -> AutomationSchedule:
    """A new schedule with its first occurrence planned; of `community_id` None it is everyone's.

    `options`: name, description, task_config, dry_run, active, timezone, start_at, end_at,
    on_success_schedule_id, on_failure_schedule_id (uuids) and those of `ScheduleOptions`. Raises
    `WorkflowNotFoundException`, `InvalidScheduleException`, `ScheduleConflictException`,
    `ScheduleQuotaException`.
    """
    actor = actor_of(user_id)
    filling.require_known(options)
    of_class, face = filling.require_class(session, workflow_id, door)
    practice = filling.require_practice(session, actor, community_id)
    filling.require_room(session, practice)
    kind = schedule_config.get("schedule_type") if isinstance(schedule_config, Mapping) else None
    zone = filling.zone_of(door, practice, face.name, kind)
    timing = filling.read_timing(session, schedule_config, options, zone, now)
    filling.require_period(timing, face, now)
    schedule = AutomationSchedule(
        schedule_id=new_uuid(),
        automation_class=of_class,
        practice_id=practice.id if practice else None,
        task_config={},
    )
    filling.set_task_config(
        schedule, options.get("task_config") or {}, options.get("dry_run"), face
    )
    filling.set_options(
        schedule, filling.new_options(options, timing, door, face.name, schedule.task_config)
    )
    filling.set_timing(schedule, timing)
    filling.set_description(schedule, options.get("description"))
    schedule.context_data = read_context(context_data)
    schedule.name = _first_name(session, options, of_class.description or face.name, timing, now)
    filling.require_sense(schedule, face)
    active = a_bool("active", options.get("active", True))
    return insert(session, schedule, actor, now=now, door=door, active=active, links=options)


def _first_name(
    session: Session, options: Mapping[str, Any], task: str, timing: Timing, now: datetime
) -> str:
    if options.get("name") is not None:
        return filling.a_name(session, options["name"])
    said = recurrence.explain(Recurrence.of(timing, now))
    return filling.free_name(session, f"{task.rstrip('.')[:80]} - {said}")


def insert(
    session: Session,
    schedule: AutomationSchedule,
    actor: Actor,
    *,
    now: datetime,
    door: Door,
    active: bool,
    links: Mapping[str, Any] | None = None,
    action: str = "schedule_create",
) -> AutomationSchedule:
    """Write a row that was filled in, with its next occurrence, job and record.

    Raises `InvalidScheduleException` if nothing is to come, and what a chain raises.
    """
    schedule.created_at = schedule.updated_at = schedule.anchor_at = now
    schedule.created_by, schedule.created_via, schedule.version = actor.name, door.via, 1
    schedule.active, schedule.next_execution_at = active, None
    schedule.stopped_because = None if active else StoppedBecause.PAUSED
    schedule.execution_count = 0
    if active:
        schedule.next_execution_at = _next_or_refuse(session, schedule, now)
    session.add(schedule)
    session.flush()  # its job names it, and its chain is followed by ids
    filling.set_links(session, schedule, links or {}, actor)
    _plan(session, schedule, schedule.name, now, door)
    record(session, schedule, action, actor, door.via, now)
    return schedule


def _next_or_refuse(
    session: Session, schedule: AutomationSchedule, now: datetime
) -> datetime | None:
    """Its next occurrence; None if it has no time of its own. Raises if nothing is to come."""
    if schedule.schedule_type in recurring.WITHOUT_TIME:
        return None
    coming = recurring.next_of(session, schedule, now)
    if coming is None:
        raise filling.bad("schedule_config", _("nothing is left to run: its time is over"))
    return coming


def _plan(
    session: Session, schedule: AutomationSchedule, former: str, now: datetime, door: Door
) -> None:
    """Its jobs: of a schedule that recurs one alarm, of others what their task plans."""
    session.flush()  # jobs follow from the rows
    if schedule.schedule_type == ScheduleType.EVENT:
        door.renew(session, schedule, former, now)
        return
    if former != schedule.name:
        recurring.rename_jobs(session, schedule, former)
    recurring.set_alarm(session, schedule)


# --- changing one --------------------------------------------------------------------------------


def update_schedule(
    session: Session,
    schedule_id: str,
    schedule_config: Config | None,
    user_id: Who,
    *,
    now: datetime,
    door: Door,
    version: int | None = None,
    context_data: dict[str, Any] | None = None,
    **changes: Any,
) -> AutomationSchedule:
    """A schedule with what was sent; what wasn't stays. `changes` are the options of `add`.

    Raises `ScheduleNotFoundException`, `ScheduleConflictException` for another version or a name
    that is taken, `InvalidScheduleException`.
    """
    actor = actor_of(user_id)
    schedule = take(session, schedule_id, actor)
    filling.require_version(schedule, version)
    filling.require_known(changes)
    was, former, next_was = decided(schedule), schedule.name, schedule.next_execution_at
    face = face_of(schedule, door)
    with session.no_autoflush:
        _fill(session, schedule, schedule_config, changes, face, now)
        if context_data is not None:
            schedule.context_data = read_context(context_data)
        filling.require_sense(schedule, face)
        _switch(session, schedule, changes, actor, now)
        filling.set_links(session, schedule, changes, actor)
    if next_was != schedule.next_execution_at or former != schedule.name:
        session.flush()  # the row first, then what follows from it
    _touch(schedule, actor, now)
    _plan(session, schedule, former, now, door)
    changed = _changed(was, schedule)
    record(
        session, schedule, "schedule_update", actor, door.via, now,
        was=was, changes=",".join(changed) or None,
    )  # fmt: skip
    return schedule


def _fill(
    session: Session,
    schedule: AutomationSchedule,
    config: Config | None,
    changes: Mapping[str, Any],
    face: TaskFace | None,
    now: datetime,
) -> None:
    """Write what was sent into the row; new times are counted from now (N2)."""
    before = timing_of(session, schedule)
    timing = filling.changed_timing(session, schedule, config, changes, now)
    times_changed = _times(timing) != _times(before)
    if times_changed and face is not None:
        filling.require_period(timing, face, now)
    filling.set_changed_options(schedule, changes, timing)
    if "task_config" in changes or "dry_run" in changes:
        given = changes.get("task_config")
        if "task_config" in changes and given is None:
            raise filling.bad("task_config", _("an object is needed"))
        filling.set_task_config(schedule, given, changes.get("dry_run"), face)
    if "description" in changes:
        filling.set_description(schedule, changes["description"])
    if "name" in changes:
        schedule.name = filling.a_name(session, changes["name"], schedule.id)
    if not times_changed:
        return
    if filling.set_timing(schedule, timing):
        schedule.anchor_at = now
    schedule.active_since = None  # an event schedule does not catch up on its new times (WA3)
    if schedule.switched_on:
        schedule.next_execution_at = _next_or_refuse(session, schedule, now)


def _times(timing: Timing) -> tuple[Any, ...]:
    return timing.type, dict(timing.config), timing.timezone, timing.start_at, timing.end_at


def _switch(
    session: Session,
    schedule: AutomationSchedule,
    changes: Mapping[str, Any],
    actor: Actor,
    now: datetime,
) -> None:
    if "active" not in changes:
        return
    active = a_bool("active", changes["active"])
    if active and not schedule.switched_on:
        _wake(session, schedule, now)
    elif not active and schedule.switched_on:
        _rest(session, schedule, actor, None, None, now)


def _changed(was: Mapping[str, Any], schedule: AutomationSchedule) -> list[str]:
    new = decided(schedule)
    return [name for name in new if was[name] != new[name]]


def _touch(schedule: AutomationSchedule, actor: Actor, now: datetime) -> None:
    schedule.version += 1
    schedule.updated_by, schedule.updated_at = actor.name, now


# --- resting, going on, going --------------------------------------------------------------------


def pause_schedule(
    session: Session,
    schedule_id: str,
    user_id: Who,
    *,
    now: datetime,
    door: Door,
    reason: str | None = None,
    resume_at: datetime | None = None,
) -> AutomationSchedule:
    """It plans nothing until it is resumed, by hand or at `resume_at`; what runs goes on.

    Twice is harmless. Raises `ScheduleNotFoundException`, `InvalidScheduleException`.
    """
    actor = actor_of(user_id)
    schedule = take(session, schedule_id, actor)
    if resume_at is not None and (resume_at.tzinfo is None or resume_at <= now):
        raise filling.bad("resume_at", _("must be in the future"))
    if reason is not None and (not isinstance(reason, str) or len(reason) > MOST_REASON):
        raise filling.bad("reason", _("a text of at most %(most)s characters", most=MOST_REASON))
    was = decided(schedule)
    _rest(session, schedule, actor, reason, resume_at, now)
    _touch(schedule, actor, now)
    _plan(session, schedule, schedule.name, now, door)
    record(session, schedule, "schedule_pause", actor, door.via, now, was=was, reason=reason)
    return schedule


def _rest(
    session: Session,
    schedule: AutomationSchedule,
    actor: Actor,
    reason: str | None,
    resume_at: datetime | None,
    now: datetime,
) -> None:
    schedule.paused_at, schedule.paused_by = schedule.paused_at or now, actor.name
    schedule.pause_reason, schedule.resume_at = reason, resume_at
    recurring.stop(session, schedule, StoppedBecause.PAUSED)
    webhook_events.paused(session, schedule, now)
    chains.give_up_retries(session, schedule, now)


def resume_schedule(
    session: Session,
    schedule_id: str,
    user_id: Who,
    *,
    now: datetime,
    door: Door,
    missed: str = "skip",
) -> AutomationSchedule:
    """It goes on from now, without a burst; with `missed="run_once"` one run makes up for all.

    Raises `ScheduleNotFoundException`, and `InvalidScheduleException` with the cause if nothing is
    left to run.
    """
    if missed not in ("skip", "run_once"):
        raise filling.bad("missed", _("one of %(names)s", names="skip, run_once"))
    actor = actor_of(user_id)
    schedule = take(session, schedule_id, actor)
    was, since = decided(schedule), schedule.paused_at
    if not schedule.switched_on:
        _wake(session, schedule, now)
    _touch(schedule, actor, now)
    _plan(session, schedule, schedule.name, now, door)
    begun = None
    if missed == "run_once" and since is not None and _was_due(session, schedule, since, now):
        cause = recurring.Cause(RunTrigger.MANUAL, actor.name)
        begun = recurring.queue(session, schedule, f"manual:{new_uuid()}", now, now, cause)
    record(session, schedule, "schedule_resume", actor, door.via, now, was=was, execution_id=begun)
    return schedule


def due_to_resume(session: Session, now: datetime, limit: int = 100) -> list[str]:
    """The schedules whose pause ends by now, the longest over first (R6)."""
    s = AutomationSchedule
    over = sa.select(s.schedule_id).where(
        s.resume_at <= now, s.deleted_at.is_(None), s.paused_at.is_not(None)
    )
    return list(session.scalars(over.order_by(s.resume_at, s.id).limit(limit)))


def resume_in_time(session: Session, schedule_id: str, *, now: datetime, door: Door) -> bool:
    """End a pause whose time has come; False: nothing was left to run, so it is completed (R6).

    Raises `ScheduleNotFoundException`.
    """
    try:
        with session.begin_nested():
            resume_schedule(session, schedule_id, None, now=now, door=door)
        return True
    except InvalidScheduleException:
        schedule = take(session, schedule_id, actor_of(None))
        schedule.paused_at = schedule.resume_at = None
        recurring.complete(session, schedule)
        return False


def _wake(session: Session, schedule: AutomationSchedule, now: datetime) -> None:
    if recurring.limit_reached(schedule):
        raise filling.bad(
            "max_executions",
            _("it has begun as often as it may, %(count)s times", count=schedule.execution_count),
        )
    coming = _next_or_refuse(session, schedule, now)
    schedule.active, schedule.next_execution_at = True, coming
    schedule.stopped_because = schedule.paused_at = schedule.paused_by = None
    schedule.pause_reason = schedule.resume_at = schedule.active_since = None
    schedule.consecutive_failures = 0


def _was_due(
    session: Session, schedule: AutomationSchedule, since: datetime, now: datetime
) -> bool:
    if schedule.schedule_type in recurring.WITHOUT_TIME:
        return False
    its = recurring.recurrence_of(session, schedule)
    return bool(recurrence.occurrences_between(its, since, now, 1).newest)


def remove_schedule(
    session: Session, schedule_id: str, user_id: Who, *, now: datetime, door: Door
) -> bool:
    """It leaves the lists, what waits is cancelled; row and history stay, its name is free again.

    Raises `ScheduleNotFoundException`, at a second call too.
    """
    actor = actor_of(user_id)
    schedule = take(session, schedule_id, actor)
    was = decided(schedule)
    recurring.stop(session, schedule, schedule.stopped_because or StoppedBecause.PAUSED)
    chains.stop_for_good(session, schedule, now, "removed")
    schedule.deleted_at = now
    _touch(schedule, actor, now)
    _plan(session, schedule, schedule.name, now, door)
    record(session, schedule, "schedule_remove", actor, door.via, now, was=was)
    return True


def clone_schedule(
    session: Session,
    schedule_id: str,
    user_id: Who,
    *,
    now: datetime,
    door: Door,
    name: str | None = None,
) -> AutomationSchedule:
    """The same once more, inactive and its counters at 0, as "<name> (copy)".

    Raises `ScheduleNotFoundException`, `ScheduleConflictException`, `ScheduleQuotaException`.
    """
    actor = actor_of(user_id)
    original = get_schedule(session, schedule_id, actor)
    practice = filling.require_practice(session, actor, original.practice_id)
    filling.require_room(session, practice)
    copy = AutomationSchedule(schedule_id=new_uuid(), practice_id=original.practice_id)
    filling.copy_values(original, copy)
    if name is not None:
        copy.name = filling.a_name(session, name)
    else:
        plain = original.name[: filling.MOST_NAME - 16]
        copy.name = filling.free_name(session, _("%(name)s (copy)", name=plain))
    return insert(session, copy, actor, now=now, door=door, active=False, action="schedule_clone")


# --- looking -------------------------------------------------------------------------------------


def preview(
    config: Config, n: int = 5, *, now: datetime, timezone: str = "UTC", shortest_seconds: int = 1
) -> Preview:
    """What a configuration says, the next `n` (1-50) occurrences and notices; writes nothing.

    Raises `InvalidScheduleException`.
    """
    rules = Rules(now, timezone, shortest_seconds)
    timing = config if isinstance(config, Timing) else read_flat(config, rules)
    return recurrence.preview(Recurrence.of(timing, now), n, now=now)
