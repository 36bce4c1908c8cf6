"""Reminds trainers of what they teach (waitlist WB)."""

from __future__ import annotations

from app.automation.automation_base import Skip, register_automation
from app.automation.automation_tasks.training_task import ReminderTask
from app.services import letters


@register_automation(description="Send reminders to trainers.")
class TrainerReminderTask(ReminderTask):
    """A letter to each trainer who accepted."""

    only_rows = True

    def execute(self) -> dict[str, int]:
        """Promise the letters. Raises `Skip` if there is nobody to write to."""
        schedule = self.schedule()
        occurrence = self.occurrence(schedule)
        told = letters.reminder_trainer(self.session, schedule.id, occurrence, self.now)
        if not told:
            raise Skip("nobody to write to")
        return {"letters": told}
