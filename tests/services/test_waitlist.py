"""The line: inviting, answering, running out, refilling (waitlist WE, WF)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.models import PersonStatus, Training, TrainingEnroll
from app.models.rules import Environment, Rules
from app.services import documented, overrides, waitlist
from app.services.actors import SYSTEM
from app.services.refusals import ReasonNeeded
from app.services.waitlist import Answer, NotInvited, expire
from tests.cast import DAY, DEADLINE, HOUR, NOON, REASON, SECOND, START, Cast


def test_who_comes_to_a_full_training_waits(cast: Cast) -> None:
    ada, ben = cast.enrol_all("Ada", "Ben")
    assert cast.statuses(ada, ben) == ["enrolled", "waitlist"]
    assert ben.queue_position == 1
    assert cast.history() == ["enrolled", "queued"]
    assert cast.letters() == [
        ("enrolled", "Ada"),
        ("enrolled_trainer", "Tess"),
        ("waitlisted", "Ben"),
        ("waitlisted_trainer", "Tess"),
    ]


def test_the_first_in_line_is_invited_when_someone_leaves(cast: Cast) -> None:
    ada, ben, cleo = cast.enrol_all("Ada", "Ben", "Cleo")
    cast.leave(ada)
    assert cast.statuses(ada, ben, cleo) == ["derolled", "waitlist-invited", "waitlist"]
    assert ben.invite_expires_at == DEADLINE
    assert cast.jobs() == {f"waitlist_invitation_expiry/{ben.uuid}/PRODUCTION": DEADLINE}


def test_silence_invites_the_next(cast: Cast) -> None:
    ada, ben, cleo = cast.enrol_all("Ada", "Ben", "Cleo")
    cast.leave(ada)
    before = cast.last_letter()
    assert cast.expire(ben)
    assert cast.statuses(ben, cleo) == ["waitlist-invite-expired", "waitlist-invited"]
    assert ben.invite_date == NOON
    assert cast.letters(before) == [
        ("expired", "Ben"),
        ("expired_trainer", "Tess"),
        ("invited", "Cleo"),
        ("invited_trainer", "Tess"),
    ]


def test_a_click_in_the_last_second_enrols(cast: Cast) -> None:
    ada, ben = cast.enrol_all("Ada", "Ben")
    cast.leave(ada)
    assert cast.accept(ben, DEADLINE - SECOND) is Answer.ENROLLED
    assert cast.jobs() == {}
    assert cast.accept(ben, DEADLINE) is Answer.ALREADY_ENROLLED


def test_a_click_at_the_deadline_is_too_late_even_if_no_sweep_ran(cast: Cast) -> None:
    ada, ben = cast.enrol_all("Ada", "Ben")
    cast.leave(ada)
    assert cast.accept(ben, DEADLINE) is Answer.TOO_LATE
    assert cast.statuses(ben) == ["waitlist-invited"]


def test_accepting_is_one_row_two_letters_and_no_job(cast: Cast) -> None:  # WQ3
    ben, cleo = cast.offer("Ben", "Cleo")
    since = cast.last_letter()
    assert cast.accept(ben, NOON + HOUR) is Answer.ENROLLED
    row = cast.last_event("accepted")
    assert (row.from_status, row.to_status, row.actor) == ("waitlist-invited", "enrolled", "link")
    assert (row.reason, row.note, row.invite_no) == (None, None, 1)
    assert sorted(cast.letters(since)) == [("accepted", "Ben"), ("accepted_trainer", "Tess")]
    assert (cast.jobs(), cast.ledger()) == ({}, (1, 0, 0))
    assert cast.statuses(cleo) == ["waitlist"]


def test_declining_invites_the_next_in_the_same_act(cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    assert cast.decline(ben, NOON + HOUR) is Answer.DECLINED
    assert cast.history()[-2:] == ["declined", "invited"]
    assert cast.jobs() == {
        f"waitlist_invitation_expiry/{cleo.uuid}/PRODUCTION": NOON + HOUR + 48 * HOUR
    }
    assert cast.statuses(ben, cleo) == ["waitlist-declined", "waitlist-invited"]


@pytest.mark.parametrize("first", ["accept", "decline"])
def test_the_opposite_answer_comes_too_late(cast: Cast, first: str) -> None:
    (ben,) = cast.offer("Ben")
    getattr(cast, first)(ben)
    before = cast.everything()
    second = cast.decline(ben) if first == "accept" else cast.accept(ben)
    assert second in (Answer.ALREADY_ENROLLED, Answer.ALREADY_DECLINED)
    assert cast.everything() == before


@pytest.mark.parametrize(
    "change", [{"active": False}, {"cancelled_at": NOON}, {"archived_at": NOON}]
)
def test_nobody_accepts_into_a_closed_training_but_one_may_decline(
    cast: Cast, change: dict[str, object]
) -> None:
    (ben,) = cast.offer("Ben")
    cast.session.execute(sa.update(Training).values(**change))
    before = cast.everything()
    assert cast.accept(ben) is Answer.NOT_OPEN
    assert cast.everything() == before
    assert cast.decline(ben) is Answer.DECLINED


def test_nobody_accepts_into_a_training_that_has_started(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    cast.session.execute(sa.update(TrainingEnroll).values(invite_expires_at=None))
    assert cast.accept(ben, START) is Answer.NOT_OPEN
    assert cast.accept(ben, START - SECOND) is Answer.ENROLLED


def test_an_inactive_student_or_account_does_not_accept(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    student = cast.student("Ben")
    student.status = PersonStatus.INACTIVE
    assert cast.accept(ben) is Answer.NOT_OPEN
    student.status, student.user.active = PersonStatus.ACTIVE, False
    assert cast.accept(ben) is Answer.NOT_OPEN
    student.user.active = True
    assert cast.accept(ben) is Answer.ENROLLED


def test_silence_drops_the_row_and_keeps_when_it_was_asked(cast: Cast) -> None:  # WX14, WI7
    (ben,) = cast.offer("Ben")
    assert cast.expire(ben, DEADLINE + DAY)
    assert (ben.invite_date, ben.missed_invites, ben.invite_no) == (NOON, 1, 1)
    row = cast.last_event("expired")
    assert (row.at, row.reason, row.note) == (DEADLINE + DAY, None, None)
    assert (cast.jobs(), cast.ledger()) == ({}, (0, 0, 0))


def test_an_expiry_two_seconds_late_is_an_expiry(cast: Cast) -> None:  # WX4
    (ben,) = cast.offer("Ben")
    assert cast.expire(ben, DEADLINE + 2 * SECOND)


def test_accept_and_expiry_at_one_instant_have_one_outcome(cast: Cast) -> None:  # WX2
    (ben,) = cast.offer("Ben")
    assert cast.expire(ben, DEADLINE)
    before = cast.everything()
    assert cast.accept(ben, DEADLINE - SECOND) is Answer.TOO_LATE
    assert not cast.expire(ben, DEADLINE)
    assert cast.everything() == before


def test_an_expiry_that_lost_still_fills_what_is_free(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    cast.accept(ben)
    cleo = cast.enrol("Cleo")
    cast.session.execute(sa.update(Training).values(max_participants=2))
    assert not cast.expire(ben, DEADLINE)
    assert cast.statuses(cleo) == ["waitlist-invited"]


def test_in_development_the_jobs_own_time_is_compared(cast: Cast) -> None:  # WA9
    cast.session.info["rules"] = Rules(environment=Environment.DEVELOPMENT)
    ben, cleo = cast.offer("Ben", "Cleo")
    assert cast.jobs() == {f"waitlist_invitation_expiry/{ben.uuid}/DEVELOPMENT": NOON + SECOND}
    assert ben.invite_expires_at == DEADLINE
    assert expire(cast.session, ben, SYSTEM, NOON + SECOND, as_of=DEADLINE)
    cast.session.refresh(cleo)
    assert cleo.invite_date == NOON + SECOND
    assert cleo.invite_expires_at == DEADLINE + SECOND


def test_one_silence_walks_down_the_whole_line(cast: Cast) -> None:
    rows = cast.offer("Ben", "Cleo", "Dora")
    at = DEADLINE
    for row in rows:
        assert cast.expire(row, at)
        at += 48 * HOUR
    assert cast.statuses(*rows) == ["waitlist-invite-expired"] * 3
    assert [row.queue_position for row in rows] == [1, 2, 3]


def test_an_invited_row_of_plain_orm_code_can_be_answered_and_ended(cast: Cast) -> None:
    row = TrainingEnroll(
        training_id=cast.pottery.id,
        student_id=cast.student("Ben").id,
        status="waitlist-invited",
        invite_date=NOON,
    )
    cast.add(row)
    assert not cast.expire(row, DEADLINE)  # no deadline yet: renew gives it one
    assert cast.accept(row, NOON + DAY) is Answer.ENROLLED


def test_an_invitation_to_a_kept_place_is_written_down(cast: Cast) -> None:  # WO3
    (ben,) = cast.line("Ben")
    overrides.pause_list(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    cast.leave(cast.row("Ada"))
    overrides.keep_spots(cast.session, cast.pottery.id, 1, cast.max, NOON, REASON)
    overrides.resume_list(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    waitlist.invite(cast.session, ben, cast.max, NOON)
    assert cast.last_event("kept-used").data == {"count": 1, "kept": 0}
    assert cast.statuses(ben) == ["waitlist-invited"]


def test_who_is_first_in_line_and_planned_is_invited_now_without_a_reason(cast: Cast) -> None:
    ben, cleo = cast.line("Ben", "Cleo")
    cast.pottery.max_participants = 3
    documented.invite_batch_from_waitlist(cast.session, cast.pottery, now=NOON)
    overrides.skip(cast.session, cleo, cast.max, NOON, REASON)
    with pytest.raises(ReasonNeeded):  # planned too, but passed over
        waitlist.invite(cast.session, cleo, cast.max, NOON)
    waitlist.invite(cast.session, ben, cast.max, NOON)
    assert cast.statuses(ben, cleo) == ["waitlist-invited", "waitlist"]


def test_a_planned_student_behind_someone_who_could_be_invited_needs_a_reason(cast: Cast) -> None:
    ben, cleo = cast.line("Ben", "Cleo")
    cast.pottery.max_participants = 2
    overrides.skip(cast.session, ben, cast.max, NOON, REASON)
    documented.schedule_invitation(cast.session, cleo, HOUR, now=NOON)
    overrides.unskip(cast.session, ben, cast.max, NOON, REASON)
    with pytest.raises(ReasonNeeded):
        waitlist.invite(cast.session, cleo, cast.max, NOON)


# --- twice is once (WD5) --------------------------------------------------------------------------


def test_ending_an_invitation_twice_is_ending_it_once(cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    waitlist.deinvite(cast.session, ben, cast.max, NOON, REASON)
    before = cast.everything()
    waitlist.deinvite(cast.session, ben, cast.max, NOON, REASON)
    assert cast.everything() == before
    assert cast.statuses(cleo) == ["waitlist-invited"]


def test_returning_an_invitation_twice_is_returning_it_once(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    waitlist.return_to_list(cast.session, ben, cast.max, NOON, REASON)
    before = cast.everything()
    waitlist.return_to_list(cast.session, ben, cast.max, NOON, REASON)
    assert cast.everything() == before
    with pytest.raises(NotInvited):  # that would be another act
        waitlist.return_to_list(cast.session, ben, cast.max, NOON, REASON, not_before=NOON + HOUR)


@pytest.mark.parametrize("status", ["waitlist-declined", "enrolled", "derolled", "waitlist"])
def test_what_ended_otherwise_is_not_ended_by_staff(cast: Cast, status: str) -> None:  # WE3
    ben = cast.in_status(status)
    before = cast.everything()
    for verb in (waitlist.deinvite, waitlist.return_to_list):
        with pytest.raises(NotInvited):
            verb(cast.session, ben, cast.max, NOON, REASON)
    assert cast.everything() == before


def test_an_invitation_that_ran_out_was_not_ended_by_staff(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    cast.expire(ben)
    with pytest.raises(NotInvited):
        waitlist.deinvite(cast.session, ben, cast.max, DEADLINE, REASON)
