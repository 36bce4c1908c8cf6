"""A thousand people want one place at once, each by the link of their letter (performance P3).

They declined before and join again: one of them is invited, all others wait in a gapless line.
"""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from app.extensions import db as database
from app.extensions import utcnow, write
from app.models import Student, Training, TrainingEnroll, User
from app.models.enrolment import DECLINED, ENROLLED, INVITED, WAITLIST
from app.services import links
from app.services.links import Ticket
from benchmarks import people
from benchmarks.answers import Errand
from benchmarks.cases import Case, an_app
from benchmarks.visitors import Answer, Visitor, a_web_server, crowd, key_on
from tests.cast import Cast

SIZES = (100, 300, 1_000)
SECONDS = 10.0


def run(db: str, n: int | None) -> list[Case]:
    return [case for size in ((n,) if n else SIZES) for case in _one_seat(db, size)]


def _one_seat(db: str, size: int) -> list[Case]:
    with an_app(db) as app:
        with app.app_context():
            training_id, errands = _declined(size)
        with a_web_server(app) as port:
            crowd(port, 16, errands, _look)
            answers, seconds = crowd(port, size, errands, _join_again)
        with app.app_context():
            winners, waiting = _found(training_id)
    faults = sum(answer.status != 303 for answer in answers)
    slowest = max(answer.ms for answer in answers) / 1000
    fair = winners == 1 and waiting == size - 1
    return [
        Case("one seat, winners", db, size, winners, None, "", "1, all others wait", fair),
        Case("one seat, faults", db, size, faults, None, "", "0", faults == 0),
        Case("one seat, slowest", db, size, slowest, None, "s", f"<= {SECONDS:.0f} s",
             slowest <= SECONDS),
        Case("one seat, in all", db, size, size / seconds, None, "/s", "", True),
    ]  # fmt: skip


def _declined(size: int) -> tuple[int, list[Errand]]:
    """So many people who declined, and one free place."""
    session, now = database.session(), utcnow()
    with write(session):
        cast = Cast(session)
        training = cast.training("Popular", 1, now + timedelta(days=30))
        ids = people.students(session, cast, size)
        people.queue(session, training, ids)
        e = TrainingEnroll
        mine = e.training_id == training.id
        session.execute(sa.update(e).where(mine).values(status=DECLINED, invite_no=1))
        asked = (
            sa.select(e.id, e.uuid, User.id, User.email)
            .join(Student, Student.id == e.student_id)
            .join(User, User.id == Student.user_id)
            .where(mine)
        )
        tickets = [
            Ticket("re-enable", id_, uuid, 1, user_id, email)
            for id_, uuid, user_id, email in session.execute(asked)
        ]
        minted = links.mint_many(session, tickets, [b"k" * 32], now)
    return training.id, [Errand(t.user_id, minted[t], "re-enable") for t in tickets]


def _look(visitor: Visitor, errand: Errand) -> Answer:
    page = visitor.ask(errand.person, f"/waitlist/{errand.token}")
    errand.key = key_on(page.text, errand.act)
    return page


def _join_again(visitor: Visitor, errand: Errand) -> Answer:
    form = {"token": errand.token, "key": errand.key}
    return visitor.ask(errand.person, f"/waitlist/{errand.token}/re-enable", form)


def _found(training_id: int) -> tuple[int, int]:
    """How many hold the place, and how many wait; the ledger agrees."""
    e, session = TrainingEnroll, database.session()
    mine = sa.select(sa.func.count()).where(e.training_id == training_id)
    holds = session.scalar(mine.where(e.status.in_((INVITED, ENROLLED)))) or 0
    waits = session.scalar(mine.where(e.status == WAITLIST)) or 0
    assert session.get_one(Training, training_id).seats_taken == holds
    return holds, waits
