"""A planned time of a schedule for one of its items (STYLE §3)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple


class Occurrence(NamedTuple):
    """A planned time of a schedule for an item: the event's instant, and when to run."""

    item: str
    at: datetime
    due: datetime

    @property
    def name(self) -> str:
        """What the ledger calls it."""
        return name_of(self.at)


@lru_cache(maxsize=10_000)  # of many that fall due together most have the same instant
def name_of(at: datetime) -> str:
    """What the ledger calls an occurrence at this instant: `2025-03-30T01:00:00Z`."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
