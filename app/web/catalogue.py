"""The catalogue, a training's own page, and joining it (people PS1–PS3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime
from functools import wraps
from typing import Any, NamedTuple, TypeVar

from flask import Blueprint, abort, current_app, render_template, request, url_for
from flask_babel import format_date
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext as _n

from app.extensions import db, utcnow
from app.models.enrolment import OPEN
from app.models.policy import PolicyKind
from app.models.practice import Practice
from app.services import catalogue, policies, standing
from app.services.catalogue import SORTS, Choices, Entry, Wanted
from app.services.letter_facts import plain
from app.services.standing import Act, Offer
from app.web import states, whoami
from app.web.frame import when, zone
from app.web.joining import join_or_ask

bp = Blueprint("catalogue", __name__)

View = TypeVar("View", bound=Callable[..., Any])

A_PAGE = 24  # cards (people PG5)
LARGEST_ID = 2**31 - 1
TRAINING = f"/trainings/<int(max={LARGEST_ID}):training_id>"
FILTERS = {
    "q": _l("your search"),
    "type": _l("the type"),
    "month": _l("the month"),
    "location": _l("the location"),
    "trainer": _l("the trainer"),
    "places": _l("“has places”"),
    "mine": _l("“mine”"),
}
SORT_WORDS = {"date": _l("Date"), "name": _l("Name"), "places": _l("Free places")}


def open_to_visitors(view: View) -> View:
    """Everybody may look, unless `PUBLIC_CATALOGUE` is off: then whoever is signed in."""

    @wraps(view)
    def checked(*args: Any, **values: Any) -> Any:
        if whoami.person() is None and not current_app.extensions["settings"].public_catalogue:
            return whoami.to_sign_in()
        return view(*args, **values)

    return checked  # type: ignore[return-value]


# --- the list ------------------------------------------------------------------------------------


class Card(NamedTuple):
    """A training in the list, ready to be shown."""

    name: str
    href: str
    type_name: str
    first_day: Any
    days: str
    where: str
    line: states.Line
    button: str
    to: str


@bp.get("/trainings")
@open_to_visitors
def index() -> str:
    """All open trainings, filtered, sorted, 24 a page (people PS1)."""
    now, practices = utcnow(), whoami.practices()
    whoami.enter(_practice_asked(practices))
    student, practice = whoami.student(), whoami.practice()
    mine = standing.rows_of(db.session(), student.user_id, now) if student else {}
    on = {id_ for id_, own in mine.items() if own.row.status in OPEN}
    practice_id = practice.id if practice else 0
    entries = catalogue.open_trainings(db.session(), practice_id, zone(), now, on)
    there = catalogue.choices(entries)
    wanted, sort, unknown = _asked(request.args, there)
    chosen = sorted(catalogue.found(entries, wanted), key=SORTS[sort])
    page = catalogue.page_of(chosen, page_asked(), A_PAGE)
    offers = standing.offers(db.session(), [entry.id for entry in page.items], mine, now)
    if student:
        offers = standing.with_limits(db.session(), student.id, offers)
    return render_template(
        "catalogue/index.html",
        page=page,
        home=_home(),
        practices=[(_home(one), plain(one.name), one is practice) for one in practices],
        cards=[_card(offers[entry.id]) for entry in page.items],
        wanted=wanted,
        sort=sort,
        sorts=SORT_WORDS,
        choices=_in_words(there, wanted),
        unknown=unknown,
        summary=_summary(page.total, wanted),
        drop=None if chosen else _drop(entries, wanted, sort),
        link=lambda n: _address(wanted, sort, n),
    )


def _practice_asked(practices: Collection[Practice]) -> int:
    """Of those where somebody learns, the one in the address; else that of all their pages."""
    asked = request.args.get("practice")
    return next((one.id for one in practices if str(one.id) == asked), 0)


def _home(practice: Practice | None = None, **asked: Any) -> str:
    """The list of a practice: of the one shown, if none is named."""
    asked["practice"] = practice.id if practice else _practice_asked(whoami.practices()) or None
    return url_for("catalogue.index", **asked)


def _asked(args: Mapping[str, str], there: Choices) -> tuple[Wanted, str, list[str]]:
    """What the address asks for; names of what it asks that we don't know (people PG4)."""
    unknown = [name for name in args if name not in (*FILTERS, "sort", "page", "practice")]
    known: dict[str, Any] = {"q": plain(args.get("q", ""))[:100]}
    for name in ("type", "location", "trainer"):
        ids = {str(id_): id_ for id_, _words in getattr(there, name)}
        known[name] = ids.get(args.get(name, ""))
    known["month"] = args.get("month") if _as_month(args.get("month", "")) else None
    for name in ("places", "mine"):
        known[name] = args.get(name) == "1"
    unknown += [name for name in FILTERS if args.get(name) and not known[name]]
    if args.get("practice") and not _practice_asked(whoami.practices()):
        unknown.append("practice")
    sort = args.get("sort", "")
    if sort and sort not in SORTS:
        unknown.append("sort")
    return (
        Wanted(**known),
        sort if sort in SORTS else "date",
        [plain(name)[:40] for name in unknown],
    )


def page_asked() -> int:
    """The page that the address asks for; the first for what is no number."""
    number = request.args.get("page", "1")
    return int(number) if re.fullmatch("[0-9]{1,6}", number) else 1


def _as_month(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y-%m").date() if len(text) == 7 else None  # noqa: DTZ007
    except ValueError:
        return None


def _in_words(there: Choices, wanted: Wanted) -> dict[str, list[tuple[str, str]]]:
    """The options of each filter; a month without trainings stays while it is chosen."""
    months = sorted({*there.month, *([wanted.month] if wanted.month else [])})
    return {
        "type": [(str(id_), name) for id_, name in there.type],
        "month": [(month, str(format_date(_as_month(month), "MMMM y"))) for month in months],
        "location": [(str(id_), name) for id_, name in there.location],
        "trainer": [(str(id_), name) for id_, name in there.trainer],
    }


def _summary(total: int, wanted: Wanted) -> str:
    if wanted.used:
        return str(_n("%(num)s training found", "%(num)s trainings found", total))
    return str(_n("%(num)s training", "%(num)s trainings", total))


class Drop(NamedTuple):
    """What an empty result proposes."""

    words: str
    to: str
    button: str


def _drop(entries: list[Entry], wanted: Wanted, sort: str) -> Drop | None:
    """The filter to drop when nothing is found; None: there is no training at all."""
    if not entries:
        return None
    best = catalogue.best_to_drop(entries, wanted)
    if best is None:
        words = _("Nothing matches all you look for.")
        return Drop(words, _home(), _("Show all trainings"))
    name, count = best
    words = _n(
        "Nothing matches all you look for. Without %(filter)s there is %(num)s training.",
        "Nothing matches all you look for. Without %(filter)s there are %(num)s trainings.",
        count,
        filter=FILTERS[name],
    )
    button = _("Drop %(filter)s", filter=FILTERS[name])
    return Drop(words, _address(wanted.without(name), sort, 1), button)


def _address(wanted: Wanted, sort: str, number: int) -> str:
    asked: dict[str, Any] = {name: getattr(wanted, name) for name in wanted.used}
    asked = {name: 1 if value is True else value for name, value in asked.items()}
    if sort != "date":
        asked["sort"] = sort
    if number > 1:
        asked["page"] = number
    return _home(**asked)


def _card(offer: Offer) -> Card:
    training, days = offer.training, offer.days
    button, to = _button(offer)
    return Card(
        name=plain(training.name),
        href=url_for("catalogue.show", training_id=training.id),
        type_name=plain(offer.type_name),
        first_day=when(days[0].start) if days else _("No date yet"),
        days=_n("%(num)s day", "%(num)s days", len(days)) if len(days) > 1 else "",
        where=states.place_words(days),
        line=states.state_line(offer),
        button=button,
        to=to,
    )


def _button(offer: Offer) -> tuple[str, str]:
    """The one button of a card: what one can do next."""
    can = standing.acts(offer, active=states.is_active())
    if offer.mine and Act.ACCEPT in can:
        return _("Answer"), url_for("my_trainings.show", uuid=offer.mine.row.uuid)
    join = url_for("catalogue.join", training_id=offer.training.id)
    if Act.JOIN_AGAIN in can:
        return _("Join again"), join
    if Act.JOIN in can:
        free = offer.stand.free and not offer.training.waitlist_paused
        return _("Join") if free else _("Join the waitlist"), join
    if offer.mine and offer.status in OPEN:
        return _("See your place"), url_for("my_trainings.show", uuid=offer.mine.row.uuid)
    return _("Read more"), url_for("catalogue.show", training_id=offer.training.id)


# --- one training --------------------------------------------------------------------------------


@bp.get(TRAINING)
@open_to_visitors
def show(training_id: int) -> str:
    """A training: own state and legal acts on top, then all there is to know (people PS2)."""
    offer = _offer_or_404(training_id, utcnow())
    teaching = catalogue.trainers(db.session(), [training_id]).get(training_id, {})
    can = standing.acts(offer, active=states.is_active())
    rules = policies.texts_for(db.session(), offer.training)
    return render_template(
        "catalogue/show.html",
        offer=offer,
        name=plain(offer.training.name),
        line=states.state_line(offer),
        button=_button(offer) if can or (offer.mine and offer.status in OPEN) else None,
        days=[
            (states.day_words(day), plain(day.location), plain(day.address)) for day in offer.days
        ],
        trainers=[plain(name) for name in teaching.values()],
        numbers=states.numbers(offer),
        answer_time=standing.answer_time(db.session(), offer),
        text=[part for part in map(plain, offer.training.description.split("\n\n")) if part],
        why=states.why_waiting(offer) if Act.LEAVE in can else states.why_limited(offer),
        cancelling=rules.get(PolicyKind.CANCELLATION_WINDOW, []),
        limits=rules.get(PolicyKind.BOOKING_LIMIT, []),
    )


def _offer_or_404(training_id: int, now: datetime) -> Offer:
    """A training of the practice, or of another one where whoever looks learns too (PG1)."""
    for practice, student in whoami.practices().items():
        me = student.id if student else None
        if found := catalogue.offer(db.session(), practice.id, training_id, me, now):
            whoami.enter(practice.id)
            return found
    abort(404)


# --- joining -------------------------------------------------------------------------------------


@bp.route(f"{TRAINING}/join", methods=["GET", "POST"])
@whoami.role_needed("student")
def join(training_id: int) -> Any:
    """What joining will do; then what the lock decided (people PS3)."""
    now = utcnow()
    return join_or_ask(lambda: _offer_or_404(training_id, now), now)
