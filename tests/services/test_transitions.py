"""Every act against every status: what moves, what is refused, what is answered (waitlist WE2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import EnrolmentHistory, TrainingEnroll
from app.models.enrolment import DECLINED, DEROLLED, ENROLLED, EXPIRED, INVITED, WAITLIST
from app.services import deadline_changes, documented, enrolments, overrides, waitlist
from app.services.actors import LINK
from app.services.refusals import Refusal
from app.services.transitions import (
    EVENTS,
    IllegalMove,
    is_legal,
    known,
    move,
    move_many,
    place_of,
)
from app.services.waitlist import Answer, NotInvited, NotWaiting
from tests.cast import DAY, DEADLINE, HOUR, NOON, REASON, Cast

LATER = NOON + HOUR
STATUSES = [str(s) for s in (WAITLIST, INVITED, ENROLLED, EXPIRED, DECLINED, DEROLLED)]

Act = Callable[[Cast, TrainingEnroll], Any]


def _enrol(cast: Cast, row: TrainingEnroll) -> Any:
    return cast.enrol("Ben", LATER)


def _accept(cast: Cast, row: TrainingEnroll) -> Any:
    return cast.accept(row, LATER)


def _decline(cast: Cast, row: TrainingEnroll) -> Any:
    return cast.decline(row, LATER)


def _expire(cast: Cast, row: TrainingEnroll) -> Any:
    return cast.expire(row, DEADLINE)


def _invite(cast: Cast, row: TrainingEnroll) -> Any:
    return waitlist.invite(cast.session, row, cast.max, LATER, reason=REASON)


def _invite_from_waitlist(cast: Cast, row: TrainingEnroll) -> Any:
    return documented.invite_from_waitlist(cast.session, row, now=LATER)


def _schedule(cast: Cast, row: TrainingEnroll) -> Any:
    return documented.schedule_invitation(cast.session, row, HOUR, LATER)


def _deinvite(cast: Cast, row: TrainingEnroll) -> Any:
    return waitlist.deinvite(cast.session, row, cast.max, LATER, REASON)


def _return(cast: Cast, row: TrainingEnroll) -> Any:
    return waitlist.return_to_list(cast.session, row, cast.max, LATER, REASON)


def _more_time(cast: Cast, row: TrainingEnroll) -> Any:
    until = DEADLINE + DAY
    return deadline_changes.give_more_time(cast.session, row, until, cast.max, LATER, REASON)


def _skip(cast: Cast, row: TrainingEnroll) -> Any:
    return overrides.skip(cast.session, row, cast.max, LATER, REASON)


def _unskip(cast: Cast, row: TrainingEnroll) -> Any:
    return overrides.unskip(cast.session, row, cast.max, LATER, REASON)


def _force(cast: Cast, row: TrainingEnroll) -> Any:
    who = (row.training_id, row.student_id)
    return enrolments.force(cast.session, *who, cast.max, LATER, REASON)


def _deroll(cast: Cast, row: TrainingEnroll) -> Any:
    return enrolments.deroll(cast.session, row, LINK, LATER)


def _leave(cast: Cast, row: TrainingEnroll) -> Any:
    return enrolments.leave(cast.session, row, LINK, LATER)


def _remove(cast: Cast, row: TrainingEnroll) -> Any:
    return enrolments.remove(cast.session, row, cast.max, LATER, REASON)


# Act -> (the event it writes, status before -> what it leads to). What is not named is refused
# with the exception; a value is the answer of an act that changes nothing.
SAME = "the same success, no second effect"
TABLE: dict[Act, tuple[str, type[Refusal], dict[str, Any]]] = {
    _enrol: (
        "re-enabled",
        Refusal,
        {"waitlist": SAME, "waitlist-invited": SAME, "enrolled": SAME},
    ),
    _accept: (
        "accepted",
        Refusal,
        {
            "waitlist": Answer.WITHDRAWN,
            "enrolled": Answer.ALREADY_ENROLLED,
            "waitlist-invite-expired": Answer.TOO_LATE,
            "waitlist-declined": Answer.ALREADY_DECLINED,
            "derolled": Answer.NOT_OPEN,
        },
    ),
    _decline: (
        "declined",
        Refusal,
        {
            "waitlist": Answer.WITHDRAWN,
            "enrolled": Answer.ALREADY_ENROLLED,
            "waitlist-invite-expired": Answer.TOO_LATE,
            "waitlist-declined": Answer.ALREADY_DECLINED,
            "derolled": Answer.NOT_OPEN,
        },
    ),
    _expire: ("expired", Refusal, dict.fromkeys(STATUSES, False)),
    _deinvite: ("deinvited", NotInvited, {"waitlist-invite-expired": SAME}),
    _return: ("returned", NotInvited, {}),
    _more_time: ("", NotInvited, {}),
    _force: ("forced", Refusal, {"enrolled": SAME}),
    _deroll: ("derolled", enrolments.NotIn, {"derolled": SAME}),
    _leave: ("left", enrolments.NotIn, {"derolled": SAME}),
    _remove: ("removed", enrolments.NotIn, {"derolled": SAME}),
    _invite: ("", NotWaiting, {}),
    _invite_from_waitlist: ("", NotWaiting, {}),
    _schedule: ("", NotWaiting, {}),
    _skip: ("", NotWaiting, {}),
    _unskip: ("", NotWaiting, {}),
}
# What these acts may do beside the table's events, tested in their own files.
WAITING_ONLY = (_invite, _invite_from_waitlist, _schedule, _skip, _unskip)


def _moves(event: str, status: str) -> bool:
    return event in EVENTS and status in EVENTS[event].from_


CASES = [(act, status) for act in TABLE for status in STATUSES]
LEGAL = [(a, s) for a, s in CASES if _moves(TABLE[a][0], s)]
ILLEGAL = [
    (a, s)
    for a, s in CASES
    if not _moves(TABLE[a][0], s)
    and not (a in WAITING_ONLY and s == "waitlist")
    and not (a is _more_time and s == "waitlist-invited")
    and not (a is _enrol and s == "derolled")  # queued again: test_enrolments
]


def _named(value: Any) -> str:
    return value.__name__.strip("_") if callable(value) else str(value)


@pytest.mark.parametrize(("act", "status"), LEGAL, ids=_named)
def test_a_legal_act_moves_the_row_and_writes_one_row_of_history(
    cast: Cast, act: Act, status: str
) -> None:
    ben = cast.in_status(status)
    before, event = len(cast.events()), TABLE[act][0]
    act(cast, ben)
    own = [row for row in cast.events()[before:] if row.enrolment_id == ben.id]
    first = own[0]
    assert (first.event, first.from_status) == (event, status)
    assert first.to_status == EVENTS[event].to
    assert [row.event for row in own[1:]] in ([], ["invited"])  # the refill's own choice
    assert cast.statuses(ben) == [own[-1].to_status]


@pytest.mark.parametrize(("act", "status"), ILLEGAL, ids=_named)
def test_any_other_act_changes_nothing_whatever_was_loaded_before(
    cast: Cast, act: Act, status: str
) -> None:
    ben = cast.in_status(status)
    before, (event, refusal, answers) = cast.everything(), TABLE[act]
    believed = EVENTS[event].from_[0] if event else WAITLIST
    sa.orm.attributes.set_committed_value(ben, "status", believed)  # loaded long ago
    if status in answers:
        answer = act(cast, ben)
        assert answers[status] is SAME or answer == answers[status]
        assert ben.status == status
    else:
        with pytest.raises(refusal) as no:
            act(cast, ben)
        assert no.value.status == 409
        assert str(no.value.sentence).endswith(".")
    assert cast.everything() == before


@pytest.mark.parametrize("event", EVENTS)
def test_history_takes_an_event_only_from_where_it_may_start(event: str) -> None:
    for from_ in (None, WAITLIST, INVITED, ENROLLED, EXPIRED, DECLINED, DEROLLED):
        assert is_legal(event, from_, EVENTS[event].to) is (from_ in EVENTS[event].from_)
        assert not is_legal("jumped", from_, EVENTS[event].to)


def test_the_table_of_events_is_that_of_the_specification() -> None:
    none, open_ = None, (WAITLIST, INVITED, ENROLLED)
    assert {name: (set(e.from_), e.to) for name, e in EVENTS.items()} == {
        "enrolled": ({none, DEROLLED}, ENROLLED),
        "queued": ({none, DEROLLED}, WAITLIST),
        "re-enabled": ({EXPIRED, DECLINED}, WAITLIST),
        "invited": ({WAITLIST}, INVITED),
        "accepted": ({INVITED}, ENROLLED),
        "declined": ({INVITED}, DECLINED),
        "expired": ({INVITED}, EXPIRED),
        "deinvited": ({INVITED}, EXPIRED),
        "returned": ({INVITED}, WAITLIST),
        "forced": ({none, WAITLIST, INVITED, EXPIRED, DECLINED, DEROLLED}, ENROLLED),
        "derolled": ({ENROLLED}, DEROLLED),
        "left": ({WAITLIST, INVITED}, DEROLLED),
        "removed": ({WAITLIST, INVITED}, DEROLLED),
        "cancelled": (set(open_), DEROLLED),
        "archived": ({WAITLIST, INVITED}, DEROLLED),
    }


# --- move and move_many ---------------------------------------------------------------------------


def test_of_two_moves_of_one_row_the_second_says_no(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    assert move(cast.session, ben, INVITED, DECLINED)
    assert not move(cast.session, ben, INVITED, EXPIRED)
    assert ben.status is DECLINED


def test_a_move_whose_condition_fails_changes_nothing_and_shows_the_truth(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    version = ben.version
    assert not move(cast.session, ben, INVITED, ENROLLED, where=TrainingEnroll.invite_no == 99)
    assert (ben.status, ben.version) == (INVITED, version)


def test_a_move_that_no_event_allows_is_a_bug_and_raises(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    with pytest.raises(IllegalMove):
        move(cast.session, ben, WAITLIST, DECLINED)
    with pytest.raises(IllegalMove):
        move_many(cast.session, [ben.id], ENROLLED, WAITLIST)
    assert cast.statuses(ben) == ["waitlist"]


def test_a_set_moves_only_those_still_there_in_the_order_asked(cast: Cast) -> None:
    ben, cleo, dora = cast.line("Ben", "Cleo", "Dora")
    cast.session.execute(
        sa.update(TrainingEnroll).where(TrainingEnroll.id == cleo.id).values(status=DEROLLED)
    )
    moved = move_many(cast.session, [dora.id, cleo.id, ben.id], WAITLIST, INVITED, invite_date=NOON)
    assert [place.id for place in moved] == [dora.id, ben.id]
    assert (ben.status, cleo.status, dora.status) == (INVITED, DEROLLED, INVITED)


def test_a_set_of_nobody_moves_nobody(cast: Cast) -> None:
    assert move_many(cast.session, [], WAITLIST, INVITED) == []


def test_a_row_known_by_its_ids_tells_the_rest_when_it_is_asked(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    id_, training_id = ben.id, ben.training_id
    cast.session.expunge(ben)
    row = known(cast.session, id_, training_id)
    assert (row.status, row.invite_no) == (INVITED, 1)
    assert not cast.session.dirty


def test_a_row_that_is_known_already_shows_what_is_true_now(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    assert ben.passes == 0
    changed = sa.update(TrainingEnroll).values(passes=3)
    cast.session.execute(changed, execution_options={"synchronize_session": False})
    assert known(cast.session, ben.id, ben.training_id) is ben
    assert ben.passes == 3


def test_a_place_is_the_row_in_few_words(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    assert place_of(ben) == (ben.id, ben.uuid, ben.training_id, ben.student_id, 1, 0, 0)


def test_each_invitation_ends_once_even_for_code_that_forgot_to_ask(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    cast.decline(ben)
    ended = cast.last_event("declined")
    again: dict[str, Any] = {
        column.key: getattr(ended, column.key)
        for column in sa.inspect(EnrolmentHistory).columns
        if column.key not in ("id", "seq")
    }
    with pytest.raises(sa.exc.IntegrityError):
        cast.session.execute(sa.insert(EnrolmentHistory).values(again | {"seq": 999}))


def test_the_version_counts_each_move(session: Session, cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    version = ben.version
    cast.accept(ben)
    assert ben.version == version + 1
