"""The line: inviting, answering, running out, refilling (waitlist WE, WF)."""

from __future__ import annotations

from app.services.waitlist import Answer
from tests.cast import DEADLINE, NOON, SECOND, Cast


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
