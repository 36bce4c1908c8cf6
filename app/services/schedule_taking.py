"""Whoever acts on a schedule takes its row first, and may do so at all (schedules O4)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.models.automation import AutomationSchedule
from app.models.practice import Practice
from app.services.actors import Actor
from app.services.locks import locked
from app.services.schedule_errors import (
    InvalidScheduleException,
    ScheduleNotFoundException,
    SchedulePermissionException,
)
from app.services.schedule_faces import Door, TaskFace
from app.services.schedule_reading import get_schedule


def take(session: Session, schedule_id: str, actor: Actor) -> AutomationSchedule:
    """The schedule, ours until the commit and as it is now.

    Raises `ScheduleNotFoundException`, and `SchedulePermissionException` for what is everyone's.
    """
    found = get_schedule(session, schedule_id, actor)
    schedule = locked(session, AutomationSchedule, found.id)
    if schedule.deleted_at is not None:
        raise ScheduleNotFoundException(schedule_id)
    if schedule.practice_id is None and actor.practice_ids is not None:
        require_alone(session)
    return schedule


def require_alone(session: Session) -> None:
    """What holds for all practices is one office's only if it is alone.

    Raises `SchedulePermissionException`.
    """
    if len(session.scalars(sa.select(Practice.id).limit(2)).all()) > 1:
        raise SchedulePermissionException(
            _("This holds for all practices: no single office changes it.")
        )


def face_of(schedule: AutomationSchedule, door: Door) -> TaskFace | None:
    """Its task class as this door shows it; None: it has none, or nobody registered it."""
    row = schedule.automation_class
    return door.face(row.class_name) if row else None


def a_bool(field: str, given: Any) -> bool:
    """True or false. Raises `InvalidScheduleException`, naming the field."""
    if not isinstance(given, bool):
        why = _("true or false is needed")
        raise InvalidScheduleException(f"{field}: {why}", {field: why})
    return given
