"""The ordinary way: APScheduler 3 with its own SQLAlchemyJobStore, used as its manual says."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

FAR = datetime.now(UTC) + timedelta(days=365)
ran = 0
counting = threading.Lock()


def no_op(_item: str, _schedule: str) -> None:
    """A job that does nothing but count itself."""
    global ran
    with counting:
        ran += 1


@contextmanager
def a_scheduler(url: str) -> Iterator[BackgroundScheduler]:
    """A plain scheduler over a table of its own in that database, not yet started."""
    scheduler = BackgroundScheduler(
        jobstores={"default": SQLAlchemyJobStore(url=url, tablename="ordinary_jobs")},
        executors={"default": ThreadPoolExecutor(10)},
        job_defaults={"misfire_grace_time": None},
        timezone="UTC",
    )
    try:
        yield scheduler
    finally:
        if scheduler.running:
            scheduler.shutdown(wait=False)


def add_each(scheduler: BackgroundScheduler, count: int, at: datetime = FAR) -> float:
    """One `add_job` per item, replacing what is there; the seconds it took."""
    began = time.perf_counter()
    for n in range(count):
        scheduler.add_job(
            no_op,
            "date",
            run_date=at,
            args=[str(n), "expiry"],
            id=f"expiry/{n}/PRODUCTION",
            replace_existing=True,
        )
    return time.perf_counter() - began


def drop(url: str) -> None:
    """Forget the table."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS ordinary_jobs"))
    engine.dispose()
