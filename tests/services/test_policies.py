"""How much a student may book, until when one cancels (waitlist WP1–WP3, WQ30, WX16)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from app.models import (
    Outbox,
    Policy,
    PolicyKind,
    Practice,
    Student,
    Training,
    TrainingEnroll,
    TrainingEvent,
    TrainingType,
)
from app.services import enrolments, overrides, policies, students, trainings, waitlist
from app.services.actors import CONSOLE, LINK, Actor
from app.services.importing import create_practice
from app.services.policies import BadPolicy, Held, LateCancellation, Limit, LimitReached
from app.services.refusals import ReasonNeeded
from tests.cast import DAY, HOUR, NOON, REASON, SECOND, START, Cast
from tests.rules import CANCEL, kind_of_training, limit, of_type, policy, window
from tests.statements import count_statements

ZONE = ZoneInfo("Europe/Amsterdam")
MAY = date(2026, 5, 1)


@pytest.fixture
def crafts(cast: Cast) -> TrainingType:
    """A type of which one may have two within 28 days."""
    type_ = kind_of_training(cast)
    limit(cast, type_)
    return type_


def course(
    cast: Cast, type_: TrainingType | None, days: float = 0, places: int = 9, name: str = "Course"
) -> Training:
    """One that starts so many days after Pottery."""
    training = cast.training(name, places, START + timedelta(days=days))
    return of_type(cast, training, type_) if type_ else training


def holds(cast: Cast, type_: TrainingType, *days: float, name: str = "Ada") -> list[Any]:
    return [cast.enrol(name, training=course(cast, type_, day)) for day in days]


# --- windows, as values --------------------------------------------------------------------------


def _limit(most: int = 2, days: int = 28) -> Limit:
    return Limit("a limit", "Crafts", ZONE, most, days)


def _held(*days: int) -> list[Held]:
    return [Held(n, f"T{n}", MAY + timedelta(days=day)) for n, day in enumerate(days)]


@pytest.mark.parametrize(
    ("days", "day", "fits"),
    [
        ((), 0, True),
        ((0,), 1, True),
        ((0, 1), 2, False),
        ((0, 0), 0, False),  # on one day
        ((0, 27), 13, False),  # in the middle of a window of 28 days
        ((0, 28), 13, True),  # no window holds both
        ((0, 13), 27, False),  # the last day of the window
        ((0, 13), 28, True),
        ((14, 27), 0, False),  # a window looks ahead too
        ((14, 28), 0, True),
        ((-27, 27), 0, True),
        ((-20, 5, 30), 10, False),  # 5 and 30
        ((-20, 20, 60), 0, True),
    ],
)
def test_a_window_of_calendar_days_holds_so_many(
    days: tuple[int, ...], day: int, fits: bool
) -> None:
    found = _limit().filled_by(MAY + timedelta(days=day), _held(*days))
    assert (found == ()) is fits


def test_windows_are_found_as_by_trying_each_of_them() -> None:
    """The same question asked the long way round: every window that contains the day."""
    for seed in range(300):
        days = [(seed * 7 + n * n * 13) % 60 - 30 for n in range(seed % 6)]
        for most, length in ((1, 1), (1, 7), (2, 10), (3, 28)):
            tried = any(
                sum(first <= one < first + length for one in days) >= most
                for first in range(-length + 1, 1)
            )
            assert bool(_limit(most, length).filled_by(MAY, _held(*days))) is tried


def test_one_more_fits_from_the_day_that_is_told_and_on_no_day_before() -> None:
    begins = datetime(2026, 5, 1, 9, tzinfo=UTC)
    for days in ((0, 1), (0, 13), (-3, 20), (0, 5, 30), (-10, 0, 12, 24, 36)):
        limits, held = [_limit(), _limit(3, 40)], _held(*days)
        over = policies.over_limit(limits, 99, begins, held)
        assert over is not None
        for ahead in range(1, (over.free_from - MAY).days):
            assert policies.over_limit(limits, 99, begins + ahead * DAY, held) is not None
        there = begins + (over.free_from - MAY)
        assert policies.over_limit(limits, 99, there, held) is None


# --- joining -------------------------------------------------------------------------------------


def test_who_has_two_of_a_type_within_four_weeks_is_refused_a_third(
    cast: Cast, crafts: TrainingType
) -> None:  # WQ30
    holds(cast, crafts, 0, 27)
    third = course(cast, crafts, 10)
    cast.session.flush()
    before = cast.everything()
    with pytest.raises(LimitReached) as no:
        cast.enrol("Ada", training=third)
    assert no.value.status == 409
    assert no.value.sentence == (
        "You can have at most 2 of Crafts within 28 days."
        " These count already: Course (Wed 1 April 2026), Course (Tue 28 April 2026)."
        " You can book one that starts on Wed 29 April 2026 or later, or give one of these up"
        " first."
    )
    assert cast.everything() == before


def test_the_day_after_the_window_is_open_again(cast: Cast, crafts: TrainingType) -> None:
    holds(cast, crafts, 0, 10)
    with pytest.raises(LimitReached):
        cast.enrol("Ada", training=course(cast, crafts, 27))
    assert cast.enrol("Ada", training=course(cast, crafts, 28)).status == "enrolled"


def test_others_and_other_types_are_not_limited(cast: Cast, crafts: TrainingType) -> None:
    holds(cast, crafts, 0, 1)
    music = kind_of_training(cast, "Music")
    for free in (course(cast, music, 2), course(cast, None, 2)):
        assert cast.enrol("Ada", training=free).status == "enrolled"
    assert cast.enrol("Ben", training=course(cast, crafts, 2)).status == "enrolled"


def test_declined_expired_and_left_rows_do_not_count(cast: Cast, crafts: TrainingType) -> None:
    """WX16, WQ30: two declined, a third booking is allowed."""
    for n, end in enumerate((cast.decline, cast.expire, cast.leave)):
        training = course(cast, crafts, n, places=1, name=f"Full {n}")
        cast.enrol("Ada" if end == cast.leave else f"First {n}", training=training)
        if end != cast.leave:
            row = cast.enrol("Ada", training=training)
            cast.leave(cast.row(f"First {n}", training))
            end(cast.row("Ada", training))
            assert row.status in ("waitlist-declined", "waitlist-invite-expired")
        else:
            end(cast.row("Ada", training))
    holds(cast, crafts, 5)
    assert cast.enrol("Ada", training=course(cast, crafts, 6)).status == "enrolled"


def test_waiting_rows_do_not_count_but_invited_ones_do(cast: Cast, crafts: TrainingType) -> None:
    full = [course(cast, crafts, n, places=1, name=f"Full {n}") for n in range(3)]
    for training in full:
        cast.enrol("Ben" if training is full[0] else f"Other {training.id}", training=training)
        assert cast.enrol("Ada", training=training).status == "waitlist"
    cast.leave(cast.row("Ben", full[0]))
    cast.leave(cast.row(f"Other {full[1].id}", full[1]))
    assert cast.row("Ada", full[1]).status == "waitlist-invited"
    with pytest.raises(LimitReached):
        cast.enrol("Ada", training=course(cast, crafts, 5))


def test_a_course_of_three_days_counts_once_by_its_first(cast: Cast, crafts: TrainingType) -> None:
    long = course(cast, crafts, 0)
    for n in (1, 2, 40):
        start = START + n * DAY
        long.events.append(TrainingEvent(start_time=start, end_time=start + HOUR))
    cast.enrol("Ada", training=long)
    assert cast.enrol("Ada", training=course(cast, crafts, 3)).status == "enrolled"
    assert cast.enrol("Ada", training=course(cast, crafts, 39)).status == "enrolled"
    with pytest.raises(LimitReached):
        cast.enrol("Ada", training=course(cast, crafts, 4))


def test_days_are_those_of_the_practice_also_over_a_change_of_clocks(
    cast: Cast, crafts: TrainingType
) -> None:
    """Summer time begins on 29 March 2026 in Amsterdam: four weeks have an hour less."""
    late = datetime(2026, 3, 10, 22, 30, tzinfo=UTC)  # 23:30 there, on the 10th
    for start in (late, late + HOUR):  # 00:30 there, on the 11th
        cast.enrol("Ada", training=of_type(cast, cast.training("Night", 9, start), crafts))
    last = datetime(2026, 4, 6, 21, 30, tzinfo=UTC)  # 23:30 on the 6th: day 28 from the 10th
    with pytest.raises(LimitReached):
        cast.enrol("Ada", training=of_type(cast, cast.training("Last", 9, last), crafts))
    next_day = of_type(cast, cast.training("Next", 9, last + HOUR), crafts)  # 00:30 on the 7th
    assert cast.enrol("Ada", training=next_day).status == "enrolled"


def test_trainings_without_a_date_neither_count_nor_are_limited(
    cast: Cast, crafts: TrainingType
) -> None:
    for n in range(3):
        someday = of_type(cast, cast.training(f"Some day {n}", 9, None), crafts)
        assert cast.enrol("Ada", training=someday).status == "enrolled"
    holds(cast, crafts, 0, 1)


@pytest.mark.parametrize("back", ["enrolled", "queued", "re-enabled"])
def test_each_way_of_joining_is_limited(cast: Cast, crafts: TrainingType, back: str) -> None:
    """Transitions 1 to 3: a free place, the line, and back into it."""
    training = course(cast, crafts, 5, places=1)
    if back != "enrolled":
        cast.enrol("Ben", training=training)
    if back == "re-enabled":
        cast.enrol("Ada", training=training)
        cast.leave(cast.row("Ben", training))
        cast.decline(cast.row("Ada", training))
        cast.enrol("Ben", training=training)
    holds(cast, crafts, 0, 1)
    with pytest.raises(LimitReached):
        cast.enrol("Ada", training=training)
    policy_off(cast)
    cast.enrol("Ada", training=training)
    assert cast.history(training)[-1] == back


def policy_off(cast: Cast) -> None:
    cast.session.execute(sa.update(Policy).values(active=False))


def test_who_has_the_place_already_keeps_it(cast: Cast, crafts: TrainingType) -> None:
    (_, row) = holds(cast, crafts, 0, 1)
    again = cast.enrol("Ada", training=row.training)
    assert (again.id, again.status) == (row.id, "enrolled")


def test_accepting_is_not_limited(cast: Cast, crafts: TrainingType) -> None:
    full = course(cast, crafts, 0, places=1)
    cast.enrol("Ben", training=full)
    row = cast.enrol("Ada", training=full)
    holds(cast, crafts, 1, 2)
    cast.leave(cast.row("Ben", full))
    assert waitlist.accept(cast.session, row, LINK, NOON) is waitlist.Answer.ENROLLED


def test_by_a_link_one_is_as_limited_as_signed_in(cast: Cast, crafts: TrainingType) -> None:
    holds(cast, crafts, 0, 1)
    one, student = course(cast, crafts, 2), cast.student("Ada").id
    with pytest.raises(LimitReached):
        enrolments.enrol(cast.session, one.id, student, LINK, NOON, terms=True)


def test_staff_may_and_the_history_says_that_they_did(cast: Cast, crafts: TrainingType) -> None:
    held = [row.training_id for row in holds(cast, crafts, 0, 1)]
    training, ada = course(cast, crafts, 2, places=1), cast.student("Ada").id
    row = enrolments.enrol(cast.session, training.id, ada, cast.max, NOON)
    above = {"policy": "booking_limit-1", "max": 2, "days": 28, "trainings": held}
    assert row.status == "enrolled"
    assert cast.last_event("enrolled", training).data == {"above_limit": above}
    full = course(cast, crafts, 3, places=0)
    enrolments.enrol(cast.session, full.id, ada, CONSOLE, NOON)
    assert "above_limit" in (cast.last_event("queued", full).data or {})
    ben = enrolments.enrol(cast.session, training.id, cast.student("Ben").id, cast.max, NOON)
    assert ben.status == "waitlist"
    assert cast.last_event("queued", training).data is None


@pytest.mark.parametrize("off", ["training", "policy", "type", "parameters"])
def test_where_nothing_holds_nobody_is_limited(cast: Cast, crafts: TrainingType, off: str) -> None:
    holds(cast, crafts, 0, 1)
    third, row = course(cast, crafts, 2), cast.session.scalars(sa.select(Policy)).one()
    if off == "training":
        third.apply_policies = False
    elif off == "policy":
        row.active = False
    elif off == "type":
        row.training_types = []
    else:  # written past the forms: nobody's booking fails for it
        row.parameters = {"max": "many"}
    cast.session.flush()
    assert cast.enrol("Ada", training=third).status == "enrolled"


def test_of_two_policies_each_is_kept_to(cast: Cast, crafts: TrainingType) -> None:
    limit(cast, crafts, max=3, days=200, name="three in a while")
    holds(cast, crafts, 0, 28, 56)
    with pytest.raises(LimitReached) as no:
        cast.enrol("Ada", training=course(cast, crafts, 100))
    assert no.value.over.limit.policy == "three in a while"
    assert no.value.over.free_from == (START + 200 * DAY).date()


def test_past_the_hard_stop_who_waits_is_limited_too(cast: Cast, crafts: TrainingType) -> None:
    """Who takes a free place then joins by 12 and 1 (WF4)."""
    full = course(cast, crafts, 0, places=1)
    cast.enrol("Ben", training=full)
    row = cast.enrol("Ada", training=full)
    holds(cast, crafts, 1, 2)
    late = START - HOUR
    cast.leave(cast.row("Ben", full), late)
    with pytest.raises(LimitReached):
        cast.enrol("Ada", late, full)
    assert cast.statuses(row) == ["waitlist"]


def test_joining_costs_the_same_however_many_trainings_one_has(cast: Cast) -> None:
    type_ = kind_of_training(cast)
    limit(cast, type_, max=90)
    counts = []
    for day, more in ((0, 1), (100, 60)):
        holds(cast, type_, *(day + n / 2 for n in range(more)))
        training = course(cast, type_, day + 1)
        with count_statements(cast.session) as sent:
            cast.enrol("Ada", training=training)
        counts.append(len(sent))
    plain = course(cast, None, 300)
    with count_statements(cast.session) as sent:
        cast.enrol("Ada", training=plain)
    assert counts == [len(sent) + 2] * 2


def test_which_of_many_trainings_are_closed_takes_one_statement(
    cast: Cast, crafts: TrainingType
) -> None:
    from app.models.queue import standing

    holds(cast, crafts, 0, 1)
    coming = [course(cast, crafts, n * 3) for n in range(20)]
    stands = [standing(cast.session, one, NOON) for one in coming]
    with count_statements(cast.session) as sent:
        closed = policies.closed_to(cast.session, cast.student("Ada").id, stands)
    assert len(sent) == 1
    assert set(closed) == {one.id for n, one in enumerate(coming) if n * 3 < 28}
    assert policies.closed_to(cast.session, cast.student("Ben").id, stands) == {}


# --- a limit that is waived (WB) -----------------------------------------------------------------


def test_an_announced_place_is_beyond_the_limit_until_it_is_taken(
    cast: Cast, crafts: TrainingType
) -> None:
    holds(cast, crafts, 0, 1)
    holds(cast, crafts, 0, 1, name="Ben")
    training = course(cast, crafts, 2, places=1)
    assert overrides.waive_limit(cast.session, training, CONSOLE, NOON)
    assert not overrides.waive_limit(cast.session, training, CONSOLE, NOON)
    assert cast.enrol("Ada", training=training).status == "enrolled"
    assert training.limit_waived_at is None
    with pytest.raises(LimitReached):
        cast.enrol("Ben", training=training)
    cast.leave(cast.row("Ada", training))
    with pytest.raises(LimitReached):  # it was for that place only (WX15)
        cast.enrol("Ben", training=training)
    assert training.apply_policies
    assert cast.history(training).count("limit-waived") == 1


def test_staff_apply_the_limit_again(cast: Cast, crafts: TrainingType) -> None:
    holds(cast, crafts, 0, 1)
    training = course(cast, crafts, 2)
    overrides.waive_limit(cast.session, training, CONSOLE, NOON)
    with pytest.raises(ReasonNeeded):
        overrides.restore_limit(cast.session, training.id, cast.max, NOON, None)
    for _ in range(2):
        overrides.restore_limit(cast.session, training.id, cast.max, NOON, REASON)
    assert cast.history(training) == ["limit-waived", "limit-restored"]
    with pytest.raises(LimitReached):
        cast.enrol("Ada", training=training)


def test_while_places_are_left_it_stays_waived(cast: Cast, crafts: TrainingType) -> None:
    holds(cast, crafts, 0, 1)
    training = course(cast, crafts, 2, places=2)
    overrides.waive_limit(cast.session, training, CONSOLE, NOON)
    cast.enrol("Ben", training=training)
    cast.session.refresh(training)
    assert training.limit_waived_at == NOON
    trainings.set_capacity(cast.session, training.id, 1, cast.max, NOON)
    cast.session.refresh(training)
    assert training.limit_waived_at is None


def test_where_no_limit_holds_there_is_none_to_waive(cast: Cast) -> None:
    assert not overrides.waive_limit(cast.session, cast.pottery, CONSOLE, NOON)
    assert cast.history() == []


# --- cancelling late (WP3) -----------------------------------------------------------------------


@pytest.fixture
def held_to(cast: Cast) -> TrainingEnroll:
    """Ada has the place of Pottery, which one gives up a day before at the latest."""
    type_ = kind_of_training(cast)
    window(cast, type_, text_nl="Meld je een dag eerder af.")
    of_type(cast, cast.pottery, type_)
    return cast.enrol("Ada")


LATE = START - 10 * HOUR
BOTH = [("late_cancellation", "Ada"), ("late_cancellation_trainer", "Tess")]


def told(cast: Cast, since: int) -> list[tuple[str, str]]:
    return sorted(one for one in cast.letters(since) if one[0].startswith("late"))


def test_who_cancels_late_ticks_that_they_know(cast: Cast, held_to: TrainingEnroll) -> None:
    before = cast.everything()
    with pytest.raises(LateCancellation) as no:
        enrolments.deroll(cast.session, held_to, LINK, LATE)
    assert no.value.status == 400
    assert cast.everything() == before


def test_late_is_allowed_and_both_are_told(cast: Cast, held_to: TrainingEnroll) -> None:
    since = cast.last_letter()
    enrolments.deroll(cast.session, held_to, LINK, LATE, late=True)
    assert cast.statuses(held_to) == ["derolled"]
    assert told(cast, since) == BOTH
    assert ("derolled", "Ada") in cast.letters(since)
    event = cast.last_event("derolled")
    assert event.data == {"late": {"policy": "cancellation_window-1", "hours": 24}}
    row = cast.session.scalars(sa.select(Outbox).where(Outbox.kind == "late_cancellation")).one()
    assert row.payload == {"policy_text": {"en": CANCEL, "nl": "Meld je een dag eerder af."}}


@pytest.mark.parametrize(("at", "late"), [(START - 24 * HOUR, False),
                                          (START - 24 * HOUR + SECOND, True)])  # fmt: skip
def test_a_day_before_is_in_time_and_a_second_later_is_not(
    cast: Cast, held_to: TrainingEnroll, at: datetime, late: bool
) -> None:
    since = cast.last_letter()
    enrolments.deroll(cast.session, held_to, LINK, at, late=True)
    assert bool(told(cast, since)) is late


@pytest.mark.parametrize("at", [LATE, START + HOUR])
def test_when_a_trainer_does_it_both_are_told_too(
    cast: Cast, held_to: TrainingEnroll, at: datetime
) -> None:
    since = cast.last_letter()
    enrolments.deroll(cast.session, held_to, cast.max, at, reason=REASON)
    assert told(cast, since) == BOTH


def test_it_holds_where_booking_limits_are_off(cast: Cast, held_to: TrainingEnroll) -> None:
    cast.pottery.apply_policies = False
    since = cast.last_letter()
    enrolments.deroll(cast.session, held_to, LINK, LATE, late=True)
    assert told(cast, since) == BOTH


@pytest.mark.parametrize("why_not", ["no events", "no type", "switched off", "bad parameters"])
def test_where_no_policy_holds_nothing_is_late(
    cast: Cast, held_to: TrainingEnroll, why_not: str
) -> None:
    row = cast.session.scalars(sa.select(Policy)).one()
    if why_not == "no events":
        cast.pottery.events.clear()
    elif why_not == "no type":
        cast.pottery.training_type_id = None
    elif why_not == "switched off":
        row.active = False
    else:
        row.parameters = {"hours": -1}
    cast.session.flush()
    since = cast.last_letter()
    enrolments.deroll(cast.session, held_to, LINK, LATE)
    assert told(cast, since) == []
    assert cast.last_event("derolled").data is None


def test_twice_is_once_and_asks_for_no_tick(cast: Cast, held_to: TrainingEnroll) -> None:
    enrolments.deroll(cast.session, held_to, LINK, LATE, late=True)
    before = cast.everything()
    enrolments.deroll(cast.session, held_to, LINK, LATE)
    assert cast.everything() == before


def test_leaving_the_line_is_never_late(cast: Cast, held_to: TrainingEnroll) -> None:
    ben = cast.enrol("Ben")
    since = cast.last_letter()
    enrolments.leave(cast.session, ben, LINK, LATE)
    assert told(cast, since) == []


def test_the_erased_are_told_nothing(cast: Cast, held_to: TrainingEnroll) -> None:
    since = cast.last_letter()
    students.erase(cast.session, cast.student("Ada"), cast.max, LATE)
    assert told(cast, since) == []
    assert ("derolled_trainer", "Tess") in cast.letters(since)


def test_of_several_the_strictest_that_is_broken_speaks(
    cast: Cast, held_to: TrainingEnroll
) -> None:
    types = cast.session.scalars(sa.select(TrainingType)).all()
    window(cast, *types, hours=48, name="two days")
    window(cast, *types, hours=2, name="two hours")
    for hours, name in ((30, "two days"), (10, "cancellation_window-1"), (1, "two hours")):
        late = policies.late_now(cast.session, cast.pottery, START - hours * HOUR)
        assert late is not None
        assert late.policy == name


# --- as data -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "given", "at"),
    [
        (PolicyKind.BOOKING_LIMIT, {"max": 0, "days": 28}, {"max"}),
        (PolicyKind.BOOKING_LIMIT, {"max": "two", "days": 400}, {"max", "days"}),
        (PolicyKind.BOOKING_LIMIT, {"max": True, "days": 2.5}, {"max", "days"}),
        (PolicyKind.BOOKING_LIMIT, {"max": 2}, {"days"}),
        (PolicyKind.CANCELLATION_WINDOW, {"hours": ""}, {"hours"}),
        (PolicyKind.CANCELLATION_WINDOW, {"hours": None}, {"hours"}),
        (PolicyKind.CANCELLATION_WINDOW, {"hours": 24, "fee": 5}, {"fee"}),
    ],
)
def test_bad_parameters_are_refused_each_by_its_name(
    kind: PolicyKind, given: dict[str, Any], at: set[str]
) -> None:
    with pytest.raises(BadPolicy) as no:
        policies.validated(kind, given)
    assert set(no.value.faults) == at


def test_a_refusal_says_what_would_do() -> None:
    with pytest.raises(BadPolicy) as no:
        policies.validated(PolicyKind.CANCELLATION_WINDOW, {"hours": "soon"})
    assert no.value.faults == {"hours": "Write a whole number from 1 to 8784, such as 24."}
    with pytest.raises(BadPolicy, match="no such parameter"):
        policies.validated(PolicyKind.BOOKING_LIMIT, {"max": 1, "days": 1, "hours": 1})


def test_what_was_typed_becomes_numbers() -> None:
    found = policies.validated(PolicyKind.BOOKING_LIMIT, {"max": " 2", "days": "28"})
    assert found == {"max": 2, "days": 28}


def test_a_policy_without_a_text_is_refused(cast: Cast) -> None:
    row = policy(cast, PolicyKind.CANCELLATION_WINDOW, parameters={"hours": "24"})
    policies.prepare(row)
    row.text_en = "  "
    with pytest.raises(policies.NeedsText):
        policies.prepare(row)


def test_a_new_practice_gets_what_is_shipped_and_it_holds_for_nothing_yet(cast: Cast) -> None:
    practice = create_practice(cast.session, "stone", "Stone", "Europe/Amsterdam")
    rows = cast.session.scalars(sa.select(Policy).filter_by(practice_id=practice.id)).all()
    assert {row.name: dict(row.parameters) for row in rows} == {
        "max-2-sessions-4-weeks": {"max": 2, "days": 28},
        "24h-cancellation": {"hours": 24},
    }
    assert all(row.active and row.training_types == [] for row in rows)
    assert all(set(row.texts) == {"en", "nl"} for row in rows)
    for row in rows:
        policies.prepare(row)


def test_a_text_is_told_in_the_first_language_that_has_one() -> None:
    both = {"en": "Day", "nl": "Dag"}
    assert policies.in_words(both, ["nl-BE", "nl", "en"]) == "Dag"
    assert policies.in_words({"en": "Day"}, ["nl"]) == "Day"
    assert policies.in_words(both) == "Day"


def test_whom_a_change_touches(cast: Cast, crafts: TrainingType) -> None:
    holds(cast, crafts, 0, 1)
    holds(cast, crafts, 0, name="Ben")
    past = of_type(cast, cast.training("Past", 9, NOON - DAY), crafts)
    trainings.cancel(cast.session, course(cast, crafts, 9).id, cast.max, NOON, REASON)
    found = policies.reach(cast.session, [crafts.id], NOON)
    assert (found.trainings, found.students) == (3, 2)
    assert past.name not in found.names
    assert policies.reach(cast.session, [], NOON).trainings == 0


def test_policies_of_one_practice_are_nothing_to_another(cast: Cast, crafts: TrainingType) -> None:
    other = cast.add(Practice(name="Other", shortname="other"))
    theirs = cast.add(TrainingType(practice_id=other.id, name="Crafts"))
    student = cast.add(Student(user_id=cast.student("Ada").user_id, practice_id=other.id))
    holds(cast, crafts, 0, 1)
    training = cast.add(
        Training(practice_id=other.id, name="There", max_participants=2, active=True,
                 training_type_id=theirs.id)
    )  # fmt: skip
    training.events.append(TrainingEvent(start_time=START, end_time=START + HOUR))
    cast.session.flush()
    me = Actor("user:1", user_id=cast.student("Ada").user_id)
    row = enrolments.enrol(cast.session, training.id, student.id, me, NOON, terms=True)
    assert row.status == "enrolled"
