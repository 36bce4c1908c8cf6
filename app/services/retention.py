"""What is kept, and for how long: runs, records of acts, greetings, profile reviews (schedules H).

Each function takes away at most `limit` rows and says how many, so that whoever calls it commits in
between and nobody waits for long. A run is the mark that its occurrence is done: renew plans
nothing that was due before the time that runs are kept (H2).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.audit import AuditEntry
from app.models.automation import AutomationRun, AutomationSchedule, RunStatus, ScheduleType
from app.models.enrolment import TrainingEnroll
from app.models.greeting import Greeting
from app.models.profile_review import ProfileReview
from app.models.rules import rules_of
from app.models.schedule_audit import ScheduleAudit
from app.models.training import schedule_types

BATCH = 1000  # rows of one transaction
TWO_YEARS = timedelta(days=730)
FAILURES = (RunStatus.FAILED, RunStatus.TIMEOUT)

# What goes by its age alone (H3, B6, F5).
DATED: Mapping[str, Any] = {
    "records": ScheduleAudit.at,
    "audit": AuditEntry.at,
    "greetings": Greeting.greeted_at,
    "reviews": ProfileReview.reviewed_at,
}


# --- runs ----------------------------------------------------------------------------------------


def schedules_with_runs(session: Session) -> list[int]:
    """The schedules that ever ran, deleted ones too."""
    return list(session.scalars(sa.select(AutomationRun.schedule_id).distinct()))


def prune_runs(session: Session, schedule_id: int, now: datetime, limit: int = BATCH) -> int:
    """Take away runs of one schedule that ended too long ago or are too many (H1, H2).

    Of one that recurs the newest stay, of one that follows events all that are young enough. Of a
    schedule that is not deleted its newest success and its newest failure stay, however old.
    """
    r, rules = AutomationRun, rules_of(session)
    schedule = session.get_one(AutomationSchedule, schedule_id)
    goes = r.finished_at < now - rules.schedule_history
    if schedule.schedule_type != ScheduleType.EVENT:
        goes = sa.or_(goes, r.id <= _first_too_many(schedule_id, rules.schedule_history_most))
    mine = sa.and_(r.schedule_id == schedule_id, r.finished_at.is_not(None), goes)
    if schedule.deleted_at is None:
        mine = sa.and_(mine, r.id.not_in(_telling(schedule_id)))
    return _delete(session, r.id, sa.select(r.id).where(mine).order_by(r.id).limit(limit))


def _first_too_many(schedule_id: int, most: int) -> Any:
    r = AutomationRun
    ended = sa.select(r.id).where(r.schedule_id == schedule_id, r.finished_at.is_not(None))
    return ended.order_by(r.id.desc()).offset(most).limit(1).scalar_subquery()


def _telling(schedule_id: int) -> Any:
    """The newest success and the newest failure: they tell since when it works, or does not."""
    r = AutomationRun
    newest = sa.select(sa.func.max(r.id).label("id")).where(r.schedule_id == schedule_id)
    good = newest.where(r.status == RunStatus.SUCCESS)
    bad = newest.where(r.status.in_(FAILURES))
    both = sa.union_all(good, bad).subquery()
    return sa.select(both.c.id).where(both.c.id.is_not(None))


# --- schedules that are gone ---------------------------------------------------------------------


def forget_schedules(session: Session, now: datetime, limit: int = BATCH) -> int:
    """Take away deleted schedules whose last run is gone (H3).

    What still followed one of them follows nobody any more. One that set the deadline of an
    invitation stays as long as that enrolment names it.
    """
    s, r, enrolment = AutomationSchedule, AutomationRun, TrainingEnroll
    gone = list(
        session.scalars(
            sa.select(s.id)
            .where(s.deleted_at < now - rules_of(session).schedule_history)
            .where(~sa.exists().where(r.schedule_id == s.id))
            .where(~sa.exists().where(enrolment.invite_schedule_id == s.id))
            .order_by(s.id)
            .limit(limit)
        )
    )
    if not gone:
        return 0
    for link in (s.on_success_schedule_id, s.on_failure_schedule_id):
        _execute(session, sa.update(s).where(link.in_(gone)).values({link: None}))
    _execute(session, sa.delete(schedule_types).where(schedule_types.c.schedule_id.in_(gone)))
    return _execute(session, sa.delete(s).where(s.id.in_(gone)))


# --- what is only dated --------------------------------------------------------------------------


def prune_dated(session: Session, what: str, now: datetime, limit: int = BATCH) -> int:
    """Take away rows of `DATED` that are two years old."""
    at = DATED[what]
    id_ = at.class_.id
    return _delete(session, id_, sa.select(id_).where(at < now - TWO_YEARS).limit(limit))


def _delete(session: Session, id_: Any, which: sa.Select[Any]) -> int:
    return _execute(session, sa.delete(id_.class_).where(id_.in_(which)))


def _execute(session: Session, statement: Any) -> int:
    done: Any = session.execute(statement.execution_options(synchronize_session=False))
    return int(done.rowcount)
