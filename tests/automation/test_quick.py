"""Work that is over within a second is not announced: one transaction does and ends it (JX2)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from app.automation import execution, worker
from app.automation.automation_base import Skip
from app.automation.scheduler import Handed
from app.models import AutomationRun, AutomationSchedule, Job
from tests.automation.tasks import QUICK, Chore, Chores, Engine, Thing, raises, registered, says
from tests.cast import MINUTE, NOON, SECOND

BOTH = pytest.mark.parametrize("cls", [Chore, Chores])


@pytest.fixture
def engine(app: Flask) -> Iterator[Engine]:
    with registered(Chore, Chores):
        engine = Engine(app)
        for cls in (Chore, Chores):
            engine.schedule(cls.__name__, cls)
        yield engine


def plan(engine: Engine, cls: type[Chore], *items: str) -> None:
    engine.plan(*items, schedule=cls.__name__, cls=cls)


def runs_seen_by(task: Any) -> list[str]:
    """The ledger's rows as they are while the task runs."""
    return list(task.session.scalars(sa.select(AutomationRun.item)))


@BOTH
def test_its_run_is_born_ended(engine: Engine, cls: type[Chore]) -> None:
    seen: list[list[str]] = []
    plan(engine, cls, "a", "b")
    Chore.acts = {"a": lambda task: seen.append(runs_seen_by(task)) or {"n": 2}}
    [line] = engine.tick(paces=QUICK)
    assert seen == [[]]
    assert engine.effects() == {"a": 1, "b": 1}
    assert engine.jobs() == {}
    run = engine.runs()["a"]
    assert (run.status, run.attempt, run.interruptions, run.trigger) == (
        "success",
        1,
        0,
        "schedule",
    )
    assert (run.due_at, run.started_at, run.finished_at) == (NOON, NOON, NOON)
    assert (run.occurrence, run.worker, run.duration_ms) == ("2026-03-02T12:00:00Z", "tester", 0)
    assert run.deadline_at is not None
    assert run.deadline_at > NOON
    assert run.result == ({"n": 2} if cls is Chore else {"done": 1})
    assert dict(line.ended) == {"success": 2}
    schedule = engine.the_schedule(cls.__name__)
    assert (schedule.last_run_status, schedule.execution_count) == ("success", 2)
    assert schedule.last_execution_id == engine.runs()["b"].execution_id


def test_only_what_has_shown_its_pace_is_quick() -> None:
    paces = worker.Paces()
    assert paces.fitting("Chore", 1.0) == 0
    paces.note("Chore", 2.0, 4)
    assert [paces.fitting("Chore", seconds) for seconds in (0.4, 0.5, 1.0)] == [0, 1, 2]
    paces.note("Chore", 0.0, 1)
    assert paces.fitting("Chore", 1.0) == 1_000_000


def test_a_slow_class_is_announced(engine: Engine) -> None:
    seen: list[list[str]] = []
    plan(engine, Chore, "a")
    Chore.acts = {"a": lambda task: seen.append(runs_seen_by(task))}
    paces = worker.Paces()
    paces.note("Chore", execution.SLICE_SECONDS * 1.01, 1)
    engine.tick(paces=paces)
    assert seen == [["a"]]


def test_who_has_nothing_to_do_is_skipped_and_the_others_are_not(engine: Engine) -> None:
    plan(engine, Chore, "a", "b", "c")
    Chore.acts = {"b": raises(Skip("too-few"))}
    engine.tick(paces=QUICK)
    assert engine.statuses() == {"a": "success", "b": "skipped", "c": "success"}
    assert engine.runs()["b"].reason == "too-few"
    assert engine.effects() == {"a": 1, "c": 1}
    assert engine.jobs() == {}


@BOTH
def test_one_that_raises_fails_alone_and_nothing_is_done_twice(
    engine: Engine, cls: type[Chore]
) -> None:
    plan(engine, cls, "a", "b", "c")
    Chore.acts = {"b": raises(ValueError("no"))}
    engine.tick(paces=QUICK)
    assert engine.statuses() == {"a": "success", "b": "queued", "c": "success"}
    assert engine.effects() == {"a": 1, "c": 1}
    assert list(engine.jobs()) == ["b"]


@BOTH
def test_what_the_ledger_knows_is_not_done_again(engine: Engine, cls: type[Chore]) -> None:
    plan(engine, cls, "a")
    engine.tick()
    plan(engine, cls, "a", "b")
    engine.tick(paces=QUICK)
    assert engine.effects() == {"a": 1, "b": 1}
    assert engine.jobs() == {}


@BOTH
def test_what_somebody_else_claimed_meanwhile_is_left_to_the_ledger(
    engine: Engine, cls: type[Chore]
) -> None:
    """Two claims of one job, as after a pause longer than a lease: one effect."""
    plan(engine, cls, "a", "b")
    ours = engine.claim()
    engine.now += MINUTE
    theirs = engine.claim()
    engine.run(ours, paces=QUICK)
    engine.run(theirs, paces=QUICK)
    assert engine.effects() == {"a": 1, "b": 1}
    assert engine.jobs() == {}


@BOTH
def test_work_may_take_its_own_job_away_or_plan_it_anew(engine: Engine, cls: type[Chore]) -> None:
    """As an expiry does: its invitation is over, so its job goes with it."""
    seen: list[list[str]] = []

    def take_away(task: Any) -> None:
        seen.append(runs_seen_by(task))
        task.session.execute(sa.delete(Job).where(Job.id.contains("/a/")))

    def plan_anew(task: Any) -> None:
        job = {"id": f"{cls.__name__}/b/PRODUCTION", "job_state": b"{}", "due": NOON}
        task.session.execute(sa.insert(Job).values(job))

    plan(engine, cls, "a", "b")
    Chore.acts = {"a": take_away, "b": plan_anew}
    engine.tick(paces=QUICK)
    assert seen == [[]]
    assert engine.effects() == {"a": 1, "b": 1}
    assert list(engine.jobs()) == ["b"]


def test_a_job_that_is_no_longer_ours_ends_the_quick_work(engine: Engine) -> None:
    seen: list[list[str]] = []
    plan(engine, Chore, "a", "b")
    Chore.acts = {"a": lambda task: seen.append(runs_seen_by(task))}
    ours = engine.claim()
    engine.sql(sa.update(Job).where(Job.id.contains("/b/")).values(claim="another"))
    engine.run(ours, paces=QUICK)
    assert seen == [["a"]]
    assert engine.effects() == {"a": 1, "b": 1}
    assert list(engine.jobs()) == ["b"]  # theirs to delete


def test_light_tasks_that_turn_out_slow_are_announced(engine: Engine) -> None:
    seen: list[list[str]] = []

    def slow(task: Any) -> None:
        seen.append(runs_seen_by(task))
        time.sleep(1.1 * execution.TOLERATED * execution.SLICE_SECONDS)

    plan(engine, Chore, "a", "b")
    Chore.acts = {"a": slow}
    engine.tick(paces=QUICK)
    assert seen == [[], ["a"]]  # once quickly, which came to nothing
    assert engine.effects() == {"a": 1, "b": 1}


def test_longer_than_it_may_take_is_a_timeout(engine: Engine) -> None:
    def dawdle(_task: Any) -> None:
        engine.now += 61 * SECOND

    engine.change(AutomationSchedule, timeout_seconds=60)
    plan(engine, Chore, "a")
    Chore.acts = {"a": dawdle}
    engine.tick(paces=QUICK)
    assert engine.statuses() == {"a": "timeout"}
    assert engine.effects() == {}


@BOTH
def test_after_a_death_it_is_done_carefully_and_the_death_counts(
    engine: Engine, cls: type[Chore]
) -> None:
    plan(engine, cls, "a", "b")
    Chore.acts = {"b": raises(KeyboardInterrupt())}
    ours = engine.claim()
    with pytest.raises(KeyboardInterrupt):
        engine.run(ours, paces=QUICK)
    assert (engine.effects(), engine.statuses()) == ({}, {})
    engine.now += MINUTE
    seen: list[list[str]] = []
    Chore.acts = {"b": lambda task: seen.append(runs_seen_by(task))}
    engine.tick(paces=QUICK)
    assert "b" in seen[0]
    assert engine.effects() == {"a": 1, "b": 1}
    assert {run.interruptions for run in engine.runs().values()} == {1}


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({"active": False}, {"a": "skipped", "b": "skipped"}),
        ({"misfire_grace_time": 30}, {"a": "missed", "b": "missed"}),
    ],
)
def test_what_is_off_or_too_late_is_not_run(engine: Engine, change: Any, ends: Any) -> None:
    plan(engine, Chore, "a", "b")
    engine.change(AutomationSchedule, **change)
    engine.tick(NOON + MINUTE, paces=QUICK)
    assert engine.statuses() == ends
    assert engine.effects() == {}
    assert engine.jobs() == {}


def test_one_that_rolls_back_takes_nothing_of_the_others(engine: Engine) -> None:
    plan(engine, Chore, "a", "b", "c")
    Chore.acts = {"b": lambda task: task.session.rollback()}
    engine.tick(paces=QUICK)
    assert engine.effects() == {"a": 1, "b": 1, "c": 1}
    assert set(engine.statuses().values()) == {"success"}


def test_an_odd_result_is_kept_as_the_careful_way_keeps_it(engine: Engine) -> None:
    odd = {"when": NOON, "names": ["Zoë", 'a"b'], 7: None}
    plan(engine, Chore, "a", "b")
    Chore.acts = {"a": says(odd), "b": says(odd)}
    engine.run(engine.claim(room=1))
    engine.tick(paces=QUICK)
    quick, careful = (engine.runs()[item].result for item in ("b", "a"))
    assert quick == careful
    assert quick is not None
    assert quick["names"] == ["Zoë", 'a"b']


def test_quick_work_that_hangs_loses_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = worker.Progress()
    handed = Handed(Future(), progress)
    monkeypatch.setattr(worker, "HANGS_SECONDS", 0.01)
    with progress.quickly():
        time.sleep(0.02)
        assert handed.hangs(NOON)
    assert not handed.hangs(NOON)  # what is announced has a time-out of its own


# --- few of many ---------------------------------------------------------------------------------


def _asked_of(engine: Engine, cls: type[Chore], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The items whose instants are asked for while `b` alone, of three, is due."""
    asked: list[str] = []

    def note(item: Thing) -> Any:
        asked.append(item.id)
        return item.at

    monkeypatch.setattr(cls, "get_event_dt", staticmethod(note))
    plan(engine, cls, "b")
    Chore.things = {"a": NOON, "b": NOON, "c": NOON}
    engine.tick()
    assert engine.effects() == {"b": 1}
    return asked


def test_of_many_items_those_that_are_due_are_looked_at(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(_asked_of(engine, Chore, monkeypatch)) == {"b"}


@pytest.mark.parametrize(
    "named",
    [
        classmethod(lambda cls, item, _schedule: [(item.id, cls.get_event_dt(item))]),
        staticmethod(lambda item, _schedule: [(item.id, Chore.get_event_dt(item))]),
    ],
)
def test_of_a_task_that_names_occurrences_itself_every_item_is_asked(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, named: Any
) -> None:
    monkeypatch.setattr(Chore, "occurrences", named)
    assert set(_asked_of(engine, Chore, monkeypatch)) == {"a", "b", "c"}
