"""Signing up, a forgotten password, a new address: by letters, and telling nobody who is known."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from app.extensions import utcnow
from app.models import PersonStatus, User
from app.services import tickets
from app.services.passwords import a_password
from app.web.security import hashing
from tests.cast import Cast
from tests.web.browsing import Client, client_of, sign_in
from tests.web.post import NEW, PASSWORD, letters, link, someone, student_of, there

CLEO = "cleo@example.org"
FIELDS = {"first_name": "Cleo", "last_name": "Moss", "password": PASSWORD, "terms": "y"}


# --- signing up (rulings RD1) --------------------------------------------------------------------


def test_a_stranger_becomes_a_student(client: Client, stage: Session) -> None:
    answer = client.act("/sign-up", email=CLEO)
    assert (answer.status_code, answer.location) == (303, "/letter-sent")
    assert there(stage, CLEO) is None
    page = link(stage, "account_sign_up")
    assert CLEO in client.get(page).text
    assert there(stage, CLEO) is None  # a GET confirms nothing
    assert client.act(page, **FIELDS).status_code == 303
    cleo = there(stage, CLEO)
    assert cleo is not None
    assert (cleo.fullname, student_of(stage, cleo).status) == ("Cleo Moss", PersonStatus.ACTIVE)
    assert [row.user_id for row in letters(stage, "welcome")] == [cleo.id]
    assert "Cleo Moss" in client.get("/").text


def test_where_approval_is_asked_for_nobody_books_before_it(
    client: Client, stage: Session, web_app: Flask, office: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = web_app.extensions["settings"].model_copy(update={"student_approval": True})
    monkeypatch.setitem(web_app.extensions, "settings", settings)
    client.act("/sign-up", email=CLEO)
    client.act(link(stage, "account_sign_up"), **FIELDS)
    cleo = there(stage, CLEO)
    assert cleo is not None
    assert student_of(stage, cleo).status is PersonStatus.INACTIVE
    kinds = [row.kind for row in letters(stage)]
    assert kinds == ["account_sign_up", "application_received", "student_created"]


def test_a_link_makes_one_account(client: Client, web_app: Flask, stage: Session) -> None:
    client.act("/sign-up", email=CLEO)
    page = link(stage, "account_sign_up")
    client.act(page, **FIELDS)
    other = client_of(web_app, stage)
    assert other.get(page).status_code == 410
    assert other.act(page, **FIELDS | {"first_name": "Eve"}).status_code == 410
    cleo = there(stage, CLEO)
    assert cleo is not None
    assert cleo.first_name == "Cleo"


def test_whoever_was_imported_without_a_password_gets_that_account(
    client: Client, cast: Cast, stage: Session
) -> None:
    ada = cast.student("Ada").user
    client.act("/sign-up", email=ada.email)
    assert client.act(link(stage, "account_sign_up"), **FIELDS).status_code == 303
    found = there(stage, ada.email)
    assert found is not None
    assert (found.id, found.last_name) == (ada.id, "Moss")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"password": "short"}, "at least 12"),
        ({"password": "x" * 129}, "at most 128"),
        ({"password": "Qwerty123456"}, "Many people use"),
        ({"password": "aaaaaaaaaaaaa"}, "Many people use"),
        ({"password": CLEO}, "no secret"),
        ({"first_name": " "}, "first name"),
        ({"last_name": "x" * 101}, "100"),
        ({"terms": ""}, "agree to the terms"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(
    client: Client, stage: Session, wrong: dict[str, str], says: str
) -> None:
    client.act("/sign-up", email=CLEO)
    answer = client.act(link(stage, "account_sign_up"), **FIELDS | wrong)
    assert answer.status_code == 400
    assert says in answer.text
    assert there(stage, CLEO) is None


@pytest.mark.parametrize("token", ["x", "", "x" * 3000, "W10.x", "%00", "٣"])
@pytest.mark.parametrize("room", ["/sign-up", "/new-password", "/new-address"])
def test_a_forged_link_is_one_uniform_page(client: Client, room: str, token: str) -> None:
    answer = client.get(f"{room}/{token}")
    assert answer.status_code in ((410,) if token else (404, 308))


def test_links_run_out_and_open_one_room_only(client: Client, web_app: Flask) -> None:
    key, now = web_app.config["SECRET_KEY"], utcnow()
    late = tickets.write(key, tickets.SIGN_UP, [CLEO], now - timedelta(seconds=1))
    other = tickets.write(key, tickets.NEW_ADDRESS, [CLEO], now + timedelta(hours=1))
    good = tickets.write(key, tickets.SIGN_UP, [CLEO], now + timedelta(hours=1))
    answers = [client.get(f"/sign-up/{token}").status_code for token in (late, other, good)]
    assert answers == [410, 410, 200]
    assert client.get(f"/sign-up/{good}.").status_code == 200  # as mail programs bend it


# --- one answer for all (people PS10) ------------------------------------------------------------


@pytest.mark.parametrize("room", ["/sign-up", "/new-password"])
def test_known_and_unknown_addresses_get_the_same_answer_and_one_letter_each(
    client: Client, cast: Cast, stage: Session, room: str
) -> None:
    ada, gone = someone(client, cast), someone(client, cast, "Ben")
    gone.active = False
    told = set()
    for address in (ada.email, ada.email.upper(), gone.email, "nobody@example.org"):
        answer = client.act(room, email=address)
        told.add((answer.status_code, answer.location, client.get("/letter-sent").text))
    assert len(told) == 1
    assert len(letters(stage)) == 4


def test_an_address_that_is_none_is_said_so(client: Client, stage: Session) -> None:
    for typed in ("", "x", "a@b,c@d", "a@b\r\nBcc: c@d"):
        assert client.act("/sign-up", email=typed).status_code == 400
    assert letters(stage) == []


@pytest.mark.usefixtures("counting")
def test_the_sixth_letter_in_an_hour_is_refused(client: Client, stage: Session) -> None:
    answers = [client.act("/sign-up", email=f"a{n}@example.org").status_code for n in range(3)]
    answers += [client.act("/new-password", email=CLEO).status_code for n in range(3)]
    assert answers == [303] * 5 + [429]
    assert len(letters(stage)) == 5


# --- passwords (SE2, SE3) ------------------------------------------------------------------------


def test_a_forgotten_password_is_replaced_once_and_ends_all_sessions(
    client: Client, web_app: Flask, cast: Cast, stage: Session
) -> None:
    ada = someone(client, cast)
    elsewhere = client_of(web_app, stage)
    sign_in(elsewhere, ada)
    client.act("/new-password", email=ada.email)
    page = link(stage, "account_reset")
    assert client.get(page).status_code == 200
    assert "Ada Example" in elsewhere.get("/").text
    answer = client.act(page, password=NEW)
    assert (answer.status_code, answer.location) == (303, "/sign-in")
    assert "Ada Example" not in elsewhere.get("/").text
    assert client.get(page).status_code == client.act(page, password=PASSWORD).status_code == 410
    assert client.act("/sign-in", email=ada.email, password=NEW).status_code == 302
    assert len(letters(stage, "account_changed")) == 1


def test_a_newer_letter_does_not_stop_an_older_one_but_a_change_stops_both(
    client: Client, cast: Cast, stage: Session
) -> None:
    ada = someone(client, cast)
    pages = []
    for _ in range(2):
        client.act("/new-password", email=ada.email)
        pages.append(link(stage, "account_reset"))
    assert client.act(pages[0], password=NEW).status_code == 303
    assert client.get(pages[1]).status_code == 410


def test_a_change_needs_the_old_password_and_keeps_only_this_session(
    client: Client, web_app: Flask, cast: Cast, stage: Session
) -> None:
    ada, elsewhere = someone(client, cast), client_of(web_app, stage)
    sign_in(client, ada)
    sign_in(elsewhere, ada)
    assert client.act("/me/password", current="wrong", password=NEW).status_code == 400
    assert client.act("/me/password", current=PASSWORD, password="short").status_code == 400
    assert "Ada Example" in elsewhere.get("/").text
    assert client.act("/me/password", current=PASSWORD, password=NEW).status_code == 303
    assert "Ada Example" in client.get("/").text
    assert "Ada Example" not in elsewhere.get("/").text


def test_letters_of_any_language_are_the_same_password_wherever_it_is_typed(
    client: Client, web_app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed, busy = "Zoë Çelik drinkt køffie", []
    ada = someone(client, cast, password=a_password(typed))
    verify = User.verify_and_update_password

    def noting(user: User, password: str) -> bool:
        busy.append(hashing.locked())
        return verify(user, password)

    monkeypatch.setattr(User, "verify_and_update_password", noting)
    assert client.act("/sign-in", email=ada.email, password=typed).status_code == 302
    assert client.act("/me/address", email=CLEO, password=typed).status_code == 303
    assert client.act("/me/password", current=typed, password=NEW).status_code == 303
    assert busy == [True] * 3  # one at a time (SE3)


@pytest.mark.usefixtures("counting")
def test_right_passwords_are_no_guesses(client: Client, cast: Cast) -> None:
    sign_in(client, someone(client, cast))
    asked = [client.act("/me/password", current=PASSWORD, password="x") for _ in range(7)]
    assert {answer.status_code for answer in asked} == {400}  # for the new one alone


@pytest.mark.usefixtures("counting")
def test_guesses_at_the_old_password_are_counted(client: Client, cast: Cast) -> None:
    sign_in(client, someone(client, cast))
    guesses = [client.act("/me/password", current="x", password=NEW) for _ in range(6)]
    assert [answer.status_code for answer in guesses] == [400] * 5 + [429]


# --- another address (people PS7) ----------------------------------------------------------------


def test_a_new_address_counts_once_it_is_confirmed(
    client: Client, cast: Cast, stage: Session
) -> None:
    ada = someone(client, cast)
    old = ada.email
    sign_in(client, ada)
    asked = client.act("/me/address", email=CLEO, password=PASSWORD)
    assert asked.status_code == 303
    letter = letters(stage, "account_address")[-1]
    page = letter.payload["page"]
    assert (letter.payload["to"], there(stage, CLEO)) == (CLEO, None)
    assert client.get(page).status_code == 200
    assert there(stage, CLEO) is None
    assert client.act(page).status_code == 303
    assert there(stage, CLEO) is not None
    assert letters(stage, "account_changed")[-1].payload["to"] == old
    assert client.act(page).status_code == 410


def test_an_open_invitation_is_sent_anew_to_the_new_address(
    client: Client, cast: Cast, stage: Session
) -> None:
    (row,) = cast.offer("Ben")
    ben = someone(client, cast, "Ben")
    sign_in(client, ben)
    before = len(letters(stage, "invited"))
    client.act("/me/address", email=CLEO, password=PASSWORD)
    client.act(link(stage, "account_address"))
    invited = letters(stage, "invited")
    assert len(invited) == before + 1
    assert invited[-1].invite_no == row.invite_no


def test_a_taken_address_is_not_given_away(client: Client, cast: Cast, stage: Session) -> None:
    ada, ben = someone(client, cast), someone(client, cast, "Ben")
    sign_in(client, ada)
    answer = client.act("/me/address", email=ben.email, password=PASSWORD)
    assert answer.status_code == 303
    assert letters(stage, "account_address") == []


def test_without_the_password_no_address_changes(
    client: Client, cast: Cast, stage: Session
) -> None:
    sign_in(client, someone(client, cast))
    assert client.act("/me/address", email=CLEO, password="wrong").status_code == 400
    assert letters(stage) == []
