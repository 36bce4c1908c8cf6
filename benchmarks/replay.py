"""Made-up course demand through the real services: acts per second (performance P3).

There is no ordinary way beside it: the oracle's verdict is what counts, so it must be clean.
"""

from __future__ import annotations

from app.ops.demand import generate
from app.ops.replay import run as replay
from benchmarks.cases import Case, an_app

TRAININGS = (6, 12, 24)
SECONDS_PER_1000 = 60 / 11.875  # the twelve real weeks in a minute


def run(db: str, n: int | None) -> list[Case]:
    cases = []
    for trainings in (n,) if n else TRAININGS:
        with an_app(db) as app:
            demand = generate(1, trainings)
            figures = replay(app, demand)
        broken = figures.oversold + figures.fifo_violations + figures.idle_spots
        broken += figures.history_gaps
        limit = SECONDS_PER_1000 * len(demand.changes) / 1000
        met = broken == 0 and figures.seconds <= limit
        name, told = "replay", f"<= {limit:.1f} s, nothing broken"
        changes = len(demand.changes)
        cases.append(Case(name, db, changes, figures.seconds, None, "s", told, met))
    return cases
