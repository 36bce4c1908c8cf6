"""The administration in a browser: no policy is broken, scripts add what they promise (A6)."""

from __future__ import annotations

import time
from typing import Any

from flask import Flask
from playwright.sync_api import Page, expect

from app.extensions import utcnow
from app.models import Location, SchedulerEpoch, TrainingType, User
from tests.cast import DAY, HOUR, Cast


def sign_in(page: Page, app: Flask, user: User, site: str) -> None:
    """By the session alone, as tests of pages do."""
    with app.test_request_context():
        serializer: Any = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
        now = int(time.time())
        cookie = {"_user_id": user.fs_uniquifier, "_fresh": True, "since": now, "seen": now}
        value = serializer.dumps(cookie | {"fs_paa": now})
    name = app.config["SESSION_COOKIE_NAME"]
    page.context.add_cookies([{"name": name, "value": value, "url": site}])


def test_the_administration_is_seen_and_steered(
    page: Page, cast: Cast, live_app: Flask, site: str, picture: Any
) -> None:
    orla = cast.administrator("Orla")
    start = utcnow() + 30 * DAY
    cast.pottery.events[0].start_time, cast.pottery.events[0].end_time = start, start + 3 * HOUR
    kind = cast.add(TrainingType(practice_id=cast.practice.id, name="Crafts"))
    cast.add(Location(practice_id=cast.practice.id, name="The loft", address="Mill Lane 3"))
    cast.pottery.training_type_id = kind.id
    for name in ("Weaving for beginners", "First aid", "Dutch A1"):
        cast.training(name, 8, utcnow() + 40 * DAY)
    cast.enrol_all("Ada", "Ben", "Cleo", now=utcnow())
    cast.leave(cast.row("Ada"), utcnow())
    cast.add(SchedulerEpoch(id=1, epoch=1, seen_at=utcnow() - HOUR))
    cast.session.commit()
    sign_in(page, live_app, orla, site)

    page.goto("/admin/")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    picture("admin-index")
    page.goto("/admin/training/")
    picture("admin-trainings")
    page.goto("/admin/trainingenroll/")
    picture("admin-enrolments")
    page.goto(f"/admin/training/details/?id={cast.pottery.id}")
    picture("admin-training")
    page.goto(f"/admin/training/edit/?id={cast.pottery.id}")
    picture("admin-training-form")
    rows = page.locator("#meetings .part")
    before = rows.count()
    page.get_by_role("button", name="Another meeting").click()
    expect(rows).to_have_count(before + 1)
    page.get_by_label("Places", exact=True).fill("0")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_be_visible()
    picture("admin-training-choice")
    page.goto("/admin/trainingenroll/")
    page.get_by_label("Tick Ben Example").check()
    page.get_by_label("With the ticked rows").select_option(label="End the invitation")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("As if it had run out")).to_be_visible()
    picture("admin-act")
    page.get_by_label("Reason").fill("Ben called the office")
    page.get_by_role("button", name="End the invitation").click()
    expect(page.get_by_text("done.")).to_be_visible()
