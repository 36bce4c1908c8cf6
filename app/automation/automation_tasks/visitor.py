"""Looks at students' profiles and asks their owners to check them (schedules F)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.automation.automation_base import register_automation
from app.automation.automation_tasks.people_task import PeopleTask
from app.automation.steps import Plan, Stale, Step
from app.services import profile_reviews
from app.services.profile_reviews import Look
from app.services.schedule_models import BotTimeouts, BotType, VisitorBotConfig


@register_automation("visitor", description="Review students' profiles.")
class VisitorTask(PeopleTask):
    """One look at each profile, and a letter to its owner where it helps."""

    config_model = VisitorBotConfig

    @classmethod
    def timeout_of(cls, config: Mapping[str, Any]) -> float | None:
        """As configured (F5)."""
        return BotTimeouts().of(BotType.VISITOR, config).total_seconds()

    def plan(self, session: Session, config: VisitorBotConfig, now: datetime) -> Plan:
        """Whom to look at; out of hours, or with no letter left, without letters."""
        offices = self.offices(session, config, now)
        found = profile_reviews.plan(session, config, offices, now)
        letters, steps = 0, []
        for look in found.looks:
            steps.append(_step(look, letters))
            letters += look.ask
        counters = {
            "messages_sent": 0,
            "profiles_visited": 0,
            "profiles_attempted": len(steps),
            "profiles_failed": 0,
            "profiles_ignored": found.ignored,
            "invitations": 0,
        }
        return Plan(steps, counters, failed_as="profiles_failed")

    def apply(self, session: Session, step: Step, now: datetime) -> Mapping[str, int]:
        """Look at one profile. Raises `Stale` if it is not to be looked at any more."""
        due_at = self.due(step.data["number"], now)
        asked = profile_reviews.review(
            session, self.config, step.data["look"], self.execution_id, now, due_at=due_at
        )
        if asked is None:
            raise Stale
        return {"profiles_visited": 1, "invitations": int(asked), "messages_sent": int(asked)}


def _step(look: Look, number: int) -> Step:
    profile = look.profile
    missing = ", ".join(profile.missing)
    parts = (
        _("missing: %(what)s", what=missing) if missing else "",
        _("dormant") if profile.dormant else "",
        _("with a letter") if look.ask else "",
    )
    text = "; ".join(str(part) for part in parts if part) or str(_("complete"))
    data = {"look": look, "number": number}
    kind = "profile_review"
    return Step(kind, profile.student_id, text, sends=int(look.ask), visits=1, data=data)
