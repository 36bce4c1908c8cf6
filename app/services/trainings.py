"""Changes to a training: one transaction each, the training locked (waitlist WT1–WT4, WO4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.models.enrolment import (
    DEROLLED,
    INVITED,
    OPEN,
    WAITLIST,
    EnrolmentStatus,
    TrainingEnroll,
)
from app.models.enrolment_history import EnrolmentHistory
from app.models.queue import standing
from app.models.training import MOST_PARTICIPANTS, Location, Training, TrainingEvent
from app.services import deadline_changes, history, invitations, letters, plan, waitlist
from app.services.actors import Actor
from app.services.ledger import settle
from app.services.locks import locked
from app.services.refusals import Refusal, a_reason
from app.services.scope import within
from app.services.transitions import NEXT_SEQUENCE, PLACE, Place, move_many


class TrainingClosed(Refusal):
    """Cancelling is final, and what is archived is over (WT1)."""

    code = "training_closed"
    sentence = _l("This training is cancelled or archived.")


class NotOver(Refusal):
    """Only what is over, or cancelled, is put away (WE2 14)."""

    code = "not_over"
    sentence = _l("This training is not over yet.")


class HasHistory(Refusal):
    """A training that people were in is kept (WT4)."""

    code = "has_history"
    sentence = _l("People have been in this training: cancel or archive it instead.")


ONLY_HISTORY = _l(
    "Nobody was in this training, but what was decided about it is in the history, which is kept:"
    " cancel or archive it instead."
)


class BadCapacity(Refusal):
    """A number of places that no training has."""

    code, status = "bad_capacity", 400
    sentence = _l("The number of places is from 0 to %(most)s.")


class BelowTaken(Refusal):
    """A capacity below the places taken asks for a decision (WO4)."""

    code = "below_taken"
    sentence = _l(
        "%(taken)s places are taken, %(invited)s of them by invitation only: withdraw the newest"
        " invitations, or stay overbooked."
    )


class BadEvent(Refusal):
    """A meeting that ends before it starts, is named twice or belongs elsewhere."""

    code, status = "bad_event", 400
    sentence = _l(
        "Each meeting starts before it ends, is named once and is held at a place of this practice."
    )


# --- open and closed -----------------------------------------------------------------------------


def activate(session: Session, training_id: int, actor: Actor, now: datetime) -> list[str]:
    """Open for booking: jobs are planned, the line is served; returns the uuids invited (WT2).

    Raises `TrainingClosed`.
    """
    training = _open_ended(session, training_id, actor)
    if training.active:
        return []
    training.active = True
    history.note_training(session, training, "activated", actor, now)
    plan.training_jobs(session, training, now)
    return waitlist.refill(session, training, now).invited


def deactivate(
    session: Session,
    training_id: int,
    actor: Actor,
    now: datetime,
    *,
    note: str | None = None,
) -> None:
    """No booking; the enrolled stay, invited students go back to their place in line (WT2)."""
    training = _open_ended(session, training_id, actor)
    if not training.active:
        return
    training.active = False
    history.note_training(session, training, "deactivated", actor, now, note=note)
    withdraw_all(session, training, actor, now, reason="deactivated")
    plan.training_jobs(session, training, now)


def withdraw_all(
    session: Session, training: Training, actor: Actor, now: datetime, *, reason: str
) -> list[Place]:
    """Take all open invitations of a training back, not skipped (WT2, WF9)."""
    ids = [place.id for place in _places(session, training.id, INVITED)]
    places = invitations.withdraw(session, ids, actor, now, reason=reason)
    settle(session, training, takes_spot=False)
    return places


def cancel(
    session: Session, training_id: int, actor: Actor, now: datetime, reason: str | None
) -> None:
    """The training does not take place: everyone is told, every open row closed. Final (WT1).

    Twice is once. Raises `NotFound`, `ReasonNeeded`, `TrainingClosed` if it is archived.
    """
    note = a_reason(reason)
    training = within(actor, locked(session, Training, training_id))
    if training.cancelled_at is not None:
        return
    if training.archived_at is not None:
        raise TrainingClosed
    training.cancelled_at = now
    seq = history.note_training(session, training, "training-cancelled", actor, now, note=note)
    gone = _close_all(
        session,
        training,
        OPEN,
        "cancelled",
        actor,
        now,
        reason="training-cancelled",
        note=note,
    )
    letters.training_cancelled(session, training_id, gone, seq, now, reason=note)
    plan.training_jobs(session, training, now)


def archive(session: Session, training_id: int, actor: Actor, now: datetime) -> None:
    """Put a training that is over away: who still waits leaves silently (WE2 14).

    Enrolled rows stay as attendance. Twice is harmless. Raises `NotOver`.
    """
    training = within(actor, locked(session, Training, training_id))
    if training.archived_at is not None:
        return
    last_end = max((event.end_time for event in training.events), default=None)
    if training.cancelled_at is None and last_end is not None and last_end > now:
        raise NotOver
    training.archived_at = now
    history.note_training(session, training, "training-archived", actor, now)
    _close_all(
        session,
        training,
        (WAITLIST, INVITED),
        "archived",
        actor,
        now,
        reason="archived",
    )
    plan.drop_training_jobs(session, training)


def restore(session: Session, training_id: int, actor: Actor, now: datetime) -> None:
    """Bring a training back that was put away (waitlist WB); who left the list then has left it.

    Twice is harmless. Raises `NotFound`.
    """
    training = within(actor, locked(session, Training, training_id))
    if training.archived_at is None:
        return
    training.archived_at = None
    history.note_training(session, training, "training-restored", actor, now)
    plan.training_jobs(session, training, now)


def delete(session: Session, training_id: int, actor: Actor) -> None:
    """Remove a training nobody was ever in (WT4). Raises `NotFound`, `HasHistory`."""
    training = within(actor, locked(session, Training, training_id))
    for model, sentence in ((TrainingEnroll, None), (EnrolmentHistory, ONLY_HISTORY)):
        of_training = sa.select(model.id).where(model.training_id == training_id)
        if session.scalar(of_training.limit(1)) is not None:
            raise HasHistory(sentence)
    plan.drop_training_jobs(session, training)
    session.delete(training)
    session.flush()  # a row that still hangs on it is refused here, not at the commit


def _open_ended(session: Session, training_id: int, actor: Actor) -> Training:
    training = within(actor, locked(session, Training, training_id))
    if training.cancelled_at or training.archived_at:
        raise TrainingClosed
    return training


def _close_all(
    session: Session,
    training: Training,
    statuses: Sequence[EnrolmentStatus],
    event: str,
    actor: Actor,
    now: datetime,
    *,
    reason: str,
    note: str | None = None,
) -> list[Place]:
    gone: list[Place] = []
    for from_ in statuses:
        ids = [place.id for place in _places(session, training.id, from_)]
        places = move_many(
            session,
            ids,
            from_,
            DEROLLED,
            invite_planned_at=None,
            ical_sequence=NEXT_SEQUENCE,
        )
        history.record_many(
            session,
            places,
            event,
            from_,
            DEROLLED,
            actor,
            now,
            reason=reason,
            note=note,
        )
        if from_ is INVITED:
            plan.drop_expiry(session, ids)
        gone += places
    settle(session, training, takes_spot=False)
    return gone


def _places(session: Session, training_id: int, *statuses: EnrolmentStatus) -> list[Place]:
    rows = session.execute(
        sa.select(*PLACE)
        .where(
            TrainingEnroll.training_id == training_id,
            TrainingEnroll.status.in_(statuses),
        )
        .order_by(TrainingEnroll.queue_position, TrainingEnroll.id)
    )
    return [Place(*row) for row in rows]


# --- capacity ------------------------------------------------------------------------------------


class BelowTakenChoice(StrEnum):
    """What to do when fewer places are left than taken (WO4)."""

    WITHDRAW = "withdraw"  # the newest invitations
    OVERBOOK = "overbook"  # leave everyone in; nobody new until it fits


def set_capacity(
    session: Session,
    training_id: int,
    places: int,
    actor: Actor,
    now: datetime,
    *,
    choice: BelowTakenChoice | str | None = None,
    reason: str | None = None,
) -> list[str]:
    """Change the number of places; raised, it refills: returns the uuids invited (WO4).

    Below what is taken it takes a `choice` and a reason. Enrolled people are never dropped: what
    invitations don't cover stays overbooked.
    Raises `BadCapacity`, `BelowTaken`, `ReasonNeeded`, `TrainingClosed`.
    """
    if not 0 <= places <= MOST_PARTICIPANTS:
        raise BadCapacity(most=MOST_PARTICIPANTS)
    decided = BelowTakenChoice(choice) if choice else None  # a plain word means the same
    training = _open_ended(session, training_id, actor)
    before, note = training.max_participants, None
    if places == before:
        return []
    if places < before:
        note = _make_fit(session, training, places, actor, now, decided, reason)
    training.max_participants = places
    data = {"from": before, "to": places}
    history.note_training(session, training, "capacity", actor, now, note=note, data=data)
    return waitlist.refill(session, training, now).invited


def _make_fit(
    session: Session,
    training: Training,
    places: int,
    actor: Actor,
    now: datetime,
    choice: BelowTakenChoice | None,
    reason: str | None,
) -> str | None:
    """Prepare for fewer places; return the reason if that took one."""
    over = standing(session, training, now).taken - places
    if over <= 0:
        return None
    newest = _newest_invitations(session, training.id)
    if choice is None:
        raise BelowTaken(taken=over + places, invited=len(newest))
    note = a_reason(reason)
    if choice is BelowTakenChoice.WITHDRAW:
        over -= len(invitations.withdraw(session, newest[:over], actor, now, note=note))
        settle(session, training, takes_spot=False)  # the CHECK compares with what is left
    training.overbooked_by = max(training.overbooked_by, over)
    return note


def _newest_invitations(session: Session, training_id: int) -> list[int]:
    e = TrainingEnroll
    newest = (
        sa.select(e.id)
        .where(e.training_id == training_id, e.status == INVITED)
        .order_by(e.invite_date.desc(), e.queue_position.desc())
    )
    return list(session.scalars(newest))


def set_cutoff(
    session: Session, training_id: int, cutoff: timedelta | None, actor: Actor, now: datetime
) -> list[str]:
    """How long before the start invitations end; None: as the practice has it (waitlist WD3).

    Later deadlines are cut to the new last moment, and whoever may be invited again is.
    Raises `NotFound`, `TrainingClosed`.
    """
    training = within(actor, locked(session, Training, training_id))
    if training.invite_cutoff == cutoff:
        return []
    if training.cancelled_at or training.archived_at:
        raise TrainingClosed
    data = {"from": _length(training.invite_cutoff), "to": _length(cutoff)}
    training.invite_cutoff = cutoff
    session.flush()  # the standing below is counted in the database
    history.note_training(session, training, "cutoff", actor, now, data=data)
    stand = standing(session, training, now)
    deadline_changes.cut_to_hard_stop(session, stand, actor, tell=True)
    return waitlist.refill(session, training, now).invited


def _length(cutoff: timedelta | None) -> float | None:
    return cutoff.total_seconds() if cutoff is not None else None


# --- dates ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Meeting:
    """One event as it should be; without `id` it is new."""

    start_time: datetime
    end_time: datetime
    location_id: int | None = None
    id: int | None = None


@dataclass(frozen=True)
class Rescheduled:
    """What a new timetable did."""

    in_the_past: bool  # nothing of the change lies ahead: nobody was written to
    invited: list[str]


def reschedule(
    session: Session,
    training_id: int,
    meetings: Sequence[Meeting],
    actor: Actor,
    now: datetime,
    *,
    notify: bool = True,
) -> Rescheduled:
    """Replace the events of a training: deadlines, jobs and one letter per person follow (WT3).

    Events of `meetings` keep their row by `id`; those not named are removed. A deadline behind the
    new hard stop is cut to it; whom no letter tells of the new dates is told of that.
    Raises `NotFound`, `BadEvent`, `TrainingClosed`.
    """
    training = _open_ended(session, training_id, actor)
    before, stop = _timetable(training), standing(session, training, now).hard_stop
    _require_own_locations(session, training, meetings)
    removed = _gone(before, _replace_events(training, meetings))
    session.flush()  # new events need their ids, and the count below their times
    after = _timetable(training)
    if not removed and after == before:
        return Rescheduled(False, [])
    stand = standing(session, training, now)
    in_the_past = not _lies_ahead(before, after, now)
    notify = notify and not in_the_past
    stops = {"from": _iso(stop), "to": _iso(stand.hard_stop)}
    data = {"removed": removed, "notified": notify, "hard_stop": stops}
    gone = _removed_ever(session, training, removed)
    seq = history.note_training(session, training, "rescheduled", actor, now, data=data)
    deadline_changes.cut_to_hard_stop(session, stand, actor, tell=not notify and not in_the_past)
    if notify:
        people = _next_sequence(session, training_id)
        letters.training_rescheduled(session, training_id, people, seq, now, removed=gone)
    plan.training_jobs(session, training, now)
    return Rescheduled(in_the_past, waitlist.refill(session, training, now).invited)


Timetable = dict[int, tuple[datetime, datetime, int | None]]  # by event


def _timetable(training: Training) -> Timetable:
    return {e.id: (e.start_time, e.end_time, e.location_id) for e in training.events}


def _lies_ahead(before: Timetable, after: Timetable, now: datetime) -> bool:
    """Whether some day that was added, moved or removed is still to come (WT3).

    A course that runs has days behind it; what counts is where a changed day is now, and for one
    that is gone where it was.
    """
    changed = [new for id_, new in after.items() if new != before.get(id_)]
    changed += [old for id_, old in before.items() if id_ not in after]
    return any(start > now for start, _end, _location in changed)


def _iso(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None


def _replace_events(training: Training, meetings: Sequence[Meeting]) -> list[int]:
    """Bring the events in line; return the ids of those removed."""
    there = {event.id: event for event in training.events}
    named = [meeting.id for meeting in meetings if meeting.id is not None]
    each_once = len(set(named)) == len(named) and set(named) <= set(there)
    if any(m.start_time >= m.end_time for m in meetings) or not each_once:
        raise BadEvent
    for meeting in meetings:
        event = there[meeting.id] if meeting.id is not None else TrainingEvent()
        event.start_time, event.end_time = meeting.start_time, meeting.end_time
        event.location_id = meeting.location_id
        if meeting.id is None:
            training.events.append(event)
    removed = sorted(set(there) - set(named))
    for id_ in removed:
        training.events.remove(there[id_])
    return removed


def _require_own_locations(
    session: Session, training: Training, meetings: Sequence[Meeting]
) -> None:
    named = {m.location_id for m in meetings if m.location_id is not None}
    own = sa.select(Location.id).where(Location.practice_id == training.practice_id)
    if named and named - set(session.scalars(own)):
        raise BadEvent


Gone = list[int | str]  # id, start, end


def _gone(before: Timetable, ids: Sequence[int]) -> list[Gone]:
    """Days that were removed, with when they would have been: no row knows it any more."""
    return [[id_, *(at.isoformat() for at in before[id_][:2])] for id_ in ids]


def _removed_ever(session: Session, training: Training, removed: list[Gone]) -> list[Gone]:
    """The days to cancel in people's calendars: an earlier letter may never have gone out."""
    earlier = session.scalars(
        sa.select(EnrolmentHistory.data).where(
            EnrolmentHistory.training_id == training.id, EnrolmentHistory.event == "rescheduled"
        )
    )
    named = [day for data in earlier for day in (data or {}).get("removed", [])]
    known = [day if isinstance(day, list) else [day] for day in named] + removed
    there = {event.id for event in training.events}
    gone = {day[0]: day for day in known if day[0] not in there}
    return [gone[id_] for id_ in sorted(gone)]


def _next_sequence(session: Session, training_id: int) -> list[Place]:
    """Everyone with an open row, each with the calendar number of the letter to come (WM5)."""
    rows = session.execute(
        sa.update(TrainingEnroll)
        .where(TrainingEnroll.training_id == training_id, TrainingEnroll.status.in_(OPEN))
        .values(ical_sequence=NEXT_SEQUENCE)
        .returning(*PLACE)
        .execution_options(synchronize_session="fetch")
    )
    return sorted((Place(*row) for row in rows), key=lambda place: place.id)
