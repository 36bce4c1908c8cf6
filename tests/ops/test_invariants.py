"""The checker of the invariants: silent on a clean story; whatever is planted it finds (I1–I12).

What the database itself would refuse is planted in tables without constraints: temporary ones that
stand in front of the real ones until the rollback.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.models import AutomationRun, EnrolmentHistory, TrainingEnroll
from app.ops import invariants
from app.services import (
    deadline_changes,
    enrolments,
    importing,
    overrides,
    students,
    trainings,
    waitlist,
)
from app.services.actors import CONSOLE, LINK
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, REASON, SECOND, START, Cast
from tests.rules import kind_of_training, of_type, window


def broken(cast: Cast, now: datetime = NOON) -> set[str]:
    """The rules that the checker finds broken."""
    cast.session.flush()
    return {violation.rule for violation in invariants.check(cast.session, now)}


def loosen(cast: Cast, *tables: str) -> None:
    """Put tables without any constraint in front of these."""
    for table in tables:
        schema = "public" if cast.session.get_bind().dialect.name == "postgresql" else "main"
        plant(cast, f"CREATE TEMPORARY TABLE {table} AS SELECT * FROM {schema}.{table}")


def plant(cast: Cast, text: str, **values: Any) -> None:
    cast.session.flush()
    cast.session.execute(sa.text(text), values)
    cast.session.expire_all()


# --- nothing is wrong ----------------------------------------------------------------------------


def test_a_database_without_anything_is_sound(cast: Cast) -> None:
    assert invariants.check(cast.session, NOON) == []


def test_a_story_with_every_answer_is_sound(cast: Cast) -> None:
    ada, ben, cleo, dan = cast.enrol_all("Ada", "Ben", "Cleo", "Dan")
    cast.leave(ada)
    cast.expire(ben)
    cast.decline(cleo, DEADLINE)
    cast.accept(dan, DEADLINE + HOUR)
    cast.enrol("Ben", DEADLINE + HOUR)
    cast.enrol("Ada", DEADLINE + HOUR)
    cast.leave(dan, DEADLINE + 2 * HOUR)
    cast.accept(ben, DEADLINE + 3 * HOUR)
    assert invariants.check(cast.session, DEADLINE + 3 * HOUR) == []


def test_what_staff_do_with_a_reason_is_sound(cast: Cast) -> None:
    _, ben, cleo, _ = cast.enrol_all("Ada", "Ben", "Cleo", "Dan")
    overrides.skip(cast.session, ben, cast.max, NOON, REASON)
    trainings.set_capacity(cast.session, cast.pottery.id, 2, cast.max, NOON)
    waitlist.return_to_list(cast.session, cleo, cast.max, NOON, REASON)
    overrides.unskip(cast.session, ben, cast.max, NOON, REASON)
    trainings.set_capacity(cast.session, cast.pottery.id, 3, cast.max, NOON)
    waitlist.deinvite(cast.session, ben, cast.max, NOON, REASON)
    dan = cast.student("Dan").id
    enrolments.force(cast.session, cast.pottery.id, dan, cast.max, NOON, REASON)
    trainings.set_capacity(cast.session, cast.pottery.id, 1, cast.max, NOON,
                           choice=trainings.BelowTakenChoice.OVERBOOK, reason=REASON)  # fmt: skip
    assert invariants.check(cast.session, NOON) == []


def test_an_import_without_letters_is_sound(cast: Cast) -> None:
    content = f"training,email,status\npots,{cast.student('Ada').user.email},enrolled\n"
    cast.pottery.import_key = "pots"
    kind = importing.Kind.ENROLMENTS
    importing.import_file(
        cast.session, kind, content.encode(), cast.practice, CONSOLE, NOON, importing.Wishes()
    )
    assert cast.letters() == []
    assert invariants.check(cast.session, NOON) == []


@pytest.mark.parametrize("later", [False, True])
def test_a_newcomer_past_the_hard_stop_is_sound(cast: Cast, later: bool) -> None:  # WF4
    (ben,) = cast.line("Ben")
    late = START - HOUR
    cast.leave(cast.row("Ada"), late)
    assert cast.enrol("Cleo", late).status == "enrolled"
    assert cast.statuses(ben) == ["waitlist"]
    if later:  # the hard stop of then is not the one of now
        (event,) = cast.pottery.events
        new = trainings.Meeting(START + DAY, START + DAY + HOUR, None, event.id)
        trainings.reschedule(cast.session, cast.pottery.id, [new], cast.max, late)
    assert invariants.check(cast.session, late) == []


def test_a_cut_off_of_zero_is_one(cast: Cast) -> None:
    cast.line("Ben")
    cast.practice.invite_cutoff = timedelta(0)
    plant(cast, "UPDATE training SET max_participants = 2")
    assert broken(cast, START - HOUR) == {"I8"}
    cast.practice.invite_cutoff = 2 * HOUR
    assert broken(cast, START - HOUR) == set()


def test_who_is_not_told_anything_is_passed_over_and_all_is_sound(cast: Cast) -> None:
    ada, ben, cleo = cast.enrol_all("Ada", "Ben", "Cleo")
    students.opt_out(cast.session, ben.student)
    students.deactivate(cast.session, cleo.student, cast.max, NOON)
    dan = cast.enrol("Dan")
    cast.leave(ada)
    assert cast.statuses(ben, cleo, dan) == ["waitlist", "waitlist", "waitlist-invited"]
    assert invariants.check(cast.session, NOON) == []


def test_who_was_switched_off_and_passed_over_and_is_back_is_sound(cast: Cast) -> None:
    ada, ben, cleo = cast.enrol_all("Ada", "Ben", "Cleo")
    students.deactivate(cast.session, ben.student, cast.max, NOON)
    cast.leave(ada)
    students.activate(cast.session, ben.student, cast.max, NOON)
    assert cast.statuses(ben, cleo) == ["waitlist", "waitlist-invited"]
    assert invariants.check(cast.session, NOON) == []


def test_who_was_invited_too_often_is_passed_over_and_all_is_sound(cast: Cast) -> None:
    ada, ben = cast.enrol_all("Ada", "Ben")
    cast.leave(ada)
    for _ in range(2):
        cast.decline(ben)
        cast.enrol("Ben")
    cast.decline(ben)
    cast.enrol("Ben")
    cleo = cast.enrol("Cleo")
    assert cast.statuses(ben, cleo) == ["waitlist", "enrolled"]
    dan = cast.enrol("Dan")
    cast.leave(cleo)
    assert cast.statuses(ben, dan) == ["waitlist", "waitlist-invited"]
    assert invariants.check(cast.session, NOON) == []


def test_moved_deadlines_and_a_schedule_that_went_off_are_sound(cast: Cast) -> None:
    ada, ben, _ = cast.enrol_all("Ada", "Ben", "Cleo")
    cast.leave(ada)
    later = DEADLINE + DAY
    deadline_changes.give_more_time(cast.session, ben, later, cast.max, NOON, REASON)
    cast.accept(ben, DEADLINE + HOUR)
    cast.leave(ben, DEADLINE + HOUR)
    cast.schedule.active = False
    cast.session.flush()
    deadline_changes.lift(cast.session, cast.schedule, cast.max, DEADLINE + 2 * HOUR)
    assert cast.jobs() == {}
    assert invariants.check(cast.session, DEADLINE + 2 * HOUR) == []


def test_a_cancelled_training_is_sound(cast: Cast) -> None:
    ada, _, _ = cast.enrol_all("Ada", "Ben", "Cleo")
    cast.leave(ada)
    trainings.cancel(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    assert invariants.check(cast.session, NOON) == []


def test_a_line_that_was_paused_or_kept_waiting_is_sound(cast: Cast) -> None:
    ada, _ = cast.enrol_all("Ada", "Ben")
    overrides.pause_list(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    cast.leave(ada)
    assert invariants.check(cast.session, NOON) == []


def test_past_the_hard_stop_who_comes_first_is_sound(cast: Cast) -> None:
    ada, _ = cast.enrol_all("Ada", "Ben")
    last_hour = cast.pottery.events[0].start_time - HOUR
    cast.leave(ada, last_hour)
    assert cast.enrol("Ben", last_hour).status == "enrolled"
    assert invariants.check(cast.session, last_hour) == []


# --- whatever is planted is found ----------------------------------------------------------------


def invited_ben(cast: Cast) -> tuple[TrainingEnroll, TrainingEnroll]:
    """Ada has left, Ben is invited, Cleo waits."""
    ada, ben, cleo = cast.enrol_all("Ada", "Ben", "Cleo")
    cast.leave(ada)
    return ben, cleo


def oversold(cast: Cast) -> None:
    loosen(cast, "training")
    plant(cast, "UPDATE training SET max_participants = 0")


def ledger_drifts(cast: Cast) -> None:
    plant(cast, "UPDATE training SET seats_taken = 0")


def overbooked_for_nothing(cast: Cast) -> None:
    plant(cast, "UPDATE training SET overbooked_by = 2")


def an_invitation_ends_twice(cast: Cast) -> None:
    ben = cast.session.scalars(of("Ben", cast)).one()
    cast.decline(ben)
    loosen(cast, "enrolment_history")
    copy = "SELECT * FROM enrolment_history WHERE event = 'declined'"
    plant(cast, f"CREATE TEMPORARY TABLE again AS {copy}")
    plant(cast, "UPDATE again SET id = id + 1000, seq = (SELECT max(seq) + 1 FROM"
                " enrolment_history)")  # fmt: skip
    plant(cast, "INSERT INTO enrolment_history SELECT * FROM again")


def an_invitation_skips_a_number(cast: Cast) -> None:
    plant(cast, "UPDATE enrolment_history SET invite_no = 7 WHERE event = 'invited'")


def an_event_that_leads_elsewhere(cast: Cast) -> None:
    plant(cast, "UPDATE enrolment_history SET event = 'accepted' WHERE event = 'derolled'")


def an_override_without_reason(cast: Cast) -> None:
    ben = cast.session.scalars(of("Ben", cast)).one()
    waitlist.deinvite(cast.session, ben, cast.max, NOON, REASON)
    plant(cast, "UPDATE enrolment_history SET note = NULL")


def a_position_given_twice(cast: Cast) -> None:
    loosen(cast, "training_enroll")
    for table in ("training_enroll", "enrolment_history"):
        plant(cast, f"UPDATE {table} SET queue_position = 1 WHERE queue_position = 2")


def a_position_beyond_the_last(cast: Cast) -> None:
    plant(cast, "UPDATE training SET last_position = 1")


def a_gap_in_the_history(cast: Cast) -> None:
    plant(cast, "UPDATE enrolment_history SET seq = seq + 100 WHERE event = 'invited'")


def a_history_row_is_gone(cast: Cast) -> None:
    plant(cast, "DELETE FROM enrolment_history WHERE event = 'invited'")


def a_status_written_by_hand(cast: Cast) -> None:
    plant(cast, "UPDATE training_enroll SET status = 'derolled' WHERE status = 'waitlist'")


def an_enrolment_without_history(cast: Cast) -> None:
    plant(cast, "INSERT INTO training_enroll (uuid, training_id, student_id, status) VALUES"
                " ('by hand', :training, :student, 'derolled')",
          training=cast.pottery.id, student=cast.student("Dan").id)  # fmt: skip


def a_letter_was_not_promised(cast: Cast) -> None:
    plant(cast, "DELETE FROM outbox WHERE kind = 'invited'")


def a_letter_tells_of_nothing(cast: Cast) -> None:
    plant(cast, "UPDATE outbox SET key = replace(key, 'invited:', 'accepted:'), kind = 'accepted'"
                " WHERE kind = 'invited'")  # fmt: skip


def a_letter_twice(cast: Cast) -> None:
    loosen(cast, "outbox")
    plant(cast, "INSERT INTO outbox SELECT * FROM outbox WHERE kind = 'invited'")


def someone_was_passed_over(cast: Cast) -> None:
    """Cleo was invited although Ben stood before her."""
    plant(cast, "UPDATE enrolment_history SET enrolment_id = :cleo, student_id = :student,"
                " queue_position = 2 WHERE event = 'invited'",
          cleo=cast.session.scalars(of("Cleo", cast)).one().id,
          student=cast.student("Cleo").id)  # fmt: skip


def a_witness_who_lies(cast: Cast) -> None:
    """As before, and the row says that Ben could not be reached, who always could."""
    someone_was_passed_over(cast)
    ben = cast.session.scalars(of("Ben", cast)).one()
    row = sa.update(EnrolmentHistory).where(EnrolmentHistory.event == "invited")
    told = [{"enrolment": ben.uuid, "position": 1, "code": "unreachable"}]
    cast.session.execute(row.values(data={"passed_over": told}))


def someone_is_forgotten(cast: Cast) -> None:
    plant(cast, "UPDATE training SET max_participants = 2")


def a_newcomer_overtakes(cast: Cast) -> None:
    plant(cast, "UPDATE training SET max_participants = 2")
    dan = cast.student("Dan").id
    enrolments.force(cast.session, cast.pottery.id, dan, cast.max, NOON, REASON)
    plant(cast, "UPDATE enrolment_history SET event = 'enrolled' WHERE event = 'forced'")


def an_answer_after_the_deadline(cast: Cast) -> None:
    cast.accept(cast.session.scalars(of("Ben", cast)).one(), DEADLINE - SECOND)
    row = sa.update(EnrolmentHistory).where(EnrolmentHistory.event == "accepted")
    cast.session.execute(row.values(at=DEADLINE))


def an_invitation_cut_short(cast: Cast) -> None:
    cast.expire(cast.session.scalars(of("Ben", cast)).one(), DEADLINE)
    row = sa.update(EnrolmentHistory).where(EnrolmentHistory.event == "expired")
    cast.session.execute(row.values(at=DEADLINE - SECOND))


def a_student_twice_in_a_training(cast: Cast) -> None:
    loosen(cast, "training_enroll")
    plant(cast, "INSERT INTO training_enroll SELECT * FROM training_enroll WHERE status ="
                " 'waitlist'")  # fmt: skip


def an_occurrence_that_ran_twice(cast: Cast) -> None:
    run = {"schedule_id": cast.schedule.id, "item": "1", "occurrence": "2026-03-02T12:00:00Z"}
    cast.add(AutomationRun(**run, status="success"))
    loosen(cast, "automation_run")
    plant(cast, "INSERT INTO automation_run SELECT * FROM automation_run")


def a_job_is_lost(cast: Cast) -> None:
    plant(cast, "DELETE FROM apscheduler_jobs")


def a_job_is_left_over(cast: Cast) -> None:
    plant(cast, "UPDATE apscheduler_jobs SET id = replace(id, '/PROD', 'x/PROD')")


def history_of_somebody_else(cast: Cast) -> None:
    plant(cast, "UPDATE enrolment_history SET student_id = student_id + 1000")


def a_letter_about_nothing(cast: Cast) -> None:
    plant(cast, "UPDATE outbox SET enrolment_id = 123456")


def a_letter_to_nobody(cast: Cast) -> None:
    plant(cast, "UPDATE outbox SET user_id = 123456")


def of(name: str, cast: Cast) -> sa.Select[tuple[TrainingEnroll]]:
    who = cast.student(name).id
    return sa.select(TrainingEnroll).where(TrainingEnroll.student_id == who)


PLANTED: dict[Callable[[Cast], None], str] = {
    oversold: "I1",
    ledger_drifts: "I1",
    overbooked_for_nothing: "I1",
    an_invitation_ends_twice: "I2",
    an_invitation_skips_a_number: "I2",
    an_event_that_leads_elsewhere: "I3",
    an_override_without_reason: "I3",
    a_position_given_twice: "I3",
    a_position_beyond_the_last: "I3",
    a_gap_in_the_history: "I4",
    a_history_row_is_gone: "I4",
    a_status_written_by_hand: "I4",
    an_enrolment_without_history: "I4",
    a_letter_was_not_promised: "I4",
    a_letter_twice: "I5",
    a_letter_tells_of_nothing: "I6",
    someone_was_passed_over: "I7",
    a_witness_who_lies: "I7",
    someone_is_forgotten: "I8",
    a_newcomer_overtakes: "I9",
    an_answer_after_the_deadline: "I10",
    an_invitation_cut_short: "I10",
    a_student_twice_in_a_training: "I11",
    an_occurrence_that_ran_twice: "I12",
    history_of_somebody_else: "L8",
    a_letter_about_nothing: "L6",
    a_letter_to_nobody: "L6",
    a_job_is_lost: "L1",
    a_job_is_left_over: "L1",
}


@pytest.mark.parametrize("harm", PLANTED, ids=lambda harm: harm.__name__)
def test_it_finds(cast: Cast, harm: Callable[[Cast], None]) -> None:
    invited_ben(cast)
    assert broken(cast) == set()
    harm(cast)
    assert PLANTED[harm] in broken(cast)


def cancelled_late(cast: Cast) -> None:
    """Ada gives her place up, later than a policy asks for."""
    type_, ada = kind_of_training(cast), cast.enrol("Ada")
    of_type(cast, cast.pottery, type_)
    window(cast, type_, hours=8784)
    enrolments.deroll(cast.session, ada, LINK, NOON, late=True)


def test_the_letters_of_a_late_cancellation_are_sound_and_missed_or_made_up_ones_are_found(
    cast: Cast,
) -> None:
    cancelled_late(cast)
    assert broken(cast) == set()
    plant(cast, "UPDATE enrolment_history SET data = NULL WHERE event = 'derolled'")
    assert broken(cast) == {"I6"}


def test_a_late_cancellation_that_nobody_was_told_is_found(cast: Cast) -> None:
    cancelled_late(cast)
    plant(cast, "DELETE FROM outbox WHERE kind = 'late_cancellation'")
    assert broken(cast) == {"I4"}


def test_an_oversell_that_has_passed_is_found_in_the_history(cast: Cast) -> None:
    ben, cleo = invited_ben(cast)
    trainings.set_capacity(cast.session, cast.pottery.id, 2, cast.max, NOON)
    plant(cast, "UPDATE enrolment_history SET data = :data WHERE event = 'capacity'",
          data='{"from": 1, "to": 1}')  # fmt: skip
    cast.decline(ben)
    cast.decline(cleo)
    plant(cast, "UPDATE training SET max_participants = 1")
    assert "I1" in broken(cast)


def test_someone_who_waits_only_for_the_sweep_is_not_forgotten_yet(cast: Cast) -> None:
    ada, ben = cast.enrol_all("Ada", "Ben")
    overrides.skip(cast.session, ben, cast.max, NOON, REASON, until=NOON + HOUR)
    cast.leave(ada)
    assert broken(cast, NOON + HOUR + SECOND) == set()
    assert broken(cast, NOON + HOUR + 2 * MINUTE) == {"I8"}


def test_a_training_that_changes_while_it_is_read_is_not_broken(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    invited_ben(cast)
    once = iter([[invariants.Violation("I4", cast.pottery.id, "seen half-way")]])
    real = invariants._look
    monkeypatch.setattr(invariants, "_look", lambda *args: next(once, None) or real(*args))
    assert invariants.check(cast.session, NOON) == []


def test_a_violation_says_where_to_look(cast: Cast) -> None:
    invited_ben(cast)
    ledger_drifts(cast)
    (found,) = invariants.check(cast.session, NOON)
    told = "the ledger says 0 taken, 0 over; a recount 1 taken, 0 over"
    assert str(found) == f"I1 training {cast.pottery.id}: {told}"


def test_it_writes_nothing(cast: Cast) -> None:
    invited_ben(cast)
    cast.session.flush()
    statements: list[str] = []

    def seen(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    engine = cast.session.get_bind()
    sa.event.listen(engine, "before_cursor_execute", seen)
    invariants.check(cast.session, NOON)
    sa.event.remove(engine, "before_cursor_execute", seen)
    assert len(statements) > 3
    assert all(text.startswith("SELECT") for text in statements)
