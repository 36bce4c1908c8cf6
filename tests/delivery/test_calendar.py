"""The calendar part of letters, read back as a calendar program would (waitlist WM5, B71, WX17)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from icalendar import Calendar, Event

from app.delivery.calendar import STATUS
from app.delivery.rendering import Letter, compose
from app.models import Outbox, TrainingEvent
from app.services import trainings
from app.services.letter_rules import RULES
from app.services.trainings import Meeting
from tests.cast import DAY, HOUR, NOON, START, Cast
from tests.delivery.scenes import SETTINGS, promised, row_of


def letter(cast: Cast, row: Outbox) -> Letter:
    made = compose(cast.session, [row], SETTINGS, NOON)[row.id]
    assert isinstance(made, Letter), made
    return made


def calendar(cast: Cast, row: Outbox) -> Calendar:
    made = letter(cast, row)
    assert made.calendar is not None
    read = Calendar.from_ical(made.calendar)
    assert read["method"] == made.calendar_method
    return read


def days(read: Calendar) -> list[Event]:
    return [part for part in read.walk("VEVENT") if isinstance(part, Event)]


EXPECTED = {
    "enrolled": ("REQUEST", "CONFIRMED", "ACCEPTED"),
    "accepted": ("REQUEST", "CONFIRMED", "ACCEPTED"),
    "waitlisted": ("REQUEST", "TENTATIVE", "TENTATIVE"),
    "declined": ("CANCEL", "CANCELLED", "DECLINED"),
    "expired": ("CANCEL", "CANCELLED", "DECLINED"),
    "derolled": ("CANCEL", "CANCELLED", "DECLINED"),
    "left_waitlist": ("CANCEL", "CANCELLED", "DECLINED"),
    "training_cancelled": ("CANCEL", "CANCELLED", "DECLINED"),
    "training_cancelled_trainer": ("CANCEL", "CANCELLED", "DECLINED"),
    "reminder_student": ("REQUEST", "CONFIRMED", "ACCEPTED"),
    "reminder_trainer": ("REQUEST", "CONFIRMED", "ACCEPTED"),
    "training_rescheduled_trainer": ("REQUEST", "CONFIRMED", "ACCEPTED"),
    "training_rescheduled": ("REQUEST", "TENTATIVE", "TENTATIVE"),  # Ben waits
}


@pytest.mark.parametrize("key", EXPECTED)
def test_each_letter_does_to_the_calendar_what_it_says(cast: Cast, key: str) -> None:
    read = calendar(cast, promised(cast, key))
    method, status, takes_part = EXPECTED[key]
    event = next(day for day in days(read) if "DTSTART" in day)
    assert (read["method"], event["status"]) == (method, status)
    assert event["attendee"].params["partstat"] == takes_part
    reader = "Tess" if key.endswith("_trainer") else "Ben"
    assert event["attendee"].startswith(f"mailto:{reader.lower()}-")
    assert event["attendee"].params["cn"] == f"{reader} Example"
    assert event["organizer"] == "mailto:noreply@clay.example.org"
    assert event["organizer"].params["cn"] == "Clay & Co"
    assert event["summary"] == "Pottery"


def test_the_table_of_calendar_letters_is_complete() -> None:
    assert set(EXPECTED) == set(STATUS) <= set(RULES)


def test_times_are_local_with_the_rules_of_their_zone(cast: Cast) -> None:
    read = calendar(cast, promised(cast, "enrolled"))
    (event,) = days(read)
    assert event["dtstart"].params["tzid"] == "Europe/Amsterdam"
    assert event.start.isoformat() == "2026-04-01T14:00:00+02:00"
    assert event.end - event.start == timedelta(hours=3)
    (zone,) = read.walk("VTIMEZONE")
    assert zone["tzid"] == "Europe/Amsterdam"
    assert event["location"] == "The Mill, Dam 1, Delft"


def test_a_practice_in_utc_needs_no_rules(cast: Cast) -> None:
    cast.practice.timezone = "UTC"
    read = calendar(cast, promised(cast, "enrolled"))
    assert not read.walk("VTIMEZONE")
    assert days(read)[0]["dtstart"].to_ical() == b"20260401T120000Z"


def test_each_day_has_its_uid_and_all_have_one_number(cast: Cast) -> None:  # WX17
    for n in (1, 2):
        at = START + n * DAY
        cast.pottery.events.append(TrainingEvent(start_time=at, end_time=at + HOUR))
    row = promised(cast, "enrolled")
    found = days(calendar(cast, row))
    uuid, ids = cast.row("Ben").uuid, [event.id for event in cast.pottery.events]
    assert [day["uid"] for day in found] == [f"{uuid}-{id_}@clay.example.org" for id_ in ids]
    assert {day["sequence"] for day in found} == {row.sequence}


def test_the_numbers_of_later_letters_are_higher(cast: Cast) -> None:
    ben, numbers = cast.in_status("waitlist"), []
    for act, key in (
        (lambda: None, "waitlisted"),
        (lambda: cast.leave(cast.row("Ada")), None),
        (lambda: cast.accept(ben), "accepted"),
        (lambda: cast.leave(ben), "derolled"),
        (lambda: cast.enrol("Ben"), "waitlisted"),
    ):
        act()
        if key is not None:
            numbers.append(days(calendar(cast, row_of(cast, key)))[0]["sequence"])
    assert numbers == sorted(set(numbers))


def test_the_same_letter_again_is_the_same_to_the_byte(cast: Cast) -> None:
    row = promised(cast, "enrolled")
    first = letter(cast, row).calendar
    again = compose(cast.session, [row], SETTINGS, NOON + HOUR)[row.id]
    assert isinstance(again, Letter)
    assert first == again.calendar
    (event,) = days(Calendar.from_ical(first or b""))
    assert event["dtstamp"].dt == NOON


# --- days that are taken out ----------------------------------------------------------------------


def _moved(cast: Cast, *meetings: Meeting) -> dict[str, Calendar]:
    cast.in_status("enrolled")
    trainings.reschedule(cast.session, cast.pottery.id, list(meetings), cast.max, NOON)
    readers = (cast.student("Ben").user_id, cast.tess.user_id)
    rows = cast.session.scalars(
        sa.select(Outbox).where(
            Outbox.kind.like("training_rescheduled%"), Outbox.user_id.in_(readers)
        )
    )
    return {row.kind: calendar(cast, row) for row in rows}


@pytest.mark.parametrize("key", ["training_rescheduled", "training_rescheduled_trainer"])
def test_a_day_that_was_taken_out_is_cancelled_in_a_part_of_its_own(cast: Cast, key: str) -> None:
    old = cast.pottery.events[0].id
    _moved(cast, Meeting(START + DAY, START + DAY + HOUR))
    made = letter(cast, row_of(cast, key))
    asked, cancelled = (Calendar.from_ical(part or b"") for part in (made.calendar, made.cancelled))
    (kept,), (gone,) = days(asked), days(cancelled)
    assert (asked["method"], kept["status"]) == ("REQUEST", "CONFIRMED")
    assert (cancelled["method"], gone["status"]) == ("CANCEL", "CANCELLED")
    assert f"-{old}@" in gone["uid"]
    assert (gone.start, gone.end) == (START, START + 3 * HOUR)
    assert gone["sequence"] == kept["sequence"]
    assert cancelled.walk("VTIMEZONE")


def test_days_that_old_rows_name_without_a_time_are_cancelled_too(cast: Cast) -> None:
    _moved(cast, Meeting(START + DAY, START + DAY + HOUR))
    row = row_of(cast, "training_rescheduled")
    row.payload = row.payload | {"removed": [10**6, [10**6 + 1], "?", [None]]}
    cast.session.flush()
    made = letter(cast, row)
    gone = days(Calendar.from_ical(made.cancelled or b""))
    assert ["DTSTART" in day for day in gone] == [False, False]


@pytest.mark.parametrize("key", ["training_rescheduled", "training_rescheduled_trainer"])
def test_when_no_day_is_left_all_are_cancelled(cast: Cast, key: str) -> None:
    read = _moved(cast)[key]
    assert read["method"] == "CANCEL"
    assert [day["status"] for day in days(read)] == ["CANCELLED"]


def test_a_training_without_days_has_no_calendar(cast: Cast) -> None:
    cast.pottery.events.clear()
    cast.session.flush()
    assert letter(cast, promised(cast, "enrolled")).calendar is None


# --- what people type (B48, B71) ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "read_back"),
    [
        ("Clay; wheel, kiln", "Clay; wheel, kiln"),
        ("Clay\r\nATTENDEE:mailto:eve@example.org", "Clay ATTENDEE:mailto:eve@example.org"),
        ("Clay\nEND:VEVENT\nBEGIN:VEVENT", "Clay END:VEVENT BEGIN:VEVENT"),
        ("back\\slash \\n", "back\\slash \\n"),
        ('"quoted": <script> {{7*7}}', '"quoted": <script> {{7*7}}'),
        ("Ångström 陶芸 " * 9, ("Ångström 陶芸 " * 9).strip()),
    ],
)
def test_what_people_type_stays_in_its_place(cast: Cast, typed: str, read_back: str) -> None:
    row = promised(cast, "enrolled")
    cast.pottery.name = typed
    where: Any = cast.pottery.events[0].location
    where.name, where.address = typed, ""
    cast.student("Ben").user.first_name = typed[:100]
    cast.session.flush()
    (event,) = days(calendar(cast, row))
    assert event["summary"] == read_back
    assert event["location"] == read_back
    assert isinstance(event["attendee"], str)  # one, not a list
    assert event["attendee"].startswith("mailto:ben-")


# --- zones ----------------------------------------------------------------------------------------


def _rules(read: Calendar) -> list[tuple[datetime, timedelta, timedelta]]:
    """(when the clocks of before show so, offset before, offset from then on), in order."""
    (zone,) = read.walk("VTIMEZONE")
    parts = [(r["dtstart"].dt, r["tzoffsetfrom"].td, r["tzoffsetto"].td) for r in zone.walk()[1:]]
    return sorted(parts)


def _as_a_program_reads(local: datetime, rules: list[Any]) -> datetime:
    """RFC 5545: the last rule whose onset is not after the local time holds."""
    offset = [to for onset, _from, to in rules if onset <= local][-1]
    return (local - offset).replace(tzinfo=UTC)


NIGHT = datetime(2026, 3, 28, 23, tzinfo=UTC)  # midnight in Amsterdam, before clocks go forward


@pytest.mark.parametrize("zone", ["Europe/Amsterdam", "America/New_York", "Africa/Casablanca"])
def test_times_are_read_as_meant_all_year_and_in_the_night_of_the_change(
    cast: Cast, zone: str
) -> None:
    cast.practice.timezone = zone
    read = calendar(cast, promised(cast, "enrolled"))
    rules, here = _rules(read), ZoneInfo(zone)
    year = [datetime(2026, 1, 1, 12, tzinfo=UTC) + n * DAY for n in range(365)]
    for at in [*year, *(NIGHT + n * HOUR for n in range(6))]:
        local = at.astimezone(here)
        if local.replace(fold=1).utcoffset() == local.utcoffset():  # not the hour that comes twice
            assert _as_a_program_reads(local.replace(tzinfo=None), rules) == at


def test_spring_begins_at_two_by_the_clocks_of_winter(cast: Cast) -> None:
    rules = _rules(calendar(cast, promised(cast, "enrolled")))
    spring = [onset.isoformat() for onset, was, is_ in rules if is_ > was]
    assert "2026-03-29T02:00:00" in spring
