"""How people write a length of time, and how we write it back (waitlist WA7)."""

from __future__ import annotations

import re
from datetime import timedelta

from flask_babel import lazy_gettext as _l

from app.services.refusals import Refusal

LONGEST = timedelta(days=366)

CLOCK = re.compile(
    r"(?:(\d{1,4})(?:\s+|\s*days?,?\s+|\s*dag(?:en)?,?\s+))?(\d{1,5}):(\d\d):(\d\d)",
    re.ASCII,
)
WORDS = re.compile(r"(\d{1,6})\s*([a-z]+)[,\s]*", re.ASCII)
UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
# en and nl: week, dag, uur, minuut, seconde
SPELLINGS = {
    spelling: unit
    for unit, spellings in {
        "w": "w week weeks weken",
        "d": "d day days dag dagen",
        "h": "h hour hours u uur uren",
        "m": "m min minute minutes minuut minuten",
        "s": "s sec second seconds seconde seconden",
    }.items()
    for spelling in spellings.split()
}


class BadInterval(Refusal):
    """The text is no length of time we take; the sentence names the accepted forms."""

    code, status = "bad_interval", 400
    sentence = _l(
        "Write a time like 2 00:00:00, 0 48:00:00, 48:00:00, 2d 3h, 2 weeks or 90 minutes:"
        " more than zero, at most 366 days."
    )


def parse_interval(text: str) -> timedelta:
    """A length of time above zero and up to 366 days. Raises `BadInterval`, never a silent 0."""
    given = text.strip().lower()
    length = _clock(given) if ":" in given else _words(given)
    if length is None or not timedelta(0) < length <= LONGEST:
        raise BadInterval
    return length


def show_interval(length: timedelta) -> str:
    """As administrators read it: `2 00:00:00`."""
    hours, seconds = divmod(length.seconds, 3600)
    return f"{length.days} {hours:02}:{seconds // 60:02}:{seconds % 60:02}"


def _clock(text: str) -> timedelta | None:
    found = CLOCK.fullmatch(text)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    if minutes > 59 or seconds > 59:
        return None
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _words(text: str) -> timedelta | None:
    parts = WORDS.findall(text)
    if not parts or WORDS.sub("", text).strip() or any(u not in SPELLINGS for _, u in parts):
        return None
    return sum((int(n) * UNITS[SPELLINGS[unit]] for n, unit in parts), timedelta(0))
