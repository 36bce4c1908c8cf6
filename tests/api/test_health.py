"""Whether schedules are run, for whoever watches (schedules A7, Q36)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.api import faces
from app.extensions import utcnow
from app.models import SchedulerEpoch
from app.models.system import SystemState
from app.services.schedule_health import health
from tests.api.program import Program
from tests.cast import NOON, SECOND, Cast
from tests.web.browsing import Client

A, B = "/scheduler/health", "/api/v1/health"


def beat(session: Session, ago: timedelta, now: Any = NOON) -> None:
    session.add(SchedulerEpoch(epoch=1, seen_at=now - ago))
    session.flush()


@pytest.mark.parametrize(
    ("ago", "status", "running", "http"),
    [
        (0, "healthy", True, 200),
        (30, "healthy", True, 200),
        (31, "degraded", False, 200),
        (120, "degraded", False, 200),
        (121, "unhealthy", False, 503),
        (None, "unhealthy", False, 503),
    ],
)
def test_a_silent_scheduler_is_degraded_and_then_dead(
    cast: Cast, ago: int | None, status: str, running: bool, http: int
) -> None:
    if ago is not None:
        beat(cast.session, ago * SECOND)
    found = health(cast.session, NOON)
    assert (found.status, found.scheduler_running, found.http) == (status, running, http)


def test_what_is_overdue_degrades_unless_all_rest(cast: Cast, program: Program) -> None:
    beat(cast.session, 0 * SECOND)
    job = program.a_job()
    due = {"id": job["id"], "at": NOON - 61 * SECOND}
    cast.session.execute(
        sa.text(
            "UPDATE automation_schedule SET next_execution_at = :at WHERE schedule_id = :id"
        ).bindparams(sa.bindparam("at", type_=SystemState.schedules_paused_at.type)),
        due,
    )
    assert health(cast.session, NOON).status == "degraded"
    assert health(cast.session, NOON - 1 * SECOND).status == "healthy"
    cast.add(SystemState(id=1, schedules_paused_at=NOON - 100 * SECOND))
    assert health(cast.session, NOON).status == "healthy"


def test_both_families_tell_anybody(client: Client, cast: Cast, program: Program) -> None:
    program.a_job()
    program.a_job(name="Off", enabled=False)
    beat(cast.session, 0 * SECOND, utcnow())
    assert client.get(A).json == {
        "status": "healthy",
        "scheduler_running": True,
        "redis_connected": True,
        "total_jobs": 2,
        "enabled_jobs": 1,
    }
    assert client.get(B).json == {
        "status": "healthy",
        "module": "schedule_service",
        "scheduler_running": True,
        "active_schedules": 1,
    }


def test_without_a_scheduler_it_is_503(client: Client) -> None:
    for path in (A, B):
        answer = client.get(path)
        assert (answer.status_code, answer.json["status"]) == (503, "unhealthy")


def test_numbers_may_be_for_those_with_a_key_alone(
    web_app: Flask, client: Client, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = web_app.extensions["settings"]
    hidden = settings.model_copy(update={"health_public_counts": False})
    monkeypatch.setitem(web_app.extensions, "settings", hidden)
    assert client.get(A).json["total_jobs"] is None
    assert Program(client, "wrong").get(B).json["active_schedules"] is None
    assert program.get(A).json["total_jobs"] == 0


def test_a_database_that_is_away_is_unhealthy(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_args: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(faces, "health", away)
    answer = client.get(A)
    assert (answer.status_code, answer.json["redis_connected"]) == (503, False)
    assert answer.json["total_jobs"] is None
