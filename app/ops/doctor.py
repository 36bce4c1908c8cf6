"""`flask doctor`: has this installation all it needs, and does it do what it should (PC, RE4).

A line each, ✓ for what is fine, ! for what to know and ✗ for what to mend, with the cure.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import click
import sqlalchemy as sa
from flask import current_app
from flask.cli import with_appcontext

from app.automation import processes
from app.automation.lock import ask
from app.extensions import db, utcnow
from app.models.automation import AutomationSchedule
from app.models.practice import Practice
from app.ops import invariants
from app.ops.exits import Ended, needs_database
from app.ops.migrating import require_migrated
from app.ops.terminal import json_option, length, note, print_json, printable
from app.services import schedule_health as health
from app.services import symptoms
from app.services.local_time import zone_names
from app.services.schedule_explain import grace_words
from config import Settings, warnings_for_serving

WITH_FAULTS = 1
MARKS = {"ok": "✓", "note": "!", "wrong": "✗"}


@dataclass(frozen=True)
class Told:
    """One thing that was looked at."""

    what: str
    state: str  # ok, note, wrong
    text: str


@click.command("doctor")
@click.option("--invariants", "rows_too", is_flag=True, help="Check the rows too; reads them all.")
@json_option
@with_appcontext
@needs_database
def command(rows_too: bool, as_json: bool) -> None:
    """Look at settings, database, scheduler, schedules and processes; 1 if something is wrong."""
    now = utcnow()
    found = list(_looked(now, rows_too=rows_too))
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        width = max(len(one.what) for one in found)
        for one in found:
            click.echo(f"{MARKS[one.state]} {one.what.ljust(width)}  {printable(one.text)}")
    if any(one.state == "wrong" for one in found):
        note("Mend what is marked ✗, then ask again.")
        sys.exit(WITH_FAULTS)


def _looked(now: datetime, *, rows_too: bool) -> Iterator[Told]:
    settings: Settings = current_app.extensions["settings"]
    warned = warnings_for_serving(settings)
    yield Told("settings", "note" if warned else "ok", " ".join(warned) or settings.environment)
    if not (migrated := _migrated()):
        yield Told("migrations", "ok", "the tables are those of this version")
    else:
        yield Told("migrations", "wrong", migrated)
        return  # nothing can be asked of tables that are not there
    session = db.session()
    yield _said("permissions", symptoms.lacking_rights(session), "all tables can be written")
    yield _zones()
    yield _lock(settings, now)
    yield _said("runs at once", symptoms.at_once(session), "jobs run when they are due")
    yield from _of_schedules()
    missed = [f"{one.name}: {grace_words(one)}" for one in health.missed_lately(session, now)]
    yield Told("misses runs", "note" if missed else "ok", " ".join(missed) or "nothing in 30 days")
    yield from _processes()
    if rows_too:
        broken = [str(one) for one in invariants.check(session, now)]
        yield Told("rows", "wrong" if broken else "ok", "; ".join(broken[:20]) or "nothing broken")


def _said(what: str, problem: str | None, fine: str) -> Told:
    return Told(what, "wrong" if problem else "ok", problem or fine)


def _migrated() -> str | None:
    try:
        require_migrated(current_app._get_current_object())  # type: ignore[attr-defined]
    except Ended as no:
        return no.message
    return None


def _zones() -> Told:
    known = zone_names()
    s = AutomationSchedule
    asked: Any = sa.union(
        sa.select(Practice.timezone), sa.select(s.timezone).where(s.timezone.is_not(None))
    )
    odd = sorted(zone for zone in db.session.scalars(asked) if zone not in known)
    cure = f"this machine does not know {', '.join(odd)}: install tzdata"
    return _said("time zones", cure if odd else None, "all are known")


def _lock(settings: Settings, now: datetime) -> Told:
    """Who holds the scheduler's port, and whether the database hears of it."""
    there = ask(settings.scheduler_lock_host, settings.scheduler_lock_port)
    found = health.health(db.session(), now)
    if found.scheduler_running:
        return Told("scheduler", "ok", f"runs, {found.active} active schedules")
    if there is not None:
        who = f"pid {there.get('pid')} holds the lock, but is not heard of in this database"
        return Told("scheduler", "wrong", f"{who}: end it and start run_scheduler.py")
    return Told("scheduler", "wrong", "it is down: start run_scheduler.py")


def _of_schedules() -> Iterator[Told]:
    """What each schedule that works may surprise people with, in a line per question."""
    session, s = db.session(), AutomationSchedule
    working = session.scalars(sa.select(s).where(s.works()).order_by(s.id)).all()
    questions: tuple[tuple[str, Any, str, str], ...] = (
        ("runs several times", symptoms.several_times, "wrong", "none does"),
        ("runs at the wrong time", symptoms.wrong_time, "wrong", "none does"),
        ("runs in another zone", symptoms.other_zone, "note", "none does"),
    )
    for what, question, state, fine in questions:
        told = [f"{row.name}: {words}" for row in working if (words := question(session, row))]
        yield Told(what, state if told else "ok", " ".join(told) or fine)


def _processes() -> Iterator[Told]:
    found = processes.ours()
    if found is None:
        yield Told("processes", "note", "memory and CPU are not known here")
    for one in found or ():
        since = length(timedelta(seconds=one.seconds))
        took = f"{one.memory_mib} MiB, {one.cpu_percent} % of a core in {since}"
        yield Told(f"process {one.pid}", "ok", f"{one.role}: {took}")
