"""Fixtures for pages: one application per kind whose rows are removed after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from app.extensions import db
from tests import databases
from tests.cast import Cast
from tests.web.browsing import Client, client_of


@pytest.fixture(scope="session")
def shared_web_apps() -> Iterator[dict[str, Flask]]:
    """One application per kind on a database that these tests share, one after the other."""
    with databases.shared_web_apps(public_base_url="https://localhost") as apps:
        for app in apps.values():
            app.config["PREFERRED_URL_SCHEME"] = "https"
        yield apps


@pytest.fixture
def web_app(kind: str, shared_web_apps: dict[str, Flask]) -> Iterator[Flask]:
    """The application with an empty database; tries are counted only where a test says so."""
    app = shared_web_apps[kind]
    app.extensions["limiter"].copy().pop().enabled = False
    yield app
    app.testing = True
    databases.empty(app)


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
def strong(web_app: Flask) -> Iterator[None]:
    """From here on passwords are hashed as in earnest."""
    security = web_app.extensions["security"]
    cheap = security.pwd_context
    security.pwd_context = cheap.using(**web_app.config["SECURITY_PASSWORD_HASH_PASSLIB_OPTIONS"])
    yield
    security.pwd_context = cheap


@pytest.fixture
def counting(web_app: Flask) -> Iterator[None]:
    """Tries are counted."""
    (limiter,) = web_app.extensions["limiter"]
    limiter.enabled = True
    limiter.reset()
    yield
    limiter.reset()
    limiter.enabled = False
