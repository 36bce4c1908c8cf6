"""Whose an account is: what no practice does to it alone, and who keeps an office (SE7, PA15)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.models.bulk import chunks
from app.models.person import Student, Trainer
from app.models.user import Role, User, roles_users
from app.services.actors import Actor
from app.services.refusals import Refusal


class OfOtherOffice(Refusal):
    """Another practice uses the account, too."""

    code = "of_other_office"
    sentence = _l(
        "Another practice uses this account as well, so it is not changed from here. "
        "In your own practice you can switch the student or trainer off."
    )


class Erased(Refusal):
    """Whoever is forgotten stays so (waitlist WT7)."""

    code = "erased"
    sentence = _l("This person was erased, which is final. Make a new account instead.")


class LastAdmin(Refusal):
    """A practice keeps somebody who can let others in."""

    code = "last_admin"
    sentence = _l("This is the last administrator of the practice; name another one first.")


class OwnOffice(Refusal):
    """Administrators don't shut themselves out (people PA15)."""

    code = "own_office"
    sentence = _l("You cannot take this from yourself; ask another administrator.")


def belonging_elsewhere(
    session: Session, practice_ids: Collection[int], user_ids: Sequence[int]
) -> set[int]:
    """Whose account other practices use too: no one practice may rewrite it (reliability SE7)."""
    found: set[int] = set()
    for some in chunks(user_ids):
        uses: list[Any] = [
            sa.select(model.user_id).where(
                model.user_id.in_(some), model.practice_id.not_in(practice_ids)
            )
            for model in (Student, Trainer)
        ]
        office = sa.select(User.id).where(User.id.in_(some), User.practice_id.not_in(practice_ids))
        found |= set(session.scalars(sa.union(*uses, office)))
    return found


def require_within(session: Session, user: User, actor: Actor) -> None:
    """Staff change accounts that no practice but theirs uses. Raises `OfOtherOffice`."""
    if actor.practice_ids is not None and belonging_elsewhere(
        session, actor.practice_ids, [user.id]
    ):
        raise OfOtherOffice


def require_not_erased(user: User) -> None:
    """Raises `Erased`."""
    if user.erased_at is not None:
        raise Erased


def keep_an_admin(session: Session, user: User, actor: Actor) -> None:
    """Nobody who lets people in goes as the last, or by their own hand; the practice is locked.

    Raises `LastAdmin`, `OwnOffice`.
    """
    if not user.active or "admin" not in [role.name for role in user.roles]:
        return
    others = (
        sa.select(User.id)
        .join(roles_users, roles_users.c.user_id == User.id)
        .join(Role, Role.id == roles_users.c.role_id)
        .where(Role.name == "admin", User.active, User.id != user.id)
        .where(User.practice_id == user.practice_id)
        .limit(1)
    )
    if session.scalar(others) is None:
        raise LastAdmin
    if actor.user_id == user.id:
        raise OwnOffice
