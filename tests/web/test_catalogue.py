"""The catalogue, a training's page and joining, as people see them (people PS1–PS3)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from app.extensions import db, utcnow
from app.models import Location, Training, TrainingEnroll, TrainingType
from app.services import enrolments, overrides, students
from app.services.actors import LINK
from app.web import joining
from tests.cast import DAY, HOUR, REASON, Cast
from tests.statements import count_statements
from tests.web.browsing import Client, client_of, sign_in

NOW = utcnow()
SOON = NOW.replace(minute=0, second=0, microsecond=0) + 40 * DAY


@pytest.fixture
def glazing(cast: Cast) -> Training:
    """An open training with two places, forty days ahead."""
    return cast.training("Glazing", 2, SOON)


def fill(cast: Cast, training: Training, *names: str) -> list[TrainingEnroll]:
    return [cast.enrol(name, NOW, training) for name in names]


def words(page: Any) -> str:
    """What a reader sees of the main part, in one line."""
    main = page.text.split("<main", 1)[1].split("</main>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", main).split())


def row_of(cast: Cast, name: str, training: Training) -> TrainingEnroll:
    cast.session.expire_all()
    return cast.row(name, training)


# --- the list ------------------------------------------------------------------------------------


def test_a_visitor_sees_what_is_open_and_where_places_are(
    client: Client, cast: Cast, glazing: Training
) -> None:
    full = cast.training("Raku", 1, SOON)
    fill(cast, full, "Ada", "Ben")
    fill(cast, glazing, "Ada")
    seen = words(client.get("/trainings"))
    assert "Glazing" in seen
    assert "1 of 2 places left" in seen
    assert "Full, waitlist open" in seen
    assert "Pottery" not in seen  # it has started
    assert "waiting" not in seen


@pytest.mark.parametrize("state", ["draft", "cancelled", "archived", "started"])
def test_what_is_not_open_is_not_listed(
    client: Client, cast: Cast, glazing: Training, state: str
) -> None:
    if state == "draft":
        glazing.active = False
    elif state == "started":
        glazing.events[0].start_time = NOW - HOUR
        glazing.events[0].end_time = NOW + HOUR
    else:
        setattr(glazing, f"{state}_at", NOW)
    assert "Glazing" not in client.get("/trainings").text


def test_each_student_reads_their_own_state(client: Client, cast: Cast, glazing: Training) -> None:
    ada, *_others, eve = fill(cast, glazing, "Ada", "Ben", "Cleo", "Dora", "Eve")
    enrolments.leave(cast.session, eve, LINK, NOW)
    enrolments.deroll(cast.session, ada, LINK, NOW)  # Cleo is invited
    said = {
        "Ada": "You are no longer on it",
        "Ben": "You have a place",
        "Cleo": "A place is free for you: answer before",
        "Dora": "You are 1st of 1 waiting",
        "Finn": "Full, 1 waiting",
    }
    for name, line in said.items():
        sign_in(client, cast.student(name))
        assert line in words(client.get("/trainings")), name
        assert line in words(client.get(f"/trainings/{glazing.id}")), name


def test_a_paused_list_and_an_inactive_account_say_so(
    client: Client, cast: Cast, glazing: Training
) -> None:
    sign_in(client, cast.student("Ada"))
    overrides.pause_list(cast.session, glazing.id, cast.max, NOW, REASON)
    assert "Paused" in words(client.get("/trainings"))
    students.deactivate(cast.session, cast.student("Ada"), cast.max, NOW)
    assert "Not open to you: your account is not active" in words(client.get("/trainings"))


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("q=glaz", ["Glazing"]),
        ("q=GLAZING", ["Glazing"]),
        ("q=ceramique+cafe", ["Raku"]),
        ("q=sankt+goran", ["Glazing"]),
        ("places=1", ["Glazing"]),
        ("mine=1", ["Raku"]),
        ("q=nothing+like+this", []),
    ],
)
def test_filters_leave_what_is_looked_for(
    client: Client, cast: Cast, glazing: Training, asked: str, names: list[str]
) -> None:
    raku = cast.training("Raku", 1, SOON + DAY)
    raku.training_type = TrainingType(practice_id=cast.practice.id, name="Céramique au Café")
    hall = cast.add(Location(practice_id=cast.practice.id, name="Sankt Göran"))
    glazing.events[0].location = hall
    fill(cast, raku, "Ada")
    sign_in(client, cast.student("Ada"))
    page = client.get(f"/trainings?{asked}").text
    assert [name for name in ("Glazing", "Raku") if f">{name}</a>" in page] == names


def test_type_month_location_and_trainer_are_filters_too(
    client: Client, cast: Cast, glazing: Training
) -> None:
    kind = cast.add(TrainingType(practice_id=cast.practice.id, name="Fire"))
    hall = cast.add(Location(practice_id=cast.practice.id, name="The Mill"))
    raku = cast.training("Raku", 1, SOON + 62 * DAY)
    raku.training_type, raku.events[0].location = kind, hall
    tess = raku.trainers[0].trainer_id
    month = f"{SOON + 62 * DAY:%Y-%m}"
    for asked in (f"type={kind.id}", f"location={hall.id}", f"month={month}"):
        page = client.get(f"/trainings?{asked}").text
        assert ">Raku</a>" in page
        assert ">Glazing</a>" not in page
    assert ">Glazing</a>" in client.get(f"/trainings?trainer={tess}").text


def test_an_empty_result_names_the_filter_to_drop(
    client: Client, cast: Cast, glazing: Training
) -> None:
    fill(cast, glazing, "Ada", "Ben")
    page = client.get("/trainings?q=glazing&places=1")
    assert "Without “has places” there is 1 training." in words(page)
    assert 'href="/trainings?q=glazing"' in page.text


def test_an_unknown_filter_is_left_out_with_a_notice(client: Client, glazing: Training) -> None:
    page = client.get("/trainings?colour=red&type=999&sort=size&month=13")
    assert page.status_code == 200
    assert "We left out what we do not know: colour, type, month, sort." in words(page)
    assert "Glazing" in page.text


@pytest.mark.parametrize("number", ["99", "0", "-1", "x", "10000000000000000000000", "٣"])
def test_a_page_past_the_end_shows_the_last(client: Client, cast: Cast, number: str) -> None:
    for n in range(25):
        cast.training(f"Course {n:02}", 1, SOON + n * DAY)
    page = client.get(f"/trainings?page={number}")
    assert page.status_code == 200
    assert ("Course 24" in page.text) == (number == "99")


def test_it_is_sorted_by_date_name_or_places(client: Client, cast: Cast) -> None:
    for name, places, days in (("Öl", 1, 2), ("Lehm", 3, 3), ("Zinn", 2, 1)):
        cast.training(name, places, SOON + days * DAY)
    orders = {
        "date": ["Zinn", "Öl", "Lehm"],
        "name": ["Lehm", "Öl", "Zinn"],
        "places": ["Lehm", "Zinn", "Öl"],
    }
    for sort, names in orders.items():
        page = client.get(f"/trainings?sort={sort}").text
        assert re.findall(r">(Öl|Lehm|Zinn)</a></h2>", page) == names


def test_a_closed_catalogue_asks_to_sign_in(
    web_app: Flask, client: Client, cast: Cast, glazing: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = web_app.extensions["settings"].model_copy(update={"public_catalogue": False})
    monkeypatch.setitem(web_app.extensions, "settings", closed)
    assert client.get("/trainings").location == "/sign-in?next=/trainings"
    assert client.get(f"/trainings/{glazing.id}").status_code == 302
    sign_in(client, cast.student("Ada"))
    assert client.get("/trainings").status_code == 200


def test_the_list_asks_the_database_as_much_for_five_as_for_fifty(
    web_app: Flask, client: Client, cast: Cast
) -> None:
    sign_in(client, cast.student("Ada"))
    paths = ("/trainings", "/trainings?q=course&places=1&mine=1")

    def sent(start: int, upto: int) -> list[int]:
        for n in range(start, upto):
            training = cast.training(f"Course {n}", 2, SOON + n * DAY)
            if n % 4 == 0:
                fill(cast, training, "Ada")
        return [len(statements(web_app, client, path)) for path in paths]

    few = sent(0, 5)
    assert sent(5, 50) == few
    assert max(few) <= 8


def statements(app: Flask, client: Client, path: str) -> list[str]:
    """What a page sends to the database."""
    assert client.stage is not None
    client.stage.commit()
    with app.app_context(), Session(db.engine) as session, count_statements(session) as sent:
        assert client.get(path).status_code == 200
    return sent


# --- one training --------------------------------------------------------------------------------


def test_a_training_says_all_there_is_to_know(
    client: Client, cast: Cast, glazing: Training
) -> None:
    hall = cast.add(Location(practice_id=cast.practice.id, name="The Mill", address="Mill Lane 1"))
    glazing.events[0].location = hall
    glazing.description = "We glaze.\n\nBring <b>an apron</b>."
    fill(cast, glazing, "Ada", "Ben", "Cleo")
    sign_in(client, cast.student("Finn"))
    page = client.get(f"/trainings/{glazing.id}")
    seen = words(page)
    for fact in ("Tess Example", "The Mill", "Mill Lane 1", "2 of 2 places taken"):
        assert fact in seen
    assert "1 person waiting" in seen
    assert "Time to answer an invitation 2 days" in seen
    assert "&lt;b&gt;an apron" in page.text


def test_an_over_full_training_reads_as_it_is(
    client: Client, cast: Cast, glazing: Training
) -> None:
    fill(cast, glazing, "Ada", "Ben")
    enrolments.force(cast.session, glazing.id, cast.student("Cleo").id, cast.max, NOW, REASON)
    assert "3 of 2 places taken" in words(client.get(f"/trainings/{glazing.id}"))


@pytest.mark.parametrize("id_", ["0", "-1", "100000000000000000000", "1,2", "99999", "x"])
@pytest.mark.parametrize("door", ["", "/join"])
def test_an_absurd_number_is_not_found(client: Client, cast: Cast, id_: str, door: str) -> None:
    sign_in(client, cast.student("Ada"))
    assert client.get(f"/trainings/{id_}{door}").status_code == 404


def test_a_draft_is_seen_by_who_is_on_it_alone(
    client: Client, cast: Cast, glazing: Training
) -> None:
    fill(cast, glazing, "Ada")
    glazing.active = False
    assert client.get(f"/trainings/{glazing.id}").status_code == 404
    sign_in(client, cast.student("Ada"))
    assert client.get(f"/trainings/{glazing.id}").status_code == 200


# --- joining -------------------------------------------------------------------------------------


def test_joining_a_free_place_says_so_and_does_it(
    client: Client, cast: Cast, glazing: Training
) -> None:
    sign_in(client, cast.student("Ada"))
    path = f"/trainings/{glazing.id}/join"
    assert "A place is free: you have it as soon as you join." in words(client.get(path))
    answer = client.act(path, terms="y", expected="place")
    row = row_of(cast, "Ada", glazing)
    assert (answer.status_code, answer.location) == (303, f"/me/trainings/{row.uuid}")
    assert row.status == "enrolled"
    assert row.terms_accepted_at is not None
    assert "You have a place." in words(client.get(answer.location))


def test_joining_a_full_one_says_which_place_in_line_and_how_long_to_answer(
    client: Client, cast: Cast, glazing: Training
) -> None:
    fill(cast, glazing, "Ada", "Ben", "Cleo")
    sign_in(client, cast.student("Dora"))
    path = f"/trainings/{glazing.id}/join"
    seen = words(client.get(path))
    assert "You will be 2nd in line." in seen
    assert "you have 2 days to answer" in seen
    client.act(path, terms="y")
    assert row_of(cast, "Dora", glazing).status == "waitlist"


@pytest.mark.parametrize(
    ("expected", "taken", "told"),
    [
        ("place", True, "The last place went to somebody else a moment ago."),
        ("list", False, "A place came free meanwhile: you have it."),
    ],
)
def test_it_tells_what_the_lock_decided_even_if_it_differs(
    client: Client, cast: Cast, glazing: Training, expected: str, taken: bool, told: str
) -> None:
    if taken:
        fill(cast, glazing, "Ada", "Ben")
    sign_in(client, cast.student("Cleo"))
    answer = client.act(f"/trainings/{glazing.id}/join", terms="y", expected=expected)
    assert told in words(client.get(answer.location))


def test_without_the_tick_nothing_is_saved(client: Client, cast: Cast, glazing: Training) -> None:
    sign_in(client, cast.student("Ada"))
    before = cast.everything()
    answer = client.act(f"/trainings/{glazing.id}/join")
    assert answer.status_code == 400
    assert 'href="#terms"' in answer.text
    cast.session.expire_all()
    assert cast.everything() == before


def test_an_incomplete_profile_leads_to_the_missing_fields(
    client: Client, cast: Cast, glazing: Training
) -> None:
    cast.student("Ada").user.last_name = ""
    sign_in(client, cast.student("Ada"))
    path = f"/trainings/{glazing.id}/join"
    assert "First we need your first and last name." in words(client.get(path))
    before = cast.everything()
    answer = client.act(path, terms="y")
    assert answer.status_code == 400
    assert "First we need your first and last name." in words(answer)
    cast.session.expire_all()
    assert cast.everything() == before


def test_who_fills_in_their_name_comes_back_to_join(
    client: Client, cast: Cast, glazing: Training
) -> None:
    cast.student("Ada").user.last_name = ""
    sign_in(client, cast.student("Ada"))
    path = f"/trainings/{glazing.id}/join"
    way = f"/me/profile?join={glazing.id}"
    assert f'href="{way}"' in client.get(path).text
    answer = client.act(way, first_name="Ada", last_name="Example", language="en")
    assert (answer.status_code, answer.location) == (303, path)
    assert "I accept the terms" in words(client.get(path))


def test_who_has_joined_before_is_led_to_their_place(
    client: Client, cast: Cast, glazing: Training
) -> None:
    (row,) = fill(cast, glazing, "Ada")
    sign_in(client, cast.student("Ada"))
    before = cast.everything()
    for answer in (
        client.act(f"/trainings/{glazing.id}/join", terms="y"),
        client.get(f"/trainings/{glazing.id}/join"),
    ):
        assert (answer.status_code, answer.location) == (303, f"/me/trainings/{row.uuid}")
    cast.session.expire_all()
    assert cast.everything() == before


@pytest.mark.parametrize("why", ["closed", "started", "inactive"])
def test_who_may_not_join_is_told_why(
    client: Client, cast: Cast, glazing: Training, why: str
) -> None:
    ada = cast.student("Ada")
    if why == "closed":
        glazing.cancelled_at = NOW
    elif why == "started":
        glazing.events[0].start_time, glazing.events[0].end_time = NOW - HOUR, NOW + HOUR
    else:
        students.deactivate(cast.session, ada, cast.max, NOW)
    sign_in(client, ada)
    answer = client.act(f"/trainings/{glazing.id}/join", terms="y")
    assert answer.status_code == 409
    sentence = "This account is not active" if why == "inactive" else "is not open for booking"
    assert sentence in words(answer)
    assert client.get(f"/trainings/{glazing.id}/join").status_code == 409


def test_who_gets_no_letters_ticks_them_on_to_wait(
    client: Client, cast: Cast, glazing: Training
) -> None:
    fill(cast, glazing, "Ada", "Ben")
    cast.wont_mail("Cleo")
    sign_in(client, cast.student("Cleo"))
    path = f"/trainings/{glazing.id}/join"
    assert "Write to me by e-mail from now on" in words(client.get(path))
    refused = client.act(path, terms="y")
    assert refused.status_code == 409
    assert 'href="#letters"' in refused.text
    assert client.act(path, terms="y", letters="y").status_code == 303
    assert row_of(cast, "Cleo", glazing).status == "waitlist"
    assert cast.student("Cleo").user.settings.msg_transactional_emails  # type: ignore[union-attr]


def test_a_free_place_needs_no_letters(client: Client, cast: Cast, glazing: Training) -> None:
    cast.wont_mail("Ada")
    sign_in(client, cast.student("Ada"))
    path = f"/trainings/{glazing.id}/join"
    assert "Write to me by e-mail" not in words(client.get(path))
    assert client.act(path, terms="y").status_code == 303


def test_a_bounced_address_is_mended_first(client: Client, cast: Cast, glazing: Training) -> None:
    fill(cast, glazing, "Ada", "Ben")
    cast.student("Cleo").user.undeliverable_at = NOW
    sign_in(client, cast.student("Cleo"))
    assert "Letters to your address come back" in words(client.get(f"/trainings/{glazing.id}/join"))


@pytest.mark.usefixtures("counting")
def test_joining_and_joining_again_are_counted_together_for_each_student(
    web_app: Flask,
    client: Client,
    cast: Cast,
    glazing: Training,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert joining.JOINS == "20 per hour"
    monkeypatch.setattr(joining, "JOINS", "2 per hour")
    path, other = f"/trainings/{glazing.id}/join", cast.training("Raku", 2, SOON)
    sign_in(client, cast.student("Ada"))
    mine = client.act(path, terms="y").location
    client.act(f"{mine}/leave", what="place")
    assert client.act(f"{mine}/re-enable", terms="y").status_code == 303
    refused = client.act(f"/trainings/{other.id}/join", terms="y")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    ben = client_of(web_app, cast.session)
    sign_in(ben, cast.student("Ben"))
    assert ben.act(path, terms="y").status_code == 303


def test_who_is_no_student_cannot_join(client: Client, cast: Cast, glazing: Training) -> None:
    path = f"/trainings/{glazing.id}/join"
    assert client.get(path).status_code == 302
    sign_in(client, cast.tess)
    assert client.get(path).status_code == 403


def test_past_the_hard_stop_a_waiting_student_takes_the_free_place(
    client: Client, cast: Cast, glazing: Training
) -> None:
    ada, _ben, cleo = fill(cast, glazing, "Ada", "Ben", "Cleo")
    glazing.events[0].start_time = utcnow() + HOUR
    glazing.events[0].end_time = utcnow() + 2 * HOUR
    cast.session.flush()
    enrolments.deroll(cast.session, ada, LINK, utcnow())  # nobody is invited any more
    sign_in(client, cast.student("Cleo"))
    assert "whoever comes first" in words(client.get(f"/me/trainings/{cleo.uuid}"))
    client.act(f"/trainings/{glazing.id}/join", terms="y")
    assert row_of(cast, "Cleo", glazing).status == "enrolled"


def test_a_student_of_another_practice_finds_no_such_training(
    web_app: Flask, client: Client, cast: Cast, glazing: Training
) -> None:
    from app.models import Practice, Student

    other = cast.add(Practice(name="Elsewhere", shortname="else"))
    mallory = cast.add(Student(user_id=cast.user("Mallory").id, practice_id=other.id))
    stranger = client_of(web_app, cast.session)
    sign_in(stranger, mallory)
    for door in ("", "/join"):
        assert stranger.get(f"/trainings/{glazing.id}{door}").status_code == 404
    assert "Glazing" not in stranger.get("/trainings").text
