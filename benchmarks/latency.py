"""How late things come with a real scheduler process and a real mail server (performance P3).

Invitations run out one after another; measured from each deadline to the commit of the next
invitation, and to its letter on the wire.
"""

from __future__ import annotations

import statistics
from datetime import timedelta

import sqlalchemy as sa

from app.automation import scheduler_ops
from app.extensions import db as database
from app.extensions import utcnow, write
from app.models import EnrolmentHistory, Outbox, TrainingEnroll
from benchmarks import people
from benchmarks.cases import Case, an_app
from tests.cast import Cast
from tests.schedulers import a_scheduler, environment
from tests.sink import Sink

SIZES = (20, 60, 200)
PER_SECOND = 10
COMMITTED_MS, ON_THE_WIRE_MS = 2000.0, 5000.0


def run(db: str, n: int | None) -> list[Case]:
    cases = []
    for size in (n,) if n else SIZES:
        cases += _latency(db, size)
    return cases


def _latency(db: str, size: int) -> list[Case]:
    with Sink() as sink, an_app(db) as app, app.app_context():
        session, begin = database.session(), utcnow() + timedelta(seconds=5)
        with write(session):
            cast = Cast(session)
            for n in range(size):
                training = cast.training(f"Training {n}", 1, begin + timedelta(days=30))
                ids = people.students(session, cast, 2, 2 * n)
                end = begin + timedelta(seconds=n / PER_SECOND)
                people.invite(session, cast, training, ids[:1], [end])
                people.queue(session, training, ids[1:], 2)
        scheduler_ops.init_app_scheduler(app)
        url = database.engine.url.render_as_string(hide_password=False)
        with a_scheduler(environment(url, SMTP_PORT=str(sink.port))) as running:
            came = sink.wait_for(4 * size, 60 + size / PER_SECOND)
            assert came, f"{len(sink.letters)} of {4 * size} letters came"
            assert running.stop() == 0
        committed, wired = _delays(sink)
    p95 = statistics.quantiles(committed, n=100, method="inclusive")[94]
    p99 = statistics.quantiles(wired, n=100, method="inclusive")[98]
    return [
        Case("next invited, p95", db, size, p95, None, "ms", f"<= {COMMITTED_MS:.0f} ms",
             p95 <= COMMITTED_MS),
        Case("letter on wire, p99", db, size, p99, None, "ms", f"<= {ON_THE_WIRE_MS:.0f} ms",
             p99 <= ON_THE_WIRE_MS),
    ]  # fmt: skip


def _delays(sink: Sink) -> tuple[list[float], list[float]]:
    """Milliseconds from a deadline to the next invitation, and to that one's letters."""
    h, e = EnrolmentHistory, TrainingEnroll
    ended = {
        row.training_id: row.invite_expires_at
        for row in database.session.execute(
            sa.select(e.training_id, e.invite_expires_at)
            .join(h, h.enrolment_id == e.id)
            .where(h.event == "expired")
        )
    }
    invited = database.session.execute(
        sa.select(h.training_id, h.at, Outbox.uuid)
        .join(Outbox, Outbox.enrolment_id == h.enrolment_id)
        .where(h.event == "invited", Outbox.kind == "invited")
    ).all()
    at = {str(letter["Message-ID"]): when for when, _, letter in sink.letters}
    on_the_wire = {mid.strip("<>").split("@")[0]: when for mid, when in at.items()}
    committed = [(row.at - ended[row.training_id]).total_seconds() * 1000 for row in invited]
    wired = [(on_the_wire[row.uuid] - ended[row.training_id].timestamp()) * 1000 for row in invited]
    return committed, wired
