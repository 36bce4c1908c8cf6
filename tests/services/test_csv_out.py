"""Files for spreadsheets, in which nobody's name is a formula (reliability SE13)."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from app.services import csv_out


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\0"])
def test_what_a_spreadsheet_would_compute_gets_an_apostrophe(sign: str) -> None:
    assert csv_out.guarded(f"{sign}1+1") == f"'{sign}1+1"


@pytest.mark.parametrize(
    ("value", "cell"),
    [("Ada", "Ada"), ("1-1", "1-1"), ("", ""), (None, ""), (-5, "-5"), (2.5, "2.5")],
)
def test_all_else_stays_as_it_is(value: Any, cell: str) -> None:
    assert csv_out.guarded(value) == cell


def test_a_file_starts_with_the_mark_of_utf_8_and_keeps_every_cell_apart() -> None:
    file = csv_out.document(["name", "=note"], [['Zoë "Z", Example', "two\nlines"]])
    assert file.startswith(b"\xef\xbb\xbf")
    assert list(csv.reader(io.StringIO(file.decode("utf-8-sig"), newline=""))) == [
        ["name", "'=note"],
        ['Zoë "Z", Example', "two\nlines"],
    ]


def test_a_file_ends_after_the_most_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_out, "MOST_ROWS", 3)
    file = csv_out.document(["n"], ([n] for n in range(100)))
    assert file.decode("utf-8-sig").split() == ["n", "0", "1", "2"]
