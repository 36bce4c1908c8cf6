"""Announcing, asking, listing, putting away: who is written to, what is guarded (waitlist WB)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from app.automation import schedules
from app.automation.automation_base import Skip
from app.automation.automation_tasks import (
    DeleteTrainingTask,
    MinimumNumberAlert,
    SendAttendeeListTask,
    StudentOpenSpotReminder,
    WaitlistReminderTask,
    delete_training,
)
from app.extensions import db
from app.models import (
    AutomationRun,
    AutomationSchedule,
    BeforeAfterEnum,
    EventsEnum,
    Job,
    Outbox,
    Practice,
    Student,
    TrainingEvent,
    UserSettings,
)
from app.models.user import TrainerLetters
from app.services import overrides, students, trainings
from app.services.letter_facts import Untrue
from app.services.letter_reading import gather
from app.services.plan import Occurrence
from app.services.policies import LimitReached
from tests.automation.tasks import Engine
from tests.cast import DAY, HOUR, NOON, REASON, SECOND, START, Cast
from tests.rules import kind_of_training, limit, of_type
from tests.statements import count_statements

BEFORE, AFTER = BeforeAfterEnum.before, BeforeAfterEnum.after
END = START + 3 * HOUR
DUE = START - 7 * DAY + HOUR  # seven days by the clock of the practice: summer time begins between
LETTERS = (StudentOpenSpotReminder, WaitlistReminderTask, SendAttendeeListTask)


def schedule(cast: Cast, task: Any, **more: Any) -> AutomationSchedule:
    """Seven days before the first event, or after the last end."""
    ends = task is DeleteTrainingTask
    usual = {"interval": 7 * DAY, "beforeafter": AFTER if ends else BEFORE, "active_since": NOON}
    of = cast.task(task.__name__)
    return cast.add(AutomationSchedule(name="ours", automation_class=of, **(usual | more)))


def run(cast: Cast, task: Any, by: AutomationSchedule, now: datetime = NOON) -> Any:
    """As the engine runs it, for Pottery."""
    one = task(str(cast.pottery.id), by.name)
    one.session, one.now = cast.session, now
    return one.execute()


def why_skipped(cast: Cast, task: Any, by: AutomationSchedule, now: datetime = NOON) -> str:
    with pytest.raises(Skip) as skipped:
        run(cast, task, by, now)
    return skipped.value.reason


def letters(cast: Cast, kind: str) -> list[str]:
    """Who is written to, by first name."""
    return sorted(name for letter, name in cast.letters() if letter == kind)


def wants(cast: Cast, name: str, **settings: Any) -> None:
    cast.add(UserSettings(user_id=cast.student(name).user_id, **settings))
    cast.session.expire_all()


# --- places that are free ------------------------------------------------------------------------


def test_a_free_place_is_announced_to_who_could_take_it(cast: Cast) -> None:
    cast.pottery.max_participants = 3
    cast.enrol_all("Ada", "Ben", "Cleo")
    cast.leave(cast.row("Cleo"))
    for name in ("Dora", "Emil", "Fay", "Gus", "Hal", "Ira"):
        cast.student(name)
    wants(cast, "Emil", msg_last_min_spots=False)
    wants(cast, "Fay", msg_transactional_emails=False)
    wants(cast, "Ira", msg_reminders=False)
    students.deactivate(cast.session, cast.student("Gus"), cast.max, NOON)
    cast.student("Hal").user.active = False
    by = schedule(cast, StudentOpenSpotReminder)
    assert run(cast, StudentOpenSpotReminder, by) == {"invited": 0, "letters": 3}
    assert letters(cast, "open_spot") == ["Cleo", "Dora", "Ira"]


def test_who_declined_hears_no_more_of_it(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    cast.decline(ben)
    by = schedule(cast, StudentOpenSpotReminder)
    run(cast, StudentOpenSpotReminder, by)
    assert letters(cast, "open_spot") == ["Ada"]


def test_students_of_another_practice_hear_nothing(cast: Cast) -> None:
    theirs = cast.add(Practice(name="Wool & Co", shortname="wool"))
    cast.add(Student(user_id=cast.user("Zoe").id, practice_id=theirs.id))
    by = schedule(cast, StudentOpenSpotReminder)
    assert why_skipped(cast, StudentOpenSpotReminder, by) == "nobody to write to"


def test_the_line_comes_first(cast: Cast) -> None:
    ben = cast.line("Ben")[0]
    cast.pottery.max_participants = 2  # written past the services: nobody filled
    by = schedule(cast, StudentOpenSpotReminder)
    assert why_skipped(cast, StudentOpenSpotReminder, by) == "no place is free"
    assert cast.statuses(ben) == ["waitlist-invited"]


def test_a_place_that_others_wait_for_is_not_announced(cast: Cast) -> None:
    cast.line("Ben")
    overrides.pause_list(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    cast.leave(cast.row("Ada"))
    by = schedule(cast, StudentOpenSpotReminder)
    why = why_skipped(cast, StudentOpenSpotReminder, by)
    assert why == "the free places are for who waits"
    assert letters(cast, "open_spot") == []


@pytest.mark.parametrize(
    ("config", "waived"), [({}, True), ({"waive_booking_limit": True}, True),
                           ({"waive_booking_limit": False}, False)],
)  # fmt: skip
def test_an_announced_place_is_beyond_booking_limits_unless_the_schedule_says_so(
    cast: Cast, config: dict[str, Any], waived: bool
) -> None:
    type_ = kind_of_training(cast)
    limit(cast, type_, max=1)
    of_type(cast, cast.pottery, type_)
    cast.enrol("Ada", training=of_type(cast, cast.training("Weaving"), type_))
    cast.student("Ben")
    by = schedule(cast, StudentOpenSpotReminder, task_config=config)
    run(cast, StudentOpenSpotReminder, by)
    # Nobody is told of a place that they would be refused.
    assert letters(cast, "open_spot") == (["Ada", "Ben"] if waived else ["Ben"])
    assert (cast.pottery.limit_waived_at == NOON) is waived
    assert cast.history() == (["limit-waived"] if waived else [])
    if waived:
        assert cast.last_event("limit-waived").actor == f"schedule:{by.id}"
        assert cast.enrol("Ada").status == "enrolled"
    else:
        with pytest.raises(LimitReached):
            cast.enrol("Ada")
    assert cast.pottery.apply_policies  # WX15


def test_a_place_announced_to_nobody_waives_no_limit(cast: Cast) -> None:
    type_ = kind_of_training(cast)
    limit(cast, type_)
    of_type(cast, cast.pottery, type_)
    by = schedule(cast, StudentOpenSpotReminder)
    assert why_skipped(cast, StudentOpenSpotReminder, by) == "nobody to write to"
    assert cast.pottery.limit_waived_at is None


def test_announcing_takes_as_many_statements_for_any_number(cast: Cast) -> None:
    by, counted = schedule(cast, StudentOpenSpotReminder), []
    for count in (2, 40):
        cast.several(count)  # students whom Pottery is news to
        cast.session.execute(sa.delete(Outbox))
        with count_statements(cast.session) as sent:
            run(cast, StudentOpenSpotReminder, by)
        counted.append(len(sent))
    assert counted[0] == counted[1] <= 12


# --- too few -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minimum", "enrolled", "why"),
    [
        (None, 0, "it has no minimum"),
        (0, 0, "it has no minimum"),
        (2, 2, "enough are enrolled"),
        (2, 3, "enough are enrolled"),
        (2, 1, None),
        (1, 0, None),
    ],
)
def test_trainers_are_told_if_fewer_are_enrolled_than_it_needs(
    cast: Cast, minimum: int | None, enrolled: int, why: str | None
) -> None:
    cast.pottery.max_participants, cast.pottery.min_participants = 3, minimum
    cast.enrol_all(*("Ada", "Ben", "Cleo")[:enrolled])
    by = schedule(cast, MinimumNumberAlert)
    if why is None:
        assert run(cast, MinimumNumberAlert, by) == {"letters": 1}
        again = why_skipped(cast, MinimumNumberAlert, by)
        assert again == "nobody to write to"  # once for this occurrence
    else:
        assert why_skipped(cast, MinimumNumberAlert, by) == why
    assert letters(cast, "minimum_alert") == ([] if why else ["Tess"])


def test_who_waits_or_is_asked_does_not_make_it_enough(cast: Cast) -> None:
    cast.pottery.min_participants = 1
    cast.offer("Ben", "Cleo")
    by = schedule(cast, MinimumNumberAlert)
    assert run(cast, MinimumNumberAlert, by) == {"letters": 1}


@pytest.mark.parametrize(
    ("how", "told"),
    [(TrainerLetters.EACH, 1), (TrainerLetters.DIGEST, 1), (TrainerLetters.CENTRE, 0)],
)
def test_that_alert_waits_for_no_digest(cast: Cast, how: TrainerLetters, told: int) -> None:
    cast.add(UserSettings(user_id=cast.tess.user_id, trainer_letters=how))
    cast.pottery.min_participants = 1
    by = schedule(cast, MinimumNumberAlert)
    if told:
        assert run(cast, MinimumNumberAlert, by) == {"letters": told}
    else:
        assert why_skipped(cast, MinimumNumberAlert, by) == "nobody to write to"


def test_an_alert_is_not_sent_once_enough_came_or_it_is_cancelled(cast: Cast) -> None:
    cast.pottery.min_participants = 1
    run(cast, MinimumNumberAlert, schedule(cast, MinimumNumberAlert))
    (row,) = cast.session.scalars(sa.select(Outbox).where(Outbox.kind == "minimum_alert"))
    assert not isinstance(gather(cast.session, [row], NOON)[row.id], Untrue)
    assert gather(cast.session, [row], START)[row.id] == Untrue("it has started")
    cast.enrol("Ada")
    assert gather(cast.session, [row], NOON)[row.id] == Untrue("enough are enrolled by now")
    trainings.cancel(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    assert gather(cast.session, [row], NOON)[row.id] == Untrue("the training is cancelled")


# --- who waits -----------------------------------------------------------------------------------


def test_each_who_waits_is_asked_whether_they_still_do(cast: Cast) -> None:
    cast.line("Ben", "Cleo", "Dora", "Emil", "Fay")
    wants(cast, "Cleo", msg_reminders=False)
    wants(cast, "Dora", msg_transactional_emails=False)
    students.deactivate(cast.session, cast.student("Emil"), cast.max, NOON)
    by = schedule(cast, WaitlistReminderTask)
    assert run(cast, WaitlistReminderTask, by) == {"letters": 2}
    assert letters(cast, "reminder_waitlist") == ["Ben", "Fay"]


@pytest.mark.parametrize(
    ("now", "seconds"), [(NOON, 48 * 3600), (START - 3 * HOUR, 3600), (START - HOUR, None)]
)
def test_it_says_how_long_an_invitation_would_be_open(
    cast: Cast, now: datetime, seconds: int | None
) -> None:
    cast.line("Ben")
    by = schedule(cast, WaitlistReminderTask)
    run(cast, WaitlistReminderTask, by, now)
    (letter,) = cast.session.scalars(sa.select(Outbox).where(Outbox.kind == "reminder_waitlist"))
    assert letter.payload["answer_seconds"] == seconds


def test_who_is_invited_is_asked_by_the_invitation_alone(cast: Cast) -> None:
    cast.offer("Ben")
    by = schedule(cast, WaitlistReminderTask)
    assert why_skipped(cast, WaitlistReminderTask, by) == "nobody to write to"


# --- who comes -----------------------------------------------------------------------------------


def test_the_trainers_get_the_list_once_for_each_event(cast: Cast) -> None:
    cast.enrol("Ada")
    begin = START + DAY
    cast.add(TrainingEvent(training_id=cast.pottery.id, start_time=begin, end_time=begin + HOUR))
    cast.session.expire_all()
    by = schedule(cast, SendAttendeeListTask, events=EventsEnum.all)
    items = SendAttendeeListTask.planned(cast.session, by, NOON)
    for item in items:
        task = SendAttendeeListTask(item, by.name)
        task.session, task.now = cast.session, NOON
        assert task.execute() == {"letters": 1}
    assert len(items) == 2
    assert letters(cast, "attendee_list") == ["Tess", "Tess"]


def test_a_list_of_nobody_is_not_sent(cast: Cast) -> None:
    cast.offer("Ben")
    by = schedule(cast, SendAttendeeListTask)
    assert why_skipped(cast, SendAttendeeListTask, by) == "nobody is enrolled"


def test_a_trainer_who_wants_no_letters_gets_no_list(cast: Cast) -> None:
    cast.enrol("Ada")
    cast.add(UserSettings(user_id=cast.tess.user_id, trainer_letters=TrainerLetters.CENTRE))
    by = schedule(cast, SendAttendeeListTask)
    assert why_skipped(cast, SendAttendeeListTask, by) == "nobody to write to"


# --- all three letters ---------------------------------------------------------------------------


def ready(cast: Cast, task: Any) -> AutomationSchedule:
    """Somebody is there to be written to; the schedule."""
    if task is StudentOpenSpotReminder:
        cast.student("Ada")
    else:
        cast.enrol_all("Ada", "Ben")
    return schedule(cast, task)


@pytest.mark.parametrize("task", LETTERS)
def test_nobody_gets_it_twice_but_anew_for_a_new_date(cast: Cast, task: Any) -> None:
    by = ready(cast, task)
    assert run(cast, task, by)["letters"] == 1
    assert why_skipped(cast, task, by, NOON + HOUR) == "nobody to write to"
    event = cast.pottery.events[0]
    event.start_time, event.end_time = event.start_time + DAY, event.end_time + DAY
    assert run(cast, task, by)["letters"] == 1


@pytest.mark.parametrize("task", LETTERS)
@pytest.mark.parametrize("what", ["cancelled", "closed", "started", "archived"])
def test_what_is_over_or_closed_is_skipped(cast: Cast, task: Any, what: str) -> None:
    by, now = ready(cast, task), START if what == "started" else NOON
    if what == "cancelled":
        trainings.cancel(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    elif what == "closed":
        trainings.deactivate(cast.session, cast.pottery.id, cast.max, NOON)
    elif what == "archived":
        now = END + DAY
        trainings.archive(cast.session, cast.pottery.id, cast.max, now)
    since = cast.last_letter()
    why = why_skipped(cast, task, by, now)
    assert why in ("its event has begun", "nothing planned for it")
    assert cast.letters(since) == []


@pytest.mark.parametrize("task", LETTERS)
def test_they_may_run_until_the_event_they_count_from(cast: Cast, task: Any) -> None:
    by = schedule(cast, task)
    assert task.last_moment(by, Occurrence("1", START, START - 7 * DAY)) == START
    by.misfire_grace_time = 60
    early = Occurrence("1", START, START - 7 * DAY)
    assert task.last_moment(by, early) == early.due + 60 * SECOND


@pytest.mark.parametrize("task", [StudentOpenSpotReminder, WaitlistReminderTask])
def test_what_is_about_the_whole_course_counts_from_its_first_start(cast: Cast, task: Any) -> None:
    begin = START + DAY
    cast.add(TrainingEvent(training_id=cast.pottery.id, start_time=begin, end_time=begin + HOUR))
    by = schedule(cast, task, events=EventsEnum.all)
    planned = task.planned(cast.session, by, NOON)
    assert planned == {str(cast.pottery.id): Occurrence(str(cast.pottery.id), START, DUE)}


# --- putting away --------------------------------------------------------------------------------


def test_what_is_over_is_put_away_and_who_waits_leaves_silently(cast: Cast) -> None:  # WE2 14
    cast.pottery.max_participants = 2
    ada, ben, cleo = cast.enrol_all("Ada", "Ben", "Cleo")
    cast.leave(ben)  # Cleo is invited
    dora = cast.enrol("Dora")
    by, since = schedule(cast, DeleteTrainingTask), cast.last_letter()
    assert run(cast, DeleteTrainingTask, by, END + 7 * DAY) == {"archived": 1}
    assert cast.statuses(ada, cleo, dora) == ["enrolled", "derolled", "derolled"]
    assert cast.letters(since) == []
    assert cast.jobs() == {}
    assert cast.pottery.archived_at == END + 7 * DAY
    told = [(e.event, e.actor, e.reason) for e in cast.events()][-3:]
    actor = f"schedule:{by.id}"
    assert told == [
        ("training-archived", actor, None),
        ("archived", actor, "archived"),
        ("archived", actor, "archived"),
    ]
    assert cast.ledger()[0] == 1


def test_the_half_way_course_stays(cast: Cast) -> None:  # WQ29
    later = START + 20 * DAY
    cast.add(TrainingEvent(training_id=cast.pottery.id, start_time=later, end_time=later + HOUR))
    cast.session.expire_all()
    by, before = schedule(cast, DeleteTrainingTask), cast.everything()
    assert why_skipped(cast, DeleteTrainingTask, by, END + 8 * DAY) == "it is not over"
    assert cast.everything() == before


def test_dates_that_move_at_the_last_moment_are_respected(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    by, now = schedule(cast, DeleteTrainingTask), END + 8 * DAY
    one = Occurrence(str(cast.pottery.id), END, END + 7 * DAY)
    monkeypatch.setattr(DeleteTrainingTask, "occurrence", lambda _self, _schedule: one)
    cast.pottery.events[0].end_time = now + SECOND
    assert why_skipped(cast, DeleteTrainingTask, by, now) == "it is not over"
    assert cast.pottery.archived_at is None


def test_it_is_put_away_once_and_can_come_back(cast: Cast) -> None:
    cast.enrol("Ada")
    by, now = schedule(cast, DeleteTrainingTask), END + 7 * DAY
    run(cast, DeleteTrainingTask, by, now)
    assert why_skipped(cast, DeleteTrainingTask, by, now) == "nothing planned for it"
    for _ in range(2):
        trainings.restore(cast.session, cast.pottery.id, cast.max, now)
    assert cast.pottery.archived_at is None
    assert cast.history()[-2:] == ["training-archived", "training-restored"]
    assert cast.statuses(cast.row("Ada")) == ["enrolled"]


def test_putting_away_is_never_too_late_and_never_hurried(cast: Cast) -> None:
    by = schedule(cast, DeleteTrainingTask)
    assert DeleteTrainingTask.last_moment(by, Occurrence("1", END, END + 7 * DAY)) is None
    assert DeleteTrainingTask.destructive


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"beforeafter": BEFORE}, "a training is archived after its end"),
        ({"interval": DAY - SECOND}, "a training is archived a day after its end at the soonest"),
    ],
)
def test_a_schedule_that_would_put_away_too_soon_is_refused(
    cast: Cast, wrong: dict[str, Any], why: str
) -> None:  # WA7
    by = schedule(cast, DeleteTrainingTask, **wrong)
    assert DeleteTrainingTask.why_inert(by) == why
    with pytest.raises(schedules.WrongSide):
        schedules.save(cast.session, by, by.name, None, NOON)


@pytest.mark.parametrize(
    ("task", "config"),
    [
        (DeleteTrainingTask, {"confirmed_until": "soon"}),
        (DeleteTrainingTask, {"confirmed_until": "2026-03-01T12:00:00"}),
        (DeleteTrainingTask, {"everything": True}),
        (StudentOpenSpotReminder, {"waive_booking_limit": "perhaps"}),
        (StudentOpenSpotReminder, {"unknown": 1}),
    ],
)
def test_a_config_that_says_nothing_we_know_is_refused(
    cast: Cast, task: Any, config: dict[str, Any]
) -> None:
    by = schedule(cast, task, task_config=config)
    with pytest.raises(schedules.BadConfig):
        schedules.save(cast.session, by, by.name, None, NOON)


def past(cast: Cast, count: int, end: datetime) -> list[int]:
    """Trainings that ended then."""
    made = [cast.training(f"Past {n}", start=end - 3 * HOUR) for n in range(count)]
    return [training.id for training in made]


def test_of_many_that_are_due_a_run_takes_a_few(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete_training, "MOST_AT_ONCE", 2)
    since = NOON - 60 * DAY
    by = schedule(cast, DeleteTrainingTask, active_since=since)
    newer, older = past(cast, 2, NOON - 10 * DAY), past(cast, 2, NOON - 20 * DAY)
    coming = str(cast.pottery.id)
    first = DeleteTrainingTask.planned(cast.session, by, NOON)
    assert set(first) == {*map(str, older), coming}
    ended = first[str(older[0])]
    cast.add(
        AutomationRun(
            schedule_id=by.id, item=ended.item, occurrence=ended.name, status="skipped",
            finished_at=NOON,
        )
    )  # fmt: skip
    second = DeleteTrainingTask.planned(cast.session, by, NOON)
    assert set(second) == {*map(str, older), str(newer[0]), coming}
    all_of_them = [str(id_) for id_ in (*older, *newer)]
    assert set(DeleteTrainingTask.planned(cast.session, by, NOON, all_of_them)) == set(all_of_them)


# --- by the engine -------------------------------------------------------------------------------


@pytest.fixture
def engine(app: Flask, stage: Cast) -> Engine:
    """The real one, on the database of the stage."""
    stage.session.commit()  # it makes a table
    return Engine(app)


@pytest.mark.parametrize(
    ("task", "letter"),
    [
        (StudentOpenSpotReminder, "open_spot"),
        (WaitlistReminderTask, "reminder_waitlist"),
        (SendAttendeeListTask, "attendee_list"),
    ],
)
def test_the_engine_writes_each_letter_once(
    stage: Cast, renew: Callable[..., Any], engine: Engine, task: Any, letter: str
) -> None:
    ready(stage, task)
    assert renew().planned == 1
    for now in (DUE - SECOND, DUE, DUE + DAY):
        engine.tick(now)
        renew(now)
    assert engine.statuses() == {str(stage.pottery.id): "success"}
    assert len(letters(stage, letter)) == 1
    assert stage.session.scalars(sa.select(Job.id)).all() == []


def test_the_engine_keeps_what_was_filled_when_nothing_is_left_to_announce(
    stage: Cast, renew: Callable[..., Any], engine: Engine
) -> None:
    ben = stage.line("Ben")[0]
    schedule(stage, StudentOpenSpotReminder)
    stage.pottery.max_participants = 2  # written past the services: nobody filled
    renew()
    for task_run in range(2):
        engine.tick(DUE + task_run * SECOND)
    run_ = engine.runs()[str(stage.pottery.id)]
    assert (str(run_.status), run_.reason) == ("skipped", "no place is free")
    assert stage.statuses(ben) == ["waitlist-invited"]


def test_the_engine_misses_what_comes_too_late_for_a_letter_and_never_an_archive(
    stage: Cast, renew: Callable[..., Any], engine: Engine
) -> None:
    stage.enrol_all("Ada", "Ben")
    schedule(stage, WaitlistReminderTask).name = "late"
    schedule(stage, DeleteTrainingTask)
    renew()
    engine.tick(END + 8 * DAY)
    with engine.app.app_context():
        r = AutomationRun
        runs = db.session.execute(sa.select(AutomationSchedule.name, r.status).join(r.schedule))
        assert {name: str(status) for name, status in runs} == {"late": "missed", "ours": "success"}
    stage.session.expire_all()
    assert stage.pottery.archived_at == END + 8 * DAY
    assert stage.statuses(stage.row("Ada"), stage.row("Ben")) == ["enrolled", "derolled"]
    assert letters(stage, "reminder_waitlist") == []


def test_the_engine_leaves_alone_what_ended_before_the_schedule_until_it_is_confirmed(
    stage: Cast, renew: Callable[..., Any], engine: Engine
) -> None:  # WQ29
    old = past(stage, 3, NOON - 30 * DAY)
    by = schedule(stage, DeleteTrainingTask, active_since=None)
    renew()
    engine.tick(NOON + HOUR)
    assert engine.runs() == {}
    by.task_config = {"confirmed_until": NOON.isoformat()}
    assert renew(NOON + HOUR).planned == 3
    engine.tick(NOON + HOUR)
    assert engine.statuses() == {str(id_): "success" for id_ in old}


def test_twenty_trainings_are_put_away_in_transactions_of_their_own(
    stage: Cast, renew: Callable[..., Any], engine: Engine
) -> None:
    schedule(stage, DeleteTrainingTask, active_since=NOON - 60 * DAY)
    old = past(stage, 20, NOON - 30 * DAY)
    renew()
    lines = engine.tick(NOON)
    assert sum(line.counters["archived"] for line in lines) == 20
    assert engine.statuses() == {str(id_): "success" for id_ in old}
