"""A letter's facts in the words of its reader's language, in the zone of the practice (WM3)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import format_datetime
from flask_babel import gettext as _
from flask_babel import ngettext as _n

from app.models.enrolment import INVITED
from app.services.letter_facts import (
    ATTENDEE_LIST,
    MINIMUM_ALERT,
    OPEN_SPOT,
    Day,
    Facts,
    News,
    Offer,
    Person,
    as_instant,
    plain,
)
from app.services.policies import in_words

# What they say of days is about those that are ahead.
REMINDERS = (
    "reminder_student",
    "reminder_trainer",
    "reminder_waitlist",
    OPEN_SPOT,
    ATTENDEE_LIST,
    MINIMUM_ALERT,
)
CHANGES = ("enrolled", "queued", "left", "ended", "unreached")  # what a digest tells of students
MOST_NAMED = 20  # people in one line of a digest
MOST_SIGNS = 20_000  # of all that a digest tells; a letter has an end (SE11)
DATE, TIME = "EEE d MMMM y", "HH:mm"

# Every variable of every letter (WM3); a text that names another is refused.
NAMES = frozenset(
    {
        "recipient_name",
        "student_name",
        "training_name",
        "type_name",
        "practice_name",
        "events",
        "deadline",
        "answer_time",
        "time_left",
        "place",
        "waiting",
        "reason",
        "policy_text",
        "actor_name",
        "attendees",
        "links",
        "invitation",  # what became of it: open, ended
        "ended_by",  # who ended it, if neither student nor clock: staff, undelivered
        "name",  # the reader's, in full
        "first_name",
        "days_late",  # of a greeting
        "missing",  # in a profile
        "about",  # the name of a schedule or an endpoint
        "outcome",  # of a run: failed, timeout, success
        "failures",  # in a row
        "minimum",  # participants that a training needs
        "trainings",  # of a digest
        "further",  # how many more of them there was no room for
        "next_invited",  # whether the place went to the next in line at once
    }
)


def variables(facts: Facts, links: dict[str, str], now: datetime) -> dict[str, Any]:
    """The letter's variables as plain values, in the locale that is in force (WM3)."""
    zone = zone_of(facts.course.zone)
    deadline = _deadline_told(facts, now)
    ends = deadline or as_instant(facts.row.payload.get("until"))  # or a link stops working
    answer, student = _answer_time(facts, deadline), facts.student
    trainings = _trainings(facts.news, zone)
    return {
        "recipient_name": plain(facts.reader.first_name or facts.reader.last_name),
        "student_name": student_name(student),
        "training_name": plain(facts.course.name),
        "type_name": plain(facts.course.type_name or ""),
        "practice_name": plain(facts.course.practice_name),
        "events": [_event(day, zone) for day in _days_told(facts)],
        "deadline": instant(deadline, zone) if deadline else "",
        "answer_time": duration(answer) if answer else "",
        "time_left": duration(ends - now) if ends and ends > now else "",
        "place": facts.place or "",
        "waiting": facts.waiting or "",
        "reason": plain(str(facts.row.payload.get("reason") or facts.note)),
        "policy_text": plain(_policy_text(facts)),
        "actor_name": facts.actor_name,
        "attendees": [
            {"number": n, "name": student_name(person), "phone": _phone(person)}
            for n, person in enumerate(facts.attendees, start=1)
        ],
        "links": links,
        "invitation": facts.invitation,
        "ended_by": facts.ended_by,
        "name": facts.reader.fullname,
        "first_name": plain(facts.reader.first_name),
        "days_late": facts.row.payload.get("days_late") or "",
        "missing": _missing(facts.row.payload.get("missing", ())),
        "about": plain(str(facts.row.payload.get("about") or "")),
        "outcome": facts.row.payload.get("outcome") or "",
        "failures": facts.row.payload.get("failures") or "",
        "minimum": facts.course.minimum or "",
        "trainings": trainings,
        "further": len(facts.news) - len(trainings) or "",
        "next_invited": facts.told is not None and facts.told.filled,
    }


def _trainings(news: Sequence[News], zone: ZoneInfo) -> list[dict[str, Any]]:
    """What a digest tells of each training; as many as there is room for, the first always."""
    found: list[dict[str, Any]] = []
    room = MOST_SIGNS
    for one in news:
        told = _training(one, zone)
        room -= sum(len(str(said)) for said in told.values())
        if found and room < 0:
            break
        found.append(told)
    return found


def _training(one: News, zone: ZoneInfo) -> dict[str, Any]:
    by_how: dict[str, list[str]] = {}
    for change in one.changes:
        by_how.setdefault(change.how, []).append(student_name(change.student))
    return {
        "name": plain(one.name),
        "start": instant(one.starts_at, zone) if one.starts_at else "",
        "taken": one.taken,
        "places": one.places,
        "waiting": one.waiting,
        "cancelled": one.cancelled,
        "rescheduled": one.rescheduled,
        **{how: _listed(by_how.get(how, [])) for how in CHANGES},
        "invited": _listed([_offered(offer, zone) for offer in one.offers]),
    }


def _offered(offer: Offer, zone: ZoneInfo) -> str:
    """Who is invited, and until when they may answer."""
    name = student_name(offer.student)
    if offer.deadline is None:
        return name
    until = instant(offer.deadline, zone)
    return str(_("%(name)s (answer before %(deadline)s)", name=name, deadline=until))


def _listed(names: Sequence[str]) -> str:
    """In one line; of very many the first."""
    shown, more = ", ".join(names[:MOST_NAMED]), len(names) - MOST_NAMED
    return str(_("%(names)s and %(n)s more", names=shown, n=more)) if more > 0 else shown


def _policy_text(facts: Facts) -> str:
    """What a policy says, in the first of the reader's languages in which it says something."""
    said = facts.row.payload.get("policy_text") or ""
    return in_words(said, facts.languages) if isinstance(said, dict) else str(said)


def _missing(checks: Sequence[str]) -> str:
    """What these checks of a profile look for, in words."""
    words = {
        "name": _("your first and last name"),
        "phone": _("your telephone number"),
        "address": _("your address"),
        "birthday": _("your birthday"),
        "emergency_contact": _("whom to call in an emergency"),
    }
    return ", ".join(str(words[check]) for check in checks if check in words)


def student_name(person: Person | None) -> str:
    """Name or else address; who was erased has neither."""
    if person is None or person.erased_at:
        return str(_("Former student"))
    return person.fullname or plain(person.email)


def _phone(person: Person) -> str:
    return "" if person.erased_at else plain(person.phone or "")


def _answer_time(facts: Facts, deadline: datetime | None) -> timedelta | None:
    """How long the invitation it speaks of is open; to who waits, how long one would be."""
    seat, seconds = facts.seat, facts.row.payload.get("answer_seconds")
    if isinstance(seconds, int):
        return timedelta(seconds=seconds)
    if deadline is None or seat is None or seat.invite_date is None:
        return None
    return deadline - seat.invite_date


def _deadline_told(facts: Facts, now: datetime) -> datetime | None:
    """The deadline of the invitation that the letter is about, not of a later one.

    An invitation that has ended had a deadline only if it came to that.
    """
    seat = facts.seat
    if seat is None or seat.deadline is None or facts.invite_no != seat.invite_no:
        return None
    return seat.deadline if seat.status is INVITED or seat.deadline <= now else None


def _days_told(facts: Facts) -> Sequence[Day]:
    """All days, but of a reminder those that it reminds of: what is over is no news."""
    if facts.event is not None:
        return (facts.event,)
    if facts.row.kind not in REMINDERS or facts.begins is None:
        return facts.days
    return [day for day in facts.days if day.start >= facts.begins]


def _event(day: Day, zone: ZoneInfo) -> dict[str, str]:
    start, end = day.start.astimezone(zone), day.end.astimezone(zone)
    one_day = start.date() == end.date()
    until = clock_time(end) if one_day else instant(day.end, zone)
    return {
        "when": f"{date_of(start)}, {clock_time(start)} – {clock_time(end)} ({zone_name(start)})"
        if one_day
        else f"{instant(day.start, zone)} – {instant(day.end, zone)}",
        "start": instant(day.start, zone),
        "end": until,
        "starts_at": start.isoformat(),
        "ends_at": end.isoformat(),
        "zone": zone_name(start),
        "location": plain(day.location),
        "address": plain(day.address),
        "where": ", ".join(part for part in (plain(day.location), plain(day.address)) if part),
    }


def instant(at: datetime, zone: ZoneInfo) -> str:
    """In full, zone in words: `Tue 3 March 2026, 14:30 (Amsterdam)` (people PG7)."""
    local = at.astimezone(zone)
    return f"{date_of(local)}, {clock_time(local)} ({zone_name(local)})"


def date_of(local: datetime) -> str:
    """`Tue 3 March 2026`."""
    return str(format_datetime(local, DATE, rebase=False))


def clock_time(local: datetime) -> str:
    """`14:30`."""
    return str(format_datetime(local, TIME, rebase=False))


def zone_name(local: datetime) -> str:
    """`Amsterdam`; in the hour that comes twice in autumn `Amsterdam, UTC+02:00`."""
    name = str(local.tzinfo).rpartition("/")[2].replace("_", " ")
    other = local.replace(fold=1 - local.fold)
    if other.utcoffset() == local.utcoffset():
        return name
    return f"{name}, UTC{local.strftime('%z')[:3]}:{local.strftime('%z')[3:]}"


@cache
def zone_of(name: str) -> ZoneInfo:
    """The zone of that name; UTC for one that this machine does not know."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def duration(length: timedelta) -> str:
    """Its two largest parts, rounded down: `2 days`, `1 day and 3 hours`."""
    minutes = max(int(length.total_seconds()) // 60, 0)
    days, hours = divmod(minutes // 60, 24)
    minutes %= 60
    parts = [
        (_n("%(num)s day", "%(num)s days", days), days),
        (_n("%(num)s hour", "%(num)s hours", hours), hours),
        (_n("%(num)s minute", "%(num)s minutes", minutes), minutes if not days else 0),
    ]
    said = [str(words) for words, count in parts if count]
    if len(said) == 2:
        return str(_("%(more)s and %(less)s", more=said[0], less=said[1]))
    return said[0] if said else str(_("less than a minute"))
