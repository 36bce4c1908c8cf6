"""A task that hangs holds up no other schedule, and in the end not its own (L5, schedules R6)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa

from app.automation import claims, sharing, worker
from app.automation.automation_base import BaseAutomationTask
from app.automation.claims import BadState, Claimed, State
from app.automation.scheduler import Handed, PlanScheduler
from app.automation.sorting import Work
from app.extensions import db, write
from app.models import AutomationSchedule, Job, Outbox, ScheduleType, Webhook
from tests.automation import tasks, test_scheduler
from tests.automation.tasks import EFFECTS, SLOW, Chore, Chores, Engine, Pause, registered
from tests.automation.test_scheduler import eventually
from tests.cast import MINUTE, NOON, SECOND

apps, engine, loop = tasks.apps, tasks.engine, test_scheduler.loop


@pytest.fixture
def hanging() -> Iterator[Pause]:
    """What a task hangs in, until the end of the test at the latest."""
    pause = Pause()
    yield pause
    pause.go_on.set()


# --- who gets what -------------------------------------------------------------------------------


def jobs_of(**counts: int) -> list[Claimed]:
    """So many jobs of each schedule; `bad` ones name none."""
    return [
        Claimed(f"{name}/{n}", BadState("?") if name == "bad" else State(str(n), name, "Chore"),
                NOON, 1, "token")
        for name, count in counts.items()
        for n in range(count)
    ]  # fmt: skip


def split(engine: Engine, threads: int, **counts: int) -> list[tuple[set[str], int]]:
    """(schedules, jobs) of each part."""
    jobs = jobs_of(**counts)
    with engine.app.app_context():
        parts = sharing.split(db.session(), jobs, threads)
    assert sorted(job.id for part in parts for job in part) == sorted(job.id for job in jobs)
    return [({job.id.split("/")[0] for job in part}, len(part)) for part in parts]


def test_each_schedule_has_a_thread_of_its_own_while_there_are_any(engine: Engine) -> None:
    parts = split(engine, 4, a=3, b=1, bad=2)
    assert parts == [({"a"}, 3), ({"bad"}, 2), ({"b"}, 1)]


def test_more_schedules_than_threads_share_them_whole(engine: Engine) -> None:
    parts = split(engine, 2, a=5, b=4, c=3, d=1)
    assert parts == [({"a", "d"}, 6), ({"b", "c"}, 7)]
    assert split(engine, 1, a=2, b=1) == [({"a", "b"}, 3)]


def test_threads_to_spare_help_the_largest_where_several_can_write(
    engine: Engine, kind: str
) -> None:
    large = [450] if kind == "sqlite" else [200, 200, 50]
    assert split(engine, 4, a=450, b=1) == [*[({"a"}, n) for n in large], ({"b"}, 1)]
    assert split(engine, 4, a=150) == [({"a"}, 150)]


def test_batches_that_cannot_be_told_are_left_to_who_runs_them(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Chores, "batches", classmethod(tasks.raises_with(SystemExit(3))))
    jobs = [
        job._replace(state=State(str(n), "a", "Chores"))
        for n, job in enumerate(jobs_of(a=2 * sharing.WORTH_SPLITTING))
    ]
    with engine.app.app_context():
        assert sum(map(len, sharing.split(db.session(), jobs, 2))) == len(jobs)


# --- while it hangs ------------------------------------------------------------------------------


def test_another_schedule_goes_on(engine: Engine, loop: PlanScheduler, hanging: Pause) -> None:
    engine.schedule("others")
    with loop._passing:  # so that one claim has both
        engine.plan("stuck")
        engine.plan("sweep", schedule="others")
    Chore.acts = {"stuck": hanging}
    assert hanging.reached.wait(10)
    assert eventually(lambda: engine.effects() == {"sweep": 1})


def test_after_its_time_out_the_others_of_its_schedule_go_on(
    engine: Engine, loop: PlanScheduler, hanging: Pause
) -> None:
    engine.change(AutomationSchedule, timeout_seconds=20)
    with loop._passing:
        Chore.acts = {"a": hanging}
        engine.plan("a", "b", "c")
    assert hanging.reached.wait(10)
    engine.now += 21 * SECOND
    assert eventually(lambda: engine.statuses().get("a") == "timeout")
    assert eventually(lambda: engine.effects() == {"b": 1, "c": 1})
    hanging.go_on.set()
    assert eventually(lambda: not loop.busy and engine.jobs() == {})
    assert engine.effects() == {"b": 1, "c": 1}
    assert engine.statuses() == {"a": "timeout", "b": "success", "c": "success"}
    assert {engine.runs()[item].interruptions for item in "bc"} == {0}


def test_the_schedule_remembers_a_time_out_while_its_task_still_hangs(
    engine: Engine, loop: PlanScheduler, hanging: Pause, caplog: pytest.LogCaptureFixture
) -> None:
    engine.change(AutomationSchedule, timeout_seconds=20)
    with engine.app.app_context(), write(db.session):
        db.session.add(Webhook(name="ours", url="https://example.org/", secret="whsec_"))
    with loop._passing:
        Chore.acts = {"a": hanging}
        engine.plan("a", "b", "c")
    assert hanging.reached.wait(10)
    engine.now += 21 * SECOND
    assert eventually(lambda: engine.the_schedule().last_run_status == "timeout")
    schedule, run = engine.the_schedule(), engine.runs()["a"]
    assert schedule.last_execution_id == run.execution_id
    assert (schedule.last_execution_at, schedule.consecutive_failures) == (NOON, 1)
    assert schedule.last_run_error == "it took longer than it may"
    assert [one for one in caplog.messages if "action=schedule_timeout " in one]
    assert "schedule.run.timeout" in kinds_told(engine)


def test_what_is_remembered_of_a_time_out_is_not_counted_again_nor_put_over_what_came_after(
    engine: Engine, loop: PlanScheduler, hanging: Pause
) -> None:
    engine.change(AutomationSchedule, timeout_seconds=20)
    with loop._passing:
        Chore.acts = {"a": hanging}
        engine.plan("a", "b", "c")
    assert hanging.reached.wait(10)
    engine.now += 21 * SECOND
    assert eventually(lambda: engine.the_schedule().last_run_status == "success")
    hanging.go_on.set()
    assert eventually(lambda: not loop.busy)
    assert engine.statuses() == {"a": "timeout", "b": "success", "c": "success"}
    schedule = engine.the_schedule()
    assert schedule.last_execution_id == engine.runs()["c"].execution_id
    assert (schedule.last_run_status, schedule.last_run_error) == ("success", None)
    assert (schedule.execution_count, schedule.consecutive_failures) == (3, 0)


def test_what_succeeded_before_a_time_out_is_counted_and_not_put_over_it(
    engine: Engine, loop: PlanScheduler, hanging: Pause
) -> None:
    loop._paces = SLOW
    engine.change(AutomationSchedule, timeout_seconds=20)
    with loop._passing:
        Chore.acts = {"b": hanging}
        engine.plan("a", "b")
    assert hanging.reached.wait(10)
    engine.now += 21 * SECOND
    assert eventually(lambda: engine.the_schedule().last_run_status == "timeout")
    hanging.go_on.set()
    assert eventually(lambda: not loop.busy)
    assert engine.statuses() == {"a": "success", "b": "timeout"}
    schedule = engine.the_schedule()
    assert schedule.last_execution_id == engine.runs()["b"].execution_id
    assert (schedule.last_run_status, schedule.consecutive_failures) == ("timeout", 1)
    assert schedule.execution_count == 2


def kinds_told(engine: Engine) -> set[str]:
    with engine.app.app_context():
        return set(db.session.scalars(sa.select(Outbox.kind)))


class Planning(BaseAutomationTask):
    """Hangs while it plans."""

    pause: ClassVar[Pause]

    def plan(self, session: Any, config: Any, now: Any) -> list[Any]:
        type(self).pause(self)
        return []

    def apply(self, session: Any, step: Any, now: Any) -> None:
        raise AssertionError("nothing was planned")


def test_what_recurs_times_out_while_it_hangs_and_whoever_follows_it_begins_once(
    engine: Engine, loop: PlanScheduler, hanging: Pause
) -> None:
    Planning.pause = hanging
    recurs = {"schedule_type": ScheduleType.INTERVAL, "schedule_config": {"interval_seconds": 3600}}
    with registered(Planning):
        follower = engine.schedule("after", Chores, schedule_type=ScheduleType.CHAINED)
        with loop._passing:
            engine.schedule("it", Planning, timeout_seconds=20, on_failure_schedule_id=follower,
                            anchor_at=NOON, next_execution_at=NOON, **recurs)  # fmt: skip
            item = engine.the_schedule("it").schedule_id
            engine.plan(item, schedule="it", cls=Planning)
        assert hanging.reached.wait(10)
        engine.now += 21 * SECOND
        assert eventually(lambda: engine.the_schedule("after").execution_count == 1)
        assert engine.statuses()[item] == "timeout"
        row = engine.the_schedule("it")
        assert (row.last_run_status, row.consecutive_failures) == ("timeout", 1)
        hanging.go_on.set()
        assert eventually(lambda: not loop.busy)
        assert engine.the_schedule("it").consecutive_failures == 1
        assert engine.the_schedule("after").execution_count == 1


def test_who_was_given_up_begins_nothing_more(engine: Engine) -> None:
    progress = worker.Progress()
    engine.plan("a", "b")

    def give_up(_task: Any) -> None:
        progress.given_up = True

    Chore.acts = {"a": give_up}
    engine.tick(progress=progress)
    assert engine.effects() == {"a": 1}
    assert engine.jobs()["b"].claim is None


def test_what_was_let_go_is_claimed_at_once_and_the_begun_counts_as_a_death(
    engine: Engine,
) -> None:
    engine.plan("begun", "waiting")
    jobs = engine.claim()
    with engine.app.app_context(), write(db.session):
        claims.let_go(db.session(), jobs, ["chores/begun/PRODUCTION"], NOON)
    again = {job.id.split("/")[1]: job for job in engine.claim()}
    assert {item: (job.attempts, job.died) for item, job in again.items()} == {
        "begun": (2, True),
        "waiting": (1, False),
    }


@pytest.mark.parametrize("kind", ["postgresql"])
def test_a_job_that_a_hanging_task_has_locked_keeps_nobody_waiting(engine: Engine) -> None:
    engine.plan("locked", "free")
    jobs = engine.claim()

    def renew_the_leases() -> None:
        with engine.app.app_context(), write(db.session):
            claims.keep(db.session(), [jobs[0].token], NOON + MINUTE)
            claims.let_go(db.session(), jobs, [], NOON)

    with engine.app.app_context(), write(db.session), ThreadPoolExecutor(1) as other:
        db.session.execute(sa.delete(Job).where(Job.id == "chores/locked/PRODUCTION"))
        before = time.monotonic()
        other.submit(renew_the_leases).result(10)
        assert time.monotonic() - before < 2
        db.session.rollback()
    assert {item: job.claim is None for item, job in engine.jobs().items()} == {
        "locked": False,
        "free": True,
    }


# --- a task may take its time --------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "said"), [(90, "90s"), (None, "1h"), (86_400, "1d")])
@pytest.mark.parametrize("kind", ["postgresql"])
def test_who_has_written_may_work_elsewhere_until_its_time_out(
    engine: Engine, seconds: int | None, said: str
) -> None:
    seen = []

    def ask(task: Any) -> None:
        task.session.execute(sa.insert(EFFECTS).values(item="first"))
        show = "SHOW idle_in_transaction_session_timeout"
        seen.append(task.session.scalar(sa.text(show)))

    engine.change(AutomationSchedule, timeout_seconds=seconds)
    engine.plan("sweep")
    Chore.acts = {"sweep": ask}
    engine.tick()
    assert seen == [said]
    with engine.app.app_context():
        after = db.session.scalar(sa.text("SHOW idle_in_transaction_session_timeout"))
    assert after == "5s"


# --- when only a fresh process helps -------------------------------------------------------------


class Looking(PlanScheduler):
    """A scheduler whose threads a test fills."""

    def __init__(self, *handed: Handed, threads: int) -> None:
        super().__init__()
        self.clock, self._threads = (lambda: NOON), threads
        self._running = {f"token/{n}": one for n, one in enumerate(handed)}

    def look(self) -> bool:
        """Whether it is stuck now."""
        self._see_who_hangs()
        return self._stuck_since is not None


def handed(*, given_up: bool = False, late: bool = False) -> Handed:
    progress = worker.Progress()
    progress.given_up = given_up
    progress.deadline = NOON - SECOND if late else NOON + SECOND
    return Handed(Future(), progress)


def test_it_is_stuck_once_each_thread_is_held_by_what_should_have_ended() -> None:
    held = [handed(given_up=True), handed(given_up=True)]
    assert not Looking(*held, threads=3).look()
    assert not Looking(*held, handed(), threads=3).look()
    scheduler = Looking(*held, threads=2)
    assert scheduler.look()
    time.sleep(0.02)
    assert scheduler.stuck_for >= 0.02
    held[0].future.set_result(None)
    assert not scheduler.look()
    assert scheduler.stuck_for == 0


def test_it_is_stuck_while_one_that_hangs_cannot_be_let_go() -> None:
    assert not Looking(handed(), threads=3).look()
    assert Looking(handed(late=True), threads=3).look()


def test_the_deadline_of_what_is_announced_is_its_time_out(engine: Engine) -> None:
    engine.change(AutomationSchedule, timeout_seconds=20)
    engine.plan("sweep")
    progress, seen = worker.Progress(), []

    def look(_task: Any) -> None:
        works: list[Work] = list(progress.works)
        seen.append((progress.deadline, [work.job.id for work in works]))

    Chore.acts = {"sweep": look}
    engine.tick(progress=progress)
    assert seen == [(NOON + 20 * SECOND, ["chores/sweep/PRODUCTION"])]
    assert (progress.deadline, list(progress.works)) == (None, [])
