"""What a task that recurs plans to do, and does (schedules P).

`plan` reads and says what is to be done; `apply` does one step. A dry run is the plan written down,
a live run the plan applied, each step in a transaction of its own: no task asks which it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SHOWN = 200  # steps of a dry run that its record holds


@dataclass(frozen=True)
class Step:
    """One thing to do, for one person or thing; `text` says it in words, without names."""

    kind: str
    subject_id: int | str
    text: str
    sends: int = 0  # letters that it promises
    visits: int = 0  # profiles that it looks at
    data: Mapping[str, Any] = field(default_factory=dict)  # for `apply`; not recorded

    @property
    def told(self) -> dict[str, Any]:
        """As the record of a dry run shows it."""
        return {"kind": self.kind, "subject_id": self.subject_id, "text": self.text}


@dataclass(frozen=True)
class Plan:
    """The steps in the order to take them, and what was counted on the way."""

    steps: Sequence[Step]
    counters: Mapping[str, int] = field(default_factory=dict)
    failed_as: str | None = None  # the counter of steps that fail

    @property
    def as_dry_result(self) -> dict[str, Any]:
        """What the record of a dry run says (schedules P1)."""
        return {
            "success": True,
            **self.counters,
            "errors": [],
            "dry_run": True,
            "steps": [step.told for step in self.steps[:SHOWN]],
            "total": len(self.steps),
            "would_send": sum(step.sends for step in self.steps),
            "would_visit": sum(step.visits for step in self.steps),
        }


class TransientError(Exception):
    """It may work in a while: the run is tried again (schedules R2)."""


class PermanentError(Exception):
    """Trying again would change nothing: the run has failed."""


class Stale(Exception):
    """A step is no longer due when its turn comes: somebody else did it, or facts changed."""
