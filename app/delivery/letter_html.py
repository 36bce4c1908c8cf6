"""The HTML that practices write for letters: what it may not hold, and what its readers see (PA9).

Mail programs show less than browsers: whatever hides, runs or fetches is refused, so that what is
left is seen by everybody.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from flask_babel import gettext as _

from app.delivery.sandbox import BadText

REFUSED = frozenset({
    "applet", "audio", "base", "canvas", "dialog", "embed", "form", "frame", "frameset", "iframe",
    "input", "link", "math", "meta", "noscript", "object", "script", "select", "style", "svg",
    "template", "textarea", "title", "video",
})  # fmt: skip
FETCHED = frozenset({"src", "srcset", "background", "poster", "data", "longdesc", "action"})
OWN = ("cid:", "data:image/")
LEADS = re.compile(r"(?i)\s*(https?://|mailto:|tel:|\{\{|/|#)")
# What a style says, without its spaces.
HIDES = re.compile(
    r"(?<![\w-])(display:none|visibility:(hidden|collapse)|mso-hide:|clip(-path)?:"
    r"|(text-indent|left|top):-"
    r"|(font-size|opacity|(max-)?height|(max-)?width):0+(?![.\d]*[1-9]))"
)
URL = re.compile(r"url\(['\"]?(?!cid:|data:image/)|@import|expression\(|behavior:")


def faults(html: str) -> list[BadText]:
    """What a letter may not hold, each with its line; of a source or of what it makes."""
    return _read(html).faults


def seen(html: str) -> str:
    """The words that readers see, in one line."""
    return " ".join("".join(_read(html).words).split())


def links(html: str) -> set[str]:
    """Where the links lead that have words, or a picture, to press."""
    return _read(html).pressed


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    for odd in re.finditer(r"<[!?]", html):
        line = html.count("\n", 0, odd.start()) + 1
        reader.faults.append(BadText(line, _("a letter has no comments and no declarations")))
    return reader


class _Reader(HTMLParser):
    """Reads once: words, links and what is refused."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[BadText] = []
        self.words: list[str] = []
        self.pressed: set[str] = set()
        self._at: str | None = None  # where the link leads that we are in

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag with its attributes."""
        if tag in REFUSED:
            self._refuse(_("a letter has no <%(tag)s>", tag=tag))
        for name, value in attrs:
            self._attribute(tag, name, value or "")
        self.words.append(" " if tag != "a" else "")
        if tag == "a":
            self._at = dict(attrs).get("href")
        elif tag == "img" and self._at:
            self.pressed.add(self._at)

    def handle_endtag(self, tag: str) -> None:
        """A link ends with its tag."""
        if tag == "a":
            self._at = None

    def handle_data(self, data: str) -> None:
        """Words, inside or outside of a link."""
        self.words.append(data)
        if self._at and data.strip():
            self.pressed.add(self._at)

    def _attribute(self, tag: str, name: str, value: str) -> None:
        style = re.sub(r"\s+|/\*.*?\*/", "", value).lower() if name == "style" else ""
        if name.startswith("on"):
            self._refuse(_("a letter runs nothing: leave out %(name)s", name=name))
        elif name == "hidden" or HIDES.search(style):
            self._refuse(_("a letter hides nothing: leave out %(name)s", name=name))
        elif URL.search(style):
            self._refuse(_("a letter fetches nothing from other places: leave out url()"))
        elif name in FETCHED or (name.endswith("href") and tag != "a"):
            if not value.strip().lower().startswith(OWN):
                said = _("a letter fetches nothing from other places: leave out %(n)s", n=name)
                self._refuse(said)
        elif name == "href" and not LEADS.match(value):
            self._refuse(_("a link leads to a page or an address"))

    def _refuse(self, why: Any) -> None:
        self.faults.append(BadText(self.getpos()[0], why))
