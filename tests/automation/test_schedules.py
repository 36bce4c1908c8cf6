"""What staff do to a schedule that recurs; those of events stand in the administration's tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.automation import schedules
from app.models import AutomationSchedule
from app.models.types import new_uuid
from tests.cast import NOON, Cast


@pytest.fixture
def daily(cast: Cast) -> AutomationSchedule:
    """It runs at noon."""
    row = AutomationSchedule(name=new_uuid(), schedule_type="daily", next_execution_at=NOON)
    row.practice_id = cast.practice.id
    added: AutomationSchedule = cast.add(row)
    return added


def form_switches_it_off(cast: Cast, row: AutomationSchedule) -> None:
    was = schedules.timing(row)
    row.active = False
    schedules.save(cast.session, row, row.name, was, NOON)


OFF: dict[str, Callable[[Cast, Any], Any]] = {
    "switched off": lambda cast, row: schedules.switch(cast.session, row, False, cast.max, NOON),
    "switched off in the form": form_switches_it_off,
    "deleted": lambda cast, row: schedules.delete(cast.session, row, cast.max, NOON),
}


@pytest.mark.parametrize("how", OFF)
def test_what_is_off_has_no_next_time(cast: Cast, daily: AutomationSchedule, how: str) -> None:
    OFF[how](cast, daily)
    cast.session.flush()
    assert (daily.active, daily.next_execution_at) == (False, None)


def test_what_is_switched_on_again_is_not_stopped_any_more(
    cast: Cast, daily: AutomationSchedule
) -> None:
    daily.active, daily.next_execution_at, daily.stopped_because = False, None, "completed"
    cast.session.flush()
    schedules.switch(cast.session, daily, True, cast.max, NOON)
    assert (daily.state, daily.stopped_because) == ("active", None)
