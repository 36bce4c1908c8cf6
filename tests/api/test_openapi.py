"""The description: whole, open to all, and true of what is answered (schedules A3, Q31)."""

from __future__ import annotations

import re
from typing import Any

import hypothesis
import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.program import Program
from tests.web.browsing import HOME, Client

TIMES = hypothesis.settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TRUE = (status_code_conformance, content_type_conformance, response_schema_conformance)


def test_the_description_names_every_address_of_both_families(
    web_app: Flask, client: Client
) -> None:
    told = client.get("/openapi/openapi.json").json
    there = {
        re.sub(r"<(\w+)>", r"{\1}", rule.rule)
        for rule in web_app.url_map.iter_rules()
        if rule.endpoint.startswith(("api_scheduler.", "api_schedules."))
    }
    assert set(told["paths"]) == there
    for at in told["paths"].values():
        for operation in at.values():
            assert operation["summary"]
            assert "422" not in operation["responses"]
            assert {"401", "429"} <= set(operation["responses"])


def test_the_page_keeps_to_the_policy_and_needs_no_other_site(client: Client) -> None:
    page = client.get("/openapi/")
    assert page.status_code == 200
    (nonce,) = re.findall(r'<script nonce="([^"]+)">', page.text)
    assert f"'nonce-{nonce}'" in page.headers["Content-Security-Policy"]
    files = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert {client.get(file).status_code for file in files} == {200}
    assert "//" not in "".join(re.findall(r'(?:src|href)="([^"]+)"', page.text))
    assert not re.search(r"\son\w+=|style=", page.text)
    assert client.get("/openapi/files/none").status_code == 404


@pytest.mark.parametrize("family", ["/scheduler", "/api/v1"])
def test_whatever_is_sent_is_answered_as_described(
    web_app: Flask, program: Program, family: str
) -> None:
    job = program.a_job()
    schema = schemathesis.openapi.from_wsgi(
        "/openapi/openapi.json", web_app, headers={"Referer": HOME}
    )
    known = {"job_id": job["id"], "schedule_id": job["id"], "workflow_id": "birthday"}
    asked: set[tuple[str, int]] = set()
    for found in schema.include(path_regex=f"^{family}").get_all_operations():
        operation: Any = found.ok()

        @TIMES
        @hypothesis.given(case=operation.as_strategy())
        def send(case: Any) -> None:
            if case.method != "DELETE":  # which would leave nothing to ask about
                for name in set(known) & set(case.path_parameters or {}):
                    case.path_parameters[name] = known[name]
            headers = {"X-API-Key": str(program.key), "Referer": HOME}
            answer = case.call(headers=headers, base_url="https://localhost")
            assert answer.status_code < 500 or case.path.endswith("/health"), answer.text
            case.validate_response(answer, checks=TRUE)
            asked.add((case.path, answer.status_code))

        send()
    assert {status for _path, status in asked} >= {200, 400}
