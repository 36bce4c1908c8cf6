"""How schedules and runs look to programs: `as_job` in family A, `as_schedule` in family B (D1).

Both are views of the same columns; instants read `2026-01-05T07:00:00Z` (A3).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from flask_babel import ngettext as _n
from sqlalchemy.orm import Session, object_session

from app.models.automation import AutomationRun, AutomationSchedule, RunTrigger
from app.services import run_reasons
from app.services.occurrence import name_of
from app.services.recurrence import Preview
from app.services.schedule_config import Timing, flat, nested
from app.services.schedule_options import ScheduleOptions
from app.services.schedule_reading import task_config_of, timing_of


def as_job(row: AutomationSchedule, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Family A, document 003 (A5)."""
    timing = _timing(row)
    return {
        "id": row.schedule_id,
        "name": row.name,
        "description": row.description,
        "bot_type": _task(row),
        "enabled": row.switched_on,
        **nested(timing),
        "bot_config": task_config_of(row),
        "context_data": dict(row.context_data or {}),
        "created_at": _at(row.created_at),
        "updated_at": _at(row.updated_at),
        "last_run_at": _at(row.last_execution_at),
        "last_run_status": row.last_run_status,
        "last_run_error": row.last_run_error,
        "next_run_at": _at(row.next_execution_at),
        "created_by": row.created_by,
        "max_instances": row.max_instances,
        "misfire_grace_time": row.misfire_grace_time,
        "coalesce": row.coalesce,
        "timezone": timing.timezone,
        "max_executions": row.max_executions,
        "execution_count": row.execution_count,
        "state": row.state.value,
        "version": row.version,
        "warnings": [*_inert(row), *warnings],
    }


def as_schedule(row: AutomationSchedule, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Family B, document 004 (A6)."""
    timing, of_class = _timing(row), row.automation_class
    return {
        "schedule_id": row.schedule_id,
        "workflow_id": of_class.workflow_id if of_class else None,
        **flat(timing),
        "start_at": _at(row.start_at),
        "end_at": _at(row.end_at),
        "is_active": row.switched_on,
        "next_execution_at": _at(row.next_execution_at),
        "last_execution_at": _at(row.last_execution_at),
        "last_execution_id": row.last_execution_id,
        "execution_count": row.execution_count,
        "context_data": dict(row.context_data or {}),
        "created_at": _at(row.created_at),
        "updated_at": _at(row.updated_at),
        "name": row.name,
        "description": row.description,
        "task_key": _task(row),
        "task_config": task_config_of(row),
        "status": row.state.value,
        "community_id": row.practice_id,
        "pause_reason": row.pause_reason,
        "resume_at": _at(row.resume_at),
        "last_run_status": row.last_run_status,
        "last_run_error": row.last_run_error,
        "options": options_of(row),
        "version": row.version,
        "warnings": [*_inert(row), *warnings],
    }


def as_execution(run: AutomationRun) -> dict[str, Any]:
    """A run, in both families; one that never started has its due time as its start (A5)."""
    by_hand = run.trigger == RunTrigger.MANUAL
    return {
        "id": run.execution_id,
        "job_id": run.schedule.schedule_id,
        "started_at": _at(run.started_at or run.due_at),
        "finished_at": _at(run.finished_at),
        "status": run.status.value,
        "result": run.result,
        "error": run.error,
        "messages_sent": run.messages_sent,
        "profiles_visited": run.profiles_visited,
        "trigger_type": "manual" if by_hand else "scheduled",
        "duration_seconds": None if run.duration_ms is None else run.duration_ms / 1000,
        "result_summary": _summary(run),
        "attempt": run.attempt,
        "dry_run": run.dry_run,
        "missed_count": run.missed_count,
        "reason": run.reason,
        "execution_id": run.execution_id,
        "schedule_id": run.schedule.schedule_id,
    }


def as_preview(preview: Preview) -> dict[str, Any]:
    """What a configuration means, before it is saved."""
    times = [{"local": at.local.isoformat(), "utc": _at(at.utc)} for at in preview.next]
    return {
        "explanation": preview.explanation,
        "timezone": preview.timezone,
        "next": times,
        "notices": list(preview.notices),
    }


def options_of(row: AutomationSchedule) -> dict[str, Any]:
    """Limits, retries, grace; null lets the task class decide."""
    return {name: getattr(row, name) for name in ScheduleOptions.model_fields}


def _timing(row: AutomationSchedule) -> Timing:
    session = object_session(row)
    assert isinstance(session, Session)  # noqa: S101  it was just read or written
    return timing_of(session, row)


def _task(row: AutomationSchedule) -> str | None:
    return row.automation_class.class_name if row.automation_class else None


def _inert(row: AutomationSchedule) -> list[str]:
    if row.automation_class is None:
        return [_("It has no task class, so it runs nothing.")]
    return [] if row.automation_class.enabled else [_("Its task class is disabled.")]


def _summary(run: AutomationRun) -> str:
    """`success: 3 done, 1 failed, 1 letter`; only what is more than nothing."""
    letters, profiles = run.messages_sent, run.profiles_visited
    counts = (
        (run.items_done, _("%(num)s done", num=run.items_done)),
        (run.items_skipped, _("%(num)s skipped", num=run.items_skipped)),
        (run.items_failed, _("%(num)s failed", num=run.items_failed)),
        (letters, _n("%(num)s letter", "%(num)s letters", letters or 0)),
        (profiles, _n("%(num)s profile", "%(num)s profiles", profiles or 0)),
    )
    told = ", ".join(str(words) for count, words in counts if count)
    said = f"{run.status.value}: {told}" if told else run.status.value
    return f"{said} ({run_reasons.in_words(run.reason)})" if run.reason else said


def _at(at: datetime | None) -> str | None:
    return name_of(at) if at is not None else None
