"""The counter of tries (reliability SE16). A module of its own: the scheduler starts without it."""

from __future__ import annotations

import threading
import time
from typing import Any

from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from limits.storage import Storage

TIDY_SECONDS = 60.0


def storage_uri(uri: str) -> str:
    """Where Flask-Limiter counts: `uri`, but `memory://` is `Memory`."""
    return uri.replace("memory://", "tidy-memory://", 1)


class Memory(Storage):
    """Counts of one process.

    The library's own starts a thread for each request, and that one looks through all addresses: a
    fifth of what an answer by link cost. Here a count that has ended is seen to be over by whoever
    asks, and once a minute all such are forgotten.
    """

    STORAGE_SCHEME = ["tidy-memory"]  # noqa: RUF012  as the library declares it

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **_: Any) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self._counts: dict[str, tuple[int, float]] = {}  # how many, and until when it counts
        self._lock = threading.Lock()
        self._tidied = time.time()

    @property
    def base_exceptions(self) -> type[Exception]:
        """What can go wrong here: nothing of its own."""
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count one more, from now for `expiry` seconds if it is the first; how many it is now."""
        now = time.time()
        with self._lock:
            if now - self._tidied > TIDY_SECONDS:
                self._counts = {k: v for k, v in self._counts.items() if v[1] > now}
                self._tidied = now
            count, until = self._counts.get(key, (0, 0.0))
            if until <= now:
                count, until = 0, now + expiry
            self._counts[key] = count + amount, until
            return count + amount

    def get(self, key: str) -> int:
        """How many there are."""
        count, until = self._counts.get(key, (0, 0.0))
        return count if until > time.time() else 0

    def get_expiry(self, key: str) -> float:
        """When it begins anew, in seconds since the epoch."""
        return max(self._counts.get(key, (0, 0.0))[1], time.time())

    def check(self) -> bool:
        """It always works."""
        return True

    def reset(self) -> int | None:
        """Forget all; how many there were."""
        with self._lock:
            forgotten = len(self._counts)
            self._counts.clear()
            return forgotten

    def clear(self, key: str) -> None:
        """Forget one."""
        with self._lock:
            self._counts.pop(key, None)


limiter = Limiter(get_remote_address)
