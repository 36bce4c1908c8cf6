"""Runs of recurring schedules: start, plan, apply, record (schedules P, R, X).

    queued --start--> running --> success, failed, skipped     record: schedule, chain, job
                 |          |---> queued: another try, or the process stops
                 |          `---> timeout, cancelled: by others; nothing of it counts any more
                 |--> waits two seconds: as many run as may
                 `--> missed: it waited too long

Each step is a transaction of its own that begins with the question whether the run is still ours.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from app.automation import claims, due_schedules, sorting
from app.automation.automation_base import BaseAutomationTask, Failed, Registration, Skip, no_exit
from app.automation.claims import Claimed
from app.automation.due_schedules import Manners
from app.automation.registry import get_registered_automation_classes
from app.automation.sorting import Terms, Work, item_of
from app.automation.steps import PermanentError, Plan, Stale, Step, TransientError
from app.automation.worker import Clock, Line, Worker, may_be_idle
from app.extensions import write
from app.models.automation import (
    AutomationClasses,
    AutomationRun,
    AutomationSchedule,
    RetryBackoff,
    RunStatus,
    RunTrigger,
)
from app.models.bulk import among
from app.models.engine import is_away, is_busy, is_deadlock
from app.models.text import named
from app.services import aaa, chains, runs, webhook_events
from app.services.occurrence import Occurrence, name_of
from app.services.runs import Begun, Dead, LostRun
from app.services.transitions import ENDED, QUEUED

log = logging.getLogger("app.automation.recurring")

AGAIN = timedelta(seconds=2)  # when as many run as may (X2)
RESTS = timedelta(seconds=30)  # the alarm of a schedule that must not run now
BY_HAND = timedelta(hours=1)  # what a person or a chain started may wait so long (X3)
MOST_ERRORS = 50  # of steps, in the record
# Seconds until a step comes again that met no database; who met a busy one comes BUSY times.
PAUSES = (0.1, 0.5, 1, 2, 4, 8, 15, 30)
BUSY = 3
TRANSIENT = (TransientError, OSError, OperationalError, InterfaceError)  # tried again (R2)


def claim_each(session: Session, clock: Clock, epoch: int) -> int:
    """Claim what is due, a transaction each; how many runs began. Raises `Fenced`."""
    begun = 0
    for schedule_id in due_schedules.look(session, clock()):
        try:
            with write(session):
                claims.require_epoch(session, epoch)
                begun += len(due_schedules.claim(session, schedule_id, clock()))
        except Exception as error:  # the others have their turn
            with write(session):
                due_schedules.put_off(session, schedule_id, error, clock())
    return begun


@dataclass
class Tally:
    """What a run did so far, in the tries before this one as well."""

    counters: Counter[str] = field(default_factory=Counter)
    done: int = 0
    stale: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    failed: int = 0

    def add(self, told: Counter[str]) -> None:
        """A step was done, and said what to count."""
        self.done += 1
        self.counters.update(told)

    def fail(self, step: Step, error: Exception) -> None:
        """A step raised, and was rolled back."""
        self.failed += 1
        if len(self.errors) < MOST_ERRORS:
            self.errors.append(step.told | {"error": named(error, 200)})


class RecurringBatch:
    """Due jobs of one recurring schedule: its alarm, and runs whose turn has come."""

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
        self.ended: Counter[str] = Counter()
        self.counters: Counter[str] = Counter()
        self.error: str | None = None

    def run(self) -> None:
        """All of it, one after another; what the process has no time for is given back."""
        began = time.perf_counter()
        jobs = self._oldest_first()
        while jobs and not self.worker.stops:
            self._one(jobs.pop(0))
        if jobs:
            with write(self.session):
                claims.give_back(self.session, jobs, self.clock())
        if self.ended:
            took = time.perf_counter() - began
            self.worker.report(Line(self.name, self.ended, self.counters, took, self.error))

    def _oldest_first(self) -> list[Claimed]:
        """Runs of one claim are due at one instant, and begin in the order of their times (G5)."""
        if len(self.jobs) == 1:
            return list(self.jobs)
        r = AutomationRun
        asked = sa.select(r.execution_id, r.id).where(
            among(r.execution_id, [item_of(job) for job in self.jobs])
        )
        number = {row.execution_id: row.id for row in self.session.execute(asked)}
        return sorted(self.jobs, key=lambda job: (job.due, number.get(item_of(job), 0)))

    def put_off(self, error: Exception) -> None:
        """Something of it could not even begin: each job again later, with the reason."""
        log.error("jobs of a schedule could not begin: %s", self.name, exc_info=error)
        now = self.clock()
        for job in self.jobs:
            aaa.job_failed(job.id, type(error).__name__)
            at = due_schedules.BACKOFF.next_try(job.attempts, now)
            claims.back_off(self.session, job, at or now + BY_HAND, named(error, 500))

    def _one(self, job: Claimed) -> None:
        terms = sorting.terms_of(self.session, self.name, self.class_name, self.cls)
        if terms is None:
            log.warning("a job of no schedule dropped: %s", job.id)
            with write(self.session):
                claims.done(self.session, [job])
        elif item_of(job) == terms.automation.schedule_id:
            self._alarm(terms, job)
        else:
            self._run(terms, job)

    # --- the alarm ---

    def _alarm(self, terms: Terms, job: Claimed) -> None:
        """Most are claimed before they come here, by the pass; this one was asked for by hand."""
        now = self.clock()
        try:
            with write(self.session):
                due_schedules.claim(self.session, terms.schedule_id, now)
                # Still ours: it may not run now, and nobody knows until when.
                claims.back_off(self.session, job, now + RESTS, "it rests")
        except Exception as error:
            with write(self.session):
                due_schedules.put_off(self.session, terms.schedule_id, error, now)

    # --- a run ---

    def _run(self, terms: Terms, job: Claimed) -> None:
        with write(self.session):
            work = self._start(terms, job)
        if work is None:
            return
        with self.worker.progress.announced([work]):
            try:
                self._do(work)
            except LostRun:
                self._lost(work)
            except Skip as skip:
                self._record(work, RunStatus.SKIPPED, reason=skip.reason)
            except Exception as error:
                self.session.rollback()
                self._failed(work, error)

    def _start(self, terms: Terms, job: Claimed) -> Work | None:
        """Make the run ours, if it is its turn (X2)."""
        now, execution_id = self.clock(), item_of(job)
        r = AutomationRun
        mine = sa.select(r).where(
            r.execution_id == execution_id, r.schedule_id == terms.schedule_id
        )
        run = self.session.scalars(mine.execution_options(populate_existing=True)).one_or_none()
        if run is None or run.status in ENDED:
            claims.done(self.session, [job])
            return None
        if run.status is QUEUED and not self._may_begin(terms, job, run, now):
            return None
        due = run.due_at or now
        wanted = runs.Wanted(
            terms.schedule_id, run.item, run.occurrence, due, terms.timeout, int(job.died)
        )
        begun = runs.begin(self.session, [wanted], now, self.worker.name)[wanted.key]
        if not isinstance(begun, Begun):
            self._not_ours(terms, job, run, begun)
            return None
        if begun.attempt > 1 and job.died:
            told = {"execution_id": execution_id, "attempt": begun.attempt}
            aaa.warned("schedule_recovered", terms.automation, **told)
        task = self._task(terms, run, begun, now)
        occurrence = Occurrence(run.item, due, due)
        return Work(job, occurrence, run.occurrence, None, task, terms, begun)

    def _may_begin(self, terms: Terms, job: Claimed, run: AutomationRun, now: datetime) -> bool:
        if self._waited(terms, run, now):
            reason = {"finished_at": now, "not_before": None, "reason": "waited"}
            runs.end_queued(self.session, run.id, RunStatus.MISSED, **reason)
            webhook_events.runs_ended(self.session, now, ids=[run.id])
            claims.done(self.session, [job])
            self.ended[RunStatus.MISSED] += 1
            return False
        if self._is_full(terms, run):
            claims.plan_again(self.session, job, now + AGAIN)
            return False
        return True

    def _waited(self, terms: Terms, run: AutomationRun, now: datetime) -> bool:
        """Longer for its turn than it may be late (X3)."""
        since = run.not_before or run.due_at or now
        if run.trigger != RunTrigger.SCHEDULE:
            return now - since > BY_HAND
        grace = Manners.of(terms.automation, self.cls).grace
        return grace is not None and now - since > grace

    def _is_full(self, terms: Terms, run: AutomationRun) -> bool:
        """Whether as many run as may: of this schedule, of its class's group (X2, G7)."""
        c, r, s = AutomationClasses, AutomationRun, AutomationSchedule
        # All who count lock the same rows, so that two can't both fit.
        same = sa.select(c.id).where(c.class_name.in_(self._group())).order_by(c.id)
        self.session.execute(same.with_for_update(key_share=True))
        # A schedule without a practice works for all of them: it is in the way of each.
        practice = terms.automation.practice_id
        in_the_way = sa.or_(s.practice_id == practice, s.practice_id.is_(None))
        running = (
            sa.select(
                sa.func.count().filter(s.id == terms.schedule_id).label("own"),
                sa.func.count().filter(sa.true() if practice is None else in_the_way).label("here"),
                sa.func.count().label("everywhere"),
            )
            .select_from(r)
            .join(s, s.id == r.schedule_id)
            .join(c, c.id == s.automation_class_id)
            .where(r.status == RunStatus.RUNNING, c.class_name.in_(self._group()))
        )
        own, here, everywhere = self.session.execute(running).one()
        if own >= Manners.of(terms.automation, self.cls).max_instances:
            return True
        in_group = self.cls.concurrency_group is not None
        return in_group and (
            here >= self.cls.concurrency_in_practice or everywhere >= self.cls.concurrency_in_all
        )

    def _group(self) -> list[str]:
        """The classes that share a limit with this one."""
        group = self.cls.concurrency_group
        if group is None:
            return [self.class_name]
        known = get_registered_automation_classes()
        return [name for name, record in known.items() if record.cls.concurrency_group == group]

    def _not_ours(self, terms: Terms, job: Claimed, run: AutomationRun, begun: Any) -> None:
        claims.done(self.session, [job])
        if isinstance(begun, Dead):
            self.error = "its worker died"
            self.ended[RunStatus.FAILED] += 1
            now = self.clock()
            chains.lock(self.session, terms.schedule_id)
            chains.ended(self.session, begun.run.execution_id, RunStatus.FAILED, now)

    def _task(
        self, terms: Terms, run: AutomationRun, begun: Begun, now: datetime
    ) -> BaseAutomationTask:
        task = self.cls(run.item, terms.name)
        task.session, task.now = self.session, now
        # What it was queued with, whatever was edited since: the record says what it ran with.
        task.config = dict((run.config_snapshot or {}).get("task_config", terms.config))
        told = dict((run.config_snapshot or {}).get("context_data") or {})
        task.trigger_data = told | {
            "schedule_id": run.item,
            "execution_id": run.execution_id,
            "triggered_at": name_of(now),
            "scheduled_for": name_of(run.due_at) if run.due_at else None,
            "attempt": begun.attempt,
            "trigger": run.trigger,
            "dry_run": run.dry_run,
            "community_id": terms.automation.practice_id,
            "user_id": _user_id(terms.automation.created_by),
            "parent": (run.config_snapshot or {}).get("parent"),
        }
        return task

    # --- doing it ---

    def _do(self, work: Work) -> None:
        work.task.config = config_of(self.cls, work.task.config)
        if work.task.trigger_data["dry_run"]:
            result = self._plan(work).as_dry_result | self._took(work)
            self._record(work, RunStatus.SUCCESS, result=result)
        elif self.cls.has_plan():
            self._apply(work, self._plan(work))
        else:
            self._execute(work)

    def _plan(self, work: Work) -> Plan:
        """What it would do; whatever it wrote meanwhile is taken back (P1)."""
        try:
            with no_exit():
                plan = work.task.plan(self.session, work.task.config, self.clock())
                return plan if isinstance(plan, Plan) else Plan(list(plan))
        finally:
            self.session.rollback()

    def _apply(self, work: Work, plan: Plan) -> None:
        before = self._done_before(work)
        tally = Tally(Counter(plan.counters) + before, done=before.pop("items_done"))
        for step in plan.steps:
            if self.worker.stops:
                self._again_after_the_stop(work)
                return
            self._step(work, step, tally)
        result = _result(plan, tally) | self._took(work)
        if not tally.failed or tally.failed < len(plan.steps):
            self._record(work, RunStatus.SUCCESS, result=result, tally=tally)
            return
        error = PermanentError(f"each of its {tally.failed} steps failed: {tally.errors[0]}")
        self.error = named(error, 500)
        result["success"] = False
        aaa.job_failed(work.job.id, type(error).__name__)
        self._record(work, RunStatus.FAILED, result=result, tally=tally, error=error)

    def _done_before(self, work: Work) -> Counter[str]:
        """What an earlier try counted, which was stopped, failed or died."""
        try:
            return Counter(runs.counted(self.session, _begun(work)))
        finally:
            self.session.rollback()

    def _took(self, work: Work) -> dict[str, float]:
        seconds = (self.clock() - _begun(work).started_at).total_seconds()
        return {"duration_seconds": max(0.0, round(seconds, 3))}

    def _step(self, work: Work, step: Step, tally: Tally) -> None:
        try:
            tally.add(self._insisting(work, step))
        except LostRun:
            raise
        except Stale:
            tally.stale += 1
        except Exception as error:
            if is_away(error):
                raise  # no other step could be done now: none is passed over for it
            log.warning("a step failed: %s %s", work.named, step.kind, exc_info=error)
            tally.fail(step, error)

    def _insisting(self, work: Work, step: Step) -> Counter[str]:
        """Do a step, and again if the database was away or busy: a moment of it costs nobody.

        Twice is harmless: the run must still be ours, and its ledger knows what was committed.
        """
        for tried, pause in enumerate(PAUSES, start=1):
            try:
                return self._done(work, step)
            except sa.exc.SQLAlchemyError as error:
                passes = is_away(error) or (tried < BUSY and (is_busy(error) or is_deadlock(error)))
                if not passes or self.worker.stops:
                    raise
                log.warning("a step comes again: %s %s", step.kind, named(error, 200))
            time.sleep(pause)
        return self._done(work, step)

    def _done(self, work: Work, step: Step) -> Counter[str]:
        """One step, counted in its own transaction, so that no crash miscounts; what it says."""
        with write(self.session), no_exit():
            now = self.clock()
            may_be_idle(self.session, work.terms.timeout)
            if not runs.is_ours(self.session, _begun(work), now):
                raise LostRun
            said = work.task.apply(self.session, step, now) or {}
            told = Counter({k: v for k, v in said.items() if type(v) is int})
            runs.count_step(self.session, _begun(work), told)
            return told

    def _execute(self, work: Work) -> None:
        """A task without a plan is one transaction, which ends with its run (X4)."""
        with write(self.session), no_exit():
            now = self.clock()
            may_be_idle(self.session, work.terms.timeout)
            work.task.now = now
            self.cls.execute_batch([work.task], now)
            result = work.task.result or {}
            tally = Tally(Counter({k: v for k, v in result.items() if type(v) is int}), done=1)
            self._end(work, RunStatus.SUCCESS, result=result or None, tally=tally)
        self._told(work, RunStatus.SUCCESS, tally)

    def _again_after_the_stop(self, work: Work) -> None:
        """The process ends: the rest after its restart, as the same attempt (R7)."""
        with write(self.session):
            runs.wait_again(self.session, _begun(work), self.clock())
            claims.give_back(self.session, [work.job], self.clock())

    # --- the record ---

    def _record(
        self,
        work: Work,
        status: RunStatus,
        *,
        result: dict[str, Any] | None = None,
        tally: Tally | None = None,
        reason: str | None = None,
        error: Exception | None = None,
    ) -> None:
        """The run ends, its schedule remembers it, who follows it begins: one transaction (X5)."""
        self.session.rollback()
        with write(self.session):
            self._end(work, status, result=result, tally=tally, reason=reason, error=error)
        self._told(work, status, tally)

    def _end(
        self,
        work: Work,
        status: RunStatus,
        *,
        result: dict[str, Any] | None = None,
        tally: Tally | None = None,
        reason: str | None = None,
        error: Exception | None = None,
    ) -> None:
        now, run = self.clock(), _begun(work)
        tally = tally or Tally()
        counted = {
            "messages_sent": tally.counters["messages_sent"],
            "profiles_visited": tally.counters["profiles_visited"],
            "items_found": tally.done + tally.stale + tally.failed,
            "items_done": tally.done,
            "items_skipped": tally.stale,
            "items_failed": tally.failed,
        }
        chains.lock(self.session, work.terms.schedule_id)
        runs.end(
            self.session, run, status, now, result=result, reason=reason, error=error, **counted
        )
        claims.done(self.session, [work.job])
        chains.ended(self.session, run.execution_id, status, now, error=error)

    def _told(self, work: Work, status: RunStatus, tally: Tally | None) -> None:
        self.ended[status] += 1
        if tally:
            self.counters.update(tally.counters)
        run, now = _begun(work), self.clock()
        aaa.executed(
            work.terms.automation,
            run.execution_id,
            succeeded=status in (RunStatus.SUCCESS, RunStatus.SKIPPED),
            time_ms=max(0, round((now - run.started_at).total_seconds() * 1000)),
            messages_sent=tally.counters["messages_sent"] if tally else 0,
            profiles_visited=tally.counters["profiles_visited"] if tally else 0,
            dry_run=str(work.task.trigger_data["dry_run"]).lower(),
        )
        if status is not RunStatus.FAILED:
            aaa.jobs_done([work.job.id])

    def _failed(self, work: Work, error: Exception) -> None:
        """Again after a while, if that may help; else it has failed (R1, R2)."""
        aaa.job_failed(work.job.id, type(error).__name__)
        run, now, automation = _begun(work), self.clock(), work.terms.automation
        self.error = named(error, 500)
        at = next_try(automation, self.cls, run.attempt, error, now)
        if at is None:
            log.error("run failed: %s", run.execution_id, exc_info=error)
            aaa.error("schedule_execution_error", automation, exception=type(error).__name__)
            try:
                self._record(work, RunStatus.FAILED, error=error)
            except LostRun:
                self._lost(work)
            return
        with write(self.session):
            ours = runs.try_again(self.session, run, error, now, at)
            if ours:
                claims.back_off(self.session, work.job, at, self.error)
        if not ours:
            self._lost(work)
            return
        aaa.warned("schedule_retry", automation, execution_id=run.execution_id, attempt=run.attempt)

    def _lost(self, work: Work) -> None:
        """Cancelled, timed out or taken over: what others wrote stands."""
        self.session.rollback()
        run = _begun(work)
        with write(self.session):
            chains.end_overdue(self.session, run.id, self.clock())  # unless somebody did already
            timed_out = runs.has_timed_out(self.session, run)
            claims.done(self.session, [work.job])
        log.warning("lost run, rolled back: %s", run.execution_id)
        if timed_out:
            self.error = "timeout"
            self.ended[RunStatus.TIMEOUT] += 1


def plan_now(session: Session, schedule: AutomationSchedule, now: datetime) -> Plan:
    """What a run that began now would do; whatever planning wrote is taken back (P1).

    The schedule's class is registered and has a plan. Raises `Skip`, `PermanentError` for a
    configuration that its model refuses, and whatever the task raises.
    """
    row = schedule.automation_class
    assert row is not None  # noqa: S101  its face was asked before
    cls = get_registered_automation_classes()[row.class_name].cls
    task = cls(schedule.schedule_id, schedule.name)
    task.session, task.now = session, now
    task.config = config_of(cls, dict(schedule.task_config or {}))
    task.trigger_data = dict(schedule.context_data or {}) | {
        "schedule_id": schedule.schedule_id,
        "execution_id": "-",  # none: nothing is recorded
        "triggered_at": name_of(now),
        "trigger": RunTrigger.MANUAL.value,
        "dry_run": True,
        "community_id": schedule.practice_id,
    }
    try:
        with no_exit():
            plan = task.plan(session, task.config, now)
            return plan if isinstance(plan, Plan) else Plan(list(plan))
    finally:
        session.rollback()


def config_of(cls: type[BaseAutomationTask], given: dict[str, Any]) -> Any:
    """The task's configuration as its model reads it. Raises `PermanentError`."""
    model = cls.config_model
    if model is None:
        return given
    try:
        config: BaseModel = model.model_validate(given)
        return config
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PermanentError(f"task_config.{where}: {first['msg']}") from error


def next_try(
    automation: AutomationSchedule,
    cls: type[BaseAutomationTask],
    failed: int,
    error: Exception,
    now: datetime,
) -> datetime | None:
    """When to try a run again after so many failures; None: it has failed for good (R1)."""
    retry = (automation.context_data or {}).get("retry_config") or {}
    own = automation.retry_max if automation.retry_max is not None else cls.retry_max
    most = own if retry.get("max_retries") is None else retry["max_retries"]
    lasting = not isinstance(error, TRANSIENT) or isinstance(error, (Failed, PermanentError))
    if lasting or failed > most:
        return None
    fixed = (retry.get("backoff") or automation.retry_backoff) == RetryBackoff.FIXED
    base, cap = automation.retry_base_seconds, automation.retry_cap_seconds
    if fixed:
        return now + timedelta(seconds=base)
    wait = min(cap, base * 2 ** (failed - 1))
    return now + timedelta(seconds=wait * (1 + random.uniform(-0.1, 0.1)))  # noqa: S311  no secret


def _result(plan: Plan, tally: Tally) -> dict[str, Any]:
    counted = dict(tally.counters)
    if plan.failed_as:
        counted[plan.failed_as] = tally.failed
    told = {"total": len(plan.steps), "errors": tally.errors, "dry_run": False}
    return {"success": True, **counted, **told}


def _user_id(actor: str | None) -> int | None:
    kind, _, number = (actor or "").partition(":")
    return int(number) if kind == "user" and number.isdigit() else None


def _begun(work: Work) -> Begun:
    assert work.run is not None  # noqa: S101  it started
    return work.run
