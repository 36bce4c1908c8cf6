"""Web and scheduler together, for `make run`: whoever ends, ends the other (libraries H1)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

SCRIPTS = ("run_scheduler.py", "run_web.py")
PATIENCE = 40.0  # seconds: a little more than the scheduler's own grace

Process = subprocess.Popen[Any]


def main() -> int:
    """Start both and wait; the first exit code that is not 0, or 0."""
    return watch(start())


def start(**options: Any) -> list[Process]:
    """Both, in the order of `SCRIPTS`; `options` are those of `subprocess.Popen`."""
    # In sessions of their own: Ctrl-C reaches us alone, and a second signal would mean "at once".
    return [
        subprocess.Popen([sys.executable, script], start_new_session=True, **options)  # noqa: S603
        for script in SCRIPTS
    ]


def watch(running: list[Process], meanwhile: Callable[[], None] = lambda: None) -> int:
    """Wait until one ends or we are asked to stop, then end them all; the exit code.

    `meanwhile` is called several times a second.
    """
    asked = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        while not asked and all(one.poll() is None for one in running):
            meanwhile()
            time.sleep(0.2)
    finally:
        for one in running:
            if one.poll() is None:
                one.terminate()
        codes = [_ended(one) for one in running]
    return next((code for code in codes if code), 0)


def _ended(process: Process) -> int:
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


if __name__ == "__main__":
    sys.exit(main())
