"""Fixtures: a session that ends in a rollback, and databases of one's own where tests commit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from app.extensions import db
from tests import databases
from tests.cast import Cast


@pytest.fixture(params=databases.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which database; whatever touches data runs on both."""
    request.node.user_properties.append(("database", request.param))
    return str(request.param)


@pytest.fixture(scope="session")
def shared_apps() -> Iterator[dict[str, Flask]]:
    """One application per kind on a database that nobody commits to."""
    with contextlib.ExitStack() as stack:
        yield {
            kind: databases.app_on(stack.enter_context(databases.a_database(kind)))
            for kind in databases.KINDS
        }


@pytest.fixture
def session(kind: str, shared_apps: dict[str, Flask]) -> Iterator[Session]:
    """A session whose work is rolled back: services never commit."""
    with shared_apps[kind].app_context():
        yield db.session()
        db.session.rollback()


@pytest.fixture
def cast(session: Session) -> Cast:
    """The practice, its people and their training, in a session that ends in a rollback."""
    return Cast(session)


@pytest.fixture
def url(kind: str) -> Iterator[str]:
    """A database of one's own, for tests that commit, race or run commands."""
    with databases.a_database(kind) as url:
        yield url


@pytest.fixture
def app(url: str) -> Iterator[Flask]:
    """The application on a database of one's own."""
    app = databases.app_on(url)
    yield app
    with app.app_context():
        db.engine.dispose()
