"""Reminds students of what they are enrolled in (waitlist WB)."""

from __future__ import annotations

from app.automation.automation_base import Skip, register_automation
from app.automation.automation_tasks.training_task import ReminderTask
from app.services import letters


@register_automation(description="Send reminders to students.")
class StudentReminderTask(ReminderTask):
    """A letter to each enrolled student; who joins later knows the dates from `enrolled`."""

    only_rows = True

    def execute(self) -> dict[str, int]:
        """Promise the letters. Raises `Skip` if there is nobody to write to."""
        schedule = self.schedule()
        occurrence = self.occurrence(schedule)
        told = letters.reminder_student(self.session, schedule.id, occurrence, self.now)
        if not told:
            raise Skip("nobody to write to")
        return {"letters": told}
