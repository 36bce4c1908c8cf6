"""Codes of an authenticator app: who needs them, that each works once (reliability SE4, S2)."""

from __future__ import annotations

import re
import time
from typing import Any

import pyotp
import pytest
import sqlalchemy as sa
from flask import Flask
from flask_security.utils import send_mail
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from app.models import Role, Trainer, User
from tests.cast import Cast
from tests.web.browsing import Client, client_of, csrf_token, sign_in
from tests.web.post import PASSWORD, letters, someone, there

CODE, SET_UP, LOST = "/codes", "/codes/set-up", "/codes/lost"


@pytest.fixture
def tess(client: Client, cast: Cast) -> User:
    """Tess, who trains, with a password."""
    user = someone(client, cast, "Tess")
    cast.add(Trainer(user_id=user.id, practice_id=cast.practice.id))
    return user


def post(client: Client, path: str, to: str | None = None, **fields: str) -> TestResponse:
    """Fill in a page of signing in; going back to its start would begin anew."""
    key = csrf_token(client.get(path)) or ""
    return client.post(to or path, data={"csrf_token": key, **fields})


def enter(client: Client, user: User, password: str = PASSWORD) -> TestResponse:
    return client.act("/sign-in", email=user.email, password=password)


def set_up(client: Client) -> pyotp.TOTP:
    """Choose the app, read its key from the page, type its code."""
    page = post(client, SET_UP, setup="authenticator")
    key = re.search(r"<code>([A-Z0-9 -]+)</code>", page.text)
    assert key is not None
    app = pyotp.TOTP(key[1].replace("-", "").replace(" ", ""))
    target = re.search(r'action="([^"]+)"', page.text.split('class="qr"')[1])
    assert target is not None
    fields = {"csrf_token": csrf_token(page), "code": app.now()}
    assert client.post(target[1], data=fields).status_code == 302
    return app


def later(app: pyotp.TOTP) -> str:
    """The code after the one that was used."""
    return app.at(time.time() + 30)


def is_in(client: Client, name: str = "Tess") -> bool:
    return f"{name} Example" in client.get("/help").text


def with_codes(client: Client, tess: User) -> pyotp.TOTP:
    """Tess has set up her app, and is signed out again."""
    enter(client, tess)
    app = set_up(client)
    client.act("/sign-out")
    return app


# --- who needs one -------------------------------------------------------------------------------


def test_a_trainer_sets_up_an_app_before_any_page(client: Client, tess: User) -> None:
    answer = enter(client, tess)
    assert answer.location == SET_UP
    assert not is_in(client)
    set_up(client)
    assert is_in(client)


def test_a_student_needs_none(client: Client, cast: Cast) -> None:
    assert enter(client, someone(client, cast)).location == "/"
    assert is_in(client, "Ada")


def test_in_the_demo_nobody_needs_one(
    client: Client, web_app: Flask, tess: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = web_app.extensions["settings"].model_copy(update={"demo": True})
    monkeypatch.setitem(web_app.extensions, "settings", settings)
    enter(client, tess)
    assert is_in(client)


@pytest.mark.parametrize("role", ["admin", "trainer"])
def test_whoever_gets_such_a_role_signs_in_anew(client: Client, cast: Cast, role: str) -> None:
    ada = someone(client, cast)
    enter(client, ada)
    assert is_in(client, "Ada")
    if role == "admin":
        ada.roles.append(Role(name="admin"))
        ada.practice_id = cast.practice.id
    else:
        cast.add(Trainer(user_id=ada.id, practice_id=cast.practice.id))
    answer = client.get("/me/profile")
    assert (answer.status_code, answer.location) == (302, "/sign-in?next=/me/profile")
    assert enter(client, ada).location == SET_UP


def test_a_student_may_turn_codes_on_and_off(
    client: Client, web_app: Flask, cast: Cast, stage: Session
) -> None:
    ada = someone(client, cast)
    elsewhere = client_of(web_app, stage)
    sign_in(elsewhere, ada)
    enter(client, ada)
    set_up(client)
    assert (is_in(client, "Ada"), is_in(elsewhere, "Ada")) == (True, False)
    assert [row.payload["reason"] for row in letters(stage, "account_changed")] == ["codes"]
    client.act("/sign-out")
    assert enter(client, ada).location.startswith(CODE)
    app = pyotp.TOTP(pyotp.random_base32())
    assert post(client, CODE, code=app.now()).status_code == 400
    stage.execute(sa.update(User).values(tf_totp_secret=None, tf_primary_method=None))
    assert enter(client, ada).location == "/"


def test_a_role_that_needs_codes_cannot_switch_them_off(client: Client, tess: User) -> None:
    with_codes(client, tess)
    sign_in(client, tess)
    assert 'value="disable"' not in client.get(SET_UP).text
    assert post(client, SET_UP, setup="disable").status_code == 400
    assert tess.tf_totp_secret


def test_setting_up_asks_for_the_password_again_after_a_while(client: Client, cast: Cast) -> None:
    ada = someone(client, cast)
    sign_in(client, ada)
    with client.session_transaction() as cookie:
        cookie["fs_paa"] -= 16 * 60
    asked = client.get(SET_UP)
    assert asked.status_code == 302
    assert asked.location.startswith("/password")
    assert client.act("/password", password="wrong").status_code == 400
    assert client.act("/password", password=PASSWORD).status_code == 302
    assert client.get(SET_UP).status_code == 200


# --- a code --------------------------------------------------------------------------------------


def test_a_code_works_once(client: Client, web_app: Flask, tess: User, stage: Session) -> None:
    app = with_codes(client, tess)
    code = later(app)
    assert enter(client, tess).location.startswith(CODE)
    assert post(client, CODE, code=f" {code[:3]} {code[3:]} ").status_code == 302
    assert is_in(client)
    other = client_of(web_app, stage)
    enter(other, tess)
    assert post(other, CODE, code=code).status_code == 400
    assert not is_in(other)


@pytest.mark.parametrize("code", ["", "000000", "x" * 300, "١٢٣٤٥٦", "12345"])
def test_a_wrong_code_lets_nobody_in(client: Client, tess: User, code: str) -> None:
    with_codes(client, tess)
    enter(client, tess)
    assert post(client, CODE, code=code).status_code == 400
    assert not is_in(client)


@pytest.mark.usefixtures("counting")
def test_the_sixth_code_is_refused_even_if_it_is_right(
    client: Client, tess: User, web_app: Flask
) -> None:
    app = with_codes(client, tess)
    (limiter,) = web_app.extensions["limiter"]
    limiter.reset()
    enter(client, tess)
    tries = [post(client, CODE, code="000000").status_code for _ in range(3)]
    tries += [post(client, LOST, code="0000-0000").status_code for _ in range(2)]
    assert tries == [400] * 5
    assert post(client, CODE, code=later(app)).status_code == 429
    assert not is_in(client)


def test_without_the_password_there_is_no_code_page(client: Client, tess: User) -> None:
    app = with_codes(client, tess)
    assert client.get(CODE).status_code == 302
    assert client.act(CODE, code=later(app)).status_code == 302
    assert not is_in(client)


# --- recovery codes ------------------------------------------------------------------------------


def recovery_codes(client: Client) -> list[str]:
    page = client.act("/codes/recovery")
    return re.findall(r"<code>([0-9a-f-]+)</code>", page.text)


def test_a_recovery_code_works_once_and_is_kept_as_a_hash(
    client: Client, tess: User, stage: Session
) -> None:
    with_codes(client, tess)
    sign_in(client, tess)
    codes = recovery_codes(client)
    kept = there(stage, tess.email)
    assert kept is not None
    assert (len(codes), len(kept.mf_recovery_codes or [])) == (10, 10)
    assert not set(codes) & set(kept.mf_recovery_codes or [])
    assert codes[0] not in client.get("/codes/recovery?show_codes=y").text
    for expected in (302, 400):
        client.act("/sign-out")
        enter(client, tess)
        assert post(client, LOST, code=codes[0].upper()).status_code == expected
    assert post(client, LOST, code=codes[1]).status_code == 302
    assert is_in(client)


def test_new_recovery_codes_replace_the_old(client: Client, tess: User) -> None:
    with_codes(client, tess)
    sign_in(client, tess)
    old, new = recovery_codes(client), recovery_codes(client)
    client.act("/sign-out")
    enter(client, tess)
    assert post(client, LOST, code=old[0]).status_code == 400
    assert post(client, LOST, code=new[0]).status_code == 302


# --- mail of the library (S3) --------------------------------------------------------------------


def test_what_the_library_mails_goes_through_the_outbox(
    web_app: Flask, cast: Cast, stage: Session
) -> None:
    ada = cast.student("Ada").user
    stage.commit()
    with web_app.test_request_context("/", method="POST"):
        from app.extensions import db

        mine: Any = db.session.get(User, ada.id)
        send_mail("Changed", ada.email, "security/email/change_notice", user=mine, security=None)
        db.session.commit()
    (letter,) = letters(stage)
    assert (letter.kind, letter.user_id) == ("account_changed", ada.id)


def test_a_page_for_codes_that_nobody_asked_for_signs_nobody_out(
    client: Client, cast: Cast
) -> None:
    sign_in(client, cast.student("Ada"))
    answer = client.get(CODE)
    assert (answer.status_code, answer.location) == (303, "/")
    assert client.act(CODE, code="123456").location == "/"
    assert "Ada Example" in client.get("/").text
