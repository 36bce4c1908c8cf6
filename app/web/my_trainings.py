"""A student's own trainings: where they stand, and what they can do about it (people PS4–PS6)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext as _n
from wtforms import BooleanField

from app.delivery import calendar
from app.delivery.message import mail_domain
from app.extensions import db, unit, utcnow
from app.models.enrolment import ENROLLED, OPEN, TrainingEnroll
from app.models.outbox import Outbox
from app.models.policy import PolicyKind
from app.services import catalogue, enrolments, letter_facts, policies, standing, waitlist
from app.services.letter_facts import plain
from app.services.standing import Act, Offer, State
from app.services.waitlist import Answer
from app.web import states, whoami
from app.web.catalogue import page_asked
from app.web.forms import Form
from app.web.frame import see_other, when
from app.web.joining import join_or_ask

bp = Blueprint("my_trainings", __name__)

A_PAGE = 50  # of what is past (people PG5)
MINE = "/me/trainings/<uuid:uuid>"


# --- the list ------------------------------------------------------------------------------------


class Item(NamedTuple):
    """One of my trainings, ready to be shown."""

    name: str
    href: str
    uuid: str
    line: states.Line
    first_day: Any
    days: str
    where: str
    until: Any  # to answer, with the seconds that are left
    seconds: float | None
    since: Any
    why: str
    leave: str | None
    again: str | None


@bp.get("/me/trainings")
@whoami.role_needed("student")
def index() -> str:
    """To answer, coming, waiting, past and closed (people PS4)."""
    now = utcnow()
    mine = standing.rows_of(db.session(), _user_id(), now)
    offers = list(standing.offers(db.session(), mine, mine, now).values())
    past = sorted(_in(offers, "past"), key=_latest, reverse=True)
    page = catalogue.page_of(past, page_asked(), A_PAGE)
    return render_template(
        "my_trainings/index.html",
        to_answer=[_item(o) for o in sorted(_in(offers, "answer"), key=_soonest_answer)],
        coming=[_item(o) for o in sorted(_in(offers, "coming"), key=_soonest)],
        waiting=[_item(o) for o in sorted(_in(offers, "waiting"), key=_soonest)],
        past=[_item(offer) for offer in page.items],
        page=page,
        link=lambda n: url_for("my_trainings.index", page=n),
    )


PARTS = {State.INVITED: "answer", State.ENROLLED: "coming", State.WAITING: "waiting"}


def _in(offers: list[Offer], part: str) -> list[Offer]:
    return [o for o in offers if PARTS.get(standing.state(o), "past") == part]


def _soonest(offer: Offer) -> tuple[bool, float, int]:
    begins = offer.stand.starts_at
    return (begins is None, begins.timestamp() if begins else 0, offer.training.id)


def _soonest_answer(offer: Offer) -> tuple[bool, float]:
    left = offer.time_left
    return (left is None, left.total_seconds() if left else 0)


def _latest(offer: Offer) -> tuple[float, int]:
    begins = offer.stand.starts_at
    return (begins.timestamp() if begins else 0, _row(offer).id)


def _item(offer: Offer) -> Item:
    row, days = _row(offer), offer.days
    can = _acts(offer)
    waits = standing.state(offer) is State.WAITING
    return Item(
        name=plain(offer.training.name),
        href=url_for("my_trainings.show", uuid=row.uuid),
        uuid=row.uuid,
        line=states.state_line(offer),
        first_day=when(days[0].start) if days else _("No date yet"),
        days=_n("%(num)s day", "%(num)s days", len(days)) if len(days) > 1 else "",
        where=states.place_words(days),
        until=when(row.invite_expires_at) if row.invite_expires_at else None,
        seconds=states.seconds(offer.time_left),
        since=when(row.joined_at) if waits and row.joined_at else None,
        why=states.why_waiting(offer) if waits else "",
        leave=url_for(".leave", uuid=row.uuid) if Act.LEAVE in can else None,
        again=url_for(".re_enable", uuid=row.uuid) if Act.JOIN_AGAIN in can else None,
    )


# --- one of mine ---------------------------------------------------------------------------------


@bp.get(MINE)
@whoami.role_needed("student")
def show(uuid: UUID) -> Any:
    """Where I stand with one training, and what I can do."""
    return _page(_mine_or_404(uuid, utcnow()))


def _page(offer: Offer, no: Any = None) -> tuple[str, int]:
    """The page; with `no` it says why an act did nothing, and answers 409 (people PG3)."""
    row, can = _row(offer), _acts(offer)
    waits = standing.state(offer) is State.WAITING
    page = render_template(
        "my_trainings/show.html",
        no=no,
        offer=offer,
        name=plain(offer.training.name),
        uuid=row.uuid,
        line=states.state_line(offer),
        can={act.name for act in can},
        until=row.invite_expires_at,
        seconds=states.seconds(offer.time_left),
        days=[
            (states.day_words(day), plain(day.location), plain(day.address)) for day in offer.days
        ],
        since=row.joined_at if waits else None,
        why=states.why_waiting(offer) if Act.LEAVE in can else states.why_limited(offer),
        calendar=bool(offer.days) and row.status in OPEN,
        cancelling=_cancelling(offer) if {Act.CANCEL, Act.ACCEPT} & {*can} else None,
        training=url_for("catalogue.show", training_id=offer.training.id),
    )
    return page, 409 if no else 200


def _cancelling(offer: Offer) -> list[str]:
    """The practice's rules for who cannot come, as the page of the training has them (WP3)."""
    rules = policies.texts_for(db.session(), offer.training)
    return rules.get(PolicyKind.CANCELLATION_WINDOW, [])


def _mine_or_404(uuid: UUID, now: datetime) -> Offer:
    mine = standing.row_called(db.session(), _user_id(), str(uuid), now)
    if mine is None:
        abort(404)
    id_ = mine.row.training_id
    found = standing.offers(db.session(), [id_], {id_: mine}, now)
    offer = standing.with_limits(db.session(), mine.row.student_id, found)[id_]
    whoami.enter(offer.training.practice_id)
    return offer


def _row(offer: Offer) -> TrainingEnroll:
    return offer.mine.row if offer.mine else abort(404)


def _acts(offer: Offer) -> tuple[Act, ...]:
    return standing.acts(offer, active=states.is_active())


def _user_id() -> int:
    who = whoami.person()
    return who.id if who else abort(403)


# --- answering -----------------------------------------------------------------------------------

# What an answer came to; what is not here went as asked.
TOLD = {
    Answer.ENROLLED: _l("You have a place."),
    Answer.ALREADY_ENROLLED: _l("You have a place."),
    Answer.DECLINED: _l("You declined. The next in line is asked."),
    Answer.ALREADY_DECLINED: _l("You declined this place."),
}
TOO_LATE = _l("Too late: this invitation has run out.")
NO = {
    Answer.TOO_LATE: TOO_LATE,
    Answer.WITHDRAWN: _l("This invitation was withdrawn. You are on the waitlist."),
    Answer.NOT_OPEN: _l("This place can no longer be accepted."),
    # the opposite of what was answered before
    Answer.ALREADY_ENROLLED: _l("You have this place already. Cancel it instead."),
    Answer.ALREADY_DECLINED: _l("You declined this place before. You can join again."),
}


@bp.post(f"{MINE}/accept")
@whoami.role_needed("student")
def accept(uuid: UUID) -> Any:
    """Take the place."""
    return _answer(uuid, waitlist.accept, (Answer.ENROLLED, Answer.ALREADY_ENROLLED))


@bp.route(f"{MINE}/decline", methods=["GET", "POST"])
@whoami.role_needed("student")
def decline(uuid: UUID) -> Any:
    """Ask first, then give the offered place back."""
    if request.method == "POST":
        return _answer(uuid, waitlist.decline, (Answer.DECLINED, Answer.ALREADY_DECLINED))
    offer = _mine_or_404(uuid, utcnow())
    if Act.DECLINE not in _acts(offer):
        return _back(uuid)
    return _confirm(
        offer,
        _("Decline this place?"),
        [_next_in_line(offer), _at_the_end()],
        _("Decline this place"),
    )


def _answer(uuid: UUID, verb: Callable[..., Answer], right: tuple[Answer, ...]) -> Any:
    now = utcnow()
    row = _row(_mine_or_404(uuid, now))
    answer = unit(db.session, lambda: verb(db.session(), row, whoami.actor(), now))
    if answer in right:
        return see_other("my_trainings.show", TOLD[answer], uuid=uuid)
    return _page(_mine_or_404(uuid, now), NO.get(answer, NO[Answer.NOT_OPEN]))


# --- leaving -------------------------------------------------------------------------------------


@bp.route(f"{MINE}/leave", methods=["GET", "POST"])
@whoami.role_needed("student")
def leave(uuid: UUID) -> Any:
    """Ask first, then leave the list or give up the place: what the page spoke of, no other."""
    offer = _mine_or_404(uuid, utcnow())
    if request.method == "POST":
        return _leave(uuid, offer)
    can = _acts(offer)
    if Act.CANCEL in can:
        return _cancel(offer, LateForm())
    if Act.LEAVE in can:
        words = [_("You give up your place in line."), _at_the_end()]
        return _confirm(
            offer, _("Leave the waitlist?"), words, _("Leave the waitlist"), what="list"
        )
    return _back(uuid)


def _leave(uuid: UUID, offer: Offer) -> Any:
    """Repeating is harmless; whose place has changed meanwhile is told so."""
    row, now, form = _row(offer), offer.stand.now, LateForm()
    what = request.form.get("what") or ("place" if row.status is ENROLLED else "list")

    def act() -> None:
        if what == "place":
            late = bool(form.late.data)
            enrolments.deroll(db.session(), row, whoami.actor(), now, late=late)
        else:
            enrolments.leave(db.session(), row, whoami.actor(), now)

    try:
        unit(db.session, act)
    except policies.LateCancellation as no:
        form.refuse(no, "late")
        return _cancel(_mine_or_404(uuid, now), form), no.status
    except enrolments.NotIn:
        return _page(_mine_or_404(uuid, now), _("This has changed meanwhile; look at it again."))
    told = _("Your place is cancelled.") if what == "place" else _("You left the waitlist.")
    return see_other("my_trainings.show", told, uuid=uuid)


class LateForm(Form):
    """One tick, asked of whoever gives up a place later than a policy asks for (WP3)."""

    late = BooleanField(_l("I know that I cancel late"))


def _cancel(offer: Offer, form: LateForm) -> str:
    """What giving up the place means; late, what the practice says of that, and the tick."""
    late = policies.late_now(db.session(), offer.training, offer.stand.now)
    return _confirm(
        offer,
        _("Cancel your place?"),
        [_next_in_line(offer), _at_the_end()],
        _("Cancel my place"),
        what="place",
        late=late,
        form=form,
    )


@bp.route(f"{MINE}/re-enable", methods=["GET", "POST"])
@whoami.role_needed("student")
def re_enable(uuid: UUID) -> Any:
    """Say what joining again does, then do it: at the end of the line (waitlist WE2 3)."""
    now = utcnow()
    return join_or_ask(lambda: _mine_or_404(uuid, now), now)


# --- pages that ask ------------------------------------------------------------------------------


def _confirm(
    offer: Offer,
    question: str,
    consequences: list[str],
    words: str,
    what: str = "",
    late: policies.Late | None = None,
    form: LateForm | None = None,
) -> str:
    return render_template(
        "my_trainings/confirm.html",
        name=plain(offer.training.name),
        question=question,
        consequences=consequences,
        words=words,
        what=what,
        late=late,
        form=form,
        here=request.path,
        back=url_for("my_trainings.show", uuid=_row(offer).uuid),
    )


def _back(uuid: UUID) -> Any:
    return redirect(url_for("my_trainings.show", uuid=uuid), 302)


def _next_in_line(offer: Offer) -> str:
    waiting = offer.stand.waiting
    if not waiting:
        return str(_("Your place becomes free for others."))
    return str(
        _n(
            "Your place goes to the next in line; %(num)s person is waiting.",
            "Your place goes to the next in line; %(num)s people are waiting.",
            waiting,
        )
    )


def _at_the_end() -> str:
    return str(_("If you change your mind, you join again at the end of the line."))


# --- the calendar --------------------------------------------------------------------------------


@bp.get(f"{MINE}.ics")
@whoami.role_needed("student")
def ics(uuid: UUID) -> Response:
    """The days of one training as a calendar file; the same entries as those in letters (WM5)."""
    offer = _mine_or_404(uuid, utcnow())
    settings = current_app.extensions["settings"]
    domain = mail_domain(settings)
    facts = _facts(offer)
    sender = facts.course.sender or settings.mail_sender or f"noreply@{domain}"
    content = calendar.published(facts, sender, domain)
    if content is None:
        abort(404)
    answer = Response(content, mimetype="text/calendar")
    answer.headers["Content-Disposition"] = f'attachment; filename="training-{uuid}.ics"'
    return answer


def _facts(offer: Offer) -> letter_facts.Facts:
    """What a letter about this place would say to a calendar now."""
    row, training, who, practice = _row(offer), offer.training, whoami.person(), whoami.practice()
    if who is None or practice is None:
        abort(404)
    letter = "accepted" if row.status in OPEN else "derolled"
    return letter_facts.Facts(
        row=Outbox(
            kind=letter,
            key="",
            payload={},
            sequence=row.ical_sequence,
            created_at=offer.stand.now,
        ),
        reader=letter_facts.Person(
            id=who.id,
            email=who.email,
            first_name=who.first_name,
            last_name=who.last_name,
            undeliverable_at=None,
            erased_at=None,
            active=True,
            wants_mail=True,
            wants_reminders=True,
            language=None,
        ),
        course=letter_facts.Course(
            training.id,
            training.name,
            offer.type_name,
            training.cancelled_at,
            training.archived_at,
            training.history_seq,
            practice.id,
            practice.name,
            practice.timezone,
            practice.language,
            practice.sender,
        ),
        days=tuple(letter_facts.Day(*day) for day in offer.days),
        seat=letter_facts.Seat(
            row.id,
            row.uuid,
            row.training_id,
            row.status,
            row.invite_no,
            row.invite_date,
            row.invite_expires_at,
            row.ical_sequence,
            who.id,
        ),
        student=None,
        place=None,
        waiting=None,
        told=None,
        actor_name="",
        note="",
        attendees=(),
    )
