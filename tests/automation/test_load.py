"""However much is due, only so many tasks run at a time in one process (schedules V1)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from app.automation import scheduler as module
from app.automation.scheduler import PlanScheduler
from app.models import SchedulerEpoch
from tests.automation import tasks
from tests.automation.tasks import Chore, Engine
from tests.automation.test_scheduler import eventually

apps, engine = tasks.apps, tasks.engine
AT_ONCE = 3
SLOW_SECONDS = 0.03
DUE = [f"task-{n:02}" for n in range(12)]


class Gauge:
    """An act that takes its time; it knows how many were at it at once."""

    def __init__(self, wanted: int) -> None:
        self.wanted, self.now, self.most = wanted, 0, 0
        self.lock, self.enough = threading.Lock(), threading.Event()

    def __call__(self, _task: Any) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now >= self.wanted:
                self.enough.set()
        self.enough.wait(10)  # the first ones stay until there are as many as may be
        time.sleep(SLOW_SECONDS)
        with self.lock:
            self.now -= 1


@contextmanager
def running(engine: Engine, threads: int) -> Iterator[PlanScheduler]:
    """A scheduler of so many threads, which looks for what is due all the time."""
    scheduler = PlanScheduler()
    scheduler.clock = lambda: engine.now
    scheduler.run_in(engine.app, worker="loop", epoch=7, threads=threads, report=lambda _line: None)
    try:
        yield scheduler
    finally:
        assert scheduler.stop(10)


@pytest.fixture
def due(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Twelve slow tasks, each of a schedule of its own, so that each could have a thread."""
    monkeypatch.setattr(module, "LONGEST_SLEEP", 0.02)
    engine.sql(sa.insert(SchedulerEpoch).values(id=1, epoch=7))
    for name in DUE:
        engine.schedule(name)
    return engine


def plan(engine: Engine, names: list[str]) -> None:
    for name in names:
        engine.plan(name, schedule=name)


def all_done(engine: Engine) -> bool:
    return engine.effects() == dict.fromkeys(DUE, 1)


def test_of_twelve_due_tasks_three_run_at_a_time_and_never_more(due: Engine) -> None:
    gauge = Gauge(AT_ONCE)
    Chore.acts = dict.fromkeys(DUE, gauge)
    plan(due, DUE)
    with running(due, AT_ONCE):
        assert eventually(lambda: all_done(due))
    assert gauge.most == AT_ONCE


def test_what_comes_due_while_as_many_run_as_may_waits(due: Engine) -> None:
    gauge = Gauge(AT_ONCE + 1)  # never reached: they stay until they are let go
    Chore.acts = dict.fromkeys(DUE, gauge)
    plan(due, DUE[:AT_ONCE])
    with running(due, AT_ONCE) as scheduler:
        assert eventually(lambda: gauge.now == AT_ONCE)
        plan(due, DUE[AT_ONCE:])
        passed = scheduler.last_pass
        assert eventually(lambda: scheduler.last_pass > passed + 5 * module.LONGEST_SLEEP)
        assert {job.claim for name, job in due.jobs().items() if name in DUE[AT_ONCE:]} == {None}
        gauge.enough.set()
        assert eventually(lambda: all_done(due))
    assert gauge.most == AT_ONCE


def test_with_twice_the_room_twice_as_many_do(due: Engine) -> None:
    """The control: it is the limit that keeps them apart, not the tasks or the database."""
    gauge = Gauge(2 * AT_ONCE)
    Chore.acts = dict.fromkeys(DUE, gauge)
    plan(due, DUE)
    with running(due, 2 * AT_ONCE):
        assert eventually(lambda: all_done(due))
    assert gauge.most == 2 * AT_ONCE
