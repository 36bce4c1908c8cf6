"""Who asks, and what they may: by key or by login (schedules A1, A2).

A key comes in `X-API-Key` or as a bearer token, and is never read from a cookie: no page of others
can send it. A login is the cookie, so whatever changes anything needs the key against forgery too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, TypeVar

from flask import current_app, g, request
from flask_babel import gettext as _
from flask_limiter.util import get_remote_address
from flask_security import current_user
from sqlalchemy.orm import Session
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from app.extensions import csrf, db, utcnow, write
from app.limits import count, forget, left, require_room
from app.models.api_key import ApiKey
from app.models.user import User
from app.services import aaa, actors, api_keys
from app.services.actors import Actor
from app.services.schedule_errors import SchedulePermissionException
from config import Settings, plain

WRONG_KEYS = "10 per 15 minutes"  # from one address
REQUESTS = "120 per minute"  # of one key, or of one person
RUNS = "10 per minute"  # of one schedule, by hand

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True)
class Caller:
    """Who asks: what they may, in whose name, and for which practice (None: for all)."""

    actor: Actor
    scopes: frozenset[str]
    practice_id: int | None
    counted_as: str
    key_id: int | None = None


def needs(scope: str) -> Callable[[View], View]:
    """A view for callers with that scope alone; without this mark nobody gets in."""

    def mark(view: View) -> View:
        view.scope = scope  # type: ignore[attr-defined]
        return view

    return mark


def for_anybody(view: View) -> View:
    """A view that needs no key; one that comes is looked at all the same."""
    view.scope = None  # type: ignore[attr-defined]
    return view


def caller() -> Caller:
    """Who asks. 401 if nobody is known."""
    return known_caller() or _unknown()


def known_caller() -> Caller | None:
    """Who asks, where a view is for anybody."""
    found: Caller | None = g.get("api_caller")
    return found


def let_in() -> None:
    """Find out who asks, count the request and see whether they may: before each view."""
    scope = getattr(current_app.view_functions.get(str(request.endpoint)), "scope", "")
    g.api_caller = _by_key_or_login(utcnow(), needed=scope is not None)
    if scope is None:
        return
    who = g.api_caller or _unknown()
    g.api_counted_as = who.counted_as
    count(REQUESTS, "api", who.counted_as)
    if scope not in who.scopes:
        user, key = who.actor.user_id, who.counted_as
        aaa.log.warning(aaa.line("AUTHZ", "schedule_access", "DENIED", user=user, key=key))
        raise SchedulePermissionException(_("This needs the scope %(scope)s.", scope=scope))


def count_run(schedule_id: str) -> None:
    """One more run of a schedule by hand. Raises `TooManyRequests`."""
    count(RUNS, "run", schedule_id)


# --- by key ---------------------------------------------------------------------------------------


def _by_key_or_login(now: datetime, needed: bool) -> Caller | None:
    text = _given_key()
    if text is None:
        return _by_login()
    return _by_key(text, now) or (_unknown() if needed else None)


def _given_key() -> str | None:
    if text := request.headers.get("X-API-Key"):
        return text
    scheme, _blank, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _by_key(text: str, now: datetime) -> Caller | None:
    """Whose key it is; wrong ones are counted, and too many are not even looked at (A2)."""
    address = get_remote_address()
    require_room(WRONG_KEYS, "api-key", address)
    found = _silently(text, now)
    if found is not None:
        forget(WRONG_KEYS, "api-key", address)
        return found
    count(WRONG_KEYS, "api-key", address)
    four = api_keys.first_characters(text)
    aaa.log.warning(aaa.line("AUTH", "api_key_auth", "DENIED", key=four))
    return None


def _silently(text: str, now: datetime) -> Caller | None:
    settings: Settings = current_app.extensions["settings"]
    kept = plain(settings.api_key)
    if kept and api_keys.is_same(text, kept):
        return Caller(actors.CONSOLE, frozenset(api_keys.SCOPES), None, "key:settings")
    key = api_keys.find(db.session(), text, now)
    return _of_key(key, now) if key is not None else None


def _of_key(key: ApiKey, now: datetime) -> Caller:
    practices = None if key.practice_id is None else frozenset([key.practice_id])
    name = f"key:{key.id}" if key.user_id is None else f"user:{key.user_id}"
    actor = Actor(name, staff=True, user_id=key.user_id, practice_ids=practices)
    if api_keys.needs_mark(key, now):
        _mark(key, now)
    return Caller(actor, frozenset(key.scopes), key.practice_id, f"key:{key.id}", key.id)


def _mark(key: ApiKey, now: datetime) -> None:
    """Write its use apart from the request, which may only read (libraries S4)."""
    with Session(db.engine) as apart, write(apart):
        api_keys.mark_used(apart, key.id, now)
    told = {"user": key.user_id, "key": key.first_characters}
    aaa.log.info(aaa.line("AUTH", "api_key_auth", "SUCCESS", community=key.practice_id, **told))


# --- by login -------------------------------------------------------------------------------------


def _by_login() -> Caller | None:
    """Whoever is signed in; administrators of a practice may do all in it, others nothing."""
    if not current_user or not current_user.is_authenticated:
        return None
    csrf.protect()  # a cookie alone changes nothing (libraries T15)
    user: User = current_user._get_current_object()
    works_here = user.practice_id is not None and "admin" in {role.name for role in user.roles}
    scopes = frozenset(api_keys.SCOPES if works_here else ())
    practices = [user.practice_id] if user.practice_id is not None else []
    actor = actors.staff(user.id, practices)
    return Caller(actor, scopes, user.practice_id, f"user:{user.id}")


def _unknown() -> NoReturn:
    raise Unauthorized(www_authenticate=WWWAuthenticate("Bearer", {"realm": "Nextseat"}))


# --- what every answer says -----------------------------------------------------------------------


def tell_what_is_left(answer: Any) -> Any:
    """How many requests the caller has left (A2)."""
    counted_as = g.get("api_counted_as")
    if counted_as and (told := left(REQUESTS, "api", counted_as)):
        for name, value in zip(("Limit", "Remaining", "Reset"), told, strict=True):
            answer.headers[f"X-RateLimit-{name}"] = str(value)
    answer.headers["Cache-Control"] = "no-store"
    return answer
