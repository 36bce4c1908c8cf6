"""Every act on a schedule leaves an audit row, in its transaction, and a line of the log (O6)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy.orm import Session

from app.models.automation import AutomationSchedule, MadeBy
from app.models.schedule_audit import ScheduleAudit
from app.services import aaa
from app.services.actors import Actor
from app.services.intervals import show_interval
from app.services.occurrence import name_of

# What people decide about a schedule: everything but what becomes of it.
DECIDED = (
    "name",
    "description",
    "practice_id",
    "automation_class_id",
    "schedule_type",
    "schedule_config",
    "beforeafter",
    "events",
    "interval",
    "timezone",
    "start_at",
    "end_at",
    "active",
    "stopped_because",
    "pause_reason",
    "resume_at",
    "dry_run",
    "task_config",
    "context_data",
    "max_executions",
    "max_instances",
    "misfire_grace_time",
    "coalesce",
    "overlap_policy",
    "timeout_seconds",
    "retry_max",
    "retry_backoff",
    "retry_base_seconds",
    "retry_cap_seconds",
    "on_success_schedule_id",
    "on_failure_schedule_id",
    "template_id",
    "deleted_at",
)
MOST_REASON = 500


def decided(schedule: AutomationSchedule) -> dict[str, Any]:
    """What people decided about it, as JSON."""
    return {name: _plain(getattr(schedule, name)) for name in DECIDED}


def record(
    session: Session,
    schedule: AutomationSchedule,
    action: str,
    actor: Actor,
    via: MadeBy,
    now: datetime,
    *,
    was: Mapping[str, Any] | None = None,
    reason: str | None = None,
    **pairs: Any,
) -> list[str]:
    """Write down an act; the columns that it changed. `was` None: the schedule is new (M2)."""
    session.flush()  # what defaults wrote belongs to the record
    new = decided(schedule)
    changed = [name for name in DECIDED if was is None or was[name] != new[name]]
    session.add(
        ScheduleAudit(
            schedule_id=schedule.schedule_id,
            practice_id=schedule.practice_id,
            at=now,
            actor=actor.name,
            via=via,
            action=action,
            reason=reason,
            old=None if was is None else {name: was[name] for name in changed},
            new={name: new[name] for name in changed},
        )
    )
    aaa.did(action, schedule, actor, reason=reason, **pairs)
    return changed


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return name_of(value)
    if isinstance(value, timedelta):
        return show_interval(value)
    if isinstance(value, StrEnum):
        return value.value
    return dict(value) if isinstance(value, Mapping) else value
