"""Signing up and signing in as people do it, in a real browser (people PJ 2, PJ 22)."""

from __future__ import annotations

import time
from typing import Any

import pyotp
from flask import Flask
from flask_security import hash_password
from playwright.sync_api import Page

from app.extensions import db
from app.models import Outbox, Trainer
from tests.browser.conftest import sign_in_by_form
from tests.cast import Cast

PASSWORD = "four quiet otters swim"


def newest_page(cast: Cast) -> str:
    cast.session.rollback()
    row = cast.session.query(Outbox).order_by(Outbox.id.desc()).first()
    assert row is not None
    return str(row.payload["page"])


def test_somebody_signs_up_and_completes_the_account(page: Page, cast: Cast, picture: Any) -> None:
    cast.session.commit()
    page.goto("/sign-up")
    picture("sign-up")
    page.get_by_label("E-mail").fill("cleo@example.org")
    page.get_by_role("button", name="Send me the letter").click()
    assert page.locator("h1").inner_text() == "Look into your mail"
    picture("letter-sent")
    page.goto(newest_page(cast))
    page.get_by_label("First name").fill("Cleo")
    page.get_by_label("Last name").fill("Moss")
    page.get_by_label("Password").fill("short")
    page.get_by_role("button", name="Create my account").click()
    picture("complete-wrong")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("I agree").check()
    page.get_by_role("button", name="Create my account").click()
    assert page.get_by_role("link", name="Cleo Moss").is_visible()
    page.goto("/me/profile")
    picture("profile")
    page.goto("/me/notifications")
    picture("notifications")


def test_a_trainer_sets_up_an_app_and_signs_in_with_its_code(
    page: Page, cast: Cast, live_app: Flask, picture: Any
) -> None:
    settings = live_app.extensions["settings"].model_copy(update={"demo": False})
    live_app.extensions["settings"] = settings
    user = cast.user("Tess")
    with live_app.app_context():
        user.password = hash_password(PASSWORD)
        db.session.remove()
    cast.add(Trainer(user_id=user.id, practice_id=cast.practice.id))
    cast.session.commit()
    sign_in_by_form(page, user.email, PASSWORD)
    picture("codes-start")
    page.get_by_role("button", name="Show me the picture to scan").click()
    picture("codes-set-up")
    assert page.locator("img.qr").evaluate("image => image.naturalWidth") > 100
    app = pyotp.TOTP(page.locator("main code").inner_text().replace("-", "").replace(" ", ""))
    page.get_by_label("Code of your app").fill(app.now())
    page.get_by_role("button", name="Confirm the code").click()
    page.goto("/codes/recovery")
    page.get_by_role("button", name="Make recovery codes").click()
    picture("recovery-codes")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_role("button", name="Sign out").click()
    sign_in_by_form(page, user.email, PASSWORD)
    picture("code")
    page.get_by_label("Code of your app").fill(app.at(time.time() + 30))
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    assert page.get_by_role("link", name="Tess Example").is_visible()
