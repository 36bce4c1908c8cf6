"""The hammer: processes that do everything at random to a few trainings (reliability TM3).

    python -m tests.races.hammer --db URL --processes 16 --trainings 5 --seconds 60 [--no-guard]

The database is migrated if it is empty. `--no-guard` takes the lock and the last lines out, and
must show harm.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.extensions import db, unit, utcnow
from app.models import Student, Training, TrainingEnroll
from app.models.engine import is_busy
from app.models.enrolment import ENROLLED, INVITED
from app.ops import invariants
from app.services import enrolments, sweep, trainings, waitlist
from app.services.actors import CONSOLE, LINK
from app.services.refusals import Refusal
from app.services.trainings import BelowTakenChoice
from tests import databases
from tests.cast import Cast
from tests.races import controls

ANSWER_TIME = timedelta(milliseconds=150)
PLACES = range(2, 9)  # capacities are drawn from these
RUSH_SECONDS = 0.4  # at one training: some acts, so that several enrol at once


@dataclass
class Tally:
    """What came of it: acts and refusals by name, seconds each act took, and what went wrong."""

    acts: collections.Counter[str] = field(default_factory=collections.Counter)
    refused: collections.Counter[str] = field(default_factory=collections.Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    busy: int = 0  # the queue's or a lock's time-out: an honest "try again"
    locked: int = 0  # SQLite's "database is locked", which nobody must ever see
    errors: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.acts += other.acts
        self.refused += other.refused
        for name, waits in other.seconds.items():
            self.seconds.setdefault(name, []).extend(waits)
        self.busy += other.busy
        self.locked += other.locked
        self.errors += other.errors

    @property
    def longest(self) -> float:
        return max(map(max, self.seconds.values()))

    def percentile(self, share: float) -> float:
        waits = sorted(wait for waits in self.seconds.values() for wait in waits)
        return waits[int(share * (len(waits) - 1))]


# --- what people do ------------------------------------------------------------------------------


def enrol(session: Session, training_id: int, dice: random.Random) -> None:
    who = dice.choice(session.scalars(sa.select(Student.id)).all())
    enrolments.enrol(session, training_id, who, LINK, utcnow(), terms=True)


def accept(session: Session, training_id: int, dice: random.Random) -> None:
    if row := _one(session, training_id, INVITED, dice):
        waitlist.accept(session, row, LINK, utcnow())


def decline(session: Session, training_id: int, dice: random.Random) -> None:
    if row := _one(session, training_id, INVITED, dice):
        waitlist.decline(session, row, LINK, utcnow())


def expire(session: Session, training_id: int, dice: random.Random) -> None:
    sweep.sweep_training(session, training_id, utcnow())


def deroll(session: Session, training_id: int, dice: random.Random) -> None:
    if row := _one(session, training_id, ENROLLED, dice):
        enrolments.deroll(session, row, LINK, utcnow())


def capacity(session: Session, training_id: int, dice: random.Random) -> None:
    choice = dice.choice(list(BelowTakenChoice))
    places = dice.choice(PLACES)
    trainings.set_capacity(
        session, training_id, places, CONSOLE, utcnow(), choice=choice, reason="the hammer"
    )


ACTS: dict[Callable[[Session, int, random.Random], None], int] = {
    enrol: 30,
    accept: 25,
    decline: 10,
    expire: 15,
    deroll: 17,
    capacity: 3,
}


def _one(
    session: Session, training_id: int, status: str, dice: random.Random
) -> TrainingEnroll | None:
    rows = session.scalars(
        sa.select(TrainingEnroll).where(
            TrainingEnroll.training_id == training_id, TrainingEnroll.status == status
        )
    ).all()
    return dice.choice(rows) if rows else None


# --- one process ---------------------------------------------------------------------------------


def pound(url: str, seed: int, seconds: float, guarded: bool, rush: bool) -> Tally:
    """What one process does for so many seconds."""
    tally, dice = Tally(), random.Random(seed)
    with contextlib.ExitStack() as stack:
        if not guarded:
            stack.enter_context(controls.no_lock())
        if rush or not guarded:
            stack.enter_context(controls.two_counts(between=long_pause))
        app = application(url, guarded)
        stack.enter_context(app.app_context())
        ids = db.session.scalars(sa.select(Training.id).where(Training.name.like("Hammered%")))
        targets = ids.all()
        db.session.remove()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            _hit(tally, dice, _rushed_at(targets) if rush else dice.choice(targets))
        db.engine.dispose()
    return tally


def _rushed_at(targets: Sequence[int]) -> int:
    """The training at which all processes aim at this moment, each a little while."""
    return targets[int(time.time() / RUSH_SECONDS) % len(targets)]


def _hit(tally: Tally, dice: random.Random, training_id: int) -> None:
    act = dice.choices(list(ACTS), list(ACTS.values()))[0]
    name, began = act.__name__, time.monotonic()
    try:
        unit(db.session, lambda: act(db.session(), training_id, dice))
        tally.acts[name] += 1
    except Refusal as no:
        tally.refused[no.code] += 1
    except Exception as error:  # all there is to know goes into the tally
        if "database is locked" in str(error):
            tally.locked += 1
        elif is_busy(error):
            tally.busy += 1
        else:
            tally.errors.append(f"{name}: {str(error)[:200]}")
    tally.seconds.setdefault(name, []).append(time.monotonic() - began)
    db.session.remove()


def long_pause() -> None:
    """Most of an act, so that whoever acts at the same time falls into it."""
    time.sleep(0.1)


def application(url: str, guarded: bool = True) -> Flask:
    make = databases.app_on if guarded else controls.plain_app
    return make(url, waitlist_invite_limit=1_000_000, web_threads=2)


# --- all of them ---------------------------------------------------------------------------------


def prepare(url: str, count: int, people: int, places: int = 5) -> None:
    """`count` trainings of so many places and `people` who want them."""
    app = application(url)
    with app.app_context():
        cast = Cast(db.session())
        cast.schedule.interval = ANSWER_TIME
        for n in range(count):
            cast.training(f"Hammered {n}", places=places, start=utcnow() + timedelta(days=30))
        for n in range(people):
            cast.student(f"Student {n}")
        db.session.commit()
        db.engine.dispose()


def swing(
    url: str, processes: int, seconds: float, *, guarded: bool = True, rush: bool = False
) -> Tally:
    """Let `processes` pound for `seconds` at what `prepare` made.

    In a `rush` all are at one training at a time, and pause between counting and taking.
    """
    if not guarded:
        controls.drop_last_lines(url)
    context = multiprocessing.get_context("forkserver")  # the imports are paid for once
    context.set_forkserver_preload([__spec__.name if __spec__ else __name__])
    whole = Tally()
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        hits = [pool.submit(pound, url, seed, seconds, guarded, rush) for seed in range(processes)]
        for hit in hits:
            whole.add(hit.result())
    return whole


def findings(url: str) -> list[invariants.Violation]:
    """What the checker says once nobody pounds any more and the last deadlines are swept."""
    app = application(url)
    with app.app_context():
        found = invariants.check(db.session(), utcnow())
        db.session.remove()
        db.engine.dispose()
    return found


def report(tally: Tally, found: list[invariants.Violation], seconds: float) -> str:
    """The lines that the command prints."""
    total = sum(tally.acts.values()) + sum(tally.refused.values())
    rules = collections.Counter(violation.rule for violation in found)
    lines = [
        f"acts          {total} ({total / seconds:.0f}/s): {dict(tally.acts)}",
        f"refused       {dict(tally.refused)}",
        f"wait          p50 {tally.percentile(0.5):.3f} s, p99 {tally.percentile(0.99):.3f} s,"
        f" longest {tally.longest:.3f} s",
        f"longest by    { {name: round(max(w), 3) for name, w in tally.seconds.items()} }",
        f"busy          {tally.busy}",
        f"locked        {tally.locked}",
        f"errors        {len(tally.errors)} {sorted(set(tally.errors))[:5]}",
        f"violations    {len(found)} {dict(rules)}",
        *(f"  {violation}" for violation in found[:5]),
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--db", required=True)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--trainings", type=int, default=5)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--no-guard", action="store_true")
    options: Any = parser.parse_args()
    databases.upgrade(options.db)
    prepare(options.db, options.trainings, options.people)
    guarded = not options.no_guard
    tally = swing(options.db, options.processes, options.seconds, guarded=guarded)
    found = findings(options.db)
    print(report(tally, found, options.seconds))
    wrong = bool(found or tally.errors or tally.locked or tally.busy)
    return int(wrong if guarded else not found)


if __name__ == "__main__":
    sys.exit(main())
