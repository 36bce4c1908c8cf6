"""The oracle catches a broken waitlist: mutants of the services (TM2, rulings RD3, RC12).

Each mutant replays what the untouched services replay without a fault, on the same demand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from flask import Flask

from app.extensions import db
from app.ops.demand import Demand, generate
from app.ops.replay import Figures, run
from tests import databases
from tests.races import controls, mutants


def now_and_then(demand: Demand) -> Demand:
    """Only each seventh change: a day or more between two sweeps, so that answers come between."""
    return Demand(demand.sections, demand.changes[::7], demand.zone)


TWO_WEEKS = now_and_then(generate(1, sections=2, days=14))
# Booking opens: more people at once than there are places.
A_RUSH = Demand(generate(2, 3).sections, generate(2, 3).changes[:3])


def replayed(app: Flask, demand: Demand, clients: int = 1) -> Figures:
    figures = run(app, demand, clients=clients)
    with app.app_context():
        db.engine.dispose()
    return figures


def faults(figures: Figures) -> dict[str, int]:
    names = ("oversold", "fifo_violations", "idle_spots", "history_gaps")
    return {name: n for name in names if (n := getattr(figures, name))}


def test_untouched_services_keep_every_promise(app: Flask) -> None:
    figures = replayed(app, TWO_WEEKS)
    assert faults(figures) == {}
    assert min(figures.accepted, figures.expired, figures.too_late, figures.waiting) > 0


@pytest.mark.parametrize(
    ("mutant", "breaks"),
    [
        (mutants.last_in_first_out, "fifo_violations"),
        (mutants.no_refill, "idle_spots"),
        (mutants.no_deadline, "fifo_violations"),
    ],
)
def test_a_mutant_is_caught(
    app: Flask, mutant: Callable[[], AbstractContextManager[object]], breaks: str
) -> None:
    with mutant():
        assert list(faults(replayed(app, TWO_WEEKS))) == [breaks]


@contextmanager
def nothing_but_the_lock(url: str) -> Iterator[Flask]:
    """The last line of defence is gone, the lock is there; between count and write is time."""
    controls.drop_last_lines(url)
    with controls.pause_after_count():
        yield databases.app_on(url)


@contextmanager
def no_lock(url: str) -> Iterator[Flask]:
    """Nothing is locked; on SQLite there is no slot either, since the slot is the lock."""
    controls.drop_last_lines(url)
    with controls.no_lock(), controls.pause_after_count():
        yield controls.plain_app(url)


def test_many_at_once_are_let_in_one_by_one(url: str) -> None:
    with nothing_but_the_lock(url) as app:
        figures = replayed(app, A_RUSH, clients=4)
    assert faults(figures) == {}
    assert figures.waiting > 0


def test_without_the_lock_many_at_once_are_oversold_or_passed(url: str) -> None:
    with no_lock(url) as app:
        found = faults(replayed(app, A_RUSH, clients=4))
    assert found.get("oversold", 0) + found.get("fifo_violations", 0) > 0
