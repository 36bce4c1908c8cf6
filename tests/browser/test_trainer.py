"""A trainer ends an invitation in a real browser and sees the next person invited (people PT)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask_security import hash_password
from playwright.sync_api import Page

from app.extensions import utcnow
from app.models import Training
from app.services import enrolments, overrides
from tests.browser.conftest import sign_in_by_form
from tests.cast import REASON, Cast

PASSWORD = "a long password for tests"


@pytest.fixture
def pottery(cast: Cast, live_app: Flask) -> Training:
    """Wheel throwing, next month: full, two invited, three waiting, one of them skipped."""
    now = utcnow()
    training = cast.training("Wheel throwing for beginners", 4, now + timedelta(days=30))
    for name in ("Ada", "Finn", "Gus", "Hedy", "Ben", "Cleo", "Dan", "Eve", "Ivo"):
        cast.enrol(name, now - timedelta(hours=20), training)
    _give_up("Ada", training, cast, now - timedelta(hours=9))
    _give_up("Gus", training, cast, now - timedelta(hours=3))
    overrides.skip(cast.session, cast.row("Dan", training), cast.max, now, "is abroad until May")
    overrides.mark_paid(cast.session, cast.row("Finn", training), True, cast.max, now)
    with live_app.app_context():
        cast.tess.user.password = hash_password(PASSWORD)
    cast.session.commit()
    return training


def _give_up(name: str, training: Training, cast: Cast, at: datetime) -> None:
    enrolments.deroll(cast.session, cast.row(name, training), cast.max, at, reason=REASON)


def test_an_ended_invitation_goes_to_the_next_in_line(
    page: Page, cast: Cast, pottery: Training, picture: Any
) -> None:
    sign_in_by_form(page, cast.tess.user.email, PASSWORD)
    page.goto("/trainer/trainings")
    assert "4/4 · 2 invited · 3 waiting" in page.get_by_role("table").inner_text()
    picture("trainer-list")
    page.get_by_role("link", name="Wheel throwing for beginners").click()
    picture("trainer-roster")
    page.locator("summary[aria-label='Acts for Ben Example']").click()
    picture("trainer-menu")
    page.get_by_role("link", name="End the invitation").click()
    assert "Eve Example" in page.get_by_role("main").inner_text()  # Dan is skipped
    picture("trainer-end")
    page.get_by_label("Reason").fill("Ben called: he cannot come.")
    page.get_by_role("button", name="End the invitation").click()
    notice = page.get_by_role("status").inner_text()
    assert "Ben Example: the invitation has ended. Invited now: Eve Example." in notice
    picture("trainer-ended")
    page.get_by_role("link", name="Why each was invited").click()
    assert "Ben called: he cannot come." in page.get_by_role("main").inner_text()
    picture("trainer-why")


def test_every_page_of_trainers_fits_a_narrow_phone(
    page: Page, cast: Cast, pottery: Training, picture: Any
) -> None:
    sign_in_by_form(page, cast.tess.user.email, PASSWORD)
    at, row = f"/trainer/trainings/{pottery.id}", cast.row("Ben", pottery).uuid
    cast.student("Ben").user.email = f"{'a.very.long.name' * 4}@{'of-a-long-house' * 3}.example.org"
    cast.session.commit()
    page.wait_for_url("**/")
    for name, path in {
        "add": f"{at}/add?q=example",
        "capacity": f"{at}/capacity",
        "keep": f"{at}/list/keep",
        "attendees": f"{at}/attendees",
        "return": f"{at}/acts?act=return&row={row}",
        "list": "/trainer/trainings",
        "roster": at,
    }.items():
        page.goto(path)
        assert page.locator("h1").count() == 1
        picture(f"trainer-{name}")
        page.set_viewport_size({"width": 320, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
