"""PostgreSQL's databases, lent to one test after another: a fresh copy costs a third of a second.

Whoever gives one back leaves no trace: its connections are ended, it gets another name, so that a
thread left behind finds nothing, its tables are emptied and its numbers begin anew. One whose
tables, constraints or settings a test has changed is dropped.
"""

from __future__ import annotations

import collections
import contextlib
import time
from typing import Any
from uuid import uuid4

import psycopg2
import sqlalchemy as sa

PATIENCE_SECONDS = 10.0

# Tables into which something was ever written: those without a page are as they were.
WRITTEN = """
SELECT relname, pg_relation_size(oid) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0
"""
LARGE = 256 * 1024  # bytes; below it is quicker to delete rows than to make new files
UNCHECKED = "SET LOCAL session_replication_role = replica"  # all go, so no key needs checking
END_CLIENTS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = %s AND backend_type = 'client backend'
"""
BEGIN_ANEW = """
SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence
WHERE pg_sequence_last_value(seqrelid) IS NOT NULL
"""
# What an ANALYZE of one test says of tables would make the plans of the next.
FIRST_OF_OURS = 16384
STATISTICS = f"SELECT count(*) FROM pg_statistic WHERE starelid >= {FIRST_OF_OURS}"
# `xmin` is the transaction that wrote a row of the catalogue: whatever changes a schema changes it,
# and copies of one template agree. How many rows and the sum of these tell a change as surely as
# their text would, in a fifth of the time. Emptying changes some of `pg_class`, so that is told.
CATALOGUE = f"""
SELECT 'class', count(*), sum(hashtextextended(concat_ws(',', oid, relname, relnamespace, relkind,
    relpersistence, relnatts, relchecks, relhasrules, relhastriggers, relrowsecurity, reloptions,
    relacl, relowner), 0))
  FROM pg_class WHERE oid >= {FIRST_OF_OURS}
UNION ALL SELECT 'index', count(*), sum((2 * indisvalid::int + indisready::int) * indexrelid::int8)
  FROM pg_index WHERE indexrelid >= {FIRST_OF_OURS}
UNION ALL SELECT 'sequence', count(*), sum(hashtextextended(concat_ws(',', s.*), 0))
  FROM pg_sequence s
UNION ALL SELECT 'setting', count(*), sum(hashtextextended(concat_ws(',', s.*), 0))
  FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
  WHERE d.datname = current_database()
{"".join(
    f"UNION ALL SELECT '{table}', count(*), sum(xmin::text::int8) FROM {table}"
    f" WHERE {key} >= {FIRST_OF_OURS} "
    for table, key in (
        ("pg_attribute", "attrelid"), *(
            (name, "oid") for name in (
                "pg_attrdef", "pg_constraint", "pg_extension", "pg_namespace", "pg_policy",
                "pg_proc", "pg_rewrite", "pg_trigger", "pg_type",
            )
        ),
    )
)}
"""  # fmt: skip


class Pool:
    """The databases of one process. `url` is the server's, of a user who may make databases."""

    def __init__(self, url: str, template: str) -> None:
        self._url = sa.make_url(url)
        self._template = template
        self._server = self._connect(self._url.database or "postgres")
        self._spare: collections.deque[str] = collections.deque()
        self._kept: list[str] = []  # tables in which the migrations themselves wrote
        self._untouched: list[Any] = []

    def take(self) -> str:
        """The name of a database like the template, which nobody else has."""
        if self._spare:
            return self._spare.popleft()
        name = self.make(self._template)
        if not self._untouched:
            with contextlib.closing(self._connect(name)) as raw, raw.cursor() as cursor:
                self._kept = list(_written(cursor))
                self._untouched = self._traits(cursor)
        return name

    def give_back(self, name: str) -> None:
        """Nobody uses it any more. What cannot be as new again is dropped."""
        spare = _new_name()
        self._end_connections(name)
        self._do(f"ALTER DATABASE {name} RENAME TO {spare}")
        if self._emptied(spare):
            self._spare.append(spare)
        else:
            self.drop(spare)

    def make(self, template: str) -> str:
        """A database that is not to be lent again; whoever asked drops it."""
        name = _new_name()
        self._do(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        self._do(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """Drop whatever waits to be lent."""
        while self._spare:
            self.drop(self._spare.pop())
        self._server.close()

    def _emptied(self, name: str) -> bool:
        """Empty it; say whether it is as new."""
        with contextlib.closing(self._connect(name)) as raw, raw.cursor() as cursor:
            try:
                written = {t: size for t, size in _written(cursor).items() if t not in self._kept}
                if large := [table for table, size in written.items() if size > LARGE]:
                    cursor.execute(f"TRUNCATE {', '.join(large)} CASCADE")
                if written.keys() - set(large):
                    small = "; ".join(f"DELETE FROM {table}" for table in written)
                    cursor.execute(f"BEGIN; {UNCHECKED}; {small}; COMMIT")
                cursor.execute(BEGIN_ANEW)
                return self._traits(cursor) == self._untouched
            except psycopg2.Error:  # a test left no schema, or no table that was there
                return False

    def _traits(self, cursor: Any) -> list[Any]:
        """What no test may leave changed: catalogue, statistics, and the rows of the migrations."""
        found = []
        for what in (CATALOGUE, STATISTICS):
            cursor.execute(what)
            found += cursor.fetchall()
        for table in self._kept:
            cursor.execute(f"SELECT t::text FROM {table} t ORDER BY 1")
            found += cursor.fetchall()
        return found

    def _end_connections(self, name: str) -> None:
        """End them and wait until they are gone, or it could not be renamed."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self._do(END_CLIENTS, name) and time.monotonic() < until:
            time.sleep(0.001)

    def _do(self, statement: str, *values: object) -> int:
        """How many rows it gave or touched."""
        with self._server.cursor() as cursor:
            cursor.execute(statement, values)
            return max(0, cursor.rowcount)

    def _connect(self, name: str) -> Any:
        url = self._url.set(drivername="postgresql", database=name)
        raw = psycopg2.connect(url.render_as_string(hide_password=False))
        raw.autocommit = True
        return raw


def _written(cursor: Any) -> dict[str, int]:
    """Their sizes in bytes."""
    cursor.execute(WRITTEN)
    return dict(cursor.fetchall())


def _new_name() -> str:
    return f"test_{uuid4().hex[:12]}"
