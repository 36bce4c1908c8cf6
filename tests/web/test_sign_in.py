"""Signing in and out: right, wrong, too often, and where it leads (reliability SE2–SE5, SE16)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import pytest
from flask import Flask
from flask_security import hash_password
from werkzeug.test import TestResponse

from app.models import User
from tests.cast import Cast
from tests.web.browsing import Client, client_of, csrf_token, sign_in
from tests.web.post import someone

PASSWORD = "correct horse battery staple"
PATH = "/sign-in"


@pytest.fixture
def ada(web_app: Flask, cast: Cast) -> User:
    """Ada, with a password."""
    user = cast.student("Ada").user
    with web_app.app_context():
        user.password = hash_password(PASSWORD)
    return user


@pytest.fixture
def counting(web_app: Flask) -> Iterator[None]:
    """Tries are counted."""
    (limiter,) = web_app.extensions["limiter"]
    limiter.enabled = True
    limiter.reset()
    yield
    limiter.reset()
    limiter.enabled = False


def attempt(client: Client, email: str, password: str, to: str = PATH) -> TestResponse:
    key = csrf_token(client.get(to))
    return client.post(to, data={"csrf_token": key, "email": email, "password": password})


def test_who_knows_the_password_is_in(client: Client, ada: User) -> None:
    answer = attempt(client, ada.email.upper(), PASSWORD)
    assert (answer.status_code, answer.location) == (302, "/")
    assert "Ada Example" in client.get("/").text


def test_an_old_hash_becomes_a_strong_one(
    client: Client, ada: User, cast: Cast, strong: None
) -> None:
    assert "m=8,t=1,p=1" in (ada.password or "")
    attempt(client, ada.email, PASSWORD)
    cast.session.expire_all()
    assert (ada.password or "").startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_a_session_is_new_at_sign_in(client: Client, ada: User) -> None:
    client.get(PATH)
    with client.session_transaction() as before:
        old = before["csrf_token"]
    attempt(client, ada.email, PASSWORD)
    client.get("/")
    with client.session_transaction() as after:
        assert after["csrf_token"] != old


def test_nobody_learns_whether_an_address_is_known(client: Client, ada: User, cast: Cast) -> None:
    sleeping = cast.student("Ben").user
    sleeping.active, sleeping.password = False, ada.password
    told = {
        attempt(client, email, password).text.partition("<form")[2].replace(email, "")[:0]
        + str(attempt(client, email, password).status_code)
        + attempt(client, email, password).text.split('class="summary"')[1].split("</div>")[0]
        for email, password in (
            (ada.email, "wrong"),
            ("nobody@example.org", "wrong"),
            (sleeping.email, PASSWORD),
        )
    }
    assert len(told) == 1
    assert "not right" in told.pop()


def test_empty_fields_are_asked_for(client: Client) -> None:
    answer = attempt(client, "", "")
    assert answer.status_code == 400


def test_signing_out_ends_it(client: Client, ada: User) -> None:
    sign_in(client, ada)
    assert client.act("/sign-out").status_code == 302
    assert "Ada Example" not in client.get("/").text


def test_a_changed_version_of_the_account_ends_every_session(client: Client, ada: User) -> None:
    sign_in(client, ada)
    ada.fs_uniquifier = "b" * 32
    assert "Ada Example" not in client.get("/").text


@pytest.mark.parametrize(
    ("name", "seconds", "stays"),
    [
        ("since", 12 * 3600 - 60, True),
        ("since", 12 * 3600 + 60, False),
        ("seen", 31 * 60, True),
    ],
)
def test_a_session_ends_after_twelve_hours(
    client: Client, ada: User, name: str, seconds: int, stays: bool
) -> None:
    sign_in(client, ada)
    age(client, name, seconds)
    assert ("Ada Example" in client.get("/").text) is stays


@pytest.mark.parametrize(("minutes", "stays"), [(29, True), (31, False)])
def test_an_administrator_who_does_nothing_is_signed_out(
    client: Client, office: str, minutes: int, stays: bool
) -> None:
    sign_in(client, office)
    age(client, "seen", minutes * 60)
    assert ("Orla Example" in client.get("/").text) is stays


def age(client: Client, name: str, seconds: int) -> None:
    with client.session_transaction() as cookie:
        cookie[name] -= seconds


# --- too often ---


@pytest.mark.usefixtures("counting")
def test_the_sixth_try_is_refused_before_anything_is_hashed(
    client: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []
    monkeypatch.setattr(
        User, "verify_and_update_password", lambda *_: bool(hashed.append(1)), raising=True
    )
    for _ in range(5):
        assert attempt(client, ada.email, "wrong").status_code == 400
    refused = attempt(client, ada.email, PASSWORD)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 900
    assert "15 minutes" in refused.text
    assert len(hashed) == 5


@pytest.mark.usefixtures("counting")
def test_tries_at_one_account_leave_the_others_alone(
    client: Client, web_app: Flask, ada: User, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(User, "verify_and_update_password", lambda *_: False)
    for _ in range(6):
        last = attempt(client, ada.email, "wrong")
    ben = cast.student("Ben").user
    ben.password = ada.password
    assert last.status_code == 429
    assert attempt(client_of(web_app, cast.session), ben.email, "wrong").status_code == 400


@pytest.mark.usefixtures("counting")
def test_who_signs_in_often_and_rightly_is_never_too_many(client: Client, cast: Cast) -> None:
    ada = someone(client, cast)
    for _ in range(4):
        assert attempt(client, ada.email, "wrong").status_code == 400
    for _ in range(6):
        assert attempt(client, ada.email, PASSWORD).status_code == 302
        client.act("/sign-out")
    assert attempt(client, ada.email, "wrong").status_code == 400
    assert attempt(client, ada.email, PASSWORD).status_code == 429  # the wrong ones still count


# --- what was typed ---


@pytest.mark.usefixtures("counting")
def test_an_address_is_the_same_however_a_browser_writes_it(client: Client, cast: Cast) -> None:
    jan = someone(client, cast)
    jan.email = "jan@münchen.de"
    for typed in ("jan@xn--mnchen-3ya.de", " Jan@MÜNCHEN.de "):
        assert attempt(client, typed, PASSWORD).status_code == 302
        client.act("/sign-out")
    spellings = ["jan@xn--mnchen-3ya.de", "jan@münchen.de", "  JAN@münchen.DE"] * 2
    answers = [attempt(client, typed, "wrong").status_code for typed in spellings]
    assert answers == [400] * 5 + [429]


def test_what_no_address_holds_is_nobodys(client: Client, cast: Cast) -> None:
    for typed in ("a\0b@x.org", "a\nb@x.org", "x" * 400_000):
        assert attempt(client, typed, "p\0" + PASSWORD).status_code == 400


# --- where it leads (reliability B37) ---


@pytest.mark.parametrize(
    "evil",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "////evil.example",
        "https:evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "data:text/html,x",
        " //evil.example",
        "\t//evil.example",
        "/\t/evil.example",
        "/%0d%0aLocation:%20//evil.example/..//",
    ],
)
def test_nobody_is_led_to_another_site(client: Client, ada: User, evil: str) -> None:
    page = client.get(PATH, query_string={"next": evil})
    fields = {"csrf_token": csrf_token(page), "email": ada.email, "password": PASSWORD}
    for extra in ({}, {"next": evil}):
        answer = client.post(PATH, query_string={"next": evil}, data=fields | extra)
        location = answer.headers.get("Location", "/")
        for as_browsers_read_it in (location, re.sub(r"[\t\r\n]", "", location.replace("\\", "/"))):
            there = urlsplit(urljoin("https://localhost/sign-in", as_browsers_read_it))
            assert (there.scheme, there.netloc) == ("https", "localhost")


def test_one_is_led_back_to_the_page_one_wanted(client: Client, ada: User) -> None:
    page = client.get(PATH, query_string={"next": "/help?a=1"})
    fields = {"csrf_token": csrf_token(page), "email": ada.email, "password": PASSWORD}
    answer = client.post(PATH, query_string={"next": "/help?a=1"}, data=fields)
    assert (answer.status_code, answer.location) == (302, "/help?a=1")


# --- forgery (SE5) ---


@pytest.mark.parametrize("key", [None, "", "forged"])
def test_without_the_key_nothing_happens(client: Client, ada: User, key: str | None) -> None:
    data = {"email": ada.email, "password": PASSWORD} | ({} if key is None else {"csrf_token": key})
    assert client.post(PATH, data=data).status_code == 400
    assert "Ada Example" not in client.get("/").text
    sign_in(client, ada)
    assert client.post("/sign-out", data={"csrf_token": key or ""}).status_code == 400
    assert "Ada Example" in client.get("/").text


def test_another_sessions_key_is_no_key(client: Client, web_app: Flask, cast: Cast) -> None:
    mallory = client_of(web_app, cast.session)
    sign_in(mallory, cast.student("Mallory"))
    sign_in(client, cast.student("Ada"))
    assert client.post("/sign-out", data={"csrf_token": mallory.key()}).status_code == 400
    assert "Ada Example" in client.get("/").text


def test_a_form_from_another_site_is_refused(client: Client, cast: Cast) -> None:
    sign_in(client, cast.student("Ada"))
    evil = {"Referer": "https://evil.example/"}
    answer = client.post("/sign-out", data={"csrf_token": client.key()}, headers=evil)
    assert answer.status_code == 400
