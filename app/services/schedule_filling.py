"""What is checked before a schedule is written: all of it, or nothing is (schedules T2).

Everything here reads, or fills a row that is not yet sent; the acts stand in `schedules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.models.automation import (
    AutomationClasses,
    AutomationSchedule,
    BeforeAfterEnum,
    EventsEnum,
    ScheduleType,
)
from app.models.practice import Practice
from app.models.rules import rules_of
from app.services import recurrence
from app.services.actors import Actor
from app.services.intervals import parse_interval
from app.services.recurrence import Recurrence
from app.services.recurring import WITHOUT_TIME
from app.services.schedule_config import Rules, Timing, patched, read_flat, read_nested
from app.services.schedule_errors import (
    InvalidScheduleException,
    ScheduleConflictException,
    ScheduleNotFoundException,
    ScheduleQuotaException,
    WorkflowNotFoundException,
)
from app.services.schedule_faces import Door, TaskFace
from app.services.schedule_links import require_chain
from app.services.schedule_options import (
    ScheduleOptions,
    changed_options,
    read_context,
    read_options,
)
from app.services.schedule_reading import find_class, get_schedule, timing_of

MOST_NAME, MOST_DESCRIPTION = 200, 500
LINKS = ("on_success_schedule_id", "on_failure_schedule_id")
OF_ROW = ("name", "description", "task_config", "active", "dry_run", *LINKS)
NESTED = "schedule_config"  # in which shape A has the keys of a type
OF_TIME = ("timezone", "start_at", "end_at")
COPIED = (
    "description",
    "schedule_type",
    "schedule_config",
    "beforeafter",
    "events",
    "interval",
    *OF_TIME,
    "dry_run",
    "task_config",
    "context_data",
    *ScheduleOptions.model_fields,
    *LINKS,
    "template_id",
)
KNOWN = frozenset((*OF_ROW, *OF_TIME, *ScheduleOptions.model_fields))


# --- whose, and which task -----------------------------------------------------------------------


def require_class(
    session: Session, workflow_id: str, door: Door
) -> tuple[AutomationClasses, TaskFace]:
    """The task class with its face. Raises `WorkflowNotFoundException`."""
    row = find_class(session, str(workflow_id))
    face = door.face(row.class_name) if row else None
    if row is None or face is None:
        raise WorkflowNotFoundException(str(workflow_id)[:100])
    return row, face


def require_practice(session: Session, actor: Actor, community_id: Any) -> Practice | None:
    """The practice a schedule is made for; None: it holds for all of them.

    Raises `InvalidScheduleException`.
    """
    theirs = actor.practice_ids
    if community_id is None and theirs is None:
        return None
    known = type(community_id) is int and (theirs is None or community_id in theirs)
    practice = session.get(Practice, community_id) if known else None
    if practice is None:
        raise bad("community_id", _("there is no such practice"))
    return practice


def require_room(session: Session, practice: Practice | None) -> None:
    """The practice may have one more (O5). Raises `ScheduleQuotaException`."""
    if practice is None:
        return
    s, most = AutomationSchedule, rules_of(session).schedule_max_per_practice
    mine = sa.select(sa.func.count()).where(s.practice_id == practice.id, s.deleted_at.is_(None))
    if (session.scalar(mine) or 0) >= most:
        raise ScheduleQuotaException(
            _("This practice has %(most)s schedules already, as many as it may.", most=most)
        )


# --- its name ------------------------------------------------------------------------------------


def a_name(session: Session, given: Any, own_id: int | None = None) -> str:
    """A name that no other schedule has (D2).

    Raises `InvalidScheduleException`, `ScheduleConflictException`.
    """
    name = given.strip() if isinstance(given, str) else ""
    odd = "/" in name or not name.isprintable() or name.lower().startswith("system:")
    if not 1 <= len(name) <= MOST_NAME or odd:
        why = _(
            "1 to 200 characters without a slash, not beginning with system:, "
            "for example Daily greetings"
        )
        raise bad("name", why)
    if is_taken(session, name, own_id):
        raise ScheduleConflictException(_("Another schedule has this name already."))
    return name


def is_taken(session: Session, name: str, own_id: int | None = None) -> bool:
    """Whether another schedule that is not deleted has this name."""
    s = AutomationSchedule
    taken = sa.select(s.id).where(s.name == name, s.deleted_at.is_(None))
    with session.no_autoflush:
        return any(id_ != own_id for id_ in session.scalars(taken))


def free_name(session: Session, wanted: str) -> str:
    """This name, numbered if it is taken: `Chore (copy) 2`."""
    plain = "".join(c if c.isprintable() and c != "/" else "-" for c in wanted).strip()
    name, number = plain[:MOST_NAME], 1
    while is_taken(session, name):
        number += 1
        name = f"{plain[: MOST_NAME - 8]} {number}"
    return name


# --- its times -----------------------------------------------------------------------------------


def read_timing(
    session: Session,
    given: Mapping[str, Any] | Timing,
    options: Mapping[str, Any],
    zone: str,
    now: datetime,
    *,
    past_too: bool = False,
) -> Timing:
    """When a new schedule runs: either shape, or what a door has read. Raises as `read_flat`."""
    if isinstance(given, Timing):
        return given
    times = {name: options[name] for name in OF_TIME if options.get(name) is not None}
    if isinstance(given, Mapping):
        _require_once(given, options)
        given = times | dict(given)
    read = read_nested if isinstance(given, Mapping) and NESTED in given else read_flat
    return read(given, _rules(session, zone, now, past_too))


def changed_timing(
    session: Session,
    schedule: AutomationSchedule,
    given: Mapping[str, Any] | Timing | None,
    options: Mapping[str, Any],
    now: datetime,
) -> Timing:
    """The times of a schedule with what was sent (O1). Raises `InvalidScheduleException`."""
    timing = timing_of(session, schedule)
    times = {name: options[name] for name in OF_TIME if name in options}
    if isinstance(given, Timing):
        return given
    if given is None and not times:
        return timing
    if given is not None and not isinstance(given, Mapping):
        raise bad(NESTED, _("an object is needed"))
    changes = dict(given or {})
    if NESTED in changes:  # shape A, of which a part may be sent too
        keys = changes.pop(NESTED)
        if not isinstance(keys, Mapping):
            raise bad(NESTED, _("an object is needed"))
        changes |= keys
    _require_once(changes, options)
    return patched(timing, times | changes, _rules(session, timing.timezone, now))


def _require_once(given: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """What may stand inside schedule_config and beside it says the same in both, or stands once.

    Raises `InvalidScheduleException` for each field that does not.
    """
    nested = given.get(NESTED)
    inside = nested if isinstance(nested, Mapping) else given
    twice = [
        name
        for name in (*OF_TIME, "max_executions")
        if name in inside and name in options and not _alike(inside[name], options[name])
    ]
    if twice:
        why = _("given inside schedule_config and beside it: write it once")
        said = "; ".join(f"{name}: {why}" for name in twice)
        raise InvalidScheduleException(said, dict.fromkeys(twice, why))


def _alike(inside: Any, beside: Any) -> bool:
    return type(inside) is type(beside) and bool(inside == beside)


def _rules(session: Session, zone: str, now: datetime, past_too: bool = False) -> Rules:
    shortest = int(rules_of(session).schedule_min_interval.total_seconds())
    return Rules(now, zone, max(shortest, 1), past_too)


def require_period(timing: Timing, face: TaskFace, now: datetime) -> None:
    """Its task may ask for some time between two runs (T7). Raises `InvalidScheduleException`."""
    if face.min_period is not None and timing.type not in WITHOUT_TIME:
        recurrence.require_period(Recurrence.of(timing, now), face.min_period, now)


def set_timing(schedule: AutomationSchedule, timing: Timing) -> bool:
    """Write the times into the row; whether its phase begins anew (N1)."""
    was = (schedule.schedule_type, schedule.schedule_config, schedule.start_at)
    schedule.schedule_type, schedule.timezone = timing.type, timing.timezone
    schedule.start_at, schedule.end_at = timing.start_at, timing.end_at
    config = dict(timing.config)
    if timing.type is ScheduleType.EVENT:
        schedule.beforeafter = BeforeAfterEnum(config["beforeafter"])
        schedule.events = EventsEnum(config["events"]) if config["events"] else None
        schedule.interval = parse_interval(config["interval"]) if config["interval"] else None
        config = {}
    if schedule.schedule_config != config:
        schedule.schedule_config = config
    return was != (schedule.schedule_type, schedule.schedule_config, schedule.start_at)


# --- how it behaves ------------------------------------------------------------------------------


def require_known(options: Mapping[str, Any]) -> None:
    """Options there are. Raises `InvalidScheduleException`, naming the others."""
    unknown = [str(name)[:100] for name in options if name not in KNOWN]
    if unknown:
        why = _("unknown here; there are %(names)s", names=", ".join(sorted(KNOWN)))
        said = "; ".join(f"{name}: {why}" for name in unknown)
        raise InvalidScheduleException(said, dict.fromkeys(unknown, why))


def new_options(
    options: Mapping[str, Any], timing: Timing, door: Door, class_name: str, config: dict[str, Any]
) -> ScheduleOptions:
    """Those of a new schedule, its door's where none was given (T10)."""
    given = {name: options[name] for name in ScheduleOptions.model_fields if name in options}
    given.setdefault("max_executions", timing.max_executions)
    return read_options(given, door.defaults(timing.type, class_name, config))


def set_changed_options(
    schedule: AutomationSchedule, options: Mapping[str, Any], timing: Timing
) -> None:
    """Write the options that were sent; no default comes back (T10)."""
    names = ScheduleOptions.model_fields
    current = ScheduleOptions.model_validate(
        {name: _text(getattr(schedule, name)) for name in names}
    )
    changes = {name: options[name] for name in names if name in options}
    changes.setdefault("max_executions", timing.max_executions)
    set_options(schedule, changed_options(current, changes))


def set_options(schedule: AutomationSchedule, options: ScheduleOptions) -> None:
    """Write them into the row."""
    for name, value in options.model_dump().items():
        if _text(getattr(schedule, name)) != value:
            setattr(schedule, name, value)


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value


def set_task_config(
    schedule: AutomationSchedule, given: Any, dry_run: Any, face: TaskFace | None
) -> None:
    """The task's configuration and whether it is only tried out, which may stand in it (D1, P3).

    None: it stays. Raises `InvalidScheduleException`.
    """
    if given is not None:
        if not isinstance(given, Mapping):
            raise bad("task_config", _("an object is needed"))
        config = dict(given)
        inside = config.pop("dry_run", None)
        dry_run = inside if dry_run is None else dry_run
        plain = read_context_like(config)
        schedule.task_config = face.config(plain) if face else plain
    if dry_run is None:
        return
    if not isinstance(dry_run, bool):
        raise bad("dry_run", _("true or false is needed"))
    if dry_run and face is not None:
        face.require_plan()
    schedule.dry_run = dry_run


def read_context_like(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as plain JSON, within the bounds of context data."""
    try:
        return read_context({"task_config": config})["task_config"]  # type: ignore[no-any-return]
    except InvalidScheduleException as wrong:
        why = wrong.detail.removeprefix("context_data: ")
        raise bad("task_config", why) from wrong


def set_description(schedule: AutomationSchedule, given: Any) -> None:
    """Raises `InvalidScheduleException` for what is no text, or too long."""
    if given is not None and (not isinstance(given, str) or len(given) > MOST_DESCRIPTION):
        raise bad("description", _("a text of at most %(most)s characters", most=MOST_DESCRIPTION))
    if given is not None and "\0" in given:
        raise bad("description", _("a character that no database can hold"))
    schedule.description = given


def set_links(
    session: Session, schedule: AutomationSchedule, options: Mapping[str, Any], actor: Actor
) -> None:
    """Which schedules follow its end, by their uuids (R8). Raises `InvalidScheduleException`."""
    for name in LINKS:
        if name in options:
            target = options[name]
            setattr(schedule, name, None if target is None else _link(session, target, name, actor))
    if any(options.get(name) is not None for name in LINKS):
        require_chain(session, schedule)


def _link(session: Session, target: Any, name: str, actor: Actor) -> int:
    try:
        return get_schedule(session, target, actor).id
    except ScheduleNotFoundException as missing:
        raise bad(name, _("there is no such schedule")) from missing


def require_sense(schedule: AutomationSchedule, face: TaskFace | None) -> None:
    """An event schedule that its task can follow (waitlist WA7)."""
    if schedule.schedule_type != ScheduleType.EVENT or face is None:
        return
    if why_not := face.why_inert(schedule):
        raise bad("schedule_config", why_not)


def require_version(schedule: AutomationSchedule, version: Any) -> None:
    """Nobody else changed it meanwhile. Raises `ScheduleConflictException`."""
    if version is None:
        return
    if type(version) is not int:
        raise bad("version", _("a whole number is needed"))
    if version != schedule.version:
        raise ScheduleConflictException(
            _("Somebody changed this schedule meanwhile: it is version %(n)s now.",
              n=schedule.version)
        )  # fmt: skip


def zone_of(door: Door, practice: Practice | None, class_name: str, kind: Any) -> str:
    """Where nothing was said (T10): the practice's for jobs and events, else the door's."""
    defaults = door.of_jobs if door.is_jobs(class_name) else door.of_schedules
    of_practice = door.is_jobs(class_name) or kind == ScheduleType.EVENT
    if practice is not None and of_practice:
        return practice.timezone
    return defaults.timezone or "UTC"


def copy_values(original: AutomationSchedule, copy: AutomationSchedule) -> None:
    """What was decided about one schedule, for another; not its name and whether it is on."""
    copy.automation_class, copy.training_types = (
        original.automation_class,
        list(original.training_types),
    )
    for name in COPIED:
        value = getattr(original, name)
        setattr(copy, name, dict(value) if isinstance(value, Mapping) else value)


def bad(field: str, why: str) -> InvalidScheduleException:
    """A refusal that names its field."""
    return InvalidScheduleException(f"{field}: {why}", {field: why})
