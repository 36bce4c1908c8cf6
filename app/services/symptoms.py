"""What people see of a schedule that runs, but not as they meant (rulings RE4).

It runs several times, at another time than they think, or at once; or the database lets it do
less than it must. Each is answered with what to do about it, or None.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.models.automation import AutomationSchedule, ScheduleType
from app.models.bulk import dialect_of
from app.models.job import Job
from app.models.practice import Practice
from app.models.rules import Environment, rules_of
from app.models.system import SchedulerEpoch
from app.services import recurring
from app.services.occurrence import name_of
from app.services.plan import job_id

BY_THE_CLOCK = (ScheduleType.DAILY, ScheduleType.WEEKLY, ScheduleType.CRON)
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
MOST_NAMES = 5


def several_times(session: Session, schedule: AutomationSchedule) -> str | None:
    """Another schedule does the same at the same times, or its jobs are there twice."""
    twins = _twins(session, schedule)
    if twins:
        names = ", ".join(one.name for one in twins[:MOST_NAMES])
        return str(
            _("The same is done at the same times by %(names)s: pause one of them.", names=names)
        )
    here = rules_of(session).environment
    others = [
        job_id(schedule.name, schedule.schedule_id, other)
        for other in Environment
        if other is not here
    ]
    if session.scalar(sa.select(Job.id).where(Job.id.in_(others)).limit(1)) is not None:
        return str(
            _("Its job is there for another ENVIRONMENT too: end the scheduler that runs there.")
        )
    return None


def _twins(session: Session, schedule: AutomationSchedule) -> list[AutomationSchedule]:
    """Working schedules of the same task at the same times, for the same people."""
    s = AutomationSchedule
    if schedule.automation_class_id is None or not schedule.switched_on:
        return []
    # One without a practice works for all of them.
    here: sa.ColumnElement[bool] = sa.true()
    if schedule.practice_id is not None:
        here = sa.or_(s.practice_id.is_(None), s.practice_id == schedule.practice_id)
    same = sa.select(s).where(
        s.works(),
        s.id != schedule.id,
        s.automation_class_id == schedule.automation_class_id,
        s.schedule_type == schedule.schedule_type,
        s.schedule_type != ScheduleType.CHAINED,
        here,
    )
    return [
        one
        for one in session.scalars(same.order_by(s.id))
        if _times(session, one) == _times(session, schedule)
    ]


def _times(session: Session, schedule: AutomationSchedule) -> tuple[Any, ...]:
    settings = dict(schedule.task_config or {})
    if schedule.schedule_type == ScheduleType.EVENT:
        types = {kind.id for kind in schedule.training_types}
        return schedule.beforeafter, schedule.events, schedule.interval, types, settings
    its = recurring.recurrence_of(session, schedule)
    return dict(its.config), its.zone, settings


def wrong_time(session: Session, schedule: AutomationSchedule) -> str | None:
    """Its alarm is set for another time than its row says."""
    at = schedule.next_execution_at
    if at is None or not schedule.switched_on:
        return None
    id_ = job_id(schedule.name, schedule.schedule_id, rules_of(session).environment)
    job = session.get(Job, id_)
    if job is None or job.due is None or job.due == at:
        return None
    return str(
        _(
            "Its alarm is set for %(job)s, but it is due at %(row)s: renew the plan.",
            job=name_of(job.due),
            row=name_of(at),
        )
    )


def other_zone(session: Session, schedule: AutomationSchedule) -> str | None:
    """Its times are read in another zone than its practice lives in: no fault, but a surprise."""
    if schedule.schedule_type not in BY_THE_CLOCK or schedule.practice_id is None:
        return None
    zone = recurring.recurrence_of(session, schedule).zone
    lives_in = session.get_one(Practice, schedule.practice_id).timezone
    if zone == lives_in:
        return None
    return str(
        _(
            "Its times are read in %(zone)s; the practice lives in %(there)s.",
            zone=zone,
            there=lives_in,
        )
    )


def at_once(session: Session) -> str | None:
    """Here, or where the scheduler runs, jobs run a second after they were planned."""
    here = rules_of(session).environment
    there = session.scalar(
        sa.select(SchedulerEpoch.environment).order_by(SchedulerEpoch.id).limit(1)
    )
    if there is not None and there != here:
        return str(
            _(
                "The scheduler runs as %(there)s, this process as %(here)s: give both one .env.",
                there=there,
                here=here.value,
            )
        )
    if here is Environment.DEVELOPMENT:
        return str(
            _(
                "ENVIRONMENT is DEVELOPMENT: jobs of events run a second after they were planned."
                " For real use set ENVIRONMENT=PRODUCTION and start anew."
            )
        )
    return None


def lacking_rights(session: Session) -> str | None:
    """What the database does not let us do with our tables."""
    if dialect_of(session) == "postgresql":
        lacks = _lacking_on_postgresql(session)
        if not lacks:
            return None
        return str(_("The database user may not %(what)s: grant it.", what=_listed(lacks)))
    path = next((row.file for row in session.execute(sa.text("PRAGMA database_list"))), "")
    if not path or all(os.access(p, os.W_OK) for p in (path, os.path.dirname(path))):
        return None
    return str(_("The database file or its folder cannot be written: give them to who runs this."))


def _lacking_on_postgresql(session: Session) -> list[str]:
    """`DELETE user` for each right that is missing; a table that is missing is none of ours."""
    tables = sorted(AutomationSchedule.metadata.tables)
    asked = sa.text(
        "SELECT p.verb || ' ' || t.name AS lacks"
        " FROM unnest(CAST(:tables AS text[])) AS t(name)"
        " CROSS JOIN unnest(CAST(:rights AS text[])) AS p(verb)"
        " WHERE to_regclass(quote_ident(t.name)) IS NOT NULL"
        " AND NOT has_table_privilege(to_regclass(quote_ident(t.name)), p.verb)"
        " ORDER BY t.name, p.verb"
    )
    return list(session.scalars(asked, {"tables": tables, "rights": list(RIGHTS)}))


def _listed(lacks: Sequence[str]) -> str:
    more = ", …" if len(lacks) > MOST_NAMES else ""
    return ", ".join(lacks[:MOST_NAMES]) + more
