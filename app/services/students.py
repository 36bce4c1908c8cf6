"""Changes to a student that their enrolments must follow (waitlist WT5–WT7).

All trainings concerned are locked in the order of their ids, before anything is read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from email_validator import EmailNotValidError, validate_email
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.models.enrolment import INVITED, OPEN, WAITLIST, TrainingEnroll
from app.models.greeting import Greeting
from app.models.person import PersonStatus, Student, Trainer
from app.models.practice import Practice
from app.models.training import Training
from app.models.user import TrainerLetters, User, UserSettings
from app.services import account_letters, enrolments, history, invitations, letters, links, waitlist
from app.services.actors import Actor
from app.services.belonging import keep_an_admin, require_not_erased, require_within
from app.services.locks import locked, locked_trainings
from app.services.refusals import Refusal
from app.services.scope import require_student_of


class BadAddress(Refusal):
    """Not one plain e-mail address."""

    code, status = "bad_address", 400
    sentence = _l("This is not an e-mail address.")


class AddressTaken(Refusal):
    """An address belongs to one account."""

    code = "address_taken"
    sentence = _l("Another account uses this address.")


def valid_address(text: str) -> str:
    """One plain address, its domain in lower case (reliability SE12). Raises `BadAddress`."""
    try:
        found = validate_email(text.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise BadAddress from error
    if len(found.normalized) > 254:
        raise BadAddress
    return found.normalized


def deactivate(session: Session, student: Student, actor: Actor, now: datetime) -> None:
    """The student may not book: passed over while waiting, silently uninvited (WT5).

    Raises `NotFound`.
    """
    require_student_of(actor, student)
    trainings = _trainings_of(session, [student.id], WAITLIST, INVITED)
    if student.status is PersonStatus.INACTIVE:
        return
    student.status = PersonStatus.INACTIVE
    _note_waiting(session, student, "student-inactive", actor, now)
    for training in trainings:
        mine = sa.select(TrainingEnroll.id).where(
            TrainingEnroll.training_id == training.id,
            TrainingEnroll.student_id == student.id,
            TrainingEnroll.status == INVITED,
        )
        ids = list(session.scalars(mine))
        if invitations.withdraw(session, ids, actor, now, silent=True, reason="inactive"):
            waitlist.refill(session, training, now)


def activate(
    session: Session, student: Student, actor: Actor, now: datetime, *, tell: bool = True
) -> list[str]:
    """The student may book again; returns the uuids invited where their turn has come (WT5).

    They get a letter, unless told not to `tell` (WM1).

    Raises `NotFound`, `Erased`.
    """
    require_student_of(actor, student)
    require_not_erased(student.user)
    trainings = _trainings_of(session, [student.id], WAITLIST)
    if student.status is PersonStatus.ACTIVE:
        return []
    student.status = PersonStatus.ACTIVE
    if tell:
        account_letters.student_active(session, student.practice_id, student.user, now)
    _note_waiting(session, student, "student-active", actor, now)
    return _refill_all(session, trainings, now)


def opt_out(session: Session, student: Student) -> None:
    """No letters: open invitations stay open, waiting rows are passed over (WT6)."""
    settings_of(student.user).msg_transactional_emails = False


def opt_in(session: Session, student: Student, now: datetime) -> list[str]:
    """Letters again, from every practice; returns the uuids invited whose turn it is (WT6)."""
    trainings = _trainings_of(session, _everywhere(session, student.user), WAITLIST)
    settings_of(student.user).msg_transactional_emails = True
    return _refill_all(session, trainings, now)


def want_reminders(session: Session, user_id: int, wanted: bool) -> None:
    """Letters that one can do without come, or come no more (people PS10). Twice is once."""
    user = locked(session, User, user_id)  # of two clicks at once one writes the row
    settings_of(user).msg_reminders = wanted


def want_greetings(session: Session, user_id: int, wanted: bool) -> None:
    """Greetings and profile checks come, or come no more (people PS8). Twice is once."""
    user = locked(session, User, user_id)
    settings_of(user).msg_greetings = wanted


def want_free_places(session: Session, user_id: int, wanted: bool) -> None:
    """News of free places comes, or comes no more (people PS8). Twice is once."""
    user = locked(session, User, user_id)
    settings_of(user).msg_last_min_spots = wanted


def want_digests(session: Session, user_id: int, wanted: bool) -> None:
    """Whoever wants no digest any more gets no letters about what they teach. Twice is once.

    Nothing changes for who has chosen otherwise meanwhile, in their notifications.
    """
    settings = settings_of(locked(session, User, user_id))
    if not wanted and settings.trainer_letters is TrainerLetters.DIGEST:
        settings.trainer_letters = TrainerLetters.CENTRE


def change_address(session: Session, student: Student, email: str, now: datetime) -> list[str]:
    """A new address, which no letter has come back from; refills everywhere, as `opt_in` (WF6).

    Raises `BadAddress`, `AddressTaken`, `Erased`.
    """
    require_not_erased(student.user)
    email = valid_address(email)
    same = sa.func.lower(User.email) == email.lower()
    if session.scalar(sa.select(User.id).where(same, User.id != student.user_id)) is not None:
        raise AddressTaken
    trainings = _trainings_of(session, _everywhere(session, student.user), WAITLIST)
    if email.lower() != student.user.email.lower():
        links.revoke(session, student.user_id)  # letters to the old address answer no more (ML2)
    student.user.email, student.user.undeliverable_at = email, None
    return _refill_all(session, trainings, now)


def erase(session: Session, student: Student, actor: Actor, now: datetime) -> None:
    """Forget the person, in every practice: open rows are left, nothing is written to them (WT7).

    The rows stay under a pseudonym, so that history still adds up. Twice is once.
    Raises `NotFound`, `OfOtherOffice`, `LastAdmin`, `OwnOffice`.
    """
    require_student_of(actor, student)
    user = student.user
    everywhere = lock_person(session, user)
    if user.erased_at is not None:  # somebody was before us
        return
    require_within(session, user, actor)
    keep_an_admin(session, user, actor)
    for one in everywhere:
        one.status = PersonStatus.INACTIVE
    mine = _open_rows(user).order_by(TrainingEnroll.training_id)
    for enrolment in session.scalars(mine).all():
        enrolments.erase(session, enrolment, actor, now)
    letters.drop_unsent(session, user.id, "erased", now)
    links.revoke(session, user.id)
    session.execute(sa.delete(Greeting).where(Greeting.user_id == user.id))  # schedules B6
    for trainer in session.scalars(sa.select(Trainer).where(Trainer.user_id == user.id)):
        trainer.status = PersonStatus.INACTIVE
    _pseudonymise(user, now)


def lock_person(session: Session, user: User) -> list[Student]:
    """Lock all that follows a person, and read the account anew; the students someone is.

    In the order of L3: the practice whose office they are part of, the trainings they are in, the
    students, the account. Whatever service changes them after this waits for nothing.
    """
    if user.practice_id is not None:
        locked(session, Practice, user.practice_id)  # of two administrators who go, one stays
    everywhere = _locked_students(session, user)
    locked(session, User, user.id)
    if user.settings is not None:
        session.refresh(user.settings)
    return everywhere


class _OneMore(Exception):
    """The person has enrolled elsewhere while we waited for the locks."""


def _locked_students(session: Session, user: User) -> list[Student]:
    """The students someone is, locked behind all trainings in which they have an open row.

    Trainings come first for everyone (L3), and only with the student locked nobody enrols them any
    more. Who has been enrolled until then is seen too late to lock that training as well: a
    savepoint gives all locks back, and we look again.
    """
    rows, them = _open_rows(user), sa.select(Student).where(Student.user_id == user.id)
    them = them.order_by(Student.id).with_for_update(key_share=True)
    while True:
        with contextlib.suppress(_OneMore), session.begin_nested():
            ids = {row.training_id for row in session.scalars(rows)}
            locked_trainings(session, ids)
            students = session.scalars(them.execution_options(populate_existing=True)).all()
            if not {row.training_id for row in session.scalars(rows)} <= ids:
                raise _OneMore
            return list(students)


def _open_rows(user: User) -> sa.Select[Any]:
    return (
        sa.select(TrainingEnroll)
        .join(Student, Student.id == TrainingEnroll.student_id)
        .where(Student.user_id == user.id, TrainingEnroll.status.in_(OPEN))
    )


def _pseudonymise(user: User, now: datetime) -> None:
    """Nothing of the pseudonym tells who it was, and no session or link of theirs works on."""
    user.fs_uniquifier = uuid4().hex
    user.email = f"erased-{uuid4().hex}@example.invalid"
    user.first_name = user.last_name = ""
    user.phone = user.birthday = user.password = None
    user.street = user.house_number = user.postal_code = user.city = None
    user.emergency_contact = None
    user.tf_primary_method = user.tf_totp_secret = user.mf_recovery_codes = None
    user.totp_counter = user.practice_id = None
    user.roles.clear()
    user.active = False
    user.erased_at = now


def _note_waiting(
    session: Session, student: Student, event: str, actor: Actor, now: datetime
) -> None:
    """The line's history answers why someone was passed over, or is no longer (L8)."""
    mine = sa.select(TrainingEnroll).where(
        TrainingEnroll.student_id == student.id, TrainingEnroll.status == WAITLIST
    )
    for enrolment in session.scalars(mine.order_by(TrainingEnroll.training_id)).all():
        history.note(session, enrolment, event, actor, now)


def _everywhere(session: Session, user: User) -> list[int]:
    """The ids of the students that one person is, in whatever practice."""
    mine = sa.select(Student.id).where(Student.user_id == user.id).order_by(Student.id)
    return list(session.scalars(mine))


def _trainings_of(session: Session, student_ids: Sequence[int], *statuses: str) -> list[Training]:
    """The trainings in which these students have such a row, all locked."""
    ids = session.scalars(
        sa.select(TrainingEnroll.training_id).where(
            TrainingEnroll.student_id.in_(student_ids), TrainingEnroll.status.in_(statuses)
        )
    ).all()
    return locked_trainings(session, ids)


def _refill_all(session: Session, trainings: list[Training], now: datetime) -> list[str]:
    session.flush()  # the line is read from the database
    return [uuid for t in trainings for uuid in waitlist.refill(session, t, now).invited]


def settings_of(user: User) -> UserSettings:
    """How someone wants to be told; made where there was nothing but the defaults."""
    if user.settings is None:
        user.settings = UserSettings()
    return user.settings
