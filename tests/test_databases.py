"""The tests' own databases and settings: the same on every machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests import databases, plugin, postgres
from tests.pool import Pool


def test_the_settings_of_a_test_come_from_the_test_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WAITLIST_BATCH_SIZE", "7")
    monkeypatch.setenv("ENVIRONMENT", "DEVELOPMENT")
    app = databases.app_on(f"sqlite:///{tmp_path}/x.db", waitlist_invite_limit=9)
    settings = app.extensions["settings"]
    assert (settings.environment, settings.waitlist_batch_size) == ("PRODUCTION", 0)
    assert settings.waitlist_invite_limit == 9


@pytest.mark.parametrize("text", ["", "postgresql", " postgresql , "])
def test_what_a_run_requires_is_there(text: str) -> None:
    plugin.require(text)


def test_a_run_that_requires_what_it_lacks_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "HERE", {"postgresql"})
    with pytest.raises(pytest.UsageError, match="asks for browser"):
        plugin.require("postgresql,browser")


def test_a_folder_is_opened_to_the_server_with_a_line_that_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    closed = tmp_path / "closed"
    (closed / "bin").mkdir(parents=True)
    closed.chmod(0o700)
    postgres.open_to_all(closed / "bin")
    assert closed.stat().st_mode & 0o777 == 0o701
    told = capsys.readouterr().err
    assert f"{closed}: others may pass through now" in told


# --- lent again ----------------------------------------------------------------------------------


@pytest.fixture
def pool() -> Iterator[Pool]:
    """With no database in it yet."""
    pool = Pool(os.environ["NEXTSEAT_TEST_POSTGRESQL"], databases.TEMPLATE)
    yield pool
    pool.close()


@contextlib.contextmanager
def connected(pool: Pool, name: str) -> Iterator[Any]:
    with contextlib.closing(pool._connect(name)) as raw, raw.cursor() as cursor:
        yield cursor


JOIN = "INSERT INTO automation_classes (class_name, workflow_id) VALUES ('C', 'c') RETURNING id"


def test_a_database_is_lent_again_empty_and_under_another_name(pool: Pool) -> None:
    first = pool.take()
    with connected(pool, first) as cursor:  # which is still connected when it is given back
        cursor.execute(JOIN)
        assert cursor.fetchone() == (1,)
        pool.give_back(first)
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute(JOIN)
    with pytest.raises(psycopg2.OperationalError, match="does not exist"):
        pool._connect(first)
    second = pool.take()
    with connected(pool, second) as cursor:
        cursor.execute("SELECT count(*) FROM automation_classes")
        assert cursor.fetchone() == (0,)
        cursor.execute(JOIN)
        assert cursor.fetchone() == (1,)  # numbers begin anew
    pool.give_back(second)
    assert len(pool._spare) == 1  # the same one all the time


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE training DROP CONSTRAINT ck_training_oversold",
        "ALTER TABLE training RENAME TO gone",
        "ALTER TABLE training ALTER COLUMN name DROP NOT NULL",
        "ALTER TABLE training DISABLE TRIGGER ALL",
        "DROP INDEX uq_enrolment_history_invitation_ends_once",
        "CREATE TABLE more (id int)",
        "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DROP SCHEMA public CASCADE",
        "UPDATE alembic_version SET version_num = '0001'",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout = 1',"
        " current_database()); END $$",
    ],
)
def test_a_database_that_a_test_has_changed_is_dropped(pool: Pool, change: str) -> None:
    name = pool.take()
    with connected(pool, name) as cursor:
        cursor.execute(change)
    before = oid(pool, name)
    pool.give_back(name)
    assert not pool._spare
    assert oid(pool, pool.take()) != before


def oid(pool: Pool, name: str) -> Any:
    with connected(pool, "postgres") as cursor:
        cursor.execute("SELECT oid FROM pg_database WHERE datname = %s", (name,))
        return cursor.fetchone()
