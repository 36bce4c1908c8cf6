"""`python run_web.py` serves, or says in a sentence why it does not (SE1, PF1)."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests import databases, forks
from tests.schedulers import ROOT, environment
from tests.sink import free_port

SECRET = "another secret of at least thirty-two bytes, "


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A demo on a database of its own, with secrets of its own."""
    with databases.a_database("sqlite") as url:
        yield environment(
            url,
            DEMO="1",
            WEB_PORT=str(free_port()),
            WEB_WORKERS="1",
            PUBLIC_BASE_URL="",
            TRUSTED_HOSTS="127.0.0.1",
            SECURITY_PASSWORD_SALT=SECRET + "1",
            SECURITY_TOTP_SECRETS=SECRET + "2",
        )


def refused(env: dict[str, str]) -> tuple[int, str]:
    done = forks.run(["run_web.py"], env=env)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.strip()


def get(port: str, path: str) -> tuple[int, str, dict[str, str]]:
    web = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
    try:
        web.request("GET", path)
        answer = web.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())
    finally:
        web.close()


def post(port: str, path: str, form: dict[str, str], cookie: str) -> int:
    web = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
    headers = {"Cookie": cookie.partition(";")[0]}
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        web.request("POST", path, urlencode(form), headers)
        return web.getresponse().status
    finally:
        web.close()


def test_it_serves_until_it_is_asked_to_stop(env: dict[str, str]) -> None:
    server = subprocess.Popen(
        [sys.executable, "run_web.py"], cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + 60
        while True:
            try:
                status, text, _ = get(env["WEB_PORT"], "/healthz")
                break
            except OSError:
                assert time.monotonic() < until
                assert server.poll() is None
                time.sleep(0.2)
        assert (status, text) == (200, "ok")
        status, page, headers = get(env["WEB_PORT"], "/sign-in")
        assert status == 200
        cookie = headers["Set-Cookie"]
        assert cookie.startswith("nextseat=")  # plain http, but this machine alone (SE2)
        assert "Secure" not in cookie
        key = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
        assert key is not None
        form = {"csrf_token": key[1], "email": "nobody@example.org", "password": "wrong"}
        assert post(env["WEB_PORT"], "/sign-in", form, cookie) == 400
    finally:
        server.terminate()
        _, said = server.communicate(timeout=40)
    assert server.returncode == 0
    assert "/sign-in" not in said  # what is asked for may be a token: no line tells it
    ours = [line for line in said.splitlines() if line.startswith("INFO ")]
    assert ours == ["INFO app.web.security a sign-in was refused"]  # by whom stays unsaid (SE17)
    assert "nobody@" not in said


def test_a_port_that_is_taken_is_one_sentence(env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", int(env["WEB_PORT"]))):
        code, said = refused(env)
    assert code == 4
    assert said.splitlines()[-1].endswith("set WEB_HOST or WEB_PORT to another.")


def test_a_demo_is_for_this_machine_alone(env: dict[str, str]) -> None:
    code, said = refused(env | {"WEB_HOST": "0.0.0.0"})
    assert (code, "set WEB_HOST to 127.0.0.1" in said.replace("\n", " ")) == (2, True)


def test_every_other_cookie_is_secure_and_of_this_host(env: dict[str, str]) -> None:
    url = env["SQLALCHEMY_DATABASE_URI"]
    app = databases.web_app_on(url, secret_key=SECRET, public_base_url="https://x.example")
    assert app.config["SESSION_COOKIE_NAME"] == "__Host-nextseat"
    assert app.config["SESSION_COOKIE_SECURE"] is True
