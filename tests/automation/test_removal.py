"""`remove_job`: one occurrence less, for good (waitlist WI4, WA11)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from apscheduler.jobstores.base import JobLookupError
from flask import Flask

from app.automation import scheduler_ops
from app.automation.scheduler import app_scheduler
from app.extensions import db, write
from app.models import AutomationRun, AutomationSchedule, BeforeAfterEnum, EventsEnum
from tests.automation import tasks
from tests.automation.tasks import Chore, Engine
from tests.automation.test_execution import Executing, the_pickle
from tests.cast import DAY, NOON, START, Cast

apps, engine = tasks.apps, tasks.engine


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_scheduler, "clock", lambda: NOON)
    monkeypatch.setattr(scheduler_ops, "utcnow", lambda: NOON)


@pytest.mark.usefixtures("at_noon")
def test_an_invitation_whose_job_is_removed_stays_open_until_the_hard_stop(app: Flask) -> None:
    with app.app_context():
        with write(db.session):
            cast = Cast(db.session())
            cast.schedule.active_since = NOON - DAY
            cast.offer("Ben")
        [id_] = cast.jobs()
        app_scheduler.remove_job(id_)
        ben = cast.row("Ben")
        assert (ben.status, ben.expiry_exempt) == ("waitlist-invited", True)
        assert ben.invite_expires_at is not None
        assert START - DAY < ben.invite_expires_at < START
        last = cast.last_event("deadline-changed")
        assert (last.reason, cast.jobs()) == ("exempt", {})
        scheduler_ops.renew_automations()
        assert cast.jobs() == {}
        assert db.session.scalars(sa.select(AutomationRun)).all() == []


@pytest.mark.usefixtures("at_noon")
def test_a_reminder_whose_job_is_removed_is_cancelled_and_not_planned_again(app: Flask) -> None:
    with app.app_context():
        with write(db.session):
            cast = Cast(db.session())
            cast.add(
                AutomationSchedule(
                    name="reminder",
                    automation_class=cast.task("StudentReminderTask"),
                    beforeafter=BeforeAfterEnum.before,
                    events=EventsEnum.first,
                    interval=7 * DAY,
                    active_since=NOON - DAY,
                )
            )
        scheduler_ops.renew_automations()
        id_ = f"reminder/{cast.pottery.id}/PRODUCTION"
        assert list(cast.jobs()) == [id_]
        app_scheduler.remove_job(id_)
        [run] = db.session.scalars(sa.select(AutomationRun)).all()
        assert (run.status, run.reason, run.finished_at) == ("cancelled", "removed", NOON)
        assert run.occurrence == f"{START:%Y-%m-%dT%H:%M:%SZ}"
        scheduler_ops.renew_automations()
        assert cast.jobs() == {}
        with pytest.raises(JobLookupError):
            app_scheduler.remove_job(id_)


def remove(engine: Engine, id_: str) -> None:
    with engine.app.app_context():
        app_scheduler.remove_job(id_)


def test_what_is_just_being_done_is_rolled_back(engine: Engine) -> None:
    executing = Executing(engine)
    remove(engine, "chores/sweep/PRODUCTION")
    executing.finish()
    assert (engine.effects(), engine.jobs()) == ({}, {})
    assert engine.statuses() == {"sweep": "cancelled"}


def test_what_waits_for_another_try_is_cancelled(engine: Engine) -> None:
    engine.plan("sweep")
    Chore.acts = {"sweep": tasks.raises(ValueError("broken"))}
    engine.tick()
    remove(engine, "chores/sweep/PRODUCTION")
    assert engine.statuses() == {"sweep": "cancelled"}
    engine.plan("sweep")
    engine.tick(NOON + DAY)
    assert engine.statuses() == {"sweep": "cancelled"}


def test_what_staff_asked_for_is_cancelled(engine: Engine) -> None:
    from tests.automation.test_execution import retry

    engine.plan("sweep")
    engine.tick()
    engine.change(AutomationRun, status="failed")
    retry(engine, "sweep")
    [job] = engine.jobs().values()
    remove(engine, job.id)
    assert (engine.runs()["sweep"].trigger, engine.statuses()) == ("manual", {"sweep": "cancelled"})


@pytest.mark.parametrize("state", [b"{", b"null", None], ids=["broken", "null", "pickle"])
def test_what_cannot_be_read_is_only_removed(
    engine: Engine, state: Any, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    engine.raw_job("odd", state or the_pickle(str(tmp_path / "made")))
    remove(engine, "odd")
    assert (engine.jobs(), engine.runs()) == ({}, {})
    assert not (tmp_path / "made").exists()
    assert "unreadable job removed: job=odd" in caplog.text


def test_a_job_of_no_schedule_or_no_class_is_only_removed(engine: Engine) -> None:
    engine.plan("sweep", schedule="nowhere")
    remove(engine, "nowhere/sweep/PRODUCTION")
    assert (engine.jobs(), engine.runs()) == ({}, {})


def test_an_item_that_raises_is_removed_all_the_same(engine: Engine) -> None:
    engine.plan("unreadable")
    remove(engine, "chores/unreadable/PRODUCTION")
    assert engine.jobs() == {}
    assert engine.statuses() == {"unreadable": "cancelled"}


def test_a_failure_in_the_middle_changes_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.plan("sweep")
    monkeypatch.setattr("app.automation.removal._remember", tasks.raises_with(RuntimeError("no")))
    with pytest.raises(RuntimeError):
        remove(engine, "chores/sweep/PRODUCTION")
    assert list(engine.jobs()) == ["sweep"]
