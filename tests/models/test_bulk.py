"""Sets of rows in few statements, and by their keys (performance P6)."""

from __future__ import annotations

from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from app.models import TrainingEnroll
from app.models.bulk import among
from app.services import history, letters
from tests.cast import Cast


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
