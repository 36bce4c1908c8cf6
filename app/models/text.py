"""Texts as any database can hold them, and what may be told of an error (people PO3, SE17)."""

from __future__ import annotations

import traceback
import unicodedata
from collections.abc import Callable

import sqlalchemy as sa

REASON, TRACEBACK = 2000, 20_000  # characters of an error that are kept


def storable(text: str, most: int | None = None) -> str:
    """At most so many characters of it; NUL and halves of surrogate pairs are spelt out."""
    if not is_storable(text):
        text = text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    return text[:most]


def is_storable(text: str) -> bool:
    """Whether PostgreSQL and SQLite take it as it is."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def shown(text: str) -> str:
    """What a reader sees of it: nothing of zero-width spaces and their like."""
    return "".join(sign for sign in text if unicodedata.category(sign) != "Cf").strip()


def said_by(error: BaseException, most: int = REASON) -> str:
    """What an error says, storable; one of the database its first line alone, which quotes no row.

    What says nothing, or cannot even say it, is called by its type.
    """
    if isinstance(error, sa.exc.DBAPIError):
        said = first_line(_told(lambda: str(error.orig)))
    else:
        said = _told(lambda: str(error))
    return storable(said, most) or type(error).__name__


def named(error: BaseException, most: int = REASON) -> str:
    """`ValueError: broken broom`: type and first line."""
    return storable(f"{type(error).__name__}: {first_line(said_by(error))}", most)


def traceback_of(error: BaseException) -> str:
    """Where it came from; the end of it, if it is long."""
    told = _told(lambda: "".join(traceback.format_exception(error)))
    return storable(storable(told)[-TRACEBACK:])


def first_line(text: str) -> str:
    """The first line in which anything stands, or nothing."""
    return next(filter(None, map(str.strip, text.splitlines())), "")


def _told(tell: Callable[[], str]) -> str:
    try:
        return tell()
    except Exception:  # theirs: a `__str__` may fail in any way
        return ""
