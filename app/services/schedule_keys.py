"""The keys of each type of schedule: what may be written, and how it is stored (T3, T4)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from flask_babel import gettext as _
from pydantic import AfterValidator, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from app.services import cron
from app.services.intervals import parse_interval, show_interval
from app.services.local_time import instant_of
from app.services.refusals import Refusal
from app.services.schedule_faults import Keys, reason, sentence

LONGEST = timedelta(days=366)
FURTHEST = timedelta(days=10 * 366)  # of a one-time schedule
# Beyond them clocks of some zone, sums with an interval or alarms have no instant any more.
YEARS = (2000, 2999)
SOON_ENOUGH = timedelta(days=5 * 365 + 2)  # five years, in which cron must come round
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?", re.ASCII | re.I
)
Hour = Annotated[int, Field(ge=0, le=23, examples=[8])]
Minute = Annotated[int, Field(ge=0, le=59, examples=[30])]


def instant(text: str, zone: ZoneInfo) -> datetime:
    """ISO 8601 in UTC, to the second; an offset or Z wins, else it is a time of the zone (T3)."""
    try:
        given = datetime.fromisoformat(text) if INSTANT.fullmatch(text) else None
        if given is not None and YEARS[0] <= given.year <= YEARS[1]:
            given = given.replace(microsecond=0)
            return given.astimezone(UTC) if given.tzinfo else instant_of(given, zone)
    except ValueError:  # a 31st of February
        given = None
    if given is not None:
        raise reason(_("a year from %(first)s to %(last)s", first=YEARS[0], last=YEARS[1]))
    raise reason(_("write a time like 2026-03-02T14:30:00 or 2026-03-02T14:30:00+01:00"))


def shown_instant(at: datetime) -> str:
    """`2026-03-02T13:30:00Z`."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


class TypeKeys(Keys):
    """What all types can do; a type overrides what is different for it."""

    def stored(self) -> dict[str, Any]:
        """What the row holds, defaults written out."""
        return self.model_dump()

    @classmethod
    def nested(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """As shape A shows what is stored."""
        return stored

    @classmethod
    def merged(cls, stored: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        """What is stored, with the keys that were sent."""
        return stored | changes


class DailyKeys(TypeKeys):
    """Every day at a time of its zone."""

    hour: Hour = 8
    minute: Minute = 0


def weekdays(text: str) -> str:
    """`Mon-Wed,sat` as `mon,tue,wed,sat`: each day once, in the order of the week."""
    found = set[str]()
    for part in text.lower().split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not {first, last if dash else first} <= set(WEEKDAYS):
            raise reason(_("write mon..sun; digits mean different days to different people"))
        begin = WEEKDAYS.index(first)
        end = WEEKDAYS.index(last) if dash else begin
        if end < begin:
            raise reason(_("a range goes forward from mon to sun"))
        found.update(WEEKDAYS[begin : end + 1])
    return ",".join(day for day in WEEKDAYS if day in found)


class WeeklyKeys(TypeKeys):
    """On some days of the week at a time of its zone."""

    day_of_week: Annotated[str, Field(max_length=100), AfterValidator(weekdays)] = Field(
        default="mon", examples=["mon,wed,fri"]
    )
    hour: Hour = 8
    minute: Minute = 0


class IntervalKeys(TypeKeys):
    """Every so many hours and minutes, or seconds, of elapsed time."""

    HUMAN: ClassVar[set[str]] = {"hours", "minutes"}

    hours: int = Field(default=0, ge=0, le=366 * 24, examples=[2])
    minutes: int = Field(default=0, ge=0, le=366 * 24 * 60, examples=[30])
    interval_seconds: int = Field(default=0, ge=1, le=366 * 86_400, examples=[3600])

    @model_validator(mode="after")
    def _one_form(self, info: ValidationInfo) -> IntervalKeys:
        given = self.model_fields_set
        human, plain = given & self.HUMAN, "interval_seconds" in given
        if not human and not plain:
            raise self._no(_("interval_seconds required, or hours and minutes, for example 3600"))
        if human and plain:
            raise self._no(_("interval_seconds: not together with hours or minutes"))
        shortest = (info.context or {}).get("shortest", 1)
        if not shortest <= self.seconds <= LONGEST.total_seconds():
            raise self._no(
                _("an interval lasts from %(shortest)s seconds to 366 days", shortest=shortest)
            )
        return self

    def _no(self, text: str) -> PydanticCustomError:
        return sentence(text, min(self.model_fields_set, default="interval_seconds"))

    @property
    def seconds(self) -> int:
        """Its length."""
        return self.interval_seconds or self.hours * 3600 + self.minutes * 60

    def stored(self) -> dict[str, Any]:
        """One form for both."""
        return {"interval_seconds": self.seconds}

    @classmethod
    def nested(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """Hours and minutes, unless seconds are left over."""
        minutes, seconds = divmod(stored["interval_seconds"], 60)
        return stored if seconds else {"hours": minutes // 60, "minutes": minutes % 60}

    @classmethod
    def merged(cls, stored: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        """An interval is changed as a whole."""
        return changes


def cron_text(text: str, info: ValidationInfo) -> str:
    """Five fields that come round within five years; macros written out (T4)."""
    context = info.context or {}
    try:
        fields = cron.expanded(text)
        if now := context.get("now"):
            first = next(cron.following(fields, context["zone"], now), None)
            if first is None or first > now + SOON_ENOUGH:
                raise cron.BadCron(_("it never comes round within five years"))
    except cron.BadCron as bad:
        raise sentence(
            _("Invalid cron expression: %(why)s, for example 0 9 * * 1-5", why=bad),
            "cron_expression",
        ) from bad
    return fields


class CronKeys(TypeKeys):
    """Unix cron in its zone."""

    cron_expression: Annotated[str, AfterValidator(cron_text)] = Field(examples=["0 9 * * 1-5"])


def _ahead(text: str, info: ValidationInfo) -> str:
    context = info.context or {}
    at, now = instant(text, context.get("zone") or ZoneInfo("UTC")), context.get("now")
    if now and not now < at <= now + FURTHEST:
        raise reason(_("must be in the future, within ten years"))
    return shown_instant(at)


class OneTimeKeys(TypeKeys):
    """Once."""

    scheduled_time: Annotated[str, AfterValidator(_ahead)] = Field(examples=["2026-12-25T15:30:00"])


class ChainedKeys(TypeKeys):
    """Only when another schedule names it."""


def _length(text: str) -> str:
    try:
        return show_interval(parse_interval(text))
    except Refusal as no:
        raise reason(str(no.sentence)) from no


class EventKeys(TypeKeys):
    """So long before or after an event of each item; null lets the task decide (waitlist WA7)."""

    beforeafter: Literal["before", "after"] = Field(default="after", examples=["before"])
    events: Literal["first", "last", "all", "invited"] | None = Field(
        default=None, examples=["first"]
    )
    interval: Annotated[str, AfterValidator(_length)] = Field(examples=["2 00:00:00"])
