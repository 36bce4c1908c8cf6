"""Schedules as JSON, out and in again: all of a file or nothing (schedules O3)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.models.automation import AutomationSchedule
from app.models.types import new_uuid
from app.services import schedule_filling as filling
from app.services.refusals import Refusal
from app.services.schedule_config import flat
from app.services.schedule_errors import InvalidScheduleException
from app.services.schedule_faces import Door
from app.services.schedule_keys import shown_instant
from app.services.schedule_options import ScheduleOptions, read_context, read_options
from app.services.schedule_reading import Who, actor_of, list_schedules, timing_of
from app.services.schedules import insert

FORMAT = 1
LINKS = {"on_success": "on_success_schedule_id", "on_failure": "on_failure_schedule_id"}
KEYS = frozenset(
    {"name", "description", "task", "schedule_config", "task_config", "dry_run", "context_data"}
    | {"options", *LINKS}
)
SECRET = re.compile(r"pass(word|wd|phrase)|secret|token|api_?key|credential|private_?key", re.I)


# --- out -----------------------------------------------------------------------------------------


def export_schedules(session: Session, user_id: Who = None) -> dict[str, Any]:
    """All schedules one sees, without secrets, counters and runs; chains by name."""
    rows = list_schedules(session, user_id, page_size=None).items
    names: dict[int | None, str] = {row.id: row.name for row in rows}
    told = [_told(session, row, names) for row in sorted(rows, key=lambda row: row.name)]
    return {"format": FORMAT, "schedules": told}


def _told(
    session: Session, row: AutomationSchedule, names: Mapping[int | None, str]
) -> dict[str, Any]:
    timing = timing_of(session, row)
    span = {"start_at": row.start_at, "end_at": row.end_at}
    times = {name: shown_instant(at) for name, at in span.items() if at is not None}
    config = {k: v for k, v in flat(timing).items() if k != "max_executions"}
    return {
        "name": row.name,
        "description": row.description,
        "task": row.automation_class.class_name if row.automation_class else None,
        "schedule_config": config | times,
        "task_config": _without_secrets(dict(row.task_config or {})),
        "dry_run": row.dry_run,
        "context_data": _without_secrets(dict(row.context_data or {})),
        "options": {name: _text(getattr(row, name)) for name in ScheduleOptions.model_fields},
        **{name: names.get(getattr(row, column)) for name, column in LINKS.items()},
    }


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_secrets(v) for k, v in value.items() if not SECRET.search(k)}
    return [_without_secrets(one) for one in value] if isinstance(value, list) else value


# --- in ------------------------------------------------------------------------------------------


def import_schedules(
    session: Session,
    given: Any,
    user_id: Who,
    community_id: int | None,
    *,
    now: datetime,
    door: Door,
) -> list[AutomationSchedule]:
    """The schedules of an export, inactive; of a file with faults none.

    Raises `InvalidScheduleException`, whose `problems` name each row that is refused, from 1.
    """
    rows = _rows(given)
    with session.begin_nested():
        made: dict[str, AutomationSchedule] = {}
        problems: dict[str, str] = {}
        for number, row in enumerate(rows, start=1):
            try:
                with session.begin_nested():
                    one = _import(session, row, user_id, community_id, now=now, door=door)
                    made[one.name] = one
            except Refusal as no:
                problems[str(number)] = str(getattr(no, "detail", None) or no.sentence)
        for number, row in enumerate(rows, start=1):
            if str(number) not in problems:
                _link(session, number, row, made, problems, user_id)
        if problems:
            said = "; ".join(_("row %(n)s: %(why)s", n=n, why=why) for n, why in problems.items())
            raise InvalidScheduleException(said, problems)
    return list(made.values())


def _rows(given: Any) -> Sequence[Any]:
    if not isinstance(given, Mapping) or given.get("format") != FORMAT:
        raise filling.bad("format", _("this is no export of schedules"))
    rows = given.get("schedules")
    if not isinstance(rows, list):
        raise filling.bad("schedules", _("a list is needed"))
    return rows


def _import(
    session: Session,
    given: Any,
    user_id: Who,
    community_id: int | None,
    *,
    now: datetime,
    door: Door,
) -> AutomationSchedule:
    if not isinstance(given, Mapping):
        raise filling.bad("schedules", _("an object is needed"))
    if unknown := sorted(set(map(str, given)) - KEYS):
        raise filling.bad(unknown[0][:100], _("unknown here"))
    actor = actor_of(user_id)
    practice = filling.require_practice(session, actor, community_id)
    filling.require_room(session, practice)
    of_class, face = filling.require_class(session, str(given.get("task")), door)
    zone = filling.zone_of(door, practice, face.name, None)
    config = given.get("schedule_config") or {}
    # A file tells what was: what ran once and is over comes back too, inactive.
    timing = filling.read_timing(session, config, {}, zone, now, past_too=True)
    row = AutomationSchedule(
        schedule_id=new_uuid(),
        automation_class=of_class,
        practice_id=practice.id if practice else None,
        task_config={},
    )
    filling.set_task_config(row, given.get("task_config") or {}, given.get("dry_run"), face)
    options = given.get("options")
    if options is not None and not isinstance(options, Mapping):
        raise filling.bad("options", _("an object is needed"))
    defaults = door.defaults(timing.type, face.name, row.task_config)
    filling.set_options(row, read_options(options or {}, defaults))
    filling.set_timing(row, timing)
    filling.set_description(row, given.get("description"))
    row.context_data = read_context(given.get("context_data"))
    row.name = filling.a_name(session, given.get("name"))
    return insert(session, row, actor, now=now, door=door, active=False)


def _link(
    session: Session,
    number: int,
    given: Mapping[str, Any],
    made: Mapping[str, AutomationSchedule],
    problems: dict[str, str],
    user_id: Who,
) -> None:
    """Chains within the file, once all of it is there."""
    links = {column: given[name] for name, column in LINKS.items() if given.get(name) is not None}
    unknown = [name for name in links.values() if name not in made]
    if unknown:
        problems[str(number)] = _("there is no schedule %(name)s here", name=str(unknown[0])[:100])
        return
    uuids = {column: made[name].schedule_id for column, name in links.items()}
    try:
        filling.set_links(session, made[given["name"].strip()], uuids, actor_of(user_id))
    except Refusal as no:
        problems[str(number)] = str(getattr(no, "detail", None) or no.sentence)
