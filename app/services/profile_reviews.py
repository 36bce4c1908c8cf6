"""Automatic looks at students' profiles: what is missing, who is dormant, whom to ask (F).

`plan` only reads. `review` asks again what it was made from and leaves a `ProfileReview`, so that
nobody is looked at twice within the days that the schedule states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.bulk import among, insert_once
from app.models.enrolment import TrainingEnroll
from app.models.person import PersonStatus, Student
from app.models.profile_review import ProfileReview
from app.models.user import User, UserSettings
from app.services import people_letters
from app.services.people_mail import Budget, Office, may_be_written_to
from app.services.schedule_models import VisitorBotConfig

# Each check, and what must all be there to pass it.
CHECKS: dict[str, tuple[str, ...]] = {
    "name": ("first_name", "last_name"),
    "phone": ("phone",),
    "address": ("street", "house_number", "postal_code", "city"),
    "birthday": ("birthday",),
    "emergency_contact": ("emergency_contact",),
}
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Profile:
    """What a look at a student finds."""

    student_id: int
    user_id: int
    practice_id: int
    missing: tuple[str, ...]
    completeness: int  # per cent of the checks
    last_active: datetime | None
    reviewed_at: datetime | None
    dormant: bool
    may_be_asked: bool  # reachable, wants it, and was not asked lately

    @property
    def wants_attention(self) -> bool:
        """Something is missing, or they have not been here for long."""
        return bool(self.missing) or self.dormant

    def days_dormant(self, now: datetime) -> int | None:
        """Since when, if they are dormant and were ever active."""
        if not self.dormant or self.last_active is None:
            return None
        return max(0, (now - self.last_active).days)


# Whom a schedule looks at.
AUDIENCES: dict[str, Callable[[Profile], bool]] = {
    "all": lambda profile: True,
    "incomplete": lambda profile: bool(profile.missing),
    "dormant": lambda profile: profile.dormant,
    "incomplete_or_dormant": lambda profile: profile.wants_attention,
}


@dataclass(frozen=True)
class Look:
    """One profile to look at, and whether its owner is asked to check it."""

    profile: Profile
    ask: bool


@dataclass(frozen=True)
class Reviews:
    """Whom to look at now, in this order, and how many are left for another run."""

    looks: tuple[Look, ...]
    ignored: int


def plan(
    session: Session, config: VisitorBotConfig, offices: Sequence[Office], now: datetime
) -> Reviews:
    """The first `limit` profiles that nobody looked at lately; letters as the caps allow (F2)."""
    due = _due(session, config, [office.practice_id for office in offices], now)
    due.sort(key=_order)
    open_ = {office.practice_id for office in offices if office.is_open}
    budget = Budget(list(offices), config.most_invitations)
    asked: set[int] = set()
    looks = []
    for profile in due[: config.limit]:
        asks = _is_to_be_asked(profile, config) and profile.practice_id in open_
        ask = asks and profile.user_id not in asked and budget.take(profile.practice_id)
        asked |= {profile.user_id} if ask else set()
        looks.append(Look(profile, ask))
    return Reviews(tuple(looks), len(due) - len(looks))


def _order(profile: Profile) -> Any:
    """Never reviewed first, then the oldest review, then who was not here for longest, id."""
    seen, active = profile.reviewed_at or LONG_AGO, profile.last_active or LONG_AGO
    return seen, active, profile.student_id


def _is_to_be_asked(profile: Profile, config: VisitorBotConfig) -> bool:
    return config.invite and profile.wants_attention and profile.may_be_asked


def review(
    session: Session,
    config: VisitorBotConfig,
    look: Look,
    execution_id: str,
    now: datetime,
    *,
    due_at: datetime | None = None,
) -> bool | None:
    """Look at a profile as it is now; whether its owner is asked to check it.

    None: somebody else did lately, or it is none of those to look at any more (F3).
    """
    was = look.profile
    still = _due(session, config, [was.practice_id], now, was.student_id)
    if not still:
        return None
    profile = still[0]
    ask = look.ask and _is_to_be_asked(profile, config)
    row = {
        "student_id": profile.student_id,
        "execution_id": execution_id,
        "reviewed_at": now,
        "missing": list(profile.missing),
        "completeness": profile.completeness,
        "days_dormant": profile.days_dormant(now),
        "invited": ask,
    }
    if not insert_once(session, ProfileReview, row, ["student_id", "execution_id"]):
        return None
    return ask and people_letters.profile_check(
        session,
        profile.practice_id,
        profile.student_id,
        profile.user_id,
        execution_id,
        profile.missing,
        due_at or now,
        now,
    )


# --- reading profiles ----------------------------------------------------------------------------


def _due(
    session: Session,
    config: VisitorBotConfig,
    practices: Sequence[int],
    now: datetime,
    student_id: int | None = None,
) -> list[Profile]:
    """The profiles of these practices to look at, of one student if given."""
    asked = _students().where(among(Student.practice_id, practices))
    if student_id is not None:
        asked = asked.where(Student.id == student_id)
    since = now - timedelta(days=config.revisit_after_days)
    fits = AUDIENCES[config.audience]
    read = (_profile(row, config, since, now) for row in session.execute(asked))
    return [one for one in read if fits(one) and not _lately(one.reviewed_at, since)]


def _students() -> Any:
    """Active students with an account, when they were active and last looked at."""
    e, v, other = TrainingEnroll, ProfileReview, sa.orm.aliased(Student)
    joined = sa.select(sa.func.max(e.joined_at)).where(e.student_id == Student.id).scalar_subquery()
    reviewed = (
        sa.select(sa.func.max(v.reviewed_at)).where(v.student_id == Student.id).scalar_subquery()
    )
    asked = (  # by any practice: it is one person's profile
        sa.select(sa.func.max(v.reviewed_at))
        .join(other, other.id == v.student_id)
        .where(other.user_id == Student.user_id, v.invited)
        .scalar_subquery()
    )
    return (
        sa.select(
            Student.id,
            Student.practice_id,
            User,
            joined.label("joined_at"),
            reviewed.label("reviewed_at"),
            asked.label("asked_at"),
            may_be_written_to().label("reachable"),
        )
        .select_from(Student)
        .join(User, User.id == Student.user_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .where(Student.status == PersonStatus.ACTIVE, User.active, User.erased_at.is_(None))
        .execution_options(populate_existing=True)
    )


def _profile(row: Any, config: VisitorBotConfig, since: datetime, now: datetime) -> Profile:
    user: User = row.User
    missing = tuple(check for check in config.checks if not _passes(user, check))
    last_active = _last_active(user, row.joined_at)
    limit = now - timedelta(days=config.dormant_days)
    return Profile(
        student_id=row.id,
        user_id=user.id,
        practice_id=row.practice_id,
        missing=missing,
        completeness=round(100 * (1 - len(missing) / len(config.checks))),
        last_active=last_active,
        reviewed_at=row.reviewed_at,
        dormant=last_active is None or last_active < limit,
        may_be_asked=row.reachable and not _lately(row.asked_at, since),
    )


def _passes(user: User, check: str) -> bool:
    return all(getattr(user, field) for field in CHECKS[check])


def _last_active(user: User, joined_at: datetime | None) -> datetime | None:
    """The last login, enrolment or change of the profile."""
    # Flask-Security keeps its instants without a zone: they are UTC.
    theirs = (user.current_login_at, user.last_login_at, user.update_datetime)
    seen = [at.replace(tzinfo=UTC) for at in theirs if at is not None]
    return max([*seen, *([joined_at] if joined_at else [])], default=None)


def _lately(at: datetime | None, since: datetime) -> bool:
    """Within the days after which a profile may be looked at again."""
    return at is not None and at > since
