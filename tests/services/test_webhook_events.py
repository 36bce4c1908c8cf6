"""What endpoints are told, in the transaction of what they are told of (schedules O9)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from app.automation import due_schedules
from app.models import AutomationSchedule, Outbox, Practice, RunStatus, Webhook
from app.models.rules import Rules
from app.services import chains, runs, webhooks
from app.services.actors import CONSOLE, staff
from app.services.refusals import NotFound
from app.services.webhook_events import OF_RUNS
from app.services.webhooks import TYPES
from tests.cast import HOUR, MINUTE, NOON, Cast
from tests.services.scheduling import Desk

URL = "https://example.org/hooks"


@pytest.fixture
def desk(cast: Cast) -> Desk:
    return Desk(cast)


def a_hook(desk: Desk, *types: str, practice: Any = "ours") -> Webhook:
    whose = desk.cast.practice.id if practice == "ours" else practice
    return webhooks.create(desk.session, "Cash", URL, types, CONSOLE, NOON, practice_id=whose)


def told(desk: Desk) -> list[dict[str, Any]]:
    desk.session.flush()
    asked = sa.select(Outbox.payload).where(Outbox.channel.startswith("webhook:"))
    return [payload["event"] for payload in desk.session.scalars(asked.order_by(Outbox.id))]


def end(desk: Desk, row: AutomationSchedule, status: RunStatus, **how: Any) -> str:
    session, run = desk.session, desk.run_now(row)
    wanted = runs.Wanted(row.id, run.item, run.occurrence, NOON)
    begun = runs.begin(session, [wanted], NOON, "tester")[wanted.key]
    assert isinstance(begun, runs.Begun)
    how = {"result": None, "reason": None, "error": None} | how
    runs.end(session, begun, status, NOON + MINUTE, **how)
    chains.ended(session, run.execution_id, status, NOON + MINUTE)
    return str(run.execution_id)


@pytest.mark.parametrize("status", list(OF_RUNS))
def test_the_end_of_a_run_is_told_with_what_is_documented(desk: Desk, status: RunStatus) -> None:
    a_hook(desk)
    row = desk.add(name="Greetings")
    error = ValueError("ada@example.org") if status is RunStatus.FAILED else None
    execution_id = end(desk, row, status, error=error, messages_sent=3)
    (event,) = told(desk)
    assert (event["type"], event["timestamp"]) == (OF_RUNS[status], "2026-03-02T12:01:00Z")
    data = event["data"]
    assert (data["schedule_id"], data["name"]) == (row.schedule_id, "Greetings")
    assert (data["execution_id"], data["status"]) == (execution_id, status)
    assert (data["started_at"], data["finished_at"]) == (
        "2026-03-02T12:00:00Z", "2026-03-02T12:01:00Z"
    )  # fmt: skip
    assert (data["duration_ms"], data["counters"]["messages_sent"]) == (60_000, 3)
    assert data["error_type"] == ("ValueError" if error else None)
    assert "ada@example.org" not in str(event)


def test_told_twice_it_is_one_event(desk: Desk) -> None:
    a_hook(desk)
    execution_id = end(desk, desk.add(), RunStatus.SUCCESS)
    chains.ended(desk.session, execution_id, RunStatus.SUCCESS, NOON + HOUR)
    assert len(told(desk)) == 1


def test_each_hears_of_what_it_chose_in_its_own_practice(desk: Desk) -> None:
    other = desk.cast.add(Practice(name="Other", shortname="other"))
    a_hook(desk, "schedule.run.failed")
    a_hook(desk, practice=other.id)
    webhooks.switch_off(desk.session, a_hook(desk), CONSOLE, NOON)
    of_all = a_hook(desk, practice=None)
    end(desk, desk.add(), RunStatus.SUCCESS)
    [payload] = desk.session.scalars(
        sa.select(Outbox.payload).where(Outbox.channel.startswith("webhook:"))
    )
    assert payload["webhook"] == of_all.id


def test_nobody_listening_nothing_is_written(desk: Desk) -> None:
    end(desk, desk.add(), RunStatus.SUCCESS)
    desk.pause(desk.add())
    assert told(desk) == []


def test_a_pause_is_told(desk: Desk) -> None:
    a_hook(desk)
    row = desk.add()
    desk.pause(row)
    (event,) = told(desk)
    assert (event["type"], event["data"]["status"]) == ("schedule.paused", "paused")


def test_stopping_by_itself_is_told_as_a_pause_that_failed(desk: Desk) -> None:
    a_hook(desk, "schedule.paused")
    desk.session.info["rules"] = Rules(schedule_auto_pause_failures=1)
    end(desk, desk.add(), RunStatus.FAILED)
    (event,) = told(desk)
    assert event["data"]["status"] == "failed"
    assert event["data"]["counters"]["consecutive_failures"] == 1


def test_the_last_execution_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    a_hook(desk)
    row = desk.add(max_executions=1)
    row.execution_count = 1
    due_schedules._finish(desk.session, row, NOON)
    (event,) = told(desk)
    assert event["type"] == "schedule.limit_reached"
    assert event["data"]["status"] == "completed"


def test_every_type_is_one_that_can_be_chosen() -> None:
    assert {*OF_RUNS.values(), "schedule.limit_reached", "schedule.paused"} == set(TYPES)


def test_pausing_ends_what_waits_for_another_try_with_all_that_follows(desk: Desk) -> None:
    """R3, X5: it failed, its schedule remembers, and who follows a failure begins."""
    a_hook(desk, "schedule.run.failed")
    after = desk.add({"schedule_type": "chained"}, name="after")
    row = desk.add(on_failure_schedule_id=after.schedule_id)
    run = desk.run_now(row)
    wanted = runs.Wanted(row.id, run.item, run.occurrence, NOON)
    begun = runs.begin(desk.session, [wanted], NOON, "tester")[wanted.key]
    assert isinstance(begun, runs.Begun)
    runs.try_again(desk.session, begun, OSError("away"), NOON, NOON + HOUR)
    desk.pause(row)
    assert (row.last_run_status, row.consecutive_failures) == ("failed", 1)
    assert (row.state, after.execution_count) == ("paused", 1)
    assert [event["data"]["error_type"] for event in told(desk)] == ["OSError"]


def test_staff_touch_endpoints_of_their_own_practice_alone(desk: Desk) -> None:
    hook, of_all = a_hook(desk), a_hook(desk, practice=None)
    mallory = staff(desk.cast.user("Mallory").id, [desk.cast.practice.id + 1])
    for act in (webhooks.switch_off, webhooks.switch_on, webhooks.renew_secret):
        with pytest.raises(NotFound):
            act(desk.session, hook, mallory, NOON)
        with pytest.raises(NotFound):
            act(desk.session, of_all, desk.cast.max, NOON)
    before = hook.secret
    webhooks.renew_secret(desk.session, hook, desk.cast.max, NOON)
    assert hook.secret != before
