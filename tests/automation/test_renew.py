"""The plan brought in line with the rows (waitlist WA3, WA5–WA10, WI5; reliability JX6, JX7)."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from app.automation import registry
from app.automation.automation_base import BaseAutomationTask, Late, register_automation
from app.automation.claims import Fenced
from app.automation.scheduler_ops import init_app_scheduler, renew_automations
from app.extensions import db
from app.models import (
    AutomationRun,
    AutomationSchedule,
    BeforeAfterEnum,
    EventsEnum,
    Job,
    Practice,
    SchedulerEpoch,
    Training,
    TrainingEnroll,
    TrainingEvent,
    TrainingType,
)
from app.models.rules import Environment
from app.services import plan, waitlist
from app.services.plan import Occurrence
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, SECOND, START, Cast
from tests.statements import count_statements, verbs

Renew = Callable[..., Any]
LONG_AGO = NOON - 365 * DAY


def schedule(cast: Cast, name: str, task: str, **more: Any) -> AutomationSchedule:
    """A schedule that has been on for long: seven days before the first event unless told."""
    usual: dict[str, Any] = {
        "beforeafter": BeforeAfterEnum.before,
        "events": EventsEnum.first,
        "interval": 7 * DAY,
        "active_since": LONG_AGO,
    }
    row = AutomationSchedule(name=name, automation_class=cast.task(task), **(usual | more))
    return cast.add(row)


def reminders(cast: Cast, name: str = "reminder", **more: Any) -> AutomationSchedule:
    return schedule(cast, name, "StudentReminderTask", **more)


THINGS: dict[str, Any] = {}


def own_task(name: str = "OwnTask", **attributes: Any) -> type[BaseAutomationTask]:
    """A provider's own class over the instants in `THINGS`: id -> instant."""

    class Own(BaseAutomationTask):
        @staticmethod
        def query() -> list[Any]:
            return [SimpleNamespace(id=id_, at=at) for id_, at in THINGS.items()]

        @staticmethod
        def get_event_dt(item: Any) -> datetime | None:
            if isinstance(item.at, Exception):
                raise item.at
            return item.at

    for key, value in attributes.items():
        setattr(Own, key, value)
    return register_automation(name=name)(Own)


@pytest.fixture
def things() -> Any:
    THINGS.clear()
    yield THINGS
    THINGS.clear()


def own_schedule(cast: Cast, **more: Any) -> AutomationSchedule:
    after = {"beforeafter": BeforeAfterEnum.after, "interval": HOUR, "events": None}
    return schedule(cast, "own", "OwnTask", **(after | more))


def planned_jobs(cast: Cast) -> dict[str, tuple[Any, ...]]:
    job = Job.__table__
    rows = cast.session.execute(
        sa.select(job.c.id, job.c.next_run_time, job.c.due, job.c.job_state)
    )
    return {row[0]: tuple(row[1:]) for row in rows}


def lose(cast: Cast, *ids: str) -> None:
    which = Job.id.in_(ids) if ids else sa.true()
    cast.session.execute(sa.delete(Job).where(which))
    cast.session.commit()


def job_of(enrolment: TrainingEnroll) -> str:
    return f"waitlist_invitation_expiry/{enrolment.uuid}/PRODUCTION"


def invited(cast: Cast, count: int, offset: timedelta = timedelta(0)) -> list[str]:
    """So many open invitations, with their jobs; their uuids, first in line first."""
    training = cast.several(count, places=count)
    uuids = waitlist.fill_open_spots(cast.session, training.id, NOON)
    cast.session.commit()
    return uuids


def runs(cast: Cast) -> list[tuple[str, str, str]]:
    rows = sa.select(AutomationRun.item, AutomationRun.status, AutomationRun.reason)
    return [(i, str(s), r) for i, s, r in cast.session.execute(rows.order_by(AutomationRun.item))]


# --- the law (L1, STYLE R7) ----------------------------------------------------------------------


def test_a_lost_plan_is_written_again_the_same(stage: Cast, renew: Renew, things: Any) -> None:
    own_task()
    things[1] = NOON + DAY
    own_schedule(stage)
    reminders(stage)
    stage.offer("Ben", "Cleo")
    renew()
    before = planned_jobs(stage)
    assert len(before) == 3
    lose(stage)
    renewed = renew(NOON + MINUTE)
    assert planned_jobs(stage) == before
    assert (renewed.planned, renewed.removed, renewed.left_out) == (3, 0, [])


def test_what_services_wrote_is_what_renew_would_write(stage: Cast, renew: Renew) -> None:
    reminders(stage, events=EventsEnum.all)
    stage.offer("Ben")
    plan.training_jobs(stage.session, stage.pottery, NOON)
    before = planned_jobs(stage)
    renewed = renew()
    assert (renewed.planned, renewed.kept) == (0, 2)
    lose(stage)
    renew()
    assert planned_jobs(stage) == before


def test_a_second_renew_changes_nothing(stage: Cast, renew: Renew, things: Any) -> None:
    own_task()
    things.update({1: NOON + DAY, 2: NOON - 2 * DAY})
    own_schedule(stage)
    reminders(stage)
    stage.offer("Ben")
    renew()
    before = planned_jobs(stage)
    with count_statements(stage.session) as sent:
        renewed = renew(NOON + MINUTE)
    assert set(verbs(sent)) == {"SELECT"}
    assert planned_jobs(stage) == before
    assert (renewed.planned, renewed.removed, renewed.missed) == (0, 0, 0)


def test_agreeing_invitations_cost_the_same_few_selects_however_many(
    stage: Cast, renew: Renew
) -> None:
    counted = []
    for count in (3, 60):
        invited(stage, count)
        renew()
        with count_statements(stage.session) as sent:
            renewed = renew()
        assert set(verbs(sent)) == {"SELECT"}
        counted.append(len(sent))
    assert renewed.kept == 63
    assert counted[0] == counted[1] <= 10


def test_a_thousand_changes_are_a_constant_number_of_statements(stage: Cast, renew: Renew) -> None:
    counted = []
    for count in (5, 200):
        invited(stage, count)
        renew()
        lose(stage)
        with count_statements(stage.session) as sent:
            renew()
        counted.append(len(sent))
    assert counted[0] == counted[1]


def test_a_renew_that_changes_nothing_waits_for_no_writer(stage: Cast, renew: Renew) -> None:
    stage.offer("Ben")
    reminders(stage)
    renew()
    with db.engine.connect() as other:  # it holds the writer's place (SQLite) or the rows
        other.execute(sa.update(Training).values(description="x"))
        other.execute(sa.update(Job).values(attempts=Job.attempts))
        assert renew_automations(NOON).planned == 0
        other.rollback()


@pytest.mark.parametrize(("epoch", "planned"), [(1, 0), (2, 1)])
def test_who_was_replaced_plans_nothing(
    stage: Cast, renew: Renew, epoch: int, planned: int
) -> None:
    stage.offer("Ben")
    stage.add(SchedulerEpoch(id=1, epoch=2))
    lose(stage)
    stage.session.commit()
    with contextlib.suppress(Fenced):
        renew_automations(NOON, epoch=epoch)
    assert stage.session.scalar(sa.select(sa.func.count()).select_from(Job)) == planned


def test_whose_renew_changes_nothing_need_not_be_the_last(stage: Cast, renew: Renew) -> None:
    stage.offer("Ben")
    stage.add(SchedulerEpoch(id=1, epoch=2))
    renew()
    assert renew_automations(NOON, epoch=1).planned == 0


# --- one changed, one lost, one foreign ----------------------------------------------------------


def test_only_what_changed_is_written(stage: Cast, renew: Renew) -> None:
    uuids = invited(stage, 100)
    renew()
    before = planned_jobs(stage)
    moved, gone, lost, foreign = uuids[:4]
    e = TrainingEnroll
    for uuid, values in {
        moved: {"invite_expires_at": DEADLINE + HOUR},
        gone: {"expiry_exempt": True},
    }.items():
        stage.session.execute(sa.update(e).where(e.uuid == uuid).values(**values))
    id_ = "waitlist_invitation_expiry/{}/PRODUCTION".format
    lose(stage, id_(lost))
    job = Job.__table__
    mine = sa.update(job).where(job.c.id == id_(foreign))
    stage.session.execute(mine.values(job_state=b"\x80\x04not ours", due=NOON))
    foreigners = [
        "somebody-else",
        "a/b/c/PRODUCTION",
        "waitlist_invitation_expiry/x/DEVELOPMENT",
        "other/job/PRODUCTION",
    ]
    for name in foreigners:
        stage.add(Job(id=name, job_state=b"\x80\x04pickle", due=NOON, next_run_time=1.0))
    ours = {"v": 1, "args": ["x", "n", "AutomaticWaitList"], "kwargs": {}}
    for name in ("a/b/c/PRODUCTION", "w/x/DEVELOPMENT", "w/x/STAGING", "x/PRODUCTION"):
        stage.session.merge(Job(id=name, job_state=json.dumps(ours).encode(), due=NOON))
    renewed = renew()
    after = planned_jobs(stage)
    assert (renewed.planned, renewed.removed) == (2, 1)
    assert after[id_(moved)][1] == DEADLINE + HOUR
    assert id_(gone) not in after
    assert after[id_(lost)] == before[id_(lost)]
    assert after[id_(foreign)][2] == b"\x80\x04not ours"
    strangers = {"a/b/c/PRODUCTION", "w/x/DEVELOPMENT", "w/x/STAGING", "x/PRODUCTION"}
    assert set(after) - set(before) == strangers | set(foreigners)
    untouched = {id_(uuid) for uuid in uuids[4:]}
    assert {name: after[name] for name in untouched} == {name: before[name] for name in untouched}
    assert renew().planned == 0


def test_jobs_of_no_invitation_go_though_as_many_are_lost(stage: Cast, renew: Renew) -> None:
    ben, cleo = stage.line("Ben", "Cleo")
    stage.pottery.max_participants = 3
    waitlist.fill_open_spots(stage.session, stage.pottery.id, NOON)
    lose(stage, job_of(ben))
    row = plan.alarm(
        stage.schedule.name, "AutomaticWaitList", "nobody", Environment.PRODUCTION, NOON
    )
    stage.add(Job(**row))
    renewed = renew()
    assert set(planned_jobs(stage)) == {job_of(ben), job_of(cleo)}
    assert (renewed.planned, renewed.removed) == (1, 1)


def test_a_leased_job_is_touched_only_if_its_fact_is_gone(stage: Cast, renew: Renew) -> None:
    reminders(stage)
    ben = stage.offer("Ben")[0]
    renew()
    job = Job.__table__
    lease = {"claim": "mine", "next_run_time": 5.0, "due": NOON - HOUR}
    stage.session.execute(sa.update(job).values(**lease))
    renew()
    assert {row[:2] for row in planned_jobs(stage).values()} == {(5.0, NOON - HOUR)}
    stage.accept(stage.row("Ben"))
    row = plan.alarm(
        stage.schedule.name, "AutomaticWaitList", ben.uuid, Environment.PRODUCTION, NOON
    )
    stage.add(Job(**(row | {"claim": "mine"})))
    stage.pottery.active = False
    renew()
    assert planned_jobs(stage) == {}


def test_a_job_that_staff_asked_for_stays(stage: Cast, renew: Renew) -> None:
    by = reminders(stage)
    run = stage.add(
        AutomationRun(schedule_id=by.id, item=str(stage.pottery.id), occurrence="manual:1",
                      status="queued", trigger="manual")
    )  # fmt: skip
    row = plan.alarm(by.name, "StudentReminderTask", run.execution_id, Environment.PRODUCTION, NOON)
    stage.add(Job(**row))
    renew()
    assert row["id"] in planned_jobs(stage)


# --- schedules that go off, are renamed, or make no sense ----------------------------------------


@pytest.mark.parametrize("off", [{"active": False}, {"paused_at": NOON}, {"deleted_at": NOON}])
def test_a_schedule_that_is_off_has_no_job(
    stage: Cast, renew: Renew, off: dict[str, Any]
) -> None:  # WS12
    by = reminders(stage)
    stage.offer("Ben")
    renew()
    for row in (by, stage.schedule):
        for name, value in off.items():
            setattr(row, name, value)
    renewed = renew()
    assert planned_jobs(stage) == {}
    assert renewed.left_out == []


def test_what_was_due_while_it_was_off_is_not_caught_up(stage: Cast, renew: Renew) -> None:
    by = reminders(stage)
    renew()
    by.active = False
    renew()
    by.active = True
    after_it_was_due = START - 5 * DAY
    renewed = renew(after_it_was_due)
    assert planned_jobs(stage) == {}
    assert (renewed.before_switched_on, by.active_since) == (1, after_it_was_due)
    assert renew(after_it_was_due + MINUTE).before_switched_on == 0
    assert runs(stage) == []


def test_a_new_schedule_plans_nothing_of_the_past(
    stage: Cast, renew: Renew, caplog: pytest.LogCaptureFixture
) -> None:  # WQ28
    reminders(stage, interval=40 * DAY, active_since=None)
    with caplog.at_level(logging.INFO, "app.automation"):
        renew()
        renew(NOON + MINUTE)
    assert planned_jobs(stage) == {}
    told = [r for r in caplog.records if "before the schedule was switched on" in r.getMessage()]
    assert len(told) == 1


def test_the_ids_follow_a_rename(stage: Cast, renew: Renew) -> None:  # schedules D7
    by = reminders(stage)
    ben = stage.offer("Ben")[0]
    renew()
    by.name, stage.schedule.name = "reminder, renamed", "expiry, renamed"
    renew()
    assert set(planned_jobs(stage)) == {
        f"reminder, renamed/{stage.pottery.id}/PRODUCTION",
        f"expiry, renamed/{ben.uuid}/PRODUCTION",
    }
    states = [json.loads(job[2])["args"][1] for job in planned_jobs(stage).values()]
    assert set(states) == {"reminder, renamed", "expiry, renamed"}


def test_two_schedules_may_swap_their_names(stage: Cast, renew: Renew) -> None:
    one, two = reminders(stage, "one"), reminders(stage, "two", interval=3 * DAY)
    renew()
    dues = {id_.split("/")[0]: job[1] for id_, job in planned_jobs(stage).items()}
    for by, name in ((one, "x"), (two, "one"), (one, "two")):
        by.name = name
        stage.session.flush()
    renew()
    after = {id_.split("/")[0]: job[1] for id_, job in planned_jobs(stage).items()}
    assert after == {"one": dues["two"], "two": dues["one"]}


def test_what_ran_under_the_old_name_does_not_run_again(stage: Cast, renew: Renew) -> None:
    by, item = reminders(stage), str(stage.pottery.id)
    name = Occurrence(item, START, START).name
    stage.add(AutomationRun(schedule_id=by.id, item=item, occurrence=name, status="success",
                            finished_at=NOON))  # fmt: skip
    by.name = "renamed"
    renew()
    assert planned_jobs(stage) == {}


@pytest.mark.parametrize(
    ("task", "change", "because"),
    [
        (None, {}, "it has no task class"),
        ("Vanished", {}, "its task class Vanished is missing"),
        ("StudentReminderTask", {"interval": None}, "it has no interval"),
        ("StudentReminderTask", {"beforeafter": BeforeAfterEnum.after}, "before its event"),
        ("StudentReminderTask", {"events": EventsEnum.invited}, "first, the last or all"),
        ("AutomaticWaitList", {}, "after the invitation"),
        (
            "AutomaticWaitList",
            {"beforeafter": BeforeAfterEnum.after},
            "counts from the invitation",
        ),
    ],
)
def test_a_schedule_that_makes_no_sense_is_inert_and_reported(
    stage: Cast,
    renew: Renew,
    caplog: pytest.LogCaptureFixture,
    task: str | None,
    change: dict[str, Any],
    because: str,
) -> None:  # WA7
    odd = reminders(stage, "odd", **change)
    odd.automation_class = stage.task(task) if task else None
    reminders(stage, "good")
    with caplog.at_level(logging.WARNING, "app.automation"):
        first, again = renew(), renew()
    for renewed in (first, again):
        assert [(name, because in why) for name, why in renewed.left_out] == [("odd", True)]
    assert {id_.split("/")[0] for id_ in planned_jobs(stage)} == {"good"}
    assert sum("odd" in r.getMessage() for r in caplog.records) == 1  # warned of once


def test_a_schedule_written_with_nothing_but_a_name_is_inert(stage: Cast, renew: Renew) -> None:
    stage.add(AutomationSchedule(name="waitlist_test", interval=30 * SECOND))
    assert renew().left_out == [("waitlist_test", "it has no task class")]


def test_a_disabled_class_has_no_jobs(stage: Cast, renew: Renew) -> None:
    by = reminders(stage)
    renew()
    by.automation_class.enabled = False
    renewed = renew()
    assert planned_jobs(stage) == {}
    assert renewed.left_out == [("reminder", "its task class StudentReminderTask is disabled")]


# --- classes that vanish and return (JX6) --------------------------------------------------------


def test_a_vanished_class_leaves_its_jobs_and_its_return_un_parks_them(
    stage: Cast, renew: Renew, things: Any
) -> None:
    own_task()
    things[1] = NOON + DAY
    own_schedule(stage)
    renew()
    record = registry._registered.pop("OwnTask")
    assert renew().left_out == [("own", "its task class OwnTask is missing")]
    assert list(planned_jobs(stage)) == ["own/1/PRODUCTION"]
    job = Job.__table__
    stage.session.execute(sa.update(job).values(next_run_time=None, last_error="class missing"))
    renew()
    assert planned_jobs(stage)["own/1/PRODUCTION"][0] is None
    registry._registered["OwnTask"] = record
    renew()
    row = stage.session.execute(sa.select(job)).one()
    assert (row.next_run_time, row.last_error) == ((NOON + DAY + HOUR).timestamp(), None)


def test_a_parked_invitation_is_un_parked(stage: Cast, renew: Renew) -> None:
    ben = stage.offer("Ben")[0]
    stage.session.execute(sa.update(Job).values(next_run_time=None))
    renew()
    assert planned_jobs(stage)[job_of(ben)][0] == DEADLINE.timestamp()


def test_the_jobs_of_a_deleted_schedule_go_though_its_class_vanished(
    stage: Cast, renew: Renew
) -> None:
    row = plan.alarm("gone", "Vanished", "1", Environment.PRODUCTION, NOON)
    stage.add(Job(**row))
    assert renew().removed == 1
    assert planned_jobs(stage) == {}


# --- who raises stops no other (WX5, P6) ---------------------------------------------------------


def test_a_query_that_raises_stops_no_other_and_its_jobs_stay(
    stage: Cast, renew: Renew, things: Any, caplog: pytest.LogCaptureFixture
) -> None:
    task = own_task()
    things[1] = NOON + DAY
    own_schedule(stage)
    reminders(stage)
    renew()
    lose(stage, f"reminder/{stage.pottery.id}/PRODUCTION")

    def broken() -> list[Any]:
        db.session.execute(sa.text("SELECT nonsense FROM nowhere"))
        return []

    task.query = staticmethod(broken)  # type: ignore[method-assign]
    with caplog.at_level(logging.ERROR, "app.automation"):
        renewed = renew()
    ((name, why),) = renewed.left_out
    assert (name, "nowhere" in why) == ("own", True)
    assert [r for r in caplog.records if r.exc_info]
    assert set(planned_jobs(stage)) == {
        "own/1/PRODUCTION",
        f"reminder/{stage.pottery.id}/PRODUCTION",
    }


def test_an_item_that_raises_or_has_no_instant_stops_no_other(
    stage: Cast, renew: Renew, things: Any
) -> None:
    own_task()
    things.update({1: RuntimeError("no idea"), 2: None, 3: NOON + DAY})
    own_schedule(stage)
    renewed = renew()
    assert renewed.left_out == [("own/1", "no idea"), ("own/2", "it has no instant")]
    assert list(planned_jobs(stage)) == ["own/3/PRODUCTION"]


def test_a_naive_instant_is_utc_with_one_warning(
    stage: Cast, renew: Renew, things: Any, caplog: pytest.LogCaptureFixture
) -> None:
    own_task()
    things.update({n: datetime(2026, 3, 3, 12) for n in (1, 2)})  # noqa: DTZ001  theirs may be
    own_schedule(stage)
    with caplog.at_level(logging.WARNING, "app.automation"):
        renew()
    assert {job[1] for job in planned_jobs(stage).values()} == {NOON + DAY + HOUR}
    assert sum("naive" in r.getMessage() for r in caplog.records) == 1


def test_the_task_of_another_practice_or_type_is_as_the_schedule_says(
    stage: Cast, renew: Renew
) -> None:
    vip = stage.add(TrainingType(practice_id=stage.practice.id, name="VIP"))
    other = stage.add(Practice(name="Other", shortname="other"))
    stage.session.flush()
    reminders(stage, "vip", training_types=[vip])
    reminders(stage, "other", practice_id=other.id)
    reminders(stage, "here", practice_id=stage.practice.id)
    renew()
    assert {id_.split("/")[0] for id_ in planned_jobs(stage)} == {"here"}
    stage.pottery.training_type_id = vip.id
    renew()
    assert {id_.split("/")[0] for id_ in planned_jobs(stage)} == {"here", "vip"}


# --- what is past (WA10, JX7) --------------------------------------------------------------------


def test_an_overdue_invitation_without_a_run_is_planned(stage: Cast, renew: Renew) -> None:
    ben = stage.offer("Ben")[0]
    lose(stage)
    renew(DEADLINE + 3 * DAY)
    assert planned_jobs(stage)[job_of(ben)][1] == DEADLINE
    assert runs(stage) == []


@pytest.mark.parametrize("status", ["success", "skipped", "cancelled", "failed", "missed"])
def test_what_ended_is_not_planned_again(stage: Cast, renew: Renew, status: str) -> None:
    ben = stage.offer("Ben")[0]
    name = Occurrence(ben.uuid, DEADLINE, DEADLINE).name
    stage.add(AutomationRun(schedule_id=stage.schedule.id, item=ben.uuid, occurrence=name,
                            status=status, finished_at=NOON))  # fmt: skip
    renew()
    lose(stage)
    with count_statements(stage.session) as sent:
        assert renew().planned == 0
    assert set(verbs(sent)) == {"SELECT"}
    assert planned_jobs(stage) == {}


def test_a_reminder_that_is_late_is_planned_until_its_event(stage: Cast, renew: Renew) -> None:
    reminders(stage)
    renew(START - SECOND)
    assert list(planned_jobs(stage)) == [f"reminder/{stage.pottery.id}/PRODUCTION"]


def test_a_reminder_whose_event_has_begun_is_missed_once(
    stage: Cast, renew: Renew, caplog: pytest.LogCaptureFixture
) -> None:  # WQ21
    reminders(stage)
    with caplog.at_level(logging.WARNING, "app.automation"):
        renewed, again = renew(START + SECOND), renew(START + MINUTE)
    assert (renewed.missed, again.missed) == (1, 0)
    assert planned_jobs(stage) == {}
    assert runs(stage) == [(str(stage.pottery.id), "missed", "too late")]
    (warning,) = [r.getMessage() for r in caplog.records if "scheduler in the past" in r.msg]
    due = plan.shifted(START, 7 * DAY, BeforeAfterEnum.before, plan.ZoneInfo("Europe/Amsterdam"))
    assert warning == (
        f"job is scheduler in the past: {due}\ntask will probably be ignored event_dt: {START}"
    )


def test_an_event_long_past_is_no_news(stage: Cast, renew: Renew) -> None:
    reminders(stage)
    renew(START + 40 * DAY)
    assert (runs(stage), planned_jobs(stage)) == ([], {})


@pytest.mark.parametrize(
    ("attributes", "grace", "late_by", "is_planned"),
    [
        ({}, None, 15 * SECOND, True),  # a second of grace is never below fifteen
        ({}, None, 16 * SECOND, False),
        ({}, 60, MINUTE, True),
        ({}, 60, MINUTE + SECOND, False),
        ({"late": Late.ALWAYS}, None, 89 * DAY, True),
        ({"late": Late.ALWAYS}, 60, HOUR, False),  # the schedule's grace wins
        ({"misfire_grace_time": None}, None, 89 * DAY, True),
        ({"misfire_grace_time": 3600}, None, HOUR, True),
    ],
)
def test_the_grace_of_a_provider_s_own_class(
    stage: Cast,
    renew: Renew,
    things: Any,
    attributes: dict[str, Any],
    grace: int | None,
    late_by: timedelta,
    is_planned: bool,
) -> None:
    own_task(**attributes)
    things[1] = NOON - HOUR
    own_schedule(stage, misfire_grace_time=grace, active_since=NOON - 2 * 365 * DAY)
    renewed = renew(NOON + late_by)
    assert (len(planned_jobs(stage)), renewed.missed) == ((1, 0) if is_planned else (0, 1))


def test_a_run_under_way_keeps_its_job_however_late(stage: Cast, renew: Renew, things: Any) -> None:
    own_task()
    things[1] = NOON - HOUR
    by = own_schedule(stage)
    name = Occurrence("1", NOON - HOUR, NOON).name
    stage.add(AutomationRun(schedule_id=by.id, item="1", occurrence=name, status="running",
                            started_at=NOON))  # fmt: skip
    renewed = renew(NOON + HOUR)
    assert (renewed.missed, list(planned_jobs(stage))) == (0, ["own/1/PRODUCTION"])


def test_an_event_that_moved_moves_its_job(stage: Cast, renew: Renew) -> None:
    reminders(stage)
    renew()
    (before,) = planned_jobs(stage).values()
    stage.pottery.events[0].start_time += DAY
    stage.pottery.events[0].end_time += DAY
    renew()
    (after,) = planned_jobs(stage).values()
    assert after[1] == before[1] + DAY


@pytest.mark.parametrize(
    "change", [{"active": False}, {"cancelled_at": NOON}, {"archived_at": NOON}]
)
def test_a_closed_training_has_no_reminder(
    stage: Cast, renew: Renew, change: dict[str, Any]
) -> None:
    reminders(stage)
    renew()
    for name, value in change.items():
        setattr(stage.pottery, name, value)
    renew()
    assert planned_jobs(stage) == {}


# --- schedules of the waitlist that go off (WI5) -------------------------------------------------


def test_off_lifts_and_on_restores(stage: Cast, renew: Renew) -> None:
    stage.offer("Ben")
    stage.session.commit()
    stage.schedule.active = False
    renewed = renew(NOON + HOUR)
    ben = stage.row("Ben")
    assert (ben.invite_expires_at, ben.invite_promised_until) == (START - 2 * HOUR, DEADLINE)
    assert (renewed.switched, planned_jobs(stage)) == (1, {})
    assert renew(NOON + 2 * HOUR).switched == 0
    stage.schedule.active = True
    renew(DEADLINE + DAY)
    ben = stage.row("Ben")
    assert ben.invite_expires_at == DEADLINE + DAY + 2 * HOUR
    assert planned_jobs(stage)[job_of(ben)][1] == DEADLINE + DAY + 2 * HOUR


def test_a_waitlist_schedule_that_makes_no_sense_any_more_lifts_too(
    stage: Cast, renew: Renew
) -> None:
    stage.offer("Ben")
    stage.schedule.beforeafter = BeforeAfterEnum.before
    renew()
    assert stage.row("Ben").invite_promised_until == DEADLINE
    assert planned_jobs(stage) == {}


# --- rows of plain code (RC9, WI2) ---------------------------------------------------------------


def test_an_invited_row_of_plain_code_gets_its_deadline_position_and_job(
    stage: Cast, renew: Renew
) -> None:
    stage.enrol_all("Ada", "Cleo")
    row = TrainingEnroll(
        training_id=stage.pottery.id,
        student_id=stage.student("Ben").id,
        status="waitlist-invited",
        invite_date=NOON - HOUR,
    )
    stage.add(row)
    renewed = renew()
    ben = stage.row("Ben")
    assert (ben.invite_expires_at, ben.joined_at) == (DEADLINE - HOUR, NOON - HOUR)
    assert ben.queue_position > stage.row("Cleo").queue_position
    assert planned_jobs(stage)[job_of(ben)][1] == DEADLINE - HOUR
    assert renewed.repaired == 1
    assert stage.last_event("deadline-changed").reason == "repaired"
    assert renew().repaired == 0


def test_an_invitation_that_rightly_has_no_deadline_keeps_none(stage: Cast, renew: Renew) -> None:
    stage.schedule.active = False
    stage.pottery.events.clear()
    stage.offer("Ben")
    renew()
    stage.schedule.active = True
    with count_statements(stage.session) as sent:
        assert renew().repaired == 0
    assert stage.row("Ben").invite_expires_at is None
    assert not [s for s in sent if "UPDATE training_enroll" in s]


def test_what_cannot_be_repaired_is_not_locked(stage: Cast, renew: Renew) -> None:
    stage.schedule.active = False
    stage.pottery.events.clear()
    row = TrainingEnroll(training_id=stage.pottery.id, student_id=stage.student("Ben").id,
                         status="waitlist-invited", invite_date=NOON, queue_position=1,
                         joined_at=NOON)  # fmt: skip
    stage.add(row)
    renew()
    with count_statements(stage.session) as sent:
        assert renew().repaired == 0
    assert not [s for s in sent if not s.startswith("SELECT") or "FOR NO KEY" in s]


# --- DEVELOPMENT (WA9) ---------------------------------------------------------------------------


@pytest.fixture
def development(app: Flask) -> None:
    rules = app.extensions["rules"]
    app.extensions["rules"] = replace(rules, environment=Environment.DEVELOPMENT)


def in_development(stage: Cast) -> None:
    rules = stage.session.info["rules"]
    stage.session.info["rules"] = replace(rules, environment=Environment.DEVELOPMENT)


@pytest.mark.usefixtures("development")
def test_in_development_everything_is_due_in_a_second_and_planned_once(
    stage: Cast, renew: Renew, things: Any
) -> None:
    in_development(stage)
    own_task()
    own_task("Destroys", destructive=True)
    things[1] = NOON + DAY
    own_schedule(stage)
    schedule(stage, "destroys", "Destroys", beforeafter=BeforeAfterEnum.after, interval=HOUR)
    reminders(stage)
    ben = stage.offer("Ben")[0]
    lose(stage)
    renew()
    before = planned_jobs(stage)
    assert {id_: job[1] for id_, job in before.items()} == {
        "own/1/DEVELOPMENT": NOON + SECOND,
        "destroys/1/DEVELOPMENT": NOON + DAY + HOUR,
        f"reminder/{stage.pottery.id}/DEVELOPMENT": NOON + SECOND,
        f"waitlist_invitation_expiry/{ben.uuid}/DEVELOPMENT": NOON + SECOND,
    }
    for minute in range(1, 11):
        assert renew(NOON + minute * MINUTE).planned == 0
    assert planned_jobs(stage) == before
    assert stage.row("Ben").invite_expires_at == DEADLINE


# --- starting up (WA6, WX22) ---------------------------------------------------------------------


def test_starting_up_wipes_no_job_and_starts_no_thread(app: Flask, stage: Cast) -> None:
    stage.offer("Ben")
    stage.add(Job(id="somebody-else", job_state=b"x", due=NOON, next_run_time=1.0))
    stage.session.commit()
    before, threads = planned_jobs(stage), threading.active_count()
    renewed = init_app_scheduler(app, NOON)
    assert planned_jobs(stage) == before
    assert threading.active_count() == threads
    assert (renewed.planned, renewed.kept) == (0, 1)


def test_starting_up_refuses_a_bad_module(app: Flask) -> None:
    settings = app.extensions["settings"]
    app.extensions["settings"] = settings.model_copy(update={"automation_modules": ["no.such"]})
    with pytest.raises(registry.BadAutomationModule, match=r"names no\.such"):
        init_app_scheduler(app, NOON)


def test_an_orphan_is_not_fatal_and_its_return_adopts_it(
    app: Flask, stage: Cast, renew: Renew, things: Any
) -> None:
    things[1] = NOON + DAY
    own_schedule(stage)
    stage.session.commit()
    renewed = init_app_scheduler(app, NOON)
    assert renewed.left_out == [("own", "its task class OwnTask is missing")]
    own_task()
    assert init_app_scheduler(app, NOON).left_out == []
    assert list(planned_jobs(stage)) == ["own/1/PRODUCTION"]


def test_starting_twice_is_starting_once(app: Flask, stage: Cast) -> None:
    stage.session.commit()
    init_app_scheduler(app, NOON)
    assert init_app_scheduler(app, NOON).planned == 0


def test_what_the_caller_has_not_committed_stays_the_caller_s(stage: Cast, renew: Renew) -> None:
    renew()
    before = db.session()
    stage.schedule.description = "not yet"
    renew_automations(NOON)
    assert db.session() is before
    stage.session.rollback()
    assert stage.schedule.description is None


def test_each_event_of_a_course_has_its_own_job(stage: Cast, renew: Renew) -> None:  # WQ27
    reminders(stage, events=EventsEnum.all)
    for day in (1, 2):
        begin = START + day * DAY
        event = TrainingEvent(training_id=stage.pottery.id, start_time=begin, end_time=begin + HOUR)
        stage.add(event)
    renew()
    items = sorted(id_.split("/")[1] for id_ in planned_jobs(stage))
    events = sorted(event.id for event in stage.pottery.events)
    assert items == sorted(f"{stage.pottery.id}:{id_}" for id_ in events)


@pytest.mark.parametrize("wrong", ["zone", "no zone", "year 1", "year 9999"])
def test_a_training_with_a_bad_zone_or_date_stops_the_reminder_of_no_other(
    stage: Cast, renew: Renew, wrong: str
) -> None:
    zones = {"zone": {"timezone": "Europe/Nowhere"}, "no zone": {"timezone": "../zones"}}
    other = stage.add(Practice(name="Other", shortname="other", **zones.get(wrong, {})))
    starts = {
        "year 1": datetime(1, 1, 1, 0, 30, tzinfo=UTC),
        "year 9999": datetime(9999, 12, 31, 23, 29, tzinfo=UTC),
    }
    bad = stage.training("Odd", start=None)
    bad.practice_id, start = other.id, starts.get(wrong, START)
    for at in {start, START}:
        bad.events.append(TrainingEvent(start_time=at, end_time=at + 30 * MINUTE))
    reminders(stage, events=EventsEnum.last if wrong == "year 9999" else EventsEnum.first)
    renewed = renew()
    assert f"reminder/{stage.pottery.id}/PRODUCTION" in planned_jobs(stage)
    assert [name for name, _ in renewed.left_out] == [f"reminder/{bad.id}"]


@pytest.mark.parametrize("where", ["query", "get_event_dt", "occurrences", "last_moment"])
def test_a_class_that_exits_the_program_stops_no_other(
    stage: Cast, renew: Renew, things: Any, where: str
) -> None:
    task = own_task()
    things.update({1: NOON + DAY})
    own_schedule(stage)
    reminders(stage)

    def leave(*_args: Any, **_more: Any) -> Any:
        raise SystemExit(3)

    wrap: Any = staticmethod if where in ("query", "get_event_dt") else classmethod
    setattr(task, where, wrap(leave))
    renewed = renew()
    ((_, why),) = renewed.left_out
    assert why.endswith("it called sys.exit(3)")
    assert set(planned_jobs(stage)) == {f"reminder/{stage.pottery.id}/PRODUCTION"}


def test_an_instant_at_the_end_of_time_is_never_too_late(
    stage: Cast, renew: Renew, things: Any
) -> None:
    own_task()
    things.update({1: datetime.max.replace(tzinfo=UTC), 2: NOON + DAY})
    own_schedule(stage, interval=timedelta(0))
    assert renew().left_out == []
    assert set(planned_jobs(stage)) == {"own/1/PRODUCTION", "own/2/PRODUCTION"}
