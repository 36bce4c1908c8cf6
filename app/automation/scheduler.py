"""`app_scheduler`: APScheduler over the plan; its pass claims, runs in batches, acknowledges (P2).

From any process it lists and removes jobs; only the scheduler process calls `run_in` and `start`.
One pass: look what is due, claim as much as there is room for, hand it to a thread, sleep until the
next is due, at most a second. Nothing that happens in a pass ends the loop.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import sqlalchemy as sa
from apscheduler.job import Job as SchedulerJob
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.schedulers.base import STATE_STOPPED
from apscheduler.schedulers.blocking import BlockingScheduler
from flask import Flask

from app.automation import claims, execution, recurring_runs, removal, sharing
from app.automation.claims import Claimed, Fenced
from app.automation.jobstore import PlannedOnly, PlanStore
from app.automation.worker import Paces, Progress, Report, Worker
from app.extensions import db, utcnow, write
from app.models.system import SchedulerEpoch
from app.services import aaa, chains, runs

log = logging.getLogger("app.automation.scheduler")

ROOM = 10_000  # jobs of one claim: what belongs together should come together
LONGEST_SLEEP = 1.0  # seconds
LONGEST_PASS = 5.0  # seconds: whoever asks what runs waits no longer for one that claims
SIGN_OF_LIFE = 10.0  # seconds between two renewals of leases


class Handed(NamedTuple):
    """A part of a claim, in the hands of a thread."""

    future: Future[None]
    progress: Progress
    jobs: Sequence[Claimed] = ()

    @property
    def lives(self) -> bool:
        """It is worked on, and its jobs are still its own."""
        return not self.future.done() and not self.progress.given_up

    def hangs(self, now: datetime) -> bool:
        """It is worked on and should be over: it holds its thread for nothing."""
        return not self.future.done() and (self.progress.given_up or self.progress.hangs(now))


class PlanScheduler(BackgroundScheduler):  # type: ignore[misc]
    """APScheduler's face, our loop."""

    def __init__(self) -> None:
        super().__init__(timezone="UTC")
        self.plan = PlanStore()
        self.add_jobstore(self.plan, "default")
        self.app: Flask | None = None
        self.clock: Callable[[], datetime] = utcnow
        self.report: Report = lambda _line: None
        self.worker, self.epoch = "", 0
        self.fenced = False
        self.last_pass = time.monotonic()
        self._threads = 1
        self._pool: ThreadPoolExecutor | None = None
        self._running: dict[str, Handed] = {}
        self._passing = threading.Lock()  # from before a claim until its parts are in `_running`
        self._paces = Paces()
        self._keeper: threading.Thread | None = None
        self._over = threading.Event()
        self._stuck_since: float | None = None

    # --- the plan, from any process ---

    def get_jobs(self, jobstore: str | None = None, pending: bool | None = None) -> list[Any]:
        """All jobs of the plan, soonest due first; needs an app context, no running scheduler."""
        jobs: list[SchedulerJob] = self.plan.get_all_jobs()
        return jobs

    def get_job(self, job_id: str, jobstore: str | None = None) -> SchedulerJob | None:
        """The job of that id, or None."""
        return self.plan.lookup_job(job_id)

    def remove_job(self, job_id: str, jobstore: str | None = None) -> None:
        """Take one occurrence out of the plan for good, and commit (waitlist WI4, WA11).

        The job of an invitation exempts it from running out before the hard stop; of any other the
        run is written down as cancelled, so that renew leaves it away. Raises `JobLookupError`.
        """
        with write(db.session):
            if not removal.withdraw(db.session(), job_id, self.clock()):
                raise JobLookupError(job_id)

    def add_job(self, *args: Any, **kwargs: Any) -> Any:
        """Raises `PlannedOnly`."""
        raise PlannedOnly

    def remove_all_jobs(self, jobstore: str | None = None) -> None:
        """Raises `PlannedOnly`."""
        raise PlannedOnly

    # --- the loop, in the one process ---

    def run_in(self, app: Flask, *, worker: str, epoch: int, threads: int, report: Report) -> None:
        """Run the plan of `app`; `epoch` is this start's number (SI4)."""
        self.app, self.worker, self.epoch, self.report = app, worker, epoch, report
        self._threads = threads
        self._over.clear()
        self.fenced, self.last_pass, self._stuck_since = False, time.monotonic(), None
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="task")
        self._keeper = threading.Thread(target=self._keep, name="leases", daemon=True)
        self._keeper.start()
        self.start()

    @property
    def busy(self) -> int:
        """How many claims are being worked on; a pass that is claiming is waited for."""
        with self._between_passes(LONGEST_PASS):
            return sum(not handed.future.done() for handed in list(self._running.values()))

    @property
    def stuck_for(self) -> float:
        """Seconds for which only a fresh process could help; 0: it goes on.

        Each thread is held by a task that should have ended, or one that hangs can't be let go, for
        instance since it keeps all others from writing.
        """
        since = self._stuck_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def dead(self) -> bool:
        """Nobody renews leases any more, though nobody asked to stop."""
        return self._keeper is not None and not (self._keeper.is_alive() or self._over.is_set())

    def stop(self, grace: float) -> bool:
        """Claim nothing more, let what runs finish for `grace` seconds; whether all did (SI7).

        What was claimed but has not begun is given back.
        """
        until = time.monotonic() + grace
        if self.state != STATE_STOPPED:
            BlockingScheduler.shutdown(self, wait=False)  # its thread is not joined: it may hang
        with self._between_passes(grace) as over:
            if not over:
                return False  # what it claims it must be able to hand on
        for handed in list(self._running.values()):
            try:
                handed.future.result(timeout=max(0.0, until - time.monotonic()))
            except TimeoutError:
                return False
        self._over.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        return True

    @contextmanager
    def _between_passes(self, seconds: float) -> Iterator[bool]:
        """No pass claims meanwhile; False if one did not end for so many seconds."""
        alone = self._passing.acquire(timeout=max(0.0, seconds))
        try:
            yield alone
        finally:
            if alone:
                self._passing.release()

    def _process_jobs(self) -> float:
        try:
            with self._passing:
                return self._pass()
        except Fenced:
            self.fenced = True
            return LONGEST_SLEEP
        except Exception:  # whatever the database says: the next pass is in a second (F17, F25)
            log.exception("a pass of the scheduler failed")
            return LONGEST_SLEEP
        finally:
            self.last_pass = time.monotonic()

    def _pass(self) -> float:
        """Claim what is due and hand it on; return the seconds to sleep."""
        if self.app is None or self.state == STATE_STOPPED or self.fenced:
            return LONGEST_SLEEP
        self._running = {t: h for t, h in self._running.items() if not h.future.done()}
        with self.app.app_context():
            session, now = db.session(), self.clock()
            due = claims.next_due(session)
            if due is None or due > now:
                return LONGEST_SLEEP if due is None else _until(due, now)
            # Short, and here: that a schedule is due must wait for no task, however long (C1).
            recurring_runs.claim_each(session, self.clock, self.epoch)
            if len(self._running) >= self._threads:
                return LONGEST_SLEEP  # whoever is done rings
            token = str(uuid4())
            with write(session):
                jobs = claims.claim(session, now, ROOM, token, self.epoch)
        if not jobs:
            return LONGEST_SLEEP
        self._hand_on(token, jobs)
        return 0.0

    def _hand_on(self, token: str, jobs: Sequence[Claimed]) -> None:
        """To as many threads as are free."""
        assert self.app is not None  # noqa: S101  `run_in` made both
        assert self._pool is not None  # noqa: S101
        with self.app.app_context():
            free = self._threads - len(self._running)
            parts = sharing.split(db.session(), jobs, free)
        for n, part in enumerate(parts):
            progress = Progress()
            future = self._pool.submit(self._run, part, progress)
            self._running[f"{token}/{n}"] = Handed(future, progress, part)
            future.add_done_callback(lambda _: self.wakeup())

    def _run(self, jobs: Sequence[Claimed], progress: Progress) -> None:
        assert self.app is not None  # noqa: S101
        worker = Worker(
            self.worker,
            self.clock,
            self.report,
            stopping=lambda: self.state == STATE_STOPPED,
            paces=self._paces,
            progress=progress,
        )
        try:
            with self.app.app_context():
                execution.run_jobs(jobs, worker)
        except Exception as error:  # the lease brings them back
            for job in jobs:
                aaa.job_failed(job.id, type(error).__name__)
            log.exception("a claim could not be worked on: %s jobs", len(jobs))

    def _keep(self) -> None:
        """Renew the leases of what runs, end what takes too long, and show that we live."""
        while not self._over.wait(SIGN_OF_LIFE):
            try:
                self._sign_of_life()
            except Exception:
                log.exception("leases could not be renewed")
            self._see_who_hangs()

    def _see_who_hangs(self) -> None:
        now, all_ = self.clock(), list(self._running.values())
        hung = [handed for handed in all_ if handed.hangs(now)]
        stuck = len(hung) >= self._threads or not all(h.progress.given_up for h in hung)
        self._stuck_since = (self._stuck_since or time.monotonic()) if stuck else None

    def _sign_of_life(self) -> None:
        assert self.app is not None  # noqa: S101
        now, running = self.clock(), list(self._running.items())
        lives = {key: handed for key, handed in running if handed.lives}
        hung = [handed for handed in lives.values() if handed.hangs(now)]
        if lives:
            self._end_late(now)
        with self.app.app_context(), write(db.session):
            session, e = db.session(), SchedulerEpoch
            if lives:
                claims.keep(session, list({key.split("/")[0] for key in lives}), now)
            for handed in hung:
                begun = [work.job.id for work in handed.progress.works]
                claims.let_go(session, handed.jobs, begun, now)
            mine = sa.update(e).where(e.id == 1, e.epoch == self.epoch).values(seen_at=now)
            if not session.execute(mine.returning(e.id)).all():
                self.fenced = True  # noticed even if nothing is due
        for handed in hung:
            handed.progress.given_up = True

    def _end_late(self, now: datetime) -> None:
        """What hangs has timed out; of what recurs, whoever follows it begins (schedules R6, R8).

        Schedules remember it before the others of theirs are let go, which end later.
        """
        assert self.app is not None  # noqa: S101
        with self.app.app_context():
            session = db.session()
            with write(session):
                recurring = runs.late(session, self.worker, now, recurring=True)
                of_events = chains.time_out(session, self.worker, now)
            try:
                if of_events:
                    with write(session):
                        chains.remember_late(session, of_events)
                for run_id in recurring:
                    with write(session):
                        chains.end_overdue(session, run_id, now)
            except Exception:  # the leases of the others must be renewed all the same
                log.exception("runs that are too late could not be ended, or remembered")

    def shutdown(self, wait: bool = True) -> None:
        """Stop; with `wait` after what runs has finished."""
        self.stop(timedelta(days=1).total_seconds() if wait else 0.0)


def _until(due: datetime, now: datetime) -> float:
    return min(LONGEST_SLEEP, max(0.0, (due - now).total_seconds()))


app_scheduler = PlanScheduler()
