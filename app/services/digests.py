"""One letter a day to trainers who want none for each thing that happens (waitlist WN15).

What a trainer knows of a training is a number of its history: `TrainingTrainer.told_seq`. Those
numbers have no gap and are given under the training's lock, so what is committed later has a higher
one. Nothing falls between two digests, however late they are, and of two at once one tells it.

`plan` only reads; `tell` asks again under the trainer's lock. What a trainer was told at once has
its letter in the outbox, written with the history: it is not told again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.automation import AutomationClasses, AutomationSchedule, ScheduleType
from app.models.bulk import send
from app.models.enrolment import TrainingEnroll
from app.models.enrolment_history import EnrolmentHistory
from app.models.outbox import Outbox
from app.models.person import PersonStatus, Trainer
from app.models.practice import Practice
from app.models.queue import digest_wanted, mail_allowed
from app.models.training import AssignmentStatus, Training, TrainingTrainer
from app.models.types import new_uuid
from app.models.user import User, UserSettings
from app.services import people_letters
from app.services.locks import locked
from app.services.occurrence import name_of

TASK, NAME = "TrainerDigestTask", "Daily Trainer Digest"
DAILY_AT = {"hour": 18, "minute": 0}  # by the clock of the practice

# Older than that is no news; letters, which say what was told at once, are kept so long.
LOOKS_BACK = timedelta(days=30)

# What a digest tells of, and the letter that tells it at once.
LETTERS = {
    "enrolled": "enrolled_trainer",
    "forced": "enrolled_trainer",
    "queued": "waitlisted_trainer",
    "re-enabled": "waitlisted_trainer",
    "invited": "invited_trainer",
    "accepted": "accepted_trainer",
    "declined": "declined_trainer",
    "expired": "expired_trainer",
    "deinvited": "expired_trainer",
    "derolled": "derolled_trainer",
    "left": "left_waitlist_trainer",
    "removed": "left_waitlist_trainer",
    "undelivered": "undelivered_trainer",
    "rescheduled": "training_rescheduled_trainer",
    "training-cancelled": "training_cancelled_trainer",
}
# Whose occasion is the invitation (WM6).
BY_INVITATION = ("invited", "accepted", "declined", "expired", "deinvited", "undelivered")


@dataclass(frozen=True)
class Digest:
    """What a trainer is to be told: numbers in the history of each of their trainings."""

    trainer_id: int
    user_id: int
    practice_id: int
    news: Mapping[int, tuple[int, ...]]

    @property
    def changes(self) -> int:
        """How many things happened."""
        return sum(len(numbers) for numbers in self.news.values())


def plan(session: Session, practice_id: int | None, now: datetime) -> list[Digest]:
    """The digests to be written now: of one practice, or without one of all. One statement."""
    in_practice = sa.true() if practice_id is None else Trainer.practice_id == practice_id
    return list(_digests(session, now, in_practice))


def tell(
    session: Session,
    trainer_id: int,
    occasion: str,
    now: datetime,
    *,
    execution_id: str | None = None,
) -> bool:
    """Promise a trainer's digest of what is news by now, and note that it is told.

    False: there is nothing (left) to tell, or this very occasion had its letter: what happened
    since is for the next. Raises `NotFound`.
    """
    locked(session, Trainer, trainer_id)  # of two at once the second finds nothing
    digest = next(_digests(session, now, Trainer.id == trainer_id), None)
    promised = digest is not None and people_letters.trainer_digest(
        session,
        digest.practice_id,
        trainer_id,
        digest.user_id,
        occasion,
        digest.news,
        now,
        execution_id=execution_id,
    )
    if digest is None or not promised:
        return False
    known = [
        {"training": training_id, "trainer": trainer_id, "seq": max(numbers)}
        for training_id, numbers in digest.news.items()
    ]
    send(session, _told(), known)
    return True


# --- choosing it, and choosing otherwise ---------------------------------------------------------


def begin(session: Session, user_id: int) -> None:
    """Somebody wants digests from now on: what happened so far is known, or was not wanted."""
    t, mine = TrainingTrainer, sa.select(Trainer.id).where(Trainer.user_id == user_id)
    last = sa.select(Training.history_seq).where(Training.id == t.training_id).scalar_subquery()
    session.execute(
        sa.update(t)
        .where(t.trainer_id.in_(mine))
        .values(told_seq=last)
        .execution_options(synchronize_session="fetch")
    )


def so_far(training: Training) -> Any:
    """What the row of somebody who begins to teach holds: all that happened so far is old news.

    Asked when the row is written: what was loaded of the training may be older than its history.
    """
    if training.id is None:
        return 0
    last = sa.select(Training.history_seq).where(Training.id == training.id)
    return last.scalar_subquery()


def end(session: Session, user_id: int, now: datetime) -> None:
    """Somebody wants a letter for each thing from now on: here is what no digest told yet."""
    mine = sa.select(Trainer.id).where(Trainer.user_id == user_id).order_by(Trainer.id)
    for trainer_id in session.scalars(mine).all():
        tell(session, trainer_id, f"last-{name_of(now)}", now)


# --- the schedule that is shipped ----------------------------------------------------------------


def provide(session: Session, chooser: int | None = None) -> None:
    """Let nobody choose a digest that nothing sends: give their practices the schedule.

    Of the user who just chose it; without one of all who ever did, unless the office removed it.
    """
    s, theirs = AutomationSchedule, sa.exists().where(Trainer.practice_id == Practice.id)
    there = sa.exists().where(
        s.automation_class_id == AutomationClasses.id,
        AutomationClasses.class_name == TASK,
        sa.or_(s.practice_id == Practice.id, s.practice_id.is_(None)),
    )
    if chooser is None:
        chosen = UserSettings.user_id == Trainer.user_id
        theirs = theirs.where(Trainer.status == PersonStatus.ACTIVE, chosen, digest_wanted())
    else:
        theirs = theirs.where(Trainer.user_id == chooser)
        there = there.where(s.deleted_at.is_(None))
    without = sa.select(Practice).where(theirs, ~there).order_by(Practice.id)
    for practice in session.scalars(without).all():
        ship(session, practice)


def ship(session: Session, practice: Practice) -> AutomationSchedule:
    """Give a practice the schedule of its digests, daily at 18:00 by its own clock."""
    s, c = AutomationSchedule, AutomationClasses
    taken = set(session.scalars(sa.select(s.name).where(s.deleted_at.is_(None))))
    of_class = session.scalars(sa.select(c).where(c.class_name == TASK)).one_or_none()
    names = (NAME, f"{NAME} {practice.id}", f"{NAME} {new_uuid()}")
    schedule = AutomationSchedule(
        name=next(name for name in names if name not in taken),
        practice_id=practice.id,
        automation_class=of_class or AutomationClasses(class_name=TASK),
        schedule_type=ScheduleType.DAILY,
        schedule_config=dict(DAILY_AT),
    )
    session.add(schedule)
    session.flush()  # the next practice looks for its class and name
    return schedule


# --- reading -------------------------------------------------------------------------------------


def _digests(session: Session, now: datetime, *which: sa.ColumnElement[bool]) -> Iterator[Digest]:
    found = session.execute(_news().where(*which), {"since": now - LOOKS_BACK})
    for (trainer_id, user_id, practice_id), rows in groupby(found, key=lambda row: row[:3]):
        yield Digest(trainer_id, user_id, practice_id, _by_training(list(rows)))


def _by_training(rows: Sequence[Any]) -> dict[int, tuple[int, ...]]:
    grouped = groupby(rows, key=lambda row: int(row.training_id))
    return {training_id: tuple(row.seq for row in some) for training_id, some in grouped}


@cache
def _news() -> Any:
    """(trainer, user, practice, training, number) of all that is news to whoever wants digests."""
    t, h, e = TrainingTrainer, EnrolmentHistory, TrainingEnroll
    told_at_once = sa.exists().where(Outbox.key == _key())
    return (
        sa.select(Trainer.id, Trainer.user_id, Trainer.practice_id, t.training_id, h.seq)
        .select_from(t)
        .join(Trainer, Trainer.id == t.trainer_id)
        .join(User, User.id == Trainer.user_id)
        .join(UserSettings, UserSettings.user_id == User.id)
        .join(h, sa.and_(h.training_id == t.training_id, h.seq > t.told_seq))
        .outerjoin(e, e.id == h.enrolment_id)
        .where(
            t.status == AssignmentStatus.ACCEPTED,
            Trainer.status == PersonStatus.ACTIVE,
            User.active,
            mail_allowed(),
            digest_wanted(),
            h.event.in_(list(LETTERS)),
            h.at > sa.bindparam("since"),
            ~told_at_once,
        )
        .order_by(Trainer.id, t.training_id, h.seq)
    )


def _key() -> sa.ColumnElement[str]:
    """The outbox's key of the letter that told it at once."""
    h, e = EnrolmentHistory, TrainingEnroll
    letter = sa.case(LETTERS, value=h.event)
    of_training = sa.literal("training-") + sa.cast(h.training_id, sa.String)
    occasion = sa.case((h.event.in_(BY_INVITATION), h.invite_no), else_=h.seq)
    return (
        letter
        + ":"
        + sa.func.coalesce(e.uuid, of_training)
        + ":"
        + sa.cast(occasion, sa.String)
        + ":email:"
        + sa.cast(Trainer.user_id, sa.String)
    )


@cache
def _told() -> Any:
    table = TrainingTrainer.__table__
    whose = (
        table.c.training_id == sa.bindparam("training"),
        table.c.trainer_id == sa.bindparam("trainer"),
    )
    return sa.update(table).where(*whose).values(told_seq=sa.bindparam("seq"))  # type: ignore[arg-type]
