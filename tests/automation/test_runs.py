"""The ledger (schedules X1, X4, R1–R5; reliability JX2, JX5)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import AutomationRun, AutomationSchedule, Job
from app.models.rules import rules_of
from app.services import plan, runs, runs_by_hand
from app.services.occurrence import name_of
from app.services.runs import Begun, Dead, LostRun, Wanted
from app.services.transitions import IllegalMove, move_runs
from tests.cast import HOUR, MINUTE, NOON, SECOND, Cast
from tests.statements import count_statements


def wanted(cast: Cast, *items: str) -> list[Wanted]:
    return [Wanted(cast.schedule.id, item, "2026-03-02T12:00:00Z", NOON) for item in items]


def begin(cast: Cast, *items: str, now: Any = NOON) -> list[Any]:
    some = wanted(cast, *items)
    begun = runs.begin(cast.session, some, now, "tester")
    return [begun[one.key] for one in some]


def rows(session: Session) -> dict[str, AutomationRun]:
    found = sa.select(AutomationRun).execution_options(populate_existing=True)
    return {row.item: row for row in session.scalars(found)}


def test_beginning_is_written_down(cast: Cast) -> None:
    [one] = begin(cast, "a")
    row = rows(cast.session)["a"]
    assert (row.id, row.execution_id, row.attempt) == (one.id, one.execution_id, 1)
    assert (row.status, row.started_at, row.deadline_at) == ("running", NOON, NOON + HOUR)
    assert (row.due_at, row.worker, row.finished_at) == (NOON, "tester", None)


@pytest.mark.parametrize("count", [10, 900])
def test_beginning_many_takes_one_statement(cast: Cast, count: int) -> None:
    some = wanted(cast, *[f"i{n}" for n in range(count)])
    with count_statements(cast.session) as sent:
        runs.begin(cast.session, some, NOON, "tester")
    assert len(sent) <= 1 + count // 500


def test_ending_many_takes_one_statement(cast: Cast) -> None:
    some = begin(cast, *[f"i{n}" for n in range(500)])
    with count_statements(cast.session) as sent:
        runs.succeed(cast.session, some, NOON + SECOND, [{"letters": 1}] * 500)
    assert len(sent) == 1
    assert {(r.status, r.duration_ms) for r in rows(cast.session).values()} == {("success", 1000)}


def test_who_begins_after_a_death_goes_on_with_the_next_attempt(cast: Cast) -> None:
    begin(cast, "a")
    [again] = begin(cast, "a", now=NOON + MINUTE)
    assert isinstance(again, Begun)
    assert again.attempt == 2
    row = rows(cast.session)["a"]
    assert (row.interruptions, row.started_at) == (1, NOON + MINUTE)
    assert row.deadline_at == NOON + MINUTE + HOUR
    assert row.attempts == [a_try(NOON, NOON + MINUTE, "interrupted")]


def test_over_whom_two_died_is_begun_alone(cast: Cast) -> None:
    begin(cast, "a", "b")
    begin(cast, "a", "b")
    assert begin(cast, "a", "b") == [None, None]
    [alone] = begin(cast, "a")
    assert alone.attempt == 3
    [dead] = begin(cast, "a")
    assert isinstance(dead, Dead)
    assert rows(cast.session)["a"].status == "failed"
    assert begin(cast, "a") == ["failed"]


def test_a_try_that_waited_is_no_death(cast: Cast) -> None:
    [one] = begin(cast, "a")
    assert runs.try_again(cast.session, one, ValueError("x"), NOON, NOON + MINUTE)
    [again] = begin(cast, "a", now=NOON + MINUTE)
    assert again.attempt == 2
    row = rows(cast.session)["a"]
    assert (row.interruptions, row.not_before, row.error) == (0, None, "x")


def test_each_try_after_which_a_run_went_on_stays_on_record(cast: Cast) -> None:  # D3, R5
    [one] = begin(cast, "a")
    runs.try_again(cast.session, one, ValueError("no road"), NOON + SECOND, NOON + MINUTE)
    begin(cast, "a", now=NOON + MINUTE)
    [third] = begin(cast, "a", now=NOON + 2 * MINUTE)
    runs.wait_again(cast.session, third, NOON + 3 * MINUTE)
    [last] = begin(cast, "a", now=NOON + 4 * MINUTE)
    runs.succeed(cast.session, [last], NOON + 5 * MINUTE, [None])
    row = rows(cast.session)["a"]
    assert (row.status, row.error) == ("success", None)
    assert row.attempts == [
        a_try(NOON, NOON + SECOND, "failed", "no road"),
        a_try(NOON + MINUTE, NOON + 2 * MINUTE, "interrupted"),
        a_try(NOON + 2 * MINUTE, NOON + 3 * MINUTE, "stopped"),
    ]


def a_try(start: datetime, end: datetime, outcome: str, error: str | None = None) -> dict[str, Any]:
    return {"start": name_of(start), "end": name_of(end), "outcome": outcome, "error": error}


@pytest.mark.parametrize("status", ["success", "failed", "skipped", "missed", "timeout", "queued"])
def test_what_is_not_running_any_more_cannot_succeed(cast: Cast, status: str) -> None:
    [one] = begin(cast, "a")
    cast.session.execute(sa.update(AutomationRun).values(status=status))
    with pytest.raises(LostRun):
        runs.succeed(cast.session, [one], NOON, [None])
    with pytest.raises(LostRun):
        runs.skip(cast.session, [one], NOON, "nothing")
    assert not runs.try_again(cast.session, one, ValueError("x"), NOON, None)
    assert rows(cast.session)["a"].status == status


def test_at_its_deadline_a_run_is_lost_and_a_second_before_it_is_not(cast: Cast) -> None:
    one, other = begin(cast, "a", "b")
    runs.succeed(cast.session, [one], NOON + HOUR - SECOND, [None])
    with pytest.raises(LostRun):
        runs.succeed(cast.session, [other], NOON + HOUR, [None])


def test_an_older_attempt_ends_nothing(cast: Cast) -> None:
    [old] = begin(cast, "a")
    [new] = begin(cast, "a")
    with pytest.raises(LostRun):
        runs.succeed(cast.session, [old], NOON, [None])
    assert not runs.try_again(cast.session, old, ValueError("x"), NOON, NOON)
    runs.succeed(cast.session, [new], NOON, [None])


def test_what_takes_too_long_times_out_but_not_a_dead_workers(cast: Cast) -> None:
    begin(cast, "mine")
    runs.begin(cast.session, wanted(cast, "theirs"), NOON, "another")
    assert runs.time_out(cast.session, "tester", NOON + HOUR - SECOND) == set()
    assert len(runs.time_out(cast.session, "tester", NOON + HOUR)) == 1
    found = rows(cast.session)
    assert (found["mine"].status, found["theirs"].status) == ("timeout", "running")


def test_what_does_not_run_is_noted_once(cast: Cast) -> None:
    some = wanted(cast, "a", "b")
    note = runs.note(cast.session, some, runs.RunStatus.MISSED, NOON, "too-late")
    assert note == {one.key for one in some}
    assert runs.note(cast.session, some, runs.RunStatus.MISSED, NOON, "too-late") == set()
    row = rows(cast.session)["a"]
    assert (row.status, row.reason, row.started_at) == ("missed", "too-late", None)
    assert begin(cast, "a") == ["missed"]


def test_noting_leaves_what_is_under_way_alone_unless_told(cast: Cast) -> None:
    begin(cast, "a")
    some, missed = wanted(cast, "a"), runs.RunStatus.MISSED
    assert runs.note(cast.session, some, missed, NOON) == set()
    assert rows(cast.session)["a"].status == "running"
    assert runs.note(cast.session, some, missed, NOON, begun_too=True) == {some[0].key}
    assert rows(cast.session)["a"].status == "missed"


@pytest.mark.parametrize("known", [2, 200])
def test_noting_what_is_there_takes_few_statements(cast: Cast, known: int) -> None:
    some = wanted(cast, *[f"i{n}" for n in range(known)])
    runs.begin(cast.session, some, NOON, "tester")
    with count_statements(cast.session) as sent:
        runs.note(cast.session, some, runs.RunStatus.SKIPPED, NOON, "off", begun_too=True)
    assert len(sent) <= 3


def test_an_ended_run_moves_nowhere(cast: Cast) -> None:
    with pytest.raises(IllegalMove):
        move_runs(cast.session, [1], runs.RunStatus.SUCCESS, runs.RunStatus.RUNNING)


def test_a_cancel_ends_it_and_takes_its_job(cast: Cast) -> None:
    begin(cast, "a")
    job = plan.alarm(cast.schedule.name, "AutomaticWaitList", "a",
                          rules_of(cast.session).environment, NOON)  # fmt: skip
    cast.session.execute(sa.insert(Job), [job])
    run = rows(cast.session)["a"]
    runs_by_hand.cancel_run(cast.session, run, NOON)
    assert (run.status, run.reason, run.finished_at) == ("cancelled", "staff", NOON)
    assert cast.jobs() == {}
    with pytest.raises(runs_by_hand.RunEnded):
        runs_by_hand.cancel_run(cast.session, run, NOON)


def test_the_schedule_counts_failures_in_a_row(cast: Cast) -> None:
    def remember(status: Any, error: str | None = None) -> AutomationSchedule:
        run = Begun(1, "x", 1, NOON)
        runs.remember(cast.session, cast.schedule.id, run, status, ended=1, error=error)
        cast.session.refresh(cast.schedule)
        return cast.schedule

    assert remember(runs.RunStatus.FAILED, "a").consecutive_failures == 1
    assert remember(runs.RunStatus.TIMEOUT, "b").consecutive_failures == 2
    assert remember(runs.RunStatus.SUCCESS).consecutive_failures == 0
    assert (cast.schedule.execution_count, cast.schedule.last_run_error) == (3, None)
