"""Fixed duties: the sweep isolates what fails, a runner survives any of them (WF9, L1, F24)."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from app.automation import scheduler_duties as duties
from app.automation.claims import Fenced
from app.automation.scheduler_duties import Duty, DutyRunner, sweep_once
from app.extensions import db, write
from app.models import SchedulerEpoch, Setback, SystemDuty
from app.services import sweep
from tests.automation.tasks import raises_with
from tests.automation.test_scheduler import eventually
from tests.cast import DEADLINE, MINUTE, NOON, SECOND, Cast


@pytest.fixture
def two_overdue(app: Flask) -> tuple[Flask, int, int]:
    """Two trainings, each with an invitation that ran out."""
    with app.app_context(), write(db.session):
        cast = Cast(db.session())
        cast.offer("Ben", "Cleo")
        other = cast.training("Weaving")
        first = cast.enrol("Ada", training=other)
        cast.enrol("Ben", training=other)
        cast.leave(first)
        return app, cast.pottery.id, other.id


def the_sweep(app: Flask, now: Any, **more: Any) -> str | None:
    with app.app_context():
        return sweep_once(clock=lambda: now, **more)


def setbacks(app: Flask) -> dict[str, Setback]:
    with app.app_context():
        rows = db.session.scalars(sa.select(Setback)).all()
        db.session.expunge_all()
        return {row.item: row for row in rows}


def overdue(app: Flask, now: Any) -> list[int]:
    with app.app_context():
        return sweep.trainings_to_sweep(db.session(), now)


def poison(monkeypatch: pytest.MonkeyPatch, bad: int) -> None:
    real = sweep.sweep_training

    def sweep_training(session: Any, training_id: int, now: Any) -> None:
        real(session, training_id, now)
        if training_id == bad:
            raise ValueError("broken kiln")

    monkeypatch.setattr(sweep, "sweep_training", sweep_training)


def test_a_training_that_raises_is_put_off_and_the_others_are_swept(
    two_overdue: tuple[Flask, int, int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, bad, good = two_overdue
    poison(monkeypatch, bad)
    assert the_sweep(app, DEADLINE) == "swept 2, failed 1"
    assert overdue(app, DEADLINE) == [bad]
    assert good != bad
    [setback] = setbacks(app).values()
    assert (setback.item, setback.failures) == (str(bad), 1)
    assert setback.error == "ValueError: broken kiln"
    assert 0.9 * MINUTE <= setback.not_before - DEADLINE <= 1.1 * MINUTE
    assert "sweep failed" in caplog.text


def test_it_is_put_off_twice_as_long_each_time_and_left_alone_meanwhile(
    two_overdue: tuple[Flask, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, bad, _ = two_overdue
    poison(monkeypatch, bad)
    now, waits = DEADLINE, []
    for _ in range(8):
        the_sweep(app, now)
        until = setbacks(app)[str(bad)].not_before
        waits.append(round((until - now) / MINUTE, 2))
        assert the_sweep(app, until - SECOND) is None
        now = until
    for wait, whole in zip(waits, [1, 2, 4, 8, 16, 32, 60, 60], strict=True):
        assert 0.9 * whole <= wait <= 1.1 * whole


def test_a_success_forgives(
    two_overdue: tuple[Flask, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, bad, _ = two_overdue
    with monkeypatch.context() as patch:
        poison(patch, bad)
        the_sweep(app, DEADLINE)
    assert the_sweep(app, DEADLINE + 2 * MINUTE) == "swept 1"
    assert setbacks(app) == {}
    assert overdue(app, DEADLINE + 2 * MINUTE) == []


def test_when_nothing_is_due_nothing_is_said_or_written(app: Flask) -> None:
    assert the_sweep(app, NOON) is None
    assert setbacks(app) == {}


def test_who_was_replaced_sweeps_nothing(two_overdue: tuple[Flask, int, int]) -> None:
    app, one, other = two_overdue
    with app.app_context(), write(db.session):
        db.session.execute(sa.insert(SchedulerEpoch).values(id=1, epoch=2))
    with pytest.raises(Fenced):
        the_sweep(app, DEADLINE, epoch=1)
    assert overdue(app, DEADLINE) == sorted([one, other])
    assert the_sweep(app, DEADLINE, epoch=2) == "swept 2"


def test_who_is_replaced_in_the_middle_sweeps_no_other(
    two_overdue: tuple[Flask, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, *_ = two_overdue
    with app.app_context(), write(db.session):
        db.session.execute(sa.insert(SchedulerEpoch).values(id=1, epoch=1))
    really = sweep.sweep_training

    def and_then_somebody_takes_over(session: Any, training_id: int, now: Any) -> None:
        really(session, training_id, now)
        session.execute(sa.update(SchedulerEpoch).values(epoch=2))

    monkeypatch.setattr(sweep, "sweep_training", and_then_somebody_takes_over)
    with pytest.raises(Fenced):
        the_sweep(app, DEADLINE, epoch=1)
    assert len(overdue(app, DEADLINE)) == 1
    assert setbacks(app) == {}


def test_asked_to_stop_it_begins_no_other_training(two_overdue: tuple[Flask, int, int]) -> None:
    app, one, other = two_overdue
    stop = threading.Event()
    stop.set()
    the_sweep(app, DEADLINE, stop=stop)
    assert overdue(app, DEADLINE) == sorted([one, other])


# --- the runner ----------------------------------------------------------------------------------


class Told:
    """A duty that counts, and fails as often as it is told to."""

    def __init__(self, error: BaseException | None = None, failures: int = 10**9) -> None:
        self.error, self.failures, self.count = error, failures, 0

    def __call__(self, _stop: threading.Event) -> str | None:
        self.count += 1
        if self.error is not None and self.count <= self.failures:
            raise self.error
        return "did it"


def duty(act: Any, every: float = 0.02, on_bell: bool = False) -> Duty:
    return Duty("system:test", duties.timedelta(seconds=every), act, on_bell=on_bell)


def remembered(app: Flask) -> str | None:
    with app.app_context():
        row = db.session.get(SystemDuty, "system:test")
        return row and (row.last_error or "fine")


def test_a_duty_is_done_again_and_again_and_remembered(app: Flask) -> None:
    said: list[tuple[str, str]] = []
    runner, told = DutyRunner(app, lambda *what: said.append(what)), Told()
    runner.start(duty(told))
    assert eventually(lambda: told.count >= 3 and remembered(app) == "fine")
    assert runner.join(5)
    assert said[0] == ("system:test", "did it")


def test_a_duty_that_fails_is_remembered_and_tried_again(app: Flask) -> None:
    runner, told = DutyRunner(app, lambda *_: None), Told(ValueError("no luck"), failures=3)
    runner.start(duty(told, every=0.2))
    assert eventually(lambda: remembered(app) == "ValueError: no luck")
    assert eventually(lambda: told.count > 3 and remembered(app) == "fine")
    assert runner.join(5)


def test_a_duty_survives_a_database_that_cannot_even_be_told(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, told = DutyRunner(app, lambda *_: None), Told(ValueError("no luck"), failures=2)
    monkeypatch.setattr(duties, "upsert_many", raises_with(RuntimeError("no database")))
    runner.start(duty(told))
    assert eventually(lambda: told.count > 5)
    assert runner.join(5)


def test_a_bell_brings_forward_who_listens_to_it(app: Flask) -> None:
    runner, told, deaf = DutyRunner(app, lambda *_: None), Told(), Told()
    runner.start(duty(told, every=60, on_bell=True))
    runner.start(duty(lambda _stop: deaf(_stop) and None, every=60))
    assert eventually(lambda: told.count == 1 and deaf.count == 1)
    time.sleep(0.1)  # both wait now
    runner.ring()
    assert eventually(lambda: told.count == 2)
    assert runner.join(5)
    assert deaf.count == 1


def test_who_was_replaced_says_so(app: Flask) -> None:
    runner, told = DutyRunner(app, lambda *_: None), Told(Fenced())
    runner.start(duty(told))
    assert eventually(lambda: runner.fenced)
    assert runner.join(5)


def test_one_that_hangs_is_not_waited_for_longer_than_asked(app: Flask) -> None:
    go_on = threading.Event()
    runner = DutyRunner(app, lambda *_: None)
    runner.start(duty(lambda _stop: str(go_on.wait(20))))
    before = time.monotonic()
    assert runner.join(0.1) is False
    assert time.monotonic() - before < 2
    go_on.set()
    assert runner.join(5)


def test_a_duty_that_exits_the_program_is_remembered_and_tried_again(app: Flask) -> None:
    runner, told = DutyRunner(app, lambda *_: None), Told(SystemExit(3), failures=2)
    runner.start(duty(told))
    assert eventually(lambda: told.count > 3)
    assert runner.dead is None
    assert runner.join(5)
    assert runner.dead is None  # it was asked to


def test_a_duty_that_nobody_does_any_more_is_told(app: Flask) -> None:
    runner = DutyRunner(app, lambda *_: None)
    runner._loop = lambda *_: None  # type: ignore[method-assign]
    runner.start(duty(Told()))
    assert eventually(lambda: runner.dead == "system:test")
