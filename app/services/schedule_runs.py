"""Runs that people begin, end and try again by hand (schedules O1, R4)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.models.automation import AutomationRun, AutomationSchedule, RunTrigger, ScheduleType
from app.models.types import new_uuid
from app.services import chains, recurring, runs_by_hand
from app.services import schedule_filling as filling
from app.services.actors import Actor
from app.services.schedule_errors import ScheduleConflictException, WorkflowNotFoundException
from app.services.schedule_faces import Door, cannot_be_tried
from app.services.schedule_reading import Who, actor_of, get_run, live_runs
from app.services.schedule_records import decided, record
from app.services.schedule_taking import a_bool, face_of, take

KEY_HOLDS = timedelta(hours=24)  # how long an idempotency key means the same run
MOST_KEY = 200


def run_now(
    session: Session,
    schedule_id: str,
    user_id: Who,
    *,
    now: datetime,
    door: Door,
    dry_run: bool | None = None,
    idempotency_key: str | None = None,
) -> AutomationRun:
    """A run that begins at once, also while the schedule rests; ring the scheduler afterwards.

    Of a schedule that follows events only a dry run, which is over when it is returned: what all
    its items would do (P1). The same key within 24 hours is the same run, if the same was asked
    for. Raises `ScheduleNotFoundException`, `WorkflowNotFoundException`, `InvalidScheduleException`
    and, if as many run as may or the key came with another body, `ScheduleConflictException`.
    """
    actor = actor_of(user_id)
    schedule = take(session, schedule_id, actor)
    of_events = schedule.schedule_type == ScheduleType.EVENT
    if of_events and dry_run is not True:
        raise filling.bad("schedule_type", _("an event schedule runs for its items only"))
    face = face_of(schedule, door)
    if face is None:
        row = schedule.automation_class
        raise WorkflowNotFoundException(row.workflow_id if row else "-")
    if dry_run is not None:
        a_bool("dry_run", dry_run)
    asked = _asked(idempotency_key, dry_run)
    if known := _known_run(session, schedule, asked, now):
        return known
    if of_events:
        return _tried_out(session, schedule, actor, now, door, asked)
    if schedule.dry_run if dry_run is None else dry_run:
        face.require_plan()
    if _live(session, schedule) >= (schedule.max_instances or face.max_instances):
        raise ScheduleConflictException(_("As many runs of this schedule wait or run as may."))
    cause = recurring.Cause(RunTrigger.MANUAL, actor.name, dry_run, asked=asked)
    begun = recurring.queue(session, schedule, f"manual:{new_uuid()}", now, now, cause)
    assert begun is not None  # noqa: S101  nobody else has this uuid
    record(
        session, schedule, "schedule_run_now", actor, door.via, now,
        was=decided(schedule), execution_id=begun,
    )  # fmt: skip
    return get_run(session, begun)


def _tried_out(
    session: Session,
    schedule: AutomationSchedule,
    actor: Actor,
    now: datetime,
    door: Door,
    asked: Mapping[str, Any],
) -> AutomationRun:
    """The record of a dry run of a schedule that follows events; nothing else of it stays."""
    was = decided(schedule)
    result = door.rehearse(session, schedule, now)
    if result is None:
        raise cannot_be_tried()
    cause = recurring.Cause(RunTrigger.MANUAL, actor.name, dry_run=True, asked=asked)
    begun = recurring.tried_out(session, schedule, now, cause, result)
    record(
        session, schedule, "schedule_run_now", actor, door.via, now,
        was=was, execution_id=begun,
    )  # fmt: skip
    return get_run(session, begun)


def _asked(key: str | None, dry_run: bool | None) -> dict[str, Any]:
    if key is None:
        return {}
    if not isinstance(key, str) or not 1 <= len(key) <= MOST_KEY or not key.isprintable():
        raise filling.bad("Idempotency-Key", _("1 to %(most)s characters", most=MOST_KEY))
    return {"key": key, "dry_run": dry_run}


def _known_run(
    session: Session, schedule: AutomationSchedule, asked: Mapping[str, Any], now: datetime
) -> AutomationRun | None:
    """The run that this key began; the schedule's lock keeps a second one from beginning."""
    if not asked:
        return None
    r = AutomationRun
    mine = sa.select(r).where(
        r.schedule_id == schedule.id,
        r.trigger == RunTrigger.MANUAL,
        r.due_at > now - KEY_HOLDS,
        r.config_snapshot["asked"]["key"].as_string() == asked["key"],
    )
    found = session.scalars(mine.order_by(r.id.desc()).limit(1)).one_or_none()
    if found is not None and (found.config_snapshot or {})["asked"] != dict(asked):
        raise ScheduleConflictException(_("This key was used for another request."))
    return found


def _live(session: Session, schedule: AutomationSchedule) -> int:
    return live_runs(session, [schedule.id]).get(schedule.id, 0)


def cancel_run(
    session: Session, execution_id: str, user_id: Who, *, now: datetime, door: Door
) -> AutomationRun:
    """End a run that waits or runs; what it does now is rolled back.

    Raises `ExecutionNotFoundException`, and `ScheduleConflictException` if it has ended.
    """
    actor = actor_of(user_id)
    run = get_run(session, execution_id, actor)
    schedule = take(session, run.schedule.schedule_id, actor)
    try:
        chains.cancel(session, run, now)
    except runs_by_hand.RunEnded as ended:
        raise ScheduleConflictException(ended.sentence) from ended
    record(
        session, schedule, "schedule_run_cancel", actor, door.via, now,
        was=decided(schedule), execution_id=execution_id,
    )  # fmt: skip
    return run


def retry_run(
    session: Session, execution_id: str, user_id: Who, *, now: datetime, door: Door
) -> AutomationRun:
    """Try once more what failed, timed out or was cancelled, as it was set up then (R4).

    Raises `ExecutionNotFoundException`, `ScheduleConflictException`.
    """
    actor = actor_of(user_id)
    run = get_run(session, execution_id, actor)
    schedule = take(session, run.schedule.schedule_id, actor)
    try:
        again = runs_by_hand.retry_run(session, run, now)
    except runs_by_hand.NotRetryable as never:
        raise ScheduleConflictException(never.sentence) from never
    again.triggered_by = actor.name
    record(
        session, schedule, "schedule_retry", actor, door.via, now,
        was=decided(schedule), execution_id=again.execution_id,
    )  # fmt: skip
    return again
