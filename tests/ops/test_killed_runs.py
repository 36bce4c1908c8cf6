"""A recurring run whose process is killed between two steps: one outcome, each letter once (R5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask

from app.automation import faces
from app.extensions import db, utcnow, write
from app.models import AutomationRun, Greeting, Job, Outbox
from app.models.automation import MadeBy
from app.services import schedules
from tests.cast import Cast
from tests.schedulers import ROOT, Running, environment

PEOPLE = ("Ada", "Ben", "Cleo")
HASTY = """
import time
from app.automation import claims, recurring_runs, scheduler
from datetime import timedelta

claims.LEASE, scheduler.SIGN_OF_LIFE = timedelta(seconds=2), 0.2
step = recurring_runs.RecurringBatch._step

def slowly(self, *given):
    step(self, *given)
    print("a step is done", flush=True)
    time.sleep({pause})

recurring_runs.RecurringBatch._step = slowly
import run_scheduler
raise SystemExit(run_scheduler.main())
"""


@contextmanager
def a_process(url: str, folder: Path, pause: float) -> Iterator[Running]:
    """A scheduler that waits so many seconds after each step, and whose leases are short."""
    script = folder / "hasty.py"
    script.write_text(HASTY.format(pause=pause))
    running = Running(environment(url, SMTP_PORT="1", PYTHONPATH=str(ROOT)), str(script),
                      forked=True)  # fmt: skip
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.kill()


def greet(app: Flask) -> None:
    """Three people had their birthday yesterday, and somebody begins a run for them."""
    now, door = utcnow(), faces.door(MadeBy.CODE)
    config = {"process_late": True, "send_window": "00:00-24:00"}
    with app.app_context(), write(db.session):
        cast = Cast(db.session())
        for name in PEOPLE:
            cast.student(name).user.birthday = (now - timedelta(days=1)).date().replace(year=1992)
        cast.task("birthday")
        row = schedules.add_schedule(
            cast.session, "birthday", {"schedule_type": "chained"}, None, cast.practice.id,
            name="greetings", task_config=config, now=now, door=door,
        )  # fmt: skip
        schedules.run_now(cast.session, row.schedule_id, None, now=now, door=door)


def told(app: Flask, *columns: Any) -> list[Any]:
    with app.app_context():
        found = db.session.execute(sa.select(*columns)).all()
        db.session.rollback()
        return list(found)


def test_a_run_that_is_killed_between_two_steps_goes_on_once(
    app: Flask, url: str, tmp_path: Path
) -> None:
    greet(app)
    with a_process(url, tmp_path, pause=60) as first:
        first.wait_for("a step is done")
        first.kill()
    r = AutomationRun
    assert told(app, r.status, r.attempt, r.interruptions) == [("running", 1, 0)]
    assert len(told(app, Greeting.id)) == 1

    with a_process(url, tmp_path, pause=0) as second:
        second.wait_for("✓ greetings")
        assert second.stop() == 0

    # One run, and it says that it was interrupted; what was done before it is not done again.
    assert told(app, r.status, r.attempt, r.interruptions) == [("success", 2, 1)]
    assert told(app, r.items_done, r.messages_sent) == [(len(PEOPLE), len(PEOPLE))]  # of both tries
    letters = Counter(kind for (kind,) in told(app, Outbox.kind))
    assert letters == {"birthday_late": len(PEOPLE)}
    assert len(told(app, Greeting.id)) == len(PEOPLE)
    assert told(app, Job.id) == []
