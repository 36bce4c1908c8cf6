"""What a recurring schedule would do at an instant: its plan, not applied (schedules P1, U2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.automation.automation_base import Skip, no_exit
from app.automation.recurring_runs import config_of
from app.automation.registry import get_automation_class
from app.automation.steps import PermanentError, Plan
from app.models.automation import AutomationSchedule, RunTrigger
from app.models.text import named
from app.models.types import new_uuid
from app.services.occurrence import name_of
from app.services.refusals import Refusal


class CannotBeTried(Refusal):
    """The task does not say beforehand what it would do (schedules P3)."""

    code, status = "cannot_be_tried", 400
    sentence = _l("This task can't be tried out: it does not say beforehand what it would do.")


@dataclass(frozen=True)
class Trial:
    """What came of asking: a plan, or why there is none."""

    at: datetime
    plan: Plan | None = None
    skipped: str | None = None  # the reason that its run would have
    error: str | None = None

    @property
    def sends(self) -> int:
        """Letters that it would promise."""
        return sum(step.sends for step in self.plan.steps) if self.plan else 0

    @property
    def visits(self) -> int:
        """Profiles that it would look at."""
        return sum(step.visits for step in self.plan.steps) if self.plan else 0


def can_be_tried(schedule: AutomationSchedule) -> bool:
    """Whether its task says beforehand what it would do."""
    row = schedule.automation_class
    record = get_automation_class(row.class_name) if row else None
    return record is not None and record.cls.has_plan()


def plan_of(session: Session, schedule: AutomationSchedule, at: datetime) -> Trial:
    """The steps of a run that begins at `at`; the caller rolls back what planning may have written.

    Raises `CannotBeTried`.
    """
    row = schedule.automation_class
    record = get_automation_class(row.class_name) if row else None
    if record is None or not record.cls.has_plan():
        raise CannotBeTried
    task = record.cls(schedule.schedule_id, schedule.name)
    task.session, task.now = session, at
    task.trigger_data = dict(schedule.context_data or {}) | {
        "schedule_id": schedule.schedule_id,
        "execution_id": new_uuid(),
        "triggered_at": name_of(at),
        "scheduled_for": name_of(at),
        "attempt": 1,
        "trigger": RunTrigger.MANUAL,
        "dry_run": True,
        "community_id": schedule.practice_id,
        "user_id": None,
        "parent": None,
    }
    try:
        with no_exit():
            task.config = config_of(record.cls, dict(schedule.task_config or {}))
            plan = task.plan(session, task.config, at)
            return Trial(at, plan if isinstance(plan, Plan) else Plan(list(plan)))
    except Skip as skip:
        return Trial(at, skipped=skip.reason)
    except PermanentError as error:
        return Trial(at, error=str(error))
    except Exception as error:  # theirs: it may fail in any way
        return Trial(at, error=named(error, 200))
