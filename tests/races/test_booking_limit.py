"""One student joins two trainings at once, and may have one of them (waitlist WP2)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.models import TrainingEnroll
from app.models.enrolment import TAKING
from app.services import enrolments, policies
from app.services.actors import LINK
from app.services.policies import LimitReached
from tests.cast import NOON
from tests.races import controls
from tests.races.runners import committed, run, together, violations
from tests.rules import kind_of_training, limit, of_type


def scene(app: Flask) -> tuple[int, int, int]:
    """Ada, and two free trainings of a type of which one may have one."""
    with committed(app) as cast:
        type_ = kind_of_training(cast)
        limit(cast, type_, max=1)
        first, second = (of_type(cast, cast.training(name, 9), type_) for name in ("One", "Two"))
        return int(cast.student("Ada").id), first.id, second.id


def joins(training_id: int) -> Callable[[Session, int], str]:
    def join(session: Session, student_id: int) -> str:
        try:
            enrolments.enrol(session, training_id, student_id, LINK, NOON, terms=True)
        except LimitReached:
            return "refused"
        return "in"

    return join


def places(session: Session) -> int:
    mine = sa.select(sa.func.count()).select_from(TrainingEnroll)
    return session.scalar(mine.where(TrainingEnroll.status.in_(TAKING))) or 0


def test_of_two_trainings_joined_at_once_one_is_had(app: Flask) -> None:
    ada, first, second = scene(app)
    for _ in range(10):
        (said,) = together(app, [ada], joins(first), joins(second))
        assert sorted(said) == ["in", "refused"]
        assert run(app, places) == 1
        run(app, give_all_back)
    assert violations(app) == []


def give_all_back(session: Session) -> None:
    mine = sa.select(TrainingEnroll).where(TrainingEnroll.status.in_(TAKING))
    for row in session.scalars(mine).all():
        enrolments.deroll(session, row, LINK, NOON)


def test_joins_and_derolls_of_one_student_wait_for_each_other_and_end(app: Flask) -> None:
    """Both ways round, so that a wrong order of locks would deadlock."""
    ada, first, second = scene(app)
    acts = [joins(first), joins(second), joins(second), joins(first)]
    for said in together(app, [ada] * 8, *acts):
        assert "in" in said
        assert run(app, places) == 1


@contextmanager
def shared_student(together_at: threading.Barrier) -> Iterator[None]:
    """The student is only shared, and both have looked before either takes a place."""
    too_many = policies.too_many

    def both_look(*asked: Any) -> Any:
        found = too_many(*asked)
        together_at.wait()
        return found

    with (
        patch.object(enrolments, "_the_applicant_alone", enrolments._the_applicant),
        patch.object(policies, "too_many", both_look),
    ):
        yield


def test_if_the_student_is_only_shared_both_are_had(url: str) -> None:
    """The control: on a plain engine, since SQLite's slot is a lock too."""
    app = controls.plain_app(url)
    ada, first, second = scene(app)
    with shared_student(threading.Barrier(2, timeout=30)), ThreadPoolExecutor(2) as pool:
        said = [
            pool.submit(run, app, lambda session, join=join: join(session, ada))
            for join in (joins(first), joins(second))
        ]
        assert [one.result() for one in said] == ["in", "in"]
    assert run(app, places) == 2
