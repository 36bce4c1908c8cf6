"""Templates: a schedule's values kept under a name, copied into new ones (schedules O8)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.models.automation import AutomationSchedule
from app.models.schedule_template import ScheduleTemplate
from app.models.text import storable
from app.services import schedule_filling as filling
from app.services.schedule_config import flat
from app.services.schedule_errors import ScheduleConflictException, ScheduleNotFoundException
from app.services.schedule_faces import Door
from app.services.schedule_options import ScheduleOptions
from app.services.schedule_reading import Who, actor_of, get_schedule, task_config_of, timing_of
from app.services.schedules import add_schedule


def save_as_template(
    session: Session,
    schedule_id: str,
    name: str,
    user_id: Who,
    *,
    now: datetime,
    description: str | None = None,
) -> ScheduleTemplate:
    """Keep what a schedule is set up with.

    Raises `ScheduleNotFoundException`, `InvalidScheduleException`, and `ScheduleConflictException`
    for a name that its practice has.
    """
    actor = actor_of(user_id)
    schedule = get_schedule(session, schedule_id, actor)
    plain = name.strip() if isinstance(name, str) else ""
    if not 1 <= len(plain) <= filling.MOST_NAME or not plain.isprintable():
        raise filling.bad("name", _("1 to %(most)s characters", most=filling.MOST_NAME))
    if description is not None and len(description) > filling.MOST_DESCRIPTION:
        most = filling.MOST_DESCRIPTION
        raise filling.bad("description", _("a text of at most %(most)s characters", most=most))
    t = ScheduleTemplate
    taken = sa.select(t.id).where(t.name == plain, _of(schedule.practice_id))
    if session.scalar(taken) is not None:
        raise ScheduleConflictException(_("Another template has this name already."))
    template = ScheduleTemplate(
        practice_id=schedule.practice_id,
        name=plain,
        description=description,
        automation_class=schedule.automation_class,
        settings=_settings(session, schedule),
        created_by=actor.name,
        created_at=now,
        updated_at=now,
    )
    session.add(template)
    session.flush()  # whoever saves it names it to others
    return template


def create_from_template(
    session: Session,
    template_id: str,
    user_id: Who,
    community_id: int | None,
    *,
    now: datetime,
    door: Door,
    name: str | None = None,
) -> AutomationSchedule:
    """A new schedule with the values of a template, inactive; it follows no later change of it.

    Raises `ScheduleNotFoundException` and what `add_schedule` raises.
    """
    template = get_template(session, template_id, user_id)
    of_class = template.automation_class
    values: dict[str, Any] = dict(template.settings)
    schedule = add_schedule(
        session,
        of_class.workflow_id if of_class else "-",
        values.pop("schedule_config"),
        user_id,
        community_id,
        values.pop("context_data"),
        now=now,
        door=door,
        name=name or filling.free_name(session, template.name),
        active=False,
        **values,
    )
    schedule.template_id = template.id
    return schedule


def get_template(session: Session, template_id: str, user_id: Who = None) -> ScheduleTemplate:
    """A template one sees. Raises `ScheduleNotFoundException`."""
    t, asked = ScheduleTemplate, storable(str(template_id), 100)
    mine = sa.select(t).where(t.template_id == asked, _seen_by(user_id))
    found = session.scalars(mine).one_or_none()
    if found is None:
        raise ScheduleNotFoundException(asked)
    return found


def list_templates(session: Session, user_id: Who = None) -> list[ScheduleTemplate]:
    """Those one sees, by name."""
    mine = sa.select(ScheduleTemplate).where(_seen_by(user_id))
    return list(session.scalars(mine.order_by(ScheduleTemplate.name, ScheduleTemplate.id)))


def _of(practice_id: int | None) -> sa.ColumnElement[bool]:
    t = ScheduleTemplate
    return t.practice_id.is_(None) if practice_id is None else t.practice_id == practice_id


def _seen_by(user_id: Who) -> sa.ColumnElement[bool]:
    theirs, t = actor_of(user_id).practice_ids, ScheduleTemplate
    if theirs is None:
        return sa.true()
    return sa.or_(t.practice_id.is_(None), t.practice_id.in_(theirs))


def _settings(session: Session, schedule: AutomationSchedule) -> dict[str, Any]:
    """What `add_schedule` takes; a start or an end is of one schedule only."""
    options = {name: getattr(schedule, name) for name in ScheduleOptions.model_fields}
    plain = {k: str(v) if isinstance(v, str) else v for k, v in options.items()}
    config = {k: v for k, v in flat(timing_of(session, schedule)).items() if k != "max_executions"}
    return {
        "description": schedule.description,
        "schedule_config": config,
        "task_config": task_config_of(schedule),
        "context_data": dict(schedule.context_data or {}),
        **plain,
    }
