"""From what was typed about a schedule that follows the clock to what services take, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.admin.schedule_fields import ASKED, ScheduleForm, settings_typed
from app.automation import faces
from app.models import AutomationSchedule
from app.models.automation import MadeBy
from app.models.schedule import ScheduleType
from app.services import recurring, schedules
from app.services.actors import Actor
from app.services.intervals import show_interval
from app.services.refusals import Refusal
from app.services.schedule_config import UTC_ZONE
from app.services.schedule_errors import InvalidScheduleException
from app.services.schedule_faces import Door, TaskFace
from app.services.schedule_keys import instant
from app.services.schedule_models import BotType

LOCAL = "%Y-%m-%dT%H:%M"
SHORTEST = timedelta(minutes=1)  # that the form takes (schedules V1)
OPTIONS = (
    "max_executions", "max_instances", "misfire_grace_time", "coalesce", "timeout_seconds",
    "overlap_policy", "retry_max", "retry_backoff", "retry_base_seconds", "retry_cap_seconds",
)  # fmt: skip
NEVER_EMPTY = ("overlap_policy", "retry_backoff", "retry_base_seconds", "retry_cap_seconds")
LINKS = ("on_success_schedule_id", "on_failure_schedule_id")
KEY = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b")  # what services call a field
# Where a refusal of the services is shown.
SHOWN_AT = {
    "hour": "at",
    "minute": "at",
    "day_of_week": "weekdays",
    "interval_seconds": "every",
    "hours": "every",
    "minutes": "every",
    "cron_expression": "cron",
    "scheduled_time": "once",
    "start_at": "starts",
    "end_at": "ends",
    "schedule_config": "schedule_type",
}


def door() -> Door:
    """How schedules are written that come through the form (schedules T10)."""
    return faces.door(MadeBy.FORM)


# --- what stands in a row, for the form ----------------------------------------------------------


def shown(session: Session, row: AutomationSchedule) -> dict[str, Any]:
    """What the fields have that are no columns, in the schedule's own zone."""
    zone = ZoneInfo(zone_of(session, row))
    found: dict[str, Any] = {
        "starts": _local(row.start_at, zone),
        "ends": _local(row.end_at, zone),
    }
    kind, config = row.schedule_type, row.schedule_config or {}
    if kind in (ScheduleType.DAILY, ScheduleType.WEEKLY) and {"hour", "minute"} <= config.keys():
        found["at"] = time(config["hour"], config["minute"])
    if kind == ScheduleType.WEEKLY:
        found["weekdays"] = str(config.get("day_of_week", "")).split(",")
    if kind == ScheduleType.INTERVAL and "interval_seconds" in config:
        found["every"] = timedelta(seconds=config["interval_seconds"])
    if kind == ScheduleType.CRON:
        found["cron"] = config.get("cron_expression")
    if kind == ScheduleType.ONE_TIME and "scheduled_time" in config:
        found["once"] = _local(instant(config["scheduled_time"], UTC_ZONE), zone)
    return found


def zone_of(session: Session, row: AutomationSchedule) -> str:
    """The zone that a schedule counts in."""
    return row.timezone or recurring.recurrence_of(session, row).zone


def _local(at: datetime | None, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime(LOCAL) if at else ""


# --- what was typed, for the services ------------------------------------------------------------


def config_of(form: ScheduleForm) -> dict[str, Any]:
    """The flat keys of its kind. Raises `InvalidScheduleException`."""
    kind = form.kind
    found: dict[str, Any] = {"schedule_type": kind.value}
    if kind is ScheduleType.EVENT:
        events = form.events.data
        found |= {"beforeafter": form.beforeafter.data.value, "events": events and events.value}
        found["interval"] = show_interval(form.interval.data)
    if "at" in ASKED[kind]:
        found |= {"hour": form.at.data.hour, "minute": form.at.data.minute}
    if kind is ScheduleType.WEEKLY:
        found["day_of_week"] = ",".join(form.weekdays.data)
    if kind is ScheduleType.INTERVAL:
        if form.every.data < SHORTEST:
            why = _("at least one minute")
            raise InvalidScheduleException(why, {"interval_seconds": why})
        found["interval_seconds"] = int(form.every.data.total_seconds())
    if kind is ScheduleType.CRON:
        found["cron_expression"] = form.cron.data.strip()
    if kind is ScheduleType.ONE_TIME:
        found["scheduled_time"] = form.once.data.strip()
    return found


def times_of(form: ScheduleForm) -> dict[str, Any]:
    """Zone, start and end; empty means none."""
    zone = (form.timezone.data or "").strip()
    ends = {"start_at": form.starts.data or None, "end_at": form.ends.data or None}
    return ends | ({"timezone": zone} if zone else {})


def changed_config(
    session: Session, form: ScheduleForm, row: AutomationSchedule
) -> dict[str, Any] | None:
    """The keys of its kind if they were changed: a one-time schedule may lie in the past."""
    was, kind = shown(session, row), form.kind
    same = kind == row.schedule_type and all(
        form[name].data == was.get(name) for name in ASKED[kind]
    )
    return None if same else config_of(form)


def changed_times(session: Session, form: ScheduleForm, row: AutomationSchedule) -> dict[str, Any]:
    """Zone, start and end, as far as they were changed."""
    was, typed = shown(session, row), times_of(form)
    before = {
        "start_at": was["starts"] or None,
        "end_at": was["ends"] or None,
        "timezone": zone_of(session, row),
    }
    return {name: value for name, value in typed.items() if value != before[name]}


def options_of(form: ScheduleForm, *, created: bool) -> dict[str, Any]:
    """Limits and retries; of a new one only what was filled in, so that its door decides (T10)."""
    found = {}
    for name in OPTIONS:
        value = form[name].data
        value = str(value) if isinstance(value, str) else value
        if value is not None or not (created or name in NEVER_EMPTY):
            found[name] = value
    return found


def task_config_of(form: ScheduleForm, face: TaskFace | None) -> dict[str, Any]:
    """The configuration of its task, from its own fields, else as JSON."""
    own = form.own_settings
    if own is not None and face is not None and face.config_model is not None:
        return settings_typed(own, face.config_model)
    return form.task_config.data or {}


def dry_of(form: ScheduleForm, row: AutomationSchedule | None) -> bool:
    """Whether it is only tried out: who writes to people begins so, and only "Go live" ends it."""
    if row is None or row.id is None:
        return bool(form.dry_run.data) or form.class_name in tuple(BotType)
    return bool(row.dry_run or form.dry_run.data)


def all_options(
    form: ScheduleForm, row: AutomationSchedule | None, face: TaskFace | None
) -> dict[str, Any]:
    """What services take beside the times."""
    return {
        "name": form.name.data,
        "description": form.description.data or None,
        "task_config": task_config_of(form, face),
        "dry_run": dry_of(form, row),
        **options_of(form, created=row is None),
        **{name: form[name].uuid for name in LINKS},
    }


# --- saving --------------------------------------------------------------------------------------


def create(
    session: Session, form: ScheduleForm, actor: Actor, practice_id: int, now: datetime
) -> AutomationSchedule:
    """A new schedule. Raises the refusals of `schedules.add_schedule`."""
    form.automation_class.row()  # written down now if no scheduler ever started
    face = door().face(form.class_name)
    links = all_options(form, None, face)
    given = {name: value for name, value in links.items() if name not in LINKS or value is not None}
    return schedules.add_schedule(
        session,
        form.class_name,
        config_of(form) | {n: v for n, v in times_of(form).items() if v is not None},
        actor,
        practice_id,
        form.context_data.data or {},
        now=now,
        door=door(),
        active=bool(form.active.data),
        **given,
    )


def change(
    session: Session, form: ScheduleForm, row: AutomationSchedule, actor: Actor, now: datetime
) -> AutomationSchedule:
    """The schedule with what was typed. Raises the refusals of `schedules.update_schedule`."""
    row.automation_class = form.automation_class.row()
    session.flush()  # the service reads the row anew
    face = door().face(form.class_name)
    options = all_options(form, row, face)
    if bool(form.active.data) != row.switched_on:
        options["active"] = bool(form.active.data)
    return schedules.update_schedule(
        session,
        row.schedule_id,
        changed_config(session, form, row),
        actor,
        now=now,
        door=door(),
        context_data=form.context_data.data or {},
        **changed_times(session, form, row),
        **options,
    )


# --- refusals at their fields --------------------------------------------------------------------


def place(form: ScheduleForm, no: Refusal) -> bool:
    """Put what is wrong beside the fields it is about; False: it is about none of them."""
    problems: Mapping[str, str] = getattr(no, "problems", {})
    for name, why in problems.items():
        field = _field_of(form, name)
        if field is None:
            form.form_errors.append(_sentence(form, f"{name}: {why}" if name else why))
        else:
            field.errors = [*field.errors, _sentence(form, why)]
    return bool(problems)


def _field_of(form: ScheduleForm, name: str) -> Any:
    first, _dot, part = name.partition(".")
    own = form.own_settings
    if first == "task_config" and own is not None and part.split(".")[0] in own:
        return own[part.split(".")[0]]
    at = SHOWN_AT.get(first, first)
    return form._fields.get(at)


def _sentence(form: ScheduleForm, words: str) -> str:
    """`not below 1` as a sentence; fields are called as the form calls them."""
    words = KEY.sub(lambda found: _called(form, found[0]), words)
    words = f"{words[:1].upper()}{words[1:]}"
    return words if words.endswith((".", "?")) else f"{words}."


def _called(form: ScheduleForm, key: str) -> str:
    field = form._fields.get(SHOWN_AT.get(key, key))
    return f"“{field.label.text}”" if field is not None else key
