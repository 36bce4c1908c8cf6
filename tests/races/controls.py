"""Negative controls: the guards of the waitlist, taken out one by one (rulings RC12).

A control must show the harm itself, so whatever would turn harm into an exception goes too: the
CHECK against an oversell, the index by which an invitation ends once. SQLite's slot is its lock;
`plain_engine` has none.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.models import Training, TrainingEnroll
from app.models.engine import database_url
from app.models.enrolment import ENROLLED, INVITED
from app.models.queue import Standing, standing
from app.services import enrolments, invitations, sweep, trainings, transitions, waitlist
from app.services.transitions import ALWAYS, Place
from tests import databases

PAUSE_SECONDS = 0.05  # between check and write: long enough for another to pass


def pause() -> None:
    time.sleep(PAUSE_SECONDS)


# --- taken out of the database -------------------------------------------------------------------


def plain_engine(url: sa.URL, role: str = "plain", threads: int = 8) -> sa.Engine:
    """What everyone writes first: the driver's defaults, no slot, no `BEGIN IMMEDIATE`."""
    if url.get_backend_name() == "postgresql":
        return sa.create_engine(url, pool_size=threads + 2)
    engine = sa.create_engine(url, pool_size=threads + 2, connect_args={"timeout": 20})
    sa.event.listen(
        engine, "connect", lambda raw, _: raw.execute("PRAGMA ignore_check_constraints=1")
    )
    return engine


def plain_app(url: str, **settings: Any) -> Flask:
    """The application on a plain engine."""
    with patch("app.models.engine.make_engine", plain_engine):
        return databases.app_on(url, **settings)


def drop_last_lines(url: str) -> None:
    """Take away what would refuse the harm; SQLite's CHECKs are skipped by `plain_engine`."""
    engine = sa.create_engine(database_url(url))
    with engine.begin() as connection:
        connection.execute(
            sa.text("DROP INDEX IF EXISTS uq_enrolment_history_invitation_ends_once")
        )
        if engine.dialect.name == "postgresql":
            connection.execute(
                sa.text("ALTER TABLE training DROP CONSTRAINT IF EXISTS ck_training_oversold")
            )
    engine.dispose()


# --- taken out of the services -------------------------------------------------------------------


@contextlib.contextmanager
def no_lock() -> Iterator[None]:
    """Every act reads its training, and locks nothing."""

    def unlocked(session: Session, model: Any, id_: int) -> Any:
        return session.get(model, id_, populate_existing=True)

    with contextlib.ExitStack() as stack:
        for module in (enrolments, sweep, trainings, waitlist):
            stack.enter_context(patch.object(module, "locked", unlocked))
        yield


@contextlib.contextmanager
def pause_after_count() -> Iterator[None]:
    """Give others time between counting the free places and taking one."""

    def slow(session: Session, training: Training, now: Any) -> Standing:
        found = standing(session, training, now)
        pause()
        return found

    with _counting(slow):
        yield


@contextlib.contextmanager
def two_counts(between: Callable[[], Any] = pause) -> Iterator[None]:
    """Count the invited, then the enrolled: two statements, two snapshots (STYLE P1)."""

    def twice(session: Session, training: Training, now: Any) -> Standing:
        invited = _count(session, training, INVITED)
        between()
        enrolled = _count(session, training, ENROLLED)
        return replace(standing(session, training, now), taken=invited + enrolled)

    with _counting(twice):
        yield


@contextlib.contextmanager
def _counting(how: Callable[..., Standing]) -> Iterator[None]:
    """Whoever gives a place away counts like this."""
    with patch.object(enrolments, "standing", how), patch.object(waitlist, "standing", how):
        yield


def _count(session: Session, training: Training, status: str) -> int:
    of_training = TrainingEnroll.training_id == training.id
    found = sa.select(sa.func.count()).where(of_training, TrainingEnroll.status == status)
    return session.scalar(found) or 0


@contextlib.contextmanager
def no_status_guard() -> Iterator[None]:
    """Statuses are checked in Python, then written without a WHERE."""
    with (
        patch.object(waitlist, "move", careless_move),
        patch.object(enrolments, "move", careless_move),
        patch.object(invitations, "move_many", careless_move_many),
    ):
        yield


def careless_move(
    session: Session,
    row: Any,
    from_: Any,
    to: Any,
    *,
    where: Any = ALWAYS,
    given: dict[str, Any] | None = None,
    **changes: Any,
) -> bool:
    """`transitions.move` as one would write it at first: look, then set."""
    may = sa.select(TrainingEnroll.id).where(
        TrainingEnroll.id == row.id, TrainingEnroll.status == from_, where
    )
    if session.scalar(may, given) is None:
        session.refresh(row)
        return False
    pause()
    session.execute(
        sa.update(TrainingEnroll).where(TrainingEnroll.id == row.id).values(status=to, **changes)
    )
    session.refresh(row)
    return True


def careless_move_many(
    session: Session, ids: Any, from_: Any, to: Any, *, where: Any = ALWAYS, **changes: Any
) -> list[Place]:
    rows = [session.get_one(TrainingEnroll, id_) for id_ in ids]
    moved = [r for r in rows if careless_move(session, r, from_, to, where=where, **changes)]
    return [transitions.place_of(row) for row in moved]
