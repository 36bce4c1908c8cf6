"""The safety net: enough if no job ever ran (waitlist WF8, WF9)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.models import PersonStatus, Training, TrainingEnroll, TrainingEvent
from app.services import documented, enrolments, overrides, trainings
from app.services.sweep import sweep_training, trainings_to_sweep
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, REASON, SECOND, START, Cast
from tests.statements import count_statements


def _sweep(cast: Cast, now: datetime) -> list[int]:
    """One sweep as its driver does it: ids first, then each training."""
    cast.session.flush()
    ids = trainings_to_sweep(cast.session, now)
    for id_ in ids:
        sweep_training(cast.session, id_, now)
    cast.session.flush()
    cast.session.expire_all()
    return ids


def _past_the_services(cast: Cast, model: type, where: Any, **values: Any) -> None:
    cast.session.execute(
        sa.update(model).where(where).values(**values),
        execution_options={"synchronize_session": False},
    )
    cast.session.expire_all()


def _plan(cast: Cast, *names: str) -> list[TrainingEnroll]:
    """People waiting behind Ada, each planned an hour from noon in a place of their own."""
    rows = cast.line(*names)
    cast.pottery.max_participants = 1 + len(rows)
    for row in rows:
        documented.schedule_invitation(cast.session, row, HOUR, now=NOON)
    cast.session.expire_all()
    return rows


# --- idle -----------------------------------------------------------------------------------------


def test_when_nothing_is_due_it_costs_three_statements_at_most(cast: Cast) -> None:
    cast.offer("Ben", "Cleo")
    with count_statements(cast.session) as sent:
        assert trainings_to_sweep(cast.session, NOON) == []
    assert len(sent) <= 3


@pytest.mark.parametrize(
    "now", [START - 2 * HOUR - MINUTE, START - HOUR, START, START + DAY, START + 900 * DAY]
)
def test_too_late_to_invite_is_nothing_to_sweep(cast: Cast, now: datetime) -> None:
    cast.line("Ben")
    cast.leave(cast.row("Ada"), START - 2 * HOUR - MINUTE)
    assert trainings_to_sweep(cast.session, now) == []


def test_a_place_that_is_kept_planned_or_paused_is_nothing_to_sweep(cast: Cast) -> None:
    cast.line("Ben", "Cleo")
    cast.pottery.max_participants = 2
    documented.schedule_invitation(cast.session, cast.row("Ben"), HOUR, now=NOON)
    assert trainings_to_sweep(cast.session, NOON) == []
    cast.pottery.max_participants = 3
    overrides.keep_spots(cast.session, cast.pottery.id, 1, cast.max, NOON, REASON)
    assert trainings_to_sweep(cast.session, NOON) == []
    cast.pottery.max_participants = 9
    cast.pottery.waitlist_paused = True
    cast.session.flush()
    assert trainings_to_sweep(cast.session, NOON) == []


def test_a_free_place_that_nobody_eligible_wants_is_nothing_to_sweep(cast: Cast) -> None:
    cast.line("Ben")
    cast.student("Ben").status = PersonStatus.INACTIVE
    cast.pottery.max_participants = 2
    cast.session.flush()
    assert trainings_to_sweep(cast.session, NOON) == []


def test_a_sweep_that_finds_nothing_changes_nothing(cast: Cast) -> None:
    cast.offer("Ben", "Cleo")
    before = cast.everything()
    sweep_training(cast.session, cast.pottery.id, NOON)
    assert cast.everything() == before


# --- overdue --------------------------------------------------------------------------------------


def test_an_overdue_invitation_ends_without_any_job(cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    assert _sweep(cast, DEADLINE - SECOND) == []
    assert _sweep(cast, DEADLINE) == [cast.pottery.id]
    assert cast.statuses(ben, cleo) == ["waitlist-invite-expired", "waitlist-invited"]
    assert cast.last_event("expired").actor == "system"
    assert _sweep(cast, DEADLINE) == []


def test_many_overdue_make_room_for_as_many(cast: Cast) -> None:
    training = cast.several(6)
    trainings.set_capacity(cast.session, training.id, 3, cast.max, NOON)
    _sweep(cast, DEADLINE)
    events = [row.event for row in cast.events(training)]
    assert events == ["capacity"] + ["invited"] * 3 + ["expired"] * 3 + ["invited"] * 3
    assert cast.ledger(training) == (3, 0, 0)


# --- planned --------------------------------------------------------------------------------------


def test_a_planned_invitation_goes_out_when_its_time_has_come(cast: Cast) -> None:
    (ben,) = _plan(cast, "Ben")
    at = NOON + HOUR
    assert _sweep(cast, at - SECOND) == []
    _sweep(cast, at)
    assert (ben.status, ben.invite_planned_at) == ("waitlist-invited", None)
    assert (ben.invite_date, ben.invite_expires_at) == (at, at + 48 * HOUR)
    assert cast.ledger() == (2, 0, 0)
    assert ("invited", "Ben") in cast.letters()
    assert _sweep(cast, at) == []


def test_a_batch_goes_out_one_a_minute(cast: Cast) -> None:  # WS17
    rows = cast.line(*"BCDEF")
    cast.pottery.max_participants = 6
    documented.invite_batch_from_waitlist(cast.session, cast.pottery, now=NOON)
    invited = []
    for minute in range(5):
        _sweep(cast, NOON + minute * MINUTE)
        invited.append(cast.statuses(*rows).count("waitlist-invited"))
    assert invited == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("code", ["inactive", "unreachable", "skipped", "later"])
def test_a_plan_whose_student_may_not_any_more_is_dropped_and_the_next_is_invited(
    cast: Cast, code: str
) -> None:
    (ben,) = _plan(cast, "Ben")
    cleo = cast.enrol("Cleo")
    if code == "inactive":
        cast.student("Ben").status = PersonStatus.INACTIVE
    elif code == "unreachable":
        cast.student("Ben").user.undeliverable_at = NOON
    else:
        until = NOON + DAY if code == "later" else None
        overrides.skip(cast.session, ben, cast.max, NOON, REASON, until=until)
    _sweep(cast, NOON + HOUR)
    assert cast.statuses(ben, cleo) == ["waitlist", "waitlist-invited"]
    assert ben.invite_planned_at is None
    assert cast.last_event("plan-dropped").reason == code


def test_a_plan_whose_place_was_forced_away_is_dropped(cast: Cast) -> None:
    (ben,) = _plan(cast, "Ben")
    cleo = cast.student("Cleo")
    enrolments.force(cast.session, cast.pottery.id, cleo.id, cast.max, NOON, REASON)
    _sweep(cast, NOON + HOUR)
    assert (ben.status, ben.invite_planned_at) == ("waitlist", None)
    assert cast.last_event("plan-dropped").reason == "no-place"
    assert cast.ledger() == (2, 0, 0)


def test_a_plan_in_a_paused_list_is_dropped_and_holds_nothing(cast: Cast) -> None:
    (ben,) = _plan(cast, "Ben")
    overrides.pause_list(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    _sweep(cast, NOON + HOUR)
    assert (ben.status, ben.invite_planned_at) == ("waitlist", None)
    assert _sweep(cast, NOON + HOUR) == []


@pytest.mark.parametrize(
    "change", [{"active": False}, {"cancelled_at": NOON}, {"archived_at": NOON}]
)
def test_a_plan_in_a_closed_training_is_dropped_once(cast: Cast, change: dict[str, object]) -> None:
    (ben,) = _plan(cast, "Ben")
    _past_the_services(cast, Training, Training.id == cast.pottery.id, **change)
    _sweep(cast, NOON + HOUR)
    assert ben.invite_planned_at is None
    assert cast.history().count("plan-dropped") == 1
    assert _sweep(cast, NOON + HOUR) == []


def test_a_plan_due_after_the_start_is_dropped(cast: Cast) -> None:
    (ben,) = _plan(cast, "Ben")
    _sweep(cast, START + DAY)
    assert (ben.status, ben.invite_planned_at) == ("waitlist", None)


def test_two_plans_of_the_same_minute_keep_their_order(cast: Cast) -> None:
    ben, cleo = _plan(cast, "Ben", "Cleo")
    _past_the_services(cast, Training, Training.id == cast.pottery.id, max_participants=2)
    _sweep(cast, NOON + HOUR)
    assert cast.statuses(ben, cleo) == ["waitlist-invited", "waitlist"]


def test_a_later_plan_of_someone_behind_gives_way(cast: Cast) -> None:  # reliability I7
    ben, cleo = cast.line("Ben", "Cleo")
    cast.pottery.max_participants = 3
    documented.schedule_invitation(cast.session, ben, HOUR, now=NOON)
    documented.schedule_invitation(cast.session, cleo, 2 * HOUR, now=NOON)
    dora = cast.student("Dora")
    enrolments.force(cast.session, cast.pottery.id, dora.id, cast.max, NOON, REASON)
    for hours in (1, 2):
        _sweep(cast, NOON + hours * HOUR)
    assert cast.statuses(ben, cleo) == ["waitlist-invited", "waitlist"]


# --- what was written past the services -----------------------------------------------------------


def test_more_places_by_a_direct_write_are_found(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    _past_the_services(cast, Training, Training.id == cast.pottery.id, max_participants=2)
    assert _sweep(cast, NOON) == [cast.pottery.id]
    assert cast.statuses(ben) == ["waitlist-invited"]


def test_a_place_freed_by_a_direct_write_is_found(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    ada = cast.row("Ada")
    _past_the_services(cast, TrainingEnroll, TrainingEnroll.id == ada.id, status="derolled")
    assert _sweep(cast, NOON) == [cast.pottery.id]
    assert cast.statuses(ben) == ["waitlist-invited"]
    assert cast.ledger() == (1, 0, 0)


def test_a_student_active_again_by_a_direct_write_is_found(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    cast.student("Ben").status = PersonStatus.INACTIVE
    cast.leave(cast.row("Ada"))
    assert _sweep(cast, NOON) == []
    cast.student("Ben").status = PersonStatus.ACTIVE
    _sweep(cast, NOON)
    assert cast.statuses(ben) == ["waitlist-invited"]


@pytest.mark.parametrize(
    "change", [{"active": False}, {"cancelled_at": NOON}, {"archived_at": NOON}]
)
def test_who_is_invited_to_a_training_closed_by_a_direct_write_goes_back(
    cast: Cast, change: dict[str, object]
) -> None:  # WX8
    ben, cleo = cast.offer("Ben", "Cleo")
    _past_the_services(cast, Training, Training.id == cast.pottery.id, **change)
    _sweep(cast, NOON)
    assert cast.statuses(ben, cleo) == ["waitlist", "waitlist"]
    assert (ben.queue_position, ben.skipped) == (1, False)
    assert cast.last_event("returned").reason == "not-open"
    assert (cast.jobs(), cast.ledger()) == ({}, (0, 0, 0))
    assert _sweep(cast, NOON) == []


def test_an_invited_row_without_a_position_goes_back_to_the_tail(cast: Cast) -> None:  # RC9
    _ada, cleo = cast.enrol_all("Ada", "Cleo")
    ben = TrainingEnroll(
        training_id=cast.pottery.id,
        student_id=cast.student("Ben").id,
        status="waitlist-invited",
        invite_date=NOON,
    )
    cast.add(ben)
    trainings.deactivate(cast.session, cast.pottery.id, cast.max, NOON)
    assert cast.statuses(ben, cleo) == ["waitlist", "waitlist"]
    assert ben.queue_position > cleo.queue_position


def test_who_is_invited_to_a_training_moved_into_the_past_holds_no_place_for_ever(
    cast: Cast,
) -> None:
    cast.schedule.active = False
    cast.pottery.events.clear()
    (ben,) = cast.offer("Ben")
    assert ben.invite_expires_at is None
    cast.add(
        TrainingEvent(
            training_id=cast.pottery.id, start_time=NOON - HOUR, end_time=NOON + timedelta(hours=1)
        )
    )
    cast.session.expire_all()
    _sweep(cast, NOON)
    assert cast.statuses(ben) == ["waitlist"]
    assert cast.ledger() == (0, 0, 0)


def test_a_row_enrolled_by_a_direct_write_with_a_plan_is_not_swept_for_ever(cast: Cast) -> None:
    (ben,) = _plan(cast, "Ben")
    _past_the_services(cast, TrainingEnroll, TrainingEnroll.id == ben.id, status="enrolled")
    assert _sweep(cast, NOON + HOUR) == []


# --- a schedule that is off (WI5) -----------------------------------------------------------------


def test_what_a_schedule_that_is_off_granted_is_swept_at_the_hard_stop_only(cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    cast.schedule.active = False  # past the services: nothing was lifted
    for now in (DEADLINE, DEADLINE + DAY, START - 2 * HOUR - SECOND):
        assert _sweep(cast, now) == []
    assert _sweep(cast, START - 2 * HOUR) == [cast.pottery.id]
    assert cast.statuses(ben, cleo) == ["waitlist-invite-expired", "waitlist"]
    assert _sweep(cast, START - HOUR) == []


# --- a plan holds its place (WF8) -----------------------------------------------------------------


def test_who_becomes_eligible_before_a_plan_is_due_does_not_take_its_place(cast: Cast) -> None:
    ben, cleo = cast.line("Ben", "Cleo")
    cast.student("Ben").user.undeliverable_at = NOON
    cast.pottery.max_participants = 2
    assert documented.invite_batch_from_waitlist(cast.session, cast.pottery, now=NOON) == [
        cleo.uuid
    ]
    cast.student("Ben").user.undeliverable_at = None
    assert _sweep(cast, NOON) == [cast.pottery.id]  # due at once
    assert cast.statuses(ben, cleo) == ["waitlist", "waitlist-invited"]
    cast.decline(cleo)
    assert cast.statuses(ben) == ["waitlist-invited"]  # the next place is Ben's
