"""Many people at once, for benchmarks: students, waiting rows, open invitations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.extensions import write
from app.models import EnrolmentStatus, PersonStatus, Student, Training, TrainingEnroll, User
from app.models.bulk import insert_many
from app.models.types import new_uuid
from tests.cast import NOON, Cast


def students(session: Session, cast: Cast, count: int, start: int = 0) -> list[int]:
    """So many active students; their ids."""
    users = [
        {
            "email": f"s{n}@example.org",
            "first_name": "S",
            "last_name": str(n),
            "active": True,
            "fs_uniquifier": new_uuid(),
        }
        for n in range(start, start + count)
    ]
    insert_many(session, User, users)
    newest = sa.select(User.id).order_by(User.id.desc()).limit(count)
    people = [
        {"user_id": id_, "practice_id": cast.practice.id, "status": PersonStatus.ACTIVE}
        for id_ in sorted(session.scalars(newest))
    ]
    insert_many(session, Student, people)
    ids = session.scalars(sa.select(Student.id).order_by(Student.id.desc()).limit(count))
    return sorted(ids)


def queue(session: Session, training: Training, student_ids: Sequence[int], first: int = 1) -> None:
    """They wait for this training, in this order."""
    rows: list[dict[str, Any]] = [
        _row(training, id_, EnrolmentStatus.WAITLIST, n)
        for n, id_ in enumerate(student_ids, start=first)
    ]
    insert_many(session, TrainingEnroll, rows)
    training.last_position = first + len(rows) - 1


def invite(
    session: Session,
    cast: Cast,
    training: Training,
    student_ids: Sequence[int],
    deadlines: Sequence[datetime],
) -> None:
    """They hold an open invitation each, until these instants."""
    rows = [
        _row(training, id_, EnrolmentStatus.INVITED, n)
        | {
            "invite_no": 1,
            "invite_date": NOON,
            "invite_expires_at": until,
            "invite_schedule_id": cast.schedule.id,
        }
        for n, (id_, until) in enumerate(zip(student_ids, deadlines, strict=True), start=1)
    ]
    insert_many(session, TrainingEnroll, rows)
    training.last_position = max(training.last_position, len(rows))
    training.seats_taken = len(rows)


def _row(training: Training, student_id: int, status: EnrolmentStatus, n: int) -> dict[str, Any]:
    return {
        "uuid": new_uuid(),
        "training_id": training.id,
        "student_id": student_id,
        "status": status,
        "queue_position": n,
        "joined_at": NOON,
    }


def know_the_tables(session: Session) -> None:
    """What autovacuum does behind whoever fills tables: fresh ones have no statistics."""
    with write(session):
        session.execute(sa.text("ANALYZE"))
