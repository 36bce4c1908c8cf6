"""What the tasks share whose items are trainings (waitlist WB)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.automation.automation_base import BaseAutomationTask, Late, LeftOut, Skip
from app.extensions import db
from app.models.automation import AutomationSchedule, BeforeAfterEnum, EventsEnum
from app.models.training import Training
from app.services import occurrences
from app.services.plan import Anchor, Occurrence, anchors


class TrainingTask(BaseAutomationTask):
    """Items are trainings, or their events: `<training id>`, `<training id>:<event id>`.

    It may run until the event that it counts from begins.
    """

    late = Late.UNTIL_EVENT
    anchor: ClassVar[Anchor]

    @staticmethod
    def query() -> Sequence[Training]:
        """The trainings that are open for booking, whatever their dates."""
        bookable = (
            Training.active,
            Training.cancelled_at.is_(None),
            Training.archived_at.is_(None),
        )
        return db.session.scalars(sa.select(Training).where(*bookable).order_by(Training.id)).all()

    @staticmethod
    def get_event_dt(item: Training) -> datetime | None:
        """The start of the first event."""
        return min((event.start_time for event in item.events), default=None)

    @classmethod
    def occurrences(
        cls, item: Training, automation: AutomationSchedule
    ) -> list[tuple[str, datetime | None]]:
        """The first, the last or all events, as the schedule says."""
        found = anchors(item.id, item.events, cls.anchor, automation.events)
        return [(item_id, at) for item_id, at in found]

    @classmethod
    def planned(
        cls,
        session: Session,
        automation: AutomationSchedule,
        now: datetime,
        items: Sequence[str] | None = None,
        left_out: LeftOut | None = None,
    ) -> dict[str, Occurrence]:
        """As of every task, by one SELECT."""
        return occurrences.of_trainings(session, automation, cls.anchor, now, items, left_out)

    def schedule(self) -> AutomationSchedule:
        """The schedule this run belongs to. Raises `Skip` if it is gone."""
        s = AutomationSchedule
        mine = sa.select(s).where(s.name == self.automation_name, s.deleted_at.is_(None))
        if (found := self.session.scalars(mine).one_or_none()) is None:
            raise Skip("its schedule is gone")
        return found

    def occurrence(self, schedule: AutomationSchedule) -> Occurrence:
        """What this run is about, as the rows have it now. Raises `Skip`: gone."""
        found = self.planned(self.session, schedule, self.now, [self.id]).get(self.id)
        if found is None:
            raise Skip("nothing planned for it")
        return found

    @property
    def training_id(self) -> int:
        """The training of an item that `occurrence` found."""
        return int(self.id.partition(":")[0])


class LockingTask(BaseAutomationTask):
    """It locks its training: each has a transaction of its own, so that none holds two (L3)."""

    @classmethod
    def batches(cls, session: Session, tasks: Sequence[Any]) -> list[list[Any]]:
        """Each alone."""
        return [[task] for task in tasks]

    @classmethod
    def execute_batch(cls, tasks: Sequence[Any], now: datetime) -> None:
        """As of every task; that it stands here keeps the engine from joining batches."""
        super().execute_batch(tasks, now)


class ReminderTask(TrainingTask):
    """A letter about events that are ahead."""

    anchor = Anchor.EVENT_START

    @classmethod
    def why_inert(cls, automation: AutomationSchedule) -> str | None:
        if automation.beforeafter is not BeforeAfterEnum.before:
            return "a reminder runs before its event"
        if automation.events is EventsEnum.invited:
            return "a reminder counts from the first, the last or all events"
        return None

    def occurrence(self, schedule: AutomationSchedule) -> Occurrence:
        """As of every training task. Raises `Skip`: gone, or over."""
        found = super().occurrence(schedule)
        if found.at <= self.now:
            raise Skip("its event has begun")
        return found
