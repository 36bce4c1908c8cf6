"""All we ever write to people about their trainings: one function per letter (L6, waitlist WM1).

A letter is promised here, in the transaction of what it tells, and rendered and sent afterwards.
Its key names the occasion, so that promising twice is promising once (WM6). Who opted out of mail
or cannot be reached by it gets no row; what staff do silently calls nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.bulk import insert_many
from app.models.enrolment import TrainingEnroll
from app.models.outbox import Outbox, OutboxState
from app.models.person import PersonStatus, Student, Trainer
from app.models.queue import mail_allowed
from app.models.training import AssignmentStatus, TrainingTrainer
from app.models.types import new_uuid
from app.models.user import TrainerLetters, User, UserSettings
from app.services.transitions import Place

Occasion = Callable[[Place], int]  # what tells this letter from the next of its kind
Numbers = dict[int, int]  # enrolment id -> number of the history row that the letter tells of


def enrolled(session: Session, place: Place, seq: int, now: datetime) -> None:
    """You have a place."""
    _tell(session, "enrolled", [place], lambda _: seq, now)


def waitlisted(session: Session, place: Place, seq: int, now: datetime) -> None:
    """You wait; your place in the line."""
    _tell(session, "waitlisted", [place], lambda _: seq, now)


def invited(session: Session, places: Sequence[Place], now: datetime) -> None:
    """A place is free for you: answer before the deadline."""
    _tell(session, "invited", places, _invitation, now)


def accepted(session: Session, place: Place, now: datetime) -> None:
    """You took the place you were offered."""
    _tell(session, "accepted", [place], _invitation, now)


def declined(session: Session, place: Place, now: datetime) -> None:
    """You declined; how to join again."""
    _tell(session, "declined", [place], _invitation, now)


def expired(session: Session, places: Sequence[Place], now: datetime) -> None:
    """Your invitation ran out; how to join again."""
    _tell(session, "expired", places, _invitation, now)


def invitation_withdrawn(session: Session, places: Sequence[Place], now: datetime) -> None:
    """Your invitation was taken back; you keep your place in the line."""
    _tell(session, "invitation_withdrawn", places, _invitation, now, trainers=False)


def deadline_changed(
    session: Session, places: Sequence[Place], seqs: Numbers, now: datetime
) -> None:
    """Your answer is due at another time."""
    _tell(session, "deadline_changed", places, lambda p: seqs[p.id], now, trainers=False)


def derolled(
    session: Session, place: Place, seq: int, now: datetime, *, to_student: bool = True
) -> None:
    """You gave up your place, or it was taken from you."""
    _tell(session, "derolled", [place], lambda _: seq, now, students=to_student)


def left_waitlist(
    session: Session, place: Place, seq: int, now: datetime, *, to_student: bool = True
) -> None:
    """You left the line."""
    _tell(session, "left_waitlist", [place], lambda _: seq, now, students=to_student)


def training_rescheduled(
    session: Session,
    training_id: int,
    places: Sequence[Place],
    seq: int,
    now: datetime,
    **facts: Any,
) -> None:
    """Other days or another place; supersedes an earlier one that has not gone out (WT3)."""
    _supersede(session, "training_rescheduled", training_id, now)
    _tell_all(session, "training_rescheduled", training_id, places, seq, now, facts)


def training_cancelled(
    session: Session,
    training_id: int,
    places: Sequence[Place],
    seq: int,
    now: datetime,
    **facts: Any,
) -> None:
    """The training does not take place, and why."""
    _tell_all(session, "training_cancelled", training_id, places, seq, now, facts)


def drop_unsent(session: Session, user_id: int, reason: str, now: datetime) -> None:
    """End what is still promised to someone: nothing goes to the erased (WT7)."""
    _end_pending(session, Outbox.user_id == user_id, reason, now)


# --- how a promise is written ------------------------------------------------------------------


def _invitation(place: Place) -> int:
    return place.invite_no


def _tell(
    session: Session,
    letter: str,
    places: Sequence[Place],
    occasion: Occasion,
    now: datetime,
    *,
    students: bool = True,
    trainers: bool = True,
    facts: dict[str, Any] | None = None,
) -> None:
    """Promise `letter` to the student of each place and `<letter>_trainer` to their trainers."""
    if not places:
        return
    readers = _student_readers(session, places) if students else {}
    teachers = _trainer_readers(session, places[0].training_id) if trainers else []
    rows = []
    for place in places:
        about = f"{place.uuid}:{occasion(place)}"
        payload = {
            "training": place.training_id,
            "enrolment": place.uuid,
            **(facts or {}),
        }
        payload |= {"invite_no": place.invite_no, "sequence": place.ical_sequence}
        if place.id in readers:
            rows.append(_row(letter, about, readers[place.id], payload, now, place.id))
        rows += [_row(f"{letter}_trainer", about, t, payload, now, place.id) for t in teachers]
    insert_many(session, Outbox, rows, once_per="key")


def _tell_all(
    session: Session,
    letter: str,
    training_id: int,
    places: Sequence[Place],
    seq: int,
    now: datetime,
    facts: dict[str, Any],
) -> None:
    """Promise `letter` to each student, and to each trainer once for the whole training."""
    _tell(session, letter, places, lambda _: seq, now, trainers=False, facts=facts)
    payload = {"training": training_id, **facts}
    about = f"training-{training_id}:{seq}"
    teachers = _trainer_readers(session, training_id)
    rows = [_row(f"{letter}_trainer", about, t, payload, now, None) for t in teachers]
    insert_many(session, Outbox, rows, once_per="key")


def _row(
    kind: str,
    about: str,
    user_id: int,
    payload: Any,
    now: datetime,
    enrolment_id: int | None,
) -> dict[str, Any]:
    subject = about.rpartition(":")[0]
    return {
        "uuid": new_uuid(),
        "key": f"{kind}:{about}:email:{user_id}",
        "channel": "email",
        "aggregate": f"{subject}/{user_id}",  # one reader's bad address holds up nobody else
        "kind": kind,
        "user_id": user_id,
        "enrolment_id": enrolment_id,
        "payload": payload,
        "state": OutboxState.PENDING,
        "due_at": now,
        "created_at": now,
    }


def _student_readers(session: Session, places: Sequence[Place]) -> dict[int, int]:
    """Enrolment id -> user id of those who may be written to."""
    rows = session.execute(
        sa.select(TrainingEnroll.id, User.id.label("user_id"))
        .join(Student, Student.id == TrainingEnroll.student_id)
        .join(User, User.id == Student.user_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .where(TrainingEnroll.id.in_([place.id for place in places]), mail_allowed())
    )
    return {row.id: row.user_id for row in rows}


def _trainer_readers(session: Session, training_id: int) -> list[int]:
    """The accepted trainers who want a letter for each thing that happens (WM2)."""
    each = sa.func.coalesce(UserSettings.trainer_letters, TrainerLetters.EACH)
    return list(
        session.scalars(
            sa.select(User.id)
            .join(Trainer, Trainer.user_id == User.id)
            .join(TrainingTrainer, TrainingTrainer.trainer_id == Trainer.id)
            .outerjoin(UserSettings, UserSettings.user_id == User.id)
            .where(
                TrainingTrainer.training_id == training_id,
                TrainingTrainer.status == AssignmentStatus.ACCEPTED,
                Trainer.status == PersonStatus.ACTIVE,
                each == TrainerLetters.EACH,
                mail_allowed(),
            )
            .order_by(User.id)
        )
    )


def _supersede(session: Session, letter: str, training_id: int, now: datetime) -> None:
    of_training = sa.select(TrainingEnroll.id).where(TrainingEnroll.training_id == training_id)
    told_here = sa.or_(
        Outbox.enrolment_id.in_(of_training),
        Outbox.aggregate.startswith(f"training-{training_id}/", autoescape=True),
    )
    which = sa.and_(Outbox.kind.in_((letter, f"{letter}_trainer")), told_here)
    _end_pending(session, which, "superseded", now)


def _end_pending(
    session: Session, which: sa.ColumnElement[bool], reason: str, now: datetime
) -> None:
    session.execute(
        sa.update(Outbox)
        .where(Outbox.state == OutboxState.PENDING, Outbox.ended_at.is_(None), which)
        .values(state=OutboxState.SKIPPED, ended_at=now, last_error=reason)
        .execution_options(synchronize_session=False)
    )
