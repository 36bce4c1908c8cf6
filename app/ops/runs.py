"""`flask runs`: what became of each occurrence (people PA7, PC)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click
import sqlalchemy as sa
from flask.cli import with_appcontext
from sqlalchemy.orm import joinedload

from app.automation.lock import wake_scheduler
from app.extensions import db, unit, utcnow
from app.models import AutomationRun, RunStatus
from app.ops.exits import NOT_FOUND, Ended, needs_database
from app.ops.terminal import (
    SINCE,
    TEXT,
    json_option,
    limit_option,
    number,
    print_count,
    print_facts,
    print_json,
    print_table,
    printable,
    utc,
)
from app.services import chains, run_reasons, runs_by_hand


@click.group("runs")
def command() -> None:
    """What ran, what failed, what was missed. ID is a run's number or its execution id."""


HEADER = ("id", "status", "schedule", "item", "occurrence", "began (UTC)", "took", "try", "why")
# What was missed or skipped never began.
SEEN_AT = sa.func.coalesce(AutomationRun.started_at, AutomationRun.due_at)


@command.command("list")
@click.option("--status", type=click.Choice([status.value for status in RunStatus]))
@click.option("--since", type=SINCE, help="Begun, or due, since: 2026-03-02T12:00Z, or 2 hours.")
@limit_option
@json_option
@with_appcontext
@needs_database
def list_(status: str | None, since: datetime | None, limit: int, as_json: bool) -> None:
    """The latest runs, newest first."""
    r = AutomationRun
    which = sa.and_(
        sa.true(),
        *([r.status == RunStatus(status)] if status else []),
        *([since <= SEEN_AT] if since else []),
    )
    found = db.session.scalars(
        sa.select(r).where(which).options(joinedload(r.schedule)).order_by(r.id.desc()).limit(limit)
    ).all()
    if as_json:
        print_json([_as_dict(run) for run in found])
    else:
        print_table(
            (
                "id",
                "status",
                "schedule",
                "item",
                "occurrence",
                "started (UTC)",
                "took",
                "try",
                "why",
            ),
            [
                (
                    run.id,
                    run.status,
                    run.schedule.name,
                    run.item,
                    run.occurrence,
                    utc(run.started_at),
                    _took(run),
                    run.attempt,
                    run_reasons.in_words(run.reason) or _first_line(run.error),
                )
                for run in found
            ],
        )
    total = db.session.scalar(sa.select(sa.func.count()).select_from(r).where(which)) or 0
    print_count(len(found), total, "runs")


def _took(run: AutomationRun) -> str:
    return f"{run.duration_ms} ms" if run.duration_ms is not None else ""


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0][:80]


@command.command("show")
@click.argument("run_id", metavar="ID", type=TEXT)
@json_option
@with_appcontext
@needs_database
def show(run_id: str, as_json: bool) -> None:
    """All that is known of one run."""
    run = _run(run_id)
    facts = _as_dict(run) | {"traceback": run.traceback}
    if as_json:
        print_json(facts)
        return
    print_facts(
        (name.replace("_", " "), utc(value) if isinstance(value, datetime) else value)
        for name, value in facts.items()
        if name not in ("attempts", "result", "traceback")
    )
    print_facts((f"ended at {one['end']}", _try_in_words(one)) for one in run.attempts)
    print_facts((f"result: {name}", value) for name, value in (run.result or {}).items())
    if run.traceback:
        click.echo()
        for line in run.traceback.rstrip().splitlines():
            click.echo(printable(line))


@command.command("retry")
@click.argument("run_id", metavar="ID", type=TEXT)
@with_appcontext
@needs_database
def retry(run_id: str) -> None:
    """Run once more what failed, timed out or was cancelled: a run of its own, now."""
    again = unit(
        db.session, lambda: runs_by_hand.retry_run(db.session(), _run(run_id), utcnow()).id
    )
    wake_scheduler()
    click.echo(f"queued run {again}")


@command.command("cancel")
@click.argument("run_id", metavar="ID", type=TEXT)
@with_appcontext
@needs_database
def cancel(run_id: str) -> None:
    """End a run that waits or runs; what it is doing is rolled back."""

    def act() -> int:
        run = _run(run_id)
        chains.cancel(db.session(), run, utcnow())
        return run.id

    click.echo(f"cancelled run {unit(db.session, act)}")


def _run(text: str) -> AutomationRun:
    """By number or execution id. Raises `Ended`."""
    r, id_ = AutomationRun, number(text)
    run = db.session.scalars(
        sa.select(r).where(sa.or_(r.execution_id == text, *([r.id == id_] if id_ else [])))
    ).first()
    if run is None:
        raise Ended(f"There is no run {printable(text)}.", NOT_FOUND)
    return run


def _try_in_words(one: dict[str, Any]) -> str:
    """A try after which the run went on: `interrupted`, `failed: no route to host`."""
    return ": ".join(filter(None, (one["outcome"], one["error"])))


def _as_dict(run: AutomationRun) -> dict[str, Any]:
    return {
        "id": run.id,
        "execution_id": run.execution_id,
        "schedule": run.schedule.name,
        "item": run.item,
        "occurrence": run.occurrence,
        "trigger": run.trigger,
        "status": run.status,
        "reason": run.reason,
        "attempt": run.attempt,
        "attempts": run.attempts,
        "due_at": run.due_at,
        "not_before": run.not_before,
        "started_at": run.started_at,
        "deadline_at": run.deadline_at,
        "finished_at": run.finished_at,
        "duration_ms": run.duration_ms,
        "worker": run.worker,
        "messages_sent": run.messages_sent,
        "result": run.result,
        "error": run.error,
        "error_type": run.error_type,
    }
