"""What the waitlist is configured to do; travels with the session, so that rules need no app."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy.orm import Session, scoped_session


class Environment(StrEnum):
    """`DEVELOPMENT` runs jobs a second after they were planned (waitlist WA9)."""

    PRODUCTION = "PRODUCTION"
    DEVELOPMENT = "DEVELOPMENT"


@dataclass(frozen=True)
class Rules:
    """The settings `WAITLIST_*` as values, with their documented defaults."""

    environment: Environment = Environment.PRODUCTION
    cutoff: timedelta = timedelta(hours=2)  # hard stop before the start (WD3)
    min_answer: timedelta = timedelta(minutes=15)  # nobody is invited with less time left (WF5)
    batch_size: int = 0  # invitations of one fill; 0 = all (WF5)
    invite_limit: int = 3  # invitations of one student … (WF7)
    invite_window: timedelta = timedelta(hours=24)  # … within this time
    stagger: timedelta = timedelta(0)  # between the invitations of one fill (WF8)
    # So near its start a trainer on digest hears of everything at once (WN15).
    trainer_alert: timedelta = timedelta(hours=48)
    # Of what a recurring schedule missed, the newest are looked at, the rest counted (C2.2).
    schedule_max_catchup: int = 100
    schedule_min_interval: timedelta = timedelta(seconds=1)
    schedule_max_per_practice: int = 500
    schedule_auto_pause_failures: int = 0  # in a row, then it stops; 0 = never (X5)
    schedule_history: timedelta = timedelta(days=90)  # that runs are kept (H1)
    schedule_history_most: int = 1000  # runs of a recurring schedule (H1)
    # Greetings and profile checks of a new practice: people a day, and a week (V1).
    people_mail_daily_cap: int = 15
    people_mail_weekly_cap: int = 100
    # How a person can be told. SMS and push count once this installation can send them (WD3).
    channels: frozenset[str] = frozenset({"email"})


def rules_of(session: Session | scoped_session[Any]) -> Rules:
    """The rules that this session carries; without any, the documented defaults."""
    rules = session.info.get("rules")
    return rules if isinstance(rules, Rules) else Rules()
