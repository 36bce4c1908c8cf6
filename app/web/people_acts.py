"""What staff may do with people of a roster, act by act: `ACTS` is the table of it (people PT3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session
from wtforms import BooleanField, DateTimeLocalField
from wtforms.validators import DataRequired, InputRequired, Optional, ValidationError

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
from app.services import deadline_changes, enrolments, overrides, waitlist
from app.services.actors import Actor
from app.services.deadline_changes import NotLater
from app.services.overrides import NotAhead
from app.services.refusals import ReasonNeeded
from app.web.forms import Form
from app.web.trainer import reason_field


class PeopleForm(Form):
    """All that an act may ask; each keeps the fields it names."""

    until = DateTimeLocalField(
        _l("Until"), [Optional()], format=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
    )
    reason = reason_field()
    silent = BooleanField(_l("Silent: do not write to them about it"))
    keep_place = BooleanField(_l("Keep this place back: do not invite the next person"))
    late = BooleanField(
        _l("I have seen that this is a late cancellation"),
        [DataRequired(_l("Tick that you have seen that this is a late cancellation."))],
    )

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
Holds = Callable[[TrainingEnroll, Asked], bool]


@dataclass(frozen=True)
class Act:
    """One line of PT3."""

    words: Any  # on the button
    from_: tuple[EnrolmentStatus, ...]
    effect: Any  # what will happen
    letters: Any  # who is told
    done: Any  # behind the name, afterwards
    run: Run
    is_done: Holds  # a row is as the act leaves it: repeating it is the same success (WD5)
    fields: tuple[str, ...] = ()
    reason: bool = True  # whether one is always needed
    frees: tuple[EnrolmentStatus, ...] = ()  # whose place goes to the next in line
    danger: bool = False

    def form(self, *, late: bool = False) -> PeopleForm:
        """A form with the fields of this act; `late`: somebody's place is given up late (WP3)."""
        form = PeopleForm()
        if not late:
            del form.late
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


def _in(*statuses: EnrolmentStatus) -> Holds:
    return lambda row, _asked: row.status in statuses


def _passed_over(row: TrainingEnroll, asked: Asked) -> bool:
    until = (row.skipped, row.not_before) == (asked.until is None, asked.until)
    return row.status is WAITLIST and until


def _counts_again(row: TrainingEnroll, _asked: Asked) -> bool:
    return row.status is WAITLIST and not row.skipped and row.not_before is None


def _has_until(row: TrainingEnroll, asked: Asked) -> bool:
    return row.status is INVITED and row.invite_expires_at == asked.until


ACTS = {
    "invite": Act(
        _l("Invite now"),
        (WAITLIST,),
        _l("They are offered a place now. Whoever is not first in line needs a reason."),
        _l("The invitation goes to them, with the time to answer; the trainers are told."),
        _l("invited"),
        _invite,
        _in(INVITED),
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
        _in(EXPIRED),
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
        _has_until,
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
        _passed_over,
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
        _passed_over,
        ("until", "reason"),
    ),
    "unskip": Act(
        _l("Stop skipping"),
        (WAITLIST,),
        _l("Their turn counts again. If a place is free and they are first, they are invited."),
        _l("Nobody is written to, except whoever is invited."),
        _l("no longer passed over"),
        _unskip,
        _counts_again,
        ("reason",),
    ),
    "force": Act(
        _l("Force in"),
        (WAITLIST, INVITED, EXPIRED, DECLINED, DEROLLED),
        _l("They get a place at once, even if that is one more than there are."),
        _l("A confirmation goes to them; the trainers are told."),
        _l("enrolled"),
        _force,
        _in(ENROLLED),
        ("reason",),
    ),
    "remove": Act(
        _l("Remove"),
        OPEN,
        _l("They are taken off. A place that becomes free goes to the next in line."),
        _l("They are told, and the days leave their calendar; the trainers are told."),
        _l("removed"),
        _remove,
        _in(DEROLLED),
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
        _in(*OPEN),
    ),
    "paid": Act(
        _l("Mark as paid"),
        TAKING,
        _l("The roster shows that they have paid."),
        _l("Nobody is written to."),
        _l("marked as paid"),
        _paid,
        lambda row, _asked: row.status in TAKING and row.paid,
    ),
    "unpaid": Act(
        _l("Mark as not paid"),
        TAKING,
        _l("The roster no longer shows that they have paid."),
        _l("Nobody is written to."),
        _l("marked as not paid"),
        _unpaid,
        lambda row, _asked: row.status in TAKING and not row.paid,
    ),
}
UNTIL_WORDS = {
    "more-time": (_l("New moment to answer before"), _l("In the zone of the training.")),
    "skip": (_l("Until"), _l("Empty: until you say otherwise.")),
    "return": (_l("Pass over until"), _l("Empty: until you say otherwise.")),
}
