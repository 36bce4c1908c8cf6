"""When schedules run: across clock changes, after downtime, and in words (schedules 4, O1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.services import cron
from app.services.local_time import instant_of
from app.services.recurrence import (
    Past,
    Recurrence,
    calculate_next_execution,
    explain,
    following,
    next_after,
    occurrences_between,
    preview,
    require_period,
)
from app.services.schedule_config import Rules, read_flat
from app.services.schedule_errors import InvalidScheduleException
from tests.cast import DAY, HOUR, MINUTE, NOON, SECOND

PARIS = ZoneInfo("Europe/Paris")
WEEK = 7 * DAY


def at(text: str) -> datetime:
    """`2025-03-30 01:00` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def of_cron(text: str, zone: str = "Europe/Paris", **more: Any) -> Recurrence:
    return Recurrence("cron", {"cron_expression": text}, zone, **more)


def daily(hour: int, minute: int = 0, zone: str = "Europe/Paris", **more: Any) -> Recurrence:
    return Recurrence("daily", {"hour": hour, "minute": minute}, zone, **more)


def every(seconds: int, zone: str = "Europe/Paris", **more: Any) -> Recurrence:
    return Recurrence("interval", {"interval_seconds": seconds}, zone, **more)


def once(instant: str, zone: str = "Europe/Paris", **more: Any) -> Recurrence:
    return Recurrence("one_time", {"scheduled_time": instant}, zone, **more)


def local_times(recurrence: Recurrence, after: datetime, count: int) -> list[str]:
    zone = ZoneInfo(recurrence.zone)
    return [f"{t.astimezone(zone):%H:%M}" for t in islice(following(recurrence, after), count)]


# --- clock changes (N4) ---------------------------------------------------------------------------

HALF_PAST_TWO = [daily(2, 30), of_cron("30 2 * * *")]
GAP, OVERLAP = "2025-03-30", "2025-10-26"


@pytest.mark.parametrize("half_past_two", HALF_PAST_TWO)
def test_a_time_that_the_clock_skips_runs_once_when_the_gap_ends(half_past_two: Recurrence) -> None:
    found = list(islice(following(half_past_two, at("2025-03-29 12:00")), 2))
    assert found == [at(f"{GAP} 01:00"), at("2025-03-31 00:30")]


@pytest.mark.parametrize("half_past_two", HALF_PAST_TWO)
def test_a_time_that_comes_twice_runs_the_first_time_only(half_past_two: Recurrence) -> None:
    assert next_after(half_past_two, at("2025-10-25 12:00")) == at(f"{OVERLAP} 00:30")
    for asked in ("00:30", "00:45", "01:00", "01:15", "01:29", "01:30", "02:00"):
        assert next_after(half_past_two, at(f"{OVERLAP} {asked}")) == at("2025-10-27 01:30")


@pytest.mark.parametrize(
    ("text", "after", "local"),
    [
        ("0 * * * *", f"{GAP} 00:00", ["03:00", "04:00"]),
        ("0 * * * *", "2025-03-29 23:30", ["01:00", "03:00", "04:00"]),
        ("0 * * * *", "2025-10-25 22:30", ["01:00", "02:00", "02:00", "03:00"]),
        (
            "*/30 * * * *",
            "2025-10-25 23:00",
            ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"],
        ),
    ],
)
def test_what_runs_hour_after_hour_follows_elapsed_time(
    text: str, after: str, local: list[str]
) -> None:
    assert local_times(of_cron(text), at(after), len(local)) == local


def test_a_day_of_elapsed_time_moves_by_the_clock_change_and_a_daily_schedule_does_not() -> None:
    before = at("2025-03-29 07:00")  # 08:00 in winter
    assert local_times(every(86_400, anchor_at=before), before, 2) == ["09:00", "09:00"]
    assert local_times(daily(8), before, 2) == ["08:00", "08:00"]


@pytest.mark.parametrize(
    ("given", "instant", "said"),
    [
        ("2025-03-30T02:30:00", at(f"{GAP} 01:00"), "times between do not exist"),
        ("2025-10-26T02:30:00", at(f"{OVERLAP} 00:30"), "comes twice: the first is meant"),
        ("2025-10-26T02:30:00+01:00", at(f"{OVERLAP} 01:30"), "comes twice: the second is meant"),
    ],
)
def test_a_one_time_schedule_in_such_a_night_runs_once_with_a_notice(
    given: str, instant: datetime, said: str
) -> None:
    now = at("2025-01-01 00:00")
    flat = {"schedule_type": "one_time", "scheduled_time": given, "timezone": "Europe/Paris"}
    recurrence = Recurrence.of(read_flat(flat, Rules(now)))
    assert list(following(recurrence, now)) == [instant]
    (notice,) = preview(recurrence, now=now).notices
    assert said in notice


def test_noon_in_new_york_is_another_instant_in_summer_and_winter() -> None:
    noon = of_cron("0 12 * * *", "America/New_York")
    assert next_after(noon, at("2025-07-01 00:00")) == at("2025-07-01 16:00")
    assert next_after(noon, at("2025-12-01 00:00")) == at("2025-12-01 17:00")


@pytest.mark.parametrize(
    "monday_at_nine",
    [
        of_cron("0 9 * * 1", "Europe/Amsterdam"),
        Recurrence("weekly", {"day_of_week": "mon", "hour": 9, "minute": 0}, "Europe/Amsterdam"),
    ],
)
def test_each_monday_of_two_years_has_its_run_and_no_other_day(monday_at_nine: Recurrence) -> None:
    first, last = date(2025, 1, 1), date(2026, 12, 31)
    days = [first + n * DAY for n in range((last - first).days + 1)]
    mondays = [f"{day} 09:00" for day in days if day.weekday() == 0]
    until, found = at("2027-01-01 00:00"), []
    for run in following(monday_at_nine, at("2024-12-31 23:00")):
        if run >= until:
            break
        found.append(f"{run.astimezone(ZoneInfo('Europe/Amsterdam')):%Y-%m-%d %H:%M}")
    assert found == mondays
    assert len(found) == 104


# --- cron as it is documented ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "days", "hours", "minutes", "a_week"),
    [
        ("0 8-18 * * 1-5", "Mon Tue Wed Thu Fri", range(8, 19), {0}, 55),
        ("0 12 * * *", "Mon Tue Wed Thu Fri Sat Sun", {12}, {0}, 7),
        ("0 9 * * *", "Mon Tue Wed Thu Fri Sat Sun", {9}, {0}, 7),
        ("0 0 * * *", "Mon Tue Wed Thu Fri Sat Sun", {0}, {0}, 7),
        ("0 9-17 * * 1-5", "Mon Tue Wed Thu Fri", range(9, 18), {0}, 45),
        ("*/15 * * * *", "Mon Tue Wed Thu Fri Sat Sun", range(24), {0, 15, 30, 45}, 672),
        ("0 0 * * 0", "Sun", {0}, {0}, 1),
        ("0 0 * * 7", "Sun", {0}, {0}, 1),
        ("0 9 * * 1", "Mon", {9}, {0}, 1),
        ("0 * * * *", "Mon Tue Wed Thu Fri Sat Sun", range(24), {0}, 168),
    ],
)
def test_a_documented_expression_runs_on_its_days_at_its_hours(
    text: str, days: str, hours: Any, minutes: set[int], a_week: int
) -> None:
    past = occurrences_between(of_cron(text, "UTC"), NOON, NOON + WEEK - SECOND, 1000)
    assert (len(past.newest), past.rest) == (a_week, 0)
    assert {f"{run:%a}" for run in past.newest} == set(days.split())
    assert {run.hour for run in past.newest} == set(hours)
    assert {run.minute for run in past.newest} == minutes


def test_the_first_of_the_month_is_no_weekday() -> None:
    found = list(islice(following(of_cron("0 0 1 * *", "UTC"), NOON), 12))
    assert [run.day for run in found] == [1] * 12
    assert [run.month for run in found] == [4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 2, 3]


def test_day_of_month_and_weekday_together_are_either() -> None:
    found = islice(following(of_cron("0 9 13 * 5", "UTC"), NOON), 60)
    assert all(run.day == 13 or run.weekday() == 4 for run in found)
    assert next_after(of_cron("0 9 13 * 5", "UTC"), at("2026-04-11 00:00")) == at(
        "2026-04-13 09:00"  # a Monday
    )


def test_nothing_comes_round_for_what_has_no_time_of_its_own() -> None:
    assert next_after(Recurrence("chained", {}), NOON) is None
    assert next_after(Recurrence("event", {"interval": "1 00:00:00"}), NOON) is None


# --- intervals, once, start and end ---------------------------------------------------------------


@pytest.mark.parametrize("late", [SECOND, MINUTE, 19 * MINUTE, 20 * MINUTE - SECOND])
def test_an_interval_keeps_its_phase_however_late_it_is_asked(late: timedelta) -> None:
    twenty = every(1200, anchor_at=NOON)
    assert next_after(twenty, NOON) == NOON + 20 * MINUTE
    assert next_after(twenty, NOON + 100 * MINUTE + late) == NOON + 120 * MINUTE
    assert next_after(twenty, NOON - DAY) == NOON + 20 * MINUTE  # the anchor is no occurrence


def test_an_interval_with_a_start_runs_at_its_start_and_counts_from_there() -> None:
    start = NOON + DAY
    hourly = every(3600, anchor_at=NOON, start_at=start)
    assert next_after(hourly, NOON) == start
    assert next_after(hourly, start) == start + HOUR


def test_a_one_time_schedule_has_one_occurrence() -> None:
    soon = once("2026-03-02T13:00:00Z")
    assert next_after(soon, NOON) == NOON + HOUR
    assert next_after(soon, NOON + HOUR) is None


@pytest.mark.parametrize(
    "recurrence",
    [of_cron("0 * * * *"), daily(14), every(3600, anchor_at=NOON), once("2026-03-02T13:00:00Z")],
)
def test_start_and_end_cut_and_belong_to_it(recurrence: Recurrence) -> None:
    def cut(start: datetime | None, end: datetime | None) -> Recurrence:
        return Recurrence(
            recurrence.type, recurrence.config, recurrence.zone, NOON, start_at=start, end_at=end
        )

    one = NOON + HOUR  # an occurrence of each
    assert next_after(cut(one, one), NOON) == one
    assert next_after(cut(one, one), one) is None
    assert next_after(cut(None, one - SECOND), NOON) is None
    assert occurrences_between(cut(one, one), NOON - DAY, NOON + DAY, 9) == Past((one,), 0)
    assert occurrences_between(cut(None, NOON - SECOND), NOON, NOON + DAY, 9) == Past((), 0)


# --- those that were due --------------------------------------------------------------------------


def test_what_was_due_comes_newest_first_and_the_rest_is_counted() -> None:
    hours = [NOON - n * HOUR for n in range(25)]
    for recurrence in (of_cron("0 * * * *"), every(3600, anchor_at=NOON - WEEK)):
        past = occurrences_between(recurrence, NOON - DAY, NOON, 3)
        assert past == Past(tuple(hours[:3]), 22)
        assert occurrences_between(recurrence, NOON - DAY, NOON, 100) == Past(tuple(hours), 0)
        assert occurrences_between(recurrence, NOON + SECOND, NOON + MINUTE, 3) == Past((), 0)


def test_an_interval_is_counted_and_not_walked_through() -> None:
    each_second = every(1, anchor_at=NOON - 3650 * DAY)
    past = occurrences_between(each_second, NOON - 3640 * DAY, NOON, 2)
    assert past == Past((NOON, NOON - SECOND), 3640 * 86_400 - 1)


def test_an_interval_is_not_due_before_its_first_occurrence() -> None:
    hourly = every(3600, anchor_at=NOON)
    assert occurrences_between(hourly, NOON - DAY, NOON, 9) == Past((), 0)
    assert occurrences_between(hourly, NOON - DAY, NOON + HOUR, 9).newest == (NOON + HOUR,)


def test_a_one_time_schedule_is_due_once() -> None:
    soon = once("2026-03-02T13:00:00Z")
    assert occurrences_between(soon, NOON, NOON + HOUR, 9) == Past((NOON + HOUR,), 0)
    assert occurrences_between(soon, NOON, NOON + HOUR - SECOND, 9) == Past((), 0)


@pytest.mark.parametrize(
    "text",
    ["30 2 * * *", "15,30 2 * * *", "0 1-4 * * *", "*/20 * * * *", "*/20 2 * * *", "0 */2 * * *"],
)
@pytest.mark.parametrize("day", [GAP, OVERLAP])
@pytest.mark.parametrize("until", ["00:45", "01:00", "01:15", "01:45", "02:15", "12:00"])
def test_looking_back_finds_what_looking_ahead_found(text: str, day: str, until: str) -> None:
    first, last = at(f"{day} 00:00") - DAY, at(f"{day} {until}")
    ahead = []
    for run in following(of_cron(text), first - SECOND):
        if run > last:
            break
        ahead.append(run)
    assert list(occurrences_between(of_cron(text), first, last, 1000).newest) == ahead[::-1]


# --- against a scan of every minute ---------------------------------------------------------------

RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
ZONES = ["UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Sydney"]
SCANNED = timedelta(hours=30)


@st.composite
def field(draw: st.DrawFn, low: int, high: int) -> str:
    numbers = st.integers(low, high)
    kind = draw(st.sampled_from(["star", "star", "step", "one", "some", "range"]))
    if kind == "star":
        return "*"
    if kind == "step":
        return f"*/{draw(st.integers(1, 20))}"
    if kind == "range":
        first = draw(numbers)
        return f"{first}-{draw(st.integers(first, high))}"
    return ",".join(map(str, draw(st.lists(numbers, min_size=1, max_size=1 + 3 * (kind != "one")))))


crons = st.tuples(*(field(low, high) for low, high in RANGES)).map(" ".join)
# Around clock changes of all these zones, and anywhere else.
nights = st.sampled_from(
    [
        at("2025-03-29 22:00"),
        at("2025-10-25 22:00"),
        at("2025-03-09 04:00"),
        at("2025-11-02 03:00"),
        at("2025-04-05 12:00"),
        at("2025-10-04 12:00"),
    ]
)
anywhere = st.integers(0, 730 * 86_400).map(lambda late: at("2025-01-01 00:00") + late * SECOND)
moments = st.one_of(nights, anywhere).flatmap(
    lambda start: st.integers(0, 8 * 3600).map(lambda late: start + late * SECOND)
)


def numbers_of(text: str, low: int, high: int) -> set[int]:
    """The numbers of a field, read once more and more simply."""
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        begin, end = (low, high) if first == "*" else (int(first), int(last or first))
        found |= set(range(begin, end + 1, int(step or 1)))
    return found


def matcher(text: str) -> Callable[[datetime], bool]:
    """Whether cron's fields have a local minute."""
    parts = text.split()
    sets = [numbers_of(part, *span) for part, span in zip(parts, RANGES, strict=True)]
    minutes, hours, days, months, weekdays = sets
    both = parts[2].startswith("*") or parts[4].startswith("*")

    def runs_at(local: datetime) -> bool:
        if local.minute not in minutes or local.hour not in hours or local.month not in months:
            return False
        on_day, on_weekday = local.day in days, {local.isoweekday(), local.isoweekday() % 7}
        found = (on_day, bool(on_weekday & weekdays))
        return all(found) if both else any(found)

    return runs_at


def scanned(text: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The next run by looking at each minute: named times once a night, others as they pass."""
    runs_at, minute = matcher(text), after.replace(second=0, microsecond=0)
    span = [minute + n * MINUTE for n in range(int(SCANNED / MINUTE))]
    if not cron.once_a_night(text):
        return next((t for t in span if t > after and runs_at(t.astimezone(zone))), None)
    # Times of the wall clock, those that it skips among them, each as the instant it stands for.
    wall = (span[0].astimezone(zone).replace(tzinfo=None, fold=0)) - 3 * HOUR
    times = [wall + n * MINUTE for n in range(len(span) + 360)]
    instants = [instant_of(local, zone) for local in times if runs_at(local)]
    return min((t for t in instants if after < t <= span[-1]), default=None)


@given(text=crons, zone=st.sampled_from(ZONES), after=moments)
@settings(max_examples=120, deadline=None, derandomize=True)
def test_the_next_run_is_what_a_scan_of_each_minute_finds(
    text: str, zone: str, after: datetime
) -> None:
    try:
        cron.expanded(text)
    except cron.BadCron:
        assume(False)  # a day that the month doesn't have
    found, horizon = next_after(of_cron(text, zone), after), after + SCANNED - MINUTE
    expected = scanned(text, ZoneInfo(zone), after)
    if expected is None or expected > horizon:
        assert found is None or found > horizon
    else:
        assert found == expected


@given(text=crons, zone=st.sampled_from(ZONES), after=moments, later=st.integers(0, 5 * 86_400))
@settings(max_examples=120, deadline=None, derandomize=True)
def test_what_is_next_lies_ahead_and_never_comes_earlier_when_asked_later(
    text: str, zone: str, after: datetime, later: int
) -> None:
    try:
        cron.expanded(text)
    except cron.BadCron:
        assume(False)
    recurrence = of_cron(text, zone)
    runs = list(islice(following(recurrence, after), 5))
    assert all(early < late for early, late in pairwise([after, *runs]))
    asked = after + later * SECOND
    then = next_after(recurrence, asked)
    if runs:
        assert then is None or then >= runs[0]
        if asked < runs[0]:
            assert then == runs[0]


@given(
    seconds=st.integers(1, 10_000_000),
    asked=st.integers(0, 10**9),
    back=st.integers(0, 10_000),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_an_interval_is_met_by_arithmetic(seconds: int, asked: int, back: int) -> None:
    recurrence, after = every(seconds, anchor_at=NOON), NOON + asked * SECOND
    found = next_after(recurrence, after)
    assert found is not None
    assert timedelta(0) < found - after <= seconds * SECOND
    assert (found - NOON) % (seconds * SECOND) == timedelta(0)
    past = occurrences_between(recurrence, after - back * SECOND, after, 3)
    total = asked // seconds - max((asked - back - 1) // seconds, 0)
    assert len(past.newest) + past.rest == total
    assert all(after - back * SECOND <= run <= after for run in past.newest)


# --- the documented function ----------------------------------------------------------------------


def test_the_documented_function_knows_the_three_documented_types() -> None:
    ask = calculate_next_execution
    assert ask("cron", "0 12 * * *", after=NOON) == NOON + DAY
    assert ask("cron", "0 12 * * *", timezone="America/New_York", after=NOON) == NOON + 5 * HOUR
    assert ask("interval", interval_seconds=3600, after=NOON) == NOON + HOUR
    assert ask("one_time", scheduled_time="2026-03-02T15:00:00", after=NOON) == NOON + 3 * HOUR
    moment = datetime(2026, 3, 2, 15, tzinfo=UTC)
    assert ask("one_time", scheduled_time=moment, after=NOON) == moment
    assert ask("one_time", scheduled_time="2026-03-02T11:00:00", after=NOON) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"schedule_type": "cron"}, "cron_expression required"),
        ({"schedule_type": "cron", "cron_expression": "invalid cron"}, "Invalid cron expression"),
        ({"schedule_type": "interval"}, "interval_seconds required"),
        ({"schedule_type": "interval", "interval_seconds": 0}, "interval_seconds"),
        ({"schedule_type": "one_time"}, "scheduled_time required"),
        ({"schedule_type": "sometimes"}, "schedule_type"),
        ({"schedule_type": "cron", "cron_expression": "0 9 * * 1", "timezone": "Mars"}, "timezone"),
    ],
)
def test_the_documented_function_refuses_as_documented(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidScheduleException) as refused:
        calculate_next_execution(**given, after=NOON)
    assert refused.value.message.startswith(said)


# --- in words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recurrence", "words"),
    [
        (daily(8), "every day at 08:00"),
        (of_cron("0 9 * * 1"), "Mondays at 09:00"),
        (of_cron("5 9 * * mon,SAT,0"), "Mondays, Saturdays and Sundays at 09:05"),
        (of_cron("0 9 * * sun-sat"), "every day at 09:00"),
        (of_cron("30 17 * * 1-5"), "Monday to Friday at 17:30"),
        (of_cron("0 9 * * 5-7"), "Fridays, Saturdays and Sundays at 09:00"),
        (of_cron("* * * * *"), "every minute"),
        (of_cron("*/15 * * * *"), "every 15 minutes"),
        (of_cron("0 * * * *"), "every hour, on the hour"),
        (of_cron("*/25 * * * *"), "every 25th minute of every hour"),
        (of_cron("0 9 1 * *"), "at 09:00 on the first day of every month"),
        (of_cron("0 9 31 * *"), "at 09:00 on the 31st day of every month"),
        (of_cron("0 9 11,22 * *"), "at 09:00 on the 11th and the 22nd day of month"),
        (of_cron("0 9 * * 5L"), "at 09:00 on the last Friday of the month"),
        (
            of_cron("0 9 13 * 5"),
            "at 09:00 on the 13th day of month and on Friday (either day is enough)",
        ),
        (every(1), "every second"),
        (every(60), "every minute"),
        (every(1800), "every 30 minutes"),
        (every(3600), "every hour"),
        (every(86_400), "every 24 hours"),
        (every(604_800), "every 7 days"),
        (every(93_784), "every 26 hours 3 minutes 4 seconds"),
        (once("2026-12-25T14:30:00Z"), "once, on 2026-12-25 at 15:30"),
        (Recurrence("chained", {}), "when another schedule starts it"),
        (
            Recurrence("event", {"beforeafter": "before", "interval": "2 00:00:00"}),
            "2 00:00:00 before its event",
        ),
    ],
)
def test_a_schedule_says_in_words_when_it_runs(recurrence: Recurrence, words: str) -> None:
    assert explain(recurrence) == words


@given(st.tuples(*(field(low, high) for low, high in RANGES)).map(" ".join))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_whatever_is_accepted_can_be_explained(text: str) -> None:
    try:
        cron.expanded(text)
    except cron.BadCron:
        assume(False)
    assert explain(of_cron(text))


# --- the preview ----------------------------------------------------------------------------------


def test_a_preview_shows_what_will_run_in_local_time_and_utc() -> None:
    shown = preview(daily(8), 3, now=NOON)
    assert (shown.explanation, shown.timezone) == ("every day at 08:00", "Europe/Paris")
    assert [f"{one.local:%d %H:%M %z}" for one in shown.next] == [
        "03 08:00 +0100",
        "04 08:00 +0100",
        "05 08:00 +0100",
    ]
    assert [one.utc for one in shown.next] == list(islice(following(daily(8), NOON), 3))
    assert shown.notices == ()


def test_a_preview_shows_five_unless_asked_for_one_to_fifty() -> None:
    assert len(preview(daily(8), now=NOON).next) == 5
    assert len(preview(daily(8), 50, now=NOON).next) == 50
    assert len(preview(once("2026-03-02T13:00:00Z"), now=NOON).next) == 1
    for n in (0, 51):
        with pytest.raises(InvalidScheduleException, match="from 1 to 50"):
            preview(daily(8), n, now=NOON)


@pytest.mark.parametrize(
    ("recurrence", "said"),
    [
        (daily(2, 30), "On 2026-03-29 02:30 does not exist: it runs at 03:00."),
        (daily(2, 30), "On 2026-10-25 02:30 comes twice: it runs once, the first time."),
        (of_cron("*/20 2 * * *"), "On 2026-03-29 02:00 does not exist: that run is left out."),
        (of_cron("*/20 2 * * *"), "On 2026-10-25 02:00 comes twice: it runs both times."),
        (
            every(86_400, anchor_at=NOON),
            "After the clock change of 2026-03-29 it runs at 14:00 instead of 13:00."
            " A daily or weekly schedule keeps its time.",
        ),
        (of_cron("0 9 13 * 5"), "Day of month and weekday are both given: either is enough."),
        (of_cron("0 9 29 2 *"), "The next run is more than a year away."),
        (once("2026-03-02T11:00:00Z"), "It never runs."),
        (daily(8, end_at=NOON), "It never runs."),
    ],
)
def test_a_preview_tells_what_may_surprise(recurrence: Recurrence, said: str) -> None:
    assert said in preview(recurrence, now=NOON).notices


@pytest.mark.parametrize(
    "recurrence",
    [
        daily(8),
        daily(2, 30, zone="UTC"),
        daily(2, 30, end_at=NOON + WEEK),  # over before the clocks change
        of_cron("30 2 * * 3"),  # clocks change on Sundays
        of_cron("0 * * * *"),
        of_cron("0 9 1 * *"),
        every(86_400, zone="Asia/Kolkata", anchor_at=NOON),
        every(3600, anchor_at=NOON),
        once("2026-12-25T14:30:00Z"),
        Recurrence("chained", {}),
    ],
)
def test_where_nothing_surprises_a_preview_says_nothing(recurrence: Recurrence) -> None:
    assert preview(recurrence, now=NOON).notices == ()


# --- the shortest gap (T7) ------------------------------------------------------------------------


def test_a_task_may_ask_for_some_time_between_its_runs() -> None:
    quarter = 15 * MINUTE
    require_period(of_cron("*/15 * * * *"), quarter, NOON)
    require_period(once("2026-03-02T13:00:00Z"), quarter, NOON)
    for too_often in (of_cron("0,10 9 * * *"), every(899, anchor_at=NOON)):
        with pytest.raises(InvalidScheduleException, match="15 minutes"):
            require_period(too_often, quarter, NOON)


# --- what was written past the forms -------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "config", "zone"),
    [
        ("cron", {"cron_expression": "0 9 31 2 *"}, "UTC"),
        ("cron", {}, "UTC"),
        ("daily", {"hour": "x", "minute": 0}, "UTC"),
        ("daily", {"hour": 8, "minute": 0}, "Mars/Base"),
        ("daily", {"hour": 8, "minute": 0}, "../x"),
        ("interval", {"interval_seconds": 0}, "UTC"),
        ("interval", {"interval_seconds": "often"}, "UTC"),
        ("one_time", {"scheduled_time": "soon"}, "UTC"),
    ],
)
def test_what_says_no_time_is_refused_by_one_name(
    type_: str, config: dict[str, Any], zone: str
) -> None:
    odd = Recurrence(type_, config, zone, anchor_at=NOON)
    for ask in (
        lambda: next_after(odd, NOON),
        lambda: occurrences_between(odd, NOON, NOON + DAY, 5),
        lambda: preview(odd, now=NOON),
    ):
        with pytest.raises(InvalidScheduleException):
            ask()
