"""Asks who waits for a training whether they still want a place (waitlist WB, WK4)."""

from __future__ import annotations

from datetime import timedelta

from app.automation.automation_base import Skip, register_automation
from app.automation.automation_tasks.training_task import ReminderTask
from app.models.queue import standing
from app.models.training import Training
from app.services import letters
from app.services.deadline import answer_until, governing_schedule
from app.services.plan import Anchor


@register_automation(description="Send waitlist reminder to student.")
class WaitlistReminderTask(ReminderTask):
    """A letter to each who waits: their place in line, the time to answer, links to stay or go."""

    anchor = Anchor.FIRST_START
    only_rows = True

    def execute(self) -> dict[str, int]:
        """Promise the letters. Raises `Skip` if there is nobody to write to."""
        schedule = self.schedule()
        occurrence = self.occurrence(schedule)
        told = letters.reminder_waitlist(
            self.session, schedule.id, occurrence, self.now, answer_time=self._answer_time()
        )
        if not told:
            raise Skip("nobody to write to")
        return {"letters": told}

    def _answer_time(self) -> timedelta | None:
        """How long an invitation made now would leave to answer; None: no limit, or no time."""
        training = self.session.get_one(Training, self.training_id)
        stand = standing(self.session, training, self.now)
        until = answer_until(governing_schedule(self.session, training), stand, self.now)
        return None if until is None or until <= self.now else until - self.now
