"""Trainings: capacity, dates and being open are changed by the services, which may refuse."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from app.extensions import utcnow
from app.models import Location, Practice, Training, TrainingType
from tests.admin.desk import Desk
from tests.cast import DAY, HOUR, REASON, Cast

NEW = {"name": "Weaving", "max_participants": "8"}


@pytest.fixture
def pottery(cast: Cast) -> Training:
    """Ada has the one place, Ben waits; in thirty days from now."""
    start = (utcnow() + 30 * DAY).replace(second=0, microsecond=0)
    cast.pottery.events[0].start_time, cast.pottery.events[0].end_time = start, start + 3 * HOUR
    cast.session.flush()
    cast.enrol_all("Ada", "Ben", now=utcnow())
    return cast.pottery


def statuses(cast: Cast) -> list[str]:
    return [str(cast.row(name).status) for name in ("Ada", "Ben")]


def test_a_training_is_made_with_meetings_and_trainers(desk: Desk, cast: Cast) -> None:
    loft = cast.add(Location(practice_id=cast.practice.id, name="Loft"))
    meeting = {
        "timetable-0-start_time": "2031-03-02T14:30",
        "timetable-0-end_time": "2031-03-02T17:00",
        "timetable-0-location": str(loft.id),
    }
    answer = desk.create("training", **NEW, **meeting, teachers=[str(cast.tess.id)], active="y")
    assert answer.status_code == 303, answer.text
    row = cast.session.scalars(sa.select(Training).filter_by(name="Weaving")).one()
    assert row.active
    assert row.practice_id == cast.practice.id
    assert [one.trainer_id for one in row.trainers] == [cast.tess.id]
    (event,) = row.events
    assert f"{event.start_time:%H:%M}" == "13:30"  # the practice is in Amsterdam
    assert event.location_id == loft.id
    assert "activated" in cast.history(row)


def test_a_training_closed_at_first_opens_for_nobody(desk: Desk, cast: Cast) -> None:
    assert desk.create("training", **NEW).status_code == 303
    row = cast.session.scalars(sa.select(Training).filter_by(name="Weaving")).one()
    assert not row.active


def test_more_places_invite_the_next(desk: Desk, cast: Cast, pottery: Training) -> None:
    answer = desk.edit("training", pottery.id, max_participants="2")
    assert answer.status_code == 303, answer.text
    assert statuses(cast) == ["enrolled", "waitlist-invited"]
    assert "1 invited" in desk.get("training/").text


def test_fewer_places_than_taken_ask_for_a_decision(
    desk: Desk, cast: Cast, pottery: Training
) -> None:
    answer = desk.edit("training", pottery.id, max_participants="0")
    assert answer.status_code == 409
    assert "Stay overbooked" in answer.text
    assert 'name="reason"' in answer.text
    cast.session.refresh(pottery)
    assert pottery.max_participants == 1


def test_the_decision_is_carried_out(desk: Desk, cast: Cast, pottery: Training) -> None:
    chosen = {"choice": "overbook", "reason": REASON}
    assert desk.edit("training", pottery.id, max_participants="0", **chosen).status_code == 303
    cast.session.refresh(pottery)
    assert (pottery.max_participants, pottery.overbooked_by) == (0, 1)
    assert cast.last_event("capacity").note == REASON


def test_new_dates_are_told_and_old_meetings_removed(
    desk: Desk, cast: Cast, pottery: Training
) -> None:
    since = cast.last_letter()
    moved = {
        "timetable-0-start_time": "2031-03-02T10:00",
        "timetable-0-end_time": "2031-03-02T12:00",
    }
    assert desk.edit("training", pottery.id, **moved).status_code == 303
    cast.session.refresh(pottery)
    assert pottery.events[0].start_time.year == 2031
    assert {kind for kind, _name in cast.letters(since)} == {
        "training_rescheduled",
        "training_rescheduled_trainer",
    }
    assert desk.edit("training", pottery.id, **{"timetable-0-gone": "y"}).status_code == 303
    cast.session.refresh(pottery)
    assert pottery.events == []


def test_a_save_that_changes_nothing_writes_to_nobody(
    desk: Desk, cast: Cast, pottery: Training
) -> None:
    since, before = cast.last_letter(), cast.history()
    assert desk.edit("training", pottery.id).status_code == 303
    assert cast.letters(since) == []
    assert cast.history() == before


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("2031-03-02T10:00", "2031-03-02T09:00"),
        ("2031-03-02T10:00", ""),
        ("2031-02-30T10:00", "2031-03-02T12:00"),
        ("2031-03-30T02:30", "2031-03-30T12:00"),  # the clocks skip it
        ("soon", "later"),
    ],
)
def test_a_meeting_that_cannot_be_is_refused(
    desk: Desk, cast: Cast, pottery: Training, begin: str, end: str
) -> None:
    before = cast.everything()
    typed = {"timetable-0-start_time": begin, "timetable-0-end_time": end}
    answer = desk.edit("training", pottery.id, **typed)
    assert answer.status_code == 400
    assert cast.everything() == before


def test_what_a_field_shows_of_a_doubled_hour_is_kept(
    desk: Desk, cast: Cast, pottery: Training
) -> None:
    event = pottery.events[0]  # the second 02:30 and 02:45 of the night, 7 seconds past
    event.start_time = datetime(2027, 10, 31, 1, 30, 7, tzinfo=UTC)
    event.end_time = datetime(2027, 10, 31, 1, 45, 7, tzinfo=UTC)
    cast.session.flush()
    since, before = cast.last_letter(), (event.start_time, event.end_time)
    assert desk.edit("training", pottery.id, description="mended").status_code == 303
    cast.session.refresh(event)
    assert (event.start_time, event.end_time) == before
    assert cast.letters(since) == []


def test_a_trainer_who_is_added_is_not_told_of_what_was_before(
    desk: Desk, cast: Cast, pottery: Training
) -> None:
    cast.enrol("Ada")
    tina = cast.trainer("Tina")
    chosen = [str(cast.tess.id), str(tina.id)]
    assert desk.edit("training", pottery.id, teachers=chosen).status_code == 303
    cast.session.expire_all()
    assert [one.told_seq for one in pottery.trainers] == [0, pottery.history_seq]
    assert pottery.history_seq > 0


def test_what_is_no_choice_is_refused_and_what_was_there_stays(
    desk: Desk, cast: Cast, pottery: Training
) -> None:
    mill = cast.add(Practice(name="Mill", shortname="mill"))
    kinds = [cast.add(TrainingType(practice_id=p.id, name=p.name)) for p in (cast.practice, mill)]
    cast.schedule.practice_id, cast.schedule.training_types = cast.practice.id, kinds[:1]
    cast.session.flush()
    for wrong in ("99999", "abc", "²", "9" * 30):
        for chosen in ([wrong], [str(cast.tess.id), wrong]):
            answer = desk.edit("training", pottery.id, teachers=chosen)
            assert answer.status_code == 400, chosen
            assert "Something that you chose is not there" in answer.text
    answer = desk.edit("automationschedule", cast.schedule.id, training_types=[str(kinds[1].id)])
    assert answer.status_code == 400
    cast.session.expire_all()
    assert [one.trainer for one in pottery.trainers] == [cast.tess]
    assert cast.schedule.training_types == kinds[:1]


def test_an_odd_number_of_a_meeting_is_refused(desk: Desk, cast: Cast, pottery: Training) -> None:
    before = cast.everything()
    for odd in ("²", "٣", "9" * 12, "-1"):
        assert desk.edit("training", pottery.id, **{"timetable-0-id": odd}).status_code == 400, odd
    assert cast.everything() == before
    odd_fields = {f"timetable-{odd}-start_time": "x" for odd in ("²", "9" * 5000, "x", "")}
    assert desk.edit("training", pottery.id, **odd_fields).status_code == 303


def test_closing_takes_invitations_back(desk: Desk, cast: Cast, pottery: Training) -> None:
    desk.edit("training", pottery.id, max_participants="2")
    assert desk.act("training", "close", pottery.id).status_code == 303
    assert statuses(cast) == ["enrolled", "waitlist"]


def test_cancelling_asks_first_and_needs_a_reason(
    desk: Desk, cast: Cast, pottery: Training
) -> None:
    asked = desk.ask("training", "cancel", pottery.id)
    assert asked.status_code == 200
    assert "This is final." in asked.text
    assert desk.act("training", "cancel", pottery.id, reason="no").status_code == 400
    cast.session.refresh(pottery)
    assert pottery.cancelled_at is None
    assert desk.act("training", "cancel", pottery.id, reason=REASON).status_code == 303
    cast.session.refresh(pottery)
    assert pottery.cancelled_at is not None
    assert statuses(cast) == ["derolled", "derolled"]


def test_a_training_with_history_is_kept(desk: Desk, cast: Cast, pottery: Training) -> None:
    answer = desk.delete("training", pottery.id)
    assert answer.status_code == 409
    assert "cancel or archive it instead" in answer.text
    assert "People have been in this training" in answer.text
    weaving = cast.training("Weaving")
    assert desk.edit("training", weaving.id, max_participants="3").status_code == 303
    assert "Nobody was in this training, but" in desk.delete("training", weaving.id).text
    assert desk.delete("training", cast.training("Felting").id).status_code == 303


def test_no_form_writes_what_services_keep(desk: Desk, cast: Cast, pottery: Training) -> None:
    smuggled: dict[str, Any] = {"seats_taken": "0", "cancelled_at": "2026-01-01", "version": "x"}
    page = desk.get(f"training/edit/?id={pottery.id}").text
    assert not any(f'name="{name}"' in page for name in ("seats_taken", "cancelled_at", "status"))
    del smuggled["version"]
    assert desk.edit("training", pottery.id, **smuggled).status_code == 303
    cast.session.refresh(pottery)
    assert pottery.seats_taken == 1
    assert pottery.cancelled_at is None


def test_a_stale_form_is_refused_and_says_what_is_there(
    desk: Desk, cast: Cast, pottery: Training
) -> None:
    desk.edit("training", pottery.id, name="Clay")
    answer = desk.edit("training", pottery.id, name="Mud", version="stale")
    assert answer.status_code == 409
    assert "Name: Clay" in answer.text
    assert 'value="Mud"' in answer.text
    cast.session.refresh(pottery)
    assert pottery.name == "Clay"


@pytest.mark.parametrize(
    "typed", ["-1", "10001", "1.5", "x", "", str(2**31), str(2**63), "9" * 400]
)
def test_an_odd_number_of_places_is_refused(
    desk: Desk, cast: Cast, pottery: Training, typed: str
) -> None:
    assert desk.edit("training", pottery.id, max_participants=typed).status_code == 400
    cast.session.refresh(pottery)
    assert pottery.max_participants == 1


@pytest.mark.parametrize(
    ("typed", "hours"), [("2 00:00:00", 48), ("0 48:00:00", 48), ("1 day", 24), ("90 minutes", 1.5)]
)
def test_a_cut_off_is_typed_in_any_form(
    desk: Desk, cast: Cast, pottery: Training, typed: str, hours: float
) -> None:
    assert desk.edit("training", pottery.id, invite_cutoff=typed).status_code == 303
    cast.session.refresh(pottery)
    assert pottery.invite_cutoff is not None
    assert pottery.invite_cutoff.total_seconds() == hours * 3600
    assert "cutoff" in cast.history()


@pytest.mark.parametrize("typed", ["0", "-1 day", "soon", "400 days", "1:99:00"])
def test_nonsense_is_refused_with_the_accepted_forms(
    desk: Desk, cast: Cast, pottery: Training, typed: str
) -> None:
    answer = desk.edit("training", pottery.id, invite_cutoff=typed)
    assert answer.status_code == 400
    assert "2 00:00:00" in answer.text
    cast.session.refresh(pottery)
    assert pottery.invite_cutoff is None


def test_a_type_may_be_given_but_only_an_own_one(desk: Desk, cast: Cast, pottery: Training) -> None:
    kind = cast.add(TrainingType(practice_id=cast.practice.id, name="Crafts"))
    assert desk.edit("training", pottery.id, training_type=str(kind.id)).status_code == 303
    cast.session.refresh(pottery)
    assert pottery.training_type_id == kind.id
    assert desk.edit("training", pottery.id, training_type="99999").status_code == 400


def test_the_page_of_a_training_says_who_waits_and_why(
    desk: Desk, cast: Cast, pottery: Training
) -> None:
    page = desk.get(f"training/details/?id={pottery.id}").text
    assert "Ben Example" in page
    assert "no place is free" in page
    assert "got a place" in page
