"""Who may see which schedules, and what a row says of itself (schedules O1, O4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _
from sqlalchemy.orm import Session, joinedload

from app.models.automation import (
    AutomationClasses,
    AutomationRun,
    AutomationSchedule,
    RunStatus,
    ScheduleState,
    ScheduleType,
    StoppedBecause,
)
from app.services import recurring
from app.services.actors import SYSTEM, Actor
from app.services.intervals import show_interval
from app.services.schedule_config import Timing
from app.services.schedule_errors import (
    ExecutionNotFoundException,
    InvalidScheduleException,
    ScheduleNotFoundException,
)

Who = Actor | int | None  # who acts; a bare id has been vouched for by whoever hands it in

MOST_RUNS = 200
MOST_A_PAGE = 100


@dataclass(frozen=True)
class Page:
    """Some of the schedules that were asked for, and how many there are."""

    items: list[AutomationSchedule]
    page: int
    page_size: int
    total: int


def actor_of(user_id: Who) -> Actor:
    """Who acts: `user:<id>`, `system` if nobody; only an `Actor` is confined to practices."""
    if user_id is None:
        return SYSTEM
    if isinstance(user_id, Actor):
        return user_id
    return Actor(f"user:{user_id}", staff=True, user_id=user_id)


def find_class(session: Session, workflow_id: str) -> AutomationClasses | None:
    """A task class by its workflow id, or by its name, as document 004 has it (D4)."""
    c = AutomationClasses
    named = sa.select(c).where(sa.or_(c.workflow_id == workflow_id, c.class_name == workflow_id))
    return session.scalars(named.order_by(c.workflow_id != workflow_id).limit(1)).one_or_none()


# --- schedules -----------------------------------------------------------------------------------


def get_schedule(
    session: Session, schedule_id: str, user_id: Who = None, *, recurring_only: bool = False
) -> AutomationSchedule:
    """A schedule that is not deleted. Raises `ScheduleNotFoundException`, for others' too."""
    s = AutomationSchedule
    mine = _visible(actor_of(user_id), recurring_only).where(s.schedule_id == str(schedule_id))
    found: AutomationSchedule | None = session.scalars(mine).one_or_none()
    if found is None:
        raise ScheduleNotFoundException(str(schedule_id)[:100])
    return found


def list_schedules(
    session: Session,
    user_id: Who = None,
    *,
    active: bool | None = None,
    state: str | None = None,
    type: str | None = None,
    task: str | None = None,
    q: str | None = None,
    page: int = 1,
    page_size: int | None = 50,
    recurring_only: bool = False,
    by_next: bool = False,
) -> Page:
    """The schedules, newest first or by next occurrence; `page_size` None: all of them.

    `task` is a class name or workflow id, `q` a part of the name. Raises
    `InvalidScheduleException`.
    """
    s = AutomationSchedule
    wanted = _visible(actor_of(user_id), recurring_only)
    if active is not None:
        wanted = wanted.where(_is_on() if active else ~_is_on())
    if state is not None:
        wanted = wanted.where(_in_state(_one_of(ScheduleState, "state", state)))
    if type is not None:
        wanted = wanted.where(s.schedule_type == _one_of(ScheduleType, "type", type))
    if task is not None:
        of_class = find_class(session, task)
        wanted = wanted.where(s.automation_class_id == (of_class.id if of_class else None))
    if q:
        wanted = wanted.where(s.name.icontains(q, autoescape=True))
    total = session.scalar(sa.select(sa.func.count()).select_from(wanted.order_by(None).subquery()))
    if by_next:
        ordered = wanted.order_by(s.next_execution_at.is_(None), s.next_execution_at, s.id)
    else:
        ordered = wanted.order_by(s.created_at.desc(), s.id.desc())
    if page_size is not None:
        _within("page", page, 10**6)
        _within("page_size", page_size, MOST_A_PAGE)
        ordered = ordered.limit(page_size).offset((page - 1) * page_size)
    rows = list(session.scalars(ordered))
    return Page(rows, page, page_size or len(rows), total or 0)


def _visible(actor: Actor, recurring_only: bool) -> sa.Select[Any]:
    s = AutomationSchedule
    found = sa.select(s).where(s.deleted_at.is_(None)).options(joinedload(s.automation_class))
    if actor.practice_ids is not None:
        found = found.where(sa.or_(s.practice_id.is_(None), s.practice_id.in_(actor.practice_ids)))
    return found.where(s.schedule_type != ScheduleType.EVENT) if recurring_only else found


def _is_on() -> sa.ColumnElement[bool]:
    return sa.and_(AutomationSchedule.active, AutomationSchedule.paused_at.is_(None))


def _in_state(state: ScheduleState) -> sa.ColumnElement[bool]:
    s = AutomationSchedule
    if state is ScheduleState.ACTIVE:
        return _is_on()
    why = sa.func.coalesce(s.stopped_because, sa.literal(StoppedBecause.PAUSED.value))
    return sa.and_(~_is_on(), why == state.value)


def _one_of(kind: Any, field: str, given: str) -> Any:
    try:
        return kind(given)
    except ValueError:
        why = _("one of %(names)s", names=", ".join(kind))
        raise InvalidScheduleException(f"{field}: {why}", {field: why}) from None


def _within(field: str, given: int, most: int) -> None:
    if not 1 <= given <= most:
        why = _("from 1 to %(most)s", most=most)
        raise InvalidScheduleException(f"{field}: {why}", {field: why})


# --- their runs ----------------------------------------------------------------------------------


def get_run(session: Session, execution_id: str, user_id: Who = None) -> AutomationRun:
    """A run of a schedule that one sees. Raises `ExecutionNotFoundException`."""
    r, s, actor = AutomationRun, AutomationSchedule, actor_of(user_id)
    mine = sa.select(r).join(s, s.id == r.schedule_id).where(r.execution_id == str(execution_id))
    mine = mine.where(s.deleted_at.is_(None))
    if actor.practice_ids is not None:
        mine = mine.where(sa.or_(s.practice_id.is_(None), s.practice_id.in_(actor.practice_ids)))
    found = session.scalars(mine).one_or_none()
    if found is None:
        raise ExecutionNotFoundException(str(execution_id)[:100])
    return found


def history(
    session: Session,
    schedule_id: str,
    user_id: Who = None,
    *,
    status: str | None = None,
    limit: int = 50,
    before: str | None = None,
    recurring_only: bool = False,
) -> list[AutomationRun]:
    """The runs of a schedule, newest first; `before`: those older than this run.

    Raises `ScheduleNotFoundException`, `ExecutionNotFoundException`, `InvalidScheduleException`.
    """
    schedule = get_schedule(session, schedule_id, user_id, recurring_only=recurring_only)
    if not 1 <= limit <= MOST_RUNS:
        raise InvalidScheduleException(
            _("Limit must be between 1 and 200"), {"limit": _("from 1 to %(most)s", most=MOST_RUNS)}
        )
    r = AutomationRun
    wanted = sa.select(r).where(r.schedule_id == schedule.id)
    if status is not None:
        wanted = wanted.where(r.status == _one_of(RunStatus, "status", status))
    if before is not None:
        mark = get_run(session, before, user_id)
        older = sa.or_(r.due_at < mark.due_at, sa.and_(r.due_at == mark.due_at, r.id < mark.id))
        wanted = wanted.where(older)
    return list(session.scalars(wanted.order_by(r.due_at.desc(), r.id.desc()).limit(limit)))


# --- what a row says of itself -------------------------------------------------------------------


def timing_of(session: Session, schedule: AutomationSchedule) -> Timing:
    """When it runs, as it was given; that of an event schedule stands in columns of its own."""
    kind = ScheduleType(schedule.schedule_type)
    zone = recurring.recurrence_of(session, schedule).zone
    return Timing(
        kind,
        event_config(schedule) if kind is ScheduleType.EVENT else schedule.schedule_config or {},
        zone,
        schedule.start_at,
        schedule.end_at,
        schedule.max_executions,
    )


def event_config(schedule: AutomationSchedule) -> dict[str, Any]:
    """The keys of its type, from its columns."""
    length = schedule.interval
    return {
        "beforeafter": str(schedule.beforeafter or "after"),
        "events": str(schedule.events) if schedule.events else None,
        "interval": show_interval(length) if length is not None else None,
    }


def task_config_of(schedule: AutomationSchedule) -> dict[str, Any]:
    """The task's configuration as both families show it: with `dry_run` inside (D1)."""
    return {**(schedule.task_config or {}), "dry_run": bool(schedule.dry_run)}


def live_runs(session: Session, schedules: Sequence[int]) -> dict[int, int]:
    """How many runs of each schedule wait or run; of those without any, nothing."""
    r = AutomationRun
    live = (
        sa.select(r.schedule_id, sa.func.count())
        .where(r.schedule_id.in_(schedules), r.status.in_((RunStatus.QUEUED, RunStatus.RUNNING)))
        .group_by(r.schedule_id)
    )
    return {row[0]: row[1] for row in session.execute(live)}
