"""The counter of tries (reliability SE16). A module of its own: the scheduler starts without it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from limits import parse
from limits.storage import Storage
from werkzeug.exceptions import TooManyRequests

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
_parsed = cache(parse)  # the few there are stand in our code


def count(limit: str, *whose: str) -> Callable[[], None]:
    """Count a try before it is looked at; what comes back takes it off again, if it was right.

    So many at once are never more than the limit. Raises `TooManyRequests`, with the seconds to
    wait. The library's `with limiter.limit(…)` keeps one entry per line of code: of two threads
    there one is counted as the other.
    """
    if not limiter.enabled:
        return lambda: None
    item, counter = _parsed(limit), limiter.limiter
    if not counter.hit(item, *whose):
        until = counter.get_window_stats(item, *whose).reset_time
        raise TooManyRequests(retry_after=max(int(until - time.time()), 1))

    def take_off() -> None:
        counter.storage.incr(item.key_for(*whose), item.get_expiry(), -1)

    return take_off


def require_room(limit: str, *whose: str) -> None:
    """Refuse whoever has used a limit up, and count nothing. Raises `TooManyRequests`."""
    if limiter.enabled and not limiter.limiter.test(parse(limit), *whose):
        raise TooManyRequests(retry_after=_seconds_left(limit, *whose))


def forget(limit: str, *whose: str) -> None:
    """Begin a count anew, if there is one."""
    item = parse(limit)
    if limiter.enabled and limiter.limiter.get_window_stats(item, *whose).remaining < item.amount:
        limiter.limiter.clear(item, *whose)


def left(limit: str, *whose: str) -> tuple[int, int, int] | None:
    """The limit, what is left of it, and in how many seconds it begins anew; None: not counted."""
    if not limiter.enabled:
        return None
    item = parse(limit)
    remaining = limiter.limiter.get_window_stats(item, *whose).remaining
    return item.amount, remaining, _seconds_left(limit, *whose)


def _seconds_left(limit: str, *whose: str) -> int:
    until = limiter.limiter.get_window_stats(parse(limit), *whose).reset_time
    return max(int(until - time.time()), 1)
