"""Why someone was, or was not, invited: the line and its history in words (people PT7)."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from app.models.queue import obstacle, standing
from app.models.rules import Rules
from app.services import overrides, students, trainings, why
from app.services.transitions import EVENTS
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, REASON, START, Cast
from tests.statements import count_statements

ZONE = ZoneInfo("Europe/Amsterdam")


def sentences(cast: Cast, now: datetime = NOON) -> list[str]:
    cast.session.flush()
    stand = standing(cast.session, cast.pottery, now)
    people = why.line(cast.session, stand)
    return [f"{p.name.split()[0]}: {said}" for p, said in why.sentences(stand, people, ZONE)]


def past(cast: Cast) -> list[str]:
    return [str(one) for one in why.decisions(cast.session, cast.pottery.id, ZONE)]


def test_who_waits_behind_a_full_training_and_who_answers(cast: Cast) -> None:
    cast.offer("Ben", "Cleo", "Dan")
    assert sentences(cast) == [
        "Ben: invited, answer before Wed 4 March 2026, 13:00 (Amsterdam)",
        "Cleo: 1 of 2: no place is free; 1 person is answering now",
        "Dan: 2 of 2: no place is free; 1 person is answering now",
    ]


def test_each_obstacle_has_its_sentence(cast: Cast) -> None:
    cast.line("Ben", "Cleo", "Dan", "Eve", "Finn")
    cast.wont_mail("Ben")
    students.deactivate(cast.session, cast.student("Cleo"), cast.max, NOON)
    overrides.skip(cast.session, cast.row("Dan"), cast.max, NOON, REASON)
    overrides.skip(cast.session, cast.row("Eve"), cast.max, NOON, REASON, until=NOON + DAY)
    cast.row("Finn").invite_planned_at = NOON + HOUR
    assert sentences(cast) == [
        "Ben: 1 of 5: letters are switched off, or the address bounced",
        "Cleo: 2 of 5: the account is not active",
        "Dan: 3 of 5: skipped by staff",
        "Eve: 4 of 5: skipped until Tue 3 March 2026, 13:00 (Amsterdam)",
        "Finn: 5 of 5: an invitation is planned for Mon 2 March 2026, 14:00 (Amsterdam)",
    ]


def test_every_code_and_every_event_has_words() -> None:
    codes = [str(value) for _, value in _whens(obstacle(Rules()))]
    assert set(codes) <= set(why.OBSTACLES)
    assert len(codes) == 6
    assert set(EVENTS) <= set(why.EVENTS)


def _whens(case: object) -> list[tuple[object, object]]:
    return [(when, value.value) for when, value in case.whens]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"waitlist_paused": True}, "the list is paused"),
        ({"active": False}, "the training is not open for booking"),
        ({"cancelled_at": NOON}, "the training is cancelled"),
        ({"archived_at": NOON}, "the training is archived"),
    ],
)
def test_what_stops_the_whole_line_is_said_to_each(
    cast: Cast, change: dict[str, object], said: str
) -> None:
    cast.line("Ben")
    for name, value in change.items():
        setattr(cast.pottery, name, value)
    assert sentences(cast) == [f"Ben: 1 of 1: {said}"]


def test_the_clock_stops_the_line_too(cast: Cast) -> None:
    cast.line("Ben")
    stop = START - 2 * HOUR
    assert sentences(cast, stop - MINUTE) == ["Ben: 1 of 1: too little time is left to answer"]
    assert sentences(cast, stop)[0].startswith("Ben: 1 of 1: invitations ended at ")
    assert sentences(cast, START) == ["Ben: 1 of 1: the training has started"]


def test_whom_the_next_sweep_invites_is_told_so(cast: Cast) -> None:
    cast.line("Ben", "Cleo")
    cast.pottery.max_participants = 2
    assert sentences(cast) == [
        "Ben: 1 of 2: will be invited next",
        "Cleo: 2 of 2: no place is free",
    ]


def test_an_invitation_that_ran_out_unswept_says_so(cast: Cast) -> None:
    cast.offer("Ben")
    assert sentences(cast, DEADLINE) == [
        "Ben: the invitation ran out Wed 4 March 2026, 13:00 (Amsterdam)"
    ]


def test_the_decisions_tell_what_freed_a_place_and_who_was_passed_over(cast: Cast) -> None:
    _, cleo, _ = cast.line("Ben", "Cleo", "Dan")
    students.deactivate(cast.session, cast.student("Cleo"), cast.max, NOON + MINUTE)
    cast.leave(cast.row("Ada"), NOON + HOUR)
    cast.expire(cast.row("Ben"), NOON + 49 * HOUR)
    *_, left, ended = past(cast)
    assert left == (
        "place freed by a cancellation: Ada Example → invited: Ben Example (no. 1),"
        " answer before Wed 4 March 2026, 14:00 (Amsterdam)"
    )
    assert ended == (
        "ran out: Ben Example (no. 1), after 48 h → invited: Dan Example (no. 3),"
        " answer before Fri 6 March 2026, 14:00 (Amsterdam);"
        " passed over: Cleo Example (no. 2): the account is not active"
    )
    found = why.decisions(cast.session, cast.pottery.id, ZONE)
    of_cleo = [str(one) for one in why.of_student(found, cleo.uuid)]
    assert of_cleo[1:] == ["account switched off: Cleo Example (no. 2)", ended]


def test_many_at_once_are_counted(cast: Cast) -> None:
    cast.several(1)
    cast.line(*(f"P{n}" for n in range(9)))
    trainings.set_capacity(cast.session, cast.pottery.id, 9, cast.max, NOON + HOUR)
    (*_, raised) = past(cast)
    assert raised.startswith(
        "number of places changed: from 1 to 9 → invited: P0 Example (no. 1), "
    )
    assert "P5 Example (no. 6) and 2 more, answer before " in raised


def test_what_staff_wrote_stands_with_it(cast: Cast) -> None:
    cast.line("Ben")
    overrides.pause_list(cast.session, cast.pottery.id, cast.max, NOON + HOUR, "the kiln is broken")
    assert past(cast)[-1] == "list paused: nobody is invited: “the kiln is broken”"


def test_who_was_erased_has_a_number_only(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    id_ = ben.student_id
    students.erase(cast.session, cast.student("Ben"), cast.max, NOON + HOUR)
    assert f"left the list: the account was erased: student {id_} (no. 1)" in past(cast)[-1]
    assert not any("Ben" in one for one in past(cast))


def test_the_number_of_statements_does_not_grow(cast: Cast) -> None:
    sent = []
    for names in (("Ben",), tuple(f"P{n}" for n in range(12))):
        cast.pottery = cast.training("Bread")
        cast.line(*names)
        with count_statements(cast.session) as statements:
            sentences(cast)
            past(cast)
        sent.append(len(statements))
    assert sent[0] == sent[1] <= 5
