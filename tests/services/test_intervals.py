"""Lengths of time as people write them, and as we write them back (waitlist WA7, WX21)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.services.intervals import BadInterval, parse_interval, show_interval
from tests.cast import DAY, HOUR, MINUTE, SECOND


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("2 00:00:00", 2 * DAY),
        ("0 48:00:00", 2 * DAY),
        ("48:00:00", 2 * DAY),
        ("2 days, 3:00:00", 2 * DAY + 3 * HOUR),
        ("1 day, 0:00:30", DAY + 30 * SECOND),
        ("2d 3h", 2 * DAY + 3 * HOUR),
        ("2 weeks", 14 * DAY),
        ("90 minutes", 90 * MINUTE),
        ("1 dag", DAY),
        ("2 dagen, 3 uur", 2 * DAY + 3 * HOUR),
        ("3 weken", 21 * DAY),
        ("15 minuten", 15 * MINUTE),
        ("30 seconden", 30 * SECOND),
        ("  2D 3H  ", 2 * DAY + 3 * HOUR),
        ("0:00:01", SECOND),
        ("366 days", 366 * DAY),
    ],
)
def test_what_people_write_is_understood(text: str, length: timedelta) -> None:
    assert parse_interval(text) == length


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "0",
        "48",
        "0 00:00:00",
        "00:00:00",
        "0 days",
        "-2 days",
        "-1 00:00:00",
        "2 00:61:00",
        "2 00:00:60",
        "soon",
        "2 fortnights",
        "367 days",
        "366 00:00:01",
        "99999 weeks",
        "1.5 days",
        "1e3 days",
        "٢ days",
        "2 00:00",
        "2 00:00:00 x",
        "d",
        "2 days 3",
        "P2D",
    ],
)
def test_anything_else_is_refused_with_the_forms_we_take_never_read_as_nothing(text: str) -> None:
    with pytest.raises(BadInterval) as no:
        parse_interval(text)
    assert no.value.status == 400
    assert "2 00:00:00" in str(no.value.sentence)


@pytest.mark.parametrize(
    ("length", "shown"),
    [
        (2 * DAY, "2 00:00:00"),
        (48 * HOUR + 5 * SECOND, "2 00:00:05"),
        (90 * MINUTE, "0 01:30:00"),
        (SECOND, "0 00:00:01"),
        (366 * DAY, "366 00:00:00"),
    ],
)
def test_what_we_write_is_what_we_read(length: timedelta, shown: str) -> None:
    assert show_interval(length) == shown
    assert parse_interval(shown) == length
