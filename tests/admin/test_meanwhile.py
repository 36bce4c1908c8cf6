"""What others do meanwhile, and what fails on the way: pages say it (PG3, PT3)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from werkzeug.exceptions import NotFound

from app.admin import enrolments, freshness
from app.admin.frame import SecureView
from app.extensions import db
from app.models import Location, TrainingEnroll
from tests.admin.desk import Desk, form_values
from tests.cast import REASON, Cast


def test_a_row_that_is_deleted_while_it_is_saved_is_not_found(
    desk: Desk, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = cast.add(Location(practice_id=cast.practice.id, name="Loft"))
    path, fresh = f"location/edit/?id={row.id}", SecureView._require_fresh

    def gone(view: Any, form: Any, there: Any) -> None:
        fresh(view, form, there)
        db.session.execute(sa.delete(Location).execution_options(synchronize_session=False))
        db.session.commit()

    fields = form_values(desk.get(path))
    monkeypatch.setattr(SecureView, "_require_fresh", gone)
    assert desk.post(path, **(fields | {"name": "Attic"})).status_code == 404
    assert desk.post(path, **(fields | {"name": "Attic"})).status_code == 404


def test_a_stale_form_says_in_words_what_is_there(desk: Desk, cast: Cast) -> None:
    path, event = f"training/edit/?id={cast.pottery.id}", cast.pottery.events[0]
    fields = form_values(desk.get(path))
    loft = cast.add(Location(practice_id=cast.practice.id, name="Loft"))
    cast.pottery.name, event.location_id = "Ceramics", loft.id
    said = desk.post(path, **fields)
    assert said.status_code == 409
    assert "There is now: Name: Ceramics; Meetings: " in said.text
    assert ", Loft. Save again" in said.text
    for python in ("datetime", "None", "[(", "Reason:", "Write to everyone"):
        assert python not in said.text.split("There is now")[1].split("Save again")[0], python
    assert freshness.say({"speed": 1}) == '{"speed": 1}'


def test_one_fault_does_not_end_an_act_on_several_rows(
    desk: Desk, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, ben, cleo, dan = cast.line("Ada", "Ben", "Cleo", "Dan")
    skip = enrolments.overrides.skip

    def faulty(session: Any, row: TrainingEnroll, *rest: Any, **answers: Any) -> None:
        if row.id == ada.id:
            raise RuntimeError("a bug of ours")
        if row.id == ben.id:  # gone since it was ticked
            raise NotFound
        skip(session, row, *rest, **answers)

    act = next(act for act in enrolments.ACTS if act.name == "skip")
    monkeypatch.setitem(act.__dict__, "do", faulty)
    ids = [one.id for one in (ada, ben, cleo, dan)]
    assert desk.act("trainingenroll", "skip", *ids, 999999, reason=REASON).status_code == 303
    page = desk.get("trainingenroll/").text
    assert "2 of 4 done." in page
    assert "Ada Example · Pottery: It failed, and nothing of it was done." in page
    assert "Ben Example · Pottery: It is no longer there." in page
    assert "1 row is no longer there." in page
    cast.session.expire_all()
    assert [one.skipped for one in (ada, ben, cleo, dan)] == [False, False, True, True]
    assert desk.act("trainingenroll", "skip", 999998, 999999, reason=REASON).status_code == 404


def test_what_is_refused_to_many_is_told_once(desk: Desk, cast: Cast) -> None:
    rows = cast.enrol_all(*(f"{letter}nn" for letter in "ABCDEFGHIJK"))
    answer = desk.act("trainingenroll", "force", *(row.id for row in rows), reason="x")
    assert answer.status_code == 303
    page = desk.get("trainingenroll/").text
    assert page.count("Give a reason of 5 to 500 characters") == 1
    assert "0 of 11 done." in page
    assert "and 3 more: Give a reason" in page
