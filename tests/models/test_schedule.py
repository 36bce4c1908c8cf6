"""The rows of schedules: complete by their defaults, refused where they make no sense (D2–D5)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import (
    ApiKey,
    AutomationClasses,
    AutomationRun,
    AutomationSchedule,
    Greeting,
    Practice,
    ProfileReview,
    ScheduleAudit,
    ScheduleTemplate,
    SystemState,
    User,
    UserSettings,
)
from app.models.automation_class import workflow_id_of
from app.models.run import COUNTERS
from app.models.schedule import RANGES
from tests.cast import DAY, NOON, SECOND, Cast


def kept(session: Session, row: Any) -> Any:
    """The row as the database has it."""
    session.add(row)
    session.flush()
    session.refresh(row)
    return row


def refused(session: Session, row: Any) -> str:
    """What the database says of it."""

    def write() -> None:
        with session.begin_nested():
            session.add(row)

    with pytest.raises(sa.exc.IntegrityError) as no:
        write()
    return str(no.value.orig)


def weekly(**more: Any) -> AutomationSchedule:
    return AutomationSchedule(name="weekly", schedule_type="weekly", **more)


# --- schedules (D2) ------------------------------------------------------------------------------


def test_a_schedule_with_nothing_but_a_name_is_complete(session: Session) -> None:
    row = kept(session, AutomationSchedule(name="bare"))
    facts = {
        "schedule_type": "event", "schedule_config": {}, "context_data": {}, "task_config": {},
        "active": True, "stopped_because": None, "next_execution_at": None, "dry_run": False,
        "max_executions": None, "max_instances": None, "coalesce": None, "overlap_policy": "skip",
        "retry_max": None, "retry_backoff": "exponential", "retry_base_seconds": 60,
        "retry_cap_seconds": 3600, "created_via": "code", "created_by": "system", "version": 1,
        "execution_count": 0, "timezone": None, "template_id": None, "state": "active",
    }  # fmt: skip
    assert {name: getattr(row, name) for name in facts} == facts
    assert row.updated_at is not None


def test_what_code_of_the_release_before_writes_is_as_complete(session: Session) -> None:
    """It names none of the columns that it does not know: the database fills them in."""
    session.execute(
        sa.text(
            "INSERT INTO automation_schedule (schedule_id, name, beforeafter, task_config,"
            " created_at) VALUES ('s-1', 'old', 'after', '{}', '2026-03-02 12:00:00+00')"
        )
    )
    mine = sa.select(AutomationSchedule).where(AutomationSchedule.schedule_id == "s-1")
    row = session.scalars(mine).one()
    assert (row.schedule_type, row.schedule_config, row.context_data) == ("event", {}, {})
    assert (row.overlap_policy, row.retry_backoff, row.created_via) == (
        "skip",
        "exponential",
        "code",
    )


OUTSIDE = [
    (column, value)
    for column, (least, most) in RANGES.items()
    for value in {least - 1, min(most + 1, 2**31 - 1)} - {most}
]


@pytest.mark.parametrize(("column", "value"), OUTSIDE)
def test_a_number_outside_its_range_is_refused(session: Session, column: str, value: int) -> None:
    assert f"ck_automation_schedule_{column}" in refused(session, weekly(**{column: value}))


@pytest.mark.parametrize("end", [0, 1])
def test_the_ends_of_each_range_are_fine(session: Session, end: int) -> None:
    values = {column: ends[end] for column, ends in RANGES.items()}
    row = kept(session, weekly(**values))
    assert {column: getattr(row, column) for column in values} == values


@pytest.mark.parametrize(
    ("facts", "constraint"),
    [
        ({"name": ""}, "name_length"),
        ({"name": "a/b"}, "name_without_slash"),
        ({"name": "System:outbox"}, "name_not_of_system"),
        ({"start_at": NOON, "end_at": NOON}, "starts_before_it_ends"),
        ({"next_execution_at": NOON, "active": False}, "next_only_if_active"),
        ({"next_execution_at": NOON, "schedule_type": "event"}, "next_only_if_active"),
        ({"next_execution_at": NOON, "schedule_type": "chained"}, "next_only_if_active"),
    ],
)
def test_what_makes_no_sense_is_refused(
    session: Session, facts: dict[str, Any], constraint: str
) -> None:
    row = AutomationSchedule(**{"name": "x", "schedule_type": "daily"} | facts)
    assert f"ck_automation_schedule_{constraint}" in refused(session, row)


def test_what_makes_sense_is_kept(session: Session) -> None:
    row = kept(session, weekly(start_at=NOON, end_at=NOON + SECOND, next_execution_at=NOON))
    assert (row.next_execution_at, row.end_at - row.start_at) == (NOON, SECOND)


@pytest.mark.parametrize(
    "column", ["schedule_type", "stopped_because", "overlap_policy", "retry_backoff", "created_via"]
)
def test_another_word_than_those_there_are_is_refused(cast: Cast, column: str) -> None:
    said = sa.text(f"UPDATE automation_schedule SET {column} = 'whatever'")
    with pytest.raises(sa.exc.IntegrityError, match=f"ck_automation_schedule_{column}"):
        cast.session.execute(said)


def test_a_description_that_is_too_long_is_refused(cast: Cast) -> None:
    said = sa.text("UPDATE automation_schedule SET description = :text")
    with pytest.raises(sa.exc.DBAPIError, match=r"description_length|too long"):
        cast.session.execute(said, {"text": 501 * "x"})


@pytest.mark.parametrize(
    "column", ["on_success_schedule_id", "on_failure_schedule_id", "template_id"]
)
def test_it_names_no_schedule_or_template_that_is_not_there(session: Session, column: str) -> None:
    assert "foreign key" in refused(session, weekly(**{column: 0})).lower()


def test_a_schedule_may_be_followed_by_another(session: Session) -> None:
    second = kept(session, AutomationSchedule(name="second", schedule_type="chained"))
    assert kept(session, weekly(on_success_schedule_id=second.id)).on_failure_schedule_id is None


# --- state ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, "active"),  # not flushed: no defaults yet
        ({"active": True}, "active"),
        ({"active": True, "stopped_because": "completed"}, "active"),
        ({"active": True, "paused_at": NOON}, "paused"),
        ({"active": False}, "paused"),
        ({"active": False, "stopped_because": "paused", "paused_at": NOON}, "paused"),
        ({"active": False, "stopped_because": "completed"}, "completed"),
        ({"active": False, "stopped_because": "failed"}, "failed"),
    ],
)
def test_the_state_says_whether_it_is_active_or_why_not(facts: dict[str, Any], state: str) -> None:
    assert AutomationSchedule(**facts).state == state


@pytest.mark.parametrize(
    "off", [{"active": False, "stopped_because": "completed"}, {"deleted_at": NOON}]
)
def test_one_that_recurs_works_as_long_as_it_is_on(cast: Cast, off: dict[str, Any]) -> None:
    row = kept(cast.session, weekly(automation_class=cast.task("Chore")))
    works = sa.select(AutomationSchedule.id).where(
        AutomationSchedule.works(), AutomationSchedule.id == row.id
    )
    assert (row.switched_on, cast.session.scalar(works)) == (True, row.id)
    for name, value in off.items():
        setattr(row, name, value)
    cast.session.flush()
    assert (row.switched_on, cast.session.scalar(works)) == (False, None)


# --- task classes (D4) ---------------------------------------------------------------------------


def test_a_task_class_has_the_same_number_after_a_rebuild(cast: Cast) -> None:
    first = cast.task("Chore").workflow_id
    cast.session.delete(cast.task("Chore"))
    cast.session.flush()
    assert cast.task("Chore").workflow_id == first == workflow_id_of("Chore")
    assert cast.task("Other").workflow_id != first


def test_the_number_of_a_class_is_what_clients_have_written_down() -> None:
    """Another namespace would break them: this is the number of every release."""
    assert workflow_id_of("AutomaticWaitList") == "1e82e473-a2e2-50e1-b3dc-6a88347b86d2"
    assert UUID(workflow_id_of("AutomaticWaitList")).version == 5


def test_rows_written_in_bulk_are_numbered_too(session: Session) -> None:
    session.execute(sa.insert(AutomationClasses), [{"class_name": n} for n in ("A", "B")])
    numbers = sa.select(AutomationClasses.workflow_id).order_by(AutomationClasses.class_name)
    assert session.scalars(numbers).all() == [workflow_id_of("A"), workflow_id_of("B")]


# --- runs (D3) -----------------------------------------------------------------------------------


def a_run(cast: Cast, **more: Any) -> AutomationRun:
    item = cast.schedule.schedule_id
    return AutomationRun(
        **{"schedule_id": cast.schedule.id, "item": item, "occurrence": "2026-03-02T12:00:00Z",
           "status": "queued"} | more
    )  # fmt: skip


def test_a_run_begins_with_all_its_counters_at_nothing(cast: Cast) -> None:
    run = kept(cast.session, a_run(cast))
    assert {getattr(run, counter) for counter in COUNTERS} == {0}
    assert (run.trigger, run.attempts, run.dry_run) == ("schedule", [], False)
    assert (run.triggered_by, run.parent_execution_id, run.retry_of) == (None, None, None)


@pytest.mark.parametrize("counter", COUNTERS)
def test_no_counter_falls_below_nothing(cast: Cast, counter: str) -> None:
    no = refused(cast.session, a_run(cast, **{counter: -1}))
    assert f"ck_automation_run_{counter}" in no


def test_a_run_is_started_by_a_time_a_person_or_another_run(cast: Cast) -> None:
    for trigger in ("schedule", "manual", "chain"):
        kept(cast.session, a_run(cast, trigger=trigger, occurrence=f"{trigger}:1"))
    assert "ck_automation_run_trigger" in refused(cast.session, a_run(cast, trigger="moon"))


def test_an_occurrence_is_run_once(cast: Cast) -> None:
    kept(cast.session, a_run(cast))
    assert "unique" in refused(cast.session, a_run(cast)).lower()


# --- what schedules leave behind (D5) ------------------------------------------------------------


def greeting(cast: Cast, **more: Any) -> Greeting:
    who = cast.student("Ada").user_id
    return Greeting(
        **{"user_id": who, "birthday_year": 2026, "practice_id": cast.practice.id,
           "greeted_at": NOON} | more
    )  # fmt: skip


def review(cast: Cast, **more: Any) -> ProfileReview:
    who = cast.student("Ada").id
    return ProfileReview(
        **{"student_id": who, "execution_id": "r-1", "reviewed_at": NOON, "completeness": 40} | more
    )


def key(cast: Cast, **more: Any) -> ApiKey:
    return ApiKey(
        **{"practice_id": cast.practice.id, "name": "till", "digest": 64 * "a",
           "first_characters": "ns_a"} | more
    )  # fmt: skip


def template(cast: Cast, **more: Any) -> ScheduleTemplate:
    return ScheduleTemplate(**{"practice_id": cast.practice.id, "name": "birthdays"} | more)


Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("make", "other"),
    [
        (greeting, {"birthday_year": 2027}),
        (review, {"execution_id": "r-2"}),
        (key, {"digest": 64 * "b"}),
        (template, {"practice_id": None}),
    ],
)
def test_of_each_there_is_one(cast: Cast, make: Make, other: dict[str, Any]) -> None:
    kept(cast.session, make(cast))
    assert "unique" in refused(cast.session, make(cast)).lower()
    kept(cast.session, make(cast, **other))


def test_a_template_of_all_practices_has_a_name_of_its_own_too(cast: Cast) -> None:
    kept(cast.session, template(cast, practice_id=None))
    assert "unique" in refused(cast.session, template(cast, practice_id=None)).lower()


@pytest.mark.parametrize(
    ("make", "facts", "constraint"),
    [
        (greeting, {"days_late": -1}, "ck_greeting_days_late"),
        (greeting, {"days_late": 366}, "ck_greeting_days_late"),
        (review, {"completeness": 101}, "ck_profile_review_completeness"),
        (review, {"days_dormant": -1}, "ck_profile_review_days_dormant"),
        (key, {"name": ""}, "ck_api_key_name_length"),
        (key, {"digest": "the key itself"}, "ck_api_key_digest_length"),
        (key, {"first_characters": "n"}, "ck_api_key_first_characters"),
        (template, {"name": ""}, "ck_schedule_template_name_length"),
    ],
)
def test_no_record_says_what_cannot_be(
    cast: Cast, make: Make, facts: dict[str, Any], constraint: str
) -> None:
    assert constraint in refused(cast.session, make(cast, **facts))


@pytest.mark.parametrize("cap", ["people_mail_daily_cap", "people_mail_weekly_cap"])
def test_a_practice_writes_to_one_to_two_thousand_people_or_without_a_cap(
    cast: Cast, cap: str
) -> None:
    practice = cast.practice
    assert (practice.people_mail_daily_cap, practice.people_mail_weekly_cap) == (15, 100)
    for fine in (1, 2000, None):
        setattr(practice, cap, fine)
        cast.session.flush()
    for wrong in (0, 2001):
        said = sa.update(Practice).values({cap: wrong})
        with pytest.raises(sa.exc.IntegrityError), cast.session.begin_nested():
            cast.session.execute(said)


def test_an_audit_outlives_its_schedule(session: Session) -> None:
    row = kept(session, weekly())
    said = ScheduleAudit(
        schedule_id=row.schedule_id, at=NOON, actor="user:1", action="schedule_create",
        new={"name": "weekly"},
    )  # fmt: skip
    kept(session, said)
    session.delete(row)
    session.flush()
    session.refresh(said)
    assert (said.old, said.new, said.via) == (None, {"name": "weekly"}, "code")


def test_there_is_one_row_of_switches(session: Session) -> None:
    switches = kept(session, SystemState())
    assert (switches.id, switches.schedules_paused_at) == (1, None)
    assert "ck_system_state_one_row" in refused(session, SystemState(id=2))


def test_people_are_congratulated_unless_they_say_no_and_have_not_agreed_by_themselves(
    cast: Cast,
) -> None:
    user: User = cast.user("Ada")
    settings = kept(cast.session, UserSettings(user_id=user.id))
    assert (settings.msg_greetings, settings.congratulate_since) == (True, None)


@pytest.mark.parametrize(
    ("facts", "usable"),
    [
        ({}, True),
        ({"expires_at": NOON + SECOND}, True),
        ({"expires_at": NOON}, False),
        ({"expires_at": NOON + 90 * DAY, "revoked_at": NOON - timedelta(days=1)}, False),
    ],
)
def test_a_key_works_until_it_runs_out_or_is_revoked(
    cast: Cast, facts: dict[str, Any], usable: bool
) -> None:
    row = kept(cast.session, key(cast, **facts))
    found = cast.session.scalar(sa.select(ApiKey.id).where(ApiKey.usable_at(NOON)))
    assert (found == row.id) is usable
