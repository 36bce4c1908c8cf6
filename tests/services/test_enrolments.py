"""Coming in and leaving: enrol, force, deroll, leave, remove (waitlist WE2, WF4, WO1)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.models import PersonStatus, Practice, Student, Training, TrainingEnroll, TrainingEvent
from app.ops import invariants
from app.services import documented, enrolments, overrides, trainings, waitlist
from app.services.actors import LINK, student
from app.services.refusals import NotFound, ReasonNeeded, Refusal
from app.services.trainings import BelowTakenChoice
from app.services.waitlist import Unreachable
from tests.cast import DAY, HOUR, MINUTE, NOON, REASON, SECOND, START, Cast

HARD_STOP = START - 2 * HOUR


def _places(cast: Cast, places: int, now=NOON) -> list[str]:
    cast.session.expire_all()
    choice, reason = BelowTakenChoice.OVERBOOK, REASON
    who = (cast.pottery.id, places, cast.max, now)
    return trainings.set_capacity(cast.session, *who, choice=choice, reason=reason)


# --- coming in ------------------------------------------------------------------------------------


def test_who_finds_a_free_place_is_in_and_the_history_says_by_whom(cast: Cast) -> None:
    ada = cast.enrol("Ada")
    row = cast.last_event("enrolled")
    assert (row.from_status, row.to_status) == (None, "enrolled")
    assert (row.actor, row.at) == (f"user:{ada.student.user_id}", NOON)
    assert cast.ledger() == (1, 0, 0)
    assert ada.terms_accepted_at == NOON


def test_enrolling_twice_is_enrolling_once(cast: Cast) -> None:
    cast.enrol_all("Ada", "Ben")
    before = cast.everything()
    cast.enrol_all("Ada", "Ben")
    assert cast.everything() == before


def test_a_training_without_places_queues_everybody(cast: Cast) -> None:
    empty = cast.training("Glazing", places=0)
    assert [cast.enrol(n, training=empty).status for n in ("Ada", "Ben")] == ["waitlist"] * 2
    assert cast.ledger(empty) == (0, 0, 0)


def test_a_training_without_events_takes_people_and_never_starts(cast: Cast) -> None:
    someday = cast.training("Someday", places=1, start=None)
    ada = cast.enrol("Ada", NOON + 900 * DAY, someday)
    ben = cast.enrol("Ben", NOON + 900 * DAY, someday)
    assert (ada.status, ben.status) == ("enrolled", "waitlist")


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"active": False}, enrolments.NotOpen),
        ({"cancelled_at": NOON}, enrolments.NotOpen),
        ({"archived_at": NOON}, enrolments.NotOpen),
    ],
)
def test_nobody_books_a_closed_training(
    cast: Cast, change: dict[str, object], refusal: type[Refusal]
) -> None:
    cast.session.execute(sa.update(Training).values(**change))
    before = cast.everything()
    with pytest.raises(refusal):
        cast.enrol("Ada")
    assert cast.everything() == before


def test_the_last_second_before_the_start_is_bookable_the_start_is_not(cast: Cast) -> None:
    assert cast.enrol("Ada", START - SECOND).status == "enrolled"
    with pytest.raises(enrolments.NotOpen):
        cast.enrol("Ben", START)


def test_an_inactive_student_or_account_books_nothing(cast: Cast) -> None:
    cast.student("Ada").status = PersonStatus.INACTIVE
    cast.student("Ben").user.active = False
    for name in ("Ada", "Ben"):
        with pytest.raises(enrolments.StudentInactive):
            cast.enrol(name)
    assert cast.history() == []


def test_a_student_needs_a_name_and_the_terms_staff_need_neither(cast: Cast) -> None:
    ada = cast.student("Ada")
    ada.user.last_name = ""
    me, where = student(ada.user_id), (cast.pottery.id, ada.id)
    with pytest.raises(enrolments.ProfileIncomplete):
        enrolments.enrol(cast.session, *where, me, NOON, terms=True)
    ada.user.last_name = "Example"
    with pytest.raises(enrolments.TermsNotAccepted):
        enrolments.enrol(cast.session, *where, me, NOON)
    ada.user.last_name = ""
    assert enrolments.enrol(cast.session, *where, cast.max, NOON).status == "enrolled"


def test_a_student_of_another_practice_is_unknown_here(cast: Cast) -> None:
    other = cast.add(Practice(name="Other", shortname="other"))
    mallory = cast.add(Student(user_id=cast.user("Mallory").id, practice_id=other.id))
    for act in (enrolments.enrol, enrolments.force):
        extra = (REASON,) if act is enrolments.force else ()
        with pytest.raises(NotFound) as no:
            act(cast.session, cast.pottery.id, mallory.id, cast.max, NOON, *extra)
        assert no.value.status == 404
    assert cast.history() == []


def test_nobody_enrols_or_moves_another_student(cast: Cast) -> None:
    ada = cast.enrol("Ada")
    mallory = student(cast.student("Mallory").user_id)
    before = cast.everything()
    who = (cast.pottery.id, cast.student("Ben").id)
    with pytest.raises(NotFound):
        enrolments.enrol(cast.session, *who, mallory, NOON, terms=True)
    for act in (enrolments.deroll, enrolments.leave, waitlist.accept, waitlist.decline):
        with pytest.raises(NotFound):
            act(cast.session, ada, mallory, NOON)
    assert cast.everything() == before


def test_who_cannot_be_told_may_take_a_place_but_not_wait_for_one(cast: Cast) -> None:
    for name in ("Ada", "Ben"):
        cast.wont_mail(name)
    assert cast.enrol("Ada").status == "enrolled"
    before = cast.everything()
    with pytest.raises(Unreachable) as no:
        cast.enrol("Ben")
    assert no.value.status == 409
    assert cast.everything() == before


def test_a_missing_settings_row_means_letters_are_wanted(cast: Cast) -> None:
    assert cast.student("Ben").user.settings is None
    (ben,) = cast.line("Ben")
    assert ("waitlisted", "Ben") in cast.letters()
    assert ben.status == "waitlist"


# --- newcomers never overtake (WF4, WX10) ---------------------------------------------------------


def test_a_newcomer_does_not_take_an_offered_place(cast: Cast) -> None:
    ben, _ = cast.offer("Ben", "Cleo")
    assert cast.enrol("Dora").status == "waitlist"
    assert cast.statuses(ben) == ["waitlist-invited"]


def test_a_newcomer_queues_while_the_list_is_paused(cast: Cast) -> None:
    overrides.pause_list(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    ada = cast.enrol("Ada")
    assert ada.status == "waitlist"
    overrides.resume_list(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    assert cast.statuses(ada) == ["waitlist-invited"]


def test_a_newcomer_does_not_take_a_kept_place(cast: Cast) -> None:
    overrides.keep_spots(cast.session, cast.pottery.id, 1, cast.max, NOON, REASON)
    ada = cast.enrol("Ada")
    assert ada.status == "waitlist"
    overrides.release_spots(cast.session, cast.pottery.id, 1, cast.max, NOON, REASON)
    assert cast.statuses(ada) == ["waitlist-invited"]


def test_a_newcomer_passes_who_cannot_be_invited(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    overrides.skip(cast.session, ben, cast.max, NOON, REASON)
    cast.leave(cast.row("Ada"))
    assert cast.enrol("Cleo").status == "enrolled"
    assert cast.statuses(ben) == ["waitlist"]


def test_nobody_is_invited_in_the_last_quarter_but_nobody_is_overtaken(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    late = HARD_STOP - 10 * MINUTE
    cast.leave(cast.row("Ada"), late)
    assert cast.statuses(ben) == ["waitlist"]
    assert cast.enrol("Cleo", late).status == "waitlist"


def test_exactly_a_quarter_of_an_hour_is_enough_to_be_invited(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    cast.leave(cast.row("Ada"), HARD_STOP - 15 * MINUTE)
    assert cast.statuses(ben) == ["waitlist-invited"]
    assert ben.invite_expires_at == HARD_STOP


def test_after_the_hard_stop_whoever_comes_first_takes_the_place(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    cast.leave(cast.row("Ada"), HARD_STOP)
    assert cast.statuses(ben) == ["waitlist"]
    assert cast.enrol("Cleo", HARD_STOP).status == "enrolled"
    assert cast.enrol("Dora", HARD_STOP).status == "waitlist"


def test_after_the_hard_stop_a_waiting_student_leaves_and_enters_in_one_act(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    cast.leave(cast.row("Ada"), HARD_STOP)
    before = cast.last_letter()
    assert cast.enrol("Ben", HARD_STOP) is ben
    assert cast.statuses(ben) == ["enrolled"]
    assert cast.history()[-2:] == ["left", "enrolled"]
    assert sorted(cast.letters(before)) == [("enrolled", "Ben"), ("enrolled_trainer", "Tess")]
    assert cast.ledger() == (1, 0, 0)


def test_after_the_hard_stop_a_full_training_lets_a_waiting_student_wait(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    before = cast.everything()
    assert cast.enrol("Ben", HARD_STOP) is ben
    assert cast.everything() == before


def test_after_the_hard_stop_who_declined_takes_the_free_place_too(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    cast.decline(ben)
    cast.enrol("Ben", HARD_STOP)
    assert cast.statuses(ben) == ["enrolled"]
    assert cast.history()[-3:] == ["re-enabled", "left", "enrolled"]


def test_after_the_hard_stop_who_comes_back_is_told_once_of_what_is(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    cast.decline(ben)
    cast.wont_mail("Ben")  # nothing is to be told of later, so it doesn't matter
    before = cast.last_letter()
    cast.enrol("Ben", HARD_STOP)
    assert cast.statuses(ben) == ["enrolled"]
    assert cast.letters(before) == [("enrolled_trainer", "Tess")]
    assert invariants.check(cast.session, HARD_STOP) == []


def test_after_the_hard_stop_a_full_training_queues_who_comes_back(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    cast.decline(ben)
    cast.enrol("Dora")
    before = cast.last_letter()
    cast.enrol("Ben", HARD_STOP)
    assert cast.statuses(ben) == ["waitlist"]
    assert cast.letters(before) == [("waitlisted", "Ben"), ("waitlisted_trainer", "Tess")]
    assert cast.history()[-1] == "re-enabled"


def test_after_the_hard_stop_staff_bring_in_who_waits_as_the_student_would(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    cast.leave(cast.row("Ada"), HARD_STOP)
    enrolments.enrol(cast.session, cast.pottery.id, ben.student_id, cast.max, HARD_STOP)
    assert cast.last_event("left").reason == "left"  # nobody removed them


# --- coming back (WE2 3, WX12) --------------------------------------------------------------------


def test_who_comes_back_stands_at_the_tail_with_the_same_row(cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    uuid = ben.uuid
    assert cast.expire(ben)
    assert cast.statuses(cleo) == ["waitlist-invited"]
    dora = cast.enrol("Dora")
    assert cast.enrol("Ben", NOON + 49 * HOUR).id == ben.id
    assert (ben.status, ben.uuid, ben.missed_invites) == ("waitlist", uuid, 0)
    assert ben.queue_position > dora.queue_position > cleo.queue_position
    assert cast.last_event("re-enabled").queue_position == ben.queue_position


def test_an_old_link_is_dead_after_coming_back(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    cast.decline(ben)
    cast.enrol("Ben")  # the place is free: invited again at once
    assert (ben.status, ben.invite_no) == ("waitlist-invited", 2)
    for answer in (waitlist.accept, waitlist.decline):
        said = answer(cast.session, ben, LINK, NOON, invite_no=1)
        assert said is waitlist.Answer.SUPERSEDED
    assert waitlist.accept(cast.session, ben, LINK, NOON, invite_no=2) == "enrolled"


def test_an_old_decline_link_leaves_an_enrolled_place_alone(cast: Cast) -> None:  # WX11
    (ben,) = cast.offer("Ben")
    cast.accept(ben)
    before = cast.everything()
    assert waitlist.decline(cast.session, ben, LINK, NOON, invite_no=1) == "already_enrolled"
    assert cast.everything() == before


@pytest.mark.parametrize("back_to", ["enrolled", "waitlist", "forced"])
def test_coming_back_clears_what_was_held_against_the_row(cast: Cast, back_to: str) -> None:
    (ben,) = cast.line("Ben")
    enrolments.leave(cast.session, ben, LINK, NOON)
    ben.skipped, ben.not_before, ben.missed_invites = True, NOON + DAY, 2
    if back_to == "enrolled":
        cast.leave(cast.row("Ada"))
        cast.enrol("Ben")
    elif back_to == "forced":
        enrolments.force(cast.session, cast.pottery.id, ben.student_id, cast.max, NOON, REASON)
    else:
        cast.enrol("Ben")
    cast.session.refresh(ben)
    assert ben.status == ("enrolled" if back_to == "forced" else back_to)
    assert (ben.skipped, ben.not_before, ben.missed_invites) == (False, None, 0)


def test_coming_back_unreachable_is_refused_and_changes_nothing(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    cast.decline(ben)
    cast.wont_mail("Ben")
    before = cast.everything()
    with pytest.raises(Unreachable):
        cast.enrol("Ben")
    assert cast.everything() == before


def test_positions_are_never_given_twice(cast: Cast) -> None:
    ben, cleo = cast.line("Ben", "Cleo")
    enrolments.leave(cast.session, cleo, LINK, NOON)
    assert cast.enrol("Dora").queue_position == 3
    assert cast.enrol("Cleo").queue_position == 4
    assert ben.queue_position == 1


def test_a_row_written_past_the_services_blocks_nobody_behind_it(cast: Cast) -> None:  # WF3
    cast.enrol("Ada")
    ben = cast.student("Ben")
    cast.add(
        TrainingEnroll(
            training_id=cast.pottery.id, student_id=ben.id, status="waitlist", queue_position=1
        )
    )
    assert cast.enrol("Cleo").queue_position == 2


def test_nor_does_one_that_was_invited_and_comes_back_to_its_position(cast: Cast) -> None:
    ben = TrainingEnroll(
        training_id=cast.pottery.id,
        student_id=cast.student("Ben").id,
        status="waitlist-invited",
        invite_date=NOON,
        queue_position=1,
    )
    cast.add(ben)
    cleo = cast.enrol("Cleo")
    waitlist.return_to_list(cast.session, ben, cast.max, NOON, REASON)
    assert (ben.queue_position, cleo.queue_position) == (1, 2)


# --- force (WO1, WX13) ----------------------------------------------------------------------------


def _force(cast: Cast, name: str, reason: str | None = REASON, now=NOON) -> TrainingEnroll:
    who = (cast.pottery.id, cast.student(name).id)
    return enrolments.force(cast.session, *who, cast.max, now, reason)


@pytest.mark.parametrize("reason", [None, "", "   four  ", "abcd", "x" * 501])
def test_force_wants_a_reason(cast: Cast, reason: str | None) -> None:
    with pytest.raises(ReasonNeeded) as no:
        _force(cast, "Ada", reason)
    assert no.value.status == 400
    assert cast.history() == []


@pytest.mark.parametrize("reason", ["12345", "x" * 500, "  padded with spaces  "])
def test_a_reason_of_five_to_five_hundred_characters_is_kept(cast: Cast, reason: str) -> None:
    _force(cast, "Ada", reason)
    row = cast.last_event("forced")
    assert (row.note, row.actor) == (reason.strip(), cast.max.name)


@pytest.mark.parametrize(
    "status",
    ["waitlist", "waitlist-invited", "waitlist-invite-expired", "waitlist-declined", "derolled"],
)
def test_force_is_one_step_and_one_letter_and_no_job(cast: Cast, status: str) -> None:
    ben = cast.in_status(status)
    before, since = len(cast.history()), cast.last_letter()
    _force(cast, "Ben")
    assert cast.statuses(ben) == ["enrolled"]
    assert cast.history()[before:] == ["forced"]
    assert sorted(cast.letters(since)) == [("enrolled", "Ben"), ("enrolled_trainer", "Tess")]
    assert not [job for job in cast.jobs() if ben.uuid in job]


def test_force_above_the_capacity_is_counted_and_heals(cast: Cast) -> None:  # WQ11
    ada, ben, cleo = cast.enrol_all("Ada", "Ben", "Cleo")
    _force(cast, "Ben")
    assert cast.ledger() == (2, 0, 1)
    cast.leave(ada)
    assert cast.ledger() == (1, 0, 0)
    assert cast.statuses(ben, cleo) == ["enrolled", "waitlist"]
    cast.leave(ben)
    assert cast.statuses(cleo) == ["waitlist-invited"]


def test_force_takes_a_free_place_before_a_kept_one_before_one_too_many(cast: Cast) -> None:
    _places(cast, 2)
    overrides.keep_spots(cast.session, cast.pottery.id, 1, cast.max, NOON, REASON)
    ledgers = []
    for name in ("Ada", "Ben", "Cleo"):
        _force(cast, name)
        ledgers.append(cast.ledger())
    assert ledgers == [(1, 1, 0), (2, 0, 0), (3, 0, 1)]


def test_force_of_an_invited_student_takes_the_place_already_held(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    _force(cast, "Ben")
    assert cast.ledger() == (1, 0, 0)
    assert cast.statuses(ben) == ["enrolled"]


def test_force_of_a_planned_student_uses_the_place_of_the_plan(cast: Cast) -> None:
    cast.pottery.max_participants = 2
    ben, cleo = cast.enrol_all("Ada", "Dora", "Ben", "Cleo")[2:]
    overrides.pause_list(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    for name in ("Ada", "Dora"):
        cast.leave(cast.row(name))
    overrides.keep_spots(cast.session, cast.pottery.id, 1, cast.max, NOON, REASON)
    cast.pottery.waitlist_paused = False
    documented.schedule_invitation(cast.session, ben, HOUR, now=NOON)
    enrolments.force(cast.session, cast.pottery.id, ben.student_id, cast.max, NOON, REASON)
    assert cast.ledger() == (1, 1, 0)  # the kept place is kept still: nothing idles
    assert cast.statuses(ben, cleo) == ["enrolled", "waitlist"]
    assert invariants.check(cast.session, NOON) == []


def test_a_kept_place_that_is_used_says_for_what_in_the_history(cast: Cast) -> None:  # WO3
    overrides.keep_spots(cast.session, cast.pottery.id, 1, cast.max, NOON, REASON)
    ben = cast.student("Ben").id
    enrolments.force(cast.session, cast.pottery.id, ben, cast.max, NOON, REASON)
    used = cast.last_event("kept-used")
    assert (used.actor, used.note, used.data) == (cast.max.name, REASON, {"count": 1, "kept": 0})
    assert cast.ledger() == (1, 0, 0)


def test_a_student_keeps_no_place_for_staff_nor_does_anyone_without_a_reason(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    with pytest.raises(ReasonNeeded):
        waitlist.decline(cast.session, ben, cast.max, NOON, keep_place=True)
    cast.accept(ben)
    with pytest.raises(ReasonNeeded), cast.session.begin_nested():
        enrolments.deroll(cast.session, ben, LINK, NOON, keep_place=True)
    assert cast.ledger() == (1, 0, 0)


def test_force_on_a_training_oversold_past_the_services(cast: Cast) -> None:
    for name in ("Ada", "Ben"):
        who = cast.student(name)
        cast.add(TrainingEnroll(training_id=cast.pottery.id, student_id=who.id, status="enrolled"))
    _force(cast, "Cleo")
    assert cast.ledger() == (3, 0, 2)


@pytest.mark.parametrize("change", [{"cancelled_at": NOON}, {"archived_at": NOON}])
def test_nobody_is_forced_into_what_is_closed_for_good(
    cast: Cast, change: dict[str, object]
) -> None:
    cast.session.execute(sa.update(Training).values(**change))
    with pytest.raises(enrolments.TrainingOver):
        _force(cast, "Ada")


def test_force_works_until_the_last_meeting_has_ended(cast: Cast) -> None:
    end = START + 3 * HOUR
    assert _force(cast, "Ada", now=end - SECOND).status == "enrolled"
    with pytest.raises(enrolments.TrainingOver):
        _force(cast, "Ben", now=end)


def test_an_inactive_student_is_not_forced(cast: Cast) -> None:
    cast.student("Ada").status = PersonStatus.INACTIVE
    with pytest.raises(enrolments.StudentInactive):
        _force(cast, "Ada")


def test_force_works_on_a_training_that_is_not_open_for_booking(cast: Cast) -> None:
    cast.session.execute(sa.update(Training).values(active=False))
    assert _force(cast, "Ada").status == "enrolled"


# --- leaving --------------------------------------------------------------------------------------


def test_a_student_leaves_until_the_start_staff_also_after(cast: Cast) -> None:
    ada = cast.enrol("Ada")
    with pytest.raises(enrolments.HasStarted):
        cast.leave(ada, START)
    assert cast.statuses(ada) == ["enrolled"]
    enrolments.deroll(cast.session, ada, cast.max, START, reason=REASON)
    row = cast.last_event("derolled")
    assert (row.reason, row.note, row.actor) == ("removed", REASON, cast.max.name)


def test_a_student_who_leaves_is_written_down_as_left(cast: Cast) -> None:
    ada = cast.enrol("Ada")
    cast.leave(ada, START - SECOND)
    row = cast.last_event("derolled")
    assert (row.reason, row.note, row.actor) == ("left", None, "link")
    assert cast.ledger() == (0, 0, 0)


def test_a_trainers_deroll_refills_too(cast: Cast) -> None:  # WX9
    (ben,) = cast.line("Ben")
    enrolments.deroll(cast.session, cast.row("Ada"), cast.max, NOON, reason=REASON)
    assert cast.statuses(ben) == ["waitlist-invited"]


def test_staff_say_why_they_deroll_or_remove(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    before = cast.everything()
    with pytest.raises(ReasonNeeded):
        enrolments.deroll(cast.session, cast.row("Ada"), cast.max, NOON)
    with pytest.raises(ReasonNeeded):
        enrolments.remove(cast.session, ben, cast.max, NOON, "no")
    assert cast.everything() == before


@pytest.mark.parametrize("act", ["deroll", "remove", "decline"])
def test_keeping_the_place_invites_nobody_until_it_is_released(cast: Cast, act: str) -> None:
    if act == "deroll":
        cleo = cast.line("Cleo")[0]
        ada = cast.row("Ada")
        enrolments.deroll(cast.session, ada, cast.max, NOON, reason=REASON, keep_place=True)
    else:
        ben, cleo = cast.offer("Ben", "Cleo")
        if act == "remove":
            enrolments.remove(cast.session, ben, cast.max, NOON, REASON, keep_place=True)
        else:
            waitlist.decline(cast.session, ben, cast.max, NOON, reason=REASON, keep_place=True)
    kept = cast.last_event("kept")
    assert (kept.actor, kept.note) == (cast.max.name, REASON)
    assert cast.ledger() == (0, 1, 0)
    assert cast.statuses(cleo) == ["waitlist"]
    overrides.release_spots(cast.session, cast.pottery.id, 1, cast.max, NOON, REASON)
    assert cast.statuses(cleo) == ["waitlist-invited"]


def test_who_only_waited_leaves_no_place_to_keep(cast: Cast) -> None:  # WO3
    (ben,) = cast.line("Ben")
    enrolments.remove(cast.session, ben, cast.max, NOON, REASON, keep_place=True)
    assert cast.ledger() == (1, 0, 0)


def test_leaving_while_invited_ends_the_job_and_invites_the_next(cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    before = cast.last_letter()
    enrolments.leave(cast.session, ben, LINK, NOON)
    assert cast.statuses(ben, cleo) == ["derolled", "waitlist-invited"]
    assert [cleo.uuid in job for job in cast.jobs()] == [True]
    assert sorted(cast.letters(before)) == [
        ("invited", "Cleo"),
        ("invited_trainer", "Tess"),
        ("left_waitlist", "Ben"),
        ("left_waitlist_trainer", "Tess"),
    ]


def test_leaving_an_overbooked_training_invites_nobody(cast: Cast) -> None:
    _places(cast, 2)
    ada, _, cleo = cast.enrol_all("Ada", "Ben", "Cleo")
    _places(cast, 1)
    assert cast.ledger() == (2, 0, 1)
    cast.leave(ada)
    assert cast.statuses(cleo) == ["waitlist"]
    assert cast.ledger() == (1, 0, 0)


def test_the_practices_cutoff_of_nothing_is_no_missing_one(cast: Cast) -> None:  # WD3
    cast.practice.invite_cutoff = timedelta(0)
    (ben,) = cast.line("Ben")
    cast.leave(cast.row("Ada"), START - HOUR)
    assert cast.statuses(ben) == ["waitlist-invited"]
    assert ben.invite_expires_at == START


def test_a_trainings_own_cutoff_wins_over_the_practices(cast: Cast) -> None:
    cast.practice.invite_cutoff, cast.pottery.invite_cutoff = 5 * HOUR, HOUR
    (ben,) = cast.line("Ben")
    cast.leave(cast.row("Ada"), START - 3 * HOUR)
    assert cast.statuses(ben) == ["waitlist-invited"]
    assert ben.invite_expires_at == START - HOUR


def test_the_start_is_that_of_the_earliest_event(cast: Cast) -> None:
    first = TrainingEvent(start_time=NOON + DAY, end_time=NOON + DAY + HOUR)
    cast.pottery.events.append(first)
    cast.session.flush()
    with pytest.raises(enrolments.NotOpen):
        cast.enrol("Ada", NOON + DAY)
