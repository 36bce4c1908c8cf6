"""One scheduler: a listening socket is the lock and the bell (reliability SI1, SI2)."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.automation.lock import BadLockAddress, LockHeld, SchedulerLock, ask, ring
from tests.forks import Forked
from tests.sink import free_port


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def lock(port: int) -> Iterator[SchedulerLock]:
    lock = SchedulerLock("127.0.0.1", port)
    lock.take()
    yield lock
    lock.release()


def test_a_second_one_is_told_who_holds_it_and_since_when(lock: SchedulerLock) -> None:
    lock.about |= {"since": "2026-03-02 12:00:00+00:00", "epoch": 12}
    before = time.monotonic()
    with pytest.raises(LockHeld) as held:
        SchedulerLock(lock.host, lock.port).take()
    assert held.value.holder is not None
    assert held.value.holder["pid"] == os.getpid()
    assert held.value.holder["since"] == "2026-03-02 12:00:00+00:00"
    assert time.monotonic() - before < 2


def test_already_while_it_starts_it_says_who_it_is(lock: SchedulerLock) -> None:
    assert ask(lock.host, lock.port) == {"status": "starting", "pid": os.getpid()}


def test_of_twenty_at_once_one_wins(port: int) -> None:
    start = threading.Barrier(20, timeout=20)
    locks = [SchedulerLock("127.0.0.1", port) for _ in range(20)]

    def take(lock: SchedulerLock) -> bool:
        start.wait()
        try:
            lock.take()
        except LockHeld:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        won = list(pool.map(take, locks))
    for lock in locks:
        lock.release()
    assert sum(won) == 1


def test_once_released_it_is_free_at_once_even_with_a_client_connected(
    lock: SchedulerLock,
) -> None:
    with socket.create_connection((lock.host, lock.port)):
        lock.release()
        again = SchedulerLock(lock.host, lock.port)
        again.take()
        again.release()


HOLDER = """
import sys, time
from app.automation.lock import SchedulerLock
SchedulerLock("127.0.0.1", int(sys.argv[1])).take()
print("held", flush=True)
time.sleep(60)
"""


def test_killed_it_is_free_at_once_even_with_a_client_connected(port: int) -> None:
    holder = Forked(["-c", HOLDER, port], stdout=subprocess.PIPE)
    with contextlib.closing(holder):
        assert holder.stdout.readline() == "held\n"
        mine = SchedulerLock("127.0.0.1", port)
        with pytest.raises(LockHeld):
            mine.take()
        with socket.create_connection(("127.0.0.1", port)):
            holder.send_signal(signal.SIGKILL)
            holder.wait(10)
            mine.take()
            mine.release()


def test_the_bell_wakes_whoever_waits(lock: SchedulerLock) -> None:
    rung = threading.Event()
    lock.serve(rung.set)
    ring(lock.host, lock.port)
    assert rung.wait(1)


def test_ringing_where_nobody_listens_is_harmless(port: int) -> None:
    ring("127.0.0.1", port)
    ring("no such host.invalid", port)
    assert ask("127.0.0.1", port) is None


@pytest.mark.parametrize("noise", [b"\x00\xff" * 10, b"GET / HTTP/1.1\r\n\r\n", b"x" * 1_000_000])
def test_noise_only_rings(lock: SchedulerLock, noise: bytes) -> None:
    rung = threading.Event()
    lock.serve(rung.set)
    with (
        contextlib.suppress(OSError),  # who shouts too long is cut off
        socket.create_connection((lock.host, lock.port), timeout=1) as call,
    ):
        call.sendall(noise)
    assert rung.wait(1)
    assert ask(lock.host, lock.port) is not None


def test_silent_callers_do_not_hold_up_the_others(lock: SchedulerLock) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(socket.create_connection((lock.host, lock.port)))
        assert ask(lock.host, lock.port, seconds=2) is not None


def test_callers_that_hang_up_at_once_are_nothing(lock: SchedulerLock) -> None:
    for _ in range(30):
        socket.create_connection((lock.host, lock.port)).close()
    assert ask(lock.host, lock.port, seconds=2) is not None


def test_something_else_on_the_port_is_no_scheduler(port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(LockHeld) as held:
            SchedulerLock("127.0.0.1", port).take()
    assert held.value.holder is None


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("no-such-host.invalid", 53462),
        ("192.0.2.1", 53462),  # nobody's address
        ("a" * 300, 53462),
        ("\u0000", 53462),
    ],
)
def test_an_address_that_cannot_be_used_is_told_in_a_sentence(host: str, port: int) -> None:
    with pytest.raises(BadLockAddress) as bad:
        SchedulerLock(host, port).take()
    assert "SCHEDULER_LOCK_HOST" in str(bad.value)
    assert "\n" not in str(bad.value)


def test_releasing_twice_is_harmless(lock: SchedulerLock) -> None:
    lock.release()
    lock.release()
