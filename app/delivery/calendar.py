"""The calendar part of a letter: the days of a training as the reader's calendar takes them (WM5).

One VCALENDAR per letter. The days of one person keep their UIDs for ever; whichever letter has the
higher SEQUENCE wins, so that letters may arrive in any order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, Timezone, vCalAddress, vText

from app.models.enrolment import ENROLLED, EXPIRED
from app.services.letter_facts import Day, Facts, number_in, plain, zone_of

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
    """A calendar part and its METHOD."""

    ical: bytes
    method: str


def entry(facts: Facts, sender: str, domain: str) -> Entry | None:
    """The calendar part of a letter, None if it has nothing to say to a calendar.

    Days that were taken out of a training are named by the letter's row: they stand beside those
    that remain, CANCELLED; alone they are a CANCEL.
    """
    status = _status(facts)
    removed = _removed(facts)
    if status is None or not (facts.days or removed):
        return None
    cancels = status is CANCELLED or not facts.days
    made = Calendar()
    made.add("prodid", PRODUCT)
    made.add("version", "2.0")
    made.add("method", "CANCEL" if cancels else "REQUEST")
    zone = zone_of(facts.course.zone)
    for timezone in _timezones(facts.course.zone, *_years(facts.days)):
        made.add_component(timezone)
    for day in facts.days:
        made.add_component(_event(facts, day, zone, status, sender, domain))
    for id_ in removed:
        made.add_component(_gone(facts, id_, sender, domain))
    return Entry(made.to_ical(), str(made["method"]))


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


def _removed(facts: Facts) -> list[int]:
    named = facts.row.payload.get("removed")
    there = {day.id for day in facts.days}
    ids: Iterable[object] = named if isinstance(named, list) else []
    return [id_ for id_ in ids if isinstance(id_, int) and id_ not in there]


def _event(facts: Facts, day: Day, zone: ZoneInfo, status: str, sender: str, domain: str) -> Event:
    made = _bare(facts, day.id, status, sender, domain)
    made.add("summary", plain(facts.course.name))
    made.add("dtstart", day.start.astimezone(zone))
    made.add("dtend", day.end.astimezone(zone))
    if where := ", ".join(part for part in (plain(day.location), plain(day.address)) if part):
        made.add("location", where)
    return made


def _gone(facts: Facts, event_id: int, sender: str, domain: str) -> Event:
    """A day that is no more; when it would have been, no row knows, and a CANCEL needs not say."""
    made = _bare(facts, event_id, CANCELLED, sender, domain)
    made.add("summary", plain(facts.course.name))
    return made


def _bare(facts: Facts, event_id: int, status: str, sender: str, domain: str) -> Event:
    made = Event()
    made.add("uid", f"{_subject(facts)}-{event_id}@{domain}")
    made.add("sequence", _sequence(facts))
    made.add("dtstamp", facts.row.created_at)  # of the letter, the same on each try
    made.add("status", status)
    made.add("organizer", _address(sender, plain(facts.course.practice_name)))
    attendee = _address(facts.reader.email, facts.reader.fullname)
    attendee.params["partstat"] = vText(PARTSTAT[status])
    attendee.params["role"] = vText("REQ-PARTICIPANT")
    made.add("attendee", attendee)
    return made


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


def _years(days: Iterable[Day]) -> tuple[int, int]:
    starts: list[datetime] = [day.start for day in days]
    if not starts:
        return (0, 0)
    return min(starts).year, max(starts).year


@lru_cache(maxsize=256)  # made from all changes of those years, which takes a while
def _timezones(name: str, first: int, last: int) -> tuple[Timezone, ...]:
    """The rules of a zone in these years; none for UTC."""
    zone = zone_of(name)
    if not first or str(zone) == "UTC":
        return ()
    return (Timezone.from_tzinfo(zone, str(zone), date(first - 1, 1, 1), date(last + 2, 1, 1)),)
