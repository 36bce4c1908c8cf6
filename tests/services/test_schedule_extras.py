"""Conflicts, templates, export, import, stats, explanations, views (schedules O3, O7, O8, S1)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import AutomationRun, AutomationSchedule, Job, SchedulerEpoch, SystemState
from app.models.types import new_uuid
from app.services import aaa, recurring, schedules
from app.services.actors import staff
from app.services.schedule_errors import InvalidScheduleException, ScheduleConflictException
from app.services.schedule_rest import pause_all, resting, resume_all
from app.services.schedule_templates import create_from_template, save_as_template
from app.services.schedule_transfer import export_schedules, import_schedules
from app.services.schedule_views import as_execution, as_job, as_schedule
from tests.cast import DAY, HOUR, MINUTE, NOON, SECOND, Cast
from tests.services.scheduling import DAILY, DOOR, FACES, JOBS, ORLA, Desk


@pytest.fixture
def desk(cast: Cast) -> Desk:
    return Desk(cast)


# --- conflicts (Q48) -----------------------------------------------------------------------------


def kinds(desk: Desk, row: AutomationSchedule) -> list[str]:
    return [one.kind for one in schedules.conflicts(desk.session, row.schedule_id, now=NOON)]


def test_the_same_task_within_ten_minutes_is_told(desk: Desk) -> None:
    first = desk.add(name="first")
    near = desk.add(DAILY | {"minute": 39})
    assert kinds(desk, near) == ["close"]
    [found] = schedules.conflicts(desk.session, near.schedule_id, now=NOON)
    assert (found.schedule_ids, "first" in found.text) == ((first.schedule_id,), True)


def test_ten_minutes_another_task_or_one_that_rests_are_no_conflict(desk: Desk) -> None:
    row = desk.add()
    desk.add(DAILY | {"minute": 40})
    desk.add(task="Deed")
    desk.add(active=False)
    assert kinds(desk, row) == []


def test_a_twin_is_told(desk: Desk) -> None:
    desk.add()
    assert kinds(desk, desk.add()) == ["close", "twin"]
    assert kinds(desk, desk.add(task_config={"a": 1})) == ["close"]


def test_one_that_takes_longer_than_its_period_is_told(desk: Desk) -> None:
    row = desk.add({"schedule_type": "interval", "minutes": 1})
    ended(desk, row, "success", seconds=60)
    assert kinds(desk, row) == []
    ended(desk, row, "success", seconds=90)
    assert kinds(desk, row) == ["slow"]


def test_eleven_in_one_minute_are_told(desk: Desk) -> None:
    rows = [desk.add(task_config={"n": n}, community_id=None) for n in range(10)]
    assert "crowd" not in kinds(desk, rows[-1])
    assert kinds(desk, desk.add(task="Deed")) == ["crowd"]


@pytest.mark.parametrize(
    ("type_", "config"),
    [
        ("cron", {"cron_expression": "0 9 31 2 *"}),
        ("daily", {}),
        ("interval", {"interval_seconds": 0}),
    ],
)
def test_one_that_says_no_time_spoils_no_others_answer(
    desk: Desk, type_: str, config: dict[str, Any]
) -> None:
    odd, good = desk.add(name="odd"), desk.add(DAILY | {"minute": 50})
    odd.schedule_type, odd.schedule_config = type_, config
    desk.session.flush()
    assert kinds(desk, good) == []
    assert kinds(desk, odd) == []


def test_conflicts_block_nothing_and_are_logged(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.add()
    row = desk.add()
    with caplog.at_level(logging.WARNING, "schedule_service"):
        assert len(schedules.warnings_of(desk.session, row, NOON)) == 2
    assert "action=schedule_conflict" in caplog.text
    assert row.active


# --- templates, export, import (Q51) -------------------------------------------------------------


def test_a_template_is_copied_and_not_followed(desk: Desk) -> None:
    row = desk.add(name="noon", max_executions=5, context_data={"a": 1})
    template = save_as_template(desk.session, row.schedule_id, "Mornings", ORLA, now=NOON)
    desk.update(row, {"hour": 9})
    here = desk.cast.practice.id
    new = create_from_template(desk.session, template.template_id, ORLA, here, now=NOON, door=DOOR)
    assert (new.name, new.active, new.execution_count) == ("Mornings", False, 0)
    assert (new.schedule_config["hour"], new.max_executions) == (8, 5)
    assert (new.context_data, new.template_id) == ({"a": 1}, template.id)
    with pytest.raises(ScheduleConflictException):
        save_as_template(desk.session, row.schedule_id, "Mornings", ORLA, now=NOON)


def own(desk: Desk) -> dict[str, Any]:
    """The export, without the schedule that the cast brings along."""
    told = export_schedules(desk.session, ORLA)
    told["schedules"] = [row for row in told["schedules"] if row["task"] in FACES]
    return json.loads(json.dumps(told))  # type: ignore[no-any-return]


def test_an_export_comes_back_the_same_and_inactive(desk: Desk) -> None:
    first = desk.add(name="first", task="birthday", task_config={"dry_run": True})
    desk.add(
        {"schedule_type": "cron", "cron_expression": "0 9 * * 1"},
        name="second", timezone="Europe/Paris", end_at="2027-01-01T00:00:00Z",
        on_failure_schedule_id=first.schedule_id, context_data={"a": [1]},
    )  # fmt: skip
    over = {"schedule_type": "one_time", "scheduled_time": "2026-03-02T12:30:00Z"}
    desk.add(over, name="third")
    told = own(desk)
    for row in list(schedules.list_schedules(desk.session, ORLA, task=None).items):
        if row.automation_class and row.automation_class.class_name in FACES:
            desk.remove(row)
    here = desk.cast.practice.id
    made = import_schedules(desk.session, told, ORLA, here, now=NOON + DAY, door=DOOR)
    assert own(desk) == told
    assert {(row.active, row.next_execution_at, row.execution_count) for row in made} == {
        (False, None, 0)
    }


def test_an_export_holds_no_secrets(desk: Desk) -> None:
    desk.add(context_data={"api_key": "x", "list": [{"Password": "y", "kept": 1}]})
    [told] = own(desk)["schedules"]
    assert told["context_data"] == {"list": [{"kept": 1}]}


def test_an_import_with_faults_brings_nothing_in_and_names_each_row(desk: Desk) -> None:
    desk.add(name="good")
    told = own(desk)
    [good] = told["schedules"]
    told["schedules"] = [
        good | {"name": "new"}, good, good | {"name": "a/b"}, good | {"task": "Gone"}, 7,
        good | {"name": "linked", "on_success": "nobody"}, good | {"name": "odd", "colour": 1},
    ]  # fmt: skip
    with pytest.raises(InvalidScheduleException) as refused:
        import_schedules(desk.session, told, ORLA, desk.cast.practice.id, now=NOON, door=DOOR)
    assert sorted(refused.value.problems) == ["2", "3", "4", "5", "6", "7"]
    assert [row["name"] for row in own(desk)["schedules"]] == ["good"]


@pytest.mark.parametrize("given", [None, [], {}, {"format": 2}, {"format": 1, "schedules": 7}])
def test_what_is_no_export_is_refused(desk: Desk, given: Any) -> None:
    with pytest.raises(InvalidScheduleException):
        import_schedules(desk.session, given, ORLA, desk.cast.practice.id, now=NOON, door=DOOR)


# --- stats ---------------------------------------------------------------------------------------


def ended(
    desk: Desk, row: AutomationSchedule, status: str, *, seconds: float = 1, **more: Any
) -> None:
    desk.cast.add(
        AutomationRun(
            schedule_id=row.id, item=row.schedule_id, occurrence=new_uuid(), status=status,
            due_at=more.pop("due_at", NOON), finished_at=more.pop("at", NOON),
            duration_ms=int(seconds * 1000), **more,
        )
    )  # fmt: skip


def test_stats_count_live_runs_that_ended(desk: Desk) -> None:
    row = desk.add()
    for n in range(1, 5):
        ended(desk, row, "success", seconds=n, messages_sent=2)
    ended(desk, row, "failed", seconds=10, error_type="ValueError")
    for status in ("missed", "skipped", "cancelled"):
        ended(desk, row, status)
    ended(desk, row, "failed", dry_run=True)
    ended(desk, row, "failed", at=NOON - 31 * DAY, error_type="OSError")
    told = schedules.stats(desk.session, row.schedule_id, now=NOON)
    month = told["last_days"]
    assert (month["success"], month["failed"], month["success_rate"]) == (4, 1, 0.8)
    assert (month["average_ms"], month["p50_ms"], month["p95_ms"]) == (4000, 3000, 10_000)
    assert (month["missed"], month["skipped"], month["failures"]) == (1, 1, {"ValueError": 1})
    assert month["counters"]["messages_sent"] == 8
    assert told["last_runs"]["failures"] == {"ValueError": 1, "OSError": 1}
    assert told["per_day"] == {
        "2026-03-02": {"success": 4, "failed": 1, "missed": 1, "skipped": 1, "cancelled": 1}
    }


def test_stats_of_all_are_of_those_one_sees(desk: Desk) -> None:
    ended(desk, desk.add(), "success")
    theirs = staff(7, [desk.cast.practice.id])
    mallory = staff(8, [desk.cast.practice.id + 1])
    found = [schedules.stats(desk.session, None, who, now=NOON)["last_runs"]["runs"]
             for who in (theirs, mallory)]  # fmt: skip
    assert found == [1, 0]
    empty = schedules.stats(desk.session, None, mallory, now=NOON)["last_runs"]
    assert (empty["success_rate"], empty["p95_ms"]) == (None, None)


# --- why it is not running (Q50) -----------------------------------------------------------------


def causes(desk: Desk, row: AutomationSchedule, now: datetime = NOON) -> dict[str, str]:
    """What is not fine, the clock aside: tests have one of their own."""
    found = schedules.explain(desk.session, row.schedule_id, ORLA, now=now, door=desk.door)
    assert len({one.cause for one in found}) == 20
    return {one.cause: one.text for one in found if not one.ok and one.cause != "clock"}


@pytest.fixture
def healthy(desk: Desk) -> AutomationSchedule:
    epoch = desk.session.get(SchedulerEpoch, 1) or SchedulerEpoch(id=1, epoch=1)
    epoch.seen_at = NOON
    desk.cast.add(epoch)
    return desk.add(name="healthy")


def test_of_one_that_runs_all_is_fine(desk: Desk, healthy: AutomationSchedule) -> None:
    assert causes(desk, healthy) == {}


def _lose_its_job(desk: Desk, row: AutomationSchedule) -> None:
    recurring.drop_alarm(desk.session, row)


def _put_off(desk: Desk, row: AutomationSchedule) -> None:
    desk.session.execute(sa.update(Job).values(last_error="ValueError"))
    desk.session.expire_all()


def _fail_thrice(desk: Desk, row: AutomationSchedule) -> None:
    for _ in range(3):
        ended(desk, row, "failed", error="no mail")


def _come_late(desk: Desk, row: AutomationSchedule) -> None:
    for late, missed in ((HOUR, 1), (2 * HOUR, 3)):
        ended(desk, row, "missed", due_at=NOON - late, missed_count=missed)


def _set(**values: Any) -> Callable[[Desk, AutomationSchedule], None]:
    def change(desk: Desk, row: AutomationSchedule) -> None:
        for name, value in values.items():
            setattr(row, name, value)
        desk.session.flush()

    return change


def _stop(because: str) -> Callable[[Desk, AutomationSchedule], None]:
    return _set(active=False, next_execution_at=None, stopped_because=because)


def _lose_its_class(desk: Desk, row: AutomationSchedule) -> None:
    row.automation_class = desk.cast.task("Gone")


def _disable(desk: Desk, row: AutomationSchedule) -> None:
    desk.cast.task("Chore").enabled = False


def _misconfigure(desk: Desk, row: AutomationSchedule) -> None:
    row.automation_class = desk.cast.task("birthday")
    row.task_config = {"limt": 1}


def _close_the_window(desk: Desk, row: AutomationSchedule) -> None:
    row.automation_class = desk.cast.task("birthday")
    row.task_config = {"send_window": "09:00-10:00"}


def _fill_up(desk: Desk, row: AutomationSchedule) -> None:
    for _ in range(3):
        desk.run_now(row)


@pytest.mark.parametrize(
    ("change", "cause", "text"),
    [
        (lambda desk, row: desk.session.execute(sa.delete(SchedulerEpoch)), "heartbeat", "start"),
        (lambda desk, row: desk.pause(row, reason="rain"), "active", "rain"),
        (_stop("completed"), "active", "limit"),
        (_stop("failed"), "active", "mend"),
        (lambda desk, row: desk.remove(row), "deleted", "new one"),
        (lambda desk, row: pause_all(desk.session, ORLA, now=NOON), "all_paused", "user:42"),
        (_set(automation_class=None), "class", "choose"),
        (_lose_its_class, "class", "Gone"),
        (_disable, "enabled", "enable it"),
        (_misconfigure, "config", "limt"),
        (_set(schedule_config={}), "config", "KeyError"),
        (_set(next_execution_at=None), "next", "renew"),
        (_set(next_execution_at=NOON - HOUR), "next", "2026-03-02T11:00:00Z"),
        (_lose_its_job, "job", "renew"),
        (_put_off, "job", "ValueError"),
        (_set(start_at=NOON + DAY), "span", "2026-03-03"),
        (_set(end_at=NOON - DAY), "span", "later end"),
        (_set(max_executions=1, execution_count=1), "count", "raise"),
        (_fill_up, "live", "3 runs"),
        (_close_the_window, "window", "09:00-10:00"),
        (_fail_thrice, "outcomes", "no mail"),
        (_come_late, "missed", "4 times in 30 days: raise grace to 7200 s"),
    ],
)  # fmt: skip
def test_each_cause_is_found_with_its_cure(
    desk: Desk, healthy: AutomationSchedule, change: Any, cause: str, text: str
) -> None:
    change(desk, healthy)
    desk.session.flush()
    assert text in causes(desk, healthy)[cause]


def test_what_was_missed_long_ago_by_hand_or_within_the_grace_it_has_now_is_no_cause(
    desk: Desk, healthy: AutomationSchedule
) -> None:
    ended(desk, healthy, "missed", due_at=NOON - 41 * DAY, at=NOON - 40 * DAY)
    ended(desk, healthy, "missed", due_at=NOON - DAY, trigger="manual")
    assert "missed" not in causes(desk, healthy)
    _come_late(desk, healthy)
    healthy.misfire_grace_time = 7200
    desk.session.flush()
    assert "missed" not in causes(desk, healthy)


def test_a_silent_scheduler_and_another_clock_are_found(
    desk: Desk, healthy: AutomationSchedule
) -> None:
    assert causes(desk, healthy, NOON + 30 * SECOND) == {}
    assert "2026-03-02T12:00:00Z" in causes(desk, healthy, NOON + 31 * SECOND)["heartbeat"]
    found = schedules.explain(desk.session, healthy.schedule_id, now=NOON - 9999 * DAY, door=DOOR)
    assert not next(one for one in found if one.cause == "clock").ok


# --- all of them ---------------------------------------------------------------------------------


def test_all_rest_and_go_on_and_rows_and_jobs_stay(desk: Desk) -> None:  # C6
    row = desk.add()
    before = desk.cast.jobs()
    pause_all(desk.session, ORLA, now=NOON, reason="storm")
    pause_all(desk.session, None, now=NOON + MINUTE)
    state = resting(desk.session)
    assert state is not None
    assert (state.schedules_paused_at, state.schedules_paused_by) == (NOON, "user:42")
    assert (desk.cast.jobs(), row.active) == (before, True)
    resume_all(desk.session, ORLA)
    assert resting(desk.session) is None
    assert desk.session.get(SystemState, 1) is not None


# --- the log (Q37) -------------------------------------------------------------------------------


def test_the_documented_line_byte_for_byte(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.setFormatter(aaa.Formatter())
    handler.emit = lambda record: lines.append(handler.format(record))  # type: ignore[method-assign]
    aaa.log.addHandler(handler)
    level = aaa.log.level
    aaa.log.setLevel(logging.INFO)
    try:
        row = desk.add({"schedule_type": "cron", "cron_expression": "0 12 * * *"})
        desk.pause(row, reason="a\r\nb=c")
    finally:
        aaa.log.removeHandler(handler)
        aaa.log.setLevel(level)
    of_class = row.automation_class
    assert of_class is not None
    which = (
        f"community={desk.cast.practice.id} user=42 action=%s result=SUCCESS"
        f" schedule_id={row.schedule_id} workflow_id={of_class.workflow_id} schedule_type=cron"
    )
    stamps = [line[:19] for line in lines]
    assert all(datetime.strptime(f"{s}+0000", "%Y-%m-%d %H:%M:%S%z") for s in stamps)
    head = " INFO schedule_service:1.0.0 AUDIT "
    assert [line[19:] for line in lines] == [
        head + which % "schedule_create",
        head + which % "schedule_pause" + ' reason="a\\x0d\\x0ab=c"',
    ]


# --- views (Q32) ---------------------------------------------------------------------------------


def test_both_families_show_the_same_columns(desk: Desk) -> None:
    config = {"schedule_type": "interval", "minutes": 90}
    row = desk.add(config, task="birthday", door=JOBS, name="n", task_config={"dry_run": True})
    job, schedule = as_job(row), as_schedule(row, ["w"])
    assert (job["schedule_type"], job["schedule_config"]) == (
        "interval",
        {"hours": 1, "minutes": 30},
    )
    assert (schedule["schedule_type"], schedule["interval_seconds"]) == ("interval", 5400)
    assert job["bot_type"] == schedule["task_key"] == "birthday"
    assert job["bot_config"] == schedule["task_config"]
    assert job["bot_config"]["dry_run"] is True
    assert job["next_run_at"] == schedule["next_execution_at"] == "2026-03-02T13:30:00Z"
    assert (job["enabled"], schedule["is_active"], schedule["status"]) == (True, True, "active")
    assert schedule["warnings"] == ["w"]
    json.dumps([job, schedule])


def test_an_event_schedule_is_shown_with_its_columns(session: Session, cast: Cast) -> None:
    told = as_schedule(cast.schedule)
    assert (told["schedule_type"], told["beforeafter"], told["events"]) == (
        "event", "after", "invited",
    )  # fmt: skip
    assert told["interval"] == "2 00:00:00"


def test_a_run_that_never_started_shows_when_it_was_due(desk: Desk) -> None:
    run = desk.run_now(desk.add())
    told = as_execution(run)
    assert (told["started_at"], told["status"]) == ("2026-03-02T12:00:00Z", "queued")
    assert (told["trigger_type"], told["result_summary"]) == ("manual", "queued")


def test_made_in_one_family_and_changed_in_the_other(desk: Desk) -> None:
    row = desk.add(task="birthday", door=JOBS, name="n", max_instances=2)
    desk.update(row, {"schedule_type": "weekly", "day_of_week": "fri"}, context_data={"a": 1})
    told = as_job(row)
    assert (told["schedule_config"]["day_of_week"], told["max_instances"]) == ("fri", 2)
    desk.update(row, door=JOBS, task_config={"process_late": True})
    told = as_schedule(row)
    assert (told["context_data"], told["task_config"]["process_late"]) == ({"a": 1}, True)
