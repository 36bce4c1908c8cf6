"""How a channel fares: when it rests after failures, how many letters may go now (OB7, OB8).

All processes share one row per channel. Whoever claims locks it first, so that a rate is a rate
however many workers there are, and so that after a rest exactly one letter is tried.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.bulk import dialect_of, insert_rows
from app.models.outbox import FAILURES_TO_PAUSE, ChannelState

STATE: Any = ChannelState.__table__


@dataclass(frozen=True)
class Breaker:
    """How long a channel rests: longer with each failure in a row, never all at one instant."""

    after: int = FAILURES_TO_PAUSE
    first: timedelta = timedelta(seconds=30)
    longest: timedelta = timedelta(minutes=10)
    spread: float = 0.1

    def rest(self, failures: int) -> timedelta | None:
        """After so many failures in a row; None: go on trying."""
        if failures < self.after:
            return None
        doubled: timedelta = min(self.first * 2 ** min(failures - self.after, 16), self.longest)
        return doubled * random.uniform(1 - self.spread, 1 + self.spread)  # noqa: S311  no secret


@dataclass(frozen=True)
class Rate:
    """At most `burst` at once, `per_second` in the long run; 0 = unlimited."""

    per_second: float
    burst: int

    def tokens(self, state: Any, now: datetime) -> float:
        """What is in the bucket now; a clock that was put back neither fills nor empties it."""
        if state.tokens is None or state.refilled_at is None:
            return float(self.burst)
        passed = max((now - state.refilled_at).total_seconds(), 0)
        refilled: float = state.tokens + passed * self.per_second
        return min(float(self.burst), refilled)

    def seconds_to_next(self, tokens: float) -> float:
        return max(1 - tokens, 0) / self.per_second


BREAKER = Breaker()


@dataclass(frozen=True)
class Admission:
    """How many letters a worker may claim now, and what `drawn` needs to know of it."""

    room: int
    failures: int = 0
    tokens: float | None = None  # in the bucket; None: no limit
    wait: float = 0  # seconds until there is a token

    @property
    def probes(self) -> bool:
        """The channel rested: this one letter decides."""
        return self.failures >= BREAKER.after


def is_paused(session: Session, channel: str, now: datetime) -> bool:
    """Whether a channel rests, by itself or because staff said so."""
    until = session.scalar(sa.select(STATE.c.paused_until).where(STATE.c.channel == channel))
    return until is not None and until > now


def admit(session: Session, channel: str, wanted: int, rate: Rate, now: datetime) -> Admission:
    """How many of `wanted` letters may go now; the channel's row stays locked until the commit."""
    state = _locked(session, channel)
    if state.paused_until is not None and state.paused_until > now:
        return Admission(0, state.failures)
    room = 1 if state.failures >= BREAKER.after else wanted
    if not rate.per_second:
        return Admission(room, state.failures)
    tokens = rate.tokens(state, now)
    if tokens < 1:
        return Admission(0, state.failures, tokens, rate.seconds_to_next(tokens))
    return Admission(min(room, int(tokens)), state.failures, tokens)


def drawn(
    session: Session,
    channel: str,
    admission: Admission,
    count: int,
    now: datetime,
    lease: timedelta,
) -> None:
    """`count` letters were claimed under `admission`: take their tokens.

    A probe is alone: until it is decided, at most `lease`, nobody else tries.
    """
    values: dict[str, Any] = {}
    if admission.tokens is not None:
        values |= {"tokens": admission.tokens - count, "refilled_at": now}
    if admission.probes:
        values |= {"paused_until": now + lease}
    if values and count:
        session.execute(sa.update(STATE).where(STATE.c.channel == channel).values(values))


def failed(session: Session, channel: str, reason: str, now: datetime) -> timedelta | None:
    """The channel failed once more; return how long it rests now, None: not at all.

    What was under way when staff paused it counts no more: their pause stays as it is.
    """
    state = _locked(session, channel)
    resting = state.paused_until is not None and state.paused_until > now
    if resting and state.failures < BREAKER.after:
        return None
    rest = BREAKER.rest(state.failures + 1)
    values: dict[str, Any] = {"failures": state.failures + 1}
    if rest is not None:
        values |= {"paused_until": now + rest, "reason": reason}
    session.execute(sa.update(STATE).where(STATE.c.channel == channel).values(values))
    return rest


def works(session: Session, channel: str) -> None:
    """A letter went out: the next failure is the first again; what staff paused stays paused."""
    rested = STATE.c.failures >= BREAKER.after
    session.execute(
        sa.update(STATE)
        .where(STATE.c.channel == channel, STATE.c.failures > 0)
        .values(
            failures=0,
            paused_until=sa.case((rested, sa.null()), else_=STATE.c.paused_until),
            reason=sa.case((rested, sa.null()), else_=STATE.c.reason),
        )
    )


def undecided(session: Session, channel: str, now: datetime) -> None:
    """The probe said nothing about the channel: the next letter may be the probe at once."""
    probing = sa.and_(STATE.c.channel == channel, STATE.c.failures >= BREAKER.after)
    session.execute(sa.update(STATE).where(probing).values(paused_until=now))


def _locked(session: Session, channel: str) -> Any:
    one = sa.select(STATE).where(STATE.c.channel == channel).with_for_update()
    state = session.execute(one).one_or_none()
    if state is None:
        new: Any = sa.select(sa.literal(channel).label("channel"), sa.literal(0).label("failures"))
        session.execute(insert_rows(dialect_of(session), ChannelState, new, once_per="channel"))
        state = session.execute(one).one()
    return state
