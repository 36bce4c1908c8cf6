"""Schedules that are deleted, paused or copied while a run of theirs ends: one outcome (X4, O1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.models import AutomationRun, AutomationSchedule, Job
from app.models.automation import RunStatus
from app.services import chains, recurring, runs, schedules
from app.services.runs import Begun, LostRun
from app.services.schedule_errors import ScheduleConflictException
from tests.cast import MINUTE, NOON
from tests.races import controls
from tests.races.runners import committed, in_another_thread, run, together
from tests.services.scheduling import DOOR, Desk

CHAINED = {"schedule_type": "chained"}
ROUNDS = 5
Act = Callable[[Session, int], Any]


def under_way(app: Flask, count: int = ROUNDS) -> list[int]:
    """Schedules with one that follows each, and a run under way: the ids of the runs."""
    with committed(app) as cast:
        desk, found = Desk(cast), []
        for _ in range(count):
            row = desk.add(on_success_schedule_id=desk.add(CHAINED).schedule_id)
            started = desk.run_now(row)
            wanted = runs.Wanted(row.id, started.item, started.occurrence, NOON)
            runs.begin(desk.session, [wanted], NOON, "tester")
            found.append(started.id)
        return found


def ends_well(session: Session, run_id: int) -> str:
    """The worker's last transaction."""
    row = session.get_one(AutomationRun, run_id)
    begun = Begun(row.id, row.execution_id, 1, NOON)
    chains.lock(session, row.schedule_id)
    try:
        with session.begin_nested():
            runs.end(session, begun, RunStatus.SUCCESS, NOON + MINUTE, result=None, reason=None,
                     error=None)  # fmt: skip
    except LostRun:
        return "lost"
    chains.ended(session, row.execution_id, RunStatus.SUCCESS, NOON + MINUTE)
    return "done"


def acts(name: str) -> Act:
    def act(session: Session, run_id: int) -> str:
        its = session.get_one(AutomationRun, run_id).schedule.schedule_id
        getattr(schedules, f"{name}_schedule")(session, its, None, now=NOON + MINUTE, door=DOOR)
        return "done"

    return act


def cancels(session: Session, run_id: int) -> str:
    its = session.get_one(AutomationRun, run_id).execution_id
    try:
        schedules.cancel_run(session, its, None, now=NOON + MINUTE, door=DOOR)
    except ScheduleConflictException:
        return "lost"
    return "done"


class Facts(NamedTuple):
    """How a run ended, how many followed, and what became of its schedule."""

    status: RunStatus
    followers: int
    remembered: str | None
    alarms: int
    stands: str


def facts(session: Session, run_id: int) -> Facts:
    row = session.get_one(AutomationRun, run_id)
    r, its = AutomationRun, row.schedule
    follows = sa.select(sa.func.count()).where(r.parent_execution_id == row.execution_id)
    alarm = sa.select(sa.func.count()).where(Job.id.contains(its.schedule_id))
    stands = "removed" if its.deleted_at else str(its.state)
    followers, alarms = session.scalar(follows) or 0, session.scalar(alarm) or 0
    return Facts(row.status, followers, its.last_run_status, alarms, stands)


STANDS = {"pause": "paused", "remove": "removed", "clone": "active"}


@pytest.mark.parametrize("name", ["pause", "remove", "clone"])
def test_a_run_under_way_ends_once_whatever_becomes_of_its_schedule(app: Flask, name: str) -> None:
    ids = under_way(app)
    assert together(app, ids, ends_well, acts(name)) == [("done", "done")] * ROUNDS
    for run_id in ids:
        found = run(app, lambda s, id_=run_id: facts(s, id_))
        alarms = 1 if name == "clone" else 0
        assert found == (RunStatus.SUCCESS, 1, RunStatus.SUCCESS, alarms, STANDS[name])
    if name == "clone":
        s = AutomationSchedule
        copies = sa.select(sa.func.count()).where(s.name.contains("(copy)"), s.active.is_(False))
        assert run(app, lambda session: session.scalar(copies)) == ROUNDS


def test_of_its_end_and_a_cancel_one_holds(app: Flask) -> None:
    ids = under_way(app)
    for run_id, said in zip(ids, together(app, ids, ends_well, cancels), strict=True):
        assert sorted(said) == ["done", "lost"]
        well = said[0] == "done"
        found = run(app, lambda s, id_=run_id: facts(s, id_))
        assert found.status == found.remembered
        assert found.status == (RunStatus.SUCCESS if well else RunStatus.CANCELLED)
        assert found.followers == (1 if well else 0)


# --- whoever follows is removed ------------------------------------------------------------------


def removes_the_follower(session: Session, run_id: int) -> str:
    follower = session.get_one(AutomationRun, run_id).schedule.on_success_schedule_id
    its = session.get_one(AutomationSchedule, follower).schedule_id
    schedules.remove_schedule(session, its, None, now=NOON + MINUTE, door=DOOR)
    return "done"


def waiting_for_nobody(session: Session) -> int:
    """How many runs of schedules that are removed wait for their turn."""
    r, s = AutomationRun, AutomationSchedule
    of_removed = sa.select(s.id).where(s.deleted_at.is_not(None))
    waiting = sa.select(sa.func.count()).where(
        r.schedule_id.in_(of_removed), r.status == RunStatus.QUEUED
    )
    return session.scalar(waiting) or 0


def test_nothing_waits_for_a_follower_that_is_removed_meanwhile(app: Flask) -> None:
    ids = under_way(app)
    assert together(app, ids, ends_well, removes_the_follower) == [("done", "done")] * ROUNDS
    assert run(app, waiting_for_nobody) == 0
    assert {run(app, lambda s, id_=id_: facts(s, id_)).status for id_ in ids} == {RunStatus.SUCCESS}


# --- the controls: on a plain engine, since SQLite's slot is a lock too --------------------------


def nothing() -> None:
    pass


@contextmanager
def written_back_whole(between: Callable[[], None]) -> Iterator[None]:
    """Who ends a run reads its schedule, locks nothing, and writes back all of it."""
    acts, seen, ended = iter([between]), dict[str, Any](), chains.ended

    def only_read(session: Session, schedule_id: int) -> None:
        row = session.get_one(AutomationSchedule, schedule_id)
        columns = [column.key for column in sa.inspect(AutomationSchedule).column_attrs]
        for name in columns:
            if not name.startswith("last_"):
                seen.setdefault(name, getattr(row, name))
        next(acts, nothing)()

    def write_back(session: Session, execution_id: str, *rest: Any, **more: Any) -> None:
        ended(session, execution_id, *rest, **more)
        s = AutomationSchedule
        session.flush()
        session.execute(sa.update(s).where(s.id == seen["id"]).values(**seen))

    with patch.object(chains, "lock", only_read), patch.object(chains, "ended", write_back):
        yield


@pytest.mark.parametrize("name", ["pause", "remove"])
def test_without_the_lock_a_schedule_that_was_stopped_is_on_again(url: str, name: str) -> None:
    app = controls.plain_app(url)
    [run_id] = under_way(app, 1)
    act = acts(name)
    with written_back_whole(lambda: in_another_thread(lambda: run(app, lambda s: act(s, run_id)))):
        assert run(app, lambda s: ends_well(s, run_id)) == "done"
    found = run(app, lambda s: facts(s, run_id))
    assert (found.stands, found.alarms) == ("active", 0)  # on, and nothing will ever wake it


def ends_carelessly(between: Callable[[], None]) -> Act:
    """The worker's last transaction as one would write it at first: look, then set."""

    def end(session: Session, run_id: int) -> str:
        row = session.get_one(AutomationRun, run_id)
        if row.status is not RunStatus.RUNNING:
            return "lost"
        between()
        r = AutomationRun
        well = {"status": RunStatus.SUCCESS, "finished_at": NOON + MINUTE}
        session.execute(sa.update(r).where(r.id == run_id).values(**well))
        chains.ended(session, row.execution_id, RunStatus.SUCCESS, NOON + MINUTE)
        return "done"

    return end


def test_without_the_guard_a_run_that_was_cancelled_succeeds_and_is_followed(url: str) -> None:
    app = controls.plain_app(url)
    [run_id] = under_way(app, 1)
    said: list[str] = []

    def cancel() -> None:
        said.append(run(app, lambda s: cancels(s, run_id)))

    end = ends_carelessly(lambda: in_another_thread(cancel))
    said.append(run(app, lambda s: end(s, run_id)))
    found = run(app, lambda s: facts(s, run_id))
    assert said == ["done", "done"]
    assert (found.status, found.followers) == (RunStatus.SUCCESS, 1)


@contextmanager
def not_locked(between: Callable[[], None]) -> Iterator[None]:
    """Whoever follows is only read; then another has time to remove it."""
    acts, limit_reached = iter([between]), recurring.limit_reached

    def seen(schedule: AutomationSchedule) -> bool:
        found = limit_reached(schedule)
        next(acts, nothing)()
        return found

    with (
        patch.object(chains, "lock", lambda _session, _id: None),
        patch.object(recurring, "limit_reached", seen),
    ):
        yield


@pytest.mark.parametrize("kind", ["postgresql"])  # on SQLite the end writes before it looks
def test_without_its_lock_a_run_waits_for_ever_for_a_follower_that_is_removed(url: str) -> None:
    app = controls.plain_app(url)
    [run_id] = under_way(app, 1)

    def remove() -> None:
        run(app, lambda s: removes_the_follower(s, run_id))

    with not_locked(lambda: in_another_thread(remove)):
        assert run(app, lambda s: ends_well(s, run_id)) == "done"
    assert run(app, waiting_for_nobody) == 1
