"""Many rows in few statements (performance P6): dictionaries in, no ORM objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

T = TypeVar("T")

CHUNK = 1000


def insert_many(
    session: Session,
    model: Any,
    rows: Sequence[dict[str, Any]],
    *,
    once_per: str | None = None,
) -> None:
    """Insert `rows`; of those whose `once_per` column is there already, nothing happens."""
    table: Table = model.__table__
    statement = _insert(session, table)
    if once_per:
        statement = statement.on_conflict_do_nothing(index_elements=[once_per])
    for chunk in chunks(rows):
        session.execute(statement, chunk)


def upsert_many(session: Session, model: Any, rows: Sequence[dict[str, Any]], *, key: str) -> None:
    """Insert `rows`, each replacing what stands under its `key`."""
    table: Table = model.__table__
    statement = _insert(session, table)
    for chunk in chunks(rows):
        replaced = {name: statement.excluded[name] for name in chunk[0] if name != key}
        session.execute(statement.on_conflict_do_update(index_elements=[key], set_=replaced), chunk)


def chunks(things: Sequence[T], size: int = CHUNK) -> Iterator[list[T]]:
    for start in range(0, len(things), size):
        yield list(things[start : start + size])


def _insert(session: Session, table: Table) -> Any:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(table)
