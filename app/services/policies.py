"""The rules of a practice: how much a student may book, and until when one cancels (waitlist WP).

A policy holds for the types of training that it names. Here stand what each kind of it may say,
which hold, and what they say of one student; what follows from that, `enrolments.py` does.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from flask_babel import format_date, get_locale
from flask_babel import lazy_gettext as _l
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from app.models.bulk import among
from app.models.enrolment import TAKING, TrainingEnroll
from app.models.policy import Policy, PolicyKind, policy_types
from app.models.practice import Practice
from app.models.queue import Standing, starts_at
from app.models.training import Training, TrainingType
from app.models.types import UtcDateTime
from app.services import audit
from app.services.actors import Actor
from app.services.refusals import Refusal

log = logging.getLogger("app.services.policies")

DAY_WORDS = "EEE d MMMM y"


# --- what a policy may say -----------------------------------------------------------------------


def _no_truth(value: Any) -> Any:
    """`true` is no number."""
    if isinstance(value, bool):
        raise ValueError("a number is needed")
    return value


Whole = Annotated[int, BeforeValidator(_no_truth)]


class LimitParameters(BaseModel):
    """So many trainings of one type within so many days."""

    model_config = ConfigDict(extra="forbid")

    max: Whole = Field(ge=1, le=100, examples=[2])
    days: Whole = Field(ge=1, le=366, examples=[28])


class WindowParameters(BaseModel):
    """So many hours before the start."""

    model_config = ConfigDict(extra="forbid")

    hours: Whole = Field(ge=1, le=8784, examples=[24])


PARAMETERS: dict[PolicyKind, type[BaseModel]] = {
    PolicyKind.BOOKING_LIMIT: LimitParameters,
    PolicyKind.CANCELLATION_WINDOW: WindowParameters,
}


class BadPolicy(Refusal):
    """Parameters that no policy of this kind has; `faults`: parameter -> sentence."""

    code, status = "bad_policy", 400

    def __init__(self, faults: dict[str, str]) -> None:
        self.faults = faults
        super().__init__(" ".join(f"{name}: {words}" for name, words in faults.items()))


class NeedsText(Refusal):
    """Students have to read somewhere what they are held to."""

    code, status = "needs_text", 400
    sentence = _l("Write what students read, such as: “Cancel 24 hours before the start.”")


A_NUMBER = _l("Write a whole number from %(least)s to %(most)s, such as %(example)s.")
UNKNOWN = _l("This kind of policy knows no such parameter.")


def validated(kind: PolicyKind, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as numbers, each one there (WP1). Raises `BadPolicy`."""
    model = PARAMETERS[kind]
    try:
        return model.model_validate(dict(parameters)).model_dump()
    except ValidationError as wrong:
        names = dict.fromkeys(str(error["loc"][0]) for error in wrong.errors())
        raise BadPolicy({name: _fault(model, name) for name in names}) from wrong


def _fault(model: type[BaseModel], name: str) -> str:
    field = model.model_fields.get(name)
    if field is None:
        return str(UNKNOWN)
    bounds = {type(one).__name__: one for one in field.metadata}
    least, most = getattr(bounds["Ge"], "ge", ""), getattr(bounds["Le"], "le", "")
    return str(A_NUMBER) % {"least": least, "most": most, "example": (field.examples or [""])[0]}


def prepare(policy: Policy) -> None:
    """See that a row about to be saved can be applied. Raises `BadPolicy`, `NeedsText`."""
    policy.parameters = validated(policy.kind, policy.parameters)
    if not policy.text_en.strip():
        raise NeedsText


# --- what staff decide about one ------------------------------------------------------------------


def decided(policy: Policy) -> dict[str, Any]:
    """Of a policy, as JSON; types by the names that they have now."""
    return {
        "name": policy.name,
        "kind": policy.kind.value,
        "parameters": dict(policy.parameters),
        "text_en": policy.text_en,
        "text_nl": policy.text_nl or "",
        "training_types": sorted(one.name for one in policy.training_types),
        "active": policy.active is not False,
    }


def record(
    session: Session, policy: Policy, actor: Actor, now: datetime, was: audit.Facts | None
) -> None:
    """Write down who made or changed a policy; `was`: what was `decided` before, None of a new one.

    What changed nothing leaves no entry (people PA13).
    """
    session.flush()  # an entry names its row by the id
    audit.record(session, policy, actor, now, was=was, is_now=decided(policy))


def remove(session: Session, policy: Policy, actor: Actor, now: datetime) -> None:
    """It holds for nobody any more; what it said stays on record."""
    audit.record(session, policy, actor, now, was=decided(policy), is_now=None)
    session.delete(policy)


def leave_type(session: Session, type_: TrainingType, actor: Actor, now: datetime) -> None:
    """A type is about to go: no policy names it any more, and each says since when."""
    naming = sa.select(policy_types.c.policy_id).where(policy_types.c.training_type_id == type_.id)
    for policy in session.scalars(sa.select(Policy).where(Policy.id.in_(naming))).all():
        was = decided(policy)
        policy.training_types.remove(type_)
        record(session, policy, actor, now, was)


# --- those that are shipped ----------------------------------------------------------------------

SHIPPED = (
    {
        "name": "max-2-sessions-4-weeks",
        "kind": PolicyKind.BOOKING_LIMIT,
        "parameters": {"max": 2, "days": 28},
        "text_en": "You can have 2 trainings of one type within 4 weeks,"
        " so that there is room for everybody.",
        "text_nl": "Je kunt binnen 4 weken aan 2 trainingen van één soort meedoen,"
        " zodat er plaats is voor iedereen.",
    },
    {
        "name": "24h-cancellation",
        "kind": PolicyKind.CANCELLATION_WINDOW,
        "parameters": {"hours": 24},
        "text_en": "Cancel at least 24 hours before the start,"
        " so that somebody else can take your place.",
        "text_nl": "Meld je uiterlijk 24 uur voor het begin af,"
        " zodat een ander je plaats kan innemen.",
    },
)


def ship(session: Session, practice_id: int) -> list[Policy]:
    """What a new practice begins with; it holds for no type until somebody says for which."""
    rows = [Policy(practice_id=practice_id, **one) for one in SHIPPED]
    session.add_all(rows)
    return rows


# --- which hold ----------------------------------------------------------------------------------


class _Row(NamedTuple):
    type_id: int
    type_name: str
    zone: str
    id: int
    name: str
    kind: PolicyKind
    parameters: dict[str, Any]
    text_en: str
    text_nl: str

    @property
    def texts(self) -> dict[str, str]:
        return {name: text for name, text in (("en", self.text_en), ("nl", self.text_nl)) if text}


def _in_force(session: Session, type_ids: Collection[int], *kinds: PolicyKind) -> list[_Row]:
    """The active policies of these types, oldest first; a bad one is left out, and told."""
    if not type_ids:
        return []
    asked = {"types": sorted(type_ids), "kinds": [kind.value for kind in kinds]}
    rows = [_Row(*row) for row in session.execute(_of_kinds(), asked)]
    return [row for row in rows if _can_be_applied(row)]


@cache
def _active() -> sa.Select[Any]:
    p, t, named = Policy, TrainingType, policy_types.c
    facts = (p.id, p.name, p.kind, p.parameters, p.text_en, p.text_nl)
    return (
        sa.select(t.id, t.name, Practice.timezone, *facts)
        .join_from(p, policy_types, named.policy_id == p.id)
        .join(t, t.id == named.training_type_id)
        .join(Practice, Practice.id == t.practice_id)
        .where(p.active, among(t.id, "types"))
        .order_by(p.id)
    )


@cache
def _of_kinds() -> sa.Select[Any]:
    return _active().where(among(Policy.kind, "kinds"))


def _can_be_applied(row: _Row) -> bool:
    """Whoever writes past the forms may write anything; nobody's booking fails for it."""
    try:
        validated(row.kind, row.parameters)
    except BadPolicy as bad:
        log.warning("policy has bad parameters: policy=%s because=%s", row.id, bad)
        return False
    return True


def texts_for(session: Session, training: Training) -> dict[PolicyKind, list[str]]:
    """What whoever books this training is held to, in the reader's words, by kind (people PS2)."""
    if training.training_type_id is None:
        return {}
    kinds = list(PolicyKind) if training.apply_policies else [PolicyKind.CANCELLATION_WINDOW]
    found: dict[PolicyKind, list[str]] = {}
    for row in _in_force(session, [training.training_type_id], *kinds):
        found.setdefault(row.kind, []).append(in_words(row.texts))
    return found


def in_words(texts: Mapping[str, str], languages: Iterable[str] = ()) -> str:
    """A text in the first of these languages that has one, else the reader's, else English."""
    here = get_locale()
    asked = [*languages, here.language if here else "en", "en"]
    return next((texts[name] for name in asked if texts.get(name)), "")


# --- how much one may book (WP2) -----------------------------------------------------------------


class Held(NamedTuple):
    """A training in which a student has a place, or is offered one."""

    training_id: int
    name: str
    day: date  # its first, where the practice is


@dataclass(frozen=True)
class Limit:
    """At most `max` trainings of a type whose first days lie within `days` calendar days."""

    policy: str
    type_name: str
    zone: ZoneInfo
    max: int
    days: int

    def filled_by(self, day: date, held: Sequence[Held]) -> tuple[Held, ...]:
        """Those that fill some window with `day` in it; none: one more fits."""
        there = sorted(held, key=lambda one: (one.day, one.training_id))
        for first in range(len(there) - self.max + 1):
            some = there[first : first + self.max]
            if max(some[-1].day, day) - min(some[0].day, day) < timedelta(days=self.days):
                return tuple(some)
        return ()


@dataclass(frozen=True)
class OverLimit:
    """A booking that is one too many, and what makes it so."""

    limit: Limit
    counted: tuple[Held, ...]
    free_from: date  # a training that starts on this day or later could be booked

    @property
    def why(self) -> str:
        """To the student: the limit, what counts, and from when one more fits."""
        return str(REACHED) % self._words

    @property
    def briefly(self) -> str:
        """The same where there is room for a line."""
        return str(BRIEFLY) % self._words

    @property
    def to_staff(self) -> str:
        """To whoever may book all the same."""
        return str(TO_STAFF) % self._words

    @property
    def facts(self) -> dict[str, Any]:
        """For the history."""
        return {
            "policy": self.limit.policy,
            "max": self.limit.max,
            "days": self.limit.days,
            "trainings": [one.training_id for one in self.counted],
        }

    @property
    def _words(self) -> dict[str, Any]:
        counted = (f"{one.name} ({day_words(one.day)})" for one in self.counted)
        return {
            "max": self.limit.max,
            "days": self.limit.days,
            "type": self.limit.type_name,
            "trainings": ", ".join(counted),
            "from": day_words(self.free_from),
        }


REACHED = _l(
    "You can have at most %(max)s of %(type)s within %(days)s days."
    " These count already: %(trainings)s."
    " You can book one that starts on %(from)s or later, or give one of these up first."
)
BRIEFLY = _l(
    "Not open to you: at most %(max)s of %(type)s within %(days)s days."
    " You can book one that starts on %(from)s or later"
)
TO_STAFF = _l("Above the booking limit of %(max)s of %(type)s within %(days)s days: %(trainings)s.")


def day_words(day: date) -> str:
    """`Tue 3 March 2026`, in the reader's language."""
    return str(format_date(day, DAY_WORDS))


class LimitReached(Refusal):
    """One training too many within the window of a policy (WP2); `over` says which."""

    code = "booking_limit"

    def __init__(self, over: OverLimit) -> None:
        self.over = over
        super().__init__(over.why)


def limits_on(session: Session, training: Training) -> tuple[Limit, ...]:
    """What limits booking this training; nothing where its policies are off."""
    return limits_of(session, [training]).get(training.id, ())


def limits_of(session: Session, trainings: Iterable[Training]) -> dict[int, tuple[Limit, ...]]:
    """The same of several, by training; those without a limit are left out. One statement."""
    asked = {t.id: t.training_type_id for t in trainings if t.apply_policies and t.training_type_id}
    by_type: dict[int, list[Limit]] = {}
    for row in _in_force(session, set(asked.values()), PolicyKind.BOOKING_LIMIT):
        by_type.setdefault(row.type_id, []).append(_limit(row))
    return {id_: tuple(by_type[type_]) for id_, type_ in asked.items() if type_ in by_type}


def _limit(row: _Row) -> Limit:
    said = validated(row.kind, row.parameters)
    return Limit(row.name, row.type_name, ZoneInfo(row.zone), said["max"], said["days"])


def waived(stand: Standing) -> bool:
    """Whether its free place was announced, and still is one: no limit holds until it is taken."""
    return stand.training.limit_waived_at is not None and stand.free >= 1


def too_many(
    session: Session, stand: Standing, limits: Sequence[Limit], student_ids: Collection[int]
) -> dict[int, OverLimit]:
    """Which of these students would hold too many with this training, and why. One statement."""
    type_, begins = stand.training.training_type_id, stand.starts_at
    if not limits or begins is None or type_ is None or waived(stand):
        return {}
    theirs = held(session, student_ids, [type_])
    found = {}
    for id_ in student_ids:
        over = over_limit(limits, stand.training.id, begins, theirs.get((id_, type_), ()))
        if over is not None:
            found[id_] = over
    return found


def closed_to(
    session: Session, student_id: int, stands: Iterable[Standing]
) -> dict[int, OverLimit]:
    """Which of these trainings one student cannot book, and why. At most one statement."""
    open_ = [s for s in stands if s.is_open and s.training.apply_policies and not waived(s)]
    types = {stand.training.training_type_id for stand in open_} - {None}
    if not types:
        return {}
    limits: dict[int, dict[int, Limit]] = {}
    held: dict[int, dict[int, Held]] = {}
    asked = {"student": student_id, "types": sorted(filter(None, types))}
    for *facts, training_id, name, begins in session.execute(_limits_and_taken(), asked):
        row = _Row(*facts)
        if row.id not in limits.setdefault(row.type_id, {}) and _can_be_applied(row):
            limits[row.type_id][row.id] = _limit(row)
        if begins is not None:
            one = _held_on(training_id, name, row.zone, begins)
            held.setdefault(row.type_id, {})[training_id] = one
    found: dict[int, OverLimit] = {}
    for stand in open_:
        type_ = stand.training.training_type_id or 0
        those, mine = limits.get(type_), held.get(type_, {})
        if those and stand.starts_at is not None:
            many = list(mine.values())
            over = over_limit(list(those.values()), stand.training.id, stand.starts_at, many)
            found |= {stand.training.id: over} if over else {}
    return found


@cache
def _limits_and_taken() -> sa.Select[Any]:
    """Each limit of these types beside each training of its type that one student has."""
    mine = _taken().where(TrainingEnroll.student_id == sa.bindparam("student")).subquery()
    limits = _active().where(Policy.kind == PolicyKind.BOOKING_LIMIT)
    return limits.outerjoin(mine, mine.c.training_type_id == TrainingType.id).add_columns(
        mine.c.id, mine.c.name, mine.c.begins
    )


def over_limit(
    limits: Sequence[Limit], training_id: int, begins: datetime, held: Sequence[Held]
) -> OverLimit | None:
    """What is in the way of one more training that begins then; None: nothing is (WP2)."""
    others = [one for one in held if one.training_id != training_id]
    day = begins.astimezone(limits[0].zone).date()
    for limit in limits:
        if counted := limit.filled_by(day, others):
            return OverLimit(limit, counted, _free_from(limits, day, others))
    return None


def _free_from(limits: Sequence[Limit], day: date, held: Sequence[Held]) -> date:
    """The first day after `day` on which no limit is in the way.

    A window opens when the first of those that fill it falls out of it, on no other day.
    """
    openings = {one.day + timedelta(days=limit.days) for one in held for limit in limits}
    later = sorted(opening for opening in openings if opening > day)
    return next(d for d in later if not any(limit.filled_by(d, held) for limit in limits))


def held(
    session: Session, student_ids: Collection[int], type_ids: Collection[int]
) -> dict[tuple[int, int], list[Held]]:
    """(student, type) -> the trainings of that type in which they are enrolled or invited."""
    asked = {"students": sorted(student_ids), "types": sorted(type_ids)}
    found: dict[tuple[int, int], list[Held]] = {}
    for student_id, type_id, id_, name, zone, begins in session.execute(_taken_by(), asked):
        if begins is not None:
            one = _held_on(id_, name, zone, begins)
            found.setdefault((student_id, type_id), []).append(one)
    return found


def _held_on(id_: int, name: str, zone: str, begins: datetime) -> Held:
    return Held(id_, name, begins.astimezone(ZoneInfo(zone)).date())


@cache
def _taken() -> sa.Select[Any]:
    e, t = TrainingEnroll, Training
    return (
        sa.select(
            e.student_id,
            t.training_type_id,
            t.id,
            t.name,
            Practice.timezone,
            starts_at(t.id).label("begins"),
        )
        .join(t, t.id == e.training_id)
        .join(Practice, Practice.id == t.practice_id)
        .where(e.status.in_(TAKING))
    )


@cache
def _taken_by() -> sa.Select[Any]:
    students, types = TrainingEnroll.student_id, Training.training_type_id
    return _taken().where(among(students, "students"), among(types, "types"))


# --- until when one cancels (WP3) ----------------------------------------------------------------


@dataclass(frozen=True)
class Late:
    """A cancellation later than a policy asks for."""

    policy: str
    hours: int
    texts: dict[str, str]

    @property
    def words(self) -> str:
        """The policy's text in the reader's language."""
        return in_words(self.texts)

    @property
    def facts(self) -> dict[str, Any]:
        """For the history."""
        return {"policy": self.policy, "hours": self.hours}


class LateCancellation(Refusal):
    """Who cancels late ticks that they know; nobody is kept from it (WP3)."""

    code, status = "late_cancellation", 400
    sentence = _l("Tick that you know that you cancel late.")


def late_now(session: Session, training: Training, now: datetime) -> Late | None:
    """The policy that giving up a place now would break; of several the strictest one broken.

    None before its window, and where there are no meetings. At most two statements.
    """
    if training.training_type_id is None:
        return None
    windows = _in_force(session, [training.training_type_id], PolicyKind.CANCELLATION_WINDOW)
    begins = session.scalar(sa.select(starts_at(training.id))) if windows else None
    if begins is None:
        return None
    lates = [Late(row.name, int(row.parameters["hours"]), row.texts) for row in windows]
    broken = [late for late in lates if begins - now < timedelta(hours=late.hours)]
    return min(broken, key=lambda late: late.hours, default=None)


# --- whom a change touches (people PA10) ---------------------------------------------------------


class Reach(NamedTuple):
    """The coming trainings that a policy holds for, and who has a place in them."""

    trainings: int
    students: int
    names: tuple[str, ...]  # of the first few


NAMED = 5


def reach(session: Session, type_ids: Collection[int], now: datetime) -> Reach:
    """Of a policy for these types. Two statements."""
    asked = {"types": sorted(type_ids), "now": now}
    if not type_ids:
        return Reach(0, 0, ())
    coming = session.execute(_coming(), asked).all()
    ids = [id_ for id_, _name in coming]
    e = TrainingEnroll
    students = sa.select(sa.func.count(sa.distinct(e.student_id))).where(
        among(e.training_id, ids), e.status.in_(TAKING)
    )
    names = tuple(dict.fromkeys(name for _id, name in coming))
    return Reach(len(ids), session.scalar(students) or 0, names[:NAMED])


@cache
def _coming() -> Any:
    t, begins = Training, starts_at(Training.id)
    ahead = sa.or_(begins.is_(None), begins > sa.bindparam("now", type_=UtcDateTime()))
    runs = (t.cancelled_at.is_(None), t.archived_at.is_(None), ahead)
    which = sa.select(t.id, t.name).where(among(t.training_type_id, "types"), *runs)
    return which.order_by(begins.is_(None), begins, t.id)
