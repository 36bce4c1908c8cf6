"""`make demo`: from nothing to a running Nextseat that nobody had to set up (people PF1, PF2).

Everything is kept in one folder, `instance/`: database, letters, log, password. The demo is for
this machine alone, in real timing; letters become files.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import alembic.util
import click
import flask_migrate
from flask import Flask

import app as nextseat
from app.extensions import db, utcnow
from app.ops import both, demo
from app.ops.demo_data import DOMAIN
from app.ops.exits import CONFLICT, INTERRUPTED, REFUSED, Ended, ended
from app.ops.migrating import MIGRATIONS, require_migrated
from config import INSTANCE, Settings, load, mistakes_for_serving

try:
    import fcntl
except ImportError:  # Windows: two demos in one folder are up to whoever starts them
    fcntl = None  # type: ignore[assignment]

HERE = "127.0.0.1"
WEB_PORT, LOCK_PORT = 8000, 53462  # or the next that are free
LAST_LINES = 12  # of the log, when something ends too soon


def main(arguments: Sequence[str]) -> int:
    """`[--reset] [FOLDER]`: run until Ctrl-C; the exit code."""
    reset = "--reset" in arguments
    folders = [Path(a) for a in arguments if a != "--reset"]
    folder = (folders[0] if folders else INSTANCE).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            os.environ.update(environment(folder))
            settings = _settings()
            app = nextseat.create_app(settings)
            logging.getLogger("app").setLevel(logging.CRITICAL)  # letters of the past are no news
            with app.app_context():
                _prepare(app, settings, folder, reset)
            return Demo(app, folder).run()
    except KeyboardInterrupt:
        return _end("Stopped; make demo begins again.", INTERRUPTED)
    except click.ClickException as refused:
        return _end(refused.format_message(), refused.exit_code)
    except Exception as error:
        why = ended(error)
        return _end(why.format_message(), why.exit_code)


def _end(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr, flush=True)
    return code


def environment(folder: Path) -> dict[str, str]:
    """The settings of the demo, whatever `.env` says; ports are free at this moment."""
    web = free_port(int(os.environ.get("WEB_PORT") or WEB_PORT))
    return {
        "DEMO": "1",
        "ENVIRONMENT": "PRODUCTION",  # real timing
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder / 'demo.db'}",
        "PUBLIC_BASE_URL": f"http://{HERE}:{web}",
        "TRUSTED_HOSTS": f"{HERE},localhost",
        "TRUSTED_PROXIES": "0",
        "WEB_HOST": HERE,
        "WEB_PORT": str(web),
        "WEB_WORKERS": "1",  # tries are counted in each worker for itself
        "RATELIMIT_STORAGE_URI": "memory://",
        "SCHEDULER_LOCK_HOST": HERE,
        "SCHEDULER_LOCK_PORT": str(free_port(LOCK_PORT)),
        "MAIL_TRANSPORT": "file",
        "MAIL_FOLDER": str(folder / "outbox"),
        "MAIL_DOMAIN": DOMAIN,
        "MAIL_RATE": "0",
    }


def free_port(first: int) -> int:
    """The first port from `first` on that nobody listens on."""
    for port in range(first, min(first + 200, 65536)):
        with socket.socket() as probe:
            if os.name == "posix":  # elsewhere this would share the port of another
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HERE, port))
                return port
    raise Ended(f"No port from {first} on is free: set WEB_PORT to another.", CONFLICT)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two demos in one folder would take the database from each other."""
    with (folder / "demo.lock").open("w") as file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Ended("The demo runs already: make demo-info says where.", CONFLICT) from error
        yield


def _settings() -> Settings:
    settings = load()
    if mistakes := mistakes_for_serving(settings):
        raise Ended("\n".join(mistakes), REFUSED)
    return settings


# --- data ----------------------------------------------------------------------------------------


def _prepare(app: Flask, settings: Settings, folder: Path, reset: bool) -> None:
    """Tables and data: kept from the last time, unless they are too old, or to be made anew."""
    _migrate(app)
    now = utcnow()
    made = demo.made_at(now)
    if made is None or reset:
        if demo.is_there() and not reset:
            print(
                "The data of the demo are older than their dates, or half: made anew.", flush=True
            )
        demo.empty(settings)
        print("Making 24 trainings and 120 students …", flush=True)
        password = demo.kept_password(folder) or demo.a_password()
        demo.keep_leaflet(folder, settings, password)
        demo.load(password, 1, now)
    else:
        print(f"The data of {made:%d %B} are kept.", flush=True)
    db.engine.dispose()


def _migrate(app: Flask) -> None:
    with contextlib.suppress(Ended):
        require_migrated(app)
        return
    logging.getLogger("alembic").setLevel(logging.WARNING)
    print("Making the tables …", flush=True)
    try:
        flask_migrate.upgrade(directory=str(MIGRATIONS))
    except (alembic.util.CommandError, SystemExit) as error:
        raise Ended("The demo is of another version: remove instance/demo.db.", REFUSED) from error


# --- running -------------------------------------------------------------------------------------


class Demo:
    """The two processes, what they say, and what is told when they are ready."""

    def __init__(self, app: Flask, folder: Path) -> None:
        self.app, self.folder, self.log = app, folder, folder / "demo.log"
        self.settings: Settings = app.extensions["settings"]
        self.ticking, self.told = threading.Event(), False

    def run(self) -> int:
        """Until one of them ends, or Ctrl-C."""
        with self.log.open("w", buffering=1) as log:  # by lines: it is read while we run
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            running = both.start(**pipes, encoding="utf-8", errors="replace")
            readers = [
                threading.Thread(target=self._listen, args=(one.stdout, log), daemon=True)
                for one in running
            ]
            for reader in readers:
                reader.start()
            code = both.watch(running, self._tell_once_ready)
            for reader in readers:
                reader.join(2)
        if not self.told and code:
            last = self.log.read_text().splitlines()[-LAST_LINES:]
            return _end("\n".join([*last, f"The demo did not start; {self.log} tells why."]), code)
        print("Stopped. make demo goes on where it stopped.", flush=True)
        return code

    def _listen(self, said: IO[str], log: IO[str]) -> None:
        """Everything goes into the log, the runs of the scheduler to whoever watches."""
        for line in said:
            with contextlib.suppress(ValueError):  # closed: we are ending
                log.write(line)
            if line.rstrip().endswith(" ready"):
                self.ticking.set()
            elif self.told and (" ✓ " in line or " ✗ " in line):
                print(line, end="", flush=True)

    def _tell_once_ready(self) -> None:
        if self.told or not self.ticking.is_set() or not self._answers():
            return
        with self.app.app_context():
            demo.open_invitations(utcnow())
            db.engine.dispose()
        password = demo.kept_password(self.folder)
        print("\n" + demo.keep_leaflet(self.folder, self.settings, password or ""), flush=True)
        self.told = True

    def _answers(self) -> bool:
        web = http.client.HTTPConnection(HERE, self.settings.web_port, timeout=2)
        try:
            web.request("GET", "/healthz")
            return web.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            web.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
