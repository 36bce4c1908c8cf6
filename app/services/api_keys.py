"""Keys with which programs ask: made, shown once, found again, taken back (people PA12).

A key reads `nsk_<8 hex>_<43 characters>` and holds 256 random bits, so that its SHA-256, which is
all we keep, needs no slow hash (libraries S4).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.models.api_key import ApiKey
from app.models.text import shown
from app.models.user import User
from app.services.actors import Actor
from app.services.refusals import NotFound, Refusal

READ, WRITE, RUN = "schedules:read", "schedules:write", "schedules:run"
SCOPES = (READ, WRITE, RUN)
DAYS = 90  # that a key lives, unless something else was said
MOST_DAYS = 3650
KEY = re.compile(r"nsk_[0-9a-f]{8}_[A-Za-z0-9_-]{43}", re.ASCII)
USED_EVERY = timedelta(minutes=1)  # the last use is written at most so often


class BadKeyName(Refusal):
    """A key that nobody could tell from another."""

    code, status = "bad_key_name", 400
    sentence = _l("Give the key a name of 1 to 100 characters.")


class BadScopes(Refusal):
    """A key that may do nothing, or what nobody knows."""

    code, status = "bad_scopes", 400
    sentence = _l("Say what the key may do: schedules:read, schedules:write, schedules:run.")


class BadKeyLife(Refusal):
    """A key that would be over, or hardly ever."""

    code, status = "bad_key_life", 400
    sentence = _l("A key lives from 1 to 3650 days.")


class AlreadyRevoked(Refusal):
    """It opens nothing any more."""

    code, status = "already_revoked", 409
    sentence = _l("This key was revoked before.")


# --- making and taking back -----------------------------------------------------------------------


def create(
    session: Session,
    name: str,
    scopes: Collection[str],
    actor: Actor,
    now: datetime,
    *,
    practice_id: int | None,
    user_id: int | None = None,
    days: int = DAYS,
) -> tuple[ApiKey, str]:
    """A new key and its text, which nobody can ever be shown again.

    `practice_id` None opens all practices; `user_id` is its owner. Raises `BadKeyName`,
    `BadScopes`, `BadKeyLife`.
    """
    name = name.strip()
    if not shown(name) or len(name) > 100:
        raise BadKeyName
    if not scopes or not set(scopes) <= set(SCOPES):
        raise BadScopes
    if not 1 <= days <= MOST_DAYS:
        raise BadKeyLife
    text = f"nsk_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"
    key = ApiKey(
        practice_id=practice_id,
        user_id=user_id,
        name=name,
        digest=digest_of(text),
        first_characters=first_characters(text),
        scopes=[scope for scope in SCOPES if scope in scopes],
        created_by=actor.name,
        created_at=now,
        expires_at=now + timedelta(days=days),
    )
    session.add(key)
    session.flush()  # whoever made it names it by its id
    return key, text


def revoke(session: Session, key: ApiKey, actor: Actor, now: datetime) -> None:
    """From now on it opens nothing. Raises `NotFound` for others' keys, `AlreadyRevoked`."""
    if actor.practice_ids is not None and key.practice_id not in actor.practice_ids:
        raise NotFound(what="key", id=key.id)
    taken_back = session.execute(
        sa.update(ApiKey)
        .where(ApiKey.id == key.id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=now)
        .execution_options(synchronize_session=False)
    )
    if not taken_back.rowcount:  # type: ignore[attr-defined]
        raise AlreadyRevoked
    session.refresh(key)


# --- finding --------------------------------------------------------------------------------------


def find(session: Session, text: str, now: datetime) -> ApiKey | None:
    """The key of that text; None where it opens nothing, and nobody learns why.

    It is unknown, revoked or over, or its owner's account is closed.
    """
    if not KEY.fullmatch(text):
        return None
    digest = digest_of(text)
    owned = ApiKey.user_id.is_(None) | ApiKey.user_id.in_(sa.select(User.id).where(User.active))
    asked = sa.select(ApiKey).where(ApiKey.digest == digest, ApiKey.usable_at(now), owned)
    key = session.scalars(asked).one_or_none()
    return key if key is not None and hmac.compare_digest(key.digest, digest) else None


def is_same(given: str, kept: str) -> bool:
    """Whether two texts are one key, in a time that tells nothing of either."""
    return hmac.compare_digest(digest_of(given), digest_of(kept))


def listed(session: Session, practice_ids: Collection[int] | None = None) -> Sequence[ApiKey]:
    """The keys of these practices, or all; the newest first."""
    asked = sa.select(ApiKey).order_by(ApiKey.id.desc())
    if practice_ids is not None:
        asked = asked.where(ApiKey.practice_id.in_(practice_ids))
    return session.scalars(asked).all()


def named(session: Session, text: str) -> Sequence[ApiKey]:
    """Whatever an operator may mean by a text: an id, the first characters, or a name."""
    means = [ApiKey.first_characters == text, ApiKey.name == text]
    if re.fullmatch(r"[1-9][0-9]{0,8}", text, re.ASCII):
        means.append(ApiKey.id == int(text))
    return session.scalars(sa.select(ApiKey).where(sa.or_(*means)).order_by(ApiKey.id)).all()


def needs_mark(key: ApiKey, now: datetime) -> bool:
    """Whether its last use was written long enough ago."""
    return key.last_used_at is None or now - key.last_used_at >= USED_EVERY


def mark_used(session: Session, key_id: int, now: datetime) -> None:
    """Remember that it was used."""
    session.execute(sa.update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=now))


# --- its text -------------------------------------------------------------------------------------


def digest_of(text: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def first_characters(text: str) -> str:
    """What logs and pages show of a key: four characters, behind what all begin with."""
    return text.removeprefix("nsk_")[:4]
