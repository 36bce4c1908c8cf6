"""What came of trying out a schedule that follows events: as pages and records show it (P1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.automation.steps import SHOWN, Step
from app.models.automation import RunStatus
from app.services.occurrence import name_of


@dataclass(frozen=True)
class Part:
    """What one transaction of a live run would do, for one occurrence or for a few together."""

    items: tuple[str, ...]
    due: datetime  # of the first of them
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class LeftOut:
    """An occurrence for which nothing would be done, and why: a code, or what a task says."""

    item: str
    due: datetime | None
    status: RunStatus | None  # how its run would end; None: it would have none
    reason: str

    @property
    def told(self) -> dict[str, Any]:
        """As the record of a dry run shows it."""
        return {
            "item": self.item,
            "due": self.due and name_of(self.due),
            "status": self.status and self.status.value,
            "reason": self.reason,
        }


@dataclass
class Rehearsal:
    """What would be done of all that is due by `until`, and what would be left out."""

    at: datetime
    until: datetime
    off: str | None = None  # why it runs nothing: this is what it would do once it is on
    inert: str | None = None  # why it plans nothing even then
    parts: list[Part] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    cut: int = 0  # occurrences due by `until` that were not tried out any more

    @property
    def steps(self) -> list[Step]:
        """All that would be written, in the order of time."""
        return [step for part in self.parts for step in part.steps]

    @property
    def sends(self) -> int:
        """Letters that it would promise."""
        return sum(step.sends for step in self.steps)

    @property
    def as_dry_result(self) -> dict[str, Any]:
        """What the record of a dry run says: as of a recurring schedule, and what is left out."""
        steps = self.steps
        return {
            "success": True,
            "errors": [],
            "dry_run": True,
            "steps": [step.told for step in steps[:SHOWN]],
            "total": len(steps),
            "would_send": self.sends,
            "would_visit": 0,
            "until": name_of(self.until),
            "off": self.off or self.inert,
            "left_out": [one.told for one in self.left_out[:SHOWN]],
            "left_out_total": len(self.left_out),
            "not_tried_out": self.cut,
        }
