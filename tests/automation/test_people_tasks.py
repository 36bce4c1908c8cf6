"""Greetings and profile reviews as their schedules run them (schedules B, F, Q41-Q47)."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.automation.automation_base import Skip
from app.automation.automation_tasks import BirthdayTask, VisitorTask
from app.automation.steps import Plan, Stale
from app.models import (
    AutomationRun,
    AutomationSchedule,
    Greeting,
    Outbox,
    Practice,
    ProfileReview,
    Student,
    User,
    UserSettings,
)
from app.models.schedule import ScheduleType
from app.models.types import new_uuid
from app.services import greetings, people_letters, students
from app.services.letter_facts import Untrue
from app.services.letter_reading import gather
from app.services.schedule_models import BirthdayBotConfig, VisitorBotConfig
from tests.cast import DAY, HOUR, NOON, Cast

TODAY = NOON.date()
CONFIGS: dict[Any, Any] = {BirthdayTask: BirthdayBotConfig, VisitorTask: VisitorBotConfig}


def born(cast: Cast, name: str, days_ago: int = 0, today: date = TODAY) -> User:
    """A student who had a birthday so many days ago."""
    user = cast.student(name).user
    user.birthday = (today - timedelta(days=days_ago)).replace(year=1990)
    cast.session.flush()
    return user


def task_of(cast: Cast, cls: Any = BirthdayTask, *, everywhere: bool = False, **more: Any) -> Any:
    """A task as a run of a schedule of the practice makes it."""
    schedule = cast.add(
        AutomationSchedule(
            name=f"people {new_uuid()}",
            automation_class=cast.task("birthday" if cls is BirthdayTask else "visitor"),
            schedule_type=ScheduleType.CHAINED,
            practice_id=None if everywhere else cast.practice.id,
        )
    )
    task = cls(schedule.schedule_id, schedule.name)
    task.session, task.config = cast.session, CONFIGS[cls](**more)
    task.trigger_data = {"execution_id": new_uuid()}
    return task


def planned(cast: Cast, task: Any, now: datetime = NOON) -> Plan:
    plan: Plan = task.plan(cast.session, task.config, now)
    return plan


def run(cast: Cast, task: Any, now: datetime = NOON) -> Counter[str]:
    """Plan and apply; what was counted."""
    done: Counter[str] = Counter()
    for step in planned(cast, task, now).steps:
        done.update(task.apply(cast.session, step, now))
    return done


def letters(cast: Cast) -> list[tuple[str, str]]:
    return [(kind, name) for kind, name in cast.letters() if kind[:4] in ("birt", "prof")]


# --- birthdays -----------------------------------------------------------------------------------


def test_seven_late_days_are_one_greeting(cast: Cast) -> None:  # Q41
    born(cast, "Ada", 2)
    for n in range(6):
        run(cast, task_of(cast, process_late=True), NOON + n * DAY)
    assert letters(cast) == [("birthday_late", "Ada")]


def test_todays_are_first_then_the_least_late(cast: Cast) -> None:
    for name, ago in (("Ada", 3), ("Ben", 0), ("Cleo", 1), ("Dora", 8)):
        born(cast, name, ago)
    run(cast, task_of(cast, process_late=True))
    assert letters(cast) == [
        ("birthday_today", "Ben"),
        ("birthday_late", "Cleo"),
        ("birthday_late", "Ada"),
    ]


def test_late_ones_are_only_counted_unless_asked_for(cast: Cast) -> None:
    born(cast, "Ada", 3)
    plan = planned(cast, task_of(cast))
    assert plan.steps == []
    assert plan.counters["birthdays_late_ignored"] == 1


def test_thirty_december_is_congratulated_on_the_third_of_january(cast: Cast) -> None:
    now = NOON.replace(year=2027, month=1, day=3)
    user = cast.student("Ada").user
    user.birthday = date(1990, 12, 30)
    cast.session.flush()
    run(cast, task_of(cast, process_late=True), now)
    row = cast.session.scalars(sa.select(Greeting)).one()
    assert (row.birthday_year, row.days_late) == (2026, 4)


@pytest.mark.parametrize(
    ("today", "rule", "on"),
    [
        (date(2026, 2, 28), "feb28", date(2026, 2, 28)),
        (date(2026, 2, 28), "mar1", date(2025, 3, 1)),
        (date(2026, 3, 1), "mar1", date(2026, 3, 1)),
        (date(2028, 2, 28), "feb28", date(2027, 2, 28)),
        (date(2028, 2, 29), "feb28", date(2028, 2, 29)),
        (date(2028, 2, 29), "mar1", date(2028, 2, 29)),
    ],
)
def test_who_was_born_on_a_leap_day(today: date, rule: str, on: date) -> None:  # Q42
    assert greetings.birthday_on(date(2000, 2, 29), today, rule) == on


def test_nobody_is_congratulated_on_being_born() -> None:
    assert greetings.birthday_on(TODAY, TODAY, "feb28") is None
    assert greetings.birthday_on(TODAY + timedelta(days=1), TODAY, "feb28") is None


def test_after_midnight_in_paris_it_is_that_days_birthday(cast: Cast) -> None:  # Q42
    born(cast, "Ada", today=TODAY + timedelta(days=1))
    cast.practice.timezone = "Europe/Paris"
    cast.session.flush()
    assert planned(cast, task_of(cast, send_window="00:00-24:00"), NOON).steps == []
    night = NOON.replace(hour=23, minute=30)
    assert run(cast, task_of(cast, send_window="00:00-24:00"), night) == {"messages_sent": 1}


def test_both_caps_hold_in_both_modes_and_are_shared(cast: Cast) -> None:  # Q43
    cast.practice.people_mail_daily_cap, cast.practice.people_mail_weekly_cap = 3, 5
    for n in range(9):
        born(cast, f"N{n}", n % 2)
    late = {"process_late": True, "max_messages_per_run": None}
    assert run(cast, task_of(cast, VisitorTask, limit=1))["messages_sent"] == 1
    assert run(cast, task_of(cast, **late)) == {"messages_sent": 2}
    with pytest.raises(Skip) as skipped:
        run(cast, task_of(cast, **late), NOON + HOUR)
    assert skipped.value.reason == "quota"
    assert run(cast, task_of(cast, **late), NOON + DAY) == {"messages_sent": 2}
    with pytest.raises(Skip):
        run(cast, task_of(cast, **late), NOON + 2 * DAY)
    # NOON is a Monday: a new week begins seven days later.
    assert run(cast, task_of(cast, max_days_late=30, **late), NOON + 7 * DAY)["messages_sent"] == 3


def test_a_run_has_its_own_limit(cast: Cast) -> None:
    for n in range(4):
        born(cast, f"N{n}")
    plan = planned(cast, task_of(cast, max_messages_per_run=3))
    assert (len(plan.steps), plan.counters["messages_ignored"]) == (3, 1)


@pytest.mark.parametrize("what", ["greetings", "mail", "bounced", "inactive", "birthday", "gone"])
def test_who_changed_it_meanwhile_gets_no_letter(cast: Cast, what: str) -> None:  # Q44
    user = born(cast, "Ada")
    task = task_of(cast)
    (step,) = planned(cast, task).steps
    if what == "greetings":
        students.want_greetings(cast.session, user.id, False)
    elif what == "mail":
        cast.wont_mail("Ada")
    elif what == "bounced":
        user.undeliverable_at = NOON
    elif what == "inactive":
        user.active = False
    elif what == "birthday":
        user.birthday = date(1990, 7, 1)
    else:
        students.erase(cast.session, cast.student("Ada"), cast.max, NOON)
    cast.session.flush()
    with pytest.raises(Stale):
        task.apply(cast.session, step, NOON)
    assert letters(cast) == []


def test_a_letter_promised_before_is_not_sent_to_who_wants_none(cast: Cast) -> None:
    user = born(cast, "Ada")
    run(cast, task_of(cast))
    row = cast.session.scalars(sa.select(Outbox).where(Outbox.kind == "birthday_today")).one()
    assert row.key == f"birthday:{user.id}:2026:email:{user.id}"
    assert not isinstance(gather(cast.session, [row], NOON)[row.id], Untrue)
    assert gather(cast.session, [row], NOON + DAY)[row.id] == Untrue("that day is over")
    students.want_greetings(cast.session, user.id, False)
    assert gather(cast.session, [row], NOON)[row.id] == Untrue("opted out of greetings")


def test_at_night_it_is_skipped(cast: Cast) -> None:
    born(cast, "Ada")
    with pytest.raises(Skip) as skipped:
        run(cast, task_of(cast), NOON.replace(hour=19))  # 20:00 in Amsterdam
    assert skipped.value.reason == "outside_window"


def test_only_who_agreed_if_that_is_required(cast: Cast) -> None:
    born(cast, "Ada")
    born(cast, "Ben")
    cast.add(UserSettings(user_id=cast.student("Ada").user_id, congratulate_since=NOON))
    run(cast, task_of(cast, require_consent=True))
    assert letters(cast) == [("birthday_today", "Ada")]


def test_whom_two_practices_know_is_congratulated_once(cast: Cast) -> None:
    other = cast.add(Practice(name="Wool", shortname="wool"))
    ada, ben = born(cast, "Ada"), born(cast, "Ben")
    cast.add(Student(user_id=ada.id, practice_id=other.id))
    cast.practice.people_mail_daily_cap = 1
    cast.session.flush()
    plan = planned(cast, task_of(cast, everywhere=True))
    assert [step.subject_id for step in plan.steps] == [ada.id]
    assert plan.counters["messages_ignored"] == 1
    assert ben.id != ada.id


@pytest.mark.parametrize("cls", [BirthdayTask, VisitorTask])
def test_a_run_can_tell_how_many_of_its_letters_arrived(cast: Cast, cls: Any) -> None:  # X6
    for name in ("Ada", "Ben", "Cleo"):
        born(cast, name)
    task = task_of(cast, cls)
    steps = list(task.plan(cast.session, task.config, NOON).steps)
    for step in steps:
        task.apply(cast.session, step, NOON)
    of = {"schedule_id": 1, "item": "x", "occurrence": "y", "started_at": NOON}
    run = AutomationRun(execution_id=task.execution_id, messages_sent=len(steps), **of)
    other = AutomationRun(execution_id=new_uuid(), messages_sent=3, **of)
    assert people_letters.delivered(cast.session, run) == (0, len(steps))
    first, second, *_rest = cast.session.scalars(sa.select(Outbox).where(
        Outbox.kind.in_(people_letters.KINDS)
    ))  # fmt: skip
    for letter, state in ((first, "sent"), (second, "dead")):
        letter.state, letter.ended_at = state, NOON
    cast.session.flush()
    assert people_letters.delivered(cast.session, run) == (1, len(steps))
    assert people_letters.delivered(cast.session, other) == (0, 3)
    run.messages_sent = 0
    assert people_letters.delivered(cast.session, run) == (0, 0)


def test_letters_may_go_out_one_after_another(cast: Cast) -> None:
    born(cast, "Ada")
    born(cast, "Ben")
    run(cast, task_of(cast, stagger_seconds=60))
    due = cast.session.scalars(sa.select(Outbox.due_at).order_by(Outbox.due_at)).all()
    assert list(due) == [NOON, NOON + timedelta(minutes=1)]


# --- profiles ------------------------------------------------------------------------------------


def complete(cast: Cast, name: str, active: datetime = NOON) -> User:
    """A student whose profile has all that is asked for."""
    user = cast.student(name).user
    user.phone, user.street, user.house_number = "+31612345678", "Dam", "1"
    user.postal_code, user.city = "1012 JS", "Amsterdam"
    return seen(cast, user, active)


def seen(cast: Cast, user: User, at: datetime) -> User:
    user.update_datetime = at.replace(tzinfo=None)
    cast.session.flush()
    return user


def test_a_review_says_what_is_missing_and_asks_for_it(cast: Cast) -> None:
    user = seen(cast, cast.student("Ada").user, NOON - 100 * DAY)
    seen(cast, complete(cast, "Ben"), NOON)
    done = run(cast, task_of(cast, VisitorTask))
    assert done == {"profiles_visited": 1, "invitations": 1, "messages_sent": 1}
    row = cast.session.scalars(sa.select(ProfileReview)).one()
    assert (row.missing, row.completeness, row.invited) == (["phone", "address"], 33, True)
    assert row.days_dormant == 100
    letter = cast.session.scalars(sa.select(Outbox)).one()
    assert (letter.kind, letter.user_id) == ("profile_check", user.id)


def test_nobody_is_looked_at_twice_within_the_days(cast: Cast) -> None:  # Q45
    for name in ("Ada", "Ben", "Cleo"):
        seen(cast, cast.student(name).user, NOON)
    counts = [
        run(cast, task_of(cast, VisitorTask, limit=2), NOON + n * DAY)["profiles_visited"]
        for n in (0, 1, 2, 29, 30)
    ]
    assert counts == [2, 1, 0, 0, 2]


def test_a_try_and_a_stale_step_block_nobody(cast: Cast) -> None:  # Q45
    seen(cast, cast.student("Ada").user, NOON)
    task = task_of(cast, VisitorTask)
    (step,) = planned(cast, task).steps
    assert len(planned(cast, task_of(cast, VisitorTask)).steps) == 1
    task.apply(cast.session, step, NOON)
    with pytest.raises(Stale):
        task_of(cast, VisitorTask).apply(cast.session, step, NOON)


@pytest.mark.parametrize(
    ("audience", "found"),
    [
        ("all", ["Ada", "Ben", "Cleo"]),
        ("incomplete", ["Ada"]),
        ("dormant", ["Ben"]),
        ("incomplete_or_dormant", ["Ada", "Ben"]),
    ],
)
def test_each_audience_is_who_it_says(cast: Cast, audience: str, found: list[str]) -> None:
    seen(cast, cast.student("Ada").user, NOON)
    complete(cast, "Ben", NOON - 91 * DAY)
    complete(cast, "Cleo", NOON - 89 * DAY)
    plan = planned(cast, task_of(cast, VisitorTask, audience=audience))
    ids = {cast.student(name).id for name in found}
    assert {step.subject_id for step in plan.steps} == ids
    assert all(step.sends == 0 for step in plan.steps if step.text == "complete")


def test_out_of_hours_profiles_are_looked_at_without_letters(cast: Cast) -> None:
    seen(cast, cast.student("Ada").user, NOON)
    done = run(cast, task_of(cast, VisitorTask), NOON.replace(hour=20))
    assert done == {"profiles_visited": 1, "invitations": 0, "messages_sent": 0}
    assert letters(cast) == []


# --- both ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [BirthdayTask, VisitorTask])
def test_what_is_planned_is_what_is_done_and_planning_writes_nothing(
    cast: Cast, cls: Any
) -> None:  # Q47
    for n in range(4):
        seen(cast, born(cast, f"N{n}", n), NOON)
    task = task_of(cast, cls, **({"process_late": True} if cls is BirthdayTask else {}))
    before = cast.everything()
    plan = planned(cast, task)
    assert cast.everything() == before
    done = [task.apply(cast.session, step, NOON) for step in plan.steps]
    assert plan.as_dry_result["would_send"] == sum(one["messages_sent"] for one in done) == 4
    readers = cast.session.scalars(sa.select(Outbox.user_id).order_by(Outbox.id)).all()
    subjects = [step.subject_id for step in plan.steps]
    if cls is VisitorTask:
        by_student = {one.id: one.user_id for one in cast.students.values()}
        subjects = [by_student[id_] for id_ in subjects]
    assert list(readers) == subjects


def test_how_long_they_may_take() -> None:  # B6, F5
    assert BirthdayTask.timeout_of({}) == 30 * 60
    assert BirthdayTask.timeout_of({"process_late": True}) == 180 * 60
    assert VisitorTask.timeout_of({}) == 45 * 60
