"""Telling programs what schedules did: claim, post, mark (schedules O9, reliability OB).

As letters go out, with the same lease, tries and rests; but each endpoint is a channel of its own,
so that one that does not answer holds up no other. What it is told is signed as Standard Webhooks
has it, and a copy has the id of the first.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from flask import current_app
from sqlalchemy.orm import Session

from app.delivery import channels, outbox
from app.delivery.channels import Rate
from app.delivery.outbox import LEASE, LEFT, RETRY, Posted, Row
from app.delivery.transports import plain, trace
from app.delivery.webhook_http import Answer, NotPublic, Way
from app.extensions import db, unit, utcnow
from app.models.outbox import Outbox, OutboxState
from app.models.types import new_uuid
from app.models.webhook import CHANNEL, Webhook
from app.services import post, schedule_letters
from app.services.webhooks import BadWebhookUrl

log = logging.getLogger("app.delivery.webhooks")

BATCH = 5  # of one claim: slow endpoints take seconds for each
MOST = 50  # to one endpoint, before the others have their turn again
NO_LIMIT = Rate(0, 1)
GONE = 410  # it wants nothing any more
TRY_AGAIN = frozenset({408, 425, 429})  # as all from 500 on (OB6)
REFUSES_US = frozenset({401, 403})

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Told:
    """One event on its way to an endpoint."""

    row: Row
    url: str
    secret: str
    event: dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """Why it was not taken, and what follows.

    `lasting`: it is given up now. `of_endpoint`: nothing else would be taken either, so it rests;
    the try counts all the same, or what is promised to one that has vanished would never end.
    """

    reason: str
    answered: bool = False  # by somebody who judges what we say
    lasting: bool = False
    of_endpoint: bool = False
    gone: bool = False
    wait: timedelta | None = None


def drain(
    stop: threading.Event | None = None,
    *,
    limit: int | None = None,
    clock: Clock = utcnow,
    way: Way | None = None,
) -> Posted:
    """Tell what is due, a while to each endpoint, until `stop` is set or `limit` reached.

    Needs an application context; any number of threads and processes may drain at once.
    """
    posted = Posted()
    try:
        for channel in _due_channels(clock()):
            if _over(stop, posted, limit):
                break
            _drain_one(channel, way or usual_way(), posted, stop, limit, clock)
    finally:
        db.session.rollback()  # nothing is open: gives the connection back
    return posted


def usual_way() -> Way:
    """The way that the settings of this application name."""
    return _way(current_app.extensions["settings"].webhook_private_addresses)


@cache
def _way(private_too: bool) -> Way:
    return Way(private_too)  # once: reading whom this machine trusts takes a while


def _due_channels(now: datetime) -> list[str]:
    """The endpoints for which something is due, in any order, so that each is first at times."""
    o = Outbox
    all_ = [f"{CHANNEL}{id_}" for id_ in db.session.scalars(sa.select(Webhook.id))]
    due = (o.channel.in_(all_), o.ended_at.is_(None), o.due_at <= now)
    asked = sa.select(o.channel).where(*due).distinct()
    found = list(db.session.scalars(asked)) if all_ else []
    db.session.rollback()
    random.shuffle(found)
    return found


def _over(stop: threading.Event | None, posted: Posted, limit: int | None) -> bool:
    return (stop is not None and stop.is_set()) or (limit is not None and posted.total >= limit)


def _drain_one(
    channel: str,
    way: Way,
    posted: Posted,
    stop: threading.Event | None,
    limit: int | None,
    clock: Clock,
) -> None:
    """One endpoint, until nothing is due, it rests, or it is the others' turn."""
    until = posted.total + MOST
    while posted.total < until and not _over(stop, posted, limit):
        wanted = BATCH if limit is None else min(BATCH, limit - posted.total)
        batch = _claim(channel, wanted, clock)
        if not batch.rows or not _tell_all(batch, way, posted, stop):
            return


# --- claiming ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """Rows that one claim made ours."""

    channel: str
    rows: Sequence[Row]
    token: str
    ends_at: datetime
    failures: int  # of the endpoint so far
    clock: Clock


def _claim(channel: str, wanted: int, clock: Clock) -> Batch:
    now, token = clock(), new_uuid()

    def act() -> Batch:
        session = db.session()
        admission = channels.admit(session, channel, wanted, NO_LIMIT, now)
        ours = {"over": channel, "now": now, "room": admission.room}
        ours |= {"token": token, "until": now + LEASE}
        rows = outbox.claim_rows(session, ours) if admission.room else []
        channels.drawn(session, channel, admission, len(rows), now, LEASE)
        return Batch(channel, rows, token, now + LEASE, admission.failures, clock)

    return unit(db.session, act)


def _read(batch: Batch) -> tuple[list[Told], list[int]]:
    """What to tell, and the ids of what nobody is to hear any more: the endpoint is off (OB4)."""
    o, w = Outbox, Webhook
    number = int(batch.channel.removeprefix(CHANNEL))
    hook = db.session.execute(sa.select(w.url, w.secret).where(w.id == number, w.active)).first()
    ids = [row.id for row in batch.rows]
    payloads = sa.select(o.id, o.payload).where(o.id.in_(ids), o.claim == batch.token)
    said = {row.id: row.payload for row in db.session.execute(payloads)}
    db.session.rollback()  # nothing is open while we wait for an answer
    if hook is None:
        return [], ids
    return [
        Told(row, hook.url, hook.secret, said[row.id].get("event") or {})
        for row in batch.rows
        if row.id in said
    ], []


# --- one batch -----------------------------------------------------------------------------------


def _tell_all(batch: Batch, way: Way, posted: Posted, stop: threading.Event | None) -> bool:
    """Tell a batch in the order of its promises; False: no more of it to this endpoint now."""
    told, unwanted = _read(batch)
    if unwanted:
        ended = {"state": OutboxState.SKIPPED, "ended_at": batch.clock()}
        posted.skipped += _mark(batch, unwanted, **ended, last_error="the endpoint is off")
        return True
    left = list(told)
    try:
        while left:
            if (stop is not None and stop.is_set()) or batch.ends_at - batch.clock() < LEFT:
                return False
            one = left.pop(0)
            fault = _tell(batch, one, way)
            _settle(batch, one.row, fault, posted)
            if fault is not None and (fault.of_endpoint or fault.gone):
                return False
        return True
    finally:
        _hand_back(batch, left)


def _tell(batch: Batch, one: Told, way: Way) -> Fault | None:
    """Post one event; None: it was taken."""
    now = batch.clock()
    try:
        body = body_of(one.event)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Nextseat",
            "Connection": "close",
            **signed(one.secret, str(one.event.get("id", one.row.uuid)), now, body),
        }
        return judge(way.post(one.url, body, headers, now))
    except Exception as error:  # of this event alone: what cannot be signed stops no other
        return fault_of(error)


def body_of(event: dict[str, Any]) -> bytes:
    """An event as the bytes that are signed and sent."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def signed(secret: str, id_: str, now: datetime, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks: id, time, and the HMAC-SHA256 over both and the body."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    at = str(int(now.timestamp()))
    mac = hmac.new(key, b".".join((id_.encode(), at.encode(), body)), hashlib.sha256).digest()
    return {
        "webhook-id": id_,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


# --- what an answer means (OB6) ------------------------------------------------------------------


def judge(answer: Answer) -> Fault | None:
    """What follows from an answer; None: the event was taken."""
    status, reason = answer.status, f"it answered {answer.status}"
    if 200 <= status < 300:
        return None
    if status == GONE:
        return Fault(reason, True, lasting=True, gone=True)
    if status in REFUSES_US:
        return Fault(reason, of_endpoint=True)
    if status in TRY_AGAIN or status >= 500:
        return Fault(reason, True, wait=answer.retry_after)
    if 300 <= status < 400:
        return Fault(f"{reason}, and no redirect is followed", True, lasting=True)
    return Fault(reason, True, lasting=True)


def fault_of(error: Exception) -> Fault:
    """What follows from an answer that never came."""
    if isinstance(error, (NotPublic, BadWebhookUrl)):
        return Fault(plain(str(error)), lasting=True)
    said = plain(f"{type(error).__name__}: {error}")
    if isinstance(error, http.client.HTTPException):
        return Fault(plain(f"that was no answer: {type(error).__name__}"))
    if isinstance(error, ConnectionResetError):
        return Fault(said)
    if isinstance(error, OSError):  # refused, DNS, TLS, too slow
        return Fault(said, of_endpoint=True)
    log.error("a webhook failed: %s", trace(error))
    return Fault(type(error).__name__)


# --- marking -------------------------------------------------------------------------------------


def _settle(batch: Batch, row: Row, fault: Fault | None, posted: Posted) -> None:
    now = batch.clock()
    if fault is None:
        ended = {"state": OutboxState.SENT, "ended_at": now, "last_error": None}
        posted.sent += _mark(batch, [row.id], **ended)
        log.info("webhook told: outbox=%s kind=%s", row.id, row.kind)
    elif fault.lasting:
        _give_up(batch, row, fault, posted)
    else:
        _try_again(batch, row, fault, posted)
    if fault is None or not fault.of_endpoint:
        _answers_again(batch, fault)
        return
    reason = fault.reason
    rest = unit(db.session, lambda: channels.failed(db.session(), batch.channel, reason, now))
    if rest is not None:
        log.warning("endpoint rests: channel=%s because=%s", batch.channel, reason)


def _answers_again(batch: Batch, fault: Fault | None) -> None:
    """An endpoint that failed before: works, or the next event is the probe at once."""
    if not batch.failures:
        return
    if fault is None or fault.answered:
        unit(db.session, lambda: channels.works(db.session(), batch.channel))
    else:
        unit(db.session, lambda: channels.undecided(db.session(), batch.channel, batch.clock()))


def _try_again(batch: Batch, row: Row, fault: Fault, posted: Posted) -> None:
    """Later, or never more: then it is dead, and staff may try it again."""
    now = batch.clock()
    first = row.first_tried_at or now
    at = RETRY.next_try(row.attempts, first, now)
    if at is None:
        _give_up(batch, row, fault, posted)
        return
    waits = {"due_at": max(at, now + (fault.wait or timedelta(0))), "first_tried_at": first}
    state = {"state": OutboxState.PENDING, "last_error": fault.reason}
    posted.retried += _mark(batch, [row.id], **waits, **state)
    log.warning("webhook waits: outbox=%s tries=%s", row.id, row.attempts)


def _give_up(batch: Batch, row: Row, fault: Fault, posted: Posted) -> None:
    now = batch.clock()

    def act() -> bool:
        session = db.session()
        ours = post.give_up(session, row.id, batch.token, fault.reason, now)
        if ours and fault.gone:
            _switch_off(session, batch.channel, fault.reason, now)
        return ours

    posted.dead += unit(db.session, act)


def _switch_off(session: Session, channel: str, reason: str, now: datetime) -> None:
    """It wants nothing any more: what else was promised to it is skipped, its owner told."""
    number = int(channel.removeprefix(CHANNEL))
    session.execute(
        sa.update(Webhook).where(Webhook.id == number).values(active=False, off_because=reason)
    )
    schedule_letters.webhook_gone(session, number, now)
    log.error("endpoint is gone, switched off: webhook=%s", number)


def _hand_back(batch: Batch, told: Sequence[Told]) -> None:
    """What was not tried is due again, as if it had never been claimed."""
    if told:
        back = {"due_at": batch.clock(), "attempts": outbox.ONE_TRY_LESS}
        _mark(batch, [one.row.id for one in told], state=OutboxState.PENDING, **back)


def _mark(batch: Batch, ids: Sequence[int], **values: Any) -> int:
    """Write down what became of rows that are still ours; how many were."""
    o = outbox.OUTBOX
    mine = sa.update(o).where(o.c.id.in_(ids), o.c.claim == batch.token)

    def act() -> int:
        result: Any = db.session.execute(mine.values(claim=None, **values))
        return int(result.rowcount)

    marked = outbox.insisting(batch, act)
    if marked < len(ids):
        log.warning("lease lost: outbox=%s", list(ids))
    return marked
