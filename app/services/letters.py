"""All we ever write to people about their trainings: one function per letter (L6, waitlist WM1).

A letter is promised here, in the transaction of what it tells, and rendered and sent afterwards.
Its key names the occasion, so that promising twice is promising once (WM6). Who opted out of mail
or cannot be reached by it gets no row; what staff do silently calls nothing here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.bulk import (
    among,
    composed,
    dialect_of,
    given,
    insert_rows,
    random_uuid,
    selected,
    send,
)
from app.models.enrolment import ENROLLED, WAITLIST, TrainingEnroll
from app.models.outbox import Outbox, OutboxState
from app.models.person import PersonStatus, Student, Trainer
from app.models.queue import could_join, is_active, mail_allowed, reminders_wanted, starts_at
from app.models.rules import rules_of
from app.models.training import AssignmentStatus, Training, TrainingTrainer
from app.models.types import UtcDateTime
from app.models.user import Role, TrainerLetters, User, UserSettings, roles_users
from app.services.occurrence import Occurrence
from app.services.transitions import Place

# A letter tells of an invitation, or of what stands under a number in the history (WM6).
BY_INVITATION = None
Occasion = int | None


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


def invite_reminder(session: Session, places: Sequence[Place], number: int, now: datetime) -> None:
    """Your invitation runs out soon; `number` tells the reminders of one invitation apart (WI6)."""
    if places:
        about = {"ids": [place.id for place in places], "number": number}
        known = {"kind": "invite_reminder", "payload": {}, "now": now}
        session.execute(_to_reminded(dialect_of(session)), about | known)


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


def late_cancellation(
    session: Session, place: Place, seq: int, now: datetime, policy_text: dict[str, str]
) -> None:
    """You cancelled late: what the practice says of that, by language (WP3)."""
    facts = {"policy_text": policy_text}
    _tell(session, "late_cancellation", [place], seq, now, facts=facts)


def left_waitlist(
    session: Session, place: Place, seq: int, now: datetime, *, to_student: bool = True
) -> None:
    """You left the line."""
    _tell(session, "left_waitlist", [place], seq, now, students=to_student)


def undelivered(session: Session, place: Place, now: datetime, *, letter: str = "invited") -> None:
    """For trainers and office: `letter` did not reach this student (WI8, reliability OB10)."""
    facts = {"letter": letter}
    _tell(
        session,
        "undelivered",
        [place],
        BY_INVITATION,
        now,
        students=False,
        office=True,
        facts=facts,
    )


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


def reminder_student(
    session: Session, schedule_id: int, occurrence: Occurrence, now: datetime
) -> int:
    """The training is near: to each who is enrolled at this moment; returns to how many (WB)."""
    return _remind(session, "reminder_student", schedule_id, occurrence, now)


def reminder_trainer(
    session: Session, schedule_id: int, occurrence: Occurrence, now: datetime
) -> int:
    """The training is near: to each trainer who accepted; returns to how many (WB)."""
    return _remind(session, "reminder_trainer", schedule_id, occurrence, now)


def reminder_waitlist(
    session: Session,
    schedule_id: int,
    occurrence: Occurrence,
    now: datetime,
    *,
    answer_time: timedelta | None,
) -> int:
    """You still wait; say that you still want to: to each active student in line (WB, WK4).

    `answer_time` is what an invitation made now would grant. Returns to how many.
    """
    seconds = None if answer_time is None else int(answer_time.total_seconds())
    facts = {"answer_seconds": seconds}
    return _remind(session, "reminder_waitlist", schedule_id, occurrence, now, facts)


def open_spot(
    session: Session,
    schedule_id: int,
    occurrence: Occurrence,
    now: datetime,
    *,
    but: Collection[int] = (),
) -> int:
    """A place is free: to each student of the practice who could take it; to how many (WB).

    `but`: students whom something keeps from it, such as a booking limit.
    """
    return _remind(session, "open_spot", schedule_id, occurrence, now, but=but)


def attendee_list(session: Session, schedule_id: int, occurrence: Occurrence, now: datetime) -> int:
    """Who comes, as of when the letter goes out: to each trainer who accepted; to how many (WB)."""
    return _remind(session, "attendee_list", schedule_id, occurrence, now)


def minimum_alert(session: Session, schedule_id: int, occurrence: Occurrence, now: datetime) -> int:
    """Too few are enrolled: to each trainer but those who want no letters; to how many (WN15).

    It can't wait for a digest: whether the training takes place is to be decided.
    """
    return _remind(session, "minimum_alert", schedule_id, occurrence, now)


def _remind(
    session: Session,
    letter: str,
    schedule_id: int,
    occurrence: Occurrence,
    now: datetime,
    facts: dict[str, Any] | None = None,
    but: Collection[int] = (),
) -> int:
    """One letter per schedule, person and occurrence; the item says of which event, if of one."""
    training, _, event = occurrence.item.partition(":")
    payload = {
        "training": int(training),
        "event": int(event) if event else None,
        "occurrence": occurrence.name,
        "schedule": schedule_id,
    }
    known = _near(session, now) | {
        "training": int(training),
        "kind": letter,
        "occasion": f"{schedule_id}-{occurrence.item}-{occurrence.name}",
        "payload": payload | (facts or {}),
        "now": now,
        "but": sorted(but),
    }
    result: Any = session.execute(_reminders(dialect_of(session), letter), known)
    return int(result.rowcount)


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
    office: bool = False,
    facts: dict[str, Any] | None = None,
) -> None:
    """Promise `letter` to the student of each place and `<letter>_trainer` to their trainers.

    The readers are found and the rows written inside the database: one statement for a thousand.
    """
    if not places:
        return
    what = _near(session, now) | {
        "ids": [place.id for place in places],
        "kind": letter,
        "seq": occasion,
        "payload": facts or {},
        "now": now,
    }
    send(session, _to_people(dialect_of(session), students, trainers, office), what)


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
    what = _near(session, now) | {
        "training": training_id,
        "kind": letter,
        "seq": seq,
        "payload": {"training": training_id, **facts},
        "now": now,
    }
    session.execute(_to_trainers_once(dialect_of(session)), what)


@composed
def _to_people(dialect: str, students: bool, trainers: bool, office: bool = False) -> Any:
    """The statement that promises a letter about some enrolments to all whom it concerns."""
    e, these = _given_enrolments(dialect)
    about = {"enrolment_id": e.id, "invite_no": e.invite_no, "sequence": e.ical_sequence}
    told = []
    if students:
        readers = _students_of(these, e.student_id)
        told.append(_rows(readers, "", about, e.uuid, e.invite_no))
    if trainers:
        readers = _trainers_of(these, e.training_id)
        told.append(_rows(readers, "_trainer", about, e.uuid, e.invite_no))
    if office:
        readers = _office_of(these, e.training_id)
        told.append(_rows(readers, "_trainer", about, e.uuid, e.invite_no))
    everyone = sa.union_all(*told).subquery() if len(told) > 1 else told[0].subquery()
    return insert_rows(dialect, Outbox, sa.select(everyone), once_per="key")


def _given_enrolments(dialect: str) -> tuple[Any, sa.Select[Any]]:
    """The enrolments whose ids are given when the statement runs.

    PostgreSQL reads them first, for students and trainers alike: left to itself it begins with the
    trainers of all trainings wherever it believes that there are few.
    """
    e = TrainingEnroll
    which = among(e.id, "ids")
    if dialect != "postgresql":
        return e, sa.select(e).where(which)
    columns = (e.id, e.uuid, e.invite_no, e.ical_sequence, e.student_id, e.training_id)
    these = sa.select(*columns).where(which).cte("these").prefix_with("MATERIALIZED")
    return these.c, sa.select(these)


@cache
def _to_trainers_once(dialect: str) -> Any:
    this = sa.select(Training).where(Training.id == sa.bindparam("training"))
    subject = sa.literal("training-") + sa.cast(Training.id, sa.String)
    readers = _trainers_of(this, Training.id)
    rows = _rows(readers, "_trainer", {}, subject, sa.literal(0)).subquery()
    return insert_rows(dialect, Outbox, sa.select(rows), once_per="key")


@cache
def _to_reminded(dialect: str) -> Any:
    """The statement that reminds of invitations."""
    e = TrainingEnroll
    these = sa.select(e).where(among(e.id, "ids"))
    about = {"enrolment_id": e.id, "invite_no": e.invite_no, "sequence": e.ical_sequence}
    number = sa.cast(sa.bindparam("number", type_=sa.Integer), sa.String)
    occasion = sa.cast(e.invite_no, sa.String) + "-" + number
    rows = _rows(_students_of(these, e.student_id), "", about, e.uuid, e.invite_no, occasion)
    return insert_rows(dialect, Outbox, sa.select(rows.subquery()), once_per="key")


@cache
def _reminders(dialect: str, letter: str) -> Any:
    """The statement that writes a letter about a training ahead to all whom it concerns."""
    e, this = TrainingEnroll, sa.bindparam("training", type_=sa.Integer)
    occasion = sa.bindparam("occasion", type_=sa.String)
    if letter in ("reminder_student", "reminder_waitlist"):
        waits = letter == "reminder_waitlist"
        status = WAITLIST if waits else ENROLLED
        these = sa.select(e).where(e.training_id == this, e.status == status)
        about = {"enrolment_id": e.id, "invite_no": e.invite_no, "sequence": e.ical_sequence}
        readers = _students_of(these, e.student_id).where(reminders_wanted())
        readers = readers.where(is_active()) if waits else readers  # others can't be invited
        rows = _rows(readers, "", about, e.uuid, e.invite_no, occasion)
    else:
        one = sa.select(Training).where(Training.id == this)
        subject = sa.literal("training-") + sa.cast(Training.id, sa.String)
        readers = _newcomers_to(one) if letter == "open_spot" else _trainers_of(one, Training.id)
        if letter == "minimum_alert":
            readers = _trainers_of(one, Training.id, alarmed=True)
        rows = _rows(readers, "", {}, subject, sa.literal(0), occasion)
    return insert_rows(dialect, Outbox, sa.select(rows.subquery()), once_per="key")


def _rows(
    readers: sa.Select[Any],
    suffix: str,
    about: dict[str, Any],
    subject: sa.SQLColumnExpression[str],
    invite_no: sa.SQLColumnExpression[int],
    occasion: sa.SQLColumnExpression[str] | None = None,
) -> sa.Select[Any]:
    """A row of the outbox for each `User` whom `readers` selects."""
    reader = sa.cast(User.id, sa.String)
    kind = sa.bindparam("kind", type_=sa.String) + suffix
    if occasion is None:
        # What tells it from the next of its kind: the number in the history, else the invitation
        # (WM6).
        number = sa.func.coalesce(sa.bindparam("seq", type_=sa.Integer), invite_no)
        occasion = sa.cast(number, sa.String)
    columns = about | {
        "uuid": random_uuid(),
        "key": kind + ":" + subject + ":" + occasion + ":email:" + reader,
        "channel": "email",
        "aggregate": subject + "/" + reader,  # one reader's bad address holds up nobody else
        "kind": kind,
        "user_id": User.id,
        "payload": given("payload"),
        "state": OutboxState.PENDING,
        "due_at": given("now"),
        "created_at": given("now"),
    }
    return selected(Outbox, columns, readers)


def _students_of(enrolments: sa.Select[Any], student_id: Any) -> sa.Select[Any]:
    """The students of these enrolments who may be written to."""
    return (
        enrolments.join(Student, Student.id == student_id)
        .join(User, User.id == Student.user_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .where(mail_allowed())
    )


def _newcomers_to(trainings: sa.Select[Any]) -> sa.Select[Any]:
    """The students of the practice who could take a free place."""
    return (
        trainings.join(Student, Student.practice_id == Training.practice_id)
        .join(User, User.id == Student.user_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .where(could_join(), ~among(Student.id, "but"))
    )


def _near(session: Session, now: datetime) -> dict[str, datetime]:
    """Which starts are so near that no trainer waits for the digest: parameters (WN15)."""
    return {"begins_after": now, "begins_by": now + rules_of(session).trainer_alert}


BEGINS_AFTER, BEGINS_BY = (
    sa.bindparam(name, type_=UtcDateTime()) for name in ("begins_after", "begins_by")
)


def _trainers_of(
    things: sa.Select[Any], training_id: Any, *, alarmed: bool = False
) -> sa.Select[Any]:
    """The accepted trainers who want a letter for each thing that happens (WM2).

    Whoever prefers a digest does while the start is near (WN15), and always when `alarmed`.
    """
    wanted = sa.func.coalesce(UserSettings.trainer_letters, TrainerLetters.EACH)
    start = starts_at(training_id)
    near = sa.true() if alarmed else sa.and_(start > BEGINS_AFTER, start <= BEGINS_BY)
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
        .where(
            User.active,
            mail_allowed(),
            sa.or_(
                wanted == TrainerLetters.EACH,
                sa.and_(wanted == TrainerLetters.DIGEST, near),
            ),
        )
    )


def _office_of(enrolments: sa.Select[Any], training_id: Any) -> sa.Select[Any]:
    """The administrators of the practice, as far as they may be written to (WM1)."""
    is_admin = sa.and_(Role.id == roles_users.c.role_id, Role.name == "admin")
    return (
        enrolments.join(Training, Training.id == training_id)
        .join(User, User.practice_id == Training.practice_id)
        .join(roles_users, roles_users.c.user_id == User.id)
        .join(Role, is_admin)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .where(User.active, mail_allowed())
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
