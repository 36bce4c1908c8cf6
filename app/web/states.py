"""What a training is to whoever looks: one line, an icon and words, the same on every page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext as _n
from markupsafe import Markup, escape

from app.models.enrolment import TAKING
from app.models.person import PersonStatus
from app.services.letter_facts import plain
from app.services.letter_words import clock_time, date_of, zone_name
from app.services.standing import Day, Offer, State, state
from app.web import whoami
from app.web.frame import ordinal, when, zone


class Line(NamedTuple):
    """A look (people PD2) and the words that go with it."""

    look: str
    words: Any


def state_line(offer: Offer) -> Line:
    """The state of a training for whoever looks (people PS1, PG8)."""
    now_is = state(offer, active=is_active())
    look, words = LINES[now_is]
    return Line(look, words(offer) if callable(words) else words)


def is_active() -> bool:
    """Whether the student who looks may book; a visitor may become one who does."""
    student = whoami.student()
    return student is None or student.status is PersonStatus.ACTIVE


def _places(offer: Offer) -> str:
    left, all_ = offer.stand.free, offer.training.max_participants
    return str(_("%(left)s of %(all)s places left", left=left, all=all_))


def _full(offer: Offer) -> str:
    if whoami.person() is None:
        return str(_("Full, waitlist open"))
    waiting = offer.stand.waiting
    return str(_n("Full, %(num)s waiting", "Full, %(num)s waiting", waiting))


def _invited(offer: Offer) -> Any:
    until = offer.mine.row.invite_expires_at if offer.mine else None
    if until is None:
        return _("A place is free for you")
    words = _("A place is free for you: answer before %(when)s", when="{}")
    return escape(words).format(when(until))


def _waiting(offer: Offer) -> str:
    place = ordinal(offer.mine.place or 1) if offer.mine else ""
    return str(_("You are %(place)s of %(all)s waiting", place=place, all=offer.stand.waiting))


Words = Callable[[Offer], Any]
LINES: dict[State, tuple[str, Words | Any]] = {
    State.PLACES: ("ok", _places),
    State.FULL: ("wait", _full),
    State.PAUSED: ("hold", _l("Paused: nobody is invited for now")),
    State.INVITED: ("act", _invited),
    State.WAITING: ("wait", _waiting),
    State.ENROLLED: ("ok", _l("You have a place")),
    State.HAD_PLACE: ("dim", _l("You had a place")),
    State.RAN_OUT: ("late", _l("Your invitation ran out")),
    State.DECLINED: ("dim", _l("You declined")),
    State.LEFT: ("dim", _l("You are no longer on it")),
    State.INACTIVE: ("dim", _l("Not open to you: your account is not active")),
    State.LIMITED: ("dim", lambda offer: offer.limit.briefly if offer.limit else ""),
    State.CLOSED: ("dim", _l("Not open to you: booking is closed")),
    State.STARTED: ("dim", _l("Not open to you: it has started")),
    State.CANCELLED: ("bad", _l("Cancelled")),
}


def why_waiting(offer: Offer) -> str:
    """Why a student still waits, naming nobody (people PS4)."""
    stand, code = offer.stand, offer.mine.obstacle if offer.mine else None
    if stand.started:
        return str(_("It has started: nobody is invited any more."))
    if not stand.is_open:
        return str(_("Booking is closed: nobody is invited for now. You keep your place."))
    if code in PASSED_OVER:
        return str(PASSED_OVER[code])
    if stand.training.waitlist_paused:
        return str(_("The waitlist is paused: nobody is invited for now."))
    if offer.first_come:
        return first_come(offer)
    if stand.free:
        return str(_("Places are being offered. We write to you as soon as it is your turn."))
    if not offer.answering:
        return str(_("No place is free."))
    return str(
        _n(
            "No place is free; %(num)s person is answering now.",
            "No place is free; %(num)s people are answering now.",
            offer.answering,
        )
    )


def why_limited(offer: Offer) -> str | None:
    """Which booking limit keeps a student from joining, and from when on one more fits (PS1)."""
    may_join = offer.status not in TAKING
    return offer.limit.why if offer.limit is not None and may_join else None


PASSED_OVER = {
    "inactive": _l("Your account is not active, so you cannot be invited. Ask the office."),
    "unreachable": _l(
        "We cannot write to you, so you cannot be invited."
        " Switch letters on and check your address."
    ),
    "skipped": _l("The office has set your turn aside. You keep your place; ask them if you wish."),
    "later": _l("Your turn is set aside for a while. You keep your place."),
    "planned": _l("Your invitation is on its way."),
    "rate-limited": _l(
        "You were invited several times lately. Your turn comes again within a day."
    ),
}


def first_come(offer: Offer) -> str:
    """What holds when there is no time left to answer an invitation."""
    if offer.stand.free:
        return str(_("It starts soon: whoever comes first gets the free place."))
    return str(_("It starts soon, so nobody is invited any more."))


# --- days and numbers ----------------------------------------------------------------------------


def day_words(day: Day) -> Markup:
    """`Tue 3 March 2026, 14:30 – 17:30 (Amsterdam)`, its instants readable by machines (PG7)."""
    here = zone()
    start, end = day.start.astimezone(here), day.end.astimezone(here)
    if start.date() != end.date():
        return Markup("{} – {}").format(when(day.start, here), when(day.end, here))
    return Markup(
        '<time datetime="{:%Y-%m-%dT%H:%M:%S}Z">{}, {}</time> – '
        '<time datetime="{:%Y-%m-%dT%H:%M:%S}Z">{} ({})</time>'
    ).format(day.start, date_of(start), clock_time(start), day.end, clock_time(end), zone_name(end))


def meetings(offer: Offer) -> list[tuple[Any, str, str]]:
    """When, where and at which address, of each day."""
    return [(day_words(day), plain(day.location), plain(day.address)) for day in offer.days]


def place_words(days: tuple[Day, ...]) -> str:
    """Where it meets: each location once."""
    return ", ".join(dict.fromkeys(plain(day.location) for day in days if day.location))


def numbers(offer: Offer) -> list[str]:
    """How full it is, in sentences (PG8): `12 of 12 places taken`, over-full `13 of 12`."""
    stand = offer.stand
    said = [_("%(taken)s of %(all)s places taken", taken=stand.taken, all=_all(offer))]
    if whoami.person() is not None:
        said.append(_n("%(num)s person waiting", "%(num)s people waiting", stand.waiting))
    return [str(words) for words in said]


def _all(offer: Offer) -> int:
    return offer.training.max_participants


def seconds(left: timedelta | None) -> float | None:
    """For the countdown of a page; None without a deadline."""
    return None if left is None else max(left.total_seconds(), 0)
