"""Puts trainings away that are over; nothing is deleted (waitlist WB, WE2 14)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, ConfigDict
from sqlalchemy.orm import Session

from app.automation.automation_base import Late, LeftOut, Skip, register_automation
from app.automation.automation_tasks.training_task import LockingTask, TrainingTask
from app.extensions import db
from app.models.automation import AutomationSchedule, BeforeAfterEnum
from app.models.training import Training
from app.services import actors, occurrences, trainings
from app.services.plan import LEAST_AFTER_END, Anchor, Occurrence

MOST_AT_ONCE = 50  # trainings a run, so that a wrong schedule is noticed in time


class ArchiveConfig(BaseModel):
    """What a schedule may say: up to which end somebody has seen what it will put away."""

    model_config = ConfigDict(extra="forbid")

    confirmed_until: AwareDatetime | None = None


@register_automation(description="Archive a training after it has ended.")
class DeleteTrainingTask(LockingTask, TrainingTask):
    """A training whose last event is over leaves the lists, and who still waits leaves it silently.

    Enrolled rows, history and payments stay, and staff can bring it back. What ended before the
    schedule was switched on stays until an administrator has confirmed it.
    """

    anchor = Anchor.LAST_END
    late = Late.ALWAYS
    destructive = True
    config_model = ArchiveConfig
    only_rows = True

    @staticmethod
    def query() -> Sequence[Training]:
        """The trainings that are not archived, active or not."""
        there = sa.select(Training).where(Training.archived_at.is_(None))
        return db.session.scalars(there.order_by(Training.id)).all()

    @staticmethod
    def get_event_dt(item: Training) -> datetime | None:
        """The end of the last event."""
        return max((event.end_time for event in item.events), default=None)

    @classmethod
    def planned(
        cls,
        session: Session,
        automation: AutomationSchedule,
        now: datetime,
        items: Sequence[str] | None = None,
        left_out: LeftOut | None = None,
    ) -> dict[str, Occurrence]:
        """As of every training task; of all that is due at once the first fifty."""
        found = super().planned(session, automation, now, items, left_out)
        if items is not None:
            return found
        return occurrences.at_most_due(session, automation, found, now, MOST_AT_ONCE)

    @classmethod
    def without_limit(
        cls,
        session: Session,
        automation: AutomationSchedule,
        now: datetime,
        items: Sequence[str] | None = None,
        left_out: LeftOut | None = None,
    ) -> dict[str, Occurrence]:
        """All of it, not the first fifty alone."""
        return super().planned(session, automation, now, items, left_out)

    @classmethod
    def why_inert(cls, automation: AutomationSchedule) -> str | None:
        if automation.beforeafter is BeforeAfterEnum.before:
            return "a training is archived after its end"
        if (automation.interval or timedelta(0)) < LEAST_AFTER_END:
            return "a training is archived a day after its end at the soonest"
        return None

    def execute(self) -> dict[str, int]:
        """Archive it. Raises `Skip` while it is not over."""
        schedule = self.schedule()
        if self.occurrence(schedule).at > self.now:
            raise Skip("it is not over")
        actor = actors.schedule(schedule.id)
        try:
            trainings.archive(self.session, self.training_id, actor, self.now)
        except trainings.NotOver as no:  # its dates moved while we came for the lock
            raise Skip("it is not over") from no
        return {"archived": 1}
