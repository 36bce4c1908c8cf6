"""Joining a training, or joining again: what it will do, then what was decided (people PS3)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import abort, render_template
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField, HiddenField
from wtforms.validators import DataRequired

from app.extensions import db, unit
from app.limits import limiter
from app.models.enrolment import ENROLLED, INVITED, OPEN, TrainingEnroll
from app.models.policy import PolicyKind
from app.services import enrolments, policies, standing, students, waitlist
from app.services.actors import SYSTEM
from app.services.letter_facts import plain
from app.services.standing import Act, Offer
from app.web import states, whoami
from app.web.forms import Form
from app.web.frame import interval, ordinal, see_other

JOINS = "20 per hour"  # of one student, on all pages together (reliability SE16)


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


def join_or_ask(read: Callable[[], Offer], now: datetime) -> Any:
    """The page that asks, or what became of joining; whoever is on it is led to their place.

    `read` says how the training stands now, to whoever is signed in.
    """
    offer = read()
    joins = {Act.JOIN, Act.JOIN_AGAIN} & {*standing.acts(offer, active=states.is_active())}
    if offer.mine and offer.status in OPEN and not joins and not offer.overdue:
        return see_other("my_trainings.show", _("You are on it already."), uuid=offer.mine.row.uuid)
    form = JoinForm()
    if form.validate_on_submit():
        return _join(form, offer, now) or _page(form, read())
    return _page(form, offer)


def _join(form: JoinForm, offer: Offer, now: datetime) -> Any:
    """Enrol whoever is signed in, and tell what became of it; None: the form says what is missing.

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
    return None


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


def _page(form: JoinForm, offer: Offer) -> tuple[str, int]:
    """What will happen, and the tick; refuses where nobody, or not this student, can join.

    Raises `NotOpen`, `StudentInactive`, `LimitReached`.
    """
    if not offer.stand.is_open:
        raise enrolments.NotOpen
    if not states.is_active():
        raise enrolments.StudentInactive
    if offer.limit is not None:
        raise policies.LimitReached(offer.limit)
    rules = policies.texts_for(db.session(), offer.training)
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
        cancelling=rules.get(PolicyKind.CANCELLATION_WINDOW, []),
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
