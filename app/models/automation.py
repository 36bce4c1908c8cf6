"""Automations: which task classes there are, when they run, what became of each run.

The rows stand in `automation_class.py`, `schedule.py` and `run.py`; here they are found together.
"""

from __future__ import annotations

from app.models.automation_class import AutomationClasses
from app.models.run import AutomationRun, RunStatus, RunTrigger
from app.models.schedule import (
    AutomationSchedule,
    BeforeAfterEnum,
    EventsEnum,
    MadeBy,
    OverlapPolicy,
    RetryBackoff,
    ScheduleState,
    ScheduleType,
    StoppedBecause,
)

__all__ = [
    "AutomationClasses",
    "AutomationRun",
    "AutomationSchedule",
    "BeforeAfterEnum",
    "EventsEnum",
    "MadeBy",
    "OverlapPolicy",
    "RetryBackoff",
    "RunStatus",
    "RunTrigger",
    "ScheduleState",
    "ScheduleType",
    "StoppedBecause",
]
