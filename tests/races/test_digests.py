"""Two digests for one trainer at once: one of them tells what happened (waitlist WN15)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.models import Outbox, TrainerLetters, TrainingTrainer, UserSettings
from app.models.types import new_uuid
from app.services import digests, enrolments
from app.services.actors import LINK
from tests.cast import NOON
from tests.races import controls
from tests.races.runners import committed, run, together, violations

ROUNDS = 8


def scene(app: Flask, count: int) -> tuple[int, int, list[int]]:
    """Tess, who wants digests, a training with room for all, and students: their ids."""
    with committed(app) as cast:
        cast.add(UserSettings(user_id=cast.tess.user_id, trainer_letters=TrainerLetters.DIGEST))
        cast.pottery.max_participants = 99
        students = [int(cast.student(f"Student {n}").id) for n in range(count)]
        return cast.tess.id, cast.pottery.id, students


def tells(session: Session, trainer_id: int) -> bool:
    return digests.tell(session, trainer_id, new_uuid(), NOON)


def joins(session: Session, training_id: int, student_id: int) -> None:
    enrolments.enrol(session, training_id, student_id, LINK, NOON, terms=True)


def numbers_told(session: Session) -> list[int]:
    """What all digests told of, number by number."""
    rows = session.scalars(sa.select(Outbox.payload).where(Outbox.kind == "trainer_digest"))
    return sorted(n for payload in rows for some in payload["news"].values() for n in some)


def test_of_two_digests_at_once_one_tells_it(app: Flask) -> None:
    tess, pottery, students = scene(app, ROUNDS)
    for student in students:
        run(app, lambda session, student=student: joins(session, pottery, student))
        (said,) = together(app, [tess], tells, tells)
        assert sorted(said) == [False, True]
    assert run(app, numbers_told) == list(range(1, ROUNDS + 1))


def test_whatever_happens_while_digests_are_written_is_told_once(app: Flask) -> None:
    """Somebody joins, and two digests look, again and again: in the end each number was told."""
    tess, pottery, students = scene(app, ROUNDS)

    def join(session: Session, student_id: int) -> None:
        joins(session, pottery, student_id)

    def tell(session: Session, _student_id: int) -> bool:
        return tells(session, tess)

    together(app, students, join, tell, tell)
    run(app, lambda session: tells(session, tess))
    assert run(app, numbers_told) == list(range(1, ROUNDS + 1))
    told = sa.select(TrainingTrainer.told_seq)
    assert run(app, lambda session: session.scalar(told)) == ROUNDS
    assert violations(app) == []


@contextmanager
def unlocked(together_at: threading.Barrier) -> Iterator[None]:
    """Nobody locks the trainer, and both have looked before either writes."""
    look = digests._digests

    def both_look(*asked: Any) -> Iterator[Any]:
        found = list(look(*asked))
        together_at.wait()
        return iter(found)

    with (
        patch.object(digests, "locked", lambda session, model, id_: session.get(model, id_)),
        patch.object(digests, "_digests", both_look),
    ):
        yield


def test_without_the_lock_both_tell_it(url: str) -> None:
    """The control: on a plain engine, since SQLite's slot is a lock too."""
    app = controls.plain_app(url)
    tess, pottery, students = scene(app, 1)
    run(app, lambda session: joins(session, pottery, students[0]))
    with unlocked(threading.Barrier(2, timeout=30)), ThreadPoolExecutor(2) as pool:
        said = [pool.submit(run, app, lambda session: tells(session, tess)) for _ in range(2)]
        assert [one.result() for one in said] == [True, True]
    assert run(app, numbers_told) == [1, 1]
