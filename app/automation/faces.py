"""The task classes, as the services below see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flask import current_app, has_app_context
from sqlalchemy.orm import Session

from app.automation.registry import Registration, get_automation_class
from app.automation.rehearsal import can_rehearse, rehearse
from app.automation.scheduler_ops import renew_one
from app.models.automation import AutomationSchedule, MadeBy
from app.services.deadline import WAITLIST_TASK, answer_windows, remind_before
from app.services.refusals import Refusal
from app.services.schedule_errors import InvalidScheduleException
from app.services.schedule_faces import Door, TaskFace
from app.services.schedule_models import CONFIGS, BotTimeouts, BotType
from app.services.schedule_options import OF_JOBS, OptionDefaults

if TYPE_CHECKING:
    from config import Settings


def face_of(class_name: str) -> TaskFace | None:
    """What a schedule must know of a task class; None: nothing is registered under this name."""
    record = get_automation_class(class_name)
    return None if record is None else _face(record)


def door(via: MadeBy, **known: Any) -> Door:
    """A door whose tasks are those that are registered; what it writes stands in the settings.

    Outside an application the documented defaults hold; `known` wins over both (T10).
    """
    defaults = _defaults(current_app.extensions["settings"]) if has_app_context() else {}
    return Door(via, face_of, _renew, _rehearse, **(defaults | known))


def _defaults(settings: Settings) -> dict[str, Any]:
    coalesce = settings.scheduler_job_defaults_coalesce
    return {
        "of_jobs": replace(
            OF_JOBS,
            timezone=settings.scheduler_local_timezone,
            misfire_grace_time=settings.scheduler_misfire_grace_time,
            coalesce=coalesce,
        ),
        "of_schedules": OptionDefaults(
            timezone=settings.scheduler_timezone,
            max_instances=settings.scheduler_job_defaults_max_instances,
            misfire_grace_time=60 * settings.schedule_grace_period_minutes,
            coalesce=coalesce,
            retry_max=settings.workflow_max_retries,
            timeout_seconds=settings.workflow_timeout_seconds,
        ),
        "timeouts": BotTimeouts(
            settings.bot_timeout_birthday, settings.bot_timeout_late, settings.bot_timeout_visitor
        ),
    }


def _face(record: Registration) -> TaskFace:
    cls, model = record.cls, record.cls.config_model
    if model is None and record.name in tuple(BotType):
        model = CONFIGS[BotType(record.name)]
    return TaskFace(
        record.name,
        model,
        cls.has_plan(),
        cls.min_period,
        cls.max_instances,
        record.enabled,
        _require_waitlist if record.name == WAITLIST_TASK else _takes_anything,
        cls.why_inert,
    )


def _renew(session: Session, schedule: AutomationSchedule, former: str, now: datetime) -> None:
    renew_one(session, schedule, former, now)


def _rehearse(
    session: Session, schedule: AutomationSchedule, now: datetime
) -> dict[str, Any] | None:
    return rehearse(session, schedule, now).as_dry_result if can_rehearse(schedule) else None


def _takes_anything(_config: Mapping[str, Any]) -> None:
    """A class without a model reads its configuration itself."""


def _require_waitlist(config: Mapping[str, Any]) -> None:
    readers: dict[str, Callable[[dict[str, Any]], Any]] = {
        "answer_windows": answer_windows,
        "remind_before": remind_before,
    }
    if unknown := sorted(set(config) - set(readers)):
        raise _bad(unknown[0], "unknown here")
    for name, read in readers.items():
        try:
            read(dict(config))
        except Refusal as no:
            raise _bad(name, str(no.sentence)) from no


def _bad(name: str, why: str) -> InvalidScheduleException:
    return InvalidScheduleException(f"task_config.{name}: {why}", {f"task_config.{name}": why})
