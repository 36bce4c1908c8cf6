"""What is promised to whom, once per occasion (waitlist WE2, WM2, WM6, WX7)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from app.models import (
    AssignmentStatus,
    Outbox,
    PersonStatus,
    Trainer,
    TrainerLetters,
    TrainingEnroll,
    TrainingTrainer,
    UserSettings,
)
from app.services import enrolments, letters, students, waitlist
from app.services.actors import LINK
from app.services.transitions import place_of
from tests.cast import DEADLINE, HOUR, NOON, REASON, Cast

Act = Callable[[Cast, TrainingEnroll], object]

# What Ben and Tess are told when this happens to Ben, from which status.
TOLD: dict[str, tuple[str, Act]] = {
    "waitlisted": ("derolled", lambda cast, ben: cast.enrol("Ben")),
    "accepted": ("waitlist-invited", lambda cast, ben: cast.accept(ben)),
    "declined": ("waitlist-invited", lambda cast, ben: cast.decline(ben)),
    "expired": ("waitlist-invited", lambda cast, ben: cast.expire(ben, DEADLINE)),
    "derolled": ("enrolled", lambda cast, ben: cast.leave(ben)),
    "left_waitlist": (
        "waitlist",
        lambda cast, ben: enrolments.remove(cast.session, ben, cast.max, NOON, REASON),
    ),
    "enrolled": (
        "waitlist",
        lambda cast, ben: enrolments.force(
            cast.session, cast.pottery.id, ben.student_id, cast.max, NOON, REASON
        ),
    ),
    "invited": ("waitlist", lambda cast, ben: cast.leave(cast.row("Ada"))),
}
NEEDS_MAIL = ("invited", "waitlisted")  # who cannot be told is neither queued nor invited


def _about_ben(cast: Cast, since: int) -> list[tuple[str, str]]:
    """The letters promised since then about Ben's enrolment, readers' names sorted."""
    rows = cast.session.scalars(
        sa.select(Outbox).where(Outbox.id > since, Outbox.enrolment_id == cast.row("Ben").id)
    )
    names = {cast.student("Ben").user_id: "Ben", cast.tess.user_id: "Tess"}
    return sorted((row.kind, names[row.user_id or 0]) for row in rows)


@pytest.mark.parametrize("letter", TOLD)
def test_student_and_trainer_are_told(cast: Cast, letter: str) -> None:
    status, act = TOLD[letter]
    ben = cast.in_status(status)
    since = cast.last_letter()
    act(cast, ben)
    assert _about_ben(cast, since) == [(letter, "Ben"), (f"{letter}_trainer", "Tess")]


@pytest.mark.parametrize("letter", [letter for letter in TOLD if letter not in NEEDS_MAIL])
def test_who_opted_out_is_not_written_to_but_the_trainer_is(cast: Cast, letter: str) -> None:
    status, act = TOLD[letter]
    ben = cast.in_status(status)
    cast.wont_mail("Ben")
    since = cast.last_letter()
    act(cast, ben)
    assert _about_ben(cast, since) == [(f"{letter}_trainer", "Tess")]


@pytest.mark.parametrize("letter", TOLD)
def test_without_trainers_everything_works(cast: Cast, letter: str) -> None:  # WX7
    cast.pottery.trainers.clear()
    status, act = TOLD[letter]
    ben = cast.in_status(status)
    since = cast.last_letter()
    act(cast, ben)
    assert _about_ben(cast, since) == [(letter, "Ben")]


def test_a_bounced_or_erased_address_gets_no_letter(cast: Cast) -> None:
    for field in ("undeliverable_at", "erased_at"):
        name = f"Ben {field}"
        row = cast.enrol(name, training=cast.training(name))
        setattr(cast.student(name).user, field, NOON)
        since = cast.last_letter()
        enrolments.deroll(cast.session, row, cast.max, NOON, reason=REASON)
        assert cast.letters(since) == [("derolled_trainer", "Tess")]


def test_the_erased_leave_silently_and_what_was_promised_is_taken_back(cast: Cast) -> None:  # WQ15
    ben, cleo = cast.offer("Ben", "Cleo")
    since = cast.last_letter()
    students.erase(cast.session, cast.student("Ben"), cast.max, NOON)
    assert cast.statuses(ben, cleo) == ["derolled", "waitlist-invited"]
    told = sorted(cast.letters(since))
    assert ("left_waitlist_trainer", "Tess") in told
    to_ben = sa.select(Outbox.state).where(Outbox.user_id == ben.student.user_id)
    assert set(cast.session.scalars(to_ben)) == {"skipped"}


# --- which trainers -------------------------------------------------------------------------------


def _also_teaches(cast: Cast, name: str, status: AssignmentStatus) -> Trainer:
    trainer = cast.trainer(name)
    cast.add(
        TrainingTrainer(training_id=cast.pottery.id, trainer_id=trainer.id, status=status, rank=2)
    )
    return trainer


def test_only_trainers_who_accepted_and_are_active_are_told(cast: Cast) -> None:
    for name, status in (
        ("Accepted", AssignmentStatus.ACCEPTED),
        ("Proposed", AssignmentStatus.PROPOSED),
        ("Declined", AssignmentStatus.DECLINED),
    ):
        _also_teaches(cast, name, status)
    _also_teaches(cast, "Gone", AssignmentStatus.ACCEPTED).status = PersonStatus.INACTIVE
    cast.enrol("Ada")
    told = sorted(name for kind, name in cast.letters() if kind == "enrolled_trainer")
    assert told == ["Accepted", "Tess"]


@pytest.mark.parametrize("how", [TrainerLetters.DIGEST, TrainerLetters.CENTRE])
def test_a_trainer_on_digest_or_centre_gets_no_letter_for_each(
    cast: Cast, how: TrainerLetters
) -> None:
    cast.add(UserSettings(user_id=cast.tess.user_id, trainer_letters=how))
    cast.enrol("Ada")
    assert cast.letters() == [("enrolled", "Ada")]


# --- keys (WM6) -----------------------------------------------------------------------------------


def test_a_key_names_letter_row_occasion_channel_and_reader(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    user_id = cast.student("Ben").user_id
    assert f"invited:{ben.uuid}:1:email:{user_id}" in cast.letter_keys()
    assert f"invited_trainer:{ben.uuid}:1:email:{cast.tess.user_id}" in cast.letter_keys()
    queued = cast.last_event("queued").seq
    assert f"waitlisted:{ben.uuid}:{queued}:email:{user_id}" in cast.letter_keys()


def test_promising_twice_is_promising_once(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    before = cast.everything()
    for _ in range(2):
        letters.invited(cast.session, [place_of(ben)], NOON + HOUR)
    assert cast.everything() == before


def test_a_second_invitation_is_a_second_letter(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    cast.decline(ben)
    cast.enrol("Ben")
    keys = [key for key in cast.letter_keys() if key.startswith(f"invited:{ben.uuid}")]
    assert [key.split(":")[2] for key in keys] == ["1", "2"]


def test_who_enrols_leaves_and_enrols_again_is_told_each_time(cast: Cast) -> None:
    for _ in range(3):
        cast.leave(cast.enrol("Ada"))
    kinds = [kind for kind, name in cast.letters() if name == "Ada"]
    assert kinds == ["enrolled", "derolled"] * 3


def test_the_calendar_number_grows_with_each_letter_that_changes_the_entry(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    numbers = [ben.ical_sequence]
    for act in (cast.decline, lambda _row: cast.enrol("Ben"), cast.accept, cast.leave):
        act(ben)
        cast.session.refresh(ben)
        numbers.append(ben.ical_sequence)
    assert numbers == sorted(set(numbers))


def test_nothing_is_promised_about_nobody(cast: Cast) -> None:
    letters.invited(cast.session, [], NOON)
    letters.expired(cast.session, [], NOON)
    assert cast.letters() == []


def test_a_letter_is_due_at_once_and_pending(cast: Cast) -> None:
    cast.enrol("Ada")
    row = cast.session.scalars(sa.select(Outbox).where(Outbox.kind == "enrolled")).one()
    assert (row.state, row.due_at, row.created_at, row.attempts) == ("pending", NOON, NOON, 0)
    assert (row.channel, row.ended_at) == ("email", None)


def test_every_letter_has_an_identity_of_its_own(cast: Cast) -> None:
    training = cast.several(20)
    training.max_participants = 20
    waitlist.fill_open_spots(cast.session, training.id, NOON)
    ids = cast.session.scalars(sa.select(Outbox.uuid)).all()
    assert len(ids) == len(set(ids)) == 40


def test_a_trainer_who_also_learns_gets_both_letters(cast: Cast) -> None:
    cast.student("Tess").user_id = cast.tess.user_id
    cast.session.expire_all()
    row = cast.enrol("Tess")
    assert sorted(cast.letters()) == [("enrolled", "Tess"), ("enrolled_trainer", "Tess")]
    enrolments.deroll(cast.session, row, LINK, NOON)
