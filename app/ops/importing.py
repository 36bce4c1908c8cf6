"""`flask import`: students, trainings and enrolments from a CSV file (people PC, rulings RD2)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click
from flask.cli import with_appcontext

from app.extensions import db, unit, utcnow
from app.ops.exits import NOT_FOUND, REFUSED, WITH_FAULTS, Ended, needs_database
from app.services import importing
from app.services.actors import CONSOLE
from app.services.importing import MOST_BYTES, FaultyFile, Kind, Report, Wishes


@click.command("import")
@click.argument("kind", type=click.Choice([kind.value for kind in Kind]))
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--practice", metavar="SHORTNAME", help="For which practice; the only one if left out."
)
@click.option("--create-practice", metavar="NAME", help="Make the practice, with this full name.")
@click.option(
    "--timezone",
    default="Europe/Amsterdam",
    show_default=True,
    help="Zone of a practice that is made; times without offset are read in it.",
)
@click.option("--create-trainers", is_flag=True, help="Make accounts for unknown trainers.")
@click.option("--letters", is_flag=True, help="Tell people of new dates and of their place.")
@click.option("--dry-run", is_flag=True, help="The same checks and counts; nothing is written.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts, or the faults, as JSON.")
@with_appcontext
@needs_database
def command(
    kind: str,
    file: Path,
    practice: str | None,
    create_practice: str | None,
    timezone: str,
    create_trainers: bool,
    letters: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Import a CSV file: all of it, or nothing.

    \b
    students    email, first_name, last_name, phone, language, birthday, status
    trainings   training, name, type, max_participants, start, end, location,
                trainers, active (one row a day)
    enrolments  training, email, status (enrolled or waitlist)

    The same key again changes what is there; an empty cell leaves it alone. Who is invited because
    the import leaves a place free is always written to. Who is booked above a booking limit is told
    with the line: nothing is refused for that.
    """
    if create_practice is not None and practice is None:
        raise Ended("--create-practice needs --practice SHORTNAME too.", REFUSED)
    content = _content(file)
    wishes = Wishes(letters=letters, create_trainers=create_trainers)

    def run() -> Report:
        if practice is not None and create_practice is not None:
            owner = importing.create_practice(db.session(), practice, create_practice, timezone)
        else:
            owner = importing.find_practice(db.session(), practice)
        return importing.import_file(
            db.session(), Kind(kind), content, owner, CONSOLE, utcnow(), wishes
        )

    try:
        report = _rolled_back(run) if dry_run else unit(db.session, run)
    except FaultyFile as faulty:
        _show_faults(faulty, as_json)
        raise Ended(str(faulty.sentence), WITH_FAULTS) from faulty
    _show(report, dry_run, as_json)


def _content(file: Path) -> bytes:
    """What is in the file, at most one byte more than we take."""
    try:
        with file.open("rb") as stream:
            return stream.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise Ended(f"There is no file {file}.", NOT_FOUND) from None
    except OSError as error:
        raise Ended(f"{file} cannot be read: {error.strerror}.", REFUSED) from error


def _rolled_back(run: Callable[[], Report]) -> Report:
    try:
        return run()
    finally:
        db.session.rollback()


def _show_faults(faulty: FaultyFile, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([fault.as_dict() for fault in faulty.faults], ensure_ascii=False))
    else:
        click.echo("\n".join(map(str, faulty.faults)), err=True)


def _show(report: Report, dry_run: bool, as_json: bool) -> None:
    counts, warnings = report.counts, report.warnings
    if as_json:
        shown = {**counts, "dry_run": dry_run, "warnings": [asdict(one) for one in warnings]}
        click.echo(json.dumps(shown, ensure_ascii=False))
        return
    for one in warnings:
        click.echo(f"warning: {one}", err=True)
    told = ", ".join(f"{name} {count}" for name, count in counts.items())
    click.echo(f"{told} (dry run: nothing written)" if dry_run else told)
