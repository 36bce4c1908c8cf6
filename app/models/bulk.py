"""Many rows in few statements (performance P6): no ORM objects, and what a table already knows is
copied inside the database, not carried through Python.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql import visitors
from sqlalchemy.sql.functions import GenericFunction

from app.models import prepared

P = ParamSpec("P")
T = TypeVar("T")

CHUNK = 1000


def insert_many(session: Session, model: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows given as dictionaries."""
    for chunk in chunks(rows):
        session.execute(_insert(dialect_of(session), model.__table__), chunk)


def send(session: Session, statement: Any, what: dict[str, Any] | Sequence[dict[str, Any]]) -> Any:
    """Execute a statement about tables, not objects, in the session's transaction.

    The hot statements go this way: it spares the session's own work, a third of their cost.
    """
    session.flush()  # it may read what an object still keeps to itself
    return session.connection().execute(statement, what, execution_options=prepared.OPTION)


def composed(make: Callable[P, T]) -> Callable[P, T]:
    """`make`, called once for the same arguments: composing a statement costs more than running it.

    Its constants stand in its text: else each is bound anew whenever the statement runs, and each
    list of them written anew. Only for constants of ours, never for what somebody typed.
    """
    once: Any = cache(wraps(make)(lambda *args, **named: written_out(make(*args, **named))))
    known: Callable[P, T] = once
    return known


def written_out(statement: T) -> T:
    """The statement with the texts and whole numbers it was composed with in its own text."""
    element: Any = statement
    written: T = visitors.replacement_traverse(element, {}, _in_words)
    return written


def _in_words(element: Any, **_: Any) -> Any:
    """A constant as it is written in SQL; None for whatever stays as it is."""
    if not isinstance(element, sa.BindParameter) or element.required or element.value is None:
        return None
    values = list(element.value) if element.expanding else [element.value]
    words = [_word(value, element.type) for value in values]
    if not words or None in words:
        return None
    text = ", ".join(str(word) for word in words)
    return sa.literal_column(f"({text})" if element.expanding else text, element.type)


def _word(value: Any, kind: sa.types.TypeEngine[Any]) -> str | None:
    if isinstance(kind, sa.String) and isinstance(value, str):
        return "'" + str(value).replace("'", "''") + "'"
    if isinstance(kind, sa.Integer) and type(value) is int:
        return str(value)
    return None


def given(name: str) -> sa.BindParameter[Any]:
    """A value that is given when the statement runs; typed by the column it goes into."""
    return sa.bindparam(name)


def insert_selected(
    dialect: str, model: Any, columns: dict[str, Any], source: sa.Select[Any]
) -> Any:
    """The statement that inserts what `columns` makes of each row of `source`.

    A column is an expression, `given` when it runs, or a constant. Compose it once: that costs more
    than running it.
    """
    return insert_rows(dialect, model, selected(model, columns, source))


def insert_rows(dialect: str, model: Any, rows: sa.Select[Any], once_per: str | None = None) -> Any:
    """The statement that inserts `rows`, whose columns are named as the table's.

    A row whose `once_per` is there already stays as it is.
    """
    names = [column.name for column in rows.selected_columns]
    rows = rows.where(sa.true())  # else SQLite reads ON CONFLICT as a join's ON
    statement = _insert(dialect, model.__table__).from_select(names, rows, include_defaults=False)
    return statement.on_conflict_do_nothing(index_elements=[once_per]) if once_per else statement


def selected(model: Any, columns: dict[str, Any], source: sa.Select[Any]) -> sa.Select[Any]:
    """What `columns` makes of each row of `source`, named and typed as the columns of `model`."""
    made: list[Any] = [
        _typed(value, model.__table__.c[name]).label(name) for name, value in columns.items()
    ]
    return source.with_only_columns(*made, maintain_column_froms=True)


def insert_once(session: Session, model: Any, row: dict[str, Any], keys: Sequence[str]) -> bool:
    """Insert `row`, unless one with the same `keys` is there; say whether it is ours."""
    statement = _insert(dialect_of(session), model.__table__).values(row)
    once = statement.on_conflict_do_nothing(index_elements=list(keys))
    inserted: Any = session.execute(once)
    return bool(inserted.rowcount == 1)


def upsert_selected(
    dialect: str, model: Any, columns: dict[str, Any], source: sa.Select[Any], key: str
) -> Any:
    """The same, each row replacing what stands under its `key`."""
    statement = insert_selected(dialect, model, columns, source)
    replaced = {name: statement.excluded[name] for name in columns if name != key}
    return statement.on_conflict_do_update(index_elements=[key], set_=replaced)


def dialect_of(session: Session) -> str:
    """`postgresql` or `sqlite`."""
    return session.get_bind().dialect.name


def insert_new(session: Session, model: Any, rows: Sequence[dict[str, Any]], *, key: str) -> None:
    """Insert those of `rows` whose `key` is not there yet."""
    statement = _insert(dialect_of(session), model.__table__)
    for chunk in chunks(rows):
        session.execute(statement.on_conflict_do_nothing(index_elements=[key]), chunk)


def upsert_many(session: Session, model: Any, rows: Sequence[dict[str, Any]], *, key: str) -> None:
    """Insert `rows`, each replacing what stands under its `key`."""
    statement = _insert(dialect_of(session), model.__table__)
    for chunk in chunks(rows):
        replaced = {name: statement.excluded[name] for name in chunk[0] if name != key}
        session.execute(statement.on_conflict_do_update(index_elements=[key], set_=replaced), chunk)


def chunks(things: Sequence[T], size: int = CHUNK) -> Iterator[list[T]]:
    """`things` in lists of at most `size`, in their order."""
    for start in range(0, len(things), size):
        yield list(things[start : start + size])


class IdList(sa.types.TypeDecorator[Sequence[Any]]):
    """Ids, numbers or texts, as one parameter: an array on PostgreSQL, JSON on SQLite."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[Any] | None, dialect: Dialect) -> Any:
        ids = list(value or ())
        return ids if dialect.name == "postgresql" else json.dumps(ids)


class _Among(GenericFunction[bool]):
    type = sa.Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Any:
        """Stay bare: SQLite would compare a function with 1, and then use no index."""
        return self


def among(column: sa.SQLColumnExpression[Any], ids: Sequence[Any] | str) -> sa.ColumnElement[bool]:
    """Whether `column` is one of `ids`, or of those given under a name: one text for any number."""
    if isinstance(ids, str):
        return _Among(column, sa.bindparam(ids, type_=IdList))
    return _Among(column, sa.bindparam(None, list(ids), IdList, unique=True))


@compiles(_Among, "postgresql")
def _among_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    column, ids = (compiler.process(part, **kw) for part in element.clauses)
    kind = "VARCHAR" if isinstance(next(iter(element.clauses)).type, sa.String) else "INTEGER"
    return f"{column} = ANY(CAST({ids} AS {kind}[]))"


@compiles(_Among, "sqlite")
def _among_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    column, ids = (compiler.process(part, **kw) for part in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # noqa: S608  compiled parts


class random_uuid(GenericFunction[str]):
    """A fresh uuid per row, as text."""

    type = sa.String(36)
    inherit_cache = True


class utf8(GenericFunction[bytes]):
    """The bytes of a text."""

    type = sa.LargeBinary()
    inherit_cache = True


@compiles(random_uuid, "postgresql")
def _random_uuid_postgresql(_element: Any, _compiler: Any, **_: Any) -> str:
    return "CAST(gen_random_uuid() AS VARCHAR)"


@compiles(random_uuid, "sqlite")
def _random_uuid_sqlite(_element: Any, _compiler: Any, **_: Any) -> str:
    return "lower(hex(randomblob(16)))"


@compiles(utf8, "postgresql")
def _utf8_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"convert_to({compiler.process(element.clauses, **kw)}, 'UTF8')"


@compiles(utf8, "sqlite")
def _utf8_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **kw)} AS BLOB)"


def _typed(value: Any, column: sa.Column[Any]) -> sa.SQLColumnExpression[Any]:
    if isinstance(value, sa.BindParameter) and isinstance(value.type, sa.types.NullType):
        return sa.bindparam(value.key, type_=column.type)
    if isinstance(value, sa.SQLColumnExpression):
        return value
    return sa.literal(value, column.type)


def _insert(dialect: str, table: Table) -> Any:
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)
