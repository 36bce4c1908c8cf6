"""What trainers do with a whole training: its list, its places, a newcomer (people PT3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, abort, render_template, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session
from wtforms import HiddenField, IntegerField, RadioField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, NumberRange, Optional

from app.extensions import db, utcnow
from app.models.queue import Standing
from app.models.training import MOST_PARTICIPANTS, Training
from app.services import enrolments, overrides, policies, roster, trainings
from app.services.actors import Actor
from app.services.policies import OverLimit
from app.services.refusals import ReasonNeeded
from app.services.trainings import BelowTaken, BelowTakenChoice
from app.web import whoami
from app.web.forms import Form
from app.web.frame import see_other
from app.web.trainer import (
    ID,
    STAFF,
    in_template,
    reason_field,
    staff_training,
    then_invited,
    tried,
    words_of,
)

bp = Blueprint("trainer_list", __name__)


class ReasonForm(Form):
    """Why; and the number of the training that the page showed."""

    seen = HiddenField()
    reason = reason_field(InputRequired(ReasonNeeded.sentence))


class CountForm(ReasonForm):
    """How many places."""

    count = IntegerField(
        _l("How many places"),
        [
            InputRequired(_l("Type a number of places.")),
            NumberRange(1, MOST_PARTICIPANTS, _l("Type a number of places.")),
        ],
    )


# --- the list and the places kept back -----------------------------------------------------------


@dataclass(frozen=True)
class ListAct:
    """One act on the whole list."""

    words: Any
    effect: Any
    done: Any
    run: Callable[[Session, int, Any, Actor, datetime], Any]
    form: type[ReasonForm] = ReasonForm
    seen: str | None = None  # the column whose value the page shows


def _pause(session: Session, id_: int, form: Any, by: Actor, now: datetime) -> None:
    overrides.pause_list(session, id_, by, now, form.reason.data)


def _resume(session: Session, id_: int, form: Any, by: Actor, now: datetime) -> None:
    overrides.resume_list(session, id_, by, now, form.reason.data)


def _limit(session: Session, id_: int, form: Any, by: Actor, now: datetime) -> None:
    overrides.restore_limit(session, id_, by, now, form.reason.data)


def _keep(session: Session, id_: int, form: Any, by: Actor, now: datetime) -> None:
    overrides.keep_spots(session, id_, form.count.data, by, now, form.reason.data)


def _release(session: Session, id_: int, form: Any, by: Actor, now: datetime) -> None:
    overrides.release_spots(session, id_, form.count.data, by, now, form.reason.data)


LIST_ACTS = {
    "pause": ListAct(
        _l("Pause the list"),
        _l(
            "Nobody is invited until you resume the list. Newcomers join the end of the line;"
            " invitations that are open run on. Nobody is written to."
        ),
        _l("The list is paused."),
        _pause,
    ),
    "resume": ListAct(
        _l("Resume the list"),
        _l("Invitations go on: free places go to the first in line at once, each by letter."),
        _l("The list is resumed."),
        _resume,
    ),
    "keep": ListAct(
        _l("Keep places back"),
        _l(
            "Free places that you keep back are offered to nobody. You give them yourself, by"
            " “Invite now” or “Force in”. Nobody is written to."
        ),
        _l("The places are kept back."),
        _keep,
        CountForm,
        "seats_kept",
    ),
    "release": ListAct(
        _l("Release kept places"),
        _l("Kept places go back to the line: the first in line are invited at once, by letter."),
        _l("The places are released."),
        _release,
        CountForm,
        "seats_kept",
    ),
    "limit": ListAct(
        _l("Apply the booking limit again"),
        _l(
            "The free place was announced to everybody, also to students who have reached the"
            " booking limit. From now on the limit holds for them again. Nobody is written to."
        ),
        _l("The booking limit holds again."),
        _limit,
    ),
}


@bp.route(f"/trainer/trainings/{ID}/list/<name>", methods=["GET", "POST"])
@STAFF
def change(training_id: int, name: str) -> Any:
    """Pause or resume the list, keep places back or release them, with a reason."""
    act = LIST_ACTS.get(name) or abort(404)
    actor, now, session = whoami.staff_actor(), utcnow(), db.session()
    training, _stand = staff_training(actor, training_id, now)
    form, status = act.form(), 200

    def work() -> None:
        if act.seen:
            roster.unchanged_number(session, training_id, actor, act.seen, _number(form))
        act.run(session, training_id, form, actor, now)

    if request.method == "POST":
        status = 400
        if form.validate():
            no = tried(work)
            if no is None:
                notice = f"{act.done}{then_invited(training_id, now)}"
                return see_other("trainer.show", notice, training_id=training_id)
            status = no.status
            form.refuse(no)
    training, stand = staff_training(actor, training_id, now)
    form.seen.data = str(getattr(training, act.seen)) if act.seen else ""
    page = render_template(
        "trainer/list_act.html", act=act, form=form, stand=stand, **in_template(training, now)
    )
    return page, status


# --- capacity ------------------------------------------------------------------------------------


class CapacityForm(Form):
    """How many places there are; what to do when more are taken (WO4)."""

    seen = HiddenField()
    places = IntegerField(
        _l("Number of places"),
        [
            InputRequired(_l("Type a number of places.")),
            NumberRange(
                0, MOST_PARTICIPANTS, _l("The number of places is from %(min)s to %(max)s.")
            ),
        ],
    )
    choice = RadioField(
        _l("More places are taken than that"),
        [Optional()],
        choices=[
            SelectChoice(
                BelowTakenChoice.WITHDRAW.value,
                _l("Take the newest invitations back; those people keep their place in line"),
            ),
            SelectChoice(
                BelowTakenChoice.OVERBOOK.value,
                _l("Stay overbooked; nobody new is invited until it fits"),
            ),
        ],
    )
    reason = reason_field(Optional())


@bp.route(f"/trainer/trainings/{ID}/capacity", methods=["GET", "POST"])
@STAFF
def capacity(training_id: int) -> Any:
    """Change the number of places; below those taken, the page asks what to do (WO4)."""
    actor, now, session = whoami.staff_actor(), utcnow(), db.session()
    training, _stand = staff_training(actor, training_id, now)
    form, status, below = CapacityForm(), 200, "choice" in request.form
    if request.method == "POST":
        status = 400
        if not below:
            form.choice.data = None  # nothing was asked yet
        if form.validate():
            no = tried(lambda: _set_capacity(session, training_id, form, actor, now))
            if no is None:
                notice = _("There are %(count)s places now.", count=form.places.data)
                notice += then_invited(training_id, now)
                return see_other("trainer.show", notice, training_id=training_id)
            status, below = no.status, below or isinstance(no, BelowTaken)
            form.refuse(no, "reason" if isinstance(no, ReasonNeeded) else None)
    training, stand = staff_training(actor, training_id, now)
    if request.method == "GET":
        form.places.data = training.max_participants
    form.seen.data = str(training.max_participants)
    form.choice.flags.required = form.reason.flags.required = True
    page = render_template(
        "trainer/capacity.html", form=form, below=below, stand=stand, **in_template(training, now)
    )
    return page, status


def _set_capacity(
    session: Session, training_id: int, form: CapacityForm, actor: Actor, now: datetime
) -> None:
    column = "max_participants"
    seen, wanted = _number(form), form.places.data
    roster.unchanged_number(session, training_id, actor, column, seen, wanted)
    trainings.set_capacity(
        session,
        training_id,
        form.places.data,
        actor,
        now,
        choice=form.choice.data or None,
        reason=form.reason.data,
    )


# --- a newcomer ----------------------------------------------------------------------------------


@bp.route(f"/trainer/trainings/{ID}/add", methods=["GET", "POST"])
@STAFF
def add(training_id: int) -> Any:
    """Find a student of the practice and put them in: the normal rule holds (PT3)."""
    actor, now, session = whoami.staff_actor(), utcnow(), db.session()
    training, stand = staff_training(actor, training_id, now)
    form, status, search = Form(), 200, words_of("q")
    if request.method == "POST":
        status = 400
        student = request.form.get("student", "")
        if not student.isdecimal() or len(student) > 9:
            form.refuse(_("Choose a person."))
        else:
            id_ = int(student)
            above = _above_limit(stand, [id_])
            no = tried(lambda: enrolments.enrol(session, training_id, id_, actor, now))
            if no is None:
                notice = _added(training, id_) + "".join(f" {o.to_staff}" for o in above.values())
                return see_other("trainer.show", notice, training_id=training_id)
            status = no.status
            form.refuse(no)
            training, stand = staff_training(actor, training_id, now)
    found = roster.candidates(session, training, search) if search else None
    page = render_template(
        "trainer/add.html",
        form=form,
        stand=stand,
        search=search,
        found=found,
        above=_above_limit(stand, [one.student_id for one in found or ()]),
        **in_template(training, now),
    )
    return page, status


def _above_limit(stand: Standing, student_ids: list[int]) -> dict[int, OverLimit]:
    """Whom joining takes above a booking limit, which is only said (WP2)."""
    limits = policies.limits_on(db.session(), stand.training)
    return policies.too_many(db.session(), stand, limits, student_ids) if student_ids else {}


def _added(training: Training, student_id: int) -> str:
    status = roster.status_of(db.session(), training.id, student_id)
    words = roster.STATUS_WORDS[status] if status else ""
    return str(_("Added: this person is now %(state)s.", state=words))


def _number(form: Any) -> int:
    """The number that the page showed; -1, which none is, if it showed none."""
    text = str(form.seen.data or "")
    return int(text) if text.isdecimal() and len(text) <= 9 else -1
