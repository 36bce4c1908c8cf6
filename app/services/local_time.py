"""Local times and the nights on which clocks change (schedules T5, N4)."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
OF_THIS_MACHINE = frozenset({"localtime", "posixrules", "Factory"})  # or of none


@cache
def zone_names() -> frozenset[str]:
    """Every time zone that means the same on each machine; looked up once, in a folder tree."""
    return frozenset(zoneinfo.available_timezones()) - OF_THIS_MACHINE


def instant_of(local: datetime, zone: ZoneInfo) -> datetime:
    """The UTC instant of a naive local time.

    One that comes twice is the first; for one that the clock skips it is the end of the gap, as
    cron does it: 02:30 in a gap of 02:00 to 03:00 is 03:00 (schedules N4).
    """
    instant = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if not is_skipped(local, zone):
        return instant
    at = local.replace(second=0, microsecond=0)
    while is_skipped(at, zone):
        at += MINUTE
    return at.replace(tzinfo=zone).astimezone(UTC)


def is_skipped(local: datetime, zone: ZoneInfo) -> bool:
    """Whether no clock of the zone ever shows this naive local time."""
    there_and_back = local.replace(tzinfo=zone, fold=0).astimezone(UTC).astimezone(zone)
    return there_and_back.replace(tzinfo=None) != local.replace(fold=0)


class ClockChange(NamedTuple):
    """The instant from which a zone counts otherwise, and its offset before and after."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def from_local(self) -> datetime:
        """What clocks would show at that instant had they not been changed."""
        return (self.at + self.before).replace(tzinfo=None)

    @property
    def to_local(self) -> datetime:
        """What they show instead."""
        return (self.at + self.after).replace(tzinfo=None)


def clock_changes(zone: ZoneInfo, since: datetime, until: datetime) -> Iterator[ClockChange]:
    """When clocks change in this time, the earliest first; two on one day count as their sum."""
    before = since
    while before < until:
        after = min(before + DAY, until)
        if _offset(zone, before) != _offset(zone, after):
            yield _change_between(zone, before, after)
        before = after


def _change_between(zone: ZoneInfo, before: datetime, after: datetime) -> ClockChange:
    old, new = _offset(zone, before), _offset(zone, after)
    low, high = int(before.timestamp()), int(after.timestamp()) + 1
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, datetime.fromtimestamp(middle, UTC)) == old:
            low = middle
        else:
            high = middle
    return ClockChange(datetime.fromtimestamp(high, UTC), old, new)


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta(0)
