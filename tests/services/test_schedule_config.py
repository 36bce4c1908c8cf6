"""When and how a schedule runs, as it is written, and what is refused (schedules D2, T1-T10)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.services import schedule_errors
from app.services.refusals import Refusal
from app.services.schedule_config import (
    Rules,
    ScheduleType,
    Timing,
    flat,
    nested,
    patched,
    read_flat,
    read_nested,
)
from app.services.schedule_errors import InvalidScheduleException, ScheduleServiceException
from app.services.schedule_options import (
    OF_EVENTS,
    OF_JOBS,
    OF_SCHEDULES,
    ScheduleOptions,
    changed_options,
    read_context,
    read_options,
)
from tests.cast import DAY, NOON, SECOND

RULES = Rules(NOON, "Europe/Paris")


def read(kind: str, **keys: Any) -> Timing:
    return read_flat({"schedule_type": kind, **keys}, RULES)


def no(kind: str, **keys: Any) -> InvalidScheduleException:
    """The refusal of a flat configuration."""
    with pytest.raises(InvalidScheduleException) as refused:
        read(kind, **keys)
    assert refused.value.status_code == 400
    return refused.value


# --- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "keys", "stored"),
    [
        ("daily", {}, {"hour": 8, "minute": 0}),
        ("daily", {"hour": 23, "minute": 59}, {"hour": 23, "minute": 59}),
        ("weekly", {}, {"day_of_week": "mon", "hour": 8, "minute": 0}),
        (
            "weekly",
            {"day_of_week": "Fri, MON,wed,mon", "hour": 14, "minute": 30},
            {"day_of_week": "mon,wed,fri", "hour": 14, "minute": 30},
        ),
        (
            "weekly",
            {"day_of_week": "tue-thu,sun"},
            {"day_of_week": "tue,wed,thu,sun", "hour": 8, "minute": 0},
        ),
        ("interval", {"hours": 2, "minutes": 0}, {"interval_seconds": 7200}),
        ("interval", {"minutes": 30}, {"interval_seconds": 1800}),
        ("interval", {"hours": 1}, {"interval_seconds": 3600}),
        ("interval", {"interval_seconds": 1}, {"interval_seconds": 1}),
        ("interval", {"hours": 366 * 24}, {"interval_seconds": 366 * 86_400}),
        ("cron", {"cron_expression": " 0  9 * * 1-5 "}, {"cron_expression": "0 9 * * 1-5"}),
        (
            "one_time",
            {"scheduled_time": "2026-12-25T15:30:00"},
            {"scheduled_time": "2026-12-25T14:30:00Z"},
        ),
        (
            "one_time",
            {"scheduled_time": "2026-12-25T15:30:00.123456+09:00"},
            {"scheduled_time": "2026-12-25T06:30:00Z"},
        ),
        ("chained", {}, {}),
        (
            "event",
            {"interval": "2 days"},
            {"beforeafter": "after", "events": None, "interval": "2 00:00:00"},
        ),
    ],
)
def test_each_type_is_stored_in_one_form_whichever_shape_brought_it(
    kind: str, keys: dict[str, Any], stored: dict[str, Any]
) -> None:
    from_flat = read(kind, **keys)
    from_nested = read_nested({"schedule_type": kind, "schedule_config": keys}, RULES)
    assert from_flat == from_nested == Timing(ScheduleType(kind), stored, "Europe/Paris")


@pytest.mark.parametrize(
    ("macro", "fields"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@Monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ],
)
def test_a_cron_macro_is_stored_as_its_five_fields(macro: str, fields: str) -> None:
    assert read("cron", cron_expression=macro).config == {"cron_expression": fields}


@pytest.mark.parametrize(
    "text", ["0 0 29 2 *", "0 9 L * *", "0 9 * * 1#1", "0 9 * * 5L", "0 0 31 2 1", "0 9 * * 7"]
)
def test_rare_cron_expressions_that_do_come_round_pass(text: str) -> None:
    assert read("cron", cron_expression=text).config == {"cron_expression": text}


def test_the_flat_form_takes_zone_limit_start_and_end() -> None:
    timing = read(
        "interval",
        interval_seconds=3600,
        timezone="America/New_York",
        max_executions=24,
        start_at="2026-03-03T09:00:00",
        end_at="2026-03-04T09:00:00Z",
    )
    assert (timing.timezone, timing.max_executions) == ("America/New_York", 24)
    assert timing.start_at is not None
    assert timing.start_at.isoformat() == "2026-03-03T14:00:00+00:00"  # a time of the zone
    assert timing.end_at is not None
    assert timing.end_at.isoformat() == "2026-03-04T09:00:00+00:00"


def test_without_zone_limit_start_and_end_the_doors_zone_holds_and_nothing_limits() -> None:
    timing = read("daily", timezone=None, max_executions=None, start_at=None, end_at=None)
    assert timing == Timing(ScheduleType.DAILY, {"hour": 8, "minute": 0}, "Europe/Paris")


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "keys", "field"),
    [
        ("daily", {"limt": 1}, "limt"),
        ("daily", {"cron_expression": "0 9 * * *"}, "cron_expression"),
        ("chained", {"hour": 8}, "hour"),
        ("daily", {"hour": True}, "hour"),
        ("daily", {"hour": "8"}, "hour"),
        ("daily", {"hour": 8.5}, "hour"),
        ("daily", {"hour": None}, "hour"),
        ("daily", {"hour": 24}, "hour"),
        ("daily", {"hour": -1}, "hour"),
        ("weekly", {"minute": 60}, "minute"),
        ("weekly", {"day_of_week": "1"}, "day_of_week"),
        ("weekly", {"day_of_week": ""}, "day_of_week"),
        ("weekly", {"day_of_week": "monday"}, "day_of_week"),
        ("weekly", {"day_of_week": "fri-mon"}, "day_of_week"),
        ("weekly", {"day_of_week": "mon-"}, "day_of_week"),
        ("weekly", {"day_of_week": ["mon"]}, "day_of_week"),
        ("interval", {}, "interval_seconds"),
        ("interval", {"minutes": 0}, "minutes"),
        ("interval", {"minutes": -5}, "minutes"),
        ("interval", {"hours": 1, "minutes": "30"}, "minutes"),
        ("interval", {"interval_seconds": 0}, "interval_seconds"),
        ("interval", {"interval_seconds": 60, "hours": 1}, "hours"),
        ("interval", {"hours": 366 * 24, "minutes": 1}, "hours"),
        ("one_time", {}, "scheduled_time"),
        ("one_time", {"scheduled_time": "soon"}, "scheduled_time"),
        ("one_time", {"scheduled_time": "2026-12-25"}, "scheduled_time"),
        ("one_time", {"scheduled_time": "2026-02-31T10:00:00"}, "scheduled_time"),
        ("one_time", {"scheduled_time": "9999-12-31T23:59:59-12:00"}, "scheduled_time"),
        ("one_time", {"scheduled_time": "2026-03-02T12:00:00Z"}, "scheduled_time"),  # now
        ("one_time", {"scheduled_time": "2037-01-01T00:00:00Z"}, "scheduled_time"),
        ("event", {}, "interval"),
        ("event", {"interval": "soon"}, "interval"),
        ("event", {"interval": "1 day", "events": "second"}, "events"),
        ("daily", {"timezone": "Mars/Base"}, "timezone"),
        ("daily", {"timezone": "+02:00"}, "timezone"),
        ("daily", {"timezone": "../x"}, "timezone"),
        ("daily", {"timezone": ""}, "timezone"),
        ("daily", {"timezone": "localtime"}, "timezone"),
        ("daily", {"timezone": "Factory"}, "timezone"),
        ("daily", {"max_executions": 0}, "max_executions"),
        ("daily", {"start_at": "tomorrow"}, "start_at"),
        ("daily", {"start_at": "2026-04-01T10:00:00", "end_at": "2026-04-01T08:00:00Z"}, "end_at"),
        ("fortnightly", {}, "schedule_type"),
    ],
)
def test_anything_else_is_refused_with_the_field_that_is_wrong(
    kind: str, keys: dict[str, Any], field: str
) -> None:
    refusal = no(kind, **keys)
    assert field in refusal.problems
    assert field in refusal.message or kind == "interval"


@pytest.mark.parametrize("example", ["hour", "cron_expression", "scheduled_time", "day_of_week"])
def test_a_refusal_has_an_example(example: str) -> None:
    kinds = {"cron_expression": "cron", "scheduled_time": "one_time", "day_of_week": "weekly"}
    assert "for example" in no(kinds.get(example, "daily"), **{example: 99}).message


def test_all_faults_are_told_at_once_and_nothing_that_was_given_is_repeated() -> None:
    refusal = no("daily", hour=24, minute="<script>", secret="hunter2")
    assert set(refusal.problems) == {"hour", "minute", "secret"}
    assert "script" not in refusal.message
    assert "hunter2" not in refusal.message


@pytest.mark.parametrize(
    "text",
    [
        "invalid cron",
        "",
        "* * * *",
        "0 0 9 * * 1",  # seconds first: it would run sixty times as often
        "* * * * * * *",
        "60 * * * *",
        "0 24 * * *",
        "0 9 0 * *",
        "0 9 * 13 *",
        "0 9 * * 8",
        "0 9 * * fri-mon",
        "0 9 31 2 *",
        "0 0 30 2 *",
        "0 0 * 2 1#5",  # once in 28 years
        "*/0 * * * *",
        "@reboot",
        "@fortnightly",
        "٠ ٩ * * *",
        "0 9 * * ?",
        "0 9 * * 1; rm",
        "0\u00a09 * * 1",
        "0 9 * * 1\n",
        "0," * 130 + "0 9 * * *",
    ],
)
def test_a_bad_cron_expression_is_refused_as_documented(text: str) -> None:
    refusal = no("cron", cron_expression=text)
    assert refusal.message.startswith("Invalid cron expression: ")
    assert refusal.detail == refusal.message
    assert "0 9 * * 1-5" in refusal.message


@given(st.text("0123456789*,-/#LWlmonSAT ", min_size=1, max_size=30))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_whatever_is_written_as_cron_is_read_or_refused(text: str) -> None:
    try:
        said = read("cron", cron_expression=text).config["cron_expression"]
    except InvalidScheduleException as refusal:
        said = refusal.message[: len("Invalid cron expression: ")]
    assert said in (" ".join(text.split()), "Invalid cron expression: ")


def test_a_missing_expression_is_refused_as_documented() -> None:
    refusal = no("cron")
    assert refusal.message.startswith("cron_expression required")
    assert refusal.problems.keys() == {"cron_expression"}


@pytest.mark.parametrize("body", [None, [], "daily", {}, {"schedule_type": None}])
def test_what_names_no_type_is_refused_in_both_shapes(body: Any) -> None:
    with pytest.raises(InvalidScheduleException):
        read_flat(body, RULES)
    with pytest.raises(InvalidScheduleException):
        read_nested(body, RULES)


def test_the_nested_shape_takes_no_key_of_a_type_outside_its_config() -> None:
    body = {"schedule_type": "daily", "schedule_config": {}, "hour": 9}
    with pytest.raises(InvalidScheduleException) as refused:
        read_nested(body, RULES)
    assert set(refused.value.problems) == {"hour"}
    with pytest.raises(InvalidScheduleException, match="schedule_config"):
        read_nested({"schedule_type": "daily"}, RULES)


def test_an_installation_may_ask_for_longer_intervals() -> None:
    strict = replace(RULES, shortest_seconds=60)
    assert read_flat({"schedule_type": "interval", "minutes": 1}, strict)
    with pytest.raises(InvalidScheduleException, match="60 seconds"):
        read_flat({"schedule_type": "interval", "interval_seconds": 59}, strict)


@pytest.mark.parametrize(
    ("ahead", "passes"), [(SECOND, True), (10 * 365 * DAY, True), (0 * DAY, False), (-DAY, False)]
)
def test_a_one_time_schedule_lies_ahead_within_ten_years(ahead: Any, passes: bool) -> None:
    text = (NOON + ahead).isoformat()
    if passes:
        assert read("one_time", scheduled_time=text)
    else:
        assert "future" in no("one_time", scheduled_time=text).message


# --- changes --------------------------------------------------------------------------------------


def test_what_is_not_sent_stays() -> None:
    timing = read("daily", hour=9, minute=15, max_executions=5, end_at="2027-01-01T00:00:00Z")
    changed = patched(timing, {"hour": 10}, RULES)
    assert changed == replace(timing, config={"hour": 10, "minute": 15})
    assert patched(timing, {"timezone": "UTC"}, RULES) == replace(timing, timezone="UTC")
    assert patched(timing, {"end_at": None}, RULES) == replace(timing, end_at=None)
    assert patched(timing, {}, RULES) == timing


def test_an_interval_is_changed_as_a_whole_in_either_form() -> None:
    timing = read("interval", interval_seconds=90)
    assert patched(timing, {"hours": 1}, RULES).config == {"interval_seconds": 3600}


def test_a_one_time_schedule_that_is_over_can_be_renamed_and_limited() -> None:
    later = replace(RULES, now=NOON + 2 * DAY)
    timing = read("one_time", scheduled_time=(NOON + DAY).isoformat())
    assert patched(timing, {"max_executions": 1}, later).config == timing.config


def test_another_type_brings_its_own_keys() -> None:
    timing = read("daily")
    changed = patched(timing, {"schedule_type": "interval", "hours": 2}, RULES)
    assert (changed.type, changed.config) == ("interval", {"interval_seconds": 7200})
    for changes in ({"schedule_type": "cron"}, {"schedule_type": "weekly"}):
        with pytest.raises(InvalidScheduleException, match="required"):
            patched(timing, changes, RULES)
    with pytest.raises(InvalidScheduleException):
        patched(timing, {"schedule_type": "weekly", "cron_expression": "0 9 * * 1"}, RULES)
    assert patched(timing, {"schedule_type": "chained"}, RULES).config == {}


# --- shown again ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (7200, {"hours": 2, "minutes": 0}),
        (1800, {"hours": 0, "minutes": 30}),
        (90, {"interval_seconds": 90}),
    ],
)
def test_shape_a_shows_hours_and_minutes_where_they_are_whole(
    seconds: int, shown: dict[str, int]
) -> None:
    timing = read("interval", interval_seconds=seconds)
    assert nested(timing) == {"schedule_type": "interval", "schedule_config": shown}
    assert flat(timing)["interval_seconds"] == seconds


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("daily", {"hour": 9}),
        ("weekly", {"day_of_week": "sat,sun"}),
        ("interval", {"hours": 2}),
        ("cron", {"cron_expression": "@hourly"}),
        ("one_time", {"scheduled_time": "2026-12-25T15:30:00"}),
        ("chained", {}),
        ("event", {"interval": "1 day", "beforeafter": "before"}),
    ],
)
def test_what_is_shown_reads_as_the_same_in_both_shapes(kind: str, keys: dict[str, Any]) -> None:
    timing = read(kind, **keys)
    assert read_flat(flat(timing), RULES) == timing
    assert read_nested(nested(timing), RULES) == timing


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("door", "expected"),
    [
        (OF_JOBS, ("Europe/Paris", 1, 3600, True, 0, None)),
        (OF_SCHEDULES, ("UTC", 3, 900, True, 3, 3600)),
        (OF_EVENTS, (None, None, None, None, 10, None)),
    ],
)
def test_each_door_writes_its_own_defaults(door: Any, expected: tuple[Any, ...]) -> None:
    options = read_options({}, door)
    written = (
        door.timezone,
        options.max_instances,
        options.misfire_grace_time,
        options.coalesce,
        options.retry_max,
        options.timeout_seconds,
    )
    assert written == expected


def test_the_options_that_no_door_decides_have_the_columns_defaults() -> None:
    options = read_options({}, OF_JOBS)
    assert options.max_executions is None
    assert (options.overlap_policy, options.retry_backoff) == ("skip", "exponential")
    assert (options.retry_base_seconds, options.retry_cap_seconds) == (60, 3600)


@pytest.mark.parametrize(
    ("name", "fits", "breaks"),
    [
        ("max_executions", (None, 1, 1000), (0, -1, "1", True)),
        ("max_instances", (None, 1, 100), (0, 101)),
        ("misfire_grace_time", (None, 0, 31_536_000), (-1, 31_536_001)),
        ("coalesce", (None, True, False), (1, "true")),
        ("timeout_seconds", (None, 1, 86_400), (0, 86_401)),
        ("overlap_policy", ("skip", "queue_one"), ("queue", None)),
        ("retry_max", (None, 0, 10), (-1, 11)),
        ("retry_backoff", ("exponential", "fixed"), ("linear",)),
        ("retry_base_seconds", (1, 3600), (0, 3601)),
        ("retry_cap_seconds", (60, 86_400), (59, 86_401)),
        ("unheard_of", (), (1,)),
    ],
)
def test_options_keep_to_their_ranges(
    name: str, fits: tuple[Any, ...], breaks: tuple[Any, ...]
) -> None:
    for value in fits:
        assert getattr(read_options({name: value}, OF_SCHEDULES), name) == value
    for value in breaks:
        with pytest.raises(InvalidScheduleException, match=name.split("_")[0]):
            read_options({name: value}, OF_SCHEDULES)


def test_defaults_are_written_once_and_never_come_back() -> None:
    options = read_options({"max_instances": None}, OF_JOBS)
    changed = changed_options(options, {"coalesce": None})
    assert changed == ScheduleOptions(
        max_instances=None, misfire_grace_time=3600, coalesce=None, retry_max=0
    )


# --- context --------------------------------------------------------------------------------------


def test_the_documents_context_is_kept_as_it_is() -> None:
    context = {
        "workflow_param1": "value1",
        "user_context": {"role": "admin"},
        "notification_settings": {"email": True, "slack": False},
        "retry_config": {"max_retries": 3, "backoff": "exponential"},
    }
    assert read_context(context) == context
    assert read_context(None) == {}


def _nested(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(levels - 1):
        inner = {"inner": inner}
    return inner


@pytest.mark.parametrize(
    "context",
    [
        [],
        "text",
        {"schedule_id": "mine"},
        {"execution_id": "mine"},
        {"triggered_at": "2026-03-02"},
        {"text": "x" * 65_536},
        _nested(21),
        {"when": NOON},
        {"number": float("nan")},
        {"text": "a\0b"},
        {"text": "\ud800"},
        {"retry_config": 3},
        {"retry_config": {"max_retries": 11}},
        {"retry_config": {"max_retries": True}},
        {"retry_config": {"backoff": "linear"}},
        {"retry_config": {"tries": 3}},
        {"notification_settings": {"email": "yes"}},
        {"notification_settings": ["email"]},
    ],
)
def test_a_context_that_could_not_be_handed_on_is_refused(context: Any) -> None:
    with pytest.raises(InvalidScheduleException, match="context_data"):
        read_context(context)


def test_a_part_of_the_context_that_is_no_object_is_refused_in_our_words() -> None:
    with pytest.raises(InvalidScheduleException) as refused:
        read_context({"retry_config": 3})
    assert refused.value.message == "context_data.retry_config: an object is needed"


def test_a_context_may_be_as_deep_and_as_large_as_is_said() -> None:
    assert read_context(_nested(20)) == _nested(20)
    spelt_out = {"text": r"\u0000 is no NUL"}
    assert read_context(spelt_out) == spelt_out
    full = {"text": "x" * (65_536 - len('{"text": ""}'))}
    assert read_context(full) == full


def test_a_context_that_holds_itself_is_too_deep() -> None:
    circle: dict[str, Any] = {}
    circle["again"] = circle
    with pytest.raises(InvalidScheduleException, match="deeper"):
        read_context(circle)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("ScheduleConflictException", 409),
        ("SchedulePermissionException", 403),
        ("ScheduleQuotaException", 429),
        ("InvalidScheduleException", 400),
        ("ScheduleServiceException", 500),
    ],
)
def test_each_error_has_its_message_and_status(name: str, status: int) -> None:
    error = getattr(schedule_errors, name)("why")
    assert isinstance(error, ScheduleServiceException)
    assert (error.message, error.status_code) == ("why", status)


def test_errors_are_refusals_that_every_face_can_say() -> None:
    error = schedule_errors.ScheduleNotFoundException("abc-123")
    assert isinstance(error, Refusal)
    assert (error.message, error.status, error.status_code) == (
        "Schedule not found: abc-123",
        404,
        404,
    )
    invalid = InvalidScheduleException("cron_expression required")
    assert str(invalid) == "Invalid schedule configuration: cron_expression required"
    assert (invalid.detail, invalid.message) == ("cron_expression required",) * 2
    assert ScheduleServiceException("busy", status_code=503).status_code == 503
