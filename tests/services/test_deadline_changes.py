"""Deadlines that move: more time, schedules off and on (waitlist WI3, WI5, WQ17)."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from app.models import AutomationSchedule, TrainingEnroll
from app.models.queue import standing
from app.services import deadline_changes, waitlist
from app.services.actors import SYSTEM
from app.services.deadline_changes import NotLater
from app.services.refusals import ReasonNeeded
from app.services.waitlist import Answer
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, REASON, SECOND, START, Cast

HARD_STOP = START - 2 * HOUR


def _more_time(
    cast: Cast, ben: TrainingEnroll, until: datetime, now: datetime = NOON, reason: str = REASON
) -> None:
    deadline_changes.give_more_time(cast.session, ben, until, cast.max, now, reason)


def _off(cast: Cast, now: datetime = NOON) -> int:
    cast.schedule.active = False
    cast.session.flush()
    count = deadline_changes.lift(cast.session, cast.schedule, SYSTEM, now)
    cast.session.expire_all()
    return count


def _on(cast: Cast, now: datetime = NOON) -> int:
    cast.schedule.active = True
    cast.session.flush()
    count = deadline_changes.restore(cast.session, cast.schedule, SYSTEM, now)
    cast.session.expire_all()
    return count


# --- more time ------------------------------------------------------------------------------------


def test_more_time_moves_deadline_and_job_and_tells_the_student(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    since = cast.last_letter()
    _more_time(cast, ben, DEADLINE + DAY)
    assert ben.invite_expires_at == DEADLINE + DAY
    assert list(cast.jobs().values()) == [DEADLINE + DAY]
    assert cast.letters(since) == [("deadline_changed", "Ben")]
    row = cast.last_event("deadline-changed")
    assert (row.reason, row.note, row.actor) == ("more-time", REASON, cast.max.name)
    assert row.data == {"deadline": (DEADLINE + DAY).isoformat()}
    assert cast.accept(ben, DEADLINE + DAY - SECOND) is Answer.ENROLLED


def test_more_time_twice_is_two_letters(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    for days in (1, 2):
        _more_time(cast, ben, DEADLINE + days * DAY)
    told = [kind for kind, _ in cast.letters() if kind == "deadline_changed"]
    assert len(told) == 2


@pytest.mark.parametrize(
    "until", [DEADLINE, DEADLINE - HOUR, NOON, NOON - DAY, HARD_STOP + SECOND, START]
)
def test_more_time_is_more_and_ends_before_the_hard_stop(cast: Cast, until: datetime) -> None:
    (ben,) = cast.offer("Ben")
    before = cast.everything()
    with pytest.raises(NotLater) as no:
        _more_time(cast, ben, until)
    assert no.value.status == 400
    assert cast.everything() == before


def test_more_time_up_to_the_hard_stop_itself(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    _more_time(cast, ben, HARD_STOP)
    assert ben.invite_expires_at == HARD_STOP


def test_more_time_wants_a_reason(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    with pytest.raises(ReasonNeeded):
        _more_time(cast, ben, DEADLINE + DAY, reason="no")
    assert cast.row("Ben").invite_expires_at == DEADLINE


def test_more_time_for_an_exempt_invitation_has_nothing_to_give(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    cast.pottery.max_participants = 2
    waitlist.invite(cast.session, ben, cast.max, NOON, schedule_expiry=False)
    with pytest.raises(NotLater):
        _more_time(cast, ben, HARD_STOP)


# --- a schedule goes off and on again -------------------------------------------------------------


def test_a_schedule_that_is_off_ends_nothing_until_the_hard_stop(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    since = cast.last_letter()
    assert _off(cast) == 1
    assert (ben.invite_expires_at, ben.invite_promised_until) == (HARD_STOP, DEADLINE)
    assert cast.jobs() == {}
    assert cast.letters(since) == [("deadline_changed", "Ben")]
    assert not cast.expire(ben, HARD_STOP - SECOND)
    assert cast.expire(ben, HARD_STOP)


def test_even_before_the_lift_a_schedule_that_is_off_ends_nothing(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    cast.schedule.active = False
    assert not cast.expire(ben, DEADLINE)
    assert cast.statuses(ben) == ["waitlist-invited"]


@pytest.mark.parametrize("how", ["paused_at", "deleted_at"])
def test_a_paused_or_deleted_schedule_ends_nothing_either(cast: Cast, how: str) -> None:
    (ben,) = cast.offer("Ben")
    setattr(cast.schedule, how, NOON)
    assert not cast.expire(ben, DEADLINE)


def test_a_disabled_class_ends_nothing_either(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    cast.task("AutomaticWaitList").enabled = False
    assert not cast.expire(ben, DEADLINE)


def test_lifting_twice_is_lifting_once(cast: Cast) -> None:
    cast.offer("Ben")
    _off(cast)
    before = cast.everything()
    assert _off(cast) == 0
    assert cast.everything() == before


def test_without_events_a_lifted_invitation_has_no_deadline_and_gets_it_back(cast: Cast) -> None:
    cast.pottery.events.clear()
    (ben,) = cast.offer("Ben")
    _off(cast)
    assert (ben.invite_expires_at, ben.invite_promised_until) == (None, DEADLINE)
    before = cast.everything()
    assert _off(cast) == 0
    assert cast.everything() == before
    _on(cast)
    assert (ben.invite_expires_at, ben.invite_promised_until) == (DEADLINE, None)


@pytest.mark.parametrize(
    ("back_at", "deadline"),
    [
        (NOON + HOUR, DEADLINE),
        (DEADLINE - 2 * HOUR, DEADLINE),
        (DEADLINE - MINUTE, DEADLINE + 2 * HOUR - MINUTE),
        (DEADLINE + DAY, DEADLINE + DAY + 2 * HOUR),
        (HARD_STOP - HOUR, HARD_STOP),
    ],
)
def test_a_schedule_on_again_keeps_its_promise_with_two_hours_left(
    cast: Cast, back_at: datetime, deadline: datetime
) -> None:
    (ben,) = cast.offer("Ben")
    _off(cast)
    assert _on(cast, back_at) == 1
    assert (ben.invite_expires_at, ben.invite_promised_until) == (deadline, None)
    assert cast.jobs() == {f"waitlist_invitation_expiry/{ben.uuid}/PRODUCTION": deadline}
    before = cast.everything()
    assert _on(cast, back_at) == 0
    assert cast.everything() == before


def test_off_and_on_leave_two_rows_of_history_with_their_reasons(cast: Cast) -> None:
    cast.offer("Ben")
    _off(cast)
    _on(cast)
    changed = [row for row in cast.events() if row.event == "deadline-changed"]
    assert [row.reason for row in changed] == ["schedule-off", "schedule-on"]
    assert [row.seq for row in cast.events()] == list(range(1, len(cast.events()) + 1))


def test_a_deadline_that_does_not_move_is_news_to_nobody(cast: Cast) -> None:  # WI3
    ada, ben = cast.enrol_all("Ada", "Ben")
    now = HARD_STOP - HOUR
    cast.leave(ada, now)
    since = cast.last_letter()
    _off(cast, now)
    assert cast.row("Ben").invite_expires_at == HARD_STOP
    assert cast.jobs() == {}
    assert cast.letters(since) == []
    _on(cast, now)
    assert list(cast.jobs()) == [f"waitlist_invitation_expiry/{ben.uuid}/PRODUCTION"]
    assert cast.letters(since) == []


def test_other_schedules_and_exempt_invitations_are_left_alone(cast: Cast) -> None:
    ben, cleo = cast.line("Ben", "Cleo")
    cast.pottery.max_participants = 3
    waitlist.invite(cast.session, ben, cast.max, NOON, schedule_expiry=False)
    waitlist.fill_open_spots(cast.session, cast.pottery.id, NOON)
    other = cast.waitlist_schedule("other", DAY)
    assert deadline_changes.lift(cast.session, other, SYSTEM, NOON) == 0
    assert _off(cast) == 1
    assert (ben.invite_promised_until, cleo.invite_promised_until) == (None, DEADLINE)


def test_an_answer_given_while_the_schedule_was_off_is_not_undone_by_its_return(
    cast: Cast,
) -> None:
    (ben,) = cast.offer("Ben")
    _off(cast)
    assert cast.accept(ben, DEADLINE + HOUR) is Answer.ENROLLED
    assert _on(cast, DEADLINE + DAY) == 0
    assert cast.jobs() == {}


def test_a_new_invitation_after_a_lift_owes_nothing_to_the_old(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    _off(cast)
    cast.schedule.active = True
    waitlist.return_to_list(cast.session, ben, cast.max, NOON, REASON, not_before=NOON)
    cast.session.refresh(ben)
    assert (ben.invite_no, ben.invite_promised_until) == (2, None)
    assert _on(cast, NOON + DAY) == 0
    assert ben.invite_expires_at == DEADLINE


def test_one_lift_serves_all_trainings_of_the_schedule(cast: Cast) -> None:
    trainings = [cast.several(3) for _ in range(2)]
    for training in trainings:
        training.max_participants = 3
        waitlist.fill_open_spots(cast.session, training.id, NOON)
    assert _off(cast) == 6
    assert cast.jobs() == {}
    assert _on(cast) == 6
    assert set(cast.jobs().values()) == {DEADLINE}


def test_an_earlier_start_cuts_deadlines_behind_the_new_hard_stop_only(cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    event = cast.pottery.events[0]
    event.start_time, event.end_time = NOON + DAY, NOON + DAY + HOUR
    cast.session.flush()
    for _ in range(2):
        stand = standing(cast.session, cast.pottery, NOON)
        deadline_changes.cut_to_hard_stop(cast.session, stand, SYSTEM, tell=True)
    cast.session.expire_all()
    assert (ben.invite_expires_at, cleo.invite_expires_at) == (NOON + DAY - 2 * HOUR, None)
    told = [kind for kind, _ in cast.letters() if kind == "deadline_changed"]
    assert told == ["deadline_changed"]
    assert list(cast.jobs().values()) == [NOON + 22 * HOUR]


def test_a_schedule_on_again_keeps_the_old_promise_not_its_new_interval(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    cast.session.execute(
        sa.update(AutomationSchedule).values(interval=timedelta(hours=1)),
        execution_options={"synchronize_session": False},
    )
    _off(cast)
    _on(cast)
    assert ben.invite_expires_at == DEADLINE  # the promise, not the new interval
