"""What becomes of due jobs, whatever they do (reliability JX, schedules X, waitlist WA8–WA10)."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.automation import execution, registry
from app.automation.automation_base import Failed, Late, Skip
from app.extensions import db, write
from app.models import AutomationClasses, AutomationRun, AutomationSchedule, Job
from app.models.bulk import among
from app.models.rules import Environment, rules_of
from app.services import plan, runs, runs_by_hand
from tests import databases
from tests.automation import tasks
from tests.automation.tasks import (
    EFFECTS,
    QUICK,
    SLOW,
    Chore,
    Chores,
    Engine,
    Paced,
    Pause,
    raises,
    registered,
    says,
)
from tests.cast import DAY, HOUR, MINUTE, NOON, SECOND

LEASE_OVER = 31 * SECOND
apps, engine = tasks.apps, tasks.engine


# --- what is due runs, once ----------------------------------------------------------------------


def test_a_due_job_runs_once_and_everyone_knows(engine: Engine) -> None:
    engine.plan("sweep")
    [line] = engine.tick(NOON + SECOND)
    run = engine.runs()["sweep"]
    assert (run.status, run.attempt, run.trigger) == ("success", 1, "schedule")
    assert run.occurrence == "2026-03-02T12:00:00Z"
    assert (run.duration_ms, run.finished_at, run.worker) == (0, NOON + SECOND, "tester")
    assert engine.jobs() == {}
    assert engine.effects() == {"sweep": 1}
    assert (line.schedule, dict(line.ended), line.error) == ("chores", {"success": 1}, None)
    schedule = engine.the_schedule()
    assert (schedule.last_run_status, schedule.execution_count) == ("success", 1)
    assert (schedule.last_execution_id, schedule.last_run_error) == (run.execution_id, None)
    assert schedule.last_execution_at == NOON + SECOND


def test_what_is_not_due_waits(engine: Engine) -> None:
    engine.plan("sweep", due=NOON + SECOND)
    assert engine.tick() == []
    assert engine.effects() == {}
    assert list(engine.jobs()) == ["sweep"]


@pytest.mark.parametrize(
    "ended", ["success", "failed", "skipped", "missed", "cancelled", "timeout"]
)
def test_what_ended_is_never_run_again(engine: Engine, ended: str) -> None:
    engine.plan("sweep")
    engine.tick()
    engine.change(AutomationRun, status=ended)
    engine.plan("sweep")
    assert engine.tick(NOON + HOUR) == []
    assert engine.effects() == {"sweep": 1}
    assert engine.statuses() == {"sweep": ended}
    assert engine.jobs() == {}


def test_another_instant_is_another_occurrence(engine: Engine) -> None:
    engine.plan("sweep")
    engine.tick()
    engine.plan("sweep", due=NOON + DAY)
    engine.tick(NOON + DAY)
    assert engine.effects() == {"sweep": 2}


def test_what_the_tasks_count_is_added_up_and_kept(engine: Engine) -> None:
    engine.plan("one", "two")
    Chore.acts = {"one": says({"letters": 2, "names": ["Ada"]}), "two": says({"letters": 3})}
    lines = engine.tick()
    assert sum((line.counters for line in lines), start=type(lines[0].counters)()) == {"letters": 5}
    assert engine.runs()["one"].result == {"letters": 2, "names": ["Ada"]}
    assert engine.statuses() == {"one": "success", "two": "success"}


def test_a_run_lasts_as_long_as_its_own_work(engine: Engine) -> None:
    engine.plan(*"abcd")

    def work(_task: Any) -> None:
        engine.now += 2 * SECOND

    Chore.acts = dict.fromkeys("abcd", work)
    Chore.acts["b"] = lambda task: (work(task), execution.time.sleep(1.2 * execution.SLICE_SECONDS))
    engine.tick(paces=SLOW)
    assert engine.runs()["a"].duration_ms == 2000
    assert max(run.duration_ms or 0 for run in engine.runs().values()) <= 4000


# --- one bad item --------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [Chore, Chores])
def test_one_bad_item_of_twenty_stops_no_other(
    engine: Engine, cls: Any, caplog: pytest.LogCaptureFixture
) -> None:
    engine.schedule("mixed", cls)
    items = [f"i{n:02}" for n in range(20)]
    engine.plan(*items, schedule="mixed", cls=cls)
    Chore.acts = {"i07": raises(ValueError("broken broom"))}
    [line] = engine.tick()
    assert dict(line.ended) == {"success": 19, "failed": 1}
    assert engine.effects() == dict.fromkeys([i for i in items if i != "i07"], 1)
    bad = engine.runs()["i07"]
    assert (bad.status, bad.error, bad.error_type) == ("queued", "broken broom", "ValueError")
    assert "raise error" in (bad.traceback or "")
    assert bad.not_before is not None
    assert timedelta(seconds=54) <= bad.not_before - NOON <= timedelta(seconds=66)
    job = engine.jobs()["i07"]
    assert (job.last_error, job.claim) == ("broken broom", None)
    assert job.next_run_time == pytest.approx(bad.not_before.timestamp(), abs=0.01)
    assert "run failed" in caplog.text
    assert engine.the_schedule("mixed").last_run_error == "ValueError: broken broom"


def test_it_backs_off_twice_as_long_each_time_and_fails_after_ten(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.plan("sweep")
    Chore.acts = {"sweep": raises(ValueError("broken broom"))}
    waits = []
    for _ in range(9):
        engine.tick()
        at = engine.runs()["sweep"].not_before
        assert at is not None
        assert engine.tick(at - SECOND) == []
        waits.append((at - engine.now + SECOND) / MINUTE)
        engine.now = at
    whole = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert [round(wait / n, 1) for wait, n in zip(waits, whole, strict=True)]
    Chore.things["sweep"] = NOON
    caplog.clear()
    engine.tick()
    run = engine.runs()["sweep"]
    assert (run.status, run.attempt, run.error) == ("failed", 10, "broken broom")
    assert engine.jobs() == {}
    assert [r.levelname for r in caplog.records if "run failed" in r.message] == ["ERROR"]
    schedule = engine.the_schedule()
    assert (schedule.execution_count, schedule.consecutive_failures) == (1, 10)


@pytest.mark.parametrize("failed", range(1, 10))
def test_the_waits_are_one_two_four_minutes_give_or_take_a_tenth(failed: int) -> None:
    wait = min(2 ** (failed - 1), 60) * MINUTE
    for jitter in (-0.1, 0.0, 0.1):
        assert execution.BACKOFF.next_try(failed, NOON, jitter) == NOON + wait * (1 + jitter)
    assert all(-0.1 <= execution._jitter() <= 0.1 for _ in range(100))


def test_a_success_forgives_the_failures_before(engine: Engine) -> None:
    engine.plan("sweep")
    Chore.acts = {"sweep": raises(ValueError("broken broom"))}
    engine.tick()
    Chore.acts = {}
    engine.tick(NOON + 2 * MINUTE)
    run, schedule = engine.runs()["sweep"], engine.the_schedule()
    assert (run.status, run.attempt, run.error, run.traceback) == ("success", 2, None, None)
    assert (run.not_before, run.error_type) == (None, None)
    assert (schedule.consecutive_failures, schedule.last_run_error) == (0, None)
    assert schedule.execution_count == 1


def test_too_late_for_another_try_it_fails_at_once(engine: Engine) -> None:
    engine.change(AutomationSchedule, misfire_grace_time=30)
    engine.plan("sweep")
    Chore.acts = {"sweep": raises(ValueError("broken broom"))}
    engine.tick()
    assert engine.statuses() == {"sweep": "failed"}
    assert engine.jobs() == {}


@pytest.mark.parametrize("outcome", [False, {"success": False, "message": "no water"}])
def test_false_is_failed(engine: Engine, outcome: Any) -> None:
    engine.plan("sweep")
    Chore.acts = {"sweep": says(outcome)}
    engine.tick()
    run = engine.runs()["sweep"]
    assert (run.status, run.error_type) == ("queued", "Failed")
    assert engine.effects() == {}
    assert Chore.torn_down[-1:] == ["sweep"]


def test_nothing_to_do_is_skipped_with_its_reason(engine: Engine) -> None:
    engine.plan("sweep", "dust")
    Chore.acts = {"sweep": raises(Skip("the floor is clean"))}
    engine.tick()
    run = engine.runs()["sweep"]
    assert (run.status, run.reason) == ("skipped", "the floor is clean")
    assert engine.effects() == {"dust": 1}
    assert engine.jobs() == {}


def test_a_skip_in_a_batch_skips_only_its_own(engine: Engine) -> None:
    engine.schedule("mixed", Chores)
    engine.plan(*"abc", schedule="mixed", cls=Chores)
    Chore.acts = {"b": raises(Skip("clean"))}
    engine.tick()
    assert engine.statuses() == {"a": "success", "b": "skipped", "c": "success"}
    assert engine.effects() == {"a": 1, "c": 1}


def test_a_task_that_exits_the_program_has_failed(engine: Engine) -> None:
    engine.plan("sweep", "dust")
    Chore.acts = {"sweep": raises(SystemExit(3))}
    engine.tick()
    assert engine.runs()["sweep"].error == "it called sys.exit(3)"
    assert engine.effects() == {"dust": 1}


def test_a_task_that_rolls_back_takes_nobodys_work_with_it(engine: Engine) -> None:
    items = [f"i{n}" for n in range(9)]
    engine.plan(*items)
    Chore.acts = {"i7": lambda task: task.session.rollback()}
    engine.tick()
    assert engine.statuses() == dict.fromkeys(items, "success")
    assert engine.effects() == dict.fromkeys(items, 1)


def test_a_savepoint_of_a_task_is_its_own_business(engine: Engine) -> None:
    def attempt(task: Any) -> None:
        inner = task.session.begin_nested()
        task.session.execute(sa.insert(EFFECTS).values(item="never"))
        inner.rollback()

    engine.plan(*"abc")
    Chore.acts = {"b": attempt}
    engine.tick()
    assert engine.effects() == {"a": 1, "b": 1, "c": 1}
    assert Chore.torn_down == ["a", "b", "c"]  # nobody had to do it again


def test_a_database_error_that_a_task_swallows_fails_nobody_else(engine: Engine) -> None:
    def swallow(task: Any) -> None:
        with pytest.raises(sa.exc.DBAPIError):
            task.session.execute(sa.text("SELECT * FROM nowhere"))

    engine.plan(*[f"i{n}" for n in range(6)])
    Chore.acts = {"i3": swallow}
    engine.tick()
    ended = engine.statuses()
    assert {item for item, status in ended.items() if status == "success"} >= {
        "i0", "i1", "i2", "i4", "i5"
    }  # fmt: skip


def test_an_odd_result_fails_nobody(engine: Engine) -> None:
    engine.plan(*"abc")
    Chore.acts = {"b": says({"when": NOON, ("a", 1): 2, "deep": {"x": [1, {"y": None}]}})}
    engine.tick()
    assert engine.statuses() == dict.fromkeys("abc", "success")
    assert engine.runs()["b"].result == {"when": str(NOON), "deep": {"x": [1, {"y": None}]}}


# --- what cannot be read -------------------------------------------------------------------------


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


def the_pickle(path: str) -> bytes:
    import pickle  # noqa: TID251  what somebody planted

    return pickle.dumps(Bomb(path))


NONSENSE = {
    "no JSON": b"{",
    "empty": b"",
    "not UTF-8": b"\xff\xfe{}",
    "null": b"null",
    "a number": b"5",
    "a list": b"[]",
    "another version": b'{"v": 2, "args": ["a", "chores", "Chore"], "kwargs": {}}',
    "two arguments": b'{"v": 1, "args": ["a", "chores"], "kwargs": {}}',
    "a number as item": b'{"v": 1, "args": [1, "chores", "Chore"], "kwargs": {}}',
    "a text as arguments": b'{"v": 1, "args": "abc", "kwargs": {}}',
    "keywords": b'{"v": 1, "args": ["a", "chores", "Chore"], "kwargs": {"x": 1}}',
    "nested too deep": b"[" * 100_000,
    "1 MB": b"\x80" + b"x" * 1_000_000,
    "1 MB of version": b'{"v": "' + b"9" * 1_000_000 + b'", "args": [], "kwargs": {}}',
    "unknown class": b'{"v": 1, "args": ["a", "chores", "Gone"], "kwargs": {}}',
}


@pytest.mark.parametrize("state", NONSENSE.values(), ids=NONSENSE.keys())
def test_what_cannot_be_read_is_parked_never_run_never_deleted(
    engine: Engine, state: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    engine.raw_job("planted", state)
    engine.plan("sweep")
    engine.tick()
    job = engine.jobs()["planted"]
    assert (job.next_run_time, job.claim, job.job_state) == (None, None, state)
    assert 5 < len(job.last_error or "") < 200
    assert "job parked: job=planted" in caplog.text
    assert max(len(record.getMessage()) for record in caplog.records) < 1000
    assert engine.effects() == {"sweep": 1}
    engine.tick(NOON + DAY)
    assert list(engine.jobs()) == ["planted"]


def test_a_pickle_in_the_table_never_runs(engine: Engine, tmp_path: Any) -> None:
    made = tmp_path / "made"
    engine.raw_job("evil", the_pickle(str(made)))
    engine.raw_job("evil/1/PRODUCTION", the_pickle(str(made)))
    engine.tick()
    assert not made.exists()
    assert all(job.next_run_time is None and job.last_error for job in engine.jobs().values())


def test_a_pickle_of_the_control_does_make_its_file(tmp_path: Any) -> None:
    import pickle  # noqa: TID251  to see that the test above could fail

    pickle.loads(the_pickle(str(tmp_path / "made"))).close()
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize("kind", ["sqlite"])
def test_a_text_that_somebody_typed_into_the_table_stops_nobody(engine: Engine) -> None:
    engine.raw_job("typed", "hello")
    engine.plan("sweep")
    engine.tick()
    assert engine.effects() == {"sweep": 1}
    with engine.app.app_context():
        row = db.session.execute(sa.text("SELECT next_run_time, last_error FROM apscheduler_jobs"))
        assert row.one() == (None, "its state is no JSON of ours")


def test_a_class_that_comes_back_runs_what_was_parked_for_it(engine: Engine) -> None:
    engine.plan("sweep")
    known = registry._registered.pop("Chore")
    engine.tick()
    assert engine.jobs()["sweep"].last_error == "class missing: Chore"
    assert engine.runs() == {}
    registry._registered["Chore"] = known
    engine.change(Job, next_run_time=NOON.timestamp())  # as renew does
    engine.tick()
    assert engine.effects() == {"sweep": 1}


# --- all is looked at again ----------------------------------------------------------------------


def test_what_is_gone_is_skipped(engine: Engine) -> None:
    engine.plan("sweep", "dust")
    del Chore.things["sweep"]
    engine.tick()
    run = engine.runs()["sweep"]
    assert (run.status, run.reason, run.started_at) == ("skipped", "gone", None)
    assert engine.effects() == {"dust": 1}
    assert engine.jobs() == {}


def test_what_moved_is_planned_again(engine: Engine) -> None:
    engine.plan("sweep")
    Chore.things["sweep"] = NOON + DAY
    assert engine.tick() == []
    job = engine.jobs()["sweep"]
    assert (job.due, job.next_run_time) == (NOON + DAY, (NOON + DAY).timestamp())
    assert (job.claim, job.attempts) == (None, 0)
    assert engine.runs() == {}
    engine.tick(NOON + DAY)
    assert engine.effects() == {"sweep": 1}


def test_what_comes_too_late_is_missed_with_one_warning(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.change(AutomationSchedule, misfire_grace_time=60)
    engine.plan("sweep")
    engine.tick(NOON + 61 * SECOND)
    assert engine.statuses() == {"sweep": "missed"}
    assert engine.effects() == {}
    engine.plan("sweep")
    engine.tick()
    warned = [r for r in caplog.records if "scheduler in the past" in r.message]
    assert [(r.levelname, r.getMessage()) for r in warned] == [
        (
            "WARNING",
            "job is scheduler in the past: 2026-03-02 12:00:00+00:00\n"
            "task will probably be ignored event_dt: 2026-03-02 12:00:00+00:00",
        )
    ]
    assert warned[0].name.startswith("app.automation")


@pytest.mark.parametrize("late", [0, 15, 60])
def test_within_its_grace_and_never_below_fifteen_seconds_it_runs(
    engine: Engine, late: int
) -> None:
    engine.change(AutomationSchedule, misfire_grace_time=0 if late < 60 else 60)
    engine.plan("sweep")
    engine.tick(NOON + late * SECOND)
    assert engine.effects() == {"sweep": 1}


def test_a_class_that_is_never_too_late_runs_after_three_days(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Chore, "late", Late.ALWAYS)
    monkeypatch.setattr(Chore, "misfire_grace_time", None)
    engine.plan(*[f"i{n}" for n in range(200)])
    engine.tick(NOON + 3 * DAY)
    assert set(engine.statuses().values()) == {"success"}


def off(engine: Engine, **values: Any) -> None:
    engine.change(AutomationSchedule, **values)


@pytest.mark.parametrize(
    ("reason", "how"),
    [
        ("schedule-off", lambda e: e.change(AutomationSchedule, active=False)),
        ("schedule-paused", lambda e: e.change(AutomationSchedule, paused_at=NOON)),
        ("class-disabled", lambda e: e.change(AutomationClasses, enabled=False)),
    ],
)
def test_what_is_switched_off_is_skipped_with_the_reason(
    engine: Engine, reason: str, how: Any
) -> None:
    engine.plan("sweep")
    how(engine)
    engine.tick()
    run = engine.runs()["sweep"]
    assert (run.status, run.reason) == ("skipped", reason)
    assert engine.effects() == {}
    assert engine.jobs() == {}


@pytest.mark.parametrize("change", [{"deleted_at": NOON}, {"name": "housework"}])
def test_the_job_of_a_schedule_that_is_deleted_or_renamed_is_dropped(
    engine: Engine, change: dict[str, Any]
) -> None:
    engine.plan("sweep")
    engine.change(AutomationSchedule, **change)
    engine.tick()
    assert (engine.jobs(), engine.runs(), engine.effects()) == ({}, {}, {})


def test_pausing_in_the_middle_of_many_stops_the_rest(engine: Engine) -> None:
    items = [f"i{n:03}" for n in range(10)]
    engine.plan(*items)

    def pause(_task: Any) -> None:
        with engine.app.app_context(), write(db.session):
            db.session.execute(sa.update(AutomationSchedule).values(paused_at=NOON))

    Chore.acts = {"i000": pause}
    engine.tick()
    assert engine.statuses() == {"i000": "success"} | dict.fromkeys(items[1:], "skipped")


def test_an_item_whose_date_cannot_be_read_is_tried_again_not_forgotten(engine: Engine) -> None:
    engine.plan("unreadable", "dust")
    engine.tick()
    assert engine.statuses() == {"dust": "success"}
    job = engine.jobs()["unreadable"]
    assert (job.last_error, job.claim) == ("no date of this world", None)
    assert 54 <= (job.next_run_time or 0) - NOON.timestamp() <= 66


def test_a_class_whose_items_cannot_be_listed_is_tried_again_and_stops_no_other(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Chore):
        @staticmethod
        def query() -> Any:
            raise RuntimeError("no list")

    with registered(Broken):
        engine.schedule("broken", Broken)
        engine.plan("hang", schedule="broken", cls=Broken)
        engine.plan("sweep")
        engine.tick()
    assert engine.effects() == {"sweep": 1}
    assert engine.jobs()["hang"].last_error == "no list"


def test_jobs_of_another_environment_are_not_touched(engine: Engine) -> None:
    with engine.app.app_context(), write(db.session):
        Chore.things["sweep"] = NOON
        job = plan.alarm("chores", "Chore", "sweep", Environment.DEVELOPMENT, NOON)
        db.session.execute(sa.insert(Job), job)
    before = engine.jobs()["sweep"]
    assert engine.tick() == []
    after = engine.jobs()["sweep"]
    assert (after.claim, after.attempts, after.next_run_time) == (None, 0, before.next_run_time)


def test_twins_have_one_effect(engine: Engine) -> None:
    engine.plan("sweep")
    with engine.app.app_context(), write(db.session):
        twin = plan.alarm("chores", "Chore", "sweep", rules_of(db.session).environment, NOON)
        db.session.execute(sa.insert(Job), twin | {"id": "chores/twin/PRODUCTION"})
    engine.tick()
    assert engine.effects() == {"sweep": 1}
    assert engine.statuses() == {"sweep": "success"}
    engine.tick(NOON + LEASE_OVER)
    assert engine.jobs() == {}


# --- DEVELOPMENT ---------------------------------------------------------------------------------


def test_in_development_the_task_sees_the_true_time_of_its_occurrence(url: str) -> None:
    with registered(Chore):
        engine = Engine(databases.app_on(url, environment="DEVELOPMENT"))
        engine.schedule()
        seen = []
        Chore.acts = {"sweep": lambda task: seen.append((task.now, task.as_of))}
        engine.plan("sweep", at=NOON + DAY)
        engine.tick()
        assert engine.effects() == {"sweep": 1}
        assert seen == [(NOON, NOON + DAY)]


# --- lost: cancelled, timed out, taken over ------------------------------------------------------


class Executing:
    """`sweep` is being done, and stands still before it writes."""

    def __init__(self, engine: Engine, **schedule: Any) -> None:
        self.engine, self.pause = engine, Pause()
        if schedule:
            engine.change(AutomationSchedule, **schedule)
        engine.plan("sweep")
        Chore.acts = {"sweep": self.pause}
        self.pool = ThreadPoolExecutor(1)
        self.future: Future[Any] = self.pool.submit(engine.run, engine.claim())
        assert self.pause.reached.wait(20)

    def finish(self) -> Any:
        self.pause.go_on.set()
        lines = self.future.result(timeout=20)
        self.pool.shutdown()
        return lines


def cancel(engine: Engine) -> None:
    with engine.app.app_context(), write(db.session):
        run = db.session.scalars(sa.select(AutomationRun)).one()
        runs_by_hand.cancel_run(db.session(), run, engine.now)


def time_passes(engine: Engine) -> None:
    engine.now += 2 * HOUR


def take_over(engine: Engine) -> None:
    """The lease is over, another worker begins the run anew, and waits for its next try."""
    other = engine.claim(now=engine.now + LEASE_OVER)
    assert [job.attempts for job in other] == [2]
    with engine.app.app_context(), write(db.session):
        row = db.session.scalars(sa.select(AutomationRun)).one()
        wanted = runs.Wanted(row.schedule_id, row.item, row.occurrence, NOON)
        runs.begin(db.session(), [wanted], engine.now, "another")


LOSSES = {"cancelled": cancel, "timeout": time_passes, "running": take_over}


@pytest.mark.parametrize(("left", "lose"), LOSSES.items(), ids=LOSSES.keys())
def test_who_lost_the_run_leaves_nothing(engine: Engine, left: str, lose: Any) -> None:
    executing = Executing(engine)
    lose(engine)
    executing.finish()
    assert engine.effects() == {}
    assert engine.statuses() == {"sweep": left}


@pytest.mark.parametrize(("left", "lose"), LOSSES.items(), ids=LOSSES.keys())
def test_without_the_guard_all_of_it_would_stay(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, left: str, lose: Any
) -> None:
    def succeed(session: Any, begun: Any, now: Any, results: Any) -> None:
        r = AutomationRun
        mine = sa.update(r).where(among(r.id, [run.id for run in begun]))
        session.execute(mine.values(status="success"))

    monkeypatch.setattr(runs, "succeed", succeed)
    executing = Executing(engine)
    lose(engine)
    executing.finish()
    assert engine.effects() == {"sweep": 1}  # the harm: done, though it was called off


@pytest.mark.parametrize("kind", ["postgresql"])
def test_a_cancel_after_the_task_wrote_wins_too(engine: Engine) -> None:
    executing = Executing(engine)
    Chore.acts["sweep"] = None  # type: ignore[assignment]
    cancel(engine)
    executing.finish()
    assert engine.effects() == {}


def test_a_lost_run_takes_no_other_with_it(engine: Engine) -> None:
    pause = Pause()
    engine.plan("a", "b", "c")
    Chore.acts = {"b": pause}
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(engine.tick, paces=SLOW)
        assert pause.reached.wait(20)
        with engine.app.app_context(), write(db.session):
            r = AutomationRun
            run = db.session.scalars(sa.select(r).where(r.item == "b")).one()
            runs_by_hand.cancel_run(db.session(), run, NOON)
        pause.go_on.set()
        future.result(20)
    assert engine.effects() == {"a": 1, "c": 1}
    assert engine.statuses() == {"a": "success", "b": "cancelled", "c": "success"}


def test_what_failed_after_it_was_cancelled_stays_cancelled(engine: Engine) -> None:
    executing = Executing(engine)
    cancel(engine)
    Chore.things.pop("sweep")
    executing.pause.go_on.set()
    executing.finish()
    assert engine.statuses() == {"sweep": "cancelled"}
    assert engine.the_schedule().consecutive_failures == 0


def test_a_timeout_is_recorded_and_never_tried_again(engine: Engine) -> None:
    executing = Executing(engine, timeout_seconds=60)
    engine.now += 61 * SECOND
    [line] = executing.finish()
    run, schedule = engine.runs()["sweep"], engine.the_schedule()
    assert (run.status, run.finished_at) == ("timeout", engine.now)
    assert dict(line.ended) == {"timeout": 1}
    assert (schedule.last_run_status, schedule.consecutive_failures) == ("timeout", 1)
    assert (schedule.last_execution_id, schedule.last_execution_at) == (run.execution_id, NOON)
    assert schedule.last_run_error == line.error == "it took longer than it may"
    assert schedule.execution_count == 1
    assert engine.jobs() == {}


def test_within_its_time_it_succeeds(engine: Engine) -> None:
    executing = Executing(engine, timeout_seconds=60)
    engine.now += 59 * SECOND
    executing.finish()
    assert engine.statuses() == {"sweep": "success"}


# --- a worker that died --------------------------------------------------------------------------


def die(engine: Engine, **more: Any) -> None:
    """Claim, begin, and never be heard of again."""
    jobs = engine.claim()
    with pytest.raises(KeyboardInterrupt):
        engine.run(jobs, **more)
    engine.now += LEASE_OVER


def test_after_a_death_it_is_done_with_the_next_attempt(engine: Engine) -> None:
    engine.plan("sweep")
    Chore.acts = {"sweep": raises(KeyboardInterrupt())}
    die(engine)
    assert engine.statuses() == {"sweep": "running"}
    Chore.acts = {}
    engine.tick()
    run = engine.runs()["sweep"]
    assert (run.status, run.attempt, run.interruptions) == ("success", 2, 1)
    assert engine.effects() == {"sweep": 1}


def test_before_its_lease_ends_nobody_else_takes_it(engine: Engine) -> None:
    engine.plan("sweep")
    Chore.acts = {"sweep": raises(KeyboardInterrupt())}
    die(engine)
    engine.now -= 2 * SECOND
    assert engine.claim() == []


def test_after_the_third_death_it_failed(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    engine.plan("sweep")
    Chore.acts = {"sweep": raises(KeyboardInterrupt())}
    for _ in range(3):
        die(engine)
    engine.tick()
    run = engine.runs()["sweep"]
    assert (run.status, run.attempt, run.interruptions) == ("failed", 3, 3)
    assert run.error == "interrupted 3 times: its worker died"
    assert engine.jobs() == {}
    assert "interrupted 3 times" in caplog.text
    schedule = engine.the_schedule()
    assert (schedule.last_run_status, schedule.consecutive_failures) == ("failed", 1)


@pytest.mark.parametrize("cls", [Chore, Chores])
def test_who_kills_its_worker_takes_none_of_the_others_along(engine: Engine, cls: Any) -> None:
    items = [f"i{n}" for n in range(8)]
    engine.schedule("deadly", cls)
    engine.plan(*items, schedule="deadly", cls=cls)
    Chore.acts = {"i4": raises(KeyboardInterrupt())}
    for _ in range(3):
        die(engine)
    engine.tick()
    innocent = [item for item in items if item != "i4"]
    assert engine.statuses() == dict.fromkeys(innocent, "success") | {"i4": "failed"}
    assert engine.effects() == dict.fromkeys(innocent, 1)


@pytest.mark.parametrize(
    ("how", "status"),
    [
        (lambda e: e.change(AutomationSchedule, active=False), "skipped"),
        (lambda e: Chore.things.pop("sweep"), "skipped"),
        (lambda e: e.change(AutomationSchedule, misfire_grace_time=15), "missed"),
    ],
)
def test_a_dead_run_that_will_not_go_on_ends(engine: Engine, how: Any, status: str) -> None:
    engine.plan("sweep")
    Chore.acts = {"sweep": raises(KeyboardInterrupt())}
    die(engine)
    how(engine)
    engine.tick()
    assert engine.statuses() == {"sweep": status}
    assert engine.jobs() == {}


# --- asked to stop -------------------------------------------------------------------------------


def test_asked_to_stop_it_finishes_what_it_does_and_gives_back_the_rest(engine: Engine) -> None:
    items = [f"i{n}" for n in range(5)]
    engine.plan(*items)
    engine.run(engine.claim(), stopping=lambda: bool(Chore.torn_down))
    assert engine.effects() == {"i0": 1}
    left = engine.jobs()
    assert sorted(left) == items[1:]
    assert {(j.claim, j.attempts, j.next_run_time) for j in left.values()} == {
        (None, 0, NOON.timestamp())
    }
    assert engine.statuses() == {"i0": "success"}


# --- through the documented door -----------------------------------------------------------------


def by_hand(engine: Engine, item: str = "sweep") -> bool:
    with engine.app.app_context():
        return execution.run(item, "chores", "Chore", clock=lambda: engine.now)


def test_by_hand_it_is_done_and_recorded_and_its_job_goes(engine: Engine) -> None:
    engine.plan("sweep")
    assert by_hand(engine) is True
    assert (engine.effects(), engine.jobs()) == ({"sweep": 1}, {})
    assert engine.runs()["sweep"].worker == "console"
    assert by_hand(engine) is False
    assert engine.effects() == {"sweep": 1}


def test_by_hand_without_a_job_it_is_done_too(engine: Engine) -> None:
    Chore.things["sweep"] = NOON
    assert by_hand(engine) is True
    assert engine.statuses() == {"sweep": "success"}


def test_by_hand_what_somebody_is_at_is_left_to_them(engine: Engine) -> None:
    engine.plan("sweep")
    engine.claim()
    assert by_hand(engine) is False
    assert engine.effects() == {}


def test_by_hand_an_unknown_class_does_nothing(engine: Engine) -> None:
    with engine.app.app_context():
        assert execution.run("sweep", "chores", "Gone") is False


# --- staff try again -----------------------------------------------------------------------------


def retry(engine: Engine, item: str) -> None:
    with engine.app.app_context(), write(db.session):
        r = AutomationRun
        run = db.session.scalars(sa.select(r).where(r.item == item)).one()
        runs_by_hand.retry_run(db.session(), run, engine.now)


def test_a_run_that_staff_ask_for_is_done_once_more(engine: Engine) -> None:
    engine.plan("sweep")
    engine.tick()
    engine.change(AutomationRun, status="failed")
    retry(engine, "sweep")
    assert len(engine.jobs()) == 1
    engine.tick(NOON + SECOND)
    run = engine.runs()["sweep"]
    assert (run.trigger, run.status, run.attempt) == ("manual", "success", 1)
    assert engine.effects() == {"sweep": 2}
    assert engine.jobs() == {}


def test_a_run_that_staff_ask_for_is_skipped_if_its_item_is_gone(engine: Engine) -> None:
    engine.plan("sweep")
    engine.tick()
    engine.change(AutomationRun, status="failed")
    retry(engine, "sweep")
    del Chore.things["sweep"]
    engine.tick()
    assert engine.runs()["sweep"].reason == "gone"
    assert engine.jobs() == {}


def test_what_succeeded_cannot_be_tried_again(engine: Engine) -> None:
    engine.plan("sweep")
    engine.tick()
    with pytest.raises(runs_by_hand.NotRetryable):
        retry(engine, "sweep")
    assert engine.jobs() == {}


def test_the_state_of_a_job_is_json(engine: Engine) -> None:
    engine.plan("sweep")
    state = json.loads(engine.jobs()["sweep"].job_state)
    assert state == {"v": 1, "args": ["sweep", "chores", "Chore"], "kwargs": {}}


def test_nothing_is_logged_about_a_day_without_trouble(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.plan("sweep")
    engine.tick()
    assert [r for r in caplog.records if r.levelno > logging.INFO] == []


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the AAA log says of jobs: level, action, then what is told of them (schedules M)."""
    caplog.set_level(logging.INFO, "schedule_service")
    said = re.compile(r"\w+ community=- user=- action=(scheduler_job_\w+) result=\w+ (.+)")
    return lambda: [
        f"{one.levelname} {found[1]} {found[2]}"
        for one in caplog.records
        if one.name == "schedule_service" and (found := said.fullmatch(one.getMessage()))
    ]


@pytest.mark.parametrize("paces", [SLOW, QUICK], ids=["carefully", "quickly"])
def test_each_job_that_is_done_is_told_once(
    engine: Engine, lines: Callable[[], list[str]], paces: Paced
) -> None:
    engine.plan("ada", "ben")
    Chore.acts = {"ben": raises(Skip("nobody to write to"))}
    engine.tick(paces=paces)
    told = "INFO scheduler_job_executed job_id=chores/{}/PRODUCTION"
    assert sorted(lines()) == [told.format("ada"), told.format("ben")]


def test_a_job_that_raises_is_told_at_each_try_and_without_its_words(
    engine: Engine, lines: Callable[[], list[str]]
) -> None:
    engine.plan("sweep")
    Chore.acts = {"sweep": raises(ValueError("secret"))}
    told = "ERROR scheduler_job_error job_id=chores/sweep/PRODUCTION exception=ValueError"
    engine.tick()
    assert lines() == [told]
    engine.tick(NOON + 2 * MINUTE)
    assert lines() == [told, told]


def test_a_job_that_could_not_even_begin_is_told(
    engine: Engine, lines: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.plan("sweep")
    monkeypatch.setattr(Chore, "query", staticmethod(tasks.raises_with(ValueError("secret"))))
    engine.tick()
    told = "ERROR scheduler_job_error job_id=chores/sweep/PRODUCTION exception=ValueError"
    assert lines() == [told]


def test_of_what_does_not_run_no_job_is_told(
    engine: Engine, lines: Callable[[], list[str]]
) -> None:
    engine.plan("late", due=NOON - 2 * DAY)
    engine.tick()
    assert engine.statuses() == {"late": "missed"}
    assert lines() == []


def test_a_run_that_times_out_is_told_as_such(
    engine: Engine, lines: Callable[[], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    executing = Executing(engine, timeout_seconds=60)
    engine.now += 61 * SECOND
    executing.finish()
    assert lines() == []
    told = f"execution_id={engine.runs()['sweep'].execution_id} attempt=1"
    [line] = [one for one in caplog.messages if "action=schedule_timeout " in one]
    assert line.endswith(told)


def test_a_failure_says_so_in_words(engine: Engine) -> None:
    engine.plan("sweep")
    Chore.acts = {"sweep": raises(Failed("no water"))}
    [line] = engine.tick()
    assert line.error == "Failed: no water"


@pytest.mark.parametrize("where", ["query", "get_event_dt", "last_moment", "batches", "__init__"])
def test_a_class_that_exits_the_program_puts_its_own_jobs_off(
    engine: Engine, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(*_args: Any, **_more: Any) -> Any:
        raise SystemExit(3)

    class Exiting(Chore):
        pass

    wrap: Any = {"query": staticmethod, "get_event_dt": staticmethod, "__init__": lambda f: f}
    monkeypatch.setattr(Exiting, where, wrap.get(where, classmethod)(leave))
    things, acts = Chore.things, Chore.acts
    with registered(Exiting):
        engine.schedule("exiting", Exiting)
        Chore.things, Chore.acts = things, acts
        engine.plan("a", "b", schedule="exiting", cls=Exiting)
        engine.plan("sweep")
        engine.tick()
        jobs = engine.jobs()
    assert engine.effects() == {"sweep": 1}
    assert {jobs[item].last_error for item in "ab"} == {"it called sys.exit(3)"}
    assert {jobs[item].claim for item in "ab"} == {None}
