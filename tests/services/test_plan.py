"""The plan: which jobs a training and an invitation have, and when (waitlist WA3, WA4, WA9, L1)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from app.models import (
    AutomationRun,
    AutomationSchedule,
    BeforeAfterEnum,
    EventsEnum,
    Job,
    Practice,
    Training,
    TrainingEvent,
    TrainingType,
)
from app.models.rules import Environment, Rules
from app.services import plan, trainings, waitlist
from app.services.plan import Anchor, Occurrence
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, REASON, SECOND, START, Cast

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
BEFORE, AFTER = BeforeAfterEnum.before, BeforeAfterEnum.after


@pytest.fixture
def development(cast: Cast) -> Any:
    """The same session under ENVIRONMENT=DEVELOPMENT."""
    production = cast.session.info.get("rules", Rules())
    cast.session.info["rules"] = replace(production, environment=Environment.DEVELOPMENT)
    yield
    cast.session.info["rules"] = production


def schedule(
    cast: Cast,
    name: str = "reminder",
    task: str = "StudentReminderTask",
    events: EventsEnum | None = EventsEnum.first,
    interval: timedelta = 7 * DAY,
    side: BeforeAfterEnum = BEFORE,
    **more: Any,
) -> AutomationSchedule:
    """A schedule of a training task, seven days before the first event unless told."""
    return cast.add(
        AutomationSchedule(
            name=name,
            automation_class=cast.task(task),
            beforeafter=side,
            events=events,
            interval=interval,
            **more,
        )
    )


def days(cast: Cast, *starts: datetime) -> Training:
    """An open training that meets at these instants, three hours each."""
    training = cast.training("Glass", start=None)
    for start in starts:
        training.events.append(TrainingEvent(start_time=start, end_time=start + 3 * HOUR))
    cast.session.flush()
    return training


def planned(cast: Cast, training: Training, now: datetime = NOON) -> dict[str, datetime]:
    """The jobs of all, once those of this training were brought in line."""
    plan.training_jobs(cast.session, training, now)
    return cast.jobs()


def run(cast: Cast, by: AutomationSchedule, item: str, at: datetime, **more: Any) -> None:
    """Put an occurrence into the ledger."""
    name = Occurrence(item, at, at).name
    cast.add(AutomationRun(schedule_id=by.id, item=item, occurrence=name, **more))


# --- what a job looks like (WA4) -----------------------------------------------------------------


def test_an_id_has_three_segments() -> None:
    assert plan.job_id("r", "7", Environment.PRODUCTION) == "r/7/PRODUCTION"
    assert plan.job_id("r", "7:3", Environment.DEVELOPMENT) == "r/7:3/DEVELOPMENT"


def test_a_job_is_plain_json_that_names_item_schedule_and_class(cast: Cast) -> None:
    schedule(cast)
    planned(cast, cast.pottery)
    job = cast.session.scalars(sa.select(Job)).one()
    assert json.loads(job.job_state) == {
        "v": 1,
        "args": [str(cast.pottery.id), "reminder", "StudentReminderTask"],
        "kwargs": {},
    }
    assert datetime.fromtimestamp(job.next_run_time or 0, UTC) == job.due
    assert (job.attempts, job.claim, job.last_error) == (0, None, None)


def test_the_job_of_an_invitation_names_the_enrolment_by_its_uuid(cast: Cast) -> None:
    ben = cast.offer("Ben")[0]
    job = cast.session.scalars(sa.select(Job)).one()
    assert job.id == f"waitlist_invitation_expiry/{ben.uuid}/PRODUCTION"
    assert json.loads(job.job_state)["args"] == [
        ben.uuid,
        "waitlist_invitation_expiry",
        "AutomaticWaitList",
    ]
    assert (job.due, job.next_run_time) == (DEADLINE, DEADLINE.timestamp())


NAMES = ["100% sure", "a_b", 'say "when"', "back\\slash", "Zürich, naïve", "@item@", "it's"]


@pytest.mark.parametrize("name", NAMES)
def test_a_schedule_may_have_any_name_without_a_slash(cast: Cast, name: str) -> None:
    cast.schedule.name = name
    schedule(cast, name=f"{name} too")
    ben = cast.offer("Ben")[0]
    planned(cast, cast.pottery)
    ids = {f"{name}/{ben.uuid}/PRODUCTION", f"{name} too/{cast.pottery.id}/PRODUCTION"}
    assert set(cast.jobs()) == ids
    states = [json.loads(state) for state in cast.session.scalars(sa.select(Job.job_state))]
    assert {state["args"][1] for state in states} == {name, f"{name} too"}
    trainings.cancel(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    assert cast.jobs() == {}


def test_a_name_with_wildcards_takes_no_job_of_another_schedule(cast: Cast) -> None:
    schedule(cast, "a_b", events=EventsEnum.all)
    schedule(cast, "axb", events=EventsEnum.all)
    schedule(cast, "%", events=EventsEnum.all, deleted_at=NOON)
    jobs = planned(cast, days(cast, START))
    assert {id_.split("/")[0] for id_ in jobs} == {"a_b", "axb"}
    plan.drop_training_jobs(cast.session, cast.pottery)
    assert cast.jobs() == jobs


def test_dropping_the_jobs_of_one_training_leaves_those_of_another(cast: Cast) -> None:
    schedule(cast, events=EventsEnum.all)
    for number in (1, 12):
        cast.add(Training(id=number * 10**6, practice_id=cast.practice.id, name="N",
                          max_participants=1, active=True))  # fmt: skip
    one, other = (cast.session.get_one(Training, n * 10**6) for n in (1, 12))
    for training in (one, other):
        training.events.append(TrainingEvent(start_time=START, end_time=START + HOUR))
        planned(cast, training)
    plan.drop_training_jobs(cast.session, one)
    assert [id_.split("/")[1].split(":")[0] for id_ in cast.jobs()] == [str(other.id)]


# --- anchors (WA2, WB) ---------------------------------------------------------------------------

DATES = (START, START + DAY, START + 9 * DAY)


def test_first_last_and_all_events(cast: Cast) -> None:
    training = days(cast, *reversed(DATES))
    item, events = str(training.id), sorted(training.events, key=lambda event: event.start_time)
    for which, expected in {
        None: [(item, DATES[0])],
        EventsEnum.first: [(item, DATES[0])],
        EventsEnum.last: [(item, DATES[2])],
        EventsEnum.all: [(f"{item}:{event.id}", event.start_time) for event in events],
        EventsEnum.invited: [],
    }.items():
        assert plan.anchors(training.id, training.events, Anchor.EVENT_START, which) == expected


@pytest.mark.parametrize("which", [None, *EventsEnum])
def test_what_counts_from_the_first_start_or_the_last_end_takes_no_other(
    cast: Cast, which: EventsEnum | None
) -> None:
    training = days(cast, *DATES)
    item = str(training.id)
    events = [training.events[0], training.events[2], training.events[1]]
    assert plan.anchors(training.id, events, Anchor.FIRST_START, which) == [(item, DATES[0])]
    assert plan.anchors(training.id, events, Anchor.LAST_END, which) == [
        (item, DATES[2] + 3 * HOUR)
    ]


def test_the_last_end_is_not_always_that_of_the_last_to_start(cast: Cast) -> None:
    training = days(cast, START, START + HOUR)
    training.events[0].end_time = START + DAY
    found = plan.anchors(training.id, training.events, Anchor.LAST_END, None)
    assert found == [(str(training.id), START + DAY)]


@pytest.mark.parametrize("anchor", list(Anchor))
def test_a_training_without_events_has_no_anchor(cast: Cast, anchor: Anchor) -> None:
    assert plan.anchors(cast.pottery.id, [], anchor, EventsEnum.all) == []


def test_a_past_event_is_left_out_but_the_end_of_the_course_counts(cast: Cast) -> None:
    schedule(cast, events=EventsEnum.all)
    schedule(cast, "archive", "DeleteTrainingTask", None, DAY, AFTER, active_since=NOON - 2 * DAY)
    training = days(cast, NOON - 2 * DAY, NOON - DAY)
    jobs = planned(cast, training)
    assert jobs == {f"archive/{training.id}/PRODUCTION": NOON + 3 * HOUR}


@pytest.mark.parametrize(
    ("since", "config", "there"),
    [
        (None, {}, False),
        (NOON - 2 * HOUR, {}, False),
        (NOON - 2 * HOUR, {"confirmed_until": (NOON - 21 * HOUR).isoformat()}, True),
        (NOON - 2 * HOUR, {"confirmed_until": (NOON - 22 * HOUR).isoformat()}, False),
        (NOON - 2 * HOUR, {"confirmed_until": "2026-03-02T11:00:00"}, False),
        (NOON - 2 * HOUR, {"confirmed_until": ["all"]}, False),
        (NOON - 21 * HOUR, {}, True),
    ],
)
def test_what_ended_before_the_switch_is_put_away_once_it_is_confirmed(  # WB
    cast: Cast, since: datetime | None, config: dict[str, Any], there: bool
) -> None:
    more = {"active_since": since, "task_config": config}
    schedule(cast, "archive", "DeleteTrainingTask", None, DAY, AFTER, **more)
    training = days(cast, NOON - DAY)  # it ended 21 hours ago
    assert list(planned(cast, training)) == there * [f"archive/{training.id}/PRODUCTION"]


def test_a_closed_training_is_put_away_all_the_same_and_reminds_nobody(cast: Cast) -> None:
    schedule(cast)
    schedule(cast, "archive", "DeleteTrainingTask", None, DAY, AFTER)
    trainings.deactivate(cast.session, cast.pottery.id, cast.max, NOON)
    archive = [f"archive/{cast.pottery.id}/PRODUCTION"]
    assert list(planned(cast, cast.pottery)) == archive
    trainings.cancel(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    assert list(planned(cast, cast.pottery)) == archive


# --- when (WA3) ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "interval", "side", "due"),
    [
        # Summer begins on 29 March 2026, ends on 25 October: the clock on the wall is kept.
        ("2026-04-02 09:00", 7 * DAY, BEFORE, "2026-03-26 09:00"),
        ("2026-03-26 09:00", 7 * DAY, AFTER, "2026-04-02 09:00"),
        ("2026-10-28 09:00", 7 * DAY, BEFORE, "2026-10-21 09:00"),
        ("2026-10-21 09:00", 7 * DAY, AFTER, "2026-10-28 09:00"),
        ("2026-06-18 09:00", 7 * DAY, BEFORE, "2026-06-11 09:00"),
        # What is less than a day is elapsed time.
        ("2026-03-29 12:00", 12 * HOUR, BEFORE, "2026-03-28 23:00"),
        ("2026-10-25 12:00", 12 * HOUR, BEFORE, "2026-10-25 01:00"),
        ("2026-03-30 09:00", DAY + 6 * HOUR, BEFORE, "2026-03-29 03:00"),
        ("2026-10-26 09:00", 48 * HOUR, BEFORE, "2026-10-24 09:00"),
        # 02:30 does not exist on that morning: half an hour past the change.
        ("2026-03-30 02:30", DAY, BEFORE, "2026-03-29 03:30"),
        ("2026-06-18 09:00", 0 * DAY, BEFORE, "2026-06-18 09:00"),
    ],
)
def test_whole_days_keep_the_clock_on_the_wall(
    at: str, interval: timedelta, side: BeforeAfterEnum, due: str
) -> None:
    event, expected = (
        datetime.fromisoformat(text).replace(tzinfo=AMSTERDAM).astimezone(UTC) for text in (at, due)
    )
    found = plan.shifted(event, interval, side, AMSTERDAM)
    assert (found, found.tzinfo) == (expected, UTC)


def test_the_days_are_those_of_the_practice(cast: Cast) -> None:
    schedule(cast)
    after_the_change = datetime(2026, 4, 2, 7, tzinfo=UTC)
    training = days(cast, after_the_change)
    job = f"reminder/{training.id}/PRODUCTION"
    assert planned(cast, training)[job] == after_the_change - 7 * DAY + HOUR
    cast.practice.timezone = "Asia/Tokyo"
    assert planned(cast, training)[job] == after_the_change - 7 * DAY


def test_what_is_already_due_is_planned_for_the_past(cast: Cast) -> None:
    schedule(cast, interval=40 * DAY)
    assert next(iter(planned(cast, cast.pottery).values())) < NOON


def test_what_was_due_before_the_schedule_was_switched_on_is_left_out(cast: Cast) -> None:
    late = schedule(cast, interval=40 * DAY, active_since=NOON)
    assert planned(cast, cast.pottery) == {}
    late.interval = 20 * DAY
    assert len(planned(cast, cast.pottery)) == 1


# --- who is covered ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "off", [{"active": False}, {"paused_at": NOON}, {"deleted_at": NOON}, {"interval": None}]
)
def test_a_schedule_that_is_off_plans_nothing_and_loses_its_jobs(
    cast: Cast, off: dict[str, Any]
) -> None:
    by = schedule(cast)
    assert len(planned(cast, cast.pottery)) == 1
    for name, value in off.items():
        setattr(by, name, value)
    assert planned(cast, cast.pottery) == {}


def test_a_disabled_class_plans_nothing(cast: Cast) -> None:
    schedule(cast).automation_class.enabled = False
    assert planned(cast, cast.pottery) == {}


def test_a_schedule_covers_its_types_or_all(cast: Cast) -> None:
    vip = cast.add(TrainingType(practice_id=cast.practice.id, name="VIP"))
    schedule(cast, "for all")
    schedule(cast, "for VIP", training_types=[vip])
    assert {id_.split("/")[0] for id_ in planned(cast, cast.pottery)} == {"for all"}
    cast.pottery.training_type_id = vip.id
    assert {id_.split("/")[0] for id_ in planned(cast, cast.pottery)} == {"for all", "for VIP"}


def test_a_schedule_of_another_practice_plans_nothing_here(cast: Cast) -> None:
    other = cast.add(Practice(name="Other", shortname="other"))
    schedule(cast, practice_id=other.id)
    assert planned(cast, cast.pottery) == {}


# --- planning again ------------------------------------------------------------------------------


def test_planning_twice_is_planning_once(cast: Cast) -> None:
    schedule(cast, events=EventsEnum.all)
    training = days(cast, *DATES)
    jobs = planned(cast, training)
    assert planned(cast, training, NOON + HOUR) == jobs
    assert len(jobs) == 3


def test_a_lost_plan_is_written_again_the_same(cast: Cast) -> None:
    schedule(cast, events=EventsEnum.all)
    training = days(cast, *DATES)
    jobs = planned(cast, training)
    cast.session.execute(sa.delete(Job))
    assert planned(cast, training) == jobs


def test_planning_again_leaves_a_claimed_job_alone(cast: Cast) -> None:
    schedule(cast)
    planned(cast, cast.pottery)
    job = cast.session.scalars(sa.select(Job)).one()
    job.claim, job.attempts, job.next_run_time = "mine", 1, 0.0
    planned(cast, cast.pottery)
    cast.session.refresh(job)
    assert (job.claim, job.attempts, job.next_run_time) == ("mine", 1, 0.0)


def test_what_ran_is_not_planned_again_but_another_date_is(cast: Cast) -> None:
    by = schedule(cast)
    run(cast, by, str(cast.pottery.id), START, status="success", finished_at=NOON)
    assert planned(cast, cast.pottery) == {}
    cast.pottery.events[0].start_time = START - HOUR
    assert len(planned(cast, cast.pottery)) == 1


@pytest.mark.parametrize("status", ["missed", "skipped", "cancelled", "failed", "timeout"])
def test_however_it_ended_it_is_not_planned_again(cast: Cast, status: str) -> None:
    by = schedule(cast)
    run(cast, by, str(cast.pottery.id), START, status=status, finished_at=NOON)
    assert planned(cast, cast.pottery) == {}


def test_a_run_that_has_not_ended_keeps_its_job(cast: Cast) -> None:
    by = schedule(cast)
    jobs = planned(cast, cast.pottery)
    run(cast, by, str(cast.pottery.id), START, status="running", started_at=NOON)
    assert planned(cast, cast.pottery) == jobs


def test_the_run_of_one_schedule_says_nothing_of_another(cast: Cast) -> None:
    run(cast, schedule(cast, "one"), str(cast.pottery.id), START, status="success",
        finished_at=NOON)  # fmt: skip
    schedule(cast, "two")
    assert list(planned(cast, cast.pottery)) == [f"two/{cast.pottery.id}/PRODUCTION"]


def test_a_renamed_schedule_does_not_run_again_what_ran_under_its_old_name(cast: Cast) -> None:
    by = schedule(cast)
    run(cast, by, str(cast.pottery.id), START, status="success", finished_at=NOON)
    by.name = "renamed"
    assert planned(cast, cast.pottery) == {}


def test_the_jobs_of_a_renamed_schedule_carry_its_new_name(cast: Cast) -> None:
    by = schedule(cast)
    planned(cast, cast.pottery)
    cast.session.execute(sa.delete(Job))
    by.name = "renamed"
    assert list(planned(cast, cast.pottery)) == [f"renamed/{cast.pottery.id}/PRODUCTION"]
    state = json.loads(cast.session.scalars(sa.select(Job.job_state)).one())
    assert state["args"][1] == "renamed"


# --- expiry jobs ---------------------------------------------------------------------------------


def test_each_invitation_has_its_own_job(cast: Cast) -> None:
    training = cast.several(3, places=3)
    invited = waitlist.fill_open_spots(cast.session, training.id, NOON)
    assert cast.jobs() == {
        f"waitlist_invitation_expiry/{uuid}/PRODUCTION": DEADLINE for uuid in invited
    }
    assert len(invited) == 3


def test_without_a_schedule_there_is_no_job(cast: Cast) -> None:
    cast.schedule.active = False
    ben = cast.offer("Ben")[0]
    assert (cast.jobs(), ben.invite_expires_at) == ({}, START - 2 * HOUR)


def test_an_exempt_invitation_has_no_job(cast: Cast) -> None:
    _ada, ben = cast.enrol_all("Ada", "Ben")
    cast.pottery.max_participants = 2
    waitlist.invite(cast.session, ben, cast.max, NOON, schedule_expiry=False)
    assert cast.jobs() == {}


@pytest.mark.parametrize("status", ["waitlist-declined", "waitlist-invite-expired"])
def test_whoever_is_no_longer_invited_has_no_job(cast: Cast, status: str) -> None:
    cast.in_status(status)
    cleo = cast.row("Cleo")
    assert list(cast.jobs()) == [f"waitlist_invitation_expiry/{cleo.uuid}/PRODUCTION"]


# --- DEVELOPMENT (WA9) ---------------------------------------------------------------------------


@pytest.mark.usefixtures("development")
def test_in_development_a_job_is_due_in_a_second(cast: Cast) -> None:
    schedule(cast)
    ben = cast.offer("Ben")[0]
    assert planned(cast, cast.pottery) == {
        f"waitlist_invitation_expiry/{ben.uuid}/DEVELOPMENT": NOON + SECOND,
        f"reminder/{cast.pottery.id}/DEVELOPMENT": NOON + SECOND,
    }
    assert ben.invite_expires_at == DEADLINE  # rows keep true deadlines


@pytest.mark.usefixtures("development")
def test_in_development_what_destroys_waits_for_its_time(cast: Cast) -> None:
    schedule(cast, "archive", "DeleteTrainingTask", None, DAY, AFTER)
    jobs = planned(cast, cast.pottery)
    due = plan.shifted(START + 3 * HOUR, DAY, AFTER, AMSTERDAM)
    assert jobs == {f"archive/{cast.pottery.id}/DEVELOPMENT": due}


@pytest.mark.usefixtures("development")
def test_in_development_planning_again_does_not_put_a_job_off(cast: Cast) -> None:
    schedule(cast)
    jobs = planned(cast, cast.pottery)
    assert planned(cast, cast.pottery, NOON + MINUTE) == jobs


@pytest.mark.usefixtures("development")
def test_in_development_the_ledger_keeps_a_job_from_firing_again(cast: Cast) -> None:
    by = schedule(cast)
    run(cast, by, str(cast.pottery.id), START, status="success", finished_at=NOON)
    assert planned(cast, cast.pottery) == {}


def test_the_jobs_of_one_environment_are_no_business_of_the_other(cast: Cast) -> None:
    schedule(cast)
    theirs = f"reminder/{cast.pottery.id}/DEVELOPMENT"
    cast.add(Job(id=theirs, job_state=b"{}", due=NOON, next_run_time=NOON.timestamp()))
    planned(cast, cast.pottery)
    plan.drop_training_jobs(cast.session, cast.pottery)
    assert list(cast.jobs()) == [theirs]


@pytest.mark.parametrize(
    ("task", "side", "events"),
    [
        ("StudentReminderTask", AFTER, EventsEnum.first),
        ("TrainerReminderTask", AFTER, EventsEnum.all),
        ("StudentReminderTask", BEFORE, EventsEnum.invited),
        ("WaitlistReminderTask", AFTER, None),
        ("WaitlistReminderTask", BEFORE, EventsEnum.invited),
        ("DeleteTrainingTask", BEFORE, None),
        ("StudentOpenSpotReminder", AFTER, None),
        ("SendAttendeeListTask", AFTER, None),
    ],
)
def test_a_schedule_that_makes_no_sense_plans_nothing(  # WA7
    cast: Cast, task: str, side: BeforeAfterEnum, events: EventsEnum | None
) -> None:
    schedule(cast, "senseless", task, events, DAY, side)
    assert planned(cast, days(cast, START)) == {}


def test_nothing_is_put_away_within_a_day_of_its_end(cast: Cast) -> None:  # WB
    schedule(cast, "hasty", "DeleteTrainingTask", None, DAY - SECOND, AFTER)
    assert planned(cast, days(cast, START)) == {}
