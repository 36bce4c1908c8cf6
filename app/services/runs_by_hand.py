"""What staff do to runs of the ledger: cancel one, or try again what failed (schedules R4, X4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.models.automation import AutomationRun, RunStatus
from app.models.bulk import among, insert_many
from app.models.job import Job
from app.models.rules import rules_of
from app.models.types import new_uuid
from app.services import plan, runs
from app.services.refusals import Refusal
from app.services.transitions import QUEUED, RUNNING, move_runs


class RunEnded(Refusal):
    """What has ended can't be cancelled."""

    code = "run_ended"
    sentence = _l("This run has ended already.")


class NotRetryable(Refusal):
    """Only what failed, timed out or was cancelled may be tried again (schedules R4)."""

    code = "not_retryable"
    sentence = _l("Only a run that failed, timed out or was cancelled can be tried again.")


def cancel_run(session: Session, run: AutomationRun, now: datetime, reason: str = "staff") -> None:
    """End a run that waits or runs; what it does now is rolled back at its commit (schedules X4).

    Raises `RunEnded`.
    """
    session.refresh(run)  # it may have begun since we looked
    took = (
        runs.milliseconds(now - run.started_at)
        if run.status is RUNNING and run.started_at
        else None
    )
    if not move_runs(session, [run.id], (QUEUED, RUNNING), RunStatus.CANCELLED, finished_at=now,
                     reason=reason, duration_ms=took):  # fmt: skip
        raise RunEnded
    session.execute(
        sa.delete(Job)
        .where(Job.id == _job_of(session, run))
        .execution_options(synchronize_session=False)
    )
    session.refresh(run)


def retry_run(session: Session, run: AutomationRun, now: datetime) -> AutomationRun:
    """Try once more what failed: a run of its own, started by hand, due now (schedules R4).

    Raises `NotRetryable`.
    """
    schedule = run.schedule
    failed = run.status in (RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.CANCELLED)
    if not failed or schedule.deleted_at is not None or schedule.automation_class is None:
        raise NotRetryable
    execution_id = new_uuid()
    again = {
        "execution_id": execution_id,
        "schedule_id": run.schedule_id,
        "item": run.item,
        "occurrence": f"manual:{execution_id}",
        "trigger": "manual",
        "retry_of": run.execution_id,
        "dry_run": run.dry_run,
        "config_snapshot": run.config_snapshot,
        "due_at": now,
        "not_before": now,
    }
    runs.queue(session, again)
    class_name, environment = schedule.automation_class.class_name, rules_of(session).environment
    job = plan.alarm(schedule.name, class_name, execution_id, environment, now)
    insert_many(session, Job, [job])
    return session.scalars(sa.select(AutomationRun).filter_by(execution_id=execution_id)).one()


def waiting_by_hand(session: Session, execution_ids: Sequence[str]) -> dict[str, AutomationRun]:
    """The queued runs that staff started, by their execution id."""
    r = AutomationRun
    of_staff = sa.and_(among(r.execution_id, execution_ids), r.status == QUEUED)
    rows = session.scalars(sa.select(r).where(of_staff, r.trigger == "manual"))
    return {run.execution_id: run for run in rows}


def _job_of(session: Session, run: AutomationRun) -> str:
    # A run of a recurring schedule has a job of its own: the one of its item is the alarm.
    recurs = run.item == run.schedule.schedule_id
    item = run.execution_id if recurs or run.trigger == "manual" else run.item
    return plan.job_id(run.schedule.name, item, rules_of(session).environment)
