"""The catalogue: which trainings are open, found by what people look for (people PS1).

All open trainings of a practice are read as short entries, in three statements, and chosen from
here: so both databases search without case and accents alike, and an empty result knows which
filter to drop. A provider has hundreds of them, not millions.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.bulk import among
from app.models.person import PersonStatus, Trainer
from app.models.queue import NOW, free_spots, starts_at
from app.models.training import (
    AssignmentStatus,
    Location,
    Training,
    TrainingEvent,
    TrainingTrainer,
    TrainingType,
)
from app.models.user import User
from app.services import standing
from app.services.standing import Offer

T = TypeVar("T")

# Letters that have no accent to take off (NFKD leaves them whole).
PLAIN_LETTERS = str.maketrans({"ø": "o", "đ": "d", "ð": "d", "ł": "l", "æ": "ae", "œ": "oe"})


@dataclass
class Entry:
    """An open training, as far as one searches it."""

    id: int
    name: str
    type_id: int | None
    type_name: str
    starts_at: datetime | None
    free: int
    month: str | None = None  # of its first day: `2026-03`
    mine: bool = False
    locations: dict[int, str] = field(default_factory=dict)
    trainers: dict[int, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return folded(" ".join((self.name, self.type_name, *self.locations.values())))


@dataclass(frozen=True)
class Wanted:
    """What somebody looks for; what is unset doesn't matter."""

    q: str = ""
    type: int | None = None
    month: str | None = None
    location: int | None = None
    trainer: int | None = None
    places: bool = False
    mine: bool = False

    @property
    def used(self) -> list[str]:
        """The names of the filters that are set."""
        return [f.name for f in fields(self) if getattr(self, f.name)]

    def without(self, name: str) -> Wanted:
        """The same, one filter dropped."""
        return replace(self, **{name: getattr(Wanted(), name)})


class Choices(NamedTuple):
    """What can be filtered by: (value, words), only what is there."""

    type: list[tuple[int, str]]
    month: list[str]
    location: list[tuple[int, str]]
    trainer: list[tuple[int, str]]


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list; a number past the end is the last page (people PG4)."""

    items: Sequence[T]
    number: int
    pages: int
    total: int


def page_of(items: Sequence[T], number: int, size: int) -> Page[T]:
    """Page `number`, counted from 1, of `size` items each."""
    pages = max(-(-len(items) // size), 1)
    number = min(max(number, 1), pages)
    return Page(items[(number - 1) * size : number * size], number, pages, len(items))


# --- choosing ------------------------------------------------------------------------------------


def folded(text: str) -> str:
    """Without case and accents: `Crème BRÛLÉE` and `creme brulee` are the same."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(sign for sign in apart if not unicodedata.combining(sign))
    return bare.translate(PLAIN_LETTERS)


def found(entries: Sequence[Entry], wanted: Wanted) -> list[Entry]:
    """The entries that are all that is wanted."""
    words = folded(wanted.q).split()
    return [entry for entry in entries if _fits(entry, wanted, words)]


def _fits(entry: Entry, wanted: Wanted, words: list[str]) -> bool:
    return (
        (wanted.type is None or entry.type_id == wanted.type)
        and (wanted.month is None or entry.month == wanted.month)
        and (wanted.location is None or wanted.location in entry.locations)
        and (wanted.trainer is None or wanted.trainer in entry.trainers)
        and (not wanted.places or entry.free > 0)
        and (not wanted.mine or entry.mine)
        and (not words or all(word in entry.text for word in words))
    )


def best_to_drop(entries: Sequence[Entry], wanted: Wanted) -> tuple[str, int] | None:
    """The filter without which most is found, and how much; None: no single one helps."""
    without = [(name, len(found(entries, wanted.without(name)))) for name in wanted.used]
    best = max(without, key=lambda one: one[1], default=("", 0))
    return best if best[1] else None


def _by_date(entry: Entry) -> tuple[Any, ...]:
    return (entry.starts_at is None, entry.starts_at and entry.starts_at.timestamp(), entry.name)


SORTS: dict[str, Callable[[Entry], tuple[Any, ...]]] = {
    "date": _by_date,
    "name": lambda entry: (folded(entry.name), *_by_date(entry)),
    "places": lambda entry: (-entry.free, *_by_date(entry)),
}


def choices(entries: Sequence[Entry]) -> Choices:
    """Types, months, locations and trainers of what is open, in order."""
    types = {entry.type_id: entry.type_name for entry in entries if entry.type_id}
    locations = {id_: name for entry in entries for id_, name in entry.locations.items()}
    trainers = {id_: name for entry in entries for id_, name in entry.trainers.items()}
    months = sorted({entry.month for entry in entries if entry.month})
    return Choices(_named(types), months, _named(locations), _named(trainers))


def _named(names: dict[int, str]) -> list[tuple[int, str]]:
    return sorted(names.items(), key=lambda pair: (folded(pair[1]), pair[0]))


# --- reading -------------------------------------------------------------------------------------


def open_trainings(
    session: Session, practice_id: int, zone: ZoneInfo, now: datetime, mine: Collection[int] = ()
) -> list[Entry]:
    """Every open training of a practice (waitlist WD3); `mine` are those somebody is on."""
    asked = {"practice": practice_id, "now": now}
    entries = {row[0]: Entry(*row) for row in session.execute(_open(), asked)}
    for entry in entries.values():
        entry.mine = entry.id in mine
        if entry.starts_at is not None:
            entry.month = f"{entry.starts_at.astimezone(zone):%Y-%m}"
    for what, training_id, id_, name, more, _n in session.execute(
        _where_and_who(), {"ids": sorted(entries)}
    ):
        names = (
            entries[training_id].locations if what == LOCATION else entries[training_id].trainers
        )
        names[id_] = f"{name} {more}".strip()
    return list(entries.values())


@cache
def _open() -> Any:
    t, free = Training, free_spots()
    begins = starts_at(t.id)
    type_name = sa.func.coalesce(TrainingType.name, "")
    return (
        sa.select(
            t.id, t.name, t.training_type_id, type_name, begins, sa.case((free > 0, free), else_=0)
        )
        .outerjoin(TrainingType, TrainingType.id == t.training_type_id)
        .where(*_is_open(begins))
    )


def _is_open(begins: Any) -> Any:
    t = Training
    return (
        t.practice_id == sa.bindparam("practice"),
        t.active,
        t.cancelled_at.is_(None),
        t.archived_at.is_(None),
        sa.or_(begins.is_(None), begins > NOW),
    )


LOCATION, TRAINER = "location", "trainer"


@cache
def _where_and_who() -> Any:
    """The locations of trainings in the order of their days, then who teaches: one statement."""
    d, t = TrainingEvent, TrainingTrainer
    by_day = sa.func.row_number().over(order_by=(d.start_time, d.id)).label("place")
    by_rank = sa.func.row_number().over(order_by=(t.rank, t.id)).label("place")
    where = (
        sa.select(sa.literal(LOCATION), d.training_id, Location.id, Location.name, sa.literal(""))
        .add_columns(by_day)
        .join(Location, Location.id == d.location_id)
        .where(among(d.training_id, "ids"))
    )
    taught = (t.training_id, Trainer.id, User.first_name, User.last_name, by_rank)
    who = _who().with_only_columns(sa.literal(TRAINER), *taught).order_by(None)
    return sa.union_all(where, who).order_by("place")


def trainers(session: Session, training_ids: Collection[int]) -> dict[int, dict[int, str]]:
    """Who teaches each training: names by the trainer's id, first asked first."""
    teaching: dict[int, dict[int, str]] = {}
    for training_id, id_, first, last in session.execute(_who(), {"ids": sorted(training_ids)}):
        teaching.setdefault(training_id, {})[id_] = f"{first} {last}".strip()
    return teaching


@cache
def _who() -> Any:
    t = TrainingTrainer
    return (
        sa.select(t.training_id, Trainer.id, User.first_name, User.last_name)
        .join(Trainer, Trainer.id == t.trainer_id)
        .join(User, User.id == Trainer.user_id)
        .where(
            among(t.training_id, "ids"),
            t.status == AssignmentStatus.ACCEPTED,
            Trainer.status == PersonStatus.ACTIVE,
        )
        .order_by(t.rank, t.id)
    )


def offer(
    session: Session, practice_id: int, training_id: int, student_id: int | None, now: datetime
) -> Offer | None:
    """One training of a practice with the student's row; None where they may not see it.

    Drafts and what is archived are seen by those alone who are, or were, on it.
    """
    mine = standing.row_in(session, student_id, training_id, now) if student_id else None
    own = {training_id: mine} if mine else {}
    found = standing.offers(session, [training_id], own, now)
    if student_id:
        found = standing.with_limits(session, student_id, found)
    one = found.get(training_id)
    if one is None or one.training.practice_id != practice_id:
        return None
    published = one.training.active and one.training.archived_at is None
    return one if published or mine else None
