"""What services know of the task classes above them, and of the door somebody came through.

Services import no task class: whoever calls hands in a `Door`, which shows the face of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from flask_babel import gettext as _
from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.models.automation import AutomationSchedule, MadeBy, ScheduleType
from app.services.schedule_errors import InvalidScheduleException
from app.services.schedule_faults import checked
from app.services.schedule_models import BotTimeouts, BotType
from app.services.schedule_options import OF_EVENTS, OF_JOBS, OF_SCHEDULES, OptionDefaults


def _anything(_config: Mapping[str, Any]) -> None:
    return None


def _makes_sense(_schedule: AutomationSchedule) -> None:
    return None


@dataclass(frozen=True)
class TaskFace:
    """A task class, as far as a schedule of it is concerned.

    `require_config` refuses what no model can; `why_inert` says why an event schedule makes no
    sense, None: it does.
    """

    name: str
    config_model: type[BaseModel] | None = None
    can_plan: bool = False
    min_period: timedelta | None = None
    max_instances: int = 1
    enabled: bool = True
    require_config: Callable[[Mapping[str, Any]], None] = _anything
    why_inert: Callable[[AutomationSchedule], str | None] = _makes_sense

    def config(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The task's configuration, checked and in full, without `dry_run`, which is a column (T8).

        Raises `InvalidScheduleException`.
        """
        if self.config_model is None:
            self.require_config(given)
            return dict(given)
        try:
            full = checked(self.config_model, dict(given)).model_dump(mode="json")
        except InvalidScheduleException as bad:
            problems = {f"task_config.{name}": why for name, why in bad.problems.items()}
            raise InvalidScheduleException(f"task_config: {bad.detail}", problems) from bad
        full.pop("dry_run", None)
        return full

    def require_plan(self) -> None:
        """It can be tried out. Raises `InvalidScheduleException` (P3)."""
        if not self.can_plan:
            raise cannot_be_tried()


def cannot_be_tried() -> InvalidScheduleException:
    """The task does not say beforehand what it would do (P3)."""
    why = _("this task can't be tried out")
    return InvalidScheduleException(why, {"dry_run": why})


def _renew_nothing(
    _session: Session, _schedule: AutomationSchedule, _former: str, _now: datetime
) -> None:
    return None


def _tries_nothing(
    _session: Session, _schedule: AutomationSchedule, _now: datetime
) -> dict[str, Any] | None:
    return None


@dataclass(frozen=True)
class Door:
    """Where somebody came in: what is written where nothing was given, and what tasks there are.

    `renew` plans a schedule that follows events, whose items only its task knows; `rehearse` says
    what such a one would do, as its record shows it, None: its task can't be tried out.
    """

    via: MadeBy
    face: Callable[[str], TaskFace | None]
    renew: Callable[[Session, AutomationSchedule, str, datetime], Any] = _renew_nothing
    rehearse: Callable[[Session, AutomationSchedule, datetime], dict[str, Any] | None] = (
        _tries_nothing
    )
    of_jobs: OptionDefaults = OF_JOBS
    of_schedules: OptionDefaults = OF_SCHEDULES
    timeouts: BotTimeouts = field(default_factory=BotTimeouts)

    def defaults(
        self, kind: ScheduleType, class_name: str | None, config: Mapping[str, Any]
    ) -> OptionDefaults:
        """What this door writes for a schedule of this type and task (T10)."""
        if kind is ScheduleType.EVENT:
            return OF_EVENTS
        return self._of_bot(class_name, config) if self.is_jobs(class_name) else self.of_schedules

    def is_jobs(self, class_name: str | None) -> bool:
        """Whether family A's defaults hold: for its own door, and for its tasks in the form."""
        if self.via is MadeBy.SCHEDULER_API:
            return True
        return self.via is not MadeBy.SCHEDULES_API and class_name in tuple(BotType)

    def _of_bot(self, class_name: str | None, config: Mapping[str, Any]) -> OptionDefaults:
        found = self.of_jobs
        if class_name not in tuple(BotType):
            return found
        length = self.timeouts.of(BotType(class_name), config)
        seconds = int(length.total_seconds())
        return OptionDefaults(
            found.timezone,
            found.max_instances,
            found.misfire_grace_time,
            found.coalesce,
            found.retry_max,
            seconds,
        )
