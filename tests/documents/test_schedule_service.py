"""The guide of the schedule service: its snippets against our `ScheduleService` (O2, RE1–RE3)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from flask import Flask

from app.automation import registry
from app.automation.automation_base import BaseAutomationTask, register_automation
from app.extensions import db, utcnow, write
from app.models import AutomationRun, AutomationSchedule, Practice, SchedulerEpoch
from app.ops.schedule_service import ScheduleNotFoundException, ScheduleService
from tests.documents.adapters import AsyncDAL, WorkflowEngine
from tests.documents.table import awaited, run, run_awaiting

CREATE_CRON = """
schedule_config = {
    "schedule_type": "cron",
    "cron_expression": "0 12 * * *",  # Daily at noon
    "timezone": "America/New_York",
    "max_executions": None  # No limit
}

result = await schedule_service.add_schedule(
    workflow_id="abc-123-def",
    schedule_config=schedule_config,
    user_id=42,
    community_id=1,
    context_data={
        "custom_param": "value",
        "user_context": {"role": "admin"}
    }
)

print(result["schedule_id"])      # UUID of created schedule
print(result["next_execution_at"]) # Calculated next run time
"""


class Workflow(BaseAutomationTask):
    """The guide's workflow, under both names that it has there."""

    done: ClassVar[list[str]] = []

    def execute(self) -> Any:
        self.done.append(self.id)


@pytest.fixture
def database(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """A database of one's own, with community 1 and the guide's workflows registered."""
    registry.load()
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    for name in ("abc-123-def", "test-workflow"):
        register_automation(name)(type("Workflow", (Workflow,), {}))
    with app.app_context():
        with write(db.session):
            db.session.add(Practice(id=1, name="Clay & Co", shortname="clay"))
        yield app
        db.session.rollback()


@pytest.fixture
def service(database: Flask) -> ScheduleService:
    """The guide's service."""
    return ScheduleService(AsyncDAL(""), WorkflowEngine(AsyncDAL("")), 15)


def rows() -> list[AutomationSchedule]:
    db.session.rollback()
    return list(db.session.scalars(sa.select(AutomationSchedule).order_by(AutomationSchedule.id)))


def test_the_service_is_made_as_the_guide_makes_it(database: Flask) -> None:
    found = run(
        """
        from services.schedule_service import ScheduleService
        from services.workflow_engine import WorkflowEngine
        from flask_core import AsyncDAL

        # Initialize dependencies
        dal = AsyncDAL(database_uri, read_replicas)
        workflow_engine = WorkflowEngine(dal)

        # Create ScheduleService
        schedule_service = ScheduleService(
            dal=dal,
            workflow_engine=workflow_engine,
            grace_period_minutes=15,  # Grace period for missed executions
            logger_instance=logger    # Optional: custom logger
        )
        """,
        database_uri="", read_replicas=[], logger=logging.getLogger("theirs"),
    )  # fmt: skip
    assert found["schedule_service"].logger.name == "theirs"


@pytest.mark.parametrize(("seconds", "alive"), [(29, True), (31, False)])
def test_starting_says_whether_the_scheduler_lives(
    service: ScheduleService, seconds: int, alive: bool
) -> None:  # RE3
    with write(db.session):
        seen = utcnow() - timedelta(seconds=seconds)
        db.session.merge(SchedulerEpoch(id=1, epoch=1, seen_at=seen))
    found = run_awaiting(
        """
        # Start background scheduler (loads all active schedules from DB)
        started = await schedule_service.start_scheduler()

        # Stop gracefully (waits for pending jobs)
        await schedule_service.stop_scheduler()
        """,
        schedule_service=service,
    )
    assert (found["started"], service._is_running) == (alive, alive)


def test_a_cron_schedule_is_made(
    service: ScheduleService, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run_awaiting(CREATE_CRON, schedule_service=service)
    id_, at = capsys.readouterr().out.split()
    assert (found["result"]["schedule_id"], found["result"]["timezone"]) == (
        id_,
        "America/New_York",
    )
    assert datetime.fromisoformat(at).hour in (16, 17)
    [row] = rows()
    assert (row.schedule_id, row.misfire_grace_time) == (id_, 900)
    assert row.context_data["user_context"] == {"role": "admin"}
    assert list(service._active_schedules) == [id_]


def test_an_interval_schedule_is_made(service: ScheduleService) -> None:
    found = run_awaiting(
        """
        schedule_config = {
            "schedule_type": "interval",
            "interval_seconds": 3600,  # Run every hour
            "max_executions": 24       # Run max 24 times
        }

        result = await schedule_service.add_schedule(
            workflow_id="abc-123-def",
            schedule_config=schedule_config,
            user_id=42,
            community_id=1
        )
        """,
        schedule_service=service,
    )
    assert (found["result"]["interval_seconds"], found["result"]["max_executions"]) == (3600, 24)


def test_a_one_time_schedule_is_made(service: ScheduleService) -> None:
    found = run_awaiting(
        """
        from datetime import datetime, timedelta

        schedule_config = {
            "schedule_type": "one_time",
            "scheduled_time": (datetime.utcnow() + timedelta(hours=2)).isoformat()
        }

        result = await schedule_service.add_schedule(
            workflow_id="abc-123-def",
            schedule_config=schedule_config,
            user_id=42,
            community_id=1
        )
        """,
        schedule_service=service,
    )
    ahead = datetime.fromisoformat(found["result"]["next_execution_at"]) - utcnow()
    assert timedelta(minutes=118) < ahead <= timedelta(hours=2)


def test_it_is_changed_and_removed(service: ScheduleService) -> None:
    made = run_awaiting(CREATE_CRON, schedule_service=service)["result"]
    found = run_awaiting(
        """
        updated = await schedule_service.update_schedule(
            schedule_id="schedule-uuid",
            schedule_config={
                "schedule_type": "cron",
                "cron_expression": "0 9 * * *",  # Changed to 9 AM
                "timezone": "UTC"
            },
            user_id=42
        )

        removed = await schedule_service.remove_schedule(
            schedule_id="schedule-uuid",
            user_id=42
        )
        """.replace("schedule-uuid", made["schedule_id"]),
        schedule_service=service,
    )
    updated = found["updated"]
    assert (updated["cron_expression"], updated["timezone"]) == ("0 9 * * *", "UTC")
    assert updated["next_execution_at"].endswith("T09:00:00Z")
    assert (updated["context_data"], found["removed"]) == (made["context_data"], True)
    assert service._active_schedules == {}


def test_the_next_execution_is_calculated(
    database: Flask, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(
        """
        from services.schedule_service import ScheduleService

        next_run = ScheduleService.calculate_next_execution(
            schedule_type="cron",
            cron_expression="0 12 * * *",
            timezone="UTC"
        )
        print(f"Next execution: {next_run}")
        """
    )
    assert found["next_run"].astimezone(UTC).hour == 12
    assert capsys.readouterr().out.startswith("Next execution: 2")


def test_context_data_is_kept(service: ScheduleService) -> None:
    run_awaiting(
        """
        context_data = {
            "workflow_param1": "value1",
            "notification_settings": {
                "email": True,
                "slack": False
            },
            "retry_config": {
                "max_retries": 3,
                "backoff": "exponential"
            }
        }

        await schedule_service.add_schedule(
            workflow_id="abc-123-def",
            schedule_config=schedule_config,
            user_id=42,
            community_id=1,
            context_data=context_data
        )
        """,
        schedule_service=service,
        schedule_config={
            "schedule_type": "cron",
            "cron_expression": "0 * * * *",
            "max_executions": 100,
        },
    )
    [row] = rows()
    assert row.context_data["retry_config"] == {"max_retries": 3, "backoff": "exponential"}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"schedule_type": "cron", "cron_expression": "invalid cron"}, "Invalid cron expression: "),
        ({"schedule_type": "cron"}, "cron_expression required"),
    ],
)
def test_what_is_refused_reads_as_documented(
    service: ScheduleService, capsys: pytest.CaptureFixture[str], config: Any, said: str
) -> None:
    run_awaiting(
        """
        from services.schedule_service import InvalidScheduleException
        try:
            await schedule_service.add_schedule("test-workflow", schedule_config, 42, 1)
        except InvalidScheduleException as e:
            print(f"{e.message}")
        """,
        schedule_service=service,
        schedule_config=config,
    )
    assert capsys.readouterr().out.startswith(said)
    assert rows() == []


def test_what_is_not_there_reads_as_documented(
    service: ScheduleService, capsys: pytest.CaptureFixture[str]
) -> None:
    run_awaiting(
        """
        from services.schedule_service import (
            ScheduleServiceException,      # Base exception
            ScheduleNotFoundException,      # Schedule not found (404)
            InvalidScheduleException,       # Invalid configuration (400)
        )
        try:
            await schedule_service.remove_schedule("non-existent-id", user_id=42)
        except ScheduleNotFoundException as e:
            print(f"Not found: {e.message}")  # "Schedule not found: ..."
        """,
        schedule_service=service,
    )
    assert capsys.readouterr().out == "Not found: Schedule not found: non-existent-id\n"


UNIT_TESTS = '''
import pytest
from datetime import datetime, timedelta

@pytest.mark.asyncio
async def test_cron_schedule_creation(schedule_service, dal):
    """Test creating a cron schedule"""
    config = {
        "schedule_type": "cron",
        "cron_expression": "0 12 * * *",
        "timezone": "UTC"
    }

    result = await schedule_service.add_schedule(
        workflow_id="test-workflow",
        schedule_config=config,
        user_id=1,
        community_id=1
    )

    assert result["schedule_id"] is not None
    assert result["schedule_type"] == "cron"
    assert result["is_active"] is True
    assert result["execution_count"] == 0

@pytest.mark.asyncio
async def test_interval_schedule_execution(schedule_service, workflow_engine):
    """Test interval schedule triggering"""
    config = {
        "schedule_type": "interval",
        "interval_seconds": 1,
        "max_executions": 1
    }

    schedule = await schedule_service.add_schedule(
        workflow_id="test-workflow",
        schedule_config=config,
        user_id=1,
        community_id=1
    )

    # Manually trigger due schedules check
    triggered = await schedule_service.check_due_schedules()

    assert len(triggered) > 0
    assert triggered[0]["schedule_id"] == schedule["schedule_id"]
'''


def test_the_guide_s_own_tests_pass(service: ScheduleService) -> None:  # Q11
    theirs = run(UNIT_TESTS)
    awaited(theirs["test_cron_schedule_creation"](service, service.dal))
    # Each look at the clock is two seconds after the last: theirs waits for nothing.
    looks = iter(range(0, 100, 2))
    began = utcnow()
    service.clock = lambda: began + timedelta(seconds=next(looks))
    awaited(theirs["test_interval_schedule_execution"](service, service.workflow_engine))
    limited = rows()[-1]
    assert (limited.active, limited.execution_count, str(limited.state)) == (False, 1, "completed")
    assert db.session.scalar(sa.select(sa.func.count(AutomationRun.id))) == 1


def test_it_is_kept_for_the_routes_from_start_to_end(database: Flask) -> None:
    names = run(
        """
        from services.schedule_service import ScheduleService

        async def startup():
            # Initialize service
            schedule_service = ScheduleService(
                dal=dal,
                workflow_engine=workflow_engine,
                grace_period_minutes=int(os.getenv("SCHEDULE_GRACE_PERIOD_MINUTES", "15"))
            )

            # Start scheduler
            await schedule_service.start_scheduler()

            # Store in app context for use in routes
            app.schedule_service = schedule_service

        async def shutdown():
            # Graceful shutdown
            await app.schedule_service.stop_scheduler()
        """,
        os=__import__("os"), dal=None, workflow_engine=None, app=database,
    )  # fmt: skip
    awaited(names["startup"]())
    awaited(names["shutdown"]())
    assert isinstance(database.schedule_service, ScheduleService)  # type: ignore[attr-defined]


def test_pausing_running_and_reading_are_awaited_too(service: ScheduleService) -> None:
    made = run_awaiting(CREATE_CRON, schedule_service=service)["result"]
    id_ = made["schedule_id"]
    assert awaited(service.pause_schedule(id_, 42, reason="x"))["status"] == "paused"
    assert awaited(service.run_now(id_, 42))["status"] == "queued"
    assert awaited(service.resume_schedule(id_, 42))["is_active"] is True
    assert awaited(service.get_schedule(id_))["schedule_id"] == id_
    assert [row["schedule_id"] for row in awaited(service.list_schedules())] == [id_]
    with pytest.raises(ScheduleNotFoundException):
        awaited(service.get_schedule("none"))
