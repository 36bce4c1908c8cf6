"""The real process after three days without one: within a minute all is done or on record."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from app.automation import scheduler_ops
from app.extensions import db, utcnow, write
from app.models import (
    AutomationRun,
    AutomationSchedule,
    BeforeAfterEnum,
    EnrolmentHistory,
    Job,
    Outbox,
    RunStatus,
    ScheduleType,
)
from app.services import trainings
from app.services.enrolments import enrol
from benchmarks import people
from tests.cast import DAY, HOUR, MINUTE, Cast
from tests.schedulers import a_scheduler, environment

INVITED, REMINDED, OVER = 200, 40, 10
AT_MOST = 60  # seconds from its start


def three_days_ago(cast: Cast, now: datetime) -> None:
    """What was planned when the last process ended."""
    then, session = now - 3 * DAY, cast.session
    weaving = cast.training("Weaving", 0, now + 30 * DAY)
    for student_id in people.students(session, cast, INVITED):
        enrol(session, weaving.id, student_id, cast.max, then)
    trainings.set_capacity(session, weaving.id, INVITED, cast.max, then)
    reminder = cast.task("StudentReminderTask")
    cast.add(AutomationSchedule(name="reminder", automation_class=reminder, interval=DAY,
                                beforeafter=BeforeAfterEnum.before,
                                active_since=then - DAY))  # fmt: skip
    for n, start in enumerate([now + 2 * HOUR] * REMINDED + [now - 4 * HOUR] * OVER):
        cast.enrol("Ada", then, cast.training(f"Course {n}", start=start))
    cast.add(AutomationSchedule(name="ticking", automation_class=cast.task("visitor"),
                                schedule_type=ScheduleType.INTERVAL, practice_id=cast.practice.id,
                                schedule_config={"interval_seconds": 1200}, coalesce=True,
                                misfire_grace_time=1200, task_config={"invite": False, "limit": 5},
                                anchor_at=then, next_execution_at=then + 20 * MINUTE))  # fmt: skip


def counted(*columns: Any) -> Counter[Any]:
    found = Counter(tuple(row) for row in db.session.execute(sa.select(*columns)))
    db.session.rollback()
    return found


def is_late() -> bool:
    """Whether anything that is due waits for the process."""
    waits = sa.select(sa.func.count()).select_from(Job).where(Job.due <= utcnow())
    runs = sa.select(sa.func.count()).select_from(AutomationRun)
    live = runs.where(AutomationRun.status.in_((RunStatus.QUEUED, RunStatus.RUNNING)))
    late = bool(db.session.scalar(waits) or db.session.scalar(live))
    db.session.rollback()
    return late


@pytest.mark.timeout(180)
def test_within_a_minute_of_its_start_all_is_done_or_on_record(app: Flask, url: str) -> None:
    now = utcnow()
    with app.app_context():
        with write(db.session):
            three_days_ago(Cast(db.session()), now)
        scheduler_ops.renew_automations(now - 3 * DAY)
        before = counted(Outbox.kind)
        began = time.monotonic()
        with a_scheduler(environment(url, SMTP_PORT="1"), forked=True) as process:
            while is_late():
                assert time.monotonic() - began < AT_MOST
                time.sleep(0.2)
            assert process.stop() == 0

        happened = counted(EnrolmentHistory.event)
        assert happened["expired",] == INVITED
        letters = counted(Outbox.kind) - before
        assert (letters["expired",], letters["reminder_student",]) == (INVITED, REMINDED)
        r, s = AutomationRun, AutomationSchedule
        rows = sa.select(s.name, r.status, r.missed_count).join(r)
        runs = Counter((name, status) for name, status, _ in db.session.execute(rows))
        assert runs["reminder", RunStatus.SUCCESS] == REMINDED
        assert runs["reminder", RunStatus.MISSED] == OVER
        (ticked,) = [row for row in db.session.execute(rows) if row.name == "ticking"]
        assert (ticked.status, ticked.missed_count) == (RunStatus.SUCCESS, 3 * 24 * 3 - 1)
        following = db.session.scalar(sa.select(s.next_execution_at).where(s.name == "ticking"))
        assert following is not None
        assert timedelta(0) < following - now <= 20 * MINUTE
