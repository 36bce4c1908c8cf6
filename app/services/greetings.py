"""Birthdays: whom to congratulate, and the letter that does it, once a birthday (schedules B).

`plan` only reads. `congratulate` asks again what it was made from, and takes the row of `Greeting`
that nobody else can take a second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.bulk import among, insert_once
from app.models.greeting import Greeting
from app.models.person import PersonStatus, Student, Trainer
from app.models.practice import Practice
from app.models.queue import digest_wanted, greetings_wanted, spots_wanted
from app.models.user import User, UserSettings
from app.services import people_letters, tickets
from app.services.people_mail import Budget, Office, may_be_written_to
from app.services.schedule_models import BirthdayBotConfig

FEB_28, MAR_1 = (2, 28), (3, 1)
AUDIENCES: dict[str, tuple[Any, ...]] = {
    "students": (Student,),
    "trainers": (Trainer,),
    "both": (Student, Trainer),
}


@dataclass(frozen=True, order=True)
class Birthday:
    """Somebody's last birthday; sorted as they are congratulated: today's, least late, id (B2)."""

    days_late: int
    user_id: int
    practice_id: int
    on: date
    day_ends_at: datetime  # of the day on which it was seen

    @property
    def letter(self) -> str:
        """The letter that congratulates on it."""
        return people_letters.BIRTHDAY_LATE if self.days_late else people_letters.BIRTHDAY_TODAY


@dataclass(frozen=True)
class Greetings:
    """Whom to write to now, in this order, and how many there were of each kind."""

    letters: tuple[Birthday, ...]
    today: int
    late: int
    late_ignored: int
    ignored: int

    @property
    def out_of_budget(self) -> bool:
        """There were some to write to, and not one letter left for them."""
        return not self.letters and self.ignored > 0


def birthday_on(born: date, today: date, feb29: str) -> date | None:
    """The latest birthday up to today, this year's or last year's; None before the first."""
    for year in (today.year, today.year - 1):
        on = _in_year(born, year, feb29)
        if on <= today:
            return on if year > born.year else None
    return None


def _in_year(born: date, year: int, feb29: str) -> date:
    """The day on which a birthday falls; of 29 February in common years as the schedule says."""
    try:
        return born.replace(year=year)
    except ValueError:
        return date(year, *(MAR_1 if feb29 == "mar1" else FEB_28))


def plan(session: Session, config: BirthdayBotConfig, offices: Sequence[Office]) -> Greetings:
    """Whom these practices congratulate now, as their budgets and the run's allow (B2)."""
    around = _around(session, config, offices)
    late = [one for one in around if one.days_late]
    wanted = around if config.process_late else [one for one in around if not one.days_late]
    open_ = _not_yet(session, wanted)
    budget = Budget(list(offices), config.max_messages_per_run)
    taken: dict[int, Birthday] = {}
    for one in open_:  # whom several practices know is congratulated by one of them
        if one.user_id not in taken and budget.take(one.practice_id):
            taken[one.user_id] = one
    return Greetings(
        letters=tuple(taken.values()),
        today=_people(around) - _people(late),
        late=_people(late) if config.process_late else 0,
        late_ignored=0 if config.process_late else _people(late),
        ignored=_people(open_) - len(taken),
    )


def _people(birthdays: Iterable[Birthday]) -> int:
    return len({one.user_id for one in birthdays})


def _around(
    session: Session, config: BirthdayBotConfig, offices: Sequence[Office]
) -> list[Birthday]:
    """The birthdays of today, and of the days that are looked back at, in their order."""
    here = {office.practice_id: office for office in offices}
    found = {
        one
        for user_id, born, practice_id in _with_birthday(session, config, list(here))
        for one in _lately(user_id, born, here[practice_id], config)
    }
    return sorted(found)


def _lately(
    user_id: int, born: date, office: Office, config: BirthdayBotConfig
) -> Iterator[Birthday]:
    today = office.local.date()
    on = birthday_on(born, today, config.feb29)
    if on is not None and today - on <= timedelta(days=config.max_days_late):
        days_late = (today - on).days
        yield Birthday(days_late, user_id, office.practice_id, on, office.day_ends_at)


def _with_birthday(
    session: Session,
    config: BirthdayBotConfig,
    practices: Sequence[int],
    user_id: int | None = None,
) -> list[tuple[int, date, int]]:
    """(user, day of birth, practice) of those whom we may congratulate; of one user if given."""
    found = []
    for person in AUDIENCES[config.audience]:
        asked = (
            sa.select(User.id, User.birthday, person.practice_id)
            .join(person, person.user_id == User.id)
            .outerjoin(UserSettings, UserSettings.user_id == User.id)
            .where(
                person.status == PersonStatus.ACTIVE,
                among(person.practice_id, practices),
                User.birthday.is_not(None),
                may_be_written_to(),
            )
        )
        if config.require_consent:
            asked = asked.where(UserSettings.congratulate_since.is_not(None))
        if user_id is not None:
            asked = asked.where(User.id == user_id)
        found += [(id_, born, practice) for id_, born, practice in session.execute(asked) if born]
    return found


def _not_yet(session: Session, birthdays: Sequence[Birthday]) -> list[Birthday]:
    """Those whom nobody has congratulated on this very birthday."""
    g = Greeting
    asked = sa.select(g.user_id, g.birthday_year).where(
        among(g.user_id, sorted({one.user_id for one in birthdays}))
    )
    greeted = {(user_id, year) for user_id, year in session.execute(asked)}
    return [one for one in birthdays if (one.user_id, one.on.year) not in greeted]


def congratulate(
    session: Session,
    config: BirthdayBotConfig,
    one: Birthday,
    execution_id: str | None,
    now: datetime,
    *,
    due_at: datetime | None = None,
) -> bool:
    """Promise the letter; False if it was, or if they are not to be written to any more (B3)."""
    still = _with_birthday(session, config, [one.practice_id], one.user_id)
    today = one.on + timedelta(days=one.days_late)
    if not any(birthday_on(born, today, config.feb29) == one.on for _, born, _ in still):
        return False
    row = {
        "user_id": one.user_id,
        "birthday_year": one.on.year,
        "practice_id": one.practice_id,
        "days_late": one.days_late,
        "greeted_at": now,
        "execution_id": execution_id,
    }
    return insert_once(session, Greeting, row, ["user_id", "birthday_year"]) and (
        people_letters.birthday(
            session,
            one.practice_id,
            one.user_id,
            one.on.year,
            one.days_late,
            one.day_ends_at,
            due_at or now,
            now,
            execution_id=execution_id,
        )
    )


# --- letters one can do without (people PS10) ----------------------------------------------------


# What each link is about: greetings and profile checks, news of free places, trainers' digests.
WANTED = {
    tickets.NO_GREETINGS: greetings_wanted,
    tickets.NO_SPOTS: spots_wanted,
    tickets.NO_DIGESTS: digest_wanted,
}


class Reader(NamedTuple):
    """To whom a link was sent that stops letters of one kind."""

    digest: str
    user_id: int
    practice_name: str
    wants: bool  # such letters, still


def reader(
    session: Session,
    keys: Sequence[bytes],
    token: str,
    now: datetime,
    purpose: str = tickets.NO_GREETINGS,
) -> Reader | None:
    """Whose letters a link is about; None for what is no genuine link, or for another address."""
    asked = people_letters.asked_to_stop(keys, token, now, purpose)
    if asked is None:
        return None
    user_id, practice_id, digest = asked
    found = session.execute(
        sa.select(User.email, Practice.name, WANTED[purpose]())
        .select_from(User)
        .join(Practice, Practice.id == practice_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .where(User.id == user_id, User.erased_at.is_(None))
    ).one_or_none()
    if found is None or not people_letters.is_sent_to(found[0], digest):
        return None
    return Reader(digest, user_id, found[1], found[2])
