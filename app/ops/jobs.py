"""`flask jobs`: the plan as rows of the job table (people PA6, PC)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa
from flask.cli import with_appcontext

from app.automation.lock import wake_scheduler
from app.automation.planned import Planned, planned
from app.extensions import db, utcnow
from app.models import Job
from app.ops.exits import NOT_FOUND, WITH_FAULTS, Ended, needs_database
from app.ops.terminal import (
    TEXT,
    as_json_text,
    dry_run_option,
    json_option,
    length,
    limit_option,
    local,
    note,
    practice_zone,
    print_count,
    print_json,
    print_table,
    printable,
    sure,
    utc,
    write_file,
    yes_option,
)
from app.services.deadline import WAITLIST_TASK


@click.group("jobs")
def command() -> None:
    """The plan: one alarm for each coming occurrence."""


def _planned(which: sa.ColumnElement[bool], limit: int | None = None) -> Iterator[Planned]:
    return planned(db.session(), which, limit)


# --- look ----------------------------------------------------------------------------------------


@command.command("list")
@click.option("--late", is_flag=True, help="Only what is overdue, and what is parked.")
@limit_option
@json_option
@with_appcontext
@needs_database
def list_(late: bool, limit: int, as_json: bool) -> None:
    """The next jobs, the earliest first; parked ones with their error."""
    now = utcnow()
    which = sa.or_(Job.due < now, Job.next_run_time.is_(None)) if late else sa.true()
    jobs = list(_planned(which, limit))
    if as_json:
        print_json([_as_dict(job, now) for job in jobs])
    else:
        zone = practice_zone()
        print_table(
            ("id", "schedule", "item", "due (UTC)", "due (local)", "late by", "parked or failed"),
            [
                (
                    job.id,
                    job.schedule,
                    job.item,
                    "unreadable" if job.odd_due else utc(job.due),
                    local(job.due, zone),
                    _late_by(job, now),
                    _trouble(job),
                )
                for job in jobs
            ],
        )
    total = db.session.scalar(sa.select(sa.func.count()).select_from(Job).where(which)) or 0
    print_count(len(jobs), total, "late or parked jobs" if late else "jobs")


def _late_by(job: Planned, now: datetime) -> str:
    late = job.late_by(now)
    return length(late) if late is not None else ""


def _trouble(job: Planned) -> str:
    attempts = f"attempt {job.attempts}" if job.error and job.attempts else ""
    return ": ".join(filter(None, ("parked" if job.parked else attempts, job.error)))


def _as_dict(job: Planned, now: datetime) -> dict[str, Any]:
    late = job.late_by(now)
    return {
        "id": job.id,
        "schedule": job.schedule,
        "item": job.item,
        "task": job.task,
        "due": job.due,
        "late_seconds": round(late.total_seconds(), 3) if late is not None else None,
        "parked": job.parked,
        "attempts": job.attempts,
        "error": job.error,
    }


@command.command("export")
@click.option("--out", type=TEXT, required=True, help="A file, written anew each time.")
@with_appcontext
@needs_database
def export(out: str) -> None:
    """Write all jobs as a JSON list of {id, next_run, args}."""
    jobs = list(_planned(sa.true()))
    rows = [{"id": job.id, "next_run": job.due, "args": job.args} for job in jobs]
    write_file(Path(out), as_json_text(rows) + "\n")
    if unread := sum(job.args is None for job in jobs):
        note(f"Without args, since their state cannot be read: {unread}.")
    click.echo(f"exported {len(rows)} jobs to {printable(out)}")


# --- act -----------------------------------------------------------------------------------------


@command.command("renew")
@dry_run_option
@with_appcontext
@needs_database
def renew(dry_run: bool) -> None:
    """Bring the plan in line with the schedules; what is left out is told on stderr."""
    from app.automation.scheduler_ops import renew_automations

    done = renew_automations(dry_run=dry_run)
    if not dry_run:
        wake_scheduler()
    written = " (nothing written)" if dry_run else ""
    click.echo(f"planned {done.planned}, kept {done.kept}, removed {done.removed}{written}")
    for what, why in done.left_out:
        note(f"left out: {printable(what)}: {printable(why)}")
    for count, what in (
        (done.missed, "too late to run, recorded as missed"),
        (done.before_switched_on, "due before their schedule was switched on, not planned"),
        (done.repaired, "rows completed that were written past the services"),
        (done.switched, "deadlines moved, their schedule being off or on again"),
    ):
        if count:
            note(f"{count} {what}")
    if done.left_out:
        sys.exit(WITH_FAULTS)


@command.command("remove")
@click.argument("job_id", metavar="ID", type=TEXT)
@yes_option
@with_appcontext
@needs_database
def remove(job_id: str, yes: bool) -> None:
    """Take one job away for good: its occurrence is recorded as cancelled.

    Removing the end of an invitation leaves that invitation open until the hard stop.
    """
    from apscheduler.jobstores.base import JobLookupError  # the web process loads no scheduler

    from app.automation.scheduler import app_scheduler

    job = next(_planned(Job.id == job_id), None)
    if job is None:
        raise Ended(f"There is no job {printable(job_id)}.", NOT_FOUND)
    if job.task == WAITLIST_TASK:
        sure("This invitation will then not run out before the hard stop. Go on?", yes)
    try:
        app_scheduler.remove_job(job_id)
    except JobLookupError:
        raise Ended(f"There is no job {printable(job_id)} any more.", NOT_FOUND) from None
    click.echo(f"removed {printable(job_id)}")
