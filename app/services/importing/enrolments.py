"""Enrolments from rows: a silent birth with its history, or a move that an event allows (WE2).

An import is an act of staff, but it never oversells: a row above the capacity is a fault. Whoever
passes others who wait, or comes in from the line, is *forced* with the reason "import" (WO1). Above
a booking limit staff may book: the report says for whom they did (WP2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.bulk import chunks, insert_many
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
from app.models.practice import Practice
from app.models.queue import Standing, reachable, standing
from app.models.rules import rules_of
from app.models.training import Training
from app.models.user import User, UserSettings
from app.services import history, letters, plan, policies, waitlist
from app.services.actors import Actor
from app.services.importing.limits import Joining, warnings_of
from app.services.importing.report import Fault, Report, Wishes, refuse_if
from app.services.importing.rows import EnrolmentRow
from app.services.ledger import settle
from app.services.locks import locked_trainings
from app.services.transitions import PLACE, Place, Status, move

REASON, NOTE = "import", "Imported from a CSV file."


@dataclass(frozen=True)
class Person:
    """A student, as far as a row needs them."""

    student_id: int
    active: bool
    reachable: bool


@dataclass
class Change:
    """What a row asks: an event, for someone who has a row in the training or has none yet."""

    row: EnrolmentRow
    person: Person
    event: str
    enrolment: TrainingEnroll | None
    from_: Status  # of before

    @property
    def takes_spot(self) -> bool:
        return self.row.status is ENROLLED and self.from_ not in TAKING


@dataclass
class Course:
    """A training of the file, locked and counted, with the rows it has and those it gets."""

    training: Training
    stand: Standing
    there: dict[int, TrainingEnroll]  # by student
    someone_waits: bool
    changes: list[Change] = field(default_factory=list)

    @property
    def takers(self) -> list[Change]:
        return [change for change in self.changes if change.takes_spot]

    @property
    def room(self) -> int:
        """Places for the takers: those that are free, kept, or planned for one of them."""
        own = [c for c in self.takers if c.enrolment and c.enrolment.invite_planned_at]
        return max(0, self.stand.spare + len(own))


def put(
    session: Session,
    practice: Practice,
    rows: Sequence[EnrolmentRow],
    actor: Actor,
    now: datetime,
    wishes: Wishes,
) -> Report:
    """Enrol and queue; then each line is served. Raises `FaultyFile`."""
    courses = _courses(session, practice, rows, now)
    people = _people(session, practice, {row.email for row in rows})
    report, faults = Report(), []
    for row in rows:
        found = _change(row, courses.get(row.training), people.get(row.email.lower()))
        if isinstance(found, Fault):
            faults.append(found)
        elif found is None:
            report.same += 1
        else:
            courses[row.training].changes.append(found)
            report.created += found.from_ is None
            report.changed += found.from_ is not None
    for course in courses.values():
        faults += _oversold(course)
    refuse_if(faults)
    joinings = _joinings(courses.values())
    for course in courses.values():
        if course.changes:
            _give_kept_places(session, course, actor, now)
            places = _bring_in(session, course, now)
            _record(session, course, places, actor, now, wishes.letters)
            report.invited += _serve(session, course, now)
    report.warnings += warnings_of(session, joinings)
    return report


# --- what the file speaks of --------------------------------------------------------------------


def _courses(
    session: Session, practice: Practice, rows: Sequence[EnrolmentRow], now: datetime
) -> dict[str, Course]:
    """Import key -> training, all locked before anything is counted."""
    ids: list[int] = []
    for some in chunks(sorted({row.training for row in rows})):
        mine = sa.select(Training.id).where(
            Training.practice_id == practice.id, Training.import_key.in_(some)
        )
        ids += session.scalars(mine)
    there: dict[int, dict[int, TrainingEnroll]] = {id_: {} for id_ in ids}
    trainings: list[Training] = []
    for some_ids in chunks(sorted(ids)):
        trainings += locked_trainings(session, some_ids)
        theirs = sa.select(TrainingEnroll).where(TrainingEnroll.training_id.in_(some_ids))
        for row in session.scalars(theirs.execution_options(populate_existing=True)):
            there[row.training_id][row.student_id] = row
    return {
        str(training.import_key): Course(
            training,
            standing(session, training, now),
            there[training.id],
            any(row.status is WAITLIST for row in there[training.id].values()),
        )
        for training in trainings
    }


def _people(session: Session, practice: Practice, addresses: set[str]) -> dict[str, Person]:
    """Address in lower case -> student of the practice."""
    found: dict[str, Person] = {}
    for some in chunks(sorted(addresses)):
        mine = sa.or_(
            sa.func.lower(User.email).in_([a.lower() for a in some]), User.email.in_(some)
        )
        active = sa.and_(Student.status == PersonStatus.ACTIVE, User.active)
        rows = session.execute(
            sa.select(User.email, Student.id, active, reachable(rules_of(session)))
            .select_from(Student)
            .join(User, User.id == Student.user_id)
            .outerjoin(UserSettings, UserSettings.user_id == User.id)
            .where(Student.practice_id == practice.id, mine)
            .order_by(User.id)
            .with_for_update(read=True, of=Student)  # nobody is erased meanwhile (WT7)
        )
        for email, id_, is_active, is_reachable in rows:
            if email in addresses or email.lower() not in found:
                found[email.lower()] = Person(id_, bool(is_active), bool(is_reachable))
    return found


# --- what a row asks ----------------------------------------------------------------------------


def _change(
    row: EnrolmentRow, course: Course | None, person: Person | None
) -> Change | Fault | None:
    """The change that `row` asks for, None if there is nothing to do, or why it can't be."""
    if course is None:
        return row.fault("training", "no training of this key: import the trainings first")
    if person is None:
        return row.fault("email", "no student of this practice: import the students first")
    enrolment = course.there.get(person.student_id)
    from_ = enrolment.status if enrolment else None
    if from_ is row.status:
        return None
    if course.training.cancelled_at or course.training.archived_at:
        return row.fault("training", "this training is cancelled or archived")
    if not person.active:
        return row.fault("email", "this student is not active")
    if row.status is ENROLLED:
        passes = course.someone_waits or from_ not in (None, DEROLLED)
        return Change(row, person, "forced" if passes else "enrolled", enrolment, from_)
    if from_ in TAKING:
        holds = "a place" if from_ is ENROLLED else "an open invitation"
        return row.fault("status", f"has {holds} already: only staff take that back")
    if course.stand.started:
        return row.fault("status", "this training has started: nobody can wait for it")
    if not person.reachable:
        return row.fault("email", "gets no letters, so could not be told of a place")
    event = "re-enabled" if from_ in (EXPIRED, DECLINED) else "queued"
    return Change(row, person, event, enrolment, from_)


def _oversold(course: Course) -> list[Fault]:
    """The rows for which there is no place; kept places may be given, as by force (WO3)."""
    places = course.training.max_participants
    message = f"no place is left of {places}: raise max_participants, or queue this student"
    return [c.row.fault("status", message) for c in course.takers[course.room :]]


def _joinings(courses: Iterable[Course]) -> list[Joining]:
    return [
        Joining(c.row, c.person.student_id, course.stand, policies.waived(course.stand))
        for course in courses
        for c in course.changes
    ]


# --- writing ------------------------------------------------------------------------------------


def _bring_in(session: Session, course: Course, now: datetime) -> dict[int, Place]:
    """New rows in one statement, old ones moved; those who wait join the tail as the file has them.

    Returns student id -> place.
    """
    joining = [c.row.line for c in course.changes if c.row.status is WAITLIST]
    first = _positions(session, course.training, len(joining)) if joining else 0
    positions = {line: first + n for n, line in enumerate(joining)}
    born = []
    for change in course.changes:
        position = positions.get(change.row.line)
        if change.enrolment is None:
            born.append(
                {
                    "training_id": course.training.id,
                    "student_id": change.person.student_id,
                    "status": change.row.status,
                    "queue_position": position,
                    "joined_at": now,
                }
            )
        else:
            _move(session, change, change.enrolment, position, now)
    insert_many(session, TrainingEnroll, born)
    mine = sa.select(*PLACE).where(TrainingEnroll.training_id == course.training.id)
    return {row.student_id: Place(*row) for row in session.execute(mine)}


def _give_kept_places(session: Session, course: Course, actor: Actor, now: datetime) -> None:
    """Places given are kept no more."""
    free = max(0, course.room - course.training.seats_kept)
    if (used := len(course.takers) - free) > 0:
        waitlist.use_kept(session, course.training, actor, now, NOTE, used)


def _positions(session: Session, training: Training, count: int) -> int:
    """The first of `count` places behind all others; the set-based `waitlist.at_the_tail` (WF3)."""
    highest = (
        sa.select(sa.func.max(TrainingEnroll.queue_position))
        .where(TrainingEnroll.training_id == training.id, TrainingEnroll.status == WAITLIST)
        .scalar_subquery()
    )
    tail = sa.case((highest > Training.last_position, highest), else_=Training.last_position)
    last: int = session.execute(
        sa.update(Training)
        .where(Training.id == training.id)
        .values(last_position=tail + count)
        .returning(Training.last_position)
        .execution_options(synchronize_session=False)
    ).scalar_one()
    return last - count + 1


def _move(
    session: Session,
    change: Change,
    enrolment: TrainingEnroll,
    position: int | None,
    now: datetime,
) -> None:
    changes = waitlist.afresh(now) | {"ical_sequence": TrainingEnroll.ical_sequence + 1}
    if position is not None:
        changes["queue_position"] = position
    to = change.row.status
    move(session, enrolment, change.from_, to, **changes)  # sure to win: read under the lock
    if change.from_ is INVITED:
        plan.drop_expiry(session, [enrolment.id])


def _record(
    session: Session,
    course: Course,
    places: dict[int, Place],
    actor: Actor,
    now: datetime,
    tell: bool,
) -> None:
    """History, and letters if asked."""
    by_event: dict[tuple[str, Status, EnrolmentStatus], list[Place]] = {}
    for change in course.changes:
        what = (change.event, change.from_, change.row.status)
        by_event.setdefault(what, []).append(places[change.person.student_id])
    for (event, from_, to), those in by_event.items():
        those.sort(key=lambda place: (place.queue_position or 0, place.id))  # as history numbers
        seq = history.record_many(
            session, those, event, from_, to, actor, now, reason=REASON, note=NOTE
        )
        if tell and not course.stand.started:
            letter = letters.enrolled if to is ENROLLED else letters.waitlisted
            for n, place in enumerate(those):
                letter(session, place, seq + n, now)


def _serve(session: Session, course: Course, now: datetime) -> int:
    """The ledger, and the line; return how many were invited."""
    settle(session, course.training, takes_spot=True)
    if not course.someone_waits and all(c.row.status is ENROLLED for c in course.changes):
        return 0
    return len(waitlist.refill(session, course.training, now).invited)
