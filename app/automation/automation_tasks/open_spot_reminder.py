"""Announces places that are still free shortly before a training (waitlist WB)."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from app.automation.automation_base import Skip, register_automation
from app.automation.automation_tasks.training_task import LockingTask, ReminderTask
from app.models.person import Student
from app.models.queue import standing
from app.models.training import Training
from app.services import letters, overrides, policies, waitlist
from app.services.actors import schedule as by_schedule
from app.services.locks import locked
from app.services.plan import Anchor


class OpenSpotConfig(BaseModel):
    """What a schedule may say: whether the place announced is beyond booking limits (WP2)."""

    model_config = ConfigDict(extra="forbid")

    waive_booking_limit: bool = True


@register_automation(description="Announce open spots.")
class StudentOpenSpotReminder(LockingTask, ReminderTask):
    """A letter to each student of the practice who could take what the line left over.

    No booking limit keeps anyone from it while the place is free, unless the schedule says so.
    """

    anchor = Anchor.FIRST_START
    config_model = OpenSpotConfig
    only_rows = True

    def execute(self) -> dict[str, int]:
        """Fill, then promise the letters. Raises `Skip` if it is full, or nobody is to be told."""
        schedule = self.schedule()
        occurrence = self.occurrence(schedule)
        training = locked(self.session, Training, self.training_id)
        left = waitlist.refill(self.session, training, self.now)
        if left.free < 1:
            raise Skip("no place is free")
        if left.someone_waits:  # a newcomer would only queue behind them
            raise Skip("the free places are for who waits")
        waives = OpenSpotConfig.model_validate(schedule.task_config or {}).waive_booking_limit
        limited = () if waives else self._limited(training)
        told = letters.open_spot(self.session, schedule.id, occurrence, self.now, but=limited)
        if not told:
            raise Skip("nobody to write to")
        if waives:
            overrides.waive_limit(self.session, training, by_schedule(schedule.id), self.now)
        return {"invited": len(left.invited), "letters": told}

    def _limited(self, training: Training) -> Collection[int]:
        """Students who would be refused: nobody is told of a place that they cannot have."""
        limits = policies.limits_on(self.session, training)
        if not limits:
            return ()
        theirs = sa.select(Student.id).where(Student.practice_id == training.practice_id)
        students = self.session.scalars(theirs).all()
        stand = standing(self.session, training, self.now)
        return policies.too_many(self.session, stand, limits, students)
