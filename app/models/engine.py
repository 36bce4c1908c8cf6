"""Every connection we open, and who may write when (reliability DB1–DB6, rulings RC1).

Reading costs nobody anything: a unit runs bare, each statement for itself, until it first writes or
locks. Only then does it open its transaction: on PostgreSQL a `BEGIN` whose row locks exclude,
on SQLite a place in the `WriterQueue` and `BEGIN IMMEDIATE`. A shell left open after a SELECT
therefore holds nothing.

A *reading* engine (`reading(engine)`) is one snapshot in which the database refuses every write:
what a GET gets.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, ExceptionContext
from sqlalchemy.exc import ArgumentError

from app.models.prepared import prepare_on
from app.models.text import first_line
from app.models.writer_queue import WAIT_SECONDS, WriterQueue

POSTGRESQL_DRIVER = "postgresql+psycopg2"

# Time-outs of a connection to PostgreSQL: nobody waits for a lock, a statement or a forgotten
# transaction for ever, and a dead network is noticed (DB1, DB7).
POSTGRESQL_OPTIONS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "timezone": "UTC",
        "default_transaction_isolation": r"read\ committed",  # STYLE P10
        "lock_timeout": "3s",
        "statement_timeout": "15s",
        "idle_in_transaction_session_timeout": "5s",
        # Joins run in the order they are written: from the few rows asked for, along the keys.
        # What a freshly filled table's missing statistics suggest was 20 times slower.
        "join_collapse_limit": "1",
        # Few rows, along their keys, from memory or an SSD: the default of 4 is a turning disk's,
        # and had small tables read whole (an answer by link took a sixth longer).
        "random_page_cost": "1.1",
    }.items()
)

SQLITE_PRAGMAS = (
    "busy_timeout=10000",
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "trusted_schema=OFF",
    "journal_size_limit=67108864",
    "wal_autocheckpoint=8000",  # 32 MB: pages that change often are copied back once
    "cache_size=-16000",  # 16 MB a connection, not 2
    "temp_store=MEMORY",
)


class BadDatabaseUrl(ValueError):
    """The text is no address of a database that we can use; its message says what to mend."""


def database_url(text: str) -> URL:
    """The URL of our one database, whatever spelling of it was given (libraries D1).

    `postgres://` and `postgresql://` mean psycopg2; SQLite needs a file (DB6). Anything else raises
    `BadDatabaseUrl`.
    """
    try:
        url = sa.make_url(text.strip())
    except (ArgumentError, ValueError) as error:
        raise BadDatabaseUrl(
            "SQLALCHEMY_DATABASE_URI is no database address; write it like"
            " sqlite:////path/to/nextseat.db or postgresql://user:password@host/name"
        ) from error
    if url.drivername in ("postgres", "postgresql", POSTGRESQL_DRIVER):
        _require_known_options(url)
        return url.set(drivername=POSTGRESQL_DRIVER)
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        file = url.database or ":memory:"
        if ":memory:" in file or url.query.get("mode") == "memory":
            raise BadDatabaseUrl(
                "SQLALCHEMY_DATABASE_URI names an SQLite database in memory; name a file,"
                " for the web and the scheduler must see the same rows"
            )
        if "uri" in url.query or file.startswith("file:"):
            raise BadDatabaseUrl(
                "SQLALCHEMY_DATABASE_URI names an SQLite database by a file: URI; name the file"
                " itself, like sqlite:////path/to/nextseat.db"
            )
        # Without a folder it is ours, not the one of whatever library opens it.
        return url.set(database=os.path.abspath(file))
    raise BadDatabaseUrl(
        f"SQLALCHEMY_DATABASE_URI asks for {url.drivername!r};"
        " Nextseat runs on postgresql:// or sqlite://"
    )


def _require_known_options(url: URL) -> None:
    """What stands behind the `?` is for the driver, which would object at the first connection."""
    import psycopg2.extensions  # type: ignore[import-untyped]

    try:
        psycopg2.extensions.make_dsn(**dict.fromkeys(url.query, "x"))
    except psycopg2.ProgrammingError as error:
        raise BadDatabaseUrl(
            "SQLALCHEMY_DATABASE_URI has an option behind its ? that PostgreSQL doesn't know;"
            " known are sslmode, host, options and their like"
        ) from error


def make_engine(url: URL, role: str, threads: int = 8) -> Engine:
    """The engine of one process: `role` names it to the database, `threads` sizes its pool."""
    if url.get_backend_name() == "sqlite":
        engine = _sqlite_engine(url, threads)
        queue = WriterQueue(f"{url.database}.wlock")
        _open_on_first_write(engine, functools.partial(_begin_immediate, queue))
        event.listen(engine, "checkin", lambda _dbapi, record: queue.leave(record.info))
    else:
        engine = _postgresql_engine(url, role, threads)
        _open_on_first_write(engine, _begin_postgresql)
        event.listen(engine, "checkin", _leave_autocommit)
        prepare_on(engine)
        event.listen(engine, "handle_error", _quote_no_row)
    return engine


@functools.cache  # one object: a session keys its connections by it
def reading(engine: Engine) -> Engine:
    """The same engine for units that only read; the database itself refuses their writes (L10)."""
    return engine.execution_options(unit="read", postgresql_readonly=True)


def is_busy(error: BaseException) -> bool:
    """Whether trying again in a few seconds is the cure: a queue, lock or pool time-out (DB5)."""
    if isinstance(error, (TimeoutError, sa.exc.TimeoutError)):
        return True
    return _sqlstate(error) in {"55P03", "57014"} or "database is locked" in str(error)


def is_away(error: BaseException) -> bool:
    """Whether the database could not be reached, or went away amid a unit (people PG4)."""
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    state, driver = _sqlstate(error), type(error.orig).__module__.partition(".")[0]
    unreached = isinstance(error, sa.exc.OperationalError) and driver == "psycopg2" and not state
    shut = state is not None and (state.startswith(("08", "57P")) or state == "53300")
    return error.connection_invalidated or unreached or shut


def is_deadlock(error: BaseException) -> bool:
    """Whether the whole unit may simply run again: deadlock or serialisation failure (DB5)."""
    return _sqlstate(error) in {"40001", "40P01"}


def _sqlstate(error: BaseException) -> str | None:
    return getattr(getattr(error, "orig", None), "pgcode", None)


def _postgresql_engine(url: URL, role: str, threads: int) -> Engine:
    return sa.create_engine(
        url,
        hide_parameters=True,
        pool_size=threads + 2,
        max_overflow=0,
        pool_timeout=5,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={
            "application_name": f"nextseat-{role}",
            "connect_timeout": 5,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 15000,
            # What an address asks for itself comes last and wins.
            "options": f"{POSTGRESQL_OPTIONS} {url.query.get('options', '')}".rstrip(),
        },
    )


def _sqlite_engine(url: URL, threads: int) -> Engine:
    engine = sa.create_engine(
        url,
        hide_parameters=True,
        pool_size=threads + 2,
        max_overflow=0,
        pool_timeout=WAIT_SECONDS,
        connect_args={"timeout": WAIT_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def connect(dbapi: Any, _record: Any) -> None:
        dbapi.isolation_level = None  # the driver must not BEGIN by itself
        for pragma in SQLITE_PRAGMAS:
            dbapi.execute(f"PRAGMA {pragma}")
        with contextlib.suppress(OSError):
            os.chmod(str(url.database), 0o600)  # people's data: for the owner alone (DB6)

    return engine


# --- the first write opens the transaction ---------------------------------------------------

READS = re.compile(
    r"\s*(SELECT|VALUES|SHOW|EXPLAIN|PRAGMA|BEGIN)\b(?!.*\bFOR ((NO )?KEY )?(UPDATE|SHARE)\b)",
    re.I | re.S,
)


def _open_on_first_write(engine: Engine, open_transaction: Any) -> None:
    """Run units of this engine bare until a statement writes, locks or sets a savepoint."""

    @event.listens_for(engine, "begin")
    def begin(conn: Connection) -> None:
        if _reads_only(conn):
            _begin_reading(conn)
        else:
            _run_bare(conn)

    @event.listens_for(engine, "before_cursor_execute")
    def before(
        conn: Connection,
        _cursor: Any,
        statement: str,
        _values: Any,
        context: Any,
        _many: bool,
    ) -> None:
        if not _reads_only(conn) and writes(statement, context):
            open_transaction(conn)

    @event.listens_for(engine, "savepoint")
    def savepoint(conn: Connection, _name: str | None) -> None:
        open_transaction(conn)


def writes(statement: str, context: Any) -> bool:
    """Whether a statement changes or locks anything: DML, DDL, `FOR UPDATE`, unknown text."""
    if context is None or context.compiled is None:
        return READS.match(statement) is None
    if context.isinsert or context.isupdate or context.isdelete or context.isddl:
        return True
    asked = context.compiled.statement
    if isinstance(asked, sa.TextClause):
        return READS.match(statement) is None
    return getattr(asked, "_for_update_arg", None) is not None


def has_written(conn: Connection) -> bool:
    """Whether the unit of this connection has written or locked anything yet."""
    raw = _raw(conn)
    bare = not raw.in_transaction if conn.dialect.name == "sqlite" else raw.autocommit
    return not bare and not _reads_only(conn)


def _reads_only(conn: Connection) -> bool:
    return conn.get_execution_options().get("unit") == "read"


def _begin_reading(conn: Connection) -> None:
    if conn.dialect.name == "sqlite":
        _set_query_only(conn, True)
        _raw(conn).execute("BEGIN")  # one snapshot; waits for nobody
    else:
        _raw(conn).autocommit = False  # psycopg2 begins READ ONLY with the first statement


def _run_bare(conn: Connection) -> None:
    if conn.dialect.name == "sqlite":
        _set_query_only(conn, False)
    else:
        _raw(conn).autocommit = True


def _set_query_only(conn: Connection, on: bool) -> None:
    """Switch only what stands otherwise: this PRAGMA expires every prepared statement."""
    info = conn.connection.info
    if info.get("query_only", False) is not on:
        _raw(conn).execute(f"PRAGMA query_only={int(on)}")
        info["query_only"] = on


def _begin_immediate(queue: WriterQueue, conn: Connection) -> None:
    raw = _raw(conn)
    if not raw.in_transaction:
        queue.enter(conn.connection.info)
        raw.execute("BEGIN IMMEDIATE")


def _begin_postgresql(conn: Connection) -> None:
    if _raw(conn).autocommit:
        _raw(conn).autocommit = False  # psycopg2 begins with the next statement


def _leave_autocommit(dbapi: Any, _record: Any) -> None:
    if dbapi is not None and not dbapi.closed:
        dbapi.autocommit = False  # else the next reading unit would set READ ONLY by a statement


def _quote_no_row(context: ExceptionContext) -> None:
    """PostgreSQL's errors go on with `DETAIL:` and the values of a row: keep the first line (SE17).

    Which constraint it was stays in `orig.diag`.
    """
    for error in (context.original_exception, context.sqlalchemy_exception):
        if error is not None and error.args and isinstance(error.args[0], str):
            error.args = (first_line(error.args[0]), *error.args[1:])


def _raw(conn: Connection) -> Any:
    return conn.connection.dbapi_connection
