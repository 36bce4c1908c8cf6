"""What our processes on this machine take of it: memory and CPU, as the kernel tells (RE4).

Linux tells in `/proc`; elsewhere nothing is known, and nothing is guessed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
SCRIPTS = {"run_web.py": "web", "run_scheduler.py": "scheduler"}
# Of the fields after the name in `/proc/<pid>/stat`, counted from 0 (proc(5)).
USER_TICKS, SYSTEM_TICKS, STARTED, PAGES = 11, 12, 19, 21


@dataclass(frozen=True)
class Process:
    """One of ours, and what it takes; its CPU is the share of one core since it began."""

    pid: int
    role: str  # web, scheduler, or this: the one that asks
    memory_mib: int
    cpu_percent: float
    seconds: int  # that it runs


def ours(proc: Path = PROC, here: str | None = None) -> list[Process] | None:
    """Those of this installation, by pid; None: not known on this machine.

    `here` is the folder they were started in, ours by default.
    """
    here = here or os.getcwd()
    try:
        uptime = float((proc / "uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    found = list(_of(proc, here, uptime))
    return sorted(found, key=lambda one: one.pid)


def _of(proc: Path, here: str, uptime: float) -> Iterator[Process]:
    for folder in proc.iterdir():
        # One that ended meanwhile, or is somebody else's, is none to tell of.
        with suppress(OSError, ValueError, IndexError):
            if folder.name.isdigit() and (role := _role(folder, here)):
                yield _read(folder, role, uptime)


def _role(folder: Path, here: str) -> str | None:
    if int(folder.name) == os.getpid():
        return "this"
    words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
    names = [os.path.basename(word) for word in words]
    role = next((SCRIPTS[name] for name in names if name in SCRIPTS), None)
    return role if role and os.readlink(folder / "cwd") == here else None


def _read(folder: Path, role: str, uptime: float) -> Process:
    # The name, in brackets, may hold anything: what counts stands behind the last one.
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    seconds = max(0.0, uptime - int(fields[STARTED]) / tick)
    busy = (int(fields[USER_TICKS]) + int(fields[SYSTEM_TICKS])) / tick
    return Process(
        int(folder.name),
        role,
        int(fields[PAGES]) * page // 2**20,
        round(100 * busy / max(seconds, 1.0), 1),
        int(seconds),
    )
