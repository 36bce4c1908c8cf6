"""What letters are told, and in which words (waitlist WM3, people PG7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from flask_babel import force_locale

from app.models import Outbox
from app.services.letter_facts import Facts, plain
from app.services.letter_reading import TELLS_HOW, gather
from app.services.letter_rules import RULES
from app.services.letter_words import duration, instant, variables, zone_of
from tests.cast import DAY, HOUR, MINUTE, NOON, START, Cast
from tests.delivery.scenes import by_hand, promised, row_of
from tests.statements import count_statements

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def facts_of(cast: Cast, row: Outbox) -> Facts:
    found = gather(cast.session, [row], NOON)[row.id]
    assert isinstance(found, Facts), found
    return found


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (datetime(2026, 3, 3, 13, 30, tzinfo=UTC), "Tue 3 March 2026, 14:30 (Amsterdam)"),
        (datetime(2026, 7, 1, 22, 5, 59, tzinfo=UTC), "Thu 2 July 2026, 00:05 (Amsterdam)"),
        # 25 October 2026: 02:30 comes twice.
        (
            datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
            "Sun 25 October 2026, 02:30 (Amsterdam, UTC+02:00)",
        ),
        (
            datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
            "Sun 25 October 2026, 02:30 (Amsterdam, UTC+01:00)",
        ),
        (datetime(2026, 10, 25, 2, 30, tzinfo=UTC), "Sun 25 October 2026, 03:30 (Amsterdam)"),
        # 29 March 2026: 02:00 to 03:00 is left out.
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), "Sun 29 March 2026, 03:00 (Amsterdam)"),
    ],
)
def test_an_instant_is_said_in_full_with_its_zone(cast: Cast, at: datetime, said: str) -> None:
    assert instant(at, AMSTERDAM) == said


def test_zones_are_said_as_people_say_them(cast: Cast) -> None:
    assert instant(NOON, ZoneInfo("America/New_York")).endswith("07:00 (New York)")
    assert instant(NOON, ZoneInfo("UTC")).endswith("12:00 (UTC)")
    assert zone_of("Nowhere/Atall") == zone_of("../../etc/passwd") == ZoneInfo("UTC")


def test_words_are_those_of_the_language_in_force(cast: Cast) -> None:
    with force_locale("nl"):
        assert instant(NOON, AMSTERDAM) == "ma 2 maart 2026, 13:00 (Amsterdam)"


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (2 * DAY, "2 days"),
        (DAY + 3 * HOUR + 59 * MINUTE, "1 day and 3 hours"),
        (HOUR + MINUTE, "1 hour and 1 minute"),
        (45 * MINUTE, "45 minutes"),
        (2 * HOUR, "2 hours"),
        (timedelta(seconds=59), "less than a minute"),
        (timedelta(seconds=-5), "less than a minute"),
    ],
)
def test_a_length_of_time_is_said_in_its_two_largest_parts(
    cast: Cast, length: timedelta, said: str
) -> None:
    assert duration(length) == said


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("Ada\r\nBcc: x", "Ada Bcc: x"),
        ("a\0b\tc\x7fd", "a b c d"),
        ("\u202eevil\u2066", "evil"),
        ("a\u2028b", "a b"),
        ("\ud800x", "x"),
        ("  Zoë  Åström ", "Zoë Åström"),
        ("<b>{{ 7 }}</b>", "<b>{{ 7 }}</b>"),
    ],
)
def test_a_name_is_one_line_without_signs_that_act(typed: str, shown: str) -> None:
    assert plain(typed) == shown


# --- facts ----------------------------------------------------------------------------------------


def test_all_variables_are_plain_values(cast: Cast) -> None:
    facts = facts_of(cast, promised(cast, "invited"))
    told = variables(facts, {"answer": "https://x"}, NOON + HOUR)
    assert told["recipient_name"] == "Ben"
    assert told["student_name"] == "Ben Example"
    assert told["training_name"] == "Pottery"
    assert told["type_name"] == ""
    assert told["practice_name"] == "Clay & Co"
    assert told["deadline"] == "Wed 4 March 2026, 13:00 (Amsterdam)"
    assert told["answer_time"] == "2 days"
    assert told["time_left"] == "1 day and 23 hours"
    assert told["events"] == [
        {
            "when": "Wed 1 April 2026, 14:00 – 17:00 (Amsterdam)",
            "start": "Wed 1 April 2026, 14:00 (Amsterdam)",
            "end": "17:00",
            "starts_at": "2026-04-01T14:00:00+02:00",
            "ends_at": "2026-04-01T17:00:00+02:00",
            "zone": "Amsterdam",
            "location": "The Mill",
            "address": "Dam 1, Delft",
            "where": "The Mill, Dam 1, Delft",
        }
    ]
    assert told["links"] == {"answer": "https://x"}


def test_a_meeting_over_several_days_says_both(cast: Cast) -> None:
    cast.pottery.events[0].end_time = START + DAY
    facts = facts_of(cast, promised(cast, "enrolled"))
    (event,) = variables(facts, {}, NOON)["events"]
    assert event["when"] == (
        "Wed 1 April 2026, 14:00 (Amsterdam) – Thu 2 April 2026, 14:00 (Amsterdam)"
    )
    assert event["end"] == "Thu 2 April 2026, 14:00 (Amsterdam)"


def test_a_reminder_to_trainers_knows_who_comes(cast: Cast) -> None:
    cast.pottery.max_participants = 3
    cast.session.flush()
    cast.enrol_all("Ben", "Ada")
    cast.student("Ben").user.phone = "+31612345678"
    told = variables(facts_of(cast, by_hand(cast, "reminder_trainer")), {}, NOON)
    assert told["attendees"] == [
        {"number": 1, "name": "Ada Example", "phone": ""},
        {"number": 2, "name": "Ben Example", "phone": "+31612345678"},
    ]


def test_other_letters_do_not_name_who_comes(cast: Cast) -> None:
    facts = facts_of(cast, promised(cast, "enrolled_trainer"))
    assert variables(facts, {}, NOON)["attendees"] == []


def test_what_staff_noted_is_for_staff(cast: Cast) -> None:
    rows = [promised(cast, "expired"), row_of(cast, "expired_trainer")]
    found = gather(cast.session, rows, NOON)
    notes = {row.kind: getattr(found[row.id], "note", None) for row in rows}
    assert notes == {"expired": "", "expired_trainer": "a good reason"}


def test_facts_of_all_kinds_take_few_statements(cast: Cast) -> None:
    rows = [
        promised(cast, "expired_trainer"),
        promised(cast, "waitlisted"),
        by_hand(cast, "reminder_trainer"),
    ]
    with count_statements(cast.session) as sent:
        gather(cast.session, rows, NOON)
    assert len(sent) <= 8
    assert all(statement.startswith("SELECT") for statement in sent)


def test_nothing_is_locked(cast: Cast) -> None:
    row = promised(cast, "invited")
    with count_statements(cast.session) as sent:
        gather(cast.session, [row], NOON)
    assert not any("FOR " in statement and "UPDATE" in statement for statement in sent)


def test_every_rule_is_about_a_letter_that_someone_gets() -> None:
    for key in RULES:
        assert key == key.lower()
    assert set(TELLS_HOW) <= set(RULES)
