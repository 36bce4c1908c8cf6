"""What a benchmark case is, and how it is told."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from flask import Flask

from tests import databases


@dataclass(frozen=True)
class Case:
    """One row of the report; `baseline` is the ordinary way, where there is one."""

    name: str
    db: str
    n: int
    ours: float
    baseline: float | None
    unit: str
    target: str
    met: bool

    @property
    def ratio(self) -> float | None:
        return self.baseline / self.ours if self.baseline else None

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": self.ratio}

    def as_line(self) -> str:
        there = f"{self.baseline:10.1f}" if self.baseline else " " * 10
        ratio = f"{self.ratio:7.0f}x" if self.ratio else " " * 8
        told = "met" if self.met else "NOT MET"
        return (
            f"{self.name:20} {self.db:10} {self.n:>7} {self.ours:10.1f} {there} {ratio}"
            f" {self.unit:5} {self.target:28} {told}"
        )


HEAD = (
    f"{'case':20} {'database':10} {'n':>7} {'ours':>10} {'ordinary':>10} {'ratio':>8}"
    f" {'unit':5} {'target':28}"
)


def report(cases: list[Case], path: str | None) -> None:
    if path:
        with open(path, "w", encoding="utf-8") as file:
            json.dump([case.as_json() for case in cases], file, indent=1)


@contextmanager
def an_app(db: str, role: str = "tests", **settings: Any) -> Iterator[Flask]:
    """The application on a fresh database of that kind; `role` decides how many connections."""
    with databases.a_database(db) as url:
        app = databases.app_on(url, role, **settings)
        yield app
        databases.dispose(app)


def url_of(app: Flask) -> str:
    """The address of its database."""
    url: sa.URL = app.config["SQLALCHEMY_DATABASE_URI"]
    return url.render_as_string(hide_password=False)


def median_ms(act: Callable[[], object], runs: int = 3) -> float:
    """How long `act` takes, in milliseconds: the median of some runs."""
    took = []
    for _ in range(runs):
        began = time.perf_counter()
        act()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


@contextmanager
def counted(engine: sa.Engine) -> Iterator[list[str]]:
    """The statements sent meanwhile, without PRAGMA (rulings RC11)."""
    sent: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("PRAGMA"):
            sent.append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
