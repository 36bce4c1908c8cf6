"""Kill the scheduler again and again in the middle of a burst; then count what became of it.

    python -m tests.races.kills --db URL [--invitations 300] [--kills 10] [--seed 1]

The database must be migrated and empty. Invitations of thirty trainings run out at once, as many
people wait. Each start is killed with -9 at a random instant; the last one may finish. Then each
invitation must have ended once, each place be filled, each letter have arrived, and whatever came
twice must have the same Message-ID and text (reliability TM5, F19, RP4, RP5). It takes two to
three minutes, most of them for the leases of the dead to end.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import timedelta

import sqlalchemy as sa

from app.extensions import db, utcnow, write
from app.models import (
    AutomationRun,
    AutomationSchedule,
    EnrolmentHistory,
    EnrolmentStatus,
    Job,
    Outbox,
    OutboxState,
    TrainingEnroll,
)
from app.ops import invariants
from app.services.actors import CONSOLE
from app.services.enrolments import enrol
from app.services.trainings import set_capacity
from benchmarks import people
from tests import databases
from tests.cast import Cast
from tests.schedulers import Running, a_scheduler, environment
from tests.sink import Sink

TRAININGS = 30
MOMENT = timedelta(seconds=2)
SLOW = 0.004  # seconds a letter takes, so that kills hit the post too
UNSENT = (OutboxState.PENDING, OutboxState.SENDING)


@dataclass
class Found:
    """What is left after the burst; the first four must be 0."""

    invitations_without_one_outcome: int = 0
    free_places: int = 0
    letters_missing: int = 0
    letters_unlike_their_copy: int = 0
    violations: int = 0
    runs_not_ended_well: int = 0
    letters: int = 0
    copies: int = 0
    most_copies: int = 0
    kills: int = 0
    kills_while_busy: int = 0

    @property
    def broken(self) -> bool:
        return any(
            (
                self.invitations_without_one_outcome,
                self.free_places,
                self.letters_missing,
                self.letters_unlike_their_copy,
                self.violations,
                self.runs_not_ended_well,
            )
        )


def run(url: str, invitations: int, kills: int, seed: int) -> Found:
    draw = random.Random(seed)
    app = databases.app_on(url)
    with Sink(SLOW) as sink, app.app_context():
        _prepare(invitations)
        env = environment(url, SMTP_PORT=str(sink.port))
        found = Found(kills=kills)
        for _ in range(kills):
            running = Running(env)
            running.wait_for("lock held")
            time.sleep(draw.uniform(0.05, 1.2))
            found.kills_while_busy += _busy()
            running.kill()
        with a_scheduler(env) as running:
            _until_quiet(sink)
            assert running.stop() == 0
        _judge(found, sink, invitations)
        db.engine.dispose()
    return found


def _prepare(invitations: int) -> None:
    """All by the services, so that the history tells of it; the answer time is a moment."""
    session, each = db.session(), invitations // TRAININGS
    with write(session):
        cast = Cast(session)
        cast.schedule.interval = MOMENT
        ids = people.students(session, cast, 2 * invitations)
        start = utcnow() + timedelta(days=30)
        trainings = [cast.training(f"Training {n}", 0, start).id for n in range(TRAININGS)]
    for n, student_id in enumerate(ids):
        with write(session):
            enrol(session, trainings[n % TRAININGS], student_id, CONSOLE, utcnow())
    now = utcnow()
    for training_id in trainings:
        with write(session):
            set_capacity(session, training_id, each, CONSOLE, now)
    with write(session):  # whoever comes next has time; what was promised stands
        session.get_one(AutomationSchedule, cast.schedule.id).interval = timedelta(days=2)
        told = {"state": OutboxState.SENT, "ended_at": now}
        session.execute(sa.update(Outbox).values(told))  # only the burst is counted
    time.sleep(MOMENT.total_seconds())


def _busy() -> bool:
    """Whether jobs or letters are still under way."""
    jobs = sa.select(sa.func.count()).select_from(Job).where(Job.due <= utcnow())
    letters = sa.select(sa.func.count()).select_from(Outbox).where(Outbox.state.in_(UNSENT))
    busy = bool(db.session.scalar(jobs) or db.session.scalar(letters))
    db.session.rollback()
    return busy


def _until_quiet(sink: Sink, seconds: float = 240) -> None:
    """Leases of the dead must end first: 30 s for jobs, 120 s for letters."""
    until = time.monotonic() + seconds
    while _busy():
        assert time.monotonic() < until, f"not quiet after {seconds} s, {len(sink.letters)} came"
        time.sleep(0.25)


def _judge(found: Found, sink: Sink, invitations: int) -> None:
    session, h, e = db.session(), EnrolmentHistory, TrainingEnroll
    ends = Counter(
        session.execute(sa.select(h.enrolment_id, h.invite_no).where(h.event == "expired"))
    )
    found.invitations_without_one_outcome = abs(invitations - len(ends)) + sum(
        n != 1 for n in ends.values()
    )
    open_now = session.scalar(
        sa.select(sa.func.count()).select_from(e).where(e.status == EnrolmentStatus.INVITED)
    )
    found.free_places = invitations - (open_now or 0)
    found.violations = len(invariants.check(session, utcnow()))
    bad_runs = sa.select(sa.func.count()).where(AutomationRun.status != "success")
    found.runs_not_ended_well = session.scalar(bad_runs.select_from(AutomationRun)) or 0
    promised = set(session.scalars(sa.select(Outbox.uuid).where(Outbox.attempts > 0)))
    came = {id_.strip("<>").split("@")[0]: n for id_, n in sink.copies.items()}
    found.letters, found.letters_missing = len(promised), len(promised - set(came))
    found.copies, found.most_copies = sum(came.values()) - len(came), max(came.values())
    found.letters_unlike_their_copy = _unlike(sink) + len(set(came) - promised)


def _unlike(sink: Sink) -> int:
    texts: dict[str, set[tuple[str, str, str]]] = {}
    for _, to, letter in sink.letters:
        body = letter.get_body(("plain",)).get_content()  # type: ignore[attr-defined]
        said = (to, str(letter["Subject"]), body)
        texts.setdefault(str(letter["Message-ID"]), set()).add(said)
    return sum(len(said) > 1 for said in texts.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--db", required=True)
    parser.add_argument("--invitations", type=int, default=300)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found = run(given.db, given.invitations, given.kills, given.seed)
    print(json.dumps(asdict(found)))
    return int(found.broken)


if __name__ == "__main__":
    sys.exit(main())
