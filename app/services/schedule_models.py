"""The models of document 003 under their own names, with its defaults and rules (rulings RE1).

`ScheduledJobConfig` is what `POST /scheduler/jobs` takes; the two bot configurations are what the
greetings and the profile review are set up with (schedules B1, F1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from flask_babel import gettext as _
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from app.models.automation import RunStatus
from app.models.schedule import MOST, ScheduleType
from app.services.schedule_config import Zone, read_keys
from app.services.schedule_faults import Keys, checked, reason, refused_by
from app.services.schedule_options import read_context

__all__ = (
    "BirthdayBotConfig",
    "BotTimeouts",
    "BotType",
    "JobExecutionLog",
    "ScheduleType",
    "ScheduledJobConfig",
    "VisitorBotConfig",
    "in_window",
)

DAYS_LATE = 7  # of a schedule that congratulates on the day only
WINDOW = re.compile(r"([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)", re.ASCII)
C = TypeVar("C", bound="BotConfig")


class BotType(StrEnum):
    """The tasks of document 003."""

    BIRTHDAY = "birthday"
    VISITOR = "visitor"


# --- the bots -------------------------------------------------------------------------------------


def _window(text: str) -> str:
    if not WINDOW.fullmatch(text) or text[:5] >= text[6:]:
        raise reason(_("write two times of a day, the earlier first"))
    return text


def in_window(window: str, local: datetime) -> bool:
    """Whether letters go out at this local time: from the first time to just before the second."""
    return window[:5] <= f"{local:%H:%M}" < window[6:]


class BotConfig(Keys):
    """What both have."""

    dry_run: bool = Field(default=False, examples=[True])
    send_window: Annotated[str, AfterValidator(_window)] = Field(
        default="07:00-19:00", examples=["07:00-19:00"]
    )
    stagger_seconds: int = Field(default=0, ge=0, le=300, examples=[10])

    @classmethod
    def for_form(cls: type[C]) -> C:
        """What a form begins with: in test mode (U3)."""
        return cls(dry_run=True)


class BirthdayBotConfig(BotConfig):
    """Birthday greetings (B1). Real letters unless `dry_run`."""

    process_late: bool = Field(default=False, examples=[True])
    max_days_late: int = Field(default=DAYS_LATE, ge=1, le=365, examples=[7])
    max_messages_per_run: Annotated[int, Field(ge=1, le=500)] | None = Field(
        default=10, examples=[10]
    )
    audience: Literal["students", "trainers", "both"] = Field(
        default="students", examples=["students"]
    )
    feb29: Literal["feb28", "mar1"] = Field(default="feb28", examples=["feb28"])
    require_consent: bool = Field(default=False, examples=[True])

    @model_validator(mode="after")
    def _only_late_looks_back(self) -> BirthdayBotConfig:
        if not self.process_late and self.max_days_late != DAYS_LATE:
            object.__setattr__(self, "max_days_late", DAYS_LATE)  # frozen for everyone else
        return self


def _as_tuple(given: Any) -> Any:
    """JSON has lists only."""
    return tuple(given) if isinstance(given, list) else given


Check = Literal["name", "phone", "address", "birthday", "emergency_contact"]


class VisitorBotConfig(BotConfig):
    """The profile review (F1). Leaves its traces unless `dry_run`."""

    limit: int = Field(default=50, ge=1, le=500, examples=[50])
    revisit_after_days: int = Field(default=30, ge=1, le=365, examples=[30])
    dormant_days: int = Field(default=90, ge=7, le=365, examples=[90])
    audience: Literal["all", "incomplete", "dormant", "incomplete_or_dormant"] = Field(
        default="incomplete_or_dormant", examples=["incomplete"]
    )
    invite: bool = Field(default=True, examples=[False])
    max_invitations_per_run: Annotated[int, Field(ge=1, le=500)] | None = Field(
        default=None, examples=[20]
    )
    checks: Annotated[tuple[Check, ...], BeforeValidator(_as_tuple), Field(min_length=1)] = Field(
        default=("name", "phone", "address"), examples=[["name", "address"]]
    )

    @field_validator("checks")
    @classmethod
    def _once_each(cls, checks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(checks))

    @property
    def most_invitations(self) -> int:
        """As many as profiles, if nothing else was said."""
        return self.max_invitations_per_run or self.limit


CONFIGS: dict[BotType, type[BotConfig]] = {
    BotType.BIRTHDAY: BirthdayBotConfig,
    BotType.VISITOR: VisitorBotConfig,
}


@dataclass(frozen=True)
class BotTimeouts:
    """How long a run may take, in minutes (V1: BOT_TIMEOUT_…)."""

    birthday: int = 30
    late: int = 180
    visitor: int = 45

    def of(self, bot_type: BotType, bot_config: Mapping[str, Any]) -> timedelta:
        """That of a schedule (B6, F5): late birthdays take longer."""
        if bot_type is BotType.VISITOR:
            return timedelta(minutes=self.visitor)
        late = bot_config.get("process_late", False)
        return timedelta(minutes=self.late if late else self.birthday)


# --- the job --------------------------------------------------------------------------------------


def _name(text: str) -> str:
    name = text.strip()
    odd = "/" in name or not name.isprintable() or name.lower().startswith("system:")
    if not 1 <= len(name) <= 200 or odd:
        raise reason(_("1 to 200 characters without a slash, not beginning with system:"))
    return name


def _enum(kind: type[StrEnum], *allowed: StrEnum) -> BeforeValidator:
    """JSON has texts only; a member is its text."""

    def read(given: Any) -> Any:
        if not isinstance(given, str) or given not in (allowed or tuple(kind)):
            names = ", ".join(allowed or kind)
            raise reason(_("one of %(names)s", names=names))
        return kind(given)

    return BeforeValidator(read)


OF_JOBS = tuple(kind for kind in ScheduleType if kind is not ScheduleType.EVENT)


class ScheduledJobConfig(Keys):
    """A job as document 003 has it; `bot_config` may be one of the models above.

    Validated with the context `rules` (`schedule_config.Rules`), what depends on the time is
    checked too: a one-time job lies ahead, a cron expression comes round.
    """

    name: Annotated[str, AfterValidator(_name)] = Field(examples=["Daily Birthday Messages"])
    description: Annotated[str, Field(max_length=500)] | None = Field(
        default=None, examples=["At 8am"]
    )
    bot_type: Annotated[BotType, _enum(BotType)] = Field(examples=["birthday"])
    enabled: bool = Field(default=True, examples=[False])
    schedule_type: Annotated[ScheduleType, _enum(ScheduleType, *OF_JOBS)] = Field(
        examples=["daily"]
    )
    timezone: Zone | None = Field(default=None, examples=["Europe/Paris"])
    schedule_config: dict[str, Any] = Field(examples=[{"hour": 8, "minute": 0}])
    bot_config: dict[str, Any] = Field(examples=[{"dry_run": True}])
    max_instances: int = Field(default=1, ge=1, le=100, examples=[1])
    misfire_grace_time: int = Field(default=3600, ge=0, le=31_536_000, examples=[3600])
    coalesce: bool = Field(default=True, examples=[True])
    max_executions: Annotated[int, Field(ge=1, le=MOST)] | None = Field(default=None, examples=[24])
    context_data: dict[str, Any] = Field(default_factory=dict, examples=[{}])

    @field_validator("schedule_config")
    @classmethod
    def _of_its_type(cls, given: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """Checked, but kept as it was written."""
        kind = info.data.get("schedule_type")
        if kind is not None:
            with refused_by("schedule_config"):
                rules = (info.context or {}).get("rules")
                zone = info.data.get("timezone") or (rules.timezone if rules else "UTC")
                read_keys(kind, given, rules, zone)
        return given

    @field_validator("bot_config", mode="before")
    @classmethod
    def _of_its_bot(cls, given: Any, info: ValidationInfo) -> Any:
        """In full, so that a default that changes changes no saved row (T8)."""
        kind = info.data.get("bot_type")
        if isinstance(given, BotConfig):
            given = given.model_dump()
        if kind is None or not isinstance(given, dict):
            return given
        with refused_by("bot_config"):
            return checked(CONFIGS[kind], given).model_dump(mode="json")

    @field_validator("context_data")
    @classmethod
    def _plain(cls, given: dict[str, Any]) -> dict[str, Any]:
        with refused_by("context_data"):
            return read_context(given)


class JobExecutionLog(BaseModel):
    """What became of a run, as document 003 tells it."""

    model_config = ConfigDict(extra="forbid")

    job_id: str
    started_at: datetime
    finished_at: datetime | None = None
    status: RunStatus
    result: dict[str, Any] | None = None
    error: str | None = None
    messages_sent: int = Field(default=0, ge=0)
    profiles_visited: int = Field(default=0, ge=0)

    @field_validator("started_at", "finished_at")
    @classmethod
    def _in_utc(cls, at: datetime | None) -> datetime | None:
        """The document's snippets have naive instants, which are UTC."""
        return at and (at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC))
