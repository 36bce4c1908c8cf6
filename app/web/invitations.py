"""Links in letters, without signing in: answer, leave, keep, join again, unsubscribe (people PI).

Mail programs and scanners open links, so GET and HEAD only show. A POST acts if it comes from the
page's own form: that one repeats the token and has a key bound to token and answer. These pages
neither set a cookie nor need one, which is why they alone do without the session's key.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from flask import (
    Blueprint,
    Response,
    current_app,
    make_response,
    render_template,
    request,
    session,
    url_for,
)
from flask_babel import lazy_gettext as _l
from flask_limiter.util import get_remote_address
from markupsafe import Markup
from sqlalchemy.orm import Session

from app.delivery.rendering import link_keys
from app.extensions import csrf, db, unit, utcnow
from app.limits import count
from app.services import answers, greetings, students, tickets
from app.services.answers import Day, Outcome, Reader, Seen, State, Why
from app.services.letter_words import clock_time, date_of, instant, zone_name, zone_of
from app.services.links import LONGEST_LOOK, unbent
from app.web import whoami

bp = Blueprint("invitations", __name__)
csrf.exempt(bp)

LINKS = "30 per minute"
UNSUBSCRIBE = "300 per minute"  # one mail provider unsubscribes many people at once
ONE_CLICKS = (
    "invitations.unsubscribe",
    "invitations.no_greetings",
    "invitations.no_free_places",
    "invitations.no_digests",
)

LONGEST_TOKEN = 400  # of a link that carries what it says
ONE_CLICK = {"List-Unsubscribe": "One-Click"}  # RFC 8058
ROOMS = (
    "/invitations/",
    "/waitlist/",
    "/unsubscribe/",
    "/no-greetings/",
    "/no-free-places/",
    "/no-digests/",
)
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}

# What has ended is gone; what this link has brought about can be looked at for ever (PI2).
GONE = (State.RAN_OUT, State.WITHDRAWN, State.SUPERSEDED, State.OVER)

WHY = {
    Why.LEFT: _l("you are no longer on the list"),
    Why.NOT_WAITING: _l("you are not on the waitlist any more"),
    Why.STARTED: _l("the training has started"),
    Why.CANCELLED: _l("the training is cancelled"),
    Why.CLOSED: _l("the training is closed"),
    Why.INACTIVE: _l("your account is not active"),
}
NOT_FROM_THE_PAGE = _l("Nothing was changed. Please use the buttons of this page.")
OPPOSITES = {
    "accept": _l("Nothing was changed: you declined this place before."),
    "decline": _l("Nothing was changed: you have this place. Cancel your place instead."),
    "leave": _l("Nothing was changed: you have a place. Cancel your place instead."),
}


@bp.before_request
def _count() -> None:
    """By address, never by token: a token has more than one spelling (reliability ML1)."""
    unsubscribes = request.endpoint in ONE_CLICKS
    limit, room = (UNSUBSCRIBE, "unsubscribe") if unsubscribes else (LINKS, "links")
    count(limit, room, get_remote_address())


@bp.route("/invitations/", methods=["GET", "POST"], defaults={"token": ""})
@bp.route("/invitations/<token>", methods=["GET", "POST"], strict_slashes=False)
@bp.route("/invitations/<path:token>", methods=["GET", "POST"])  # whatever was typed: no such link
def show(token: str) -> Response:
    """An invitation and what can be answered; a POST to this address answers nothing."""
    return _show("invitations", token)


@bp.route(
    "/invitations/<token>/<any('accept', 'decline', 're-enable'):act>", methods=["GET", "POST"]
)
def answer(token: str, act: str) -> Response:
    """Accept or decline the place, or join again at the end."""
    return _act("invitations", token, act)


@bp.route("/waitlist/", methods=["GET", "POST"], defaults={"token": ""})
@bp.route("/waitlist/<token>", methods=["GET", "POST"], strict_slashes=False)
@bp.route("/waitlist/<path:token>", methods=["GET", "POST"])
def show_waitlist(token: str) -> Response:
    """A place in the line, and what its letter offered to do with it."""
    return _show("waitlist", token)


@bp.route("/waitlist/<token>/<any('leave', 'keep', 're-enable'):act>", methods=["GET", "POST"])
def answer_waitlist(token: str, act: str) -> Response:
    """Leave the waitlist, say that one still waits, or join again at the end."""
    return _act("waitlist", token, act)


@bp.route("/unsubscribe/", methods=["GET", "POST"], defaults={"token": ""})
@bp.route("/unsubscribe/<token>", methods=["GET", "POST"], strict_slashes=False)
@bp.route("/unsubscribe/<path:token>", methods=["GET", "POST"])
def unsubscribe(token: str) -> Response:
    """No more reminders: GET asks, POST acts, from the page or from a mail program's button."""
    now = utcnow()
    who = answers.reader(db.session(), token, now)
    if who is None:
        return _no_such_link()
    one_click = request.form.to_dict() == ONE_CLICK
    if request.method == "POST":
        if not one_click and not _is_ours(token, who.digest, "unsubscribe"):
            return _unsubscribe_page(who, token, 400)
        reader = who
        unit(db.session, lambda: answers.stop_reminders(db.session(), reader))
        if not one_click:
            return _to_page("unsubscribe", token)
        who = who._replace(wants_reminders=False)
    return _unsubscribe_page(who, token, 200)


@bp.route("/no-greetings/", methods=["GET", "POST"], defaults={"token": ""})
@bp.route("/no-greetings/<token>", methods=["GET", "POST"], strict_slashes=False)
@bp.route("/no-greetings/<path:token>", methods=["GET", "POST"])
def no_greetings(token: str) -> Response:
    """No more greetings and profile checks: GET asks, POST acts, as above."""
    return _no_more(token, tickets.NO_GREETINGS, students.want_greetings)


@bp.route("/no-free-places/", methods=["GET", "POST"], defaults={"token": ""})
@bp.route("/no-free-places/<token>", methods=["GET", "POST"], strict_slashes=False)
@bp.route("/no-free-places/<path:token>", methods=["GET", "POST"])
def no_free_places(token: str) -> Response:
    """No more news of free places: GET asks, POST acts, as above."""
    return _no_more(token, tickets.NO_SPOTS, students.want_free_places)


@bp.route("/no-digests/", methods=["GET", "POST"], defaults={"token": ""})
@bp.route("/no-digests/<token>", methods=["GET", "POST"], strict_slashes=False)
@bp.route("/no-digests/<path:token>", methods=["GET", "POST"])
def no_digests(token: str) -> Response:
    """No more digests for trainers: GET asks, POST acts, as above."""
    return _no_more(token, tickets.NO_DIGESTS, students.want_digests)


def _no_more(token: str, purpose: str, want: Callable[[Session, int, bool], None]) -> Response:
    keys = link_keys(current_app.extensions["settings"])
    who = greetings.reader(db.session(), keys, unbent(token, LONGEST_TOKEN), utcnow(), purpose)
    if who is None:
        return _no_such_link()
    one_click = request.form.to_dict() == ONE_CLICK
    if request.method == "POST":
        if not one_click and not _is_ours(token, _digest_of(who), purpose, LONGEST_TOKEN):
            return _no_more_page(who, token, purpose, 400)
        user_id = who.user_id
        unit(db.session, lambda: want(db.session(), user_id, False))
        if not one_click:
            there = tickets.path(purpose, unbent(token, LONGEST_TOKEN))
            return make_response("", 303, {"Location": there})
        who = who._replace(wants=False)
    return _no_more_page(who, token, purpose, 200)


# --- pages ----------------------------------------------------------------------------------------


def _show(page: str, token: str) -> Response:
    if request.method == "POST":
        return _page(page, token, 400, NOT_FROM_THE_PAGE)
    return _page(page, token)


def _act(page: str, token: str, act: str) -> Response:
    if request.method != "POST":
        return _page(page, token)
    now = utcnow()
    link = answers.held(db.session(), token, page, now)
    if link is None:
        return _no_such_link()
    if not _is_ours(token, link.digest, act):
        return _page(page, token, 400, NOT_FROM_THE_PAGE)
    outcome = unit(db.session, lambda: answers.act(db.session(), link, act, now))
    if outcome is Outcome.OPPOSITE:
        return _page(page, token, 409, OPPOSITES[act])
    return _to_page(page, token)


def _page(page: str, token: str, status: int | None = None, words: Any = None) -> Response:
    """What the database says of a link now; `words` say why a click changed nothing."""
    seen = answers.look(db.session(), token, page, utcnow())
    if seen is None:
        return _no_such_link()
    zone = zone_of(seen.facts.timezone)
    html = render_template(
        f"invitations/{page}.html",
        seen=seen,
        facts=seen.facts,
        zone=zone,
        span=lambda day: _span(day, zone),
        why=WHY.get(seen.why) if seen.why else None,
        practice_name=seen.facts.practice_name,
        words=words,
        forms=[(act, _address(page, token, act), _key(seen, act)) for act in seen.acts],
        token=unbent(token),
    )
    return make_response(html, status or (410 if seen.state in GONE else 200))


def _span(day: Day, zone: ZoneInfo) -> Markup:
    """When a meeting is: "Tue 3 March 2026, 14:30 – 17:30 (Amsterdam)"."""
    start, end = day.start.astimezone(zone), day.end.astimezone(zone)
    if start.date() == end.date():
        hours = f"{clock_time(start)} – {clock_time(end)}"
        words = f"{date_of(start)}, {hours} ({zone_name(start)})"
    else:
        words = f"{instant(day.start, zone)} – {instant(day.end, zone)}"
    return Markup('<time datetime="{}">{}</time>').format(f"{day.start:%Y-%m-%dT%H:%M:%S}Z", words)


def _unsubscribe_page(who: Reader, token: str, status: int) -> Response:
    html = render_template(
        "invitations/unsubscribe.html",
        who=who,
        practice_name=who.practice_name,
        words=NOT_FROM_THE_PAGE if status == 400 else None,
        key=_form_key(who.digest, "unsubscribe"),
        token=unbent(token),
    )
    return make_response(html, status)


def _no_more_page(who: greetings.Reader, token: str, purpose: str, status: int) -> Response:
    """Of the letters that this purpose stops."""
    html = render_template(
        f"invitations/{purpose.replace('-', '_')}.html",
        who=who,
        practice_name=who.practice_name,
        words=NOT_FROM_THE_PAGE if status == 400 else None,
        there=tickets.path(purpose, unbent(token, LONGEST_TOKEN)),
        key=_form_key(_digest_of(who), purpose),
        token=unbent(token, LONGEST_TOKEN),
    )
    return make_response(html, status)


def _digest_of(who: greetings.Reader) -> str:
    """What the key of this page's form is bound to."""
    return f"{who.user_id} {who.digest}"


def _no_such_link() -> Response:
    """One answer for whatever does not verify, at the same cost (waitlist WK3)."""
    name = practice.name if (practice := whoami.practice()) else "Nextseat"
    page = render_template("invitations/no_such_link.html", practice_name=name)
    return make_response(page, 410)


def _to_page(page: str, token: str) -> Response:
    return make_response("", 303, {"Location": _address(page, token)})


def _address(page: str, token: str, act: str | None = None) -> str:
    """A path of our own, whatever was typed."""
    endpoint = {
        "invitations": ("show", "answer"),
        "waitlist": ("show_waitlist", "answer_waitlist"),
        "unsubscribe": ("unsubscribe", ""),
    }[page][act is not None]
    values: dict[str, Any] = {"token": unbent(token), **({"act": act} if act else {})}
    return url_for(f"invitations.{endpoint}", **values)


# --- the form's key -------------------------------------------------------------------------------


def _key(seen: Seen, act: str) -> str:
    return _form_key(seen.facts.digest, act)


def _form_key(digest: str, act: str) -> str:
    """What only our own page knows of this token and this answer: a blind POST does nothing."""
    secret = hashlib.blake2b(
        str(current_app.config["SECRET_KEY"]).encode(), person=b"nextseat answer"
    ).digest()
    return hmac.digest(secret, f"{act} {digest}".encode(), "sha256").hex()


def _is_ours(token: str, digest: str, act: str, longest: int = LONGEST_LOOK) -> bool:
    """Whether a POST comes from the page of this very token and answer."""
    repeated, key = request.form.get("token", ""), request.form.get("key", "")
    same = hmac.compare_digest(repeated.encode(), unbent(token, longest).encode())
    return same and hmac.compare_digest(key.encode(), _form_key(digest, act).encode())


# --- what these answers say to browsers ----------------------------------------------------------


@bp.app_template_global()
def under_a_link() -> bool:
    """Whether this address may hold a token, also where no view takes what was asked of it.

    Browsers are told to name such a page to nobody, so its forms could not say where they come
    from: it has none of the session.
    """
    return request.path.startswith(ROOMS)


@bp.after_app_request
def _say_nothing_on(answer: Response) -> Response:
    """Not kept, not told to others, not indexed (ML4); whoever is signed in keeps their cookie."""
    if under_a_link():
        answer.headers.update(HEADERS)
        session.modified = False
    return answer
