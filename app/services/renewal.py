"""Bring the plan in line with the facts: what is missing, moved or gone (L1, waitlist WA5).

Rows are the truth. Invitations, which may be thousands, are compared with their jobs inside the
database: nothing is written, nothing locked, while they agree. The schedules of other tasks are
compared by dictionaries, in `diff.py`. What plain code wrote past the services is repaired here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.automation import AutomationClasses, AutomationSchedule
from app.models.enrolment import TrainingEnroll
from app.models.rules import Environment, rules_of
from app.services import diff
from app.services.deadline import WAITLIST_TASK, grants
from app.services.diff import (
    JOBS,
    SEEN,
    Counts,
    has_our_state,
    is_ours,
    item_of,
    of_waitlist,
    ours,
    seen,
)
from app.services.occurrences import ends_by_itself
from app.services.plan import Occurrence

# --- invitations ---------------------------------------------------------------------------------


def renew_invitations(session: Session, jobs: int, now: datetime) -> Counts:
    """One job for each invitation that its schedule ends, due at its deadline; no other.

    `jobs` is how many there are of the waitlist. While all agree it only counts: one SELECT per
    waitlist schedule.
    """
    environment = rules_of(session).environment
    counts, matched = Counts(), 0
    for schedule_id, name in session.execute(_granting()).all():
        asked = {"schedule": schedule_id, "prefix": f"{name}/", "suffix": f"/{environment}"}
        found = session.execute(_compared(environment), asked).one()
        counts.kept += found.open - found.differing
        matched += found.matched
        if found.differing:
            rows = session.execute(_differing(environment), asked).all()
            counts += _write(session, schedule_id, name, rows, now)
    if jobs != matched:
        gone = [seen(row) for row in session.execute(_without_fact(environment))]
        ours_only = [job for job in gone if is_ours(job.id, environment)]
        counts.removed += diff.drop(session, ours_only)
    return counts


def _write(
    session: Session, schedule_id: int, name: str, rows: Sequence[Any], now: datetime
) -> Counts:
    """The jobs of these invitations, as they should be."""
    source = diff.Source(schedule_id, name, WAITLIST_TASK, last_moment=lambda _: None)
    wanted, there = {}, {}
    for row in rows:
        wanted[row.uuid] = Occurrence(row.uuid, row.deadline, row.deadline)
        if row.id is not None:
            there[row.uuid] = seen(row)
    return diff.renew_schedule(session, source, wanted, there, now)


@cache
def _granting() -> sa.Select[Any]:
    s = AutomationSchedule
    columns: tuple[Any, ...] = (s.id, s.name)
    on = sa.select(*columns).join(AutomationClasses)
    return on.where(grants()).order_by(s.id)


@cache
def _compared(environment: Environment) -> sa.Select[Any]:
    """Of one schedule: its open invitations, those with a job, those whose job differs."""
    return _with_jobs(
        sa.func.count().label("open"),
        sa.func.count(JOBS.c.id).label("matched"),
        sa.func.count().filter(_differs(environment)).label("differing"),
    )


@cache
def _differing(environment: Environment) -> sa.Select[Any]:
    e = TrainingEnroll
    columns = (e.uuid, e.invite_expires_at.label("deadline"), *SEEN)
    return _with_jobs(*columns).where(_differs(environment))


def _with_jobs(*columns: Any) -> sa.Select[Any]:
    """The open invitations of one schedule, each with its job, if it has one."""
    e = TrainingEnroll
    prefix, suffix = (sa.bindparam(name, type_=sa.String) for name in ("prefix", "suffix"))
    return (
        sa.select(*columns)
        .select_from(e)
        .outerjoin(JOBS, JOBS.c.id == prefix + e.uuid + suffix)
        .where(e.invite_schedule_id == sa.bindparam("schedule"), *ends_by_itself())
    )


def _differs(environment: Environment) -> sa.ColumnElement[bool]:
    """The job is missing, due at another time or parked; one that is none of ours stays so."""
    job = JOBS.c
    moved = job.due.is_distinct_from(TrainingEnroll.invite_expires_at)
    if environment is Environment.DEVELOPMENT:
        moved = sa.false()  # there, a job planned once stays as it is
    stale = sa.or_(moved, job.next_run_time.is_(None))
    return sa.or_(job.id.is_(None), sa.and_(job.claim.is_(None), stale, has_our_state()))


@cache
def _without_fact(environment: Environment) -> sa.Select[Any]:
    """Jobs of the waitlist task that no open invitation asks for."""
    e, s, job = TrainingEnroll, AutomationSchedule, JOBS.c
    fact = (
        sa.select(sa.literal(1))
        .select_from(e)
        .join(s, s.id == e.invite_schedule_id)
        .join(AutomationClasses, AutomationClasses.id == s.automation_class_id)
        .where(
            e.uuid == item_of(job.id),
            job.id == s.name + "/" + e.uuid + f"/{environment}",
            *ends_by_itself(),
            grants(),
        )
        .correlate(JOBS)
    )
    return sa.select(*SEEN).where(ours(environment), of_waitlist(), ~fact.exists())
