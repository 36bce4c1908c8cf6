"""The loop claims and hands on, and nothing that happens in a pass ends it (F17, F25)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from app.automation import claims, sharing, sorting
from app.automation import scheduler as module
from app.automation.scheduler import PlanScheduler
from app.extensions import db
from app.models import AutomationSchedule, SchedulerEpoch
from app.services import runs
from tests.automation import tasks
from tests.automation.tasks import Chore, Engine, Pause, raises_with
from tests.cast import HOUR, NOON, SECOND

apps, engine = tasks.apps, tasks.engine
BROKEN = sa.exc.OperationalError("SELECT", {}, Exception("the server went away"))


def eventually(true: Callable[[], Any], seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def loop(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlanScheduler]:
    """A running scheduler whose clock is the engine's; it looks each tenth of a second."""
    monkeypatch.setattr(module, "LONGEST_SLEEP", 0.1)
    monkeypatch.setattr(module, "SIGN_OF_LIFE", 0.1)
    engine.sql(sa.insert(SchedulerEpoch).values(id=1, epoch=7))
    scheduler = PlanScheduler()
    scheduler.clock = lambda: engine.now
    scheduler.lines = []  # type: ignore[attr-defined]
    scheduler.run_in(
        engine.app, worker="loop", epoch=7, threads=2,
        report=scheduler.lines.append,  # type: ignore[attr-defined]
    )  # fmt: skip
    yield scheduler
    assert scheduler.stop(10)


def test_what_is_planned_while_it_sleeps_is_done_within_its_next_look(
    engine: Engine, loop: PlanScheduler
) -> None:
    engine.plan("sweep")
    assert eventually(lambda: engine.effects() == {"sweep": 1})
    assert engine.runs()["sweep"].worker == "loop"
    assert eventually(lambda: engine.jobs() == {})


def test_the_bell_wakes_it_at_once(
    engine: Engine, loop: PlanScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_SLEEP", 30.0)
    time.sleep(0.15)  # it sleeps the long sleep now
    engine.plan("sweep")
    loop.wakeup()
    assert eventually(lambda: engine.effects() == {"sweep": 1}, 5)


@pytest.mark.parametrize("broken", ["next_due", "claim"])
def test_a_database_error_in_a_pass_costs_one_look(
    engine: Engine, loop: PlanScheduler, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        with loop._passing:  # no look is under way that began before
            patch.setattr(claims, broken, raises_with(BROKEN))
        engine.plan("sweep")
        time.sleep(0.2)
        assert engine.effects() == {}
    assert eventually(lambda: engine.effects() == {"sweep": 1})


@pytest.mark.parametrize(
    ("where", "broken"),
    [
        (claims, "done"),
        (runs, "begin"),
        (runs, "succeed"),
        (runs, "remember"),
        (sorting, "terms_of"),
        (claims, "read_state"),
    ],
)
def test_a_database_error_while_running_costs_a_lease_or_a_minute(
    engine: Engine, loop: PlanScheduler, where: Any, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def breaks(*_args: Any, **_more: Any) -> Any:
        asked.set()
        raise BROKEN

    with monkeypatch.context() as patch:
        patch.setattr(where, broken, breaks)
        engine.plan("sweep")
        assert asked.wait(10)
        assert eventually(lambda: not loop.busy)
    engine.now += HOUR
    engine.plan("dust", due=engine.now)
    loop.wakeup()
    assert eventually(lambda: engine.effects() == {"sweep": 1, "dust": 1})
    assert eventually(lambda: engine.jobs() == {})
    assert set(engine.statuses().values()) == {"success"}


def test_leases_that_cannot_be_renewed_end_nothing(
    engine: Engine, loop: PlanScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause = Pause()
    Chore.acts = {"sweep": pause}
    engine.plan("sweep")
    assert pause.reached.wait(10)
    with monkeypatch.context() as patch:
        patch.setattr(claims, "keep", raises_with(BROKEN))
        time.sleep(0.2)
    engine.now += 20 * SECOND
    due = (engine.now + claims.LEASE).timestamp()
    assert eventually(lambda: engine.jobs()["sweep"].next_run_time == due)
    pause.go_on.set()
    assert eventually(lambda: engine.effects() == {"sweep": 1})


def test_a_table_that_vanishes_for_a_while_loses_nothing(
    engine: Engine, loop: PlanScheduler
) -> None:
    engine.plan("sweep", due=NOON + HOUR)
    engine.sql(sa.text("ALTER TABLE apscheduler_jobs RENAME TO gone"))
    engine.now += 2 * HOUR
    time.sleep(0.2)
    engine.sql(sa.text("ALTER TABLE gone RENAME TO apscheduler_jobs"))
    assert eventually(lambda: engine.effects() == {"sweep": 1})


def test_a_lease_is_renewed_while_its_task_works(engine: Engine, loop: PlanScheduler) -> None:
    pause = Pause()
    Chore.acts = {"sweep": pause}
    engine.plan("sweep")
    assert pause.reached.wait(10)
    for _ in range(3):
        engine.now += 20 * SECOND
        due = (engine.now + claims.LEASE).timestamp()
        assert eventually(lambda due=due: engine.jobs()["sweep"].next_run_time == due)
    pause.go_on.set()
    assert eventually(lambda: engine.effects() == {"sweep": 1})
    assert engine.runs()["sweep"].attempt == 1


def test_what_takes_too_long_is_ended_while_it_still_hangs(
    engine: Engine, loop: PlanScheduler
) -> None:
    pause = Pause()
    Chore.acts = {"sweep": pause}
    engine.change(AutomationSchedule, timeout_seconds=20)
    engine.plan("sweep")
    assert pause.reached.wait(10)
    engine.now += 19 * SECOND
    time.sleep(0.2)
    assert engine.statuses() == {"sweep": "running"}
    engine.now += SECOND
    assert eventually(lambda: engine.statuses() == {"sweep": "timeout"})
    pause.go_on.set()
    assert eventually(lambda: engine.jobs() == {})
    assert engine.effects() == {}


def test_who_is_replaced_claims_nothing_more_and_notices_it_idle(
    engine: Engine, loop: PlanScheduler
) -> None:
    engine.change(SchedulerEpoch, epoch=8)
    assert eventually(lambda: loop.fenced)
    engine.plan("sweep")
    time.sleep(0.2)
    assert engine.jobs()["sweep"].claim is None


def test_asked_to_stop_it_finishes_what_it_does(engine: Engine, loop: PlanScheduler) -> None:
    pause = Pause()
    Chore.acts = {"a": pause}
    engine.plan("a", "b", "c")
    assert pause.reached.wait(10)
    assert loop.stop(0.05) is False
    threading.Timer(0.1, pause.go_on.set).start()
    assert loop.stop(10) is True
    assert engine.effects() == {"a": 1}
    assert {j.claim for j in engine.jobs().values()} == {None}
    assert sorted(engine.jobs()) == ["b", "c"]


@pytest.fixture
def claimed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pause]:
    """Where a pass stops that has claimed and not yet handed on."""
    pause, split = Pause(), sharing.split

    def slow(*args: Any) -> Any:
        pause.reached.set()
        assert pause.go_on.wait(10)
        return split(*args)

    monkeypatch.setattr(sharing, "split", slow)
    yield pause
    pause.go_on.set()


def test_what_is_claimed_and_not_yet_handed_on_is_busy(
    engine: Engine, loop: PlanScheduler, claimed: Pause
) -> None:
    at_work = Pause()
    Chore.acts = {"sweep": at_work}
    engine.plan("sweep")
    assert claimed.reached.wait(10)
    with ThreadPoolExecutor(1) as asker:
        busy = asker.submit(lambda: loop.busy)
        time.sleep(0.1)
        assert not busy.done()
        claimed.go_on.set()
        assert busy.result(10) == 1
    at_work.go_on.set()
    assert eventually(lambda: not loop.busy)


def test_asked_to_stop_while_it_claims_it_can_still_hand_on(
    engine: Engine, loop: PlanScheduler, claimed: Pause, caplog: pytest.LogCaptureFixture
) -> None:
    engine.plan("sweep")
    assert claimed.reached.wait(10)
    with ThreadPoolExecutor(1) as stopper:
        stopped = stopper.submit(loop.stop, 10)
        time.sleep(0.1)
        assert not stopped.done()
        claimed.go_on.set()
        assert stopped.result(10) is True
    assert engine.jobs()["sweep"].claim is None  # given back: it had not begun
    assert caplog.messages == []


def test_a_pass_that_hangs_keeps_nobody_from_stopping(
    engine: Engine, loop: PlanScheduler, claimed: Pause
) -> None:
    engine.plan("sweep")
    assert claimed.reached.wait(10)
    before = time.monotonic()
    assert loop.stop(0.05) is False
    assert time.monotonic() - before < 5


def test_started_and_stopped_again_it_leaves_no_thread(engine: Engine) -> None:
    engine.sql(sa.insert(SchedulerEpoch).values(id=1, epoch=7))
    before = threading.active_count()
    for n in range(5):
        scheduler = PlanScheduler()
        scheduler.clock = lambda: engine.now
        scheduler.run_in(engine.app, worker="w", epoch=7, threads=2, report=lambda _line: None)
        engine.plan(f"i{n}")
        scheduler.wakeup()
        assert eventually(lambda n=n: engine.effects()[f"i{n}"] == 1)
        assert scheduler.stop(5)
    assert eventually(lambda: threading.active_count() <= before, 3)


def test_a_pass_that_ends_is_seen(engine: Engine, loop: PlanScheduler) -> None:
    before = loop.last_pass
    assert eventually(lambda: loop.last_pass > before)


def test_a_sign_of_life_is_left_in_the_database(engine: Engine, loop: PlanScheduler) -> None:
    def seen() -> Any:
        with engine.app.app_context():
            return db.session.scalar(sa.select(SchedulerEpoch.seen_at))

    assert eventually(lambda: seen() == NOON)
