"""CSV files for people's spreadsheets, in which no cell is read as a formula (reliability SE13)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

BOM = "\ufeff"  # Excel reads UTF-8 as such only with it
MOST_ROWS = 50_000  # people PG5
STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\0")


def guarded(value: Any) -> str:
    """A cell as text; what a spreadsheet would compute gets a `'` before it."""
    text = "" if value is None else str(value)
    is_text = not isinstance(value, (int, float))  # a number below zero is a number
    return f"'{text}" if is_text and text.startswith(STARTS_A_FORMULA) else text


def lines(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """The file line by line, the mark of UTF-8 first; encode it as UTF-8.

    Headings are guarded too; at most `MOST_ROWS` rows are written.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    yield BOM
    for _number, cells in zip(range(MOST_ROWS + 1), _all(header, rows), strict=False):
        writer.writerow([guarded(cell) for cell in cells])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def document(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> bytes:
    """The whole file at once."""
    return "".join(lines(header, rows)).encode()


def _all(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    yield header
    yield from rows
