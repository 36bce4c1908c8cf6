"""Jobs that do nothing, all due at one instant, against plain APScheduler (performance P3)."""

from __future__ import annotations

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
    return [_dispatch(db, size) for size in ((n,) if n else SIZES)]


def _dispatch(db: str, size: int) -> Case:
    with an_app(db) as app:
        with app.app_context():
            due = utcnow() + timedelta(seconds=1)
            _plan(size, due)
        ours = _run_ours(app, size, due)
        with app.app_context():
            url = database.engine.url.render_as_string(hide_password=False)
        count = min(size, MOST_ORDINARY)
        plain = _run_ordinary(url, count) * size / count
    ratio = plain / ours
    target = f">= {WANTED_RATIO:.0f}x, 0 lost"
    return Case("dispatch", db, size, ours, plain, "ms", target, ratio >= WANTED_RATIO)


def _plan(size: int, due: datetime) -> None:
    session = database.session()
    items[:] = [Item(n, due - timedelta(hours=1)) for n in range(1, size + 1)]
    with write(session):
        cast = Cast(session)
        session.add(SchedulerEpoch(id=1, epoch=1))
        session.add(
            AutomationSchedule(
                name=NAME, automation_class=cast.task("BenchmarkNoOp"), interval=timedelta(hours=1)
            )
        )
        rows = [
            plan.alarm(NAME, "BenchmarkNoOp", str(item.id), Environment.PRODUCTION, due)
            for item in items
        ]
        insert_many(session, Job, rows)


def _run_ours(app: Flask, size: int, due: datetime) -> float:
    """Milliseconds from the instant they are due until the last is done and gone."""
    scheduler, done = PlanScheduler(), [0]

    def report(line: Line) -> None:
        done[0] += line.ended[RunStatus.SUCCESS]

    scheduler.run_in(app, worker="bench", epoch=1, threads=2, report=report)
    while done[0] < size and utcnow() < due + timedelta(minutes=5):
        time.sleep(0.005)
    took = (utcnow() - due).total_seconds() * 1000
    scheduler.stop(30)
    with app.app_context():
        ran = sa.select(sa.func.count()).select_from(AutomationRun)
        ended = database.session.scalar(ran.where(AutomationRun.status == RunStatus.SUCCESS))
        left = database.session.scalar(sa.select(sa.func.count()).select_from(Job))
    assert (ended, left) == (size, 0), f"{ended} of {size} ran, {left} jobs are left"
    return took


def _run_ordinary(url: str, count: int) -> float:
    ordinary.ran = 0
    with ordinary.a_scheduler(url) as scheduler:
        scheduler.start(paused=True)
        ordinary.add_each(scheduler, count, datetime.now(UTC))
        began = time.perf_counter()
        scheduler.resume()
        while ordinary.ran < count:
            time.sleep(0.005)
        took = (time.perf_counter() - began) * 1000
    ordinary.drop(url)
    return took
