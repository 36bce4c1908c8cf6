"""Many places of one training freed at once: how long its lock is held (performance P3).

The ordinary way is the loop of the waitlist guide: invite one, write what follows, commit, next.
"""

from __future__ import annotations

import statistics
import time
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.extensions import db as database
from app.extensions import write
from app.models import (
    EnrolmentHistory,
    EnrolmentStatus,
    Job,
    Outbox,
    Training,
    TrainingEnroll,
)
from app.services import trainings
from app.services.actors import CONSOLE
from benchmarks import people
from benchmarks.cases import Case, an_app, counted
from tests.cast import NOON, Cast

SIZES = (100, 1000, 9_990)
ROUNDS = 5
WARM_UP = 10  # and 10,000 is the largest training there may be
LOCK_HELD_MS, STATEMENTS_PER_1000 = 200.0, 15


def run(db: str, n: int | None) -> list[Case]:
    cases = []
    for size in (n,) if n else SIZES:
        cases += _fill(db, size)
    return cases


def _fill(db: str, size: int) -> list[Case]:
    """Rounds on fresh databases: the quickest, since a busy neighbour only adds, and the median."""
    rounds = [_one_fill(db, size) for _ in range(ROUNDS)]
    ours = sorted(took for took, _, _ in rounds)
    ordinary = statistics.median(loop for _, loop, _ in rounds)
    refill = max(statements for _, _, statements in rounds)
    thousands = max(1, size // 1000)
    limit, allowed = LOCK_HELD_MS * max(1, size / 1000), STATEMENTS_PER_1000 * thousands
    held = f"lock held <= {limit:.0f} ms"
    return [
        Case(name, db, size, took, ordinary, "ms", held, took <= limit)
        for name, took in [("fill, quickest", ours[0]), ("fill, median", statistics.median(ours))]
    ] + [
        Case(
            "fill statements",
            db,
            size,
            refill,
            None,
            "",
            f"<= {allowed} statements",
            refill <= allowed,
        ),
    ]


def _one_fill(db: str, size: int) -> tuple[float, float, int]:
    """Milliseconds of ours, of the guide's loop, and the statements of the refill."""
    with an_app(db) as app, app.app_context():
        session = database.session()
        with write(session):
            training = _full_with_waiting(session, size + WARM_UP)
        people.know_the_tables(session)
        with write(session):  # a server that runs has composed and compiled its statements
            trainings.set_capacity(session, training, WARM_UP, CONSOLE, NOON)
        with counted(database.engine) as statements:
            began = time.perf_counter()
            with write(session):
                invited = trainings.set_capacity(session, training, size + WARM_UP, CONSOLE, NOON)
            ours = (time.perf_counter() - began) * 1000
        assert len(invited) == size, f"invited {len(invited)} of {size}"
        ordinary = _ordinary_ms(session, training, min(size, 100)) * size / min(size, 100)
    # The capacity's own two statements (its history and its number) are not the refill's.
    return ours, ordinary, len([s for s in statements if "max_participants=" not in s]) - 2


def _full_with_waiting(session: Session, size: int) -> int:
    """A training without places and `size` people waiting; its id."""
    cast = Cast(session, places=0)
    people.queue(session, cast.pottery, people.students(session, cast, size))
    return cast.pottery.id


def _ordinary_ms(session: Session, training_id: int, count: int) -> float:
    """The guide's loop over `count` of the same rows: one commit each."""
    with write(session):
        session.execute(
            sa.update(TrainingEnroll)
            .where(TrainingEnroll.training_id == training_id)
            .values(status=EnrolmentStatus.WAITLIST)
        )
        session.execute(sa.delete(Job))
    began = time.perf_counter()
    waiting = session.scalars(
        sa.select(TrainingEnroll)
        .where(TrainingEnroll.training_id == training_id)
        .order_by(TrainingEnroll.queue_position)
        .limit(count)
    ).all()
    for enrolment in waiting:
        _invite_one(session, training_id, enrolment)
    return (time.perf_counter() - began) * 1000


def _invite_one(session: Session, training_id: int, enrolment: TrainingEnroll) -> None:
    training = session.get_one(Training, training_id)
    taken = session.scalar(
        sa.select(sa.func.count()).where(
            TrainingEnroll.training_id == training_id, TrainingEnroll.status == "waitlist-invited"
        )
    )
    if (taken or 0) >= training.max_participants:
        return
    enrolment.status = EnrolmentStatus.INVITED
    enrolment.invite_date = NOON
    training.history_seq += 1
    user, deadline = enrolment.student.user, NOON + timedelta(hours=48)
    session.add(
        EnrolmentHistory(
            training_id=training.id,
            seq=training.history_seq + 10_000_000,
            enrolment_id=enrolment.id,
            student_id=enrolment.student_id,
            at=NOON,
            actor="system",
            event="invited",
        )
    )
    for reader in [user, *training.trainer_users]:
        key = f"ordinary:{enrolment.uuid}:{reader.id}"
        session.add(
            Outbox(
                key=key,
                channel="email",
                aggregate=key[:80],
                kind="invited",
                user_id=reader.id,
                payload={},
                due_at=NOON,
                created_at=NOON,
            )
        )
    session.add(
        Job(
            id=f"x/{enrolment.uuid}/PRODUCTION",
            next_run_time=deadline.timestamp(),
            due=deadline,
            job_state=b"{}",
        )
    )
    session.commit()
