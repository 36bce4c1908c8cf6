"""What the schedule service's guide tells to ask the database, on the views of its names (RE3)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import AutomationSchedule
from tests.cast import NOON, Cast

IS_IT_ACTIVE = """
   SELECT is_active, next_execution_at FROM workflow_schedules
   WHERE schedule_id = 'xxx';
"""
IS_IT_AT_ITS_LIMIT = """
   SELECT execution_count, max_executions FROM workflow_schedules
   WHERE schedule_id = 'xxx';
"""
IS_ITS_WORKFLOW_THERE = """
   SELECT * FROM workflows WHERE workflow_id = 'xxx';
"""
EVERYTHING = "SELECT * FROM workflow_schedules WHERE schedule_id = 'xxx'"
# The columns of the table that the guide describes.
COLUMNS = (
    "id", "schedule_id", "workflow_id", "schedule_type", "cron_expression", "interval_seconds",
    "scheduled_time", "timezone", "is_active", "next_execution_at", "last_execution_at",
    "last_execution_id", "max_executions", "execution_count", "context_data", "created_at",
    "updated_at",
)  # fmt: skip


def asked(session: Session, sql: str, id_: str = "") -> Any:
    """The one row that a question finds, asked about this schedule or workflow."""
    return session.execute(sa.text(sql.replace("xxx", id_))).mappings().one()


@pytest.fixture
def schedule(cast: Cast) -> AutomationSchedule:
    """Noon each day, 24 times at most, half of them over."""
    return cast.add(
        AutomationSchedule(
            name="noon", schedule_type="cron", schedule_config={"cron_expression": "0 12 * * *"},
            timezone="UTC", automation_class=cast.task("Chore"), next_execution_at=NOON,
            max_executions=24, execution_count=12,
        )
    )  # fmt: skip


def test_whether_a_schedule_is_active(session: Session, schedule: AutomationSchedule) -> None:
    row = asked(session, IS_IT_ACTIVE, schedule.schedule_id)
    assert (bool(row["is_active"]), str(row["next_execution_at"])[:16]) == (
        True,
        "2026-03-02 12:00",
    )


@pytest.mark.parametrize("off", ["active", "paused_at", "deleted_at"])
def test_one_that_is_off_is_not_active(
    session: Session, schedule: AutomationSchedule, off: str
) -> None:
    schedule.next_execution_at = None
    setattr(schedule, off, False if off == "active" else NOON)
    session.flush()
    assert not asked(session, IS_IT_ACTIVE, schedule.schedule_id)["is_active"]


def test_whether_it_is_at_its_limit(session: Session, schedule: AutomationSchedule) -> None:
    row = asked(session, IS_IT_AT_ITS_LIMIT, schedule.schedule_id)
    assert tuple(row.values()) == (12, 24)


def test_whether_its_workflow_is_there(session: Session, schedule: AutomationSchedule) -> None:
    workflow_id = asked(session, EVERYTHING, schedule.schedule_id)["workflow_id"]
    row = asked(session, IS_ITS_WORKFLOW_THERE, workflow_id)
    assert (row["name"], bool(row["is_active"]), row["schedules"]) == ("Chore", True, 1)


@pytest.mark.parametrize(
    ("kind_of", "config", "shown"),
    [
        ("cron", {"cron_expression": "0 12 * * *"}, ("0 12 * * *", None, None)),
        ("interval", {"interval_seconds": 3600}, (None, 3600, None)),
        (
            "one_time",
            {"scheduled_time": "2026-12-25T15:30:00Z"},
            (None, None, "2026-12-25T15:30:00Z"),
        ),
        ("weekly", {"day_of_week": "mon", "hour": 8, "minute": 0}, (None, None, None)),
    ],
)
def test_each_type_shows_its_own_keys(
    session: Session, schedule: AutomationSchedule, kind_of: str, config: Any, shown: Any
) -> None:
    schedule.schedule_type, schedule.schedule_config = kind_of, config
    session.flush()
    row = asked(session, EVERYTHING, schedule.schedule_id)
    assert tuple(row) == COLUMNS
    assert (row["cron_expression"], row["interval_seconds"], row["scheduled_time"]) == shown


@pytest.mark.parametrize("view", ["workflow_schedules", "workflows"])
@pytest.mark.parametrize("change", ["UPDATE {} SET id = 7", "DELETE FROM {}"])
def test_the_views_take_no_writes(
    session: Session, schedule: AutomationSchedule, view: str, change: str
) -> None:
    with pytest.raises(sa.exc.DBAPIError, match=r"cannot (modify|update|delete)"):
        session.execute(sa.text(change.format(view)))
