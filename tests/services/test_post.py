"""What staff may do about letters, and the ends that people hear of (OB6, OB10, waitlist WI8)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from app.models import (
    ChannelState,
    OnBounce,
    Outbox,
    OutboxState,
    Role,
    TrainingEnroll,
    TrainingTrainer,
)
from app.models.rules import Environment, Rules
from app.services import deadline_changes, post, waitlist
from app.services.actors import CONSOLE, Actor
from app.services.letter_facts import Facts
from app.services.letter_reading import gather
from app.services.post import NotBounced, NotDroppable, NotResendable, NotRetryable
from app.services.refusals import NotFound, ReasonNeeded
from app.services.sweep import sweep_training, trainings_to_sweep
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, REASON, SECOND, START, Cast
from tests.statements import count_statements

PENDING, SENDING, SENT = OutboxState.PENDING, OutboxState.SENDING, OutboxState.SENT
SKIPPED, DEAD, BOUNCED = OutboxState.SKIPPED, OutboxState.DEAD, OutboxState.BOUNCED
OPEN, ENDED = (PENDING, SENDING), (SENT, SKIPPED, DEAD, BOUNCED)
LATER = NOON + HOUR


def letter(cast: Cast, kind: str, **values: Any) -> Outbox:
    """The latest letter of a kind, brought into a state by hand."""
    if values.get("state") in ENDED:
        values = {"ended_at": NOON} | values
    latest = sa.select(sa.func.max(Outbox.id)).where(Outbox.kind == kind)
    id_ = cast.session.scalar(latest)
    if values:
        cast.session.execute(
            sa.update(Outbox).where(Outbox.id == id_).values(values),
            execution_options={"synchronize_session": False},
        )
    return cast.session.get_one(Outbox, id_, populate_existing=True)


def invitation(cast: Cast, **values: Any) -> Outbox:
    """The letter of Ben's invitation, Cleo behind him."""
    cast.offer("Ben", "Cleo")
    return letter(cast, "invited", **values)


def now_(cast: Cast, row: Outbox) -> Outbox:
    return cast.session.get_one(Outbox, row.id, populate_existing=True)


# --- retry ---


def test_a_dead_letter_is_retried_under_its_own_key(cast: Cast) -> None:
    row = invitation(cast, state=DEAD, attempts=12, first_tried_at=NOON, last_error="550 no")
    cast.row("Ben").invite_undelivered_at = NOON
    key, uuid = row.key, row.uuid
    post.retry(cast.session, row.id, CONSOLE, LATER)
    row = now_(cast, row)
    assert (row.state, row.attempts, row.due_at, row.ended_at) == (PENDING, 0, LATER, None)
    assert (row.key, row.uuid, row.last_error, row.first_tried_at) == (key, uuid, None, None)
    assert cast.row("Ben").invite_undelivered_at is None


def test_a_waiting_letter_need_not_wait(cast: Cast) -> None:
    row = invitation(cast, due_at=NOON + DAY, attempts=3, last_error="450 later")
    post.retry(cast.session, row.id, CONSOLE, LATER)
    assert (now_(cast, row).due_at, now_(cast, row).attempts) == (LATER, 0)


@pytest.mark.parametrize("state", [SENT, SKIPPED, BOUNCED, SENDING])
def test_what_has_gone_or_goes_is_not_retried(cast: Cast, state: OutboxState) -> None:
    row = invitation(cast, state=state, due_at=LATER + SECOND)
    before = cast.everything()
    with pytest.raises(NotRetryable):
        post.retry(cast.session, row.id, CONSOLE, LATER)
    assert cast.everything() == before


def test_what_a_dead_worker_left_behind_may_be_retried(cast: Cast) -> None:
    row = invitation(cast, state=SENDING, claim="dead worker", due_at=LATER)
    post.retry(cast.session, row.id, CONSOLE, LATER)
    assert (now_(cast, row).state, now_(cast, row).claim) == (PENDING, None)


# --- resend ---


@pytest.mark.parametrize("state", ENDED)
def test_what_has_ended_is_resent_as_another_letter(cast: Cast, state: OutboxState) -> None:
    row = invitation(cast, state=state, last_error="why")
    again = post.resend(cast.session, row.id, REASON, cast.max, LATER)
    new, old = cast.session.get_one(Outbox, again), now_(cast, row)
    assert (old.state, old.last_error) == (state, "why")
    assert (new.state, new.due_at, new.created_at, new.attempts) == (PENDING, LATER, LATER, 0)
    assert new.key == f"{row.key}:again-1"
    assert new.uuid != row.uuid
    assert new.payload["resent"] == {"of": row.uuid, "by": cast.max.name, "reason": REASON}
    same = ("kind", "aggregate", "user_id", "enrolment_id", "invite_no", "sequence", "channel")
    assert [getattr(new, name) for name in same] == [getattr(row, name) for name in same]


def test_each_resend_has_a_key_of_its_own(cast: Cast) -> None:
    row = invitation(cast, state=SENT)
    first = post.resend(cast.session, row.id, REASON, CONSOLE, LATER)
    letter(cast, "invited", state=SENT)
    second = post.resend(cast.session, first, REASON, CONSOLE, LATER)
    assert cast.session.get_one(Outbox, second).key == f"{row.key}:again-2"


@pytest.mark.parametrize("state", OPEN)
def test_what_will_go_by_itself_is_not_resent(cast: Cast, state: OutboxState) -> None:
    row = invitation(cast, state=state)
    before = cast.everything()
    with pytest.raises(NotResendable):
        post.resend(cast.session, row.id, REASON, CONSOLE, LATER)
    assert cast.everything() == before


# --- drop ---


@pytest.mark.parametrize("state", [PENDING, DEAD])
def test_a_letter_is_dropped_with_a_reason(cast: Cast, state: OutboxState) -> None:
    row = invitation(cast, state=state)
    post.drop(cast.session, row.id, REASON, CONSOLE, LATER)
    row = now_(cast, row)
    assert (row.state, row.ended_at) == (SKIPPED, LATER)
    assert row.last_error == f"dropped: {REASON}"


@pytest.mark.parametrize("state", [SENT, SKIPPED, BOUNCED, SENDING])
def test_what_has_gone_is_not_dropped(cast: Cast, state: OutboxState) -> None:
    row = invitation(cast, state=state, due_at=LATER + SECOND)
    before = cast.everything()
    with pytest.raises(NotDroppable):
        post.drop(cast.session, row.id, REASON, CONSOLE, LATER)
    assert cast.everything() == before


@pytest.mark.parametrize("act", [post.resend, post.drop])
@pytest.mark.parametrize("reason", [None, "", "  no  "])
def test_these_acts_want_a_reason(cast: Cast, act: Any, reason: str | None) -> None:
    row = invitation(cast, state=DEAD)
    with pytest.raises(ReasonNeeded):
        act(cast.session, row.id, reason, CONSOLE, LATER)


# --- whose letter ---


@pytest.mark.parametrize("about", ["invited", "invited_trainer"])
def test_letters_of_another_practice_are_not_there(cast: Cast, about: str) -> None:
    cast.offer("Ben")
    row = letter(cast, about, state=DEAD)
    theirs = Actor("user:1", staff=True, practice_ids=frozenset({cast.practice.id}))
    others = Actor("user:2", staff=True, practice_ids=frozenset({cast.practice.id + 1}))
    with pytest.raises(NotFound):
        post.retry(cast.session, row.id, others, LATER)
    with pytest.raises(NotFound):
        post.resend(cast.session, row.id, REASON, others, LATER)
    with pytest.raises(NotFound):
        post.drop(cast.session, row.id, REASON, others, LATER)
    post.retry(cast.session, row.id, theirs, LATER)
    assert now_(cast, row).state is PENDING


def test_no_such_letter(cast: Cast) -> None:
    with pytest.raises(NotFound):
        post.retry(cast.session, 10**9, CONSOLE, NOON)


# --- a whole channel ---


def test_requeue_takes_what_a_channel_gave_up_since(cast: Cast) -> None:
    row = invitation(cast, state=DEAD, ended_at=NOON)
    cast.row("Ben").invite_undelivered_at = NOON
    old = letter(cast, "invited_trainer", state=DEAD, ended_at=NOON - SECOND)
    gone = letter(cast, "waitlisted", state=SENT)
    assert post.requeue(cast.session, "sms", NOON - DAY, CONSOLE, LATER) == 0
    assert post.requeue(cast.session, "email", NOON, CONSOLE, LATER) == 1
    assert [now_(cast, one).state for one in (row, old, gone)] == [PENDING, DEAD, SENT]
    assert now_(cast, row).due_at == LATER
    assert cast.row("Ben").invite_undelivered_at is None


def test_release_lets_go_what_was_held_back(cast: Cast) -> None:
    cast.offer("Ben")
    waiting = len(cast.letters())
    post.pause(cast.session, "email", "restored from a backup", CONSOLE, NOON)
    assert post.release(cast.session, CONSOLE, LATER) == waiting
    state = cast.session.get_one(ChannelState, "email", populate_existing=True)
    assert (state.paused_until, state.reason) == (None, None)
    assert post.release(cast.session, CONSOLE, LATER) == waiting  # twice is harmless


# --- given up ---


def _office(cast: Cast, name: str) -> None:
    admin = cast.session.scalars(sa.select(Role).where(Role.name == "admin")).one_or_none()
    admin = admin or cast.add(Role(name="admin"))
    user = cast.user(name)
    user.practice_id = cast.practice.id
    user.roles.append(admin)
    cast.session.flush()


def _give_up(cast: Cast, row: Outbox, now: datetime = LATER, *, refused: bool = False) -> bool:
    done = post.give_up(cast.session, row.id, "mine", "550 no such user", now, refused=refused)
    cast.session.flush()
    cast.session.expire_all()
    return done


def test_an_invitation_given_up_is_marked_and_told_to_trainers_and_office(cast: Cast) -> None:
    _office(cast, "Olaf")
    row = invitation(cast, state=SENDING, claim="mine")
    since = cast.last_letter()
    assert _give_up(cast, row)
    assert (row.state, row.last_error, row.claim) == (DEAD, "550 no such user", None)
    ben = cast.row("Ben")
    assert (ben.status, ben.invite_undelivered_at) == ("waitlist-invited", LATER)
    assert sorted(cast.letters(since)) == [
        ("undelivered_trainer", "Olaf"),
        ("undelivered_trainer", "Tess"),
    ]
    assert cast.last_event("undelivered").reason == "given-up"
    assert ben.invite_expires_at == DEADLINE  # it runs out as promised


def test_a_trainer_who_is_office_hears_it_once(cast: Cast) -> None:
    _office(cast, "Tia")
    cast.add(TrainingTrainer(training_id=cast.pottery.id, trainer_id=cast.trainer("Tom").id))
    row = invitation(cast, state=SENDING, claim="mine")
    since = cast.last_letter()
    _give_up(cast, row)
    assert sorted(name for _, name in cast.letters(since)) == ["Tess", "Tia", "Tom"]


def test_on_bounce_release_gives_the_place_to_the_next(cast: Cast) -> None:
    cast.practice.on_bounce = OnBounce.RELEASE
    row = invitation(cast, state=SENDING, claim="mine")
    _give_up(cast, row, refused=True)
    assert cast.statuses(cast.row("Ben"), cast.row("Cleo")) == [
        "waitlist-invite-expired",
        "waitlist-invited",
    ]
    assert cast.last_event("expired").reason == "bounced"


def test_for_a_fault_of_ours_nobody_loses_the_place(cast: Cast) -> None:
    cast.practice.on_bounce = OnBounce.RELEASE
    row = invitation(cast, state=SENDING, claim="mine")
    since = cast.last_letter()
    _give_up(cast, row)
    ben = cast.row("Ben")
    assert (ben.status, ben.invite_undelivered_at) == ("waitlist-invited", LATER)
    assert cast.letters(since) == [("undelivered_trainer", "Tess")]


def test_whose_claim_was_lost_gives_nothing_up(cast: Cast) -> None:
    row = invitation(cast, state=SENDING, claim="another")
    before = cast.everything()
    assert not _give_up(cast, row)
    assert cast.everything() == before


@pytest.mark.parametrize("which", ["invited_trainer", "waitlisted"])
def test_other_letters_given_up_tell_nobody(cast: Cast, which: str) -> None:
    cast.offer("Ben")
    row = letter(cast, which, state=SENDING, claim="mine")
    since = cast.last_letter()
    assert _give_up(cast, row)
    assert cast.letters(since) == []


def test_an_old_invitation_given_up_marks_no_new_one(cast: Cast) -> None:
    row = invitation(cast, state=SENDING, claim="mine")
    waitlist.deinvite(cast.session, cast.row("Ben"), cast.max, NOON, REASON)
    since = cast.last_letter()
    assert _give_up(cast, row)
    assert cast.row("Ben").invite_undelivered_at is None
    assert cast.letters(since) == []


# --- bounced ---


def _bounce(cast: Cast, row: Outbox, now: datetime = LATER) -> bool:
    done = post.bounced(cast.session, row.id, "5.1.1 no such user", CONSOLE, now)
    cast.session.flush()
    cast.session.expire_all()
    return done


@pytest.mark.parametrize("state", [SENT, SENDING])
def test_a_bounce_ends_the_letter_and_the_address(cast: Cast, state: OutboxState) -> None:
    row = invitation(cast, state=state)
    since = cast.last_letter()
    assert _bounce(cast, row)
    assert (row.state, row.last_error, row.ended_at) == (BOUNCED, "5.1.1 no such user", LATER)
    ben = cast.row("Ben")
    assert ben.invite_undelivered_at == LATER
    assert cast.student("Ben").user.undeliverable_at == LATER
    assert cast.letters(since) == [("undelivered_trainer", "Tess")]
    assert not _bounce(cast, row, LATER + HOUR)  # twice is harmless
    assert cast.student("Ben").user.undeliverable_at == LATER
    assert len(cast.letters(since)) == 1


def test_a_bounce_may_release_the_place_without_a_letter_to_nowhere(cast: Cast) -> None:
    cast.practice.on_bounce = OnBounce.RELEASE
    row = invitation(cast, state=SENT)
    since = cast.last_letter()
    assert _bounce(cast, row)
    assert cast.row("Ben").status == "waitlist-invite-expired"
    assert ("expired", "Ben") not in cast.letters(since)
    assert ("invited", "Cleo") in cast.letters(since)


def test_a_trainers_bounce_marks_the_trainer_alone(cast: Cast) -> None:
    cast.offer("Ben")
    row = letter(cast, "invited_trainer", state=SENT)
    since = cast.last_letter()
    assert _bounce(cast, row)
    assert cast.tess.user.undeliverable_at == LATER
    assert cast.row("Ben").invite_undelivered_at is None
    assert cast.letters(since) == []


def test_any_letter_of_a_student_that_bounces_tells_the_trainers(cast: Cast) -> None:
    cast.offer("Ben")
    row = letter(cast, "waitlisted", state=SENT)
    since = cast.last_letter()
    assert _bounce(cast, row)
    assert cast.letters(since) == [("undelivered_trainer", "Tess")]
    assert cast.row("Ben").invite_undelivered_at is None  # it spoke of no invitation


@pytest.mark.parametrize(
    ("status", "which"),
    [
        ("enrolled", "enrolled"),
        ("waitlist", "waitlisted"),
        ("waitlist-declined", "declined"),
        ("waitlist-invite-expired", "expired"),
        ("waitlist-invite-expired", "invited"),
        ("derolled", "left_waitlist"),
    ],
)
def test_whatever_bounces_the_trainers_are_told_and_the_letter_is_true(
    cast: Cast, status: str, which: str
) -> None:
    cast.in_status(status)
    mine = sa.select(Outbox).where(Outbox.kind == which, Outbox.enrolment_id == cast.row("Ben").id)
    row = cast.session.scalars(mine.order_by(Outbox.id.desc())).first()
    assert row is not None
    row.state, row.ended_at = SENT, NOON
    cast.session.flush()
    since = cast.last_letter()
    assert _bounce(cast, row)
    assert cast.letters(since) == [("undelivered_trainer", "Tess")]
    told = letter(cast, "undelivered_trainer")
    facts = gather(cast.session, [told], LATER)[told.id]
    assert isinstance(facts, Facts), facts
    assert facts.invitation == ("ended" if which == "invited" else "")


@pytest.mark.parametrize("state", [PENDING, DEAD, SKIPPED])
def test_what_never_went_cannot_bounce(cast: Cast, state: OutboxState) -> None:
    row = invitation(cast, state=state)
    before = cast.everything()
    with pytest.raises(NotBounced):
        _bounce(cast, row)
    assert cast.everything() == before


# --- late letters don't eat the answer time (WI8) ---


def _late(cast: Cast, now: datetime, invite_no: int = 1) -> list[Any]:
    cast.session.flush()
    ben = cast.row("Ben")
    moved = deadline_changes.delay_for_late_letters(cast.session, {ben.id: invite_no}, now)
    cast.session.expire_all()
    return moved


def test_who_hears_late_has_the_whole_answer_time(cast: Cast) -> None:
    cast.offer("Ben")
    since = cast.last_letter()
    assert len(_late(cast, NOON + 3 * HOUR)) == 1
    assert cast.row("Ben").invite_expires_at == DEADLINE + 3 * HOUR
    assert list(cast.jobs().values()) == [DEADLINE + 3 * HOUR]
    assert cast.last_event("deadline-changed").reason == "letter-late"
    assert cast.letters(since) == []  # the late letter says it


@pytest.mark.parametrize("after", [0 * SECOND, 15 * MINUTE])
def test_a_quarter_of_an_hour_is_in_time(cast: Cast, after: Any) -> None:
    cast.offer("Ben")
    before = cast.everything()
    assert _late(cast, NOON + after) == []
    assert cast.everything() == before


def test_never_past_the_hard_stop_and_never_earlier(cast: Cast) -> None:
    cast.offer("Ben")
    _late(cast, START - 3 * HOUR)
    assert cast.row("Ben").invite_expires_at == START - 2 * HOUR
    cast.schedule.interval = HOUR
    before = cast.everything()
    assert _late(cast, NOON + HOUR) == []
    assert _late(cast, START) == []
    assert cast.everything() == before


def test_an_answered_or_another_invitation_is_left_alone(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    assert _late(cast, NOON + 3 * HOUR, invite_no=2) == []
    cast.accept(ben)
    before = cast.everything()
    assert _late(cast, NOON + 3 * HOUR) == []
    assert cast.everything() == before


def test_in_development_nothing_is_delayed(cast: Cast) -> None:
    cast.offer("Ben")
    cast.session.info["rules"] = Rules(environment=Environment.DEVELOPMENT)
    try:
        assert _late(cast, NOON + 3 * HOUR) == []
        _fails(cast)
        assert cast.expire(cast.row("Ben"))
    finally:
        del cast.session.info["rules"]


# --- a letter that fails ends nobody's time (WI8) ---


def _fails(cast: Cast) -> None:
    letter(cast, "invited", last_error="450 later", attempts=3)


def _channel_rests(cast: Cast, until: datetime | None = None, failures: int = 0) -> None:
    cast.add(ChannelState(channel="email", paused_until=until, failures=failures))


def _sweep(cast: Cast, now: datetime) -> None:
    cast.session.flush()
    for id_ in trainings_to_sweep(cast.session, now):
        sweep_training(cast.session, id_, now)
    cast.session.flush()
    cast.session.expire_all()


@pytest.mark.parametrize("how", ["error", "paused", "probing"])
def test_instead_of_expiring_who_could_not_be_told_gets_new_time(cast: Cast, how: str) -> None:
    (ben, _cleo) = cast.offer("Ben", "Cleo")
    if how == "error":
        _fails(cast)
    else:
        _channel_rests(cast, DEADLINE + HOUR if how == "paused" else None, 5)
    assert not cast.expire(ben)
    _sweep(cast, DEADLINE)
    ben = cast.row("Ben")
    assert (ben.status, ben.invite_expires_at) == ("waitlist-invited", DEADLINE + 48 * HOUR)
    assert list(cast.jobs().values()) == [DEADLINE + 48 * HOUR]
    assert trainings_to_sweep(cast.session, DEADLINE) == []  # nothing is left to do each tick


@pytest.mark.parametrize("state", [SENT, DEAD, SKIPPED, BOUNCED])
def test_a_letter_that_has_ended_postpones_nothing(cast: Cast, state: OutboxState) -> None:
    (ben,) = cast.offer("Ben")
    letter(cast, "invited", state=state, last_error="450 later")
    _channel_rests(cast, DEADLINE + HOUR, 5)
    assert cast.expire(ben)


def test_merely_unsent_is_no_reason(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    _channel_rests(cast, NOON + HOUR, 4)  # it rested once, and works again
    assert cast.expire(ben)


def test_the_letter_of_an_older_invitation_or_a_trainer_postpones_nothing(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    letter(cast, "invited_trainer", last_error="450 later")
    letter(cast, "invited", last_error="450 later", invite_no=0)
    assert cast.expire(ben)


def test_at_the_hard_stop_it_is_over_all_the_same(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    _fails(cast)
    stop = START - 2 * HOUR
    _sweep(cast, stop - HOUR)
    assert cast.row("Ben").invite_expires_at == stop
    _sweep(cast, stop)
    assert cast.statuses(ben) == ["waitlist-invite-expired"]


def test_postponing_costs_one_statement_where_nothing_fails(cast: Cast) -> None:
    cast.offer("Ben")
    assert cast.pottery.id  # loaded, as under its lock
    with count_statements(cast.session) as sent:
        deadline_changes.postpone_failing(cast.session, cast.pottery, NOON)
    assert len(sent) == 1


def test_a_late_answer_time_is_that_of_the_schedule_that_granted_it(cast: Cast) -> None:
    cast.offer("Ben")
    cast.schedule.interval = 60 * HOUR
    _late(cast, NOON + HOUR)
    ben = cast.session.scalars(sa.select(TrainingEnroll).where(TrainingEnroll.invite_no == 1)).one()
    assert ben.invite_expires_at == NOON + 61 * HOUR
