"""What becomes of a promise after it was made, and what staff may do about it (OB6, OB7, OB10).

            drop ──► skipped ──┐
              │                │
pending ──► sending ──► sent ──┼── resend ──► another row, pending
   ▲                      │    │
   │ retry, requeue       └──► bounced
   └── dead ◄── give_up

The delivery loop claims and sends; here stand the ends that people hear of: a letter that is given
up or bounces tells the trainers, and may release the place it offered (waitlist WI8).
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.models.bulk import dialect_of, insert_many, insert_rows
from app.models.enrolment import INVITED, TrainingEnroll
from app.models.outbox import ChannelState, Outbox, OutboxState
from app.models.person import Student
from app.models.practice import OnBounce
from app.models.training import Training
from app.models.types import new_uuid
from app.models.user import User
from app.services import account_letters, history, invitations, letters, post_reading, waitlist
from app.services.actors import SYSTEM, Actor
from app.services.locks import locked
from app.services.refusals import NotFound, Refusal, a_reason
from app.services.transitions import place_of

log = logging.getLogger("app.services.post")

PENDING, SENDING, SENT = OutboxState.PENDING, OutboxState.SENDING, OutboxState.SENT
SKIPPED, DEAD, BOUNCED = OutboxState.SKIPPED, OutboxState.DEAD, OutboxState.BOUNCED
UNTIL_RESUMED = datetime(9999, 1, 1, tzinfo=UTC)  # what staff pause waits for staff
INVITATION = "invited"  # the letter whose fate touches a deadline

AFRESH: dict[str, Any] = {
    "state": PENDING,
    "claim": None,
    "attempts": 0,
    "first_tried_at": None,
    "last_error": None,
    "ended_at": None,
}


class NotRetryable(Refusal):
    """Only what waits or was given up can be tried again under its own key."""

    code = "not_retryable"
    sentence = _l("Only a letter that waits or was given up can be tried again; resend it instead.")


class NotResendable(Refusal):
    """What has not ended will still go out by itself."""

    code = "not_resendable"
    sentence = _l("This letter has not ended yet; retry it, or wait until it has gone.")


class OnItsWayAgain(Refusal):
    """It was resent, and that copy has not gone yet: a second click makes no third letter."""

    code = "on_its_way_again"
    sentence = _l("This letter was resent already; the copy has not gone yet.")


class LinkGone(Refusal):
    """The link that lets its reader in went out with the letter and is kept nowhere."""

    code = "link_gone"
    sentence = _l("Its link went out with it and is not kept; let its reader ask for a new one.")


class NotDroppable(Refusal):
    """What has gone cannot be held back."""

    code = "not_droppable"
    sentence = _l("Only a letter that waits or was given up can be dropped.")


class NotBounced(Refusal):
    """Only what went out can come back."""

    code = "not_bounced"
    sentence = _l("This letter never went out, so it cannot have bounced.")


# --- one letter, by staff -------------------------------------------------------------------------


def retry(session: Session, row_id: int, actor: Actor, now: datetime) -> None:
    """Try a letter that was given up, or that waits for its next try, now; its key stays.

    Raises `NotFound`, `NotRetryable`.
    """
    row = _row(session, row_id, actor)
    if not _move(session, row, _not_under_way(now, PENDING, DEAD), due_at=now, **AFRESH):
        raise NotRetryable
    _expected_again(session, row)
    log.info("letter retried: outbox=%s actor=%s", row.id, actor.name)


def resend(session: Session, row_id: int, reason: str | None, actor: Actor, now: datetime) -> int:
    """Promise a letter that has ended once more, as another letter; return its id.

    Raises `NotFound`, `NotResendable`, `LinkGone`, `OnItsWayAgain`, `ReasonNeeded`.
    """
    note = a_reason(reason)
    # Two who resend it at once come one after the other.
    row = locked(session, Outbox, _row(session, row_id, actor).id)
    if row.ended_at is None:
        raise NotResendable
    if row.kind in account_letters.WITH_LINK and not row.payload.get("page"):
        raise LinkGone
    if session.scalar(sa.select(sa.exists().where(_again(row.key), Outbox.ended_at.is_(None)))):
        raise OnItsWayAgain
    new = {
        column.name: getattr(row, column.name)
        for column in Outbox.__table__.columns
        if column.name != "id"
    }
    new |= AFRESH | {"uuid": new_uuid(), "due_at": now, "created_at": now}
    new["key"] = _next_key(session, row.key)
    new["payload"] = row.payload | {"resent": {"of": row.uuid, "by": actor.name, "reason": note}}
    insert_many(session, Outbox, [new])
    _expected_again(session, row)
    again: int = session.scalars(sa.select(Outbox.id).where(Outbox.key == new["key"])).one()
    log.info("letter resent: outbox=%s as=%s actor=%s", row.id, again, actor.name)
    return again


def drop(session: Session, row_id: int, reason: str | None, actor: Actor, now: datetime) -> None:
    """Never send a letter that waits or was given up.

    Raises `NotFound`, `NotDroppable`, `ReasonNeeded`.
    """
    note = a_reason(reason)
    row = _row(session, row_id, actor)
    ended = {"state": SKIPPED, "ended_at": now, "claim": None, "last_error": f"dropped: {note}"}
    if not _move(session, row, _not_under_way(now, PENDING, DEAD), **ended):
        raise NotDroppable
    log.info("letter dropped: outbox=%s actor=%s", row.id, actor.name)


# --- a whole channel, by staff --------------------------------------------------------------------


def requeue(session: Session, channel: str, since: datetime, actor: Actor, now: datetime) -> int:
    """Try again all that a channel has given up since then; return how many letters."""
    given_up = sa.and_(Outbox.channel == channel, Outbox.state == DEAD, Outbox.ended_at >= since)
    unmarked = sa.select(Outbox.enrolment_id).where(given_up, Outbox.kind == INVITATION)
    session.execute(
        sa.update(TrainingEnroll)
        .where(TrainingEnroll.id.in_(unmarked))
        .values(invite_undelivered_at=None)
        .execution_options(synchronize_session="fetch")
    )
    result: Any = session.execute(
        sa.update(Outbox)
        .where(given_up)
        .values(due_at=now, **AFRESH)
        .execution_options(synchronize_session="fetch")
    )
    log.info("requeued: channel=%s letters=%s actor=%s", channel, result.rowcount, actor.name)
    return int(result.rowcount)


def pause(
    session: Session,
    channel: str,
    reason: str | None,
    actor: Actor,
    now: datetime,
    until: datetime | None = None,
) -> None:
    """Send nothing over a channel until then, or until staff resume it (OB7).

    Raises `ReasonNeeded`.
    """
    note = a_reason(reason)
    values = {"paused_until": until or UNTIL_RESUMED, "reason": note, "failures": 0}
    _set_channel(session, channel, **values)
    log.warning("channel paused: channel=%s actor=%s", channel, actor.name)


def resume(session: Session, channel: str, actor: Actor, now: datetime) -> None:
    """Let a channel send again, whoever or whatever paused it."""
    _set_channel(session, channel, paused_until=None, reason=None, failures=0)
    log.info("channel resumed: channel=%s actor=%s", channel, actor.name)


def release(session: Session, actor: Actor, now: datetime) -> int:
    """Let go what staff or a restore held back; return how many letters wait (people PO4)."""
    paused = sa.select(ChannelState.channel).where(ChannelState.paused_until > now)
    for channel in session.scalars(paused.order_by(ChannelState.channel)).all():
        resume(session, channel, actor, now)
    waiting = sa.select(sa.func.count()).select_from(Outbox).where(Outbox.ended_at.is_(None))
    return session.scalar(waiting) or 0


# --- the ends that people hear of -----------------------------------------------------------------


def give_up(
    session: Session,
    row_id: int,
    claim: str,
    reason: str,
    now: datetime,
    *,
    refused: bool = False,
) -> bool:
    """No more tries for a letter that `claim` holds; False: the claim was lost (OB6).

    An invitation that nobody could be told of is marked, and its trainers hear of it. Only what
    was `refused` for its reader's sake releases the place: for a fault of ours nobody loses it.
    """
    row = session.get_one(Outbox, row_id)
    training = _lock_training_of(session, row)
    ended = {"state": DEAD, "ended_at": now, "claim": None, "last_error": reason}
    if not _move(session, row, Outbox.claim == claim, **ended):
        return False
    log.error("letter given up: outbox=%s kind=%s because=%s", row.id, row.kind, reason)
    if training is not None and row.kind == INVITATION:
        _undelivered(session, training, row, "given-up", now, release=refused)
    return True


def bounced(session: Session, row_id: int, reason: str, actor: Actor, now: datetime) -> bool:
    """A letter came back for good: its address gets none until it changes (OB10).

    The trainers hear of a student who cannot be told. False: it was known.
    Raises `NotFound`, `NotBounced`.
    """
    row = _row(session, row_id, actor)
    training = _lock_training_of(session, row)
    session.refresh(row)
    if row.state is BOUNCED:
        return False
    # Under way counts as sent: a copy may have gone before its sender died.
    went_out = Outbox.state.in_((SENT, SENDING))
    ended = {"state": BOUNCED, "ended_at": now, "claim": None, "last_error": reason}
    if not _move(session, row, went_out, **ended):
        raise NotBounced
    log.warning("letter bounced: outbox=%s kind=%s actor=%s", row.id, row.kind, actor.name)
    session.execute(
        sa.update(User)
        .where(User.id == row.user_id, User.undeliverable_at.is_(None))
        .values(undeliverable_at=now)
        .execution_options(synchronize_session="fetch")
    )
    if training is not None:
        _undelivered(session, training, row, "bounced", now, release=True)
    return True


def _undelivered(
    session: Session, training: Training, row: Outbox, why: str, now: datetime, *, release: bool
) -> None:
    """Tell the trainers that a student could not be told; mark the open invitation (WI8)."""
    enrolment = session.scalars(
        sa.select(TrainingEnroll)
        .join(Student, Student.id == TrainingEnroll.student_id)
        .where(TrainingEnroll.id == row.enrolment_id, Student.user_id == row.user_id)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if enrolment is None:
        return  # a trainer's own letter
    is_open = enrolment.status is INVITED and row.invite_no == enrolment.invite_no
    of_invitation = is_open and row.kind == INVITATION
    if why == "given-up" and not of_invitation:
        return  # that invitation is over: nobody waits for an answer
    letters.undelivered(session, place_of(enrolment), now, letter=row.kind)
    history.note(session, enrolment, "undelivered", SYSTEM, now, reason=why)
    if of_invitation:
        enrolment.invite_undelivered_at = now
        if release:
            _release(session, training, enrolment, now)


def _release(
    session: Session, training: Training, enrolment: TrainingEnroll, now: datetime
) -> None:
    if training.practice.on_bounce is not OnBounce.RELEASE:
        return
    session.flush()  # the mark, before rows are read anew
    if invitations.end(session, [enrolment.id], "expired", SYSTEM, now, reason="bounced"):
        waitlist.refill(session, training, now)


# --- rows -----------------------------------------------------------------------------------------


def _row(session: Session, row_id: int, actor: Actor) -> Outbox:
    """A row that the actor may touch. Raises `NotFound`."""
    row = session.get(Outbox, row_id, populate_existing=True)
    if row is None or not _theirs(session, row, actor):
        raise NotFound(what="letter", id=row_id)
    return row


def _theirs(session: Session, row: Outbox, actor: Actor) -> bool:
    """Staff see the letters of their practices (reliability SE7)."""
    if actor.practice_ids is None:
        return True
    mine = post_reading.of_practices(actor.practice_ids)
    return bool(session.scalar(sa.select(sa.exists().where(Outbox.id == row.id, mine))))


def _move(session: Session, row: Outbox, where: sa.ColumnElement[bool], **values: Any) -> bool:
    """The guarded change of one row; afterwards `row` shows what is true."""
    result: Any = session.execute(
        sa.update(Outbox)
        .where(Outbox.id == row.id, where)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    session.refresh(row)
    return bool(result.rowcount)


def _not_under_way(now: datetime, *states: OutboxState) -> sa.ColumnElement[bool]:
    """In one of these states, or left behind by a worker whose lease has ended."""
    left_behind = sa.and_(Outbox.state == SENDING, Outbox.due_at <= now)
    return sa.or_(Outbox.state.in_(states), left_behind)


def _expected_again(session: Session, row: Outbox) -> None:
    """The letter of an invitation is on its way again: its row is no longer marked."""
    if row.kind == INVITATION and row.enrolment_id is not None:
        session.execute(
            sa.update(TrainingEnroll)
            .where(
                TrainingEnroll.id == row.enrolment_id,
                TrainingEnroll.invite_no == row.invite_no,
            )
            .values(invite_undelivered_at=None)
            .execution_options(synchronize_session="fetch")
        )


def _next_key(session: Session, key: str) -> str:
    """`<key>:again-<n>`: two who resend at once want the same one, and one of them is refused."""
    known = sa.select(sa.func.count()).select_from(Outbox).where(_again(key))
    return f"{_first(key)}:again-{(session.scalar(known) or 0) + 1}"


def _again(key: str) -> sa.ColumnElement[bool]:
    """What was resent of the letter that first had this key."""
    return Outbox.key.startswith(f"{_first(key)}:again-", autoescape=True)


def _first(key: str) -> str:
    return key.partition(":again-")[0]


def _lock_training_of(session: Session, row: Outbox) -> Training | None:
    """Training before outbox, as everywhere (DB3)."""
    if row.enrolment_id is None:
        return None
    of = sa.select(TrainingEnroll.training_id).where(TrainingEnroll.id == row.enrolment_id)
    return locked(session, Training, session.scalars(of).one())


def _set_channel(session: Session, channel: str, **values: Any) -> None:
    new: Any = sa.select(sa.literal(channel).label("channel"), sa.literal(0).label("failures"))
    session.execute(insert_rows(dialect_of(session), ChannelState, new, once_per="channel"))
    session.execute(
        sa.update(ChannelState)
        .where(ChannelState.channel == channel)
        .values(**values)
        .execution_options(synchronize_session="fetch")
    )
