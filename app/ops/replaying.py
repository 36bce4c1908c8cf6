"""`flask replay`: demand through the services, watched by an oracle (rulings RD3)."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import flask_migrate
import sqlalchemy as sa
from flask import Flask, current_app
from flask.cli import with_appcontext
from pydantic import SecretStr
from sqlalchemy.engine import URL

from app import create_app
from app.extensions import db
from app.models import AutomationSchedule, Outbox, Practice, Student, Training, User
from app.models.engine import BadDatabaseUrl, database_url
from app.ops import demand, replay, terminal
from app.ops.exits import REFUSED, WITH_FAULTS, Ended, explained
from config import Settings

MUST_BE_EMPTY = (Practice, User, Student, Training, AutomationSchedule, Outbox)
MIGRATIONS = Path(__file__).parents[2] / "migrations"


class Instant(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.2 on
    """An ISO 8601 instant; without an offset it is UTC."""

    name = "instant"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        try:
            return value if isinstance(value, datetime) else demand.instant(value)
        except ValueError:
            self.fail(f"{value!r} is no instant such as 2022-06-01T00:00:00Z.", param, ctx)


A_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.command("replay")
@click.argument("file", type=A_FILE, required=False)
@click.option("--catalogue", type=A_FILE, help="Sections, also those that nothing happened in.")
@click.option(
    "--generate",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Instead of a FILE: made-up demand for N trainings over three weeks.",
)
@click.option("--db", "url", help="An empty database to fill; else a scratch one is thrown away.")
@click.option("--until", type=Instant(), help="Stop the clock there (UTC).")
@click.option("--seed", default=1, show_default=True, help="Who leaves, who answers what and when.")
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object.")
@with_appcontext
@explained
def command(
    file: Path | None,
    catalogue: Path | None,
    generate: int | None,
    url: str | None,
    until: datetime | None,
    seed: int,
    as_json: bool,
) -> None:
    """Play demand through the waitlist and count what went wrong; nothing is ever sent.

    FILE is a CSV of demand over time, gzipped or not: time, course, section, section_id,
    instructor, enrolled, waitlisted, total. Ends with 1 if any promise was broken.
    """
    wanted = _wanted(file, catalogue, generate, seed)
    if until is not None and until < wanted.begins_at:
        raise Ended(f"--until is before the first change, at {wanted.begins_at:%FT%TZ}.", REFUSED)
    with _database(url) as app, terminal.progress("changes") as progress:
        figures = replay.run(app, wanted, seed=seed, until=until, progress=progress)
    click.echo(json.dumps(figures.as_json()) if as_json else _table(figures))
    if figures.violations:
        sys.exit(WITH_FAULTS)


def _wanted(
    file: Path | None, catalogue: Path | None, generate: int | None, seed: int
) -> demand.Demand:
    if (file is None) == (generate is None):
        raise click.UsageError("Give a FILE of demand, or --generate N to make some up.")
    if file is None:
        if catalogue is not None:
            raise click.UsageError("--catalogue goes with a FILE.")
        return demand.generate(seed, generate or 1)
    try:
        return demand.read(file, catalogue)
    except demand.BadDemand as error:
        raise Ended(str(error), REFUSED) from error


# --- the database --------------------------------------------------------------------------------


@contextmanager
def _database(given: str | None) -> Iterator[Flask]:
    """An application on an empty, migrated database that is not the installation's."""
    with tempfile.TemporaryDirectory(prefix="nextseat-replay-") as folder:
        url = _checked(given) if given else database_url(f"sqlite:///{folder}/replay.db")
        app = create_app(_settings(url), role="replay")
        with app.app_context():
            try:
                _prepare(app)
                yield app
            finally:
                db.session.remove()
                db.engine.dispose()


def _checked(given: str) -> URL:
    try:
        url = database_url(given)
    except BadDatabaseUrl as error:
        raise Ended(str(error).replace("SQLALCHEMY_DATABASE_URI", "--db"), REFUSED) from error
    if url == current_app.config.get("SQLALCHEMY_DATABASE_URI"):
        raise Ended("--db names the database of this installation; give another one.", REFUSED)
    return url


def _settings(url: URL) -> Settings:
    """The documented defaults: what this machine is configured to do must not change the story."""
    text = url.render_as_string(hide_password=False)
    return Settings.model_construct(sqlalchemy_database_uri=SecretStr(text))


def _prepare(app: Flask) -> None:
    """Refuse a database in use, migrate it otherwise. Raises `Ended`."""
    there = set(sa.inspect(db.engine).get_table_names())
    if there and "alembic_version" not in there:
        raise Ended("--db has tables of something else; give an empty database.", REFUSED)
    for model in MUST_BE_EMPTY:
        a_row = sa.select(sa.literal(1)).select_from(model).limit(1)
        if model.__tablename__ in there and db.session.execute(a_row).first():
            raise Ended(f"--db is not empty: {model.__tablename__} has rows.", REFUSED)
    db.session.remove()
    if db.engine.dialect.name == "sqlite":
        # A replay that is cut short is begun anew: nothing here has to survive a power cut.
        sa.event.listen(db.engine, "connect", _in_a_hurry)
        db.engine.dispose()
    flask_migrate.upgrade(directory=str(MIGRATIONS))


def _in_a_hurry(dbapi: Any, _record: Any) -> None:
    dbapi.execute("PRAGMA synchronous=OFF")


# --- what people see -----------------------------------------------------------------------------

FIGURES = {
    "trainings": "trainings, each with its places",
    "arrivals": "people who asked for a place",
    "departures": "people who left again, their place or the line",
    "absorbed": "departures that had happened by themselves: declined, or ran out",
    "enrolled": "have a place in the end",
    "waiting": "still wait in the end",
    "invited_total": "invitations, each for one place and at most 24 hours",
    "accepted": "of them taken",
    "declined": "given back",
    "expired": "ran out, the next in line was invited",
    "too_late": "answers after the deadline, refused",
    "letters": "letters promised to students and trainers; none was sent",
    "oversold": "places given that were not there",
    "fifo_violations": "times someone was passed, or a right was taken that had lapsed",
    "idle_spots": "free places left at rest while someone waited",
    "history_gaps": "numbers missing in a history, or moves that it does not explain",
    "seconds": "it took",
}
PROMISES = ("oversold", "fifo_violations", "idle_spots", "history_gaps")


def _table(figures: replay.Figures) -> str:
    values = figures.as_json()
    lines = [
        f"{'✗' if name in PROMISES and values[name] else '✓' if name in PROMISES else ' '}"
        f" {name:16}{values[name]:>8,}  {meaning}"
        for name, meaning in FIGURES.items()
    ]
    verdict = (
        "Every promise was kept." if not figures.violations else "Promises were broken: see ✗."
    )
    return "\n".join([*lines, "", verdict])
