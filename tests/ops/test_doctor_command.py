"""`flask doctor`: all that an installation needs, looked at (people PC, rulings RE4)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.automation import processes
from app.extensions import db, write
from app.models import SchedulerEpoch
from app.services import symptoms
from tests.cast import HOUR
from tests.shell import Shell


def told(shell: Shell, *args: str) -> dict[str, Any]:
    return {one["what"]: one for one in json.loads(shell("doctor", "--json", *args).stdout)}


def test_a_scheduler_that_is_down_is_wrong_and_one_that_runs_is_not(shell: Shell) -> None:
    down = shell("doctor")
    assert down.exit_code == 1
    assert "✗ scheduler" in down.stdout
    assert "start run_scheduler.py" in down.stdout
    with shell.app.app_context(), write(db.session):
        db.session.add(SchedulerEpoch(id=1, epoch=1, seen_at=shell.now))
    well = shell("doctor", "--invariants")
    assert well.exit_code == 0, well.output
    assert "✗" not in well.stdout
    assert "✓ permissions" in well.stdout
    assert "✓ rows" in well.stdout


def test_it_asks_of_schedules_and_processes_too(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shell.cast() as cast:
        cast.waitlist_schedule("one", 48 * HOUR)
        cast.waitlist_schedule("two", 48 * HOUR)
    found = told(shell)
    assert found["runs several times"]["state"] == "wrong"
    assert "one: The same is done" in found["runs several times"]["text"]
    assert found["runs at the wrong time"]["state"] == found["runs at once"]["state"] == "ok"
    assert any(what.startswith("process ") for what in found)
    monkeypatch.setattr(processes, "ours", lambda: None)
    monkeypatch.setattr(symptoms, "lacking_rights", lambda _session: "DELETE user")
    found = told(shell)
    assert found["processes"]["text"] == "memory and CPU are not known here"
    assert found["permissions"]["state"] == "wrong"


def test_it_writes_nothing(shell: Shell) -> None:
    before = shell.everything()
    shell("doctor", "--invariants")
    assert shell.everything() == before
