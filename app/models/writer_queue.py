"""The line in which SQLite's writers wait, so that nobody starves and nobody is refused (DB1)."""

from __future__ import annotations

import collections
import threading
import time
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows: one process only (DB6), so the line of threads is enough
    fcntl = None  # type: ignore[assignment]

WAIT_SECONDS = 10.0


class WriterQueueTimeout(TimeoutError):
    """Whoever writes now has not finished within `WAIT_SECONDS`: say "busy" and try again."""


class WriterQueue:
    """First come, first served: a line of threads here, one file lock between processes.

    The place is kept in the `info` of the pool's connection record and left when the connection
    goes back: commit, rollback, close, error and garbage collection all end there.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.guard = threading.Lock()
        self.line: collections.deque[threading.Event] = collections.deque()
        self.owner: int | None = None
        self.longest_wait = 0.0  # seconds; read by benchmarks and health

    def enter(self, info: dict[Any, Any]) -> None:
        """Wait for our turn, at most `WAIT_SECONDS` in all, then `WriterQueueTimeout`."""
        if "slot" in info:
            return
        if self.owner == threading.get_ident():
            raise RuntimeError("second write unit in one thread: use the session you have")
        began = time.monotonic()
        self._await_turn()
        try:
            slot = _file_lock(self.path, WAIT_SECONDS - (time.monotonic() - began))
        except BaseException:
            self._next()
            raise
        self.longest_wait = max(self.longest_wait, time.monotonic() - began)
        self.owner, info["slot"] = threading.get_ident(), slot

    def leave(self, info: dict[Any, Any]) -> None:
        """Give the place to the next; harmless for who has none."""
        if slot := info.pop("slot", None):
            self.owner = None
            slot.close()  # frees the file lock
            self._next()

    def _await_turn(self) -> None:
        turn = threading.Event()
        with self.guard:
            self.line.append(turn)
            if len(self.line) == 1:
                turn.set()
        if turn.wait(WAIT_SECONDS):
            return
        with self.guard:
            if not turn.is_set():  # else it became ours at the last moment
                self.line.remove(turn)
                raise WriterQueueTimeout(f"waited {WAIT_SECONDS:.0f} s to write")

    def _next(self) -> None:
        with self.guard:
            self.line.popleft()
            if self.line:
                self.line[0].set()


def _file_lock(path: str, seconds: float) -> IO[str]:
    file = open(path, "a")  # noqa: SIM115  opened each time: a flock is shared across fork
    if fcntl is None or _locked_at_once(file):
        return file
    # The kernel wakes blocked processes in order, a polling loop would not; but it knows no
    # time-out, so a thread blocks for us, and hands the lock back if we have gone by then.
    got, gone = threading.Event(), threading.Event()
    threading.Thread(target=_block, args=(file, got, gone), daemon=True).start()
    if got.wait(max(seconds, 0)):
        return file
    gone.set()
    if got.is_set():
        file.close()
    raise WriterQueueTimeout(f"waited {WAIT_SECONDS:.0f} s for another process to write")


def _locked_at_once(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _block(file: IO[str], got: threading.Event, gone: threading.Event) -> None:
    fcntl.flock(file, fcntl.LOCK_EX)
    got.set()
    if gone.is_set():
        file.close()
