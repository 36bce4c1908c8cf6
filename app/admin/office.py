"""Who works at the administration: the administrator, their practice, its zone, their acts."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from flask import current_app
from flask_security import current_user

from app.models.practice import Practice
from app.models.user import User
from app.services import actors
from app.services.actors import Actor
from app.services.letter_words import zone_of


def administrator() -> User | None:
    """Who is signed in, if they are an administrator of a practice."""
    if not current_user or not current_user.is_authenticated:
        return None
    user: User = current_user._get_current_object()
    held = {role.name for role in user.roles}
    return user if "admin" in held and user.practice_id is not None else None


def practice_id() -> int:
    """The practice whose office they are part of; nothing else is seen."""
    user = administrator()
    assert user is not None  # noqa: S101  views are guarded
    assert user.practice_id is not None  # noqa: S101
    return user.practice_id


def practice() -> Practice | None:
    """Its row, as the frame of the page has it."""
    found: Practice | None = current_app.jinja_env.globals["practice"]()  # type: ignore[operator]
    return found


def zone() -> ZoneInfo:
    """The zone that they read and type times in."""
    found = practice()
    return zone_of(found.timezone if found else "UTC")


def actor() -> Actor:
    """What the history says of their acts."""
    user = administrator()
    assert user is not None  # noqa: S101  views are guarded
    return actors.staff(user.id, [practice_id()])
