"""`flask import`: what it prints, how it ends, and that a bad file leaves nothing (people PC)."""

from __future__ import annotations

import json
import shlex
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import Result
from flask import Flask

import config
from app.extensions import db, write
from app.models import (
    Policy,
    PolicyKind,
    Practice,
    Student,
    Training,
    TrainingEnroll,
    TrainingType,
)
from app.services import importing
from app.services.actors import CONSOLE
from app.services.importing import Kind, Report
from tests import databases
from tests.cast import NOON

ROOT = Path(config.__file__).parent
STUDENTS = "email,first_name,last_name,phone,language,birthday,status\n"
ADA = "ada@example.org,Ada,Lovelace,,en,,active\n"
BEN = "ben@example.org,Ben,Babbage,,en,,active\n"
NOBODY = "nobody,No,Body,,en,,active\n"
TRAININGS = (
    "training;name;type;max_participants;start;end;location;trainers;active\n"
    "pots;Pottery;Craft;1;2126-05-04T09:00;2126-05-04T17:00;Mill;;yes\n"
)
ENROLMENTS = "training,email,status\npots,ada@example.org,enrolled\npots,ben@example.org,waitlist\n"


@pytest.fixture
def clay(app: Flask) -> Flask:
    """An installation with one practice."""
    with app.app_context(), write(db.session):
        db.session.add(Practice(name="Clay & Co", shortname="clay"))
    return app


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def run(app: Flask, folder: Path, kind: str, text: str, *options: str) -> Result:
    path = folder / f"{kind}.csv"
    path.write_text(text)
    return app.test_cli_runner().invoke(args=["import", kind, str(path), *options])


def count(app: Flask, model: type) -> int:
    with app.app_context():
        return db.session.scalar(sa.select(sa.func.count()).select_from(model)) or 0


def test_the_commands_of_the_readme_fill_a_fresh_installation(
    app: Flask, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    trainings = TRAININGS.replace("Mill;;", "Mill;tess@example.org;")
    for name, text in (
        ("students", STUDENTS + ADA + BEN),
        ("trainings", trainings),
        ("enrolments", ENROLMENTS),
    ):
        (folder / f"{name}.csv").write_text(text)
    start = ".venv/bin/flask --app run_web "
    lines = (ROOT / "README.md").read_text().splitlines()
    commands = [line.removeprefix(start) for line in lines if line.startswith(f"{start}import")]
    assert len(commands) == 3
    for command in commands:
        done = app.test_cli_runner().invoke(args=shlex.split(command))
        assert (done.exit_code, done.stderr) == (0, "")
    assert (count(app, Student), count(app, Training), count(app, TrainingEnroll)) == (2, 1, 2)


def test_a_practice_moves_in(clay: Flask, folder: Path) -> None:
    for kind, text, told in (
        ("students", STUDENTS + ADA + BEN, "created 2, changed 0, same 0, invited 0\n"),
        ("trainings", TRAININGS, "created 1, changed 0, same 0, invited 0\n"),
        ("enrolments", ENROLMENTS, "created 2, changed 0, same 0, invited 0\n"),
    ):
        done = run(clay, folder, kind, text)
        assert (done.exit_code, done.stdout, done.stderr) == (0, told, "")
    again = run(clay, folder, "enrolments", ENROLMENTS)
    assert again.stdout == "created 0, changed 0, same 2, invited 0\n"
    with clay.app_context():
        places = db.session.scalars(sa.select(TrainingEnroll).order_by(TrainingEnroll.id))
        assert [str(row.status) for row in places] == ["enrolled", "waitlist"]


def test_one_bad_row_leaves_nothing_and_its_line_is_named(clay: Flask, folder: Path) -> None:
    done = run(clay, folder, "students", STUDENTS + ADA + NOBODY + BEN)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "line 3, email: not an address\nError: Nothing was imported. Faults in the file: 1.\n"
    )
    assert count(clay, Student) == 0


def test_a_fault_found_while_writing_leaves_nothing(clay: Flask, folder: Path) -> None:
    run(clay, folder, "students", STUDENTS + ADA + BEN)
    run(clay, folder, "trainings", TRAININGS)
    both = ENROLMENTS.replace("waitlist", "enrolled")
    done = run(clay, folder, "enrolments", both)
    assert done.exit_code == 1
    assert done.stderr.startswith("line 3, status: no place is left of 1")
    assert count(clay, TrainingEnroll) == 0


@pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=["for good", "dry run"])
def test_who_is_booked_above_a_limit_is_told_beside_the_counts(
    clay: Flask, folder: Path, options: list[str]
) -> None:
    trainings = TRAININGS + TRAININGS.splitlines()[1].replace("pots;", "pans;")
    run(clay, folder, "students", STUDENTS + ADA)
    run(clay, folder, "trainings", trainings)
    with clay.app_context(), write(db.session):
        [crafts] = db.session.scalars(sa.select(TrainingType))
        limit = {"kind": PolicyKind.BOOKING_LIMIT, "parameters": {"max": 1, "days": 28}}
        own = Policy(name="one", practice_id=crafts.practice_id, text_en="One a month.", **limit)
        own.training_types = [crafts]
        db.session.add(own)
    rows = "training,email,status\npots,ada@example.org,enrolled\npans,ada@example.org,enrolled\n"
    done = run(clay, folder, "enrolments", rows, "--dry-run", "--json")
    [told] = json.loads(done.stdout)["warnings"]
    assert (told["line"], told["student"], told["policy"]) == (3, "ada@example.org", "one")
    done = run(clay, folder, "enrolments", rows, *options)
    assert done.exit_code == 0
    assert done.stdout.startswith("created 2, changed 0, same 0, invited 0")
    assert done.stderr == (
        "warning: line 3, ada@example.org, policy one: Above the booking limit of 1 of Craft"
        " within 28 days: Pottery (Sat 4 May 2126).\n"
    )
    assert count(clay, TrainingEnroll) == (0 if options else 2)


def test_a_dry_run_counts_and_writes_nothing(clay: Flask, folder: Path) -> None:
    done = run(clay, folder, "students", STUDENTS + ADA, "--dry-run")
    told = "created 1, changed 0, same 0, invited 0 (dry run: nothing written)\n"
    assert (done.exit_code, done.stdout) == (0, told)
    assert count(clay, Student) == 0
    bad = run(clay, folder, "students", STUDENTS + NOBODY, "--dry-run")
    assert (bad.exit_code, bad.stderr.splitlines()[0]) == (1, "line 2, email: not an address")


def test_json_for_machines(clay: Flask, folder: Path) -> None:
    done = run(clay, folder, "students", STUDENTS + ADA, "--json", "--dry-run")
    assert json.loads(done.stdout) == {
        "created": 1,
        "changed": 0,
        "same": 0,
        "invited": 0,
        "dry_run": True,
        "warnings": [],
    }
    bad = run(clay, folder, "students", STUDENTS + NOBODY, "--json")
    assert bad.exit_code == 1
    assert json.loads(bad.stdout) == [
        {"line": 2, "column": "email", "value": "nobody", "message": "not an address"}
    ]


def test_a_first_import_makes_the_practice_when_told_to(app: Flask, folder: Path) -> None:
    alone = run(app, folder, "students", STUDENTS + ADA)
    assert (alone.exit_code, alone.stderr) == (
        3,
        "Error: There is no practice yet: add --practice SHORTNAME --create-practice NAME to make"
        " it.\n",
    )
    made = ["--practice", "clay", "--create-practice", "Clay & Co", "--timezone", "Asia/Tokyo"]
    assert run(app, folder, "students", STUDENTS + ADA, *made[:2]).exit_code == 3
    assert run(app, folder, "students", STUDENTS + NOBODY, *made).exit_code == 1
    assert count(app, Practice) == 0  # not with a file that is refused
    assert run(app, folder, "students", STUDENTS + ADA, *made).exit_code == 0
    with app.app_context():
        clay = db.session.scalars(sa.select(Practice)).one()
        assert (clay.shortname, clay.name, clay.timezone) == ("clay", "Clay & Co", "Asia/Tokyo")
    assert run(app, folder, "students", STUDENTS + ADA, *made).exit_code == 4
    assert run(app, folder, "students", STUDENTS + ADA, *made[2:]).exit_code == 2


def test_of_several_practices_one_must_be_named(clay: Flask, folder: Path) -> None:
    with clay.app_context(), write(db.session):
        db.session.add(Practice(name="Stone", shortname="stone"))
    done = run(clay, folder, "trainings", TRAININGS)
    assert (done.exit_code, done.stderr) == (
        2,
        "Error: Say for which practice, by --practice: clay, stone.\n",
    )
    unknown = run(clay, folder, "trainings", TRAININGS, "--practice", "wood")
    assert (unknown.exit_code, unknown.stderr) == (3, "Error: There is no practice wood.\n")
    assert run(clay, folder, "trainings", TRAININGS, "--practice", "stone").exit_code == 0
    with clay.app_context():
        training = db.session.scalars(sa.select(Training)).one()
        assert training.practice.shortname == "stone"


@pytest.mark.parametrize(("what", "options"), [("rooms", []), ("students", ["--force"])])
def test_wrong_use_ends_with_2(clay: Flask, folder: Path, what: str, options: list[str]) -> None:
    assert run(clay, folder, what, STUDENTS + ADA, *options).exit_code == 2


def test_a_file_that_is_not_there_ends_with_3_one_that_cannot_be_read_with_2(
    clay: Flask, folder: Path
) -> None:
    invoke = clay.test_cli_runner().invoke
    missing = invoke(args=["import", "students", str(folder / "../../x")])
    assert (missing.exit_code, "There is no file" in missing.stderr) == (3, True)
    directory = invoke(args=["import", "students", str(folder)])
    assert (directory.exit_code, "cannot be read" in directory.stderr) == (2, True)


def test_of_two_imports_at_once_the_second_finds_all_there(clay: Flask) -> None:
    def import_ada(ready: threading.Barrier) -> Report:
        with clay.app_context():
            practice = importing.find_practice(db.session(), None)
            ready.wait()
            content = (STUDENTS + ADA).encode()
            with write(db.session):
                return importing.import_file(
                    db.session(), Kind.STUDENTS, content, practice, CONSOLE, NOON
                )

    ready = threading.Barrier(2)
    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(import_ada, [ready, ready]))
    assert sorted((report.created, report.same) for report in done) == [(0, 1), (1, 0)]


def test_an_import_that_lasts_is_not_joined_by_another(folder: Path) -> None:
    """On PostgreSQL the second gives up after three seconds (B58); SQLite has one writer anyway."""
    with databases.a_database("postgresql") as url:
        app = databases.app_on(url)
        with app.app_context(), write(db.session):
            db.session.add(Practice(name="Clay & Co", shortname="clay"))
        with app.app_context(), db.engine.connect() as other:
            other.execute(sa.text("SELECT * FROM practice FOR NO KEY UPDATE"))
            done = run(app, folder, "students", STUDENTS + ADA)
        assert (done.exit_code, "Another import" in done.stderr) == (4, True)
        assert run(app, folder, "students", STUDENTS + ADA).exit_code == 0
        with app.app_context():
            db.engine.dispose()
