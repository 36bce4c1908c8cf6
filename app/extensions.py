"""What all floors share: the database object, the clock, the write unit. Instances only."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from flask import current_app, has_app_context
from flask_babel import Babel
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session as FlaskSession
from flask_wtf import CSRFProtect
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.orm import DeclarativeBase, Session, scoped_session

T = TypeVar("T")


class Base(DeclarativeBase):
    """Constraints get conventional names, so that migrations find them (libraries D2)."""

    metadata = sa.MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        }
    )


class UnitSession(FlaskSession):
    """A session that carries the waitlist's rules and, in a GET, a database that refuses writes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if has_app_context() and "rules" in current_app.extensions:
            self.info.setdefault("rules", current_app.extensions["rules"])

    def get_bind(self, *args: Any, **asked: Any) -> Engine | Connection:
        """The one engine there is, found once; in a GET the one that only reads."""
        if asked.get("bind") is not None:
            return super().get_bind(*args, **asked)
        if self.info.get("read"):
            from app.models.engine import reading  # models import this module

            return reading(self._engine)
        return self._engine

    @cached_property
    def _engine(self) -> Engine:
        return self._db.engine


class Database(SQLAlchemy):
    """Flask-SQLAlchemy over the one engine factory (reliability DB1)."""

    def _make_engine(self, bind_key: str | None, options: dict[str, Any], app: Any) -> Engine:
        from app.models.engine import make_engine

        url: URL = sa.make_url(options["url"])
        return make_engine(url, app.config.get("ROLE", "web"), app.config.get("THREADS", 8))


db = Database(model_class=Base, session_options={"class_": UnitSession})
migrate = Migrate()
babel = Babel()
csrf = CSRFProtect()  # the one mechanism against forged requests (libraries T14)

if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model  # `class Training(Model)`: mypy knows it


def utcnow() -> datetime:
    """The clock, aware UTC: read once per request, job or tick by the top floor (L9)."""
    return datetime.now(UTC)


@contextmanager
def write(session: Session | scoped_session[Any]) -> Iterator[None]:
    """One write unit: all of the block is committed, or nothing (rulings RC1)."""
    try:
        yield
        session.commit()
    except BaseException:
        session.rollback()
        raise


def unit(session: Session | scoped_session[Any], act: Callable[[], T], tries: int = 3) -> T:
    """Run `act` as one write unit, the whole of it again after a deadlock (reliability DB5)."""
    from app.models.engine import is_deadlock

    for left in reversed(range(tries)):
        try:
            with write(session):
                return act()
        except sa.exc.DBAPIError as error:
            if not (left and is_deadlock(error)):
                raise
        time.sleep(random.uniform(0.01, 0.1))  # noqa: S311  jitter, no secret
    raise AssertionError("the last try returns or raises")
