"""The first run, as a stranger sees it: two processes, a letter, an answer (people PF1, PF4)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Watch
from tests.schedulers import ROOT

SECRET = "a secret of at least thirty-two bytes, for tests alone "
START = """
import sys
from datetime import timedelta
from app.ops import demo_data, demo_run
if len(sys.argv) > 2:  # Quick invitations run out this soon
    demo_data.story.RUN_OUT_AFTER = tuple(map(int, sys.argv[2].split(",")))
sys.exit(demo_run.main([sys.argv[1]]))
"""


@dataclass
class Demo:
    """A demo that runs, and what it has said."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)

    def listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            if line.startswith("No codes"):
                self.ready.set()
        self.ready.set()

    def ended(self) -> int:
        """How many invitations have run out, as the terminal tells."""
        return sum("quick_answers ended" in line for line in self.said)

    @property
    def address(self) -> str:
        found = re.search(r"Nextseat demo +(http://127\.0\.0\.1:\d+)", "\n".join(self.said))
        assert found, "\n".join(self.said)
        return found[1]


@pytest.fixture
def run_out_after() -> str:
    return "8,60,120"


@pytest.fixture
def demo(tmp_path: Path, run_out_after: str) -> Iterator[Demo]:
    """`make demo` in a folder of its own, on free ports."""
    own = {
        "SECRET_KEY": SECRET + "1",
        "SECURITY_PASSWORD_SALT": SECRET + "2",
        "SECURITY_TOTP_SECRETS": SECRET + "3",
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(tmp_path / "demo"), run_out_after],
        cwd=ROOT,
        env=os.environ | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Demo(process)
    reader = threading.Thread(target=running.listen, daemon=True)
    reader.start()
    assert running.ready.wait(100), "\n".join(running.said)
    yield running
    process.terminate()
    process.wait(50)
    reader.join(5)
    assert process.stdout is not None
    process.stdout.close()


@pytest.fixture
def page(browser: Browser, demo: Demo) -> Iterator[Page]:
    """A page of the demo; errors and CSP violations fail the test."""
    context = browser.new_context(base_url=demo.address, reduced_motion="reduce")
    page = context.new_page()
    watch = Watch(page, demo.address)
    yield page
    context.close()
    assert watch.faults == []


def accept_the_newest_invitation(page: Page, picture: Any) -> None:
    """In `/dev/outbox`: the letter, its link, the button."""
    page.goto("/dev/outbox")
    newest = page.locator("tr", has=page.get_by_role("link", name="Invited", exact=True)).first
    expect(newest).to_contain_text("Sent", timeout=20_000)  # the list looks by itself
    newest.get_by_role("link").click()
    letter = page.frame_locator("iframe.letter")
    link = letter.locator("a[href*='/invitations/']").first.get_attribute("href")
    picture("first-letter")
    page.goto(str(link))
    page.get_by_role("button", name="Accept this place").click()


@pytest.mark.timeout(240)
def test_a_stranger_accepts_an_invitation_and_sees_another_run_out(
    page: Page, picture: Any
) -> None:
    accept_the_newest_invitation(page, picture)
    expect(page.get_by_role("heading", level=1)).to_have_text("You have a place")
    picture("first-outcome")

    page.goto("/dev/outbox")
    kinds = page.locator("main table")
    expect(kinds).to_contain_text("Expired", timeout=60_000)
    said = kinds.inner_text()
    assert said.index("Invited") < said.index("Expired")  # newer: that of the next in line
    picture("first-outbox")


@pytest.mark.soak
@pytest.mark.timeout(400)
@pytest.mark.parametrize("run_out_after", ["60,90,120"])
def test_three_invitations_run_out_as_promised(demo: Demo) -> None:
    until = time.monotonic() + 150
    while demo.ended() < 3 and time.monotonic() < until:
        time.sleep(1)
    assert demo.ended() == 3
    assert demo.process.poll() is None
