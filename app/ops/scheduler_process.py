"""The one scheduler process: lock, plan, duties, watchdog, a clean end (reliability SI, PO1).

What it says goes to its console, a line per event. Exit codes: 0 stopped as asked, 2 unusable
settings, 4 another one runs, 5 no database, 70 it stopped ticking, got stuck or was replaced.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from types import FrameType
from typing import Any, NoReturn

import click
import sqlalchemy as sa
from flask import Flask

from app.automation import scheduler_ops
from app.automation.claims import Fenced
from app.automation.lock import BadLockAddress, LockHeld, SchedulerLock
from app.automation.scheduler import app_scheduler
from app.automation.scheduler_duties import Duty, DutyRunner, renew_duty, sweep_duty
from app.automation.scheduler_upkeep import check_due_duty, prune_duty, reaper_duty
from app.automation.worker import Line
from app.delivery import outbox, webhooks
from app.extensions import db, utcnow, write
from app.models.automation import AutomationSchedule, RunStatus
from app.models.job import Job
from app.models.practice import Practice
from app.models.rules import Environment
from app.models.system import SchedulerEpoch
from app.ops.exits import CONFLICT, INTERNAL, REFUSED, Ended, ended
from app.ops.memory import settle
from app.ops.migrating import require_migrated
from app.ops.terminal import printable
from app.services import aaa
from config import Settings

log = logging.getLogger("app.automation.process")

SILENT_FOR = 15.0  # seconds without a finished pass end the process (SI6)
STUCK_FOR = 60.0  # seconds in which no thread gets free
STOOD_STILL = 3.0  # seconds between two looks, a second apart: the machine was held
SAY_IDLE_EVERY = 60.0
HEARING_EVERY = 0.2
OUTBOX_WORKERS = 2


def serve(app: Flask) -> int:
    """Run until SIGTERM or Ctrl-C; the exit code."""
    settings: Settings = app.extensions["settings"]
    lock = SchedulerLock(settings.scheduler_lock_host, settings.scheduler_lock_port)
    try:
        lock.take()
    except BadLockAddress as error:
        return _end(str(error), REFUSED)
    except LockHeld as error:
        return _end(_held(lock, error.holder), CONFLICT)
    process = Process(app, settings, lock)
    try:
        return process.run()
    except click.ClickException as refused:
        return _end(refused.format_message(), refused.exit_code)
    except Exception as error:
        why = ended(error)
        return _end(why.format_message(), why.exit_code)
    finally:
        lock.release()


def _held(lock: SchedulerLock, holder: dict[str, Any] | None) -> str:
    who = "something else that does not answer"
    if holder and "pid" in holder:
        who = f"the scheduler with pid {holder['pid']} on {holder.get('host', lock.host)}"
        who += f", since {holder.get('since', 'just now')}"
    return f"Not started: {lock.host}:{lock.port} is held by {who}."


def _end(sentence: str, code: int) -> int:
    with contextlib.suppress(OSError):
        print(sentence, file=sys.stderr, flush=True)
    return code


def _replaced() -> int:
    return _end("Another scheduler took over this database; stopping.", INTERNAL)


def _die(sentence: str) -> NoReturn:
    """End at once, whatever hangs; a supervisor starts a fresh process."""
    with contextlib.suppress(OSError, ValueError):
        faulthandler.dump_traceback(all_threads=True)
    _end(f"{sentence}; stopping so that I am started anew.", INTERNAL)
    os._exit(INTERNAL)


class Process:
    """From the lock to the last line."""

    def __init__(self, app: Flask, settings: Settings, lock: SchedulerLock) -> None:
        self.app, self.settings, self.lock = app, settings, lock
        self.duties = DutyRunner(app, lambda name, did: say(f"· {name} {did}"))
        self.asked = threading.Event()  # to stop
        self.said_at = time.monotonic()
        self.active = 0  # schedules, at the start

    def run(self) -> int:
        self._listen_to_signals()
        with self.app.app_context():
            require_migrated(self.app)
            self._introduce()
            self._require_own_database()
            epoch = self._take_over()
            say(f"lock held, epoch {epoch}")
            try:
                scheduler_ops.init_app_scheduler(self.app, epoch=epoch)
            except Fenced:
                return _replaced()
            self._say_what_is_planned()
        self._start(epoch)
        aaa.process("scheduler_start", active_schedules=self.active)
        say("ready")
        code = self._watch()
        return code if code else self._finish()

    # --- beginning ---

    def _listen_to_signals(self) -> None:
        def stop(_number: int, _frame: FrameType | None) -> None:
            if self.asked.is_set():  # the second one means it
                os._exit(0)
            self.asked.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)

    def _introduce(self) -> None:
        zone = db.session.scalar(sa.select(Practice.timezone).order_by(Practice.id).limit(1))
        url = db.engine.url.render_as_string(hide_password=True)
        say(f"Nextseat {_version()} · {self.settings.environment} · {url} · {zone or 'UTC'}")
        if self._environment is Environment.DEVELOPMENT:
            say("*** DEVELOPMENT: jobs run after 1 s, letters go to files ***")

    @property
    def _environment(self) -> Environment:
        return Environment(self.settings.environment)

    def _require_own_database(self) -> None:
        """DEVELOPMENT would end every invitation of a real database after a second (SI9)."""
        row = db.session.get(SchedulerEpoch, 1)
        real = row is not None and row.environment == Environment.PRODUCTION
        if real and self._environment is Environment.DEVELOPMENT:
            raise Ended(
                "This database belongs to a PRODUCTION scheduler; in DEVELOPMENT every invitation"
                " in it would end after a second. Use another SQLALCHEMY_DATABASE_URI.",
                REFUSED,
            )

    def _take_over(self) -> int:
        """This start's number; whoever has an older one claims nothing any more (SI4)."""
        now, e = utcnow(), SchedulerEpoch
        self.lock.about |= {"host": socket.gethostname(), "since": now.isoformat(" ", "seconds")}
        with write(db.session):
            if db.session.get(e, 1) is None:
                db.session.add(e(id=1, epoch=0))
                db.session.flush()  # so that there is a row to number
            epoch: int = db.session.execute(
                sa.update(e)
                .where(e.id == 1)
                .values(
                    epoch=e.epoch + 1,
                    environment=self.settings.environment,
                    holder=f"{socket.gethostname()}:{os.getpid()}",
                    started_at=now,
                    seen_at=now,
                )
                .returning(e.epoch)
            ).scalar_one()
        self.lock.about |= {"status": "running", "epoch": epoch}
        return epoch

    def _say_what_is_planned(self) -> None:
        s = AutomationSchedule
        jobs = db.session.scalar(sa.select(sa.func.count()).select_from(Job))
        alive = sa.select(sa.func.count()).select_from(s).where(s.deleted_at.is_(None))
        there = db.session.scalar(alive) or 0
        paused = db.session.scalar(alive.where(~s.works())) or 0
        self.active = there - paused
        aaa.process("load_schedules", count=self.active)
        say(f"planned {jobs} jobs from {there} schedules ({paused} paused)")
        self._say_what_is_next()

    def _say_what_is_next(self) -> None:
        row = db.session.execute(
            sa.select(Job.id, Job.due)
            .where(Job.next_run_time.is_not(None))
            .order_by(Job.next_run_time)
            .limit(1)
        ).one_or_none()
        if row is None or row.due is None:
            say("next: nothing is planned")
        else:
            say(f"next: {row.id.split('/')[0]} {_away(row.due, utcnow())}")
        self.said_at = time.monotonic()

    def _start(self, epoch: int) -> None:
        settle()
        worker = f"{socket.gethostname()}:{os.getpid()}/{epoch}"[:100]
        app_scheduler.run_in(
            self.app,
            worker=worker,
            epoch=epoch,
            threads=self.settings.max_concurrent_workflows,
            report=self._report,
        )
        self.duties.start(sweep_duty(epoch))
        for duty in (renew_duty, check_due_duty, reaper_duty, prune_duty):
            self.duties.start(duty(epoch))
        self.duties.start(post_duty(), workers=OUTBOX_WORKERS)
        self.duties.start(webhook_duty(), workers=OUTBOX_WORKERS)
        self.lock.serve(self._rung)

    def _rung(self) -> None:
        app_scheduler.wakeup()
        self.duties.ring()

    # --- running ---

    def _report(self, line: Line) -> None:
        self.said_at = time.monotonic()
        say(in_words(line))
        self.duties.ring()  # it may have promised letters

    def _watch(self) -> int:
        """Look each second; 0 when asked to stop, 70 when the loop is dead or replaced.

        While the whole machine stood still, nobody could do anything: that is no silence.
        """
        looked = time.monotonic()
        while not self.asked.wait(1.0):
            looked, before = time.monotonic(), looked
            if looked - before > STOOD_STILL:
                app_scheduler.last_pass = looked
            if app_scheduler.fenced or self.duties.fenced:
                return _replaced()
            silent = time.monotonic() - app_scheduler.last_pass
            if silent > SILENT_FOR:
                _die(f"No pass for {silent:.0f} s")
            if (stuck := app_scheduler.stuck_for) > STUCK_FOR:
                _die(f"Tasks that should have ended hold the threads for {stuck:.0f} s")
            if dead := self.duties.dead or (app_scheduler.dead and "leases"):
                _die(f"The thread of {dead} has died")
            if time.monotonic() - self.said_at > SAY_IDLE_EVERY:
                self._say_idle()
        return 0

    def _say_idle(self) -> None:
        try:
            with self.app.app_context():
                self._say_what_is_next()
        except (sa.exc.SQLAlchemyError, TimeoutError):
            self.said_at = time.monotonic()  # the loop says so itself

    # --- the end ---

    def _finish(self) -> int:
        say(f"finishing {app_scheduler.busy} runs …")
        grace = self.settings.scheduler_shutdown_grace_seconds
        until = time.monotonic() + grace

        def end() -> bool:
            ended = app_scheduler.stop(grace)
            return self.duties.join(max(1.0, until - time.monotonic())) and ended

        all_done = _listening(end)
        self.lock.release()
        aaa.process("scheduler_stop", running_left=app_scheduler.busy)
        say(
            "stopped" if all_done else "stopped; what was not finished is done after the next start"
        )
        if not all_done:
            os._exit(0)  # their leases bring them back
        return 0


def _listening(act: Callable[[], bool]) -> bool:
    """Do it while this thread keeps hearing signals.

    One that comes in the instant before a long wait is heard only after it: so none is long here.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ending") as beside:
        doing = beside.submit(act)
        while not doing.done():
            wait([doing], timeout=HEARING_EVERY)
        return doing.result()


def post_duty() -> Duty:
    """Send what is promised, each second and when rung for."""

    def post(stop: threading.Event) -> str | None:
        return _posted(outbox.drain(stop))

    return Duty("system:outbox", timedelta(seconds=1), post, on_bell=True)


def webhook_duty() -> Duty:
    """Tell programs what schedules did, beside the letters: an endpoint may be slow (O9)."""

    def tell(stop: threading.Event) -> str | None:
        return _posted(webhooks.drain(stop))

    return Duty("system:webhooks", timedelta(seconds=1), tell, on_bell=True)


def _posted(posted: outbox.Posted) -> str | None:
    did = {
        "sent": posted.sent,
        "skipped": posted.skipped,
        "dead": posted.dead,
        "to try again": posted.retried,
    }
    return ", ".join(f"{what} {n}" for what, n in did.items() if n) or None


# --- words ---------------------------------------------------------------------------------------


def say(text: str) -> None:
    """One line on the console, with the time, in whatever letters it knows."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    known = printable(text).encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(f"{utcnow():%H:%M:%S} {known}", flush=True)
    except OSError:  # whoever listened has gone; the work goes on
        _say_no_more()


def _say_no_more() -> None:
    """Else the interpreter would try once more at its end, and end with 120."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # it may be no file at all
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def in_words(line: Line) -> str:
    """`✓ waitlist_invitation_expiry ended 1, invited 1, 38 ms`"""
    counted = [f"{what.replace('_', ' ')} {n}" for what, n in line.counters.items() if n]
    other = {s: n for s, n in line.ended.items() if s != RunStatus.SUCCESS and n}
    succeeded = line.ended[RunStatus.SUCCESS]
    if succeeded and not counted:
        counted = [f"done {succeeded}"]
    counted += [f"{status} {n}" for status, n in other.items()]
    mark = "✗" if line.error else "✓"
    why = f" ({line.error})" if line.error else ""
    return f"{mark} {line.schedule} {', '.join([*counted, f'{line.seconds * 1000:.0f} ms'])}{why}"


def _away(due: datetime, now: datetime) -> str:
    seconds = round((due - now).total_seconds())
    if seconds <= 0:
        return "now"
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    return "in " + " ".join([f"{n} {unit}" for n, unit in parts if n][:2])


def _version() -> str:
    try:
        return version("nextseat")
    except PackageNotFoundError:
        return "from source"
