"""The catalogue, a training's own page, and joining it (people PS1–PS3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import wraps
from typing import Any, NamedTuple, TypeVar

from flask import Blueprint, abort, current_app, render_template, request, url_for
from flask_babel import format_date
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext as _n
from wtforms import BooleanField, HiddenField
from wtforms.validators import DataRequired

from app.extensions import db, unit, utcnow
from app.limits import limiter
from app.models.enrolment import ENROLLED, INVITED, OPEN, TrainingEnroll
from app.services import catalogue, enrolments, standing, students, waitlist
from app.services.actors import SYSTEM
from app.services.catalogue import SORTS, Choices, Entry, Wanted
from app.services.letter_facts import plain
from app.services.standing import Act, Offer
from app.web import states, whoami
from app.web.forms import Form
from app.web.frame import interval, ordinal, see_other, when, zone

bp = Blueprint("catalogue", __name__)

View = TypeVar("View", bound=Callable[..., Any])

A_PAGE = 24  # cards (people PG5)
JOINS = "20 per hour"  # of one student, on all pages together (reliability SE16)
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
    now, student, practice = utcnow(), whoami.student(), whoami.practice()
    mine = standing.rows_of(db.session(), student.user_id, now) if student else {}
    on = {id_ for id_, own in mine.items() if own.row.status in OPEN}
    practice_id = practice.id if practice else 0
    entries = catalogue.open_trainings(db.session(), practice_id, zone(), now, on)
    there = catalogue.choices(entries)
    wanted, sort, unknown = _asked(request.args, there)
    chosen = sorted(catalogue.found(entries, wanted), key=SORTS[sort])
    page = catalogue.page_of(chosen, page_asked(), A_PAGE)
    offers = standing.offers(db.session(), [entry.id for entry in page.items], mine, now)
    return render_template(
        "catalogue/index.html",
        page=page,
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


def _asked(args: Mapping[str, str], there: Choices) -> tuple[Wanted, str, list[str]]:
    """What the address asks for; names of what it asks that we don't know (people PG4)."""
    unknown = [name for name in args if name not in (*FILTERS, "sort", "page")]
    known: dict[str, Any] = {"q": plain(args.get("q", ""))[:100]}
    for name in ("type", "location", "trainer"):
        ids = {str(id_): id_ for id_, _words in getattr(there, name)}
        known[name] = ids.get(args.get(name, ""))
    known["month"] = args.get("month") if _as_month(args.get("month", "")) else None
    for name in ("places", "mine"):
        known[name] = args.get(name) == "1"
    unknown += [name for name in FILTERS if args.get(name) and not known[name]]
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
        return Drop(words, url_for("catalogue.index"), _("Show all trainings"))
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
    return url_for("catalogue.index", **asked)


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
        why=states.why_waiting(offer) if Act.LEAVE in can else None,
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


class JoinForm(Form):
    """One required tick; a second one for whom no letter would reach."""

    terms = BooleanField(
        _l("I accept the terms and the cancellation rule"),
        [DataRequired(_l("Tick that you accept the terms to join."))],
    )
    letters = BooleanField(
        _l("Write to me by e-mail from now on"),
        description=_l("Without letters we could not tell you that a place is free for you."),
    )
    expected = HiddenField()


@bp.route(f"{TRAINING}/join", methods=["GET", "POST"])
@whoami.role_needed("student")
def join(training_id: int) -> Any:
    """What joining will do; then what the lock decided (people PS3)."""
    now = utcnow()
    offer = _offer_or_404(training_id, now)
    return join_or_ask(offer, now)


def join_or_ask(offer: Offer, now: datetime) -> Any:
    """The page that asks, or what became of joining; whoever is on it is led to their place."""
    joins = {Act.JOIN, Act.JOIN_AGAIN} & {*_acts(offer)}
    if offer.mine and offer.status in OPEN and not joins and not offer.overdue:
        return see_other("my_trainings.show", _("You are on it already."), uuid=offer.mine.row.uuid)
    form = JoinForm()
    if form.validate_on_submit():
        return join_by(form, offer, now)
    return join_page(form, offer)


def _acts(offer: Offer) -> tuple[Act, ...]:
    return standing.acts(offer, active=states.is_active())


def join_by(form: JoinForm, offer: Offer, now: datetime) -> Any:
    """Enrol whoever is signed in, and tell what became of it.

    Whose invitation ran out just now is taken off the list first. Raises refusals of `enrol`,
    `RateLimitExceeded`.
    """
    student, training_id = _student(), offer.training.id

    def act() -> TrainingEnroll:
        if form.letters.data:
            students.opt_in(db.session(), student, now)
        if offer.mine and offer.overdue:
            waitlist.expire(db.session(), offer.mine.row, SYSTEM, now)
        return enrolments.enrol(
            db.session(), training_id, student.id, whoami.actor(), now, terms=form.terms.data
        )

    try:
        with limiter.shared_limit(JOINS, "join", key_func=lambda: str(student.id)):
            row = unit(db.session, act)
        told = _told(row, form.expected.data, now)
        return see_other("my_trainings.show", told, uuid=row.uuid)
    except waitlist.Unreachable as no:
        form.refuse(no, "letters")
    except enrolments.ProfileIncomplete as no:
        form.refuse(no)
    return join_page(form, _offer_or_404(training_id, now))


def _told(row: TrainingEnroll, expected: str | None, now: datetime) -> str:
    """What the lock decided, said so where the page had promised something else."""
    if row.status is ENROLLED:
        if expected == "list":
            return str(_("A place came free meanwhile: you have it."))
        return str(_("You have a place."))
    if row.status is INVITED and row.invite_expires_at and row.invite_expires_at <= now:
        # It stays on the list while its schedule rests, or while its letter fails (WI5, WI8).
        return str(_("You cannot join again yet: ask the office, or try again later."))
    if row.status is INVITED:
        return str(_("A place is free for you. Answer before the time below."))
    if expected == "place":
        return str(_("The last place went to somebody else a moment ago. You are on the waitlist."))
    return str(_("You are on the waitlist."))


def join_page(form: JoinForm, offer: Offer) -> tuple[str, int]:
    """What will happen, and the tick; refuses where nobody, or not this student, can join.

    Raises `NotOpen`, `StudentInactive`.
    """
    if not offer.stand.is_open:
        raise enrolments.NotOpen
    if not states.is_active():
        raise enrolments.StudentInactive
    student, who = _student(), whoami.person()
    gets_in = standing.would_get_in(db.session(), offer)
    told = gets_in or standing.can_be_told(db.session(), student.id)
    form.expected.data = "place" if gets_in else "list"
    page = render_template(
        "catalogue/join.html",
        form=form,
        offer=offer,
        name=plain(offer.training.name),
        gets_in=gets_in,
        sentences=_will_happen(offer, gets_in),
        bounced=not told and who is not None and who.undeliverable_at is not None,
        told=told,
        complete=who is not None and who.profile_complete,
        again=offer.mine is not None,
    )
    return page, _status(form)


def _status(form: JoinForm) -> int:
    """400 for what was not filled in, 409 for who can't be told (waitlist WD5)."""
    if form.letters.errors:
        return waitlist.Unreachable.status
    return 400 if form.errors else 200


def _will_happen(offer: Offer, gets_in: bool) -> list[str]:
    """What joining does, in sentences (PS3)."""
    if gets_in:
        return [_("A place is free: you have it as soon as you join.")]
    number = ordinal(offer.stand.waiting + 1)
    if offer.mine and offer.mine.place:
        number = ordinal(offer.mine.place)
    said = [_("You will be %(place)s in line.", place=number)]
    if offer.first_come:
        return [*said, states.first_come(offer)]
    if offer.training.waitlist_paused:
        said.append(_("The waitlist is paused: nobody is invited for now."))
    left = standing.answer_time(db.session(), offer)
    if left is None:
        said.append(_("When a place is free for you, we write to you."))
    else:
        words = _("When you are invited, you have %(time)s to answer.", time=interval(left))
        said.append(words)
    said.append(_("If you do not answer in time, the next in line is invited."))
    return said


def _student() -> Any:
    return whoami.student() or abort(403)
