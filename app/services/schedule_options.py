"""How a schedule behaves beside its times: limits, retries, context (schedules D2, T9)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from flask_babel import gettext as _
from pydantic import Field, model_validator

from app.models.schedule import MOST
from app.models.text import is_storable
from app.services.schedule_errors import InvalidScheduleException
from app.services.schedule_faults import Keys, checked, sentence

MOST_CONTEXT = 64 * 1024  # bytes
DEEPEST = 20
# JSON spells it out, but PostgreSQL takes it into no text.
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
RESERVED = ("schedule_id", "execution_id", "triggered_at")  # always ours (P4)


@dataclass(frozen=True)
class OptionDefaults:
    """What a door writes where nothing was given, once, at creation (T10); null: the class's.

    Whoever reads the settings makes one with `dataclasses.replace`.
    """

    timezone: str | None
    max_instances: int | None
    misfire_grace_time: int | None  # seconds
    coalesce: bool | None
    retry_max: int | None
    timeout_seconds: int | None


# A's zone is the practice's, if it has one; its time-out depends on the bot (B6, F5).
OF_JOBS = OptionDefaults("Europe/Paris", 1, 3600, True, 0, None)
OF_SCHEDULES = OptionDefaults("UTC", 3, 900, True, 3, 3600)
# The class's own attributes, in the practice's zone.
OF_EVENTS = OptionDefaults(None, None, None, None, 10, None)


class ScheduleOptions(Keys):
    """The options of D2; null lets the task class decide, and knows no limit of executions."""

    max_executions: Annotated[int, Field(ge=1, le=MOST)] | None = Field(default=None, examples=[24])
    max_instances: Annotated[int, Field(ge=1, le=100)] | None = Field(default=None, examples=[1])
    misfire_grace_time: Annotated[int, Field(ge=0, le=31_536_000)] | None = Field(
        default=None, examples=[3600]
    )
    coalesce: bool | None = Field(default=None, examples=[True])
    timeout_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = Field(
        default=None, examples=[3600]
    )
    overlap_policy: Literal["skip", "queue_one"] = Field(default="skip", examples=["skip"])
    retry_max: Annotated[int, Field(ge=0, le=10)] | None = Field(default=None, examples=[3])
    retry_backoff: Literal["exponential", "fixed"] = Field(
        default="exponential", examples=["fixed"]
    )
    retry_base_seconds: int = Field(default=60, ge=1, le=86_400, examples=[60])
    retry_cap_seconds: int = Field(default=3600, ge=1, le=86_400, examples=[3600])

    @model_validator(mode="after")
    def _cap_above_base(self) -> ScheduleOptions:
        if self.retry_base_seconds > self.retry_cap_seconds:
            raise sentence(
                _("retry_base_seconds: not above retry_cap_seconds"), "retry_base_seconds"
            )
        return self


def read_options(given: Mapping[str, Any], defaults: OptionDefaults) -> ScheduleOptions:
    """The options of a new schedule. Raises `InvalidScheduleException`."""
    of_door = {name: value for name, value in asdict(defaults).items() if name != "timezone"}
    return checked(ScheduleOptions, of_door | dict(given))


def changed_options(current: ScheduleOptions, changes: Mapping[str, Any]) -> ScheduleOptions:
    """The options with those that were sent; no default comes back (T10).

    Raises `InvalidScheduleException`.
    """
    return checked(ScheduleOptions, current.model_dump() | dict(changes))


# --- context --------------------------------------------------------------------------------------


class RetryConfig(Keys):
    """How often and how to try again, over the columns (P5)."""

    max_retries: Annotated[int, Field(ge=0, le=10)] | None = Field(default=None, examples=[3])
    backoff: Literal["exponential", "fixed"] | None = Field(default=None, examples=["exponential"])


class NotificationSettings(Keys):
    """Whether the creator hears of failures, by letter or chat (P5, rulings RE2)."""

    email: bool = Field(default=False, examples=[True])
    slack: bool = Field(default=False, examples=[False])


HONOURED: dict[str, type[Keys]] = {
    "retry_config": RetryConfig,
    "notification_settings": NotificationSettings,
}


def read_context(given: Any) -> dict[str, Any]:
    """Context data as it is kept, a plain JSON object. Raises `InvalidScheduleException`."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise _bad(_("an object is needed"))
    if too_deep(given):
        raise _bad(_("nested deeper than %(most)s levels", most=DEEPEST))
    if reserved := [name for name in RESERVED if name in given]:
        raise _bad(_("%(names)s is set by each run", names=", ".join(reserved)))
    kept = _plain(given)
    for name, model in HONOURED.items():
        if name in kept:
            checked_part(name, model, kept[name])
    return kept


def checked_part(name: str, model: type[Keys], given: Any) -> Keys:
    """A part of the context that we honour. Raises `InvalidScheduleException`, naming it."""
    try:
        return checked(model, given)
    except InvalidScheduleException as bad:
        problems = {f"context_data.{name}": bad.detail}
        raise InvalidScheduleException(f"context_data.{name}: {bad.detail}", problems) from bad


def too_deep(given: Any) -> bool:
    """Whether objects and lists are nested beyond what is allowed; a circle always is."""
    level = [given]
    for _depth in range(DEEPEST):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    held = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [inner for inner in held if isinstance(inner, (dict, list))]


def _plain(given: dict[str, Any]) -> dict[str, Any]:
    """A copy in JSON's own types."""
    try:
        text = json.dumps(given, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise _bad(_("only texts, numbers, true, false, null, lists and objects")) from error
    if not is_storable(text) or NUL.search(text):
        raise _bad(_("a character that no database can hold"))
    if len(text.encode()) > MOST_CONTEXT:
        raise _bad(_("larger than 64 KiB"))
    kept: dict[str, Any] = json.loads(text)
    return kept


def _bad(why: str) -> InvalidScheduleException:
    return InvalidScheduleException(f"context_data: {why}", {"context_data": why})
