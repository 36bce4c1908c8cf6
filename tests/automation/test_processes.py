"""What our processes take of this machine, as far as it tells (rulings RE4)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.automation import processes

TICK, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def a_process(proc: Path, pid: int, *words: str, cwd: str = "/srv/nextseat") -> None:
    """One that began 100 s ago, worked 5 s of them, and holds 64 MiB."""
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "cmdline").write_text("\0".join(words))
    (folder / "cwd").symlink_to(cwd)
    fields = ["0"] * 40
    fields[processes.USER_TICKS], fields[processes.SYSTEM_TICKS] = str(3 * TICK), str(2 * TICK)
    fields[processes.STARTED], fields[processes.PAGES] = str(900 * TICK), str(2**26 // PAGE)
    (folder / "stat").write_text(f"{pid} (a) odd (name) {' '.join(fields)}")


def test_web_and_scheduler_of_this_folder_are_told_with_what_they_take(tmp_path: Path) -> None:
    (tmp_path / "uptime").write_text("1000.0 1.0")
    a_process(tmp_path, 11, "python", "run_web.py")
    a_process(tmp_path, 10, "python", "/srv/nextseat/run_scheduler.py")
    a_process(tmp_path, 12, "python", "run_web.py", cwd="/srv/another")
    a_process(tmp_path, 13, "python", "something.py")
    (tmp_path / "14").mkdir()  # it ended while we looked
    (tmp_path / "self").mkdir()
    assert processes.ours(tmp_path, "/srv/nextseat") == [
        processes.Process(10, "scheduler", 64, 5.0, 100),
        processes.Process(11, "web", 64, 5.0, 100),
    ]


def test_where_the_kernel_tells_nothing_it_is_not_known(tmp_path: Path) -> None:
    assert processes.ours(tmp_path) is None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells")
def test_the_one_that_asks_is_among_them() -> None:
    found = processes.ours()
    assert found is not None
    [me] = [one for one in found if one.role == "this"]
    assert me.pid == os.getpid()
    assert me.memory_mib > 0
