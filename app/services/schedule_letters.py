"""Letters to whoever made a schedule: how its runs went, and that it stopped (schedules P5, X5).

They are promised in the transaction of the run's end. Who has no account any more, or made none,
gets nothing; what a run said stands on its page, not in a letter.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.automation import AutomationRun, AutomationSchedule, RunStatus
from app.models.bulk import insert_new
from app.models.outbox import Outbox, OutboxState
from app.models.queue import mail_allowed
from app.models.types import new_uuid
from app.models.user import User, UserSettings
from app.models.webhook import Webhook

REPORT, STOPPED = "schedule_report", "schedule_stopped"
WEBHOOK_GONE = "webhook_gone"
KINDS = frozenset({REPORT, STOPPED, WEBHOOK_GONE})
BAD = (RunStatus.FAILED, RunStatus.TIMEOUT)


def report(
    session: Session,
    schedule: AutomationSchedule,
    run: AutomationRun,
    now: datetime,
    *,
    had_failed: bool,
) -> None:
    """It failed, took too long, or succeeded for the first time since (P5).

    Only where the context asks for it.
    """
    asked = (schedule.context_data or {}).get("notification_settings") or {}
    recovered = had_failed and run.status is RunStatus.SUCCESS
    if asked.get("email") is True and (run.status in BAD or recovered):
        key = f"{REPORT}:{run.execution_id}"
        _to_creator(session, REPORT, key, schedule, {"outcome": run.status}, now)


def stopped(session: Session, schedule: AutomationSchedule, run_id: str, now: datetime) -> None:
    """It failed so often in a row that it stopped by itself (X5)."""
    about = {"failures": schedule.consecutive_failures}
    _to_creator(session, STOPPED, f"{STOPPED}:{run_id}", schedule, about, now)


def webhook_gone(session: Session, hook_id: int, now: datetime) -> None:
    """Its owner hears that an endpoint wants nothing any more (reliability OB6)."""
    hook = session.get_one(Webhook, hook_id)
    if hook.user_id is not None:
        key = f"{WEBHOOK_GONE}:{hook.uuid}:{now.isoformat()}"
        about = {"about": hook.name, "page": "/admin/webhook/"}
        _promise(session, WEBHOOK_GONE, key, hook.user_id, hook.practice_id, about, now)


def _to_creator(
    session: Session,
    letter: str,
    key: str,
    schedule: AutomationSchedule,
    about: dict[str, Any],
    now: datetime,
) -> None:
    kind, _, number = (schedule.created_by or "").partition(":")
    if kind == "user" and number.isdecimal():
        page = f"/admin/automationschedule/details/?id={schedule.id}"
        about = about | {"about": schedule.name, "page": page}
        _promise(session, letter, key, int(number), schedule.practice_id, about, now)


def _promise(
    session: Session,
    letter: str,
    key: str,
    user_id: int,
    practice_id: int | None,
    about: dict[str, Any],
    now: datetime,
) -> None:
    reader = (
        sa.select(User.practice_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .where(User.id == user_id, User.active, mail_allowed())
    )
    found = session.execute(reader).one_or_none()
    if found is None:
        return
    row = {
        "uuid": new_uuid(),
        "key": f"{key}:email:{user_id}",
        "channel": "email",
        "aggregate": f"schedules/{user_id}",
        "kind": letter,
        "user_id": user_id,
        "payload": {"practice": practice_id or found.practice_id} | about,
        "state": OutboxState.PENDING,
        "due_at": now,
        "created_at": now,
    }
    insert_new(session, Outbox, [row], key="key")
