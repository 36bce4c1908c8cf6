"""GET, HEAD and OPTIONS change nothing: the database itself refuses (L10, rulings RC1)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.exc import DBAPIError

from app import create_app
from app.extensions import csrf, db, write
from app.models import Practice
from tests import databases


@pytest.fixture
def app_that_writes(url: str) -> Iterator[Flask]:
    """An application with one view that writes, whatever the method."""
    app = create_app(databases.GivenSettings(sqlalchemy_database_uri=url))
    app.testing = True

    @app.route("/writes", methods=["GET", "POST"])
    @csrf.exempt
    def writes() -> str:
        with write(db.session):
            db.session.add(Practice(name="Clay & Co", shortname="clay"))
        return "written"

    yield app
    with app.app_context():
        db.engine.dispose()


def count(app: Flask) -> int:
    with app.app_context():
        return db.session.scalar(sa.select(sa.func.count()).select_from(Practice)) or 0


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_get_that_writes_is_refused_by_the_database(app_that_writes: Flask, method: str) -> None:
    with pytest.raises(DBAPIError, match=r"read-?only"):
        app_that_writes.test_client().open("/writes", method=method)
    assert count(app_that_writes) == 0


def test_the_same_as_a_post_is_written(app_that_writes: Flask) -> None:
    client = app_that_writes.test_client()
    with pytest.raises(DBAPIError):
        client.get("/writes")
    assert client.post("/writes").status_code == 200
    assert count(app_that_writes) == 1


def test_a_session_that_outlives_its_request_may_write_again(app_that_writes: Flask) -> None:
    with app_that_writes.app_context():
        app_that_writes.test_client().get("/healthz")
        with write(db.session):
            db.session.add(Practice(name="Clay & Co", shortname="clay"))
    assert count(app_that_writes) == 1
