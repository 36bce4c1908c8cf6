"""Who has a job, and for how long (reliability JX1, SI4; performance P2)."""

from __future__ import annotations

import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from app.automation import claims, execution
from app.automation.claims import Claimed, Fenced
from app.extensions import db, unit, write
from app.models import Job, SchedulerEpoch
from tests.automation import tasks
from tests.automation.tasks import Chore, Chores, Engine
from tests.cast import DAY, NOON, SECOND
from tests.forks import Forked
from tests.statements import count_statements, verbs

apps, engine = tasks.apps, tasks.engine


def act(engine: Engine, what: Any, *args: Any) -> Any:
    with engine.app.app_context(), write(db.session):
        return what(db.session(), *args)


def test_a_claim_takes_the_longest_due_and_no_more_than_there_is_room_for(engine: Engine) -> None:
    for n in range(6):
        engine.plan(f"i{n}", due=NOON - n * SECOND)
    first = engine.claim(room=4)
    assert [job.id.split("/")[1] for job in first] == ["i5", "i4", "i3", "i2"]
    assert [job.due for job in first] == [NOON - n * SECOND for n in (5, 4, 3, 2)]
    assert [job.id.split("/")[1] for job in engine.claim()] == ["i1", "i0"]
    assert engine.claim() == []


def test_a_claim_moves_the_alarm_to_the_end_of_the_lease_and_leaves_the_due_time(
    engine: Engine,
) -> None:
    engine.plan("sweep", due=NOON - SECOND)
    [mine] = engine.claim()
    job = engine.jobs()["sweep"]
    assert (job.claim, job.attempts, job.due) == (mine.token, 1, NOON - SECOND)
    assert job.next_run_time == (NOON + claims.LEASE).timestamp()


def test_when_the_lease_ends_it_is_claimed_again_not_before(engine: Engine) -> None:
    engine.plan("sweep")
    engine.claim()
    assert engine.claim(now=NOON + claims.LEASE - SECOND) == []
    [again] = engine.claim(now=NOON + claims.LEASE)
    assert again.attempts == 2


def test_a_lease_that_is_renewed_goes_on_and_no_other_does(engine: Engine) -> None:
    engine.plan("kept", "left")
    [kept] = engine.claim(room=1)
    [left] = engine.claim()
    act(engine, claims.keep, [kept.token], NOON + 20 * SECOND)
    assert [job.id for job in engine.claim(now=NOON + 31 * SECOND)] == [left.id]
    assert [job.id for job in engine.claim(now=NOON + 50 * SECOND)] == [kept.id]


def test_who_lost_its_claim_changes_nothing(engine: Engine) -> None:
    engine.plan("sweep")
    [old] = engine.claim()
    [new] = engine.claim(now=NOON + claims.LEASE)
    act(engine, claims.done, [old])
    act(engine, claims.park, old, "no")
    act(engine, claims.back_off, old, NOON, "no")
    act(engine, claims.plan_again, old, NOON + DAY)
    act(engine, claims.give_back, [old], NOON)
    act(engine, claims.keep, [old.token], NOON + DAY)
    job = engine.jobs()["sweep"]
    assert (job.claim, job.attempts, job.last_error, job.due) == (new.token, 2, None, NOON)
    assert job.next_run_time == (NOON + 2 * claims.LEASE).timestamp()
    act(engine, claims.done, [new])
    assert engine.jobs() == {}


def test_the_next_alarm_is_told(engine: Engine) -> None:
    assert act(engine, claims.next_due) is None
    engine.plan("later", due=NOON + DAY)
    engine.plan("sooner", due=NOON + SECOND)
    assert act(engine, claims.next_due) == NOON + SECOND
    engine.raw_job("parked", b"{", due=None)
    assert act(engine, claims.next_due) == NOON + SECOND


@pytest.mark.parametrize("number", [-1e300, -1.0, 1e300, float("inf"), float("-inf")])
def test_a_number_that_is_no_date_stops_nobody(engine: Engine, number: float) -> None:
    engine.raw_job("odd", b"{")
    engine.change(Job, next_run_time=number)
    engine.plan("sweep")
    assert act(engine, claims.next_due) <= NOON
    engine.tick()
    assert engine.effects() == {"sweep": 1}


@pytest.mark.parametrize("kind", ["postgresql"])
def test_postgresql_never_takes_more_than_there_is_room_for(engine: Engine) -> None:
    statement = str(claims._claim("postgresql", claims.Environment.PRODUCTION))
    assert "due_jobs AS MATERIALIZED" in " ".join(statement.split())
    engine.plan(*[f"i{n}" for n in range(300)])
    engine.sql(sa.text("ANALYZE apscheduler_jobs"))
    assert len(engine.claim(room=7)) == 7


# --- several at once -----------------------------------------------------------------------------


@pytest.mark.timeout(60)
def test_four_claimers_never_share_a_job(engine: Engine) -> None:
    items = [f"i{n:03}" for n in range(200)]
    engine.plan(*items)
    start = threading.Barrier(4, timeout=20)

    def claim_all() -> list[Claimed]:
        start.wait()
        mine: list[Claimed] = []
        while some := engine.claim(room=7):
            mine += some
        return mine

    with ThreadPoolExecutor(4) as pool:
        claimed = [future.result() for future in [pool.submit(claim_all) for _ in range(4)]]
    counted = Counter(job.id.split("/")[1] for mine in claimed for job in mine)
    assert counted == dict.fromkeys(items, 1)


CLAIMER = """
import sys
from app.automation import claims
from app.extensions import db, unit
from app.models.types import new_uuid
from tests import databases
from tests.cast import NOON

with databases.app_on(sys.argv[1]).app_context():
    session = db.session()
    print("ready", flush=True)
    sys.stdin.readline()
    while some := unit(session, lambda: claims.claim(session, NOON, 5, new_uuid())):
        print(*[job.id for job in some], sep="\\n", flush=True)
"""


@pytest.mark.timeout(60)
def test_two_processes_never_share_a_job(app: Flask) -> None:
    with tasks.registered(Chore):
        engine = Engine(app)
        engine.schedule()
        items = [f"i{n:03}" for n in range(150)]
        engine.plan(*items)
    url = app.config["SQLALCHEMY_DATABASE_URI"]
    text = url if isinstance(url, str) else url.render_as_string(hide_password=False)
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    both: list[Any] = [Forked(["-c", CLAIMER, text], **pipes) for _ in range(2)]
    for one in both:
        one.stdout.readline()  # it is ready
    for one in both:
        one.stdin.write("go\n")
        one.stdin.flush()
    claimed = [one.stdout.read().split() for one in both]
    assert [one.wait(30) for one in both] == [0, 0]
    for one in both:
        one.close()
    assert sorted(id_.split("/")[1] for mine in claimed for id_ in mine) == items


# --- the fence -----------------------------------------------------------------------------------


def set_epoch(engine: Engine, number: int) -> None:
    engine.sql(sa.delete(SchedulerEpoch))
    engine.sql(sa.insert(SchedulerEpoch).values(id=1, epoch=number))


def test_who_has_an_old_epoch_claims_nothing(engine: Engine) -> None:
    engine.plan("sweep")
    set_epoch(engine, 12)
    with pytest.raises(Fenced):
        act(engine, claims.claim, NOON, 10, "old", 11)
    assert engine.jobs()["sweep"].claim is None
    assert len(act(engine, claims.claim, NOON, 10, "new", 12)) == 1


def test_without_an_epoch_row_nobody_claims(engine: Engine) -> None:
    engine.plan("sweep")
    engine.sql(sa.delete(SchedulerEpoch))
    with pytest.raises(Fenced):
        act(engine, claims.claim, NOON, 10, "mine", 1)


@pytest.mark.parametrize("kind", ["postgresql"])
def test_a_take_over_waits_for_who_is_just_claiming(engine: Engine) -> None:
    engine.plan("sweep")
    set_epoch(engine, 1)
    taken = threading.Event()

    def take_over() -> None:
        set_it = sa.update(SchedulerEpoch).values(epoch=2)
        engine.sql(set_it)
        taken.set()

    with engine.app.app_context(), ThreadPoolExecutor(1) as pool:
        session = db.session()
        with write(session):
            assert len(claims.claim(session, NOON, 10, "mine", 1)) == 1
            future = pool.submit(take_over)
            assert not taken.wait(0.2)
        future.result(10)
    assert taken.is_set()


# --- few statements ------------------------------------------------------------------------------


def sent_for(engine: Engine, count: int, cls: Any) -> list[str]:
    name = f"many {count}"
    engine.schedule(name, cls)
    engine.plan(*[f"{name} {n}" for n in range(count)], schedule=name, cls=cls)
    with engine.app.app_context(), count_statements(db.session()) as sent:
        engine.tick()
    assert len(engine.effects()) >= count
    return [s for s in sent if "effect" not in s]


@pytest.mark.parametrize(("cls", "most"), [(Chore, 0.2), (Chores, 0.03)])
def test_two_thousand_light_jobs_take_few_statements(
    engine: Engine, cls: Any, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "SLICE_SECONDS", 0.5)  # this machine may be busy
    sent = sent_for(engine, 2000, cls)
    assert len(sent) <= most * 2000, Counter(verbs(sent))


def test_heavy_tasks_each_get_a_transaction_of_their_own(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "SLICE_SECONDS", 0.0)
    sent = verbs(sent_for(engine, 6, Chore))
    assert sent.count("DELETE apscheduler_jobs") == 6


def test_nobody_waits_for_a_task_that_only_reads(engine: Engine) -> None:
    pause = tasks.Pause()

    def read_and_wait(task: Any) -> None:
        task.session.scalar(sa.select(sa.func.count()).select_from(Job))
        pause(task)

    engine.plan("sweep")
    Chore.acts = {"sweep": read_and_wait}
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(engine.tick)
        assert pause.reached.wait(20)
        with engine.app.app_context():
            unit(db.session, lambda: db.session.execute(sa.update(Job).values(last_error="hm")))
        pause.go_on.set()
        future.result(20)
    assert engine.effects() == {"sweep": 1}


def test_a_lease_is_renewed_well_before_it_ends() -> None:
    from app.automation import scheduler

    assert timedelta(seconds=scheduler.SIGN_OF_LIFE) * 2 < claims.LEASE
