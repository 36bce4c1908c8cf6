"""The life of an enrolment in the line, top to bottom.

            enrol (seat free, nobody waits) ────────────────► enrolled ──deroll──► derolled ──┐
student ──► enrol (full) ──► waitlist ──invite──► waitlist-invited ──accept──► enrolled       │
                                ▲                     ├──decline──► waitlist-declined ────────┤
                                └── re-enable (tail)  └──expire───► waitlist-invite-expired ──┤
                                                                                              ▼
                                                                                   fill_open_spots

An invited student holds a spot. Whatever may free a spot ends in `fill_open_spots`, in the same
transaction. Every verb goes in this order: lock the training, move by a guarded UPDATE, write
history, promise letters, change jobs, refill. Enrolling and leaving stand in `enrolments.py`, how
long an invited student has to answer in `deadline.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from app.models.automation import AutomationSchedule
from app.models.bulk import among, composed, send
from app.models.enrolment import (
    DECLINED,
    ENROLLED,
    EXPIRED,
    INVITED,
    WAITLIST,
    TrainingEnroll,
)
from app.models.enrolment_history import EnrolmentHistory
from app.models.outbox import failing_invitations
from app.models.person import PersonStatus, Student
from app.models.queue import (
    NOW,
    Standing,
    clock,
    eligible,
    obstacle,
    reachable,
    standing,
    starts_at,
    waiting,
)
from app.models.rules import Environment, Rules, rules_of
from app.models.training import Training
from app.models.types import UtcDateTime
from app.models.user import User, UserSettings
from app.services import history, invitations, letters, plan
from app.services.actors import SYSTEM, Actor
from app.services.ledger import next_position, settle
from app.services.locks import locked
from app.services.refusals import Refusal, a_reason
from app.services.scope import require_own, within
from app.services.transitions import NEXT_SEQUENCE, PLACE, Place, move, place_of, reread


class Answer(StrEnum):
    """What became of a student's answer; each face says it in its own way (STYLE R12)."""

    ENROLLED = "enrolled"
    ALREADY_ENROLLED = "already_enrolled"
    DECLINED = "declined"
    ALREADY_DECLINED = "already_declined"
    TOO_LATE = "too_late"
    WITHDRAWN = "withdrawn"  # back on the list
    SUPERSEDED = "superseded"  # there is a newer invitation
    NOT_OPEN = "not_open"  # training closed or started, account inactive, left


class NotInvited(Refusal):
    """Only an open invitation can be ended or taken back."""

    code = "not_invited"
    sentence = _l("This student has no open invitation.")


class NotWaiting(Refusal):
    """Only who waits can be invited, planned or skipped."""

    code = "not_waiting"
    sentence = _l("This student is not on the waitlist.")


class NoFreeSpot(Refusal):
    """An invitation needs a place to offer."""

    code = "no_free_spot"
    sentence = _l("No place is free. Raise the capacity, or force the student in with a reason.")


class CannotBeInvited(Refusal):
    """An obstacle that no reason overrides: a code of WD4, or `closed`, `paused`."""

    code = "cannot_be_invited"
    sentence = _l("This student cannot be invited now: %(code)s.")


class Unreachable(Refusal):
    """Who cannot be told of a free place cannot wait for one (WE2 2)."""

    code = "unreachable"
    sentence = _l("Switch letters on and give a valid address: we could not tell you of a place.")


# --- joining the line --------------------------------------------------------------------------


def re_enable(
    session: Session,
    enrolment: TrainingEnroll,
    actor: Actor,
    now: datetime,
    *,
    data: dict[str, Any] | None = None,
) -> bool:
    """Back to the tail after declining or running out (WE2 3); False: nothing to do.

    Whether the training is open to this student, `enrolments.enrol` has checked.
    Raises `Unreachable`.
    """
    training = within(actor, locked(session, Training, enrolment.training_id))
    reread(session, enrolment)
    from_ = enrolment.status
    if from_ not in (EXPIRED, DECLINED):
        return False
    require_reachable(session, enrolment.student_id)
    seq = rejoin(session, enrolment, actor, now, data=data)
    letters.waitlisted(session, place_of(enrolment), seq, now)
    refill(session, training, now)
    reread(session, enrolment)  # it may have been invited at once
    return True


def rejoin(
    session: Session,
    enrolment: TrainingEnroll,
    actor: Actor,
    now: datetime,
    *,
    data: dict[str, Any] | None = None,
) -> int:
    """The row alone goes back to the tail, under the lock; returns its number in the history."""
    from_, tail = enrolment.status, at_the_tail(session, enrolment.training_id, now)
    move(session, enrolment, from_, WAITLIST, **tail)  # sure to win: read under the lock
    return history.record(session, enrolment, "re-enabled", from_, WAITLIST, actor, now, data=data)


def at_the_tail(session: Session, training_id: int, now: datetime) -> dict[str, Any]:
    """What a row gets that joins the line, or joins it again."""
    return afresh(now) | {
        "queue_position": next_position(session, training_id),
        "ical_sequence": NEXT_SEQUENCE,
    }


def afresh(now: datetime) -> dict[str, Any]:
    """Who comes, or comes back, starts with a clean row (WE1)."""
    return {
        "joined_at": now,
        "skipped": False,
        "not_before": None,
        "missed_invites": 0,
        "invite_planned_at": None,
    }


def require_reachable(session: Session, student_id: int) -> None:
    """Raises `Unreachable`."""
    if not session.scalar(_can_be_told(rules_of(session)), {"student": student_id}):
        raise Unreachable


@composed
def _can_be_told(rules: Rules) -> sa.Select[Any]:
    return (
        sa.select(reachable(rules))
        .select_from(Student)
        .join(User, User.id == Student.user_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .where(Student.id == sa.bindparam("student"))
    )


# --- refill --------------------------------------------------------------------------------------


def fill_open_spots(session: Session, training_id: int, now: datetime) -> list[str]:
    """Invite as many as there are free spots, first in line first; return their uuids.

    Twice is harmless: what is free is counted, not remembered (L4). The number of statements does
    not depend on how many are invited.
    """
    return refill(session, locked(session, Training, training_id), now).invited


@dataclass(frozen=True)
class Refill:
    """What a refill did, and what it left."""

    invited: list[str]  # uuids, first in line first
    free: int  # places still free
    someone_waits: bool  # an eligible person is left: no newcomer may pass (WF4)


def refill(
    session: Session, training: Training, now: datetime, stand: Standing | None = None
) -> Refill:
    """`fill_open_spots` for who holds the lock.

    Who has just counted gives the `stand`, and settles the ledger afterwards if nobody was invited.
    """
    counted, stand = stand is not None, stand or standing(session, training, now)
    line = next_in_line(session, stand, stand.to_invite)
    batch = line[: stand.rules.batch_size or len(line)]
    at_once, later = _staggered(batch, stand)
    invited = invitations.make(session, stand, [place.id for place in at_once], SYSTEM)
    invitations.hold_for_later(session, later, SYSTEM, now)
    if at_once or not counted:
        settle(session, training, takes_spot=bool(at_once))
    someone_waits = len(line) > len(batch)
    if stand.free and not stand.invites and stand.before_hard_stop:
        someone_waits = bool(next_in_line(session, stand, 1))
    return Refill([place.uuid for place in invited], stand.free - len(batch), someone_waits)


def next_in_line(session: Session, stand: Standing, count: int) -> list[Place]:
    """The first `count` who may be invited now, first in line first."""
    if count < 1 or not stand.waiting:
        return []
    asked = clock(stand.rules, stand.now) | {"training": stand.training.id, "count": count}
    return [Place(*row) for row in send(session, _line(stand.rules), asked)]


@composed
def _line(rules: Rules) -> sa.Select[Any]:
    of, count = (sa.bindparam(name, type_=sa.Integer) for name in ("training", "count"))
    return eligible(of, rules, *PLACE).limit(count)


def _staggered(batch: list[Place], stand: Standing) -> tuple[list[Place], dict[Place, datetime]]:
    """Whom to invite now, and whom when: one after another if so configured (WF8)."""
    if not stand.rules.stagger:
        return batch, {}
    later = enumerate(batch[1:], start=1)
    return batch[:1], {place: stand.now + n * stand.rules.stagger for n, place in later}


def freed(
    session: Session,
    training: Training,
    actor: Actor,
    now: datetime,
    *,
    keep_place: bool = False,
    note: str | None = None,
) -> None:
    """A place may be free: refill, or keep it back for staff to give, with the reason (WO3)."""
    if not keep_place:
        refill(session, training, now)
        return
    _change_kept(session, training, 1, "kept", actor, now, a_reason(note))
    settle(session, training, takes_spot=False)


def use_kept(
    session: Session,
    training: Training,
    actor: Actor,
    now: datetime,
    note: str | None,
    count: int = 1,
) -> None:
    """Places that were kept back are given to people: they are kept no more (WO3)."""
    _change_kept(session, training, -count, "kept-used", actor, now, note)


def _change_kept(
    session: Session,
    training: Training,
    by: int,
    event: str,
    actor: Actor,
    now: datetime,
    note: str | None,
) -> None:
    training.seats_kept += by
    data = {"count": abs(by), "kept": training.seats_kept}
    history.note_training(session, training, event, actor, now, note=note, data=data)


# --- invitations by staff ------------------------------------------------------------------------


def invite(
    session: Session,
    enrolment: TrainingEnroll,
    actor: Actor,
    now: datetime,
    *,
    reason: str | None = None,
    schedule_expiry: bool = True,
) -> None:
    """Offer this waiting student a place now; a kept place will do (WE2 4, WO2, WO3).

    Who is not first in line needs a reason, so does who is skipped or rate-limited.
    `schedule_expiry=False` exempts the invitation from running out before the hard stop (WI4).
    Raises `NotFound`, `NotWaiting`, `NoFreeSpot`, `CannotBeInvited`, `ReasonNeeded`.
    """
    training = within(actor, locked(session, Training, enrolment.training_id))
    reread(session, enrolment)
    if enrolment.status != WAITLIST:
        raise NotWaiting
    stand = standing(session, training, now)
    _require_inviting(stand)
    own = enrolment.seats if enrolment.invite_planned_at else 0  # a plan holds its own place
    first = is_next(session, stand, enrolment)
    room = stand.spare + own
    if room < 1:
        raise NoFreeSpot
    note = a_reason(reason) if reason or not first else None
    if room <= training.seats_kept:
        use_kept(session, training, actor, now, note)
    invitations.make(
        session,
        stand,
        [enrolment.id],
        actor,
        schedule_expiry=schedule_expiry,
        note=note,
    )
    settle(session, training, takes_spot=True)
    reread(session, enrolment)


def _require_inviting(stand: Standing) -> None:
    if not stand.is_open:
        raise CannotBeInvited(code="closed")
    if stand.training.waitlist_paused:
        raise CannotBeInvited(code="paused")
    if not stand.before_hard_stop:
        raise CannotBeInvited(code="too-late")


def is_next(session: Session, stand: Standing, enrolment: TrainingEnroll) -> bool:
    """Whether nobody who may be invited stands before this row, which may be planned already.

    Raises `CannotBeInvited`.
    """
    code = obstacle(stand.rules, planned=False).label("code")
    own_row = waiting(stand.training.id, code).where(TrainingEnroll.id == enrolment.id)
    why_not = session.execute(own_row, clock(stand.rules, stand.now)).scalar_one()
    if why_not in ("inactive", "unreachable"):
        raise CannotBeInvited(code=why_not)
    others = next_in_line(session, stand, 1)
    return why_not is None and not any(_stands_before(other, enrolment) for other in others)


def _stands_before(place: Place, enrolment: TrainingEnroll) -> bool:
    return (place.queue_position or 0) < (enrolment.queue_position or 0)


def deinvite(
    session: Session,
    enrolment: TrainingEnroll,
    actor: Actor,
    now: datetime,
    reason: str | None,
    *,
    keep_place: bool = False,
) -> None:
    """End an open invitation now, with a reason; the next in line is invited (WE2 8).

    Twice is once. Raises `NotFound`, `NotInvited`, `ReasonNeeded`.
    """
    note = a_reason(reason)
    training = within(actor, locked(session, Training, enrolment.training_id))
    if invitations.end(session, [enrolment.id], "deinvited", actor, now, note=note):
        freed(session, training, actor, now, keep_place=keep_place, note=note)
    else:
        _require_done_before(session, enrolment, "deinvited")
    reread(session, enrolment)


def _require_done_before(
    session: Session, enrolment: TrainingEnroll, event: str, **left_with: Any
) -> None:
    """An act repeated is the same success (WD5), if it is what ended the invitation.

    Raises `NotInvited`: the student answered first, or never was invited.
    """
    reread(session, enrolment)
    as_left = all(getattr(enrolment, name) == value for name, value in left_with.items())
    last = sa.select(EnrolmentHistory.event).where(
        EnrolmentHistory.enrolment_id == enrolment.id,
        EnrolmentHistory.from_status != EnrolmentHistory.to_status,
    )
    latest = session.scalar(last.order_by(EnrolmentHistory.seq.desc()).limit(1))
    if latest != event or not as_left:
        raise NotInvited


def return_to_list(
    session: Session,
    enrolment: TrainingEnroll,
    actor: Actor,
    now: datetime,
    reason: str | None,
    *,
    not_before: datetime | None = None,
    silent: bool = False,
    keep_place: bool = False,
) -> None:
    """Take an invitation back; the student keeps the same position (WE2 9).

    The row is passed over until staff say otherwise, or until `not_before`: else the refill would
    invite it again at once. Twice is once.
    Raises `NotFound`, `NotInvited`, `ReasonNeeded`.
    """
    note = a_reason(reason)
    training = within(actor, locked(session, Training, enrolment.training_id))
    next_time: dict[str, Any] = {
        "skipped": not_before is None,
        "not_before": not_before,
    }
    if invitations.withdraw(
        session, [enrolment.id], actor, now, note=note, silent=silent, **next_time
    ):
        freed(session, training, actor, now, keep_place=keep_place, note=note)
    else:
        _require_done_before(session, enrolment, "returned", **next_time)
    reread(session, enrolment)


# --- answers -------------------------------------------------------------------------------------


def accept(
    session: Session,
    enrolment: TrainingEnroll,
    actor: Actor,
    now: datetime,
    *,
    invite_no: int | None = None,
) -> Answer:
    """Take the place that was offered (WE2 5); `invite_no` is the invitation a link spoke of.

    Raises `NotFound` for another student's row.
    """
    require_own(enrolment, actor)
    within(actor, locked(session, Training, enrolment.training_id))
    # The deadline stands in the WHERE: a late sweep never lets a late student in.
    if move(
        session,
        enrolment,
        INVITED,
        ENROLLED,
        where=_answerable(invite_no is not None),
        given={"now": now, "asked": invite_no},
        ical_sequence=NEXT_SEQUENCE,
    ):
        history.record(session, enrolment, "accepted", INVITED, ENROLLED, actor, now)
        letters.accepted(session, place_of(enrolment), now)
        plan.drop_expiry(session, [enrolment.id])
        return Answer.ENROLLED
    return _why_not(enrolment, now, invite_no)


def decline(
    session: Session,
    enrolment: TrainingEnroll,
    actor: Actor,
    now: datetime,
    *,
    invite_no: int | None = None,
    keep_place: bool = False,
    reason: str | None = None,
) -> Answer:
    """Give the offered place back; the next in line is invited (WE2 6). Staff may be late.

    Keeping the place takes a reason. Raises `NotFound` for another student's row, `ReasonNeeded`.
    """
    require_own(enrolment, actor)
    note = a_reason(reason) if reason or keep_place else None
    training = within(actor, locked(session, Training, enrolment.training_id))
    if move(
        session,
        enrolment,
        INVITED,
        DECLINED,
        where=_declinable(not actor.staff, invite_no is not None),
        given={"now": now, "asked": invite_no},
        ical_sequence=NEXT_SEQUENCE,
    ):
        history.record(session, enrolment, "declined", INVITED, DECLINED, actor, now, note=note)
        letters.declined(session, place_of(enrolment), now)
        plan.drop_expiry(session, [enrolment.id])
        freed(session, training, actor, now, keep_place=keep_place, note=note)
        return Answer.DECLINED
    return _why_not(enrolment, now, invite_no)


THIS_INVITATION = TrainingEnroll.invite_no == sa.bindparam("asked", type_=sa.Integer)


@cache
def _answerable(this_one: bool) -> ColumnElement[bool]:
    """In time, the training open, the student active: what an acceptance needs (WE2 5)."""
    begins = starts_at(TrainingEnroll.training_id)
    bookable = sa.exists().where(
        Training.id == TrainingEnroll.training_id,  # else SQLite reads them all
        Training.active,
        Training.cancelled_at.is_(None),
        Training.archived_at.is_(None),
    )
    active = sa.exists().where(
        Student.id == TrainingEnroll.student_id,
        User.id == Student.user_id,
        Student.status == PersonStatus.ACTIVE,
        User.active,
    )
    return sa.and_(
        TrainingEnroll.open_at(NOW),
        sa.or_(begins.is_(None), begins > NOW),
        bookable,
        active,
        *([THIS_INVITATION] if this_one else []),
    )


@cache
def _declinable(in_time: bool, this_one: bool) -> ColumnElement[bool]:
    return sa.and_(
        sa.true(),
        *([TrainingEnroll.open_at(NOW)] if in_time else []),
        *([THIS_INVITATION] if this_one else []),
    )


def _why_not(enrolment: TrainingEnroll, now: datetime, invite_no: int | None) -> Answer:
    """What the row says, now that the answer has moved nothing."""
    if invite_no is not None and invite_no != enrolment.invite_no:
        return Answer.SUPERSEDED
    if enrolment.status is INVITED:
        deadline = enrolment.invite_expires_at
        return Answer.TOO_LATE if deadline and deadline <= now else Answer.NOT_OPEN
    return {
        ENROLLED: Answer.ALREADY_ENROLLED,
        DECLINED: Answer.ALREADY_DECLINED,
        EXPIRED: Answer.TOO_LATE,
        WAITLIST: Answer.WITHDRAWN,
    }.get(enrolment.status, Answer.NOT_OPEN)


# --- expiry --------------------------------------------------------------------------------------


def expire(
    session: Session,
    enrolment: TrainingEnroll,
    actor: Actor,
    now: datetime,
    *,
    as_of: datetime | None = None,
) -> bool:
    """End this invitation if its deadline has come; False: the student answered first (WE2 7)."""
    ended = expire_overdue(
        session,
        enrolment.training_id,
        now,
        actor=actor,
        as_of=as_of,
        only=[enrolment.id],
    )
    reread(session, enrolment)
    return bool(ended)


def expire_overdue(
    session: Session,
    training_id: int,
    now: datetime,
    *,
    actor: Actor = SYSTEM,
    as_of: datetime | None = None,
    only: Sequence[int] | None = None,
) -> list[str]:
    """End the overdue invitations of a training and refill it; return the uuids that ended.

    What stands at `end_overdue` holds.
    """
    training = within(actor, locked(session, Training, training_id))
    ended = end_overdue(session, training, now, actor=actor, as_of=as_of, only=only)
    refill(session, training, now)
    return [place.uuid for place in ended]


def end_overdue(
    session: Session,
    training: Training,
    now: datetime,
    *,
    actor: Actor = SYSTEM,
    as_of: datetime | None = None,
    only: Sequence[int] | None = None,
) -> list[Place]:
    """End the overdue invitations of a training for who holds its lock, and refills it afterwards.

    `as_of` is the instant deadlines are compared with: `now`, but in DEVELOPMENT the due time of
    the job (WA9). What a schedule granted ends only while it works, or past the hard stop; so does
    an invitation whose letter fails (WI8: `deadline_changes.postpone_failing` gives it new time).
    """
    at = as_of or now
    stand = standing(session, training, now)
    all_end = stand.hard_stop is not None and stand.hard_stop <= at
    asked = {"training": training.id, "overdue_at": at, "only": only}
    ids = list(send(session, _ending(all_end, only is not None), asked).scalars())
    if not all_end:
        wait = _waiting_for_their_letter(session, ids, stand)
        ids = [id_ for id_ in ids if id_ not in wait]
    overdue, given = _overdue(all_end), {"overdue_at": at}
    return invitations.end(session, ids, "expired", actor, now, where=overdue, given=given)


@cache
def _overdue(all_end: bool) -> ColumnElement[bool]:
    """What ends at `overdue_at`; past the hard stop all that is overdue does."""
    overdue = TrainingEnroll.overdue_at(sa.bindparam("overdue_at", type_=UtcDateTime))
    return overdue if all_end else sa.and_(overdue, expires_at_deadline())


@cache
def _ending(all_end: bool, of_some: bool) -> sa.Select[Any]:
    """Their ids, first in line first."""
    e = TrainingEnroll
    which = sa.select(e.id).where(
        e.training_id == sa.bindparam("training"), e.status == INVITED, _overdue(all_end)
    )
    if of_some:
        which = which.where(among(e.id, "only"))
    return which.order_by(e.queue_position)


def expires_at_deadline() -> ColumnElement[bool]:
    """What a schedule granted ends while it works; else only at the hard stop (WI5)."""
    works = sa.select(AutomationSchedule.id).where(AutomationSchedule.works())
    granted_by = TrainingEnroll.invite_schedule_id
    return sa.or_(granted_by.is_(None), granted_by.in_(works))


def _waiting_for_their_letter(session: Session, ids: Sequence[int], stand: Standing) -> set[int]:
    """Nobody runs out of time over a letter that we could not send (WI8)."""
    if not ids or stand.rules.environment is Environment.DEVELOPMENT:
        return set()
    return failing_invitations(session, ids, stand.now)
