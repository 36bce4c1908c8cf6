"""What staff may do against the order of the line (waitlist WO2, WO3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.services import overrides, waitlist
from app.services.actors import staff
from app.services.overrides import NoSuchPlaces, NotAhead
from app.services.refusals import NotFound, ReasonNeeded
from tests.cast import DAY, HOUR, NOON, REASON, Cast

Act = Callable[[Cast, str | None], Any]


def _on_row(name: str) -> Act:
    def act(cast: Cast, reason: str | None) -> Any:
        return getattr(overrides, name)(cast.session, cast.row("Ben"), cast.max, NOON, reason)

    return act


def _on_list(name: str, *more: Any) -> Act:
    def act(cast: Cast, reason: str | None) -> Any:
        where = (cast.session, cast.pottery.id, *more)
        return getattr(overrides, name)(*where, cast.max, NOON, reason)

    return act


def _on_invited(name: str) -> Act:
    def act(cast: Cast, reason: str | None) -> Any:
        return getattr(waitlist, name)(cast.session, cast.row("Ben"), cast.max, NOON, reason)

    return act


ACTS = {
    "skip": _on_row("skip"),
    "unskip": _on_row("unskip"),
    "pause": _on_list("pause_list"),
    "resume": _on_list("resume_list"),
    "keep": _on_list("keep_spots", 1),
    "release": _on_list("release_spots", 1),
    "return": _on_invited("return_to_list"),
    "end": _on_invited("deinvite"),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("reason", [None, "four", "x" * 501])
def test_every_override_wants_a_reason(cast: Cast, act: str, reason: str | None) -> None:
    cast.offer("Ben") if act in ("return", "end") else cast.line("Ben")
    before = cast.everything()
    with pytest.raises(ReasonNeeded):
        ACTS[act](cast, reason)
    assert cast.everything() == before


@pytest.mark.parametrize("act", ["pause", "resume", "keep", "release"])
def test_an_unknown_training_is_not_found(cast: Cast, act: str) -> None:
    names = {"pause": "pause_list", "resume": "resume_list"}
    more = () if act in names else (1,)
    verb = getattr(overrides, names.get(act, f"{act}_spots"))
    with pytest.raises(NotFound):
        verb(cast.session, 999_999, *more, cast.max, NOON, REASON)


# --- skip and unskip ------------------------------------------------------------------------------


def test_who_is_skipped_keeps_the_place_and_is_passed_over(cast: Cast) -> None:
    ben, cleo = cast.line("Ben", "Cleo")
    overrides.skip(cast.session, ben, cast.max, NOON, f"  {REASON} ")
    row = cast.last_event("skipped")
    assert (row.note, row.actor, row.from_status, row.to_status) == (
        REASON,
        cast.max.name,
        "waitlist",
        "waitlist",
    )
    cast.leave(cast.row("Ada"))
    assert cast.statuses(ben, cleo) == ["waitlist", "waitlist-invited"]
    assert ben.queue_position == 1


def test_unskipping_invites_whose_turn_it_was(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    overrides.skip(cast.session, ben, cast.max, NOON, REASON)
    cast.leave(cast.row("Ada"))
    overrides.unskip(cast.session, ben, cast.max, NOON, REASON)
    assert ben.status == "waitlist-invited"
    assert cast.history()[-2:] == ["unskipped", "invited"]


def test_skipping_until_a_day_says_until_when(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    overrides.skip(cast.session, ben, cast.max, NOON, REASON, until=NOON + DAY)
    assert (ben.skipped, ben.not_before) == (False, NOON + DAY)
    assert cast.last_event("skipped").data == {"until": (NOON + DAY).isoformat()}


@pytest.mark.parametrize("ago", [HOUR, 0 * HOUR])
def test_skipping_until_an_instant_that_has_come_is_refused(cast: Cast, ago: Any) -> None:
    (ben,) = cast.line("Ben")
    ACTS["skip"](cast, REASON)
    cast.leave(cast.row("Ada"))  # a place is free, and only the skip is in Ben's way
    before = cast.everything()
    with pytest.raises(NotAhead):
        overrides.skip(cast.session, ben, cast.max, NOON, REASON, until=NOON - ago)
    assert cast.everything() == before


@pytest.mark.parametrize("act", ["skip", "unskip"])
def test_skipping_or_unskipping_again_has_no_second_effect(cast: Cast, act: str) -> None:  # WD5
    (ben,) = cast.line("Ben")
    if act == "skip":
        ACTS["skip"](cast, REASON)
    before = len(cast.history())
    ACTS[act](cast, REASON)
    assert len(cast.history()) == before
    assert ben.skipped is (act == "skip")


# --- pause ----------------------------------------------------------------------------------------


def test_a_paused_list_lets_open_invitations_run_on(cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    ACTS["pause"](cast, REASON)
    assert cast.expire(ben)
    assert cast.statuses(ben, cleo) == ["waitlist-invite-expired", "waitlist"]
    assert overrides.resume_list(cast.session, cast.pottery.id, cast.max, NOON, REASON) == [
        cleo.uuid
    ]
    assert cast.history()[-2:] == ["resumed", "invited"]


def test_an_open_invitation_can_be_accepted_while_the_list_is_paused(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    ACTS["pause"](cast, REASON)
    assert cast.accept(ben) is waitlist.Answer.ENROLLED


def test_pausing_twice_is_pausing_once_and_so_is_resuming(cast: Cast) -> None:
    ACTS["pause"](cast, REASON)
    ACTS["pause"](cast, REASON)
    assert cast.history() == ["paused"]
    ACTS["resume"](cast, REASON)
    ACTS["resume"](cast, REASON)
    assert cast.history() == ["paused", "resumed"]


# --- kept places ----------------------------------------------------------------------------------


def test_only_free_places_can_be_kept_and_only_kept_ones_released(cast: Cast) -> None:
    ACTS["keep"](cast, REASON)
    for act in ("keep", "keep"):
        with pytest.raises(NoSuchPlaces):
            ACTS[act](cast, REASON)
    ACTS["release"](cast, REASON)
    with pytest.raises(NoSuchPlaces):
        ACTS["release"](cast, REASON)
    assert cast.ledger() == (0, 0, 0)
    assert cast.history() == ["kept", "released"]
    assert cast.last_event("kept").data == {"count": 1, "kept": 1}
    assert cast.last_event("released").data == {"count": 1, "kept": 0}


@pytest.mark.parametrize("count", [0, -1, -5, 10_001])
@pytest.mark.parametrize("verb", [overrides.keep_spots, overrides.release_spots])
def test_no_places_or_fewer_than_none_are_refused(cast: Cast, verb: Any, count: int) -> None:
    cast.pottery.max_participants = 10
    overrides.keep_spots(cast.session, cast.pottery.id, 5, cast.max, NOON, REASON)
    with pytest.raises(NoSuchPlaces):
        verb(cast.session, cast.pottery.id, count, cast.max, NOON, REASON)
    assert cast.ledger() == (0, 5, 0)


def test_keeping_a_place_at_an_act_is_written_down(cast: Cast) -> None:  # WO3
    (ben,) = cast.offer("Ben")
    waitlist.return_to_list(cast.session, ben, cast.max, NOON, REASON, keep_place=True)
    assert cast.ledger() == (0, 1, 0)
    assert cast.last_event("kept").data == {"count": 1, "kept": 1}
    assert cast.last_event("kept").actor == cast.max.name


# --- returning and ending invitations -------------------------------------------------------------


def test_who_is_returned_keeps_the_place_skipped_and_the_next_is_invited(cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")  # WQ9
    since = cast.last_letter()
    ACTS["return"](cast, REASON)
    assert cast.statuses(ben, cleo) == ["waitlist", "waitlist-invited"]
    assert (ben.queue_position, ben.skipped) == (1, True)
    assert [cleo.uuid in job for job in cast.jobs()] == [True]
    assert ("invitation_withdrawn", "Ben") in cast.letters(since)
    assert ("invitation_withdrawn_trainer", "Tess") not in cast.letters(since)
    assert cast.last_event("returned").note == REASON


def test_returned_silently_nobody_is_told(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    since = cast.last_letter()
    waitlist.return_to_list(cast.session, ben, cast.max, NOON, REASON, silent=True)
    assert cast.letters(since) == []
    assert cast.ledger() == (0, 0, 0)


def test_returned_until_later_the_student_is_invited_again_then(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    when = NOON + HOUR
    waitlist.return_to_list(cast.session, ben, cast.max, NOON, REASON, not_before=when)
    assert (ben.status, ben.skipped, ben.not_before) == ("waitlist", False, when)
    assert waitlist.fill_open_spots(cast.session, cast.pottery.id, when) == [ben.uuid]


def test_ending_an_invitation_expires_it_with_the_reason(cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    since = cast.last_letter()
    ACTS["end"](cast, REASON)
    assert cast.statuses(ben, cleo) == ["waitlist-invite-expired", "waitlist-invited"]
    assert (ben.missed_invites, ben.invite_date) == (1, NOON)
    row = cast.last_event("deinvited")
    assert (row.note, row.actor, row.invite_no) == (REASON, cast.max.name, 1)
    told = [letter for letter in cast.letters(since) if letter[0].startswith("expired")]
    assert sorted(told) == [("expired", "Ben"), ("expired_trainer", "Tess")]


def test_ending_an_invitation_may_keep_the_place(cast: Cast) -> None:  # WO3 at 8
    ben, cleo = cast.offer("Ben", "Cleo")
    waitlist.deinvite(cast.session, ben, cast.max, NOON, REASON, keep_place=True)
    assert cast.statuses(ben, cleo) == ["waitlist-invite-expired", "waitlist"]
    assert cast.ledger() == (0, 1, 0)


# --- paid ----------------------------------------------------------------------------------------


def test_whoever_has_a_place_is_marked_as_paid_and_not_paid_once_each(cast: Cast) -> None:
    ada = cast.enrol("Ada")
    for paid in (True, True, False, False):
        overrides.mark_paid(cast.session, ada, paid, cast.max, NOON)
    assert not ada.paid
    assert cast.history() == ["enrolled", "paid", "unpaid"]


def test_who_waits_pays_nothing(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    with pytest.raises(overrides.HasNoPlace):
        overrides.mark_paid(cast.session, ben, True, cast.max, NOON)


def test_another_practice_marks_nobody_and_takes_no_list_away(cast: Cast) -> None:
    ada, stranger = cast.enrol("Ada"), staff(cast.user("Mallory").id, [])
    with pytest.raises(NotFound):
        overrides.mark_paid(cast.session, ada, True, stranger, NOON)
    with pytest.raises(NotFound):
        overrides.note_export(cast.session, cast.pottery.id, stranger, NOON)
    assert cast.history() == ["enrolled"]


def test_whoever_takes_the_list_away_stands_in_the_history(cast: Cast) -> None:
    overrides.note_export(cast.session, cast.pottery.id, cast.max, NOON)
    assert cast.last_event("exported").actor == cast.max.name
