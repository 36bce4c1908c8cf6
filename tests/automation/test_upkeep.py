"""Duties that keep schedules going: lost alarms, pauses that end, what nobody ends, what is old."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.automation import scheduler_ops
from app.automation.automation_base import BaseAutomationTask
from app.automation.claims import Fenced
from app.automation.scheduler_duties import DutyRunner
from app.automation.scheduler_upkeep import (
    PRUNE,
    PRUNE_AT,
    check_due_once,
    prune,
    prune_duty,
    reap_once,
)
from app.extensions import db, write
from app.models import (
    AuditEntry,
    AutomationRun,
    AutomationSchedule,
    Greeting,
    Job,
    RunStatus,
    ScheduleAudit,
    SchedulerEpoch,
    ScheduleType,
    Setback,
    StoppedBecause,
    SystemDuty,
    SystemState,
)
from app.models.types import new_uuid
from app.services import retention, schedules
from tests.automation import tasks
from tests.automation.tasks import EFFECTS, Chore, Engine, registered
from tests.automation.test_scheduler import eventually
from tests.cast import DAY, HOUR, MINUTE, NOON, SECOND, Cast

apps, engine = tasks.apps, tasks.engine
TOO_OLD = NOON - 91 * DAY


class Bell(BaseAutomationTask):
    """Writes its schedule's name into the table of effects."""

    misfire_grace_time = 900

    def execute(self) -> Any:
        self.session.execute(sa.insert(EFFECTS).values(item=self.automation_name))
        return {"done": 1}


@pytest.fixture(autouse=True)
def _known() -> Iterator[None]:
    with registered(Bell):
        yield


@pytest.fixture
def first(engine: Engine) -> Engine:
    """The engine of the scheduler's first start."""
    engine.sql(sa.insert(SchedulerEpoch).values(id=1, epoch=1))
    return engine


def hourly(engine: Engine, name: str = "it", **more: Any) -> int:
    given = {
        "schedule_type": ScheduleType.INTERVAL,
        "schedule_config": {"interval_seconds": 3600},
        "anchor_at": NOON - HOUR,
        "next_execution_at": NOON,
    }
    return engine.schedule(name, Bell, **(given | more))


def resting(engine: Engine, name: str = "it", until: datetime = NOON, **more: Any) -> int:
    given = {"active": False, "next_execution_at": None, "paused_at": NOON - DAY}
    given |= {"stopped_because": StoppedBecause.PAUSED, "resume_at": until}
    return hourly(engine, name, **(given | more))


def a_run(engine: Engine, schedule_id: int, status: RunStatus, **more: Any) -> str:
    execution_id = new_uuid()
    row = {"execution_id": execution_id, "schedule_id": schedule_id, "status": status}
    row |= {"occurrence": execution_id, "item": "7"}
    engine.sql(sa.insert(AutomationRun).values(**row | more))
    return execution_id


def old(engine: Engine, schedule_id: int, status: RunStatus, at: datetime = TOO_OLD) -> str:
    return a_run(engine, schedule_id, status, finished_at=at)


def within(engine: Engine, act: Any, *args: Any, now: datetime = NOON, **more: Any) -> Any:
    with engine.app.app_context():
        return act(*args, clock=lambda: now, **more)


def left(engine: Engine, column: Any = AutomationRun.execution_id) -> set[Any]:
    with engine.app.app_context():
        return set(db.session.scalars(sa.select(column)))


# --- what is due though its alarm is lost (C1) ---------------------------------------------------


def test_what_is_due_runs_though_its_alarm_is_lost(first: Engine) -> None:
    hourly(first)
    first.tick(NOON)
    assert first.effects() == {}  # no job woke anybody
    assert within(first, check_due_once, 1) == "began 1"
    first.tick(NOON)
    assert first.effects() == {"it": 1}
    assert within(first, check_due_once, 1) is None


def test_what_rests_with_all_others_or_is_not_due_begins_nothing(first: Engine) -> None:
    hourly(first)
    assert within(first, check_due_once, 1, now=NOON - SECOND) is None
    first.sql(sa.insert(SystemState).values(id=1, schedules_paused_at=NOON))
    assert within(first, check_due_once, 1) is None
    assert left(first) == set()


def test_who_was_replaced_claims_and_resumes_and_prunes_nothing(first: Engine) -> None:
    hourly(first)
    resting(first, "rests")
    old(first, hourly(first, "old"), RunStatus.SKIPPED)
    for act, args in ((check_due_once, (2,)), (reap_once, (None, 2)), (prune, (None, 2))):
        with pytest.raises(Fenced):
            within(first, act, *args)
    assert len(left(first)) == 1


# --- pauses that end (R6) ------------------------------------------------------------------------


def test_a_pause_that_is_over_ends_and_it_goes_on_from_now(first: Engine) -> None:
    resting(first)
    assert within(first, reap_once, now=NOON - SECOND) is None
    assert within(first, reap_once, None, 1, now=NOON + MINUTE) == "resumed 1"
    row = first.the_schedule("it")
    assert (row.active, row.paused_at, row.resume_at) == (True, None, None)
    assert row.next_execution_at == NOON + HOUR
    assert row.schedule_id in first.jobs()
    assert within(first, reap_once, now=NOON + 2 * MINUTE) is None


def test_a_pause_that_ends_after_the_schedule_does_completes_it(first: Engine) -> None:
    resting(first, end_at=NOON - HOUR)
    assert within(first, reap_once) == "resumed 1"
    row = first.the_schedule("it")
    assert (row.active, row.stopped_because) == (False, StoppedBecause.COMPLETED)


def test_one_that_cannot_be_resumed_is_put_off_and_the_others_go_on(
    first: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    resting(first, "bad")
    resting(first, "good")
    bad, really = first.the_schedule("bad").schedule_id, schedules.resume_in_time

    def resume_in_time(session: Any, schedule_id: str, **how: Any) -> bool:
        if schedule_id == bad:
            raise ValueError("no luck")
        return really(session, schedule_id, **how)

    monkeypatch.setattr(schedules, "resume_in_time", resume_in_time)
    assert within(first, reap_once) == "resumed 2, failed 1"
    assert first.the_schedule("good").active
    assert left(first, Setback.item) == {bad}
    assert within(first, reap_once, now=NOON + 30 * SECOND) is None
    assert within(first, reap_once, now=NOON + 2 * MINUTE) == "resumed 1, failed 1"


# --- runs that nobody ends -----------------------------------------------------------------------


def under_way(engine: Engine, **more: Any) -> str:
    """A run whose worker was lost, and its job with it; what follows a failure stands ready."""
    follower = engine.schedule("after", Bell, schedule_type=ScheduleType.CHAINED)
    id_ = hourly(engine, next_execution_at=None, on_failure_schedule_id=follower)
    item = engine.the_schedule("it").schedule_id
    given = {"item": item, "started_at": NOON - HOUR, "deadline_at": NOON}
    return a_run(engine, id_, RunStatus.RUNNING, **(given | more))


def test_a_run_that_no_job_brings_back_times_out_and_its_chain_goes_on(first: Engine) -> None:
    lost = under_way(first)
    assert within(first, reap_once, now=NOON - SECOND) is None
    assert within(first, reap_once, None, 1) == "timed out 1"
    statuses = {run.execution_id: run.status for run in first.runs().values()}
    assert statuses.pop(lost) is RunStatus.TIMEOUT
    assert list(statuses.values()) == [RunStatus.QUEUED]  # the follower's
    row = first.the_schedule("it")
    assert (row.last_run_status, row.consecutive_failures) == ("timeout", 1)


def test_one_that_its_job_will_begin_again_is_left_to_it(first: Engine) -> None:
    execution_id = under_way(first)
    first.plan(execution_id, schedule="it", cls=Bell)
    assert within(first, reap_once) is None
    assert first.the_schedule("it").last_run_status is None


# --- what has been kept long enough (H) ----------------------------------------------------------


def test_runs_are_kept_for_ninety_days_and_whatever_has_not_ended(first: Engine) -> None:
    id_ = hourly(first)
    kept = {
        old(first, id_, RunStatus.SKIPPED, NOON - 90 * DAY),
        a_run(first, id_, RunStatus.QUEUED, due_at=TOO_OLD),
        a_run(first, id_, RunStatus.RUNNING, started_at=TOO_OLD),
    }
    for status in (RunStatus.SKIPPED, RunStatus.MISSED, RunStatus.CANCELLED):
        old(first, id_, status)
    assert within(first, prune, None, 1)["runs"] == 3
    assert left(first) == kept
    assert within(first, prune)["runs"] == 0


def test_the_newest_success_and_the_newest_failure_of_a_live_schedule_stay(first: Engine) -> None:
    live, gone = hourly(first), hourly(first, "gone", deleted_at=NOON, active=False,
                                       next_execution_at=None)  # fmt: skip
    kept = set()
    for id_ in (live, gone):
        old(first, id_, RunStatus.SUCCESS)
        old(first, id_, RunStatus.TIMEOUT)
        newest = {old(first, id_, RunStatus.SUCCESS), old(first, id_, RunStatus.FAILED)}
        kept |= newest if id_ == live else set()
    assert within(first, prune)["runs"] == 6
    assert left(first) == kept


def test_of_a_recurring_schedule_so_many_stay_of_one_that_follows_events_all(
    first: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention.prune_runs, "__defaults__", (2,))
    rules = first.app.extensions["rules"]
    monkeypatch.setitem(first.app.extensions, "rules", rules.__class__(schedule_history_most=3))
    recurring, event = hourly(first), first.schedule("by events", Chore)
    for id_ in (recurring, event):
        for n in range(8):
            old(first, id_, RunStatus.SKIPPED, NOON - n * MINUTE)
    assert within(first, prune)["runs"] == 5
    assert len(left(first)) == 3 + 8


def test_nothing_runs_again_after_it(first: Engine) -> None:
    """A reminder that went out long before its event, which is still to come (H2)."""
    first.plan("a", due=NOON - 100 * DAY, at=NOON - 100 * DAY)
    first.change(AutomationSchedule, active_since=NOON - 200 * DAY)
    first.tick(NOON - 100 * DAY)
    assert first.effects() == {"a": 1}
    for status in (RunStatus.SUCCESS, RunStatus.FAILED):
        old(first, first.the_schedule().id, status, NOON)  # so that the run is not the newest
    first.sql(sa.update(AutomationRun).where(AutomationRun.item == "a").values(finished_at=TOO_OLD))
    assert within(first, prune)["runs"] == 1
    Chore.misfire_grace_time = 10**7
    try:
        with first.app.app_context():
            scheduler_ops.renew_automations(NOON)
        first.tick(NOON)
    finally:
        Chore.misfire_grace_time = 24 * 3600
    assert first.effects() == {"a": 1}
    assert first.jobs() == {}


def test_a_deleted_schedule_goes_with_its_last_run_and_nobody_follows_it(first: Engine) -> None:
    off = {"active": False, "next_execution_at": None}
    gone = hourly(first, "gone", deleted_at=TOO_OLD, **off)
    recent = hourly(first, "recent", deleted_at=NOON - DAY, **off)
    ran = hourly(first, "ran", deleted_at=TOO_OLD, **off)
    old(first, ran, RunStatus.SKIPPED, NOON - DAY)
    links = {"on_success_schedule_id": gone, "on_failure_schedule_id": ran}
    live = hourly(first, "live", **links)
    assert within(first, prune)["schedules"] == 1
    names = left(first, AutomationSchedule.name)
    assert {"live", "recent", "ran"} <= names
    assert "gone" not in names
    row = first.the_schedule("live")
    assert (row.id, row.on_success_schedule_id, row.on_failure_schedule_id) == (live, None, ran)
    assert recent not in (gone, ran)


def test_a_schedule_that_an_enrolment_names_stays(first: Engine) -> None:
    with first.app.app_context(), write(db.session):
        cast = Cast(db.session())
        (ben,) = cast.offer("Ben")
        ben.invite_schedule_id = cast.schedule.id
        cast.schedule.deleted_at = TOO_OLD
        name = cast.schedule.name
    within(first, prune)
    assert name in left(first, AutomationSchedule.name)


def test_records_and_greetings_are_kept_for_two_years(first: Engine) -> None:
    two_years = NOON - retention.TWO_YEARS
    with first.app.app_context(), write(db.session):
        cast = Cast(db.session())
        user = cast.user("Ada").id
        for n, at in enumerate((two_years - SECOND, two_years)):
            record = {"schedule_id": new_uuid(), "actor": "system", "action": "schedule_update"}
            db.session.add(ScheduleAudit(at=at, **record))
            entry = {"actor": "system", "action": "policy_update", "subject": "policy"}
            whose = {"practice_id": cast.practice.id, "subject_id": n, "called": "ours"}
            db.session.add(AuditEntry(at=at, **entry, **whose))
            sent = {"user_id": user, "practice_id": cast.practice.id, "birthday_year": 2020 + n}
            db.session.add(Greeting(greeted_at=at, **sent))
    assert +within(first, prune) == {"records": 1, "audit": 1, "greetings": 1}
    assert left(first, AuditEntry.subject_id) == {1}
    assert left(first, Greeting.birthday_year) == {2021}


# --- once a day ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "now", "due"),
    [
        (None, "2026-03-02T00:00Z", True),
        ("2026-03-01T03:30Z", "2026-03-02T03:29Z", False),
        ("2026-03-01T03:30Z", "2026-03-02T03:30Z", True),
        ("2026-03-02T03:30Z", "2026-03-02T23:59Z", False),
        ("2026-02-20T03:30Z", "2026-03-02T01:00Z", True),  # nothing ran for days
    ],
)
def test_what_is_done_daily_is_due_once_a_day(last: str | None, now: str, due: bool) -> None:
    duty = prune_duty(1)
    assert duty.daily_at == PRUNE_AT == time(3, 30)
    read = datetime.fromisoformat
    assert duty.is_due(read(last) if last else None, read(now)) is due


def test_a_daily_duty_that_failed_is_tried_again_and_one_that_went_well_is_not(
    first: Engine,
) -> None:
    count, clock = [], [NOON]

    def act(_stop: Any) -> None:
        count.append(clock[0])
        if len(count) < 3:
            raise ValueError("no luck")

    runner = DutyRunner(first.app, lambda *_: None, lambda: clock[0])
    daily = prune_duty(1)
    runner.start(type(daily)(daily.name, timedelta(milliseconds=10), act, daily_at=PRUNE_AT))
    assert eventually(lambda: left(first, SystemDuty.last_run_at) == {NOON})
    assert len(count) == 3
    clock[0] = NOON + DAY
    assert eventually(lambda: left(first, SystemDuty.last_run_at) == {NOON + DAY})
    assert runner.join(5)
    assert len(count) == 4
    assert left(first, SystemDuty.name) == {PRUNE}


def test_jobs_of_runs_that_went_are_none_of_its_business(first: Engine) -> None:
    id_ = hourly(first)
    with first.app.app_context():
        scheduler_ops.renew_automations(NOON - MINUTE)
    before = left(first, Job.id)
    assert before
    old(first, id_, RunStatus.SKIPPED)
    within(first, prune)
    assert left(first, Job.id) == before
