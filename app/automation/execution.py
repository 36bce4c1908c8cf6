"""Run due jobs: begin, execute, record (reliability JX2, schedules X, waitlist WA8).

Jobs of a schedule come as a batch, and go on their way about a second's work at a time, but a class
that does its items together gets them all. What is gone, moved, switched off or too late is written
down at once; the rest begins in one short transaction, so that the ledger knows of it. Then each
list that the task class wants together is one transaction, which ends with the runs, guarded:
whoever lost a run meanwhile rolls everything back. If one of a list raises, each of them runs
alone, and only the bad one fails. A job is deleted when its run has ended, never before.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.automation import claims
from app.automation.automation_base import (
    BaseAutomationTask,
    Failed,
    Registration,
    Skip,
    get_automation_class,
)
from app.automation.claims import BadState, Claimed, State
from app.extensions import db, utcnow, write
from app.models.automation import (
    AutomationClasses,
    AutomationRun,
    AutomationSchedule,
    RunStatus,
)
from app.models.job import Job
from app.models.rules import Environment, rules_of
from app.services import plan, runs
from app.services.plan import Occurrence
from app.services.runs import Begun, Dead, LostRun, Outcome, Wanted
from app.services.transitions import ENDED

log = logging.getLogger("app.automation.execution")

T = TypeVar("T")
Clock = Callable[[], datetime]
AHEAD_SECONDS = 1.0  # of work that has begun: a time-out counts from there, a death ends so much
FRESH_SECONDS = 5.0  # what is planned is asked anew for jobs that begin later
SLICE_SECONDS = 0.05  # of light tasks in one transaction: nobody waits long for the writer's slot
WORTH_SPLITTING = 200  # jobs; fewer run in one thread
BACKOFF = runs.Backoff()


@dataclass(frozen=True)
class Line:
    """What became of a schedule's batch, for the console (people PO1)."""

    schedule: str
    ended: Counter[str]  # by status
    counters: Counter[str]  # what the tasks counted
    seconds: float
    error: str | None = None


Report = Callable[[Line], None]
Stopping = Callable[[], bool]


def each(
    session: Session,
    ids: Iterable[T],
    do: Callable[[T], Any],
    *,
    failed: Callable[[T, Exception], None],
) -> None:
    """Do one thing per id, each in its own transaction; `failed` records the reason (STYLE R10)."""
    session.commit()  # ends the read that found the ids
    for id_ in ids:
        try:
            do(id_)
        except Exception as error:
            session.rollback()
            failed(id_, error)
        session.commit()


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
    ended: list[Line] = []
    alone = (job or Claimed(id_, b"", now, 1, token), state)
    _run_class(session, class_name, [alone], "console", clock, ended.append)
    return any(line.ended[RunStatus.SUCCESS] for line in ended)


def run_jobs(
    jobs: Sequence[Claimed],
    worker: str,
    *,
    clock: Clock = utcnow,
    report: Report = lambda _line: None,
    stopping: Stopping = lambda: False,
) -> None:
    """Run claimed jobs to their end, in an app context; a bad one stops no other.

    Once `stopping` says so, what has not begun is given back (reliability SI7).
    """
    session = db.session()
    by_class: defaultdict[str, list[tuple[Claimed, State]]] = defaultdict(list)
    for job in jobs:
        try:
            state = claims.read_state(job.job_state)
        except BadState as error:
            _park(session, job, str(error))
        else:
            by_class[state.class_name].append((job, state))
    for class_name, some in by_class.items():
        _run_class(session, class_name, some, worker, clock, report, stopping)


def split(session: Session, jobs: Sequence[Claimed], parts: int) -> list[list[Claimed]]:
    """The jobs in at most so many parts that can run side by side; what belongs together stays.

    SQLite lets one write at a time, so there it is one part.
    """
    if parts < 2 or len(jobs) < WORTH_SPLITTING or session.get_bind().dialect.name == "sqlite":
        return [list(jobs)]
    found: list[list[Claimed]] = [[] for _ in range(parts)]
    for group in _together(session, jobs):
        min(found, key=len).extend(group)
    return [part for part in found if part]


def _together(session: Session, jobs: Sequence[Claimed]) -> Iterator[list[Claimed]]:
    """The jobs in groups that their classes want in one transaction, the largest first."""
    by_class: defaultdict[str, list[tuple[Claimed, str]]] = defaultdict(list)
    for job in jobs:
        try:
            state = claims.read_state(job.job_state)
        except BadState:
            yield [job]
        else:
            by_class[state.class_name].append((job, state.item))
    for class_name, some in by_class.items():
        registration = get_automation_class(class_name)
        if registration is None or not _does_together(registration.cls):
            yield from (
                [job for job, _ in some[n : n + WORTH_SPLITTING]]
                for n in range(0, len(some), WORTH_SPLITTING)
            )
            continue
        tasks = [registration.cls(item, "") for _, item in some]
        job_of = {id(task): job for task, (job, _) in zip(tasks, some, strict=True)}
        lists = registration.cls.batches(session, tasks)
        for tasks in sorted(lists, key=len, reverse=True):
            yield [job_of[id(task)] for task in tasks]


def _does_together(cls: type[BaseAutomationTask]) -> bool:
    own, plain = cls.execute_batch, BaseAutomationTask.execute_batch
    return own.__func__ is not plain.__func__  # type: ignore[attr-defined]


def _run_class(
    session: Session,
    class_name: str,
    jobs: list[tuple[Claimed, State]],
    worker: str,
    clock: Clock,
    report: Report,
    stopping: Stopping = lambda: False,
) -> None:
    registration = get_automation_class(class_name)
    if registration is None:
        for job, _ in jobs:
            _park(session, job, f"class missing: {class_name}")
        return
    by_schedule: defaultdict[str, list[tuple[Claimed, str]]] = defaultdict(list)
    for job, state in jobs:
        by_schedule[state.schedule_name].append((job, state.item))
    batches = [
        Batch(session, registration, name, some, worker, clock, report, stopping)
        for name, some in by_schedule.items()
    ]
    each(session, batches, Batch.run, failed=Batch.put_off)


def _park(session: Session, job: Claimed, error: str) -> None:
    log.error("job parked: job=%s because=%s", job.id[:300], error)
    with write(session):
        claims.park(session, job, error)


# --- a batch: due jobs of one schedule -----------------------------------------------------------


@dataclass
class Work:
    """A job, the occurrence it stands for, and its run once it has begun."""

    job: Claimed
    by: str  # the item that the job names: a run's execution id, if staff asked for it
    wanted: Wanted
    occurrence: Occurrence
    last_moment: datetime | None
    task: BaseAutomationTask
    run: Begun | None = None
    skipped: str | None = None  # the reason its task gave


@dataclass
class Sorted:
    """Jobs by what is to become of them."""

    to_run: list[Work] = field(default_factory=list)
    verdicts: defaultdict[tuple[RunStatus, str], list[Work]] = field(
        default_factory=lambda: defaultdict(list)
    )
    moved: list[tuple[Claimed, datetime]] = field(default_factory=list)
    broken: list[tuple[Claimed, Exception]] = field(default_factory=list)


@dataclass
class Facts:
    """What the rows say about the items of a batch."""

    asked_at: float
    planned: dict[str, Occurrence] = field(default_factory=dict)
    by_hand: dict[str, AutomationRun] = field(default_factory=dict)  # what staff asked for
    broken: dict[str, Exception] = field(default_factory=dict)  # items that raised


class Batch:
    """Due jobs of one schedule on their way through the ledger."""

    def __init__(
        self,
        session: Session,
        registration: Registration,
        name: str,
        jobs: list[tuple[Claimed, str]],  # each with its item
        worker: str,
        clock: Clock,
        report: Report,
        stopping: Stopping,
    ) -> None:
        self.session, self.name, self.jobs = session, name, jobs
        self.cls, self.class_name = registration.cls, registration.name
        self.worker, self.clock, self.report = worker, clock, report
        self.stopping = stopping
        self.together = _does_together(self.cls)
        self.facts: Facts | None = None
        self.begun: list[Work] = []  # not all of them ended yet
        self.alone: list[tuple[Claimed, str]] = []  # two workers died over them
        self.ended: Counter[str] = Counter()
        self.counters: Counter[str] = Counter()
        self.executed = 0  # ended by having run, tries not counted
        self.error: str | None = None
        self.last: tuple[int, Begun, RunStatus] | None = None

    def run(self) -> None:
        """All of it; whatever raises here kept the batch from beginning."""
        began = time.perf_counter()
        rest, count = self.jobs, len(self.jobs) if self.together else 1
        while rest and not self.stopping():
            some, rest, since = rest[:count], rest[count:], time.perf_counter()
            self._some(some)
            each_took = (time.perf_counter() - since) / len(some)
            count = max(1, int(AHEAD_SECONDS / each_took))
        while self.alone and not self.stopping():
            self._some([self.alone.pop()])
        self._give_back([*rest, *self.alone])
        self._remember()
        if self.ended:
            took = time.perf_counter() - began
            self.report(Line(self.name, self.ended, self.counters, took, self.error))

    def put_off(self, error: Exception) -> None:
        """Nothing of it could even begin: each job again later, with the reason."""
        log.error("jobs of a schedule could not begin: %s", self.name, exc_info=error)
        now = self.clock()
        for work in self.begun:
            at = BACKOFF.next_try(_begun(work).attempt, now, _jitter())
            runs.try_again(self.session, _begun(work), error, now, at)
        for job, _ in self.jobs:
            at = BACKOFF.next_try(job.attempts, now, _jitter())
            claims.back_off(self.session, job, at or now + BACKOFF.longest, str(error))

    def _some(self, jobs: list[tuple[Claimed, str]]) -> None:
        """Sort, begin and run these, by what the schedule says now."""
        automation = _schedule(self.session, self.name, self.class_name)
        if automation is None:
            self._drop(jobs)
            return
        self.begun = self._begin(automation, jobs)
        tasks = {id(work.task): work for work in self.begun}
        lists = self.cls.batches(self.session, [work.task for work in self.begun]) if tasks else []
        for some in lists:
            self._in_slices([tasks[id(task)] for task in some])
        self.begun = []

    def _give_back(self, jobs: list[tuple[Claimed, str]]) -> None:
        if jobs:
            with write(self.session):
                claims.give_back(self.session, [job for job, _ in jobs], self.clock())

    # --- before they begin ---

    def _begin(self, automation: AutomationSchedule, jobs: list[tuple[Claimed, str]]) -> list[Work]:
        """Write down what will not run; begin the rest, in one transaction."""
        now = self.clock()
        sorted_ = self._sort(automation, jobs, now)
        with write(self.session):
            wanted = [work.wanted for work in sorted_.to_run]
            begun = runs.begin(self.session, wanted, now, self.worker)
            for (status, reason), some in sorted_.verdicts.items():
                self._note(some, status, reason, now)
            for job, due in sorted_.moved:
                claims.plan_again(self.session, job, due)
            for job, error in sorted_.broken:
                at = BACKOFF.next_try(job.attempts, now, _jitter())
                claims.back_off(self.session, job, at or now + BACKOFF.longest, str(error))
            ended = (*ENDED, Dead)
            over = [w.job for w in sorted_.to_run if _kind(begun[w.wanted.key]) in ended]
            claims.done(self.session, over)
        for work in sorted_.to_run:
            state = begun[work.wanted.key]
            work.run = state if isinstance(state, Begun) else None
            if state is None:
                self.alone.append((work.job, work.by))
            elif isinstance(state, Dead):
                self.error = "its worker died"
                self._end(work, state.run, RunStatus.FAILED, ended=True)
        return [work for work in sorted_.to_run if work.run]

    def _sort(
        self, automation: AutomationSchedule, jobs: list[tuple[Claimed, str]], now: datetime
    ) -> Sorted:
        """What is to become of each job: nothing is written yet."""
        off, found = why_off(automation), Sorted()
        facts = self._facts(automation, now)
        seen = set()
        for job, by in jobs:
            staff = facts.by_hand.get(by)
            item = staff.item if staff else by
            occurrence, error = facts.planned.get(item), facts.broken.get(item.split(":")[0])
            if occurrence is None and error is not None and not off:
                found.broken.append((job, error))
                continue
            gone = occurrence is None
            occurrence = occurrence or Occurrence(item, job.due, job.due)
            named = staff.occurrence if staff else occurrence.name
            work = self._work(automation, job, by, occurrence, now, named)
            if off:
                found.verdicts[RunStatus.SKIPPED, off].append(work)
            elif gone and not self.cls.runs_when_gone:
                found.verdicts[RunStatus.SKIPPED, "gone"].append(work)
            elif not staff and self._is_early(occurrence, now):
                found.moved.append((job, occurrence.due))
            elif not staff and work.last_moment is not None and now > work.last_moment:
                found.verdicts[RunStatus.MISSED, "too-late"].append(work)
            elif work.wanted.key not in seen:  # of twins the other stays until its lease ends
                found.to_run.append(work)
            seen.add(work.wanted.key)
        return found

    def _facts(self, automation: AutomationSchedule, now: datetime) -> Facts:
        """What is planned for the items of this batch, as of a few seconds ago at most."""
        if self.facts is None or time.perf_counter() - self.facts.asked_at > FRESH_SECONDS:
            self.facts = self._ask(automation, now)
        return self.facts

    def _ask(self, automation: AutomationSchedule, now: datetime) -> Facts:
        facts, items = Facts(time.perf_counter()), [item for _, item in self.jobs]

        def left_out(item: str, why: str | Exception) -> None:
            if isinstance(why, Exception):
                facts.broken[item] = why

        find = partial(self.cls.planned, self.session, automation, now, left_out=left_out)
        facts.planned = find(items=items)
        if absent := [item for item in items if item not in facts.planned]:
            facts.by_hand = runs.waiting_by_hand(self.session, absent)
        if facts.by_hand:
            again = find(items=[run.item for run in facts.by_hand.values()])
            facts.planned = again | facts.planned
        mine = set(items)
        for item, error in facts.broken.items():
            if item in mine:
                log.error("item left out: %s %s", self.name, item[:100], exc_info=error)
        return facts

    def _work(
        self,
        automation: AutomationSchedule,
        job: Claimed,
        by: str,
        occurrence: Occurrence,
        now: datetime,
        named: str,
    ) -> Work:
        task = self.cls(occurrence.item, automation.name)
        task.session, task.config = self.session, dict(automation.task_config or {})
        task.as_of = max(now, occurrence.due) if self._hurries() else now
        seconds = automation.timeout_seconds or self.cls.timeout_seconds
        wanted = Wanted(
            automation.id,
            occurrence.item,
            named,
            occurrence.due,
            timedelta(seconds=seconds) if seconds else None,
        )
        last = self.cls.last_moment(automation, occurrence)
        return Work(job, by, wanted, occurrence, last, task)

    def _hurries(self) -> bool:
        """In DEVELOPMENT an occurrence runs a second after it was planned (WA9)."""
        development = rules_of(self.session).environment is Environment.DEVELOPMENT
        return development and not self.cls.destructive

    def _is_early(self, occurrence: Occurrence, now: datetime) -> bool:
        return occurrence.due > now and not self._hurries()

    def _note(self, works: list[Work], status: RunStatus, reason: str, now: datetime) -> None:
        wanted = [work.wanted for work in works]
        # What is `running` lost its worker: its lease had ended.
        new = runs.note(self.session, wanted, status, now, reason, begun_too=True)
        claims.done(self.session, [work.job for work in works])
        self.ended.update({status: len(new)} if new else {})
        for work in works:
            if status is RunStatus.MISSED and work.wanted.key in new:
                log.warning(
                    "job is scheduler in the past: %s\ntask will probably be ignored event_dt: %s",
                    work.occurrence.due,
                    work.occurrence.at,
                )

    def _drop(self, jobs: list[tuple[Claimed, str]]) -> None:
        log.warning("jobs of no schedule dropped: %s, %s of them", self.name, len(jobs))
        with write(self.session):
            claims.done(self.session, [job for job, _ in jobs])

    # --- running ---

    def _in_slices(self, works: list[Work]) -> None:
        """A class that does its items together gets them together; others a slice of time."""
        while works:
            taken = self._transaction(works, self.together)
            works = works[taken:]

    def _transaction(self, works: list[Work], together: bool) -> int:
        """Run as many as fit into one transaction, then record them; return how many."""
        now, part = self.clock(), works if together else []
        try:
            with write(self.session):
                if together:
                    self._execute(works, now)
                else:
                    part = self._while_there_is_time(works, now)
                self._record(part, now)
        except Exception as error:
            return self._alone(part or works[:1], error)
        for work in part:
            self._count(work)
        return len(part)

    def _while_there_is_time(self, works: list[Work], now: datetime) -> list[Work]:
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
            raise Failed(f"it called sys.exit({stop.code!r})") from stop

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
                claims.back_off(self.session, work.job, at, str(error))
            else:
                claims.done(self.session, [work.job])
        if not ours:
            self._lost(work)
            return
        log.error("run failed: job=%s attempt=%s again=%s", work.job.id, run.attempt, at,
                  exc_info=error)  # fmt: skip
        self.error = f"{type(error).__name__}: {error}"[:500]
        self._end(work, run, RunStatus.FAILED, ended=at is None)

    def _lost(self, work: Work) -> None:
        """Cancelled, taken over or too slow: nothing of it counts."""
        run = _begun(work)
        with write(self.session):
            runs.time_out(self.session, self.worker, self.clock())
            timed_out = runs.has_timed_out(self.session, run)
            claims.done(self.session, [work.job])  # who took it over has a claim of his own
        log.warning("lost run, rolled back: job=%s", work.job.id)
        if timed_out:
            self.error = "timeout"
            self._end(work, run, RunStatus.TIMEOUT, ended=True)

    def _count(self, work: Work) -> None:
        self.counters.update({k: v for k, v in (work.task.result or {}).items() if type(v) is int})
        status = RunStatus.SUCCESS if work.skipped is None else RunStatus.SKIPPED
        self._end(work, _begun(work), status, ended=work.skipped is None)

    def _end(self, work: Work, run: Begun, status: RunStatus, *, ended: bool) -> None:
        """Count it; the schedule remembers the last, but a failure before any success."""
        self.ended[status] += 1
        self.executed += ended
        if self.last is None or self.last[2] not in (RunStatus.FAILED, RunStatus.TIMEOUT):
            self.last = work.wanted.schedule_id, run, status

    def _remember(self) -> None:
        if self.last is None:
            return
        schedule_id, run, status = self.last
        with write(self.session):
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


def _schedule(session: Session, name: str, class_name: str) -> AutomationSchedule | None:
    """The schedule of that name, while it runs that class."""
    found: AutomationSchedule | None = session.scalars(
        sa.select(AutomationSchedule)
        .join(AutomationClasses)
        .where(
            AutomationSchedule.name == name,
            AutomationSchedule.deleted_at.is_(None),
            AutomationClasses.class_name == class_name,
        )
        .execution_options(populate_existing=True)
    ).one_or_none()
    return found


def why_off(automation: AutomationSchedule) -> str | None:
    """Why a schedule runs nothing now; None: it does."""
    if automation.automation_class is None or not automation.automation_class.enabled:
        return "class-disabled"
    if not automation.active or automation.deleted_at is not None:
        return "schedule-off"
    return "schedule-paused" if automation.paused_at is not None else None


def _jitter() -> float:
    return random.uniform(-0.1, 0.1)  # noqa: S311  no secret
