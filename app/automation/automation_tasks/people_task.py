"""What the tasks share that write to a practice's people by themselves (schedules B, F)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.automation.automation_base import BaseAutomationTask
from app.models.automation import AutomationSchedule
from app.services import people_mail
from app.services.people_mail import Office


class PeopleTask(BaseAutomationTask):
    """Works for the practice of its schedule, without one for all. One at a time per practice."""

    misfire_grace_time = 3600
    concurrency_group = "people-mail"
    concurrency_in_practice = 1
    concurrency_in_all = 3
    retry_max = 0
    min_period = timedelta(minutes=15)

    @classmethod
    def why_inert(cls, automation: AutomationSchedule) -> str | None:
        return "it runs by the clock: give it a time, not an event"

    def offices(self, session: Session, config: Any, now: datetime) -> list[Office]:
        """The practices that it writes for, with their local time and what their caps leave."""
        s = AutomationSchedule
        mine = sa.select(s).where(s.schedule_id == self.id)
        schedule = session.scalars(mine).one_or_none()
        return people_mail.offices(session, schedule, config.send_window, now)

    @property
    def execution_id(self) -> str:
        """The run that leaves its name in the ledgers."""
        return str(self.trigger_data["execution_id"])

    def due(self, number: int, now: datetime) -> datetime:
        """When the letter with this number goes out."""
        return now + number * timedelta(seconds=self.config.stagger_seconds)
