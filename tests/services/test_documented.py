"""The documents' functions, under their names (waitlist WF7, WF8, WS17, WS18; rulings RC5)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.extensions import utcnow
from app.models import EnrolmentHistory
from app.services import documented, overrides, waitlist
from app.services.refusals import ReasonNeeded
from app.services.waitlist import CannotBeInvited, NoFreeSpot, NotInvited, NotWaiting
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, REASON, START, Cast


def test_inviting_is_a_status_a_date_two_letters_and_a_job(cast: Cast) -> None:  # WS2
    (ben,) = cast.line("Ben")
    cast.pottery.max_participants = 2
    since = cast.last_letter()
    documented.invite_from_waitlist(cast.session, ben, now=NOON)
    assert (ben.status, ben.invite_date) == ("waitlist-invited", NOON)
    assert sorted(cast.letters(since)) == [("invited", "Ben"), ("invited_trainer", "Tess")]
    assert cast.jobs() == {f"waitlist_invitation_expiry/{ben.uuid}/PRODUCTION": DEADLINE}
    row = cast.last_event("invited")
    assert (row.actor, row.note) == ("console", "console")


def test_deinviting_takes_job_and_place_away_with_two_letters(cast: Cast) -> None:  # WS2
    (ben,) = cast.offer("Ben")
    since = cast.last_letter()
    documented.deinvite_from_waitlist(cast.session, ben, now=NOON + HOUR)
    assert (ben.status, ben.invite_date) == ("waitlist-invite-expired", NOON)
    assert sorted(cast.letters(since)) == [("expired", "Ben"), ("expired_trainer", "Tess")]
    assert cast.jobs() == {}
    row = cast.last_event("deinvited")
    assert (row.actor, row.note) == ("console", "console")


def test_without_an_expiry_there_is_no_job(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    cast.pottery.max_participants = 2
    documented.invite_from_waitlist(cast.session, ben, schedule_expiry=False, now=NOON)
    assert cast.jobs() == {}
    assert (ben.expiry_exempt, ben.invite_expires_at) == (True, START - 2 * HOUR)


def test_a_second_call_of_either_is_refused(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    with pytest.raises(NotWaiting):
        documented.invite_from_waitlist(cast.session, ben, now=NOON)
    documented.deinvite_from_waitlist(cast.session, ben, now=NOON)
    before = cast.everything()
    with pytest.raises(NotInvited):
        documented.deinvite_from_waitlist(cast.session, ben, now=NOON)
    assert cast.everything() == before


def test_another_reason_may_be_given_but_not_an_empty_one(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    with pytest.raises(ReasonNeeded):
        documented.deinvite_from_waitlist(cast.session, ben, reason="", now=NOON)
    documented.deinvite_from_waitlist(cast.session, ben, reason="called in sick", now=NOON)
    assert cast.last_event("deinvited").note == "called in sick"


def test_whoever_is_asked_for_may_be_behind_others(cast: Cast) -> None:
    ben, cleo = cast.line("Ben", "Cleo")
    cast.pottery.max_participants = 2
    documented.invite_from_waitlist(cast.session, cleo, now=NOON)
    assert cast.statuses(ben, cleo) == ["waitlist", "waitlist-invited"]
    passed = cast.last_event("invited").data["passed_over"]
    assert passed == [{"enrolment": ben.uuid, "position": 1, "code": None}]


def test_a_full_training_invites_nobody(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    with pytest.raises(NoFreeSpot):
        documented.invite_from_waitlist(cast.session, ben, now=NOON)
    assert cast.statuses(ben) == ["waitlist"]


# --- the rate -------------------------------------------------------------------------------------


def _invited(cast: Cast, times: int, ago: timedelta = HOUR) -> None:
    student = cast.student("Ben")
    for n in range(times):
        cast.add(
            EnrolmentHistory(
                training_id=cast.pottery.id,
                student_id=student.id,
                seq=100 + n,
                at=NOON - ago,
                actor="system",
                event="invited",
            )
        )


@pytest.mark.parametrize(("times", "allowed"), [(0, True), (2, True), (3, False), (9, False)])
def test_the_rate_is_fine_below_three(cast: Cast, times: int, allowed: bool) -> None:
    _invited(cast, times)
    student = cast.student("Ben")
    assert documented.check_invitation_rate(cast.session, student, now=NOON) is allowed


def test_limit_and_window_may_be_others(cast: Cast) -> None:
    _invited(cast, 3, ago=5 * HOUR)
    check, student = documented.check_invitation_rate, cast.student("Ben")
    assert check(cast.session, student, limit=4, now=NOON)
    assert not check(cast.session, student, limit=3, window_hours=5.5, now=NOON)
    assert check(cast.session, student, limit=3, window_hours=5, now=NOON)


def test_other_students_invitations_and_other_events_do_not_count(cast: Cast) -> None:
    _invited(cast, 3)
    assert documented.check_invitation_rate(cast.session, cast.student("Cleo"), now=NOON)


# --- planning -------------------------------------------------------------------------------------


def test_a_batch_takes_the_eligible_in_order(cast: Cast) -> None:
    ben, cleo, dora = cast.line("Ben", "Cleo", "Dora")
    cast.student("Cleo").user.undeliverable_at = NOON
    cast.pottery.max_participants = 9
    found = documented.invite_batch_from_waitlist(cast.session, cast.pottery, now=NOON)
    assert found == [ben.uuid, dora.uuid]
    cast.session.refresh(cleo)
    assert cleo.invite_planned_at is None


@pytest.mark.parametrize(
    "change", [{"active": False}, {"cancelled_at": NOON}, {"waitlist_paused": True}]
)
def test_nothing_is_planned_for_a_closed_or_paused_training(
    cast: Cast, change: dict[str, object]
) -> None:
    (ben,) = cast.line("Ben")
    cast.pottery.max_participants = 2
    for name, value in change.items():
        setattr(cast.pottery, name, value)
    assert documented.invite_batch_from_waitlist(cast.session, cast.pottery, now=NOON) == []
    with pytest.raises(NoFreeSpot):
        documented.schedule_invitation(cast.session, ben, MINUTE, now=NOON)
    assert ben.invite_planned_at is None


def test_only_who_waits_can_be_planned(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    with pytest.raises(NotWaiting):
        documented.schedule_invitation(cast.session, ben, MINUTE, now=NOON)


def test_without_now_the_clock_is_read(cast: Cast) -> None:
    cast.pottery.events.clear()
    (ben,) = cast.line("Ben")
    cast.pottery.max_participants = 2
    before = utcnow()
    at = documented.schedule_invitation(cast.session, ben, DAY)
    assert before + DAY <= at <= utcnow() + DAY
    documented.invite_from_waitlist(cast.session, ben)
    cast.session.refresh(ben)
    assert before <= ben.invite_date <= utcnow()
    assert documented.check_invitation_rate(cast.session, cast.student("Ben"), limit=1) is False


def test_who_is_eligible_now_is_asked_anew_each_time(cast: Cast) -> None:  # WD4, WX23
    ben, _cleo = cast.line("Ben", "Cleo")
    assert cast.pottery.waitlist_enrollments_eligible(NOON) == []
    cast.pottery.max_participants = 2
    assert cast.pottery.waitlist_enrollments_eligible(NOON) == [ben]
    waitlist.fill_open_spots(cast.session, cast.pottery.id, NOON)
    assert cast.pottery.waitlist_enrollments_eligible(NOON) == []


def test_whoever_is_planned_past_others_takes_a_reason(cast: Cast) -> None:  # WO2
    ben, cleo = cast.line("Ben", "Cleo")
    cast.pottery.max_participants = 3
    overrides.skip(cast.session, cleo, cast.max, NOON, REASON)
    with pytest.raises(ReasonNeeded):
        documented.schedule_invitation(cast.session, cleo, HOUR, now=NOON, reason="")
    documented.schedule_invitation(cast.session, cleo, HOUR, now=NOON)
    assert cast.last_event("planned").note == "console"
    documented.schedule_invitation(cast.session, ben, HOUR, now=NOON, reason="")
    assert cast.last_event("planned").note is None


@pytest.mark.parametrize(("left", "planned"), [(15 * MINUTE, True), (14 * MINUTE, False)])
def test_a_plan_that_leaves_no_time_to_answer_is_refused(
    cast: Cast, left: timedelta, planned: bool
) -> None:
    (ben,) = cast.line("Ben")
    cast.pottery.max_participants = 2
    delay = START - 2 * HOUR - left - NOON
    if planned:
        assert documented.schedule_invitation(cast.session, ben, delay, now=NOON) == NOON + delay
        return
    before = cast.everything()
    with pytest.raises(CannotBeInvited):
        documented.schedule_invitation(cast.session, ben, delay, now=NOON)
    assert cast.everything() == before


def test_who_cannot_be_told_is_not_planned(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    cast.pottery.max_participants = 2
    cast.wont_mail("Ben")
    with pytest.raises(CannotBeInvited):
        documented.schedule_invitation(cast.session, ben, HOUR, now=NOON)
