"""The cast of all tests: Ada, Ben and Cleo queue, in this order, for Pottery, which has one place.

Tess trains, Max administers. It is noon, and Pottery starts in thirty days.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.extensions import utcnow
from app.models import (
    AutomationClasses,
    AutomationSchedule,
    BeforeAfterEnum,
    EnrolmentHistory,
    EventsEnum,
    Job,
    Outbox,
    Practice,
    Role,
    Student,
    Trainer,
    Training,
    TrainingEnroll,
    TrainingEvent,
    TrainingTrainer,
    User,
    UserSettings,
)
from app.models.types import new_uuid
from app.services import enrolments, waitlist
from app.services.actors import CONSOLE, LINK, Actor, staff

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(**{u: 1}) for u in ("seconds", "minutes", "hours", "days"))
START = NOON + 30 * DAY
DEADLINE = NOON + 48 * HOUR  # of an invitation made at noon
REASON = "a good reason"


class Cast:
    """Who and what a test needs, made on demand in its session."""

    def __init__(self, session: Session, places: int = 1) -> None:
        self.session = session
        # Few flushes: half of all tests begin with this.
        self.practice = Practice(name="Clay & Co", shortname="clay")
        tess, boss = self._a_user("Tess"), self._a_user("Max")
        self._add_all(self.practice, tess, boss)
        self.max = staff(boss.id, [self.practice.id])
        self.tess = self.add(Trainer(user_id=tess.id, practice_id=self.practice.id))
        self.pottery = self._a_training("Pottery", places)
        self.schedule = self._a_waitlist_schedule("waitlist_invitation_expiry", 48 * HOUR)
        self._add_all(self.pottery, self.schedule)
        self.students: dict[str, Student] = {}

    @property
    def today(self) -> date:
        """By the practice's clock, on which it may be tomorrow already."""
        return utcnow().astimezone(ZoneInfo(self.practice.timezone)).date()

    # --- making ---

    def add(self, row: Any) -> Any:
        self._add_all(row)
        return row

    def _add_all(self, *rows: Any) -> None:
        self.session.add_all(rows)
        self.session.flush()

    def user(self, name: str) -> User:
        return self.add(self._a_user(name))

    def _a_user(self, name: str) -> User:
        email = f"{name.lower()}-{new_uuid()[:8]}@example.org"
        user = User(email=email, first_name=name, last_name="Example", active=True)
        user.fs_uniquifier = new_uuid()
        return user

    def administrator(self, name: str) -> User:
        """An administrator of the practice."""
        user = self.user(name)
        user.practice_id = self.practice.id
        user.roles.append(Role(name="admin"))
        self.session.flush()
        return user

    def student(self, name: str) -> Student:
        """The student of that name, made when first asked for."""
        if name not in self.students:
            row = Student(user_id=self.user(name).id, practice_id=self.practice.id)
            self.students[name] = self.add(row)
        return self.students[name]

    def trainer(self, name: str) -> Trainer:
        return self.add(Trainer(user_id=self.user(name).id, practice_id=self.practice.id))

    def training(self, name: str, places: int = 1, start: datetime | None = START) -> Training:
        """An open training with Tess, one event of three hours, or none at all."""
        return self.add(self._a_training(name, places, start))

    def _a_training(self, name: str, places: int, start: datetime | None = START) -> Training:
        training = Training(
            practice_id=self.practice.id, name=name, max_participants=places, active=True
        )
        training.trainers.append(TrainingTrainer(trainer_id=self.tess.id))
        if start is not None:
            training.events.append(TrainingEvent(start_time=start, end_time=start + 3 * HOUR))
        return training

    def task(self, class_name: str) -> AutomationClasses:
        return self.add(self._a_task(class_name))

    def _a_task(self, class_name: str) -> AutomationClasses:
        found = self.session.scalars(
            sa.select(AutomationClasses).where(AutomationClasses.class_name == class_name)
        ).one_or_none()
        return found or AutomationClasses(class_name=class_name)

    def waitlist_schedule(self, name: str, answer: timedelta, **more: Any) -> AutomationSchedule:
        return self.add(self._a_waitlist_schedule(name, answer, **more))

    def _a_waitlist_schedule(self, name: str, answer: timedelta, **more: Any) -> AutomationSchedule:
        return AutomationSchedule(
            name=name,
            automation_class=self._a_task("AutomaticWaitList"),
            beforeafter=BeforeAfterEnum.after,
            events=EventsEnum.invited,
            interval=answer,
            **more,
        )

    # --- what people do ---

    def enrol(
        self, name: str, now: datetime = NOON, training: Training | None = None
    ) -> TrainingEnroll:
        where = (training or self.pottery).id
        who = self.student(name)
        actor = Actor(f"user:{who.user_id}", user_id=who.user_id)
        return enrolments.enrol(self.session, where, who.id, actor, now, terms=True)

    def enrol_all(self, *names: str, now: datetime = NOON) -> list[TrainingEnroll]:
        return [self.enrol(name, now) for name in names]

    def leave(self, enrolment: TrainingEnroll, now: datetime = NOON) -> None:
        enrolments.deroll(self.session, enrolment, LINK, now)

    def accept(self, enrolment: TrainingEnroll, now: datetime = NOON) -> waitlist.Answer:
        return waitlist.accept(self.session, enrolment, LINK, now)

    def decline(self, enrolment: TrainingEnroll, now: datetime = NOON) -> waitlist.Answer:
        return waitlist.decline(self.session, enrolment, LINK, now)

    def expire(self, enrolment: TrainingEnroll, now: datetime = DEADLINE) -> bool:
        return waitlist.expire(self.session, enrolment, CONSOLE, now)

    # --- what there is ---

    def statuses(self, *rows: TrainingEnroll) -> list[str]:
        for row in rows:
            self.session.refresh(row)
        return [str(row.status) for row in rows]

    def history(self, training: Training | None = None) -> list[str]:
        """The events of a training, in the order of their numbers."""
        of = (training or self.pottery).id
        rows = sa.select(EnrolmentHistory.event).where(EnrolmentHistory.training_id == of)
        return list(self.session.scalars(rows.order_by(EnrolmentHistory.seq)))

    def letters(self, since: int = 0) -> list[tuple[str, str]]:
        """(letter, first name of its reader) of all promised, in the order they were."""
        rows = sa.select(Outbox.kind, User.first_name).join(User, User.id == Outbox.user_id)
        found = self.session.execute(rows.where(Outbox.id > since).order_by(Outbox.id))
        return [(kind, name) for kind, name in found]

    def last_letter(self) -> int:
        return self.session.scalar(sa.select(sa.func.max(Outbox.id))) or 0

    def jobs(self) -> dict[str, datetime]:
        return {row.id: row.due for row in self.session.execute(sa.select(Job.id, Job.due))}

    # --- for whoever tries to break it ---

    def several(self, count: int, places: int = 0) -> Training:
        """A training with `count` waiting students, written in bulk, and room for `places`."""
        training = self.training("Weaving", places)
        people = [self._plain_user(n) for n in range(count)]
        self._insert(User, people)
        emails = [person["email"] for person in people]
        users = self.session.scalars(sa.select(User.id).where(User.email.in_(emails))).all()
        self._insert(Student, [{"user_id": id_, "practice_id": self.practice.id} for id_ in users])
        mine = sa.select(Student.id).where(Student.user_id.in_(users)).order_by(Student.id)
        row = {"training_id": training.id, "status": "waitlist", "joined_at": NOON}
        waiting = [
            row | {"student_id": id_, "queue_position": n}
            for n, id_ in enumerate(self.session.scalars(mine), start=1)
        ]
        self._insert(TrainingEnroll, waiting)
        training.last_position = count
        self.session.flush()
        return training

    def _plain_user(self, n: int) -> dict[str, Any]:
        unique = new_uuid()
        return {
            "email": f"{n}-{unique}@example.org",
            "fs_uniquifier": unique,
            "first_name": f"N{n}",
            "last_name": "Example",
            "active": True,
        }

    def _insert(self, model: Any, rows: list[dict[str, Any]]) -> None:
        if rows:
            self.session.execute(sa.insert(model), rows)

    def line(self, *names: str) -> list[TrainingEnroll]:
        """Ada takes the one place of Pottery, the others queue; without her."""
        return self.enrol_all("Ada", *names)[1:]

    def offer(self, *names: str) -> list[TrainingEnroll]:
        """`line`, then Ada leaves at noon: the first of them is invited."""
        rows = self.line(*names)
        self.leave(self.row("Ada"))
        self.session.expire_all()
        return rows

    def row(self, name: str, training: Training | None = None) -> TrainingEnroll:
        """The enrolment of a student in Pottery, as the database has it."""
        of = (training or self.pottery).id
        mine = sa.select(TrainingEnroll).where(
            TrainingEnroll.training_id == of,
            TrainingEnroll.student_id == self.student(name).id,
        )
        return self.session.scalars(mine.execution_options(populate_existing=True)).one()

    def in_status(self, status: str) -> TrainingEnroll:
        """Ben's enrolment, brought to `status` at noon by what people do; Cleo is behind him."""
        if status == "enrolled":
            return self.enrol_all("Ben", "Cleo")[0]
        if status in ("waitlist", "derolled"):
            ben = self.line("Ben", "Cleo")[0]
            if status == "derolled":
                enrolments.leave(self.session, ben, LINK, NOON)
            return ben
        ben = self.offer("Ben", "Cleo")[0]
        if status == "waitlist-declined":
            self.decline(ben)
        if status == "waitlist-invite-expired":
            waitlist.deinvite(self.session, ben, self.max, NOON, REASON)
        return ben

    def events(self, training: Training | None = None) -> list[EnrolmentHistory]:
        """The history of a training, whole rows."""
        of = (training or self.pottery).id
        rows = sa.select(EnrolmentHistory).where(EnrolmentHistory.training_id == of)
        return list(self.session.scalars(rows.order_by(EnrolmentHistory.seq)))

    def last_event(self, event: str, training: Training | None = None) -> EnrolmentHistory:
        """The latest history row of that name."""
        return [row for row in self.events(training) if row.event == event][-1]

    def letter_keys(self, since: int = 0) -> list[str]:
        """The keys of all letters promised, in the order they were."""
        rows = sa.select(Outbox.key).where(Outbox.id > since).order_by(Outbox.id)
        return list(self.session.scalars(rows))

    def ledger(self, training: Training | None = None) -> tuple[int, int, int]:
        """(taken, kept, overbooked) as the training's row says."""
        t = Training
        row = self.session.execute(
            sa.select(t.seats_taken, t.seats_kept, t.overbooked_by).where(
                t.id == (training or self.pottery).id
            )
        ).one()
        return (row[0], row[1], row[2])

    def everything(self) -> dict[str, Any]:
        """All that an act can change, to see that nothing did."""
        self.session.flush()
        tables = (Training, TrainingEnroll, EnrolmentHistory, Outbox, Job)
        return {
            model.__tablename__: [
                tuple(row)
                for row in self.session.execute(
                    sa.select(model.__table__).order_by(*model.__table__.primary_key)
                )
            ]
            for model in tables
        }

    def wont_mail(self, name: str) -> None:
        """The student switches letters off, past the services."""
        user_id = self.student(name).user_id
        self.add(UserSettings(user_id=user_id, msg_transactional_emails=False))
        self.session.expire_all()
