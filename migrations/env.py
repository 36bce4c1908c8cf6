"""How migrations run: alone, all or nothing, and with the foreign keys whole afterwards (RC10).

They get an engine of their own. SQLite rebuilds tables, so its foreign keys are off before BEGIN
and checked before the commit; PostgreSQL serialises upgrades by an advisory lock and waits for
table locks at most five seconds, so that an upgrade never queues in front of everyone.
"""

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext
from flask import current_app
from flask_security import AsaList
from sqlalchemy.pool import NullPool

from app.models.types import UtcDateTime

LOCK = 0x4E65787473656174  # "Nextseat"
target = current_app.extensions["migrate"].db.metadata
url = current_app.config["SQLALCHEMY_DATABASE_URI"]


def render_item(kind: str, thing: object, _autogen: AutogenContext) -> str | bool:
    """Write our own types as what they are in the database: a migration imports no app."""
    if kind == "type" and isinstance(thing, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(thing, AsaList):
        return "sa.UnicodeText()"
    return False


def migrate(connection: sa.Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=target,
        render_as_batch=True,
        render_item=render_item,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def on_sqlite() -> None:
    engine = sa.create_engine(url, poolclass=NullPool, connect_args={"timeout": 10})
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        raw.isolation_level = None
        raw.execute("PRAGMA foreign_keys=OFF")
        with connection.begin():  # ours, so that Alembic commits nothing between two revisions
            raw.execute("BEGIN IMMEDIATE")
            migrate(connection)
            if broken := raw.execute("PRAGMA foreign_key_check").fetchall():
                raise RuntimeError(f"this migration breaks foreign keys: {broken[:5]}")


def on_postgresql() -> None:
    engine = sa.create_engine(url, poolclass=NullPool, isolation_level="READ COMMITTED")
    with engine.begin() as connection:
        connection.execute(sa.text("SET LOCAL lock_timeout = '5s'"))
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        migrate(connection)


if context.is_offline_mode():
    raise SystemExit("write SQL by hand from an upgraded database; offline mode is not supported")
on_sqlite() if url.get_backend_name() == "sqlite" else on_postgresql()
