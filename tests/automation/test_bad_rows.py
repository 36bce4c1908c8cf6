"""Texts and rows that no code of ours wrote: each costs its own job and no other (L5, JX6)."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest
import sqlalchemy as sa

from app.automation import claims, execution
from app.automation.automation_base import Skip
from app.automation.claims import BadState, read_state
from app.automation.scheduler import app_scheduler
from app.automation.scheduler_ops import renew_automations
from app.extensions import db, write
from app.models import AutomationRun, Job, User
from app.models.text import said_by, storable
from tests.automation import tasks
from tests.automation.tasks import Chore, Chores, Engine, raises
from tests.automation.test_execution import NONSENSE
from tests.cast import DAY, HOUR, MINUTE, NOON

apps, engine = tasks.apps, tasks.engine

ODD_TEXTS = ["bad \udce9", "bad \0"]


@pytest.fixture
def unlogged(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """What is logged of odd texts would have to cross to pytest's other process."""
    caplog.set_level(logging.CRITICAL + 1, "app")


# --- what is said of an error --------------------------------------------------------------------


class Mute(Exception):
    """It cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("text", "kept"),
    [("plain é 🙂", "plain é 🙂"), ("a\0b", "a\\x00b"), ("\udce9", "\\udce9"), ("x" * 9, "xxxxx")],
)
def test_what_is_kept_of_a_text_can_be_stored(text: str, kept: str) -> None:
    assert storable(text, 5 if text[0] == "x" else None) == kept


@pytest.mark.parametrize(
    ("error", "said"),
    [(ValueError("no"), "no"), (ValueError(), "ValueError"), (Mute(), "Mute")],
)
def test_an_error_says_something(error: Exception, said: str) -> None:
    assert said_by(error) == said


@pytest.mark.usefixtures("unlogged")
@pytest.mark.parametrize("text", ODD_TEXTS)
@pytest.mark.parametrize("cls", [Chore, Chores])
def test_an_error_that_cannot_be_stored_as_it_is_costs_its_own_job_alone(
    engine: Engine, cls: Any, text: str
) -> None:
    engine.schedule("mixed", cls)
    engine.plan("a", "b", "c", schedule="mixed", cls=cls)
    Chore.acts = {"b": raises(ValueError(text))}
    [line] = engine.tick()
    assert engine.effects() == {"a": 1, "c": 1}
    assert list(engine.jobs()) == ["b"]
    run, job = engine.runs()["b"], engine.jobs()["b"]
    assert (run.status, run.error) == ("queued", storable(text))
    assert (job.last_error, job.claim) == (storable(text), None)
    assert storable(text) in (run.traceback or "")
    assert line.error == f"ValueError: {storable(text)}"
    assert engine.the_schedule("mixed").last_run_error == line.error


@pytest.mark.usefixtures("unlogged")
@pytest.mark.parametrize("text", ODD_TEXTS)
def test_a_reason_to_skip_that_cannot_be_stored_is_spelt_out(engine: Engine, text: str) -> None:
    engine.plan("a", "b")
    Chore.acts = {"a": raises(Skip(text))}
    engine.tick()
    engine.plan("c")
    Chore.acts = {"c": raises(Skip(text))}
    engine.tick(paces=tasks.QUICK)
    assert engine.statuses() == {"a": "skipped", "b": "success", "c": "skipped"}
    assert {engine.runs()[item].reason for item in "ac"} == {storable(text)}


@pytest.mark.usefixtures("unlogged")
@pytest.mark.parametrize("text", ODD_TEXTS)
def test_what_could_not_begin_is_put_off_whatever_the_reason(
    engine: Engine, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.schedule("mixed", Chores)
    engine.plan("a", schedule="mixed", cls=Chores)
    engine.plan("b")
    monkeypatch.setattr(Chores, "batches", classmethod(tasks.raises_with(ValueError(text))))
    engine.tick()
    assert engine.effects() == {"b": 1}
    assert (engine.jobs()["a"].last_error, engine.jobs()["a"].claim) == (storable(text), None)


def test_what_cannot_be_recorded_stops_nobody(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    done = []

    def do(number: int) -> None:
        if number == 1:
            raise ValueError("no")
        done.append(number)

    with engine.app.app_context():
        failed = tasks.raises_with(RuntimeError("and no pen"))
        execution.each(db.session(), [0, 1, 2], do, failed=failed)
    assert done == [0, 2]
    assert "could not be recorded" in caplog.text


# --- nobody's data in it -------------------------------------------------------------------------


def writes_a_bad_user(task: Any) -> None:
    names = {"first_name": "Anna", "last_name": "Secret", "active": True}
    task.session.add(User(email="anna.secret@example.org", fs_uniquifier=None, **names))
    task.session.flush()


def test_an_error_of_the_database_tells_nothing_of_a_row(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.plan("sweep")
    Chore.acts = {"sweep": writes_a_bad_user}
    [line] = engine.tick()
    run, job = engine.runs()["sweep"], engine.jobs()["sweep"]
    told = [run.error, run.traceback, job.last_error, line.error, caplog.text]
    assert not [text for text in told if re.search("anna", text or "", re.I)]
    assert "fs_uniquifier" in (run.error or "")
    assert "\n" not in f"{run.error}{job.last_error}{line.error}"
    assert "writes_a_bad_user" in (run.traceback or "")


def test_the_line_on_the_console_is_one_line(engine: Engine) -> None:
    engine.plan("sweep")
    Chore.acts = {"sweep": raises(ValueError("\n one\ntwo"))}
    [line] = engine.tick()
    assert line.error == "ValueError: one"


# --- rows ----------------------------------------------------------------------------------------


def state(item: str = "x", schedule: str = "chores", cls: str = "Chore") -> bytes:
    return json.dumps({"v": 1, "args": [item, schedule, cls], "kwargs": {}}).encode()


BAD_PARTS = {
    "item with NUL": {"item": "a\0b"},
    "item with half a letter": {"item": "\ud800"},
    "no item": {"item": ""},
    "long item": {"item": "y" * 101},
    "schedule with NUL": {"schedule": "a\0b"},
    "schedule with half a letter": {"schedule": "\ud800"},
    "long schedule": {"schedule": "y" * 201},
    "class with NUL": {"cls": "a\0b"},
    "class with half a letter": {"cls": "\ud800"},
    "long class": {"cls": "z" * 101},
}


@pytest.mark.parametrize("parts", BAD_PARTS.values(), ids=BAD_PARTS.keys())
def test_a_state_names_only_what_its_columns_can_hold(parts: dict[str, str]) -> None:
    with pytest.raises(BadState, match="is empty, too long or not to be stored"):
        read_state(state(**parts))


def test_a_state_names_all_that_its_columns_can_hold() -> None:
    for letter in "yé":
        longest = [letter * most for most in claims.LONGEST]
        assert list(read_state(state(*longest))) == longest
    assert claims.LONGEST == (100, 200, 100)


def test_bad_parts_are_parked_and_hold_up_nothing_of_their_schedule(engine: Engine) -> None:
    for name, parts in BAD_PARTS.items():
        engine.raw_job(name, state(**parts))
    engine.plan("sweep")
    engine.tick()
    jobs = engine.jobs()
    assert set(jobs) == set(BAD_PARTS)
    assert all(job.next_run_time is None and job.last_error for job in jobs.values())
    assert engine.effects() == {"sweep": 1}


@pytest.mark.parametrize("number", [2**31 - 1, -(2**31)])
def test_any_number_of_attempts_can_be_claimed(engine: Engine, number: int) -> None:
    engine.plan("sweep")
    engine.change(Job, attempts=number)
    engine.plan("dust")
    engine.tick()
    assert engine.effects() == {"sweep": 1, "dust": 1}


ODD_DATES = {
    "sqlite": ["garbage", 12345, "infinity", "0044-03-15 12:00:00 BC", "20000-01-01 00:00:00"],
    "postgresql": ["infinity", "-infinity", "0044-03-15 12:00:00 BC", "20000-01-01 00:00:00"],
}


def plant_odd_dates(engine: Engine, kind: str) -> list[str]:
    """A job for each date that Python cannot hold, or that is none."""
    dates = ODD_DATES[kind]
    odd = [f"odd{n}" for n in range(len(dates))]
    engine.plan(*odd)
    for id_, date in zip(odd, dates, strict=True):
        typed = sa.text("UPDATE apscheduler_jobs SET due = :due WHERE id = :id").bindparams(
            due=date, id=f"chores/{id_}/PRODUCTION"
        )
        engine.sql(typed)
    return odd


def parked(engine: Engine) -> dict[str, str]:
    """Item -> reason, by columns that can be read."""
    with engine.app.app_context():
        rows = db.session.execute(
            sa.select(Job.id, Job.last_error).where(Job.next_run_time.is_(None))
        )
        return {row.id.split("/")[1]: row.last_error for row in rows}


def test_a_due_time_that_cannot_be_read_parks_its_job_and_stops_no_other(
    engine: Engine, kind: str
) -> None:
    engine.plan("sweep")
    plant_odd_dates(engine, kind)
    engine.tick()
    assert engine.effects()["sweep"] == 1
    # `infinity` is a date to PostgreSQL and its driver: what is due then waits for its own time.
    unreadable = {"when it is due cannot be read"}
    assert len(parked(engine)) >= (5 if kind == "sqlite" else 1)
    assert set(parked(engine).values()) == unreadable
    assert engine.claim() == []


def test_a_due_time_that_cannot_be_read_stops_no_renewal_and_no_list(
    engine: Engine, kind: str
) -> None:
    plant_odd_dates(engine, kind)
    Chore.things["sweep"] = NOON + DAY
    with engine.app.app_context():
        renew_automations(NOON)
        assert "sweep" in {job.args[0] for job in app_scheduler.get_jobs()}
        renewed = renew_automations(NOON + MINUTE)
    assert renewed.left_out == []


@pytest.mark.parametrize("kind", ["sqlite"])
def test_one_such_job_can_be_run_by_itself_and_removed(engine: Engine, kind: str) -> None:
    odd, other, *_ = plant_odd_dates(engine, kind)
    with engine.app.app_context():
        assert execution.run(odd, "chores", "Chore", clock=lambda: NOON) is True
        app_scheduler.remove_job(f"chores/{other}/PRODUCTION")
        left = set(db.session.scalars(sa.select(Job.id)))
    assert not left & {f"chores/{odd}/PRODUCTION", f"chores/{other}/PRODUCTION"}


@pytest.mark.parametrize("kind", ["sqlite"])
def test_a_text_where_an_alarm_should_be_stops_nobody(engine: Engine) -> None:
    engine.raw_job("typed", NONSENSE["empty"])
    engine.sql(sa.text("UPDATE apscheduler_jobs SET next_run_time = 'abc'"))
    with engine.app.app_context():
        assert claims.next_due(db.session()) is None
    engine.plan("sweep")
    engine.tick(NOON + HOUR)
    assert engine.effects() == {"sweep": 1}


def test_the_ledger_keeps_a_text_of_any_length_apart(engine: Engine) -> None:
    engine.plan("sweep")
    Chore.acts = {"sweep": raises(ValueError("x" * 100_000))}
    engine.tick()
    with engine.app.app_context(), write(db.session):
        row = db.session.execute(sa.select(AutomationRun.error, AutomationRun.traceback)).one()
    assert [len(text) for text in row] == [2000, 20_000]
