"""Coming in and leaving: enrol, force, deroll, leave, remove (waitlist WE2 1–3, 10–12).

Who comes in locks the training first and never passes anyone who may be invited; who leaves ends in
a refill. What happens in the line stands in `waitlist.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.models.bulk import insert_many
from app.models.enrolment import (
    DECLINED,
    DEROLLED,
    ENROLLED,
    EXPIRED,
    INVITED,
    TAKING,
    WAITLIST,
    EnrolmentStatus,
    TrainingEnroll,
)
from app.models.person import PersonStatus, Student
from app.models.queue import Standing, standing
from app.models.training import Training, TrainingEvent
from app.models.user import User
from app.services import history, letters, plan, policies, waitlist
from app.services.actors import Actor
from app.services.ledger import allow_over, settle
from app.services.locks import locked
from app.services.refusals import NotFound, Refusal, a_reason
from app.services.scope import require_own, within
from app.services.transitions import NEXT_SEQUENCE, move, place_of, reread


class NotOpen(Refusal):
    """Nobody books a training that is closed, cancelled or has started."""

    code = "not_open"
    sentence = _l("This training is not open for booking.")


class StudentInactive(Refusal):
    """Only active students book (WD1)."""

    code = "student_inactive"
    sentence = _l("This account is not active; ask the office.")


class ProfileIncomplete(Refusal):
    """First and last name are needed (rulings RD1)."""

    code, status = "profile_incomplete", 400
    sentence = _l("Fill in your first and last name first.")


class TermsNotAccepted(Refusal):
    """A student ticks the terms."""

    code, status = "terms_not_accepted", 400
    sentence = _l("Accept the terms to join.")


class TrainingOver(Refusal):
    """Nobody is forced into what is cancelled, archived or past (WO1)."""

    code = "training_over"
    sentence = _l("This training is cancelled, archived or over.")


class NotIn(Refusal):
    """The student is not, or no longer, where they would have to be."""

    code = "not_in"
    sentence = _l("This student has no such place to give up.")


class HasStarted(Refusal):
    """After the start only staff take people off the list (WE2 11)."""

    code = "has_started"
    sentence = _l("The training has started; ask the trainer.")


# --- coming in -----------------------------------------------------------------------------------


def enrol(
    session: Session,
    training_id: int,
    student_id: int,
    actor: Actor,
    now: datetime,
    *,
    terms: bool = False,
) -> TrainingEnroll:
    """Give the student a place, or one in the line; the row's status says which (WE2 1–3, WF4).

    Who has one already keeps it, without a second effect. Above a booking limit staff may go, and
    the history says that they did (WP2). Raises `NotFound`, `NotOpen`, `StudentInactive`,
    `ProfileIncomplete`, `TermsNotAccepted`, `LimitReached`, `Unreachable`.
    """
    training = within(actor, locked(session, Training, training_id))
    limits = policies.limits_on(session, training)
    alone = bool(limits) and not actor.staff
    student, row = _applicant(session, training, student_id, actor, alone=alone)
    stand = standing(session, training, now)
    late = stand.is_open and not stand.before_hard_stop
    if row is not None and (row.status in TAKING or (row.status is WAITLIST and not late)):
        return row
    _require_bookable(stand, student, actor, terms)
    data = _above_limit(session, stand, limits, student, actor)
    comes_back = row if row is not None and row.status in (EXPIRED, DECLINED) else None
    if comes_back is not None and not late:
        waitlist.re_enable(session, comes_back, actor, now, data=data)
        return comes_back
    filled = waitlist.refill(session, training, now, stand)
    if filled.free >= 1 and not training.waitlist_paused and not filled.someone_waits:
        _out_of_line(session, row, actor, now)
        return _let_in(session, training, student, row, actor, now, terms, data)
    if comes_back is not None:
        waitlist.re_enable(session, comes_back, actor, now, data=data)
        return comes_back
    if row is not None and row.status is WAITLIST:
        return row
    waitlist.require_reachable(session, student_id)
    return _queue(session, training, student, row, actor, now, terms, data)


def _out_of_line(session: Session, row: TrainingEnroll | None, actor: Actor, now: datetime) -> None:
    """Past the hard stop the first to come gets in, from the line by 3, 12 and 1 at once (WF4).

    Nobody waits meanwhile, so no letter says so and nobody has to be reachable.
    """
    if row is None:
        return
    if row.status in (EXPIRED, DECLINED):
        waitlist.rejoin(session, row, actor, now)
    if row.status is WAITLIST:
        _move_out(session, row, "left", actor, now, reason="left")


def _let_in(
    session: Session,
    training: Training,
    student: Applicant,
    row: TrainingEnroll | None,
    actor: Actor,
    now: datetime,
    terms: bool,
    data: dict[str, Any] | None,
) -> TrainingEnroll:
    changes = waitlist.afresh(now) | _terms(terms, now)
    row, from_ = _place(session, training, student, row, ENROLLED, changes)
    seq = history.record(session, row, "enrolled", from_, ENROLLED, actor, now, data=data)
    letters.enrolled(session, place_of(row), seq, now)
    settle(session, training, takes_spot=True)
    return row


def _queue(
    session: Session,
    training: Training,
    student: Applicant,
    row: TrainingEnroll | None,
    actor: Actor,
    now: datetime,
    terms: bool,
    data: dict[str, Any] | None,
) -> TrainingEnroll:
    tail = waitlist.at_the_tail(session, training.id, now) | _terms(terms, now)
    row, from_ = _place(session, training, student, row, WAITLIST, tail)
    seq = history.record(session, row, "queued", from_, WAITLIST, actor, now, data=data)
    letters.waitlisted(session, place_of(row), seq, now)
    return row


def force(
    session: Session,
    training_id: int,
    student_id: int,
    actor: Actor,
    now: datetime,
    reason: str | None,
) -> TrainingEnroll:
    """Enrol at once, from whatever status, above capacity too (WE2 10, WO1).

    Raises `NotFound`, `ReasonNeeded`, `StudentInactive`, `TrainingOver`.
    """
    note = a_reason(reason)
    training = within(actor, locked(session, Training, training_id))
    student, row = _applicant(session, training, student_id, actor)
    _require_active(student)
    if training.cancelled_at or training.archived_at or _over(session, training_id, now):
        raise TrainingOver
    if row is not None and row.status is ENROLLED:
        return row
    if row is None or row.status is not INVITED:
        _make_room(session, standing(session, training, now), row, actor, note)
    else:
        plan.drop_expiry(session, [row.id])
    row, from_ = _place(session, training, student, row, ENROLLED, waitlist.afresh(now))
    seq = history.record(session, row, "forced", from_, ENROLLED, actor, now, note=note)
    letters.enrolled(session, place_of(row), seq, now)
    settle(session, training, takes_spot=True)
    return row


def _make_room(
    session: Session, stand: Standing, row: TrainingEnroll | None, actor: Actor, note: str
) -> None:
    """A free place or the one a plan holds, else one that was kept, else one above the capacity."""
    training = stand.training
    own = row.seats if row is not None and row.status is WAITLIST and row.invite_planned_at else 0
    if 1 <= stand.spare + own <= training.seats_kept:
        waitlist.use_kept(session, training, actor, stand.now, note)
    allow_over(session, training, stand.taken + 1 - training.max_participants)


# --- leaving -------------------------------------------------------------------------------------


def deroll(
    session: Session,
    enrolment: TrainingEnroll,
    actor: Actor,
    now: datetime,
    *,
    reason: str | None = None,
    keep_place: bool = False,
    late: bool = False,
) -> None:
    """Give up a place; the next in line is invited, unless staff keep it (WE2 11).

    Students may until the start; staff always, with a reason. Later than a policy asks for, two
    letters more go out, and a student says by `late` that they know (WP3).
    Raises `NotFound`, `NotIn`, `HasStarted`, `ReasonNeeded`, `LateCancellation`.
    """
    note = a_reason(reason) if actor.staff else None
    require_own(enrolment, actor)
    training = within(actor, locked(session, Training, enrolment.training_id))
    if not actor.staff and standing(session, training, now).started:
        raise HasStarted
    broken = policies.late_now(session, training, now)
    unknowing = broken is not None and not (late or actor.staff)
    unless = policies.LateCancellation() if unknowing else None
    why: dict[str, Any] = {"note": note, "data": {"late": broken.facts} if broken else None}
    if left := _move_out(session, enrolment, "derolled", actor, now, unless=unless, **why):
        letters.derolled(session, place_of(enrolment), left.seq, now)
        if broken is not None:
            texts = broken.texts
            letters.late_cancellation(session, place_of(enrolment), left.seq, now, texts)
        waitlist.freed(session, training, actor, now, keep_place=keep_place, note=note)


def leave(session: Session, enrolment: TrainingEnroll, actor: Actor, now: datetime) -> None:
    """A student leaves the line, invited or not (WE2 12). Raises `NotFound`, `NotIn`."""
    require_own(enrolment, actor)
    _off_the_list(session, enrolment, "left", actor, now, None, keep_place=False)


def remove(
    session: Session,
    enrolment: TrainingEnroll,
    actor: Actor,
    now: datetime,
    reason: str | None,
    *,
    keep_place: bool = False,
) -> None:
    """Staff take someone off the line (WE2 12). Raises `NotFound`, `NotIn`, `ReasonNeeded`."""
    note = a_reason(reason)
    _off_the_list(session, enrolment, "removed", actor, now, note, keep_place=keep_place)


def _off_the_list(
    session: Session,
    enrolment: TrainingEnroll,
    event: str,
    actor: Actor,
    now: datetime,
    note: str | None,
    *,
    keep_place: bool,
) -> None:
    training = within(actor, locked(session, Training, enrolment.training_id))
    if left := _move_out(session, enrolment, event, actor, now, note=note):
        letters.left_waitlist(session, place_of(enrolment), left.seq, now)
        keep_place = keep_place and left.from_ is INVITED  # who waited leaves none
        waitlist.freed(session, training, actor, now, keep_place=keep_place, note=note)


def erase(session: Session, enrolment: TrainingEnroll, actor: Actor, now: datetime) -> None:
    """Whoever is being erased gives up an open row; trainers are told, they are not (WT7)."""
    training = locked(session, Training, enrolment.training_id)  # whosever: in every practice
    reread(session, enrolment)
    enrolled = enrolment.status is ENROLLED
    event, tell = ("derolled", letters.derolled) if enrolled else ("left", letters.left_waitlist)
    if left := _move_out(session, enrolment, event, actor, now, reason="erased"):
        tell(session, place_of(enrolment), left.seq, now, to_student=False)
        waitlist.freed(session, training, actor, now)


# --- the row -------------------------------------------------------------------------------------


class Left(NamedTuple):
    """From where someone left, and the number of that in the history."""

    from_: EnrolmentStatus
    seq: int


REASONS = {"derolled": "left", "left": "left", "removed": "removed"}  # codes of WE1


def _move_out(
    session: Session,
    enrolment: TrainingEnroll,
    event: str,
    actor: Actor,
    now: datetime,
    *,
    reason: str | None = None,
    note: str | None = None,
    data: dict[str, Any] | None = None,
    unless: Refusal | None = None,
) -> Left | None:
    """open -> derolled, under the lock; None: it happened before.

    `unless` is raised instead where there is something to move. Raises `NotIn`.
    """
    reread(session, enrolment)  # the caller may have loaded it before the lock
    from_: EnrolmentStatus = enrolment.status
    if from_ is DEROLLED:
        return None
    allowed = (ENROLLED,) if event == "derolled" else (WAITLIST, INVITED)
    if from_ not in allowed:
        raise NotIn
    if unless is not None:
        raise unless
    move(  # sure to win: read under the lock
        session,
        enrolment,
        from_,
        DEROLLED,
        invite_planned_at=None,
        ical_sequence=NEXT_SEQUENCE,
    )
    if from_ is INVITED:
        plan.drop_expiry(session, [enrolment.id])
    code = reason or ("removed" if actor.staff else REASONS[event])
    seq = history.record(
        session, enrolment, event, from_, DEROLLED, actor, now, reason=code, note=note, data=data
    )
    return Left(from_, seq)


def _place(
    session: Session,
    training: Training,
    student: Applicant,
    row: TrainingEnroll | None,
    to: EnrolmentStatus,
    changes: dict[str, Any],
) -> tuple[TrainingEnroll, EnrolmentStatus | None]:
    """A new row, or the old one moved: one row per student and training, for ever (WE1)."""
    changes = changes | {"ical_sequence": NEXT_SEQUENCE}
    if row is not None:
        from_ = row.status
        move(session, row, from_, to, **changes)  # sure to win: read under the lock
        return row, from_
    born = changes | {"training_id": training.id, "student_id": student.id, "status": to}
    insert_many(session, TrainingEnroll, [born | {"ical_sequence": 0}])
    which = {"training": training.id, "student": student.id}
    return session.scalars(_the_row(), which).one(), None


@cache
def _the_row() -> sa.Select[Any]:
    e = TrainingEnroll
    of = sa.and_(e.training_id == sa.bindparam("training"), e.student_id == sa.bindparam("student"))
    return sa.select(e).where(of)


def _terms(accepted: bool, now: datetime) -> dict[str, Any]:
    return {"terms_accepted_at": now} if accepted else {}


# --- who may -------------------------------------------------------------------------------------


class Applicant(NamedTuple):
    """What enrolling needs to know of a student."""

    id: int
    user_id: int
    status: PersonStatus
    account_active: bool
    first_name: str
    last_name: str

    @property
    def active(self) -> bool:
        return self.status is PersonStatus.ACTIVE and self.account_active

    @property
    def profile_complete(self) -> bool:
        return bool(self.first_name and self.last_name)


def _applicant(
    session: Session,
    training: Training,
    student_id: int,
    actor: Actor,
    *,
    alone: bool = False,
) -> tuple[Applicant, TrainingEnroll | None]:
    """The student, of the training's practice, with their row here, if any.

    Their row is shared until the commit: who is erased meanwhile comes in before, and is taken out,
    or is seen as erased (WT7). `alone`: it is ours, so that of two trainings which one student
    joins at once the second sees the first (WP2); everybody takes it after the training (L3).
    Only staff see others than themselves. Raises `NotFound`.
    """
    which = {"student": student_id, "practice": training.practice_id, "training": training.id}
    asked = _the_applicant_alone() if alone else _the_applicant()
    found = session.execute(asked, which).one_or_none()
    if found is not None:
        *facts, row = found
        student = Applicant(*facts)
        if actor.staff or actor.user_id in (None, student.user_id):
            return student, row
    raise NotFound(what="student", id=student_id)


@cache
def _the_applicant() -> Any:
    e, s = TrainingEnroll, Student
    here = sa.and_(e.student_id == s.id, e.training_id == sa.bindparam("training"))
    of_practice = s.practice_id == sa.bindparam("practice")
    return (
        sa.select(s.id, s.user_id, s.status, User.active, User.first_name, User.last_name, e)
        .join(User, User.id == s.user_id)
        .outerjoin(e, here)
        .where(s.id == sa.bindparam("student"), of_practice)
        .with_for_update(read=True, of=s)
        .execution_options(populate_existing=True)
    )


@cache
def _the_applicant_alone() -> Any:
    return _the_applicant().with_for_update(key_share=True, of=Student)


def _require_bookable(stand: Standing, student: Applicant, actor: Actor, terms: bool) -> None:
    if not stand.is_open:
        raise NotOpen
    _require_active(student)
    if actor.staff:
        return
    if not student.profile_complete:
        raise ProfileIncomplete
    if not terms:
        raise TermsNotAccepted


def _above_limit(
    session: Session,
    stand: Standing,
    limits: Sequence[policies.Limit],
    student: Applicant,
    actor: Actor,
) -> dict[str, Any] | None:
    """What the history says of a booking above a limit, which only staff make (WP2).

    Raises `LimitReached`.
    """
    over = policies.too_many(session, stand, limits, [student.id]).get(student.id)
    if over is None:
        return None
    if not actor.staff:
        raise policies.LimitReached(over)
    return {"above_limit": over.facts}


def _require_active(student: Applicant) -> None:
    if not student.active:
        raise StudentInactive


def _over(session: Session, training_id: int, now: datetime) -> bool:
    last_end = session.scalar(
        sa.select(sa.func.max(TrainingEvent.end_time)).where(
            TrainingEvent.training_id == training_id
        )
    )
    return last_end is not None and last_end <= now
