"""What staff may do against the order of the line: skip, pause, keep places back (waitlist WO).

Each with a reason of 5 to 500 characters in the history; whatever lets people in again refills.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.models.enrolment import TAKING, WAITLIST, TrainingEnroll
from app.models.queue import standing
from app.models.training import Training
from app.services import history, policies, waitlist
from app.services.actors import Actor
from app.services.locks import locked
from app.services.refusals import Refusal, a_reason
from app.services.scope import within
from app.services.transitions import reread


class NoSuchPlaces(Refusal):
    """Only free places can be kept back, only kept ones released."""

    code = "no_such_places"
    sentence = _l("There are only %(count)s such places.")


class NotAhead(Refusal):
    """Passing someone over until an instant that has come passes nobody over."""

    code, status = "not_ahead", 400
    sentence = _l("Give a moment that is still to come.")


class HasNoPlace(Refusal):
    """Who neither has a place nor is offered one pays nothing."""

    code = "has_no_place"
    sentence = _l("This student has no place to pay for.")


def skip(
    session: Session,
    enrolment: TrainingEnroll,
    actor: Actor,
    now: datetime,
    reason: str | None,
    *,
    until: datetime | None = None,
) -> None:
    """Pass a waiting student over, for good or `until` an instant; the place in line is kept.

    Raises `NotFound`, `NotWaiting`, `NotAhead`, `ReasonNeeded`.
    """
    if until is not None and until <= now:
        raise NotAhead
    _passing(session, enrolment, "skipped", actor, now, reason, until is None, until)


def unskip(
    session: Session,
    enrolment: TrainingEnroll,
    actor: Actor,
    now: datetime,
    reason: str | None,
) -> None:
    """The student's turn counts again; whoever is first is invited. Raises as `skip`."""
    training = _passing(session, enrolment, "unskipped", actor, now, reason, False, None)
    waitlist.refill(session, training, now)
    reread(session, enrolment)


def _passing(
    session: Session,
    enrolment: TrainingEnroll,
    event: str,
    actor: Actor,
    now: datetime,
    reason: str | None,
    skipped: bool,
    not_before: datetime | None,
) -> Training:
    note = a_reason(reason)
    training = within(actor, locked(session, Training, enrolment.training_id))
    reread(session, enrolment)
    if enrolment.status is not WAITLIST:
        raise waitlist.NotWaiting
    if (enrolment.skipped, enrolment.not_before) == (skipped, not_before):
        return training
    enrolment.skipped, enrolment.not_before = skipped, not_before
    enrolment.version += 1
    data = {"until": not_before.isoformat()} if not_before else None
    history.note(session, enrolment, event, actor, now, note=note, data=data)
    return training


def pause_list(
    session: Session, training_id: int, actor: Actor, now: datetime, reason: str | None
) -> None:
    """Nobody is invited, newcomers queue, open invitations run on. Raises `ReasonNeeded`."""
    _set_paused(session, training_id, True, "paused", actor, now, reason)


def resume_list(
    session: Session, training_id: int, actor: Actor, now: datetime, reason: str | None
) -> list[str]:
    """Invitations go on; returns the uuids of those invited at once. Raises `ReasonNeeded`."""
    training = _set_paused(session, training_id, False, "resumed", actor, now, reason)
    return waitlist.refill(session, training, now).invited


def _set_paused(
    session: Session,
    training_id: int,
    paused: bool,
    event: str,
    actor: Actor,
    now: datetime,
    reason: str | None,
) -> Training:
    note = a_reason(reason)
    training = within(actor, locked(session, Training, training_id))
    if training.waitlist_paused is not paused:
        training.waitlist_paused = paused
        history.note_training(session, training, event, actor, now, note=note)
    return training


def keep_spots(
    session: Session,
    training_id: int,
    count: int,
    actor: Actor,
    now: datetime,
    reason: str | None,
) -> None:
    """Keep free places back, for staff to give by invitation or force (WO3).

    Raises `NoSuchPlaces` if fewer are free, `ReasonNeeded`.
    """
    note = a_reason(reason)
    training = within(actor, locked(session, Training, training_id))
    free = standing(session, training, now).free
    _change_kept(session, training, count, free, "kept", actor, now, note)


def release_spots(
    session: Session,
    training_id: int,
    count: int,
    actor: Actor,
    now: datetime,
    reason: str | None,
) -> list[str]:
    """Give kept places back to the line; returns the uuids invited. Raises as `keep_spots`."""
    note = a_reason(reason)
    training = within(actor, locked(session, Training, training_id))
    kept = training.seats_kept
    _change_kept(session, training, count, kept, "released", actor, now, note)
    return waitlist.refill(session, training, now).invited


def _change_kept(
    session: Session,
    training: Training,
    count: int,
    most: int,
    event: str,
    actor: Actor,
    now: datetime,
    note: str,
) -> None:
    if not 1 <= count <= most:
        raise NoSuchPlaces(count=most)
    training.seats_kept += count if event == "kept" else -count
    data: dict[str, Any] = {"count": count, "kept": training.seats_kept}
    history.note_training(session, training, event, actor, now, note=note, data=data)


def waive_limit(session: Session, training: Training, actor: Actor, now: datetime) -> bool:
    """Nobody is kept from a free place by a booking limit, until it is taken (waitlist WB).

    For who holds the lock. Says whether that changes anything; twice is once.
    """
    if training.limit_waived_at is not None or not policies.limits_on(session, training):
        return False
    training.limit_waived_at = now
    history.note_training(session, training, "limit-waived", actor, now)
    return True


def restore_limit(
    session: Session, training_id: int, actor: Actor, now: datetime, reason: str | None
) -> None:
    """The booking limit holds again, free place or not. Twice is once. Raises `ReasonNeeded`."""
    note = a_reason(reason)
    training = within(actor, locked(session, Training, training_id))
    if training.limit_waived_at is not None:
        training.limit_waived_at = None
        history.note_training(session, training, "limit-restored", actor, now, note=note)


def mark_paid(
    session: Session, enrolment: TrainingEnroll, paid: bool, actor: Actor, now: datetime
) -> None:
    """Note that someone with a place, or offered one, has paid, or has not after all (people PT3).

    Twice is once. Raises `NotFound`, `HasNoPlace`.
    """
    within(actor, locked(session, Training, enrolment.training_id))
    reread(session, enrolment)
    if enrolment.status not in TAKING:
        raise HasNoPlace
    if enrolment.paid is not paid:
        enrolment.paid = paid
        enrolment.version += 1
        history.note(session, enrolment, "paid" if paid else "unpaid", actor, now)


def note_export(session: Session, training_id: int, actor: Actor, now: datetime) -> None:
    """Somebody takes the list of attendees away: who did stays in the history (people PT5)."""
    training = within(actor, locked(session, Training, training_id))
    history.note_training(session, training, "exported", actor, now)
