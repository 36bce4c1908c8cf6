"""Recurring schedules from claim to record, on the engine itself (schedules C, G, P, R, X)."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa

from app.automation import claims, due_schedules, recurring_runs, scheduler_ops
from app.automation.automation_base import BaseAutomationTask, Skip
from app.automation.due_schedules import check_due_schedules
from app.automation.steps import PermanentError, Stale, Step, TransientError
from app.extensions import db, write
from app.models import (
    AutomationClasses,
    AutomationRun,
    AutomationSchedule,
    Job,
    Practice,
    SchedulerEpoch,
    SystemState,
)
from app.models.automation import OverlapPolicy, RunStatus, RunTrigger, StoppedBecause
from app.models.schedule import ScheduleType
from app.models.types import new_uuid
from app.services import recurring, runs_by_hand
from app.services.occurrence import name_of
from tests.automation import tasks
from tests.automation.tasks import EFFECTS, Engine, raises, registered, says
from tests.cast import DAY, HOUR, MINUTE, NOON, SECOND

apps, engine = tasks.apps, tasks.engine


class Noting(BaseAutomationTask):
    """Writes its schedule's name into the table of effects, in one transaction with its run."""

    misfire_grace_time = 900
    acts: ClassVar[list[Callable[[Any], Any]]] = []  # what its next runs do, one each
    began: ClassVar[list[str]] = []

    def execute(self) -> Any:
        self.began.append(self.trigger_data["scheduled_for"])
        self.session.execute(sa.insert(EFFECTS).values(item=self.automation_name))
        return self.acts.pop(0)(self) if self.acts else {"done": 1}


class Stepping(BaseAutomationTask):
    """Three steps, each of which leaves its name once; `acts` says what happens in one of them."""

    misfire_grace_time = 900
    concurrency_group = "steps"
    acts: ClassVar[dict[str, Callable[[Any], Any]]] = {}

    def plan(self, session: Any, config: Any, now: datetime) -> list[Step]:
        self._act("plan")
        session.execute(sa.insert(EFFECTS).values(item="by planning"))
        done = set(session.scalars(sa.select(EFFECTS.c.item)))
        return [Step("note", name, "a note", sends=1) for name in "abc" if name not in done]

    def apply(self, session: Any, step: Step, now: datetime) -> dict[str, int]:
        session.execute(sa.insert(EFFECTS).values(item=step.subject_id))
        self._act(str(step.subject_id))
        return {"messages_sent": 1}

    def _act(self, name: str) -> None:
        if act := self.acts.get(name):
            act(self)


@pytest.fixture(autouse=True)
def _known() -> Iterator[None]:
    with registered(Noting, Stepping):
        Noting.acts, Noting.began, Stepping.acts = [], [], {}
        yield


def every(engine: Engine, seconds: float, cls: Any = Noting, name: str = "it", **more: Any) -> int:
    """A schedule that recurs from noon on."""
    given = {
        "schedule_type": ScheduleType.INTERVAL,
        "schedule_config": {"interval_seconds": seconds},
        "anchor_at": NOON - seconds * SECOND,
        "next_execution_at": NOON,
    }
    return engine.schedule(name, cls, **(given | more))


def look(engine: Engine, now: datetime) -> list[Any]:
    """Claim what is due."""
    engine.now = now
    with engine.app.app_context(), write(db.session):
        return check_due_schedules(db.session(), now)


def go(engine: Engine, now: datetime, **more: Any) -> None:
    """Claim what is due, and run what that began."""
    look(engine, now)
    engine.tick(now, **more)


def ledger(engine: Engine) -> list[AutomationRun]:
    """All runs in the order of their rows."""
    with engine.app.app_context():
        rows = db.session.scalars(sa.select(AutomationRun).order_by(AutomationRun.id)).all()
        db.session.expunge_all()
        return list(rows)


def told(engine: Engine) -> list[tuple[str, int]]:
    return [(str(run.status), run.missed_count) for run in ledger(engine)]


def put_run(engine: Engine, schedule_id: int, status: RunStatus, **more: Any) -> str:
    """A run that some claim began before."""
    item, execution_id = engine.the_schedule("it").schedule_id, new_uuid()
    row = {"execution_id": execution_id, "schedule_id": schedule_id, "status": status}
    row |= {"occurrence": new_uuid(), "item": item, "attempt": 0, "missed_count": 0}
    engine.sql(sa.insert(AutomationRun).values(**row | more))
    return execution_id


# --- the log (M) ---------------------------------------------------------------------------------


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the AAA log says of the scheduler itself: level and words."""
    caplog.set_level(logging.INFO, "schedule_service")
    of_it = ("scheduler_job_", "check_due_")
    return lambda: [
        f"{one.levelname} {one.getMessage()}"
        for one in caplog.records
        if one.name == "schedule_service" and any(f"={what}" in one.getMessage() for what in of_it)
    ]


def test_a_job_that_is_done_and_one_that_raises_are_told(
    engine: Engine, lines: Callable[[], list[str]]
) -> None:
    Noting.acts = [says({"n": 1}), raises(ValueError("secret")), raises(TransientError("busy"))]
    every(engine, 60, retry_max=1)
    for n in range(3):
        go(engine, NOON + n * MINUTE)
    done, lasting, passing = lines()
    run = ledger(engine)[0]
    job_id = f"it/{run.execution_id}/PRODUCTION"
    of_all = "community=- user=- action="
    assert done == (f"INFO SYSTEM {of_all}scheduler_job_executed result=SUCCESS job_id={job_id}")
    assert lasting.startswith(f"ERROR ERROR {of_all}scheduler_job_error result=FAILURE job_id=it/")
    assert lasting.endswith("/PRODUCTION exception=ValueError")
    assert passing.endswith("exception=TransientError")


def test_a_look_that_fails_is_told_and_raises_all_the_same(
    engine: Engine, lines: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(*_asked: Any) -> list[int]:
        raise OSError("no disk")

    monkeypatch.setattr(due_schedules, "due_schedules", blind)
    with engine.app.app_context():
        with pytest.raises(OSError, match="no disk"):
            check_due_schedules(db.session(), NOON)
        with pytest.raises(OSError, match="no disk"):
            recurring_runs.claim_each(db.session(), lambda: NOON, 7)
    said = "ERROR ERROR community=- user=- action=check_due_schedules result=FAILURE"
    assert lines() == [f"{said} exception=OSError"] * 2


# --- late and merged (G3) ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coalesce", "late", "grace", "outcome"),
    [
        (True, 30, 10, [("missed", 1)]),
        (True, 15, 0, [("success", 0)]),
        (True, 900, 900, [("success", 0)]),
        (True, 901, 900, [("missed", 1)]),
        (True, 5400, 3600, [("success", 4)]),
        (True, 5400, 300, [("missed", 5)]),
        (False, 5400, 3600, [("missed", 2), *[("success", 0)] * 3]),
    ],
)
def test_what_is_late_is_merged_first_and_judged_then(
    engine: Engine, coalesce: bool, late: int, grace: int, outcome: list[Any]
) -> None:
    every(engine, 1200, coalesce=coalesce, misfire_grace_time=grace)
    go(engine, NOON + late * SECOND)
    assert told(engine) == outcome
    assert Noting.began == sorted(Noting.began)  # the oldest first
    schedule = engine.the_schedule("it")
    assert schedule.execution_count == len([one for one in outcome if one[0] == "success"])
    assert schedule.next_execution_at == NOON + (late // 1200 + 1) * 1200 * SECOND


def test_a_missed_row_bears_the_name_of_the_newest(engine: Engine) -> None:
    every(engine, 1200, misfire_grace_time=300)
    look(engine, NOON + 5400 * SECOND)
    (run,) = ledger(engine)
    assert (run.occurrence, run.reason) == (name_of(NOON + 4800 * SECOND), "too-late")


def test_after_a_missed_one_the_later_ones_run(engine: Engine) -> None:  # Q15
    every(engine, 3600, misfire_grace_time=900)
    for late in (30 * MINUTE, 31 * MINUTE, HOUR, 2 * HOUR):
        go(engine, NOON + late)
    assert told(engine) == [("missed", 1), ("success", 0), ("success", 0)]


def test_what_was_promised_counts_although_it_is_none_of_its_times(engine: Engine) -> None:
    every(engine, 1200, coalesce=False, max_instances=9, next_execution_at=NOON - SECOND)
    look(engine, NOON + SECOND)
    planned = [NOON - SECOND, NOON]
    assert [run.occurrence for run in ledger(engine)] == [name_of(at) for at in planned]


def test_of_very_many_the_oldest_are_counted_and_none_is_lost(engine: Engine) -> None:
    every(engine, 1, coalesce=False, misfire_grace_time=3600, max_instances=100)
    look(engine, NOON + 149 * SECOND)
    first, *others = ledger(engine)
    assert (str(first.status), first.missed_count) == ("missed", 51)
    assert {str(run.status) for run in others} == {"queued"}
    assert len(others) == 99


def test_an_interval_keeps_its_phase_whatever_ran_late(engine: Engine) -> None:  # Q10
    every(engine, 1200)
    go(engine, NOON + 7 * MINUTE)
    go(engine, NOON + 33 * MINUTE)
    assert engine.the_schedule("it").next_execution_at == NOON + 40 * MINUTE


# --- side by side (G5, G7) -----------------------------------------------------------------------

RUNNING, QUEUED = RunStatus.RUNNING, RunStatus.QUEUED
SKIP, QUEUE_ONE = OverlapPolicy.SKIP, OverlapPolicy.QUEUE_ONE


@pytest.mark.parametrize(
    ("live", "most", "policy", "outcome"),
    [
        ([], 1, SKIP, "queued"),
        ([RUNNING], 2, SKIP, "queued"),
        ([RUNNING], 1, SKIP, "skipped"),
        ([QUEUED], 1, SKIP, "skipped"),
        ([RUNNING], 1, QUEUE_ONE, "queued"),
        ([RUNNING, QUEUED], 1, QUEUE_ONE, "skipped"),
    ],
)
def test_as_many_run_as_may(
    engine: Engine, live: list[RunStatus], most: int, policy: OverlapPolicy, outcome: str
) -> None:  # G5, Q25
    id_ = every(engine, 60, max_instances=most, overlap_policy=policy)
    for status in live:
        put_run(engine, id_, status)
    look(engine, NOON)
    newest = ledger(engine)[-1]
    assert str(newest.status) == outcome
    assert newest.reason == ("max_instances" if outcome == "skipped" else None)
    assert engine.the_schedule("it").execution_count == (outcome == "queued")
    assert engine.the_schedule("it").next_execution_at == NOON + MINUTE


def test_what_waits_for_another_try_gives_way(engine: Engine) -> None:  # R3, G5
    id_ = every(engine, 60, max_instances=1)
    after = every(engine, 60, name="after", next_execution_at=None,
                  schedule_type=ScheduleType.CHAINED)  # fmt: skip
    engine.sql(sa.update(AutomationSchedule).where(AutomationSchedule.id == id_)
               .values(on_failure_schedule_id=after))  # fmt: skip
    put_run(engine, id_, QUEUED, attempt=1, error="no luck", not_before=NOON + HOUR)
    assert len(look(engine, NOON)) == 1
    assert [str(run.status) for run in ledger(engine)] == ["failed", "queued", "queued"]
    schedule = engine.the_schedule("it")
    assert (schedule.last_run_status, schedule.last_run_error) == ("failed", "no luck")
    assert engine.the_schedule("after").execution_count == 1


def test_what_a_stopped_process_gave_back_does_not_give_way(engine: Engine) -> None:
    id_ = every(engine, 60, max_instances=2)
    put_run(engine, id_, QUEUED, attempt=1, not_before=NOON)
    look(engine, NOON)
    assert [str(run.status) for run in ledger(engine)] == ["queued", "queued"]


@pytest.mark.parametrize("theirs", ["same", "none", "other"])
def test_of_one_group_only_one_runs_in_a_practice(engine: Engine, theirs: str) -> None:  # G7, Q46
    with engine.app.app_context(), write(db.session):
        practices = [Practice(name=name, shortname=name) for name in ("here", "there")]
        db.session.add_all(practices)
        db.session.flush()
        ids = {"same": practices[0].id, "none": None, "other": practices[1].id}
        mine = practices[0].id
    first = every(engine, 60, Stepping, practice_id=ids[theirs])
    put_run(engine, first, RUNNING, attempt=1)
    engine.change(AutomationSchedule, next_execution_at=None)
    every(engine, 60, Stepping, "second", practice_id=mine)
    go(engine, NOON)
    waits = theirs != "other"
    assert str(ledger(engine)[-1].status) == ("queued" if waits else "success")
    assert ledger(engine)[-1].attempt == (0 if waits else 1)
    engine.sql(sa.update(AutomationRun).where(AutomationRun.schedule_id == first)
               .values(status=RunStatus.SUCCESS))  # fmt: skip
    engine.tick(NOON + 2 * SECOND)
    assert str(ledger(engine)[-1].status) == "success"


# --- how often (G6) ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "most", "late", "ran", "after"),
    [
        (22, 24, 0, 1, (23, True)),
        (23, 24, 0, 1, (24, False)),
        (23, 24, 120, 1, (24, False)),
        (24, 24, 0, 0, (24, False)),
        (99, None, 0, 1, (100, True)),
    ],
)
def test_a_limit_counts_what_began(
    engine: Engine, count: int, most: int | None, late: int, ran: int, after: Any
) -> None:
    every(engine, 60, coalesce=False, execution_count=count, max_executions=most)
    begun = look(engine, NOON + late * SECOND)
    schedule = engine.the_schedule("it")
    assert len(begun) == len(ledger(engine)) == ran
    assert [run.occurrence for run in ledger(engine)] == [name_of(NOON)] * ran
    assert (schedule.execution_count, schedule.active) == after
    if not after[1]:
        assert schedule.stopped_because is StoppedBecause.COMPLETED
        assert schedule.next_execution_at is None
        assert schedule.schedule_id not in engine.jobs()


def test_three_runs_at_one_second_then_it_is_completed_at_once(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:  # Q11, Q12
    every(engine, 1, max_executions=3)
    by_hand(engine)
    engine.tick(NOON)
    with caplog.at_level(logging.INFO, "schedule_service"):
        for n in range(6):
            go(engine, NOON + n * SECOND)
    runs_ = ledger(engine)
    assert [str(run.trigger) for run in runs_] == ["manual", *["schedule"] * 3]
    assert {str(run.status) for run in runs_} == {"success"}
    schedule = engine.the_schedule("it")
    assert (schedule.execution_count, schedule.active) == (3, False)
    limits = [text for text in caplog.messages if "schedule_limit_reached" in text]
    assert len(limits) == 1


def by_hand(engine: Engine, **more: Any) -> None:
    """Somebody presses "run now"."""
    with engine.app.app_context(), write(db.session):
        mine = sa.select(AutomationSchedule).where(AutomationSchedule.name == "it")
        cause = recurring.Cause(RunTrigger.MANUAL, by="user:1", **more)
        name = f"manual:{new_uuid()}"
        recurring.queue(db.session(), db.session.scalars(mine).one(), name, NOON, NOON, cause)


def test_one_time_is_once_in_many_ticks(engine: Engine) -> None:  # Q13
    config = {"scheduled_time": NOON.isoformat()}
    every(engine, 0, schedule_type=ScheduleType.ONE_TIME, schedule_config=config)
    for n in range(5):
        go(engine, NOON + n * SECOND)
    assert told(engine) == [("success", 0)]
    assert engine.the_schedule("it").stopped_because is StoppedBecause.COMPLETED


# --- many claimers (C2.3, Q16) -------------------------------------------------------------------


def claimed_by_four(engine: Engine, monkeypatch: pytest.MonkeyPatch, count: int) -> int:
    """Four who saw the same occurrences due, each at another time, claim them all; the runs."""
    with engine.app.app_context():
        known = db.session.scalars(sa.select(AutomationClasses)).all()
        assert known
    every(engine, 60, name="s0")
    with engine.app.app_context(), write(db.session):
        first = db.session.scalars(
            sa.select(AutomationSchedule).where(AutomationSchedule.name == "s0")
        ).one()
        db.session.add_all(
            AutomationSchedule(
                name=f"s{n}",
                automation_class_id=first.automation_class_id,
                schedule_type=ScheduleType.INTERVAL,
                schedule_config={"interval_seconds": 60},
                anchor_at=NOON,
                next_execution_at=NOON,
            )
            for n in range(1, count)
        )
    seen = threading.Barrier(4, timeout=60)
    late = due_schedules._late

    def seen_by_all(*args: Any) -> Any:
        found = late(*args)
        seen.wait()
        return found

    monkeypatch.setattr(due_schedules, "_late", seen_by_all)
    with engine.app.app_context():
        ids = due_schedules.due_schedules(db.session(), NOON, 1000)
    assert len(ids) == count

    def claimer(minutes: int) -> None:
        with engine.app.app_context():
            for id_ in ids:
                with write(db.session):
                    due_schedules.claim(db.session(), id_, NOON + minutes * MINUTE)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(claimer, range(4)))
    return len(ledger(engine))


def test_of_four_who_claim_each_occurrence_once_runs(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert claimed_by_four(engine, monkeypatch, 200) == 200


def test_without_the_guard_it_runs_more_often(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:  # the control
    def unguarded(session: Any, schedule: Any, following: datetime) -> bool:
        schedule.next_execution_at = following
        session.flush()
        return True

    monkeypatch.setattr(due_schedules, "_move_on", unguarded)
    assert claimed_by_four(engine, monkeypatch, 10) > 10


# --- the plan (C3, C5, C6) -----------------------------------------------------------------------


def alarms(engine: Engine) -> list[tuple[str, float | None]]:
    return sorted((job.id, job.next_run_time) for job in engine.jobs().values())


def test_lost_alarms_are_written_again_the_same(engine: Engine) -> None:  # Q17
    every(engine, 60, next_execution_at=NOON - HOUR)  # passed, and kept
    every(engine, 60, name="other", next_execution_at=NOON + MINUTE)
    by_hand(engine)
    with engine.app.app_context():
        scheduler_ops.renew_automations(NOON)
    before = alarms(engine)
    assert len(before) == 3
    engine.sql(sa.delete(Job))
    with engine.app.app_context():
        scheduler_ops.renew_automations(NOON)
        assert alarms(engine) == before
        again = scheduler_ops.renew_automations(NOON)
    assert (again.removed, alarms(engine)) == (0, before)
    assert engine.the_schedule("it").next_execution_at == NOON - HOUR


def test_a_claim_that_raises_stops_no_other_and_is_put_off(engine: Engine) -> None:  # Q19
    bad = {"schedule_type": ScheduleType.CRON, "schedule_config": {"cron_expression": "never"}}
    every(engine, 60, name="bad", **bad)
    every(engine, 60)
    with engine.app.app_context(), write(db.session):
        db.session.merge(SchedulerEpoch(id=1, epoch=7))
    with engine.app.app_context():
        assert recurring_runs.claim_each(db.session(), lambda: NOON, 7) == 1
        assert recurring_runs.claim_each(db.session(), lambda: NOON, 7) == 0
    job = engine.jobs()[engine.the_schedule("bad").schedule_id]
    assert job.next_run_time == (NOON + MINUTE).timestamp()
    assert job.last_error
    engine.tick(NOON)
    assert engine.effects() == {"it": 1}


@pytest.mark.parametrize("how", ["disabled", "unknown", "paused"])
def test_who_may_not_run_is_not_claimed_and_stands_in_nobodys_way(engine: Engine, how: str) -> None:
    every(engine, 60)
    if how == "paused":
        engine.change(AutomationSchedule, paused_at=NOON)
    else:
        changes = {"enabled": False} if how == "disabled" else {"class_name": "Gone"}
        engine.sql(sa.update(AutomationClasses)
                   .where(AutomationClasses.class_name == "Noting").values(**changes))  # fmt: skip
    with engine.app.app_context():
        assert due_schedules.due_schedules(db.session(), NOON) == []
        id_ = db.session.scalar(
            sa.select(AutomationSchedule.id).where(AutomationSchedule.name == "it")
        )
        with write(db.session):
            assert due_schedules.claim(db.session(), id_, NOON) == []
    assert engine.jobs() == {}
    assert ledger(engine) == []


def test_all_paused_rest_and_are_judged_afterwards(engine: Engine) -> None:  # C6, Q26
    every(engine, 3600, misfire_grace_time=900)
    with engine.app.app_context(), write(db.session):
        db.session.merge(SystemState(id=1, schedules_paused_at=NOON))
    go(engine, NOON)
    assert (ledger(engine), engine.the_schedule("it").next_execution_at) == ([], NOON)
    engine.change(SystemState, schedules_paused_at=None)
    go(engine, NOON + 30 * MINUTE)
    assert told(engine) == [("missed", 1)]


# --- steps (P, X4, R5, R7) -----------------------------------------------------------------------


class Died(BaseException):
    """What a worker dies of."""


def test_each_step_is_done_and_counted(engine: Engine) -> None:
    every(engine, 60, Stepping)
    go(engine, NOON)
    (run,) = ledger(engine)
    assert (str(run.status), run.items_found, run.items_done) == ("success", 3, 3)
    assert (run.messages_sent, run.attempt) == (3, 1)
    assert engine.effects() == {"a": 1, "b": 1, "c": 1}  # what planning wrote is taken back
    schedule = engine.the_schedule("it")
    assert (schedule.last_run_status, schedule.last_execution_id) == ("success", run.execution_id)


def test_a_dry_run_changes_nothing_but_its_record(engine: Engine) -> None:  # P1, Q30
    every(engine, 60, Stepping, dry_run=True)
    go(engine, NOON)
    (run,) = ledger(engine)
    assert engine.effects() == {}
    assert (str(run.status), run.dry_run) == ("success", True)
    assert (run.messages_sent, run.profiles_visited, run.items_done) == (0, 0, 0)
    assert run.result is not None
    assert [step["subject_id"] for step in run.result["steps"]] == ["a", "b", "c"]
    assert (run.result["total"], run.result["would_send"]) == (3, 3)


def test_a_step_that_fails_or_is_stale_stops_no_other(engine: Engine) -> None:
    Stepping.acts = {"a": raises(ValueError("no")), "b": raises(Stale())}
    every(engine, 60, Stepping)
    go(engine, NOON)
    (run,) = ledger(engine)
    assert (run.items_done, run.items_skipped, run.items_failed) == (1, 1, 1)
    assert (str(run.status), engine.effects()) == ("success", {"c": 1})
    assert run.result is not None
    assert run.result["errors"][0]["subject_id"] == "a"


def test_if_all_fail_the_run_has_failed_and_says_why(engine: Engine) -> None:
    Stepping.acts = dict.fromkeys("abc", raises(ValueError("no")))
    every(engine, 60, Stepping)
    go(engine, NOON)
    (run,) = ledger(engine)
    assert (str(run.status), run.items_failed, engine.effects()) == ("failed", 3, {})
    assert run.result is not None
    assert len(run.result["errors"]) == 3
    assert engine.the_schedule("it").consecutive_failures == 1


def test_a_stop_between_steps_leaves_the_rest_for_later(engine: Engine) -> None:  # R7, Q27
    every(engine, 60, Stepping)
    go(engine, NOON, stopping=lambda: bool(engine.effects()))
    (run,) = ledger(engine)
    assert (str(run.status), run.attempt, engine.effects()) == ("queued", 0, {"a": 1})
    engine.tick(NOON + SECOND)
    (run,) = ledger(engine)
    assert (str(run.status), run.attempt) == ("success", 1)
    assert engine.effects() == {"a": 1, "b": 1, "c": 1}


def test_after_a_death_between_steps_each_effect_is_there_once(engine: Engine) -> None:  # Q21
    Stepping.acts = {"b": raises(Died())}
    every(engine, 3600, Stepping)
    with pytest.raises(Died):
        go(engine, NOON)
    assert (told(engine), engine.effects()) == ([("running", 0)], {"a": 1})
    Stepping.acts = {}
    engine.tick(NOON + claims.LEASE)
    (run,) = ledger(engine)
    assert (str(run.status), run.attempt, run.interruptions) == ("success", 2, 1)
    assert engine.effects() == {"a": 1, "b": 1, "c": 1}


def test_the_third_death_is_a_failure_that_is_remembered(engine: Engine) -> None:  # R5
    Stepping.acts = {"a": raises(Died())}
    every(engine, 3600, Stepping)
    look(engine, NOON)
    for n in range(3):
        with pytest.raises(Died):
            engine.tick(NOON + n * claims.LEASE)
    engine.tick(NOON + 3 * claims.LEASE)
    assert (told(engine), engine.effects()) == ([("failed", 0)], {})
    schedule = engine.the_schedule("it")
    assert (schedule.last_run_status, schedule.consecutive_failures) == ("failed", 1)
    assert "worker died" in str(schedule.last_run_error)


@pytest.mark.parametrize("cls", [Noting, Stepping])
def test_what_commits_too_late_is_rolled_back(engine: Engine, cls: Any) -> None:  # X4, Q22
    def overslept(_task: Any) -> None:
        engine.now += 61 * SECOND

    Noting.acts, Stepping.acts = [overslept], {"plan": overslept}
    every(engine, 3600, cls, timeout_seconds=60)
    go(engine, NOON)
    assert (told(engine), engine.effects()) == ([("timeout", 0)], {})
    assert engine.the_schedule("it").last_run_status == "timeout"


def test_a_run_cancelled_meanwhile_does_nothing_more(engine: Engine) -> None:
    def cancel(_task: Any) -> None:
        with engine.app.app_context(), write(db.session):
            run = db.session.scalars(sa.select(AutomationRun)).one()
            runs_by_hand.cancel_run(db.session(), run, NOON)

    Stepping.acts = {"plan": cancel}
    every(engine, 3600, Stepping)
    look(engine, NOON)
    alarm = engine.the_schedule("it").schedule_id
    engine.tick(NOON)
    assert (told(engine), engine.effects()) == ([("cancelled", 0)], {})
    assert alarm in engine.jobs()  # of what comes next


# --- a database that is away for a moment ---------------------------------------------------------


def _hang_up(task: Any) -> None:
    task.session.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))


def _busy(_task: Any) -> None:
    raise sa.exc.OperationalError("", {}, sqlite3.OperationalError("database is locked"))


def _once(act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    left = [act]
    return lambda task: left.pop()(task) if left else None


@pytest.mark.parametrize(
    ("kind", "trouble"),
    [("sqlite", _busy), ("postgresql", _busy), ("postgresql", _hang_up)],
)
def test_a_step_that_met_no_database_comes_again(
    engine: Engine, trouble: Callable[[Any], Any]
) -> None:
    Stepping.acts = {"b": _once(trouble)}
    every(engine, 3600, Stepping, retry_max=0)
    go(engine, NOON)
    (run,) = ledger(engine)
    assert (str(run.status), run.items_done, run.items_failed) == ("success", 3, 0)
    assert engine.effects() == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("kind", ["postgresql"])
def test_while_the_database_stays_away_no_step_is_passed_over(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurring_runs, "PAUSES", (0, 0))
    Stepping.acts = {"b": _hang_up}
    every(engine, 3600, Stepping, retry_max=1)
    go(engine, NOON)
    (run,) = ledger(engine)
    assert (str(run.status), engine.effects()) == ("queued", {"a": 1})
    Stepping.acts = {}
    engine.tick(NOON + 2 * MINUTE)
    assert (told(engine), engine.effects()) == ([("success", 0)], {"a": 1, "b": 1, "c": 1})


def test_a_step_that_is_always_busy_stops_no_other(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurring_runs, "PAUSES", (0,) * 5)
    tries = []

    def busy(task: Any) -> None:
        tries.append(task)
        _busy(task)

    Stepping.acts = {"b": busy}
    every(engine, 3600, Stepping)
    go(engine, NOON)
    (run,) = ledger(engine)
    assert (str(run.status), run.items_done, run.items_failed) == ("success", 2, 1)
    assert len(tries) == recurring_runs.BUSY


# --- how runs end (R1, R2, X5) -------------------------------------------------------------------


def test_what_may_pass_is_tried_again_later_and_later(engine: Engine) -> None:  # Q23
    Noting.acts = [raises(TransientError("busy"))] * 3
    every(engine, DAY.total_seconds(), retry_max=3)
    go(engine, NOON)
    for wait in (60, 120, 240):
        (run,) = ledger(engine)
        assert str(run.status) == "queued"
        assert run.not_before is not None
        seconds = (run.not_before - engine.now).total_seconds()
        assert 0.9 * wait <= seconds <= 1.1 * wait
        engine.tick(run.not_before)
    (run,) = ledger(engine)
    assert (str(run.status), run.attempt) == ("success", 4)
    assert engine.the_schedule("it").execution_count == 1
    assert engine.effects() == {"it": 1}


@pytest.mark.parametrize("error", [PermanentError("never"), ValueError("odd")])
def test_what_lasts_is_not_tried_again(engine: Engine, error: Exception) -> None:
    Noting.acts = [raises(error)]
    every(engine, 3600, retry_max=3)
    go(engine, NOON)
    assert told(engine) == [("failed", 0)]


def test_a_failure_has_its_message_until_a_success(engine: Engine) -> None:  # Q24
    Noting.acts = [says({"success": False, "message": "no paper"})]
    every(engine, 60)
    go(engine, NOON)
    schedule = engine.the_schedule("it")
    assert schedule.last_run_status == "failed"
    assert "no paper" in str(schedule.last_run_error)
    assert engine.effects() == {}
    go(engine, NOON + MINUTE)
    schedule = engine.the_schedule("it")
    assert (schedule.last_run_error, schedule.consecutive_failures) == (None, 0)


def test_renew_leaves_the_job_of_a_run_that_has_begun(engine: Engine) -> None:
    id_ = every(engine, 3600, next_execution_at=NOON + HOUR)
    begun = put_run(engine, id_, RunStatus.RUNNING)
    engine.plan(begun, schedule="it", cls=Noting)
    engine.claim()
    with engine.app.app_context():
        scheduler_ops.renew_automations(NOON + SECOND)
    assert begun in engine.jobs()


@pytest.mark.parametrize("cls", [Noting, Stepping])
@pytest.mark.parametrize("kind", ["postgresql"])
def test_who_has_written_may_work_elsewhere_until_its_time_out(
    engine: Engine, cls: type[BaseAutomationTask]
) -> None:
    seen = []

    def ask(task: Any) -> None:
        show = "SHOW idle_in_transaction_session_timeout"
        seen.append(task.session.scalar(sa.text(show)))

    Noting.acts, Stepping.acts = [ask], {"b": ask}
    every(engine, 3600, cls, timeout_seconds=90)
    go(engine, NOON)
    assert seen == ["90s"]


def test_a_task_may_say_that_it_is_not_the_time(engine: Engine) -> None:
    Noting.acts = [raises(Skip("quota"))]
    every(engine, 60)
    go(engine, NOON)
    (run,) = ledger(engine)
    assert (str(run.status), run.reason) == ("skipped", "quota")


def test_who_waited_too_long_is_missed(engine: Engine) -> None:  # X3
    every(engine, 3600)
    look(engine, NOON)
    engine.tick(NOON + 901 * SECOND)
    (run,) = ledger(engine)
    assert (str(run.status), run.reason, engine.effects()) == ("missed", "waited", {})


# --- chains (R8, Q28) ----------------------------------------------------------------------------


@pytest.mark.parametrize("good", [True, False])
@pytest.mark.parametrize("dry", [True, False])
def test_an_end_begins_who_follows(engine: Engine, good: bool, dry: bool) -> None:
    chained = {"schedule_type": ScheduleType.CHAINED, "next_execution_at": None}
    links = {
        f"on_{word}_schedule_id": every(engine, 0, Stepping, word, **chained)
        for word in ("success", "failure")
    }
    if not good:
        Stepping.acts = {"plan": lambda task: _fail_first(task)}
    every(engine, 3600, Stepping, dry_run=dry, **links)
    go(engine, NOON)
    engine.tick(NOON + SECOND)
    first, second = ledger(engine)
    assert (str(first.status), str(second.status)) == ("success" if good else "failed", "success")
    assert (
        second.schedule_id == links["on_success_schedule_id" if good else "on_failure_schedule_id"]
    )
    assert (second.trigger, second.occurrence) == ("chain", f"chain:{first.execution_id}")
    assert (second.dry_run, second.parent_execution_id) == (dry, first.execution_id)
    assert second.config_snapshot is not None
    assert second.config_snapshot["parent"]["status"] == str(first.status)
    assert engine.effects() == ({} if dry else {"a": 1, "b": 1, "c": 1})


def _fail_first(task: Any) -> None:
    if task.automation_name == "it":
        raise ValueError("no")


@pytest.mark.parametrize("off", ["paused", "full", "disabled"])
def test_who_is_off_does_not_follow(engine: Engine, off: str) -> None:
    state: dict[str, Any] = {
        "paused": {"active": False},
        "full": {"max_executions": 1, "execution_count": 1},
        "disabled": {},
    }[off]
    after = every(engine, 0, Noting, "after", schedule_type=ScheduleType.CHAINED,
                  next_execution_at=None, **state)  # fmt: skip
    if off == "disabled":
        noting = AutomationClasses.class_name == "Noting"
        engine.sql(sa.update(AutomationClasses).where(noting).values(enabled=False))
    every(engine, 3600, Stepping, on_success_schedule_id=after)
    go(engine, NOON)
    assert told(engine) == [("success", 0)]


def test_a_retry_by_hand_has_the_old_configuration_and_is_no_waiting_try(engine: Engine) -> None:
    Noting.acts = [raises(ValueError("no"))]
    every(engine, 60, max_instances=2, task_config={"old": 1})
    go(engine, NOON)
    engine.change(AutomationSchedule, task_config={"new": 1})
    with engine.app.app_context(), write(db.session):
        failed = db.session.scalars(sa.select(AutomationRun)).one()
        runs_by_hand.retry_run(db.session(), failed, NOON + timedelta(seconds=1))
    look(engine, NOON + MINUTE)
    first, again, next_ = ledger(engine)
    assert [str(run.status) for run in (first, again, next_)] == ["failed", "queued", "queued"]
    assert (again.retry_of, again.config_snapshot) == (first.execution_id, first.config_snapshot)
