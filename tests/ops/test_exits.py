"""How a command ends: its sentence and its exit code (people PC)."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import psycopg2.errors
import pytest
import sqlalchemy.exc as sa_exc
from flask import Flask

import config
from app import create_app
from app.extensions import db
from app.models.engine import BadDatabaseUrl
from app.ops.exits import explained, needs_database
from app.services.refusals import NotFound, ReasonNeeded, Refusal
from config import BadSettings, Settings
from tests import databases, forks

ROOT = Path(config.__file__).parent
UPGRADE = "The database lacks tables or columns: run flask --app run_web db upgrade."
BUSY = "The database is busy; try again in a few seconds."
CHANGED = "Somebody changed the same rows meanwhile, so nothing was written; try again."


def in_sql(wrapper: type[sa_exc.DBAPIError], cause: Exception) -> sa_exc.DBAPIError:
    return wrapper("SELECT 1", {}, cause)


def ending(raises: Callable[[], None]) -> tuple[int, str]:
    with pytest.raises(click.ClickException) as end:
        explained(raises)()
    return end.value.exit_code, end.value.message


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (BadDatabaseUrl("name a file"), 2, "name a file"),
        (BadSettings(["WEB_PORT: no.", "DEMO: no."]), 2, "WEB_PORT: no.\nDEMO: no."),
        (ReasonNeeded(), 2, str(ReasonNeeded.sentence)),
        (NotFound(what="training", id=7), 3, "There is no training 7."),
        (Refusal(), 4, "This is not possible now."),
        (TimeoutError("waited 10 s to write"), 5, BUSY),
        (sa_exc.TimeoutError("pool"), 5, BUSY),
        (
            in_sql(sa_exc.OperationalError, sqlite3.OperationalError("database is locked")),
            5,
            BUSY,
        ),
        (
            in_sql(sa_exc.OperationalError, sqlite3.OperationalError("no such table: practice")),
            2,
            UPGRADE,
        ),
        (
            in_sql(sa_exc.OperationalError, sqlite3.OperationalError("no such column: x")),
            2,
            UPGRADE,
        ),
        (
            in_sql(sa_exc.ProgrammingError, psycopg2.errors.UndefinedTable('"x" does not exist')),
            2,
            UPGRADE,
        ),
        (
            in_sql(sa_exc.OperationalError, psycopg2.OperationalError('role "x" does not exist')),
            5,
            'The database cannot be reached: role "x" does not exist',
        ),
        (
            in_sql(sa_exc.DatabaseError, sqlite3.DatabaseError("file is not a database")),
            5,
            "The database cannot be reached: file is not a database",
        ),
        (
            in_sql(sa_exc.OperationalError, psycopg2.OperationalError("refused\nmore\n")),
            5,
            "The database cannot be reached: refused",
        ),
        (in_sql(sa_exc.IntegrityError, sqlite3.IntegrityError("UNIQUE")), 4, CHANGED),
        (KeyboardInterrupt(), 130, "Interrupted; what was not finished is undone."),
        (click.UsageError("which one?"), 2, "which one?"),
    ],
)
def test_what_a_command_raises_has_its_code_and_sentence(
    error: BaseException, code: int, sentence: str
) -> None:
    assert ending(raising(error)) == (code, sentence)


def test_a_bug_shows_where_and_ends_with_70(capsys: pytest.CaptureFixture[str]) -> None:
    code, sentence = ending(raising(ZeroDivisionError("by zero")))
    assert (code, sentence) == (70, "That is a fault of Nextseat; the lines above tell where.")
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("Traceback")
    assert told.err.endswith("ZeroDivisionError: by zero\n")


def test_a_command_that_ends_well_returns_what_it_made() -> None:
    assert explained(lambda: 7)() == 7
    with pytest.raises(click.exceptions.Exit) as end:
        explained(raising(click.exceptions.Exit(0)))()
    assert end.value.exit_code == 0


def test_without_a_database_a_command_says_what_to_set() -> None:
    app = create_app(Settings(_env_file=None))
    done = _import_students(app)
    assert done == (
        2,
        "Error: SQLALCHEMY_DATABASE_URI is not set: put it into .env (see .env.example).\n",
    )


def test_with_a_database_it_runs(app: Flask) -> None:
    with app.app_context():
        assert needs_database(lambda: db.engine.dialect.name)() in databases.KINDS


def test_a_database_without_tables_is_one_sentence(kind: str) -> None:
    with databases.an_empty_database(kind) as url:
        app = databases.app_on(url)
        assert _import_students(app) == (2, f"Error: {UPGRADE}\n")
        with app.app_context():
            db.engine.dispose()


def _import_students(app: Flask) -> tuple[int, str]:
    done = app.test_cli_runner().invoke(args=["import", "students", __file__])
    assert done.stdout == ""
    return done.exit_code, done.stderr


# --- end to end ---


IMPORT, UPGRADE_IT = ("import", "students", __file__), ("db", "upgrade")


def flask(
    folder: Path, url: str, command: tuple[str, ...] = IMPORT, *, forked: bool = False
) -> subprocess.CompletedProcess[str]:
    """`flask` in a process: the real one, or a fork that need not import."""
    ours = {name.upper() for name in Settings.model_fields}
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    environment = inherited | {"SQLALCHEMY_DATABASE_URI": url, "FLASK_SKIP_DOTENV": "1"}
    args = ["-m", "flask", "--app", ROOT / "run_web.py", *command]
    if forked:
        return forks.run(args, env=environment, cwd=folder)
    return subprocess.run(
        [sys.executable, *args],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", [IMPORT, UPGRADE_IT], ids=["import", "db upgrade"])
@pytest.mark.parametrize(
    ("url", "code", "sentence"),
    [
        ("", 2, "Error: SQLALCHEMY_DATABASE_URI is not set"),
        ("mysql://u:hush@db/x", 2, "SQLALCHEMY_DATABASE_URI asks for 'mysql'"),
        ("postgresql://u:hush@db/x?foo=bar", 2, "SQLALCHEMY_DATABASE_URI has an option"),
        ("postgresql://nobody@127.0.0.1:1/x", 5, "Error: The database cannot be reached: "),
        ("sqlite:////no/such/folder/x.db", 5, "Error: The database cannot be reached: "),
    ],
)
def test_from_a_shell_it_is_one_line_and_no_traceback(
    tmp_path: Path, url: str, code: int, sentence: str, command: tuple[str, ...]
) -> None:
    done = flask(tmp_path, url, command, forked=True)
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(sentence)
    assert "hush" not in line


def test_the_real_command_says_one_line_too(tmp_path: Path) -> None:
    done = flask(tmp_path, "postgresql://nobody@127.0.0.1:1/x")
    assert (done.returncode, done.stdout) == (5, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: The database cannot be reached: ")


def test_from_any_folder_a_database_is_upgraded(tmp_path: Path) -> None:
    done = flask(tmp_path, f"sqlite:///{tmp_path}/new.db", UPGRADE_IT)
    assert (done.returncode, done.stdout) == (0, "")
    with contextlib.closing(sqlite3.connect(tmp_path / "new.db")) as raw:
        assert raw.execute("SELECT count(*) FROM training").fetchone() == (0,)
