"""Counting statements: cursor executions but BEGIN, COMMIT, SAVEPOINT and PRAGMA (RC11)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

NOT_COUNTED = re.compile(r"\s*(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|PRAGMA)\b", re.I)


@contextmanager
def count_statements(session: Session) -> Iterator[list[str]]:
    """The statements that the block sends, in their order: `with … as sent: …; len(sent)`."""
    session.flush()  # what was arranged before is not part of the act
    sent: list[str] = []

    def note(_c: Any, _cursor: Any, sent_as: str, _given: Any, context: Any, _many: bool) -> None:
        statement = getattr(context, "as_composed", sent_as)
        if not NOT_COUNTED.match(statement):
            sent.append(" ".join(statement.split()))

    engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def verbs(sent: list[str]) -> list[str]:
    """What each statement does to which table: `UPDATE training`, `SELECT`, …"""
    pattern = re.compile(r"(?:WITH .*?\) )?(INSERT INTO|UPDATE|DELETE FROM) (\w+)")
    found = [pattern.match(statement) for statement in sent]
    return [f"{f[1].split()[0]} {f[2]}" if f else "SELECT" for f in found]
