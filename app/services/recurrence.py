"""When a recurring schedule runs next, and when it should have run (schedules 4, C2.2).

Pure: instants in, instants out, always aware UTC. `after` is exclusive everywhere, start and end of
a schedule are inclusive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSimError
from flask_babel import gettext as _

from app.models.schedule import ScheduleType
from app.models.text import named
from app.services import cron
from app.services.schedule_config import Rules, Timing, read_keys, read_zone
from app.services.schedule_errors import InvalidScheduleException
from app.services.schedule_keys import instant
from app.services.schedule_words import YEAR, as_cron, explained, notices

UTC_ZONE = ZoneInfo("UTC")
MOMENT = timedelta(microseconds=1)
LOOKED_AT = 50  # occurrences, for the shortest gap (T7)
MOST_SHOWN = 50


@dataclass(frozen=True)
class Recurrence:
    """What decides a schedule's times: its type, the stored form, and where it begins.

    An interval counts from `start_at`, which is its first occurrence; else from `anchor_at`, which
    is none; without either from the instant asked for.
    """

    type: str
    config: Mapping[str, Any]
    zone: str = "UTC"
    anchor_at: datetime | None = None
    start_at: datetime | None = None
    end_at: datetime | None = None

    @classmethod
    def of(cls, timing: Timing, anchor_at: datetime | None = None) -> Recurrence:
        """That of a configuration; `anchor_at` is when it was made, or last changed."""
        start, end = timing.start_at, timing.end_at
        return cls(timing.type, timing.config, timing.timezone, anchor_at, start, end)


@dataclass(frozen=True)
class Past:
    """Occurrences of some time: the newest first, and how many older ones there were."""

    newest: tuple[datetime, ...]
    rest: int


@dataclass(frozen=True)
class Coming:
    """An occurrence, as clocks show it and in UTC."""

    local: datetime
    utc: datetime


@dataclass(frozen=True)
class Preview:
    """What someone should see before saving a schedule (U2)."""

    explanation: str
    timezone: str
    next: tuple[Coming, ...]
    notices: tuple[str, ...]


@contextmanager
def _making_sense() -> Iterator[None]:
    """Of what is stored, whoever stored it."""
    try:
        yield
    except (CronSimError, LookupError, TypeError, ValueError, ArithmeticError) as odd:
        why = _("what is stored says no time: %(why)s", why=named(odd, 200))
        raise InvalidScheduleException(f"schedule_config: {why}", {"schedule_config": why}) from odd


# --- the next -------------------------------------------------------------------------------------


def next_after(recurrence: Recurrence, after: datetime) -> datetime | None:
    """The first occurrence later than `after`; None: there is none (N1)."""
    return next(following(recurrence, after), None)


def following(recurrence: Recurrence, after: datetime) -> Iterator[datetime]:
    """The occurrences later than `after`, earliest first; mostly without end."""
    start, end = recurrence.start_at, recurrence.end_at
    since = after if start is None or start <= after else start - MOMENT
    for at in _times(recurrence, since):
        if end is not None and at > end:
            return
        yield at


def calculate_next_execution(
    schedule_type: str,
    cron_expression: str | None = None,
    interval_seconds: int | None = None,
    scheduled_time: str | datetime | None = None,
    timezone: str = "UTC",
    *,
    after: datetime,
) -> datetime | None:
    """The documented face of `next_after` (N1): an interval counts from `after`.

    A one-time schedule that is over has None. Raises `InvalidScheduleException`.
    """
    if isinstance(scheduled_time, datetime):
        scheduled_time = scheduled_time.isoformat()
    given: dict[str, dict[str, Any]] = {
        ScheduleType.CRON: {"cron_expression": cron_expression},
        ScheduleType.INTERVAL: {"interval_seconds": interval_seconds},
        ScheduleType.ONE_TIME: {"scheduled_time": scheduled_time},
    }
    if schedule_type not in given:
        raise InvalidScheduleException(
            _("schedule_type: one of %(names)s", names=", ".join(given)),
            {"schedule_type": _("one of %(names)s", names=", ".join(given))},
        )
    kind, zone = ScheduleType(schedule_type), read_zone(timezone)
    keys = {name: value for name, value in given[kind].items() if value is not None}
    rules = None if kind is ScheduleType.ONE_TIME else Rules(after)
    config = read_keys(kind, keys, rules, zone)
    return next_after(Recurrence(kind, config, zone, anchor_at=after), after)


def _times(recurrence: Recurrence, after: datetime) -> Iterator[datetime]:
    """The occurrences after an instant, not cut by start and end."""
    with _making_sense():
        yield from _read(recurrence, after)


def _read(recurrence: Recurrence, after: datetime) -> Iterator[datetime]:
    kind, config = recurrence.type, recurrence.config
    if text := as_cron(kind, config):
        yield from cron.following(text, ZoneInfo(recurrence.zone), after)
    elif kind == ScheduleType.INTERVAL:
        length = timedelta(seconds=config["interval_seconds"])
        anchor, first = _anchor(recurrence, after)
        step = max(first, (after - anchor) // length + 1)
        while True:
            yield anchor + step * length
            step += 1
    elif kind == ScheduleType.ONE_TIME:
        at = _the_time(recurrence)
        if at > after:
            yield at


def _anchor(recurrence: Recurrence, otherwise: datetime) -> tuple[datetime, int]:
    """From where an interval counts, and the number of its first occurrence."""
    if recurrence.start_at is not None:
        return recurrence.start_at, 0
    return recurrence.anchor_at or otherwise, 1


def _the_time(recurrence: Recurrence) -> datetime:
    return instant(recurrence.config["scheduled_time"], UTC_ZONE)


# --- those that were due --------------------------------------------------------------------------


def occurrences_between(
    recurrence: Recurrence, first: datetime, last: datetime, limit: int
) -> Past:
    """The occurrences from `first` to `last`, both included; `limit` of them, the rest counted."""
    first = max(first, recurrence.start_at or first)
    last = min(last, recurrence.end_at or last)
    if last < first:
        return Past((), 0)
    with _making_sense():
        if recurrence.type == ScheduleType.INTERVAL:
            return _of_interval(recurrence, first, last, limit)
        found = _backwards(recurrence, first, last)
        return Past(tuple(islice(found, limit)), sum(1 for _older in found))


def _of_interval(recurrence: Recurrence, first: datetime, last: datetime, limit: int) -> Past:
    """By arithmetic: an interval of a second has millions in a month."""
    length = timedelta(seconds=recurrence.config["interval_seconds"])
    anchor, earliest = _anchor(recurrence, first)
    oldest = max(earliest, -((anchor - first) // length))
    newest = (last - anchor) // length
    count = max(newest - oldest + 1, 0)
    shown = min(count, limit)
    times = (anchor + step * length for step in range(newest, newest - shown, -1))
    return Past(tuple(times), count - shown)


def _backwards(recurrence: Recurrence, first: datetime, last: datetime) -> Iterator[datetime]:
    if text := as_cron(recurrence.type, recurrence.config):
        for at in cron.preceding(text, ZoneInfo(recurrence.zone), last):
            if at < first:
                return
            yield at
    elif recurrence.type == ScheduleType.ONE_TIME and first <= _the_time(recurrence) <= last:
        yield _the_time(recurrence)


# --- in words -------------------------------------------------------------------------------------


def explain(recurrence: Recurrence) -> str:
    """`Mondays at 09:00`, in the language in force and the schedule's own zone."""
    with _making_sense():
        return explained(recurrence.type, recurrence.config, ZoneInfo(recurrence.zone))


def preview(config: Recurrence, n: int = 5, *, now: datetime) -> Preview:
    """What it says, the next `n` (1-50) occurrences, and what may surprise (O1, U2).

    Raises `InvalidScheduleException` for another `n`.
    """
    if not 1 <= n <= MOST_SHOWN:
        raise InvalidScheduleException(
            _("n: from 1 to %(most)s", most=MOST_SHOWN),
            {"n": _("from 1 to %(most)s", most=MOST_SHOWN)},
        )
    with _making_sense():
        zone = ZoneInfo(config.zone)
    times = list(islice(following(config, now), n))
    said: tuple[str, ...] = ()
    if config.type not in (ScheduleType.EVENT, ScheduleType.CHAINED):
        coming = times[0] if times else None
        span = (max(now, config.start_at or now), min(now + YEAR, config.end_at or now + YEAR))
        said = tuple(notices(config.type, config.config, zone, coming, span))
    shown = tuple(Coming(at.astimezone(zone), at.astimezone(UTC)) for at in times)
    return Preview(explain(config), config.zone, shown, said)


def require_period(recurrence: Recurrence, shortest: timedelta, now: datetime) -> None:
    """A task may ask for some time between its runs (T7). Raises `InvalidScheduleException`."""
    times = list(islice(following(recurrence, now), LOOKED_AT))
    if any(late - early < shortest for early, late in pairwise(times)):
        minutes = int(shortest.total_seconds()) // 60
        why = _(
            "this task runs at most every %(minutes)s minutes, for example "
            '{"schedule_type": "interval", "minutes": %(minutes)s}',
            minutes=minutes,
        )
        raise InvalidScheduleException(f"schedule_config: {why}", {"schedule_config": why})
