"""What the commands share: what operators type, and what they read (people PC)."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click
import sqlalchemy as sa

from app.extensions import db, utcnow
from app.models import Practice
from app.ops.demand import instant
from app.ops.exits import NOT_FOUND, REFUSED, UNREACHABLE, Ended, ended
from app.services.intervals import parse_interval
from app.services.refusals import Refusal

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

HIGHEST_ID = 2**31 - 1
MOST_ROWS = 1_000_000  # of a list
SHORT_LIST = 50  # rows of a list, unless more are asked for (people PG5)
MANY = 100  # from here on a bar shows how far it is


# --- what is typed -------------------------------------------------------------------------------


class Text(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.2 on
    """A text that any database can hold: no NUL, no broken bytes."""

    name = "text"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        text = str(value)
        if "\0" in text:
            self.fail("holds a NUL character.", param, ctx)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail("is not UTF-8.", param, ctx)
        return text


class Since(click.ParamType):  # type: ignore[type-arg]
    """An instant, as in 2026-03-02T12:00Z (UTC without offset), or how long ago, as in 2 hours."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return instant(value)
        except ValueError:
            pass
        try:
            return utcnow() - parse_interval(value)
        except Refusal:
            self.fail(f"{value!r} is no time such as 2026-03-02T12:00Z or 2 hours.", param, ctx)


class Until(click.ParamType):  # type: ignore[type-arg]
    """An instant as `Since` has it, or how long from now, as in 2 hours."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return instant(value)
        except ValueError:
            pass
        try:
            return utcnow() + parse_interval(value)
        except (Refusal, OverflowError):
            self.fail(f"{value!r} is no time such as 2026-03-02T12:00Z or 2 hours.", param, ctx)


TEXT, SINCE, UNTIL, COUNT = Text(), Since(), Until(), click.IntRange(min=1, max=MOST_ROWS)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
limit_option = click.option(
    "--limit",
    type=COUNT,
    default=SHORT_LIST,
    show_default=True,
    help="At most so many rows.",
)
yes_option = click.option("--yes", is_flag=True, help="Do it without asking.")
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Say what would be done; nothing is written."
)


def number(text: str) -> int | None:
    """The id that `text` is, or None: no other spelling of a number counts."""
    if not re.fullmatch(r"[1-9][0-9]{0,9}", text):
        return None
    return int(text) if int(text) <= HIGHEST_ID else None


def sure(question: str, yes: bool) -> None:
    """Ask before a big change, unless told `--yes`. Raises `Ended`."""
    if yes:
        return
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort as abort:
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise Ended("Nobody answered: add --yes to do it without asking.", REFUSED) from None
    if not agreed:
        raise Ended("Nothing was done.", REFUSED)


MOST_CANDIDATES = 10


def the_one(what: str, text: str, found: Sequence[tuple[T, str]]) -> T:
    """The only thing that fits what was typed. Raises `Ended`: 3 for none, 2 with candidates."""
    if not found:
        raise Ended(f"There is no {what} {printable(text)}.", NOT_FOUND)
    if len(found) == 1:
        return found[0][0]
    shown = [f"  {printable(line)}" for _, line in found[:MOST_CANDIDATES]]
    more = ["  …"] if len(found) > MOST_CANDIDATES else []
    raise Ended("\n".join([f"Several fit {printable(text)}; give the id:", *shown, *more]), REFUSED)


practice_option = click.option(
    "--practice", metavar="SHORTNAME", type=TEXT, help="Which practice; the only one if left out."
)


def the_practice(shortname: str | None) -> Practice:
    """The practice of that name, or the only one. Raises `Ended`."""
    wanted = sa.select(Practice).order_by(Practice.id)
    if shortname is not None:
        wanted = wanted.where(Practice.shortname == shortname)
    found = list(db.session.scalars(wanted.limit(MOST_CANDIDATES)))
    if len(found) == 1:
        return found[0]
    if not found:
        raise Ended("There is no such practice; flask import makes one.", NOT_FOUND)
    names = ", ".join(printable(practice.shortname) for practice in found)
    raise Ended(f"Say which --practice: {names}.", REFUSED)


# --- what is read --------------------------------------------------------------------------------


def note(text: str) -> None:
    """A remark beside the results, on stderr."""
    click.echo(text, err=True)


def print_json(value: Any) -> None:
    """One JSON value on stdout; instants in ISO 8601, UTC."""
    click.echo(as_json_text(value))


def as_json_text(value: Any) -> str:
    """`value` as JSON, for people too."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=_plain)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} has no JSON")


def printable(text: object) -> str:
    """One line that cannot move the cursor, colour the screen or run from right to left."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns under their names; nothing at all without rows."""
    lines = [[printable("" if cell is None else cell) for cell in row] for row in rows]
    if not lines:
        return
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    for line in [list(header), *lines]:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """A thing, a fact a line; what it has not is left out."""
    shown = [(name, value) for name, value in facts if value not in (None, "")]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{name.ljust(width)}  {printable(value)}")


def print_count(shown: int, total: int, what: str) -> None:
    """On stderr: how many there are, and how to see the others."""
    rest = f", {shown} shown: --limit {total} shows all" if shown < total else ""
    note(f"{what}: {total}{rest}.")


def utc(at: datetime | None) -> str:
    """`2026-03-02 12:00:00Z`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}" if at else ""


def local(at: datetime | None, zone: ZoneInfo | None) -> str:
    """The same instant on the practice's clock, with its offset."""
    return f"{at.astimezone(zone):%a %d %b %H:%M %Z}" if at and zone else ""


def practice_zone() -> ZoneInfo | None:
    """The zone of this installation's practices, if they share one."""
    zones = db.session.scalars(sa.select(Practice.timezone).distinct().limit(2)).all()
    return ZoneInfo(zones[0]) if len(zones) == 1 else None


def length(time_: timedelta) -> str:
    """`2 d 3 h`, `3 min 10 s`, `0 s`: the two largest units that say anything."""
    left, said = int(time_.total_seconds()), list[str]()
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        if count or said:
            said.append(f"{count} {unit}" if count else "")
    return " ".join(part for part in said[:2] if part) or "0 s"


def write_file(path: Path, text: str) -> None:
    """All of it or nothing, for the owner alone: an older file stays until the new one is whole.

    Raises `Ended`.
    """
    try:
        handle, scratch = tempfile.mkstemp(prefix=".nextseat-", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(scratch, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(scratch)
            raise
    except (FileNotFoundError, NotADirectoryError):
        raise Ended(f"There is no folder {printable(path.parent)}.", NOT_FOUND) from None
    except OSError as error:
        raise Ended(f"{printable(path)} cannot be written: {error.strerror}.", REFUSED) from error


# --- one after another ---------------------------------------------------------------------------


def each(things: Sequence[T], label: str, do: Callable[[T], None]) -> int:
    """Do one thing after another, each in a transaction of its own; return how many failed.

    One that fails is told on stderr and stops no other (L5); a database that is gone ends them all.
    """
    failed = 0
    with progress(f"{label}s") if len(things) >= MANY else nullcontext(_quietly) as show:
        for done, thing in enumerate(things, start=1):
            try:
                do(thing)
            except Exception as error:
                end = ended(error)
                if end.exit_code == UNREACHABLE:
                    raise
                note(f"{label} {thing}: {end.message}")
                failed += 1
            show(done, len(things))
    return failed


Progress = Callable[[int, int], None]  # how many are done, of how many


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """On a terminal a bar, elsewhere a line per 10 %: count, rate, time left (people PC)."""
    if not sys.stderr.isatty():
        yield _Lines(label)
        return
    with click.progressbar(length=1, file=sys.stderr, show_pos=True, label=label) as bar:

        def show(done: int, all_: int) -> None:
            bar.length = all_
            bar.update(done - bar.pos)

        yield show


def _quietly(_done: int, _all: int) -> None:
    """What is over at once needs no bar."""


class _Lines:
    """One line per 10 %."""

    def __init__(self, label: str) -> None:
        self.began, self.tenths, self.label = time.monotonic(), 0, label

    def __call__(self, done: int, all_: int) -> None:
        if done * 10 // all_ == self.tenths:
            return
        self.tenths = done * 10 // all_
        passed = time.monotonic() - self.began
        rate = done / passed if passed else 0.0
        left = (all_ - done) / rate if rate else 0.0
        note(
            f"{done:,} of {all_:,} {self.label} ({self.tenths * 10} %),"
            f" {rate:,.0f}/s, {left:,.0f} s left"
        )
