"""How tries are counted within one process (reliability SE16)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from flask import Flask
from limits import parse
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter
from werkzeug.exceptions import TooManyRequests

from app import limits
from app.limits import Memory, count, storage_uri


class Clock:
    """The time that the counter reads."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(limits, "time", clock)
    return clock


def test_memory_is_ours_and_everything_else_is_theirs() -> None:
    assert isinstance(storage_from_string(storage_uri("memory://")), Memory)
    assert storage_uri("redis://cache:6379/1") == "redis://cache:6379/1"


def test_after_so_many_it_is_enough_until_the_time_is_over(clock: Clock) -> None:
    limit, counter = parse("3 per minute"), FixedWindowRateLimiter(Memory())
    tries = [counter.hit(limit, "10.0.0.1") for _ in range(4)]
    assert tries == [True, True, True, False]
    assert counter.hit(limit, "10.0.0.2")
    assert counter.get_window_stats(limit, "10.0.0.1") == (1_060.0, 0)
    clock.now += 60
    assert counter.hit(limit, "10.0.0.1")


def test_each_try_of_many_at_once_is_counted() -> None:
    memory = Memory()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: memory.incr("one", 60), range(4_000)))
    assert memory.get("one") == 4_000


def test_what_is_over_is_forgotten_and_no_thread_is_started_for_it(clock: Clock) -> None:
    memory, before = Memory(), threading.active_count()
    for n in range(500):
        memory.incr(f"10.0.0.{n}", 60)
    clock.now += 61
    memory.incr("10.0.1.1", 60)
    assert memory.reset() == 1
    assert threading.active_count() == before


def test_one_or_all_can_be_forgiven() -> None:
    memory = Memory()
    for key in ("one", "other"):
        memory.incr(key, 60)
    memory.clear("one")
    assert (memory.get("one"), memory.get("other")) == (0, 1)
    assert (memory.reset(), memory.get("other"), memory.check()) == (1, 0, True)


def test_so_many_at_once_are_never_more_than_the_limit_though_right_ones_are_taken_off(
    web_app: Flask, counting: None
) -> None:
    looked_at: list[int] = []

    def attempt(n: int) -> None:
        with web_app.app_context(), suppress(TooManyRequests):
            count("5 per 15 minutes", "sign-in", "ada@example.org")
            looked_at.append(n)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(attempt, range(200)))
    assert len(looked_at) == 5
    with web_app.app_context():
        for _ in range(20):
            count("5 per 15 minutes", "sign-in", "ben@example.org")()
        with pytest.raises(TooManyRequests) as no:
            count("5 per 15 minutes", "sign-in", "ada@example.org")
    assert 880 <= no.value.retry_after <= 900
