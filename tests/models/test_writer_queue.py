"""The line of SQLite's writers: order, an end to every wait, and what frees the place (DB1).

A second `WriterQueue` on the same path stands for another process: a file lock belongs to whoever
opened the file.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.models import writer_queue
from app.models.engine import is_busy
from app.models.writer_queue import WriterQueue, WriterQueueTimeout

HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "some.db.wlock")


@pytest.fixture
def queue(path: str) -> WriterQueue:
    return WriterQueue(path)


Hold = Callable[[WriterQueue], dict[Any, Any]]


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Enters a queue with a connection of its own; all places are left at the end."""
    held: list[tuple[WriterQueue, dict[Any, Any]]] = []

    def enter(queue: WriterQueue) -> dict[Any, Any]:
        place: dict[Any, Any] = {}
        held.append((queue, place))
        queue.enter(place)
        return place

    yield enter
    for queue, place in held:
        queue.leave(place)


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def waiting(queue: WriterQueue, count: int) -> None:
    """Until so many stand in the line, its head included."""
    until = time.monotonic() + 10
    while len(queue.line) < count:
        assert time.monotonic() < until
        time.sleep(0.001)


def test_who_comes_first_writes_first(queue: WriterQueue) -> None:
    served: list[int] = []
    held: dict[Any, Any] = {}
    queue.enter(held)

    def write(n: int) -> None:
        mine: dict[Any, Any] = {}
        queue.enter(mine)
        served.append(n)
        queue.leave(mine)

    with ThreadPoolExecutor(8) as pool:
        for n in range(8):
            pool.submit(write, n)
            waiting(queue, n + 2)
        queue.leave(held)
    assert served == list(range(8))


def test_leaving_twice_or_without_a_place_is_harmless(queue: WriterQueue, hold: Hold) -> None:
    queue.leave({})
    place = hold(queue)
    queue.enter(place)  # the same connection writes again
    queue.leave(place)
    queue.leave(place)
    assert "slot" in hold(queue)


def test_a_second_unit_in_one_thread_is_an_error_at_once(queue: WriterQueue, hold: Hold) -> None:
    hold(queue)
    with pytest.raises(RuntimeError, match="second write unit in one thread"):
        queue.enter({})


def test_nobody_waits_for_ever_behind_a_thread(
    queue: WriterQueue, hold: Hold, thread: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_queue, "WAIT_SECONDS", 0.05)
    place = hold(queue)
    error = thread.submit(queue.enter, {}).exception(timeout=5)
    assert isinstance(error, WriterQueueTimeout)
    assert is_busy(error)
    queue.leave(place)
    assert "slot" in thread.submit(hold, queue).result(timeout=5)


def test_nobody_waits_for_ever_behind_another_process(
    queue: WriterQueue, path: str, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_queue, "WAIT_SECONDS", 0.05)
    hold(WriterQueue(path))
    with pytest.raises(WriterQueueTimeout) as raised:
        queue.enter({})
    assert is_busy(raised.value)
    assert not queue.line  # the next of us may try


def test_a_lock_that_comes_too_late_is_handed_back(
    queue: WriterQueue, path: str, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = WriterQueue(path)
    theirs = hold(other)
    monkeypatch.setattr(writer_queue, "WAIT_SECONDS", 0.05)
    with pytest.raises(WriterQueueTimeout):
        queue.enter({})
    monkeypatch.undo()
    other.leave(theirs)  # now the kernel gives it to whoever has gone
    began = time.monotonic()
    hold(queue)
    assert time.monotonic() - began < 5


def test_who_waits_for_another_process_comes_in_when_it_leaves(
    queue: WriterQueue, path: str, hold: Hold
) -> None:
    other = WriterQueue(path)
    threading.Timer(0.05, other.leave, [hold(other)]).start()
    assert "slot" in hold(queue)
    assert queue.longest_wait >= 0.01


def test_a_killed_process_frees_the_place(queue: WriterQueue, path: str, hold: Hold) -> None:
    command = [sys.executable, "-c", HOLDER, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        threading.Timer(0.05, holder.kill).start()
        hold(queue)
    assert holder.returncode == -9


def test_between_processes_nobody_starves(path: str) -> None:
    """Each writes again at once, as often as it can: all come to their turn alike."""
    until = time.monotonic() + 0.5
    turns = [0] * 6

    def write_on_and_on(n: int) -> float:
        own = WriterQueue(path)
        while time.monotonic() < until:
            place: dict[Any, Any] = {}
            own.enter(place)
            time.sleep(0.001)
            turns[n] += 1
            own.leave(place)
        return own.longest_wait

    with ThreadPoolExecutor(6) as pool:
        longest = max(pool.map(write_on_and_on, range(6)))
    assert min(turns) > 0
    assert longest < 5
