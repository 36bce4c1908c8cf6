"""All we ever write to people about their trainings: one function per letter (L6, waitlist WM1).

A letter is promised here, in the transaction of what it tells, and rendered and sent afterwards.
Its key names the occasion, so that promising twice is promising once (WM6). Who opted out of mail
or cannot be reached by it gets no row; what staff do silently calls nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.bulk import among, insert_selected, random_uuid
from app.models.enrolment import TrainingEnroll
from app.models.outbox import Outbox, OutboxState
from app.models.person import PersonStatus, Student, Trainer
from app.models.queue import mail_allowed
from app.models.training import AssignmentStatus, Training, TrainingTrainer
from app.models.user import TrainerLetters, User, UserSettings
from app.services.transitions import Place

# What tells a letter from the next of its kind: the invitation it speaks of, else the number in the
# history of what it tells (WM6).
BY_INVITATION = TrainingEnroll.invite_no
Occasion = sa.SQLColumnExpression[int] | int


def enrolled(session: Session, place: Place, seq: int, now: datetime) -> None:
    """You have a place."""
    _tell(session, "enrolled", [place], seq, now)


def waitlisted(session: Session, place: Place, seq: int, now: datetime) -> None:
    """You wait; your place in the line."""
    _tell(session, "waitlisted", [place], seq, now)


def invited(session: Session, places: Sequence[Place], now: datetime) -> None:
    """A place is free for you: answer before the deadline."""
    _tell(session, "invited", places, BY_INVITATION, now)


def accepted(session: Session, place: Place, now: datetime) -> None:
    """You took the place you were offered."""
    _tell(session, "accepted", [place], BY_INVITATION, now)


def declined(session: Session, place: Place, now: datetime) -> None:
    """You declined; how to join again."""
    _tell(session, "declined", [place], BY_INVITATION, now)


def expired(session: Session, places: Sequence[Place], now: datetime) -> None:
    """Your invitation ran out; how to join again."""
    _tell(session, "expired", places, BY_INVITATION, now)


def invitation_withdrawn(session: Session, places: Sequence[Place], now: datetime) -> None:
    """Your invitation was taken back; you keep your place in the line."""
    _tell(session, "invitation_withdrawn", places, BY_INVITATION, now, trainers=False)


def deadline_changed(session: Session, places: Sequence[Place], seq: int, now: datetime) -> None:
    """Your answer is due at another time."""
    _tell(session, "deadline_changed", places, seq, now, trainers=False)


def derolled(
    session: Session, place: Place, seq: int, now: datetime, *, to_student: bool = True
) -> None:
    """You gave up your place, or it was taken from you."""
    _tell(session, "derolled", [place], seq, now, students=to_student)


def left_waitlist(
    session: Session, place: Place, seq: int, now: datetime, *, to_student: bool = True
) -> None:
    """You left the line."""
    _tell(session, "left_waitlist", [place], seq, now, students=to_student)


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
    """Promise `letter` to the student of each place and `<letter>_trainer` to their trainers.

    The readers are found and the rows written inside the database: two statements for a thousand.
    """
    if not places:
        return
    e = TrainingEnroll
    these = sa.select(e).where(among(e.id, [p.id for p in places])).order_by(e.queue_position)
    about = {
        "enrolment_id": e.id,
        "invite_no": e.invite_no,
        "sequence": e.ical_sequence,
        "payload": facts or {},
    }
    if students:
        _promise(session, letter, _students_of(these), e.uuid, occasion, about, now)
    if trainers:
        readers = _trainers_of(these, e.training_id)
        _promise(session, f"{letter}_trainer", readers, e.uuid, occasion, about, now)


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
    _tell(session, letter, places, seq, now, trainers=False, facts=facts)
    readers = _trainers_of(sa.select(Training).where(Training.id == training_id), Training.id)
    subject = sa.literal(f"training-{training_id}")
    about = {"payload": {"training": training_id, **facts}}
    _promise(session, f"{letter}_trainer", readers, subject, seq, about, now)


def _promise(
    session: Session,
    kind: str,
    readers: sa.Select[Any],
    subject: sa.SQLColumnExpression[str],
    occasion: Occasion,
    about: dict[str, Any],
    now: datetime,
) -> None:
    """A row for each `User` that `readers` selects; beside it stands what the others name."""
    reader = sa.cast(User.id, sa.String)
    number = sa.cast(sa.literal(occasion) if isinstance(occasion, int) else occasion, sa.String)
    columns = about | {
        "uuid": random_uuid(),
        "key": sa.literal(f"{kind}:") + subject + ":" + number + ":email:" + reader,
        "channel": "email",
        "aggregate": subject + "/" + reader,  # one reader's bad address holds up nobody else
        "kind": kind,
        "user_id": User.id,
        "state": OutboxState.PENDING,
        "due_at": now,
        "created_at": now,
    }
    insert_selected(session, Outbox, columns, readers, once_per="key")


def _students_of(places: sa.Select[Any]) -> sa.Select[Any]:
    """The students of these enrolments who may be written to."""
    return (
        places.join(Student, Student.id == TrainingEnroll.student_id)
        .join(User, User.id == Student.user_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .where(mail_allowed())
    )


def _trainers_of(things: sa.Select[Any], training_id: Any) -> sa.Select[Any]:
    """The accepted trainers who want a letter for each thing that happens (WM2)."""
    each = sa.func.coalesce(UserSettings.trainer_letters, TrainerLetters.EACH)
    accepted = sa.and_(
        TrainingTrainer.training_id == training_id,
        TrainingTrainer.status == AssignmentStatus.ACCEPTED,
    )
    teaches = sa.and_(
        Trainer.id == TrainingTrainer.trainer_id, Trainer.status == PersonStatus.ACTIVE
    )
    return (
        things.join(TrainingTrainer, accepted)
        .join(Trainer, teaches)
        .join(User, User.id == Trainer.user_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .where(each == TrainerLetters.EACH, mail_allowed())
        .order_by(User.id)
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
