"""How the runs of a schedule, or of all, came out (schedules U5)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.automation import AutomationRun, AutomationSchedule, RunStatus
from app.models.run import COUNTERS
from app.services.schedule_reading import Who, actor_of, get_schedule

LAST = 50  # finished live runs
DAYS = 30
MOST = 10_000  # runs of those days that are looked at
JUDGED = (RunStatus.SUCCESS, RunStatus.FAILED, RunStatus.TIMEOUT)
FINISHED = (*JUDGED, RunStatus.CANCELLED)


def stats(
    session: Session, schedule_id: str | None = None, user_id: Who = None, *, now: datetime
) -> dict[str, Any]:
    """The last 50 finished live runs, and those of 30 days; without an id of all one sees.

    Raises `ScheduleNotFoundException`.
    """
    whose = _whose(session, schedule_id, user_id)
    r = AutomationRun
    finished = _runs(whose).where(r.status.in_(FINISHED)).limit(LAST)
    month = _runs(whose).where(r.finished_at >= now - timedelta(days=DAYS)).limit(MOST)
    of_month = session.execute(month).all()
    return {
        "schedule_id": schedule_id,
        "last_runs": summary(session.execute(finished).all()),
        "last_days": summary(of_month),
        "days": DAYS,
        "per_day": _per_day(of_month),
    }


def _whose(session: Session, schedule_id: str | None, user_id: Who) -> sa.ColumnElement[bool]:
    r, s, actor = AutomationRun, AutomationSchedule, actor_of(user_id)
    if schedule_id is not None:
        return r.schedule_id == get_schedule(session, schedule_id, actor).id
    theirs = sa.select(s.id).where(s.deleted_at.is_(None))
    if actor.practice_ids is not None:
        theirs = theirs.where(
            sa.or_(s.practice_id.is_(None), s.practice_id.in_(actor.practice_ids))
        )
    return r.schedule_id.in_(theirs)


def _runs(whose: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Live runs that ended, newest first; a dry run proves nothing."""
    r = AutomationRun
    counters = [getattr(r, name) for name in COUNTERS]
    columns = (r.status, r.duration_ms, r.error_type, r.finished_at, *counters)
    ended = sa.select(*columns).where(whose, r.finished_at.is_not(None), r.dry_run.is_(False))
    return ended.order_by(r.finished_at.desc(), r.id.desc())


def summary(runs: Sequence[Any]) -> dict[str, Any]:
    """What came of these runs; of none the rates are null."""
    by = Counter(run.status for run in runs)
    judged = sum(by[status] for status in JUDGED)
    took = sorted(run.duration_ms for run in runs
                  if run.status in JUDGED and run.duration_ms is not None)  # fmt: skip
    failures = Counter(run.error_type or run.status.value for run in runs
                       if run.status in (RunStatus.FAILED, RunStatus.TIMEOUT))  # fmt: skip
    return {
        "runs": len(runs),
        **{status.value: by[status] for status in (*FINISHED, *NOT_RUN)},
        "success_rate": by[RunStatus.SUCCESS] / judged if judged else None,
        "average_ms": round(sum(took) / len(took)) if took else None,
        "p50_ms": percentile(took, 50),
        "p95_ms": percentile(took, 95),
        "counters": {name: sum(getattr(run, name) for run in runs) for name in COUNTERS},
        "failures": dict(failures),
    }


NOT_RUN = (RunStatus.MISSED, RunStatus.SKIPPED)


def percentile(ordered: Sequence[int], percent: int) -> int | None:
    """The smallest value that so many percent do not exceed; None of none."""
    if not ordered:
        return None
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def _per_day(runs: Sequence[Any]) -> dict[str, dict[str, int]]:
    """Day in UTC -> status -> how many."""
    days: dict[str, Counter[str]] = {}
    for run in runs:
        days.setdefault(f"{run.finished_at:%Y-%m-%d}", Counter())[run.status.value] += 1
    return {day: dict(days[day]) for day in sorted(days)}
