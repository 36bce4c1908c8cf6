"""Demand from files, gzipped or not, and made up (rulings RD3)."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime, time
from itertools import pairwise
from pathlib import Path

import pytest

from app.ops.demand import MORNING, BadDemand, generate, meeting_time, read

HEADER = "time,course,section,section_id,instructor,enrolled,waitlisted,total\n"
ROWS = (
    "2022-04-11T11:22:35Z,COGS 9,A01,083615,Staff,0,0,60\n"
    "2022-04-12T08:00:00Z,COGS 9,A01,083615,Boyle; Mary,60,4,60\n"
    "2022-04-12T08:00:00Z,MATH 2,B05,093559,Chow,1,0,9999\n"
)
CATALOGUE = (
    "subj_course_id\tsec_code\tsec_id\tinstructor\ttotal_seats\tmeetings\n"
    "COGS 9\tA01\t083615\tStaff\t80\tIN,N/A,0:00 - 0:00,X|LE,MW,11:00 - 13:50,RCLAS R04\n"
    "ANAR 1\tA00\t096456\tBraswell\t24\tTBA\n"
)


def written(folder: Path, text: str | bytes, name: str = "demand.csv") -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_each_row_says_how_many_want_in(tmp_path: Path) -> None:
    demand = read(written(tmp_path, HEADER + ROWS))
    assert [(c.key, c.wanted, c.places) for c in demand.changes] == [
        ("083615", 0, 60),
        ("083615", 64, 60),
        ("093559", 1, 10_000),
    ]
    assert [s.name for s in demand.sections] == ["COGS 9 A01", "MATH 2 B05"]
    assert demand.begins_at == datetime(2022, 4, 11, 11, 22, 35, tzinfo=UTC)
    assert demand.held_on == date(2022, 4, 13)


def test_a_gzipped_file_reads_the_same_whatever_it_is_called(tmp_path: Path) -> None:
    plain = written(tmp_path, HEADER + ROWS)
    assert read(written(tmp_path, gzip.compress((HEADER + ROWS).encode()), "x")) == read(plain)


def test_the_catalogue_adds_sections_and_hours_and_demand_adds_those_it_lacks(
    tmp_path: Path,
) -> None:
    listed = written(tmp_path, CATALOGUE, "catalogue.tsv")
    cogs, anar, math = read(written(tmp_path, HEADER + ROWS), listed).sections
    assert (cogs.places, cogs.meets) == (60, (time(11), time(13, 50)))  # as the demand begins
    assert (anar.name, anar.places, anar.meets) == ("ANAR 1 A00", 24, MORNING)
    assert math.name == "MATH 2 B05"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: needs the column time once"),
        ("time,time\n", "line 1: needs the column time once"),
        (HEADER, "no row of demand"),
        (HEADER + ROWS.replace("60,4", "60,x"), "line 3, waitlisted: 'x' is no whole number"),
        (HEADER + ROWS.replace("60,4", "60,-1"), "line 3, waitlisted: '-1' is no whole number"),
        (HEADER + ROWS.replace("60,4", "60,٣"), "line 3, waitlisted: '٣' is no whole number"),
        (HEADER + ROWS.replace("60,4", "60,999999999"), "line 3, waitlisted: 999999999 is more"),
        (HEADER + ROWS.replace("9999", "10001"), "line 4, total: 10001 is more than 10000"),
        (HEADER + ROWS.replace("-12T08", "-32T08"), "line 3, time: '2022-04-32T08:00:00Z' is no"),
        (HEADER + ROWS.replace("04-11", "04-13"), "line 3, time: is earlier than the row before"),
        (HEADER + ROWS.replace("2022-04-11T", "0001-01-01T")
            .replace("11:22:35Z", "00:00+23:00"), "line 2, time"),
        (HEADER + ROWS.replace("093559", ""), "line 4, section_id: is empty"),
        (HEADER + ROWS.replace("2022-04-12", "9999-12-31"), "line 3, time: is not between 1970"),
        (HEADER + ROWS.replace("2022-04-11", "0002-04-11"), "line 2, time: is not between 1970"),
        (HEADER + ROWS.replace("Chow", "C" * 101), "line 4, instructor: is longer than 100"),
        (HEADER + ROWS.replace("Chow", "C\0"), "line 4, instructor: has a NUL"),
        (HEADER + ROWS.replace("MATH 2,B05", f"{'M' * 100},{'B' * 100}"),
            "line 4, course: and section are longer than 200"),
        (HEADER + "2022-04-11T11:22:35Z,COGS 9\n", "line 2: 2 values under 8 columns"),
        (HEADER + ROWS + '"open', "unexpected end of data"),
        (HEADER.encode() + b"\xff\xfe", "line 2: not UTF-8"),
        (gzip.compress((HEADER + ROWS).encode())[:-9], "damaged gzip file"),
        (b"\x1f\x8b nonsense", "damaged gzip file"),
    ],
)  # fmt: skip
def test_a_bad_file_is_answered_by_its_line(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(BadDemand, match=r"^demand\.csv[,:]") as no:
        read(written(tmp_path, text))
    assert says in str(no.value)


@pytest.mark.parametrize("change", [("Braswell", "B" * 101), ("ANAR 1", "A\0")])
def test_a_bad_catalogue_is_answered_by_its_line(tmp_path: Path, change: tuple[str, str]) -> None:
    catalogue = written(tmp_path, CATALOGUE.replace(*change), "catalogue.tsv")
    with pytest.raises(BadDemand, match=r"^catalogue\.tsv, line 3"):
        read(written(tmp_path, HEADER + ROWS), catalogue)


def test_a_section_is_in_the_catalogue_once(tmp_path: Path) -> None:
    twice = CATALOGUE + CATALOGUE.splitlines(keepends=True)[1]
    with pytest.raises(BadDemand, match="line 4, sec_id: is there twice"):
        read(written(tmp_path, HEADER + ROWS), written(tmp_path, twice, "catalogue.tsv"))


@pytest.mark.parametrize("text", ["", "TBA", "LA,N/A,0:00 - 0:00,TBA", "x,y,25:00 - 26:00,z"])
def test_without_an_hour_a_section_meets_in_the_morning(text: str) -> None:
    assert meeting_time(text) == MORNING


def test_made_up_demand_is_the_same_for_the_same_seed_only() -> None:
    assert generate(1, 3) == generate(1, 3)
    assert generate(1, 3) != generate(2, 3)


def test_made_up_demand_rises_falls_overflows_and_changes_rooms() -> None:
    demand = generate(1, 20)
    for_one = [c for c in demand.changes if c.key == "made-up-1"]
    assert list(demand.changes) == sorted(demand.changes, key=lambda c: c.at)
    assert any(a.wanted < b.wanted for a, b in pairwise(for_one))
    assert any(a.wanted > b.wanted for a, b in pairwise(for_one))
    assert any(c.wanted > c.places for c in demand.changes)
    assert len({(c.key, c.places) for c in demand.changes}) > len(demand.sections)
