"""An endpoint, made in a browser: what it sends is more than a test types (people PA12)."""

from __future__ import annotations

from typing import Any

from flask import Flask
from playwright.sync_api import Page, expect

from tests.browser.test_admin import sign_in
from tests.cast import Cast


def test_an_endpoint_is_made_looked_at_and_switched_off(
    page: Page, cast: Cast, live_app: Flask, site: str, picture: Any
) -> None:
    orla = cast.administrator("Orla")
    cast.session.commit()
    sign_in(page, live_app, orla, site)

    page.goto("/admin/webhook/new/")
    page.get_by_label("Name").fill("Cash desk")
    page.get_by_label("Address").fill("https://127.0.0.1/hook")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("public https address")
    expect(page.get_by_label("Address")).to_have_value("https://127.0.0.1/hook")
    page.get_by_label("Address").fill("https://93.184.216.34/hook")
    page.get_by_label("Run failed").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The endpoint is made.")).to_be_visible()

    page.get_by_role("link", name="Cash desk", exact=True).click()
    expect(page.get_by_text("whsec_")).to_be_visible()
    picture("webhook")
    page.get_by_role("button", name="Switch off").click()
    page.get_by_role("button", name="Switch off").click()
    expect(page.get_by_text("Cash desk: done.")).to_be_visible()
