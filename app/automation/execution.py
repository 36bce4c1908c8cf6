"""Run due jobs: begin, execute, record (reliability JX2, schedules X, waitlist WA8).

Jobs of a schedule come as a batch, in the lists that their class wants together, in two ways:

- Carefully: what is gone, moved, switched off or too late is written down; the rest begins in one
  short transaction, so that the ledger knows of it; then the work is one transaction, which ends
  with the runs, guarded: whoever lost a run meanwhile rolls everything back. If one of a list
  raises, each of them runs alone, and only the bad one fails.
- Quickly, once the class has shown how fast it is: work that will be over within a second is not
  announced. Work, ended runs and deleted jobs are one transaction. Whenever anything about it is
  not plain, it is rolled back and done carefully.

Either way a job is deleted when its run has ended, never before.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any, TypeVar
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.automation import claims, sorting
from app.automation.automation_base import (
    Failed,
    Registration,
    Skip,
    exited,
    get_automation_class,
    no_exit,
)
from app.automation.claims import BadState, Claimed, State
from app.automation.recurring_runs import RecurringBatch
from app.automation.sharing import does_together, lists_of
from app.automation.sorting import Facts, Terms, Work, item_of
from app.automation.worker import Clock, Line, Worker, may_be_idle
from app.extensions import db, utcnow, write
from app.models.automation import AutomationSchedule, RunStatus, ScheduleType
from app.models.job import Job
from app.models.rules import rules_of
from app.models.text import named, said_by
from app.services import aaa, chains, plan, runs, webhook_events
from app.services.runs import Begun, Dead, LostRun, Outcome
from app.services.transitions import ENDED

log = logging.getLogger("app.automation.execution")

T = TypeVar("T")
AHEAD_SECONDS = 1.0  # of work that has begun: a time-out counts from there, a death ends so much
SLICE_SECONDS = 0.1  # of light tasks in one transaction: nobody waits long for the writer's slot
QUICK_SECONDS = 1.0  # of work that is not announced, and for which a schedule's terms hold
TOLERATED = 4  # times the slice that light tasks were thought to take
BACKOFF = runs.Backoff()


def each(
    session: Session,
    ids: Iterable[T],
    do: Callable[[T], Any],
    *,
    failed: Callable[[T, Exception], None],
) -> None:
    """Do one thing per id, each in its own transaction; `failed` records the reason (STYLE R10).

    What can't even be recorded is logged, and stops no other either.
    """
    session.commit()  # ends the read that found the ids
    for id_ in ids:
        try:
            with no_exit():
                do(id_)
            session.commit()
        except Exception as error:
            session.rollback()
            _tell(session, failed, id_, error)


def _tell(
    session: Session, failed: Callable[[T, Exception], None], id_: T, error: Exception
) -> None:
    try:
        failed(id_, error)
        session.commit()
    except Exception:
        session.rollback()
        log.exception("what failed could not be recorded")


# --- doors ---------------------------------------------------------------------------------------


def run(item_id: str, automation_name: str, class_name: str, *, clock: Clock = utcnow) -> bool:
    """Run one item of a schedule now, as if its job had come due; say whether it succeeded.

    What the ledger says has ended is not run again.
    """
    session = db.session()
    id_ = plan.job_id(automation_name, item_id, rules_of(session).environment)
    now, token = clock(), str(uuid4())
    with write(session):
        job = claims.claim_one(session, id_, now, token)
        if job is None and session.get(Job, id_) is not None:
            return False  # someone is at it
    state = State(item_id, automation_name, class_name)
    alone = job._replace(state=state) if job else Claimed(id_, state, now, 1, token)
    ended: list[Line] = []
    _run_class(session, class_name, [alone], Worker("console", clock, ended.append))
    return any(line.ended[RunStatus.SUCCESS] for line in ended)


def run_jobs(jobs: Sequence[Claimed], worker: Worker) -> None:
    """Run claimed jobs to their end, in an app context; a bad one stops no other.

    Once the worker is `stopping`, what has not begun is given back (reliability SI7).
    """
    session = db.session()
    for class_name, some in _by_class(session, jobs).items():
        _run_class(session, class_name, some, worker)


def _by_class(session: Session, jobs: Sequence[Claimed]) -> dict[str, list[Claimed]]:
    """The jobs by the class that they name; what names none is parked."""
    by_class: defaultdict[str, list[Claimed]] = defaultdict(list)
    for job in jobs:
        if isinstance(job.state, BadState):
            _park(session, job, str(job.state))
        else:
            by_class[job.state.class_name].append(job)
    return by_class


def _run_class(session: Session, class_name: str, jobs: list[Claimed], worker: Worker) -> None:
    registration = get_automation_class(class_name)
    if registration is None:
        for job in jobs:
            _park(session, job, f"class missing: {class_name}")
        return
    by_schedule: defaultdict[str, list[Claimed]] = defaultdict(list)
    for job in jobs:
        assert isinstance(job.state, State)  # noqa: S101  others are parked
        by_schedule[job.state.schedule_name].append(job)
    recurring = _recurring(session, by_schedule)
    batches = [
        (RecurringBatch if name in recurring else Batch)(session, registration, name, some, worker)
        for name, some in by_schedule.items()
    ]
    each(session, batches, lambda batch: batch.run(), failed=lambda batch, e: batch.put_off(e))


def _recurring(session: Session, names: Collection[str]) -> set[str]:
    """Those of these schedules that have times of their own, not events of items."""
    s = AutomationSchedule
    which = (s.name.in_(names), s.deleted_at.is_(None), s.schedule_type != ScheduleType.EVENT)
    return set(session.scalars(sa.select(s.name).where(*which)))


def _park(session: Session, job: Claimed, error: str) -> None:
    log.error("job parked: job=%s because=%s", job.id[:300], error)
    with write(session):
        claims.park(session, job, error)


# --- a batch: due jobs of one schedule -----------------------------------------------------------


class Unsure(Exception):
    """Quick work that was not as plain as it looked: roll it back, do it carefully."""


class Batch:
    """Due jobs of one schedule on their way through the ledger."""

    def __init__(
        self,
        session: Session,
        registration: Registration,
        name: str,
        jobs: list[Claimed],
        worker: Worker,
    ) -> None:
        self.session, self.name, self.jobs = session, name, jobs
        self.cls, self.class_name = registration.cls, registration.name
        self.worker, self.clock = worker, worker.clock
        self.together = does_together(self.cls)
        self.doubtful = False  # quick work was rolled back: no more of it in this batch
        self.facts: Facts | None = None
        self.terms: tuple[float, Terms | None] | None = None  # when read, and what they were
        self.begun: list[Work] = []  # not all of them ended yet
        self.alone: list[Claimed] = []  # two workers died over them
        self.ended: Counter[str] = Counter()
        self.counters: Counter[str] = Counter()
        self.executed = 0  # ended by having run, tries not counted
        self.error: str | None = None
        self.last: tuple[int, Begun, RunStatus] | None = None
        self.outdated = False  # the schedule remembers what came after it

    def run(self) -> None:
        """All of it; whatever raises here kept the batch from beginning."""
        began = time.perf_counter()
        lists = lists_of(self.session, self.cls, self.jobs) if self.together else [self.jobs]
        left = [self._list(some) for some in lists]
        while self.alone and not self.worker.stops:
            self._carefully([self.alone.pop()])
        self._give_back([*chain.from_iterable(left), *self.alone])
        self._remember()
        if self.ended:
            took = time.perf_counter() - began
            self.worker.report(Line(self.name, self.ended, self.counters, took, self.error))

    def _list(self, jobs: list[Claimed]) -> list[Claimed]:
        """Run jobs that belong together, others some at a time; return what was not begun."""
        count = len(jobs) if self.together else 1
        while jobs and not self.worker.stops:
            if done := self._quickly(jobs):
                jobs = jobs[done:]
                continue
            if self.worker.stops:  # it took so long that others have them now
                break
            some, jobs, since = jobs[:count], jobs[count:], time.perf_counter()
            self._carefully(some)
            each_took = (time.perf_counter() - since) / len(some)
            count = max(1, int(AHEAD_SECONDS / each_took))
        return jobs

    def put_off(self, error: Exception) -> None:
        """Nothing of it could even begin: each job again later, with the reason."""
        log.error("jobs of a schedule could not begin: %s", self.name, exc_info=error)
        now = self.clock()
        for work in self.begun:
            at = BACKOFF.next_try(_begun(work).attempt, now, _jitter())
            runs.try_again(self.session, _begun(work), error, now, at)
        for job in self.jobs:
            aaa.job_failed(job.id, type(error).__name__)
            at = BACKOFF.next_try(job.attempts, now, _jitter())
            claims.back_off(self.session, job, at or now + BACKOFF.longest, said_by(error))

    def _give_back(self, jobs: list[Claimed]) -> None:
        if jobs:
            with write(self.session):
                claims.give_back(self.session, jobs, self.clock())

    def _terms(self) -> Terms | None:
        """What the schedule says now."""
        read_at = time.perf_counter()
        terms = sorting.terms_of(self.session, self.name, self.class_name, self.cls)
        self.terms = read_at, terms
        return terms

    def _recent_terms(self) -> Terms | None:
        """What it said within the last second, while it works: read whole, it costs a quarter."""
        read_at, terms = self.terms or (0.0, None)
        recent = time.perf_counter() - read_at <= QUICK_SECONDS
        if terms is not None and recent and sorting.still_works(terms):
            return terms
        return self._terms()

    def _facts(self, terms: Terms, now: datetime) -> Facts:
        """What is planned for the items of this batch, as of a few seconds ago at most."""
        if self.facts is None or not self.facts.fresh:
            items = [item_of(job) for job in self.jobs]
            self.facts = sorting.ask(terms, items, now)
        return self.facts

    # --- quickly ---

    def _quickly(self, jobs: list[Claimed]) -> int:
        """Do the first of these, or all that belong together, at once; return how many."""
        if self.doubtful:
            return 0
        seconds = QUICK_SECONDS if self.together else SLICE_SECONDS
        count = self.worker.paces.fitting(self.class_name, seconds)
        if not count or (self.together and count < len(jobs)):
            return 0
        began = time.perf_counter()
        try:
            with self.worker.progress.quickly(), write(self.session):
                works = self._at_once(jobs[:count])
        except Exception as error:  # whatever it was, the careful way will meet it too
            log.debug("not so plain: %s", self.name, exc_info=error)
            self.doubtful = True
            return 0
        if works:
            self._count(works, time.perf_counter() - began)
        return len(works)

    def _at_once(self, jobs: list[Claimed]) -> list[Work]:
        """Execute, and write the runs as they ended.

        Raises `Unsure`, what a task raises, and `IntegrityError` if the ledger knows one of them.
        """
        terms, now = self._recent_terms(), self.clock()
        if terms is None or terms.off:
            return []
        facts = self._facts(terms, now)
        works = list(sorting.plain(terms, facts, jobs, now))
        if not works or (self.together and len(works) < len(jobs)):
            return []
        # First, so that from here on nobody else can have them; a task may take them away too.
        if claims.done(self.session, [work.job for work in works]) < len(works):
            raise Unsure("some are no longer ours")
        self.worker.progress.works = works
        until = time.perf_counter() + TOLERATED * SLICE_SECONDS
        with rollbacks_of(self.session) as rolled_back:
            for some in [works] if self.together else [[work] for work in works]:
                if not self.together and time.perf_counter() > until:
                    raise Unsure("they are slower than the last ones")
                self._execute(some, now)
        if rolled_back:
            raise Unsure("it rolled back")
        self._end_at_once(terms, works, now)
        return works

    def _end_at_once(self, terms: Terms, works: list[Work], since: datetime) -> None:
        now = self.clock()
        span = runs.Span(terms.schedule_id, self.worker.name, since, now, terms.timeout)
        if now >= span.deadline:
            raise Unsure("it took longer than it may")
        ends = [
            runs.Ended(w.occurrence.item, w.named, w.occurrence.due, w.task.result, w.skipped)
            for w in works
        ]
        last = runs.end_at_once(self.session, span, ends)
        items = [work.occurrence.item for work in works]
        webhook_events.items_ended(self.session, terms.schedule_id, items, now, now)
        for work in works:
            work.run = last  # the schedule remembers the last one; no row is asked for by it

    # --- carefully ---

    def _carefully(self, jobs: list[Claimed]) -> None:
        """Sort, begin and run these, by what the schedule says now."""
        terms = self._terms()
        if terms is None:
            self._drop(jobs)
            return
        self.begun = self._begin(terms, jobs)
        if self.begun:
            tasks = {id(work.task): work for work in self.begun}
            with self.worker.progress.announced(self.begun):
                for some in self.cls.batches(self.session, [work.task for work in self.begun]):
                    self._in_slices([tasks[id(task)] for task in some])
        self.begun = []

    def _begin(self, terms: Terms, jobs: list[Claimed]) -> list[Work]:
        """Write down what will not run; begin the rest, in one transaction."""
        now = self.clock()
        facts = self._facts(terms, now)
        sorted_ = sorting.sort(terms, facts, jobs, now)
        with write(self.session):
            wanted = [work.wanted for work in sorted_.to_run]
            begun = runs.begin(self.session, wanted, now, self.worker.name)
            for (status, reason), some in sorted_.verdicts.items():
                self._note(some, status, reason, now)
            for job, due in sorted_.moved:
                claims.plan_again(self.session, job, due)
            for job, error in sorted_.broken:
                at = BACKOFF.next_try(job.attempts, now, _jitter())
                claims.back_off(self.session, job, at or now + BACKOFF.longest, said_by(error))
            ended = (*ENDED, Dead)
            over = [w.job for w in sorted_.to_run if _kind(begun[w.wanted.key]) in ended]
            claims.done(self.session, over)
            dead = [one.run.id for one in begun.values() if isinstance(one, Dead)]
            self._tell(dead, now)
        for work in sorted_.to_run:
            state = begun[work.wanted.key]
            work.run = state if isinstance(state, Begun) else None
            if state is None:
                self.alone.append(work.job)
            elif isinstance(state, Dead):
                self.error = "its worker died"
                self._end(work, RunStatus.FAILED, ended=True, run=state.run)
        return [work for work in sorted_.to_run if work.run]

    def _note(self, works: list[Work], status: RunStatus, reason: str, now: datetime) -> None:
        wanted = [work.wanted for work in works]
        # What is `running` lost its worker: its lease had ended.
        new = runs.note(self.session, wanted, status, now, reason, begun_too=True)
        claims.done(self.session, [work.job for work in works])
        if new:
            items, schedule_id = [item for _, item, _ in new], works[0].terms.schedule_id
            webhook_events.items_ended(self.session, schedule_id, items, now, now)
        self.ended.update({status: len(new)} if new else {})
        for work in works:
            if status is RunStatus.MISSED and work.wanted.key in new:
                log.warning(
                    "job is scheduler in the past: %s\ntask will probably be ignored event_dt: %s",
                    work.occurrence.due,
                    work.occurrence.at,
                )

    def _drop(self, jobs: list[Claimed]) -> None:
        log.warning("jobs of no schedule dropped: %s, %s of them", self.name, len(jobs))
        with write(self.session):
            claims.done(self.session, jobs)

    # --- running ---

    def _in_slices(self, works: list[Work]) -> None:
        """A class that does its items together gets them together; others a slice of time."""
        while works:
            taken = self._transaction(works, self.together)
            works = works[taken:]

    def _transaction(self, works: list[Work], together: bool) -> int:
        """Run as many as fit into one transaction, then record them; return how many."""
        now, part = self.clock(), works if together else []
        began = time.perf_counter()
        try:
            with write(self.session):
                may_be_idle(self.session, works[0].terms.timeout)
                if together:
                    self._execute(works, now)
                else:
                    part = self._while_there_is_time(works, now)
                self._record(part, now)
        except Exception as error:
            return self._alone(part or works[:1], error)
        self._count(part, time.perf_counter() - began)
        return len(part)

    def _while_there_is_time(self, works: Iterable[Work], now: datetime) -> list[Work]:
        part: list[Work] = []
        until = time.perf_counter() + SLICE_SECONDS
        with rollbacks_of(self.session) as rolled_back:
            for work in works:
                part.append(work)
                try:
                    self._execute([work], now)
                except Exception as error:
                    raise Poisoned(part, error) from error
                if rolled_back and len(part) > 1:  # it took away what the others did
                    raise Poisoned(part, Failed("it rolled back"))
                if time.perf_counter() >= until:
                    break
        return part

    def _execute(self, works: list[Work], now: datetime) -> None:
        for work in works:
            work.task.now, work.task.result, work.skipped = now, None, None
        try:
            self.cls.execute_batch([work.task for work in works], now)
        except Skip as skip:
            if len(works) > 1:
                raise
            works[0].skipped = skip.reason
        except SystemExit as stop:  # of a task, not of us
            raise exited(stop) from stop

    def _record(self, works: list[Work], since: datetime) -> None:
        """The runs end here, in the transaction of what they did; then their jobs go."""
        now = self.clock()
        for work in works:
            work.run = replace(_begun(work), started_at=since)
        did = [work for work in works if work.skipped is None]
        runs.succeed(self.session, [_begun(w) for w in did], now, [w.task.result for w in did])
        for work in works:
            if work.skipped is not None:
                runs.skip(self.session, [_begun(work)], now, work.skipped)
        self._tell([_begun(work).id for work in works], now)
        claims.done(self.session, [work.job for work in works])

    def _alone(self, works: list[Work], error: Exception) -> int:
        """One of these raised, and all is rolled back: each of them alone, or it failed."""
        if isinstance(error, Poisoned):
            works, error = error.works, error.error
        if len(works) > 1:
            for work in works:
                self._transaction([work], together=True)
        elif isinstance(error, LostRun):
            self._lost(works[0])
        else:
            self._failed(works[0], error)
        return len(works)

    def _failed(self, work: Work, error: Exception) -> None:
        run, now = _begun(work), self.clock()
        at = BACKOFF.next_try(run.attempt, now, _jitter())
        if at is not None and work.last_moment is not None and at > work.last_moment:
            at = None
        with write(self.session):
            ours = runs.try_again(self.session, run, error, now, at)
            if ours and at is not None:
                claims.back_off(self.session, work.job, at, said_by(error))
            else:
                claims.done(self.session, [work.job])
                self._tell([run.id] if ours else [], now)
        if not ours:
            self._lost(work)
            return
        log.error("run failed: job=%s attempt=%s again=%s", work.job.id, run.attempt, at,
                  exc_info=error)  # fmt: skip
        aaa.job_failed(work.job.id, type(error).__name__)
        self.error = named(error, 500)
        self._end(work, RunStatus.FAILED, ended=at is None)

    def _lost(self, work: Work) -> None:
        """Cancelled, taken over or too slow: nothing of it counts."""
        run, now = _begun(work), self.clock()
        with write(self.session):
            by_us = chains.time_out(self.session, self.worker.name, now, run.id)
            timed_out = runs.has_timed_out(self.session, run)
            claims.done(self.session, [work.job])  # who took it over has a claim of his own
        log.warning("lost run, rolled back: job=%s", work.job.id)
        if by_us:
            self.error = runs.TOO_LONG
            aaa.timed_out(work.terms.automation, run.execution_id, run.attempt)
            self._end(work, RunStatus.TIMEOUT, ended=True)
        elif timed_out:
            # The schedule remembers it already, and perhaps a later one: ours are all older.
            self.error = runs.TOO_LONG
            self.ended[RunStatus.TIMEOUT] += 1
            self.outdated = True

    def _tell(self, ids: Sequence[int], now: datetime) -> None:
        """Programs hear of the ends of these runs, in their transaction (schedules O9)."""
        if ids:
            webhook_events.runs_ended(self.session, now, ids=ids)

    def _count(self, works: list[Work], seconds: float) -> None:
        """What one transaction did, and how long it took."""
        self.worker.paces.note(self.class_name, seconds, len(works))
        aaa.jobs_done(work.job.id for work in works)
        for work in works:
            if result := work.task.result:
                self.counters.update({k: v for k, v in result.items() if type(v) is int})
        skipped = sum(work.skipped is not None for work in works)
        did = len(works) - skipped
        self.executed += did
        self.ended.update({RunStatus.SUCCESS: did} if did else {})
        self.ended.update({RunStatus.SKIPPED: skipped} if skipped else {})
        last = works[-1]
        self._see(last, RunStatus.SUCCESS if last.skipped is None else RunStatus.SKIPPED)

    def _end(self, work: Work, status: RunStatus, *, ended: bool, run: Begun | None = None) -> None:
        """Count one that did not succeed; `ended`: it is not tried again."""
        self.ended[status] += 1
        self.executed += ended
        self._see(work, status, run)

    def _see(self, work: Work, status: RunStatus, run: Begun | None = None) -> None:
        """The schedule remembers the last, but a failure before any success."""
        if self.last is None or self.last[2] not in (RunStatus.FAILED, RunStatus.TIMEOUT):
            self.last = work.terms.schedule_id, run or _begun(work), status

    def _remember(self) -> None:
        if self.last is None:
            return
        schedule_id, run, status = self.last
        with write(self.session):
            if self.outdated:
                runs.count(self.session, schedule_id, self.executed)
            else:
                runs.remember(
                    self.session, schedule_id, run, status, ended=self.executed, error=self.error
                )


@contextmanager
def rollbacks_of(session: Session) -> Iterator[list[bool]]:
    """Fills the list when somebody rolls the transaction of `session` back; savepoints don't."""
    seen: list[bool] = []

    def note(_session: Session, transaction: Any) -> None:
        if transaction.parent is None:
            seen.append(True)

    sa.event.listen(session, "after_soft_rollback", note)
    try:
        yield seen
    finally:
        sa.event.remove(session, "after_soft_rollback", note)


class Poisoned(Exception):
    """One of these raised; the others of its transaction must be done again."""

    def __init__(self, works: list[Work], error: Exception) -> None:
        self.works, self.error = works, error
        super().__init__(str(error))


def _kind(outcome: Outcome) -> Any:
    return outcome if isinstance(outcome, RunStatus) else type(outcome)


def _begun(work: Work) -> Begun:
    assert work.run is not None  # noqa: S101  sorted out before
    return work.run


def _jitter() -> float:
    return random.uniform(-0.1, 0.1)  # noqa: S311  no secret
