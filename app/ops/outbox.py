"""`flask outbox`: the letters we promised, and what became of each (people PA8, PC)."""

from __future__ import annotations

import email
import email.policy
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click
import sqlalchemy as sa
from flask import current_app
from flask.cli import with_appcontext

from app.automation.lock import wake_scheduler
from app.delivery import bounces, message, outbox, rendering, webhooks
from app.extensions import db, unit, utcnow
from app.models import ChannelState, Outbox, OutboxState
from app.ops.exits import NOT_FOUND, UNREACHABLE, WITH_FAULTS, Ended, needs_database
from app.ops.terminal import (
    COUNT,
    SINCE,
    TEXT,
    json_option,
    limit_option,
    note,
    number,
    print_count,
    print_facts,
    print_json,
    print_table,
    printable,
    sure,
    utc,
    yes_option,
)
from app.services import links, post
from app.services.actors import CONSOLE


@click.group("outbox")
def command() -> None:
    """Letters promised, sent and given up. ID is a row's number, its uuid or its key."""


# --- look ----------------------------------------------------------------------------------------

HEADER = ("id", "state", "letter", "channel", "user", "due (UTC)", "try", "ended (UTC)", "error")


@command.command("list")
@click.option("--state", type=click.Choice([state.value for state in OutboxState]))
@limit_option
@json_option
@with_appcontext
@needs_database
def list_(state: str | None, limit: int, as_json: bool) -> None:
    """The latest letters, newest first; their readers by number only."""
    which = Outbox.state == OutboxState(state) if state else sa.true()
    rows = db.session.scalars(
        sa.select(Outbox).where(which).order_by(Outbox.id.desc()).limit(limit)
    ).all()
    if as_json:
        print_json([_facts(row) for row in rows])
    else:
        print_table(HEADER, map(_line, rows))
    total = db.session.scalar(sa.select(sa.func.count()).select_from(Outbox).where(which)) or 0
    print_count(len(rows), total, "letters")
    for channel, until, reason in _paused():
        note(f"{channel} is paused until {utc(until)}: {printable(reason or '')}")


def _line(row: Outbox) -> tuple[object, ...]:
    due = utc(row.due_at) if row.ended_at is None else ""
    told = (row.id, row.state, row.kind, row.channel, row.user_id, due)
    return (*told, row.attempts, utc(row.ended_at), row.last_error)


def _facts(row: Outbox) -> dict[str, Any]:
    names = "id uuid key kind channel state user_id enrolment_id invite_no sequence due_at attempts"
    return {name: getattr(row, name) for name in [*names.split(), "last_error", *TIMES]}


TIMES = ("created_at", "first_tried_at", "ended_at")


@command.command("show")
@click.argument("row_id", metavar="ID", type=TEXT)
@json_option
@with_appcontext
@needs_database
def show(row_id: str, as_json: bool) -> None:
    """One letter: its attempts, its headers and its text as they would go out now.

    The tokens of its links are left out: who has one may answer for the reader.
    """
    row = _row(row_id)
    facts = _facts(row)
    if row.channel != outbox.CHANNEL:  # a program's, which reads JSON
        print_json(facts | {"event": row.payload.get("event")})
        return
    try:
        headers, text, why_not = _as_written(row)
    finally:
        db.session.rollback()  # composing writes tokens; looking writes nothing
    if as_json:
        print_json(facts | {"headers": headers, "text": text, "not_sent_because": why_not})
        return
    print_facts(
        (name.replace("_", " "), utc(value) if isinstance(value, datetime) else value)
        for name, value in facts.items()
    )
    click.echo()
    if why_not:
        click.echo(f"It would not go out now: {printable(why_not)}")
    for name, value in headers:
        click.echo(printable(f"{name}: {value}"))
    click.echo()
    for line in (text or "").splitlines():
        click.echo(printable(line))


def _as_written(row: Outbox) -> tuple[list[tuple[str, str]], str | None, str | None]:
    """(headers, text, why it would not be sent) of a letter, composed now."""
    settings = current_app.extensions["settings"]
    made = rendering.compose(db.session(), [row], settings, utcnow())
    letter = made.get(row.id)
    if isinstance(letter, rendering.Untrue):
        return [], None, letter.reason
    if not isinstance(letter, rendering.Letter):
        return [], None, str(letter or "nobody knows this letter")
    try:
        content = message.envelope(letter, row, settings).content
    except message.BadLetter as bad:
        return [], links.without_tokens(letter.text), str(bad)
    mail = email.message_from_bytes(content, policy=email.policy.default)
    headers = [
        (name, links.without_tokens(str(value)))
        for name, value in mail.items()
        if name not in ("MIME-Version", "Content-Type")  # of the parts, with a boundary by chance
    ]
    return headers, links.without_tokens(letter.text), None


# --- act -----------------------------------------------------------------------------------------


@command.command("send")
@click.option("--limit", type=COUNT, help="At most so many letters.")
@with_appcontext
@needs_database
def send(limit: int | None) -> None:
    """Send what is due, letters and events, beside the scheduler or instead of it.

    Ends with 5 if no server takes our mail, with 1 if some letters could not be sent.
    """
    posted = outbox.drain(limit=limit)
    left = None if limit is None else limit - posted.total
    posted.add(webhooks.drain(limit=left))
    click.echo(", ".join(f"{name} {count}" for name, count in asdict(posted).items()))
    now = utcnow()
    paused = [(channel, reason) for channel, until, reason in _paused() if until and until > now]
    if paused:
        said = "; ".join(
            f"{channel}: {printable(reason or 'paused')}" for channel, reason in paused
        )
        raise Ended(f"Nothing goes out now. {said}", UNREACHABLE)
    if posted.retried and not posted.sent:
        raise Ended("No letter was taken; flask outbox list tells why.", UNREACHABLE)
    if posted.dead or posted.retried:
        sys.exit(WITH_FAULTS)


def _paused() -> list[tuple[str, datetime | None, str | None]]:
    c = ChannelState
    rows = db.session.execute(
        sa.select(c.channel, c.paused_until, c.reason).where(c.paused_until > utcnow())
    )
    return [(channel, until, reason) for channel, until, reason in rows]


@command.command("retry")
@click.argument("row_id", metavar="ID", type=TEXT)
@with_appcontext
@needs_database
def retry(row_id: str) -> None:
    """Try a letter now that waits or was given up; it stays the same letter."""
    id_ = _act(row_id, lambda id_, now: post.retry(db.session(), id_, CONSOLE, now))
    wake_scheduler()
    click.echo(f"letter {id_} is due now")


@command.command("drop")
@click.argument("row_id", metavar="ID", type=TEXT)
@click.option("--reason", type=TEXT, required=True, help="5 to 500 characters; stays with it.")
@with_appcontext
@needs_database
def drop(row_id: str, reason: str) -> None:
    """Never send a letter that waits or was given up."""
    id_ = _act(row_id, lambda id_, now: post.drop(db.session(), id_, reason, CONSOLE, now))
    click.echo(f"letter {id_} will not be sent")


def _act(text: str, act: Callable[[int, datetime], None]) -> int:
    def run() -> int:
        id_ = _row(text).id
        act(id_, utcnow())
        return id_

    return unit(db.session, run)


@command.command("requeue")
@click.option("--channel", type=TEXT, required=True, help="For instance email.")
@click.option("--since", type=SINCE, required=True, help="2026-03-02T12:00Z, or 2 hours.")
@yes_option
@with_appcontext
@needs_database
def requeue(channel: str, since: datetime, yes: bool) -> None:
    """Try again all that a channel has given up since then."""
    o = Outbox
    given_up = sa.and_(o.channel == channel, o.state == OutboxState.DEAD, o.ended_at >= since)
    count = db.session.scalar(sa.select(sa.func.count()).select_from(o).where(given_up)) or 0
    if count:
        what = "1 letter that was" if count == 1 else f"{count} letters that were"
        sure(f"Send {what} given up since {utc(since)}?", yes)
    elif not db.session.scalar(sa.select(o.id).where(o.channel == channel).limit(1)):
        raise Ended(f"There is no letter for the channel {printable(channel)}.", NOT_FOUND)
    done = unit(db.session, lambda: post.requeue(db.session(), channel, since, CONSOLE, utcnow()))
    wake_scheduler()
    click.echo(f"requeued {done}")


@command.command("release")
@yes_option
@with_appcontext
@needs_database
def release(yes: bool) -> None:
    """Let go what is held back: paused channels send again, after a restore too."""
    held = _paused()
    if held:
        waiting = sa.select(sa.func.count()).select_from(Outbox).where(Outbox.ended_at.is_(None))
        count = db.session.scalar(waiting)
        wait = "1 letter waits" if count == 1 else f"{count} letters wait"
        sure(f"Send again over {', '.join(channel for channel, _, _ in held)}; {wait}?", yes)
    waiting_ = unit(db.session, lambda: post.release(db.session(), CONSOLE, utcnow()))
    wake_scheduler()
    click.echo(f"channels released: {len(held)}, letters waiting: {waiting_}")


@command.command("bounce")
@with_appcontext
@needs_database
def bounce() -> None:
    """Read a returned message on stdin; a lasting failure marks the address and tells trainers."""
    content = sys.stdin.buffer.read(bounces.MOST_BYTES)
    found = bounces.read(content, current_app.extensions["settings"])
    if found is None:
        raise Ended("No letter of ours is named in that message.", NOT_FOUND)
    if not found.hard:
        note(f"letter {found.row_id}: no lasting failure, nothing changed")
        return
    id_, reason = found.row_id, found.reason
    new = unit(db.session, lambda: post.bounced(db.session(), id_, reason, CONSOLE, utcnow()))
    click.echo(f"letter {id_} {'bounced' if new else 'had bounced already'}")


# --- which one -----------------------------------------------------------------------------------


def _row(text: str) -> Outbox:
    """By number, uuid or key. Raises `Ended`."""
    id_ = number(text)
    which = sa.or_(Outbox.uuid == text, Outbox.key == text, *([Outbox.id == id_] if id_ else []))
    row = db.session.scalars(sa.select(Outbox).where(which)).first()
    if row is None:
        raise Ended(f"There is no letter {printable(text)} in the outbox.", NOT_FOUND)
    return row
