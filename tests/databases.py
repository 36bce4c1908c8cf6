"""Databases for tests: one migrated template of each kind, copied as often as needed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import flask_migrate
import sqlalchemy as sa
from flask import Flask
from jinja2 import FileSystemBytecodeCache

from app import create_app
from app.extensions import db
from app.limits import limiter
from config import Settings
from tests.pool import Pool

KINDS = ("sqlite", "postgresql")
TEMPLATE = "nextseat_template"
CHEAP = {"argon2__memory_cost": 8, "argon2__time_cost": 1, "argon2__parallelism": 1}


def make_templates() -> None:
    """Migrate an empty database of each kind."""
    (folder() / "begun").touch()
    _admin(f"DROP DATABASE IF EXISTS {TEMPLATE}", f"CREATE DATABASE {TEMPLATE}")
    for url in (_postgresql_url(TEMPLATE), f"sqlite:///{_sqlite_template()}"):
        upgrade(url)


def upgrade(url: str, revision: str = "head") -> None:
    app = app_on(url)
    with app.app_context():
        flask_migrate.upgrade(revision=revision)
    dispose(app)


class GivenSettings(Settings):
    """Settings as they are given, whatever the machine's environment says."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: Any, init_settings: Any, **_others: Any
    ) -> tuple[Any, ...]:
        return (init_settings,)


def app_on(url: str, role: str = "tests", **settings: object) -> Flask:
    """The application on a database; settings come from here alone, not from the machine.

    It has no pages: those cost a tenth of a second. `web_app_on` has.
    """
    return create_app(GivenSettings(sqlalchemy_database_uri=url, **settings), role)


def web_app_on(url: str, **settings: object) -> Flask:
    """The application with all its pages.

    A template is compiled once for all of a run, and hashing a password takes next to no time.
    """
    app = app_on(url, "web", **settings)
    app.jinja_env.bytecode_cache = FileSystemBytecodeCache(str(_compiled_templates()))
    security = app.extensions["security"]
    security.pwd_context = security.pwd_context.using(**CHEAP)
    return app


def _compiled_templates() -> Path:
    there = folder() / "templates"
    there.mkdir(exist_ok=True)
    return there


@contextmanager
def shared_web_apps(**settings: object) -> Iterator[dict[str, Flask]]:
    """One with all its pages per kind, for tests that `empty` it one after the other."""
    limiter.enabled = True  # else it does not join these applications
    with ExitStack() as stack:
        apps = {}
        for kind in KINDS:
            url = stack.enter_context(a_database(kind))
            apps[kind] = app = web_app_on(url, **settings)
            app.testing = True  # a fault of ours is seen, not answered with a page
            stack.callback(dispose, app)
        yield apps


def dispose(app: Flask) -> None:
    """End its connections."""
    with app.app_context():
        db.engine.dispose()


def empty(app: Flask, *more: str) -> None:
    """Remove every row of its database, and those of `more` tables before."""
    statements = [f"DELETE FROM {table}" for table in (*more, *_tables())]
    with app.app_context(), db.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            statements = ["; ".join(statements)]  # all in one go
        for statement in statements:
            connection.exec_driver_sql(statement)


@cache
def _tables() -> list[str]:
    """Those that refer to others first."""
    return [table.name for table in reversed(db.metadata.sorted_tables)]


@contextmanager
def a_database(kind: str) -> Iterator[str]:
    """The URL of a migrated database in which nothing is; gone afterwards, under this name."""
    if kind == "postgresql":
        name = pool().take()
        try:
            yield _postgresql_url(name)
        finally:
            pool().give_back(name)
        return
    with _a_file() as path:
        shutil.copy(_sqlite_template(), path)
        yield f"sqlite:///{path}"


def made_once(kind: str, name: str, fill: Callable[[str], None]) -> str:
    """The URL of a database that whoever is first fills, and all workers only read."""
    done = folder() / f"{name}-{kind}"
    with open(f"{done}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        there = f"{TEMPLATE}_{name}"
        file = done.with_suffix(".db")
        url = _postgresql_url(there) if kind == "postgresql" else f"sqlite:///{file}"
        if not done.exists():
            if kind == "postgresql":
                _admin(f"DROP DATABASE IF EXISTS {there} WITH (FORCE)",
                       f"CREATE DATABASE {there} TEMPLATE {TEMPLATE}")  # fmt: skip
            else:
                shutil.copy(_sqlite_template(), file)
            fill(url)
            done.touch()
    return url


def begun_at() -> datetime:
    """When this run began, to the second: the same in all workers."""
    return datetime.fromtimestamp(int(folder().joinpath("begun").stat().st_mtime), UTC)


def folder() -> Path:
    """What this run keeps in files, for all of its workers; gone with it."""
    return Path(os.environ["NEXTSEAT_TEST_FOLDER"])


@contextmanager
def an_empty_database(kind: str) -> Iterator[str]:
    """The URL of a database without any table."""
    if kind == "postgresql":
        name = pool().make("template1")
        try:
            yield _postgresql_url(name)
        finally:
            pool().drop(name)
        return
    with _a_file() as path:
        yield f"sqlite:///{path}"


@contextmanager
def _a_file() -> Iterator[Path]:
    """Where a database may lie; with what stands beside it, it is gone afterwards."""
    path = folder() / f"test_{uuid4().hex[:12]}.db"
    try:
        yield path
    finally:
        for file in folder().glob(f"{path.name}*"):
            file.unlink()


def pool() -> Pool:
    """PostgreSQL's databases of this process."""
    server = os.environ["NEXTSEAT_TEST_POSTGRESQL"]
    if (found := _pools.get((os.getpid(), server))) is None:
        found = _pools[(os.getpid(), server)] = Pool(server, TEMPLATE)
    return found


def close_pools() -> None:
    """Leave nothing of this process on the server."""
    for (process, _), found in _pools.items():
        if process == os.getpid():
            found.close()
    _pools.clear()


_pools: dict[tuple[int, str], Pool] = {}


def _postgresql_url(name: str) -> str:
    url = sa.make_url(os.environ["NEXTSEAT_TEST_POSTGRESQL"]).set(database=name)
    return url.render_as_string(hide_password=False)


def _sqlite_template() -> Path:
    return folder() / "template.db"


def _admin(*statements: str) -> None:
    engine = sa.create_engine(os.environ["NEXTSEAT_TEST_POSTGRESQL"], isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()
