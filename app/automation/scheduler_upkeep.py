"""Duties that keep schedules going (schedules C1, R6, H).

What is due though its alarm is lost, pauses that are over, runs that nobody ends, and what has been
kept long enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import time as TimeOfDay
from datetime import timedelta
from functools import partial

from app.automation import claims, faces, recurring_runs
from app.automation.scheduler_duties import Clock, Done, Duty, Stop, one_by_one
from app.extensions import db, unit, utcnow
from app.models.automation import MadeBy
from app.services import aaa, chains, retention, schedules

CHECK_DUE, REAPER, PRUNE = "system:check-due", "system:reaper", "system:prune"
PRUNE_AT = TimeOfDay(3, 30)  # UTC


def check_due_duty(epoch: int, clock: Clock = utcnow) -> Duty:
    """Each minute let what is due become runs, whether or not an alarm wakes anybody (C1)."""
    return Duty(CHECK_DUE, timedelta(minutes=1), lambda _stop: check_due_once(epoch, clock))


def check_due_once(epoch: int, clock: Clock = utcnow) -> str | None:
    """Claim what is due, a transaction each. Raises `Fenced`."""
    begun = recurring_runs.claim_each(db.session(), clock, epoch)
    return f"began {begun}" if begun else None


def reaper_duty(epoch: int, clock: Clock = utcnow) -> Duty:
    """Each 15 seconds end pauses that are over, and runs that nobody else will end (R6)."""
    return Duty(REAPER, timedelta(seconds=15), lambda stop: reap_once(stop, epoch, clock))


def reap_once(
    stop: Stop | None = None, epoch: int | None = None, clock: Clock = utcnow
) -> str | None:
    """Resume what is to be resumed by now, time out what is past its time; each alone.

    Runs that a living worker is late with are its own to end; those of one that died begin again
    by their job. Raises `Fenced`.
    """
    session, door = db.session(), faces.door(MadeBy.CODE)

    def resume(schedule_id: str) -> None:
        schedules.resume_in_time(session, schedule_id, now=clock(), door=door)

    def end(run_id: int) -> None:
        chains.end_overdue(session, run_id, clock())

    over, lost = schedules.due_to_resume(session, clock()), chains.overdue(session, clock())
    resumed = one_by_one(REAPER, over, resume, stop=stop, epoch=epoch, clock=clock)
    ended = one_by_one(REAPER, lost, end, stop=stop, epoch=epoch, clock=clock)
    return _told({"resumed": resumed, "timed out": ended})


def _told(done: dict[str, Done]) -> str | None:
    return ", ".join(f"{what} {count}" for what, count in done.items() if count.tried) or None


# --- what has been kept long enough --------------------------------------------------------------


def prune_duty(epoch: int, clock: Clock = utcnow) -> Duty:
    """Once a day take away what has been kept long enough (H1)."""

    def act(stop: Stop) -> str | None:
        pruned = prune(stop, epoch, clock)
        return ", ".join(f"{what} {count}" for what, count in pruned.items() if count) or None

    return Duty(PRUNE, timedelta(minutes=1), act, daily_at=PRUNE_AT)


def prune(
    stop: Stop | None = None, epoch: int | None = None, clock: Clock = utcnow
) -> Counter[str]:
    """Runs, schedules that are gone, records, greetings, reviews; what -> how many went.

    A thousand rows a transaction, until nothing is left or it is asked to stop. Raises `Fenced`.
    """
    session, now, pruned = db.session(), clock(), Counter[str]()

    def go_on(what: str, take: Callable[[], int]) -> None:
        def fenced() -> int:
            if epoch is not None:
                claims.require_epoch(session, epoch)
            return take()

        while stop is None or not stop.is_set():
            count = unit(session, fenced)
            pruned[what] += count
            if count < retention.BATCH:
                return

    for id_ in retention.schedules_with_runs(session):
        go_on("runs", partial(retention.prune_runs, session, id_, now))
    go_on("schedules", partial(retention.forget_schedules, session, now))
    for what in retention.DATED:
        go_on(what, partial(retention.prune_dated, session, what, now))
    if pruned["runs"]:
        aaa.pruned(pruned["runs"])
    return pruned
