"""When a schedule runs, as people and programs write it, and as we store it (schedules 3).

Shape A nests the keys of a type under `schedule_config`, shape B has them flat beside
`schedule_type`; both are read into one `Timing`, and shown again in either. One model per type
serves API, form, command line and import (T1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from flask_babel import gettext as _
from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from app.models.schedule import MOST, ScheduleType
from app.services.local_time import zone_names
from app.services.schedule_errors import InvalidScheduleException
from app.services.schedule_faults import Keys, checked, reason, sentence
from app.services.schedule_keys import (
    ChainedKeys,
    CronKeys,
    DailyKeys,
    EventKeys,
    IntervalKeys,
    OneTimeKeys,
    WeeklyKeys,
    instant,
    shown_instant,
)

UTC_ZONE = ZoneInfo("UTC")


MODELS: dict[ScheduleType, Any] = {
    ScheduleType.EVENT: EventKeys,
    ScheduleType.CRON: CronKeys,
    ScheduleType.INTERVAL: IntervalKeys,
    ScheduleType.ONE_TIME: OneTimeKeys,
    ScheduleType.DAILY: DailyKeys,
    ScheduleType.WEEKLY: WeeklyKeys,
    ScheduleType.CHAINED: ChainedKeys,
}


@dataclass(frozen=True)
class Rules:
    """What reading needs to know: the instant, the door's zone (T10), the shortest interval.

    `past_too`: what was saved once is read again, so a one-time schedule may be over (O3).
    """

    now: datetime
    timezone: str = "UTC"
    shortest_seconds: int = 1
    past_too: bool = False


@dataclass(frozen=True)
class Timing:
    """When a schedule runs, checked; `config` is the stored form of its type (T3)."""

    type: ScheduleType
    config: Mapping[str, Any]
    timezone: str = "UTC"
    start_at: datetime | None = None
    end_at: datetime | None = None
    max_executions: int | None = None


# --- reading --------------------------------------------------------------------------------------


def read_nested(body: Any, rules: Rules) -> Timing:
    """Shape A: `{"schedule_type": …, "schedule_config": {…}}` and what holds for all types.

    Raises `InvalidScheduleException`.
    """
    given = _object(body, "schedule_config")
    if "schedule_config" not in given:
        raise _required("schedule_config", '{"hour": 8, "minute": 0}')
    keys = _object(given.pop("schedule_config"), "schedule_config")
    kind = type_of(given)
    common = {name: given.pop(name) for name in list(given) if name in Common.model_fields}
    if given:
        raise _unknown(given, ["schedule_type", "schedule_config", *Common.model_fields])
    return _read(kind, keys, common, rules)


def read_flat(body: Any, rules: Rules) -> Timing:
    """Shape B: `{"schedule_type": …, "hour": …, "timezone": …}`.

    Raises `InvalidScheduleException`.
    """
    keys = _object(body, "schedule_config")
    kind = type_of(keys)
    common = {name: keys.pop(name) for name in list(keys) if name in Common.model_fields}
    return _read(kind, keys, common, rules)


def patched(timing: Timing, changes: Any, rules: Rules) -> Timing:
    """`timing` with the flat keys of `changes`; what isn't given stays (O1).

    Another type needs its own keys (T6). Raises `InvalidScheduleException`.
    """
    keys = _object(changes, "schedule_config")
    kind = type_of(keys) if "schedule_type" in keys else timing.type
    common = _common_of(timing)
    common |= {name: keys.pop(name) for name in list(keys) if name in Common.model_fields}
    if kind is timing.type and not keys:
        read = _read_common(common, rules)
        return replace(read, type=timing.type, config=timing.config)
    if kind is timing.type:
        keys = MODELS[kind].merged(dict(timing.config), keys)
    elif not keys and MODELS[kind].model_fields:
        raise _required(", ".join(MODELS[kind].model_fields), None)
    return _read(kind, keys, common, rules)


def read_keys(
    kind: ScheduleType, keys: Any, rules: Rules | None, timezone: str = "UTC"
) -> dict[str, Any]:
    """The stored form of a type's keys; without `rules` nothing that depends on the time is asked.

    Raises `InvalidScheduleException`.
    """
    context = {
        "now": rules.now if rules and not rules.past_too else None,
        "shortest": rules.shortest_seconds if rules else 1,
        "zone": ZoneInfo(timezone),
    }
    stored: dict[str, Any] = checked(MODELS[kind], keys, context).stored()
    return stored


def read_zone(name: Any) -> str:
    """A time zone by its IANA name (T5). Raises `InvalidScheduleException`."""
    if name is None:
        raise _required("timezone", '"Europe/Paris"')
    return str(checked(Common, {"timezone": name}).timezone)


def type_of(given: dict[str, Any]) -> ScheduleType:
    """Takes `schedule_type` out of `given`. Raises `InvalidScheduleException`."""
    if "schedule_type" not in given:
        raise _required("schedule_type", '"daily"')
    try:
        return ScheduleType(given.pop("schedule_type"))
    except ValueError:
        names = ", ".join(ScheduleType)
        raise _invalid("schedule_type", _("one of %(names)s", names=names)) from None


# --- showing --------------------------------------------------------------------------------------


def nested(timing: Timing) -> dict[str, Any]:
    """As shape A shows it: intervals in hours and minutes where they are whole."""
    shown = MODELS[timing.type].nested(dict(timing.config))
    return {"schedule_type": timing.type.value, "schedule_config": shown}


def flat(timing: Timing) -> dict[str, Any]:
    """As shape B shows it."""
    return {
        "schedule_type": timing.type.value,
        **timing.config,
        "timezone": timing.timezone,
        "max_executions": timing.max_executions,
    }


# --- what holds for all types ---------------------------------------------------------------------


def known_zone(name: str) -> str:
    """A time zone by its IANA name; raises what validators raise (T5)."""
    if name not in zone_names():
        raise reason(_("no time zone of that name; write one like Europe/Paris"))
    return name


Zone = Annotated[str, AfterValidator(known_zone)]


def _moment(text: str, info: ValidationInfo) -> str:
    zone = info.data.get("timezone") or (info.context or {}).get("timezone", "UTC")
    return shown_instant(instant(text, ZoneInfo(zone)))


Moment = Annotated[str, AfterValidator(_moment)]


class Common(Keys):
    """Zone, first and last moment, and how often at most (rulings RE2)."""

    timezone: Zone | None = Field(
        default=None, examples=["Europe/Paris"]
    )  # first: the next two ask it
    start_at: Moment | None = Field(default=None, examples=["2026-03-02T09:00:00Z"])
    end_at: Moment | None = Field(default=None, examples=["2026-12-31T18:00:00Z"])
    max_executions: Annotated[int, Field(ge=1, le=MOST)] | None = Field(default=None, examples=[24])

    @model_validator(mode="after")
    def _in_order(self) -> Common:
        if self.start_at and self.end_at and self.start_at >= self.end_at:
            raise sentence(_("start_at must be before end_at"), "end_at")
        return self


def _read(kind: ScheduleType, keys: dict[str, Any], common: dict[str, Any], rules: Rules) -> Timing:
    timing = _read_common(common, rules)
    config = read_keys(kind, keys, rules, timing.timezone)
    return replace(timing, type=kind, config=config)


def _read_common(given: dict[str, Any], rules: Rules) -> Timing:
    """A timing whose type is still to be filled in."""
    common = checked(Common, given, {"timezone": rules.timezone})
    timezone = common.timezone or rules.timezone
    start, end = (_at(text) for text in (common.start_at, common.end_at))
    return Timing(ScheduleType.CHAINED, {}, timezone, start, end, common.max_executions)


def _at(text: str | None) -> datetime | None:
    return instant(text, UTC_ZONE) if text else None


def _common_of(timing: Timing) -> dict[str, Any]:
    return {
        "timezone": timing.timezone,
        "start_at": timing.start_at and shown_instant(timing.start_at),
        "end_at": timing.end_at and shown_instant(timing.end_at),
        "max_executions": timing.max_executions,
    }


def _object(given: Any, name: str) -> dict[str, Any]:
    """A copy that may be taken apart."""
    if not isinstance(given, Mapping):
        raise _invalid(name, _("an object is needed"))
    return dict(given)


def _unknown(given: Mapping[str, Any], names: list[str]) -> InvalidScheduleException:
    said = _("unknown here; there are %(names)s", names=", ".join(names))
    problems = {str(name)[:100]: said for name in given}
    return InvalidScheduleException("; ".join(f"{n}: {said}" for n in problems), problems)


def _required(field: str, example: str | None) -> InvalidScheduleException:
    said = _("required, for example %(example)s", example=example) if example else _("required")
    return InvalidScheduleException(f"{field} {said}", {field: said})


def _invalid(field: str, why: str) -> InvalidScheduleException:
    return InvalidScheduleException(f"{field}: {why}", {field: why})
