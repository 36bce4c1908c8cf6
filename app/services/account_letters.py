"""Letters about an account, not about a training: they go to whoever has opted out, too.

Some carry a link that lets its reader in. It stands in the payload until the letter is sent and is
taken out then (libraries S3): what is left in the table opens nothing.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.bulk import dialect_of, insert_rows, random_uuid, selected, send
from app.models.outbox import Outbox, OutboxState
from app.models.user import Role, User, roles_users

# Letters with a link that lets in: without it there is nothing to send.
WITH_LINK = frozenset({"account_sign_up", "account_reset", "account_invite", "account_address"})
RAN_OUT = "its link no longer works"
KINDS = WITH_LINK | {
    "account_changed",
    "account_totp_reset",
    "welcome",
    "application_received",
    "student_active",
    "student_created",
}


def sign_up(
    session: Session,
    practice_id: int | None,
    to: str,
    page: str,
    until: datetime,
    now: datetime,
    wanted: str = "",
) -> None:
    """Go on signing up here: for an address without an account, whatever was `wanted` with it."""
    about = {"practice": practice_id, "to": to, "page": page, "until": until.isoformat()}
    about |= {"reason": wanted}
    _promise(session, "account_sign_up", to.lower(), None, about, now)


def reset(
    session: Session,
    practice_id: int | None,
    user: User,
    page: str,
    until: datetime,
    now: datetime,
    wanted: str = "",
) -> None:
    """Choose a new password; who `wanted` to sign up learns that there is an account."""
    _with_link(session, "account_reset", practice_id, user, page, until, now, reason=wanted)


def closed(session: Session, practice_id: int | None, user: User, now: datetime) -> None:
    """Your account was closed: whom to ask."""
    about = {"practice": practice_id, "reason": "closed", "page": "/help"}
    _promise(session, "account_reset", user.id, user, about, now)


def invite(
    session: Session, practice_id: int | None, user: User, page: str, until: datetime, now: datetime
) -> None:
    """You have an account; choose its password."""
    _with_link(session, "account_invite", practice_id, user, page, until, now)


def address(
    session: Session,
    practice_id: int | None,
    user: User,
    to: str,
    page: str,
    until: datetime,
    now: datetime,
) -> None:
    """Confirm your new address: goes there, not to the old one (people PS7)."""
    _with_link(session, "account_address", practice_id, user, page, until, now, to=to)


def changed(
    session: Session,
    practice_id: int | None,
    user: User,
    what: str,
    now: datetime,
    to: str | None = None,
) -> None:
    """`what` of the account was changed: its "password", its "address", its "codes"."""
    about = {"practice": practice_id, "reason": what, "page": "/new-password"}
    _promise(session, "account_changed", user.id, user, about | ({"to": to} if to else {}), now)


def totp_reset(
    session: Session, practice_id: int | None, user: User, reason: str, now: datetime
) -> None:
    """Staff took away the codes of the authenticator app, and why (people PA15)."""
    about = {"practice": practice_id, "reason": reason, "page": "/sign-in"}
    _promise(session, "account_totp_reset", user.id, user, about, now)


def welcome(session: Session, practice_id: int, user: User, now: datetime) -> None:
    """You can book now (waitlist WM1)."""
    _once(session, "welcome", practice_id, user, "/trainings", now)


def application_received(session: Session, practice_id: int, user: User, now: datetime) -> None:
    """You can book once a trainer has approved you (rulings RD1)."""
    _once(session, "application_received", practice_id, user, "/trainings", now)


def student_active(session: Session, practice_id: int, user: User, now: datetime) -> None:
    """You were approved, or may book again."""
    about = {"practice": practice_id, "page": "/trainings"}
    _promise(session, "student_active", user.id, user, about, now)


def student_created(session: Session, practice_id: int, student: User, now: datetime) -> None:
    """For the office: somebody new waits for approval; nobody there, no letter (waitlist WM1)."""
    office = (
        sa.select(User)
        .join(roles_users, roles_users.c.user_id == User.id)
        .join(Role, (Role.id == roles_users.c.role_id) & (Role.name == "admin"))
        .where(User.practice_id == practice_id, User.active, User.undeliverable_at.is_(None))
        .order_by(User.id)
    )
    about = {"practice": practice_id, "about": student.id, "page": "/trainer/trainings"}
    for reader in session.scalars(office).all():
        _promise(session, "student_created", f"{student.id}-{reader.id}", reader, about, now)


def _with_link(
    session: Session,
    letter: str,
    practice_id: int | None,
    user: User,
    page: str,
    until: datetime,
    now: datetime,
    **more: Any,
) -> None:
    about = {"practice": practice_id, "page": page, "until": until.isoformat(), **more}
    _promise(session, letter, user.id, user, about, now)


def _once(
    session: Session, letter: str, practice_id: int, user: User, page: str, now: datetime
) -> None:
    about = {"practice": practice_id, "page": page}
    _promise(session, letter, f"{user.id}-{practice_id}", user, about, now)


def _promise(
    session: Session,
    letter: str,
    whom: int | str,
    reader: User | None,
    about: dict[str, Any],
    now: datetime,
) -> None:
    """The key names the person and the instant: promised twice at once it is one letter."""
    name = hashlib.sha256(str(whom).encode()).hexdigest()[:24] if reader is None else str(whom)
    columns = {
        "uuid": random_uuid(),
        "key": f"{letter}:{name}:{now:%Y%m%dT%H%M%S.%f}:email",
        "channel": "email",
        "aggregate": f"account/{name}",
        "kind": letter,
        "user_id": reader.id if reader else None,
        "payload": {k: v for k, v in about.items() if v is not None},
        "state": OutboxState.PENDING,
        "due_at": now,
        "created_at": now,
    }
    row = selected(Outbox, columns, sa.select())
    send(session, insert_rows(dialect_of(session), Outbox, row, once_per="key"), {})
