"""The scene of the demo: a practice, its people, its trainings and what runs by the clock."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.automation.scheduler_ops import describe_classes
from app.models import (
    AutomationClasses,
    AutomationSchedule,
    BeforeAfterEnum,
    EventsEnum,
    Location,
    Practice,
    Student,
    Trainer,
    Training,
    TrainingEvent,
    TrainingTrainer,
    TrainingType,
    User,
    UserSettings,
)
from app.models.automation import ScheduleType
from app.models.policy import PolicyKind
from app.models.user import TrainerLetters
from app.ops.demo_data import courses, people
from app.services import accounts, digests, policies
from app.services.actors import Actor, staff
from app.services.schedule_models import BirthdayBotConfig, BotConfig, VisitorBotConfig

ANSWER_TIME = timedelta(days=2)
QUICK_ANSWER_TIME = timedelta(minutes=3)
BEFORE, AFTER = BeforeAfterEnum.before, BeforeAfterEnum.after

# Every task that is built in: name, class, side, event, interval, for which type alone.
SCHEDULES: tuple[tuple[str, str, BeforeAfterEnum, EventsEnum, timedelta, str | None], ...] = (
    ("waitlist_invitation_expiry", "AutomaticWaitList", AFTER, EventsEnum.invited, ANSWER_TIME,
     None),
    ("quick_answers", "AutomaticWaitList", AFTER, EventsEnum.invited, QUICK_ANSWER_TIME,
     courses.QUICK),
    ("student_reminder", "StudentReminderTask", BEFORE, EventsEnum.first, timedelta(days=7), None),
    ("trainer_reminder", "TrainerReminderTask", BEFORE, EventsEnum.first, timedelta(days=2), None),
    ("open_spots", "StudentOpenSpotReminder", BEFORE, EventsEnum.first, timedelta(days=3), None),
    ("waitlist_reminder", "WaitlistReminderTask", BEFORE, EventsEnum.first, timedelta(days=14),
     None),
    ("attendee_list", "SendAttendeeListTask", BEFORE, EventsEnum.first, timedelta(days=1), None),
    ("minimum_alert", "MinimumNumberAlert", BEFORE, EventsEnum.first, timedelta(days=7), None),
    ("archive_trainings", "DeleteTrainingTask", AFTER, EventsEnum.last, timedelta(days=30), None),
)  # fmt: skip

# What document 003 offers, for an administrator to look at: off, and in test mode (schedules F6).
OFFERED: tuple[tuple[str, str, ScheduleType, dict[str, Any], BotConfig], ...] = (
    ("Daily Birthday Messages", "birthday", ScheduleType.DAILY, {"hour": 8, "minute": 0},
     BirthdayBotConfig(dry_run=True, process_late=True)),
    ("Weekly Profile Visits", "visitor", ScheduleType.WEEKLY,
     {"day_of_week": "mon,wed,fri", "hour": 14, "minute": 0}, VisitorBotConfig(dry_run=True)),
    ("Hourly Birthday Check", "birthday", ScheduleType.INTERVAL, {"interval_seconds": 3600},
     BirthdayBotConfig(dry_run=True)),
)  # fmt: skip


@dataclass
class Scene:
    """What the story is told with: rows by their names, none of them open for booking yet."""

    practice: Practice
    admin: Actor
    students: dict[str, Student]  # by the part of the address before the @
    trainings: dict[str, Training]

    @classmethod
    def set_up(cls, session: Session, chance: random.Random, password: str, now: datetime) -> Scene:
        """Write it, uncommitted; `password` is hashed, and that of all who sign in."""
        name, shortname = courses.PRACTICE
        practice = Practice(
            name=name, shortname=shortname, timezone=str(courses.ZONE), language="en",
            sender=f"desk@{people.DOMAIN}",
        )  # fmt: skip
        session.add(practice)
        session.flush()  # accounts and schedules name its id
        users = _accounts(session, practice, chance, password)
        session.flush()  # the administrator acts by id
        kinds = _types(session, practice)
        _policies(session, practice, kinds)
        _schedules(session, practice, kinds, now)
        digests.ship(session, practice)
        return cls(
            practice=practice,
            admin=staff(users["admin"].id, [practice.id]),
            students=_by_address(session, Student),
            trainings=_trainings(session, practice, kinds, now),
        )


def _accounts(
    session: Session, practice: Practice, chance: random.Random, password: str
) -> dict[str, User]:
    made: dict[str, User] = {}
    known = {account.address for account in people.ACCOUNTS}
    staff_first = [account for account in people.ACCOUNTS if account.roles != ("student",)]
    for account in (*staff_first, *people.TRAINERS, *people.students(chance)):
        user = accounts.create(session, account.email, practice, account.roles)
        user.first_name, user.last_name = account.first_name, account.last_name
        if account.address in known:
            user.password = password
        made[account.address] = user
    for trainer in people.TRAINERS:  # so that the outbox is not full of theirs
        made[trainer.address].settings = UserSettings(trainer_letters=TrainerLetters.DIGEST)
    return made


def _by_address(session: Session, model: type[Any]) -> dict[str, Any]:
    rows = session.execute(sa.select(User.email, model).join(model, model.user_id == User.id))
    return {email.partition("@")[0]: row for email, row in rows}


def _types(session: Session, practice: Practice) -> dict[str, TrainingType]:
    kinds = {
        name: TrainingType(practice_id=practice.id, name=name, description=description)
        for name, description in courses.TYPES.items()
    }
    session.add_all(kinds.values())
    return kinds


def _policies(session: Session, practice: Practice, kinds: dict[str, TrainingType]) -> None:
    """What is shipped. The hours hold for all types; for which a limit does, visitors may try."""
    for policy in policies.ship(session, practice.id):
        if policy.kind is PolicyKind.CANCELLATION_WINDOW:
            policy.training_types = list(kinds.values())


def _schedules(
    session: Session, practice: Practice, kinds: dict[str, TrainingType], now: datetime
) -> None:
    describe_classes(session)
    session.flush()  # so that its rows are found
    classes = {row.class_name: row for row in session.scalars(sa.select(AutomationClasses))}
    session.add_all(
        AutomationSchedule(
            practice_id=practice.id,
            name=name,
            automation_class=classes[class_name],
            beforeafter=side,
            events=events,
            interval=interval,
            active_since=now,
            training_types=[kinds[type_]] if type_ else [],
        )
        for name, class_name, side, events, interval, type_ in SCHEDULES
    )
    session.add_all(
        AutomationSchedule(
            practice_id=practice.id,
            name=name,
            automation_class=classes[class_name],
            schedule_type=kind,
            schedule_config=when,
            task_config=config.model_dump(mode="json", exclude={"dry_run"}),
            dry_run=True,
            active=False,
        )
        for name, class_name, kind, when, config in OFFERED
    )
    session.flush()  # trainings that open look for them


def _trainings(
    session: Session, practice: Practice, kinds: dict[str, TrainingType], now: datetime
) -> dict[str, Training]:
    rooms = {
        name: Location(practice_id=practice.id, name=name, address=address)
        for name, address in courses.LOCATIONS.items()
    }
    trainers = _by_address(session, Trainer)
    in_order = [trainers[who.address] for who in (people.ACCOUNTS[1], *people.TRAINERS)]
    made = {}
    for course in courses.COURSES:
        made[course.name] = Training(
            practice_id=practice.id,
            training_type=kinds[course.type],
            name=course.name,
            description=courses.TYPES[course.type],
            max_participants=course.places,
            min_participants=course.places // 3,
            events=[
                TrainingEvent(start_time=start, end_time=end, location=rooms[course.location])
                for start, end in course.meetings(now)
            ],
            trainers=[TrainingTrainer(trainer=in_order[course.trainer])],
        )
    session.add_all(made.values())
    session.flush()  # the story names their ids
    return made
