"""Letting all recurring schedules rest, and go on (schedules C6): rows and jobs stay."""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy.orm import Session

from app.models.system import SystemState
from app.services import aaa
from app.services.schedule_reading import Who, actor_of
from app.services.schedule_taking import require_alone

log = logging.getLogger("schedule_service")


def pause_all(session: Session, user_id: Who, *, now: datetime, reason: str | None = None) -> None:
    """Nothing is claimed any more; what runs goes on. Twice is harmless.

    Raises `SchedulePermissionException` for the office of one practice among several.
    """
    state = _state(session, user_id)
    if state.schedules_paused_at is None:
        state.schedules_paused_at = now
        state.schedules_paused_by = actor_of(user_id).name
        state.schedules_pause_reason = reason
        _said("schedule_pause", user_id, reason)


def resume_all(session: Session, user_id: Who) -> None:
    """They go on: what was due meanwhile is judged by its grace. Twice is harmless."""
    state = _state(session, user_id)
    if state.schedules_paused_at is not None:
        state.schedules_paused_at = state.schedules_paused_by = None
        state.schedules_pause_reason = None
        _said("schedule_resume", user_id, None)


def resting(session: Session) -> SystemState | None:
    """Since when, by whom and why all rest; None: they don't."""
    state = session.get(SystemState, 1, populate_existing=True)
    return state if state is not None and state.schedules_paused_at is not None else None


def _state(session: Session, user_id: Who) -> SystemState:
    if actor_of(user_id).practice_ids is not None:
        require_alone(session)
    state = session.get(SystemState, 1, populate_existing=True, with_for_update=True)
    if state is None:
        state = SystemState(id=1)
        session.add(state)
    return state


def _said(action: str, user_id: Who, reason: str | None) -> None:
    user = actor_of(user_id).user_id
    log.info(aaa.line("AUDIT", action, "SUCCESS", user=user, schedule_id="all", reason=reason))
