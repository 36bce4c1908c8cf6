"""The description of REST in a real browser: the page is whole, and nothing of it is blocked."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.cast import Cast


def test_the_description_shows_both_families(page: Page, cast: Cast) -> None:
    cast.session.commit()
    page.goto("/openapi/")
    expect(page.locator(".opblock-summary-path").first).to_be_visible()
    shown = page.locator("#api").inner_text()
    assert "/scheduler/jobs" in shown.replace("\u200b", "")
    assert "/api/v1/schedules" in shown.replace("\u200b", "")
