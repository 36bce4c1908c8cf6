"""What a request that ends badly is answered (schedules A2, A3; reliability SE17)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask

from app.api import scheduler
from tests.api.program import JOB, NOBODYS, Program
from tests.web.browsing import Client

JOBS, SCHEDULES = "/scheduler/jobs", "/api/v1/schedules"


def test_family_b_says_it_thrice(program: Program) -> None:
    answer = program.get(f"{SCHEDULES}/{NOBODYS}")
    assert answer.mimetype == "application/problem+json"
    said = answer.json
    assert said["error"] == said["detail"] == f"Schedule not found: {NOBODYS}"
    assert (said["status"], said["code"]) == (404, "schedule_not_found")
    assert said["request_id"] == answer.headers["X-Request-ID"]


def test_family_a_says_it_plainly(program: Program) -> None:
    answer = program.get(f"{JOBS}/{NOBODYS}")
    assert set(answer.json) == {"type", "title", "status", "detail"}
    assert answer.json["status"] == 404


@pytest.mark.parametrize("path", ["/scheduler", "/scheduler/x", "/api/v1/x", "/api/v2"])
def test_addresses_that_are_none_answer_programs(client: Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_other_addresses_answer_people(client: Client) -> None:
    answer = client.get("/schedulers")
    assert (answer.status_code, answer.mimetype) == (404, "text/html")


def test_a_method_that_is_none_says_which_are(program: Program) -> None:
    answer = program("PATCH", JOBS)
    assert answer.status_code == 405
    assert {"GET", "POST"} <= set(re.split(", ?", answer.headers["Allow"]))


@pytest.mark.parametrize(
    ("data", "media"),
    [
        ("{", "application/json"),
        ("[]", "application/json"),
        ('"{}"', "application/json"),
        ("null", "application/json"),
        ('{"name": NaN}', "application/json"),
        ('{"name": "a", "name": "b"}', "application/json"),
        ('{"name": "\\u0000"}', "application/json"),
        ('{"name": "\\ud800"}', "application/json"),
        ('{"\\u0000": 1}', "application/json"),
        ("[" * 100_000, "application/json"),
        (b"\xff\xfe", "application/json"),
        ('{"name": 1' + "0" * 5000 + "}", "application/json"),
        ("{}", "text/plain"),
        ("name=x", "application/x-www-form-urlencoded"),
        ("", "application/json"),
    ],
)
def test_what_is_no_json_object_is_400(program: Program, data: Any, media: str) -> None:
    for path in (JOBS, SCHEDULES):
        answer = program("POST", path, data=data, content_type=media)
        assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")


def test_a_large_body_is_413_and_not_read(program: Program) -> None:
    data = '{"name": "' + "x" * 256 * 1024 + '"}'
    for path in (JOBS, SCHEDULES):
        answer = program("POST", path, data=data, content_type="application/json")
        assert (answer.status_code, answer.json["status"]) == (413, 413)


def test_a_parameter_that_is_unknown_or_comes_twice_is_400(program: Program) -> None:
    for asked in ("limt=3", "enabled_only=true&enabled_only=false", "enabled_only=perhaps"):
        assert program.get(f"{JOBS}?{asked}").status_code == 400


def test_the_wrong_field_is_named_and_its_value_never_repeated(program: Program) -> None:
    answer = program.post(JOBS, JOB | {"bot_config": {"limt": "hush-hush"}})
    assert answer.status_code == 400
    assert "limt" in answer.json["detail"]
    assert "hush-hush" not in answer.text
    assert answer.json["fields"]


@pytest.mark.parametrize("path", [JOBS, SCHEDULES])
def test_a_fault_of_ours_is_a_number(
    web_app: Flask,
    program: Program,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_args: Any, **_more: Any) -> None:
        raise RuntimeError("the secret recipe")

    monkeypatch.setattr(scheduler.schedules, "list_schedules", fail)
    web_app.testing = False
    answer = program.get(path)
    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    assert "recipe" not in answer.text
    assert answer.headers["X-Request-ID"] in answer.json["detail"]
    assert answer.headers["X-Request-ID"] in caplog.text


@pytest.mark.parametrize(
    "id_", ["x", "1", NOBODYS[:-1], NOBODYS + "0", "%00", "..%2f", "é", "x" * 3000]
)
def test_an_id_that_is_no_uuid_is_404(program: Program, id_: str) -> None:
    for path in (f"{JOBS}/{id_}", f"{SCHEDULES}/{id_}", f"{SCHEDULES}/workflow/{id_}"):
        assert program.get(path).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"name": "a\\u0000b"}', "name"),
        ('{"bot_config": {"audience": "\\ud800"}}', "bot_config.audience"),
        ('{"context_data": {"a": {"b": ["\\u0000"]}}}', "context_data.a"),
        ('{"context_data": {"a": {"\\ud800": 1}}}', "context_data.a"),
    ],
)
def test_a_text_that_no_database_can_hold_is_refused_at_its_field(
    program: Program, body: str, field: str
) -> None:
    answer = program.client.post(
        "/scheduler/jobs",
        data=body,
        content_type="application/json",
        headers={"X-API-Key": str(program.key)},
    )
    assert answer.status_code == 400
    assert answer.json["detail"].startswith(f"{field}: ")
