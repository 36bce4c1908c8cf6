"""The one scheduler process: start, refusals, end (reliability SI, people PO1, F13, F17, F20)."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from app import create_app
from app.automation.lock import SchedulerLock
from app.automation.worker import Line
from app.extensions import db, utcnow, write
from app.models import SchedulerEpoch, Setback
from app.ops import scheduler_process
from app.ops.scheduler_process import Process
from tests import databases, forks
from tests.cast import NOON
from tests.schedulers import ROOT, Running, environment, plan_something

SLOW = """
import os
import time
from datetime import UTC, datetime
import sqlalchemy as sa
from app.automation.automation_base import BaseAutomationTask, register_automation
from app.models import Setback

class Thing:
    id = 1

@register_automation()
class Slow(BaseAutomationTask):
    misfire_grace_time = None

    @staticmethod
    def query():
        return [Thing()]

    @staticmethod
    def get_event_dt(item):
        return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    def execute(self):
        print("at it", flush=True)
        time.sleep(float(os.environ.get("SLOW_SECONDS", 3)))
        row = {"duty": "done", "item": "x", "failures": 1, "not_before": self.now, "error": ""}
        self.session.execute(sa.insert(Setback), row)
"""


@pytest.fixture
def env(url: str) -> dict[str, str]:
    return environment(url, SMTP_PORT="1", SCHEDULER_SHUTDOWN_GRACE_SECONDS="10")


@pytest.fixture
def start() -> Iterator[object]:
    """`start(env)`: a process that is killed at the end of the test at the latest."""
    running: list[Running] = []

    def start(env: dict[str, str], script: str = "run_scheduler.py", **how: bool) -> Running:
        running.append(Running(env, script, **how))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.kill()
        if one.process.stdout is not None:
            one.process.wait(10)
            time.sleep(0.1)  # its reader ends
            one.process.stdout.close()


def refused(env: dict[str, str], seconds: float = 20) -> tuple[int, str]:
    """Exit code, and the last line of what it says."""
    return told(forks.run(["run_scheduler.py"], env=env, timeout=seconds))


def told(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.strip().splitlines()[-1]


def test_from_start_to_end(env: dict[str, str], start: object) -> None:
    """Everything that one life shows: processes take long to start."""
    first = start(env)  # type: ignore[operator]
    first.wait_for("ready")
    said = "\n".join(first.said)
    assert "Nextseat" in first.said[0]
    assert "PRODUCTION" in first.said[0]
    assert "lock held, epoch 1" in said
    assert "planned 0 jobs from 0 schedules (0 paused)" in said
    by_whom = "INFO schedule_service:1.0.0 SYSTEM community=- user=-"
    assert f"{by_whom} action=load_schedules result=SUCCESS count=0" in said
    assert f"{by_whom} action=scheduler_start result=SUCCESS active_schedules=0" in said

    second = start(env, forked=True)  # type: ignore[operator]
    line = second.wait_for("Not started")
    assert f"pid {first.process.pid} " in line
    assert "since 20" in line
    assert second.process.wait(10) == 4

    first.kill()
    third = start(env)  # type: ignore[operator]
    third.wait_for("lock held, epoch 2")
    third.wait_for("ready")
    third.process.send_signal(signal.SIGINT)  # Ctrl-C
    third.wait_for("finishing")
    third.wait_for("stopped")
    assert third.process.wait(10) == 0
    assert "Traceback" not in "\n".join(third.said)
    assert any("action=scheduler_stop result=SUCCESS running_left=0" in it for it in third.said)


@pytest.fixture
def slow(env: dict[str, str], url: str, tmp_path: Path) -> dict[str, str]:
    """With a schedule whose task takes three seconds, if not told otherwise, and is due now."""
    (tmp_path / "slow_tasks.py").write_text(SLOW)
    plan_something(url, "slow", "Slow")
    return env | {"PYTHONPATH": str(tmp_path), "AUTOMATION_MODULES": "slow_tasks"}


def done(url: str) -> int:
    app = databases.app_on(url)
    with app.app_context():
        count = db.session.scalar(sa.select(sa.func.count()).select_from(Setback))
        db.session.rollback()
        db.engine.dispose()
    return count or 0


def test_asked_to_stop_it_finishes_what_it_does(
    slow: dict[str, str], url: str, start: object
) -> None:
    running = start(slow, forked=True)  # type: ignore[operator]
    running.wait_for("at it")
    assert running.stop(10) == 0
    assert "finishing 1 runs" in "\n".join(running.said)
    assert running.said[-1].endswith("stopped")
    assert done(url) == 1


def test_asked_twice_it_stops_at_once_and_the_work_is_done_by_the_next(
    slow: dict[str, str], url: str, start: object
) -> None:
    running = start(slow | {"SLOW_SECONDS": "60"}, forked=True)  # type: ignore[operator]
    running.wait_for("at it")
    running.process.send_signal(signal.SIGTERM)
    running.wait_for("finishing")
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(5) == 0  # neither the task's minute nor the grace of ten seconds
    assert done(url) == 0


HANGING = """
import time
from app.automation import claims
from app.ops import scheduler_process

scheduler_process.SILENT_FOR = 1.0
claims.next_due = lambda _session: time.sleep(60)
import run_scheduler
raise SystemExit(run_scheduler.main())
"""


@pytest.mark.parametrize("kind", ["sqlite"])
def test_a_loop_that_hangs_ends_the_process(
    env: dict[str, str], start: object, tmp_path: Path
) -> None:
    script = tmp_path / "hanging.py"
    script.write_text(HANGING)
    own = env | {"PYTHONPATH": str(ROOT)}
    running = start(own, str(script), forked=True)  # type: ignore[operator]
    running.wait_for("No pass for")
    assert running.process.wait(10) == 70
    assert "Thread" in "\n".join(running.said)  # where each of them stood


@pytest.mark.parametrize("kind", ["sqlite"])
def test_a_dead_loop_is_a_silent_loop(env: dict[str, str], start: object, tmp_path: Path) -> None:
    script = tmp_path / "dead.py"
    dying = HANGING.replace("time.sleep(60)", "(_ for _ in ()).throw(SystemExit)")
    script.write_text(dying)
    own = env | {"PYTHONPATH": str(ROOT)}
    running = start(own, str(script), forked=True)  # type: ignore[operator]
    running.wait_for("No pass for")
    assert running.process.wait(10) == 70


class Held(threading.Event):
    """Asked to stop at the second look; the first one comes late, as nothing could run before."""

    def wait(self, timeout: float | None = None) -> bool:
        if self.is_set():
            return True
        self.set()
        time.sleep(0.2)
        return False


@pytest.mark.parametrize("kind", ["sqlite"])
def test_a_machine_that_stood_still_is_no_loop_that_hangs(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_process, "_die", pytest.fail)
    monkeypatch.setattr(scheduler_process, "STOOD_STILL", 0.1)
    monkeypatch.setattr(scheduler_process, "SILENT_FOR", 0.15)
    app = databases.app_on(url)
    settings = app.extensions["settings"]
    process = Process(app, settings, SchedulerLock("127.0.0.1", 0))
    process.asked = Held()
    assert process._watch() == 0


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize(
    ("wrong", "code", "said"),
    [
        ({"SQLALCHEMY_DATABASE_URI": ""}, 2, "SQLALCHEMY_DATABASE_URI is not set"),
        ({"SQLALCHEMY_DATABASE_URI": "nonsense"}, 2, "no database address"),
        ({"SQLALCHEMY_DATABASE_URI": "mysql://x/y"}, 2, "runs on postgresql:// or sqlite://"),
        ({"SQLALCHEMY_DATABASE_URI": "postgresql://x@127.0.0.1:1/y"}, 5, "cannot be reached"),
        ({"SQLALCHEMY_DATABASE_URI": "sqlite:////nowhere/at/all.db"}, 5, "cannot be reached"),
        ({"SCHEDULER_LOCK_HOST": "no-such-host.invalid"}, 2, "SCHEDULER_LOCK_HOST"),
        ({"SCHEDULER_LOCK_HOST": "192.0.2.1"}, 2, "Name an address of this machine"),
        ({"SCHEDULER_LOCK_PORT": "70000"}, 2, "SCHEDULER_LOCK_PORT"),
        ({"SCHEDULER_LOCK_PORT": "abc"}, 2, "SCHEDULER_LOCK_PORT"),
        ({"AUTOMATION_MODULES": "no_such_module"}, 2, "AUTOMATION_MODULES names no_such_module"),
        ({"ENVIRONMENT": "TEST"}, 2, "ENVIRONMENT"),
        ({"SCHEDULER_SHUTDOWN_GRACE_SECONDS": "inf"}, 2, "SCHEDULER_SHUTDOWN_GRACE_SECONDS"),
        ({"PUBLIC_BASE_URL": "https://u:hush@x.example.org"}, 2, "PUBLIC_BASE_URL holds a user"),
        ({"MAIL_SENDER": "nobody"}, 2, "MAIL_SENDER is no plain e-mail address"),
    ],
)
def test_it_says_in_a_sentence_why_it_does_not_start(
    env: dict[str, str], wrong: dict[str, str], code: int, said: str
) -> None:
    exit_code, sentence = refused(env | wrong)
    assert said in sentence
    assert exit_code == code


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize(
    ("wrong", "code", "said"),
    [
        ({"SQLALCHEMY_DATABASE_URI": ""}, 2, "SQLALCHEMY_DATABASE_URI is not set"),
        ({"SQLALCHEMY_DATABASE_URI": "postgresql://x@127.0.0.1:1/y"}, 5, "cannot be reached"),
    ],
)
def test_the_real_command_says_so_too(
    env: dict[str, str], wrong: dict[str, str], code: int, said: str
) -> None:
    command = [sys.executable, "run_scheduler.py"]
    run = subprocess.run(
        command, cwd=ROOT, env=env | wrong, capture_output=True, text=True, timeout=20
    )
    exit_code, sentence = told(run)
    assert said in sentence
    assert exit_code == code


def test_a_database_without_tables_is_refused_with_the_cure(kind: str) -> None:
    with databases.an_empty_database(kind) as url:
        code, sentence = refused(environment(url))
    assert (code, "db upgrade" in sentence) == (2, True)


def test_development_refuses_the_database_of_a_production(app: Flask, env: dict[str, str]) -> None:
    with app.app_context(), write(db.session):
        row = SchedulerEpoch(id=1, epoch=3, environment="PRODUCTION", seen_at=utcnow())
        db.session.add(row)
    code, sentence = refused(env | {"ENVIRONMENT": "DEVELOPMENT"})
    assert (code, "belongs to a PRODUCTION scheduler" in sentence) == (2, True)


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ended", "counters", "error", "said"),
    [
        ({"success": 1}, {"ended": 1, "invited": 1}, None, "✓ expiry ended 1, invited 1, 38 ms"),
        ({"success": 3}, {}, None, "✓ expiry done 3, 38 ms"),
        ({"skipped": 2}, {}, None, "✓ expiry skipped 2, 38 ms"),
        ({"success": 1, "failed": 1}, {}, "ValueError: x",
         "✗ expiry done 1, failed 1, 38 ms (ValueError: x)"),
    ],
)  # fmt: skip
def test_a_line_per_run(
    ended: dict[str, int], counters: dict[str, int], error: str | None, said: str
) -> None:
    line = Line("expiry", Counter(ended), Counter(counters), 0.038, error)
    assert scheduler_process.in_words(line) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "now"), (0, "now"), (9, "in 9 s"), (190, "in 3 min 10 s"), (90_000, "in 1 d 1 h")],
)
def test_how_far_away_the_next_is(seconds: int, said: str) -> None:
    assert scheduler_process._away(NOON + timedelta(seconds=seconds), NOON) == said


def test_a_console_that_has_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def write(self, _text: str) -> int:
            raise BrokenPipeError

        flush = write

    monkeypatch.setattr(sys, "stdout", Gone())
    scheduler_process.say("ready")


def test_what_a_task_says_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    scheduler_process.say("✗ chores (ValueError: a\nb \udce9 \x1b[2J)")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("✗ chores (ValueError: a\\nb \\udce9 \\x1b[2J)")


def test_a_console_that_knows_few_letters_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    few = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", few)
    scheduler_process.say("✓ chores")
    assert few.buffer.getvalue().endswith(b" \\u2713 chores\n")  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_scheduler_has_a_connection_for_each_of_its_threads(url: str, kind: str) -> None:
    given = {"sqlalchemy_database_uri": url, "web_threads": 1, "max_concurrent_workflows": 9}
    sizes = {}
    for role in ("web", "scheduler"):
        app = create_app(databases.GivenSettings(**given), role=role)
        with app.app_context():
            sizes[role] = db.engine.pool.size()  # type: ignore[attr-defined]
            db.engine.dispose()
    assert sizes["web"] < 9 + 6 <= sizes["scheduler"]


def test_who_read_the_console_may_leave_and_nothing_is_tried_again_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        scheduler_process.say("ready")
        gone.flush()  # as the interpreter does, which would then end with 120
