"""What endpoints are told: rows of the outbox, in the transaction of what they tell (O9, L6).

One row per event and endpoint; its key names the occasion, so that telling twice is telling once.
No person stands in it: ids, times, counts, and the name that a schedule was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.automation import AutomationRun, AutomationSchedule, RunStatus
from app.models.bulk import among, insert_new, send
from app.models.outbox import Outbox, OutboxState
from app.models.run import COUNTERS
from app.models.types import new_uuid
from app.models.webhook import CHANNEL, Webhook
from app.services.occurrence import name_of

OF_RUNS = {
    RunStatus.SUCCESS: "schedule.run.succeeded",
    RunStatus.FAILED: "schedule.run.failed",
    RunStatus.TIMEOUT: "schedule.run.timeout",
    RunStatus.MISSED: "schedule.run.missed",
    RunStatus.SKIPPED: "schedule.run.skipped",
}
LIMIT_REACHED, PAUSED = "schedule.limit_reached", "schedule.paused"


def runs_ended(
    session: Session,
    now: datetime,
    *,
    ids: Iterable[int] = (),
    execution_ids: Iterable[str] = (),
) -> None:
    """Tell of those of these runs that ended; of a cancelled one nothing is told."""
    if hooks := _listening(session):
        r = AutomationRun
        these = sa.or_(among(r.id, list(ids)), among(r.execution_id, list(execution_ids)))
        _tell_of_runs(session, hooks, these, now)


def items_ended(
    session: Session, schedule_id: int, items: Sequence[str], at: datetime, now: datetime
) -> None:
    """The same of what ended at `at` for these items of a schedule."""
    if hooks := _listening(session):
        r = AutomationRun
        these = sa.and_(
            r.schedule_id == schedule_id, among(r.item, list(items)), r.finished_at == at
        )
        _tell_of_runs(session, hooks, these, now)


def limit_reached(session: Session, schedule: AutomationSchedule, now: datetime) -> None:
    """It has begun as often as it may."""
    _tell_of_schedule(session, LIMIT_REACHED, schedule, str(schedule.execution_count), now)


def paused(session: Session, schedule: AutomationSchedule, now: datetime) -> None:
    """A person paused it, or it stopped by itself after failures in a row: `status` tells."""
    _tell_of_schedule(session, PAUSED, schedule, now.isoformat(), now)


# --- who hears, and what -------------------------------------------------------------------------


def _listening(session: Session) -> Sequence[Any]:
    """The endpoints that are on: most often none, so it is asked first."""
    found: Sequence[Any] = send(session, _endpoints(), {}).all()
    return found


@cache
def _endpoints() -> Any:
    w = Webhook
    return sa.select(w.id, w.practice_id, w.types).where(w.active).order_by(w.id)


def _tell_of_runs(
    session: Session, hooks: Sequence[Any], these: sa.ColumnElement[bool], now: datetime
) -> None:
    r, s = AutomationRun, AutomationSchedule
    columns: list[Any] = [getattr(r, name) for name in COUNTERS]
    asked = (
        sa.select(
            r.id,
            r.execution_id,
            r.status,
            r.started_at,
            r.finished_at,
            r.duration_ms,
            r.error_type,
            s.schedule_id,
            s.name,
            s.practice_id,
            *columns,
        )
        .join(s, s.id == r.schedule_id)
        .where(these, r.status.in_(OF_RUNS))
        .order_by(r.id)
    )
    rows = []
    for run in session.execute(asked).mappings():
        about = {
            "schedule_id": run["schedule_id"],
            "name": run["name"],
            "execution_id": run["execution_id"],
            "status": str(run["status"]),
            "started_at": _instant(run["started_at"]),
            "finished_at": _instant(run["finished_at"]),
            "duration_ms": run["duration_ms"],
            "counters": {name: run[name] for name in COUNTERS},
            "error_type": run["error_type"],
        }
        kind = OF_RUNS[run["status"]]
        rows += _rows(hooks, kind, run["practice_id"], run["execution_id"], about, now)
    _promise(session, rows)


def _tell_of_schedule(
    session: Session, kind: str, schedule: AutomationSchedule, occasion: str, now: datetime
) -> None:
    hooks = _listening(session)
    if not hooks:
        return
    about = {
        "schedule_id": schedule.schedule_id,
        "name": schedule.name,
        "execution_id": schedule.last_execution_id,
        "status": str(schedule.state),
        "started_at": _instant(schedule.last_execution_at),
        "finished_at": None,
        "duration_ms": None,
        "counters": {
            "execution_count": schedule.execution_count,
            "consecutive_failures": schedule.consecutive_failures,
        },
        "error_type": None,
    }
    key = f"{schedule.schedule_id}:{occasion}"
    _promise(session, _rows(hooks, kind, schedule.practice_id, key, about, now))


def _rows(
    hooks: Sequence[Any],
    kind: str,
    practice_id: int | None,
    occasion: str,
    about: dict[str, Any],
    now: datetime,
) -> list[dict[str, Any]]:
    """A row for each endpoint of this practice, or of all, that wants to hear of this."""
    rows = []
    for hook in hooks:
        theirs = hook.practice_id in (None, practice_id)
        if theirs and (not hook.types or kind in hook.types):
            rows.append(_row(hook, kind, occasion, about, now))
    return rows


def _row(
    hook: Any, kind: str, occasion: str, about: dict[str, Any], now: datetime
) -> dict[str, Any]:
    uuid = new_uuid()  # stays the event's own, also when staff send it again
    event = {"id": uuid, "type": kind, "timestamp": name_of(now), "data": about}
    return {
        "uuid": uuid,
        "key": f"{CHANNEL}{hook.id}:{kind}:{occasion}",
        "channel": f"{CHANNEL}{hook.id}",
        # One schedule's events arrive in their order; one that fails holds up no other schedule.
        "aggregate": f"{CHANNEL}{hook.id}/{about['schedule_id']}",
        "kind": kind,
        "payload": {"webhook": hook.id, "practice": hook.practice_id, "event": event},
        "state": OutboxState.PENDING,
        "due_at": now,
        "created_at": now,
    }


def _promise(session: Session, rows: list[dict[str, Any]]) -> None:
    if rows:
        insert_new(session, Outbox, rows, key="key")


def _instant(at: datetime | None) -> str | None:
    return None if at is None else name_of(at)
