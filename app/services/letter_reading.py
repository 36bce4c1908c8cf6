"""The facts of letters, asked of the rows when they are about to be sent (waitlist WM3, OB4).

`gather` reads for many rows of the outbox at once, in as many statements for one as for a thousand,
and says which letters are no longer true.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from app.models.bulk import among
from app.models.enrolment import ENROLLED, INVITED, WAITLIST, TrainingEnroll
from app.models.enrolment_history import EnrolmentHistory
from app.models.outbox import Outbox
from app.models.person import PersonStatus, Student, Trainer
from app.models.practice import Practice
from app.models.queue import could_join, free_spots, is_active
from app.models.training import (
    AssignmentStatus,
    Location,
    Training,
    TrainingEvent,
    TrainingTrainer,
    TrainingType,
)
from app.models.user import Role, User, UserSettings, roles_users
from app.services import (
    account_letters,
    digest_reading,
    letter_rules,
    people_letters,
    schedule_letters,
)
from app.services.letter_facts import (
    ATTENDEE_LIST,
    MINIMUM_ALERT,
    OPEN_SPOT,
    PERSON,
    UNDELIVERED,
    Course,
    Day,
    Facts,
    Happened,
    Person,
    Seat,
    Untrue,
    as_instant,
    is_for_trainers,
    number_in,
    user_in,
)


def gather(session: Session, rows: Sequence[Outbox], now: datetime) -> dict[int, Facts | Untrue]:
    """The facts of each row by its id, or why it is not to be sent; nothing is locked."""
    about = _About(session, rows)
    return {row.id: about.facts_of(row, now) for row in rows}


class _About:
    """What the rows speak of, read once for all of them."""

    def __init__(self, session: Session, rows: Sequence[Outbox]) -> None:
        self.session = session
        self.seats = self._seats(row.enrolment_id for row in rows)
        trainings = {_training_of(row, self.seats) for row in rows}
        self.courses = {c.id: c for c in self._ask(Course, _courses(), trainings)}
        self.days: dict[int, list[Day]] = defaultdict(list)
        for day in self._ask(Day, _days(), trainings):
            self.days[day.training_id].append(day)
        self.line = self._line(trainings)
        self.happened = self._happened(rows, trainings)
        self.attendees = self._attendees(rows)
        self.free = self._free(rows)
        self.people = self._people(rows)
        self.teachers = self._teachers(rows, trainings)
        self.office = self._office(rows)
        self.senders = self._senders(rows)
        self.members = self._members(rows)
        self.news = digest_reading.read(session, rows)

    def facts_of(self, row: Outbox, now: datetime) -> Facts | Untrue:
        """What one row may say; says no where its reader or its subject is not there any more."""
        if row.kind in account_letters.KINDS:
            return self._account_facts(row, now)
        if row.kind in people_letters.KINDS:
            return self._people_facts(row, now)
        if row.kind in schedule_letters.KINDS:
            return self._schedule_facts(row, now)
        reader = self.people.get(row.user_id or 0)
        course = self.courses.get(_training_of(row, self.seats) or 0)
        if reader is None or course is None:
            return Untrue("there is nobody, or nothing, to write about")
        facts = self._facts(row, reader, course)
        why_not = letter_rules.objections(
            facts,
            now,
            teaches=(course.id, reader.id) in self.teachers,
            office=(course.practice_id, reader.id) in self.office,
        )
        return next((Untrue(why) for why in why_not), facts)

    def _account_facts(self, row: Outbox, now: datetime) -> Facts | Untrue:
        """A letter about an account has a practice, but no training; whoever opted out gets it."""
        said, until = row.payload, as_instant(row.payload.get("until"))
        reader = self.people.get(row.user_id or 0) or NOBODY
        if said.get("to"):
            reader = reader._replace(email=str(said["to"]), undeliverable_at=None)
        if row.kind in account_letters.WITH_LINK and not said.get("page"):
            return Untrue("its link went out with it")
        if until and until <= now:
            return Untrue(account_letters.RAN_OUT)
        if reader.erased_at or not reader.email:
            return Untrue("erased")
        if reader.undeliverable_at:
            return Untrue("undeliverable")
        sender = self.senders.get(said.get("practice", 0), NO_PRACTICE)
        about = self.people.get(said.get("about", 0))
        return Facts(row, reader, sender, (), None, about, None, None, None, "", "", ())

    def _people_facts(self, row: Outbox, now: datetime) -> Facts | Untrue:
        """A letter of a practice to one of its people: true while they are."""
        reader = self.people.get(row.user_id or 0)
        sender = self.senders.get(row.payload.get("practice", 0))
        if reader is None or sender is None:
            return Untrue("there is nobody, or nothing, to write about")
        news = self.news.get(row.id, ())
        facts = Facts(row, reader, sender, (), None, None, None, None, None, "", "", (), news=news)
        why_not = list(letter_rules.objections(facts, now, teaches=False, office=False))
        if (sender.practice_id, reader.id) not in self.members:
            why_not.append("no longer theirs")
        return next((Untrue(why) for why in why_not), facts)

    def _schedule_facts(self, row: Outbox, now: datetime) -> Facts | Untrue:
        """A letter about a schedule: to whoever made it, as long as they have an account."""
        reader = self.people.get(row.user_id or 0)
        if reader is None:
            return Untrue("there is nobody to write to")
        sender = self.senders.get(row.payload.get("practice") or 0, NO_PRACTICE)
        facts = Facts(row, reader, sender, (), None, None, None, None, None, "", "", ())
        why_not = letter_rules.objections(facts, now, teaches=False, office=False)
        return next((Untrue(why) for why in why_not), facts)

    def _facts(self, row: Outbox, reader: Person, course: Course) -> Facts:
        seat = self.seats.get(row.enrolment_id or 0)
        place, waiting = self.line.get(seat.id if seat else 0, (None, None))
        told = self._told(row, course)
        return Facts(
            row=row,
            reader=reader,
            course=course,
            days=tuple(self.days[course.id]),
            seat=seat,
            student=self.people.get(seat.user_id) if seat else None,
            place=place,
            waiting=waiting,
            told=told,
            actor_name=self._actor_name(told, seat) if row.kind in TELLS_WHO else "",
            note=(told.note or "") if told and row.kind in TELLS_WHO else "",
            attendees=tuple(self.attendees.get(course.id, ())),
            free=self.free.get((course.id, reader.id)),
        )

    def _told(self, row: Outbox, course: Course) -> Happened | None:
        """The history row behind a letter: by its number, else by the invitation it ended."""
        if row.kind not in TELLS_HOW:
            return None
        seq = number_in(row.key)
        by_number = (h for h in self.happened if (h.training_id, h.seq) == (course.id, seq))
        by_invitation = (
            h
            for h in self.happened
            if h.ended_invitation and (h.enrolment_id, h.invite_no) == _invitation_of(row)
        )
        of_invitation = row.kind.removesuffix("_trainer") in OF_AN_INVITATION
        return next(by_invitation if of_invitation else by_number, None)

    def _actor_name(self, told: Happened | None, seat: Seat | None) -> str:
        """Who among the staff did it; nobody if it was the student, or no person."""
        user_id = user_in(told.actor) if told else None
        if user_id is None or (seat is not None and user_id == seat.user_id):
            return ""
        found = self.people.get(user_id)
        return found.fullname if found else ""

    # --- the statements, one each ---

    def _ask(self, shape: Any, statement: sa.Select[Any], ids: Iterable[int | None]) -> list[Any]:
        wanted = sorted({id_ for id_ in ids if id_ is not None})
        if not wanted:
            return []
        return [shape(*row) for row in self.session.execute(statement, {"ids": wanted})]

    def _seats(self, ids: Iterable[int | None]) -> dict[int, Seat]:
        return {seat.id: seat for seat in self._ask(Seat, _seats(), ids)}

    def _line(self, trainings: Iterable[int | None]) -> dict[int, tuple[int, int]]:
        waits = {s.training_id for s in self.seats.values() if s.status is WAITLIST}
        mine = [s.id for s in self.seats.values() if s.training_id in waits]
        if not mine:
            return {}
        asked = {"trainings": sorted(waits), "ids": sorted(mine)}
        found = self.session.execute(_places(), asked)
        return {id_: (place, waiting) for id_, place, waiting in found}

    def _happened(self, rows: Sequence[Outbox], trainings: set[int | None]) -> list[Happened]:
        told = [row for row in rows if row.kind in TELLS_HOW]
        if not told:
            return []
        asked = {
            "trainings": sorted(t for t in trainings if t is not None),
            "numbers": sorted({number_in(row.key) or 0 for row in told}),
            "ids": sorted({row.enrolment_id or 0 for row in told}),
        }
        return [Happened(*row) for row in self.session.execute(_history(), asked)]

    def _attendees(self, rows: Sequence[Outbox]) -> dict[int, list[Person]]:
        named = [_training_of(row, self.seats) for row in rows if row.kind in NAMES_ATTENDEES]
        found: dict[int, list[Person]] = defaultdict(list)
        wanted = sorted({id_ for id_ in named if id_ is not None})
        if wanted:
            for training_id, *person in self.session.execute(_enrolled(), {"ids": wanted}):
                found[training_id].append(Person(*person))
        return found

    def _free(self, rows: Sequence[Outbox]) -> dict[tuple[int, int], int]:
        """Places free in a training, by it and by whoever could still take one."""
        told = [row for row in rows if row.kind == OPEN_SPOT]
        if not told:
            return {}
        asked = {
            "trainings": sorted({_training_of(row, self.seats) or 0 for row in told}),
            "users": sorted({row.user_id or 0 for row in told}),
        }
        found = self.session.execute(_newcomers(), asked)
        return {(training_id, user_id): free for training_id, user_id, free in found}

    def _people(self, rows: Sequence[Outbox]) -> dict[int, Person]:
        ids = [row.user_id for row in rows]
        ids += [seat.user_id for seat in self.seats.values()]
        ids += [user_in(h.actor) for h in self.happened]
        ids += [row.payload.get("about") for row in rows if row.kind in account_letters.KINDS]
        return {person.id: person for person in self._ask(Person, _people(), ids)}

    def _senders(self, rows: Sequence[Outbox]) -> dict[int, Course]:
        """The practices of letters about no training, each as a course without one."""
        named = [r.payload.get("practice") for r in rows if r.kind in ABOUT_NO_TRAINING]
        return {c.practice_id: c for c in self._ask(Course, _practices(), named)}

    def _members(self, rows: Sequence[Outbox]) -> set[tuple[int, int]]:
        """(practice, user) of the active students and trainers among these readers."""
        readers = [row.user_id for row in rows if row.kind in people_letters.KINDS]
        return set(self._ask(_pair, _members(), readers))

    def _teachers(
        self, rows: Sequence[Outbox], trainings: Iterable[int | None]
    ) -> set[tuple[int, int]]:
        if not any(is_for_trainers(row.kind) for row in rows):
            return set()
        return set(self._ask(_pair, _teachers(), trainings))

    def _office(self, rows: Sequence[Outbox]) -> set[tuple[int, int]]:
        if not any(row.kind in letter_rules.TO_THE_OFFICE_TOO for row in rows):
            return set()
        practices = {course.practice_id for course in self.courses.values()}
        return set(self._ask(_pair, _office(), practices))


def _pair(of: int, user_id: int) -> tuple[int, int]:
    return of, user_id


ABOUT_NO_TRAINING = account_letters.KINDS | people_letters.KINDS | schedule_letters.KINDS

NAMES_ATTENDEES = ("reminder_trainer", ATTENDEE_LIST, MINIMUM_ALERT)
OF_AN_INVITATION = ("accepted", "declined", "expired", "undelivered")
# Whose reader wants to know who did it, and why: staff among themselves.
TELLS_WHO = frozenset(
    {
        "enrolled_trainer",
        "declined_trainer",
        "expired_trainer",
        "derolled_trainer",
        "left_waitlist_trainer",
        "late_cancellation_trainer",
        "training_cancelled_trainer",
        "training_rescheduled_trainer",
    }
)
# Whose reader learns how it came to that; what staff noted is for staff.
TELLS_HOW = TELLS_WHO | {"declined", "expired", UNDELIVERED}


def _training_of(row: Outbox, seats: dict[int, Seat]) -> int | None:
    seat = seats.get(row.enrolment_id or 0)
    named = row.payload.get("training")
    return seat.training_id if seat else named if isinstance(named, int) else None


def _invitation_of(row: Outbox) -> tuple[int | None, int | None]:
    return row.enrolment_id, row.invite_no


@cache
def _seats() -> Any:
    e = TrainingEnroll
    return (
        sa.select(
            e.id,
            e.uuid,
            e.training_id,
            e.status,
            e.invite_no,
            e.invite_date,
            e.invite_expires_at,
            e.ical_sequence,
            Student.user_id,
            is_active(),
        )
        .join(Student, Student.id == e.student_id)
        .join(User, User.id == Student.user_id)
        .where(among(e.id, "ids"))
    )


@cache
def _courses() -> Any:
    t, p = Training, Practice
    return (
        sa.select(
            t.id,
            t.name,
            TrainingType.name,
            t.cancelled_at,
            t.archived_at,
            t.history_seq,
            p.id,
            p.name,
            p.timezone,
            p.language,
            p.sender,
            t.min_participants,
        )
        .join(p, p.id == t.practice_id)
        .outerjoin(TrainingType, TrainingType.id == t.training_type_id)
        .where(among(t.id, "ids"))
    )


@cache
def _practices() -> Any:
    p, none = Practice, sa.null()
    of_no_training = (sa.literal(0), sa.literal(""), none, none, none, sa.literal(0))
    return sa.select(*of_no_training, p.id, p.name, p.timezone, p.language, p.sender).where(
        among(p.id, "ids")
    )


NOBODY = Person(0, "", "", "", None, None, True, True, True, None)  # has no account yet
NO_PRACTICE = Course(0, "", None, None, None, 0, 0, "Nextseat", "UTC", "en", None)


@cache
def _days() -> Any:
    d, where = TrainingEvent, Location
    return (
        sa.select(
            d.training_id,
            d.id,
            d.start_time,
            d.end_time,
            sa.func.coalesce(where.name, ""),
            sa.func.coalesce(where.address, ""),
        )
        .outerjoin(where, where.id == d.location_id)
        .where(among(d.training_id, "ids"))
        .order_by(d.start_time, d.id)
    )


@cache
def _places() -> Any:
    """Place and length of the line for some who wait (WF3)."""
    e = TrainingEnroll
    line = (
        sa.select(
            e.id,
            sa.func.row_number()
            .over(partition_by=e.training_id, order_by=e.queue_position)
            .label("place"),
            sa.func.count().over(partition_by=e.training_id).label("waiting"),
        )
        .where(among(e.training_id, "trainings"), e.status == WAITLIST)
        .subquery()
    )
    return sa.select(line).where(among(line.c.id, "ids"))


@cache
def _history() -> Any:
    h = EnrolmentHistory
    ended = sa.and_(h.from_status == INVITED, h.to_status != INVITED)
    by_number = sa.and_(among(h.training_id, "trainings"), among(h.seq, "numbers"))
    by_invitation = sa.and_(among(h.enrolment_id, "ids"), ended)
    is_end = sa.func.coalesce(ended, sa.false())
    after = aliased(h)
    filled = sa.exists().where(  # one act has one instant
        after.training_id == h.training_id,
        after.seq > h.seq,
        after.event == "invited",
        after.at == h.at,
    )
    return (
        sa.select(
            h.training_id,
            h.seq,
            h.enrolment_id,
            h.invite_no,
            is_end,
            h.event,
            h.reason,
            h.actor,
            h.note,
            filled,
        )
        .where(sa.or_(by_number, by_invitation))
        .order_by(h.id)
    )


@cache
def _people() -> Any:
    wanted = sa.select(*PERSON).outerjoin(UserSettings, UserSettings.user_id == User.id)
    return wanted.where(among(User.id, "ids"))


@cache
def _members() -> Any:
    each = [
        sa.select(role.practice_id, role.user_id).where(
            among(role.user_id, "ids"), role.status == PersonStatus.ACTIVE
        )
        for role in (Student, Trainer)
    ]
    return sa.union(*each)


@cache
def _enrolled() -> Any:
    """Who comes to some trainings, by name."""
    e = TrainingEnroll
    return (
        sa.select(e.training_id, *PERSON)
        .select_from(e)
        .join(Student, Student.id == e.student_id)
        .join(User, User.id == Student.user_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .where(among(e.training_id, "ids"), e.status == ENROLLED)
        .order_by(User.last_name, User.first_name, User.id)
    )


@cache
def _newcomers() -> Any:
    """Some readers who could join some trainings, and how many places are free there."""
    t = Training
    return (
        sa.select(t.id, User.id, free_spots())
        .join(Student, Student.practice_id == t.practice_id)
        .join(User, User.id == Student.user_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .where(among(t.id, "trainings"), among(User.id, "users"))
        .where(t.active, t.archived_at.is_(None), could_join())
    )


@cache
def _teachers() -> Any:
    t = TrainingTrainer
    accepted = sa.and_(t.status == AssignmentStatus.ACCEPTED, Trainer.status == PersonStatus.ACTIVE)
    return (
        sa.select(t.training_id, Trainer.user_id)
        .join(Trainer, Trainer.id == t.trainer_id)
        .where(among(t.training_id, "ids"), accepted)
    )


@cache
def _office() -> Any:
    """The administrators of some practices."""
    is_admin = sa.and_(Role.id == roles_users.c.role_id, Role.name == "admin")
    return (
        sa.select(User.practice_id, User.id)
        .join(roles_users, roles_users.c.user_id == User.id)
        .join(Role, is_admin)
        .where(among(User.practice_id, "ids"))
    )
