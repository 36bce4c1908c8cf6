"""Document 004, "REST Endpoints": what its three views are sent and answer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import (
    _bots,
    cast,
    client,
    program,
    shared_web_apps,
    stage,
    web_app,
)
from tests.api.program import Program

__all__ = ["_bots", "cast", "client", "program", "shared_web_apps", "stage", "web_app"]

CRON = {
    "schedule_type": "cron",
    "cron_expression": "0 12 * * *",
    "timezone": "America/New_York",
    "max_executions": None,
}
INTERVAL = {"schedule_type": "interval", "interval_seconds": 3600, "max_executions": 24}
ONE_TIME = {"schedule_type": "one_time", "scheduled_time": "2034-12-25T15:30:00"}
CONTEXT = {
    "workflow_param1": "value1",
    "notification_settings": {"email": True, "slack": False},
    "retry_config": {"max_retries": 3, "backoff": "exponential"},
}


@pytest.mark.parametrize("config", [CRON, INTERVAL, ONE_TIME])
def test_its_configurations_make_schedules(program: Program, config: dict[str, Any]) -> None:
    body = {"workflow_id": "birthday", "schedule_config": config, "context_data": CONTEXT}
    made = program.post("/api/v1/schedules", body)
    assert made.status_code == 201
    known = {name: value for name, value in config.items() if name != "scheduled_time"}
    assert {name: made.json[name] for name in known} == known
    assert made.json["context_data"] == CONTEXT
    assert made.json["next_execution_at"].endswith("Z")
    assert (made.json["is_active"], made.json["execution_count"]) == (True, 0)


def test_a_schedule_is_changed_and_removed_as_it_shows(program: Program) -> None:
    made = program.post("/api/v1/schedules", {"workflow_id": "birthday", "schedule_config": CRON})
    at = f"/api/v1/schedules/{made.json['schedule_id']}"
    config = {"schedule_type": "cron", "cron_expression": "0 9 * * *", "timezone": "UTC"}
    changed = program.put(at, {"schedule_config": config})
    assert changed.status_code == 200
    assert {name: changed.json[name] for name in config} == config
    removed = program.delete(at)
    assert (removed.status_code, removed.json["status"]) == (200, "removed")
    assert program.get(at).status_code == 404
