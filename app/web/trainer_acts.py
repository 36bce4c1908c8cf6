"""What trainers do with people of a roster, one or many at once (people PT3).

Each act of `ACTS` has a page that names whom it concerns and who is told; several people are
several units of work, and the page after says of each what became of them (WE3).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, abort, render_template, request
from flask_babel import gettext as _

from app.extensions import db, utcnow
from app.models.enrolment import ENROLLED, EnrolmentStatus
from app.models.queue import Standing
from app.models.training import Training
from app.services import policies, roster
from app.services.actors import Actor
from app.services.deadline_changes import NotLater
from app.services.overrides import NotAhead
from app.services.policies import OverLimit
from app.services.refusals import NotFound, ReasonNeeded, Refusal
from app.services.roster import Entry
from app.web import whoami
from app.web.frame import see_other
from app.web.people_acts import ACTS, UNTIL_WORDS, Act, Asked, PeopleForm
from app.web.trainer import (
    ID,
    STAFF,
    in_template,
    said,
    staff_training,
    then_invited,
    tried,
    uuid_or_none,
    zone_for,
)

bp = Blueprint("trainer_acts", __name__)

MOST = 200  # people of one act


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
    training, stand = staff_training(actor, training_id, now)
    zone, seen = zone_for(training), _picked()
    chosen = roster.picked(db.session(), training_id, list(seen), now)
    if not seen:
        return see_other("trainer.show", _("Tick the people first."), training_id=training_id)
    if len(chosen) < len(seen):
        raise NotFound(what="enrolment", id=training_id)
    late = _late(name, training, chosen, now)
    form = act.form(late=late is not None)
    status = 400 if request.method == "POST" and not form.validate() else 200
    above = _above_limit(name, stand, chosen)
    if request.method == "POST" and status == 200:
        asked = _asked(form, zone)
        results = [(one, _do(act, one, seen, asked, actor, now)) for one in chosen]
        if len(results) > 1:
            return _report(act, results, above, training_id, actor, now)
        ((one, no),) = results
        if no is None:
            notice = _("%(name)s: %(done)s.", name=_called(one), done=act.done)
            notice += _warned(above, one)
            notice += then_invited(training_id, now)
            return see_other("trainer.show", notice, training_id=training_id)
        status = no.status
        _put(form, no)
    warned = {"late": late, "above": above}
    return _page(name, act, form, list(seen), training_id, actor, now, warned), status


def _late(
    name: str, training: Training, chosen: list[Entry], now: datetime
) -> policies.Late | None:
    """The policy that taking these people off would break, if one of them has a place (WP3)."""
    if name != "remove" or not any(one.status is ENROLLED for one in chosen):
        return None
    return policies.late_now(db.session(), training, now)


def _above_limit(name: str, stand: Standing, chosen: list[Entry]) -> dict[int, OverLimit]:
    """Whom bringing back takes above a booking limit, which is only said (WP2)."""
    if name != "back":
        return {}
    limits = policies.limits_on(db.session(), stand.training)
    return policies.too_many(
        db.session(), stand, limits, [one.enrolment.student_id for one in chosen]
    )


def _warned(above: dict[int, OverLimit], one: Entry) -> str:
    over = above.get(one.enrolment.student_id)
    return f" {over.to_staff}" if over else ""


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
        known = re.fullmatch("[0-9]{1,9}", number) and status in set(EnrolmentStatus)
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
        try:
            roster.unchanged(session, one.enrolment, actor, *as_seen)
        except roster.ChangedMeanwhile:
            if act.is_done(one.enrolment, asked):
                return
            raise
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
    above: dict[int, OverLimit],
    training_id: int,
    actor: Actor,
    now: datetime,
) -> tuple[str, int]:
    """Each row done, or refused with its reason; 409 if all were refused."""
    training, _stand = staff_training(actor, training_id, now)
    page = render_template(
        "trainer/report.html",
        act=act,
        results=[(_called(one), no, _warned(above, one)) for one, no in results],
        done=sum(no is None for _one, no in results),
        then=then_invited(training_id, now),
        **in_template(training, now),
    )
    return page, 409 if all(no for _one, no in results) else 200


def _has_room(stand: Standing, one: Entry) -> bool:
    """A place is free, or held for the invitation that is planned for them."""
    own = one.enrolment.seats if one.enrolment.invite_planned_at else 0
    return stand.spare + own >= 1


def _page(
    name: str,
    act: Act,
    form: PeopleForm,
    uuids: list[str],
    training_id: int,
    actor: Actor,
    now: datetime,
    warned: dict[str, Any],
) -> str:
    training, stand = staff_training(actor, training_id, now)
    zone = zone_for(training)
    chosen = roster.picked(db.session(), training_id, uuids, now)
    if name in UNTIL_WORDS:
        label, hint = UNTIL_WORDS[name]
        form.until.label.text = label
        form.until.description = hint
        form.until.flags.required = name == "more-time"
    if name == "invite":
        form.reason.flags.required = roster.out_of_turn(db.session(), stand, chosen)
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
        full=name == "invite" and not any(_has_room(stand, one) for one in chosen),
        called=_called,
        **warned,
        **in_template(training, now),
    )
