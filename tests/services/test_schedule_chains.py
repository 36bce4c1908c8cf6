"""Who follows the end of a run, and what a program is told when something is refused (R8, E1)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from app.automation import schedules as staff_acts
from app.models import AutomationRun, AutomationSchedule, RunStatus
from app.services import chains, runs, schedules
from app.services.refusals import Refusal
from app.services.schedule_errors import (
    InvalidScheduleException,
    ScheduleConflictException,
    ScheduleNotFoundException,
    SchedulePermissionException,
    ScheduleQuotaException,
    ScheduleServiceException,
)
from app.services.schedule_views import as_schedule
from tests.cast import MINUTE, NOON, Cast
from tests.services.scheduling import ORLA, Desk
from tests.statements import count_statements

CHAINED = {"schedule_type": "chained"}


@pytest.fixture
def desk(cast: Cast) -> Desk:
    return Desk(cast)


def end(desk: Desk, row: AutomationSchedule, status: RunStatus, **how: Any) -> AutomationRun:
    """A run by hand that began at noon and ended so."""
    session, run = desk.session, desk.run_now(row, **how)
    wanted = runs.Wanted(row.id, run.item, run.occurrence, NOON)
    begun = runs.begin(session, [wanted], NOON, "tester")[wanted.key]
    assert isinstance(begun, runs.Begun)
    runs.end(session, begun, status, NOON + MINUTE, result={"n": 1}, reason=None, error=None)
    chains.ended(session, run.execution_id, status, NOON + MINUTE)
    session.flush()
    return run


def begun_by(desk: Desk, row: AutomationSchedule) -> list[AutomationRun]:
    return schedules.history(desk.session, row.schedule_id)


def linked(desk: Desk) -> tuple[AutomationSchedule, AutomationSchedule, AutomationSchedule]:
    good, bad = desk.add(CHAINED, name="good"), desk.add(CHAINED, name="bad")
    first = desk.add(
        on_success_schedule_id=good.schedule_id, on_failure_schedule_id=bad.schedule_id
    )
    return first, good, bad


@pytest.mark.parametrize("status", [RunStatus.SUCCESS, RunStatus.FAILED])
def test_the_one_for_this_end_follows_and_the_other_does_not(
    desk: Desk, status: RunStatus
) -> None:  # Q28
    first, good, bad = linked(desk)
    parent = end(desk, first, status)
    follows, rests = (good, bad) if status is RunStatus.SUCCESS else (bad, good)
    [run] = begun_by(desk, follows)
    assert (run.trigger, run.occurrence) == ("chain", f"chain:{parent.execution_id}")
    assert (run.parent_execution_id, follows.execution_count) == (parent.execution_id, 1)
    assert run.config_snapshot is not None
    assert run.config_snapshot["parent"] == {
        "schedule_id": first.schedule_id, "execution_id": parent.execution_id,
        "status": status, "result": {"n": 1},
    }  # fmt: skip
    assert begun_by(desk, rests) == []


def test_a_dry_run_is_followed_by_a_dry_run(desk: Desk) -> None:  # Q28
    first, good, _bad = linked(desk)
    end(desk, first, RunStatus.SUCCESS, dry_run=True)
    assert [run.dry_run for run in begun_by(desk, good)] == [True]


def test_one_that_rests_or_is_removed_does_not_follow(desk: Desk) -> None:
    first, good, bad = linked(desk)
    desk.pause(good)
    desk.remove(bad)
    end(desk, first, RunStatus.SUCCESS)
    end(desk, first, RunStatus.FAILED)
    theirs = sa.select(AutomationRun.id).where(AutomationRun.schedule_id.in_([good.id, bad.id]))
    assert desk.session.scalars(theirs).all() == []


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ScheduleServiceException("x"), 500, "x"),
        (ScheduleServiceException("x", 503), 503, "x"),
        (ScheduleNotFoundException("abc"), 404, "Schedule not found: abc"),
        (InvalidScheduleException("cron_expression required"), 400, "cron_expression required"),
        (ScheduleConflictException("x"), 409, "x"),
        (SchedulePermissionException("x"), 403, "x"),
        (ScheduleQuotaException("x"), 429, "x"),
    ],
)
def test_each_refusal_has_its_documented_status_and_message(
    error: ScheduleServiceException, status: int, message: str
) -> None:  # Q38
    assert isinstance(error, Refusal)
    assert (error.status_code, error.message) == (status, message)


def test_an_invalid_schedule_says_so_in_its_sentence_and_not_in_its_detail() -> None:  # Q38
    error = InvalidScheduleException("Invalid cron expression: six fields")
    assert error.detail == "Invalid cron expression: six fields"
    assert str(error) == f"Invalid schedule configuration: {error.detail}"


@pytest.mark.parametrize("count", [3, 30])
def test_a_list_takes_as_many_statements_however_long_it_is(desk: Desk, count: int) -> None:  # Q53
    for n in range(count):
        desk.add(name=f"n{n}")
    desk.session.expire_all()
    with count_statements(desk.session) as sent:
        page = schedules.list_schedules(desk.session, ORLA, task="Chore", page_size=100)
        assert len([as_schedule(row) for row in page.items]) == count
    assert len(sent) <= 4


# --- what waits for another try when its schedule rests or goes (R3, X5) --------------------------


def waits_again(desk: Desk, row: AutomationSchedule) -> AutomationRun:
    """A run that failed at noon and waits for its second try."""
    run = desk.run_now(row)
    wanted = runs.Wanted(row.id, run.item, run.occurrence, NOON)
    begun = runs.begin(desk.session, [wanted], NOON, "tester")[wanted.key]
    assert isinstance(begun, runs.Begun)
    runs.try_again(desk.session, begun, OSError("no mail"), NOON, NOON + MINUTE)
    desk.session.flush()
    return run


DOORS: dict[str, Any] = {
    "paused": lambda desk, row: desk.pause(row),
    "removed": lambda desk, row: desk.remove(row),
    "switched off": lambda desk, row: desk.update(row, active=False),
    "paused by staff": lambda desk, row: staff_acts.pause(desk.session, row, desk.cast.max, NOON),
    "switched off by staff": lambda desk, row: staff_acts.switch(
        desk.session, row, False, desk.cast.max, NOON
    ),
    "deleted by staff": lambda desk, row: staff_acts.delete(desk.session, row, desk.cast.max, NOON),
}


@pytest.mark.parametrize("how", DOORS)
def test_what_waits_for_another_try_failed_whichever_door_stops_its_schedule(
    desk: Desk, how: str
) -> None:
    first, good, bad = linked(desk)
    run = waits_again(desk, first)
    DOORS[how](desk, first)
    desk.session.expire_all()
    assert (run.status, run.error) == (RunStatus.FAILED, "no mail")
    assert (first.last_run_status, first.last_execution_id) == (RunStatus.FAILED, run.execution_id)
    assert (first.last_run_error, first.consecutive_failures) == ("no mail", 1)
    assert (len(begun_by(desk, bad)), len(begun_by(desk, good))) == (1, 0)
    assert not [id_ for id_ in desk.cast.jobs() if run.execution_id in id_]


@pytest.mark.parametrize("how", DOORS)
def test_what_never_began_waits_on_in_a_pause_and_is_cancelled_with_its_schedule(
    desk: Desk, how: str
) -> None:
    first, _good, bad = linked(desk)
    run = desk.run_now(first)
    DOORS[how](desk, first)
    desk.session.expire_all()
    gone = how in ("removed", "deleted by staff")
    assert run.status == (RunStatus.CANCELLED if gone else RunStatus.QUEUED)
    assert (first.last_run_status, first.last_execution_at) == (None, None)
    assert begun_by(desk, bad) == []


# --- who ends a run before it is done (X5, X6) ----------------------------------------------------


def under_way(desk: Desk, row: AutomationSchedule) -> AutomationRun:
    run = desk.run_now(row)
    wanted = runs.Wanted(row.id, run.item, run.occurrence, NOON, MINUTE)
    assert isinstance(runs.begin(desk.session, [wanted], NOON, "tester")[wanted.key], runs.Begun)
    desk.session.expire_all()
    return run


def test_a_cancelled_run_has_a_length_and_its_schedule_remembers_it(desk: Desk) -> None:
    first, good, bad = linked(desk)
    run = under_way(desk, first)
    desk.do("cancel_run", run.execution_id, now=NOON + MINUTE / 2)
    desk.session.expire_all()
    assert (run.status, run.duration_ms) == (RunStatus.CANCELLED, 30_000)
    assert (first.last_run_status, first.last_execution_id) == ("cancelled", run.execution_id)
    assert (first.last_execution_at, first.consecutive_failures) == (NOON, 0)
    assert begun_by(desk, good) == begun_by(desk, bad) == []


def test_one_that_is_cancelled_before_it_began_leaves_no_trace_on_its_schedule(desk: Desk) -> None:
    row = desk.add()
    run = desk.run_now(row)
    desk.do("cancel_run", run.execution_id)
    desk.session.expire_all()
    assert (run.status, run.duration_ms) == (RunStatus.CANCELLED, None)
    assert (row.last_run_status, row.last_execution_at) == (None, None)


def test_a_run_that_timed_out_has_a_length_too(desk: Desk) -> None:
    row = desk.add()
    run = under_way(desk, row)
    assert chains.end_overdue(desk.session, run.id, NOON + 2 * MINUTE)
    desk.session.expire_all()
    assert (run.status, run.duration_ms) == (RunStatus.TIMEOUT, 120_000)
    assert row.last_run_status == RunStatus.TIMEOUT
    assert not chains.end_overdue(desk.session, run.id, NOON + 3 * MINUTE)
