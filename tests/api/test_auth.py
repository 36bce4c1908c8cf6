"""Who gets in, with which key, how often (schedules A1, A2; Q35)."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from pydantic import SecretStr

from app.extensions import utcnow
from app.models import ApiKey
from app.services import api_keys
from app.services.actors import CONSOLE
from app.services.api_keys import READ, RUN, WRITE
from tests.api.program import JOB, NOBODYS, Program, program_of
from tests.cast import Cast
from tests.web.browsing import Client, client_of, sign_in

JOBS, SCHEDULES = "/scheduler/jobs", "/api/v1/schedules"
WRONG = "nsk_00000000_" + "A" * 43
DOORS = [
    ("GET", JOBS, READ),
    ("POST", JOBS, WRITE),
    ("GET", f"{JOBS}/{NOBODYS}", READ),
    ("PUT", f"{JOBS}/{NOBODYS}", WRITE),
    ("DELETE", f"{JOBS}/{NOBODYS}", WRITE),
    ("POST", f"{JOBS}/{NOBODYS}/toggle", WRITE),
    ("POST", f"{JOBS}/{NOBODYS}/run", RUN),
    ("GET", f"{JOBS}/{NOBODYS}/history", READ),
    ("POST", SCHEDULES, WRITE),
    ("GET", SCHEDULES, READ),
    ("PUT", f"{SCHEDULES}/{NOBODYS}", WRITE),
    ("GET", f"{SCHEDULES}/{NOBODYS}", READ),
    ("DELETE", f"{SCHEDULES}/{NOBODYS}", WRITE),
    ("GET", f"{SCHEDULES}/workflow/birthday", READ),
    ("POST", f"{SCHEDULES}/{NOBODYS}/pause", WRITE),
    ("POST", f"{SCHEDULES}/{NOBODYS}/resume", WRITE),
    ("POST", f"{SCHEDULES}/{NOBODYS}/run", RUN),
    ("POST", f"{SCHEDULES}/{NOBODYS}/clone", WRITE),
    ("GET", f"{SCHEDULES}/{NOBODYS}/executions", READ),
    ("POST", f"{SCHEDULES}/{NOBODYS}/executions/{NOBODYS}/cancel", RUN),
    ("POST", f"{SCHEDULES}/{NOBODYS}/executions/{NOBODYS}/retry", RUN),
    ("GET", f"{SCHEDULES}/{NOBODYS}/preview", READ),
    ("GET", f"{SCHEDULES}/{NOBODYS}/stats", READ),
    ("GET", f"{SCHEDULES}/{NOBODYS}/explain", READ),
    ("GET", f"{SCHEDULES}/{NOBODYS}/conflicts", READ),
    ("GET", f"{SCHEDULES}/stats", READ),
    ("POST", f"{SCHEDULES}/validate", READ),
]


def test_the_list_of_doors_is_whole(web_app: Flask) -> None:
    there = {
        rule.endpoint
        for rule in web_app.url_map.iter_rules()
        if rule.endpoint.startswith(("api_scheduler.", "api_schedules."))
        and not rule.endpoint.endswith(".health")
    }
    assert len(DOORS) == len(there)


def test_without_a_key_every_door_is_shut(web_app: Flask, client: Client) -> None:
    for key in (None, WRONG, "x", "nsk_" + "ü" * 4):
        asks = Program(client, key)
        for method, path, _scope in DOORS:
            answer = asks(method, path)
            assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_key_opens_what_its_scopes_name_and_nothing_else(cast: Cast, client: Client) -> None:
    for scope in api_keys.SCOPES:
        asks = program_of(cast, client, scope)
        for method, path, needed in DOORS:
            refused = asks(method, path).status_code == 403
            assert refused == (needed != scope), (method, path)


def test_a_bearer_token_is_a_key(program: Program) -> None:
    bearer = {"Authorization": f"bearer {program.key}"}
    assert Program(program.client, None).get(JOBS, headers=bearer).status_code == 200
    basic = {"Authorization": f"Basic {program.key}"}
    assert Program(program.client, None).get(JOBS, headers=basic).status_code == 401


def test_a_key_that_is_over_or_revoked_is_no_key(cast: Cast, program: Program) -> None:
    key = api_keys.find(cast.session, str(program.key), utcnow())
    assert key is not None
    key.expires_at = utcnow() - timedelta(seconds=1)
    assert program.get(JOBS).status_code == 401
    key.expires_at = None
    assert program.get(JOBS).status_code == 200
    api_keys.revoke(cast.session, key, CONSOLE, utcnow())
    assert program.get(JOBS).status_code == 401


def test_the_key_of_somebody_whose_account_is_closed_is_no_key(cast: Cast, client: Client) -> None:
    orla = cast.administrator("Orla")
    where: dict[str, Any] = {"practice_id": cast.practice.id, "user_id": orla.id}
    _row, text = api_keys.create(cast.session, "hers", [READ], CONSOLE, utcnow(), **where)
    asks = Program(client_of(client.application, cast.session), text)
    assert asks.get(JOBS).status_code == 200
    orla.active = False
    assert asks.get(JOBS).status_code == 401


def test_its_use_is_remembered_though_a_get_writes_nothing(cast: Cast, program: Program) -> None:
    assert program.get(JOBS).status_code == 200
    cast.session.expire_all()
    (key,) = cast.session.query(ApiKey)
    assert key.last_used_at is not None


def test_the_key_of_the_settings_opens_all(
    web_app: Flask, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = web_app.extensions["settings"]
    given = settings.model_copy(update={"api_key": SecretStr("k" * 40)})
    monkeypatch.setitem(web_app.extensions, "settings", given)
    assert Program(client, "k" * 40).get(JOBS).status_code == 200
    assert Program(client, "k" * 39).get(JOBS).status_code == 401


# --- by login ---


def test_an_administrator_needs_no_key_but_the_one_against_forgery(
    cast: Cast, client: Client, office: str
) -> None:
    sign_in(client, office)
    asks = Program(client, None)
    assert asks.get(JOBS).status_code == 200
    forged = asks.post(JOBS, JOB)
    assert (forged.status_code, forged.mimetype) == (400, "application/problem+json")
    made = asks.post(JOBS, JOB, headers={"X-CSRFToken": client.key()})
    assert made.status_code == 201
    assert made.json["created_by"].startswith("user:")


@pytest.mark.parametrize("who", ["Ada", "Tess"])
def test_who_keeps_no_office_may_nothing(cast: Cast, client: Client, who: str) -> None:
    sign_in(client, cast.tess if who == "Tess" else cast.student("Ada"))
    assert Program(client, None).get(JOBS).status_code == 403


# --- how often ---


def test_the_eleventh_wrong_key_is_not_even_looked_at(
    counting: None, client: Client, program: Program
) -> None:
    asks = Program(client, WRONG)
    assert [asks.get(JOBS).status_code for _ in range(10)] == [401] * 10
    answer = asks.get(JOBS)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 900
    assert program.get(JOBS).status_code == 429  # the right one neither


def test_wrong_keys_are_counted_where_none_is_needed_too(counting: None, client: Client) -> None:
    asks = Program(client, WRONG)
    for path in ("/scheduler/health", "/api/v1/health"):
        assert [asks.get(path).status_code for _ in range(5)] == [503] * 5  # nothing runs here
    refused = asks.get("/scheduler/health")
    assert (refused.status_code, "Retry-After" in refused.headers) == (429, True)
    assert asks.get(JOBS).status_code == 429
    assert client.get("/scheduler/health").status_code == 503  # without a key nothing is counted
    assert client.get("/sign-in").status_code == 200


def test_a_right_key_forgets_the_wrong_ones(
    counting: None, client: Client, program: Program
) -> None:
    for _ in range(3):
        assert {Program(client, WRONG).get(JOBS).status_code for _ in range(9)} == {401}
        assert program.get(JOBS).status_code == 200


def test_a_key_may_ask_so_often_a_minute_and_is_told_what_is_left(
    counting: None, program: Program
) -> None:
    first = program.get(JOBS)
    assert (first.headers["X-RateLimit-Limit"], first.headers["X-RateLimit-Remaining"]) == (
        "120",
        "119",
    )
    assert 0 < int(first.headers["X-RateLimit-Reset"]) <= 60
    assert {program.get(f"{JOBS}/x").status_code for _ in range(119)} == {404}
    answer = program.get(JOBS)
    assert (answer.status_code, answer.headers["X-RateLimit-Remaining"]) == (429, "0")
    assert 0 < int(answer.headers["Retry-After"]) <= 60


def test_a_schedule_is_run_by_hand_so_often_a_minute(counting: None, program: Program) -> None:
    path = f"{JOBS}/{program.a_job()['id']}/run"
    answers = [program.post(path).status_code for _ in range(11)]
    assert set(answers[:10]) <= {202, 409}
    assert answers[10] == 429
    other = program.a_job(name="Other")
    assert program.post(f"{JOBS}/{other['id']}/run").status_code == 202


def test_who_is_refused_is_logged_with_four_characters(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "schedule_service"):
        Program(client, WRONG).get(JOBS)
    assert "AUTH community=- user=- action=api_key_auth result=DENIED key=0000" in caplog.text
    assert WRONG not in caplog.text
