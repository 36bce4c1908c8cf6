"""`app_scheduler` as the documents use it, from any process (waitlist WA4, WA11; DB8)."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
import sqlalchemy as sa
from apscheduler.jobstores.base import JobLookupError

from app.automation.jobstore import PlannedOnly
from app.automation.scheduler import app_scheduler
from app.extensions import db
from app.models import Job
from tests.automation import tasks
from tests.automation.tasks import Engine
from tests.automation.test_execution import NONSENSE, the_pickle
from tests.cast import DAY, NOON

apps, engine = tasks.apps, tasks.engine


def test_a_job_shows_what_it_calls_with_what_and_when(engine: Engine) -> None:
    engine.plan("sweep", due=NOON + DAY)
    with engine.app.app_context():
        [job] = app_scheduler.get_jobs()
        assert app_scheduler.get_job("chores/sweep/PRODUCTION").id == job.id
    assert job.id == "chores/sweep/PRODUCTION"
    assert (job.args, job.kwargs) == (("sweep", "chores", "Chore"), {})
    assert job.next_run_time == NOON + DAY
    assert job.next_run_time.tzinfo is UTC
    assert "Chore" in job.func_ref
    assert "_execute_automation_task_job" in job.func_ref
    assert callable(job.func)
    assert "chores/sweep" in repr(job) or "Chore" in repr(job)


def test_a_claimed_job_shows_when_it_was_due_not_its_lease(engine: Engine) -> None:
    engine.plan("sweep")
    engine.claim()
    with engine.app.app_context():
        assert [job.next_run_time for job in app_scheduler.get_jobs()] == [NOON]


def test_they_are_listed_soonest_first(engine: Engine) -> None:
    for n, item in enumerate("cab"):
        engine.plan(item, due=NOON + n * DAY)
    with engine.app.app_context():
        assert [job.args[0] for job in app_scheduler.get_jobs()] == ["c", "a", "b"]


def test_a_job_stands_in_the_list_with_its_fact_and_is_gone_after_a_rollback(
    engine: Engine,
) -> None:
    with engine.app.app_context():
        job = tasks.plan.alarm("chores", "Chore", "sweep", tasks.rules_of(db.session).environment,
                               NOON)  # fmt: skip
        db.session.execute(sa.insert(Job), [job])
        assert len(app_scheduler.get_jobs()) == 1
        db.session.rollback()
        assert app_scheduler.get_jobs() == []


def test_what_cannot_be_read_is_listed_without_error_and_stays(
    engine: Engine, tmp_path: Any
) -> None:
    made = tmp_path / "made"
    states = {k: v for k, v in NONSENSE.items() if k != "unknown class"}
    for n, state in enumerate([*states.values(), the_pickle(str(made))]):
        engine.raw_job(f"odd {n}", state)
    if engine.app.config["SQLALCHEMY_DATABASE_URI"].drivername.startswith("sqlite"):
        engine.raw_job("typed", "hello")
    engine.plan("sweep")
    with engine.app.app_context():
        assert [job.args[0] for job in app_scheduler.get_jobs()] == ["sweep"]
        assert app_scheduler.get_job("odd 1") is None
        assert app_scheduler.plan.get_next_run_time() == NOON
        assert [job.args[0] for job in app_scheduler.plan.get_due_jobs(NOON)] == ["sweep"]
        count = db.session.scalar(sa.select(sa.func.count()).select_from(Job))
    assert count >= len(states) + 2
    assert not made.exists()


def test_an_unknown_job_is_none_and_removing_it_an_error(engine: Engine) -> None:
    with engine.app.app_context():
        assert app_scheduler.get_job("nobody") is None
        with pytest.raises(JobLookupError):
            app_scheduler.remove_job("nobody")
        with pytest.raises(JobLookupError):
            app_scheduler.plan.remove_job("nobody")


def test_nobody_adds_a_job_by_hand_or_wipes_them_all(engine: Engine) -> None:
    engine.plan("sweep")
    with engine.app.app_context():
        for act in (app_scheduler.add_job, app_scheduler.remove_all_jobs,
                    app_scheduler.plan.remove_all_jobs):  # fmt: skip
            with pytest.raises(PlannedOnly, match="Jobs follow from rows"):
                act()
    assert list(engine.jobs()) == ["sweep"]


def test_the_job_of_a_class_that_is_gone_is_still_shown(engine: Engine) -> None:
    engine.raw_job("x/1/PRODUCTION", NONSENSE["unknown class"])
    with engine.app.app_context():
        assert [job.name for job in app_scheduler.get_jobs()] == ["Gone"]
