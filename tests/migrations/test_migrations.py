"""Up, down, up with rows in between; what migrations build is what the models say (TM9, WS16)."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask

from app.extensions import db, write
from app.models import (
    AutomationRun,
    AutomationSchedule,
    ChannelState,
    EnrolmentHistory,
    Outbox,
    Policy,
    Practice,
    Training,
    TrainingEnroll,
    TrainingTrainer,
    Webhook,
)
from app.models.automation_class import workflow_id_of
from app.models.types import new_uuid
from app.services import digests, policies
from tests import databases, forks
from tests.cast import NOON, Cast

ROOT = Path(__file__).parent.parent.parent
VERSIONS = sorted((ROOT / "migrations" / "versions").glob("*.py"))
CONVENTION = re.compile(r"(pk|fk|uq|ck|ix|idx)_[a-z0-9_]+")


@pytest.fixture
def filled(app: Flask) -> Flask:
    """A migrated database with the cast in it, one of them invited, one waiting."""
    with app.app_context(), write(db.session):
        Cast(db.session()).offer("Ben", "Cleo")
    return app


@pytest.fixture
def empty_url(kind: str) -> Iterator[str]:
    with databases.an_empty_database(kind) as url:
        yield url


def inspect(app: Flask) -> Any:
    return sa.inspect(db.engine)


def tables(app: Flask) -> set[str]:
    with app.app_context():
        return set(inspect(app).get_table_names()) - {"alembic_version"}


def the_schedule() -> AutomationSchedule:
    """The one of the cast, not what migrations bring."""
    s = AutomationSchedule
    return db.session.scalars(sa.select(s).where(s.name == "waitlist_invitation_expiry")).one()


def upgrade(app: Flask, revision: str = "head") -> None:
    with app.app_context():
        flask_migrate.upgrade(revision=revision)


def downgrade(app: Flask, revision: str) -> None:
    with app.app_context():
        flask_migrate.downgrade(revision=revision)


# --- up and down ---------------------------------------------------------------------------------


def test_up_down_up_with_rows_in_between(filled: Flask) -> None:
    before = tables(filled)
    with filled.app_context():
        db.session.remove()
    downgrade(filled, "base")
    assert tables(filled) == set()
    upgrade(filled)
    assert tables(filled) == before == set(db.metadata.tables)
    with filled.app_context(), write(db.session):
        ben, cleo = Cast(db.session()).offer("Ben", "Cleo")
        assert (ben.status, cleo.status) == ("waitlist-invited", "waitlist")


def test_upgrading_what_is_up_to_date_keeps_every_row(filled: Flask) -> None:
    counted = [sa.select(sa.func.count()).select_from(m) for m in
               (Training, TrainingEnroll, EnrolmentHistory, Outbox)]  # fmt: skip
    with filled.app_context():
        before = [db.session.scalar(count) for count in counted]
        db.session.rollback()
    upgrade(filled)
    with filled.app_context():
        assert [db.session.scalar(count) for count in counted] == before
        assert min(before) > 0


def test_rows_and_rules_of_the_first_revision_survive_the_next_ones(filled: Flask) -> None:
    counted = [sa.select(sa.func.count()).select_from(m) for m in
               (Training, TrainingEnroll, EnrolmentHistory, Outbox)]  # fmt: skip
    with filled.app_context():
        before = [db.session.scalar(count) for count in counted]
        db.session.remove()
    downgrade(filled, "0001")
    with filled.app_context():
        assert "link_token" not in inspect(filled).get_table_names()
        db.engine.dispose()
    upgrade(filled)
    with filled.app_context():
        assert [db.session.scalar(count) for count in counted] == before
        schedule = the_schedule()
        assert (schedule.execution_count, schedule.last_run_status) == (0, None)
        db.session.rollback()
        db.session.add(AutomationSchedule(name="a/b"))
        with pytest.raises(sa.exc.IntegrityError):  # its CHECK is still there
            db.session.flush()


def test_schedules_of_the_release_before_become_event_schedules(filled: Flask) -> None:
    """Whatever was written past the forms is brought within what is checked now."""
    with filled.app_context():
        db.session.remove()
    downgrade(filled, "0004")
    with filled.app_context():
        assert inspect(filled).get_view_names() == []
        with write(db.session):
            db.session.execute(sa.text("UPDATE automation_classes SET workflow_id = 'by chance'"))
            long = {"seconds": 10**9, "late": -1}
            odd = "timeout_seconds = :seconds, misfire_grace_time = :late"
            db.session.execute(sa.text(f"UPDATE automation_schedule SET {odd}"), long)
        db.engine.dispose()
    upgrade(filled)
    with filled.app_context():
        row = the_schedule()
        assert (row.schedule_type, row.state, row.retry_base_seconds) == ("event", "active", 60)
        assert (row.timeout_seconds, row.misfire_grace_time) == (86_400, 0)
        assert row.updated_at == row.created_at
        assert row.automation_class.workflow_id == workflow_id_of("AutomaticWaitList")
        practice = db.session.scalars(sa.select(Practice)).one()
        assert (practice.people_mail_daily_cap, practice.people_mail_weekly_cap) == (15, 100)


def test_going_back_to_before_webhooks_keeps_letters_and_ends_events(filled: Flask) -> None:
    with filled.app_context(), write(db.session):
        letters = db.session.scalar(sa.select(sa.func.count()).select_from(Outbox))
        hook = Webhook(name="Cash", url="https://example.org/", secret="whsec_")
        db.session.add(hook)
        db.session.flush()
        told = {"key": "w", "channel": hook.channel, "aggregate": "w", "kind": "schedule.paused"}
        db.session.add(Outbox(**told, payload={}, due_at=NOON, created_at=NOON))
        db.session.add(ChannelState(channel=hook.channel))
    with filled.app_context():
        db.session.remove()
    downgrade(filled, "0006")
    upgrade(filled)
    with filled.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(Outbox)) == letters
        assert db.session.scalars(sa.select(ChannelState.channel)).all() == []


def test_practices_of_the_release_before_get_the_policies_that_are_shipped(filled: Flask) -> None:
    """They name no type, so nobody is held to anything new."""
    with filled.app_context():
        db.session.remove()
    downgrade(filled, "0007")
    with filled.app_context():
        assert "policy" not in inspect(filled).get_table_names()
        columns = [column["name"] for column in inspect(filled).get_columns("training")]
        assert "limit_waived_at" not in columns
        db.engine.dispose()
    upgrade(filled)
    with filled.app_context():
        rows = db.session.scalars(sa.select(Policy).order_by(Policy.id)).all()
        shipped = [(one["name"], one["kind"], one["parameters"]) for one in policies.SHIPPED]
        assert [(row.name, row.kind, dict(row.parameters)) for row in rows] == shipped
        for row, one in zip(rows, policies.SHIPPED, strict=True):
            assert (row.text_en, row.text_nl) == (one["text_en"], one["text_nl"])
            assert (row.active, row.version, row.training_types) == (True, 1, [])
        waived = set(db.session.scalars(sa.select(Training.limit_waived_at)))
        assert waived == {None}


def test_what_happened_before_digests_is_no_news_and_none_outlives_them(filled: Flask) -> None:
    for _ in range(2):  # down again with a schedule of digests, its run, a letter and a follower
        downgrade(filled, "0009")
        with filled.app_context():
            columns = {column["name"] for column in inspect(filled).get_columns("training_trainer")}
            assert "told_seq" not in columns
            assert the_schedule().on_success_schedule_id is None
            its_name = sa.select(AutomationSchedule).where(AutomationSchedule.name == digests.NAME)
            assert not db.session.scalars(its_name).all()  # migrations seed none (WA6)
            assert not db.session.scalars(
                sa.select(Outbox).where(Outbox.kind == "trainer_digest")
            ).all()
            db.session.remove()
            db.engine.dispose()
        upgrade(filled)
        with filled.app_context(), write(db.session):
            (known,) = db.session.execute(sa.select(TrainingTrainer.told_seq, Training.history_seq)
                                          .join(Training)).all()  # fmt: skip
            assert known[0] == known[1] > 0
            mine = digests.ship(db.session(), db.session.scalars(sa.select(Practice)).one())
            of = {"schedule_id": mine.id, "item": mine.schedule_id, "occurrence": "x"}
            db.session.add(AutomationRun(**of, status="success", due_at=NOON))
            the_schedule().on_success_schedule_id = mine.id
            told = {"key": new_uuid(), "channel": "email", "aggregate": "people/1"}
            db.session.add(Outbox(**told, kind="trainer_digest", payload={},
                                  due_at=NOON, created_at=NOON))  # fmt: skip


def test_each_revision_goes_up_and_down_by_itself(empty_url: str) -> None:
    app = databases.app_on(empty_url)
    with app.app_context():
        script = ScriptDirectory(str(ROOT / "migrations"))
        revisions = [r.revision for r in reversed(list(script.walk_revisions()))]
    for revision in revisions:
        upgrade(app, revision)
        downgrade(app, "-1")
        upgrade(app, revision)
    assert tables(app) == set(db.metadata.tables)
    with app.app_context():
        db.engine.dispose()


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory(str(ROOT / "migrations")).get_heads()) == 1


def test_no_foreign_key_hangs_in_the_air(filled: Flask) -> None:
    upgrade(filled)
    with filled.app_context(), db.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall() == []
        else:
            invalid = "SELECT conname FROM pg_constraint WHERE NOT convalidated"
            assert connection.exec_driver_sql(invalid).fetchall() == []


def test_two_upgrades_at_once_both_succeed(empty_url: str) -> None:
    """PostgreSQL by the advisory lock, SQLite by BEGIN IMMEDIATE."""
    environment = os.environ | {"SQLALCHEMY_DATABASE_URI": empty_url}
    command = ["-m", "flask", "--app", "run_web", "db", "upgrade"]
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(forks.run, command, env=environment) for _ in range(2)]
        ended = [one.result() for one in both]
    assert [one.returncode for one in ended] == [0, 0], ended
    app = databases.app_on(empty_url)
    assert tables(app) == set(db.metadata.tables)
    with app.app_context():
        db.engine.dispose()


# --- models and migrations agree -----------------------------------------------------------------


def test_the_models_say_what_the_migrations_build(app: Flask) -> None:
    with app.app_context(), db.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": _compares_defaults()}
        )
        assert compare_metadata(context, db.metadata) == []


def _compares_defaults() -> bool:
    """SQLite gives its defaults back in another spelling."""
    return db.engine.dialect.name == "postgresql"


def test_a_model_that_no_migration_knows_is_found(app: Flask) -> None:
    """The control of the test above: a difference shows."""
    more = sa.MetaData()
    for table in db.metadata.sorted_tables:
        table.to_metadata(more)
    sa.Table("forgotten", more, sa.Column("id", sa.Integer, primary_key=True))
    more.tables["training"].append_column(sa.Column("forgotten", sa.Integer))
    with app.app_context(), db.engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), more)
    assert {change[0] for change in found} == {"add_table", "add_column"}


def test_every_check_of_the_models_is_in_the_database(app: Flask) -> None:
    """Autogenerate does not compare CHECKs; the guards of WD2 must not be forgotten."""
    with app.app_context():
        for table in db.metadata.sorted_tables:
            ours = {c.name for c in table.constraints if isinstance(c, sa.CheckConstraint)}
            there = {check["name"] for check in inspect(app).get_check_constraints(table.name)}
            assert there == {str(name) for name in ours}, table.name


def test_partial_indexes_are_partial_in_the_database_too(app: Flask) -> None:
    """Nor does it compare their WHERE: a unique index without it would refuse good rows."""
    with app.app_context():
        kind = db.engine.dialect.name
        for table in db.metadata.sorted_tables:
            there = {index["name"]: index for index in inspect(app).get_indexes(table.name)}
            for index in table.indexes:
                found = there[str(index.name)].get("dialect_options", {}).get(f"{kind}_where")
                wanted = index.dialect_options[kind]["where"]
                assert (found is None) == (wanted is None), index.name


@pytest.mark.parametrize(
    ("index", "column"),
    [
        ("idx_training_enroll_status", "status"),
        ("idx_training_enroll_invite_date", "invite_date"),
    ],
)
def test_the_documented_indexes_exist_under_their_names(
    app: Flask, index: str, column: str
) -> None:
    with app.app_context():
        there = {i["name"]: i["column_names"] for i in inspect(app).get_indexes("training_enroll")}
    assert there[index] == [column]


def test_every_constraint_and_index_has_a_conventional_name(app: Flask) -> None:
    with app.app_context():
        found, on_postgresql = inspect(app), db.engine.dialect.name == "postgresql"
        for table in tables(app):
            key = found.get_pk_constraint(table)
            # A key that SQLite counts up by itself stands in its column and can have no name.
            names = [key["name"]] if key["constrained_columns"] and on_postgresql else []
            for of in (found.get_foreign_keys, found.get_unique_constraints,
                       found.get_check_constraints, found.get_indexes):  # fmt: skip
                names += [thing["name"] for thing in of(table)]
            if not on_postgresql:  # a key of a column that was added stands there, name and all
                added = re.findall(r"CONSTRAINT (\w+) REFERENCES", definition(table))
                assert names.count(None) == len(added)
                names = [n for n in names if n is not None] + added
            assert [n for n in names if not n or not CONVENTION.fullmatch(n)] == [], table


def definition(table: str) -> str:
    """The text by which SQLite knows a table."""
    mine = sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :name")
    with db.engine.connect() as connection:
        return str(connection.scalar(mine, {"name": table}))


# --- how a migration is written ------------------------------------------------------------------


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_a_migration_imports_no_app(path: Path) -> None:
    """It describes the tables of its day (STYLE 7)."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported - {"app", "config", "flask_security"} == imported
    assert "sqlalchemy" in imported


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_a_migration_can_be_undone(path: Path) -> None:
    functions = {
        node.name: node.body
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    assert {"upgrade", "downgrade"} <= set(functions)
    assert not any(isinstance(node, (ast.Pass, ast.Raise)) for node in functions["downgrade"])
