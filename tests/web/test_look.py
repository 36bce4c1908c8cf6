"""What pages weigh, and whether their colours can be read (people PD1, PD2, PG2)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.web.browsing import Client

STATIC = Path(__file__).parents[2] / "app" / "static"
CSS = (STATIC / "app.css").read_text()
GROUNDS = ("ok", "act", "wait", "late", "bad", "dim", "hold")


def tokens(theme: str) -> dict[str, str]:
    """The colours in force in a theme."""
    roots = re.findall(r":root \{(.*?)\}", CSS, re.S)
    found = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", root)) for root in roots[:2]]
    return found[0] if theme == "light" else found[0] | found[1]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground", "least"),
    [
        ("text", "bg", 5.6),
        ("text", "surface", 5.6),
        ("muted", "bg", 5.6),
        ("muted", "surface", 4.5),
        ("accent", "bg", 5.6),
        ("accent-strong", "bg", 5.6),
        ("accent", "surface", 4.5),
        ("on-accent", "accent", 5.6),
        ("on-accent", "accent-strong", 4.5),
        ("danger", "bg", 5.6),
        ("danger", "surface", 4.5),
        ("on-danger", "danger", 4.5),
        ("control", "bg", 3),
        ("control", "surface", 3),
        ("focus", "bg", 3),
        ("focus", "surface", 3),
        *((name, f"{name}-ground", 5.6) for name in GROUNDS),
    ],
)
def test_every_pair_of_tokens_can_be_read(theme: str, ink: str, ground: str, least: float) -> None:
    colours = tokens(theme)
    assert contrast(colours[ink], colours[ground]) >= least


def test_contrast_is_computed_as_the_guidelines_say() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_colours_stand_in_the_tokens_alone() -> None:
    rules = re.sub(r":root \{.*?\}", "", CSS, flags=re.S)
    assert set(re.findall(r"#[0-9a-f]{3,8}\b", rules)) <= {"#fff", "#14171a99"}  # a letter, a veil


@pytest.mark.parametrize(
    ("name", "most"), [("app.css", 24_000), ("app.js", 15_000), ("icons.svg", 12_000)]
)
def test_a_static_file_stays_small(name: str, most: int) -> None:
    assert len((STATIC / name).read_bytes()) <= most


def test_every_icon_that_is_used_is_in_the_sprite() -> None:
    drawn = set(re.findall(r'<symbol id="([\w-]+)"', (STATIC / "icons.svg").read_text()))
    templates = (STATIC.parents[1] / "templates").rglob("*.html")
    used = {name for t in templates for name in re.findall(r'icon\("([\w-]+)"\)', t.read_text())}
    assert used
    assert used <= drawn


def test_nothing_comes_from_another_place() -> None:
    for path in STATIC.glob("*.*"):
        found = set(re.findall(r"https?://[^\s\"')]+", path.read_text()))
        assert found <= {"http://www.w3.org/2000/svg"}


def test_the_first_view_is_light(client: Client) -> None:
    page = client.get("/").data
    assert len(page) + sum(len(p.read_bytes()) for p in STATIC.glob("*.*")) < 150_000
