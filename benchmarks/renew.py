"""Bringing an unchanged plan in line, against one `add_job` per item (performance P3)."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from app.automation import scheduler_ops
from app.extensions import db as database
from app.extensions import utcnow, write
from app.models import Job, TrainingEnroll
from app.models.training import MOST_PARTICIPANTS
from benchmarks import ordinary, people
from benchmarks.cases import Case, an_app, counted, median_ms, url_of
from tests.cast import Cast

SIZES = (1_000, 10_000, 100_000)
MOST_ORDINARY = 10_000  # beyond, its time per item is carried on
WANTED_RATIO = 300.0
CHANGED_MS = 1500.0


def run(db: str, n: int | None) -> list[Case]:
    cases = []
    for size in (n,) if n else SIZES:
        cases += _renew(db, size)
    return cases


def _renew(db: str, size: int) -> list[Case]:
    with an_app(db) as app, app.app_context():
        session, now = database.session(), utcnow()
        with write(session):
            cast, until = Cast(session), now + timedelta(days=30)
            for first in range(0, size, MOST_PARTICIPANTS):
                count = min(MOST_PARTICIPANTS, size - first)
                training = cast.training(f"Training {first}", count, now + timedelta(days=60))
                ids = people.students(session, cast, count, first)
                people.invite(session, cast, training, ids, [until] * count)
        scheduler_ops.init_app_scheduler(app)
        assert session.scalar(sa.select(sa.func.count()).select_from(Job)) == size
        session.rollback()
        with counted(database.engine) as statements:
            scheduler_ops.renew_automations()
        wrote = [s for s in statements if not s.lstrip().startswith(("SELECT", "WITH"))]
        ours = median_ms(scheduler_ops.renew_automations, runs=5)
        plain = _ordinary_ms(url_of(app), size)
        changed = _changed_ms(size)
    ratio = plain / ours
    return [
        Case("renew unchanged", db, size, ours, plain, "ms", f">= {WANTED_RATIO:.0f}x",
             ratio >= WANTED_RATIO and not wrote),
        Case("renew 1 % changed", db, size, changed, None, "ms", f"<= {CHANGED_MS:.0f} ms",
             changed <= CHANGED_MS),
    ]  # fmt: skip


def _ordinary_ms(url: str, size: int) -> float:
    count = min(size, MOST_ORDINARY)
    with ordinary.a_scheduler(url) as scheduler:
        scheduler.start(paused=True)
        ordinary.add_each(scheduler, count)  # there they are
        seconds = ordinary.add_each(scheduler, count)  # unchanged
    ordinary.drop(url)
    return seconds * 1000 * size / count


def _changed_ms(size: int) -> float:
    """Every hundredth deadline moved an hour, by plain code."""
    session = database.session()
    with write(session):
        session.execute(
            sa.update(TrainingEnroll)
            .where(TrainingEnroll.id % 100 == 0)
            .values(invite_expires_at=utcnow() + timedelta(days=31))
        )
    return median_ms(scheduler_ops.renew_automations, runs=1)
