"""The models of document 003: every documented default and rule (rulings RE1, schedules B1, F1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from app.services.schedule_config import Rules
from app.services.schedule_models import (
    BirthdayBotConfig,
    BotTimeouts,
    BotType,
    JobExecutionLog,
    ScheduledJobConfig,
    ScheduleType,
    VisitorBotConfig,
    in_window,
)
from tests.cast import NOON


def job(**keys: Any) -> ScheduledJobConfig:
    """A daily job of birthday greetings, but for `keys`."""
    given = {
        "name": "Daily Birthday Messages",
        "bot_type": "birthday",
        "schedule_type": "daily",
        "schedule_config": {"hour": 8, "minute": 0},
        "bot_config": {},
    }
    return ScheduledJobConfig.model_validate(given | keys)


# --- the documented defaults ----------------------------------------------------------------------


def test_the_two_bots_and_the_four_types_have_their_documented_names() -> None:
    assert [kind.name for kind in BotType] == ["BIRTHDAY", "VISITOR"]
    assert [kind.value for kind in BotType] == ["birthday", "visitor"]
    documented = {"DAILY": "daily", "WEEKLY": "weekly", "INTERVAL": "interval", "CRON": "cron"}
    assert documented.items() <= {kind.name: kind.value for kind in ScheduleType}.items()


@pytest.mark.parametrize(
    ("config", "defaults"),
    [
        (
            BirthdayBotConfig(),
            {
                "dry_run": False,
                "process_late": False,
                "max_days_late": 7,
                "max_messages_per_run": 10,
                "audience": "students",
                "send_window": "07:00-19:00",
                "feb29": "feb28",
                "require_consent": False,
                "stagger_seconds": 0,
            },
        ),
        (
            VisitorBotConfig(),
            {
                "dry_run": False,
                "limit": 50,
                "revisit_after_days": 30,
                "dormant_days": 90,
                "audience": "incomplete_or_dormant",
                "invite": True,
                "max_invitations_per_run": None,
                "checks": ["name", "phone", "address"],
                "send_window": "07:00-19:00",
                "stagger_seconds": 0,
            },
        ),
    ],
)
def test_a_bot_has_the_documents_defaults_and_no_other_key(
    config: Any, defaults: dict[str, Any]
) -> None:
    assert config.model_dump(mode="json") == defaults


def test_a_job_has_the_documents_defaults() -> None:
    made = job()
    assert made.enabled is True
    assert made.max_instances == 1
    assert made.misfire_grace_time == 3600
    assert made.coalesce is True
    assert made.description is None
    assert (made.timezone, made.max_executions, made.context_data) == (None, None, {})


def test_a_log_has_the_documents_defaults() -> None:
    log = JobExecutionLog(job_id="1", started_at=NOON, status="running")
    assert (log.finished_at, log.result, log.error) == (None, None, None)
    assert (log.messages_sent, log.profiles_visited) == (0, 0)


def test_a_form_begins_in_test_mode() -> None:
    assert BirthdayBotConfig.for_form() == BirthdayBotConfig(dry_run=True)
    assert VisitorBotConfig.for_form() == VisitorBotConfig(dry_run=True)


# --- birthdays ------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [1, 30, 365])
def test_late_days_count_only_with_late_birthdays(days: int) -> None:
    assert BirthdayBotConfig(process_late=True, max_days_late=days).max_days_late == days
    assert BirthdayBotConfig(max_days_late=days, process_late=True).max_days_late == days
    assert BirthdayBotConfig(process_late=False, max_days_late=days).max_days_late == 7
    assert BirthdayBotConfig.model_validate({"max_days_late": days}).max_days_late == 7


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("days", [0, -1, 366, 400])
def test_late_days_out_of_range_are_refused_even_where_they_do_not_count(
    days: int, late: bool
) -> None:
    with pytest.raises(ValidationError, match="max_days_late"):
        BirthdayBotConfig(process_late=late, max_days_late=days)


def test_a_config_that_is_read_again_is_the_same() -> None:
    for config in (
        BirthdayBotConfig(process_late=True, max_days_late=30),
        BirthdayBotConfig(max_days_late=30),
        VisitorBotConfig(limit=3),
    ):
        again = type(config).model_validate(config.model_dump(mode="json"))
        assert again == config


@pytest.mark.parametrize(
    ("model", "name", "fits", "breaks"),
    [
        (BirthdayBotConfig, "dry_run", (True, False), (1, "true", None)),
        (BirthdayBotConfig, "max_messages_per_run", (1, 500, None), (0, 501, "10", True)),
        (BirthdayBotConfig, "audience", ("students", "trainers", "both"), ("all", None)),
        (BirthdayBotConfig, "feb29", ("feb28", "mar1"), ("feb29",)),
        (BirthdayBotConfig, "require_consent", (True, False), ("yes",)),
        (BirthdayBotConfig, "stagger_seconds", (0, 300), (-1, 301, 1.5)),
        (BirthdayBotConfig, "limit", (), (50,)),
        (VisitorBotConfig, "limit", (1, 365, 500), (0, 501, True, "50")),
        (VisitorBotConfig, "limt", (), (50,)),
        (VisitorBotConfig, "revisit_after_days", (1, 365), (0, 366)),
        (VisitorBotConfig, "dormant_days", (7, 365), (6, 366)),
        (
            VisitorBotConfig,
            "audience",
            ("all", "incomplete", "dormant", "incomplete_or_dormant"),
            ("students",),
        ),
        (VisitorBotConfig, "invite", (True, False), (0,)),
        (VisitorBotConfig, "max_invitations_per_run", (1, 500, None), (0, 501)),
        (VisitorBotConfig, "stagger_seconds", (0, 300), (-1, 301)),
    ],
)
def test_each_key_keeps_to_its_values(
    model: Any, name: str, fits: tuple[Any, ...], breaks: tuple[Any, ...]
) -> None:
    for value in fits:
        assert getattr(model.model_validate({name: value}), name) == value
    for value in breaks:
        with pytest.raises(ValidationError, match=name):
            model.model_validate({name: value})


def test_checks_are_known_and_named_once() -> None:
    read = VisitorBotConfig.model_validate(
        {"checks": ["birthday", "emergency_contact", "birthday"]}
    )
    assert read.checks == ("birthday", "emergency_contact")
    for wrong in ([], ["shoe_size"], "name", None):
        with pytest.raises(ValidationError, match="checks"):
            VisitorBotConfig.model_validate({"checks": wrong})


def test_as_many_are_invited_as_are_reviewed_unless_fewer_are_wanted() -> None:
    assert VisitorBotConfig(limit=20).most_invitations == 20
    assert VisitorBotConfig(limit=20, max_invitations_per_run=5).most_invitations == 5


# --- the window -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "time", "inside"),
    [
        ("07:00-19:00", "06:59", False),
        ("07:00-19:00", "07:00", True),
        ("07:00-19:00", "18:59", True),
        ("07:00-19:00", "19:00", False),
        ("00:00-24:00", "00:00", True),
        ("00:00-24:00", "23:59", True),
    ],
)
def test_letters_go_out_from_the_first_time_until_the_second(
    window: str, time: str, inside: bool
) -> None:
    assert BirthdayBotConfig(send_window=window).send_window == window
    local = datetime.fromisoformat(f"2026-03-02T{time}:59+01:00")
    assert in_window(window, local) is inside


@pytest.mark.parametrize(
    "window", ["", "7-19", "07:00", "19:00-07:00", "07:00-07:00", "24:00-24:00"]
)
def test_a_window_is_two_times_the_earlier_first(window: str) -> None:
    with pytest.raises(ValidationError, match="send_window"):
        VisitorBotConfig(send_window=window)


@pytest.mark.parametrize(
    ("bot_type", "config", "minutes"),
    [
        (BotType.BIRTHDAY, {}, 30),
        (BotType.BIRTHDAY, {"process_late": False}, 30),
        (BotType.BIRTHDAY, {"process_late": True}, 180),
        (BotType.VISITOR, {}, 45),
    ],
)
def test_late_birthdays_may_take_longer(
    bot_type: BotType, config: dict[str, Any], minutes: int
) -> None:
    assert BotTimeouts().of(bot_type, config) == timedelta(minutes=minutes)
    assert BotTimeouts(1, 1, 1).of(bot_type, config) == timedelta(minutes=1)


# --- jobs -----------------------------------------------------------------------------------------


def test_the_documents_three_jobs_are_made_as_it_makes_them() -> None:
    daily = ScheduledJobConfig(
        name="Daily Birthday Messages",
        description="Send birthday messages every day at 8am",
        bot_type=BotType.BIRTHDAY,
        schedule_type=ScheduleType.DAILY,
        schedule_config={"hour": 8, "minute": 0},
        bot_config=BirthdayBotConfig(
            dry_run=False, process_late=True, max_days_late=7, max_messages_per_run=10
        ),
    )
    weekly = ScheduledJobConfig(
        name="Weekly Profile Visits",
        description="Visit profiles Mon/Wed/Fri at 2pm",
        bot_type=BotType.VISITOR,
        schedule_type=ScheduleType.WEEKLY,
        schedule_config={"day_of_week": "mon,wed,fri", "hour": 14, "minute": 0},
        bot_config=VisitorBotConfig(dry_run=True, limit=50),
    )
    hourly = ScheduledJobConfig(
        name="Hourly Birthday Check",
        bot_type=BotType.BIRTHDAY,
        schedule_type=ScheduleType.INTERVAL,
        schedule_config={"hours": 1, "minutes": 0},
        bot_config=BirthdayBotConfig(dry_run=False, process_late=False),
    )
    assert daily.bot_config["process_late"] is True
    assert weekly.bot_config["dry_run"] is True
    assert hourly.schedule_config == {"hours": 1, "minutes": 0}


def test_a_bots_settings_are_kept_in_full() -> None:
    kept = job(bot_config={"process_late": True}).bot_config
    assert kept == BirthdayBotConfig(process_late=True).model_dump(mode="json")
    visitor = job(bot_type="visitor", bot_config={"limit": 3}).bot_config
    assert visitor == VisitorBotConfig(limit=3).model_dump(mode="json")


@pytest.mark.parametrize(
    ("keys", "field"),
    [
        ({"name": None}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "System:sweep"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"description": "x" * 501}, "description"),
        ({"bot_type": "unlimited"}, "bot_type"),
        ({"bot_type": None}, "bot_type"),
        ({"enabled": "true"}, "enabled"),
        ({"schedule_type": "event"}, "schedule_type"),
        ({"schedule_type": "yearly"}, "schedule_type"),
        ({"schedule_type": "cron"}, "schedule_config"),  # the keys of daily
        ({"schedule_config": {"hour": 24}}, "schedule_config"),
        ({"schedule_config": "08:00"}, "schedule_config"),
        ({"bot_config": {"limit": 50}}, "bot_config"),
        ({"bot_config": VisitorBotConfig()}, "bot_config"),
        ({"bot_config": None}, "bot_config"),
        ({"max_instances": 0}, "max_instances"),
        ({"max_instances": True}, "max_instances"),
        ({"misfire_grace_time": -1}, "misfire_grace_time"),
        ({"misfire_grace_time": None}, "misfire_grace_time"),
        ({"coalesce": 1}, "coalesce"),
        ({"max_executions": 0}, "max_executions"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"context_data": {"schedule_id": "mine"}}, "context_data"),
        ({"next_run_at": "2026-03-02"}, "next_run_at"),
    ],
)
def test_a_job_that_could_not_run_is_refused_with_its_field(
    keys: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        job(**keys)
    (fault,) = refused.value.errors()
    assert fault["loc"] == (field,)


def test_every_required_key_of_a_job_is_missed() -> None:
    with pytest.raises(ValidationError) as refused:
        ScheduledJobConfig.model_validate({})
    assert {fault["loc"][0] for fault in refused.value.errors()} == {
        "name",
        "bot_type",
        "schedule_type",
        "schedule_config",
        "bot_config",
    }


def test_what_depends_on_the_time_is_checked_where_the_time_is_known() -> None:
    over = {
        "name": "Once",
        "bot_type": "visitor",
        "schedule_type": "one_time",
        "schedule_config": {"scheduled_time": "2026-03-02T11:00:00Z"},
        "bot_config": {},
    }
    assert ScheduledJobConfig.model_validate(over).name == "Once"
    with pytest.raises(ValidationError, match="future"):
        ScheduledJobConfig.model_validate(over, context={"rules": Rules(NOON)})


# --- the log --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["running", "success", "failed"])
def test_a_log_has_the_documented_statuses(status: str) -> None:
    log = JobExecutionLog.model_validate(
        {"job_id": "1", "started_at": "2026-03-02T12:00:00", "status": status}
    )
    assert log.status == status
    assert log.started_at == datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "keys", [{"status": "done"}, {"messages_sent": -1}, {"profiles_visited": -1}, {"job_id": None}]
)
def test_a_log_that_tells_nonsense_is_refused(keys: dict[str, Any]) -> None:
    given = {"job_id": "1", "started_at": "2026-03-02T12:00:00Z", "status": "success"}
    with pytest.raises(ValidationError, match=next(iter(keys))):
        JobExecutionLog.model_validate(given | keys)
