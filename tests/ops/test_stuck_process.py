"""When only a fresh process helps, this one ends with 70 (SI6)."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.schedulers import Running, environment, plan_something

HANGING = """
import time
from datetime import UTC, datetime
from app.automation.automation_base import BaseAutomationTask, register_automation

class Thing:
    id = 1

@register_automation()
class Hanging(BaseAutomationTask):
    misfire_grace_time, timeout_seconds = None, 1

    @staticmethod
    def query():
        return [Thing()]

    @staticmethod
    def get_event_dt(item):
        return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    def execute(self):
        time.sleep(60)
"""
IMPATIENT = """
from app.automation import scheduler, scheduler_duties
from app.ops import scheduler_process

scheduler.SIGN_OF_LIFE, scheduler_process.STUCK_FOR = 0.2, 0.5
{more}
import run_scheduler
raise SystemExit(run_scheduler.main())
"""
ONE_DUTY_DIES = """
loop = scheduler_duties.DutyRunner._loop
scheduler_duties.DutyRunner._loop = (
    lambda self, duty, bell: duty.name != "system:renew" and loop(self, duty, bell)
)
"""


@pytest.fixture
def kind() -> str:
    """What is shown here is the same on both."""
    return "sqlite"


def ends(env: dict[str, str], folder: Path, more: str = "") -> tuple[int, list[str]]:
    """The exit code of an impatient scheduler, and what it said."""
    script = folder / "impatient.py"
    script.write_text(IMPATIENT.format(more=more))
    running = Running(env, str(script), forked=True)
    with contextlib.closing(running.process):
        code = running.process.wait(30)
        running._reader.join(5)
    return code, running.said


def test_when_tasks_that_timed_out_hold_every_thread_it_ends(url: str, tmp_path: Path) -> None:
    (tmp_path / "hanging_tasks.py").write_text(HANGING)
    plan_something(url, "hanging", "Hanging")
    own = {"PYTHONPATH": str(tmp_path), "AUTOMATION_MODULES": "hanging_tasks"}
    code, said = ends(
        environment(url, MAX_CONCURRENT_WORKFLOWS="1", SMTP_PORT="1", **own), tmp_path
    )
    assert code == 70
    assert "Tasks that should have ended hold the threads" in "\n".join(said)
    assert "Thread" in "\n".join(said)  # where each of them stood


def test_when_a_duty_has_died_it_ends(url: str, tmp_path: Path) -> None:
    code, said = ends(environment(url, SMTP_PORT="1"), tmp_path, ONE_DUTY_DIES)
    assert code == 70
    assert "The thread of system:renew has died" in "\n".join(said)
