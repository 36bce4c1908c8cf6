"""Who works on a claim: what it is given, how fast it is, how far it has come, whom it tells."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.automation.sorting import Work
from app.models.bulk import dialect_of
from app.services import runs

HANGS_SECONDS = 10.0  # after which work that should have been quick loses its lease
MOST_IDLE = 2**31 - 1  # milliseconds, as PostgreSQL counts them

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Line:
    """What became of a schedule's batch, for the console (people PO1)."""

    schedule: str
    ended: Counter[str]  # by status
    counters: Counter[str]  # what the tasks counted
    seconds: float
    error: str | None = None


Report = Callable[[Line], None]
Stopping = Callable[[], bool]


class Paces:
    """How many seconds an item of each class took last, in this process."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def note(self, class_name: str, seconds: float, items: int) -> None:
        """So many took that long."""
        self._seconds[class_name] = seconds / items

    def fitting(self, class_name: str, seconds: float) -> int:
        """How many items should be done in so many seconds; of a class not seen yet none."""
        each_took = self._seconds.get(class_name)
        return int(seconds / max(each_took, 1e-6)) if each_took is not None else 0


class Progress:
    """How it goes with a claim: told by the thread that works on it, read by another."""

    def __init__(self) -> None:
        self._quick_since: float | None = None
        self.works: Sequence[Work] = ()  # what is being worked on
        self.deadline: datetime | None = None  # of what the ledger knows
        self.given_up = False  # others have its jobs now: it begins none any more

    @contextmanager
    def announced(self, works: Sequence[Work]) -> Iterator[None]:
        """While runs that have begun are worked on."""
        self.works = works
        self.deadline = max((work.deadline for work in works), default=None)
        try:
            yield
        finally:
            self.works, self.deadline = (), None

    @contextmanager
    def quickly(self) -> Iterator[None]:
        """While work is done that the ledger knows nothing of."""
        self._quick_since = time.monotonic()
        try:
            yield
        finally:
            self.works, self._quick_since = (), None

    def hangs(self, now: datetime) -> bool:
        """It should have been over by now: its time-out has passed, or it was to be quick."""
        since, deadline = self._quick_since, self.deadline
        if since is not None:
            return time.monotonic() - since > HANGS_SECONDS
        return deadline is not None and now >= deadline


def may_be_idle(session: Session, timeout: timedelta | None) -> None:
    """Let a task that has written work outside the database: PostgreSQL would hang up."""
    if dialect_of(session) == "postgresql":
        seconds = (timeout or runs.TIMEOUT).total_seconds()
        most = int(min(seconds * 1000, MOST_IDLE))
        session.execute(sa.text(f"SET LOCAL idle_in_transaction_session_timeout = {most}"))


@dataclass(frozen=True)
class Worker:
    """Who works on a claim, and whom it tells."""

    name: str
    clock: Clock
    report: Report
    stopping: Stopping = lambda: False
    paces: Paces = field(default_factory=Paces)
    progress: Progress = field(default_factory=Progress)

    @property
    def stops(self) -> bool:
        """It shall begin nothing any more."""
        return self.progress.given_up or self.stopping()
