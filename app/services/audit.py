"""Every act on what staff decide leaves an entry, in the act's transaction (people PA13)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.models.audit import AuditEntry
from app.services.actors import Actor

Facts = Mapping[str, Any]  # column -> value, as JSON


def record(
    session: Session,
    row: Any,
    actor: Actor,
    now: datetime,
    *,
    was: Facts | None,
    is_now: Facts | None,
) -> bool:
    """Write down what changed of `row`, which has an id, a name and a practice.

    `was` None: it is new; `is_now` None: it is deleted. False: nothing changed, nothing is written.
    """
    names = [name for name in (was or is_now or {}) if was is None or is_now is None
             or was[name] != is_now[name]]  # fmt: skip
    if not names:
        return False
    verb = "create" if was is None else "remove" if is_now is None else "update"
    subject = row.__tablename__
    session.add(
        AuditEntry(
            practice_id=row.practice_id,
            at=now,
            actor=actor.name,
            action=f"{subject}_{verb}",
            subject=subject,
            subject_id=row.id,
            called=row.name,
            old=None if was is None else {name: was[name] for name in names},
            new=None if is_now is None else {name: is_now[name] for name in names},
        )
    )
    return True
