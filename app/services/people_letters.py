"""Letters that a practice writes to its people by itself: greetings, a look at their profile, what
happened in the trainings that they teach.

None is about one training alone. Whoever wants none is asked at promising and again at sending, and
each says how to get no more of them: its link carries all it needs, signed (schedules B4, F3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.automation import AutomationRun
from app.models.bulk import dialect_of, insert_rows, random_uuid, selected, send
from app.models.greeting import Greeting
from app.models.outbox import Outbox, OutboxState
from app.models.person import Student, Trainer
from app.models.profile_review import ProfileReview
from app.services import tickets

BIRTHDAY_TODAY, BIRTHDAY_LATE = "birthday_today", "birthday_late"
PROFILE_CHECK = "profile_check"
TRAINER_DIGEST = "trainer_digest"
KINDS = frozenset({BIRTHDAY_TODAY, BIRTHDAY_LATE, PROFILE_CHECK, TRAINER_DIGEST})
LINK_VALID_FOR = timedelta(days=180)  # as all links in letters (waitlist WK1)


def birthday(
    session: Session,
    practice_id: int,
    user_id: int,
    year: int,
    days_late: int,
    until: datetime,
    due_at: datetime,
    now: datetime,
    *,
    execution_id: str | None = None,
) -> bool:
    """Happy birthday, some days ago or today, which ends at `until`; once a year (schedules B3).

    `execution_id`: the run that promises it, so that the run can tell what arrived (X6).
    """
    letter = BIRTHDAY_LATE if days_late else BIRTHDAY_TODAY
    key = f"birthday:{user_id}:{year}"
    about: dict[str, Any] = {"practice": practice_id, "days_late": days_late}
    about |= {} if days_late else {"until": until.isoformat()}
    about |= {"run": execution_id} if execution_id else {}
    return _promise(session, letter, key, user_id, about, due_at, now)


def profile_check(
    session: Session,
    practice_id: int,
    student_id: int,
    user_id: int,
    execution_id: str,
    missing: Sequence[str],
    due_at: datetime,
    now: datetime,
) -> bool:
    """Please check your profile; what is `missing` in it (schedules F3)."""
    key = f"{PROFILE_CHECK}:{student_id}:{execution_id}"
    about = {"practice": practice_id, "missing": list(missing), "run": execution_id}
    return _promise(session, PROFILE_CHECK, key, user_id, about, due_at, now)


def trainer_digest(
    session: Session,
    practice_id: int,
    trainer_id: int,
    user_id: int,
    occasion: str,
    news: Mapping[int, Sequence[int]],
    now: datetime,
    *,
    execution_id: str | None = None,
) -> bool:
    """What happened in your trainings; `news`: numbers in the history of each (waitlist WN15)."""
    key = f"{TRAINER_DIGEST}:{trainer_id}:{occasion}"
    about: dict[str, Any] = {"practice": practice_id}
    about["news"] = {str(training_id): list(numbers) for training_id, numbers in news.items()}
    about |= {"run": execution_id} if execution_id else {}
    return _promise(session, TRAINER_DIGEST, key, user_id, about, now, now)


def _promise(
    session: Session,
    letter: str,
    key: str,
    user_id: int,
    about: dict[str, Any],
    due_at: datetime,
    now: datetime,
) -> bool:
    """False: it was promised before."""
    columns = {
        "uuid": random_uuid(),
        "key": f"{key}:email:{user_id}",
        "channel": "email",
        "aggregate": f"people/{user_id}",
        "kind": letter,
        "user_id": user_id,
        "payload": about,
        "state": OutboxState.PENDING,
        "due_at": due_at,
        "created_at": now,
    }
    row = selected(Outbox, columns, sa.select())
    statement = insert_rows(dialect_of(session), Outbox, row, once_per="key")
    return bool(send(session, statement, {}).rowcount == 1)


def delivered(session: Session, run: AutomationRun) -> tuple[int, int]:
    """How many letters of a run have been sent, of how many it promised (X6)."""
    since, o = run.started_at or run.due_at, Outbox
    if not run.messages_sent or since is None:
        return 0, 0
    # Whom it wrote to, by the ledgers: the outbox is too long to be read from end to end.
    greeted = sa.select(Greeting.user_id).where(
        Greeting.execution_id == run.execution_id, Greeting.greeted_at >= since
    )
    asked = (
        sa.select(Student.user_id)
        .join(ProfileReview, ProfileReview.student_id == Student.id)
        .where(ProfileReview.execution_id == run.execution_id, ProfileReview.reviewed_at >= since)
    )
    teaches = sa.select(Trainer.user_id)  # whom a digest may have gone to
    sent = sa.select(sa.func.count(o.id)).where(
        o.user_id.in_(greeted.union(asked, teaches)),
        o.kind.in_(KINDS),
        o.state == OutboxState.SENT,
        o.payload["run"].as_string() == run.execution_id,
    )
    return session.scalar(sent) or 0, run.messages_sent


# --- the link to get no more of them -------------------------------------------------------------


def no_more(
    key: bytes,
    user_id: int,
    practice_id: int,
    address: str,
    since: datetime,
    purpose: str = tickets.NO_GREETINGS,
) -> str:
    """The path of the page that stops them; the same for the same letter."""
    facts = [user_id, practice_id, _digest(address)]
    token = tickets.write(key.hex(), purpose, facts, since + LINK_VALID_FOR)
    return tickets.path(purpose, token)


def asked_to_stop(
    keys: Sequence[bytes], token: str, now: datetime, purpose: str = tickets.NO_GREETINGS
) -> tuple[int, int, str] | None:
    """(user, practice, digest of the address) that a token names; None: no genuine one."""
    for key in keys:
        facts = tickets.read(key.hex(), purpose, token, now)
        if facts is not None and [type(fact) for fact in facts] == [int, int, str]:
            return facts[0], facts[1], facts[2]
    return None


def is_sent_to(address: str, digest: str) -> bool:
    """Whether a link went to this very address: another one has other links (reliability ML2)."""
    return _digest(address) == digest


def _digest(address: str) -> str:
    return hashlib.sha256(address.lower().encode()).hexdigest()[:16]
