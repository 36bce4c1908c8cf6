"""What people read when something can't be done (people PG4, reliability SE15, SE17)."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from flask import Flask, abort

from app import create_app
from app.extensions import csrf, db
from app.services.refusals import NotFound, Refusal
from tests import databases
from tests.cast import Cast
from tests.web.browsing import Client, client_of, sign_in


@pytest.fixture
def broken(url: str) -> Iterator[Client]:
    """A client of an application with a page for every way to fail."""
    app = create_app(databases.GivenSettings(sqlalchemy_database_uri=url))

    @app.get("/fails/<how>")
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

    yield client_of(app)
    with app.app_context():
        db.engine.dispose()


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
