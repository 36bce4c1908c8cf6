"""A pass of the scheduler when nothing is due, beside many coming jobs (performance P3)."""

from __future__ import annotations

import time
from datetime import timedelta

from app.automation.scheduler import PlanScheduler
from app.extensions import db as database
from app.extensions import utcnow, write
from app.models import Job
from app.models.bulk import insert_many
from app.models.rules import Environment
from app.models.types import new_uuid
from app.services import plan
from benchmarks.cases import Case, an_app, counted

SIZES = (1_000, 10_000, 100_000)
TICKS = 100
CPU_MS, STATEMENTS = 10.0, 3


def run(db: str, n: int | None) -> list[Case]:
    cases = []
    for size in (n,) if n else SIZES:
        cases += _idle(db, size)
    return cases


def _idle(db: str, size: int) -> list[Case]:
    with an_app(db) as app:
        with app.app_context(), write(database.session):
            due = utcnow() + timedelta(days=1)
            rows = [
                plan.alarm("expiry", "AutomaticWaitList", new_uuid(), Environment.PRODUCTION, due)
                for _ in range(size)
            ]
            insert_many(database.session(), Job, rows)
        scheduler = PlanScheduler()
        scheduler.app, scheduler.state = app, 1  # it only looks
        with app.app_context(), counted(database.engine) as statements:
            scheduler._process_jobs()
        began = time.process_time()
        for _ in range(TICKS):
            scheduler._process_jobs()
        cpu = (time.process_time() - began) * 1000 / TICKS
    count = len(statements)
    return [
        Case("idle tick, CPU", db, size, cpu, None, "ms", f"<= {CPU_MS:.0f} ms", cpu <= CPU_MS),
        Case("idle tick", db, size, count, None, "", f"<= {STATEMENTS} statements",
             count <= STATEMENTS),
    ]  # fmt: skip
