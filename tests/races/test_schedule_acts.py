"""Schedules that are deleted, paused or copied while a run of theirs ends: one outcome (X4, O1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.models import AutomationRun, AutomationSchedule, Job
from app.models.automation import RunStatus
from app.services import chains, runs, schedules
from app.services.runs import Begun, LostRun
from app.services.schedule_errors import ScheduleConflictException
from tests.cast import MINUTE, NOON
from tests.races.runners import committed, run, together
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


def facts(session: Session, run_id: int) -> tuple[Any, ...]:
    """How the run ended, how many followed, what its schedule remembers, and its alarms."""
    row = session.get_one(AutomationRun, run_id)
    r, its = AutomationRun, row.schedule
    follows = sa.select(sa.func.count()).where(r.parent_execution_id == row.execution_id)
    alarm = sa.select(sa.func.count()).where(Job.id.contains(its.schedule_id))
    return row.status, session.scalar(follows), its.last_run_status, session.scalar(alarm)


@pytest.mark.parametrize("name", ["pause", "remove", "clone"])
def test_a_run_under_way_ends_once_whatever_becomes_of_its_schedule(app: Flask, name: str) -> None:
    ids = under_way(app)
    assert together(app, ids, ends_well, acts(name)) == [("done", "done")] * ROUNDS
    for run_id in ids:
        status, followers, remembered, alarms = run(app, lambda s, id_=run_id: facts(s, id_))
        assert (status, followers, remembered) == (RunStatus.SUCCESS, 1, RunStatus.SUCCESS)
        assert alarms == (1 if name == "clone" else 0)
    if name == "clone":
        s = AutomationSchedule
        copies = sa.select(sa.func.count()).where(s.name.contains("(copy)"), s.active.is_(False))
        assert run(app, lambda session: session.scalar(copies)) == ROUNDS


def test_of_its_end_and_a_cancel_one_holds(app: Flask) -> None:
    ids = under_way(app)
    for run_id, said in zip(ids, together(app, ids, ends_well, cancels), strict=True):
        assert sorted(said) == ["done", "lost"]
        well = said[0] == "done"
        status, followers, remembered, _alarms = run(app, lambda s, id_=run_id: facts(s, id_))
        assert status == remembered == (RunStatus.SUCCESS if well else RunStatus.CANCELLED)
        assert followers == (1 if well else 0)
