"""What pages say and ask of booking limits and late cancellations (waitlist WP, people PS1–PS4)."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from app.models import Training, TrainingEnroll, TrainingType
from app.services import enrolments, overrides, waitlist
from app.services.actors import CONSOLE, LINK
from app.web import invitations, trainer, trainer_acts, trainer_list
from tests.cast import DAY, HOUR, REASON, Cast
from tests.rules import CANCEL, kind_of_training, limit, of_type, window
from tests.web.browsing import Client, sign_in
from tests.web.links import path_of, press, token_for
from tests.web.test_catalogue import NOW, SOON, statements, words
from tests.web.test_trainer import do
from tests.web.test_trainer import words as main_words

LIMIT = "at most 1 of Crafts within 28 days"


@pytest.fixture
def crafts(cast: Cast) -> TrainingType:
    """A type of which one may have one within 28 days; Ada has it, and is at the browser."""
    type_ = kind_of_training(cast)
    limit(cast, type_, max=1, text_en="One at a time.")
    cast.enrol("Ada", NOW, of_type(cast, cast.training("Weaving", 1, SOON), type_))
    return type_


@pytest.fixture
def ada(client: Client, cast: Cast, crafts: TrainingType) -> Client:
    sign_in(client, cast.student("Ada"))
    return client


@pytest.fixture
def glazing(cast: Cast, crafts: TrainingType) -> Training:
    """One more than Ada may have, with two places."""
    return of_type(cast, cast.training("Glazing", 2, SOON + DAY), crafts)


def at(training: Training, more: str = "") -> str:
    return f"/trainings/{training.id}{more}"


# --- joining -------------------------------------------------------------------------------------


def test_a_card_and_its_page_say_why_it_is_not_open_and_from_when_one_more_fits(
    ada: Client, glazing: Training
) -> None:
    assert f"Not open to you: {LIMIT}" in words(ada.get("/trainings"))
    page = words(ada.get(at(glazing)))
    assert f"You can have {LIMIT}. These count already: Weaving (" in page
    assert "or give one of these up first." in page
    assert "One at a time." in page
    assert "Join" not in page[page.index("Glazing") :].split()


def test_others_read_the_rule_and_may_join(client: Client, cast: Cast, glazing: Training) -> None:
    sign_in(client, cast.student("Ben"))
    page = words(client.get(at(glazing)))
    assert "2 of 2 places left" in page
    assert "One at a time." in page
    answer = client.act(at(glazing, "/join"), terms="y")
    assert answer.status_code == 303


def test_visitors_are_not_limited_before_they_are_known(client: Client, glazing: Training) -> None:
    assert "Not open to you" not in words(client.get("/trainings"))


@pytest.mark.parametrize("post", [False, True])
def test_joining_one_too_many_is_refused_with_the_reason(
    ada: Client, cast: Cast, glazing: Training, post: bool
) -> None:
    cast.session.commit()
    before = cast.everything()
    path = at(glazing, "/join")
    answer = ada.act(path, terms="y") if post else ada.get(path)
    assert answer.status_code == 409
    assert f"You can have {LIMIT}." in words(answer)
    assert "Nothing was changed." in words(answer)
    cast.session.expire_all()
    assert cast.everything() == before


def test_who_may_join_again_is_told_why_not_now(
    client: Client, cast: Cast, crafts: TrainingType, glazing: Training
) -> None:
    cast.enrol("Ben", NOW, glazing)
    enrolments.deroll(cast.session, cast.row("Ben", glazing), LINK, NOW)
    cast.enrol("Ben", NOW, of_type(cast, cast.training("Raku", 1, SOON), crafts))
    sign_in(client, cast.student("Ben"))
    here = f"/me/trainings/{cast.row('Ben', glazing).uuid}"
    page = words(client.get(here))
    assert f"You can have {LIMIT}." in page
    assert "Join again" not in page
    assert client.act(f"{here}/re-enable", terms="y").status_code == 409


def test_the_link_of_a_letter_leads_no_further(
    client: Client,
    cast: Cast,
    crafts: TrainingType,
    glazing: Training,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    glazing.max_participants = 1
    cast.enrol("Dora", NOW, glazing)
    ben = cast.enrol("Ben", NOW, glazing)
    enrolments.deroll(cast.session, cast.row("Dora", glazing), LINK, NOW)
    waitlist.decline(cast.session, ben, LINK, NOW)
    monkeypatch.setattr(invitations, "utcnow", lambda: NOW)
    token = token_for(cast, cast.row("Ben", glazing), "re-enable", NOW)
    before = client.get(path_of(token, "re-enable"))
    cast.enrol("Ben", NOW, of_type(cast, cast.training("Raku", 1, SOON), crafts))
    answer = press(client, before, "re-enable")
    assert answer.status_code == 409
    assert f"You can have {LIMIT}." in answer.text
    assert cast.statuses(ben) == ["waitlist-declined"]


@pytest.mark.parametrize("purpose", ["answer", "re-enable"])
def test_the_link_of_a_letter_says_so_before_the_click(
    client: Client,
    cast: Cast,
    crafts: TrainingType,
    glazing: Training,
    monkeypatch: pytest.MonkeyPatch,
    purpose: str,
) -> None:
    glazing.max_participants = 1
    cast.enrol("Dora", NOW, glazing)
    ben = cast.enrol("Ben", NOW, glazing)
    enrolments.deroll(cast.session, cast.row("Dora", glazing), LINK, NOW)
    waitlist.decline(cast.session, ben, LINK, NOW)
    monkeypatch.setattr(invitations, "utcnow", lambda: NOW)
    here = path_of(token_for(cast, cast.row("Ben", glazing), purpose, NOW), purpose)
    assert "Join again at the end" in client.get(here).text
    raku = cast.enrol("Ben", NOW, of_type(cast, cast.training("Raku", 1, SOON), crafts))
    page = words(client.get(here))
    assert f"You cannot join again now. You can have {LIMIT}." in page
    assert "Join again at the end" not in page
    enrolments.deroll(cast.session, raku, LINK, NOW)
    assert "Join again at the end" in client.get(here).text


def test_an_announced_place_is_open_and_the_trainer_takes_that_back(
    ada: Client, cast: Cast, glazing: Training
) -> None:
    overrides.waive_limit(cast.session, glazing, CONSOLE, NOW)
    assert "Not open to you" not in words(ada.get("/trainings"))
    sign_in(ada, cast.tess)
    roster = f"/trainer/trainings/{glazing.id}"
    assert "no booking limit holds until it is taken" in main_words(ada.get(roster))
    assert ada.get(f"{roster}/list/limit").status_code == 200
    assert ada.act(f"{roster}/list/limit", reason="no").status_code == 400
    assert ada.act(f"{roster}/list/limit", reason=REASON).status_code == 303
    assert "no booking limit holds" not in main_words(ada.get(roster))
    sign_in(ada, cast.student("Ada"))
    assert "Not open to you" in words(ada.get("/trainings"))


def test_the_list_asks_as_much_for_five_as_for_thirty(
    web_app: Flask, ada: Client, cast: Cast, crafts: TrainingType
) -> None:
    counts = []
    for start, upto in ((0, 5), (5, 30)):
        for n in range(start, upto):
            of_type(cast, cast.training(f"Course {n}", 2, SOON + n * DAY), crafts)
        counts.append(len(statements(web_app, ada, "/trainings")))
    assert counts[0] == counts[1] <= 8


# --- cancelling ----------------------------------------------------------------------------------


@pytest.fixture
def place(client: Client, cast: Cast) -> TrainingEnroll:
    """Ada's, in a training that starts in ten hours and has a rule of 24; she is at the browser."""
    type_ = kind_of_training(cast)
    window(cast, type_)
    soon = of_type(cast, cast.training("Glazing", 1, NOW + 10 * HOUR), type_)
    row = cast.enrol("Ada", NOW, soon)
    sign_in(client, cast.student("Ada"))
    return row


def leave(row: TrainingEnroll) -> str:
    return f"/me/trainings/{row.uuid}/leave"


def late_letters(cast: Cast) -> list[str]:
    return [kind for kind, _name in cast.letters() if kind.startswith("late")]


def test_cancelling_late_shows_the_rule_and_a_tick(
    client: Client, cast: Cast, place: TrainingEnroll
) -> None:
    page = client.get(leave(place))
    assert f"You cancel late. {CANCEL}" in words(page)
    assert 'name="late"' in page.text
    assert CANCEL in words(client.get(at(place.training)))


def test_without_the_tick_nothing_is_cancelled(
    client: Client, cast: Cast, place: TrainingEnroll
) -> None:
    answer = client.act(leave(place), what="place")
    assert answer.status_code == 400
    assert "Tick that you know that you cancel late." in words(answer)
    assert f"You cancel late. {CANCEL}" in words(answer)
    assert cast.statuses(place) == ["enrolled"]
    assert late_letters(cast) == []


def test_with_the_tick_the_place_is_cancelled_and_twice_is_once(
    client: Client, cast: Cast, place: TrainingEnroll
) -> None:
    for _ in range(2):
        assert client.act(leave(place), what="place", late="y").status_code == 303
    assert cast.statuses(place) == ["derolled"]
    assert late_letters(cast) == ["late_cancellation", "late_cancellation_trainer"]


def test_in_time_nothing_more_is_asked(client: Client, cast: Cast, place: TrainingEnroll) -> None:
    event = place.training.events[0]
    event.start_time, event.end_time = SOON, SOON + HOUR
    assert 'name="late"' not in client.get(leave(place)).text
    assert client.act(leave(place), what="place").status_code == 303
    assert late_letters(cast) == []


def test_joining_names_the_rule_of_cancelling(
    client: Client, cast: Cast, place: TrainingEnroll
) -> None:
    sign_in(client, cast.student("Ben"))
    assert CANCEL in words(client.get(at(place.training, "/join")))


# --- staff ---------------------------------------------------------------------------------------


@pytest.fixture
def tess(client: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Tess at her browser, at the hour of these tests."""
    for room in (trainer, trainer_acts, trainer_list):
        monkeypatch.setattr(room, "utcnow", lambda: NOW)
    sign_in(client, cast.tess)
    return client


def late_pottery(cast: Cast) -> TrainingEnroll:
    type_ = kind_of_training(cast)
    window(cast, type_)
    of_type(cast, cast.pottery, type_)
    event = cast.pottery.events[0]
    event.start_time, event.end_time = NOW + 10 * HOUR, NOW + 13 * HOUR
    return cast.enrol("Ada", NOW)


def test_a_trainer_sees_that_it_is_late_ticks_it_and_both_are_told(
    tess: Client, cast: Cast
) -> None:
    row = late_pottery(cast)
    for fields, status in (({}, 400), ({"late": "y"}, 303)):
        answer = do(tess, cast, "remove", row, reason=REASON, **fields)
        assert answer.status_code == status
        if status == 400:
            assert f"This is a late cancellation. {CANCEL}" in main_words(answer)
            assert "Tick that you have seen that this is a late cancellation." in answer.text
            assert cast.statuses(row) == ["enrolled"]
    assert cast.statuses(row) == ["derolled"]
    assert late_letters(cast) == ["late_cancellation", "late_cancellation_trainer"]


def test_who_only_waits_is_removed_without_a_tick(tess: Client, cast: Cast) -> None:
    late_pottery(cast)
    ben = cast.enrol("Ben", NOW)
    event = cast.pottery.events[0]
    assert event.start_time > NOW
    assert do(tess, cast, "remove", ben, reason=REASON).status_code == 303
    assert late_letters(cast) == []


def test_a_trainer_adds_above_the_limit_and_is_told(
    tess: Client, cast: Cast, glazing: Training
) -> None:
    path = f"/trainer/trainings/{glazing.id}/add"
    above = "Above the booking limit of 1 of Crafts within 28 days: Weaving ("
    cast.student("Ben")
    page = main_words(tess.get(f"{path}?q=example"))
    assert page.count(above) == 1
    answer = tess.act(path, student=str(cast.student("Ada").id))
    assert answer.status_code == 303
    assert above in words(tess.get(answer.location))
    assert cast.row("Ada", glazing).status == "enrolled"
    data: dict[str, Any] = cast.last_event("enrolled", glazing).data or {}
    assert data["above_limit"]["max"] == 1


def test_bringing_back_above_the_limit_is_said_on_the_page_that_asks(
    tess: Client, cast: Cast, crafts: TrainingType
) -> None:
    of_type(cast, cast.pottery, crafts)
    event = cast.pottery.events[0]
    event.start_time, event.end_time = SOON, SOON + HOUR
    ada = cast.student("Ada").id
    row = enrolments.enrol(cast.session, cast.pottery.id, ada, cast.max, NOW)
    enrolments.deroll(cast.session, row, LINK, NOW)
    answer = do(tess, cast, "back", row)
    assert answer.status_code == 303
    assert "Above the booking limit of 1 of Crafts" in words(tess.get(answer.location))
    assert cast.statuses(row) == ["enrolled"]
