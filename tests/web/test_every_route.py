"""Every rule of the URL map: whoever is not signed in sees what is open and nothing else (F47)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask
from werkzeug.routing import Rule

from tests.web.browsing import client_of

# What visitors may see, by endpoint. Everything else answers 302, 401 or 403.
OPEN = {
    "static",
    "admin.static",  # Flask-Admin's own files, of which no page of ours uses one
    "health.healthz",
    "pages.front",
    "pages.terms",
    "pages.privacy",
    "pages.help_page",
    "pages.favicon",
    "catalogue.index",  # unless PUBLIC_CATALOGUE is off
    "catalogue.show",
    # Their token is the authority (people PI1): without a genuine one they answer 410 or 400.
    "invitations.show",
    "invitations.answer",
    "invitations.show_waitlist",
    "invitations.answer_waitlist",
    "invitations.unsubscribe",
    "invitations.no_greetings",
    "invitations.no_free_places",
    "invitations.no_digests",
    # The demo and DEVELOPMENT alone; elsewhere 404 (people PF4).
    "letterbox.index",
    "letterbox.show",
    "security.login",
    "security.logout",  # signs nobody out
    # Whether schedules are run, and what programs may ask (schedules A1, A3).
    "api_scheduler.health",
    "api_schedules.health",
    "api_docs.index",
    "api_docs.description",
    "api_docs.file",
    # How one gets in without a password yet; what opens anything is in the link of a letter.
    "accounts.sign_up",
    "accounts.new_password",
    "accounts.sent",
    "accounts.finish",
    "accounts.choose",
    "accounts.confirm_address",
}
NOBODYS = "00000000-0000-0000-0000-000000000000"
SAMPLES: dict[str, Any] = {"int": 1, "string": "x", "uuid": NOBODYS, "path": "x", "default": "x"}


def address(rule: Rule) -> str:
    """The rule with a value for each of its parts."""

    def sample(part: re.Match[str]) -> str:
        if part[1] == "any":  # one of the words that it lists
            return str(part[2]).split(",")[0].strip(" '\"")
        return str(SAMPLES[part[1] or "default"])

    return re.sub(r"<(?:(\w+)(?:\(([^)]*)\))?:)?\w+>", sample, rule.rule)


def closed_doors(app: Flask) -> list[tuple[str, str, str]]:
    return [
        (rule.endpoint, method, address(rule))
        for rule in app.url_map.iter_rules()
        if rule.endpoint not in OPEN
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"})
    ]


def test_an_unsigned_request_to_every_route_is_refused(
    web_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(web_app.config, "WTF_CSRF_ENABLED", False)  # another test's concern
    client = client_of(web_app)
    doors = closed_doors(web_app)
    answers = {(e, m): client.open(at, method=m).status_code for e, m, at in doors}
    assert doors
    assert {door: status for door, status in answers.items() if status not in (302, 401, 403)} == {}


def test_every_post_without_the_key_is_refused(web_app: Flask) -> None:
    client = client_of(web_app)
    exempt = {"security.login"}  # tested by itself
    answers = {
        endpoint: client.post(at).status_code
        for endpoint, method, at in closed_doors(web_app)
        if method == "POST" and endpoint not in exempt
    }
    programs = {name for name in answers if name.startswith(("api_scheduler.", "api_schedules."))}
    assert {answers.pop(name) for name in programs} == {401}  # they have a key of their own
    assert set(answers.values()) <= {400}


def test_what_is_open_exists(web_app: Flask) -> None:
    assert set(web_app.view_functions) >= OPEN


@pytest.mark.parametrize("endpoint", ["pages.front", "pages.terms", "pages.help_page"])
def test_what_is_open_is_shown(web_app: Flask, endpoint: str) -> None:
    (rule,) = web_app.url_map.iter_rules(endpoint)
    assert client_of(web_app).get(address(rule)).status_code == 200
