"""The one engine: who may write when, and who waits for whom (DB1–DB5, rulings RC1)."""

from __future__ import annotations

import gc
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.extensions import db, unit, write
from app.models import Practice, Training, engine
from app.services.locks import locked
from tests import databases
from tests.cast import Cast

PROMPTLY = 2.0  # seconds; a writer who had to wait would need ten


@pytest.fixture
def here(app: Flask) -> Iterator[Session]:
    """A session of this thread; whatever it holds is given back at the end."""
    with app.app_context():
        yield db.session()
        db.session.remove()


@pytest.fixture
def training_id(app: Flask) -> int:
    with app.app_context(), write(db.session):
        return Cast(db.session()).pottery.id


def elsewhere(app: Flask, act: Callable[[Session], Any]) -> float:
    """Another thread runs `act` as a write unit; the seconds that took. Raises what it raised."""

    def go() -> float:
        began = time.monotonic()
        with app.app_context(), write(db.session):
            act(db.session())
        return time.monotonic() - began

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(go).result()


def add_a_practice(session: Session) -> None:
    session.add(Practice(name="Elsewhere", shortname="elsewhere"))


def in_transaction(session: Session) -> bool:
    """Whether the database has begun one for this session."""
    raw: Any = session.connection().connection.dbapi_connection
    return raw.in_transaction if isinstance(raw, sqlite3.Connection) else _begun(raw)


def _begun(raw: Any) -> bool:
    from psycopg2.extensions import TRANSACTION_STATUS_IDLE

    return raw.info.transaction_status != TRANSACTION_STATUS_IDLE


def for_update() -> sa.Select[Any]:
    return sa.select(Training.id).with_for_update(key_share=True)


# --- reading delays nobody -----------------------------------------------------------------------


def test_a_session_left_open_after_a_select_delays_no_writer(app: Flask, here: Session) -> None:
    assert here.scalars(sa.select(Practice)).all() == []
    assert elsewhere(app, add_a_practice) < PROMPTLY
    assert len(here.scalars(sa.select(Practice)).all()) == 1


def test_a_shell_left_open_for_long_still_works() -> None:
    """PostgreSQL alone ends idle transactions; after a SELECT there is none to end."""
    with databases.a_database("postgresql") as url:
        app = databases.app_on(idle_at_most(url, "100ms"))
        with app.app_context():
            db.session.scalars(sa.select(Practice)).all()
            time.sleep(0.3)
            assert db.session.scalars(sa.select(Practice)).all() == []
            db.session.remove()
            db.engine.dispose()


def test_a_write_unit_left_open_for_long_is_ended() -> None:
    """The twin: a process that freezes with a lock in its hand loses it after a while."""
    with databases.a_database("postgresql") as url:
        app = databases.app_on(idle_at_most(url, "100ms"))
        with app.app_context():
            db.session.execute(for_update())
            time.sleep(0.3)
            with pytest.raises(
                sa.exc.DBAPIError, match=r"idle-in-transaction|closed the connection"
            ):
                db.session.execute(for_update())
            db.session.remove()
            db.engine.dispose()


def idle_at_most(url: str, time_out: str) -> str:
    options = f"-c idle_in_transaction_session_timeout={time_out}"
    asked = sa.make_url(url).update_query_dict({"options": options})
    return asked.render_as_string(hide_password=False)


def test_a_reading_unit_is_refused_its_writes_by_the_database(here: Session) -> None:
    here.info["read"] = True
    add_a_practice(here)
    with pytest.raises(sa.exc.DBAPIError, match=r"readonly database|read-only transaction"):
        here.commit()
    here.rollback()
    here.info["read"] = False
    add_a_practice(here)
    here.commit()
    assert here.scalar(sa.select(sa.func.count(Practice.id))) == 1


def test_a_reading_unit_waits_for_no_writer(app: Flask, here: Session, training_id: int) -> None:
    locked(here, Training, training_id).max_participants = 9
    here.flush()

    def read(session: Session) -> None:
        session.info["read"] = True
        assert session.scalar(sa.select(Training.max_participants)) == 1

    assert elsewhere(app, read) < PROMPTLY


# --- the first write opens the transaction -------------------------------------------------------

OPENERS: dict[str, Callable[[Session], Any]] = {
    "an insert": lambda session: (add_a_practice(session), session.flush()),
    "an update": lambda session: session.execute(sa.update(Training).values(name="x")),
    "a delete": lambda session: session.execute(sa.delete(Practice).where(Practice.id == 0)),
    "SELECT FOR UPDATE": lambda session: session.execute(for_update()),
    "text that writes": lambda session: session.execute(sa.text("UPDATE training SET name = 'x'")),
    "unknown text": lambda session: session.execute(sa.text("/* why */ SELECT 1")),
    "a savepoint": lambda session: session.begin_nested(),
}
READERS: dict[str, Callable[[Session], Any]] = {
    "a select": lambda session: session.scalars(sa.select(Training)).all(),
    "text that reads": lambda session: session.execute(sa.text("select count(*) from training")),
    "the identity map": lambda session: session.get(Training, 1),
}


@pytest.mark.parametrize("opener", OPENERS)
def test_a_transaction_opens_with(session: Session, opener: str) -> None:
    OPENERS[opener](session)
    assert in_transaction(session)


@pytest.mark.parametrize("reader", READERS)
def test_no_transaction_opens_with(session: Session, reader: str) -> None:
    READERS[reader](session)
    assert not in_transaction(session)


def test_who_locks_a_row_has_it_before_anything_is_written(
    app: Flask, here: Session, training_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`BEGIN IMMEDIATE` on SQLite, a row lock on PostgreSQL: in force with the first statement."""
    monkeypatch.setattr("app.models.writer_queue.WAIT_SECONDS", 0.1)
    locked(here, Training, training_id)

    def lock_too(session: Session) -> None:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(sa.text("SET lock_timeout = '100ms'"))
        locked(session, Training, training_id)

    with pytest.raises((sa.exc.OperationalError, TimeoutError)) as raised:
        elsewhere(app, lock_too)
    assert engine.is_busy(raised.value)
    here.rollback()
    assert elsewhere(app, lock_too) < PROMPTLY


def test_sqlite_writers_past_the_queue_are_kept_out_too() -> None:
    """The slot is `BEGIN IMMEDIATE` as well: a backup tool or `sqlite3` shell can't slip in."""
    with databases.a_database("sqlite") as url:
        app = databases.app_on(url)
        other = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0)
        with app.app_context():
            db.session.execute(for_update())
            with pytest.raises(sqlite3.OperationalError, match="database is locked"):
                other.execute("BEGIN IMMEDIATE")
            db.session.remove()
            db.engine.dispose()
        other.close()


def test_read_committed_is_in_force_whatever_the_server_says() -> None:
    with databases.a_database("postgresql") as url:
        stricter = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        name = sa.make_url(url).database
        with stricter.connect() as connection:
            strict = "default_transaction_isolation = 'serializable'"
            connection.execute(sa.text(f"ALTER DATABASE {name} SET {strict}"))
        stricter.dispose()
        app = databases.app_on(url)
        with app.app_context():
            db.session.execute(for_update())
            assert db.session.scalar(sa.text("SHOW transaction_isolation")) == "read committed"
            db.session.remove()
            db.engine.dispose()


def test_a_savepoint_undoes_its_own_part_only(here: Session) -> None:
    add_a_practice(here)
    here.flush()
    inner = here.begin_nested()
    here.add(Practice(name="Twin", shortname="twin"))
    here.flush()
    inner.rollback()
    here.commit()
    assert here.scalars(sa.select(Practice.name)).all() == ["Elsewhere"]


# --- what frees the place ------------------------------------------------------------------------


def test_a_second_write_unit_in_one_thread_says_so_instead_of_hanging() -> None:
    """On SQLite alone: on PostgreSQL two units of one thread may well write different rows."""
    with databases.a_database("sqlite") as url:
        app = databases.app_on(url)
        with app.app_context(), Session(db.engine) as first, Session(db.engine) as second:
            add_a_practice(first)
            first.flush()
            with pytest.raises(RuntimeError, match="second write unit in one thread"):
                second.execute(for_update())
        with app.app_context():
            db.engine.dispose()


def fails(session: Session) -> None:
    add_a_practice(session)
    session.flush()
    raise ValueError("half-way")


def test_an_error_frees_the_place(app: Flask) -> None:
    with pytest.raises(ValueError, match="half-way"):
        elsewhere(app, fails)
    assert elsewhere(app, add_a_practice) < PROMPTLY


def test_a_refused_statement_frees_the_place(app: Flask, here: Session) -> None:
    with pytest.raises(sa.exc.DBAPIError):
        here.execute(sa.text("UPDATE no_such_table SET x = 1"))
    here.rollback()
    assert elsewhere(app, add_a_practice) < PROMPTLY


def test_a_forgotten_session_frees_the_place(app: Flask) -> None:
    with app.app_context():
        forgotten = Session(db.engine)
        add_a_practice(forgotten)
        forgotten.flush()
        del forgotten
        gc.collect()
        assert elsewhere(app, add_a_practice) < PROMPTLY


def test_who_waits_too_long_for_the_place_is_told_that_we_are_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with databases.a_database("sqlite") as url:
        monkeypatch.setattr("app.models.writer_queue.WAIT_SECONDS", 0.1)
        app = databases.app_on(url)
        with app.app_context():
            db.session.execute(for_update())
            with pytest.raises(TimeoutError) as raised:
                elsewhere(app, add_a_practice)
            assert engine.is_busy(raised.value)
            db.session.remove()
            db.engine.dispose()


# --- under the lock, what is true now ------------------------------------------------------------


def raise_capacity(session: Session) -> None:
    session.execute(sa.update(Training).values(max_participants=9))


def test_under_the_lock_one_sees_what_was_changed_meanwhile(
    app: Flask, here: Session, training_id: int
) -> None:
    loaded = here.get_one(Training, training_id)
    assert loaded.max_participants == 1
    elsewhere(app, raise_capacity)
    assert locked(here, Training, training_id).max_participants == 9


def test_a_lock_that_keeps_what_was_loaded_sees_the_past(
    app: Flask, here: Session, training_id: int
) -> None:
    """The control of the one above: without `populate_existing` (STYLE P2)."""
    loaded = here.get_one(Training, training_id)
    assert loaded.max_participants == 1
    elsewhere(app, raise_capacity)
    locks_only = sa.select(Training).where(Training.id == training_id).with_for_update()
    here.scalars(locks_only).one()
    assert loaded.max_participants == 1


# --- trying again --------------------------------------------------------------------------------


def test_a_unit_runs_again_after_a_deadlock() -> None:
    """A real one, between two trainings locked crosswise; SQLite has one slot and no deadlock."""
    with databases.a_database("postgresql") as url:
        app = databases.app_on(url)
        with app.app_context(), write(db.session):
            cast = Cast(db.session())
            ids = [cast.pottery.id, cast.training("Weaving").id]
        tries = crosswise(app, ids)
        with app.app_context():
            names = db.session.scalars(sa.select(Training.name)).all()
            db.session.remove()
            db.engine.dispose()
    assert tries == 3
    assert set(names) in ({"one"}, {"two"})


def crosswise(app: Flask, ids: list[int]) -> int:
    """Two units rename both trainings, in opposite order; how many tries that took."""
    met, tries = threading.Barrier(2, timeout=20), []

    def rename(name: str, order: list[int]) -> None:
        def act() -> None:
            tries.append(name)
            for id_ in order:
                locked(db.session(), Training, id_).name = name
                db.session.flush()
                if tries.count(name) == 1 and id_ == order[0]:
                    met.wait()

        with app.app_context():
            unit(db.session, act)

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(rename, "one", ids), pool.submit(rename, "two", ids[::-1])]
        for one in both:
            one.result()
    return len(tries)


def test_a_unit_gives_up_after_three_deadlocks(session: Session) -> None:
    tries = []

    def always_deadlocks() -> None:
        tries.append(1)
        raise refused_with("40P01")

    with pytest.raises(sa.exc.OperationalError):
        unit(session, always_deadlocks)
    assert len(tries) == 3


def test_a_unit_that_fails_for_another_reason_runs_once(session: Session) -> None:
    tries = []

    def is_busy() -> None:
        tries.append(1)
        raise refused_with("55P03")

    with pytest.raises(sa.exc.OperationalError):
        unit(session, is_busy)
    assert len(tries) == 1


class FromServer(Exception):
    """What the driver raises, with the server's code."""

    def __init__(self, code: str | None, text: str = "refused") -> None:
        super().__init__(text)
        self.pgcode = code


def refused_with(code: str | None, text: str = "refused") -> sa.exc.OperationalError:
    return sa.exc.OperationalError("UPDATE x", {}, FromServer(code, text))


@pytest.mark.parametrize(
    ("error", "busy", "deadlock"),
    [
        (refused_with("40P01"), False, True),
        (refused_with("40001"), False, True),
        (refused_with("55P03"), True, False),
        (refused_with("57014"), True, False),
        (refused_with("23505"), False, False),
        (refused_with(None, "database is locked"), True, False),
        (sa.exc.TimeoutError("QueuePool limit reached"), True, False),
        (TimeoutError("waited 10 s to write"), True, False),
        (ValueError("something else"), False, False),
    ],
)
def test_what_is_busy_and_what_is_a_deadlock(error: Exception, busy: bool, deadlock: bool) -> None:
    assert (engine.is_busy(error), engine.is_deadlock(error)) == (busy, deadlock)
    assert not engine.is_away(error)


def test_a_server_that_is_away_is_told_from_a_statement_that_fails() -> None:
    nowhere = sa.create_engine("postgresql+psycopg2://nobody@127.0.0.1:1/nothing")
    with pytest.raises(sa.exc.OperationalError) as refused:
        nowhere.connect()
    assert engine.is_away(refused.value)
    assert all(engine.is_away(refused_with(code)) for code in ("57P01", "57P03", "08006", "53300"))
    assert not engine.is_away(sa.exc.IntegrityError("INSERT", {}, FromServer("23505")))
