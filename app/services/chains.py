"""What the end of a run means for its schedule, and for those that follow it (schedules R8, X5)."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime
from itertools import groupby

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.automation import (
    AutomationRun,
    AutomationSchedule,
    RunStatus,
    RunTrigger,
    StoppedBecause,
)
from app.models.bulk import among
from app.models.job import Job
from app.models.rules import rules_of
from app.models.text import named
from app.services import aaa, recurring, runs, runs_by_hand, schedule_letters, webhook_events

log = logging.getLogger("app.services.chains")

FAILED = (RunStatus.FAILED, RunStatus.TIMEOUT)


def lock(session: Session, schedule_id: int) -> None:
    """Whoever ends a run locks its schedule first, then the run."""
    session.execute(
        sa.select(AutomationSchedule.id)
        .where(AutomationSchedule.id == schedule_id)
        .with_for_update(key_share=True)
    )


def overdue(session: Session, now: datetime, limit: int = 100) -> list[int]:
    """Runs past their time that no job brings back: it is lost, and so is whoever ran them (R6)."""
    r, s = AutomationRun, AutomationSchedule
    its_job = s.name + "/" + r.execution_id + f"/{rules_of(session).environment}"
    lost = (
        sa.select(r.id)
        .join(s, s.id == r.schedule_id)
        .where(r.status == RunStatus.RUNNING, r.deadline_at <= now, r.item == s.schedule_id)
        .where(~sa.exists().where(Job.id == its_job))
    )
    return list(session.scalars(lost.order_by(r.deadline_at, r.id).limit(limit)))


def end_overdue(session: Session, run_id: int, now: datetime) -> bool:
    """A run that recurs timed out, with all that follows; False: it has ended, or has time."""
    run = session.get_one(AutomationRun, run_id)
    lock(session, run.schedule_id)
    if not runs.end_overdue(session, run_id, now):
        return False
    ended(session, run.execution_id, RunStatus.TIMEOUT, now)
    aaa.timed_out(run.schedule, run.execution_id, run.attempt)
    return True


def time_out(session: Session, worker: str, now: datetime, only: int | None = None) -> set[int]:
    """End the event runs of this worker that took longer than they may, and tell programs (R6).

    Their ids: whoever ended them lets their schedules remember it, by `remember_late`.
    """
    ended_ = runs.time_out(session, worker, now, only)
    if ended_:
        webhook_events.runs_ended(session, now, ids=ended_)
    return ended_


def remember_late(session: Session, ids: Collection[int]) -> None:
    """The schedules of these event runs remember that they timed out (X5).

    A transaction of its own, since whoever ends a run of an event holds no schedule (JX2).
    """
    r = AutomationRun
    mine = sa.select(r).where(among(r.id, sorted(ids))).order_by(r.schedule_id, r.id)
    for schedule_id, some in groupby(session.scalars(mine).all(), lambda run: run.schedule_id):
        late = list(some)
        last = runs.begun_of(late[-1])
        runs.remember(session, schedule_id, last, RunStatus.TIMEOUT, ended=len(late),
                      error=runs.TOO_LONG)  # fmt: skip
        for run in late:
            aaa.timed_out(run.schedule, run.execution_id, run.attempt)


def give_up_retries(session: Session, schedule: AutomationSchedule, now: datetime) -> None:
    """What waits for another try gets none: it failed, with all that follows (R3, X5)."""
    for execution_id in runs.end_waiting_retries(session, schedule.id, schedule.schedule_id, now):
        recurring.drop_job(session, schedule, execution_id)
        ended(session, execution_id, RunStatus.FAILED, now)


def stop_for_good(
    session: Session, schedule: AutomationSchedule, now: datetime, reason: str
) -> None:
    """A recurring schedule is removed: what waits for another try failed, what never began is
    cancelled, and what runs goes on (O1, R3).
    """
    give_up_retries(session, schedule, now)
    r = AutomationRun
    waiting = sa.select(r).where(r.schedule_id == schedule.id, r.status == RunStatus.QUEUED)
    for run in session.scalars(waiting.execution_options(populate_existing=True)).all():
        cancel(session, run, now, reason)


def cancel(session: Session, run: AutomationRun, now: datetime, reason: str = "staff") -> None:
    """End a run that waits or runs; if it had begun its schedule remembers it (X5).

    Raises `RunEnded`.
    """
    lock(session, run.schedule_id)
    runs_by_hand.cancel_run(session, run, now, reason)
    schedule = session.get_one(AutomationSchedule, run.schedule_id, populate_existing=True)
    if run.started_at is not None:
        schedule.last_execution_at, schedule.last_execution_id = run.started_at, run.execution_id
        schedule.last_run_status = RunStatus.CANCELLED


def ended(
    session: Session,
    execution_id: str,
    status: RunStatus,
    now: datetime,
    *,
    error: Exception | None = None,
) -> None:
    """The schedule remembers the run; after too many failures it stops; its chain goes on.

    A run skipped by its task is neither a failure nor a success to be followed.
    """
    r = AutomationRun
    fresh = {"populate_existing": True}
    run = session.scalars(sa.select(r).where(r.execution_id == execution_id),
                          execution_options=fresh).one()  # fmt: skip
    schedule = session.get_one(AutomationSchedule, run.schedule_id, populate_existing=True)
    failed, had_failed = status in FAILED, schedule.last_run_error is not None
    schedule.last_execution_at = run.started_at
    schedule.last_execution_id = run.execution_id
    schedule.last_run_status = status
    if failed:
        schedule.last_run_error = named(error, 500) if error else run.error or str(status)
        schedule.consecutive_failures += 1
    elif status is RunStatus.SUCCESS:
        schedule.last_run_error, schedule.consecutive_failures = None, 0
    webhook_events.runs_ended(session, now, execution_ids=[execution_id])
    schedule_letters.report(session, schedule, run, now, had_failed=had_failed)
    if failed:
        _stop_if_hopeless(session, schedule, execution_id, now)
    if failed or status is RunStatus.SUCCESS:
        _follow(session, schedule, run, status, now)


def _stop_if_hopeless(
    session: Session, schedule: AutomationSchedule, execution_id: str, now: datetime
) -> None:
    most = rules_of(session).schedule_auto_pause_failures
    if most and schedule.consecutive_failures >= most and schedule.active:
        recurring.stop(session, schedule, StoppedBecause.FAILED)
        webhook_events.paused(session, schedule, now)
        schedule_letters.stopped(session, schedule, execution_id, now)
        log.warning(
            "schedule stopped after failures in a row: schedule=%s count=%s",
            schedule.schedule_id,
            schedule.consecutive_failures,
        )


def _follow(
    session: Session,
    schedule: AutomationSchedule,
    run: AutomationRun,
    status: RunStatus,
    now: datetime,
) -> None:
    """Begin the schedule that this one's end starts; a dry run is followed by a dry run."""
    good = status is RunStatus.SUCCESS
    target_id = schedule.on_success_schedule_id if good else schedule.on_failure_schedule_id
    if target_id is None:
        return
    lock(session, target_id)  # who counts, counts alone; chains have no circles (R8)
    target = session.get_one(AutomationSchedule, target_id, populate_existing=True)
    of_class = target.automation_class
    works = target.switched_on and of_class is not None and of_class.enabled
    if not works or recurring.limit_reached(target):
        log.info("chain ends: schedule=%s is off", target.schedule_id)
        return
    parent = {
        "schedule_id": schedule.schedule_id,
        "execution_id": run.execution_id,
        "status": status,
        "result": run.result,
    }
    cause = recurring.Cause(
        RunTrigger.CHAIN, parent=run.execution_id, dry_run=run.dry_run or None, told=parent
    )
    begun = recurring.queue(session, target, f"chain:{run.execution_id}", now, now, cause)
    if begun is None:
        return
    target.execution_count += 1
    aaa.triggered(target, begun)
    if recurring.limit_reached(target):
        recurring.complete(session, target)
        aaa.limit_reached(target)
        webhook_events.limit_reached(session, target, now)
