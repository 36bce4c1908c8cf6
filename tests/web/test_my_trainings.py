"""A student's own trainings: what they read, and what each act does (people PS4–PS6)."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from icalendar import Calendar

from app.extensions import utcnow
from app.models import Training, TrainingEnroll
from app.services import enrolments, overrides, trainings, waitlist
from app.services.actors import LINK
from tests import rules
from tests.cast import DAY, HOUR, REASON, SECOND, Cast
from tests.web.browsing import Client, client_of, sign_in
from tests.web.test_catalogue import NOW, SOON, fill, row_of, statements, words

HOME = "/me/trainings"


@pytest.fixture
def glazing(cast: Cast) -> Training:
    """An open training with one place, forty days ahead."""
    return cast.training("Glazing", 1, SOON)


@pytest.fixture
def ben(client: Client, cast: Cast, glazing: Training) -> TrainingEnroll:
    """Ben waits behind Ada and before Cleo; he is at the browser."""
    row = fill(cast, glazing, "Ada", "Ben", "Cleo")[1]
    sign_in(client, cast.student("Ben"))
    return row


@pytest.fixture
def invited(cast: Cast, glazing: Training, ben: TrainingEnroll) -> TrainingEnroll:
    """Ada has left: Ben is invited."""
    enrolments.deroll(cast.session, cast.row("Ada", glazing), LINK, NOW)
    return ben


def at(row: TrainingEnroll, act: str = "") -> str:
    return f"{HOME}/{row.uuid}" + (f"/{act}" if act else "")


def status(cast: Cast, row: TrainingEnroll) -> str:
    return cast.statuses(row)[0]


def how_often(cast: Cast, event: str, training: Training) -> int:
    return sum(row.event == event for row in cast.events(training))


def all_rows(cast: Cast) -> dict[str, Any]:
    cast.session.flush()
    cast.session.expire_all()
    return cast.everything()


# --- what is read --------------------------------------------------------------------------------


def test_who_is_on_nothing_is_led_to_the_trainings(client: Client, cast: Cast) -> None:
    sign_in(client, cast.student("Ada"))
    page = client.get(HOME)
    assert "You are not on any training yet." in words(page)
    assert 'href="/trainings"' in page.text


def test_each_training_stands_under_its_heading(
    client: Client, cast: Cast, invited: TrainingEnroll
) -> None:
    cast.enrol("Ben", NOW, cast.training("Coming up", 1, SOON))
    full = cast.training("In line", 1, SOON)
    fill(cast, full, "Ada", "Ben")
    gone = cast.enrol("Ben", NOW, cast.training("Given up", 1, SOON))
    enrolments.deroll(cast.session, gone, LINK, NOW)
    seen = words(client.get(HOME))
    order = ("To answer", "Glazing", "Coming Coming up", "Waiting In line", "Past and closed")
    where = [seen.index(text) for text in (*order, "Given up")]
    assert where == sorted(where)
    assert "You are 1st of 1 waiting" in seen
    assert "No place is free." in seen
    assert "You are no longer on it" in seen


def test_an_invitation_counts_down_from_the_seconds_that_are_left(
    client: Client, invited: TrainingEnroll
) -> None:
    page = client.get(HOME).text
    seconds = int(page.split('data-seconds="')[1].split('"')[0])
    assert 0 < seconds <= 48 * 3600
    assert "Answer before" in words(client.get(at(invited)))


def test_who_waits_reads_why_and_nobody_is_named(
    client: Client, cast: Cast, glazing: Training, invited: TrainingEnroll
) -> None:
    sign_in(client, cast.student("Cleo"))
    cleo = cast.row("Cleo", glazing)
    for path in (HOME, at(cleo)):
        page = client.get(path)
        assert "No place is free; 1 person is answering now." in words(page)
        assert "You are 1st of 1 waiting" in words(page)
        assert "Ben" not in page.text
        assert "Ada" not in page.text


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("paused", "The waitlist is paused"),
        ("unreachable", "We cannot write to you"),
        ("skipped", "The office has set your turn aside"),
    ],
)
def test_each_reason_to_wait_is_said(
    client: Client, cast: Cast, glazing: Training, ben: TrainingEnroll, what: str, why: str
) -> None:
    if what == "paused":
        overrides.pause_list(cast.session, glazing.id, cast.max, NOW, REASON)
    elif what == "unreachable":
        cast.wont_mail("Ben")
    else:
        overrides.skip(cast.session, ben, cast.max, NOW, REASON)
    assert why in words(client.get(HOME))


def test_what_is_over_is_past_and_what_is_cancelled_says_so(client: Client, cast: Cast) -> None:
    old, off = cast.training("Old", 1, SOON), cast.training("Off", 1, SOON)
    for training in (old, off):
        cast.enrol("Ada", NOW, training)
    old.events[0].start_time, old.events[0].end_time = NOW - 2 * DAY, NOW - DAY
    trainings.cancel(cast.session, off.id, cast.max, NOW, REASON)
    sign_in(client, cast.student("Ada"))
    seen = words(client.get(HOME))
    past = seen[seen.index("Past and closed") :]
    assert "You had a place" in past
    assert "Cancelled" in past


def test_the_list_asks_the_database_as_much_for_five_as_for_fifty(
    web_app: Flask, client: Client, cast: Cast
) -> None:
    sign_in(client, cast.student("Ben"))

    def sent(start: int, upto: int) -> int:
        for n in range(start, upto):
            training = cast.training(f"Course {n}", 1, SOON)
            fill(cast, training, *(("Ada", "Ben") if n % 5 == 0 else ("Ben",)))
        return len(statements(web_app, client, HOME))

    few = sent(0, 5)
    assert sent(5, 50) == few
    assert few <= 8


# --- answering -----------------------------------------------------------------------------------


def test_accepting_twice_gives_one_place(
    client: Client, cast: Cast, glazing: Training, invited: TrainingEnroll
) -> None:
    for _ in range(2):
        answer = client.act(at(invited, "accept"))
        assert (answer.status_code, answer.location) == (303, at(invited))
        assert "You have a place." in words(client.get(answer.location))
    assert status(cast, invited) == "enrolled"
    assert how_often(cast, "accepted", glazing) == 1
    assert cast.last_event("accepted", glazing).actor == f"user:{cast.student('Ben').user_id}"


def test_declining_asks_first_and_then_invites_the_next(
    client: Client, cast: Cast, glazing: Training, invited: TrainingEnroll
) -> None:
    asked = words(client.get(at(invited, "decline")))
    assert "Your place goes to the next in line; 1 person is waiting." in asked
    assert "you join again at the end of the line" in asked
    assert status(cast, invited) == "waitlist-invited"
    for _ in range(2):
        assert client.act(at(invited, "decline")).status_code == 303
    assert status(cast, invited) == "waitlist-declined"
    assert row_of(cast, "Cleo", glazing).status == "waitlist-invited"
    assert how_often(cast, "declined", glazing) == 1


def test_an_answer_past_the_deadline_says_too_late_and_changes_nothing(
    client: Client, cast: Cast, invited: TrainingEnroll
) -> None:
    invited.invite_expires_at = utcnow() - SECOND
    before = all_rows(cast)
    for act in ("accept", "decline"):
        answer = client.act(at(invited, act))
        assert answer.status_code == 409
        assert "Too late: this invitation has run out." in words(answer)
        assert "Your invitation ran out" in words(answer)
    assert all_rows(cast) == before


def test_the_opposite_answer_is_refused(
    client: Client, cast: Cast, invited: TrainingEnroll
) -> None:
    client.act(at(invited, "accept"))
    answer = client.act(at(invited, "decline"))
    assert answer.status_code == 409
    assert "Cancel it instead" in words(answer)
    assert status(cast, invited) == "enrolled"


def test_a_withdrawn_invitation_says_what_is_true_now(
    client: Client, cast: Cast, invited: TrainingEnroll
) -> None:
    waitlist.return_to_list(cast.session, invited, cast.max, NOW, REASON)
    answer = client.act(at(invited, "accept"))
    assert answer.status_code == 409
    assert "This invitation was withdrawn." in words(answer)
    assert "You are 1st of 1 waiting" in words(answer)


# --- leaving -------------------------------------------------------------------------------------


def test_leaving_the_list_asks_first_and_repeating_is_harmless(
    client: Client, cast: Cast, glazing: Training, ben: TrainingEnroll
) -> None:
    assert "You give up your place in line." in words(client.get(at(ben, "leave")))
    assert status(cast, ben) == "waitlist"
    for _ in range(2):
        assert client.act(at(ben, "leave"), what="list").status_code == 303
    assert status(cast, ben) == "derolled"
    assert how_often(cast, "left", glazing) == 1


def test_cancelling_a_place_says_who_gets_it_and_refills(
    client: Client, cast: Cast, glazing: Training, ben: TrainingEnroll
) -> None:
    ada = cast.row("Ada", glazing)
    sign_in(client, cast.student("Ada"))
    seen = words(client.get(at(ada, "leave")))
    assert "Your place goes to the next in line; 2 people are waiting." in seen
    assert client.act(at(ada, "leave"), what="place").status_code == 303
    assert cast.statuses(ada, ben) == ["derolled", "waitlist-invited"]


def test_a_place_says_until_when_one_cancels_it_before_one_does(
    client: Client, cast: Cast, glazing: Training, ben: TrainingEnroll
) -> None:
    rules.window(cast, kind := rules.kind_of_training(cast))
    rules.of_type(cast, glazing, kind)
    assert rules.CANCEL not in words(client.get(at(ben)))  # he waits: there is nothing to cancel
    ada = cast.row("Ada", glazing)
    sign_in(client, cast.student("Ada"))
    seen = words(client.get(at(ada)))
    assert f"You can cancel until the training starts. {rules.CANCEL}" in seen


def test_who_meant_to_leave_the_list_keeps_a_place_given_meanwhile(
    client: Client, cast: Cast, glazing: Training, ben: TrainingEnroll
) -> None:
    enrolments.force(cast.session, glazing.id, ben.student_id, cast.max, NOW, REASON)
    answer = client.act(at(ben, "leave"), what="list")
    assert answer.status_code == 409
    assert "This has changed meanwhile" in words(answer)
    assert status(cast, ben) == "enrolled"


def test_after_the_start_a_place_is_not_cancelled(
    client: Client, cast: Cast, glazing: Training, ben: TrainingEnroll
) -> None:
    ada = cast.row("Ada", glazing)
    glazing.events[0].start_time, glazing.events[0].end_time = NOW - HOUR, NOW + HOUR
    sign_in(client, cast.student("Ada"))
    assert "Cancel my place" not in words(client.get(at(ada)))
    assert client.get(at(ada, "leave")).location == at(ada)
    answer = client.act(at(ada, "leave"), what="place")
    assert (answer.status_code, status(cast, ada)) == (409, "enrolled")


def test_who_waits_leaves_though_booking_is_closed_or_the_days_have_begun(
    client: Client, cast: Cast, glazing: Training, ben: TrainingEnroll
) -> None:
    glazing.active = False
    for path in (HOME, at(ben)):
        seen = words(client.get(path))
        assert "You are 1st of 2 waiting" in seen
        assert "Booking is closed: nobody is invited for now." in seen
        assert "Leave the waitlist" in seen
    glazing.active = True
    glazing.events[0].start_time, glazing.events[0].end_time = NOW - HOUR, NOW + HOUR
    for path in (HOME, at(ben)):
        assert "Leave the waitlist" in words(client.get(path))
    assert "It has started: nobody is invited any more." in words(client.get(at(ben)))
    assert "You give up your place in line." in words(client.get(at(ben, "leave")))
    assert client.act(at(ben, "leave"), what="list").status_code == 303
    assert status(cast, ben) == "derolled"


# --- joining again -------------------------------------------------------------------------------


def test_joining_again_goes_to_the_end_of_the_line(
    client: Client, cast: Cast, glazing: Training, invited: TrainingEnroll
) -> None:
    client.act(at(invited, "decline"))
    fill(cast, glazing, "Dora")
    assert "You will be 2nd in line." in words(client.get(at(invited, "re-enable")))
    assert client.act(at(invited, "re-enable")).status_code == 400  # no tick
    for _ in range(2):
        assert client.act(at(invited, "re-enable"), terms="y").status_code == 303
    seen = words(client.get(at(invited)))
    assert "You are 2nd of 2 waiting" in seen
    assert how_often(cast, "re-enabled", glazing) == 1


def test_whose_time_ran_out_just_now_joins_again_at_the_end(
    client: Client, cast: Cast, glazing: Training, invited: TrainingEnroll
) -> None:
    invited.invite_expires_at = utcnow() - SECOND
    assert f'href="{at(invited, "re-enable")}"' in client.get(HOME).text
    for path in (at(invited, "re-enable"), f"/trainings/{glazing.id}/join"):
        asked = client.get(path)
        assert (asked.status_code, "I accept the terms" in words(asked)) == (200, True), path
    answer = client.act(at(invited, "re-enable"), terms="y")
    assert "You are on the waitlist." in words(client.get(answer.location))
    assert status(cast, invited) == "waitlist"
    assert row_of(cast, "Cleo", glazing).status == "waitlist-invited"
    assert how_often(cast, "expired", glazing) == how_often(cast, "re-enabled", glazing) == 1


def test_what_rests_with_its_schedule_is_not_promised_again(
    client: Client, cast: Cast, invited: TrainingEnroll
) -> None:
    cast.schedule.active = False  # what it granted does not end while it rests (WI5)
    invited.invite_expires_at = utcnow() - SECOND
    answer = client.act(at(invited, "re-enable"), terms="y")
    assert "You cannot join again yet" in words(client.get(answer.location))
    assert status(cast, invited) == "waitlist-invited"


def test_joining_again_takes_a_place_that_is_free(
    client: Client, cast: Cast, glazing: Training, ben: TrainingEnroll
) -> None:
    client.act(at(ben, "leave"))
    glazing.max_participants = 5
    assert "A place is free" in words(client.get(at(ben, "re-enable")))
    client.act(at(ben, "re-enable"), terms="y")
    assert status(cast, ben) == "enrolled"


def test_joining_again_what_is_closed_is_refused(
    client: Client, cast: Cast, glazing: Training, ben: TrainingEnroll
) -> None:
    client.act(at(ben, "leave"))
    trainings.cancel(cast.session, glazing.id, cast.max, NOW, REASON)
    assert "Join again" not in words(client.get(HOME))
    assert client.act(at(ben, "re-enable"), terms="y").status_code == 409


# --- whose it is ---------------------------------------------------------------------------------

PAGES = ("", "decline", "leave", "re-enable")
ACTS = ("accept", "decline", "leave", "re-enable")


def test_another_students_row_is_not_there(
    web_app: Flask, client: Client, cast: Cast, invited: TrainingEnroll
) -> None:
    mallory = client_of(web_app, cast.session)
    sign_in(mallory, cast.student("Mallory"))
    before = all_rows(cast)
    for page in PAGES:
        assert mallory.get(at(invited, page)).status_code == 404
    assert mallory.get(at(invited) + ".ics").status_code == 404
    for act in ACTS:
        assert mallory.act(at(invited, act), terms="y").status_code == 404
    assert all_rows(cast) == before


@pytest.mark.parametrize("uuid", ["x", "1", "00000000-0000-0000-0000-000000000000", "%00"])
def test_an_unknown_row_is_not_found(client: Client, ben: TrainingEnroll, uuid: str) -> None:
    assert client.get(f"{HOME}/{uuid}").status_code == 404


def test_looking_changes_nothing(client: Client, cast: Cast, invited: TrainingEnroll) -> None:
    before = all_rows(cast)
    for page in PAGES:
        assert client.get(at(invited, page)).status_code in (200, 302, 303)
        assert client.head(at(invited, page)).status_code in (200, 302, 303)
    assert client.get(at(invited, "accept")).status_code == 405
    assert all_rows(cast) == before


# --- the calendar --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("acts", "expected"),
    [((), "TENTATIVE"), (("accept",), "CONFIRMED"), (("decline",), "CANCELLED")],
)
def test_the_calendar_file_holds_the_entries_that_letters_speak_of(
    client: Client,
    cast: Cast,
    glazing: Training,
    invited: TrainingEnroll,
    acts: tuple[str, ...],
    expected: str,
) -> None:
    for act in acts:
        client.act(at(invited, act))
    answer = client.get(at(invited) + ".ics")
    assert answer.mimetype == "text/calendar"
    read = Calendar.from_ical(answer.data)
    (event,) = read.walk("VEVENT")
    cast.session.expire_all()
    assert str(event["uid"]).startswith(f"{invited.uuid}-{glazing.events[0].id}@")
    assert (str(read["method"]), str(event["status"])) == ("PUBLISH", expected)
    assert event["sequence"] == invited.ical_sequence
    assert event.decoded("dtstart") == SOON
    assert "attendee" not in event


def test_a_training_without_days_has_no_calendar_file(client: Client, cast: Cast) -> None:
    row = cast.enrol("Ada", NOW, cast.training("Someday", 1, None))
    sign_in(client, cast.student("Ada"))
    assert "Add to my calendar" not in words(client.get(at(row)))
    assert client.get(at(row) + ".ics").status_code == 404
