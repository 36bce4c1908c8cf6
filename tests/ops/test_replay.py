"""`flask replay`: the same story on both databases, and a command that explains itself (RD3)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import Result
from flask import Flask

from app import create_app
from app.extensions import db
from app.models import EnrolmentHistory, Outbox, Training
from app.ops.demand import Demand, generate
from app.ops.replay import Figures, run
from config import Settings
from tests import databases
from tests.races import mutants

KEYS = [
    *("trainings", "arrivals", "departures", "absorbed", "enrolled", "waiting", "invited_total"),
    *("accepted", "declined", "expired", "too_late"),
    *("oversold", "fifo_violations", "idle_spots", "history_gaps", "letters", "seconds"),
]
DAYS = generate(1, sections=1, days=4)

# Six want one of three places, three leave, the room shrinks to one place, all leave.
FILE = """time,course,section,section_id,instructor,enrolled,waitlisted,total
2026-01-05T08:00:00Z,Pottery,A,1,Tess,3,3,3
2026-01-05T09:00:00Z,Pottery,A,1,Tess,3,0,3
2026-01-05T09:00:00Z,Bread,A,2,Tom,0,0,9999
2026-01-05T10:00:00Z,Pottery,A,1,Tess,2,0,1
2026-01-09T10:00:00Z,Pottery,A,1,Tess,0,0,1
"""


def replayed(url: str, demand: Demand, seed: int = 1, **options: object) -> dict[str, object]:
    app = databases.app_on(url)
    figures = run(app, demand, seed=seed, **options)
    with app.app_context():
        db.engine.dispose()
    return {name: value for name, value in asdict(figures).items() if name != "seconds"}


def test_the_same_seed_tells_the_same_story_on_both_databases_another_seed_does_not() -> None:
    stories = []
    for kind, seed in (("sqlite", 1), ("postgresql", 1), ("sqlite", 2)):
        with databases.a_database(kind) as url:
            stories.append(replayed(url, DAYS, seed))
    assert stories[0] == stories[1] != stories[2]
    assert stories[0]["invited_total"]


def test_the_clock_stops_where_it_is_told(url: str) -> None:
    half = DAYS.changes[len(DAYS.changes) // 2].at
    figures = replayed(url, DAYS, until=half)
    with databases.app_on(url).app_context():
        last = db.session.scalar(sa.select(sa.func.max(EnrolmentHistory.at)))
        db.engine.dispose()
    assert last is not None
    assert last <= half
    assert figures["history_gaps"] == 0


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "demand.csv"
    path.write_text(FILE)
    return str(path)


@pytest.fixture
def bare() -> Flask:
    """The application of a machine where nothing is set."""
    return create_app(Settings.model_construct())


def flask_replay(app: Flask, *args: str) -> Result:
    return app.test_cli_runner().invoke(args=["replay", *args])


def test_a_file_is_replayed_without_any_setting(bare: Flask, file: str) -> None:
    done = flask_replay(bare, file, "--json")
    assert done.exit_code == 0
    figures = json.loads(done.stdout)
    assert list(figures) == KEYS
    assert (figures["trainings"], figures["arrivals"]) == (2, 6)
    assert figures["departures"] + figures["absorbed"] == 6
    assert not any(figures[name] for name in ("oversold", "fifo_violations", "idle_spots"))
    assert "5 of 5 changes (100 %)" in done.stderr


def test_figures_are_explained_in_a_table(bare: Flask) -> None:
    done = flask_replay(bare, "--generate", "1", "--until", "2026-01-06T00:00")
    assert done.exit_code == 0
    assert "✓ oversold               0  places given that were not there" in done.stdout
    assert done.stdout.endswith("Every promise was kept.\n")


def test_a_broken_promise_ends_in_a_fault(bare: Flask, file: str) -> None:
    with mutants.no_refill():
        done = flask_replay(bare, file)
    assert done.exit_code == 1
    assert "✗ idle_spots" in done.stdout
    assert done.stdout.endswith("Promises were broken: see ✗.\n")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "Give a FILE of demand, or --generate N"),
        (["FILE", "--generate", "2"], "Give a FILE of demand, or --generate N"),
        (["--generate", "2", "--catalogue", "FILE"], "--catalogue goes with a FILE"),
        (["--generate", "0"], "0 is not in the range"),
        (["nowhere.csv"], "'nowhere.csv' does not exist"),
        (["FILE", "--catalogue", "FILE"], "demand.csv, line 1: needs the column subj_course_id"),
        (["FILE", "--until", "soon"], "'soon' is no instant such as"),
        (["FILE", "--until", "2025-01-01"], "--until is before the first change, at 2026-01-05"),
        (["FILE", "--db", "mysql://x/y"], "--db asks for 'mysql'"),
        (["FILE", "--db", "sqlite://"], "--db names an SQLite database in memory"),
    ],
)
def test_wrong_use_is_answered_by_a_sentence(
    bare: Flask, file: str, args: list[str], says: str
) -> None:
    done = flask_replay(bare, *[file if arg == "FILE" else arg for arg in args])
    assert done.exit_code == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_database_is_migrated_and_keeps_what_was_replayed(
    bare: Flask, file: str, kind: str
) -> None:
    with databases.an_empty_database(kind) as url:
        done = flask_replay(bare, file, "--db", url, "--json")
        assert done.exit_code == 0
        with databases.app_on(url).app_context():
            names = set(db.session.scalars(sa.select(Training.name)))
            unsent = set(db.session.scalars(sa.select(Outbox.state)))
            db.session.remove()
            db.engine.dispose()
    assert names == {"Pottery A", "Bread A"}
    assert unsent == {"pending"}


def test_a_database_in_use_is_refused(bare: Flask, file: str, url: str) -> None:
    first = flask_replay(bare, file, "--db", url)
    assert first.exit_code == 0, first.stderr
    again = flask_replay(bare, file, "--db", url)
    assert again.exit_code == 2
    assert "--db is not empty: practice has rows" in again.stderr


def test_a_database_of_something_else_is_refused(bare: Flask, file: str, kind: str) -> None:
    with databases.an_empty_database(kind) as url:
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE theirs (id INTEGER)"))
        engine.dispose()
        done = flask_replay(bare, file, "--db", url)
    assert done.exit_code == 2
    assert "tables of something else" in done.stderr


def test_the_database_of_the_installation_is_left_alone(app: Flask, url: str, file: str) -> None:
    done = flask_replay(app, file, "--db", url)
    assert done.exit_code == 2
    assert "the database of this installation" in done.stderr


@pytest.mark.parametrize(
    "url", ["postgresql://nobody@127.0.0.1:1/none", "sqlite:////no/such/folder/replay.db"]
)
def test_a_database_out_of_reach_ends_in_5(bare: Flask, file: str, url: str) -> None:
    done = flask_replay(bare, file, "--db", url)
    assert done.exit_code == 5
    assert "cannot be reached" in done.stderr


def test_a_fault_of_any_kind_counts_as_a_violation() -> None:
    perfect = dict.fromkeys(KEYS, 0)
    assert Figures(**perfect).violations == 0
    for name in ("oversold", "fifo_violations", "idle_spots", "history_gaps"):
        assert Figures(**{**perfect, name: 1}).violations == 1
