"""What people do to schedules (schedules O1, O4–O6, T2, T10)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from app.models import AutomationRun, AutomationSchedule, ScheduleAudit
from app.services import recurring, schedules
from app.services.actors import staff
from app.services.schedule_errors import (
    InvalidScheduleException,
    ScheduleConflictException,
    ScheduleNotFoundException,
    SchedulePermissionException,
    ScheduleQuotaException,
    WorkflowNotFoundException,
)
from tests.cast import DAY, HOUR, MINUTE, NOON, SECOND, Cast
from tests.services.scheduling import DAILY, DOOR, JOBS, ORLA, Desk

TOMORROW = datetime(2026, 3, 3, 8, 30, tzinfo=UTC)


@pytest.fixture
def desk(cast: Cast) -> Desk:
    return Desk(cast)


def alarms(desk: Desk, row: AutomationSchedule) -> dict[str, datetime]:
    """Its jobs, without its name."""
    return {id_.split("/")[1]: due for id_, due in desk.cast.jobs().items()
            if id_.startswith(f"{row.name}/")}  # fmt: skip


# --- making one ----------------------------------------------------------------------------------


def test_a_new_schedule_is_planned_and_written_down(desk: Desk) -> None:
    row = desk.add(name="noon", context_data={"a": 1})
    assert (row.next_execution_at, row.active, row.version) == (TOMORROW, True, 1)
    assert (row.created_by, row.created_via, row.context_data) == ("user:42", "schedules", {"a": 1})
    assert alarms(desk, row) == {row.schedule_id: TOMORROW}
    [audit] = desk.session.scalars(sa.select(ScheduleAudit))
    assert (audit.action, audit.actor, audit.old) == ("schedule_create", "user:42", None)
    assert audit.new["schedule_config"] == {"hour": 8, "minute": 30}


def test_without_a_name_it_is_called_after_what_it_does(desk: Desk) -> None:
    names = [desk.add().name for _ in range(3)]
    said = "Chore - every day at 08:30"
    assert names == [said, f"{said} 2", f"{said} 3"]


def test_each_door_writes_its_own_defaults(desk: Desk) -> None:
    row = desk.add(name="b")
    assert (row.max_instances, row.misfire_grace_time, row.retry_max) == (3, 900, 3)
    assert (row.timezone, row.timeout_seconds) == ("UTC", 3600)
    row = desk.add(name="a", door=JOBS, task="birthday", task_config={"process_late": True})
    assert (row.max_instances, row.misfire_grace_time, row.retry_max) == (1, 3600, 0)
    assert (row.timezone, row.timeout_seconds) == ("Europe/Amsterdam", 180 * 60)


def test_the_configuration_of_a_task_is_stored_in_full(desk: Desk) -> None:
    row = desk.add(task="birthday", task_config={"dry_run": True})
    assert (row.dry_run, row.task_config["max_messages_per_run"]) == (True, 10)
    assert "dry_run" not in row.task_config


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": "a/b"}, "name"),
    ({"name": "system:x"}, "name"),
    ({"name": "a\r\nb"}, "name"),
    ({"name": 7}, "name"),
    ({"description": "x" * 501}, "description"),
    ({"max_executions": 0}, "max_executions"),  # Q7
    ({"max_instances": 101}, "max_instances"),
    ({"context_data": {"schedule_id": "x"}}, "context_data"),  # Q7
    ({"task_config": {"limt": 1}, "task": "birthday"}, "task_config.limt"),
    ({"task_config": 7}, "task_config"),
    ({"dry_run": "yes"}, "dry_run"),
    ({"dry_run": True, "task": "Deed"}, "dry_run"),
    ({"colour": "red"}, "colour"),
    ({"config": DAILY | {"timezone": "UTC"}, "timezone": "Europe/Paris"}, "timezone"),
    ({"config": DAILY | {"max_executions": 2}, "max_executions": 3}, "max_executions"),
    ({"community_id": 999_999}, "community_id"),
    ({"active": 1}, "active"),
    ({"on_success_schedule_id": "none"}, "on_success_schedule_id"),
]


@pytest.mark.parametrize(("given", "field"), REFUSED)
def test_bad_input_names_its_field_and_writes_nothing(
    desk: Desk, given: dict[str, Any], field: str
) -> None:
    before = desk.session.scalar(sa.select(sa.func.count(AutomationSchedule.id)))
    with pytest.raises(InvalidScheduleException) as refused, desk.session.begin_nested():
        desk.add(**given)
    assert list(refused.value.problems) == [field]
    assert desk.session.scalar(sa.select(sa.func.count(AutomationSchedule.id))) == before


def test_a_task_may_ask_for_some_time_between_its_runs(desk: Desk) -> None:
    with pytest.raises(InvalidScheduleException, match="every 15 minutes"):
        desk.add({"schedule_type": "interval", "minutes": 14}, task="Deed")
    assert desk.add({"schedule_type": "interval", "minutes": 15}, task="Deed").active


def test_a_task_that_nobody_registered_is_not_found(desk: Desk) -> None:
    desk.cast.task("Gone")
    for unknown in ("Gone", "Never", "5e0c1c5e-7d3b-5c0e-9b7a-0d2f6f0e9a41"):
        with pytest.raises(WorkflowNotFoundException, match=f"Workflow not found: {unknown}"):
            desk.add(task=unknown)


def test_a_task_is_found_by_its_workflow_id_too(desk: Desk) -> None:
    of_class = desk.cast.task("Chore")
    assert desk.add(task=of_class.workflow_id).automation_class is of_class


def test_a_name_is_nobody_else_s_until_its_schedule_is_removed(desk: Desk) -> None:
    first = desk.add(name="noon")
    with pytest.raises(ScheduleConflictException):
        desk.add(name=" noon ")
    desk.remove(first)
    assert desk.add(name="noon").schedule_id != first.schedule_id


def test_a_practice_has_so_many_at_most(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from app.models.rules import rules_of

    rules = replace(rules_of(desk.session), schedule_max_per_practice=1)
    monkeypatch.setitem(desk.session.info, "rules", rules)
    desk.add()
    with pytest.raises(ScheduleQuotaException):
        desk.add()


def test_what_is_made_inactive_waits(desk: Desk) -> None:
    row = desk.add(active=False)
    assert (row.state, row.next_execution_at, alarms(desk, row)) == ("paused", None, {})
    assert desk.resume(row).next_execution_at == TOMORROW


# --- changing one --------------------------------------------------------------------------------


def test_what_is_not_sent_stays(desk: Desk) -> None:
    row = desk.add(name="noon", max_executions=5, timezone="Europe/Paris", context_data={"a": 1})
    desk.update(row, {"hour": 14})
    assert row.schedule_config == {"hour": 14, "minute": 30}
    assert (row.timezone, row.max_executions, row.context_data) == ("Europe/Paris", 5, {"a": 1})
    assert row.next_execution_at == datetime(2026, 3, 2, 13, 30, tzinfo=UTC)
    assert alarms(desk, row) == {row.schedule_id: row.next_execution_at}
    assert (row.version, row.updated_by) == (2, "user:42")


def test_another_type_comes_with_its_own_keys(desk: Desk) -> None:
    row = desk.add()
    with pytest.raises(InvalidScheduleException), desk.session.begin_nested():
        desk.update(row, {"schedule_type": "cron"})
    desk.update(row, {"schedule_type": "interval", "hours": 2})
    assert (row.schedule_type, row.anchor_at) == ("interval", NOON)
    assert row.next_execution_at == NOON + 2 * HOUR
    desk.update(row, {"schedule_type": "chained"})
    assert (row.next_execution_at, alarms(desk, row)) == (None, {})


def test_both_shapes_are_taken(desk: Desk) -> None:  # T1
    keys = {"hours": 1, "minutes": 30}
    row = desk.add({"schedule_type": "interval", "schedule_config": keys})
    assert row.schedule_config == {"interval_seconds": 5400}
    desk.update(row, {"schedule_type": "daily", "schedule_config": {"hour": 9}})
    desk.update(row, {"schedule_config": {"minute": 5}})
    assert row.schedule_config == {"hour": 9, "minute": 5}
    for bad in (7, {"schedule_config": 7}, {"schedule_config": {"days": 1}}):
        with pytest.raises(InvalidScheduleException):
            desk.update(row, bad)


def test_a_rename_takes_its_jobs_along(desk: Desk) -> None:
    row = desk.add(name="old")
    run = desk.run_now(row)
    desk.update(row, name="new")
    assert alarms(desk, row) == {row.schedule_id: TOMORROW, run.execution_id: NOON}
    assert not [id_ for id_ in desk.cast.jobs() if id_.startswith("old/")]


def test_a_change_keeps_the_next_occurrence_unless_its_times_change(desk: Desk) -> None:
    row = desk.add({"schedule_type": "interval", "hours": 5})
    desk.update(row, description="x", now=NOON + 4 * HOUR)
    assert row.next_execution_at == NOON + 5 * HOUR


@pytest.mark.parametrize(
    ("field", "inside", "beside"),
    [
        ("timezone", "UTC", "Europe/Paris"),
        ("max_executions", 2, 3),
        ("max_executions", 2, None),
        ("end_at", "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"),
    ],
)
def test_what_is_said_twice_and_differs_is_refused_by_name(
    desk: Desk, field: str, inside: Any, beside: Any
) -> None:
    row = desk.add()
    for config in ({field: inside}, {"schedule_config": {field: inside}}):
        with pytest.raises(InvalidScheduleException) as refused, desk.session.begin_nested():
            desk.update(row, config, **{field: beside})
        assert list(refused.value.problems) == [field]
    desk.update(row, {field: inside}, **{field: inside})
    assert row.version == 2


def test_another_version_is_a_conflict(desk: Desk) -> None:  # Q34
    row = desk.add()
    desk.update(row, description="x", version=1)
    with pytest.raises(ScheduleConflictException, match="version 2"):
        desk.update(row, description="y", version=1)
    assert row.description == "x"


def test_an_update_switches_off_and_on(desk: Desk) -> None:  # Q33
    row = desk.add()
    desk.update(row, active=False)
    assert (row.active, row.next_execution_at, row.state) == (False, None, "paused")
    desk.update(row, active=True)
    assert (row.active, row.next_execution_at, row.state) == (True, TOMORROW, "active")


def test_an_audit_row_holds_what_changed(desk: Desk) -> None:
    row = desk.add(name="noon")
    desk.update(row, {"hour": 9}, description="x")
    audit = desk.session.scalars(sa.select(ScheduleAudit).order_by(ScheduleAudit.id.desc())).first()
    assert audit is not None
    assert audit.old == {"description": None, "schedule_config": {"hour": 8, "minute": 30}}
    assert audit.new == {"description": "x", "schedule_config": {"hour": 9, "minute": 30}}


# --- whose ---------------------------------------------------------------------------------------


def test_another_practice_s_schedule_is_not_found(desk: Desk) -> None:  # Q34
    row, mallory = desk.add(), staff(7, [desk.cast.practice.id + 1])
    for act in (desk.update, desk.pause, desk.resume, desk.remove, desk.clone, desk.run_now):
        with pytest.raises(ScheduleNotFoundException, match=row.schedule_id):
            act(row, user_id=mallory)
    assert schedules.list_schedules(desk.session, mallory, task="Chore").total == 0


def test_what_is_everyone_s_is_no_single_office_s(desk: Desk) -> None:
    from app.models import Practice

    row, max_ = desk.add(community_id=None), desk.cast.max
    assert desk.pause(row, user_id=max_).state == "paused"
    desk.cast.add(Practice(name="Other", shortname="other"))
    with pytest.raises(SchedulePermissionException):
        desk.resume(row, user_id=max_)


# --- resting, going on, going --------------------------------------------------------------------


def test_a_pause_clears_the_next_occurrence_and_says_why(desk: Desk) -> None:  # Q26
    row = desk.add()
    desk.pause(row, reason="holiday", resume_at=NOON + DAY)
    assert (row.next_execution_at, row.state, alarms(desk, row)) == (None, "paused", {})
    assert (row.paused_by, row.pause_reason, row.resume_at) == ("user:42", "holiday", NOON + DAY)


def test_a_pause_ends_in_the_future(desk: Desk) -> None:
    with pytest.raises(InvalidScheduleException):
        desk.pause(desk.add(), resume_at=NOON)


def test_it_goes_on_from_now_without_a_burst_and_in_step(desk: Desk) -> None:  # Q26, Q10
    row = desk.add({"schedule_type": "interval", "hours": 2})
    desk.pause(row, reason="x")
    desk.resume(row, now=NOON + 7 * HOUR)
    assert row.next_execution_at == NOON + 8 * HOUR
    assert (row.paused_at, row.pause_reason, row.stopped_because) == (None, None, None)
    assert alarms(desk, row) == {row.schedule_id: NOON + 8 * HOUR}


def test_one_run_makes_up_for_what_was_missed_if_asked_for(desk: Desk) -> None:
    row = desk.add({"schedule_type": "interval", "hours": 2})
    desk.pause(row)
    desk.resume(row, now=NOON + 7 * HOUR, missed="run_once")
    [run] = schedules.history(desk.session, row.schedule_id)
    assert (run.trigger, run.status, run.due_at) == ("manual", "queued", NOON + 7 * HOUR)


def test_nothing_makes_up_for_nothing(desk: Desk) -> None:
    row = desk.add()
    desk.pause(row)
    desk.resume(row, now=NOON + HOUR, missed="run_once")
    assert schedules.history(desk.session, row.schedule_id) == []


def test_where_nothing_is_left_it_does_not_go_on(desk: Desk) -> None:
    row = desk.add({"schedule_type": "one_time", "scheduled_time": "2026-03-02T13:00:00Z"})
    desk.pause(row)
    with pytest.raises(InvalidScheduleException, match="its time is over"):
        desk.resume(row, now=NOON + HOUR)
    row = desk.add(max_executions=2)
    row.execution_count = 2
    recurring.complete(desk.session, row)
    with pytest.raises(InvalidScheduleException, match="2 times"):
        desk.resume(row)
    desk.update(row, max_executions=3)
    assert desk.resume(row).state == "active"


def test_a_pause_ends_by_itself_when_its_time_has_come(desk: Desk) -> None:  # Q26
    row = desk.add({"schedule_type": "interval", "hours": 5})
    over = desk.add({"schedule_type": "one_time", "scheduled_time": "2026-03-02T13:00:00Z"})
    for one in (row, over):
        desk.pause(one, resume_at=NOON + 2 * HOUR)
    later = NOON + 2 * HOUR
    assert schedules.due_to_resume(desk.session, later - SECOND) == []
    assert schedules.due_to_resume(desk.session, later) == [row.schedule_id, over.schedule_id]
    resumed = [
        schedules.resume_in_time(desk.session, one.schedule_id, now=later, door=DOOR)
        for one in (row, over)
    ]
    assert resumed == [True, False]
    assert (row.state, row.next_execution_at) == ("active", NOON + 5 * HOUR)
    assert (over.state, over.next_execution_at) == ("completed", None)
    assert schedules.due_to_resume(desk.session, later) == []


def test_what_is_removed_is_gone_but_for_its_history(desk: Desk) -> None:
    row = desk.add(name="noon")
    run = desk.run_now(row)
    assert desk.remove(row) is True
    assert (row.active, row.deleted_at, alarms(desk, row)) == (False, NOON, {})
    desk.session.refresh(run)
    assert (run.status, run.reason) == ("cancelled", "removed")
    with pytest.raises(ScheduleNotFoundException):
        desk.remove(row)


def test_a_clone_is_inactive_and_has_done_nothing(desk: Desk) -> None:  # Q51
    row = desk.add(name="noon", context_data={"a": 1}, max_executions=5)
    row.execution_count = 3
    copy = desk.clone(row)
    assert (copy.name, copy.active, copy.next_execution_at) == ("noon (copy)", False, None)
    assert (copy.execution_count, copy.context_data, copy.max_executions) == (0, {"a": 1}, 5)
    assert desk.clone(row).name == "noon (copy) 2"
    copy.context_data["a"] = 2
    assert row.context_data == {"a": 1}


# --- runs by hand --------------------------------------------------------------------------------


def test_a_run_begins_at_once_also_while_the_schedule_rests(desk: Desk) -> None:  # Q29
    row = desk.add()
    desk.pause(row)
    run = desk.run_now(row)
    assert (run.status, run.trigger, run.triggered_by) == ("queued", "manual", "user:42")
    assert run.occurrence.startswith("manual:")
    assert alarms(desk, row) == {run.execution_id: NOON}
    assert row.execution_count == 0


def test_as_many_run_as_may(desk: Desk) -> None:  # Q29
    row = desk.add(max_instances=1)
    desk.run_now(row)
    with pytest.raises(ScheduleConflictException):
        desk.run_now(row)


def test_the_same_key_is_the_same_run_for_a_day(desk: Desk) -> None:  # Q29
    row = desk.add()
    first = desk.run_now(row, idempotency_key="k")
    assert desk.run_now(row, idempotency_key="k", now=NOON + DAY - SECOND) is first
    with pytest.raises(ScheduleConflictException, match="another request"):
        desk.run_now(row, idempotency_key="k", dry_run=True)
    assert desk.run_now(row, idempotency_key="other") is not first
    assert desk.run_now(row, idempotency_key="k", now=NOON + DAY) is not first


def test_a_task_that_says_nothing_beforehand_cannot_be_tried_out(desk: Desk) -> None:
    row = desk.add(task="Deed")
    with pytest.raises(InvalidScheduleException, match="this task can't be tried out"):
        desk.run_now(row, dry_run=True)
    assert desk.run_now(desk.add(), dry_run=True).dry_run


def test_a_run_is_cancelled_once_and_the_alarm_stays(desk: Desk) -> None:
    row = desk.add()
    run = desk.run_now(row)
    desk.do("cancel_run", run.execution_id)
    assert (run.status, alarms(desk, row)) == ("cancelled", {row.schedule_id: TOMORROW})
    with pytest.raises(ScheduleConflictException):
        desk.do("cancel_run", run.execution_id)


def test_a_planned_run_is_cancelled_and_the_alarm_stays(desk: Desk) -> None:
    row = desk.add()
    execution_id = recurring.queue(desk.session, row, "2026-03-02T12:00:00Z", NOON, NOON)
    desk.do("cancel_run", execution_id)
    assert alarms(desk, row) == {row.schedule_id: TOMORROW}


def test_what_was_cancelled_is_tried_again(desk: Desk) -> None:
    row = desk.add()
    run = desk.run_now(row)
    with pytest.raises(ScheduleConflictException):
        desk.do("retry_run", run.execution_id)
    desk.do("cancel_run", run.execution_id)
    again = desk.do("retry_run", run.execution_id)
    assert (again.retry_of, again.triggered_by) == (run.execution_id, "user:42")
    assert again.config_snapshot == run.config_snapshot


# --- chains --------------------------------------------------------------------------------------


def test_a_chain_that_leads_back_is_refused(desk: Desk) -> None:  # Q28
    first = desk.add()
    second = desk.add(on_success_schedule_id=first.schedule_id)
    assert second.on_success_schedule_id == first.id
    for link in ("on_success_schedule_id", "on_failure_schedule_id"):
        with pytest.raises(InvalidScheduleException, match="leads back"), nested(desk):
            desk.update(first, **{link: second.schedule_id})
    with pytest.raises(InvalidScheduleException, match="leads back"), nested(desk):
        desk.update(first, on_success_schedule_id=first.schedule_id)


def test_a_chain_has_ten_links_at_most(desk: Desk) -> None:
    last = desk.add({"schedule_type": "chained"})
    for _ in range(9):
        last = desk.add({"schedule_type": "chained"}, on_failure_schedule_id=last.schedule_id)
    with pytest.raises(InvalidScheduleException, match="at most 10"), nested(desk):
        desk.add(on_success_schedule_id=last.schedule_id)


def nested(desk: Desk) -> Any:
    """What is refused inside is undone."""
    return desk.session.begin_nested()


# --- reading -------------------------------------------------------------------------------------


def test_lists_are_filtered_and_paged(desk: Desk) -> None:
    rows = [desk.add(name=f"n{n}", now=NOON + n * MINUTE) for n in range(3)]
    desk.pause(rows[0])
    found = schedules.list_schedules(desk.session, ORLA, task="Chore", page=1, page_size=2)
    assert ([row.name for row in found.items], found.total) == (["n2", "n1"], 3)
    for given, names in (
        ({"active": True}, ["n2", "n1"]),
        ({"state": "paused"}, ["n0"]),
        ({"q": "N1"}, ["n1"]),
        ({"type": "cron"}, []),
    ):
        found = schedules.list_schedules(desk.session, ORLA, task="Chore", **given)
        assert [row.name for row in found.items] == names


@pytest.mark.parametrize("limit", [0, 201])
def test_history_has_a_limit(desk: Desk, limit: int) -> None:  # Q33
    with pytest.raises(InvalidScheduleException, match="Limit must be between 1 and 200"):
        schedules.history(desk.session, desk.add().schedule_id, limit=limit)


def test_history_comes_newest_first_and_in_parts(desk: Desk) -> None:
    row = desk.add()
    made = [desk.run_now(row, now=NOON + n * MINUTE).execution_id for n in range(3)]
    found = schedules.history(desk.session, row.schedule_id, limit=2)
    assert [run.execution_id for run in found] == [made[2], made[1]]
    older = schedules.history(desk.session, row.schedule_id, before=made[1])
    assert [run.execution_id for run in older] == [made[0]]


def test_a_preview_writes_nothing(desk: Desk) -> None:
    before = desk.session.scalar(sa.select(sa.func.count(AutomationRun.id)))
    shown = schedules.preview(DAILY, 2, now=NOON)
    assert (shown.explanation, [one.utc for one in shown.next]) == (
        "every day at 08:30",
        [TOMORROW, TOMORROW + DAY],
    )
    assert desk.session.scalar(sa.select(sa.func.count(AutomationRun.id))) == before


def test_the_door_is_written_down(desk: Desk) -> None:
    assert {desk.add(door=door).created_via for door in (DOOR, JOBS)} == {"scheduler", "schedules"}
