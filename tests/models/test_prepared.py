"""Hot statements are planned once per connection of PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import prepared
from app.models.bulk import among, composed, send
from app.models.practice import Practice
from tests.cast import Cast


@pytest.fixture
def kind() -> str:
    """Only PostgreSQL plans ahead."""
    return "postgresql"


@composed
def by_name() -> Any:
    named = Practice.name == sa.bindparam("name", type_=sa.String)
    return sa.select(Practice.id, sa.literal("100%").label("share")).where(named)


@composed
def by_ids() -> Any:
    return sa.select(Practice.id).where(among(Practice.id, "ids")).order_by(Practice.id)


def texts(session: Session) -> list[str]:
    """What this connection has prepared."""
    found = session.execute(sa.text("SELECT statement FROM pg_prepared_statements"))
    return [text for (text,) in found]


def test_a_statement_is_prepared_once_and_then_executed(cast: Cast) -> None:
    session, fresh = cast.session, by_name().where(sa.literal_column("'fresh'") != "")
    session.begin_nested()
    before = len(texts(session))
    for name in (cast.practice.name, "another's", cast.practice.name):
        rows = send(session, fresh, {"name": name}).all()
        assert rows == ([(cast.practice.id, "100%")] if name == cast.practice.name else [])
    assert len(texts(session)) == before + 1


def test_a_statement_that_failed_is_prepared_anew(cast: Cast) -> None:
    session = cast.session
    divide = sa.select(sa.literal(1) / sa.bindparam("by", type_=sa.Integer))
    for _ in range(2):
        with pytest.raises(sa.exc.DataError), session.begin_nested():
            send(session, divide, {"by": 0})
    with session.begin_nested():
        assert send(session, divide, {"by": 1}).scalar() == 1


def test_a_long_list_is_planned_for_what_it_is(cast: Cast) -> None:
    session = cast.session
    with session.begin_nested():
        before = len(texts(session))
        many = [cast.practice.id + n for n in range(prepared.MOST_IDS + 1)]
        assert send(session, by_ids(), {"ids": many}).scalars().all() == [cast.practice.id]
        assert len(texts(session)) == before
        assert send(session, by_ids(), {"ids": many[:3]}).scalars().all() == [cast.practice.id]
        assert send(session, by_ids(), {"ids": []}).scalars().all() == []
        assert len(texts(session)) == before + 1


def test_what_was_prepared_in_a_unit_that_rolled_back_can_be_used(cast: Cast) -> None:
    session = cast.session
    name = cast.practice.name
    for _ in range(2):
        with session.begin_nested() as inner:
            assert send(session, by_name(), {"name": name}).all()
            inner.rollback()
