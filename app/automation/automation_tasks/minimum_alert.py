"""Tells trainers that a training may not take place (waitlist WN15)."""

from __future__ import annotations

import sqlalchemy as sa

from app.automation.automation_base import Skip, register_automation
from app.automation.automation_tasks.training_task import ReminderTask
from app.models.enrolment import ENROLLED, TrainingEnroll
from app.models.training import Training
from app.services import letters
from app.services.plan import Anchor


@register_automation(description="Alert trainers when too few are enrolled.")
class MinimumNumberAlert(ReminderTask):
    """A letter to each trainer who accepted, if fewer are enrolled than the training needs."""

    anchor = Anchor.FIRST_START
    only_rows = True

    def execute(self) -> dict[str, int]:
        """Promise the letters. Raises `Skip` if there are enough, or nobody to write to."""
        schedule = self.schedule()
        occurrence = self.occurrence(schedule)
        minimum = self.session.get_one(Training, self.training_id).min_participants
        if not minimum:
            raise Skip("it has no minimum")
        e = TrainingEnroll
        come = sa.select(sa.func.count()).where(
            e.training_id == self.training_id, e.status == ENROLLED
        )
        if (self.session.scalar(come) or 0) >= minimum:
            raise Skip("enough are enrolled")
        told = letters.minimum_alert(self.session, schedule.id, occurrence, self.now)
        if not told:
            raise Skip("nobody to write to")
        return {"letters": told}
