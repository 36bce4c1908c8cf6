"""Sending what was promised: claim, send, mark (L6, reliability OB2, OB3).

    pending ──claim──► sending ──► sent, skipped, dead
       ▲                  │
       └── retry, lease ──┘

A claim is a lease: `due_at` is when it ends. Whoever dies between sending and marking leaves the
row to the next worker, who sends the same letter under the same Message-ID. Only the first open row
of an aggregate is ever taken, so one reader's letters go out in order, and what fails holds up
nobody else.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from flask import current_app
from sqlalchemy.orm import Session

from app.delivery import channels, message, rendering
from app.delivery.channels import Admission, Rate
from app.delivery.rendering import Letter, Unrenderable, Untrue
from app.delivery.transports import (
    DOUBTS,
    Blame,
    Connection,
    Fault,
    Transport,
    fault,
    plain,
    trace,
    transport_for,
)
from app.extensions import db, unit, utcnow
from app.models.bulk import among, dialect_of
from app.models.engine import is_busy
from app.models.outbox import Outbox, OutboxState
from app.models.types import new_uuid
from app.services import account_letters, deadline_changes, post
from app.services.deadline_changes import LATE
from config import Settings

log = logging.getLogger("app.delivery.outbox")

CHANNEL = "email"
BATCH = 20  # letters of one claim: one connection, one rendering
LEASE = timedelta(seconds=120)
LEFT = timedelta(seconds=30)  # with less of the lease left no letter is begun
MARK_AGAIN = (0.5, 1, 2, 4, 8, 15, 15, 15, 15, 15)  # seconds, while the lease lasts
MOST_TRIES = 1000  # counted; a number that a row cannot hold would stop every claim

OUTBOX: Any = Outbox.__table__
ONE_MORE_TRY = sa.case((OUTBOX.c.attempts < MOST_TRIES, OUTBOX.c.attempts + 1), else_=MOST_TRIES)
ONE_TRY_LESS = OUTBOX.c.attempts - 1
T = TypeVar("T")
Clock = Callable[[], datetime]
Reader = Callable[[Session, dict[str, Any]], tuple["list[Row]", list[int]]]
Rendered = Letter | Untrue | Unrenderable


@dataclass(frozen=True)
class Retry:
    """When a letter that failed is tried again (OB6)."""

    least: timedelta = timedelta(seconds=5)
    first: timedelta = timedelta(seconds=30)
    longest: timedelta = timedelta(hours=6)
    tries: int = 12
    within: timedelta = timedelta(hours=24)  # of the first try that counted

    def next_try(self, tries: int, first_tried_at: datetime, now: datetime) -> datetime | None:
        """After `tries` that counted, at a random instant up to the doubled time; None: give up."""
        if tries >= self.tries or now - first_tried_at >= self.within:
            return None
        return now + self.least + random.random() * (self._limit(tries) - self.least)  # noqa: S311

    def _limit(self, tries: int) -> timedelta:
        return min(self.first * (1 << max(tries, 0)), self.longest)


RETRY = Retry()


@dataclass
class Posted:
    """What a drain did: letters sent, not needed any more, given up, to be tried again."""

    sent: int = 0
    skipped: int = 0
    dead: int = 0
    retried: int = 0

    @property
    def total(self) -> int:
        """All letters that were taken in hand and are settled for now."""
        return self.sent + self.skipped + self.dead + self.retried

    def add(self, more: Posted) -> None:
        """Count what another drain did as well."""
        for name in Posted.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(more, name))


@dataclass(frozen=True)
class Row:
    """A claimed row, as far as sending needs it."""

    id: int
    uuid: str
    kind: str
    enrolment_id: int | None
    invite_no: int | None
    created_at: datetime
    attempts: int  # this one included
    first_tried_at: datetime | None


MINE = tuple(OUTBOX.c[name] for name in Row.__dataclass_fields__)


class Leased(Protocol):
    """What is ours for a while: until when, by whose clock."""

    @property
    def ends_at(self) -> datetime:
        """When others may take it."""

    @property
    def clock(self) -> Clock:
        """What time it is."""


@dataclass
class Batch:
    """Rows that one claim made ours, in the order in which they were promised."""

    rows: list[Row]
    token: str
    ends_at: datetime
    admission: Admission
    clock: Clock
    unreadable: list[int] = field(default_factory=list)
    untried: dict[int, Row] = field(default_factory=dict)
    posted: Posted = field(default_factory=Posted)
    answered: bool = False  # by a server that takes, or judges, our letters
    channel_failed: bool = False

    def __post_init__(self) -> None:
        self.untried = {row.id: row for row in self.rows}


def drain(
    stop: threading.Event | None = None,
    *,
    limit: int | None = None,
    clock: Clock = utcnow,
    transport: Transport | None = None,
) -> Posted:
    """Send what is due, until nothing is, `stop` is set, `limit` reached or the channel fails.

    Needs an application context; any number of threads and processes may drain at once. Where the
    rate allows no more it waits. `transport` is the settings' if not given.
    """
    settings: Settings = current_app.extensions["settings"]
    transport = transport or transport_for(settings)
    rate, posted = Rate(settings.mail_rate, settings.mail_burst), Posted()
    try:
        _drain(posted, rate, transport, settings, stop, limit, clock)
    finally:
        db.session.rollback()  # nothing is open: gives the connection back
    return posted


def _drain(
    posted: Posted,
    rate: Rate,
    transport: Transport,
    settings: Settings,
    stop: threading.Event | None,
    limit: int | None,
    clock: Clock,
) -> None:
    while not _is_set(stop):
        wanted = BATCH if limit is None else min(BATCH, limit - posted.total)
        if wanted < 1 or not _anything_due(clock()):
            return
        batch = _claim(wanted, rate, clock)
        if batch.rows or batch.unreadable:
            _take_in_hand(batch, transport, settings, stop)
            posted.add(batch.posted)
        elif not (batch.admission.wait and _waited(batch.admission.wait, stop, clock)):
            return
        if batch.channel_failed:
            return


# --- claiming -------------------------------------------------------------------------------------


def _anything_due(now: datetime) -> bool:
    """Asked first and bare, so that an idle worker locks nothing."""
    due = db.session.scalar(_due_now(), {"over": CHANNEL, "now": now, "room": 1})
    return due is not None and not channels.is_paused(db.session(), CHANNEL, now)


def _claim(wanted: int, rate: Rate, clock: Clock) -> Batch:
    """Make up to `wanted` due rows ours, as many as the channel admits, in one transaction."""
    now = clock()
    try:
        return unit(db.session, lambda: _claimed(_together, wanted, rate, now, clock))
    except Exception as error:
        if passes(error):
            raise
        log.error("letters cannot be read together: %s", trace(error))
    return unit(db.session, lambda: _claimed(_one_by_one, wanted, rate, now, clock))


def _claimed(read: Reader, wanted: int, rate: Rate, now: datetime, clock: Clock) -> Batch:
    session, token = db.session(), new_uuid()
    admission = channels.admit(session, CHANNEL, wanted, rate, now)
    if not admission.room:
        return Batch([], token, now, admission, clock)
    ours = {"over": CHANNEL, "now": now, "room": admission.room}
    rows, unreadable = read(session, ours | {"token": token, "until": now + LEASE})
    channels.drawn(session, CHANNEL, admission, len(rows), now, LEASE)
    admitted = Admission(admission.room, admission.failures)
    return Batch(rows, token, now + LEASE, admitted, clock, unreadable)


def _together(session: Session, ours: dict[str, Any]) -> tuple[list[Row], list[int]]:
    return claim_rows(session, ours), []


def claim_rows(session: Session, ours: dict[str, Any]) -> list[Row]:
    """Claim at most `room` due rows `over` a channel `until` then, as `token`; oldest first."""
    found = session.execute(_claiming(dialect_of(session)), ours)
    return sorted((Row(*row) for row in found), key=lambda row: row.id)


def _one_by_one(session: Session, ours: dict[str, Any]) -> tuple[list[Row], list[int]]:
    """The rows, and the ids of those that nobody can read: a row written past us, a broken disk."""
    ids = session.scalars(_claiming(dialect_of(session), only_id=True), ours).all()
    rows, unreadable = [], []
    for id_ in sorted(ids):
        try:
            rows.append(Row(*session.execute(sa.select(*MINE).where(OUTBOX.c.id == id_)).one()))
        except Exception as error:
            if passes(error):
                raise
            unreadable.append(id_)
    return rows, unreadable


def _due(o: Any) -> sa.Select[Any]:
    """Due rows that are the first open ones of their aggregate, oldest promise first (OB2)."""
    older = OUTBOX.alias("older")
    head = sa.select(sa.func.min(older.c.id)).where(
        older.c.channel == o.channel,
        older.c.aggregate == o.aggregate,
        older.c.ended_at.is_(None),
    )
    return (
        sa.select(o.id)
        .where(
            o.channel == sa.bindparam("over", type_=sa.String),
            o.ended_at.is_(None),
            o.due_at <= sa.bindparam("now", type_=o.due_at.type),
            o.id == head.scalar_subquery(),
        )
        .order_by(o.id)
        .limit(sa.bindparam("room", type_=sa.Integer))
    )


@cache
def _due_now() -> sa.Select[Any]:
    return _due(OUTBOX.alias("waiting").c)


@cache
def _claiming(dialect: str, only_id: bool = False) -> Any:
    due = _due(OUTBOX.alias("waiting").c)
    if dialect == "postgresql":  # materialised, else the planner may exceed the limit (JX1)
        locked = due.with_for_update(skip_locked=True).cte("due_letters")
        due = sa.select(locked.prefix_with("MATERIALIZED").c.id)
    ours = {
        "state": OutboxState.SENDING,
        "claim": sa.bindparam("token", type_=sa.String),
        "due_at": sa.bindparam("until", type_=OUTBOX.c.due_at.type),
        "attempts": ONE_MORE_TRY,
    }
    told = (OUTBOX.c.id,) if only_id else MINE
    return sa.update(OUTBOX).where(OUTBOX.c.id.in_(due)).values(ours).returning(*told)


# --- one batch ------------------------------------------------------------------------------------


def _take_in_hand(
    batch: Batch, transport: Transport, settings: Settings, stop: threading.Event | None
) -> None:
    """Post a batch; whatever goes wrong, what was not tried is due again, not leased for long."""
    try:
        for id_ in batch.unreadable:
            _bury(batch, id_, "it cannot be read")
        if batch.rows:
            _post(batch, transport, settings, stop)
    except BaseException:
        with contextlib.suppress(Exception):  # the first error is the one to tell of
            _hand_back(batch, list(batch.untried.values()))
        raise


def _post(
    batch: Batch, transport: Transport, settings: Settings, stop: threading.Event | None
) -> None:
    """Send the letters of a batch over one connection and mark each."""
    if why := message.unfit(settings):
        _cannot_send(batch, why)
        return
    with ExitStack() as stack:
        try:
            # Before anything is rendered: while nobody takes our mail, no letter costs a thing.
            connection = stack.enter_context(transport.open())
        except Exception as error:
            _cannot_send(batch, fault(error, connecting=True).reason)
            return
        letters = _prepare(batch, settings)
        _settle_unsent(batch, letters)
        _send_all(batch, letters, connection, settings, stop)


def _cannot_send(batch: Batch, reason: str) -> None:
    log.warning("cannot send: channel=%s because=%s", CHANNEL, reason)
    batch.posted.retried += _hand_back(batch, batch.rows, reason=reason)
    _channel_failed(batch, reason)


def _prepare(batch: Batch, settings: Settings) -> dict[int, Rendered]:
    """What each row says now; a row on which this fails is tried again later, alone to blame."""
    now = batch.clock()
    try:
        return _render(batch, batch.rows, settings, now)
    except Exception as error:
        if passes(error):
            raise
        log.error("letters failed together: rows=%s %s", len(batch.rows), trace(error))
    prepared: dict[int, Rendered] = {}
    for row in batch.rows:
        try:
            prepared |= _render(batch, [row], settings, now)
        except Exception as error:
            log.error("letter failed: outbox=%s letter=%s %s", row.id, row.kind, trace(error))
            _try_again(batch, row, type(error).__name__)
    return prepared


def _render(
    batch: Batch, rows: Sequence[Row], settings: Settings, now: datetime
) -> dict[int, Rendered]:
    """Late letters give their readers time first, so that letter and row say the same (OB9)."""
    session = db.session
    late = {
        row.enrolment_id: row.invite_no
        for row in rows
        if row.kind == post.INVITATION and row.enrolment_id and row.invite_no is not None
        if now - row.created_at > LATE
    }
    if late:
        unit(session, lambda: deadline_changes.delay_for_late_letters(session(), late, now))
    mine = sa.select(Outbox).where(
        among(Outbox.id, [row.id for row in rows]), Outbox.claim == batch.token
    )
    anew = mine.order_by(Outbox.id).execution_options(populate_existing=True)

    def act() -> dict[int, Rendered]:
        found = session.scalars(anew).all()
        return rendering.compose(session(), found, settings, now) if found else {}

    return unit(session, act)


def _settle_unsent(batch: Batch, letters: dict[int, Rendered]) -> None:
    """Record what is not sent: no longer true, or without any text that could be."""
    untrue: dict[str, list[int]] = {}
    for row in batch.rows:
        letter = letters.get(row.id)
        if isinstance(letter, Untrue):
            untrue.setdefault(letter.reason, []).append(row.id)
        elif isinstance(letter, Unrenderable):
            _give_up(batch, row, plain(f"it cannot be rendered: {letter}"))
    for reason, ids in untrue.items():
        ended = {"state": OutboxState.SKIPPED, "ended_at": batch.clock(), "last_error": reason}
        ended |= {"payload": {}} if reason == account_letters.RAN_OUT else {}
        batch.posted.skipped += _mark(batch, ids, **ended)
        log.info("letters not needed: outbox=%s because=%s", ids, reason)


def _send_all(
    batch: Batch,
    letters: dict[int, Rendered],
    connection: Connection,
    settings: Settings,
    stop: threading.Event | None,
) -> None:
    """Send in the order of promises; what cannot be begun any more goes back untouched."""
    rows = [row for row in batch.rows if isinstance(letters.get(row.id), Letter)]
    refused = Refused()
    for place, row in enumerate(rows):
        if _is_set(stop) or batch.ends_at - batch.clock() < LEFT:
            _hand_back(batch, rows[place:])
            break
        problem = _send(batch, row, letters[row.id], connection, settings)
        if problem is None:
            continue
        if problem.blame is Blame.NOBODY:
            _hand_back(batch, rows[place:])
            break
        if problem.blame is Blame.CHANNEL:
            refused.us.append((row, problem))
        elif problem.doubtful and not batch.answered:
            refused.doubtful.append((row, problem))
        elif problem.blame is Blame.MOMENT:
            _try_again(batch, row, problem.reason)
        else:
            _give_up(batch, row, problem.reason, refused=problem.refused)
        if problem.over or not connection.alive or len(refused.doubtful) >= DOUBTS:
            _hand_back(batch, rows[place + 1 :])
            break
    _settle_refused(batch, refused)
    _settle_channel(batch, refused.us)


@dataclass
class Refused:
    """Letters whose fate the rest of the batch decides: were we refused, or they?"""

    us: list[tuple[Row, Fault]] = field(default_factory=list)  # as the server says
    doubtful: list[tuple[Row, Fault]] = field(default_factory=list)  # it says only no


def _send(
    batch: Batch, row: Row, letter: Any, connection: Connection, settings: Settings
) -> Fault | None:
    """One letter, marked the moment it is theirs: a crash repeats one letter at most."""
    try:
        envelope = message.envelope(letter, row, settings)
    except message.BadSender as ours:
        return Fault(Blame.CHANNEL, str(ours), over=True)
    except message.BadLetter as bad:
        of_reader = isinstance(bad, message.BadReader)
        return Fault(Blame.LETTER, str(bad), over=False, refused=of_reader)
    batch.untried.pop(row.id)  # from here on it may have gone
    try:
        connection.send(envelope)
    except Exception as error:
        problem = fault(error)
        judged = problem.blame in (Blame.LETTER, Blame.MOMENT) and not problem.doubtful
        batch.answered |= judged and not problem.over
        return replace(problem, reason=plain(problem.reason, envelope.to))
    batch.answered = True
    ended = {"state": OutboxState.SENT, "ended_at": batch.clock(), "last_error": None}
    ended |= {"payload": {}} if row.kind in account_letters.WITH_LINK else {}  # what lets in
    batch.posted.sent += _mark(batch, [row.id], **ended)
    log.info("letter sent: outbox=%s kind=%s", row.id, row.kind)
    return None


def _settle_refused(batch: Batch, refused: Refused) -> None:
    """A plain no is the letter's end, unless all are told so: then it is we who are refused."""
    doubtful = refused.doubtful
    many = len(doubtful) >= DOUBTS or batch.admission.failures or refused.us
    if doubtful and many and not batch.answered:
        refused.us += doubtful
        return
    for row, problem in doubtful:
        batch.answered = True
        _give_up(batch, row, problem.reason, refused=problem.refused)


def _settle_channel(batch: Batch, refused: list[tuple[Row, Fault]]) -> None:
    """Refused by policy: the channel is to blame, unless it took other letters beside this one.

    Else a single address that a server will not serve could keep the channel at rest for ever.
    """
    if batch.answered and batch.admission.failures:
        unit(db.session, lambda: channels.works(db.session(), CHANNEL))
    for row, problem in refused:
        if batch.answered and not problem.over:
            _try_again(batch, row, problem.reason)
        else:
            _wait_uncounted(batch, row, problem.reason)
    last = refused[-1][1] if refused else None
    if last is not None and (last.over or not batch.answered):
        log.warning("cannot send: channel=%s because=%s", CHANNEL, last.reason)
        _channel_failed(batch, last.reason)
    elif batch.admission.probes and not batch.answered:
        unit(db.session, lambda: channels.undecided(db.session(), CHANNEL, batch.clock()))


def _channel_failed(batch: Batch, reason: str) -> None:
    batch.channel_failed, now = True, batch.clock()
    rest = unit(db.session, lambda: channels.failed(db.session(), CHANNEL, reason, now))
    if rest is not None:
        log.error(
            "channel rests: channel=%s seconds=%.0f because=%s",
            CHANNEL,
            rest.total_seconds(),
            reason,
        )


# --- marking --------------------------------------------------------------------------------------


def _try_again(batch: Batch, row: Row, reason: str) -> None:
    """A try that counts; after the last one the letter is given up."""
    now = batch.clock()
    first = row.first_tried_at or now
    next_try = RETRY.next_try(row.attempts, first, now)
    if next_try is None:
        _give_up(batch, row, reason)
        return
    waits = {"due_at": next_try, "first_tried_at": first, "last_error": reason}
    batch.posted.retried += _mark(batch, [row.id], state=OutboxState.PENDING, **waits)
    log.warning("letter waits: outbox=%s tries=%s because=%s", row.id, row.attempts, reason)


def _wait_uncounted(batch: Batch, row: Row, reason: str) -> None:
    """A try that does not count; it comes later than others, so that another may be the probe."""
    now = batch.clock()
    due = RETRY.next_try(1, now, now)
    waits = {"due_at": due, "attempts": ONE_TRY_LESS, "last_error": reason}
    batch.posted.retried += _mark(batch, [row.id], state=OutboxState.PENDING, **waits)


def _hand_back(batch: Batch, rows: Iterable[Row], reason: str | None = None) -> int:
    """Rows that were not tried are due again, as if they had never been claimed."""
    back: dict[str, Any] = {"due_at": batch.clock(), "attempts": ONE_TRY_LESS}
    back |= {"last_error": reason} if reason else {}
    return _mark(batch, [row.id for row in rows], state=OutboxState.PENDING, **back)


def _give_up(batch: Batch, row: Row, reason: str, *, refused: bool = False) -> None:
    session, now = db.session, batch.clock()

    def act() -> bool:
        return post.give_up(session(), row.id, batch.token, reason, now, refused=refused)

    try:
        ours = insisting(batch, act)
    except Exception as error:
        if passes(error):
            raise
        log.error("letter cannot be given up: outbox=%s %s", row.id, trace(error))
        _bury(batch, row.id, reason)  # nobody hears of it, but the others go out
        return
    batch.untried.pop(row.id, None)
    if ours:
        batch.posted.dead += 1
    else:
        _lease_lost([row.id])


def _bury(batch: Batch, row_id: int, reason: str) -> None:
    """End a row that cannot be read; of it nothing but its id is used."""
    log.error("letter given up unread: outbox=%s because=%s", row_id, reason)
    ended = {"state": OutboxState.DEAD, "ended_at": batch.clock(), "last_error": reason}
    batch.posted.dead += _mark(batch, [row_id], **ended)


def _mark(batch: Batch, ids: list[int], **values: Any) -> int:
    """Write down what became of rows that are still ours; return how many were."""
    if not ids:
        return 0
    made = {n: v for n, v in values.items() if isinstance(v, sa.ColumnElement)}
    plain_values = {f"new_{n}": v for n, v in values.items() if n not in made}
    statement = _marking(tuple(n for n in values if n not in made), tuple(made.items()))
    ours = {"ids": ids, "token": batch.token}

    def act() -> int:
        result: Any = db.session.execute(statement, ours | plain_values)
        return int(result.rowcount)

    marked = insisting(batch, act)
    for id_ in ids:
        batch.untried.pop(id_, None)
    if marked < len(ids):
        _lease_lost(ids)
    return marked


@lru_cache(maxsize=32)  # told apart by identity, so what is counted is a constant: `ONE_TRY_LESS`
def _marking(names: tuple[str, ...], made: tuple[tuple[str, Any], ...]) -> Any:
    new = {name: sa.bindparam(f"new_{name}", type_=OUTBOX.c[name].type) for name in names}
    mine = OUTBOX.c.claim == sa.bindparam("token", type_=sa.String)
    return (
        sa.update(OUTBOX)
        .where(among(OUTBOX.c.id, "ids"), mine)
        .values(claim=sa.null(), **new, **dict(made))
    )


def insisting(batch: Leased, act: Callable[[], T]) -> T:
    """A letter that has gone but isn't marked goes again: a database that is away is asked again,
    as long as the lease lasts."""
    for pause in MARK_AGAIN:
        try:
            return unit(db.session, act)
        except Exception as error:
            if not passes(error) or batch.ends_at - batch.clock() < timedelta(seconds=2 * pause):
                raise
            log.warning("the database is away or busy: marking again: %s", type(error).__name__)
        time.sleep(pause)
    return unit(db.session, act)


def passes(error: BaseException) -> bool:
    """Whether it is the database that is busy or away, not what we asked of it."""
    away = isinstance(error, (sa.exc.OperationalError, sa.exc.InterfaceError))
    garbled = "decode" in str(getattr(error, "orig", ""))  # SQLite calls bad UTF-8 operational
    lost = getattr(error, "connection_invalidated", False)
    return is_busy(error) or lost or (away and not garbled)


def _lease_lost(ids: list[int]) -> None:
    log.warning("lease lost: outbox=%s", ids)


# --- small things ---------------------------------------------------------------------------------


def _is_set(stop: threading.Event | None) -> bool:
    return stop is not None and stop.is_set()


def _waited(seconds: float, stop: threading.Event | None, clock: Clock) -> bool:
    """Wait for a token; False: a clock that stands still will never bring one."""
    before = clock()
    (stop.wait if stop else time.sleep)(min(seconds, 1.0))
    return clock() > before
