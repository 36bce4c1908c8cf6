"""From bytes to typed rows, without the database; every fault with its line (B51–B57)."""

from __future__ import annotations

import collections
import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from app.services.importing.report import Fault, FaultyFile, refuse_if
from app.services.importing.rows import Row

R = TypeVar("R", bound=Row)

MOST_BYTES = 2 * 1024 * 1024
MOST_ROWS = 10_000
MOST_COLUMNS = 100
DELIMITERS = ",;\t"
NEWLINE = re.compile(r"\r\n|\r|\n")
# Our own exports guard what a spreadsheet would run with an apostrophe (reliability SE13).
GUARDED = re.compile(r"'(?=[=+\-@])")

BYTES_OF_OTHERS = {
    b"PK\x03\x04": "this is a zip or Excel file; save it as CSV (UTF-8)",
    b"\xd0\xcf\x11\xe0": "this is an Excel file; save it as CSV (UTF-8)",
    b"\xff\xfe": "this is UTF-16; save it as CSV (UTF-8)",
    b"\xfe\xff": "this is UTF-16; save it as CSV (UTF-8)",
}


class Line(NamedTuple):
    """A row of the file and where it begins."""

    number: int
    cells: dict[str, str]


def read(model: type[R], content: bytes, zone: ZoneInfo, now: datetime) -> list[R]:
    """The rows of a file. Raises `FaultyFile`."""
    lines = _lines(_text(content), tuple(model.columns()))
    rows: list[R] = []
    faults: list[Fault] = []
    try:
        for line in lines:
            try:
                given = line.cells | {"line": line.number}
                rows.append(model.model_validate(given, context={"zone": zone, "now": now}))
            except ValidationError as error:
                faults += _faults_of(line, error)
    except FaultyFile as stopped:  # here the text stops making sense
        faults += stopped.faults
    refuse_if(faults + _doubled(rows))
    return rows


def _text(content: bytes) -> str:
    if len(content) > MOST_BYTES:
        raise FaultyFile([Fault(None, None, None, "larger than 2 MiB; split it")])
    for start, message in BYTES_OF_OTHERS.items():
        if content.startswith(start):
            raise FaultyFile([Fault(None, None, None, message)])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = "not UTF-8; save the file as CSV (UTF-8)"
        raise FaultyFile([Fault(line, None, None, message)]) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise FaultyFile([Fault(line, None, None, "has a NUL character; this is no CSV file")])
    if not text.strip():
        raise FaultyFile([Fault(None, None, None, "empty")])
    return text


def _lines(text: str, columns: Sequence[str]) -> Iterator[Line]:
    """The rows below the header, empty ones left out. Raises `FaultyFile`."""
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=_delimiter(text, columns), strict=True
    )
    end = 0  # of the last row that read well
    try:
        names = [_header(name) for name in reader.fieldnames or []]
        _require_columns(names, columns)
        reader.fieldnames = names
        count, end = 0, reader.line_num
        for cells in reader:
            end = reader.line_num
            # A short row has None for what it lacks, a long one a list under None.
            given = [*cells.pop(None, []), *(cell for cell in cells.values() if cell is not None)]
            if not any(cell.strip() for cell in given):
                continue
            count += 1
            number = end - sum(len(NEWLINE.findall(cell)) for cell in given)
            if count > MOST_ROWS:
                message = f"more than {MOST_ROWS} rows; split the file"
                raise FaultyFile([Fault(number, None, None, message)])
            if len(given) != len(names):
                message = f"has {len(given)} cells, the header {len(names)}"
                raise FaultyFile([Fault(number, None, None, message)])
            yield Line(number, {name: _cell(cell) for name, cell in cells.items()})
    except csv.Error as error:
        raise FaultyFile([_csv_fault(error, end + 1)]) from error
    if not count:
        raise FaultyFile([Fault(None, None, None, "has no rows below the header")])


def _delimiter(text: str, columns: Sequence[str]) -> str:
    """Whatever separates most of the names we know in the first line."""
    first = NEWLINE.split(text, maxsplit=1)[0]

    def known(delimiter: str) -> int:
        return sum(_header(name.strip('"')) in columns for name in first.split(delimiter))

    return max(DELIMITERS, key=known)


def _header(name: str) -> str:
    return name.strip().lower()


def _require_columns(names: list[str], columns: Sequence[str]) -> None:
    if len(names) > MOST_COLUMNS:
        raise FaultyFile([Fault(1, None, None, f"more than {MOST_COLUMNS} columns")])
    counted = collections.Counter(names)
    faults = [
        Fault(1, name, None, "this column is missing") for name in columns if not counted[name]
    ]
    for name, times in counted.items():
        if name not in columns:
            message = f"unknown column; there are {', '.join(columns)}"
            faults.append(Fault(1, name or "a column without name", name, message))
        elif times > 1:
            faults.append(Fault(1, name, name, f"this column is there {times} times"))
    refuse_if(faults)


def _cell(text: str) -> str:
    """The cell without what surrounds it; one spelling of each accented letter (B12)."""
    return GUARDED.sub("", unicodedata.normalize("NFC", text.strip()), count=1)


def _csv_fault(error: csv.Error, line: int) -> Fault:
    if "field limit" in str(error):
        return Fault(line, None, None, f"a cell is longer than {csv.field_size_limit()} characters")
    return Fault(line, None, None, "a quotation mark is open or stands in the wrong place")


def _faults_of(line: Line, error: ValidationError) -> list[Fault]:
    columns = [(str(e["loc"][0]), e["msg"]) for e in error.errors(include_url=False)]
    return [Fault(line.number, name, line.cells[name], message) for name, message in columns]


def _doubled(rows: Sequence[Row]) -> list[Fault]:
    """The same thing twice in one file: which of the two should we believe? (B55)"""
    first: dict[object, int] = {}
    faults = []
    for row in rows:
        if (line := first.setdefault(row.key, row.line)) != row.line:
            faults.append(row.fault(row.key_column, f"the same as in line {line}"))
    return faults
