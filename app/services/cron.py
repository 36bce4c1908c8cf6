"""Cron as Unix means it, read by cronsim (schedules T4, N1; STYLE P3).

Instants go in and come out in UTC; the zone is where the text's times are meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from flask_babel import gettext as _

LONGEST = 255  # characters
# What five fields are made of; a macro is looked up before.
ALLOWED = re.compile(r"[0-9A-Za-z*,\-/# \t]*")
MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
# Clocks are put back by less than this. On such a night a wall clock is behind what it showed.
SETBACK = timedelta(hours=3)
ODD_DAY = re.compile(r"\b([23][123])th\b")
ENDINGS = {"1": "st", "2": "nd", "3": "rd"}
SOME_DAY = datetime(2024, 1, 1, tzinfo=UTC)


class BadCron(ValueError):
    """The text is no cron expression; the error says why, in words for whoever typed it."""


def expanded(text: str) -> str:
    """The five fields of a cron expression, macros written out. Raises `BadCron`."""
    if len(text) > LONGEST:
        raise BadCron(_("longer than %(most)s characters", most=LONGEST))
    text = text.strip(" \t")
    if text.startswith("@"):
        return _macro(text)
    if not ALLOWED.fullmatch(text):
        raise BadCron(_("write only digits, letters and * , - / #"))
    fields = text.split()
    # cronsim would read six fields as seconds, and so much too often.
    if len(fields) != 5:
        raise BadCron(
            _(
                "%(count)s fields, but there are five: minute, hour, day of month, month, weekday",
                count=len(fields),
            )
        )
    return _readable(" ".join(fields))


def following(text: str, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """The instants after `after`, earliest first; ends where there is none for fifty years."""
    last = after
    for found in CronSim(text, after.astimezone(zone)):
        # In the second of two equal hours a wall clock has still to reach what is past.
        if (at := found.astimezone(UTC)) > last:
            last = at
            yield at


def preceding(text: str, zone: ZoneInfo, until: datetime) -> Iterator[datetime]:
    """The instants up to and including `until`, latest first; ends as `following`."""
    last = until + timedelta(microseconds=1)
    for found in CronSim(text, (until + SETBACK).astimezone(zone), reverse=True):
        if (at := found.astimezone(UTC)) < last:
            last = at
            yield at


def either_day(text: str) -> bool:
    """Whether day of month and weekday are both restricted: then either is enough (T4)."""
    return not CronSim(text, SOME_DAY).day_and


def once_a_night(text: str) -> bool:
    """Whether a clock change neither drops nor doubles it: minute and hour are named."""
    minute, hour = text.split()[:2]
    return not minute.startswith("*") and not hour.startswith("*")


def in_words(text: str) -> str:
    """What it says, in cronsim's English, which knows no 21st, 22nd, 23rd and 31st."""
    said = str(CronSim(text, SOME_DAY).explain())
    return ODD_DAY.sub(lambda found: found[1] + ENDINGS[found[1][-1]], said)


def _macro(text: str) -> str:
    if text.lower() not in MACROS:
        names = ", ".join(MACROS)
        raise BadCron(_("there is no such short name; there are %(names)s", names=names))
    return MACROS[text.lower()]


def _readable(text: str) -> str:
    try:
        CronSim(text, SOME_DAY)
    except CronSimError as error:
        raise BadCron(_why(str(error))) from error
    return text


def _why(said: str) -> str:
    reasons = {
        "Bad minute": _("bad minute: write 0-59"),
        "Bad hour": _("bad hour: write 0-23"),
        "Bad day-of-month": _("bad day of month: write 1-31, a day that the month has, or L"),
        "Bad month": _("bad month: write 1-12 or jan-dec"),
        "Bad day-of-week": _(
            "bad weekday: write 0-7 (0 and 7 are Sunday) or sun-sat, ranges forward"
        ),
    }
    return str(reasons.get(said, said))
