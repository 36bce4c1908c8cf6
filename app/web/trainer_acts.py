"""What trainers do with people of a roster, one or many at once (people PT3).

`ACTS` is the table of it. Each act has a page that names whom it concerns and who is told; several
people are several units of work, and the page after says of each what became of them (WE3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from flask import Blueprint, abort, render_template, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session
from wtforms import BooleanField, DateTimeLocalField
from wtforms.validators import InputRequired, Optional, ValidationError

from app.extensions import db, utcnow
from app.models.enrolment import (
    CLOSED,
    DECLINED,
    DEROLLED,
    ENROLLED,
    EXPIRED,
    INVITED,
    OPEN,
    TAKING,
    WAITLIST,
    EnrolmentStatus,
    TrainingEnroll,
)
from app.services import deadline_changes, enrolments, overrides, roster, waitlist
from app.services.actors import Actor
from app.services.deadline_changes import NotLater
from app.services.overrides import NotAhead
from app.services.refusals import NotFound, ReasonNeeded, Refusal
from app.services.roster import Entry
from app.web import whoami
from app.web.forms import Form
from app.web.frame import see_other
from app.web.trainer import (
    ID,
    STAFF,
    in_template,
    reason_field,
    said,
    staff_training,
    then_invited,
    tried,
    uuid_or_none,
    zone_for,
)

bp = Blueprint("trainer_acts", __name__)

MOST = 200  # people of one act


class PeopleForm(Form):
    """All that an act may ask; each keeps the fields it names."""

    until = DateTimeLocalField(
        _l("Until"), [Optional()], format=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
    )
    reason = reason_field()
    silent = BooleanField(_l("Silent: do not write to them about it"))
    keep_place = BooleanField(_l("Keep this place back: do not invite the next person"))

    def validate_until(self, field: Any) -> None:
        """A year that calendars know."""
        if field.data and not 2000 <= field.data.year <= 2200:
            raise ValidationError(_("Give a date and a time."))


class Asked(NamedTuple):
    """What the form says, for the services."""

    reason: str | None
    until: datetime | None
    silent: bool
    keep_place: bool


Run = Callable[[Session, TrainingEnroll, Asked, Actor, datetime], Any]


@dataclass(frozen=True)
class Act:
    """One line of PT3."""

    words: Any  # on the button
    from_: tuple[EnrolmentStatus, ...]
    effect: Any  # what will happen
    letters: Any  # who is told
    done: Any  # behind the name, afterwards
    run: Run
    fields: tuple[str, ...] = ()
    reason: bool = True  # whether one is always needed
    frees: tuple[EnrolmentStatus, ...] = ()  # whose place goes to the next in line
    danger: bool = False

    def form(self) -> PeopleForm:
        """A form with the fields of this act."""
        form = PeopleForm()
        for name in ("until", "reason", "silent", "keep_place"):
            if name not in self.fields:
                delattr(form, name)
        if "reason" in self.fields and self.reason:
            needed = InputRequired(ReasonNeeded.sentence)
            form.reason.validators = [needed, *form.reason.validators]
            form.reason.flags.required = True
        elif "reason" in self.fields:
            form.reason.validators = [Optional(), *form.reason.validators]
        return form


def _invite(session: Session, row: TrainingEnroll, asked: Asked, by: Actor, now: datetime) -> None:
    waitlist.invite(session, row, by, now, reason=asked.reason)


def _skip(session: Session, row: TrainingEnroll, asked: Asked, by: Actor, now: datetime) -> None:
    overrides.skip(session, row, by, now, asked.reason, until=asked.until)


def _unskip(session: Session, row: TrainingEnroll, asked: Asked, by: Actor, now: datetime) -> None:
    overrides.unskip(session, row, by, now, asked.reason)


def _force(session: Session, row: TrainingEnroll, asked: Asked, by: Actor, now: datetime) -> None:
    enrolments.force(session, row.training_id, row.student_id, by, now, asked.reason)


def _return(session: Session, row: TrainingEnroll, asked: Asked, by: Actor, now: datetime) -> None:
    how = {"not_before": asked.until, "silent": asked.silent, "keep_place": asked.keep_place}
    if asked.until is not None and asked.until <= now:
        raise NotAhead
    waitlist.return_to_list(session, row, by, now, asked.reason, **how)  # type: ignore[arg-type]


def _more_time(
    session: Session, row: TrainingEnroll, asked: Asked, by: Actor, now: datetime
) -> None:
    if asked.until is None:
        raise NotLater
    deadline_changes.give_more_time(session, row, asked.until, by, now, asked.reason)


def _end(session: Session, row: TrainingEnroll, asked: Asked, by: Actor, now: datetime) -> None:
    waitlist.deinvite(session, row, by, now, asked.reason, keep_place=asked.keep_place)


def _remove(session: Session, row: TrainingEnroll, asked: Asked, by: Actor, now: datetime) -> None:
    if row.status is ENROLLED:
        keep = asked.keep_place
        enrolments.deroll(session, row, by, now, reason=asked.reason, keep_place=keep)
    else:
        enrolments.remove(session, row, by, now, asked.reason, keep_place=asked.keep_place)


def _back(session: Session, row: TrainingEnroll, _asked: Asked, by: Actor, now: datetime) -> None:
    enrolments.enrol(session, row.training_id, row.student_id, by, now)


def _paid(session: Session, row: TrainingEnroll, _asked: Asked, by: Actor, now: datetime) -> None:
    overrides.mark_paid(session, row, True, by, now)


def _unpaid(session: Session, row: TrainingEnroll, _asked: Asked, by: Actor, now: datetime) -> None:
    overrides.mark_paid(session, row, False, by, now)


ACTS = {
    "invite": Act(
        _l("Invite now"),
        (WAITLIST,),
        _l("They are offered a place now. Whoever is not first in line needs a reason."),
        _l("The invitation goes to them, with the time to answer; the trainers are told."),
        _l("invited"),
        _invite,
        ("reason",),
        reason=False,
    ),
    "end": Act(
        _l("End the invitation"),
        (INVITED,),
        _l("The invitation ends now, as if it had run out. They may join again at the end."),
        _l("They are told that the invitation has ended; so are the trainers."),
        _l("the invitation has ended"),
        _end,
        ("reason", "keep_place"),
        frees=(INVITED,),
        danger=True,
    ),
    "more-time": Act(
        _l("Give more time"),
        (INVITED,),
        _l("They may answer until a later moment, but not past the last moment for answers."),
        _l("They are told the new moment."),
        _l("more time given"),
        _more_time,
        ("until", "reason"),
    ),
    "return": Act(
        _l("Return to the list"),
        (INVITED,),
        _l(
            "The invitation is taken back; they keep their place in line. They are passed over"
            " until you say otherwise, or until the moment you give."
        ),
        _l("They are told that the invitation was withdrawn, unless you tick “silent”."),
        _l("back on the list"),
        _return,
        ("until", "reason", "silent", "keep_place"),
        frees=(INVITED,),
    ),
    "skip": Act(
        _l("Skip"),
        (WAITLIST,),
        _l(
            "They are passed over and keep their place in line: from now on, or until the moment"
            " you give."
        ),
        _l("Nobody is written to."),
        _l("passed over"),
        _skip,
        ("until", "reason"),
    ),
    "unskip": Act(
        _l("Stop skipping"),
        (WAITLIST,),
        _l("Their turn counts again. If a place is free and they are first, they are invited."),
        _l("Nobody is written to, except whoever is invited."),
        _l("no longer passed over"),
        _unskip,
        ("reason",),
    ),
    "force": Act(
        _l("Force in"),
        (WAITLIST, INVITED, EXPIRED, DECLINED, DEROLLED),
        _l("They get a place at once, even if that is one more than there are."),
        _l("A confirmation goes to them; the trainers are told."),
        _l("enrolled"),
        _force,
        ("reason",),
    ),
    "remove": Act(
        _l("Remove"),
        OPEN,
        _l("They are taken off. A place that becomes free goes to the next in line."),
        _l("They are told, and the days leave their calendar; the trainers are told."),
        _l("removed"),
        _remove,
        ("reason", "keep_place"),
        frees=TAKING,
        danger=True,
    ),
    "back": Act(
        _l("Bring back"),
        CLOSED,
        _l(
            "The normal rule holds: a place if one is free and nobody waits, else the end of"
            " the line."
        ),
        _l("They are told whether they have a place or wait; the trainers are told."),
        _l("brought back"),
        _back,
    ),
    "paid": Act(
        _l("Mark as paid"),
        TAKING,
        _l("The roster shows that they have paid."),
        _l("Nobody is written to."),
        _l("marked as paid"),
        _paid,
    ),
    "unpaid": Act(
        _l("Mark as not paid"),
        TAKING,
        _l("The roster no longer shows that they have paid."),
        _l("Nobody is written to."),
        _l("marked as not paid"),
        _unpaid,
    ),
}
UNTIL_WORDS = {
    "more-time": (_l("New moment to answer before"), _l("In the zone of the training.")),
    "skip": (_l("Until"), _l("Empty: until you say otherwise.")),
    "return": (_l("Pass over until"), _l("Empty: until you say otherwise.")),
}


def acts_for(entry: Entry) -> list[str]:
    """The names of what may be done with one person now."""
    passed_over = entry.enrolment.skipped or entry.enrolment.not_before is not None
    left_out = {
        "skip" if passed_over else "unskip",
        "paid" if entry.enrolment.paid else "unpaid",
    }
    return [
        name for name, act in ACTS.items() if entry.status in act.from_ and name not in left_out
    ]


def act_words() -> dict[str, str]:
    """What is on the buttons, in the reader's language: asked once for a page, not once a row."""
    return {name: str(act.words) for name, act in ACTS.items()}


bp.add_app_template_global(act_words)
bp.add_app_template_global(acts_for)


# --- the page ------------------------------------------------------------------------------------


@bp.route(f"/trainer/trainings/{ID}/acts", methods=["GET", "POST"])
@STAFF
def people(training_id: int) -> Any:
    """GET names whom the act concerns and who is told; POST does it."""
    name = request.values.get("act", "")
    act = ACTS.get(name) or abort(404)
    actor, now = whoami.staff_actor(), utcnow()
    training, _stand = staff_training(actor, training_id, now)
    zone, seen = zone_for(training), _picked()
    chosen = roster.picked(db.session(), training_id, list(seen), now)
    if not seen:
        return see_other("trainer.show", _("Tick the people first."), training_id=training_id)
    if len(chosen) < len(seen):
        raise NotFound(what="enrolment", id=training_id)
    form, offers_force = act.form(), False
    status = 400 if request.method == "POST" and not form.validate() else 200
    if request.method == "POST" and status == 200:
        asked = _asked(form, zone)
        results = [(one, _do(act, one, seen, asked, actor, now)) for one in chosen]
        if len(results) > 1:
            return _report(act, results, training_id, actor, now)
        ((one, no),) = results
        if no is None:
            notice = _("%(name)s: %(done)s.", name=_called(one), done=act.done)
            notice += then_invited(training_id, now)
            return see_other("trainer.show", notice, training_id=training_id)
        status, offers_force = no.status, isinstance(no, waitlist.NoFreeSpot)
        _put(form, no)
    return _page(name, act, form, list(seen), training_id, actor, now, offers_force), status


def _picked() -> dict[str, tuple[int, EnrolmentStatus] | None]:
    """The uuids given, each with the version and status seen, once a page showed them.

    404 for what can't be one.
    """
    found: dict[str, tuple[int, EnrolmentStatus] | None] = {}
    for text in request.values.getlist("row")[: MOST + 1]:
        uuid, _colon, rest = text.partition(":")
        number, _colon, status = rest.partition(":")
        if uuid_or_none(uuid) is None or len(found) > MOST:
            abort(404)
        known = number.isdecimal() and status in set(EnrolmentStatus)
        found[uuid] = (int(number), EnrolmentStatus(status)) if known else None
    return found


def _asked(form: PeopleForm, zone: ZoneInfo) -> Asked:
    data = form.data
    until = data.get("until")
    return Asked(
        reason=data.get("reason") or None,
        until=until.replace(tzinfo=zone) if until else None,
        silent=bool(data.get("silent")),
        keep_place=bool(data.get("keep_place")),
    )


def _do(
    act: Act,
    one: Entry,
    seen: dict[str, tuple[int, EnrolmentStatus] | None],
    asked: Asked,
    actor: Actor,
    now: datetime,
) -> Refusal | None:
    """One person, one unit of work; the refusal if it was refused."""
    session, as_seen = db.session(), seen[one.uuid]

    def work() -> None:
        if as_seen is None:  # nobody has seen the page that asks
            raise roster.ChangedMeanwhile(_("Look at the page that asks first."))
        roster.unchanged(session, one.enrolment, actor, *as_seen)
        act.run(session, one.enrolment, asked, actor, now)

    return tried(work)


def _put(form: PeopleForm, no: Refusal) -> None:
    field = None
    if isinstance(no, ReasonNeeded) and "reason" in form:
        field = "reason"
    if isinstance(no, (NotLater, NotAhead)) and "until" in form:
        field = "until"
    form.refuse(no, field)


def _called(entry: Entry) -> str:
    return entry.name or entry.email or _("Somebody erased")


def _report(
    act: Act,
    results: list[tuple[Entry, Refusal | None]],
    training_id: int,
    actor: Actor,
    now: datetime,
) -> tuple[str, int]:
    """Each row done, or refused with its reason; 409 if all were refused."""
    training, _stand = staff_training(actor, training_id, now)
    page = render_template(
        "trainer/report.html",
        act=act,
        results=[(_called(one), no) for one, no in results],
        done=sum(no is None for _one, no in results),
        then=then_invited(training_id, now),
        **in_template(training, now),
    )
    return page, 409 if all(no for _one, no in results) else 200


def _page(
    name: str,
    act: Act,
    form: PeopleForm,
    uuids: list[str],
    training_id: int,
    actor: Actor,
    now: datetime,
    offers_force: bool,
) -> str:
    training, stand = staff_training(actor, training_id, now)
    zone = zone_for(training)
    chosen = roster.picked(db.session(), training_id, uuids, now)
    if name in UNTIL_WORDS:
        label, hint = UNTIL_WORDS[name]
        form.until.label.text = label
        form.until.description = hint
        form.until.flags.required = name == "more-time"
    free = sum(one.status in act.frees for one in chosen)
    return render_template(
        "trainer/acts.html",
        name=name,
        act=act,
        form=form,
        chosen=[(one, said(one, now, zone)) for one in chosen],
        cannot=[one for one in chosen if one.status not in act.from_],
        stand=stand,
        next_names=roster.would_be_invited(db.session(), stand, free) if free else [],
        offers_force=offers_force,
        called=_called,
        **in_template(training, now),
    )
