"""What people read when something can't be done (people PG4, reliability SE15, SE17)."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from flask import Flask, abort

from app.extensions import csrf, db
from app.services.refusals import NotFound, Refusal
from tests import databases
from tests.cast import Cast
from tests.sink import free_port
from tests.web.browsing import Client, client_of, sign_in


@pytest.fixture(scope="module")
def broken_apps() -> Iterator[dict[str, Flask]]:
    """Applications that fail, one per kind of database, in which nobody writes."""
    with databases.shared_web_apps() as apps:
        for app in apps.values():
            fail_in_every_way(app)
        yield apps


def fail_in_every_way(app: Flask) -> None:
    """A page for each; what fails is answered, not raised."""
    app.testing = False

    @app.route("/fails/<how>")
    def fails(how: str) -> str:
        if how.isdecimal():
            abort(int(how))
        raise {
            "bug": ZeroDivisionError("secret words"),
            "busy": TimeoutError("waited 10 s to write"),
            "pool": sa.exc.TimeoutError("pool"),
            "refused": Refusal("This training is cancelled."),
            "not-found": NotFound(what="training", id=7),
        }[how]

    @app.post("/takes")
    @csrf.exempt
    def takes() -> str:
        from flask import request

        return str(len(request.form) + len(request.get_data()))

    @app.post("/loses")
    @csrf.exempt
    def loses() -> str:
        away = Exception("server closed the connection")
        raise sa.exc.OperationalError("COMMIT", {}, away, connection_invalidated=True)


@pytest.fixture
def broken(kind: str, broken_apps: dict[str, Flask]) -> Client:
    """A client of an application with a page for every way to fail."""
    return client_of(broken_apps[kind])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 413, 429, 503])
def test_every_status_has_a_page_that_says_what_to_do(broken: Client, status: int) -> None:
    answer = broken.get(f"/fails/{status}")
    assert answer.status_code == status
    assert answer.text.count("<h1>") == 1
    assert "Help" in answer.text


def test_a_fault_of_ours_tells_its_number_and_nothing_else(
    broken: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = broken.get("/fails/bug?token=hush")
    assert answer.status_code == 500
    assert "secret words" not in answer.text
    assert "ZeroDivision" not in answer.text
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    number = record.getMessage().split()[1]
    assert number in answer.text
    assert "hush" not in caplog.text


@pytest.mark.parametrize("how", ["busy", "pool"])
def test_a_busy_database_asks_to_come_back(broken: Client, how: str) -> None:
    answer = broken.get(f"/fails/{how}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "Nothing was changed" in answer.text


def test_a_page_is_shown_even_where_the_database_is_gone(
    broken: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise sa.exc.OperationalError("SELECT 1", {}, Exception("could not connect"))

    monkeypatch.setattr("app.services.people.standing", gone)
    answer = broken.get("/nothing-here")
    assert answer.status_code == 404
    assert "There is nothing at this address" in answer.text


def test_a_refusal_is_one_sentence_with_its_status(broken: Client) -> None:
    refused, unknown = broken.get("/fails/refused"), broken.get("/fails/not-found")
    assert (refused.status_code, unknown.status_code) == (409, 404)
    assert "This training is cancelled." in refused.text
    assert "training 7" not in unknown.text


def test_another_method_names_those_that_are_allowed(broken: Client) -> None:
    answer = broken.get("/takes")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize(
    "body",
    [
        {"data": b"x" * (2 * 1024 * 1024 + 1), "content_type": "application/octet-stream"},
        {"data": {"text": "x" * 500_001}, "content_type": "multipart/form-data"},
        {"data": "text=" + "x" * 500_001, "content_type": "application/x-www-form-urlencoded"},
        {"data": {f"n{n}": "x" for n in range(1001)}, "content_type": "multipart/form-data"},
        {"data": "a=1&" * 1001, "content_type": "application/x-www-form-urlencoded"},
    ],
    ids=["body", "field", "form", "parts", "values"],
)
def test_what_is_too_large_is_refused(broken: Client, body: dict[str, object]) -> None:
    assert broken.post("/takes", **body).status_code == 413


def test_what_just_fits_is_taken(broken: Client) -> None:
    body = {f"part{n}": "x" for n in range(1000)}
    assert broken.post("/takes", data=body, content_type="multipart/form-data").text == "1000"


def test_a_role_that_is_not_ones_own_is_refused(client: Client, cast: Cast) -> None:
    sign_in(client, cast.student("Ada"))
    assert client.act("/role", role="admin").status_code == 400
    assert client.act("/role", role="student").status_code == 303


def test_who_is_several_people_may_choose(client: Client, cast: Cast, web_app: Flask) -> None:
    tess = cast.tess.user
    from app.models import Student

    cast.add(Student(user_id=tess.id, practice_id=cast.practice.id))
    sign_in(client, tess)
    page = client.get("/").text
    assert '<button name="role" value="student">' in page
    assert '<button name="role" value="trainer" aria-current="true">' in page
    client.act("/role", role="student")
    assert '<button name="role" value="student" aria-current="true">' in client.get("/").text


# --- a database that is busy or away, for somebody who is signed in ---

ASKED = ["/trainings", "/trainings?search=a%20b", "/nothing-here", "/healthz", "/static/app.css"]


@pytest.mark.parametrize("path", ASKED)
def test_a_full_pool_breaks_out_of_no_page(
    client: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise sa.exc.TimeoutError("QueuePool limit reached")

    sign_in(client, cast.student("Ada"))
    monkeypatch.setattr("app.web.security.People.find_user", full)
    answer = client.get(path)
    asks_nobody = path in ("/healthz", "/static/app.css")
    assert answer.status_code == (200 if asks_nobody else 503)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if not asks_nobody:
        assert answer.headers["Retry-After"] == "5"
        assert f'href="{path}">Try again' in answer.text


def test_a_fault_in_finding_who_it_is_still_tells_its_number(
    web_app: Flask, client: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_row(*_: object, **__: object) -> None:
        raise sa.exc.DataError("SELECT 1", {}, Exception("secret words"))

    sign_in(client, cast.student("Ada"))
    monkeypatch.setattr("app.web.security.People.find_user", broken_row)
    web_app.testing = False
    answer = client.get("/trainings")
    assert (answer.status_code, "this number" in answer.text) == (500, True)
    assert "secret words" not in answer.text
    assert "Content-Security-Policy" in answer.headers


@pytest.fixture
def without_server() -> Iterator[Flask]:
    """The application, its PostgreSQL behind a port where nobody listens."""
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    app = databases.web_app_on(url, trusted_hosts=["localhost"], secret_key="s" * 40)
    yield app
    with app.app_context():
        db.engine.dispose()


def test_a_server_that_is_away_is_no_fault_of_ours(without_server: Flask) -> None:
    visitor, ada = client_of(without_server), client_of(without_server)
    with ada.session_transaction(headers={"Referer": "https://localhost/"}) as cookie:
        cookie.update(_user_id="a" * 32, since=1e12, seen=1e12)
    for client in (visitor, ada):
        for path in ("/", "/trainings"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert client.get("/healthz").text == "ok"
        assert client.get("/static/app.css").status_code == 200


def test_whoever_asks_for_health_may_know_us_by_a_number(without_server: Flask) -> None:
    client = client_of(without_server)
    by_number = {"Host": "10.0.0.7:8000"}
    assert client.get("/healthz", headers=by_number).text == "ok"
    assert client.get("/terms", headers=by_number).status_code == 400


def test_what_was_lost_amid_an_act_may_be_done(broken: Client) -> None:
    answer = broken.post("/loses")
    assert (answer.status_code, "Nothing was changed" in answer.text) == (503, False)
    assert "look before you repeat it" in answer.text


# --- the way on ---


def test_who_posted_in_vain_is_led_back_to_our_page_and_to_no_other(client: Client) -> None:
    ours = client.post("/role", headers={"Referer": "https://localhost/help?a=1"})
    assert 'href="/help?a=1">Back</a>' in ours.text
    for other in ("https://evil.example/help", "https://localhost//evil.example/", ""):
        page = client.post("/role", headers={"Referer": other}).text
        assert 'href="//' not in page
        assert "evil.example/help" not in page


def test_a_slash_behind_an_address_is_no_dead_end(client: Client) -> None:
    answer = client.get("/trainings/?when=past")
    assert (answer.status_code, answer.location) == (308, "/trainings?when=past")
    for nowhere in ("/nothing-here/", "/%2Fevil.example/", "/%5Cevil.example/"):
        answer = client.get(nowhere)
        assert "evil" not in answer.headers.get("Location", "")
        assert answer.status_code in (308, 404)
