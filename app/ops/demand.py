"""Demand for places over time: read from a registrar's files, or made up from a seed (RD3).

A file has one row per change of a section: `time, course, section, section_id, instructor,
enrolled, waitlisted, total`. How many want in is `enrolled + waitlisted`, how many places there are
`total`. A catalogue (`subj_course_id, sec_code, sec_id, instructor, total_seats, meetings`, by
tabs) adds sections in which nothing happened, and the hour at which each of them meets.
"""

from __future__ import annotations

import csv
import gzip
import io
import random
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import NoReturn

from app.models.training import MOST_PARTICIPANTS

NO_LIMIT = 9999  # the registrar's word for it
MOST_WANTED = 100_000
YEARS = range(1970, 3000)  # what we add to an instant must still be one
LONGEST_TEXT, LONGEST_NAME = 100, 200  # what the tables hold
MORNING = (time(9), time(12))
REGISTRAR_ZONE = "America/Los_Angeles"

DEMAND_COLUMNS = ("time", "course", "section", "section_id", "instructor", "enrolled", "waitlisted")
CATALOGUE_COLUMNS = ("subj_course_id", "sec_code", "sec_id", "instructor", "meetings")
PLACES_IN_DEMAND, PLACES_IN_CATALOGUE = "total", "total_seats"


class BadDemand(ValueError):
    """A file we cannot replay; the message names the file, the line and what is wrong with it."""


@dataclass(frozen=True)
class Section:
    """What becomes a training; `key` is the same in the catalogue and in the demand."""

    key: str
    name: str
    instructor: str
    places: int  # at the beginning
    meets: tuple[time, time] = MORNING


@dataclass(frozen=True)
class Change:
    """From `at` on so many want in, and there are so many places."""

    at: datetime
    key: str
    wanted: int
    places: int


@dataclass(frozen=True)
class Demand:
    """Everything to replay: changes in order of time, each of a section that is listed."""

    sections: tuple[Section, ...]
    changes: tuple[Change, ...]
    zone: str = REGISTRAR_ZONE

    @property
    def begins_at(self) -> datetime:
        return self.changes[0].at

    @property
    def ends_at(self) -> datetime:
        return self.changes[-1].at

    @property
    def held_on(self) -> date:
        """The day on which everything starts: the one after the last change, in UTC."""
        return self.ends_at.date() + timedelta(days=1)


# --- reading -------------------------------------------------------------------------------------


def read(file: Path, catalogue: Path | None = None) -> Demand:
    """Demand from a CSV file, gzipped or not, with a catalogue or without. Raises `BadDemand`."""
    first: dict[str, Section] = {}
    changes: list[Change] = []
    for row in _rows(file, ",", (*DEMAND_COLUMNS, PLACES_IN_DEMAND)):
        change = _change(row)
        if changes and change.at < changes[-1].at:
            raise row.wrong("time", "is earlier than the row before")
        changes.append(change)
        section = Section(
            change.key, row.name("course", "section"), row.person("instructor"), change.places
        )
        first.setdefault(change.key, section)
    if not changes:
        raise BadDemand(f"{file.name}: no row of demand in it.")
    listed = _catalogue(catalogue) if catalogue else {}
    # The file knows best how many places there were when it began.
    known = {key: _begin_with(s, first.get(key)) for key, s in listed.items()}
    return Demand(tuple((known | {k: s for k, s in first.items() if k not in known}).values()),
                  tuple(changes))  # fmt: skip


def _begin_with(section: Section, first: Section | None) -> Section:
    if first is None:
        return section
    return Section(section.key, section.name, section.instructor, first.places, section.meets)


def _change(row: _Row) -> Change:
    wanted = row.number("enrolled", MOST_WANTED) + row.number("waitlisted", MOST_WANTED)
    return Change(row.instant("time"), row.text("section_id"), wanted, row.places(PLACES_IN_DEMAND))


def _catalogue(file: Path) -> dict[str, Section]:
    sections: dict[str, Section] = {}
    for row in _rows(file, "\t", (*CATALOGUE_COLUMNS, PLACES_IN_CATALOGUE)):
        key = row.text("sec_id")
        if key in sections:
            raise row.wrong("sec_id", "is there twice")
        sections[key] = Section(
            key,
            row.name("subj_course_id", "sec_code"),
            row.person("instructor"),
            row.places(PLACES_IN_CATALOGUE),
            meeting_time(row.value("meetings")),
        )
    return sections


CLOCK = re.compile(r"(\d{1,2}):(\d{2}) - (\d{1,2}):(\d{2})", re.ASCII)


def meeting_time(meetings: str) -> tuple[time, time]:
    """From when to when the first meeting lasts that says so; else from nine to twelve.

    `code,days,time,room`, several of them separated by `|`; `0:00 - 0:00` and `TBA` say nothing.
    """
    for found in CLOCK.finditer(meetings):
        hour, minute, until_hour, until_minute = map(int, found.groups())
        if max(hour, until_hour) < 24 and max(minute, until_minute) < 60:
            begins, ends = time(hour, minute), time(until_hour, until_minute)
            if begins < ends:
                return begins, ends
    return MORNING


@dataclass(frozen=True)
class _Row:
    """A line of a file; of a value that is not as it should be it says where it stands."""

    file: str
    line: int
    values: dict[str, str]

    def wrong(self, column: str, why: str) -> BadDemand:
        return BadDemand(f"{self.file}, line {self.line}, {column}: {why}.")

    def value(self, column: str) -> str:
        value = self.values[column].strip()
        if "\0" in value:  # PostgreSQL stores none
            raise self.wrong(column, "has a NUL character in it")
        return value

    def text(self, column: str) -> str:
        return self.person(column) or self._empty(column)

    def person(self, column: str) -> str:
        """A name, or nothing at all."""
        value = self.value(column)
        if len(value) > LONGEST_TEXT:
            raise self.wrong(column, f"is longer than {LONGEST_TEXT} characters")
        return value

    def name(self, course: str, section: str) -> str:
        """What the training is called."""
        name = f"{self.text(course)} {self.text(section)}"
        if len(name) > LONGEST_NAME:
            raise self.wrong(course, f"and {section} are longer than {LONGEST_NAME} characters")
        return name

    def _empty(self, column: str) -> NoReturn:
        raise self.wrong(column, "is empty")

    def number(self, column: str, most: int) -> int:
        value = self.value(column)
        if not (value.isascii() and value.isdigit()) or len(value) > 9:
            raise self.wrong(column, f"{value[:40]!r} is no whole number")
        if int(value) > most:
            raise self.wrong(column, f"{value} is more than {most}")
        return int(value)

    def places(self, column: str) -> int:
        number = self.number(column, MOST_PARTICIPANTS)
        return MOST_PARTICIPANTS if number == NO_LIMIT else number

    def instant(self, column: str) -> datetime:
        try:
            found = instant(self.value(column))
        except ValueError:
            raise self.wrong(column, f"{self.value(column)[:40]!r} is no instant") from None
        if found.year not in YEARS:
            raise self.wrong(column, f"is not between {YEARS[0]} and {YEARS[-1]}")
        return found


def instant(text: str) -> datetime:
    """ISO 8601 as aware UTC; without an offset it is UTC already. Raises `ValueError`."""
    read = datetime.fromisoformat(text)
    try:
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except OverflowError:  # the first or the last day of the calendar
        raise ValueError(text) from None


def _rows(file: Path, delimiter: str, columns: tuple[str, ...]) -> Iterator[_Row]:
    reader = csv.reader(_lines(file), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        if missing := [name for name in columns if header.count(name) != 1]:
            raise BadDemand(f"{file.name}, line 1: needs the column {missing[0]} once.")
        for values in reader:
            if len(values) != len(header):
                raise BadDemand(
                    f"{file.name}, line {reader.line_num}: {len(values)} values"
                    f" under {len(header)} columns."
                )
            yield _Row(file.name, reader.line_num, dict(zip(header, values, strict=True)))
    except csv.Error as error:
        raise BadDemand(f"{file.name}, line {reader.line_num}: {error}.") from error


def _lines(file: Path) -> Iterable[str]:
    content = file.read_bytes()
    try:
        if content.startswith(b"\x1f\x8b"):  # gzip, whatever the file is called
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise BadDemand(f"{file.name}: damaged gzip file ({error}).") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadDemand(f"{file.name}, line {line}: not UTF-8.") from error
    return io.StringIO(text, newline="")


# --- making up -----------------------------------------------------------------------------------

OPENING = datetime(2026, 1, 5, 8, tzinfo=UTC)  # a Monday; made-up demand has no date of its own
MADE_UP_ZONE = "Europe/Amsterdam"
COURSES = ("Pottery", "Bread", "Bookbinding", "First aid", "Sailing", "Beekeeping", "Joinery")
TEACHERS = ("Tess", "Tom", "Tara", "Theo", "Toni")


def generate(seed: int, sections: int = 20, days: int = 21) -> Demand:
    """Demand as courses have it, the same for the same seed.

    A rush when booking opens, sections wanted by half or by thrice as many as fit, people who leave
    again, above all towards the end, and now and then a larger or a smaller room.
    """
    made: list[Section] = []
    changes: list[Change] = []
    for n in range(sections):
        draw = random.Random(f"{seed}/{n}")  # noqa: S311  a made-up world, no secret
        name = f"{COURSES[n % len(COURSES)]} {n // len(COURSES) + 1}"
        section = Section(f"made-up-{n + 1}", name, TEACHERS[n % len(TEACHERS)],
                          draw.randint(3, 14), _made_up_hours(draw))  # fmt: skip
        made.append(section)
        changes += _made_up_changes(draw, section, days)
    ordered = sorted(changes, key=lambda change: (change.at, change.key))
    return Demand(tuple(made), tuple(ordered), MADE_UP_ZONE)


def _made_up_hours(draw: random.Random) -> tuple[time, time]:
    begins = draw.randint(8, 18)
    return time(begins), time(begins + draw.randint(1, 4))


def _made_up_changes(draw: random.Random, section: Section, days: int) -> Iterator[Change]:
    places, popularity = section.places, draw.uniform(0.5, 3)
    at, wanted = OPENING, draw.randint(1, section.places + 3)
    closing = OPENING + timedelta(days=days)
    while at < closing:
        yield Change(at, section.key, wanted, places)
        at += timedelta(minutes=10 * draw.randint(1, 60))
        if draw.random() < 0.02:
            places = max(1, places + draw.randint(-3, 4))
        grown = popularity * places * min(1, (at - OPENING) / (closing - OPENING) * 2)
        rises = draw.random() < (0.75 if wanted < grown else 0.35)
        wanted = max(0, wanted + draw.randint(1, 3) * (1 if rises else -1))
