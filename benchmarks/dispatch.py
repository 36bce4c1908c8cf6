"""Jobs that do nothing, all due at one instant, against plain APScheduler (performance P3)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from flask import Flask

from app.automation.automation_base import BaseAutomationTask, register_automation
from app.automation.scheduler import PlanScheduler
from app.automation.worker import Line
from app.extensions import db as database
from app.extensions import utcnow, write
from app.models import AutomationRun, AutomationSchedule, Job, RunStatus, SchedulerEpoch
from app.models.bulk import insert_many
from app.models.rules import Environment
from app.ops.memory import settle
from app.services import plan
from benchmarks import ordinary
from benchmarks.cases import Case, an_app
from tests.cast import Cast

SIZES = (1_000, 10_000, 30_000)
MOST_ORDINARY = 10_000
WANTED_RATIO = 15.0
ROUNDS = 3
WARM_UP = 200  # jobs before: a server that runs has composed its statements and knows its paces
LEAD = 5.0  # seconds until the others come due
NAME = "no_op"
items: list[Item] = []


@dataclass(frozen=True)
class Item:
    id: int
    at: datetime


@register_automation(name="BenchmarkNoOp", description="Does nothing.")
class NoOp(BaseAutomationTask):
    misfire_grace_time = None

    @staticmethod
    def query() -> Sequence[Item]:
        return items

    @staticmethod
    def get_event_dt(item: Item) -> datetime:
        return item.at

    def execute(self) -> bool:
        return True


def run(db: str, n: int | None) -> list[Case]:
    settle()  # as the scheduler process does; both ways gain by it
    return [case for size in ((n,) if n else SIZES) for case in _dispatch(db, size)]


def _dispatch(db: str, size: int) -> list[Case]:
    """Rounds of both ways: the quickest of each, since a busy neighbour only adds; the medians."""
    rounds = [_one_round(db, size) for _ in range(ROUNDS)]
    ours, plain = (sorted(took) for took in zip(*rounds, strict=True))
    target = f">= {WANTED_RATIO:.0f}x, 0 lost"
    told = {
        "dispatch, quickest": (ours[0], plain[0]),
        "dispatch, median": (statistics.median(ours), statistics.median(plain)),
    }
    return [
        Case(name, db, size, mine, theirs, "ms", target, theirs / mine >= WANTED_RATIO)
        for name, (mine, theirs) in told.items()
    ]


def _one_round(db: str, size: int) -> tuple[float, float]:
    """Milliseconds of ours and of plain APScheduler, both with composed statements."""
    with an_app(db) as app:
        with app.app_context():
            now = utcnow()
            due = now + timedelta(seconds=LEAD)
            _plan({n: due if n > WARM_UP else now for n in range(1, WARM_UP + size + 1)})
        ours = _run_ours(app, size, due)
        with app.app_context():
            url = database.engine.url.render_as_string(hide_password=False)
        count = min(size, MOST_ORDINARY)
        return ours, _run_ordinary(url, count) * size / count


def _plan(due_of: dict[int, datetime]) -> None:
    session = database.session()
    items[:] = [Item(n, due - timedelta(hours=1)) for n, due in due_of.items()]
    with write(session):
        cast = Cast(session)
        session.add(SchedulerEpoch(id=1, epoch=1))
        session.add(
            AutomationSchedule(
                name=NAME, automation_class=cast.task("BenchmarkNoOp"), interval=timedelta(hours=1)
            )
        )
        rows = [
            plan.alarm(NAME, "BenchmarkNoOp", str(n), Environment.PRODUCTION, due)
            for n, due in due_of.items()
        ]
        insert_many(session, Job, rows)


def _run_ours(app: Flask, size: int, due: datetime) -> float:
    """Milliseconds from the instant they are due until the last is done and gone."""
    scheduler, done = PlanScheduler(), [0]

    def report(line: Line) -> None:
        done[0] += line.ended[RunStatus.SUCCESS]

    def wait_for(count: int, until: datetime) -> None:
        while done[0] < count and utcnow() < until:
            time.sleep(0.005)

    scheduler.run_in(app, worker="bench", epoch=1, threads=2, report=report)
    wait_for(WARM_UP, due)
    assert done[0] == WARM_UP, "the warm-up was not over when the jobs came due: raise LEAD"
    wait_for(WARM_UP + size, due + timedelta(minutes=5))
    took = (utcnow() - due).total_seconds() * 1000
    scheduler.stop(30)
    with app.app_context():
        ran = sa.select(sa.func.count()).select_from(AutomationRun)
        ended = database.session.scalar(ran.where(AutomationRun.status == RunStatus.SUCCESS))
        left = database.session.scalar(sa.select(sa.func.count()).select_from(Job))
    assert (ended, left) == (WARM_UP + size, 0), f"{ended} ran, {left} jobs are left"
    return took


def _run_ordinary(url: str, count: int) -> float:
    with ordinary.a_scheduler(url) as scheduler:
        scheduler.start(paused=True)
        for some in (WARM_UP, count):
            ordinary.ran = 0
            scheduler.pause()
            ordinary.add_each(scheduler, some, datetime.now(UTC))
            began = time.perf_counter()
            scheduler.resume()
            while ordinary.ran < some:
                time.sleep(0.005)
            took = (time.perf_counter() - began) * 1000
    ordinary.drop(url)
    return took
