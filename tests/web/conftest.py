"""Fixtures for pages: one application per kind whose rows are removed after each test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.extensions import db
from app.limits import limiter
from tests import databases
from tests.cast import Cast
from tests.web.browsing import Client, client_of


@pytest.fixture(scope="session")
def shared_web_apps() -> Iterator[dict[str, Flask]]:
    """One application per kind on a database that these tests share, one after the other."""
    limiter.enabled = True  # else it does not join these applications
    with contextlib.ExitStack() as stack:
        apps = {}
        for kind in databases.KINDS:
            url = stack.enter_context(databases.a_database(kind))
            apps[kind] = app = databases.web_app_on(url, public_base_url="https://localhost")
            app.testing = True  # a fault of ours is seen, not answered with a page
            app.config["PREFERRED_URL_SCHEME"] = "https"
            stack.callback(_dispose, app)
        yield apps


def _dispose(app: Flask) -> None:
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def web_app(kind: str, shared_web_apps: dict[str, Flask]) -> Iterator[Flask]:
    """The application with an empty database; tries are counted only where a test says so."""
    app = shared_web_apps[kind]
    app.extensions["limiter"].copy().pop().enabled = False
    yield app
    app.testing = True
    with app.app_context(), db.engine.begin() as connection:
        for table in reversed(db.metadata.sorted_tables):
            connection.execute(sa.delete(table))


@pytest.fixture
def stage(web_app: Flask) -> Iterator[Session]:
    """The test's own session: what it writes is committed before the client's next request."""
    with web_app.app_context():
        engine = db.engine
    with Session(engine, info={"rules": web_app.extensions["rules"]}) as session:
        yield session


@pytest.fixture
def cast(stage: Session) -> Cast:
    """The practice, its people and their training, on the stage."""
    return Cast(stage)


@pytest.fixture
def client(web_app: Flask, cast: Cast) -> Client:
    """A visitor of the cast's practice; `sign_in(client, …)` makes it somebody."""
    return client_of(web_app, cast.session)


@pytest.fixture
def office(cast: Cast) -> str:
    """The address of Orla, an administrator of the cast's practice."""
    return cast.administrator("Orla").email


@pytest.fixture
def cheap(web_app: Flask) -> Iterator[None]:
    """Passwords are hashed as cheaply as argon2 allows."""
    security = web_app.extensions["security"]
    strong = security.pwd_context
    low = {"argon2__memory_cost": 8, "argon2__time_cost": 1, "argon2__parallelism": 1}
    security.pwd_context = strong.using(**low)
    yield
    security.pwd_context = strong


@pytest.fixture
def counting(web_app: Flask) -> Iterator[None]:
    """Tries are counted."""
    (limiter,) = web_app.extensions["limiter"]
    limiter.enabled = True
    limiter.reset()
    yield
    limiter.reset()
    limiter.enabled = False
