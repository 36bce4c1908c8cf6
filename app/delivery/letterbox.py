"""Letters to look at where none leaves the machine: the demo and DEVELOPMENT (people PF4).

What went out is read from its file, word for word; what has not gone out yet, or left no file, is
rendered as it would be sent now. Nothing is written: the links of a letter work once it is sent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.delivery import message, rendering
from app.delivery.outbox import CHANNEL
from app.delivery.rendering import Letter
from app.delivery.transports import ToFiles, transport_for
from app.models.outbox import Outbox, OutboxState
from app.models.user import User
from app.services import links
from config import Settings

MOST = 100  # letters of a list


@dataclass(frozen=True)
class Row:
    """A letter in the list."""

    id: int
    kind: str
    state: OutboxState
    created_at: datetime
    user_id: int | None
    name: str
    email: str


@dataclass(frozen=True)
class Shown:
    """A letter as its reader has it, or why there is none to show."""

    headers: list[tuple[str, str]]
    html: str
    text: str
    calendar: str
    why_not: str = ""


def is_open(settings: Settings) -> bool:
    """Whether letters may be looked at here: by anybody, so in no other place."""
    return settings.demo or settings.environment == "DEVELOPMENT"


def newest(session: Session, user_id: int | None) -> list[Row]:
    """The latest letters, newest first; those of one person if given."""
    o = Outbox
    name = sa.func.coalesce(User.first_name + " " + User.last_name, "")
    address = sa.func.coalesce(User.email, "")
    asked = (
        sa.select(o.id, o.kind, o.state, o.created_at, o.user_id, name, address)
        .outerjoin(User, User.id == o.user_id)
        .where(o.channel == CHANNEL)
        .order_by(o.id.desc())
        .limit(MOST)
    )
    if user_id is not None:
        asked = asked.where(o.user_id == user_id)
    return [Row(*row) for row in session.execute(asked)]


def readers(session: Session) -> list[tuple[int, str]]:
    """Everybody whom a letter was written to, by name."""
    name = User.first_name + " " + User.last_name
    written_to = sa.select(Outbox.user_id).where(Outbox.user_id.is_not(None))
    asked = sa.select(User.id, name, User.email).where(User.id.in_(written_to))
    found = session.execute(asked.order_by(name, User.id))
    return [(id_, full.strip() or email) for id_, full, email in found]


def open_letter(session: Session, row: Outbox, settings: Settings, now: datetime) -> Shown:
    """One letter: what went out, else what would."""
    if row.channel != CHANNEL:  # a program's, which reads JSON
        return Shown([], "", json.dumps(row.payload.get("event"), indent=2), "")
    path = _file_of(row, settings)
    if path is not None:
        return _shown(path.read_bytes())
    made = rendering.compose(session, [row], settings, now, mint=False)[row.id]
    if not isinstance(made, Letter):
        return Shown([], "", "", "", str(getattr(made, "reason", made)))
    try:
        return _shown(message.envelope(made, row, settings).content)
    except message.BadLetter as bad:
        return Shown([], "", "", "", str(bad))


def open_for_staff(session: Session, row: Outbox, settings: Settings, now: datetime) -> Shown:
    """The same without the tokens of its links: who has one may act as its reader."""
    seen, hide = open_letter(session, row, settings, now), links.without_tokens
    return Shown(
        headers=[(name, hide(value)) for name, value in seen.headers],
        html=hide(seen.html),
        text=hide(seen.text),
        calendar=hide(seen.calendar),
        why_not=seen.why_not,
    )


def _file_of(row: Outbox, settings: Settings) -> Path | None:
    transport = transport_for(settings)
    if not isinstance(transport, ToFiles):
        return None
    path = transport.path_of(row)
    return path if path.is_file() else None


def _shown(content: bytes) -> Shown:
    letter: Any = message_from_bytes(content, policy=policy.default)
    parts = {part.get_content_type(): part.get_content() for part in _leaves(letter)}
    return Shown(
        headers=[(name, str(value)) for name, value in letter.items()],
        html=parts.get("text/html", ""),
        text=parts.get("text/plain", ""),
        calendar=parts.get("text/calendar", ""),
    )


def _leaves(letter: EmailMessage) -> list[Any]:
    return [part for part in letter.walk() if not part.is_multipart()]
