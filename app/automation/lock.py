"""One scheduler: a listening socket is the lock, and the bell that wakes it (SI1, SI2).

It is `listen()` that excludes: with SO_REUSEADDR two processes may both bind. The kernel frees it
the moment its owner dies, however it dies.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from flask import current_app

HELD = {errno.EADDRINUSE, errno.EACCES} if sys.platform == "win32" else {errno.EADDRINUSE}
BACKLOG = 64
MOST_BYTES, LONGEST_RING = 64, 0.2  # of what somebody sends, and seconds to wait for it
LONGEST_CALL = 0.04  # seconds that whoever rings waits


class LockHeld(Exception):
    """Another scheduler has it; `holder` is what that one says of itself, if it answers."""

    def __init__(self, holder: dict[str, Any] | None) -> None:
        self.holder = holder
        super().__init__("held")


class BadLockAddress(Exception):
    """Nobody could listen there; the message is a sentence."""


class SchedulerLock:
    """The lock of this process, from `take()` to `release()`."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.about: dict[str, Any] = {"status": "starting", "pid": os.getpid()}
        self._socket: socket.socket | None = None
        self._ring: Callable[[], None] = lambda: None

    def take(self) -> None:
        """From now on whoever connects is answered. Raises `LockHeld` or `BadLockAddress`."""
        try:
            family, kind, proto, _, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            sock = socket.socket(family, kind, proto)
        except (OSError, UnicodeError) as error:
            raise self._unusable(error) from error
        try:
            exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
            sock.setsockopt(socket.SOL_SOCKET, exclusive or socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(BACKLOG)
        except OSError as error:
            sock.close()
            if error.errno in HELD:
                raise LockHeld(ask(self.host, self.port)) from error
            raise self._unusable(error) from error
        self._socket = sock
        threading.Thread(target=self._accept, name="doorbell", daemon=True).start()

    def _unusable(self, error: Exception) -> BadLockAddress:
        why = getattr(error, "strerror", None) or str(error)
        return BadLockAddress(
            f"SCHEDULER_LOCK_HOST {self.host} and SCHEDULER_LOCK_PORT {self.port} cannot be used:"
            f" {why}. Name an address of this machine and a free port."
        )

    def serve(self, ring: Callable[[], None]) -> None:
        """Call `ring` when somebody connects; a burst of rings may merge into one."""
        self._ring = ring

    def _accept(self) -> None:
        listening = self._socket
        while listening is not None and self._socket is listening:
            try:
                caller, _ = listening.accept()
            except OSError:  # released; or out of file descriptors, for now
                time.sleep(LONGEST_RING)
                continue
            with caller, contextlib.suppress(OSError):
                caller.settimeout(LONGEST_RING)
                self._ring()
                with contextlib.suppress(TimeoutError):
                    caller.recv(MOST_BYTES)  # whatever it says, it only rang
                caller.sendall(json.dumps(self.about).encode() + b"\n")

    def release(self) -> None:
        """Let the next one have it."""
        sock, self._socket = self._socket, None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def ask(host: str, port: int, seconds: float = 1.0) -> dict[str, Any] | None:
    """What the scheduler at that address says of itself; None if nobody answers."""
    try:
        with socket.create_connection((host, port), timeout=seconds) as call:
            call.settimeout(seconds)
            call.sendall(b"?\n")
            with call.makefile("rb") as answer:
                said = json.loads(answer.readline(1000))
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


def ring(host: str, port: int) -> None:
    """Wake the scheduler, if there is one: what was just committed need not wait for its look.

    Never fails, and takes `LONGEST_CALL` at most, whatever that address is.
    """
    call = threading.Thread(target=_call, args=(host, port), name="bell", daemon=True)
    with contextlib.suppress(RuntimeError):  # no more threads: it looks each second anyway
        call.start()
        call.join(LONGEST_CALL)


def _call(host: str, port: int) -> None:
    with (
        contextlib.suppress(OSError, ValueError, OverflowError),  # also a name that is none
        socket.create_connection((host, port), timeout=LONGEST_RING) as call,
    ):
        call.sendall(b"!\n")


def wake_scheduler() -> None:
    """`ring` the scheduler of this application: for views and commands, after their commit."""
    settings = current_app.extensions["settings"]
    ring(settings.scheduler_lock_host, settings.scheduler_lock_port)
