"""Two answers to one invitation, and acts that want two trainings (reliability F2, F3, F12)."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.extensions import db
from app.models import EnrolmentHistory, Training, TrainingEnroll
from app.models.engine import is_deadlock
from app.services import students, trainings, waitlist
from app.services.actors import LINK, SYSTEM
from app.services.locks import locked, locked_trainings
from app.services.waitlist import Answer
from tests import databases
from tests.cast import DEADLINE, NOON, SECOND
from tests.races import controls
from tests.races.runners import committed, invited, run, together, violations

ROUNDS = 40


def accept(session: Session, id_: int) -> Answer:
    enrolment = session.get_one(TrainingEnroll, id_)
    return waitlist.accept(session, enrolment, LINK, DEADLINE - SECOND)


def decline(session: Session, id_: int) -> Answer:
    enrolment = session.get_one(TrainingEnroll, id_)
    return waitlist.decline(session, enrolment, LINK, DEADLINE - SECOND)


def expire(session: Session, id_: int) -> bool:
    return waitlist.expire(session, session.get_one(TrainingEnroll, id_), SYSTEM, DEADLINE)


def ends(app: Flask) -> collections.Counter[int]:
    """How often each number of endings was written down for one invitation."""
    h = EnrolmentHistory
    count = (
        sa.select(sa.func.count())
        .where(h.from_status == "waitlist-invited", h.to_status != "waitlist-invited")
        .group_by(h.enrolment_id, h.invite_no)
    )
    return collections.Counter(run(app, lambda session: session.scalars(count).all()))


RACES = {
    "accept and expire": (
        (accept, expire),
        {(Answer.ENROLLED, False), (Answer.TOO_LATE, True)},
    ),
    "accept and decline": (
        (accept, decline),
        {(Answer.ENROLLED, Answer.ALREADY_ENROLLED), (Answer.ALREADY_DECLINED, Answer.DECLINED)},
    ),
    "two accepts": (
        (accept, accept),
        {(Answer.ENROLLED, Answer.ALREADY_ENROLLED), (Answer.ALREADY_ENROLLED, Answer.ENROLLED)},
    ),
}


@pytest.mark.parametrize("race", RACES)
def test_of_two_answers_one_counts_and_the_other_is_told(app: Flask, race: str) -> None:
    acts, outcomes = RACES[race]
    said = together(app, invited(app, ROUNDS), *acts)
    assert set(said) <= outcomes
    assert ends(app) == {1: ROUNDS}
    assert violations(app, DEADLINE) == []


@pytest.mark.parametrize("race", RACES)
def test_without_lock_and_guard_one_invitation_ends_twice(url: str, race: str) -> None:
    controls.drop_last_lines(url)
    app = controls.plain_app(url)
    ids = invited(app, 12)
    with controls.no_lock(), controls.no_status_guard():
        together(app, ids, *RACES[race][0])
    assert ends(app)[2] > 0
    assert any(found.startswith("I2") for found in violations(app, DEADLINE))


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("race", RACES)
def test_of_a_thousand_pairs_of_answers_one_each_counts(app: Flask, race: str) -> None:
    acts, outcomes = RACES[race]
    said = together(app, invited(app, 1000), *acts)
    assert set(said) <= outcomes
    assert violations(app, DEADLINE) == []


# --- two trainings -------------------------------------------------------------------------------


def two_trainings(app: Flask, people: int) -> tuple[list[int], list[int], list[int]]:
    """Trainings A and B; who is invited in either; two students who wait in both."""
    with committed(app) as cast:
        both = [cast.training("A", 0), cast.training("B", 0)]
        rows = [cast.enrol(f"Student {n}", training=t) for t in both for n in range(people)]
        for name in ("Zoe", "Yves"):
            for training in both:
                cast.enrol(name, training=training)
        for training in both:
            trainings.set_capacity(cast.session, training.id, people, cast.max, NOON)
        pair = [cast.student(name).id for name in ("Zoe", "Yves")]
        return [t.id for t in both], [row.id for row in rows], pair


def test_bulk_acts_over_two_trainings_never_deadlock_with_people_who_accept(app: Flask) -> None:
    both, invitations, pair = two_trainings(app, 10)
    orders = {0: both, 1: both[::-1]}

    def fill(order: int) -> Any:
        def act(session: Session, _: int) -> None:
            for training in locked_trainings(session, orders[order]):
                waitlist.fill_open_spots(session, training.id, NOON)

        return act

    def off_and_on(who: int) -> Any:
        def act(session: Session, _: int) -> None:
            student = session.get_one(students.Student, pair[who])
            students.deactivate(session, student, SYSTEM, NOON)
            students.activate(session, student, SYSTEM, NOON)

        return act

    with failing_on_deadlock():
        together(app, invitations, fill(0), fill(1), off_and_on(0), off_and_on(1), accept)
    assert ends(app) == {1: len(invitations)}
    assert violations(app) == []


@contextlib.contextmanager
def failing_on_deadlock() -> Iterator[None]:
    """A unit that runs once only: a deadlock would be seen, not repeated away."""
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr("app.models.engine.is_deadlock", lambda error: False)
        yield


def in_this_order(app: Flask, ids: Sequence[int], met: threading.Barrier) -> Exception | None:
    """Lock trainings as they come, waiting for the other one in between."""
    try:
        with app.app_context():
            locked(db.session(), Training, ids[0])
            met.wait()
            locked(db.session(), Training, ids[1])
            db.session.rollback()
    except sa.exc.OperationalError as error:
        return error
    return None


def test_locked_in_the_order_given_two_trainings_deadlock(
    request: pytest.FixtureRequest,
) -> None:
    """On PostgreSQL alone: SQLite has one slot for all, so nobody holds half of what they need."""
    request.node.user_properties.append(("database", "postgresql"))
    with databases.a_database("postgresql") as url:
        app = databases.app_on(url)
        both, _, _ = two_trainings(app, 1)
        met = threading.Barrier(2, timeout=20)
        said = together(
            app,
            [0],
            lambda session, _: in_this_order(app, both, met),
            lambda session, _: in_this_order(app, both[::-1], met),
        )
        with app.app_context():
            db.engine.dispose()
    assert sum(error is not None and is_deadlock(error) for error in said[0]) == 1
