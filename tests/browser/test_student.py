"""A student's way in a real browser: join what is full, be invited, accept (people PJ 5)."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask_security import hash_password
from playwright.sync_api import Page, expect

from app.extensions import utcnow
from app.models import Location, Training, TrainingType
from app.services import enrolments
from app.services.actors import LINK
from tests.browser.conftest import sign_in_by_form
from tests.cast import DAY, HOUR, Cast

PASSWORD = "correct horse battery staple"


@pytest.fixture
def glazing(cast: Cast) -> Training:
    """A full training with somebody waiting, among others of a small pottery."""
    now = utcnow().replace(minute=0, second=0, microsecond=0)
    mill = Location(practice_id=cast.practice.id, name="The Mill", address="Mill Lane 1, Haarlem")
    kind = TrainingType(practice_id=cast.practice.id, name="Pottery for beginners")
    cast.session.add_all([mill, kind])
    names = {"Glazing and firing": 1, "Raku by night": 3, "A first bowl": 2, "Porcelain": 1}
    made = []
    for n, (name, places) in enumerate(names.items()):
        training = cast.training(name, places, now + (20 + 9 * n) * DAY)
        training.training_type, training.events[0].location = kind, mill
        made.append(training)
    made[0].description = "We mix four glazes and fire them.\n\nBring an apron and old shoes."
    for name in ("Ada", "Ben"):
        cast.enrol(name, utcnow(), made[0])
    for training, name in ((made[1], "Cleo"), (made[3], "Ada"), (made[3], "Ben")):
        cast.enrol(name, utcnow(), training)
    return made[0]


@pytest.fixture
def cleo(live_app: Flask, cast: Cast) -> str:
    """Cleo's address; she has a password."""
    user = cast.student("Cleo").user
    with live_app.app_context():
        user.password = hash_password(PASSWORD)
    return user.email


def test_joining_a_full_training_being_invited_and_accepting(
    page: Page, cast: Cast, glazing: Training, cleo: str, picture: Any
) -> None:
    cast.session.commit()
    page.goto("/trainings")
    picture("01-catalogue-visitor")
    sign_in_by_form(page, cleo, PASSWORD)

    page.goto("/trainings")
    picture("02-catalogue")
    page.get_by_label("Search").fill("GLAZING")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name="Glazing and firing", exact=True).click()
    picture("03-training")
    page.get_by_role("main").get_by_role("link", name="Join the waitlist").click()
    expect(page.get_by_text("You will be 2nd in line.")).to_be_visible()
    page.get_by_role("button", name="Join the waitlist").click()
    expect(page.locator(".summary")).to_be_focused()
    picture("04-join-without-tick")
    page.get_by_label("I accept the terms").check()
    page.get_by_role("button", name="Join the waitlist").click()
    expect(page.get_by_role("status").first).to_contain_text("You are on the waitlist.")
    expect(page.get_by_text("You are 2nd of 2 waiting")).to_be_visible()
    picture("05-waiting")

    enrolments.leave(cast.session, cast.row("Ben", glazing), LINK, utcnow())
    enrolments.deroll(cast.session, cast.row("Ada", glazing), LINK, utcnow())
    cast.session.commit()
    page.goto("/me/trainings")
    expect(page.get_by_role("timer")).to_contain_text("1 d 23 h")
    picture("06-my-trainings")
    page.get_by_role("link", name="Decline").click()
    picture("07-decline")
    page.get_by_role("link", name="No, go back").click()
    picture("08-invited")
    page.get_by_role("button", name="Accept this place").click()
    expect(page.get_by_role("status").first).to_contain_text("You have a place.")
    picture("09-enrolled")
    assert cast.row("Cleo", glazing).status == "enrolled"


PAGES = (
    "/trainings",
    "/trainings/{id}",
    "/trainings/{id}/join",
    "/me/trainings",
    "/me/trainings/{uuid}",
)


def test_nothing_scrolls_sideways_on_the_smallest_screen(
    page: Page, cast: Cast, glazing: Training, cleo: str, picture: Any
) -> None:
    raku = cast.training("A name that is as long as names of trainings become", 1)
    raku.events[0].start_time, raku.events[0].end_time = utcnow() + DAY, utcnow() + DAY + HOUR
    row = cast.enrol("Cleo", utcnow(), glazing)
    cast.session.commit()
    sign_in_by_form(page, cleo, PASSWORD)
    page.set_viewport_size({"width": 320, "height": 800})
    for path in PAGES:
        at = path.format(id=raku.id if "join" in path else glazing.id, uuid=row.uuid)
        page.goto(at)
        assert page.locator("h1").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, at
    page.goto("/trainings?q=nothing&places=1")
    picture("10-nothing-found")


def test_every_act_works_without_javascript(
    page: Page, cast: Cast, glazing: Training, cleo: str, site: str
) -> None:
    cast.session.commit()
    browser = page.context.browser
    assert browser is not None
    context = browser.new_context(base_url=site, java_script_enabled=False)
    plain = context.new_page()
    sign_in_by_form(plain, cleo, PASSWORD)
    plain.goto(f"/trainings/{glazing.id}/join")
    plain.get_by_label("I accept the terms").check()
    plain.get_by_role("button", name="Join the waitlist").click()
    plain.get_by_role("link", name="Leave the waitlist").click()
    plain.get_by_role("button", name="Leave the waitlist").click()
    expect(plain.get_by_role("status").first).to_contain_text("You left the waitlist.")
    context.close()
