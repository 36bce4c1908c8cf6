"""A letter, its button, the answer: in a real browser, and without JavaScript (people PI, PF4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from sqlalchemy.orm import Session

from app.delivery import outbox
from app.extensions import db, utcnow
from app.models import Location, TrainingEnroll
from app.services import waitlist
from tests import databases
from tests.browser.conftest import SECRET
from tests.cast import DAY, HOUR, REASON, Cast
from tests.web.links import path_of, token_for


@pytest.fixture
def live_app(browser: Browser, tmp_path: Path) -> Iterator[Flask]:
    """The demo, its letters in a folder."""
    with databases.a_database("sqlite") as url:
        app = databases.web_app_on(
            url,
            demo=True,
            secret_key=SECRET,
            security_password_salt=SECRET + "!",
            security_totp_secrets=[SECRET + "?"],
            mail_transport="file",
            mail_folder=str(tmp_path / "letters"),
            mail_domain="example.org",
        )
        yield app
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def ben(cast: Cast) -> TrainingEnroll:
    """Ben is invited to a training of next month, Cleo waits."""
    now = utcnow()
    wheel = cast.training("Throwing on the wheel, for beginners", 1, now + 30 * DAY)
    mill = Location(practice_id=cast.practice.id, name="The Mill", address="Dam 1, Delft")
    wheel.events[0].location_id = cast.add(mill).id
    ada, ben, _cleo = (cast.enrol(name, now, wheel) for name in ("Ada", "Ben", "Cleo"))
    cast.leave(ada, now)
    cast.session.commit()
    cast.session.refresh(ben)
    return ben


@pytest.fixture
def links_here(monkeypatch: pytest.MonkeyPatch, site: str) -> None:
    """Letters name this very server."""
    from app.delivery import rendering

    monkeypatch.setattr(rendering, "base_url", lambda _settings: site)


def post_letters(live_app: Flask, stage: Session) -> None:
    stage.commit()
    with live_app.app_context():
        outbox.drain()


def opened(page: Page, cast: Cast, row: TrainingEnroll, purpose: str = "answer") -> None:
    path = path_of(token_for(cast, row, purpose, utcnow()), purpose)
    cast.session.commit()
    page.goto(path)


def test_the_letter_is_read_accepted_and_the_next_one_appears_while_one_watches(
    page: Page,
    cast: Cast,
    ben: TrainingEnroll,
    live_app: Flask,
    stage: Session,
    links_here: None,
    picture: Any,
) -> None:
    post_letters(live_app, stage)
    page.goto("/dev/outbox")
    picture("letterbox")
    page.get_by_role("link", name="Invited", exact=True).first.click()
    letter = page.frame_locator("iframe.letter")
    expect(letter.get_by_role("heading", level=1)).to_have_text("A place is free for you")
    picture("letter")
    with page.context.expect_page() as new:
        letter.get_by_role("link", name="Answer the invitation").click()
    tab = new.value
    expect(tab.get_by_role("heading", level=1)).to_have_text("A place is free for you")
    tab.get_by_role("button", name="Decline").click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("You declined this place")
    page.goto("/dev/outbox")
    expect(page.get_by_role("row").nth(1)).to_contain_text("Invited trainer")
    before = page.get_by_role("row").count()
    tab.get_by_role("button", name="Join again at the end").click()
    expect(page.get_by_role("row")).to_have_count(before + 2, timeout=10_000)  # by itself


OUTCOMES: dict[str, Callable[[Cast, TrainingEnroll], object]] = {
    "open": lambda cast, ben: None,
    "enrolled": lambda cast, ben: waitlist.accept(cast.session, ben, cast.max, utcnow()),
    "declined": lambda cast, ben: waitlist.decline(cast.session, ben, cast.max, utcnow()),
    "too-late": lambda cast, ben: waitlist.expire(
        cast.session, ben, cast.max, utcnow() + 3 * DAY, as_of=utcnow() + 3 * DAY
    ),
    "withdrawn": lambda cast, ben: waitlist.return_to_list(
        cast.session, ben, cast.max, utcnow(), REASON
    ),
    "over": lambda cast, ben: setattr(ben.training, "active", False),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_is_whole_in_both_sizes_and_themes(
    outcome: str, page: Page, cast: Cast, ben: TrainingEnroll, picture: Any
) -> None:
    token = token_for(cast, ben, "answer", utcnow())
    OUTCOMES[outcome](cast, ben)
    cast.session.commit()
    page.goto(path_of(token))
    assert page.locator("h1").count() == 1
    picture(f"invitation-{outcome}")
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_without_javascript_the_place_is_accepted_by_keyboard(
    browser: Browser, site: str, cast: Cast, ben: TrainingEnroll
) -> None:
    token = token_for(cast, ben, "answer", utcnow())
    cast.session.commit()
    context = browser.new_context(base_url=site, java_script_enabled=False)
    page = context.new_page()
    page.goto(path_of(token))
    page.get_by_role("button", name="Accept this place").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("You have a place")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("You have a place")
    assert context.cookies() == []
    context.close()


def test_the_links_of_the_waitlist_and_of_nobody_are_whole(
    page: Page, cast: Cast, ben: TrainingEnroll, picture: Any
) -> None:
    cleo = cast.row("Cleo", ben.training)
    for purpose in ("leave", "keep", "unsubscribe"):
        opened(page, cast, cleo, purpose)
        picture(f"link-{purpose}")
    waitlist.decline(cast.session, ben, cast.max, utcnow() + HOUR)
    opened(page, cast, ben, "re-enable")
    picture("link-re-enable")
    page.goto("/invitations/nothing")
    picture("link-unknown")
    assert page.locator("h1").count() == 1
