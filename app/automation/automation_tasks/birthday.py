"""Congratulates people on their birthday (schedules B)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from flask_babel import ngettext as _n
from sqlalchemy.orm import Session

from app.automation.automation_base import Skip, register_automation
from app.automation.automation_tasks.people_task import PeopleTask
from app.automation.steps import Plan, Stale, Step
from app.services import greetings
from app.services.greetings import Birthday
from app.services.schedule_models import BirthdayBotConfig, BotTimeouts, BotType


@register_automation("birthday", description="Congratulate people on their birthday.")
class BirthdayTask(PeopleTask):
    """A letter to each whose birthday is today, or was lately; one per birthday."""

    config_model = BirthdayBotConfig

    @classmethod
    def timeout_of(cls, config: Mapping[str, Any]) -> float | None:
        """Longer for who looks back (B6)."""
        return BotTimeouts().of(BotType.BIRTHDAY, config).total_seconds()

    def plan(self, session: Session, config: BirthdayBotConfig, now: datetime) -> Plan:
        """Whom to congratulate. Raises `Skip`: not at this hour, or no letter is left."""
        offices = [o for o in self.offices(session, config, now) if o.is_open]
        if not offices:
            raise Skip("outside_window")
        found = greetings.plan(session, config, offices)
        if found.out_of_budget:
            raise Skip("quota")
        return Plan(
            [_step(one, number) for number, one in enumerate(found.letters)],
            {
                "messages_sent": 0,
                "contacts_processed": found.today + found.late,
                "birthdays_today": found.today,
                "birthdays_late": found.late,
                "birthdays_late_ignored": found.late_ignored,
                "messages_ignored": found.ignored,
            },
        )

    def apply(self, session: Session, step: Step, now: datetime) -> Mapping[str, int]:
        """Promise one letter. Raises `Stale` if it was, or if it is not wanted any more."""
        one: Birthday = step.data["birthday"]
        due_at = self.due(step.data["number"], now)
        if not greetings.congratulate(
            session, self.config, one, self.execution_id, now, due_at=due_at
        ):
            raise Stale
        return {"messages_sent": 1}


def _step(one: Birthday, number: int) -> Step:
    late = one.days_late
    text = _n("%(num)s day late", "%(num)s days late", late) if late else _("on the day")
    data = {"birthday": one, "number": number}
    return Step(one.letter, one.user_id, str(text), sends=1, data=data)
