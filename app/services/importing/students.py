"""Students of a practice from rows: new accounts, new students, changed details."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.bulk import chunks, insert_many
from app.models.enrolment import OPEN, TrainingEnroll
from app.models.person import PersonStatus, Student
from app.models.practice import Practice
from app.models.user import User, UserSettings
from app.services import students
from app.services.actors import Actor
from app.services.belonging import belonging_elsewhere
from app.services.importing.accounts import accounts, new_account
from app.services.importing.report import Report, Wishes
from app.services.importing.rows import StudentRow
from app.services.locks import locked_trainings

DETAILS = ("first_name", "last_name", "phone", "birthday")


def put(
    session: Session,
    practice: Practice,
    rows: Sequence[StudentRow],
    actor: Actor,
    now: datetime,
    _wishes: Wishes,
) -> Report:
    """Create and change students; whoever becomes (in)active does so as waitlist WT5 says."""
    report = Report()
    known = accounts(session, [row.email for row in rows])
    there = _students(session, practice, [user.id for user in known.values()])
    fresh = [row for row in rows if row.key not in known]
    _create(session, practice, fresh)
    report.created = len(fresh)
    shared = belonging_elsewhere(session, [practice.id], [user.id for user in known.values()])
    theirs = [(row, known[row.key]) for row in rows if row.key in known]
    moved = [
        (there[user.id], row.status)
        for row, user in theirs
        if user.id in there and there[user.id].status is not row.status
    ]
    busy = _busy(session, moved)
    for row, user in theirs:
        student = there.get(user.id)
        ours_alone = student is not None and user.id not in shared
        changed = _set_details(user, row, overwrite=ours_alone)
        if student is None:
            session.add(Student(user=user, practice_id=practice.id, status=row.status))
            report.created += 1
            continue
        changed = changed or student.status is not row.status
        report.changed += changed
        report.same += not changed
    session.flush()  # names first: what follows reads the database
    report.invited = _move(session, moved, busy, actor, now)
    return report


def _students(session: Session, practice: Practice, user_ids: Sequence[int]) -> dict[int, Student]:
    found: dict[int, Student] = {}
    for some in chunks(user_ids):
        mine = sa.select(Student).where(
            Student.practice_id == practice.id, Student.user_id.in_(some)
        )
        found |= {student.user_id: student for student in session.scalars(mine)}
    return found


def _create(session: Session, practice: Practice, rows: Sequence[StudentRow]) -> None:
    """Accounts and students in few statements, however many."""
    details = [{name: getattr(row, name) for name in DETAILS} for row in rows]
    people = [new_account(row.email) | more for row, more in zip(rows, details, strict=True)]
    insert_many(session, User, people)
    ids: dict[str, int] = {}
    for some in chunks(rows):
        mine = sa.select(User.email, User.id).where(User.email.in_([row.email for row in some]))
        ids |= {row.email: row.id for row in session.execute(mine)}
    students = [
        {"user_id": ids[row.email], "practice_id": practice.id, "status": row.status}
        for row in rows
    ]
    insert_many(session, Student, students)
    settings = [{"user_id": ids[r.email], "language": r.language} for r in rows if r.language]
    insert_many(session, UserSettings, settings)


def _set_details(user: User, row: StudentRow, *, overwrite: bool) -> bool:
    """Write what the row gives and the account lacks; say whether that was anything.

    `overwrite` what it has otherwise, too.
    """
    changed = False
    for name in DETAILS:
        given, there = getattr(row, name), getattr(user, name)
        if given and given != there and (overwrite or not there):
            setattr(user, name, given)
            changed = True
    language = user.settings.language if user.settings else None
    if row.language and row.language != language and (overwrite or not language):
        user.settings = user.settings or UserSettings()
        user.settings.language = row.language
        changed = True
    return changed


def _busy(session: Session, moved: Sequence[tuple[Student, PersonStatus]]) -> set[int]:
    """The ids of those who are in some training, all of which are locked.

    Before anything is written: a person's row held while waiting for a training would deadlock.
    """
    busy: set[int] = set()
    trainings: set[int] = set()
    for some in chunks([student.id for student, _ in moved]):
        theirs = sa.select(TrainingEnroll.student_id, TrainingEnroll.training_id).where(
            TrainingEnroll.student_id.in_(some), TrainingEnroll.status.in_(OPEN)
        )
        for student_id, training_id in session.execute(theirs):
            busy.add(student_id)
            trainings.add(training_id)
    locked_trainings(session, trainings)  # all at once, in the order of their ids (L3)
    return busy


def _move(
    session: Session,
    moved: Sequence[tuple[Student, PersonStatus]],
    busy: set[int],
    actor: Actor,
    now: datetime,
) -> int:
    """Activate and deactivate; return how many were invited since their turn has come."""
    invited = 0
    for student, status in moved:
        opens = status is PersonStatus.ACTIVE
        if student.id not in busy:  # in no training: nothing follows, and thousands go at once
            _only_status(student, opens)
        elif opens:
            invited += len(students.activate(session, student, actor, now, tell=False))
        else:
            students.deactivate(session, student, actor, now)
    return invited


def _only_status(student: Student, opens: bool) -> None:
    if opens:
        student.status = PersonStatus.ACTIVE
    else:
        student.status = PersonStatus.INACTIVE
