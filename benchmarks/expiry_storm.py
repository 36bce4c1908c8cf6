"""Invitations of many trainings running out in one minute, each refilled (performance P3).

Meanwhile someone reads pages and someone enrols elsewhere: how long do they wait? The ordinary way
ends one invitation after another, in a transaction each, by the same services.
"""

from __future__ import annotations

import statistics
import threading
import time
from datetime import timedelta
from typing import Self

import sqlalchemy as sa
from flask import Flask

from app.automation import scheduler_ops
from app.automation.scheduler import PlanScheduler
from app.automation.worker import Line
from app.extensions import db as database
from app.extensions import utcnow, write
from app.models import (
    EnrolmentHistory,
    EnrolmentStatus,
    Job,
    Outbox,
    SchedulerEpoch,
    Training,
    TrainingEnroll,
)
from app.models.queue import standing
from app.services import waitlist
from app.services.actors import SYSTEM
from benchmarks import people
from benchmarks.cases import Case, an_app, url_of
from config import Settings
from tests import databases
from tests.cast import Cast

SIZES = (1_000, 5_000, 10_000)
PER_TRAINING = 50
SAMPLE = 100  # of the ordinary way
THREADS: int = Settings.model_fields["max_concurrent_workflows"].default  # as shipped
LONGEST_MS, PAGE_MS = 10_000.0, 500.0


def run(db: str, n: int | None) -> list[Case]:
    cases = []
    for size in (n,) if n else SIZES:
        cases += _storm(db, size)
    return cases


def _storm(db: str, size: int) -> list[Case]:
    with an_app(db, "scheduler") as app:
        with app.app_context():
            _prepare(app, size)
            plain = _ordinary_ms(SAMPLE) * size / SAMPLE
            left = size - SAMPLE
        with Visitor(url_of(app)) as pages:
            ours = _run_ours(app, left) * size / left
        with app.app_context():
            _check(size)
    p99 = pages.p99_ms
    limit = LONGEST_MS * max(1.0, size / 10_000)
    return [
        Case("expiry storm", db, size, ours, plain, "ms", f"<= {limit:.0f} ms", ours <= limit),
        Case("page meanwhile, p99", db, size, p99, None, "ms", f"<= {PAGE_MS:.0f} ms",
             p99 <= PAGE_MS),
    ]  # fmt: skip


def _prepare(app: Flask, size: int) -> None:
    """Trainings full of invitations that ran out within the last minute, as many waiting."""
    session, now = database.session(), utcnow()
    trainings = size // PER_TRAINING
    with write(session):
        session.add(SchedulerEpoch(id=1, epoch=1))
        cast = Cast(session)
        for n in range(trainings):
            start = now + timedelta(days=60)
            training = cast.training(f"Training {n}", PER_TRAINING, start)
            ids = people.students(session, cast, 2 * PER_TRAINING, 2 * PER_TRAINING * n)
            ends = [now - timedelta(seconds=60 * i / PER_TRAINING) for i in range(PER_TRAINING)]
            people.invite(session, cast, training, ids[:PER_TRAINING], ends)
            people.queue(session, training, ids[PER_TRAINING:], PER_TRAINING + 1)
    scheduler_ops.init_app_scheduler(app)
    if database.engine.dialect.name == "postgresql":
        with database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.exec_driver_sql("ANALYZE")


def _ordinary_ms(count: int) -> float:
    session = database.session()
    ids = session.scalars(
        sa.select(TrainingEnroll.id)
        .where(TrainingEnroll.status == EnrolmentStatus.INVITED)
        .order_by(TrainingEnroll.id)
        .limit(count)
    ).all()
    began = time.perf_counter()
    for id_ in ids:
        with write(session):
            waitlist.expire(session, session.get_one(TrainingEnroll, id_), SYSTEM, utcnow())
    return (time.perf_counter() - began) * 1000


def _run_ours(app: Flask, size: int) -> float:
    scheduler, ended = PlanScheduler(), [0]

    def report(line: Line) -> None:
        ended[0] += line.counters["ended"]

    began = time.perf_counter()
    scheduler.run_in(app, worker="bench", epoch=1, threads=THREADS, report=report)
    while ended[0] < size and time.perf_counter() - began < 300:
        time.sleep(0.01)
    took = (time.perf_counter() - began) * 1000
    scheduler.stop(30)
    return took


def _check(size: int) -> None:
    """Each ended once, each place filled again, each letter promised, each deadline planned."""
    h, o, e = EnrolmentHistory, Outbox, TrainingEnroll
    count = lambda which, row: database.session.scalar(  # noqa: E731
        sa.select(sa.func.count()).select_from(row).where(which)
    )
    found = {
        "expired": count(h.event == "expired", h),
        "invited": count(h.event == "invited", h),
        "open": count(e.status == EnrolmentStatus.INVITED, e),
        "letters": count(
            o.kind.in_(("expired", "expired_trainer", "invited", "invited_trainer")), o
        ),
        "jobs": count(sa.true(), Job),
    }
    wanted = {"expired": size, "invited": size, "open": size, "letters": 4 * size, "jobs": size}
    assert found == wanted, f"{found} instead of {wanted}"


class Visitor:
    """Someone who reads how a training stands, again and again, on the web's own connections."""

    def __init__(self, url: str) -> None:
        self._web, self._over = databases.app_on(url), threading.Event()
        self._took = [0.0]
        self._thread = threading.Thread(target=self._visit, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()
        databases.dispose(self._web)

    def _visit(self) -> None:
        with self._web.app_context():
            ids = database.session.scalars(sa.select(Training.id)).all()
        n = 0
        while not self._over.wait(0.1):
            began = time.perf_counter()
            with self._web.app_context():
                session = database.session()
                training = session.get_one(Training, ids[n % len(ids)])
                standing(session, training, utcnow())
                rows = sa.select(TrainingEnroll).where(TrainingEnroll.training_id == training.id)
                session.scalars(rows.limit(50)).all()
            self._took.append((time.perf_counter() - began) * 1000)
            n += 1

    @property
    def p99_ms(self) -> float:
        if len(self._took) < 2:
            return self._took[0]
        return statistics.quantiles(self._took, n=100, method="inclusive")[98]
