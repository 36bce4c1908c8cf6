"""What every answer says to the browser (reliability SE2, SE6, libraries F2)."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from tests import databases
from tests.cast import Cast
from tests.web.browsing import Client, client_of, sign_in

PATHS = ["/", "/sign-in", "/nothing-here", "/static/app.css", "/healthz", "/role", "/sign-out"]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_carries_the_headers(client: Client, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["form-action"] == "'self'"
    assert policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert re.fullmatch(r"'self' 'nonce-[\w-]{22}'", policy["script-src"])
    assert policy["style-src"] == policy["script-src"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Strict-Transport-Security"].startswith("max-age=31536000")
    assert "Access-Control-Allow-Origin" not in headers


def test_no_two_answers_share_a_nonce(client: Client) -> None:
    policies = {client.get("/").headers["Content-Security-Policy"] for _ in range(5)}
    assert len(policies) == 5


def test_over_plain_http_nobody_is_bound_to_https(client: Client) -> None:
    assert "Strict-Transport-Security" not in client.get("/", base_url="http://localhost").headers


def test_no_page_has_an_inline_script_style_or_handler(client: Client, cast: Cast) -> None:
    sign_in(client, cast.student("Ada"))
    for path in ("/", "/help", "/nothing-here"):
        page = client.get(path).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:", page)


def test_a_visitors_page_may_be_kept_and_a_signed_in_one_may_not(
    client: Client, cast: Cast
) -> None:
    visitor = client.get("/")
    assert "Set-Cookie" not in visitor.headers
    assert "no-store" not in visitor.headers.get("Cache-Control", "")
    sign_in(client, cast.student("Ada"))
    assert client.get("/").headers["Cache-Control"] == "no-store"
    assert client.get("/nothing-here").headers["Cache-Control"] == "no-store"


def test_a_static_file_is_kept_for_ever_under_the_name_of_its_version(client: Client) -> None:
    address = re.search(r'href="(/static/app\.css\?v=\w+)"', client.get("/").text)
    assert address is not None
    answer = client.get(address[1])
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "Set-Cookie" not in answer.headers
    assert "immutable" not in client.get("/static/none.css?v=1").headers.get("Cache-Control", "")


def test_the_session_cookie_is_for_this_host_over_tls_alone(client: Client) -> None:
    cookie = client.get("/sign-in").headers["Set-Cookie"]
    assert cookie.startswith("__Host-nextseat=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


def test_on_plain_http_the_demo_has_a_cookie_of_its_own(url: str) -> None:
    secrets = {name: f"{name} of at least thirty-two bytes" for name in ("secret_key",)}
    demo = databases.web_app_on(
        url,
        demo=True,
        security_password_salt="a salt of at least thirty-two bytes",
        security_totp_secrets=["a key of at least thirty-two bytes"],
        **secrets,
    )
    cookie = demo.test_client().get("/sign-in").headers["Set-Cookie"]
    assert cookie.startswith("nextseat=")
    assert "Secure" not in cookie


def test_a_host_that_is_not_ours_is_refused(url: str) -> None:
    app = databases.web_app_on(url, trusted_hosts=["training.example.org"])
    answer = app.test_client().get("/", base_url="https://evil.example")
    assert answer.status_code == 400
    assert "Content-Security-Policy" in answer.headers
    assert app.test_client().get("/", base_url="https://training.example.org").status_code == 200


@pytest.mark.parametrize(("proxies", "believed"), [(0, False), (1, True)])
def test_a_proxy_is_believed_only_when_it_is_named(url: str, proxies: int, believed: bool) -> None:
    app = databases.web_app_on(url, trusted_proxies=proxies)
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    answer = app.test_client().get("/", headers=forwarded, base_url="http://localhost")
    assert ("Strict-Transport-Security" in answer.headers) is believed


def test_another_method_in_a_header_is_ignored(client: Client, cast: Cast) -> None:
    sign_in(client, cast.student("Ada"))
    asked = {"X-HTTP-Method-Override": "POST", "X-Method-Override": "POST"}
    assert client.get("/sign-out", headers=asked).status_code == 405
    assert client.get("/role?_method=POST", headers=asked).status_code == 405


def test_the_scheduler_has_no_pages(url: str) -> None:
    from app import create_app

    settings = databases.GivenSettings(sqlalchemy_database_uri=url)
    rules = {rule.rule for rule in create_app(settings, role="scheduler").url_map.iter_rules()}
    assert rules == {"/static/<path:filename>", "/healthz"}


def test_two_clients_are_two_people(web_app: Flask, client: Client, cast: Cast) -> None:
    sign_in(client, cast.student("Ada"))
    assert "Ada" in client.get("/").text
    assert "Ada" not in client_of(web_app, cast.session).get("/").text
