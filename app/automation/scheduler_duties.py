"""Fixed duties `system:*`, in memory; each has a row that remembers its last run (L1).

A duty runs in a thread of its own, at its pace or when rung for. One that fails is logged,
remembered and tried again next time.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as TimeOfDay
from typing import TypeVar

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.automation import claims, scheduler_ops
from app.automation.automation_base import no_exit
from app.automation.claims import Fenced
from app.automation.execution import each
from app.extensions import db, unit, utcnow, write
from app.models.bulk import upsert_many
from app.models.system import Setback, SystemDuty
from app.models.text import named
from app.services import sweep
from app.services.runs import Backoff

log = logging.getLogger("app.automation.duties")

Stop = threading.Event
Clock = Callable[[], datetime]
T = TypeVar("T")
NEVER = datetime(1970, 1, 1, tzinfo=UTC)  # of a daily duty that only ever failed
REMEMBER_EVERY = 60.0  # seconds: an idle duty writes no oftener
SWEEP, RENEW = "system:sweep", "system:renew"
PATIENCE = Backoff(tries=2**31)  # nothing is ever given up


@dataclass(frozen=True)
class Duty:
    """What is done every so often; `act` says in a few words what it did, or None."""

    name: str
    every: timedelta
    act: Callable[[Stop], str | None]
    on_bell: bool = False  # look at once when something was committed
    daily_at: TimeOfDay | None = None  # UTC; once a day: `every` is how often that is looked at

    def is_due(self, last: datetime | None, now: datetime) -> bool:
        """Whether today's, or while nothing ran yesterday's, is still to be done (L1)."""
        if self.daily_at is None or last is None:
            return True
        at = datetime.combine(now.astimezone(UTC), self.daily_at, UTC)
        return last < (at if at <= now else at - timedelta(days=1))


def sweep_duty(epoch: int, clock: Clock = utcnow) -> Duty:
    """End what is overdue and fill what is free, if no job ever ran (waitlist WF9)."""
    return Duty(SWEEP, timedelta(seconds=3), lambda stop: sweep_once(stop, epoch, clock))


def renew_duty(epoch: int | None = None) -> Duty:
    """Bring the plan in line with the rows, each minute (reliability JX7)."""

    def renew(_stop: Stop) -> str | None:
        renewed = scheduler_ops.renew_automations(epoch=epoch)
        changed = renewed.planned or renewed.removed
        return f"planned {renewed.planned}, removed {renewed.removed}" if changed else None

    return Duty(RENEW, timedelta(seconds=60), renew)


def sweep_once(
    stop: Stop | None = None, epoch: int | None = None, clock: Clock = utcnow
) -> str | None:
    """Sweep each training in which something is due; one that fails is put off, alone.

    Raises `Fenced` as soon as `epoch` is no longer the last (SI4).
    """
    session = db.session()
    ids = sweep.trainings_to_sweep(session, clock())

    def swept(training_id: int) -> None:
        sweep.sweep_training(session, training_id, clock())

    done = one_by_one(SWEEP, ids, swept, stop=stop, epoch=epoch, clock=clock)
    return f"swept {done}" if done.tried else None


# --- one after another ---------------------------------------------------------------------------


@dataclass
class Done:
    """How many were tried, and how many of them failed."""

    tried: int = 0
    failed: int = 0

    def __str__(self) -> str:
        return f"{self.tried}" + (f", failed {self.failed}" if self.failed else "")


def one_by_one(
    duty: str,
    items: Iterable[T],
    act: Callable[[T], object],
    *,
    stop: Stop | None,
    epoch: int | None,
    clock: Clock,
) -> Done:
    """Each item in a transaction of its own, but for those that are put off after a failure (L5).

    Asked to stop, it begins no other. Raises `Fenced` as soon as `epoch` is no longer the last.
    """
    session, done = db.session(), Done()
    put_off = _put_off(session, duty, clock())
    ids = [item for item in items if str(item) not in put_off]
    done.tried = len(ids)

    def fenced(item: T) -> None:
        if epoch is not None:
            claims.require_epoch(session, epoch)
        act(item)

    def do(item: T) -> None:
        if stop is None or not stop.is_set():
            unit(session, lambda: fenced(item))
            _forgive(session, duty, item)

    def put_it_off(item: T, error: Exception) -> None:
        done.failed += 1
        log.error("%s failed: item=%s", duty.removeprefix("system:"), item, exc_info=error)
        _set_back(session, duty, item, error, clock())

    if ids:
        each(session, ids, do, failed=put_it_off)
    return done


def _put_off(session: Session, duty: str, now: datetime) -> set[str]:
    waits = sa.select(Setback.item).where(Setback.duty == duty, Setback.not_before > now)
    return set(session.scalars(waits))


def _set_back(session: Session, duty: str, item: object, error: Exception, now: datetime) -> None:
    """Try it again in 1, 2, 4 … 60 minutes."""
    before = session.get(Setback, (duty, str(item)))
    failures = (before.failures if before else 0) + 1
    jitter = random.uniform(-0.1, 0.1)  # noqa: S311  no secret
    row = {
        "duty": duty,
        "item": str(item),
        "failures": failures,
        "not_before": PATIENCE.next_try(min(failures, 20), now, jitter),
        "error": named(error),
    }
    session.execute(sa.delete(Setback).where(Setback.duty == duty, Setback.item == row["item"]))
    session.execute(sa.insert(Setback), row)


def _forgive(session: Session, duty: str, item: object) -> None:
    mine = sa.and_(Setback.duty == duty, Setback.item == str(item))
    if session.scalar(sa.select(Setback.failures).where(mine)) is not None:
        session.execute(sa.delete(Setback).where(mine))


# --- the runner ----------------------------------------------------------------------------------


class DutyRunner:
    """Runs duties, each in a thread of its own, until told to stop."""

    def __init__(
        self, app: Flask, report: Callable[[str, str], None], clock: Clock = utcnow
    ) -> None:
        self.app, self.report, self.clock = app, report, clock
        self.stop = threading.Event()
        self.fenced = False  # another scheduler took over
        self._bells: list[tuple[Duty, threading.Event]] = []
        self._threads: list[threading.Thread] = []

    def start(self, duty: Duty, workers: int = 1) -> None:
        """Do `duty` now and then, in so many threads."""
        for _ in range(workers):
            bell = threading.Event()
            thread = threading.Thread(
                target=self._loop, args=(duty, bell), name=duty.name, daemon=True
            )
            self._bells.append((duty, bell))
            self._threads.append(thread)
            thread.start()

    def ring(self) -> None:
        """Something was committed: whoever posts it looks at once."""
        for duty, bell in self._bells:
            if duty.on_bell or self.stop.is_set():
                bell.set()

    @property
    def dead(self) -> str | None:
        """The name of a duty that nobody does any more, though nobody asked to stop."""
        gone = (thread.name for thread in self._threads if not thread.is_alive())
        return None if self.stop.is_set() else next(gone, None)

    def join(self, seconds: float) -> bool:
        """Let each finish what it is at; whether all did in time."""
        self.stop.set()
        self.ring()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _loop(self, duty: Duty, bell: threading.Event) -> None:
        remembered, failing = -REMEMBER_EVERY, False
        while True:
            bell.clear()
            if self.stop.is_set():  # asked after the bell was silenced: else we'd miss its ring
                return
            if duty.daily_at is not None:
                self._once_a_day(duty)
            else:
                error = self._once(duty)
                due = time.monotonic() - remembered >= REMEMBER_EVERY
                if due or bool(error) is not failing:
                    self._remember(duty, error)
                    remembered, failing = time.monotonic(), bool(error)
            bell.wait(duty.every.total_seconds())

    def _once_a_day(self, duty: Duty) -> None:
        """Do it if it is due; one that failed is still due, and tried again at the next look."""
        try:
            with self.app.app_context():
                row = db.session.get(SystemDuty, duty.name)
                last = row.last_run_at if row is not None else None
        except Exception:  # the next look is near
            log.exception("%s could not be looked at", duty.name)
            return
        if duty.is_due(last, self.clock()):
            error = self._once(duty)
            self._remember(duty, error, last if error else None)

    def _once(self, duty: Duty) -> str | None:
        """Do it; return what went wrong."""
        try:
            with self.app.app_context(), no_exit():
                if did := duty.act(self.stop):
                    self.report(duty.name, did)
                    if not duty.on_bell:
                        self.ring()
        except Fenced:
            self.fenced = True
            return "another scheduler took over"
        except Exception as error:  # the next round is near
            log.exception("%s failed", duty.name)
            return named(error)
        return None

    def _remember(self, duty: Duty, error: str | None, at: datetime | None = None) -> None:
        at = at or (NEVER if error and duty.daily_at else self.clock())
        row = {"name": duty.name, "last_run_at": at, "last_error": error}
        try:
            with self.app.app_context(), write(db.session):
                upsert_many(db.session(), SystemDuty, [row], key="name")
        except Exception:
            log.exception("%s could not be remembered", duty.name)
