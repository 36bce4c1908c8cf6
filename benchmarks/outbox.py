"""Letters from the outbox to a mail server on this machine, rendering included (performance P3).

As many workers drain it as the scheduler process has: while one waits for the mail server or for
its commit, the other renders.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
from flask import Flask

from app.delivery import outbox
from app.extensions import db as database
from app.extensions import write
from app.models import Outbox, OutboxState
from app.ops.scheduler_process import OUTBOX_WORKERS
from app.services import waitlist
from benchmarks import people
from benchmarks.cases import Case, an_app
from tests.cast import NOON, Cast
from tests.mailbox import Mailbox

SIZES = (100, 500, 2_000)
LETTERS_PER_SECOND = 100.0


def run(db: str, n: int | None) -> list[Case]:
    return [_drain(db, size) for size in ((n,) if n else SIZES)]


def _drain(db: str, size: int) -> Case:
    """Half of them to students who are invited, half to their trainer."""
    with Mailbox() as box, an_app(db, smtp_port=box.port, **SMTP) as app, app.app_context():
        session = database.session()
        with write(session):
            cast = Cast(session, places=size // 2)
            people.queue(session, cast.pottery, people.students(session, cast, size // 2))
            waitlist.fill_open_spots(session, cast.pottery.id, NOON)
        began = time.perf_counter()
        posted = _drained(app)
        seconds = time.perf_counter() - began
        sent = database.session.scalar(
            sa.select(sa.func.count()).select_from(Outbox).where(Outbox.state == OutboxState.SENT)
        )
        box.close()
        assert posted.sent == sent == len(box.copies) == 2 * (size // 2)
        assert set(box.copies.values()) == {1}
    rate = sent / seconds
    wanted = f">= {LETTERS_PER_SECOND:.0f} letters/s"
    return Case("outbox", db, size, rate, None, "/s", wanted, rate >= LETTERS_PER_SECOND)


def _drained(app: Flask) -> outbox.Posted:
    def drain(_worker: int) -> outbox.Posted:
        with app.app_context():
            return outbox.drain(clock=lambda: NOON)

    posted = outbox.Posted()
    with ThreadPoolExecutor(OUTBOX_WORKERS) as workers:
        for its in workers.map(drain, range(OUTBOX_WORKERS)):
            posted.add(its)
    return posted


SMTP = {
    "mail_transport": "smtp",
    "smtp_host": "127.0.0.1",
    "smtp_tls": "none",
    "mail_rate": 0,
    "mail_domain": "training.example.org",
    "public_base_url": "https://training.example.org",
    "link_keys": "a key of at least thirty-two bytes, for benchmarks",
}
