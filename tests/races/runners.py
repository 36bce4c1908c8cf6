"""Putting two at once: threads that start together, each act a write unit of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.extensions import db, unit
from app.models import Training, TrainingEnroll
from app.models.enrolment import TAKING
from app.ops import invariants
from app.services import trainings
from tests.cast import NOON, REASON, Cast

T = TypeVar("T")
Act = Callable[[Session, int], Any]  # with an id, usually of an enrolment


def run(app: Flask, act: Callable[[Session], T]) -> T:
    """One write unit, committed, in a context of its own."""
    with app.app_context():
        return unit(db.session, lambda: act(db.session()))


def together(app: Flask, ids: Sequence[int], *acts: Act) -> list[tuple[Any, ...]]:
    """For each id all `acts` at once, a thread each; what each of them said, id by id."""
    start = threading.Barrier(len(acts), timeout=60)

    def rounds(act: Act) -> list[Any]:
        said = []
        for id_ in ids:
            start.wait()
            said.append(run(app, lambda session, id_=id_: act(session, id_)))
        return said

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(zip(*pool.map(rounds, acts), strict=True))


def crowd(app: Flask, ids: Sequence[int], act: Act, threads: int = 16) -> list[Any]:
    """`act` for every id, `threads` at a time; what each said."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda id_: run(app, lambda s: act(s, id_)), ids))


def in_another_thread(act: Callable[[], Any]) -> None:
    """Somebody else acts, to the end; what they raise is raised."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(act).result()


@contextmanager
def committed(app: Flask) -> Iterator[Cast]:
    """The cast in a session that commits what the block has set up."""
    with app.app_context():
        yield Cast(db.session())
        db.session.commit()


def invited(app: Flask, count: int) -> list[int]:
    """A training with `count` open invitations, made at noon: the ids of its enrolments."""
    with committed(app) as cast:
        workshop = cast.training("Workshop", places=0)
        rows = [cast.enrol(f"Student {n}", training=workshop) for n in range(count)]
        trainings.set_capacity(cast.session, workshop.id, count, cast.max, NOON, reason=REASON)
        return [row.id for row in rows]


def violations(app: Flask, now: Any = NOON) -> list[str]:
    """What the checker of the invariants finds."""
    with app.app_context():
        return [str(found) for found in invariants.check(db.session(), now)]


def oversold(session: Session) -> int:
    """How many seats are taken beyond the places, where nobody allowed any; counted, not read."""
    taken = (
        sa.select(sa.func.count())
        .where(TrainingEnroll.training_id == Training.id, TrainingEnroll.status.in_(TAKING))
        .scalar_subquery()
    )
    rows = session.execute(sa.select(taken, Training.max_participants))
    return sum(max(0, count - places) for count, places in rows)
