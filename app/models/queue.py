"""What the queue of a training looks like: who may be invited, how many places are free.

SELECTs only, and each of them once: pages, refills and the documented
`Training.waitlist_enrollments_eligible()` ask the same question in the same words.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session, aliased

from app.models.bulk import composed, send
from app.models.enrolment import DECLINED, OPEN, TAKING, WAITLIST, TrainingEnroll
from app.models.enrolment_history import EnrolmentHistory
from app.models.person import PersonStatus, Student
from app.models.practice import Practice
from app.models.rules import Rules, rules_of
from app.models.training import Training, TrainingEvent
from app.models.types import UtcDateTime
from app.models.user import TrainerLetters, User, UserSettings


@dataclass(frozen=True)
class Standing:
    """How a training stands at `now`, counted in ONE statement (waitlist WF1, STYLE P1)."""

    training: Training
    rules: Rules
    now: datetime
    taken: int  # seats of enrolled and invited
    planned: int  # seats held for invitations planned but not yet sent
    waiting: int  # rows in the line, eligible or not
    starts_at: datetime | None
    practice_cutoff: timedelta | None
    first_position: int | None = None  # of who waits, eligible or not, where it was asked

    @property
    def free(self) -> int:
        """Places anyone may take now, at least 0."""
        return max(0, self.spare - self.training.seats_kept)

    @property
    def spare(self) -> int:
        """Free places, those included that staff keep back (WO3); negative when overbooked."""
        return self.training.max_participants - self.taken - self.planned

    @property
    def hard_stop(self) -> datetime | None:
        """The last instant of an answer: start less cut-off; None without events (WD3)."""
        own = self.training.invite_cutoff
        return hard_stop(self.starts_at, own, self.practice_cutoff, self.rules)

    @property
    def is_open(self) -> bool:
        """Active, not cancelled, archived or started (WD3)."""
        return self.training.bookable and not self.started

    @property
    def started(self) -> bool:
        return self.starts_at is not None and self.starts_at <= self.now

    @property
    def before_hard_stop(self) -> bool:
        return self.hard_stop is None or self.now < self.hard_stop

    @property
    def invites(self) -> bool:
        """A refill may invite: open, not paused, and enough time left to answer (WF5)."""
        if not self.is_open or self.training.waitlist_paused:
            return False
        return self.hard_stop is None or self.hard_stop - self.now >= self.rules.min_answer

    @property
    def to_invite(self) -> int:
        return self.free if self.invites else 0


def standing(session: Session, training: Training, now: datetime) -> Standing:
    """Count `training`; under its lock the answer holds until the commit."""
    row = send(session, _counts(), {"training": training.id}).one()
    return Standing(training, rules_of(session), now, *row)


@composed
def _counts() -> sa.Select[Any]:
    e, of = TrainingEnroll, sa.bindparam("training", type_=sa.Integer)
    planned = sa.and_(e.status == WAITLIST, e.invite_planned_at.is_not(None))
    cutoff = sa.select(Practice.invite_cutoff).join(Training).where(Training.id == of)
    return sa.select(
        sa.func.coalesce(sa.func.sum(e.seats).filter(e.status.in_(TAKING)), 0),
        sa.func.coalesce(sa.func.sum(e.seats).filter(planned), 0),
        sa.func.count().filter(e.status == WAITLIST),
        starts_at(of),
        cutoff.scalar_subquery(),
        sa.func.min(e.queue_position).filter(e.status == WAITLIST),
    ).where(e.training_id == of, e.status.in_(OPEN))


def hard_stop(
    starts_at: datetime | None, own: timedelta | None, practice: timedelta | None, rules: Rules
) -> datetime | None:
    """Start less cut-off: the training's own, else the practice's, else `WAITLIST_CUTOFF`."""
    cutoff = next((c for c in (own, practice) if c is not None), rules.cutoff)
    return None if starts_at is None else starts_at - cutoff


def starts_at(training_id: int | sa.SQLColumnExpression[int]) -> sa.ScalarSelect[Any]:
    """The earliest `start_time` of a training's events, null without events."""
    return (
        sa.select(sa.func.min(TrainingEvent.start_time))
        .where(TrainingEvent.training_id == training_id)
        .scalar_subquery()
    )


def free_spots() -> ColumnElement[int]:
    """Places of each `Training` of a statement that anyone may take; below 0 if over-full (WF1)."""
    t, e = Training, aliased(TrainingEnroll)
    planned = sa.and_(e.status == WAITLIST, e.invite_planned_at.is_not(None))
    held = sa.select(sa.func.coalesce(sa.func.sum(e.seats), 0)).where(
        e.training_id == t.id, sa.or_(e.status.in_(TAKING), planned)
    )
    return t.max_participants - held.correlate(t).scalar_subquery() - t.seats_kept


NOW, SINCE = (sa.bindparam(name, type_=UtcDateTime()) for name in ("now", "since"))


def clock(rules: Rules, now: datetime) -> dict[str, datetime]:
    """The parameters of every statement that asks for an `obstacle`."""
    return {"now": now, "since": now - rules.invite_window}


def obstacle(rules: Rules, *, planned: bool = True) -> ColumnElement[str | None]:
    """Why a waiting row can't be invited now: a code that trainers see, null = eligible (WD4).

    Needs `waiting()`'s joins and `clock()`'s parameters. `too-late` is not among the codes: it
    holds for a whole training. `planned=False` asks of a planned row what else is in its way.
    """
    is_planned = TrainingEnroll.invite_planned_at.is_not(None) if planned else sa.false()
    invited = invitations_since(Student.id, SINCE)
    return sa.case(
        (sa.not_(is_active()), "inactive"),
        (sa.not_(reachable(rules)), "unreachable"),
        (TrainingEnroll.skipped, "skipped"),
        (TrainingEnroll.not_before > NOW, "later"),
        (is_planned, "planned"),
        (invited >= rules.invite_limit, "rate-limited"),
        else_=None,
    )


def reachable(rules: Rules) -> ColumnElement[bool]:
    """Someone we can tell: by mail, SMS or push, not by the message centre alone (WD3)."""
    ways: list[ColumnElement[bool]] = []
    if "email" in rules.channels:
        ways.append(mail_allowed())
    if "sms" in rules.channels:
        wanted = sa.func.coalesce(UserSettings.msg_sms, sa.true())
        ways.append(sa.and_(wanted, User.phone.is_not(None)))
    if "push" in rules.channels:
        ways.append(sa.func.coalesce(UserSettings.msg_push, sa.false()))
    return sa.and_(User.erased_at.is_(None), sa.or_(sa.false(), *ways))


def mail_allowed() -> ColumnElement[bool]:
    """Mail is wanted (a missing settings row wants it) and the address has not bounced."""
    wanted = sa.func.coalesce(UserSettings.msg_transactional_emails, sa.true())
    return sa.and_(wanted, User.undeliverable_at.is_(None), User.erased_at.is_(None))


def reminders_wanted() -> ColumnElement[bool]:
    """Letters that one can do without: reminders, digests, greetings (people PS10)."""
    return sa.func.coalesce(UserSettings.msg_reminders, sa.true())


def greetings_wanted() -> ColumnElement[bool]:
    """Letters on birthdays and about one's own profile (people PS8)."""
    return sa.func.coalesce(UserSettings.msg_greetings, sa.true())


def spots_wanted() -> ColumnElement[bool]:
    """News of free places, from a practice that one is a student of (people PS8)."""
    return sa.func.coalesce(UserSettings.msg_last_min_spots, sa.true())


def digest_wanted() -> ColumnElement[bool]:
    """One letter a day about all trainings that one teaches (people PT6)."""
    wanted = sa.func.coalesce(UserSettings.trainer_letters, TrainerLetters.EACH)
    return wanted == TrainerLetters.DIGEST


def is_active() -> ColumnElement[bool]:
    """A student who may book: neither they nor their account are switched off (WD1)."""
    return sa.and_(Student.status == PersonStatus.ACTIVE, User.active)


def could_join() -> ColumnElement[bool]:
    """A student to whom a free place in `Training` is news: on no list of it, not declined (WB).

    Needs `Training`, `Student`, `User` and, by an outer join, `UserSettings` in the statement.
    """
    e = aliased(TrainingEnroll)
    known = sa.exists().where(
        e.training_id == Training.id,
        e.student_id == Student.id,
        e.status.in_((*OPEN, DECLINED)),
    )
    own_practice = Student.practice_id == Training.practice_id
    return sa.and_(own_practice, is_active(), mail_allowed(), spots_wanted(), ~known)


def invitations_since(
    student_id: int | sa.SQLColumnExpression[int], since: datetime | ColumnElement[datetime]
) -> sa.ScalarSelect[int]:
    """How often a student was invited since then, in all trainings: from history (WF7)."""
    return (
        sa.select(sa.func.count())
        .where(
            EnrolmentHistory.event == "invited",
            EnrolmentHistory.student_id == student_id,
            EnrolmentHistory.at > since,
        )
        .scalar_subquery()
    )


def waiting(training_id: int | sa.SQLColumnExpression[int], *columns: Any) -> sa.Select[Any]:
    """The waiting rows of a training, first in line first, with student, user and settings."""
    return (
        sa.select(*columns)
        .select_from(TrainingEnroll)
        .join(Student, Student.id == TrainingEnroll.student_id)
        .join(User, User.id == Student.user_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .where(TrainingEnroll.training_id == training_id, TrainingEnroll.status == WAITLIST)
        .order_by(TrainingEnroll.queue_position)
    )


def eligible(
    training_id: int | sa.SQLColumnExpression[int], rules: Rules, *columns: Any
) -> sa.Select[Any]:
    """Those of `waiting()` who may be invited now; takes `clock()`'s parameters."""
    return waiting(training_id, *columns).where(obstacle(rules).is_(None))


def first_in_line(
    session: Session, training_id: int, limit: int, rules: Rules, now: datetime
) -> list[TrainingEnroll]:
    """The first `limit` eligible rows of a training, first in line first."""
    line = eligible(training_id, rules, TrainingEnroll).limit(limit)
    return list(session.scalars(line, clock(rules, now)))
