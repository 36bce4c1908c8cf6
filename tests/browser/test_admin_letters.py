"""Letters in the office: one is opened, sent again; a text is tried, mended, saved (PA8, PA9)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import Flask
from playwright.sync_api import Page, expect

from app.extensions import utcnow
from app.models import Outbox, OutboxState
from tests.browser.test_admin import sign_in
from tests.cast import DAY, HOUR, Cast


def test_letters_are_seen_sent_again_and_reworded(
    page: Page, cast: Cast, live_app: Flask, site: str, picture: Any
) -> None:
    orla = cast.administrator("Orla")
    now = utcnow()
    start = now + 30 * DAY
    cast.pottery.events[0].start_time, cast.pottery.events[0].end_time = start, start + 3 * HOUR
    cast.session.flush()
    cast.enrol_all("Ada", "Ben", "Cleo", now=now)
    cast.leave(cast.row("Ada"), now)
    looks = (OutboxState.SENT, OutboxState.DEAD, OutboxState.BOUNCED, OutboxState.SKIPPED)
    rows = cast.session.scalars(sa.select(Outbox).order_by(Outbox.id)).all()
    for row, state in zip(rows, looks, strict=False):
        row.state, row.ended_at, row.attempts = state, now, 3
        row.last_error = "" if state is OutboxState.SENT else "550 5.1.1 no such mailbox here"
    cast.session.commit()
    sign_in(page, live_app, orla, site)

    page.goto("/admin/outbox/")
    picture("admin-outbox")
    page.get_by_label("Letter", exact=True).select_option(label="Invitation")
    page.get_by_role("button", name="Show").click()
    page.locator("tbody th a").click()
    letter = page.frame_locator("iframe.letter")
    expect(letter.get_by_role("heading", name="A place is free for you")).to_be_visible()
    picture("admin-outbox-letter")

    page.goto("/admin/outbox/")
    page.get_by_label("Tick Enrolled to Ada Example").check()
    page.get_by_label("With the ticked rows").select_option(label="Send again")
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Reason").fill("Ada lost the first one")
    picture("admin-outbox-again")
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_text("Enrolled to Ada Example: done.")).to_be_visible()

    page.goto("/admin/letter-text/")
    picture("admin-letter-texts")
    page.goto("/admin/letter-text/edit/?key=invited&language=en")
    picture("admin-letter-text")
    subject = page.get_by_label("Subject")
    subject.fill("Your turn: {{ trainning_name }}")
    page.get_by_role("button", name="Preview").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Line 1: there is no variable called trainning_name.")
    picture("admin-letter-text-refused")
    subject.fill("Your turn: {{ training_name }}")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("Your turn: Pottery for beginners")).to_be_visible()
    expect(letter.get_by_role("heading", name="A place is free for you")).to_be_visible()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("is saved. It goes out from now on.")).to_be_visible()
    page.get_by_role("button", name="Back to the shipped text").click()
    page.get_by_role("button", name="Delete my text").click()
    expect(page.get_by_text("the shipped text goes out again.")).to_be_visible()
