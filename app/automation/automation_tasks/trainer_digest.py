"""Tells trainers once a day what happened in their trainings (waitlist WN15)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _
from flask_babel import ngettext as _n
from sqlalchemy.orm import Session

from app.automation.automation_base import BaseAutomationTask, register_automation
from app.automation.steps import Plan, Stale, Step
from app.models.automation import AutomationSchedule
from app.services import digests
from app.services.digests import Digest


@register_automation(description="Tell trainers what happened in their trainings.")
class TrainerDigestTask(BaseAutomationTask):
    """A letter to each trainer who wants one a day, if anything happened; of its practice only."""

    # Later in the evening it waits for the next day, whose letter tells it all.
    misfire_grace_time = 4 * 3600
    min_period = timedelta(minutes=15)

    @classmethod
    def why_inert(cls, automation: AutomationSchedule) -> str | None:
        return "it runs by the clock: give it a time, not an event"

    def plan(self, session: Session, config: Any, now: datetime) -> Plan:
        """Whom to tell of how much."""
        s = AutomationSchedule
        practice_id = session.scalar(sa.select(s.practice_id).where(s.schedule_id == self.id))
        found = digests.plan(session, practice_id, now)
        return Plan([_step(one) for one in found], {"messages_sent": 0})

    def apply(self, session: Session, step: Step, now: datetime) -> Mapping[str, int]:
        """Promise one letter. Raises `Stale` if there is nothing left to tell."""
        run = str(self.trigger_data["execution_id"])
        if not digests.tell(session, step.data["trainer"], run, now, execution_id=run):
            raise Stale
        return {"messages_sent": 1}


def _step(one: Digest) -> Step:
    changes, trainings = one.changes, len(one.news)
    text = _(
        "%(changes)s, %(trainings)s",
        changes=_n("%(num)s change", "%(num)s changes", changes),
        trainings=_n("%(num)s training", "%(num)s trainings", trainings),
    )
    data = {"trainer": one.trainer_id}
    return Step("trainer_digest", one.user_id, str(text), sends=1, data=data)
