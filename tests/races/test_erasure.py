"""Erased while being enrolled: whoever is forgotten is in nothing (waitlist WT7, I17)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.models import Student, TrainingEnroll, User
from app.services import enrolments, students
from app.services.actors import CONSOLE
from tests.cast import NOON, Cast
from tests.races import controls
from tests.races.runners import committed, run, violations

LONG_SECONDS = 0.5  # between reading the student and taking the place: enough to erase a person


def enrolled_while_erased(app: Flask, also_elsewhere: bool) -> tuple[bool, list[str]]:
    """Whether Ben is erased in the end, and his enrolments."""
    with committed(app) as cast:
        ben, pottery = _ben(cast, also_elsewhere), cast.pottery.id
    read, erased = threading.Event(), threading.Event()
    require_bookable = enrolments._require_bookable

    def slowly(*asked: Any) -> None:
        read.set()
        erased.wait(LONG_SECONDS)
        require_bookable(*asked)

    def enrol(session: Session) -> None:
        enrolments.enrol(session, pottery, ben, CONSOLE, NOON)

    def erase(session: Session) -> None:
        students.erase(session, session.get_one(Student, ben), CONSOLE, NOON)

    with patch.object(enrolments, "_require_bookable", slowly), ThreadPoolExecutor(2) as pool:
        enrolling = pool.submit(run, app, enrol)
        assert read.wait(10)
        erasing = pool.submit(run, app, erase)
        erasing.add_done_callback(lambda _: erased.set())
        erasing.result()
        enrolling.result()
    return run(app, lambda session: _what_became_of(session, ben))


def _ben(cast: Cast, also_elsewhere: bool) -> int:
    if also_elsewhere:
        cast.enrol("Ben", training=cast.training("Weaving"))
    return int(cast.student("Ben").id)


def _what_became_of(session: Session, student_id: int) -> tuple[bool, list[str]]:
    mine = sa.select(TrainingEnroll.status).where(TrainingEnroll.student_id == student_id)
    erased_at = sa.select(User.erased_at).join(Student).where(Student.id == student_id)
    return session.scalar(erased_at) is not None, [str(status) for status in session.scalars(mine)]


@pytest.mark.parametrize("also_elsewhere", [False, True])
def test_whoever_is_enrolled_while_erased_is_out_again(app: Flask, also_elsewhere: bool) -> None:
    places = 2 if also_elsewhere else 1
    assert enrolled_while_erased(app, also_elsewhere) == (True, places * ["derolled"])
    assert violations(app) == []


@contextmanager
def nobody_shares_the_student() -> Iterator[None]:
    """Enrolling reads the student without a lock."""
    unlocked = enrolments._the_applicant()._generate()
    unlocked._for_update_arg = None
    with patch.object(enrolments, "_the_applicant", lambda: unlocked):
        yield


def test_without_the_lock_an_erased_person_is_enrolled(url: str) -> None:
    app = controls.plain_app(url)
    with nobody_shares_the_student():
        assert enrolled_while_erased(app, False) == (True, ["enrolled"])
