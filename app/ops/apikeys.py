"""`flask apikeys`: keys with which programs ask for schedules (people PC, PA12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import sqlalchemy as sa
from flask.cli import with_appcontext

from app.extensions import db, unit, utcnow
from app.models import ApiKey, Practice
from app.ops.exits import NOT_FOUND, REFUSED, Ended, needs_database
from app.ops.terminal import (
    TEXT,
    json_option,
    note,
    print_count,
    print_json,
    print_table,
    printable,
    utc,
)
from app.services import api_keys
from app.services.actors import CONSOLE

LIFE = click.IntRange(1, api_keys.MOST_DAYS)


@click.group("apikeys")
def command() -> None:
    """Keys with which programs ask for schedules; only a digest of them is kept."""


@command.command("list")
@json_option
@with_appcontext
@needs_database
def list_(as_json: bool) -> None:
    """All keys, the newest first: what they may do, until when, and when they were last used."""
    rows = [_facts(key) for key in api_keys.listed(db.session())]
    if as_json:
        print_json(rows)
    else:
        columns = ("id", "name", "prefix", "scopes", "state", "expires_at", "last_used_at")
        print_table(columns, [[_cell(row[name]) for name in columns] for row in rows])
    print_count(len(rows), len(rows), "keys")


def _facts(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.first_characters,
        "practice_id": key.practice_id,
        "scopes": key.scopes,
        "state": _state(key),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    }


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "over" if key.expires_at is not None and key.expires_at <= utcnow() else "works"


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(value)
    return utc(value) if hasattr(value, "astimezone") else value


@command.command("create")
@click.argument("name", metavar="NAME", type=TEXT)
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(api_keys.SCOPES),
    multiple=True,
    required=True,
    help="What it may do; may be given several times.",
)
@click.option("--days", type=LIFE, default=api_keys.DAYS, show_default=True, help="How long.")
@click.option(
    "--practice", metavar="SHORTNAME", type=TEXT, help="For this practice alone; else for all."
)
@with_appcontext
@needs_database
def create(name: str, scopes: Sequence[str], days: int, practice: str | None) -> None:
    """Make a key. Prints it, this one time."""
    now = utcnow()

    def act() -> tuple[ApiKey, str]:
        return api_keys.create(
            db.session(), name, scopes, CONSOLE, now, practice_id=_practice_id(practice), days=days
        )

    key, text = unit(db.session, act)
    until = utc(key.expires_at)
    note(f"made {printable(key.name)}, works until {until}; it cannot be shown again")
    click.echo(text)


def _practice_id(shortname: str | None) -> int | None:
    if shortname is None:
        return None
    found = db.session.scalar(sa.select(Practice.id).where(Practice.shortname == shortname))
    if found is None:
        raise Ended(f"There is no practice {printable(shortname)}.", NOT_FOUND)
    return int(found)


@command.command("revoke")
@click.argument("prefix", metavar="PREFIX", type=TEXT)
@with_appcontext
@needs_database
def revoke(prefix: str) -> None:
    """Let a key open nothing from now on; named by its prefix, its id or its name."""
    now = utcnow()

    def act() -> ApiKey:
        key = _the_key(prefix)
        api_keys.revoke(db.session(), key, CONSOLE, now)
        return key

    key = unit(db.session, act)
    click.echo(f"{key.first_characters} {printable(key.name)}: revoked")


def _the_key(text: str) -> ApiKey:
    """The one key that is meant. Raises `Ended`."""
    found = api_keys.named(db.session(), text)
    if not found:
        raise Ended(f"There is no key {printable(text)}.", NOT_FOUND)
    if len(found) > 1:
        listed = ", ".join(f"{key.id} ({printable(key.name)})" for key in found)
        raise Ended(f"Several keys are meant; name one by its id: {listed}.", REFUSED)
    return found[0]
