"""A real browser on a real server (libraries Q6); its page fails on whatever the console says."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from app.extensions import db
from tests import chromium, databases
from tests.cast import Cast

SECRET = "a secret of at least thirty-two bytes, for tests alone"
SIZES = {"phone": (360, 800), "desk": (1280, 800)}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, once for all tests of a worker."""
    path = chromium.chromium()
    if path is None:
        pytest.skip(chromium.MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=chromium.FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def live_app(browser: Browser) -> Iterator[Flask]:
    """The application as in the demo, over plain http, on a database of its own (SQLite)."""
    with databases.a_database("sqlite") as url:
        app = databases.web_app_on(
            url,
            demo=True,
            secret_key=SECRET,
            security_password_salt=SECRET + "!",
            security_totp_secrets=[SECRET + "?"],
        )
        yield app
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def stage(live_app: Flask) -> Iterator[Session]:
    """The test's own session; commit before the browser looks."""
    with live_app.app_context():
        engine = db.engine
    with Session(engine, info={"rules": live_app.extensions["rules"]}) as session:
        yield session


@pytest.fixture
def cast(stage: Session) -> Cast:
    """The practice, its people and their training."""
    return Cast(stage)


@pytest.fixture
def site(live_app: Flask) -> Iterator[str]:
    """Where the application is served; no slash at its end."""
    server = make_server("127.0.0.1", 0, live_app, threaded=True)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join(5)
    server.server_close()


class Watch:
    """What a page should not have done."""

    def __init__(self, page: Page, site: str) -> None:
        self.faults: list[str] = []
        self._site, self._documents = site, set[str]()
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        if request.is_navigation_request():
            self._documents.add(request.url)
        if not request.url.startswith((self._site, "data:", "about:", "blob:")):
            self.faults.append(f"another origin: {request.url}")

    def _said(self, message: Any) -> None:
        page_with_status = message.text.startswith("Failed to load resource")
        if page_with_status and message.location.get("url") in self._documents:
            return  # an error page is a page
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text}")


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    """A page at the site's phone size; errors, CSP violations and other origins fail the test."""
    context = browser.new_context(
        base_url=site, viewport={"width": 360, "height": 800}, reduced_motion="reduce"
    )
    page = context.new_page()
    watch = Watch(page, site)
    yield page
    context.close()
    assert watch.faults == []


@pytest.fixture
def picture(page: Page, tmp_path: Path) -> Any:
    """`picture("catalogue")` shows the page in both sizes and themes; returns the folder.

    With NEXTSEAT_PICTURES, a folder, it is photographed, too: half of the browser's time.
    """
    wanted = os.environ.get("NEXTSEAT_PICTURES")
    folder = Path(wanted or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def take(name: str) -> Path:
        for width, height in SIZES.values():
            page.set_viewport_size({"width": width, "height": height})
            for theme in ("light", "dark"):
                page.emulate_media(color_scheme=theme)
                if wanted:
                    page.screenshot(path=folder / f"{name}-{width}-{theme}.png", full_page=True)
        return folder

    return take


def sign_in_by_form(page: Page, address: str, password: str) -> None:
    """As a person does it."""
    page.goto("/sign-in")
    page.get_by_label("E-mail").fill(address)
    page.get_by_label("Password").fill(password)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
