"""Processes that begin with everything imported: our commands without the two seconds before.

The nursery is a process without threads that has imported the application. Asked for a process,
it forks one, which becomes what `python …` would have made: own variables, folder, output, signals
and exit code. What only the real command can show (that all it needs is found and imported) is
tested with the real command.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
NUMBER = struct.Struct("!q")  # what the nursery answers: a process's number, then its exit code
LENGTH = struct.Struct("!I")


class Forked:
    """As `subprocess.Popen([sys.executable, *args], …, text=True)`; files are given open."""

    def __init__(
        self, args: Sequence[object], *, env: dict[str, str] | None = None, cwd: Path = ROOT,
        stdin: Any = None, stdout: Any = None, stderr: Any = None,
    ) -> None:  # fmt: skip
        self.returncode: int | None = None
        self.stdin, self.stdout, self.stderr = None, None, None
        ends, lent = [], []
        for name, given in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
            if given == subprocess.PIPE:
                read, write = os.pipe()
                lent.append(read if name == "stdin" else write)
                ours = open(write, "w") if name == "stdin" else open(read)  # noqa: SIM115
                setattr(self, name, ours)
                ends.append(lent[-1])
            elif given == subprocess.STDOUT:
                ends.append(ends[1])
            else:
                ends.append(getattr(sys, f"__{name}__") if given is None else given)
        self._line = _nursery().ask(args, env or dict(os.environ), cwd, ends)
        for end in lent:
            os.close(end)
        self.pid = self._answer()

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        if self.returncode is None and select.select([self._line], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._line], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a forked process", timeout or 0.0)
            self._end()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Its pipes."""
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()

    def _end(self) -> None:
        self.returncode = self._answer()
        self._line.close()

    def _answer(self) -> int:
        return int(NUMBER.unpack(self._line.recv(NUMBER.size, socket.MSG_WAITALL))[0])


def run(
    args: Sequence[object], *, env: dict[str, str], cwd: Path = ROOT, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run([sys.executable, *args], …, capture_output=True, text=True)`."""
    with (
        open(os.devnull) as nothing,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        process = Forked(args, env=env, cwd=cwd, stdin=nothing, stdout=out, stderr=err)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(list(args), code, out.read(), err.read())


class _Nursery:
    """The process that forks, as the tests see it. It ends with them."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="ns-nursery-")
        bell = Path(self.folder.name) / "bell"
        command = [sys.executable, "-u", "-m", "tests.forks", bell]
        own: Any = {"stdin": subprocess.PIPE, "start_new_session": True}  # no Ctrl-C for it
        self.process = subprocess.Popen(command, cwd=ROOT, **own)
        self.bell, self.owner = str(bell), os.getpid()
        atexit.register(self.end)
        until = time.monotonic() + 60
        while not bell.exists():
            assert self.process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)

    def ask(
        self, args: Sequence[object], env: dict[str, str], cwd: Path, ends: Sequence[Any]
    ) -> socket.socket:
        """Where the new process's number comes, and in the end its exit code."""
        text = json.dumps({"args": [str(arg) for arg in args], "env": env, "cwd": str(cwd)})
        files = [end if isinstance(end, int) else end.fileno() for end in ends]
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.connect(self.bell)
        socket.send_fds(line, [LENGTH.pack(len(text.encode()))], files)
        line.sendall(text.encode())
        return line

    def end(self) -> None:
        if os.getpid() == self.owner:
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait(10)
            self.folder.cleanup()


@cache
def _nursery() -> _Nursery:
    return _Nursery()


# --- in the nursery ------------------------------------------------------------------------------


def main(bell: str) -> None:
    """Fork whatever is asked for; only in the processes asked for does `_serve` return."""
    _import_everything()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the wardens
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(bell + ".new")
        door.listen(64)
        os.rename(bell + ".new", bell)  # it is there once it answers
        args = _serve(door)
    if args is not None:
        _become(args)


def _import_everything() -> None:
    import flask.cli  # noqa: F401
    import sqlalchemy.orm
    from sqlalchemy.dialects.postgresql import psycopg2  # noqa: F401
    from sqlalchemy.dialects.sqlite import pysqlite  # noqa: F401

    import run_scheduler  # noqa: F401
    import run_web  # noqa: F401
    from app import admin, api, web  # noqa: F401
    from app.ops import cli, scheduler_process  # noqa: F401

    for module in cli.COMMANDS.values():
        import_module(f"app.ops.{module}")
    sqlalchemy.orm.configure_mappers()
    gc.freeze()


def _serve(door: socket.socket) -> list[str] | None:
    while True:
        if sys.stdin in select.select([door, sys.stdin], [], [])[0]:
            return None  # whoever started us has gone
        line, _ = door.accept()
        first, files, _, _ = socket.recv_fds(line, LENGTH.size, 3)
        text = line.recv(LENGTH.unpack(first)[0], socket.MSG_WAITALL)
        if os.fork() == 0:
            door.close()
            return _warden(line, json.loads(text), files)
        line.close()
        for file in files:
            os.close(file)


def _warden(line: socket.socket, asked: dict[str, Any], files: list[int]) -> list[str]:
    """Fork the process, tell its number, and when it has ended how."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if pid := os.fork():
        for file in (0, 1, 2, *files):
            os.close(file)
        line.sendall(NUMBER.pack(pid))
        _die_with(line, pid)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(BrokenPipeError):
            line.sendall(NUMBER.pack(os.waitstatus_to_exitcode(status)))
        os._exit(0)
    line.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return list(asked["args"])


def _die_with(line: socket.socket, pid: int) -> None:
    """Wait for the process; if whoever asked for it goes first, as a test that failed, it ends."""
    if not hasattr(os, "pidfd_open"):
        return
    ended = os.pidfd_open(pid)
    if ended not in select.select([ended, line], [], [])[0]:
        os.kill(pid, signal.SIGKILL)
    os.close(ended)


def _become(args: list[str]) -> None:
    """Be `python *args`."""
    what, *rest = args
    folders = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    if what == "-c":
        sys.path[:1] = ["", *folders]
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    elif what == "-m":
        sys.path[:1] = [os.getcwd(), *folders]
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[:1] = [str(Path(what).resolve().parent), *folders]
        sys.argv = args
        runpy.run_path(what, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1])
