"""What becomes of a student's enrolments when the student changes (waitlist WT5–WT7, WQ 15, F9)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from app.models import Outbox, OutboxState, Practice, Student, TrainingEnroll, User, UserSettings
from app.models.greeting import Greeting
from app.services import enrolments, students, waitlist
from app.services.actors import CONSOLE
from app.services.waitlist import Answer
from tests.cast import DAY, DEADLINE, HOUR, NOON, SECOND, Cast


def who(cast: Cast, name: str) -> Student:
    """The student, with whatever has been loaded of them thrown away."""
    student = cast.student(name)
    cast.session.expire(student)
    return student


DETAILS = ("street", "house_number", "postal_code", "city", "emergency_contact")


def erase(cast: Cast, name: str, now: Any = NOON) -> None:
    students.erase(cast.session, who(cast, name), cast.max, now)


def deactivate(cast: Cast, name: str) -> None:
    students.deactivate(cast.session, who(cast, name), cast.max, NOON)


def unsent_to(cast: Cast, user_id: int) -> list[str]:
    """The letters still to be sent to someone."""
    mine = sa.select(Outbox.kind).where(Outbox.user_id == user_id).order_by(Outbox.id)
    return list(cast.session.scalars(mine.where(Outbox.state == OutboxState.PENDING)))


# --- not active (WT5) ----------------------------------------------------------------------------


def test_an_inactive_student_keeps_the_place_in_line_but_is_passed_over(cast: Cast) -> None:
    ada, ben, cleo = cast.enrol_all("Ada", "Ben", "Cleo")
    before = cast.last_letter()
    deactivate(cast, "Ben")
    assert cast.letters(before) == []
    cast.leave(ada)
    assert cast.statuses(ben, cleo) == ["waitlist", "waitlist-invited"]
    assert ben.queue_position == 1
    assert cast.last_event("invited").data["passed_over"][0]["code"] == "inactive"


def test_an_open_invitation_of_an_inactive_student_goes_silently_to_the_next(cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    before = cast.last_letter()
    deactivate(cast, "Ben")
    assert cast.statuses(ben, cleo) == ["waitlist", "waitlist-invited"]
    assert cast.letters(before) == [("invited", "Cleo"), ("invited_trainer", "Tess")]
    assert (cast.last_event("returned").reason, ben.queue_position) == ("inactive", 1)
    assert list(cast.jobs()) == [f"waitlist_invitation_expiry/{cleo.uuid}/PRODUCTION"]


def test_an_enrolled_student_who_is_not_active_keeps_the_place(cast: Cast) -> None:
    ada, ben = cast.enrol_all("Ada", "Ben")
    deactivate(cast, "Ada")
    assert cast.statuses(ada, ben) == ["enrolled", "waitlist"]


def test_an_inactive_student_neither_books_nor_is_forced_in(cast: Cast) -> None:
    deactivate(cast, "Ben")
    with pytest.raises(enrolments.StudentInactive):
        cast.enrol("Ben")
    ben = cast.student("Ben").id
    with pytest.raises(enrolments.StudentInactive):
        enrolments.force(cast.session, cast.pottery.id, ben, cast.max, NOON, "a good reason")


def test_active_again_the_student_is_invited_where_a_place_is_free(cast: Cast) -> None:
    ada, ben = cast.enrol_all("Ada", "Ben")
    deactivate(cast, "Ben")
    cast.leave(ada)
    assert cast.statuses(ben) == ["waitlist"]
    invited = students.activate(cast.session, who(cast, "Ben"), cast.max, NOON + DAY)
    assert invited == [ben.uuid]
    assert cast.statuses(ben) == ["waitlist-invited"]


def test_active_again_where_nothing_is_free_the_student_waits_on(cast: Cast) -> None:
    _ada, ben = cast.enrol_all("Ada", "Ben")
    deactivate(cast, "Ben")
    assert students.activate(cast.session, who(cast, "Ben"), cast.max, NOON) == []
    assert cast.statuses(ben) == ["waitlist"]


def test_deactivating_twice_does_nothing_more(cast: Cast) -> None:
    cast.offer("Ben", "Cleo")
    deactivate(cast, "Ben")
    before = cast.everything()
    deactivate(cast, "Ben")
    assert cast.everything() == before


def test_a_student_in_many_trainings_is_passed_over_in_each(cast: Cast) -> None:
    others = [cast.training(name) for name in ("Weaving", "Glass")]
    rows = []
    for training in [cast.pottery, *others]:
        ada = cast.enrol("Ada", training=training)
        rows += [cast.enrol("Ben", training=training), cast.enrol("Cleo", training=training)]
        cast.leave(ada)
    deactivate(cast, "Ben")
    assert cast.statuses(*rows) == 3 * ["waitlist", "waitlist-invited"]


# --- letters (WT6) -------------------------------------------------------------------------------


def test_opting_out_while_waiting_makes_unreachable(cast: Cast) -> None:
    ada, ben, cleo = cast.enrol_all("Ada", "Ben", "Cleo")
    students.opt_out(cast.session, who(cast, "Ben"))
    cast.leave(ada)
    assert cast.statuses(ben, cleo) == ["waitlist", "waitlist-invited"]
    assert cast.last_event("invited").data["passed_over"][0]["code"] == "unreachable"


def test_opting_in_again_serves_the_line(cast: Cast) -> None:
    ada, ben = cast.enrol_all("Ada", "Ben")
    students.opt_out(cast.session, who(cast, "Ben"))
    cast.leave(ada)
    assert students.opt_in(cast.session, who(cast, "Ben"), NOON) == [ben.uuid]
    assert cast.statuses(ben) == ["waitlist-invited"]
    assert students.opt_in(cast.session, who(cast, "Ben"), NOON) == []


def test_who_opts_out_while_invited_keeps_the_invitation(cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    before = cast.last_letter()
    students.opt_out(cast.session, who(cast, "Ben"))
    assert cast.statuses(ben, cleo) == ["waitlist-invited", "waitlist"]
    assert cast.accept(ben, DEADLINE - SECOND) is Answer.ENROLLED
    assert cast.letters(before) == [("accepted_trainer", "Tess")]


def test_who_opts_out_while_invited_runs_out_like_anyone(cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    students.opt_out(cast.session, who(cast, "Ben"))
    assert cast.expire(ben)
    assert cast.statuses(ben, cleo) == ["waitlist-invite-expired", "waitlist-invited"]


def test_who_cannot_be_told_cannot_queue_but_may_book_a_free_place(cast: Cast) -> None:
    for name in ("Ada", "Ben"):
        students.opt_out(cast.session, who(cast, name))
    assert cast.statuses(cast.enrol("Ada")) == ["enrolled"]
    before = cast.everything()
    with pytest.raises(waitlist.Unreachable), cast.session.begin_nested():
        cast.enrol("Ben")
    assert cast.everything() == before


def test_opting_out_keeps_the_other_wishes(cast: Cast) -> None:
    user = cast.student("Ben").user
    cast.add(UserSettings(user_id=user.id, msg_last_min_spots=False, language="nl"))
    cast.session.refresh(user)
    students.opt_out(cast.session, who(cast, "Ben"))
    cast.session.flush()
    row = cast.session.get_one(UserSettings, user.id, populate_existing=True)
    assert (row.msg_transactional_emails, row.msg_last_min_spots, row.language) == (
        False,
        False,
        "nl",
    )


# --- another address (WF6, B13) ------------------------------------------------------------------


def test_a_repaired_address_serves_the_line(cast: Cast) -> None:
    ada, ben = cast.enrol_all("Ada", "Ben")
    cast.student("Ben").user.undeliverable_at = NOON
    cast.leave(ada)
    assert cast.statuses(ben) == ["waitlist"]
    invited = students.change_address(cast.session, who(cast, "Ben"), "ben@example.org", NOON)
    assert invited == [ben.uuid]
    assert cast.student("Ben").user.email == "ben@example.org"


def test_an_address_is_trimmed_and_its_domain_in_lower_case() -> None:
    assert students.valid_address(" Ben.O'Hara@EXAMPLE.Org\n") == "Ben.O'Hara@example.org"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ben",
        "@x",
        "a@@x.org",
        "a@x..org",
        "a@x.org,b@x.org",
        "a@x.org b@x.org",
        "Ben <a@x.org>",
        "a@x.org\r\nBcc: b@x.org",
        '"a b"@x.org',
        "a@[127.0.0.1]",
        "a\0@x.org",
        "a" * 300 + "@x.org",
        "a@" + "x" * 300 + ".org",
    ],
)
def test_what_is_no_plain_address_is_refused_and_nothing_changes(cast: Cast, text: str) -> None:
    ben = cast.student("Ben").user
    before = ben.email
    with pytest.raises(students.BadAddress):
        students.change_address(cast.session, cast.student("Ben"), text, NOON)
    assert ben.email == before


def test_an_address_that_someone_else_has_is_refused_with_a_sentence(cast: Cast) -> None:
    taken = cast.student("Ada").user.email
    with pytest.raises(students.Refusal), cast.session.begin_nested():
        students.change_address(cast.session, who(cast, "Ben"), taken, NOON)


# --- erased (WT7, WQ 15, F9) ---------------------------------------------------------------------


def test_when_an_invited_student_is_erased_the_next_is_invited(cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    before = cast.last_letter()
    erase(cast, "Ben")
    assert cast.statuses(ben, cleo) == ["derolled", "waitlist-invited"]
    assert cast.letters(before) == [
        ("left_waitlist_trainer", "Tess"),
        ("invited", "Cleo"),
        ("invited_trainer", "Tess"),
    ]
    assert list(cast.jobs()) == [f"waitlist_invitation_expiry/{cleo.uuid}/PRODUCTION"]


def test_when_an_enrolled_student_is_erased_the_place_is_offered(cast: Cast) -> None:
    ada, ben = cast.enrol_all("Ada", "Ben")
    before = cast.last_letter()
    erase(cast, "Ada")
    assert cast.statuses(ada, ben) == ["derolled", "waitlist-invited"]
    assert cast.letters(before)[0] == ("derolled_trainer", "Tess")
    assert cast.last_event("derolled").reason == "erased"


def test_nothing_is_left_to_be_sent_to_the_erased(cast: Cast) -> None:
    cast.offer("Ben")
    user_id = cast.student("Ben").user_id
    assert unsent_to(cast, user_id) == ["waitlisted", "invited"]
    erase(cast, "Ben")
    assert unsent_to(cast, user_id) == []
    ended = sa.select(Outbox.last_error, Outbox.ended_at).where(Outbox.user_id == user_id)
    assert {tuple(row) for row in cast.session.execute(ended)} == {("erased", NOON)}


def test_the_erased_keep_a_pseudonym_and_their_history(cast: Cast) -> None:
    ben = cast.offer("Ben")[0]
    student, user_id = cast.student("Ben"), cast.student("Ben").user_id
    user = cast.session.get_one(User, user_id)
    user.phone, user.birthday, user.password = "+31612345678", NOON.date(), "hash"
    for name in DETAILS:
        setattr(user, name, "known")
    erase(cast, "Ben")
    cast.session.flush()
    kept = sa.select(User.first_name, User.last_name, User.phone, User.birthday, User.password)
    assert tuple(cast.session.execute(kept.where(User.id == user_id)).one()) == (
        "",
        "",
        *3 * [None],
    )
    assert (user.email.endswith("@example.invalid"), user.active) == (True, False)
    assert {getattr(user, name) for name in DETAILS} == {None}
    assert [row.event for row in cast.events() if row.student_id == student.id] == [
        "queued",
        "invited",
        "left",
    ]
    assert "ben" not in user.email
    assert cast.statuses(ben) == ["derolled"]


def test_who_is_erased_takes_along_when_they_were_congratulated(cast: Cast) -> None:
    ben, ada = (cast.student(name).user_id for name in ("Ben", "Ada"))
    for user_id in (ben, ada):
        sent = {"practice_id": cast.practice.id, "birthday_year": 2026}
        cast.add(Greeting(user_id=user_id, greeted_at=NOON, **sent))
    erase(cast, "Ben")
    assert cast.session.scalars(sa.select(Greeting.user_id)).all() == [ada]


def test_all_open_rows_of_the_erased_are_closed_and_each_place_refilled(cast: Cast) -> None:
    glass = cast.training("Glass")
    enrolled = cast.enrol("Ben", training=glass)
    next_there = cast.enrol("Dan", training=glass)
    waiting = cast.line("Ben", "Cleo")[0]
    erase(cast, "Ben")
    assert cast.statuses(enrolled, waiting, next_there) == [
        "derolled",
        "derolled",
        "waitlist-invited",
    ]


def test_the_closed_rows_of_the_erased_stay_as_they_are(cast: Cast) -> None:
    ben = cast.in_status("waitlist-declined")
    before = cast.history()
    erase(cast, "Ben")
    assert cast.statuses(ben) == ["waitlist-declined"]
    assert cast.history() == before


def test_erasing_twice_changes_nothing_more(cast: Cast) -> None:
    cast.offer("Ben", "Cleo")
    erase(cast, "Ben")
    user = cast.student("Ben").user
    before, email = cast.everything(), user.email
    erase(cast, "Ben", NOON + HOUR)
    assert cast.everything() == before
    assert (user.email, user.erased_at) == (email, NOON)


def test_the_erased_are_left_in_every_practice(cast: Cast) -> None:
    ben = cast.student("Ben")
    other = cast.add(Practice(name="Other", shortname="other"))
    there = cast.add(Student(user_id=ben.user_id, practice_id=other.id))
    training = cast.training("Elsewhere")
    training.practice_id = other.id
    row = enrolments.enrol(cast.session, training.id, there.id, CONSOLE, NOON)
    assert cast.statuses(row) == ["enrolled"]
    students.erase(cast.session, who(cast, "Ben"), CONSOLE, NOON)
    assert cast.statuses(row) == ["derolled"]


def test_the_link_of_the_erased_enrols_nobody(cast: Cast) -> None:
    ben = cast.offer("Ben")[0]
    erase(cast, "Ben")
    assert cast.accept(ben) is Answer.NOT_OPEN


def test_nobody_who_stays_is_touched(cast: Cast) -> None:
    ben, cleo = cast.line("Ben", "Cleo")
    erase(cast, "Cleo")
    assert cast.statuses(cast.row("Ada"), ben, cleo) == ["enrolled", "waitlist", "derolled"]
    assert cast.session.scalar(sa.select(sa.func.count(TrainingEnroll.id))) == 3


# --- one account, several practices ---------------------------------------------------------------


def elsewhere(cast: Cast, name: str) -> Student:
    """The same person as a student of another practice."""
    other = cast.add(Practice(name="Other", shortname="other"))
    return cast.add(Student(user_id=cast.student(name).user_id, practice_id=other.id))


def test_opting_in_anywhere_serves_every_line(cast: Cast) -> None:  # WF6
    ada, ben = cast.enrol_all("Ada", "Ben")
    students.opt_out(cast.session, who(cast, "Ben"))
    cast.leave(ada)
    assert students.opt_in(cast.session, elsewhere(cast, "Ben"), NOON) == [ben.uuid]
    assert cast.statuses(ben) == ["waitlist-invited"]


def test_an_address_repaired_anywhere_serves_every_line(cast: Cast) -> None:  # WF6
    ada, ben = cast.enrol_all("Ada", "Ben")
    cast.student("Ben").user.undeliverable_at = NOON
    cast.leave(ada)
    there = elsewhere(cast, "Ben")
    assert students.change_address(cast.session, there, "b@example.org", NOON) == [ben.uuid]
    assert cast.statuses(ben) == ["waitlist-invited"]


def test_switched_off_in_one_practice_the_student_books_in_another(cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    students.deactivate(cast.session, elsewhere(cast, "Ben"), CONSOLE, NOON)
    assert cast.statuses(ben, cleo) == ["waitlist-invited", "waitlist"]


def test_a_pseudonym_tells_nothing_and_ends_every_session(cast: Cast) -> None:  # GD3
    user = cast.student("Ben").user
    before = user.fs_uniquifier
    erase(cast, "Ben")
    assert user.fs_uniquifier not in (before, "", None)
    assert before not in user.email
    assert user.fs_uniquifier not in user.email
