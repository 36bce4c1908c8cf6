"""Who is who: accounts by their address, in whatever case it is written (B55)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload

from app.models.bulk import chunks
from app.models.user import User


def accounts(session: Session, addresses: Iterable[str]) -> dict[str, User]:
    """Address in lower case -> account; of two that differ in case the one spelled as given."""
    wanted = set(addresses)
    found: dict[str, User] = {}
    for some in chunks(sorted(wanted)):
        # Databases fold letters beyond ASCII differently: the exact spelling finds those too.
        mine = sa.or_(
            sa.func.lower(User.email).in_([a.lower() for a in some]), User.email.in_(some)
        )
        users = session.scalars(
            sa.select(User).options(joinedload(User.settings)).where(mine).order_by(User.id)
        )
        for user in users:
            if user.email in wanted or user.email.lower() not in found:
                found[user.email.lower()] = user
    return found


def new_account(email: str) -> dict[str, Any]:
    """Someone who can be written to, but has no password to sign in with yet."""
    return {"email": email, "active": True, "fs_uniquifier": uuid4().hex}
