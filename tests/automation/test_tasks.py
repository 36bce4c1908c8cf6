"""What the built-in tasks do when they run (waitlist WA8, WA9, WB, WS1, WS22)."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.automation.automation_base import BaseAutomationTask, Failed, Late, Skip
from app.automation.automation_tasks import (
    TASKS,
    AutomaticWaitList,
    StudentReminderTask,
    TrainerReminderTask,
)
from app.models import AutomationSchedule, BeforeAfterEnum, EventsEnum, Outbox, TrainingEvent
from app.services import trainings, waitlist
from app.services.plan import Occurrence
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, REASON, SECOND, START, Cast
from tests.statements import count_statements


def task_of(
    cast: Cast, item: str, cls: Any = AutomaticWaitList, now: Any = DEADLINE, by: Any = None
) -> Any:
    """A task as a run makes it."""
    task = cls(item, (by or cast.schedule).name)
    task.session, task.now = cast.session, now
    return task


def reminder(cast: Cast, task: Any = StudentReminderTask, **more: Any) -> AutomationSchedule:
    usual: dict[str, Any] = {"events": EventsEnum.first, "interval": 7 * DAY}
    return cast.add(
        AutomationSchedule(
            name="reminder",
            automation_class=cast.task(task.__name__),
            beforeafter=BeforeAfterEnum.before,
            **(usual | more),
        )
    )


# --- AutomaticWaitList ---------------------------------------------------------------------------


def test_at_the_deadline_the_invitation_ends_and_the_next_is_invited(cast: Cast) -> None:  # WS1
    ben, cleo = cast.offer("Ben", "Cleo")
    since = cast.last_letter()
    assert task_of(cast, ben.uuid).execute() is True
    assert cast.statuses(ben, cleo) == ["waitlist-invite-expired", "waitlist-invited"]
    assert sorted(cast.letters(since)) == [
        ("expired", "Ben"),
        ("expired_trainer", "Tess"),
        ("invited", "Cleo"),
        ("invited_trainer", "Tess"),
    ]


def test_before_the_deadline_nothing_ends(cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    assert task_of(cast, ben.uuid, now=DEADLINE - SECOND).execute() is True
    assert cast.statuses(ben, cleo) == ["waitlist-invited", "waitlist"]


def test_an_unknown_enrolment_is_logged_and_true(
    cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    before = cast.everything()
    task = task_of(cast, "no-such-uuid")
    with caplog.at_level(logging.WARNING, "app.automation"):
        assert task.execute() is True
    assert cast.everything() == before
    assert task.result == {"ended": 0, "invited": 0}
    assert "no enrolment with this id: no-such-uuid" in caplog.messages


def test_who_is_not_invited_is_logged_and_the_training_is_filled_all_the_same(
    cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    cast.accept(ben)
    cast.pottery.max_participants = 2  # written past the services: nobody filled
    task = task_of(cast, ben.uuid)
    with caplog.at_level(logging.INFO, "app.automation"):
        assert task.execute() is True
    assert cast.statuses(ben, cleo) == ["enrolled", "waitlist-invited"]
    assert f"{ben} status is not waitlist-invited" in caplog.messages
    assert task.result == {"ended": 0, "invited": 1}


def test_the_documented_log_lines_name_no_person(
    cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:  # WS22, WX24
    ben, _cleo = cast.offer("Ben", "Cleo")
    with caplog.at_level(logging.INFO, "app.automation"):
        task_of(cast, ben.uuid).execute()
    told = [(r.levelname, r.getMessage()) for r in caplog.records]
    users = [f"<User {cast.student(name).user_id}>" for name in ("Ben", "Cleo")]
    training = f"<Training {cast.pottery.id}>"
    assert told == [
        (
            "WARNING",
            f"Started AutomaticWaitList id: {ben.uuid} automation_name: waitlist_invitation_expiry",
        ),
        ("INFO", f"deinvited user: {users[0]} from training: {training}"),
        ("INFO", f"invited user: {users[1]} from training: {training}"),
    ]
    assert all(r.name.startswith("app.automation") for r in caplog.records)
    assert not [text for _, text in told if "Ben" in text or "example.org" in text]


def test_a_schedule_that_is_off_ends_nothing(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    cast.schedule.active = False
    task_of(cast, ben.uuid).execute()
    assert cast.statuses(ben) == ["waitlist-invited"]


def test_in_development_one_expiry_walks_down_the_queue(cast: Cast) -> None:  # WA9
    rows = cast.offer("Ben", "Cleo", "Dora")
    for row in rows:
        task = task_of(cast, row.uuid, now=NOON + SECOND)
        task.as_of = DEADLINE + MINUTE  # what its job was due for
        task.execute()
    assert cast.statuses(*rows) == ["waitlist-invite-expired"] * 3


def test_a_batch_is_one_training_in_the_order_of_their_ids(cast: Cast) -> None:
    several = cast.several(2, places=2)
    there = waitlist.fill_open_spots(cast.session, several.id, NOON)
    ben, cleo = cast.offer("Ben", "Cleo")
    tasks = [task_of(cast, uuid) for uuid in (there[1], ben.uuid, "nobody", cleo.uuid, there[0])]
    lists = AutomaticWaitList.batches(cast.session, tasks)
    assert [[task.id for task in some] for some in lists] == [
        [ben.uuid, cleo.uuid],
        [there[1], there[0]],
        ["nobody"],
    ]


def test_a_batch_counts_each_ending_and_all_invitations_once(cast: Cast) -> None:
    several = cast.several(6, places=3)
    uuids = waitlist.fill_open_spots(cast.session, several.id, NOON)
    tasks = [task_of(cast, uuid) for uuid in uuids]
    AutomaticWaitList.execute_batch(tasks, DEADLINE)
    assert [task.result["ended"] for task in tasks] == [1, 1, 1]
    assert sum(task.result["invited"] for task in tasks) == 3


def test_a_batch_takes_the_same_statements_for_any_number(cast: Cast) -> None:
    counted = []
    for count in (3, 100):
        several = cast.several(2 * count, places=count)
        uuids = waitlist.fill_open_spots(cast.session, several.id, NOON)
        tasks = [task_of(cast, uuid) for uuid in uuids]
        with count_statements(cast.session) as sent:
            AutomaticWaitList.execute_batch(tasks, DEADLINE)
        counted.append(len(sent))
    assert counted[0] == counted[1] <= 30


def test_an_invitation_s_occurrence_is_its_deadline(cast: Cast) -> None:
    ben, _cleo = cast.offer("Ben", "Cleo")
    planned = AutomaticWaitList.planned(cast.session, cast.schedule, NOON)
    assert planned == {ben.uuid: Occurrence(ben.uuid, DEADLINE, DEADLINE)}
    assert planned[ben.uuid].name == f"{DEADLINE:%Y-%m-%dT%H:%M:%SZ}"
    assert AutomaticWaitList.planned(cast.session, cast.schedule, NOON, ["nobody"]) == {}
    assert AutomaticWaitList.planned(cast.session, cast.schedule, NOON, [ben.uuid]) == planned
    cast.schedule.misfire_grace_time = 1
    assert AutomaticWaitList.last_moment(cast.schedule, planned[ben.uuid]) is None


# --- reminders -----------------------------------------------------------------------------------


def rows(cast: Cast, kind: str) -> list[Any]:
    return list(cast.session.scalars(sa.select(Outbox).where(Outbox.kind == kind)))


def test_each_enrolled_student_gets_one_letter(cast: Cast) -> None:
    cast.pottery.max_participants = 2
    ada, ben, _waiting = cast.enrol_all("Ada", "Ben", "Cleo")
    by = reminder(cast)
    task = task_of(cast, str(cast.pottery.id), StudentReminderTask, START - 7 * DAY, by)
    assert task.execute() == {"letters": 2}
    letters = {row.enrolment_id: row for row in rows(cast, "reminder_student")}
    assert set(letters) == {ada.id, ben.id}
    letter, item, user = letters[ada.id], cast.pottery.id, cast.student("Ada").user_id
    name = f"{START:%Y-%m-%dT%H:%M:%SZ}"
    assert letter.key == f"reminder_student:{ada.uuid}:{by.id}-{item}-{name}:email:{user}"
    assert letter.aggregate == f"{ada.uuid}/{user}"
    assert letter.payload == {
        "training": item,
        "event": None,
        "occurrence": name,
        "schedule": by.id,
    }


def test_the_trainers_who_accepted_get_one_letter_each(cast: Cast) -> None:
    by = reminder(cast, TrainerReminderTask)
    task = task_of(cast, str(cast.pottery.id), TrainerReminderTask, START - 7 * DAY, by)
    assert task.execute() == {"letters": 1}
    (letter,) = rows(cast, "reminder_trainer")
    assert letter.aggregate == f"training-{cast.pottery.id}/{cast.tess.user_id}"
    assert (letter.user_id, letter.enrolment_id) == (cast.tess.user_id, None)


@pytest.mark.parametrize("task_class", [StudentReminderTask, TrainerReminderTask])
def test_twice_is_once(cast: Cast, task_class: Any) -> None:
    cast.enrol("Ada")
    by = reminder(cast, task_class)
    task_of(cast, str(cast.pottery.id), task_class, NOON, by).execute()
    since = cast.last_letter()
    with pytest.raises(Skip):
        task_of(cast, str(cast.pottery.id), task_class, NOON + HOUR, by).execute()
    assert cast.letters(since) == []


def test_another_schedule_or_event_is_another_letter(cast: Cast) -> None:  # WQ27
    cast.enrol("Ada")
    for day in (1, 2):
        begin = START + day * DAY
        cast.add(TrainingEvent(training_id=cast.pottery.id, start_time=begin,
                               end_time=begin + HOUR))  # fmt: skip
    cast.session.expire_all()
    by = reminder(cast, events=EventsEnum.all)
    for item in StudentReminderTask.planned(cast.session, by, NOON):
        task_of(cast, item, StudentReminderTask, NOON, by).execute()
    by.name, by.events = "renamed", EventsEnum.first
    other = reminder(cast)
    task_of(cast, str(cast.pottery.id), StudentReminderTask, NOON, other).execute()
    found = rows(cast, "reminder_student")
    events = sorted(event.id for event in cast.pottery.events)
    assert sorted(row.payload["event"] or 0 for row in found) == [0, *events]


@pytest.mark.parametrize("task_class", [StudentReminderTask, TrainerReminderTask])
def test_with_nobody_to_write_to_it_is_skipped(cast: Cast, task_class: Any) -> None:
    by = reminder(cast, task_class)
    for assigned in list(cast.pottery.trainers):
        cast.session.delete(assigned)
    cast.session.flush()
    cast.student("Ada")
    with pytest.raises(Skip) as skipped:
        task_of(cast, str(cast.pottery.id), task_class, NOON, by).execute()
    assert skipped.value.reason == "nobody to write to"


def test_who_opted_out_gets_none(cast: Cast) -> None:
    cast.enrol("Ada")
    cast.wont_mail("Ada")
    by = reminder(cast)
    with pytest.raises(Skip):
        task_of(cast, str(cast.pottery.id), StudentReminderTask, NOON, by).execute()


@pytest.mark.parametrize("what", ["cancelled", "started", "deactivated", "unknown", "nonsense"])
def test_what_is_no_longer_planned_is_skipped(cast: Cast, what: str) -> None:
    cast.enrol("Ada")
    by, item, now = reminder(cast), str(cast.pottery.id), NOON
    if what == "cancelled":
        trainings.cancel(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    elif what == "deactivated":
        trainings.deactivate(cast.session, cast.pottery.id, cast.max, NOON)
    elif what == "started":
        now = START
    else:
        item = "999999" if what == "unknown" else "1:2:3/x"
    since = cast.last_letter()
    with pytest.raises(Skip):
        task_of(cast, item, StudentReminderTask, now, by).execute()
    assert cast.letters(since) == []


def test_a_moved_date_is_a_new_occurrence(cast: Cast) -> None:
    cast.enrol("Ada")
    by = reminder(cast)
    for _ in range(2):
        task_of(cast, str(cast.pottery.id), StudentReminderTask, NOON, by).execute()
        event = cast.pottery.events[0]
        event.start_time, event.end_time = event.start_time + DAY, event.end_time + DAY
    assert len(rows(cast, "reminder_student")) == 2


@pytest.mark.parametrize("count", [1, 50])
def test_reminding_takes_as_many_statements_for_any_number(cast: Cast, count: int) -> None:
    several = cast.several(count, places=count)
    for uuid in waitlist.fill_open_spots(cast.session, several.id, NOON):
        assert uuid
    for enrolment in cast.session.scalars(
        sa.select(waitlist.TrainingEnroll).where(waitlist.TrainingEnroll.training_id == several.id)
    ):
        cast.accept(enrolment)
    by = reminder(cast)
    task = task_of(cast, str(several.id), StudentReminderTask, NOON, by)
    with count_statements(cast.session) as sent:
        assert task.execute() == {"letters": count}
    assert len(sent) <= 4


def test_reminders_may_run_until_the_event_begins(cast: Cast) -> None:
    by = reminder(cast)
    occurrence = Occurrence("1", START, START - 7 * DAY)
    assert StudentReminderTask.last_moment(by, occurrence) == START
    by.misfire_grace_time = 5
    assert StudentReminderTask.last_moment(by, occurrence) == START - 7 * DAY + 15 * SECOND
    by.misfire_grace_time = None
    late = Occurrence("1", START, START)
    assert StudentReminderTask.last_moment(by, late) == START + 15 * SECOND


def test_what_may_run_how_late_is_said_by_each_class() -> None:
    assert {task.__name__: task.late for task in TASKS} == {
        "AutomaticWaitList": Late.ALWAYS,
        "DeleteTrainingTask": Late.ALWAYS,
        "SendAttendeeListTask": Late.UNTIL_EVENT,
        "StudentOpenSpotReminder": Late.UNTIL_EVENT,
        "StudentReminderTask": Late.UNTIL_EVENT,
        "TrainerReminderTask": Late.UNTIL_EVENT,
        "MinimumNumberAlert": Late.UNTIL_EVENT,
        "BirthdayTask": None,  # by the grace of its schedule
        "TrainerDigestTask": None,
        "VisitorTask": None,
        "WaitlistReminderTask": Late.UNTIL_EVENT,
    }
    assert [task.__name__ for task in TASKS if task.runs_when_gone] == ["AutomaticWaitList"]


# --- running any task ----------------------------------------------------------------------------


def noted(outcome: Any) -> tuple[list[str], Any]:
    done: list[str] = []

    class Noting(BaseAutomationTask):
        def setup(self) -> None:
            done.append("setup")

        def execute(self) -> Any:
            done.append("execute")
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        def teardown(self) -> None:
            done.append("teardown")

    return done, Noting


@pytest.mark.parametrize("outcome", [True, None, {"sent": 2}, False, RuntimeError("no"), Skip("s")])
def test_setup_execute_and_teardown_run_once_in_this_order(outcome: Any) -> None:
    done, noting = noted(outcome)
    task = noting("1", "any")
    refused = outcome is False or isinstance(outcome, Exception)
    if refused:
        with pytest.raises((Failed, RuntimeError, Skip)):
            noting.execute_batch([task], NOON)
    else:
        noting.execute_batch([task], NOON)
    assert done == ["setup", "execute", "teardown"]
    assert task.result == (outcome if isinstance(outcome, dict) else None)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (False, "execute() returned False"),
        ({"success": False, "message": "no seats"}, "no seats"),
        ({"success": False}, "no message"),
    ],
)
def test_saying_no_is_failing(outcome: Any, said: str) -> None:
    _done, noting = noted(outcome)
    with pytest.raises(Failed, match=said.replace("(", r"\(").replace(")", r"\)")):
        noting.execute_batch([noting("1", "any")], NOON)


def test_called_directly_a_task_has_the_session_and_the_clock(cast: Cast) -> None:  # RC6
    ben = cast.offer("Ben")[0]
    task = AutomaticWaitList(ben.uuid, cast.schedule.name)
    assert task.session is cast.session
    assert task.now is task.now
    assert task.as_of == task.now
    task.as_of = NOON + timedelta(days=400)
    assert task.as_of > task.now
