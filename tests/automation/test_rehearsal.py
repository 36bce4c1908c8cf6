"""A dry run of each task that follows events: it writes nothing, and a live run then does exactly
what it listed (schedules P1)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from app.automation import claims, execution, rehearsal, scheduler_ops
from app.automation.automation_tasks import (
    TASKS,
    AutomaticWaitList,
    DeleteTrainingTask,
    MinimumNumberAlert,
    SendAttendeeListTask,
    StudentOpenSpotReminder,
    StudentReminderTask,
    TrainerReminderTask,
    WaitlistReminderTask,
    delete_training,
)
from app.automation.rehearsal import RollsBack, can_rehearse, rehearse
from app.automation.rehearsed import Rehearsal
from app.automation.worker import Worker
from app.extensions import Model, db, write
from app.models import (
    AutomationSchedule,
    BeforeAfterEnum,
    EnrolmentHistory,
    Job,
    Outbox,
    Practice,
    TrainingEnroll,
)
from app.models.rules import Environment, Rules
from app.models.types import new_uuid
from tests.automation.tasks import OWN, Chore, registered
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, SECOND, START, Cast
from tests.rules import kind_of_training, limit, of_type

BEFORE, AFTER = BeforeAfterEnum.before, BeforeAfterEnum.after
SOON = NOON + HOUR
END = START + 3 * HOUR
DUE = START - 7 * DAY + HOUR  # by the clock of the practice: summer time begins between
Renew = Callable[..., Any]


def schedule(cast: Cast, task: Any, **more: Any) -> AutomationSchedule:
    """Seven days before the first event, or a day after the last end."""
    ends = task is DeleteTrainingTask
    usual = {"interval": DAY if ends else 7 * DAY, "beforeafter": AFTER if ends else BEFORE}
    of = cast.task(task.__name__)
    row = AutomationSchedule(
        name="ours", automation_class=of, **({"active_since": NOON} | usual | more)
    )
    return cast.add(row)


def all_rows() -> dict[str, list[Any]]:
    """Every row of every table."""
    tables = Model.metadata.sorted_tables
    found = {t.name: sorted(map(repr, db.session.execute(sa.select(t)))) for t in tables}
    db.session.rollback()
    return found


def dry_run(by: AutomationSchedule, now: datetime = NOON, **more: Any) -> Rehearsal:
    """What it would do; not a row of any table is another one afterwards."""
    db.session.commit()
    before = all_rows()
    found = rehearse(db.session(), by, now, **more)
    db.session.commit()  # even then: it is the rehearsal itself that takes all of it back
    assert all_rows() == before
    db.session.expire_all()
    return found


def tried(cast: Cast, by: AutomationSchedule, now: datetime = NOON, **more: Any) -> Rehearsal:
    """The same where nothing is committed."""
    cast.session.flush()
    before = cast.everything()
    found = rehearse(cast.session, by, now, **more)
    assert cast.everything() == before
    return found


def listed(found: Rehearsal) -> Counter[Any]:
    """What was listed: (what, about whom)."""
    return Counter((step.kind, step.subject_id) for step in found.steps)


def done_live(now: datetime) -> Counter[Any]:
    """What one pass of the engine at that time writes, in the same words."""
    session = db.session()
    session.commit()
    last = [session.scalar(sa.select(sa.func.max(m.id))) or 0 for m in (Outbox, EnrolmentHistory)]
    with write(session):
        jobs = claims.claim(session, now, 1000, new_uuid())
    execution.run_jobs(jobs, Worker("tester", lambda: now, lambda _line: None))
    o, h, e = Outbox, EnrolmentHistory, TrainingEnroll
    letters = session.execute(sa.select(o.kind, o.user_id).where(o.id > last[0])).all()
    moves = sa.select(h.event, e.uuid, h.training_id).outerjoin(e, e.id == h.enrolment_id)
    moved = session.execute(moves.where(h.id > last[1])).all()
    session.rollback()
    return Counter(
        [(f"letter_{kind}", user) for kind, user in letters]
        + [(f"history_{event}", uuid or training) for event, uuid, training in moved]
    )


def kinds(found: Rehearsal) -> Counter[str]:
    return Counter(step.kind for step in found.steps)


def left_out(found: Rehearsal) -> list[tuple[str, str]]:
    return [(one.item, one.reason) for one in found.left_out]


# --- one for one ---------------------------------------------------------------------------------


def an_invitation_runs_out(cast: Cast) -> AutomationSchedule:
    cast.offer("Ben", "Cleo")
    return cast.schedule


def a_place_is_free(cast: Cast) -> AutomationSchedule:
    cast.enrol("Ada")
    for name in ("Ben", "Cleo"):
        cast.student(name)
    cast.pottery.max_participants = 2
    type_ = kind_of_training(cast)
    limit(cast, type_)
    of_type(cast, cast.pottery, type_)
    return schedule(cast, StudentOpenSpotReminder)


def some_wait(cast: Cast) -> AutomationSchedule:
    cast.line("Ben", "Cleo")
    return schedule(cast, WaitlistReminderTask)


def enrolled(task: Any) -> Callable[[Cast], AutomationSchedule]:
    def arranged(cast: Cast) -> AutomationSchedule:
        cast.pottery.max_participants = 3
        cast.enrol_all("Ada", "Ben")
        return schedule(cast, task)

    return arranged


def too_few(cast: Cast) -> AutomationSchedule:
    cast.pottery.min_participants = 3
    return enrolled(MinimumNumberAlert)(cast)


def a_training_is_over(cast: Cast) -> AutomationSchedule:
    cast.line("Ben")
    return schedule(cast, DeleteTrainingTask)


CASES: dict[Any, tuple[Any, datetime, dict[str, int]]] = {
    AutomaticWaitList: (
        an_invitation_runs_out,
        DEADLINE,
        {"history_expired": 1, "letter_expired": 1, "letter_expired_trainer": 1,
         "history_invited": 1, "letter_invited": 1, "letter_invited_trainer": 1},
    ),
    StudentReminderTask: (enrolled(StudentReminderTask), DUE, {"letter_reminder_student": 2}),
    TrainerReminderTask: (enrolled(TrainerReminderTask), DUE, {"letter_reminder_trainer": 1}),
    StudentOpenSpotReminder: (
        a_place_is_free,
        DUE,
        {"letter_open_spot": 2, "history_limit-waived": 1},
    ),
    WaitlistReminderTask: (some_wait, DUE, {"letter_reminder_waitlist": 2}),
    SendAttendeeListTask: (enrolled(SendAttendeeListTask), DUE, {"letter_attendee_list": 1}),
    MinimumNumberAlert: (too_few, DUE, {"letter_minimum_alert": 1}),
    DeleteTrainingTask: (
        a_training_is_over,
        END + DAY,
        {"history_training-archived": 1, "history_archived": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("task", CASES, ids=lambda task: task.__name__)
def test_a_live_run_does_what_was_listed_one_for_one(stage: Cast, renew: Renew, task: Any) -> None:
    arrange, due, expected = CASES[task]
    by = arrange(stage)
    renew()
    ahead, found = dry_run(by, due - HOUR), dry_run(by, due)
    assert found.left_out == []
    assert kinds(found) == expected
    assert [part.due for part in found.parts] == [due]
    assert listed(ahead) == listed(found) == done_live(due)


def test_the_plan_is_of_its_time_what_changes_afterwards_is_not_in_it(
    stage: Cast, renew: Renew
) -> None:
    by = enrolled(StudentReminderTask)(stage)
    renew()
    found = dry_run(by, DUE)
    stage.enrol("Cleo", DUE)
    live = done_live(DUE)
    assert ("letter_reminder_student", stage.student("Cleo").user_id) in live - listed(found)


def test_without_the_savepoint_all_of_it_would_stay(cast: Cast) -> None:
    by = enrolled(StudentReminderTask)(cast)
    found = Rehearsal(DUE, DUE)
    rehearsal._Stage(cast.session, by, found, None).play()
    assert [kind for kind, _ in cast.letters()].count("reminder_student") == 2


def test_every_task_of_ours_that_follows_events_can_be_tried_out(stage: Cast) -> None:
    of_events = [task for task in TASKS if not task.has_plan()]
    assert [task for task in of_events if not task.only_writes_rows()] == []
    assert set(of_events) == set(CASES)


# --- what a run would leave out ------------------------------------------------------------------


def test_with_nobody_to_write_to_it_says_so(cast: Cast) -> None:
    by = schedule(cast, StudentReminderTask)
    found = tried(cast, by, DUE)
    assert left_out(found) == [(str(cast.pottery.id), "nobody to write to")]
    assert str(found.left_out[0].status) == "skipped"


def test_what_is_too_late_by_now_is_left_out(stage: Cast, renew: Renew) -> None:
    by = enrolled(StudentReminderTask)(stage)
    renew()
    found = dry_run(by, START + SECOND)
    assert (found.parts, left_out(found)) == ([], [(str(stage.pottery.id), "too-late")])
    assert done_live(START + SECOND) == {}


def test_what_was_due_before_it_was_switched_on_is_left_out(cast: Cast) -> None:
    by = enrolled(StudentReminderTask)(cast)
    by.active_since = DUE + HOUR
    found = tried(cast, by, DUE + 2 * HOUR)
    assert (found.parts, left_out(found)) == (
        [], [(str(cast.pottery.id), "before-switched-on")],
    )  # fmt: skip


def test_what_ended_before_anyone_confirmed_it_is_not_put_away(cast: Cast) -> None:
    by = a_training_is_over(cast)
    by.active_since = END + HOUR
    found = tried(cast, by, END + 2 * DAY)
    assert left_out(found) == [(str(cast.pottery.id), "before-switched-on")]


def test_what_waits_for_its_turn_is_named(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    by, other = a_training_is_over(cast), cast.training("Weaving", start=START + HOUR)
    monkeypatch.setattr(delete_training, "MOST_AT_ONCE", 1)
    found = tried(cast, by, END + 2 * DAY)
    assert [part.items for part in found.parts] == [(str(cast.pottery.id),)]
    assert left_out(found) == [(str(other.id), "waits-for-its-turn")]


def test_what_has_run_is_no_part_of_it(stage: Cast, renew: Renew) -> None:
    by = enrolled(StudentReminderTask)(stage)
    renew()
    assert done_live(DUE)
    found = dry_run(by, DUE + HOUR)
    assert (found.parts, found.left_out) == ([], [])


def test_a_schedule_that_rests_is_tried_out_as_if_it_went_on_now(stage: Cast, renew: Renew) -> None:
    by = enrolled(StudentReminderTask)(stage)
    by.active = False
    renew()
    found = dry_run(by, SOON)
    assert found.off == "schedule-off"
    assert kinds(found) == {"letter_reminder_student": 2}
    assert stage.jobs() == {}
    by.active = True
    renew(SOON)
    assert listed(found) == done_live(DUE)


def test_one_that_makes_no_sense_says_why(cast: Cast) -> None:
    by = schedule(cast, StudentReminderTask, beforeafter=AFTER)
    found = tried(cast, by)
    assert (found.inert, found.parts) == ("a reminder runs before its event", [])


def test_what_is_being_done_at_this_moment_is_left_out(cast: Cast) -> None:
    by = enrolled(StudentReminderTask)(cast)
    scheduler_ops.renew_one(cast.session, by, by.name, NOON)
    cast.session.execute(sa.update(Job).values(claim=new_uuid()))
    assert left_out(tried(cast, by, DUE)) == [(str(cast.pottery.id), "running")]


def test_in_development_all_of_it_is_due_at_once(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    cast.session.info["rules"] = Rules(environment=Environment.DEVELOPMENT)
    found = tried(cast, cast.schedule, ahead=MINUTE)
    assert [part.items for part in found.parts] == [(ben.uuid,)]
    assert kinds(found)["history_expired"] == 1


def test_it_looks_as_far_ahead_as_it_is_told(cast: Cast) -> None:
    by = enrolled(StudentReminderTask)(cast)
    assert tried(cast, by, NOON, ahead=DAY).steps == []
    assert len(tried(cast, by, NOON, ahead=26 * DAY).steps) == 2


def test_it_tries_out_so_many_and_says_how_many_it_left(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    by = enrolled(StudentReminderTask)(cast)
    for n in range(3):
        cast.training(f"Weaving {n}", start=START + HOUR)
    monkeypatch.setattr(rehearsal, "MOST", 1)
    found = tried(cast, by)
    assert (len(found.parts), found.cut) == (1, 3)
    monkeypatch.setattr(rehearsal, "MOST", 50)
    monkeypatch.setattr(rehearsal, "SECONDS", -1.0)
    found = tried(cast, by)
    assert (len(found.parts), found.cut) == (0, 4)


def test_two_invitations_of_a_training_are_dealt_with_together(stage: Cast, renew: Renew) -> None:
    stage.pottery.max_participants = 2
    rows = stage.enrol_all("Ada", "Ben", "Cleo", "Dora", "Emil")
    for row in rows[:2]:
        stage.leave(row)
    renew()
    found = dry_run(stage.schedule, DEADLINE)
    assert [len(part.items) for part in found.parts] == [2]
    assert kinds(found)["history_expired"] == 2
    assert kinds(found)["history_invited"] == 1
    assert listed(found) == done_live(DEADLINE)


def test_of_a_schedule_of_all_practices_each_sees_its_own(cast: Cast) -> None:
    by = enrolled(StudentReminderTask)(cast)
    theirs = cast.add(Practice(name="Wool & Co", shortname="wool"))
    weaving = cast.training("Weaving")
    weaving.practice_id = theirs.id
    assert len(tried(cast, by, practice_id=cast.practice.id).parts) == 1
    found = tried(cast, by, practice_id=theirs.id)
    assert left_out(found) == [(str(weaving.id), "nobody to write to")]


# --- a task of one's own -------------------------------------------------------------------------


class Rows(Chore):
    """It says of itself that it writes rows, and nothing else."""

    only_rows = True
    misfire_grace_time = None


class MoreThanRows(Rows):
    """It adds to another, and says nothing of itself."""


@pytest.fixture
def chores(stage: Cast, app: Flask) -> Iterator[AutomationSchedule]:
    stage.session.commit()
    OWN.create_all(db.engine)
    with registered(Rows, MoreThanRows):
        Chore.things = {"a": NOON, "b": NOON}
        of = stage.task("Rows")
        yield stage.add(AutomationSchedule(name="chores", automation_class=of, interval=0 * DAY,
                                           active_since=NOON - DAY))  # fmt: skip


def test_who_says_nothing_of_its_work_is_not_tried_out(
    stage: Cast, chores: AutomationSchedule
) -> None:
    assert can_rehearse(chores)
    chores.automation_class = stage.task("MoreThanRows")
    assert not can_rehearse(chores)


def test_an_item_that_fails_stops_no_other(chores: AutomationSchedule, renew: Renew) -> None:
    def fail(_task: Any) -> None:
        raise ValueError("no clay")

    Chore.acts = {"a": fail}
    found = dry_run(chores)
    assert left_out(found) == [("a", "ValueError: no clay")]
    assert [part.items for part in found.parts] == [("b",)]


def test_a_task_that_rolls_back_is_found_out(chores: AutomationSchedule, stage: Cast) -> None:
    Chore.acts = {"a": lambda task: task.session.rollback()}
    stage.session.commit()
    before = all_rows()
    with pytest.raises(RollsBack):
        rehearse(db.session(), chores, NOON)
    db.session.rollback()
    assert all_rows() == before


def test_nothing_is_logged_of_what_did_not_happen(
    stage: Cast, renew: Renew, caplog: pytest.LogCaptureFixture
) -> None:
    by = an_invitation_runs_out(stage)
    renew()
    caplog.set_level(logging.INFO)
    caplog.clear()
    dry_run(by, DEADLINE)
    assert caplog.messages == []
    done_live(DEADLINE)
    assert [said for said in caplog.messages if said.startswith("deinvited")] != []
