"""A planned time of a schedule for one of its items (STYLE §3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Occurrence:
    """A planned time of a schedule for an item: the event's instant, and when to run."""

    item: str
    at: datetime
    due: datetime

    @property
    def name(self) -> str:
        """What the ledger calls it."""
        return f"{self.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
