"""Accepting and declining by link: 16 clients at a real web server (performance P3).

Each person opens their page, then clicks; half accept, half decline, so that others are invited.
The first few are told apart: a worker composes each page and statement once in its life.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle

import sqlalchemy as sa

from app.extensions import db as database
from app.extensions import utcnow, write
from app.models import Student, TrainingEnroll, User
from app.models.enrolment import DECLINED, ENROLLED, INVITED
from app.services import links
from app.services.links import Ticket
from benchmarks import people
from benchmarks.cases import Case, an_app
from benchmarks.visitors import Answer, Visitor, a_web_server, crowd, key_on
from tests.cast import Cast

SIZES = (200, 600, 1_800)
CLIENTS = 16
FIRST = 64
PER_TRAINING = 10
PER_SECOND, P50_MS, P99_MS = 150.0, 50.0, 250.0


def run(db: str, n: int | None) -> list[Case]:
    return [case for size in ((n,) if n else SIZES) for case in _answers(db, size)]


@dataclass
class Errand:
    """What one person does."""

    person: int
    token: str
    act: str
    key: str = ""


def _answers(db: str, size: int) -> list[Case]:
    with an_app(db) as app:
        with app.app_context():
            errands = _invited(FIRST + size)
            people.know_the_tables(database.session())
        with a_web_server(app) as port:
            crowd(port, CLIENTS, errands[:FIRST], _look)
            first, _ = crowd(port, CLIENTS, errands[:FIRST], _click)
            pages, _ = crowd(port, CLIENTS, errands[FIRST:], _look)
            clicks, seconds = crowd(port, CLIENTS, errands[FIRST:], _click)
        with app.app_context():
            _check(errands)
    assert {page.status for page in pages} == {200}
    assert {click.status for click in (*first, *clicks)} == {303}
    rate, page = len(clicks) / seconds, _percentile(pages, 99)
    p50, p99, cold = _percentile(clicks, 50), _percentile(clicks, 99), _percentile(first, 99)
    return [
        Case("answers by link", db, size, rate, None, "/s", f">= {PER_SECOND:.0f}/s",
             rate >= PER_SECOND),
        Case("answer, p50", db, size, p50, None, "ms", f"<= {P50_MS:.0f} ms", p50 <= P50_MS),
        Case("answer, p99", db, size, p99, None, "ms", f"<= {P99_MS:.0f} ms", p99 <= P99_MS),
        Case("first answers, p99", db, size, cold, None, "ms", f"<= {P99_MS:.0f} ms",
             cold <= P99_MS),
        Case("its page, p99", db, size, page, None, "ms", f"<= {P99_MS:.0f} ms", page <= P99_MS),
    ]  # fmt: skip


def _invited(size: int) -> list[Errand]:
    """So many open invitations, ten to a training, and ten more people who wait behind them."""
    session, now = database.session(), utcnow()
    with write(session):
        cast = Cast(session)
        for number in range(-(-size // PER_TRAINING)):
            training = cast.training(f"T{number}", PER_TRAINING, now + timedelta(days=30))
            ids = people.students(session, cast, 2 * PER_TRAINING, 2 * PER_TRAINING * number)
            deadlines = [now + timedelta(days=2)] * PER_TRAINING
            people.invite(session, cast, training, ids[:PER_TRAINING], deadlines)
            people.queue(session, training, ids[PER_TRAINING:], PER_TRAINING + 1)
        e = TrainingEnroll
        asked = (
            sa.select(e.id, e.uuid, User.id, User.email)
            .join(Student, Student.id == e.student_id)
            .join(User, User.id == Student.user_id)
            .where(e.status == INVITED)
            .order_by(e.queue_position, e.id)
            .limit(size)
        )
        tickets = [
            Ticket("answer", id_, uuid, 1, user_id, email)
            for id_, uuid, user_id, email in session.execute(asked)
        ]
        minted = links.mint_many(session, tickets, [b"k" * 32], now)
    acts = cycle(("accept", "decline"))
    return [Errand(ticket.user_id, minted[ticket], next(acts)) for ticket in tickets]


def _look(visitor: Visitor, errand: Errand) -> Answer:
    page = visitor.ask(errand.person, f"/invitations/{errand.token}")
    errand.key = key_on(page.text, errand.act)
    return page


def _click(visitor: Visitor, errand: Errand) -> Answer:
    form = {"token": errand.token, "key": errand.key}
    return visitor.ask(errand.person, f"/invitations/{errand.token}/{errand.act}", form)


def _check(errands: list[Errand]) -> None:
    """Everybody got what they answered."""
    for act, status in (("accept", ENROLLED), ("decline", DECLINED)):
        those = sum(errand.act == act for errand in errands)
        asked = sa.select(sa.func.count()).where(TrainingEnroll.status == status)
        assert database.session.scalar(asked) == those


def _percentile(answers: list[Answer], which: int) -> float:
    took = [answer.ms for answer in answers]
    return statistics.quantiles(took, n=100, method="inclusive")[which - 1]
