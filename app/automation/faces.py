"""The task classes, as the services below see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.automation.registry import Registration, get_automation_class
from app.automation.scheduler_ops import renew_one
from app.models.automation import AutomationSchedule, MadeBy
from app.services.deadline import WAITLIST_TASK, answer_windows, remind_before
from app.services.refusals import Refusal
from app.services.schedule_errors import InvalidScheduleException
from app.services.schedule_faces import Door, TaskFace
from app.services.schedule_models import CONFIGS, BotType


def face_of(class_name: str) -> TaskFace | None:
    """What a schedule must know of a task class; None: nothing is registered under this name."""
    record = get_automation_class(class_name)
    return None if record is None else _face(record)


def door(via: MadeBy, **known: Any) -> Door:
    """A door whose tasks are those that are registered; `known`: defaults from the settings."""
    return Door(via, face_of, _renew, **known)


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
