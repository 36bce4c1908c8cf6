"""Accounts: how one gets one, what changes in it, in which roles it acts (rulings RD1, people PC).

A password comes here already hashed. What ends all sessions of somebody is a new version of the
account, `fs_uniquifier`, which every session carries (reliability SE2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from uuid import uuid4

import phonenumbers
import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session, selectinload

from app.models.enrolment import INVITED, WAITLIST, TrainingEnroll
from app.models.outbox import Outbox
from app.models.person import PersonStatus, Student, Trainer
from app.models.practice import Practice
from app.models.training import Training
from app.models.user import Role, TrainerLetters, User
from app.services import account_letters, digests, students
from app.services.actors import Actor
from app.services.belonging import keep_an_admin, require_not_erased, require_within
from app.services.locks import locked
from app.services.refusals import Refusal
from app.services.students import AddressTaken, settings_of, valid_address

OFFICE_ROLES = ("admin", "organiser", "venue-owner")  # kept with the account
ROLES = ("student", "trainer", *OFFICE_ROLES)  # the first two are rows of the practice


class AlreadySignedUp(Refusal):
    """The link was used, or the account was made in another way."""

    code = "already_signed_up"
    sentence = _l(
        "There is an account with this address by now. Sign in, or choose a new password."
    )


class BadPhone(Refusal):
    """Not a number that can be called from anywhere."""

    code, status = "bad_phone", 400
    sentence = _l("Write the number with its country code, such as +31 6 12345678.")


class BadBirthday(Refusal):
    """Not the birthday of anybody alive."""

    code, status = "bad_birthday", 400
    sentence = _l("This cannot be a birthday.")


def find(session: Session, email: str) -> User | None:
    """Who has this address, however it is spelled."""
    same = sa.func.lower(User.email) == email.strip().lower()
    everything = (selectinload(User.settings), selectinload(User.roles))
    return session.scalars(sa.select(User).where(same).options(*everything)).one_or_none()


def must_use_code(session: Session, user: User, roles: Iterable[str]) -> bool:
    """Whether they hold one of these roles, by account or as somebody who teaches (people PG1)."""
    wanted = set(roles)
    if wanted & {role.name for role in user.roles}:
        return True
    teaches = sa.select(Trainer.id).where(
        Trainer.user_id == user.id, Trainer.status == PersonStatus.ACTIVE
    )
    return "trainer" in wanted and session.scalar(teaches.limit(1)) is not None


# --- how one gets one ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Application:
    """Who signs up, and with what."""

    email: str
    first_name: str
    last_name: str
    password: str  # hashed


def sign_up(
    session: Session, practice: Practice, who: Application, approval: bool, now: datetime
) -> User:
    """A student of the practice; where `approval` is asked for, not an active one yet (RD1).

    Whoever was entered without a password, by an import say, gets that very account.
    Raises `BadAddress`, `AlreadySignedUp`.
    """
    locked(session, Practice, practice.id)  # two who use one link at once come one after the other
    user = find(session, who.email)
    if user is not None and (user.password or not user.active):
        raise AlreadySignedUp
    if user is None:
        user = _new_account(session, who.email)
    user.first_name, user.last_name = who.first_name, who.last_name
    user.password = who.password
    user.undeliverable_at = None  # the letter with the link came
    end_sessions(user)
    if _student_of(session, user, practice) is None:
        _apply(session, user, practice, approval, now)
    return user


def _apply(session: Session, user: User, practice: Practice, approval: bool, now: datetime) -> None:
    status = PersonStatus.INACTIVE if approval else PersonStatus.ACTIVE
    session.add(Student(user=user, practice=practice, status=status))
    session.flush()  # letters name the ids
    if approval:
        account_letters.application_received(session, practice.id, user, now)
        account_letters.student_created(session, practice.id, user, now)
    else:
        account_letters.welcome(session, practice.id, user, now)


def create(session: Session, email: str, practice: Practice, roles: Iterable[str]) -> User:
    """An account by the office, as yet without a password.

    Raises `BadAddress`, `AddressTaken`.
    """
    locked(session, Practice, practice.id)
    address = valid_address(email)
    if find(session, address) is not None:
        raise AddressTaken
    user = _new_account(session, address)
    session.flush()  # roles that are rows name its id
    for role in dict.fromkeys(roles):
        _add_role(session, user, role, practice)
    return user


def _new_account(session: Session, email: str) -> User:
    user = User(email=valid_address(email), active=True, fs_uniquifier=uuid4().hex, roles=[])
    session.add(user)
    return user


def _student_of(session: Session, user: User, practice: Practice) -> Student | None:
    if user.id is None:
        return None
    return session.scalars(
        sa.select(Student).filter_by(user_id=user.id, practice_id=practice.id)
    ).one_or_none()


# --- signing in ----------------------------------------------------------------------------------


def end_sessions(user: User) -> None:
    """Whoever is signed in as them, anywhere, is not any more."""
    user.fs_uniquifier = uuid4().hex


def version(user: User) -> str:
    """What changes with the password and with the address, so that a link works once."""
    said = f"{user.fs_uniquifier} {user.email.lower()}"
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def set_password(
    session: Session, user: User, password: str, practice_id: int | None, now: datetime
) -> None:
    """A new password, hashed; all sessions end, and its owner is told."""
    first = user.password is None
    user.password = password
    end_sessions(user)
    if not first:
        account_letters.changed(session, practice_id, user, "password", now)


def reset_codes(
    session: Session, user: User, reason: str, practice_id: int | None, now: datetime
) -> None:
    """Forget their authenticator app and recovery codes; they are told why (people PA15)."""
    user.tf_totp_secret = user.tf_primary_method = user.mf_recovery_codes = None
    user.totp_counter = None
    end_sessions(user)
    account_letters.totp_reset(session, practice_id, user, reason, now)


def change_address(
    session: Session, user: User, email: str, practice_id: int | None, now: datetime
) -> None:
    """A confirmed new address: old links stop, open invitations are sent anew (people PS7).

    The old address is told. Raises `BadAddress`, `AddressTaken`, `Erased`.
    """
    require_not_erased(user)
    old = user.email
    if theirs := _students(session, user):
        students.change_address(session, theirs[0], email, now)
    else:
        address = valid_address(email)
        same = find(session, address)
        if same is not None and same is not user:
            raise AddressTaken
        user.email, user.undeliverable_at = address, None
    account_letters.changed(session, practice_id, user, "address", now, to=old)
    _invite_anew(session, user, now)


def _invite_anew(session: Session, user: User, now: datetime) -> None:
    mine = (
        sa.select(TrainingEnroll)
        .join(Student, Student.id == TrainingEnroll.student_id)
        .where(Student.user_id == user.id, TrainingEnroll.status == INVITED)
        .order_by(TrainingEnroll.id)
    )
    for row in session.scalars(mine).all():
        session.add(
            Outbox(
                key=f"invited:{row.uuid}:{row.invite_no}-{now:%Y%m%dT%H%M%S}:email:{user.id}",
                channel="email",
                aggregate=f"{row.uuid}/{user.id}",
                kind="invited",
                user_id=user.id,
                enrolment_id=row.id,
                invite_no=row.invite_no,
                sequence=row.ical_sequence,
                payload={},
                due_at=now,
                created_at=now,
            )
        )


# --- what they say of themselves -----------------------------------------------------------------


def change_profile(
    user: User,
    *,
    first_name: str,
    last_name: str,
    phone: str,
    birthday: date | None,
    language: str | None,
    today: date,
) -> None:
    """Names, phone, birthday and language. Raises `BadPhone`, `BadBirthday`, `Erased`."""
    if birthday is not None and not date(today.year - 120, 1, 1) <= birthday <= today:
        raise BadBirthday
    user.phone = a_phone(phone) if phone.strip() else None
    user.birthday = birthday
    change_name(user, first_name, last_name)
    settings_of(user).language = language


def change_name(user: User, first_name: str, last_name: str) -> None:
    """What somebody is called. Raises `Erased`."""
    require_not_erased(user)
    user.first_name, user.last_name = first_name, last_name


def a_phone(text: str) -> str:
    """A number as E.164 has it: `+31612345678`. Raises `BadPhone`."""
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException as error:
        raise BadPhone from error
    if not phonenumbers.is_possible_number(number):
        raise BadPhone
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def waits_for(session: Session, user: User) -> list[str]:
    """The trainings whose waitlists pass over whoever wants no invitations (people PS8)."""
    return list(
        session.scalars(
            sa.select(Training.name)
            .join(TrainingEnroll, TrainingEnroll.training_id == Training.id)
            .join(Student, Student.id == TrainingEnroll.student_id)
            .where(Student.user_id == user.id, TrainingEnroll.status == WAITLIST)
            .order_by(Training.name, Training.id)
        )
    )


def change_notifications(
    session: Session,
    user: User,
    *,
    invitations: bool,
    reminders: bool,
    last_minute: bool,
    now: datetime,
) -> None:
    """Which letters come by mail; whoever wants invitations again may be next in line (WT6)."""
    had = user.settings is None or user.settings.msg_transactional_emails
    students.want_reminders(session, user.id, reminders)
    settings_of(user).msg_last_min_spots = last_minute
    theirs = _students(session, user)
    if not theirs or invitations == had:
        settings_of(user).msg_transactional_emails = invitations
    elif invitations:
        students.opt_in(session, theirs[0], now)
    else:
        students.opt_out(session, theirs[0])


def change_trainer_letters(
    session: Session, user: User, how: TrainerLetters, now: datetime
) -> None:
    """How a trainer hears of what happens in their trainings (waitlist WM2).

    A digest begins with what happens from now on; who wants each letter instead of it is told now
    what no digest told yet.
    """
    settings = settings_of(user)
    before = settings.trainer_letters
    if before is not TrainerLetters.DIGEST and how is TrainerLetters.DIGEST:
        digests.begin(session, user.id)
        digests.provide(session, user.id)
    if before is TrainerLetters.DIGEST and how is TrainerLetters.EACH:
        digests.end(session, user.id, now)
    settings.trainer_letters = how


# --- by the office -------------------------------------------------------------------------------


def give_role(
    session: Session, user: User, role: str, practice: Practice, actor: Actor, now: datetime
) -> None:
    """A role in this practice, also one that was taken; having it is fine. Raises `Erased`."""
    require_not_erased(user)
    student = _student_of(session, user, practice) if role == "student" else None
    if student is not None:
        students.activate(session, student, actor, now)
    else:
        _add_role(session, user, role, practice)


def _add_role(session: Session, user: User, role: str, practice: Practice) -> None:
    if role == "student":
        session.add(Student(user=user, practice=practice, status=PersonStatus.ACTIVE))
    elif role == "trainer":
        trainer = _trainer_of(session, user, practice)
        if trainer is None:
            session.add(Trainer(user=user, practice=practice, status=PersonStatus.ACTIVE))
        else:
            trainer.status = PersonStatus.ACTIVE
    elif role not in [held.name for held in user.roles]:
        user.roles.append(_role(session, role))
    if role == "admin":
        user.practice_id = practice.id


def take_role(
    session: Session, user: User, role: str, practice: Practice, actor: Actor, now: datetime
) -> None:
    """Take a role away; a student's rows stay and are passed over.

    Raises `LastAdmin`, `OwnOffice`.
    """
    locked(session, Practice, practice.id)  # of two who go at once, one stays
    if role == "student":
        if (student := _student_of(session, user, practice)) is not None:
            students.deactivate(session, student, actor, now)
    elif role == "trainer":
        if (trainer := _trainer_of(session, user, practice)) is not None:
            trainer.status = PersonStatus.INACTIVE
    else:
        if role == "admin":
            keep_an_admin(session, user, actor)
        user.roles[:] = [held for held in user.roles if held.name != role]


def deactivate(session: Session, user: User, actor: Actor, now: datetime) -> None:
    """They cannot sign in, and are passed over while they wait (WT5).

    Raises `OfOtherOffice`, `LastAdmin`, `OwnOffice`.
    """
    if user.practice_id is not None:
        locked(session, Practice, user.practice_id)
    require_within(session, user, actor)
    keep_an_admin(session, user, actor)
    for student in _students(session, user):
        students.deactivate(session, student, actor, now)
    user.active = False
    end_sessions(user)


def activate(session: Session, user: User, actor: Actor, now: datetime) -> None:
    """They can sign in and book again. Raises `OfOtherOffice`, `Erased`."""
    require_within(session, user, actor)
    require_not_erased(user)
    user.active = True
    for student in _students(session, user):
        students.activate(session, student, actor, now)


def _students(session: Session, user: User) -> list[Student]:
    mine = sa.select(Student).where(Student.user_id == user.id).order_by(Student.id)
    return list(session.scalars(mine))


def _trainer_of(session: Session, user: User, practice: Practice) -> Trainer | None:
    mine = sa.select(Trainer).filter_by(user_id=user.id, practice_id=practice.id)
    return session.scalars(mine).one_or_none()


def _role(session: Session, name: str) -> Role:
    found = session.scalars(sa.select(Role).where(Role.name == name)).one_or_none()
    if found is None:
        found = Role(name=name)
        session.add(found)
    return found
