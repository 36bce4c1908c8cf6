"""What both families share: the door they come through, and how a unit of theirs ends."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from flask import Response, current_app, json
from sqlalchemy.orm import Session

from app.api.auth import known_caller
from app.automation import faces
from app.automation.lock import wake_scheduler
from app.extensions import db, unit, utcnow
from app.models.automation import MadeBy
from app.models.engine import is_away, is_busy
from app.services.schedule_errors import ExecutionNotFoundException, ScheduleNotFoundException
from app.services.schedule_faces import Door
from app.services.schedule_health import DOWN, Health, health
from config import Settings

T = TypeVar("T")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.I)


def acted(act: Callable[[Session], T]) -> T:
    """Do it in one transaction, again after a deadlock; then wake the scheduler."""
    done = unit(db.session, partial(act, db.session()))
    wake_scheduler()
    return done


def door(via: MadeBy) -> Door:
    """How a family's schedules are written where nothing was said (T10)."""
    return faces.door(via)


def schedule_id(text: str) -> str:
    """An id as rows have it. Raises `ScheduleNotFoundException` for what can be none (A3)."""
    if not UUID.fullmatch(text):
        raise ScheduleNotFoundException(text[:100])
    return text.lower()


def execution_id(text: str) -> str:
    """The same of a run. Raises `ExecutionNotFoundException`."""
    if not UUID.fullmatch(text):
        raise ExecutionNotFoundException(text[:100])
    return text.lower()


def answered(value: Any, status: int = 200) -> Response:
    """JSON of that status."""
    return Response(json.dumps(value), status, mimetype="application/json")


# --- health ---------------------------------------------------------------------------------------


def state() -> Health:
    """How it stands, a database that does not answer included; numbers for whoever may know."""
    try:
        found = health(db.session(), utcnow())
    except Exception as error:
        if not (is_away(error) or is_busy(error)):
            raise
        db.session.rollback()
        return DOWN
    settings: Settings = current_app.extensions["settings"]
    if settings.health_public_counts or known_caller() is not None:
        return found
    return replace(found, schedules=None, active=None)
