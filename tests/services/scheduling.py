"""Schedules for tests of what is done to them: two tasks, and a door that shows their faces."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from app.models import AutomationRun, AutomationSchedule, MadeBy
from app.services import schedules
from app.services.schedule_faces import Door, TaskFace
from app.services.schedule_models import BirthdayBotConfig
from tests.cast import NOON, Cast

FACES = {
    "Chore": TaskFace("Chore", can_plan=True, max_instances=3),
    "Deed": TaskFace("Deed", min_period=timedelta(minutes=15)),
    "birthday": TaskFace("birthday", BirthdayBotConfig, can_plan=True),
}
JOBS = Door(MadeBy.SCHEDULER_API, FACES.get)  # family A
DOOR = Door(MadeBy.SCHEDULES_API, FACES.get)  # family B
DAILY = {"schedule_type": "daily", "hour": 8, "minute": 30}
ORLA = 42  # who acts


class Desk:
    """Someone at the desk of Clay & Co, at noon unless told otherwise."""

    def __init__(self, cast: Cast, door: Door = DOOR) -> None:
        self.cast, self.session, self.door = cast, cast.session, door
        for name in FACES:
            cast.task(name)

    def add(self, config: Any = None, *, task: str = "Chore", **options: Any) -> AutomationSchedule:
        given = {"now": NOON, "door": self.door} | options
        here = given.pop("community_id", self.cast.practice.id)
        return schedules.add_schedule(
            self.session, task, config or DAILY, given.pop("user_id", ORLA), here, **given
        )

    def do(self, act: str, *which: Any, **given: Any) -> Any:
        """One of the acts on a schedule or run."""
        given = {"now": NOON, "door": self.door} | given
        who = given.pop("user_id", ORLA)
        return getattr(schedules, f"{act}")(self.session, *which, who, **given)

    def update(self, row: AutomationSchedule, config: Any = None, **given: Any) -> Any:
        return self.do("update_schedule", row.schedule_id, config, **given)

    def pause(self, row: AutomationSchedule, **given: Any) -> Any:
        return self.do("pause_schedule", row.schedule_id, **given)

    def resume(self, row: AutomationSchedule, **given: Any) -> Any:
        return self.do("resume_schedule", row.schedule_id, **given)

    def remove(self, row: AutomationSchedule, **given: Any) -> Any:
        return self.do("remove_schedule", row.schedule_id, **given)

    def clone(self, row: AutomationSchedule, **given: Any) -> Any:
        return self.do("clone_schedule", row.schedule_id, **given)

    def run_now(self, row: AutomationSchedule, **given: Any) -> AutomationRun:
        run: AutomationRun = self.do("run_now", row.schedule_id, **given)
        return run
