"""One row for everything that happens, numbered without a gap (law L8, reliability I4)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from app.models import EnrolmentHistory, TrainingEnroll
from app.models.enrolment import DECLINED, INVITED, WAITLIST
from app.services import enrolments, history, overrides, trainings, waitlist
from app.services.actors import LINK, SYSTEM
from app.services.transitions import IllegalMove, place_of
from tests.cast import DAY, DEADLINE, NOON, REASON, Cast


def _a_long_life(cast: Cast) -> None:
    """All that can happen to people of one training, in one go."""
    ada, ben, cleo, _dora = cast.enrol_all("Ada", "Ben", "Cleo", "Dora")
    overrides.skip(cast.session, cleo, cast.max, NOON, REASON)
    cast.leave(ada)
    cast.expire(ben, DEADLINE)
    cast.decline(cast.row("Dora"), DEADLINE)
    overrides.unskip(cast.session, cleo, cast.max, DEADLINE, REASON)
    cast.enrol("Ben", DEADLINE)
    waitlist.return_to_list(cast.session, cleo, cast.max, DEADLINE, REASON)
    cast.accept(cast.row("Ben"), DEADLINE)
    enrolments.remove(cast.session, cleo, cast.max, DEADLINE, REASON)
    cast.enrol("Cleo", DEADLINE)
    enrolments.force(cast.session, cast.pottery.id, ada.student_id, cast.max, DEADLINE, REASON)
    trainings.cancel(cast.session, cast.pottery.id, cast.max, DEADLINE + DAY, REASON)


def test_a_long_life_has_numbers_without_a_gap(cast: Cast) -> None:
    _a_long_life(cast)
    numbers = [row.seq for row in cast.events()]
    assert numbers == list(range(1, len(numbers) + 1))
    cast.session.refresh(cast.pottery)
    assert cast.pottery.history_seq == len(numbers)


def test_the_history_replayed_equals_the_statuses(cast: Cast) -> None:  # WQ33
    _a_long_life(cast)
    replayed: dict[int, str | None] = {}
    for row in cast.events():
        if row.enrolment_id is not None:
            assert row.from_status == replayed.get(row.enrolment_id)
            replayed[row.enrolment_id] = row.to_status
    cast.session.expire_all()
    rows = cast.session.scalars(
        sa.select(TrainingEnroll).where(TrainingEnroll.training_id == cast.pottery.id)
    )
    assert {row.id: str(row.status) for row in rows} == replayed


def test_each_row_names_student_enrolment_and_invitation(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    cast.decline(ben)
    cast.enrol("Ben")
    cast.accept(ben)
    mine = [row for row in cast.events() if row.enrolment_id == ben.id]
    assert {row.student_id for row in mine} == {ben.student_id}
    assert [(row.event, row.invite_no) for row in mine] == [
        ("queued", 0),
        ("invited", 1),
        ("declined", 1),
        ("re-enabled", 1),
        ("invited", 2),
        ("accepted", 2),
    ]


def test_each_training_counts_by_itself(cast: Cast) -> None:
    other = cast.training("Weaving")
    for training in (cast.pottery, other, cast.pottery):
        cast.enrol(f"N{len(cast.students)}", training=training)
    assert [row.seq for row in cast.events()] == [1, 2]
    assert [row.seq for row in cast.events(other)] == [1]


@pytest.mark.parametrize("event", ["accepted", "no-such-event"])
def test_an_event_that_does_not_lead_there_is_a_bug_and_raises(cast: Cast, event: str) -> None:
    (ben,) = cast.line("Ben")
    before = cast.everything()
    with pytest.raises(IllegalMove):
        history.record(cast.session, ben, event, WAITLIST, INVITED, SYSTEM, NOON)
    with pytest.raises(IllegalMove):
        history.record_many(cast.session, [], event, WAITLIST, DECLINED, SYSTEM, NOON)
    assert cast.everything() == before


def test_nobody_is_no_row(cast: Cast) -> None:
    before = cast.everything()
    history.record_many(cast.session, [], "invited", WAITLIST, INVITED, SYSTEM, NOON)
    assert cast.everything() == before


def test_a_note_moves_nothing_and_says_so(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    seq = history.note(cast.session, ben, "remark", LINK, NOON, note="calls back", data={"x": [1]})
    row = cast.last_event("remark")
    assert (row.seq, row.from_status, row.to_status) == (seq, "waitlist", "waitlist")
    assert (row.note, row.data, row.actor) == ("calls back", {"x": [1]}, "link")


def test_what_happens_to_the_training_names_no_enrolment(cast: Cast) -> None:
    seq = history.note_training(cast.session, cast.pottery, "moved", SYSTEM, NOON, reason="rain")
    row = cast.last_event("moved")
    assert (row.seq, row.enrolment_id, row.student_id, row.reason) == (seq, None, None, "rain")
    assert (row.from_status, row.to_status, row.data) == (None, None, None)


def test_several_are_numbered_in_the_order_of_the_line(cast: Cast) -> None:
    rows = cast.line("Ben", "Cleo", "Dora")
    places = [place_of(row) for row in rows]
    first = history.record_many(cast.session, places, "note", WAITLIST, WAITLIST, SYSTEM, NOON)
    told = [row for row in cast.events() if row.event == "note"]
    assert [(row.seq - first, row.queue_position) for row in told] == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize("model", [EnrolmentHistory])
def test_a_number_is_given_once(cast: Cast, model: Any) -> None:
    cast.enrol("Ada")
    values = {"training_id": cast.pottery.id, "seq": 1, "at": NOON, "actor": "x", "event": "y"}
    with pytest.raises(sa.exc.IntegrityError):
        cast.session.execute(sa.insert(model).values(values))
