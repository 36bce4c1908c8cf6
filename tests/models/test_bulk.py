"""Sets of rows in few statements, and by their keys (performance P6)."""

from __future__ import annotations

from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.models import TrainingEnroll
from app.models.bulk import among, composed, written_out
from app.models.enrolment import TAKING
from app.services import history, letters
from tests.cast import NOON, Cast


def test_a_set_is_found_by_its_ids(cast: Cast) -> None:
    ada, ben, cleo = cast.enrol_all("Ada", "Ben", "Cleo")
    found = sa.select(TrainingEnroll.id).where(among(TrainingEnroll.id, [ada.id, cleo.id]))
    assert sorted(cast.session.scalars(found)) == sorted([ada.id, cleo.id])
    assert ben.id not in cast.session.scalars(found)


def test_an_empty_set_finds_nobody(cast: Cast) -> None:
    cast.enrol("Ada")
    assert (
        cast.session.scalars(sa.select(TrainingEnroll.id).where(among(TrainingEnroll.id, []))).all()
        == []
    )


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "compose", [partial(letters._to_people, students=True, trainers=True), history._rows]
)
def test_no_letter_and_no_history_scans_the_table(cast: Cast, compose: object) -> None:
    """SQLite would, if the set were a boolean function compared with 1."""
    statement = compose("sqlite")  # type: ignore[operator]
    text = str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))
    names = statement.compile(dialect=sqlite.dialect(paramstyle="named")).params
    given = dict.fromkeys(names, 1) | {"ids": "[1]"}
    raw = cast.session.connection().connection.dbapi_connection
    plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {text}", given)]
    assert "SCAN training_enroll" not in " ".join(plan)
    assert any("training_enroll USING INTEGER PRIMARY KEY" in step for step in plan)


# --- composed once -------------------------------------------------------------------------------


@composed
def _taken_before(rank: int) -> sa.Select[tuple[int]]:
    e = TrainingEnroll
    mine = sa.and_(e.status.in_(TAKING), e.queue_position < rank, e.joined_at < NOON)
    return sa.select(e.id).where(e.uuid == sa.bindparam("uuid"), mine)


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()])
def test_constants_stand_in_the_text_and_what_is_given_does_not(dialect: sa.Dialect) -> None:
    compiled = _taken_before(7).compile(dialect=dialect)
    assert "status IN ('enrolled', 'waitlist-invited')" in str(compiled)
    assert "queue_position < 7" in str(compiled)
    assert compiled.params == {"uuid": None, "joined_at_1": NOON}


def test_a_statement_is_composed_once_for_the_same_arguments() -> None:
    assert _taken_before(1) is _taken_before(1)
    assert _taken_before(1) is not _taken_before(2)


@pytest.mark.parametrize("text", ["it's", "50 %s", "%(x)s", ":x", "back\\slash", 'a "b" ?', ""])
def test_whatever_stands_in_a_constant_comes_back_as_it_is(cast: Cast, text: str) -> None:
    assert cast.session.scalar(written_out(sa.select(sa.literal(text)))) == text
