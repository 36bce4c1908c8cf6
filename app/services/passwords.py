"""What a password must be (reliability SE3): long, and not one that everybody tries first."""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

from flask_babel import lazy_gettext as _l

from app.services.refusals import Refusal

SHORTEST, LONGEST = 12, 128  # characters, of any kind
LIST = Path(__file__).parent / "common_passwords.txt"


class BadPassword(Refusal):
    """A password that we do not take; the sentence says why."""

    code, status = "bad_password", 400
    sentence = _l("Choose another password.")


def a_password(text: str, *about: str) -> str:
    """The password as it is hashed, however it was typed. Raises `BadPassword`.

    `about` is what everybody knows of its owner: none of it is a password.
    """
    password = unicodedata.normalize("NFKD", text)
    if len(password) < SHORTEST:
        raise BadPassword(_l("Use at least 12 characters; a few words in a row do well."))
    if len(password) > LONGEST:
        raise BadPassword(_l("Use at most 128 characters."))
    lower = password.lower()
    if lower in common() or len(set(lower)) < 3:
        raise BadPassword(_l("Many people use this password. Choose one of your own."))
    if any(lower == known.lower() for known in about if known):
        raise BadPassword(_l("This is no secret: choose something that only you know."))
    return password


@cache
def common() -> frozenset[str]:
    """The passwords that are tried first, in lower case."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))
