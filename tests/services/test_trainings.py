"""Cancelled, closed, rescheduled, deleted, resized: what people notice (waitlist WT1–WT4, WO4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from app.models import (
    EnrolmentHistory,
    Job,
    Location,
    Outbox,
    Practice,
    Training,
    TrainingEnroll,
    TrainingEvent,
)
from app.services import enrolments, invitations, sweep, trainings, waitlist
from app.services.refusals import NotFound, ReasonNeeded, Refusal
from app.services.trainings import BelowTaken, BelowTakenChoice, Meeting
from app.services.transitions import place_of
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, REASON, START, Cast
from tests.statements import count_statements, verbs

WITHDRAW, OVERBOOK = BelowTakenChoice.WITHDRAW, BelowTakenChoice.OVERBOOK
REMINDER = "reminder"


@pytest.fixture
def mixed(cast: Cast) -> list[TrainingEnroll]:
    """One row of each status: Ada is in, Ben invited, Cleo waits; Dan, Eva and Finn are out."""
    cast.pottery.max_participants = 2
    ada, finn, dan, eva, ben, cleo = cast.enrol_all("Ada", "Finn", "Dan", "Eva", "Ben", "Cleo")
    cast.leave(finn)
    cast.decline(dan)
    waitlist.deinvite(cast.session, eva, cast.max, NOON, REASON)
    return [ada, ben, cleo, dan, eva, finn]


def crowd(cast: Cast, enrolled: int, invited: int, waiting: int) -> list[TrainingEnroll]:
    """So many in, invited and waiting, in this order, in a training that is full."""
    cast.pottery.max_participants = enrolled + invited
    rows = cast.enrol_all(*(f"S{n}" for n in range(enrolled + 2 * invited + waiting)))
    for row in rows[enrolled : enrolled + invited]:
        cast.leave(row)
    return rows[:enrolled] + rows[enrolled + invited :]


def resize(cast: Cast, places: int, choice: Any = None, reason: str | None = REASON) -> list[str]:
    return trainings.set_capacity(
        cast.session, cast.pottery.id, places, cast.max, NOON, choice=choice, reason=reason
    )


def reschedule(cast: Cast, *meetings: Meeting, **options: Any) -> trainings.Rescheduled:
    return trainings.reschedule(
        cast.session, cast.pottery.id, meetings, cast.max, options.pop("now", NOON), **options
    )


def meeting(start: datetime, event_id: int | None = None, location: int | None = None) -> Meeting:
    return Meeting(start, start + 3 * HOUR, location, event_id)


def payload(cast: Cast, kind: str, row: TrainingEnroll) -> dict[str, Any]:
    """The facts of the newest letter of a kind about an enrolment."""
    of = sa.select(Outbox.payload).where(Outbox.kind == kind, Outbox.enrolment_id == row.id)
    found: dict[str, Any] = cast.session.scalars(of.order_by(Outbox.id.desc())).first() or {}
    return found


# --- cancelled (WT1) -----------------------------------------------------------------------------


def test_cancelling_closes_every_open_row_and_tells_each_once(
    cast: Cast, mixed: list[TrainingEnroll]
) -> None:
    before = cast.last_letter()
    trainings.cancel(cast.session, cast.pottery.id, cast.max, NOON, "the kiln broke")
    assert cast.statuses(*mixed) == [*3 * ["derolled"], "waitlist-declined",
                                     "waitlist-invite-expired", "derolled"]  # fmt: skip
    assert sorted(cast.letters(before)) == [
        ("training_cancelled", "Ada"),
        ("training_cancelled", "Ben"),
        ("training_cancelled", "Cleo"),
        ("training_cancelled_trainer", "Tess"),
    ]
    assert payload(cast, "training_cancelled", mixed[0])["reason"] == "the kiln broke"


def test_a_cancelled_training_has_no_jobs_and_no_places_taken(
    cast: Cast, mixed: list[TrainingEnroll]
) -> None:
    reminder(cast)
    trainings.activate(cast.session, closed(cast).id, cast.max, NOON)
    assert len(cast.jobs()) == 2  # Ben's deadline and the reminder
    trainings.cancel(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    assert cast.jobs() == {}
    assert cast.ledger() == (0, 0, 0)


def test_each_closed_row_counts_its_calendar_letter(
    cast: Cast, mixed: list[TrainingEnroll]
) -> None:
    ada, _ben, _cleo, dan, *_ = mixed
    before = ada.ical_sequence, dan.ical_sequence
    trainings.cancel(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    cast.statuses(ada, dan)
    assert (ada.ical_sequence, dan.ical_sequence) == (before[0] + 1, before[1])
    mine = Outbox.kind == "training_cancelled", Outbox.enrolment_id == ada.id
    assert cast.session.scalar(sa.select(Outbox.sequence).where(*mine)) == ada.ical_sequence


def test_nobody_accepts_or_joins_what_is_cancelled(cast: Cast, mixed: list[TrainingEnroll]) -> None:
    ben = mixed[1]
    trainings.cancel(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    assert cast.accept(ben) is waitlist.Answer.NOT_OPEN
    with pytest.raises(enrolments.NotOpen):
        cast.enrol("Gus")
    with pytest.raises(enrolments.TrainingOver):
        enrolments.force(cast.session, cast.pottery.id, ben.student_id, cast.max, NOON, REASON)


@pytest.mark.parametrize("reason", [None, "", "  why ", "x" * 501])
def test_cancelling_needs_a_reason(
    cast: Cast, mixed: list[TrainingEnroll], reason: str | None
) -> None:
    before = cast.everything()
    with pytest.raises(ReasonNeeded):
        trainings.cancel(cast.session, cast.pottery.id, cast.max, NOON, reason)
    assert cast.everything() == before


def test_cancelling_is_final(cast: Cast, mixed: list[TrainingEnroll]) -> None:
    trainings.cancel(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    before = cast.everything()
    for again in (
        lambda: trainings.activate(cast.session, cast.pottery.id, cast.max, NOON),
        lambda: trainings.deactivate(cast.session, cast.pottery.id, cast.max, NOON),
        lambda: resize(cast, 9),
        lambda: reschedule(cast, meeting(START + DAY)),
    ):
        with pytest.raises(trainings.TrainingClosed):
            again()
    assert cast.everything() == before


def test_a_planned_invitation_is_dropped_with_the_training(cast: Cast) -> None:
    _ada, ben = cast.enrol_all("Ada", "Ben")
    invitations.hold_for_later(cast.session, {place_of(ben): NOON + MINUTE}, cast.max, NOON)
    trainings.cancel(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    cast.statuses(ben)
    assert ben.invite_planned_at is None


# --- closed and open again (WT2) -----------------------------------------------------------------


def test_cancelling_twice_is_cancelling_once(cast: Cast, mixed: list[TrainingEnroll]) -> None:
    trainings.cancel(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    before = cast.everything()
    trainings.cancel(cast.session, cast.pottery.id, cast.max, NOON + HOUR, "another reason")
    assert cast.everything() == before


def test_what_is_archived_is_not_cancelled(cast: Cast) -> None:
    trainings.archive(cast.session, cast.pottery.id, cast.max, START + DAY)
    with pytest.raises(trainings.TrainingClosed):
        trainings.cancel(cast.session, cast.pottery.id, cast.max, START + DAY, REASON)


def closed(cast: Cast) -> Training:
    """Pottery, not open for booking, its rows as they are."""
    cast.pottery.active = False
    return cast.pottery


def test_deactivating_takes_invitations_back_to_their_place_not_skipped(
    cast: Cast, mixed: list[TrainingEnroll]
) -> None:
    ada, ben, cleo, *_ = mixed
    position = ben.queue_position
    before = cast.last_letter()
    trainings.deactivate(cast.session, cast.pottery.id, cast.max, NOON)
    assert cast.statuses(ada, ben, cleo) == ["enrolled", "waitlist", "waitlist"]
    assert (ben.queue_position, ben.skipped) == (position, False)
    assert cast.letters(before) == [("invitation_withdrawn", "Ben")]
    assert cast.jobs() == {}
    assert cast.ledger() == (1, 0, 0)


def test_activating_invites_the_same_person_again(cast: Cast, mixed: list[TrainingEnroll]) -> None:
    ben = mixed[1]
    trainings.deactivate(cast.session, cast.pottery.id, cast.max, NOON)
    assert trainings.activate(cast.session, cast.pottery.id, cast.max, NOON + DAY) == [ben.uuid]
    cast.statuses(ben)
    assert (ben.invite_no, ben.invite_expires_at) == (2, DEADLINE + DAY)


def test_nobody_books_or_is_invited_while_inactive(cast: Cast, mixed: list[TrainingEnroll]) -> None:
    trainings.deactivate(cast.session, cast.pottery.id, cast.max, NOON)
    with pytest.raises(enrolments.NotOpen):
        cast.enrol("Gus")
    assert waitlist.fill_open_spots(cast.session, cast.pottery.id, NOON) == []
    cast.leave(mixed[0])
    assert cast.statuses(*mixed[1:3]) == ["waitlist", "waitlist"]


def test_activating_or_deactivating_twice_does_nothing(
    cast: Cast, mixed: list[TrainingEnroll]
) -> None:
    before = cast.everything()
    assert trainings.activate(cast.session, cast.pottery.id, cast.max, NOON) == []
    assert cast.everything() == before
    trainings.deactivate(cast.session, cast.pottery.id, cast.max, NOON)
    before = cast.everything()
    trainings.deactivate(cast.session, cast.pottery.id, cast.max, NOON)
    assert cast.everything() == before


def test_an_invitation_in_a_training_switched_off_past_the_services_is_swept_back(
    cast: Cast, mixed: list[TrainingEnroll]
) -> None:
    closed(cast)
    assert sweep.trainings_to_sweep(cast.session, NOON) == [cast.pottery.id]
    sweep.sweep_training(cast.session, cast.pottery.id, NOON)
    assert cast.statuses(mixed[1]) == ["waitlist"]
    assert sweep.trainings_to_sweep(cast.session, NOON) == []


def test_a_plan_that_comes_due_in_a_closed_training_is_cleared_with_history(cast: Cast) -> None:
    _ada, ben = cast.enrol_all("Ada", "Ben")
    invitations.hold_for_later(cast.session, {place_of(ben): NOON + MINUTE}, cast.max, NOON)
    trainings.deactivate(cast.session, cast.pottery.id, cast.max, NOON)
    sweep.sweep_training(cast.session, cast.pottery.id, NOON + HOUR)
    cast.statuses(ben)
    assert ben.invite_planned_at is None
    assert cast.history()[-1] == "plan-dropped"
    assert sweep.trainings_to_sweep(cast.session, NOON + HOUR) == []


# --- archived (WE2 14) ---------------------------------------------------------------------------


def test_archiving_keeps_attendance_and_closes_the_line_silently(
    cast: Cast, mixed: list[TrainingEnroll]
) -> None:
    before = cast.last_letter()
    trainings.archive(cast.session, cast.pottery.id, cast.max, START + DAY)
    assert cast.statuses(*mixed[:3]) == ["enrolled", "derolled", "derolled"]
    assert cast.letters(before) == []
    assert cast.jobs() == {}
    assert cast.ledger() == (1, 0, 0)


def test_archiving_twice_is_harmless(cast: Cast, mixed: list[TrainingEnroll]) -> None:
    trainings.archive(cast.session, cast.pottery.id, cast.max, START + DAY)
    before = cast.everything()
    trainings.archive(cast.session, cast.pottery.id, cast.max, START + 2 * DAY)
    assert cast.everything() == before
    assert cast.pottery.archived_at == START + DAY


def test_what_is_archived_is_not_cancelled_any_more(
    cast: Cast, mixed: list[TrainingEnroll]
) -> None:
    trainings.archive(cast.session, cast.pottery.id, cast.max, START + DAY)
    with pytest.raises(trainings.TrainingClosed):
        trainings.cancel(cast.session, cast.pottery.id, cast.max, START + DAY, REASON)
    assert cast.statuses(mixed[0]) == ["enrolled"]


# --- deleted (WT4) -------------------------------------------------------------------------------


def test_a_training_nobody_was_in_is_deleted_with_its_jobs(cast: Cast) -> None:
    reminder(cast)
    empty = cast.training("Empty")
    trainings.plan.training_jobs(cast.session, empty, NOON)
    assert len(cast.jobs()) == 1
    trainings.delete(cast.session, empty.id, cast.max)
    assert cast.jobs() == {}
    assert cast.session.get(Training, empty.id) is None
    assert cast.session.scalar(sa.select(sa.func.count(TrainingEvent.id))) == 1  # Pottery's


def test_a_training_that_people_left_is_kept(cast: Cast) -> None:
    cast.leave(cast.enrol("Ada"))
    before = cast.everything()
    with pytest.raises(trainings.HasHistory):
        trainings.delete(cast.session, cast.pottery.id, cast.max)
    assert cast.everything() == before


def test_a_training_with_history_alone_is_kept(cast: Cast) -> None:
    resize(cast, 5)
    with pytest.raises(trainings.HasHistory):
        trainings.delete(cast.session, cast.pottery.id, cast.max)


def test_what_is_not_there_is_not_found(cast: Cast) -> None:
    with pytest.raises(NotFound):
        trainings.delete(cast.session, cast.pottery.id + 1, cast.max)
    with pytest.raises(NotFound):
        trainings.cancel(cast.session, cast.pottery.id + 1, cast.max, NOON, REASON)


# --- capacity (WO4, F6, F7, WQ 12) ---------------------------------------------------------------


@pytest.mark.parametrize("places", [-1, 10_001, 2**31])
def test_no_training_has_so_many_places(cast: Cast, places: int) -> None:
    before = cast.everything()
    with pytest.raises(trainings.BadCapacity):
        resize(cast, places)
    assert cast.everything() == before


@pytest.mark.parametrize("places", [0, 10_000])
def test_the_smallest_and_the_largest_number_of_places_are_fine(cast: Cast, places: int) -> None:
    assert resize(cast, places) == []
    assert cast.pottery.max_participants == places


def test_with_no_places_everybody_waits(cast: Cast) -> None:
    resize(cast, 0)
    assert cast.statuses(cast.enrol("Ada")) == ["waitlist"]


def test_twenty_more_places_invite_twenty_in_order_in_few_statements(cast: Cast) -> None:
    rows = crowd(cast, enrolled=10, invited=0, waiting=25)
    before = cast.last_letter()
    with count_statements(cast.session) as sent:
        invited = resize(cast, 30)
    assert invited == [row.uuid for row in rows[10:30]]
    letters = [kind for kind, _ in cast.letters(before)]
    assert (letters.count("invited"), letters.count("invited_trainer")) == (20, 20)
    assert len(sent) <= 15, verbs(sent)


def test_fewer_places_than_taken_ask_for_a_decision(cast: Cast) -> None:
    crowd(cast, enrolled=8, invited=2, waiting=1)
    before = cast.everything()
    with pytest.raises(BelowTaken) as refused:
        resize(cast, 8)
    assert (refused.value.status, refused.value.code) == (409, "below_taken")
    assert cast.everything() == before


def test_the_refusal_counts_all_that_hang_on_an_invitation(cast: Cast) -> None:
    crowd(cast, enrolled=2, invited=3, waiting=0)
    with pytest.raises(BelowTaken) as refused:
        resize(cast, 4)
    assert "5 places are taken, 3 of them by invitation only" in str(refused.value)


@pytest.mark.parametrize("choice", [WITHDRAW, OVERBOOK])
def test_the_decision_needs_a_reason(cast: Cast, choice: BelowTakenChoice) -> None:
    crowd(cast, enrolled=1, invited=1, waiting=0)
    with pytest.raises(ReasonNeeded):
        resize(cast, 1, choice, "no")


def test_withdrawn_invitations_are_the_newest_and_go_back_to_their_places(cast: Cast) -> None:
    rows = crowd(cast, enrolled=8, invited=2, waiting=1)
    places = [row.queue_position for row in rows[8:10]]
    before = cast.last_letter()
    assert resize(cast, 8, WITHDRAW) == []
    assert cast.statuses(*rows[7:]) == ["enrolled", "waitlist", "waitlist", "waitlist"]
    assert [row.queue_position for row in rows[8:10]] == places
    assert not any(row.skipped for row in rows)
    assert cast.letters(before) == [
        ("invitation_withdrawn", "S10"),
        ("invitation_withdrawn", "S11"),
    ]
    assert cast.jobs() == {}
    assert cast.ledger() == (8, 0, 0)


def test_a_choice_may_be_a_plain_word(cast: Cast) -> None:
    rows = crowd(cast, enrolled=1, invited=1, waiting=0)
    resize(cast, 1, "withdraw")
    assert cast.statuses(*rows) == ["enrolled", "waitlist"]
    assert cast.ledger() == (1, 0, 0)
    with pytest.raises(ValueError, match="whatever"):
        resize(cast, 0, "whatever")


def test_only_as_many_as_needed_are_withdrawn(cast: Cast) -> None:
    rows = crowd(cast, enrolled=1, invited=3, waiting=0)
    resize(cast, 3, WITHDRAW)
    assert cast.statuses(*rows[1:]) == ["waitlist-invited", "waitlist-invited", "waitlist"]
    assert cast.ledger() == (3, 0, 0)


def test_what_invitations_do_not_cover_stays_overbooked(cast: Cast) -> None:
    rows = crowd(cast, enrolled=3, invited=1, waiting=0)
    resize(cast, 1, WITHDRAW)
    assert cast.statuses(*rows) == [*3 * ["enrolled"], "waitlist"]
    assert cast.ledger() == (3, 0, 2)


def test_overbooked_by_choice_nobody_is_invited_until_it_fits(cast: Cast) -> None:
    rows = crowd(cast, enrolled=4, invited=0, waiting=2)
    resize(cast, 2, OVERBOOK)
    assert cast.ledger() == (4, 0, 2)
    for left, (taken, over) in zip(rows[:2], [(3, 1), (2, 0)], strict=True):
        cast.leave(left)
        assert cast.ledger() == (taken, 0, over)
    assert cast.statuses(*rows[4:]) == ["waitlist", "waitlist"]
    cast.leave(rows[2])
    assert cast.statuses(*rows[4:]) == ["waitlist-invited", "waitlist"]


def test_raised_but_still_overbooked_needs_no_decision(cast: Cast) -> None:
    rows = crowd(cast, enrolled=4, invited=0, waiting=1)
    resize(cast, 1, OVERBOOK)
    assert resize(cast, 3, reason=None) == []
    assert cast.ledger() == (4, 0, 1)
    assert resize(cast, 5, reason=None) == [rows[4].uuid]
    assert cast.ledger() == (5, 0, 0)


def test_the_same_number_of_places_changes_nothing(cast: Cast) -> None:
    crowd(cast, enrolled=1, invited=0, waiting=1)
    before = cast.everything()
    assert resize(cast, 1) == []
    assert cast.everything() == before


def test_a_cut_to_zero_keeps_the_enrolled(cast: Cast) -> None:
    rows = crowd(cast, enrolled=2, invited=1, waiting=1)
    resize(cast, 0, WITHDRAW)
    assert cast.statuses(*rows) == ["enrolled", "enrolled", "waitlist", "waitlist"]
    assert cast.ledger() == (2, 0, 2)


# --- other dates (WT3, WQ 14) --------------------------------------------------------------------


def reminder(cast: Cast, **more: Any) -> Any:
    """A reminder to students seven days before the first event."""
    schedule = cast.waitlist_schedule(more.pop("name", REMINDER), 7 * DAY)
    schedule.automation_class = cast.task(more.pop("task", "StudentReminderTask"))
    schedule.beforeafter, schedule.events = "before", more.pop("events", "first")
    for name, value in more.items():
        setattr(schedule, name, value)
    cast.session.flush()
    return schedule


def first_event(cast: Cast) -> int:
    return int(cast.pottery.events[0].id)


def test_a_start_a_week_earlier_tells_each_person_once(
    cast: Cast, mixed: list[TrainingEnroll]
) -> None:
    before = cast.last_letter()
    done = reschedule(cast, meeting(START - 7 * DAY, first_event(cast)))
    assert not done.in_the_past
    assert sorted(cast.letters(before)) == [
        ("training_rescheduled", "Ada"),
        ("training_rescheduled", "Ben"),
        ("training_rescheduled", "Cleo"),
        ("training_rescheduled_trainer", "Tess"),
    ]


def test_a_deadline_behind_the_new_hard_stop_is_cut_to_it(
    cast: Cast, mixed: list[TrainingEnroll]
) -> None:
    ben = mixed[1]
    reschedule(cast, meeting(NOON + DAY, first_event(cast)))
    cast.statuses(ben)
    assert ben.invite_expires_at == NOON + 22 * HOUR
    assert cast.jobs() == {f"waitlist_invitation_expiry/{ben.uuid}/PRODUCTION": NOON + 22 * HOUR}
    assert "deadline_changed" not in [
        kind for kind, _ in cast.letters()
    ]  # the other letter says it


def test_a_deadline_before_the_new_hard_stop_stands(
    cast: Cast, mixed: list[TrainingEnroll]
) -> None:
    for start in (START - 7 * DAY, START + 7 * DAY):
        reschedule(cast, meeting(start, first_event(cast)))
        cast.statuses(mixed[1])
        assert mixed[1].invite_expires_at == DEADLINE
    assert "deadline-changed" not in cast.history()


def test_reminders_follow_the_new_date(cast: Cast) -> None:
    reminder(cast)
    reschedule(cast, meeting(START + DAY, first_event(cast)))
    id_ = f"{REMINDER}/{cast.pottery.id}/PRODUCTION"
    assert cast.jobs() == {id_: wall(START + DAY, days=7)}
    reschedule(cast, meeting(START - 7 * DAY, first_event(cast)))
    assert cast.jobs() == {id_: wall(START - 7 * DAY, days=7)}


def wall(at: datetime, days: int) -> datetime:
    """So many days before, at the same time by an Amsterdam clock; summer begins on 29 March."""
    summer = datetime(2026, 3, 29, 1, tzinfo=at.tzinfo)
    return at - days * DAY + (HOUR if at >= summer > at - days * DAY else 0 * HOUR)


def test_the_same_dates_again_change_nothing(cast: Cast, mixed: list[TrainingEnroll]) -> None:
    before = cast.everything()
    assert reschedule(cast, meeting(START, first_event(cast))).invited == []
    assert cast.everything() == before


def test_another_place_alone_is_a_change(cast: Cast, mixed: list[TrainingEnroll]) -> None:
    barn = cast.add(Location(practice_id=cast.practice.id, name="The barn"))
    before = cast.last_letter()
    reschedule(cast, meeting(START, first_event(cast), barn.id))
    assert len(cast.letters(before)) == 4
    assert cast.pottery.events[0].location_id == barn.id


def test_a_place_of_another_practice_is_refused(cast: Cast) -> None:
    other = cast.add(Practice(name="Other", shortname="other"))
    theirs = cast.add(Location(practice_id=other.id, name="Not ours"))
    with pytest.raises(Refusal):
        reschedule(cast, meeting(START, first_event(cast), theirs.id))


def test_without_the_tick_no_dates_are_written_but_a_cut_deadline_is(
    cast: Cast, mixed: list[TrainingEnroll]
) -> None:
    before = cast.last_letter()
    reschedule(cast, meeting(START - DAY, first_event(cast)), notify=False)
    assert cast.letters(before) == []
    reschedule(cast, meeting(NOON + DAY, first_event(cast)), notify=False)
    assert cast.letters(before) == [("deadline_changed", "Ben")]


def test_into_the_past_is_said_and_nobody_is_written_to(
    cast: Cast, mixed: list[TrainingEnroll]
) -> None:
    before = cast.last_letter()
    done = reschedule(cast, meeting(NOON - DAY, first_event(cast)))
    assert (done.in_the_past, done.invited) == (True, [])
    assert cast.letters(before) == []


def test_from_the_past_into_the_future_serves_the_line_again(cast: Cast) -> None:
    ada, ben = cast.enrol_all("Ada", "Ben")
    after = START + HOUR
    enrolments.deroll(cast.session, ada, cast.max, after, reason=REASON)
    assert cast.statuses(ben) == ["waitlist"]
    done = reschedule(cast, meeting(after + 9 * DAY, first_event(cast)), now=after)
    assert done.invited == [ben.uuid]


def course(cast: Cast, *days: int) -> list[Meeting]:
    """Pottery meets on these days, counted from noon, instead."""
    reschedule(cast, *(meeting(NOON + day * DAY) for day in days), notify=False)
    return [meeting(event.start_time, event.id) for event in cast.pottery.events]


LATER_DAYS: dict[str, Callable[[list[Meeting]], list[Meeting]]] = {
    "moved": lambda days: [*days[:2], replace(days[2], start_time=days[2].start_time - HOUR)],
    "added": lambda days: [*days, meeting(NOON + 12 * DAY)],
    "removed": lambda days: days[:2],
}


@pytest.mark.parametrize("change", LATER_DAYS)
def test_a_later_day_of_a_course_that_runs_is_told(cast: Cast, change: str) -> None:  # WT3
    cast.enrol("Ada")
    days = course(cast, 1, 3, 10)
    before = cast.last_letter()
    done = reschedule(cast, *LATER_DAYS[change](days), now=NOON + 2 * DAY)
    assert not done.in_the_past
    assert cast.letters(before) == [
        ("training_rescheduled", "Ada"),
        ("training_rescheduled_trainer", "Tess"),
    ]


PAST_DAYS: dict[str, Callable[[list[Meeting]], list[Meeting]]] = {
    "moved": lambda days: [replace(days[0], start_time=days[0].start_time - HOUR), *days[1:]],
    "added": lambda days: [*days, meeting(NOON + DAY + 6 * HOUR)],
    "removed": lambda days: days[1:],
    "moved into the past": lambda days: [*days[:2], meeting(NOON, days[2].id)],
}


@pytest.mark.parametrize("change", PAST_DAYS)
def test_a_day_of_the_past_is_put_right_in_silence(cast: Cast, change: str) -> None:  # WT3
    cast.enrol("Ada")
    days = course(cast, 1, 3, 10)
    before = cast.last_letter()
    assert reschedule(cast, *PAST_DAYS[change](days), now=NOON + 2 * DAY).in_the_past
    assert cast.letters(before) == []


def test_a_removed_day_is_named_in_the_letter(cast: Cast) -> None:
    ada = cast.enrol("Ada")
    reschedule(cast, meeting(START, first_event(cast)), meeting(START + DAY))
    second = int(cast.pottery.events[1].id)
    reschedule(cast, meeting(START, first_event(cast)))
    gone = [second, (START + DAY).isoformat(), (START + DAY + 3 * HOUR).isoformat()]
    assert payload(cast, "training_rescheduled", ada)["removed"] == [gone]


def test_a_removed_day_is_still_cancelled_when_its_letter_is_superseded(cast: Cast) -> None:
    ada = cast.enrol("Ada")
    reschedule(cast, meeting(START, first_event(cast)), meeting(START + DAY), notify=False)
    second = int(cast.pottery.events[1].id)
    reschedule(cast, meeting(START, first_event(cast)))
    reschedule(cast, meeting(START + HOUR, first_event(cast)))
    removed = payload(cast, "training_rescheduled", ada)["removed"]
    assert [day[0] for day in removed] == [second]


def test_days_removed_before_their_times_were_kept_are_cancelled_too(cast: Cast) -> None:
    ada = cast.enrol("Ada")
    cast.add(
        EnrolmentHistory(
            training_id=cast.pottery.id,
            seq=0,
            at=NOON,
            actor="system",
            event="rescheduled",
            data={"removed": [10**6]},
        )
    )
    reschedule(cast, meeting(START + HOUR, first_event(cast)))
    assert payload(cast, "training_rescheduled", ada)["removed"] == [[10**6]]


def test_an_unsent_letter_is_superseded_by_the_next(
    cast: Cast, mixed: list[TrainingEnroll]
) -> None:
    for days in (1, 2):
        reschedule(cast, meeting(START + days * DAY, first_event(cast)))
    kinds = ("training_rescheduled", "training_rescheduled_trainer")
    rows = sa.select(Outbox.state, Outbox.last_error).where(Outbox.kind.in_(kinds))
    states = [tuple(row) for row in cast.session.execute(rows.order_by(Outbox.id))]
    assert states == 4 * [("skipped", "superseded")] + 4 * [("pending", None)]


def test_two_days_are_two_jobs_and_the_removed_one_goes(cast: Cast) -> None:
    reminder(cast, events="all")
    reschedule(cast, meeting(START, first_event(cast)), meeting(START + DAY))
    one, two = (event.id for event in cast.pottery.events)
    ids = [f"{REMINDER}/{cast.pottery.id}:{id_}/PRODUCTION" for id_ in (one, two)]
    assert sorted(cast.jobs()) == sorted(ids)
    reschedule(cast, meeting(START + DAY, two))
    assert list(cast.jobs()) == ids[1:]


def test_all_days_removed_leave_no_hard_stop(cast: Cast, mixed: list[TrainingEnroll]) -> None:
    reminder(cast)
    reschedule(cast)
    cast.statuses(mixed[1])
    assert mixed[1].invite_expires_at == DEADLINE
    assert list(cast.jobs()) == [f"waitlist_invitation_expiry/{mixed[1].uuid}/PRODUCTION"]


@pytest.mark.parametrize("length", [-HOUR, 0 * HOUR])
def test_a_meeting_that_ends_before_it_starts_is_refused(cast: Cast, length: Any) -> None:
    before = cast.everything()
    with pytest.raises(trainings.BadEvent):
        reschedule(cast, Meeting(START, START + length, None, first_event(cast)))
    assert cast.everything() == before


def test_an_event_of_another_training_is_refused(cast: Cast) -> None:
    other = cast.training("Other")
    before = cast.everything()
    for id_ in (other.events[0].id, 0, -1, 2**31):
        with pytest.raises(trainings.BadEvent):
            reschedule(cast, meeting(START + DAY, id_))
    assert cast.everything() == before


def test_one_event_cannot_be_two_meetings(cast: Cast) -> None:
    id_ = first_event(cast)
    with pytest.raises(trainings.BadEvent):
        reschedule(cast, meeting(START + DAY, id_), meeting(START + 2 * DAY, id_))


def test_an_inactive_training_gets_its_new_dates_but_no_jobs(cast: Cast) -> None:
    reminder(cast)
    closed(cast)
    reschedule(cast, meeting(START + DAY, first_event(cast)))
    assert cast.jobs() == {}
    trainings.activate(cast.session, cast.pottery.id, cast.max, NOON)
    assert list(cast.jobs()) == [f"{REMINDER}/{cast.pottery.id}/PRODUCTION"]


def test_history_numbers_have_no_gap_over_all_of_it(
    cast: Cast, mixed: list[TrainingEnroll]
) -> None:
    resize(cast, 1, WITHDRAW)
    reschedule(cast, meeting(START + DAY, first_event(cast)))
    trainings.deactivate(cast.session, cast.pottery.id, cast.max, NOON)
    trainings.activate(cast.session, cast.pottery.id, cast.max, NOON)
    trainings.cancel(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    seqs = cast.session.scalars(sa.select(EnrolmentHistory.seq).order_by(EnrolmentHistory.seq))
    assert list(seqs) == list(range(1, len(cast.history()) + 1))
    assert cast.session.scalar(sa.select(sa.func.count(Job.id))) == 0
