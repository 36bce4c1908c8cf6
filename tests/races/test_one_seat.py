"""One place and everybody wants it; two refills and one place (reliability F1, F4, F5)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.models import TrainingEnroll
from app.models.enrolment import DEROLLED, ENROLLED, INVITED, WAITLIST
from app.services import enrolments, sweep, waitlist
from app.services.actors import LINK
from tests.cast import NOON
from tests.databases import app_on
from tests.races import controls
from tests.races.runners import (
    committed,
    crowd,
    in_another_thread,
    oversold,
    run,
    together,
    violations,
)


def pottery(app: Flask, people: int, places: int = 1) -> tuple[int, list[int]]:
    """A training, and the ids of so many students who want it."""
    with committed(app) as cast:
        cast.pottery.max_participants = places
        students = [cast.student(f"Student {n}").id for n in range(people)]
        return cast.pottery.id, students


def enrol_all(app: Flask, training_id: int, students: Sequence[int], threads: int = 16) -> None:
    def enrol(session: Session, who: int) -> None:
        enrolments.enrol(session, training_id, who, LINK, NOON, terms=True)

    crowd(app, students, enrol, threads)


def line(session: Session) -> dict[str, list[int | None]]:
    """Status -> the positions of those who have it, in order."""
    rows = session.execute(
        sa.select(TrainingEnroll.status, TrainingEnroll.queue_position).order_by(
            TrainingEnroll.queue_position
        )
    )
    found: dict[str, list[int | None]] = {}
    for status, position in rows:
        found.setdefault(str(status), []).append(position)
    return found


def test_of_100_who_want_one_place_one_gets_it_and_the_rest_queue(url: str) -> None:
    app = app_on(url, web_threads=16)
    training_id, students = pottery(app, 100)
    enrol_all(app, training_id, students)
    assert run(app, line) == {ENROLLED: [None], WAITLIST: list(range(1, 100))}
    assert violations(app) == []


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_of_1000_who_want_one_place_one_gets_it_and_the_rest_queue(url: str) -> None:
    app = app_on(url, web_threads=32)
    training_id, students = pottery(app, 1000)
    enrol_all(app, training_id, students)
    assert run(app, line) == {ENROLLED: [None], WAITLIST: list(range(1, 1000))}
    assert violations(app) == []


def _in_a_process(url: str, training_id: int, students: Sequence[int]) -> None:
    enrol_all(app_on(url), training_id, students, threads=4)


def test_of_four_processes_that_want_one_place_one_gets_it(url: str) -> None:
    app = app_on(url)
    training_id, students = pottery(app, 40)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(4, mp_context=context) as pool:
        shares = [pool.submit(_in_a_process, url, training_id, students[n::4]) for n in range(4)]
        for share in shares:
            share.result()
    assert run(app, line) == {ENROLLED: [None], WAITLIST: list(range(1, 40))}
    assert violations(app) == []


def test_without_the_lock_one_place_is_given_to_several(url: str) -> None:
    controls.drop_last_lines(url)
    app = controls.plain_app(url, web_threads=16)
    training_id, students = pottery(app, 16)
    with controls.no_lock(), controls.pause_after_count():
        enrol_all(app, training_id, students)
    assert run(app, oversold) > 0
    assert any(found.startswith("I1") for found in violations(app))


# --- a deroll during a sweep ---------------------------------------------------------------------


def leave(session: Session) -> None:
    enrolments.deroll(session, those(session, ENROLLED)[0], LINK, NOON)


def next_comes_in(session: Session) -> int:
    """The first of the invited accepts; how many were."""
    invited = those(session, INVITED)
    waitlist.accept(session, invited[0], LINK, NOON)
    return len(invited)


def those(session: Session, status: str) -> list[TrainingEnroll]:
    rows = sa.select(TrainingEnroll).where(TrainingEnroll.status == status)
    return list(session.scalars(rows.order_by(TrainingEnroll.queue_position)))


def a_full_training_with_a_line(app: Flask) -> int:
    with committed(app) as cast:
        cast.enrol_all(*(f"Student {n}" for n in range(20)))
        return cast.pottery.id


@pytest.mark.parametrize(
    "rounds", [10, pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
def test_a_deroll_during_a_sweep_invites_one(app: Flask, rounds: int) -> None:
    training_id = a_full_training_with_a_line(app)
    for _ in range(rounds):
        together(
            app,
            [training_id],
            lambda session, _: leave(session),
            lambda session, id_: sweep.sweep_training(session, id_, NOON),
            lambda session, id_: sweep.sweep_training(session, id_, NOON),
        )
        assert run(app, next_comes_in) == 1
        run(app, who_left_comes_back)
    assert violations(app) == []


def who_left_comes_back(session: Session) -> None:
    gone = those(session, DEROLLED)[0]
    enrolments.enrol(session, gone.training_id, gone.student_id, LINK, NOON, terms=True)


def test_without_the_lock_a_deroll_during_a_refill_invites_two(url: str) -> None:
    controls.drop_last_lines(url)
    app = controls.plain_app(url)
    training_id = a_full_training_with_a_line(app)
    acts = iter([lambda: in_another_thread(lambda: run(app, leave))])

    def once() -> None:
        next(acts, lambda: None)()

    with controls.no_lock(), controls.two_counts(between=once):
        run(app, lambda session: waitlist.fill_open_spots(session, training_id, NOON))
    assert len(run(app, lambda session: [row.id for row in those(session, INVITED)])) == 2
    assert any(found.startswith("I1") for found in violations(app))
