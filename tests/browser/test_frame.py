"""The frame in a real browser: nothing is blocked, nothing scrolls sideways, the keyboard works."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.cast import Cast

PAGES = {"front": "/", "sign-in": "/sign-in", "not-found": "/nothing-here", "help": "/help"}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_in_both_sizes_and_themes(
    name: str, page: Page, cast: Cast, picture: Any
) -> None:
    cast.session.commit()
    page.goto(PAGES[name])
    assert page.locator("h1").count() == 1
    picture(name)
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_a_wrong_sign_in_puts_the_focus_on_its_summary(page: Page, cast: Cast) -> None:
    cast.session.commit()
    page.goto("/sign-in")
    page.get_by_label("E-mail").fill("ada@example.org")
    page.get_by_label("Password").fill("no")
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    assert page.evaluate("document.activeElement.className") == "summary"
    assert "not right" in page.locator(".summary").inner_text()
    assert page.get_by_label("E-mail").input_value() == "ada@example.org"


def test_the_first_stop_of_the_keyboard_skips_to_the_content(page: Page, cast: Cast) -> None:
    cast.session.commit()
    page.goto("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
