"""APScheduler's view of the plan: the same table, read as JSON, never a pickle (DB8, RC8).

It works in the session of whoever asks, so that a job stands in it as soon as the fact that it
follows from, and is gone with it after a rollback.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from apscheduler.job import Job as SchedulerJob
from apscheduler.jobstores.base import JobLookupError
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.triggers.date import DateTrigger

from app.automation.automation_base import func_ref
from app.automation.claims import DUE_TEXT, STATE, UNREADABLE, instant, next_due, read_state
from app.extensions import db
from app.models.job import Job

FUNCTION = "app.automation.automation_base:_execute_automation_task_job"


class PlannedOnly(TypeError):
    """Jobs follow from schedules; nobody adds one by hand."""

    def __init__(self) -> None:
        super().__init__(
            "Jobs follow from rows: make an AutomationSchedule, or call"
            " create_job(item, automation) of its task class."
        )


class PlanStore(SQLAlchemyJobStore):  # type: ignore[misc]
    """The table `apscheduler_jobs` behind the documented `get_jobs`, `get_job`, `remove_job`."""

    def __init__(self) -> None:
        # The parent would make an engine and a table of its own; ours are there.
        super(SQLAlchemyJobStore, self).__init__()
        self.jobs_t = Job.__table__

    def start(self, scheduler: Any, alias: str) -> None:
        """Nothing to make: migrations did."""
        super(SQLAlchemyJobStore, self).start(scheduler, alias)

    def shutdown(self) -> None:
        """The engine is the application's."""

    def lookup_job(self, job_id: str) -> SchedulerJob | None:
        """The job, or None; what cannot be read is no job."""
        return next(self._jobs(Job.id == job_id), None)

    def get_due_jobs(self, now: datetime) -> list[SchedulerJob]:
        """Due and unclaimed, the longest due first."""
        return list(self._jobs(Job.next_run_time <= now.timestamp()))

    def get_next_run_time(self) -> datetime | None:
        """When the next job is due."""
        return next_due(db.session())

    def get_all_jobs(self) -> list[SchedulerJob]:
        """All that can be read; the parked come last."""
        return list(self._jobs(sa.true()))

    def add_job(self, job: SchedulerJob) -> None:
        """Raises `PlannedOnly`."""
        raise PlannedOnly

    update_job = add_job

    def remove_job(self, job_id: str) -> None:
        """Delete the row, in the caller's transaction. Raises `JobLookupError`."""
        gone: Any = db.session.execute(sa.delete(Job).where(Job.id == job_id))
        if not gone.rowcount:
            raise JobLookupError(job_id)

    def remove_all_jobs(self) -> None:
        """Raises `PlannedOnly`: losing all would only make renew write them again."""
        raise PlannedOnly

    def _jobs(self, which: sa.ColumnElement[bool]) -> Iterator[SchedulerJob]:
        rows = db.session.execute(
            sa.select(Job.id, STATE, Job.next_run_time, DUE_TEXT)
            .where(which)
            .order_by(Job.next_run_time.is_(None), Job.due, Job.id)
        )
        for row in rows:
            try:
                yield self._job(row)
            except UNREADABLE:  # `BadState` is one of them
                continue  # parked by the scheduler and reported; listing changes nothing

    def _job(self, row: Any) -> SchedulerJob:
        state, at = read_state(row.job_state), instant(row.due)
        due = at if row.next_run_time is not None else None  # people read `due`, not a lease
        job = SchedulerJob.__new__(SchedulerJob)
        job.__setstate__(
            {
                "version": 1,
                "id": row.id,
                "func": FUNCTION,
                "trigger": DateTrigger(at, "UTC"),
                "executor": "default",
                "args": (state.item, state.schedule_name, state.class_name),
                "kwargs": {},
                "name": state.class_name,
                "misfire_grace_time": None,  # lateness is decided from the ledger (JX4)
                "coalesce": True,
                "max_instances": 1,
                "next_run_time": due,
            }
        )
        job.func_ref = func_ref(state.class_name)
        job._scheduler, job._jobstore_alias = self._scheduler, self._alias
        return job
