"""Places: the plainest view, on which the frame is tried."""

from __future__ import annotations

import sqlalchemy as sa

from app.extensions import utcnow
from app.models import Location, SchedulerEpoch, TrainingType
from tests.admin.desk import Desk
from tests.cast import Cast


def loft(cast: Cast, **more: str) -> Location:
    row: Location = cast.add(Location(practice_id=cast.practice.id, name="Loft", **more))
    return row


def test_a_place_is_created_for_the_practice_of_who_creates_it(desk: Desk, cast: Cast) -> None:
    answer = desk.create("location", name="Loft", address="Mill Lane 3")
    assert answer.status_code == 303
    (row,) = cast.session.scalars(sa.select(Location)).all()
    assert (row.name, row.address, row.practice_id) == ("Loft", "Mill Lane 3", cast.practice.id)
    assert "Loft is saved." in desk.get("location/").text


def test_a_list_a_page_and_a_form_show_it(desk: Desk, cast: Cast) -> None:
    row = loft(cast, address="Mill Lane 3")
    assert "Mill Lane 3" in desk.get("location/").text
    assert "Mill Lane 3" in desk.get(f"location/details/?id={row.id}").text
    assert 'value="Mill Lane 3"' in desk.get(f"location/edit/?id={row.id}").text


def test_a_change_is_saved(desk: Desk, cast: Cast) -> None:
    row = loft(cast)
    assert desk.edit("location", row.id, name="Attic").status_code == 303
    cast.session.refresh(row)
    assert row.name == "Attic"


def test_a_form_with_a_mistake_answers_400_and_keeps_what_was_typed(desk: Desk, cast: Cast) -> None:
    answer = desk.create("location", name="", address="Mill Lane 3")
    assert answer.status_code == 400
    assert 'value="Mill Lane 3"' in answer.text
    assert cast.session.scalars(sa.select(Location)).all() == []


def test_a_name_of_spaces_is_none(desk: Desk, cast: Cast) -> None:
    person = {"email": "q@example.org", "last_name": "Q"}
    for view, fields in (
        ("location", {"name": " \u00a0 "}),
        ("location", {"name": "\u200b\u2060"}),
        ("trainingtype", {"name": " "}),
        ("training", {"name": "   ", "max_participants": "1"}),
        ("student", person | {"first_name": " \u200b"}),
    ):
        answer = desk.create(view, **fields)
        assert answer.status_code == 400, fields
        assert "Type something that can be read." in answer.text, fields
        assert "New " in answer.text[answer.text.index("<h1") :][:60], view
    assert desk.edit("practice", cast.practice.id, name="  ").status_code == 400
    assert desk.create("location", name="  Loft ").status_code == 303
    assert [row.name for row in cast.session.scalars(sa.select(Location))] == ["Loft"]


def test_a_type_that_a_schedule_holds_for_is_kept(desk: Desk, cast: Cast) -> None:
    kind = cast.add(TrainingType(practice_id=cast.practice.id, name="Crafts"))
    cast.schedule.training_types = [kind]
    cast.session.flush()
    answer = desk.delete("trainingtype", kind.id)
    assert answer.status_code == 409
    assert f"Schedules hold for this type: {cast.schedule.name}." in answer.text
    cast.schedule.deleted_at = utcnow()
    cast.session.flush()
    assert desk.delete("trainingtype", kind.id).status_code == 303
    assert cast.session.scalars(sa.select(TrainingType)).all() == []


def test_a_place_is_deleted_after_a_question(desk: Desk, cast: Cast) -> None:
    row = loft(cast)
    asked = desk.post("location/delete/", id=row.id)
    assert asked.status_code == 200
    assert "Delete Loft" in asked.text
    assert cast.session.get(Location, row.id, populate_existing=True) is not None
    assert desk.delete("location", row.id).status_code == 303
    assert cast.session.scalars(sa.select(Location)).all() == []


def test_a_place_that_a_meeting_names_is_kept(desk: Desk, cast: Cast) -> None:
    row = loft(cast)
    cast.pottery.events[0].location_id = row.id
    answer = desk.delete("location", row.id)
    assert answer.status_code == 409
    assert "Other rows hang on this one" in answer.text
    assert cast.session.scalars(sa.select(Location)).one() is row


def test_the_first_page_is_calm_while_the_scheduler_lives(desk: Desk, cast: Cast) -> None:
    assert "What is said above; nothing else." in desk.get("").text
    cast.add(SchedulerEpoch(id=1, epoch=1, seen_at=utcnow()))
    page = desk.get("")
    assert page.status_code == 200
    assert "Nothing. Everything runs as it should." in page.text
