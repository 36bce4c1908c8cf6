"""What staff see of a training, and what they decided on being unchanged (people PT1, PT2, PG3)."""

from __future__ import annotations

from typing import Any

import pytest

from app.models import Outbox, OutboxState, Practice, TrainingTrainer
from app.models.queue import standing
from app.models.training import AssignmentStatus
from app.services import courses, enrolments, overrides, roster, students, waitlist
from app.services.actors import CONSOLE, LINK, staff
from app.services.refusals import NotFound
from app.services.roster import ChangedMeanwhile, Section
from tests.cast import DAY, DEADLINE, HOUR, NOON, REASON, Cast
from tests.statements import count_statements


def of_practice(cast: Cast, **asked: Any) -> list[courses.Course]:
    practices = frozenset({cast.practice.id})
    return courses.courses(cast.session, practices, NOON, **asked).courses


def names(cast: Cast, **asked: Any) -> list[str]:
    cast.session.flush()
    return [one.training.name for one in of_practice(cast, **asked)]


def on_roster(cast: Cast, **asked: Any) -> list[roster.Entry]:
    cast.session.flush()
    return roster.people(cast.session, cast.pottery.id, NOON, **asked)[0]


def first_names(cast: Cast, **asked: Any) -> list[str]:
    return [one.name.split()[0] for one in on_roster(cast, **asked)]


# --- my trainings --------------------------------------------------------------------------------


def test_a_training_shows_its_numbers_and_its_next_deadline(cast: Cast) -> None:
    cast.pottery.max_participants = 2
    cast.enrol_all("Ada", "Ben", "Cleo", "Dan")
    cast.leave(cast.row("Ben"))
    (one,) = of_practice(cast)
    assert (one.taken, one.invited, one.waiting) == (2, 1, 1)
    assert (one.next_deadline, one.trainers, one.undelivered) == (DEADLINE, 1, 0)


def test_an_invitation_that_did_not_arrive_is_counted(cast: Cast) -> None:
    cast.offer("Ben", "Cleo")
    cast.row("Ben").invite_undelivered_at = NOON
    cast.session.flush()
    assert of_practice(cast)[0].undelivered == 1


def test_coming_trainings_stand_in_the_order_of_their_start_and_undated_ones_last(
    cast: Cast,
) -> None:
    cast.training("Undated", start=None)
    cast.training("Tomorrow", start=NOON + DAY)
    cast.training("Yesterday", start=NOON - DAY)
    cast.training("Archived").archived_at = NOON
    assert names(cast) == ["Tomorrow", "Pottery", "Undated"]
    assert names(cast, past=True) == ["Archived", "Yesterday"]


def test_whoever_teaches_sees_their_own_once_they_accepted(cast: Cast) -> None:
    theirs = cast.training("Weaving")
    theirs.trainers[0].trainer_id = cast.trainer("Tom").id
    proposed = cast.training("Glazing")
    proposed.trainers[0].status = AssignmentStatus.PROPOSED
    assert names(cast, taught_by=cast.tess.user_id) == ["Pottery"]
    assert names(cast) == ["Glazing", "Pottery", "Weaving"]


def test_another_practices_trainings_are_unknown(cast: Cast) -> None:
    other = cast.add(Practice(name="Wood", shortname="wood"))
    foreign = cast.training("Carving")
    foreign.practice_id = other.id
    assert names(cast) == ["Pottery"]
    with pytest.raises(NotFound):
        courses.training_of(cast.session, cast.max, foreign.id)
    assert courses.training_of(cast.session, CONSOLE, foreign.id).training is foreign


def test_a_name_is_found_whatever_its_case_and_signs_mean_themselves(cast: Cast) -> None:
    assert names(cast, search="POT") == ["Pottery"]
    assert names(cast, search="p%y") == []
    assert names(cast, search="pot\0") == ["Pottery"]


def test_who_teaches_is_named(cast: Cast) -> None:
    tom = cast.trainer("Tom")
    cast.pottery.trainers.append(TrainingTrainer(trainer_id=tom.id, rank=2))
    cast.session.flush()
    seen = courses.training_of(cast.session, cast.max, cast.pottery.id)
    assert set(seen.trainers.split(", ")) == {"Tess Example", "Tom Example"}


# --- the roster ----------------------------------------------------------------------------------


def test_everyone_stands_in_their_section_in_its_order(cast: Cast) -> None:
    cast.pottery.max_participants = 2
    cast.enrol_all("Zoe", "Ada", "Ben", "Cleo", "Dan", "Eve")
    cast.leave(cast.row("Ada"))
    enrolments.leave(cast.session, cast.row("Eve"), LINK, NOON)
    assert first_names(cast) == ["Zoe", "Ben", "Cleo", "Dan", "Ada", "Eve"]
    assert [one.section for one in on_roster(cast)] == [
        Section.ENROLLED,
        Section.INVITED,
        Section.WAITING,
        Section.WAITING,
        Section.CLOSED,
        Section.CLOSED,
    ]
    assert roster.totals(cast.session, cast.pottery.id) == {
        Section.ENROLLED: 1,
        Section.INVITED: 1,
        Section.WAITING: 2,
        Section.CLOSED: 2,
    }


def test_a_section_or_a_name_is_asked_for_and_places_are_still_those_of_the_line(
    cast: Cast,
) -> None:
    cast.line("Ben", "Cleo", "Dan")
    assert first_names(cast, section=Section.WAITING) == ["Ben", "Cleo", "Dan"]
    assert [(one.name, one.place) for one in on_roster(cast, search="cleo")] == [
        ("Cleo Example", 2)
    ]


def test_a_page_holds_so_many_and_says_how_many_there_are(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "PAGE", 2)
    cast.line("Ben", "Cleo")
    first, total = roster.people(cast.session, cast.pottery.id, NOON)
    rest, _ = roster.people(cast.session, cast.pottery.id, NOON, page=2)
    assert ([one.name.split()[0] for one in (*first, *rest)], total) == (["Ada", "Ben", "Cleo"], 3)
    assert roster.people(cast.session, cast.pottery.id, NOON, page=3) == ([], 0)


def test_who_waits_shows_what_is_in_the_way(cast: Cast) -> None:
    cast.line("Ben", "Cleo", "Dan")
    cast.wont_mail("Ben")
    overrides.skip(cast.session, cast.row("Cleo"), cast.max, NOON, REASON)
    waiting = on_roster(cast, section=Section.WAITING)
    assert [one.code for one in waiting] == ["unreachable", "skipped", None]


def test_since_when_and_by_what_somebody_is_where_they_are(cast: Cast) -> None:
    cast.line("Ben")
    cast.leave(cast.row("Ada"), NOON + HOUR)
    overrides.mark_paid(cast.session, cast.row("Ben"), True, cast.max, NOON + 2 * HOUR)
    ben, ada = on_roster(cast)
    assert (ben.since, ben.event, ben.enrolment.paid) == (NOON + HOUR, "invited", True)
    assert (ada.since, ada.event, ada.reason) == (NOON + HOUR, "derolled", "left")


def test_the_letter_is_that_of_the_present_invitation(cast: Cast) -> None:
    cast.offer("Ben", "Cleo")
    (ben, _cleo, ada) = on_roster(cast)
    assert (ben.letter, ben.letter_fails, ada.letter) == (OutboxState.PENDING, False, None)
    row = cast.session.query(Outbox).filter_by(kind="invited").one()
    row.state, row.ended_at = OutboxState.SENT, NOON
    assert on_roster(cast)[0].letter is OutboxState.SENT
    row.state, row.ended_at, row.last_error = OutboxState.PENDING, None, "550"
    assert on_roster(cast)[0].letter_fails
    waitlist.return_to_list(
        cast.session, cast.row("Ben"), cast.max, NOON, REASON, not_before=NOON + DAY
    )
    assert {one.name: one.letter for one in on_roster(cast)}["Ben Example"] is None


def test_whoever_was_erased_has_neither_name_nor_address(cast: Cast) -> None:
    cast.line("Ben")
    students.erase(cast.session, cast.student("Ben"), cast.max, NOON)
    (ben,) = on_roster(cast, section=Section.CLOSED)
    assert (ben.name, ben.email, ben.phone) == ("", "", None)


def test_fifty_people_take_as_many_statements_as_five(cast: Cast) -> None:
    sent = []
    for count in (5, 50):
        training = cast.several(count)
        with count_statements(cast.session) as statements:
            entries, total = roster.people(cast.session, training.id, NOON)
        assert len(entries) == total == count
        sent.append(len(statements))
    assert sent == [1, 1]


def test_fifty_trainings_take_as_many_statements_as_five(cast: Cast) -> None:
    sent = []
    for count in (4, 45):
        for n in range(count):
            cast.training(f"Course {n}")
        with count_statements(cast.session) as statements:
            assert len(of_practice(cast)) >= count
        sent.append(len(statements))
    assert sent == [2, 2]


# --- for acts ------------------------------------------------------------------------------------


def test_it_says_who_would_be_invited_if_places_became_free(cast: Cast) -> None:
    cast.line("Ben", "Cleo", "Dan")
    overrides.skip(cast.session, cast.row("Ben"), cast.max, NOON, REASON)
    stand = standing(cast.session, cast.pottery, NOON)
    assert roster.would_be_invited(cast.session, stand, 2) == ["Cleo Example", "Dan Example"]
    assert roster.would_be_invited(cast.session, stand, 0) == []
    overrides.pause_list(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    assert roster.would_be_invited(cast.session, stand, 2) == []


def test_candidates_are_students_of_the_practice_with_their_state_here(cast: Cast) -> None:
    cast.enrol("Ada")
    cast.student("Adam")
    other = cast.add(Practice(name="Wood", shortname="wood"))
    cast.student("Adele").practice_id = other.id
    found = roster.candidates(cast.session, cast.pottery, "ad")
    assert [(one.name.split()[0], one.status) for one in found] == [
        ("Ada", "enrolled"),
        ("Adam", None),
    ]


def test_a_row_is_unchanged_until_somebody_changes_it(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    seen = (ben.version, ben.status)
    roster.unchanged(cast.session, ben, cast.max, *seen)
    overrides.skip(cast.session, ben, cast.max, NOON, REASON)
    with pytest.raises(ChangedMeanwhile, match="still waiting"):
        roster.unchanged(cast.session, ben, cast.max, *seen)
    cast.leave(cast.row("Ada"))
    overrides.unskip(cast.session, ben, cast.max, NOON, REASON)
    with pytest.raises(ChangedMeanwhile, match="was waiting, now it is invited"):
        roster.unchanged(cast.session, ben, cast.max, *seen)


def test_another_practices_row_is_not_found_rather_than_changed(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    stranger = staff(cast.user("Mallory").id, [])
    with pytest.raises(NotFound):
        roster.unchanged(cast.session, ben, stranger, -1, ben.status)
    with pytest.raises(NotFound):
        roster.unchanged_number(cast.session, cast.pottery.id, stranger, "seats_kept", -1)
