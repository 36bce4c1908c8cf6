"""A schedule's times in words, and what to know of them before saving (schedules O1, U2, N4)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import gettext, ngettext
from flask_babel import lazy_gettext as _l

from app.services import cron
from app.services.local_time import ClockChange, clock_changes
from app.services.schedule_keys import WEEKDAYS, instant

UTC_ZONE = ZoneInfo("UTC")
YEAR = timedelta(days=366)
DAY_SECONDS = 86_400
A_DAY = rf"(?:[0-7]|{'|'.join(WEEKDAYS)})"
SOME_DAYS = rf"{A_DAY}(?:-{A_DAY})?"
AT_A_TIME = re.compile(
    rf"(\d{{1,2}}) (\d{{1,2}}) \* \* (\*|{SOME_DAYS}(?:,{SOME_DAYS})*)", re.ASCII | re.I
)
EVERY_MINUTES = re.compile(r"\*/(\d{1,2}) \* \* \* \*", re.ASCII)
DAYS = {
    "mon": _l("Mondays"),
    "tue": _l("Tuesdays"),
    "wed": _l("Wednesdays"),
    "thu": _l("Thursdays"),
    "fri": _l("Fridays"),
    "sat": _l("Saturdays"),
    "sun": _l("Sundays"),
}


def _(text: str, **values: object) -> str:
    return str(gettext(text, **values))


def as_cron(kind: str, config: Mapping[str, Any]) -> str | None:
    """The cron expression with the same times (N1); None for what follows no calendar."""
    if kind == "cron":
        return str(config["cron_expression"])
    if kind in ("daily", "weekly"):
        return f"{config['minute']} {config['hour']} * * {config.get('day_of_week', '*')}"
    return None


# --- the explanation ------------------------------------------------------------------------------


def explained(kind: str, config: Mapping[str, Any], zone: ZoneInfo) -> str:
    """`Mondays at 09:00`, `every 30 minutes`: in the language in force, local times."""
    if text := as_cron(kind, config):
        return _cron(text)
    if kind == "interval":
        return _interval(config["interval_seconds"])
    if kind == "one_time":
        at = instant(config["scheduled_time"], UTC_ZONE).astimezone(zone)
        return _("once, on %(day)s at %(time)s", day=f"{at:%Y-%m-%d}", time=f"{at:%H:%M}")
    if kind == "event":
        return _event(config)
    return _("when another schedule starts it")


def _cron(text: str) -> str:
    if at := AT_A_TIME.fullmatch(text):
        time = f"{int(at[2]):02}:{int(at[1]):02}"
        days = sorted({day for part in at[3].split(",") for day in _weekdays(part)})
        return _("%(days)s at %(time)s", days=_days(days), time=time)
    if text == "* * * * *":
        return _interval(60)
    if text == "0 * * * *":
        return _("every hour, on the hour")
    if (every := EVERY_MINUTES.fullmatch(text)) and 60 % int(every[1]) == 0:
        return _interval(int(every[1]) * 60)
    words = cron.in_words(text)
    words = words[:1].lower() + words[1:]
    if cron.either_day(text):
        return _("%(words)s (either day is enough)", words=words)
    return words


def _weekdays(part: str) -> set[int]:
    """The days that a part of cron's weekday field names, 0 = Monday."""
    if part == "*":
        return set(range(7))
    first, dash, last = part.lower().partition("-")
    begin, end = _cron_day(first), _cron_day(last if dash else first)
    return {(day - 1) % 7 for day in range(begin, end + 1)}


def _cron_day(name: str) -> int:
    """In cron 0 is Sunday, and so is 7."""
    return (WEEKDAYS.index(name) + 1) % 7 if name in WEEKDAYS else int(name)


def _days(days: Sequence[int]) -> str:
    if len(days) == 7:
        return _("every day")
    if list(days) == [0, 1, 2, 3, 4]:
        return _("Monday to Friday")
    names = [str(DAYS[WEEKDAYS[day]]) for day in days]
    if len(names) == 1:
        return names[0]
    return _("%(days)s and %(last)s", days=", ".join(names[:-1]), last=names[-1])


def _interval(seconds: int) -> str:
    if seconds == 3600:
        return _("every hour")
    if seconds == 60:
        return _("every minute")
    if seconds == 1:
        return _("every second")
    return _("every %(length)s", length=" ".join(_lengths(seconds)))


def _lengths(seconds: int) -> Iterator[str]:
    """`2 days`, `1 hour`; one day is said in hours, which don't follow the calendar."""
    days, rest = divmod(seconds, DAY_SECONDS)
    if days == 1:
        days, rest = 0, seconds
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if days:
        yield ngettext("%(num)s day", "%(num)s days", days)
    if hours:
        yield ngettext("%(num)s hour", "%(num)s hours", hours)
    if minutes:
        yield ngettext("%(num)s minute", "%(num)s minutes", minutes)
    if rest:
        yield ngettext("%(num)s second", "%(num)s seconds", rest)


def _event(config: Mapping[str, Any]) -> str:
    if config["beforeafter"] == "before":
        return _("%(length)s before its event", length=config["interval"])
    return _("%(length)s after its event", length=config["interval"])


# --- notices --------------------------------------------------------------------------------------


def notices(
    kind: str,
    config: Mapping[str, Any],
    zone: ZoneInfo,
    coming: datetime | None,
    span: tuple[datetime, datetime],
) -> Iterator[str]:
    """What may surprise, for someone who is about to save it.

    `coming` is the next occurrence, `span` the time in which clock changes are looked for.
    """
    if coming is None:
        yield _("It never runs.")
        return
    if coming > span[0] + YEAR:
        yield _("The next run is more than a year away.")
    if kind == "one_time":
        yield from _of_a_moment(coming, zone)
    elif kind == "interval":
        yield from _of_drift(config["interval_seconds"], coming, zone, span)
    elif text := as_cron(kind, config):
        if cron.either_day(text):
            yield _("Day of month and weekday are both given: either is enough.")
        yield from _of_clock_changes(text, zone, span)


def _of_a_moment(at: datetime, zone: ZoneInfo) -> Iterator[str]:
    for change in clock_changes(zone, at - timedelta(days=1), at + timedelta(days=1)):
        local = at.astimezone(zone)
        facts = {"time": f"{local:%H:%M}", "day": f"{local:%Y-%m-%d}"}
        if change.after > change.before and at == change.at:
            skipped = f"{change.from_local:%H:%M}"
            yield _(
                "On %(day)s clocks go from %(skipped)s to %(time)s: times between do not exist.",
                skipped=skipped,
                **facts,
            )
        elif change.to_local <= local.replace(tzinfo=None, fold=0) < change.from_local:
            first = _("the first is meant") if local.fold == 0 else _("the second is meant")
            yield _("On %(day)s %(time)s comes twice: %(which)s.", which=first, **facts)


def _of_drift(
    seconds: int, coming: datetime, zone: ZoneInfo, span: tuple[datetime, datetime]
) -> Iterator[str]:
    """Whole days of elapsed time look like a time of day, until clocks change."""
    change = next(clock_changes(zone, max(coming, span[0]), span[1]), None)
    if seconds % DAY_SECONDS or change is None:
        return
    local = coming.astimezone(zone)
    later = local.replace(tzinfo=None) + (change.after - change.before)
    yield _(
        "After the clock change of %(day)s it runs at %(later)s instead of %(time)s."
        " A daily or weekly schedule keeps its time.",
        day=f"{change.at.astimezone(zone):%Y-%m-%d}",
        later=f"{later:%H:%M}",
        time=f"{local:%H:%M}",
    )


def _of_clock_changes(text: str, zone: ZoneInfo, span: tuple[datetime, datetime]) -> Iterator[str]:
    """The next time that a clock change drops a run, and the next that doubles one."""
    told = set[bool]()
    if text.split()[1].startswith("*"):
        return  # it runs hour after hour, whatever clocks show
    for change in clock_changes(zone, *span):
        forward = change.after > change.before
        if forward not in told and (local := _hit(text, change)):
            told.add(forward)
            yield (_skipped if forward else _doubled)(text, change, local)


def _hit(text: str, change: ClockChange) -> datetime | None:
    """The first local time of the expression that the change skips or doubles."""
    first, last = sorted((change.from_local, change.to_local))
    since = first.replace(tzinfo=UTC) - timedelta(microseconds=1)
    found = next(cron.following(text, UTC_ZONE, since), None)
    local = found and found.replace(tzinfo=None)
    return local if local and local < last else None


def _skipped(text: str, change: ClockChange, local: datetime) -> str:
    facts = {"day": f"{local:%Y-%m-%d}", "time": f"{local:%H:%M}"}
    if not cron.once_a_night(text):
        return _("On %(day)s %(time)s does not exist: that run is left out.", **facts)
    moved = f"{change.to_local:%H:%M}"
    return _("On %(day)s %(time)s does not exist: it runs at %(moved)s.", moved=moved, **facts)


def _doubled(text: str, change: ClockChange, local: datetime) -> str:
    facts = {"day": f"{local:%Y-%m-%d}", "time": f"{local:%H:%M}"}
    if cron.once_a_night(text):
        return _("On %(day)s %(time)s comes twice: it runs once, the first time.", **facts)
    return _("On %(day)s %(time)s comes twice: it runs both times.", **facts)
