"""Whatever way the one database is spelled, everybody gets the same URL (libraries D1, T1, T19)."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from app.models.engine import BadDatabaseUrl, database_url, make_engine

ODD_PASSWORDS = ["p@ss:w/rd%", "%41", "a b+c", "#?&=", "wachtwoord€", "{}$'\""]


@pytest.mark.parametrize("spelling", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_all_spellings_of_postgresql_end_at_psycopg2(spelling: str) -> None:
    url = database_url(f"  {spelling}://nextseat:secret@db.example:5433/seats?sslmode=require\n")
    assert url.drivername == "postgresql+psycopg2"
    assert (url.host, url.port, url.database) == ("db.example", 5433, "seats")
    assert url.query == {"sslmode": "require"}
    engine = make_engine(url, "test")
    assert engine.dialect.driver == "psycopg2"
    engine.dispose()


@pytest.mark.parametrize("password", ODD_PASSWORDS)
def test_odd_passwords_survive_however_often_the_url_is_handed_on(password: str) -> None:
    url = database_url(f"postgres://nextseat:{quote(password, safe='')}@db/seats")
    assert url.password == password
    again = database_url(url.render_as_string(hide_password=False))
    assert again == url
    assert sa.make_url(again).password == password


@pytest.mark.parametrize("password", ODD_PASSWORDS)
def test_the_password_reaches_the_driver_and_no_log(password: str) -> None:
    url = database_url(f"postgresql://nextseat:{quote(password, safe='')}@db/seats")
    engine = make_engine(url, "test")
    assert engine.dialect.create_connect_args(engine.url)[1]["password"] == password
    assert "***" in str(url)
    assert password not in str(url)
    assert password not in repr(engine)
    engine.dispose()


@pytest.mark.parametrize("spelling", ["sqlite:////var/x.db", "sqlite+pysqlite:////var/x.db"])
def test_sqlite_needs_a_file(spelling: str) -> None:
    url = database_url(spelling)
    assert (url.get_backend_name(), url.database) == ("sqlite", "/var/x.db")


@pytest.mark.parametrize("text", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(text: str) -> None:
    with pytest.raises(BadDatabaseUrl, match="in memory; name a file"):
        database_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "mysql://u:hush@db/x",
        "mariadb+pymysql://u:hush@db/x",
        "postgresql+psycopg://u:hush@db/x",
        "postgresql+asyncpg://u:hush@db/x",
        "sqlite+aiosqlite:////var/x.db",
    ],
)
def test_another_database_or_driver_is_refused(text: str) -> None:
    with pytest.raises(BadDatabaseUrl, match=r"runs on postgresql:// or sqlite://") as refused:
        database_url(text)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "junk", "hush", "://", "postgresql://db:port/x", "http:"])
def test_what_is_no_address_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(BadDatabaseUrl, match="is no database address") as refused:
        database_url(text)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["sqlite:///file::memory:?uri=true", "sqlite:///file:x?mode=memory&uri=true"]
)
def test_a_database_in_memory_in_disguise_is_refused(text: str) -> None:
    with pytest.raises(BadDatabaseUrl, match="in memory"):
        database_url(text)


def test_a_relative_file_is_the_same_for_web_and_migrations() -> None:
    assert database_url("sqlite:///seats.db").database == str(Path.cwd() / "seats.db")


@pytest.mark.parametrize(
    "text",
    ["sqlite:///file:/var/x.db?uri=true", "sqlite:////var/x.db?uri=true", "sqlite:///file:/x.db"],
)
def test_a_file_uri_is_refused(text: str) -> None:
    with pytest.raises(BadDatabaseUrl, match="name the file itself"):
        database_url(text)


@pytest.mark.parametrize("query", ["foo=bar", "sslmode=require&foo=bar", "sslmode=a&sslMode=b"])
def test_an_option_that_postgresql_does_not_know_is_refused(query: str) -> None:
    with pytest.raises(BadDatabaseUrl, match="doesn't know"):
        database_url(f"postgresql://u:hush@db/x?{query}")


def test_options_that_postgresql_knows_are_handed_on() -> None:
    query = "host=/run/a&host=/run/b&options=-c%20x%3D1&sslmode=require"
    url = database_url(f"postgresql://u@/x?{query}")
    assert url.query["host"] == ("/run/a", "/run/b")
