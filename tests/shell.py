"""A shell on a database of one's own: what operators type, and what is there afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from click.testing import Result
from flask import Flask

from app.extensions import db, utcnow, write
from tests.cast import DAY, HOUR, Cast


class Shell:
    """`shell("waitlist", "show", "Bread")`. The cast lives now: commands read the clock."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.now = utcnow()

    def __call__(self, *args: str, input: str | None = None) -> Result:
        return self.app.test_cli_runner().invoke(args=args, input=input)

    @contextmanager
    def cast(self) -> Iterator[Cast]:
        """The cast in one committed unit; their training is Bread, in thirty days."""
        with self.app.app_context(), write(db.session):
            cast = Cast(db.session())
            cast.pottery = cast.training("Bread", 1, start=self.now + 30 * DAY)
            yield cast

    def line(self, *names: str) -> list[str]:
        """Ada has the place of Bread, these queue behind her; their uuids."""
        with self.cast() as cast:
            rows = cast.enrol_all("Ada", *names, now=self.now - 60 * HOUR)
            return [row.uuid for row in rows[1:]]

    def overdue(self, *names: str) -> list[str]:
        """As `line`, but Ada left, the first was invited, and did not answer in 48 hours."""
        with self.cast() as cast:
            rows = cast.enrol_all("Ada", *names, now=self.now - 60 * HOUR)
            cast.leave(rows[0], self.now - 59 * HOUR)
            return [row.uuid for row in rows[1:]]

    def rows(self, model: Any, *columns: Any) -> list[Any]:
        """What is in a table now."""
        with self.app.app_context():
            return list(db.session.execute(sa.select(*columns).order_by(model.id)))

    def everything(self) -> dict[str, list[Any]]:
        """All tables, to see that nothing was written."""
        with self.app.app_context():
            return {
                table.name: sorted(db.session.execute(sa.select(table)).all(), key=repr)
                for table in db.metadata.sorted_tables
            }
