"""Tells trainers who comes to what they teach (waitlist WB)."""

from __future__ import annotations

import sqlalchemy as sa

from app.automation.automation_base import Skip, register_automation
from app.automation.automation_tasks.training_task import ReminderTask
from app.models.enrolment import ENROLLED, TrainingEnroll
from app.services import letters


@register_automation(description="Send attendee list to trainers.")
class SendAttendeeListTask(ReminderTask):
    """A letter to each trainer who accepted, with the list as it is when the letter goes out."""

    only_rows = True

    def execute(self) -> dict[str, int]:
        """Promise the letters. Raises `Skip` if nobody comes, or there is nobody to write to."""
        schedule = self.schedule()
        occurrence = self.occurrence(schedule)
        e = TrainingEnroll
        comes = sa.select(e.id).where(e.training_id == self.training_id, e.status == ENROLLED)
        if self.session.scalar(comes.limit(1)) is None:
            raise Skip("nobody is enrolled")
        told = letters.attendee_list(self.session, schedule.id, occurrence, self.now)
        if not told:
            raise Skip("nobody to write to")
        return {"letters": told}
