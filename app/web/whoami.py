"""Who is at the browser: the person, what they are here, and what their acts are signed with."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import (
    Flask,
    abort,
    current_app,
    g,
    has_request_context,
    redirect,
    request,
    session,
    url_for,
)
from flask_security import current_user

from app.extensions import db
from app.models.person import Student, Trainer
from app.models.practice import Practice
from app.models.user import User
from app.services import actors, people
from app.services.actors import Actor
from app.services.people import Standing

View = TypeVar("View", bound=Callable[..., Any])

# In the order in which a person with several starts in one (people PG1).
ROLES = ("admin", "trainer", "student", "organiser", "venue-owner")


# Answers that are the same for everybody: they ask no database who it is (people PO2).
FOR_ANYBODY = ("static", "admin.static", "health.healthz")


def init_app(app: Flask) -> None:
    """Templates ask `person()`, `practice()`, `roles()` and `role()`."""
    for ask in (person, practice, roles, role):
        app.add_template_global(ask)


def person() -> User | None:
    """Who is signed in; None for a visitor."""
    found = current_user
    return found._get_current_object() if found and found.is_authenticated else None


def standing() -> Standing:
    """What they are to the practice; asked of the database once for each request."""
    if "standing" not in g:
        who = person()
        g.standing = people.standing(db.session(), who.id if who else None)
    found: Standing = g.standing
    return found


def practices() -> dict[Practice, Student | None]:
    """Where they may look at trainings: here, then wherever else they learn."""
    here = standing()
    return ({here.practice: here.student} if here.practice else {}) | dict(here.learns)


def enter(practice_id: int) -> None:
    """The rest of this request is about a practice: what they are, and its zone."""
    g.standing = standing().at(practice_id)


def practice() -> Practice | None:
    """The practice whose pages these are."""
    return standing().practice


def student() -> Student | None:
    """Their row as somebody who learns here."""
    return standing().student


def trainer() -> Trainer | None:
    """Their row as somebody who teaches here, while it is active."""
    return standing().trainer


def language() -> str | None:
    """The language of their account."""
    who = person()
    return who.settings.language if who and who.settings else None


def for_anybody() -> bool:
    """Whether it doesn't matter who asks."""
    return request.endpoint in FOR_ANYBODY


def nobody() -> None:
    """For the rest of this request it is a visitor of no practice: the database is not asked."""
    stranger()
    g.standing = Standing()


def stranger() -> None:
    """Whoever comes without a session is signed in nowhere: the libraries need not look."""
    g._login_user = current_app.login_manager.anonymous_user()  # type: ignore[attr-defined]


# --- roles ---------------------------------------------------------------------------------------


def roles() -> list[str]:
    """All they are, most powerful first: by account, and by their rows in the practice."""
    who = person()
    if who is None:
        return []
    held = {held.name for held in who.roles}
    held |= {"student"} if student() else set()
    held |= {"trainer"} if trainer() else set()
    return [name for name in ROLES if name in held]


def role() -> str | None:
    """The role that they look through now, chosen in the header (PG1)."""
    held = roles()
    chosen = session.get("role") if held else None
    return chosen if chosen in held else (held[0] if held else None)


# --- the actor of the history --------------------------------------------------------------------


def actor() -> Actor:
    """Whoever is signed in, acting for themselves alone."""
    return actors.student(_me().id)


def staff_actor() -> Actor:
    """Whoever is signed in, acting on others' rows within the practices they work for."""
    me = _me().id
    return actors.staff(me, people.practices_worked_for(db.session(), me))


def _me() -> User:
    """Who is signed in; 401 in a view that forgot to ask for it."""
    return person() or abort(401)


# --- who may see a page --------------------------------------------------------------------------


def signed_in(view: View) -> View:
    """Strangers are asked to sign in, and come back to the page they wanted."""

    @wraps(view)
    def checked(*args: Any, **values: Any) -> Any:
        return view(*args, **values) if person() else to_sign_in()

    return checked  # type: ignore[return-value]


def role_needed(*wanted: str) -> Callable[[View], View]:
    """Only for these roles: strangers sign in first, others are refused with 403."""

    def guard(view: View) -> View:
        @wraps(view)
        def checked(*args: Any, **values: Any) -> Any:
            if person() is None:
                return to_sign_in()
            if not set(wanted) & set(roles()):
                abort(403)
            return view(*args, **values)

        return checked  # type: ignore[return-value]

    return guard


def to_sign_in() -> Any:
    """302 to the sign-in page, which leads back; what was posted has to be posted again."""
    came_for = request.full_path.rstrip("?") if request.method in ("GET", "HEAD") else None
    return redirect(url_for("security.login", next=came_for))


def forget() -> None:
    """Ask anew who this is, after signing in or out within one request."""
    if has_request_context():
        g.pop("standing", None)
