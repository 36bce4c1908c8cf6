"""Statements are compiled once in a test run, not once for each of a thousand applications.

SQLAlchemy keeps what it compiled per engine and dialect, and each application of a test has its
own. Dialects of one kind that speak to one version of one server compile alike.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

STATEMENTS = 5000  # more than the application has

_compiled: LRUCache[Any, Any] = LRUCache(STATEMENTS)


def once() -> None:
    """From now on, in this process."""
    for dialect in (PGDialect_psycopg2, SQLiteDialect_pysqlite):
        dialect.__eq__ = _alike  # type: ignore[method-assign]
        dialect.__hash__ = _of_its_kind  # type: ignore[method-assign]
    if not sa.event.contains(sa.Engine, "engine_connect", _share):
        sa.event.listen(sa.Engine, "engine_connect", _share)


def _alike(mine: Any, other: object) -> bool:
    return type(mine) is type(other) and _version(mine) == _version(other)


def _of_its_kind(mine: Any) -> int:
    return hash(type(mine))


def _version(dialect: Any) -> Any:
    """None before the first connection: then it is like none that has one."""
    return getattr(dialect, "server_version_info", None)


def _share(connection: sa.Connection) -> None:
    connection.execution_options(compiled_cache=_compiled)
