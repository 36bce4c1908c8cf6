"""The calendar part of a letter: the days of a training as the reader's calendar takes them (WM5).

One VCALENDAR per letter, and a second one for days that are no more. The days of one person keep
their UIDs for ever; whichever letter has the higher SEQUENCE wins, so that letters may arrive in
any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from icalendar import (
    Calendar,
    Component,
    Event,
    Timezone,
    TimezoneDaylight,
    TimezoneStandard,
    vCalAddress,
    vText,
)

from app.models.enrolment import ENROLLED, EXPIRED
from app.services.letter_facts import Day, Facts, as_instant, number_in, plain
from app.services.letter_words import zone_of

PRODUCT = "-//Nextseat//Letters//EN"

CONFIRMED, TENTATIVE, CANCELLED = "CONFIRMED", "TENTATIVE", "CANCELLED"
# How the reader takes part, as their calendar shows it.
PARTSTAT = {CONFIRMED: "ACCEPTED", TENTATIVE: "TENTATIVE", CANCELLED: "DECLINED"}

# What each letter does to the entries (WM1); others carry no calendar.
STATUS = {
    "enrolled": CONFIRMED,
    "accepted": CONFIRMED,
    "waitlisted": TENTATIVE,
    "declined": CANCELLED,
    "expired": CANCELLED,
    "derolled": CANCELLED,
    "left_waitlist": CANCELLED,
    "training_cancelled": CANCELLED,
    "training_cancelled_trainer": CANCELLED,
    "reminder_student": CONFIRMED,
    "reminder_trainer": CONFIRMED,
    "training_rescheduled": CONFIRMED,  # who waits: tentative
    "training_rescheduled_trainer": CONFIRMED,
}


@dataclass(frozen=True)
class Entry:
    """A calendar part and its METHOD; `cancelled` is a CANCEL that stands beside a REQUEST."""

    ical: bytes
    method: str
    cancelled: bytes | None = None


@dataclass(frozen=True)
class Gone:
    """A day that was taken out of the training; when it would have been, old rows don't know."""

    id: int
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True)
class _Pen:
    """Writes the calendars of one letter."""

    facts: Facts
    sender: str
    domain: str

    def calendar(self, method: str, status: str, days: Sequence[Day | Gone]) -> bytes:
        made = Calendar()
        made.add("prodid", PRODUCT)
        made.add("version", "2.0")
        made.add("method", method)
        for timezone in _timezones(self.facts.course.zone, *_years(days)):
            made.add_component(timezone)
        for day in days:
            made.add_component(self._event(day, status))
        return bytes(made.to_ical())

    def _event(self, day: Day | Gone, status: str) -> Event:
        facts, zone = self.facts, zone_of(self.facts.course.zone)
        made = Event()
        made.add("uid", f"{_subject(facts)}-{day.id}@{self.domain}")
        made.add("sequence", _sequence(facts))
        made.add("dtstamp", facts.row.created_at)  # of the letter, the same on each try
        made.add("status", status)
        made.add("organizer", _address(self.sender, plain(facts.course.practice_name)))
        attendee = _address(facts.reader.email, facts.reader.fullname)
        attendee.params["partstat"] = vText(PARTSTAT[status])
        attendee.params["role"] = vText("REQ-PARTICIPANT")
        made.add("attendee", attendee)
        made.add("summary", plain(facts.course.name))
        if day.start and day.end:
            made.add("dtstart", day.start.astimezone(zone))
            made.add("dtend", day.end.astimezone(zone))
        if where := _where(day):
            made.add("location", where)
        return made


def entry(facts: Facts, sender: str, domain: str) -> Entry | None:
    """The calendar part of a letter, None if it has nothing to say to a calendar.

    Days that were taken out of a training are named by the letter's row: they are cancelled in a
    part of their own, since a REQUEST cancels nothing (RFC 5546), or alone if no day remains.
    """
    status, removed = _status(facts), _removed(facts)
    if status is None or not (facts.days or removed):
        return None
    pen = _Pen(facts, sender, domain)
    if status is CANCELLED or not facts.days:
        return Entry(pen.calendar("CANCEL", CANCELLED, [*facts.days, *removed]), "CANCEL")
    cancelled = pen.calendar("CANCEL", CANCELLED, removed) if removed else None
    return Entry(pen.calendar("REQUEST", status, facts.days), "REQUEST", cancelled)


def published(facts: Facts, sender: str, domain: str) -> bytes | None:
    """The same entries as a file to keep, which asks nobody for an answer (RFC 5546 3.2.1)."""
    made = entry(facts, sender, domain)
    if made is None:
        return None
    file = Calendar.from_ical(made.ical)
    file["method"] = vText("PUBLISH")
    for event in file.walk("VEVENT"):
        del event["attendee"]
    return bytes(file.to_ical())


def _status(facts: Facts) -> str | None:
    status = STATUS.get(facts.row.kind)
    waits = facts.seat is not None and not facts.to_trainer and facts.seat.status is not ENROLLED
    if facts.row.kind == "expired" and facts.seat and facts.seat.status is not EXPIRED:
        return None  # back on the list: the entry stays tentative (WI7)
    return TENTATIVE if status is CONFIRMED and waits else status


def _removed(facts: Facts) -> list[Gone]:
    named = facts.row.payload.get("removed")
    there = {day.id for day in facts.days}
    found = [_gone(one) for one in named] if isinstance(named, list) else []
    return [gone for gone in found if gone is not None and gone.id not in there]


def _gone(named: object) -> Gone | None:
    """`[id, start, end]`, or as older rows have it the id alone."""
    id_, *when = named if isinstance(named, list) else [named]
    if not isinstance(id_, int):
        return None
    start, end = ([as_instant(at) for at in when] + [None, None])[:2]
    return Gone(id_, start, end)


def _where(day: Day | Gone) -> str:
    if isinstance(day, Gone):
        return ""
    return ", ".join(part for part in (plain(day.location), plain(day.address)) if part)


def _subject(facts: Facts) -> str:
    """Whose entry it is: the enrolment's, or for trainers the training's."""
    if facts.seat is None or facts.to_trainer:
        return f"training-{facts.course.id}"
    return facts.seat.uuid


def _sequence(facts: Facts) -> int:
    """The number given when the letter was promised; for a whole training its history's."""
    if facts.row.sequence is not None and not facts.to_trainer:
        return facts.row.sequence
    number = number_in(facts.row.key)
    return facts.course.history_seq if number is None else number


def _address(email: str, name: str) -> vCalAddress:
    made = vCalAddress(f"mailto:{email}")
    if name:
        made.params["cn"] = vText(name.replace('"', "'"))  # a parameter cannot hold one
    return made


# --- zones ----------------------------------------------------------------------------------------


def _years(days: Iterable[Day | Gone]) -> tuple[int, int]:
    years = [day.start.year for day in days if day.start]
    return (min(years), max(years)) if years else (0, 0)


@lru_cache(maxsize=256)  # made from all changes of those years, which takes a while
def _timezones(name: str, first: int, last: int) -> tuple[Timezone, ...]:
    """The rules of a zone in these years; none for UTC."""
    zone = zone_of(name)
    if not first or str(zone) == "UTC":
        return ()
    made = Timezone()
    made.add("tzid", str(zone))
    begin = datetime(max(first - 1, 2), 1, 1, tzinfo=UTC)
    end = datetime(min(last + 2, 9999), 1, 1, tzinfo=UTC)
    made.add_component(_rule(zone, begin, begin))
    for change in _changes(zone, begin, end):
        made.add_component(_rule(zone, change - SECOND, change))
    return (made,)


SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def _changes(zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[datetime]:
    """The instants from which the zone's clocks show something else, to the second."""
    for n in range((end - begin).days):
        before, after = begin + n * DAY, begin + (n + 1) * DAY
        if _shown(zone, before) == _shown(zone, after):
            continue
        while after - before > SECOND:
            middle = before + (after - before) // 2
            middle = middle.replace(microsecond=0)
            if _shown(zone, middle) == _shown(zone, before):
                before = middle
            else:
                after = middle
        yield after


def _shown(zone: ZoneInfo, at: datetime) -> tuple[timedelta, str]:
    local = at.astimezone(zone)
    return local.utcoffset() or timedelta(0), local.tzname() or ""


def _rule(zone: ZoneInfo, before: datetime, at: datetime) -> Component:
    """What holds from `at` on; it begins when the clocks of before show so (RFC 5545 3.6.5).

    icalendar 7.3 counts by the clocks of after, so that each spring came an hour late.
    """
    (was, _), (is_, name) = _shown(zone, before), _shown(zone, at)
    made: Component = TimezoneDaylight() if at.astimezone(zone).dst() else TimezoneStandard()
    made.add("dtstart", (at + was).replace(tzinfo=None))
    made.add("tzoffsetfrom", was)
    made.add("tzoffsetto", is_)
    made.add("tzname", name)
    return made
