"""Real scheduler processes, for tests, benchmarks and scripts."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from app.extensions import db, write
from app.models import AutomationClasses, AutomationSchedule
from tests import databases
from tests.cast import NOON
from tests.forks import Forked
from tests.sink import free_port

ROOT = Path(__file__).parent.parent
SECRET = "a secret of at least thirty-two bytes, for tests alone"


def environment(url: str, **more: str) -> dict[str, str]:
    """The variables of a safe PRODUCTION installation on this database."""
    own = {
        "ENVIRONMENT": "PRODUCTION",
        "SQLALCHEMY_DATABASE_URI": url,
        "SECRET_KEY": SECRET,
        "LINK_KEYS": "a key of links with thirty-two bytes at least",
        "SECURITY_PASSWORD_SALT": "a salt of at least thirty-two bytes, for tests",
        "SECURITY_TOTP_SECRETS": "a key of codes with thirty-two bytes at least",
        "PUBLIC_BASE_URL": "https://training.example.org",
        "TRUSTED_HOSTS": "training.example.org",
        "SCHEDULER_LOCK_PORT": str(free_port()),
        "MAIL_DOMAIN": "training.example.org",
        "MAIL_RATE": "0",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_TLS": "none",
        "PYTHONUNBUFFERED": "1",
    }
    return os.environ | own | more


class Running:
    """A scheduler process and what it says: the real command, or a fork that need not import."""

    def __init__(
        self, env: dict[str, str], script: str = "run_scheduler.py", *, forked: bool = False
    ) -> None:
        self.process: Any = (
            Forked([script], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if forked
            else subprocess.Popen(
                [sys.executable, script],
                cwd=ROOT,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        self.said: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            self._lines.put(line.rstrip())

    def wait_for(self, text: str, seconds: float = 30) -> str:
        """The first line from now on that holds `text`."""
        until = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                told = "\n".join(self.said[-30:])
                raise AssertionError(f"no {text!r} within {seconds} s; it said:\n{told}") from None
            if text in line:
                return line

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self._ended(10)

    def stop(self, seconds: float = 20) -> int:
        """SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended(seconds)

    def _ended(self, seconds: float) -> int:
        code = int(self.process.wait(seconds))
        self._reader.join(5)
        if self.process.stdout is not None and not self._reader.is_alive():
            self.process.stdout.close()
        return code


@contextmanager
def a_scheduler(
    env: dict[str, str], script: str = "run_scheduler.py", *, forked: bool = False
) -> Iterator[Running]:
    """A scheduler that says it is ready, killed if the test hasn't stopped it."""
    running = Running(env, script, forked=forked)
    try:
        running.wait_for("ready")
        yield running
    finally:
        if running.process.poll() is None:
            running.kill()


def plan_something(url: str, name: str, class_name: str) -> None:
    """A schedule of a class of one's own, whose items run at their instant."""
    app = databases.app_on(url)
    with app.app_context():
        with write(db.session):
            db.session.add(
                AutomationSchedule(
                    name=name,
                    automation_class=AutomationClasses(class_name=class_name),
                    interval=timedelta(0),
                    active_since=NOON - timedelta(days=1),
                )
            )
        db.engine.dispose()
