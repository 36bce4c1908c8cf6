"""Document 004's `ScheduleService`, over the one service that every face calls (schedules O2).

Each coroutine is one transaction in an application context of its own, on a thread, so that nobody
else's loop waits for the database. Nothing is cached: the rows are the truth.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from flask import Flask, current_app
from sqlalchemy.orm import Session

from app.automation import faces
from app.automation.due_schedules import check_due_schedules
from app.automation.lock import wake_scheduler
from app.automation.scheduler_ops import describe_classes
from app.extensions import db, unit, utcnow
from app.models.automation import AutomationRun, AutomationSchedule, MadeBy, RunStatus
from app.models.system import SchedulerEpoch
from app.services import aaa, recurrence, schedules
from app.services.schedule_errors import (
    InvalidScheduleException,
    ScheduleConflictException,
    ScheduleNotFoundException,
    SchedulePermissionException,
    ScheduleQuotaException,
    ScheduleServiceException,
)
from app.services.schedule_explain import SILENT
from app.services.schedule_faces import Door
from app.services.schedule_reading import find_class
from app.services.schedule_views import as_execution, as_schedule

__all__ = [
    "InvalidScheduleException",
    "ScheduleConflictException",
    "ScheduleNotFoundException",
    "SchedulePermissionException",
    "ScheduleQuotaException",
    "ScheduleService",
    "ScheduleServiceException",
]

T = TypeVar("T")


class ScheduleService:
    """Schedules for programs that run in our application; made in an application context.

    `dal` and `workflow_engine` are taken as documented and not needed: rows are read through our
    own session, and runs are the scheduler process's.
    """

    def __init__(
        self,
        dal: Any = None,
        workflow_engine: Any = None,
        grace_period_minutes: int = 15,
        logger_instance: logging.Logger | None = None,
        *,
        clock: Callable[[], datetime] = utcnow,
    ) -> None:
        self.dal, self.workflow_engine, self.clock = dal, workflow_engine, clock
        self.grace_period_minutes = grace_period_minutes
        self.logger = logger_instance or aaa.log
        self._app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        self._say("schedule_service_init", grace_period_minutes=grace_period_minutes)

    # --- schedules ---

    async def add_schedule(
        self,
        workflow_id: str,
        schedule_config: dict[str, Any],
        user_id: int | None,
        community_id: int | None,
        context_data: dict[str, Any] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """A new schedule. Raises what `schedules.add_schedule` raises."""

        def act(session: Session, now: datetime) -> dict[str, Any]:
            if find_class(session, workflow_id) is None:
                describe_classes(session)  # no scheduler has started yet
                session.flush()  # the class is looked up at once
            who = (user_id, community_id, context_data)
            row = schedules.add_schedule(
                session, workflow_id, schedule_config, *who, now=now, door=self._door, **options
            )
            return as_schedule(row, schedules.warnings_of(session, row, now))

        return await self._write(act)

    async def update_schedule(
        self,
        schedule_id: str,
        schedule_config: dict[str, Any] | None,
        user_id: int | None,
        **changes: Any,
    ) -> dict[str, Any]:
        """What was sent changes, the rest stays."""

        def act(session: Session, now: datetime) -> dict[str, Any]:
            row = schedules.update_schedule(
                session, schedule_id, schedule_config, user_id, now=now, door=self._door, **changes
            )
            return as_schedule(row, schedules.warnings_of(session, row, now))

        return await self._write(act)

    async def remove_schedule(self, schedule_id: str, user_id: int | None) -> bool:
        """True; a second time `ScheduleNotFoundException`."""
        return await self._write(
            lambda session, now: schedules.remove_schedule(
                session, schedule_id, user_id, now=now, door=self._door
            )
        )

    async def pause_schedule(
        self, schedule_id: str, user_id: int | None, **how: Any
    ) -> dict[str, Any]:
        """It rests; `how`: reason, resume_at."""
        return await self._act(schedules.pause_schedule, schedule_id, user_id, how)

    async def resume_schedule(
        self, schedule_id: str, user_id: int | None, **how: Any
    ) -> dict[str, Any]:
        """It goes on from now; `how`: missed."""
        return await self._act(schedules.resume_schedule, schedule_id, user_id, how)

    async def run_now(self, schedule_id: str, user_id: int | None, **how: Any) -> dict[str, Any]:
        """A run that begins at once; `how`: dry_run, idempotency_key."""
        return await self._write(
            lambda session, now: as_execution(
                schedules.run_now(session, schedule_id, user_id, now=now, door=self._door, **how)
            )
        )

    async def get_schedule(self, schedule_id: str) -> dict[str, Any]:
        """One that is not removed. Raises `ScheduleNotFoundException`."""
        return await self._read(
            lambda session, _now: as_schedule(schedules.get_schedule(session, schedule_id))
        )

    async def list_schedules(self, **wanted: Any) -> list[dict[str, Any]]:
        """Those that `wanted` names: active, state, type, task, q; all of them."""
        return await self._read(
            lambda session, _now: [
                as_schedule(row)
                for row in schedules.list_schedules(session, page_size=None, **wanted).items
            ]
        )

    # --- the clock ---

    async def check_due_schedules(self) -> list[dict[str, Any]]:
        """Claim what is due now, as the scheduler does each minute; what began."""
        return await self._write(lambda session, now: list(check_due_schedules(session, now)))

    @staticmethod
    def calculate_next_execution(
        schedule_type: str,
        cron_expression: str | None = None,
        interval_seconds: int | None = None,
        scheduled_time: str | datetime | None = None,
        timezone: str = "UTC",
        *,
        after: datetime | None = None,
    ) -> datetime | None:
        """The first time later than `after`, by default now; None: it is over (N1, rulings RE2)."""
        return recurrence.calculate_next_execution(
            schedule_type,
            cron_expression,
            interval_seconds,
            scheduled_time,
            timezone,
            after=after or utcnow(),
        )

    # --- the scheduler, which is a process of its own ---

    async def start_scheduler(self) -> bool:
        """Whether the scheduler process is alive; nothing is started here (rulings RE3)."""
        alive = await self._read(self._alive)
        active = await self._read(_count_active)
        self._say("load_schedules", count=active)
        if alive:
            self._say("scheduler_start", active_schedules=active)
        else:
            self.logger.warning("the scheduler is silent: start run_scheduler.py")
        return alive

    async def stop_scheduler(self) -> bool:
        """False, with a warning: who ends that process ends it, what runs included (R7)."""
        self._say("scheduler_stop", running_left=await self._read(_count_live))
        self.logger.warning("the scheduler is a process of its own and goes on")
        return False

    @property
    def _is_running(self) -> bool:
        return self._unit(self._alive, wake=False)

    @property
    def _active_schedules(self) -> dict[str, dict[str, Any]]:
        def read(session: Session, _now: datetime) -> dict[str, dict[str, Any]]:
            rows = schedules.list_schedules(session, active=True, page_size=None).items
            return {row.schedule_id: as_schedule(row) for row in rows}

        return self._unit(read, wake=False)

    @staticmethod
    def _alive(session: Session, now: datetime) -> bool:
        seen = session.scalar(sa.select(SchedulerEpoch.seen_at).limit(1))
        return seen is not None and now - seen < SILENT

    # --- how it is done ---

    @property
    def _door(self) -> Door:
        door = faces.door(MadeBy.SCHEDULES_API)
        grace = replace(door.of_schedules, misfire_grace_time=60 * self.grace_period_minutes)
        return replace(door, of_schedules=grace)

    async def _act(
        self, act: Any, schedule_id: str, user_id: int | None, how: dict[str, Any]
    ) -> dict[str, Any]:
        return await self._write(
            lambda session, now: as_schedule(
                act(session, schedule_id, user_id, now=now, door=self._door, **how)
            )
        )

    async def _write(self, act: Callable[[Session, datetime], T]) -> T:
        return await asyncio.to_thread(self._unit, act, wake=True)

    async def _read(self, act: Callable[[Session, datetime], T]) -> T:
        return await asyncio.to_thread(self._unit, act, wake=False)

    def _unit(self, act: Callable[[Session, datetime], T], *, wake: bool) -> T:
        """One transaction, in a context of its own: other coroutines have other sessions."""
        with self._app.app_context():
            done = unit(db.session, lambda: act(db.session(), self.clock()))
            if wake:
                wake_scheduler()
            return done

    def _say(self, action: str, **pairs: Any) -> None:
        self.logger.info(aaa.line("SYSTEM", action, "SUCCESS", **pairs))


def _count_active(session: Session, _now: datetime) -> int:
    s = AutomationSchedule
    active = sa.select(sa.func.count()).where(
        s.active, s.paused_at.is_(None), s.deleted_at.is_(None)
    )
    return session.scalar(active) or 0


def _count_live(session: Session, _now: datetime) -> int:
    running = sa.select(sa.func.count()).where(AutomationRun.status == RunStatus.RUNNING)
    return session.scalar(running) or 0
