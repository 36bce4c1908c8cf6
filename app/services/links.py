"""Links in letters: whoever holds one may answer without signing in (waitlist WK1, reliability ML).

A token is 32 bytes, the HMAC of what it is for, so that a repeated letter has the same link. Only
the SHA-256 of those bytes is kept: tokens are looked up, never computed again, so that keys may be
changed at any time. What a link may still do is asked of the enrolment, not of its token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import unquote

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.models.bulk import CHUNK, among, chunks, dialect_of
from app.models.link import LinkToken
from app.models.types import UtcDateTime
from app.models.user import User
from app.services import tickets

# What a token is for, and where its page is.
PATHS = {
    "answer": "invitations",
    "leave": "waitlist",
    "keep": "waitlist",
    "re-enable": "waitlist",
    "unsubscribe": "unsubscribe",
}
VALID_FOR = timedelta(days=180)
RENEWED_AFTER = timedelta(days=90)  # a link sent again late lives from then on

DOMAIN = b"nextseat link v1"  # a key used elsewhere too makes no tokens by accident
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
SECRETS = re.compile(
    "/("
    + "|".join(sorted({*PATHS.values(), *(path.strip("/") for path in tickets.PATHS.values())}))
    + r")/[^\s<>\"']+"
)
BENT = " \t\r\n.,;:!?>)]}'\"="  # what mail programs and people leave at the end of a link
LONGEST_LOOK = 200


class Ticket(NamedTuple):
    """What one token stands for."""

    purpose: str
    enrolment_id: int
    uuid: str
    invite_no: int
    user_id: int
    address: str  # the reader's: a changed address has other tokens (ML2)


def without_tokens(text: str) -> str:
    """A letter to look at: who has the token of one of its links may act as its reader."""
    return SECRETS.sub(r"/\1/…", text)


# --- writing them --------------------------------------------------------------------------------


def token_of(ticket: Ticket, key: bytes) -> str:
    """The token as it stands in a link: the same for the same ticket and key."""
    return base64.urlsafe_b64encode(_bytes_of(ticket, key)).rstrip(b"=").decode()


def mint_many(
    session: Session, tickets: Iterable[Ticket], keys: Sequence[bytes], now: datetime
) -> dict[Ticket, str]:
    """Make the tokens valid and return them, in one statement for a thousand.

    Signed with the first of `keys`. A token that is there stays; it is dated anew only where a
    letter repeats it so late that its reader would have little time left.
    """
    tokens = {ticket: _bytes_of(ticket, keys[0]) for ticket in tickets}
    rows = [
        {
            "digest": _digest(token),
            "purpose": ticket.purpose,
            "enrolment_id": ticket.enrolment_id,
            "user_id": ticket.user_id,
            "invite_no": ticket.invite_no,
            "created_at": now,
        }
        for ticket, token in tokens.items()
    ]
    for chunk in chunks(sorted(rows, key=lambda row: str(row["digest"])), CHUNK):
        session.execute(_insert(dialect_of(session), len(chunk)), _numbered(chunk, now))
    return {ticket: token_of(ticket, keys[0]) for ticket in tokens}


def _bytes_of(ticket: Ticket, key: bytes) -> bytes:
    parts = (ticket.purpose, ticket.uuid, str(ticket.invite_no), str(ticket.user_id))
    said = b"\0".join([DOMAIN, *(p.encode() for p in parts), ticket.address.lower().encode()])
    return hmac.digest(key, said, "sha256")


def _digest(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()


def _numbered(rows: list[dict[str, Any]], now: datetime) -> dict[str, Any]:
    values = {f"{name}_{n}": value for n, row in enumerate(rows) for name, value in row.items()}
    return values | {"renewed_before": now - RENEWED_AFTER}


@cache  # a batch of letters is at most twenty, each with a few links: few sizes ever occur
def _insert(dialect: str, count: int) -> Any:
    """One INSERT of so many rows, given as `digest_0`, `purpose_0` … (RC11)."""
    columns = LinkToken.__table__.c
    rows = [
        {c.name: sa.bindparam(f"{c.name}_{n}", type_=c.type) for c in columns} for n in range(count)
    ]
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement: Any = make(LinkToken.__table__).values(rows)  # type: ignore[arg-type]
    old = columns.created_at < sa.bindparam("renewed_before", type_=UtcDateTime())
    return statement.on_conflict_do_update(
        index_elements=["digest"],
        set_={"created_at": statement.excluded.created_at},
        where=old,
    )


def revoke(session: Session, user_id: int) -> None:
    """No link that this person was ever sent works any more: erased, or another address (ML2)."""
    session.execute(
        sa.delete(LinkToken)
        .where(LinkToken.user_id == user_id)
        .execution_options(synchronize_session=False)
    )


# --- reading them --------------------------------------------------------------------------------


def find(session: Session, token: str, purpose: str, now: datetime) -> LinkToken | None:
    """What a token out of a link stands for, if it is a genuine one for this purpose (WK3).

    One statement whatever was typed, so that malformed, forged, unknown and foreign look the same.
    """
    asked = _asked(token, [purpose], now)
    found: LinkToken | None = session.scalars(_known(), asked).one_or_none()
    return found


def asked_for(token: str, page: str, now: datetime) -> dict[str, Any]:
    """The parameters of `is_genuine` for a token that came to that page."""
    return _asked(token, [purpose for purpose, path in PATHS.items() if path == page], now)


def _asked(token: str, purposes: list[str], now: datetime) -> dict[str, Any]:
    return {"digest": _digest(_read(token)), "purposes": purposes, "since": now - VALID_FOR}


def is_genuine() -> sa.ColumnElement[bool]:
    """Of a token joined with its reader: known, for this purpose, not too old, nobody erased."""
    return sa.and_(
        LinkToken.digest == sa.bindparam("digest", type_=sa.String),
        among(LinkToken.purpose, "purposes"),
        LinkToken.created_at > sa.bindparam("since", type_=UtcDateTime()),
        User.erased_at.is_(None),
    )


@cache
def _known() -> sa.Select[Any]:
    return (
        sa.select(LinkToken)
        .join(User, User.id == LinkToken.user_id)
        .where(is_genuine())
        .execution_options(populate_existing=True)
    )


def _read(token: str) -> bytes:
    """The bytes of a token; of anything else bytes that stand for nothing."""
    text = unbent(token)
    if not TOKEN.fullmatch(text):
        return b""
    return base64.urlsafe_b64decode(text + "=")


def unbent(token: str, longest: int = LONGEST_LOOK) -> str:
    """A token freed once of what mail programs do to links: escaped twice, `.` `>` `)` at the end.

    What is no token comes back as it is, shortened (people PI3).
    """
    return unquote(token[:longest]).strip(BENT).lstrip("<(")


# --- addresses -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class AddressBook:
    """Every address that a letter names; `base` is never taken from a request (ML4)."""

    base: str

    def link(self, purpose: str, token: str) -> str:
        """The page of a token."""
        return f"{self._root}/{PATHS[purpose]}/{token}"

    def page(self, path: str) -> str:
        """Any page of ours, by its path."""
        return f"{self._root}{path}"

    def my_training(self, uuid: str) -> str:
        """A student's own page of an enrolment; needs signing in."""
        return f"{self._root}/me/trainings/{uuid}"

    def training(self, training_id: int) -> str:
        """A training's page in the catalogue."""
        return f"{self._root}/trainings/{training_id}"

    def for_trainers(self, training_id: int) -> str:
        """A trainer's page of a training; needs signing in."""
        return f"{self._root}/trainer/trainings/{training_id}"

    def notifications(self) -> str:
        """Where a reader says how often we write; needs signing in."""
        return f"{self._root}/me/notifications"

    @property
    def _root(self) -> str:
        return self.base.rstrip("/")
