"""`flask schedules`: what runs by the clock, seen and steered (people PA3–PA5, PC)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy.orm import Session, joinedload

from app.automation import faces, recurring_runs, scheduler_ops, scheduler_upkeep
from app.automation.automation_base import Skip
from app.automation.lock import wake_scheduler
from app.automation.planned import planned
from app.automation.rehearsal import AHEAD, FARTHEST, can_rehearse, rehearse
from app.automation.steps import PermanentError
from app.extensions import db, unit, utcnow
from app.models import (
    AutomationRun,
    AutomationSchedule,
    Job,
    MadeBy,
    RunStatus,
    ScheduleState,
    ScheduleType,
)
from app.ops.exits import NOT_FOUND, REFUSED, UNREACHABLE, Ended, needs_database
from app.ops.migrating import require_migrated
from app.ops.terminal import (
    MOST_CANDIDATES,
    TEXT,
    UNTIL,
    as_json_text,
    json_option,
    limit_option,
    local,
    note,
    number,
    practice_zone,
    print_count,
    print_facts,
    print_json,
    print_table,
    printable,
    sure,
    the_one,
    the_practice,
    utc,
    write_file,
    yes_option,
)
from app.services import recurrence, recurring, schedule_rest, schedule_transfer, schedules
from app.services import schedule_health as health
from app.services.actors import CONSOLE
from app.services.recurrence import Preview
from app.services.schedule_errors import InvalidScheduleException
from app.services.schedule_faces import Door, cannot_be_tried
from app.services.schedule_reading import MOST_RUNS, timing_of
from app.services.schedule_views import as_execution, as_preview, as_schedule
from config import Settings

MOST_FILE = 5 * 2**20  # bytes of an import
MOST_OF_AN_ERROR = 100  # characters, in a line of the history

name_argument = click.argument("name", metavar="NAME", type=TEXT)
reason_option = click.option("--reason", type=TEXT, help="Why; it is seen beside the schedule.")


@click.group("schedules")
def command() -> None:
    """What runs by the clock. NAME is a schedule's exact name, its id or its uuid."""


# --- look ----------------------------------------------------------------------------------------


@command.command("list")
@click.option("--state", type=click.Choice([state.value for state in ScheduleState]))
@click.option("--type", "type_", type=click.Choice([kind.value for kind in ScheduleType]))
@click.option("--task", type=TEXT, help="Only those of this task class.")
@limit_option
@json_option
@with_appcontext
@needs_database
def list_(
    state: str | None, type_: str | None, task: str | None, limit: int, as_json: bool
) -> None:
    """All schedules, the next to run first."""
    found = schedules.list_schedules(
        db.session(), CONSOLE, state=state, type=type_, task=task, page_size=None, by_next=True
    )
    rows = found.items[:limit]
    if as_json:
        print_json([_as_dict(row) for row in rows])
    else:
        print_table(
            ("id", "name", "task", "state", "mode", "runs", "next (UTC)", "last (UTC)", "ended"),
            [
                (
                    row.id,
                    row.name,
                    _task(row),
                    row.state.value,
                    "test" if row.dry_run else "live",
                    _in_words(row),
                    utc(row.next_execution_at),
                    utc(row.last_execution_at),
                    row.last_run_status,
                )
                for row in rows
            ],
        )
    print_count(len(rows), found.total, "schedules")
    _note_rest()


def _as_dict(row: AutomationSchedule) -> dict[str, Any]:
    return {"id": row.id, **as_schedule(row)}


def _task(row: AutomationSchedule) -> str:
    return row.automation_class.class_name if row.automation_class else "none"


def _in_words(row: AutomationSchedule) -> str:
    try:
        return schedules.preview(timing_of(db.session(), row), 1, now=utcnow()).explanation
    except InvalidScheduleException as odd:  # plain code wrote it
        return str(odd.detail)


def _note_rest() -> None:
    if (rest := schedule_rest.resting(db.session())) is not None:
        why = f" ({printable(rest.schedules_pause_reason)})" if rest.schedules_pause_reason else ""
        note(f"All rest since {utc(rest.schedules_paused_at)}{why}: schedules resume-all.")


@command.command("show")
@name_argument
@json_option
@with_appcontext
@needs_database
def show(name: str, as_json: bool) -> None:
    """All that is known of one schedule, and what to know of it beside others."""
    row, now = _schedule(name), utcnow()
    facts = {"id": row.id, **as_schedule(row, schedules.warnings_of(db.session(), row, now))}
    if as_json:
        print_json(facts)
        return
    options = facts.pop("options")
    print_facts([("runs", _in_words(row)), *_lines(facts), *_lines(options)])


def _lines(facts: dict[str, Any]) -> list[tuple[str, object]]:
    return [
        (name.replace("_", " "), json.dumps(value) if isinstance(value, (dict, list)) else value)
        for name, value in facts.items()
        if value not in ({}, [])
    ]


@command.command("explain")
@name_argument
@json_option
@with_appcontext
@needs_database
def explain(name: str, as_json: bool) -> None:
    """Why is this not running? Each cause that was looked at, with OK or the cure."""
    row = _schedule(name, deleted_too=True)
    found = schedules.explain(
        db.session(), row.schedule_id, CONSOLE, now=utcnow(), door=_door(MadeBy.COMMAND)
    )
    if as_json:
        runs = all(one.ok for one in found)
        print_json({"schedule_id": row.schedule_id, "runs": runs,
                    "findings": [asdict(one) for one in found]})  # fmt: skip
        return
    print_table(
        ("", "looked at", "found"),
        [("✓" if one.ok else "✗", one.cause.replace("_", " "), one.text) for one in found],
    )


@command.command("preview")
@name_argument
@click.option("-n", "count", type=click.IntRange(1, 50), default=5, show_default=True)
@json_option
@with_appcontext
@needs_database
def preview(name: str, count: int, as_json: bool) -> None:
    """What it says in words, and its next occurrences; writes nothing."""
    row = _schedule(name)
    found, jobs = _ahead(row, count)
    if as_json:
        items = [{"item": job.item, "due": job.due} for job in jobs]
        print_json(as_preview(found) | {"jobs": items})
        return
    click.echo(printable(found.explanation))
    click.echo()
    print_table(
        ("local", "UTC"),
        [(f"{at.local:%a %d %b %Y %H:%M %Z}", utc(at.utc)) for at in found.next],
    )
    zone = practice_zone()
    print_table(
        ("item", "due (local)", "due (UTC)"),
        [(job.item, local(job.due, zone), utc(job.due)) for job in jobs],
    )
    for said in found.notices:
        note(printable(said))
    if not found.next and not jobs:
        note("Nothing is planned.")


def _ahead(row: AutomationSchedule, count: int) -> tuple[Preview, list[Any]]:
    """What it says and when it runs; of one that follows events the jobs of its items."""
    session, now = db.session(), utcnow()
    if row.schedule_type not in recurring.WITHOUT_TIME:
        return recurrence.preview(recurring.recurrence_of(session, row), count, now=now), []
    said = schedules.preview(timing_of(session, row), count, now=now)
    mine = Job.id.startswith(f"{row.name}/", autoescape=True)
    return said, list(planned(session, mine, count))


@command.command("dry-run")
@name_argument
@click.option(
    "--days",
    type=click.IntRange(0, FARTHEST.days),
    default=AHEAD.days,
    show_default=True,
    help="Of one that follows events: how far to look ahead.",
)
@json_option
@with_appcontext
@needs_database
def dry_run(name: str, days: int, as_json: bool) -> None:
    """What a run that began now would do; nothing is written, nothing is counted.

    Of a schedule that follows events: what the runs that are due would do, and those ahead.
    """
    row = _schedule(name)
    if row.schedule_type == ScheduleType.EVENT:
        _dry_run_of_events(row, timedelta(days=days), as_json)
        return
    face = faces.face_of(_task(row))
    if face is None:
        raise Ended(f"No code is registered for {printable(_task(row))}.", NOT_FOUND)
    face.require_plan()
    try:
        plan = recurring_runs.plan_now(db.session(), row, utcnow())
    except Skip as skip:
        note(f"It would be skipped now: {printable(skip.reason)}.")
        return
    except PermanentError as error:
        raise Ended(printable(error), REFUSED) from error
    if as_json:
        print_json(plan.as_dry_result)
        return
    print_table(
        ("step", "for", "what"), [(one.kind, one.subject_id, one.text) for one in plan.steps]
    )
    told = plan.as_dry_result
    counts = {"letters": told["would_send"], "profiles": told["would_visit"]}
    said = ", ".join(f"{what} {n}" for what, n in counts.items() if n)
    note(f"steps: {told['total']}{f' ({said})' if said else ''}; nothing was written.")


def _dry_run_of_events(row: AutomationSchedule, ahead: timedelta, as_json: bool) -> None:
    if not can_rehearse(row):
        raise cannot_be_tried()
    try:
        found = rehearse(db.session(), row, utcnow(), ahead=ahead)
    finally:
        db.session.rollback()
    if as_json:
        print_json(found.as_dry_result)
        return
    print_table(
        ("step", "for", "what"), [(one.kind, one.subject_id, one.text) for one in found.steps]
    )
    for one in found.left_out:
        note(f"left out: {printable(one.item)}, due {utc(one.due)}: {printable(one.reason)}")
    if resting := found.off or found.inert:
        note(f"It does nothing as it is: {printable(resting)}.")
    if found.cut:
        note(f"not tried out any more: {found.cut} that are due later.")
    letters = f" (letters {found.sends})" if found.sends else ""
    note(f"steps: {len(found.steps)}{letters} until {utc(found.until)}; nothing was written.")


@command.command("history")
@name_argument
@click.option("--status", type=click.Choice([status.value for status in RunStatus]))
@click.option("--limit", type=click.IntRange(1, MOST_RUNS), default=50, show_default=True)
@json_option
@with_appcontext
@needs_database
def history(name: str, status: str | None, limit: int, as_json: bool) -> None:
    """Its runs, newest first; flask runs show has all of one."""
    row = _schedule(name)
    runs = schedules.history(db.session(), row.schedule_id, CONSOLE, status=status, limit=limit)
    if as_json:
        print_json([as_execution(run) for run in runs])
        return
    print_table(
        ("id", "due (UTC)", "began (UTC)", "by", "mode", "try", "took", "what came of it"),
        [
            (
                run.id,
                utc(run.due_at),
                utc(run.started_at),
                run.trigger,
                "test" if run.dry_run else "live",
                run.attempt,
                f"{run.duration_ms} ms" if run.duration_ms is not None else "",
                _came_of(run),
            )
            for run in runs
        ],
    )
    note(f"runs shown: {len(runs)}.")


def _came_of(run: AutomationRun) -> str:
    """What it did, and why it did not: the first line of its error."""
    error = (run.error or "").strip().split("\n")[0][:MOST_OF_AN_ERROR]
    return ": ".join(filter(None, (str(as_execution(run)["result_summary"]), error)))


# --- act -----------------------------------------------------------------------------------------


@command.command("run")
@name_argument
@click.option("--dry-run/--live", "dry", default=None, help="Whatever the schedule says.")
@with_appcontext
@needs_database
def run(name: str, dry: bool | None) -> None:
    """Begin a run at once, also while it rests; 4 if as many run as may."""
    begun = _act(
        lambda session, id_, how: schedules.run_now(session, id_, CONSOLE, dry_run=dry, **how), name
    )
    said = "queued" if begun.status is RunStatus.QUEUED else "tried out:"
    click.echo(f"{said} run {begun.id} ({begun.execution_id})")


@command.command("pause")
@name_argument
@reason_option
@click.option("--until", type=UNTIL, help="It goes on then: 2026-03-02T12:00Z, or 2 hours.")
@with_appcontext
@needs_database
def pause(name: str, reason: str | None, until: datetime | None) -> None:
    """It plans nothing until it is resumed; what runs goes on."""
    row = _act(
        lambda session, id_, how: schedules.pause_schedule(
            session, id_, CONSOLE, reason=reason, resume_at=until, **how
        ),
        name,
    )
    click.echo(f"paused {printable(row.name)}{f' until {utc(until)}' if until else ''}")


@command.command("resume")
@name_argument
@click.option("--run-once", is_flag=True, help="One run makes up for what was missed.")
@with_appcontext
@needs_database
def resume(name: str, run_once: bool) -> None:
    """It goes on from now, without a burst."""
    missed = "run_once" if run_once else "skip"
    row = _act(
        lambda session, id_, how: schedules.resume_schedule(
            session, id_, CONSOLE, missed=missed, **how
        ),
        name,
    )
    coming = f", next {utc(row.next_execution_at)}" if row.next_execution_at else ""
    click.echo(f"resumed {printable(row.name)}{coming}")


@command.command("pause-all")
@reason_option
@yes_option
@with_appcontext
@needs_database
def pause_all(reason: str | None, yes: bool) -> None:
    """Let all recurring schedules rest: nothing is begun, rows and jobs stay."""
    sure("No recurring schedule will run until resume-all. Go on?", yes)
    now = utcnow()
    unit(
        db.session,
        lambda: schedule_rest.pause_all(db.session(), CONSOLE, now=now, reason=reason),
    )
    click.echo("all rest")


@command.command("resume-all")
@with_appcontext
@needs_database
def resume_all() -> None:
    """They go on; what was due meanwhile is judged by its grace."""
    unit(db.session, lambda: schedule_rest.resume_all(db.session(), CONSOLE))
    wake_scheduler()
    click.echo("all go on")


def _act(do: Callable[[Session, str, dict[str, Any]], Any], name: str) -> Any:
    """One act on a schedule, in one transaction; then the scheduler looks."""

    def act() -> Any:
        how = {"now": utcnow(), "door": _door(MadeBy.COMMAND)}
        return do(db.session(), _schedule(name).schedule_id, how)

    done = unit(db.session, act)
    wake_scheduler()
    return done


# --- out and in ----------------------------------------------------------------------------------


@command.command("export")
@click.option("--out", type=TEXT, help="A file, written anew; else it is printed.")
@with_appcontext
@needs_database
def export(out: str | None) -> None:
    """All schedules as JSON, without secrets, counters and runs."""
    told = schedule_transfer.export_schedules(db.session(), CONSOLE)
    if out is None:
        print_json(told)
        return
    write_file(Path(out), as_json_text(told) + "\n")
    click.echo(f"exported {len(told['schedules'])} schedules to {printable(out)}")


@command.command("import")
@click.argument("file", metavar="F", type=TEXT)
@click.option("--practice", metavar="SHORTNAME", type=TEXT, help="Whose; else they hold for all.")
@with_appcontext
@needs_database
def import_(file: str, practice: str | None) -> None:
    """The schedules of an export, inactive: all of the file, or nothing and a line per fault."""
    given = _read(Path(file))

    def act() -> list[str]:
        session = db.session()
        scheduler_ops.describe_classes(session)
        session.flush()  # classes are looked up at once, though no scheduler has started yet
        whose = the_practice(practice).id if practice is not None else None
        made = schedule_transfer.import_schedules(
            session, given, CONSOLE, whose, now=utcnow(), door=_door(MadeBy.IMPORT)
        )
        return [row.name for row in made]

    try:
        names = unit(db.session, act)
    except InvalidScheduleException as bad:
        lines = [f"row {n}: {why}" if n.isdigit() else f"{n}: {why}"
                 for n, why in bad.problems.items()]  # fmt: skip
        for line in lines or [str(bad.detail)]:
            note(printable(line))
        raise Ended("Nothing was imported.", REFUSED) from bad
    for name in names:
        click.echo(printable(name))
    note(f"imported {len(names)} schedules, inactive: flask schedules resume NAME.")


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_FILE + 1)
    except FileNotFoundError:
        raise Ended(f"There is no file {printable(path)}.", NOT_FOUND) from None
    except OSError as error:
        raise Ended(f"{printable(path)} cannot be read: {error.strerror}.", REFUSED) from error
    if len(content) > MOST_FILE:
        raise Ended(f"{printable(path)} is larger than 5 MiB.", REFUSED)
    try:
        return json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise Ended(f"{printable(path)} is no JSON.", REFUSED) from None


# --- upkeep --------------------------------------------------------------------------------------


@command.command("prune")
@yes_option
@with_appcontext
@needs_database
def prune(yes: bool) -> None:
    """Take away what has been kept long enough, as the scheduler does each night."""
    sure("Runs and records that were kept long enough go for good. Go on?", yes)
    pruned = scheduler_upkeep.prune()
    told = ", ".join(f"{what} {count}" for what, count in pruned.items() if count)
    click.echo(f"pruned {told or 'nothing'}")


@command.command("status")
@json_option
@with_appcontext
@needs_database
def status(as_json: bool) -> None:
    """Whether schedules are run, and what waits; 5 if the scheduler is down."""
    require_migrated(current_app._get_current_object())  # type: ignore[attr-defined]
    session, now = db.session(), utcnow()
    found, there = health.health(session, now), health.what_waits(session, now)
    settings: Settings = current_app.extensions["settings"]
    facts = {
        "status": found.status.value,
        "scheduler_running": found.scheduler_running,
        **asdict(there),
        "schedules": found.schedules,
        "active": found.active,
        "environment": settings.environment,
        "database": db.engine.url.render_as_string(hide_password=True),
    }
    missed = health.missed_lately(session, now)
    if as_json:
        print_json(facts | {"missed": [asdict(one) for one in missed]})
    else:
        print_facts(
            (name.replace("_", " "), utc(value) if isinstance(value, datetime) else value)
            for name, value in facts.items()
        )
    if there.queued > health.MANY_QUEUED:
        note(f"{there.queued} runs wait: more MAX_CONCURRENT_WORKFLOWS may help.")
    for one in missed:
        note(
            f"missed in 30 days: {printable(one.name)}, {one.count} times;"
            f" raise its grace to {one.grace_seconds} s"
        )
    _note_rest()
    if not found.scheduler_running:
        note("The scheduler is down: start run_scheduler.py.")
        sys.exit(UNREACHABLE)


# --- which one -----------------------------------------------------------------------------------


def _schedule(text: str, *, deleted_too: bool = False) -> AutomationSchedule:
    """By exact name, id or uuid. Raises `Ended`: 3 unknown, 2 with candidates."""
    s, id_ = AutomationSchedule, number(text)
    which = sa.or_(s.name == text, s.schedule_id == text.lower(), *([s.id == id_] if id_ else []))
    there = sa.true() if deleted_too else s.deleted_at.is_(None)
    found = db.session.scalars(
        sa.select(s)
        .where(which, there)
        .options(joinedload(s.automation_class))
        .order_by(s.deleted_at.is_not(None), s.id)
        .limit(MOST_CANDIDATES + 1)
    ).all()
    living = [row for row in found if row.deleted_at is None]
    return the_one(
        "schedule", text, [(row, f"{row.id}  {row.name}  {_task(row)}") for row in living or found]
    )


def _door(via: MadeBy) -> Door:
    return faces.door(via)
