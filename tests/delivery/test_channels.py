"""When a channel rests and how fast it may go (reliability OB7, OB8)."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy.orm import Session

from app.delivery import channels
from app.delivery.channels import Breaker, Rate
from app.models import ChannelState
from app.services import post
from app.services.actors import CONSOLE
from tests.cast import DAY, MINUTE, NOON, REASON, SECOND

UNLIMITED = Rate(0, 1)
LEASE = 120 * SECOND


def fail(session: Session, times: int) -> timedelta | None:
    rest = None
    for _ in range(times):
        rest = channels.failed(session, "email", "refused", NOON)
    return rest


def state(session: Session, channel: str = "email") -> ChannelState:
    return session.get_one(ChannelState, channel, populate_existing=True)


# --- resting ---


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, None), (4, None), (5, 30), (6, 60), (7, 120), (8, 240), (9, 480), (10, 600), (999, 600)],
)
def test_five_failures_in_a_row_rest_the_channel_longer_each_time(
    failures: int, seconds: int | None
) -> None:
    rests = [Breaker().rest(failures) for _ in range(100)]
    if seconds is None:
        assert rests == [None] * 100
        return
    assert all(0.9 * seconds <= rest.total_seconds() <= 1.1 * seconds for rest in rests if rest)
    assert len(set(rests)) > 50


def test_four_failures_rest_nothing_and_a_success_forgets_them(session: Session) -> None:
    assert fail(session, 4) is None
    assert channels.admit(session, "email", 20, UNLIMITED, NOON).room == 20
    channels.works(session, "email")
    assert fail(session, 4) is None
    assert state(session).failures == 4


def test_who_rests_admits_nobody_then_one_probe_then_all(session: Session) -> None:
    rest = fail(session, 5)
    assert rest is not None
    assert channels.is_paused(session, "email", NOON)
    assert channels.admit(session, "email", 20, UNLIMITED, NOON + rest - SECOND).room == 0
    over = NOON + rest
    probe = channels.admit(session, "email", 20, UNLIMITED, over)
    assert (probe.room, probe.probes) == (1, True)
    channels.drawn(session, "email", probe, 1, over, LEASE)
    assert channels.admit(session, "email", 20, UNLIMITED, over).room == 0  # the probe is alone
    channels.works(session, "email")
    assert channels.admit(session, "email", 20, UNLIMITED, over).room == 20
    assert state(session).reason is None


def test_a_probe_that_fails_rests_the_channel_for_longer(session: Session) -> None:
    first, second = fail(session, 5), fail(session, 1)
    assert first is not None
    assert second is not None
    assert second > first * 1.5
    assert state(session).reason == "refused"


def test_a_probe_that_says_nothing_makes_room_for_the_next(session: Session) -> None:
    rest = fail(session, 5)
    assert rest is not None
    probe = channels.admit(session, "email", 20, UNLIMITED, NOON + rest)
    channels.drawn(session, "email", probe, 1, NOON + rest, LEASE)
    channels.undecided(session, "email", NOON + rest)
    assert channels.admit(session, "email", 20, UNLIMITED, NOON + rest).room == 1


def test_a_probe_that_found_no_letter_leaves_the_channel_open_for_one(session: Session) -> None:
    rest = fail(session, 5)
    assert rest is not None
    probe = channels.admit(session, "email", 20, UNLIMITED, NOON + rest)
    channels.drawn(session, "email", probe, 0, NOON + rest, LEASE)
    assert channels.admit(session, "email", 20, UNLIMITED, NOON + rest).room == 1


def test_other_channels_go_on(session: Session) -> None:
    fail(session, 5)
    assert channels.admit(session, "sms", 20, UNLIMITED, NOON).room == 20
    assert not channels.is_paused(session, "sms", NOON)


# --- staff ---


def test_what_staff_paused_only_staff_resume(session: Session) -> None:
    post.pause(session, "email", REASON, CONSOLE, NOON)
    assert channels.admit(session, "email", 20, UNLIMITED, NOON + 900 * DAY).room == 0
    channels.works(session, "email")  # a batch that was under way
    fail(session, 6)
    assert channels.admit(session, "email", 20, UNLIMITED, NOON + 900 * DAY).room == 0
    post.resume(session, "email", CONSOLE, NOON)
    assert channels.admit(session, "email", 20, UNLIMITED, NOON).room == 20


def test_staff_pause_until_a_time(session: Session) -> None:
    post.pause(session, "email", REASON, CONSOLE, NOON, NOON + MINUTE)
    assert channels.is_paused(session, "email", NOON + MINUTE - SECOND)
    assert not channels.is_paused(session, "email", NOON + MINUTE)
    assert channels.admit(session, "email", 20, UNLIMITED, NOON + MINUTE).room == 20


def test_staff_resume_what_rests_by_itself(session: Session) -> None:
    fail(session, 9)
    post.resume(session, "email", CONSOLE, NOON)
    assert channels.admit(session, "email", 20, UNLIMITED, NOON).room == 20


# --- the rate ---


@pytest.mark.parametrize(
    ("tokens", "seconds", "there"),
    [(None, 0, 10), (0, 0, 0), (0, 1, 2), (3, 1, 5), (9, 1, 10), (0, 900, 10), (4, -900, 4)],
)
def test_the_bucket_fills_at_the_rate_and_never_over(
    tokens: float | None, seconds: int, there: float
) -> None:
    bucket = SimpleNamespace(tokens=tokens, refilled_at=NOON - seconds * SECOND)
    assert Rate(2, 10).tokens(bucket, NOON) == there


def test_letters_draw_what_they_took_not_what_they_might_have(session: Session) -> None:
    rate = Rate(1, 10)
    first = channels.admit(session, "email", 20, rate, NOON)
    assert first.room == 10
    channels.drawn(session, "email", first, 7, NOON, LEASE)
    second = channels.admit(session, "email", 20, rate, NOON)
    assert second.room == 3
    channels.drawn(session, "email", second, 3, NOON, LEASE)
    empty = channels.admit(session, "email", 20, rate, NOON)
    assert (empty.room, empty.wait) == (0, 1.0)
    assert channels.admit(session, "email", 20, rate, NOON + SECOND).room == 1
