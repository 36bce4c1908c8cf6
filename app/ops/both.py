"""Web and scheduler together, for `make run`: whoever ends, ends the other (libraries H1)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from types import FrameType

SCRIPTS = ("run_scheduler.py", "run_web.py")
PATIENCE = 40.0  # seconds: a little more than the scheduler's own grace


def main() -> int:
    """Start both and wait; the first exit code that is not 0, or 0."""
    # In sessions of their own: Ctrl-C reaches us alone, and a second signal would mean "at once".
    running = [
        subprocess.Popen([sys.executable, script], start_new_session=True)  # noqa: S603
        for script in SCRIPTS
    ]
    asked = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    while not asked and all(one.poll() is None for one in running):
        time.sleep(0.2)
    for one in running:
        if one.poll() is None:
            one.terminate()
    codes = [_ended(one) for one in running]
    return next((code for code in codes if code), 0)


def _ended(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


if __name__ == "__main__":
    sys.exit(main())
