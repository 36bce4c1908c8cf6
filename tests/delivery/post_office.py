"""A post office for tests: an application that posts, plain letters, a mail server with moods."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from typing import Any

import sqlalchemy as sa
from aiosmtpd.controller import Controller
from flask import Flask
from sqlalchemy.orm import Session

from app.delivery import outbox
from app.delivery.outbox import Posted
from app.delivery.rendering import Letter
from app.delivery.transports import MEMORY, Smtp
from app.extensions import db, write
from app.models import ChannelState, Outbox, User
from app.models.types import new_uuid
from tests import databases
from tests.cast import NOON, SECOND

KEYS = "k" * 32


def an_app(url: str, **settings: Any) -> Flask:
    """The application on a database, posting into memory, without limit, unless told else."""
    usual = {
        "mail_transport": "memory",
        "mail_rate": 0,
        "public_base_url": "https://training.example.org",
        "mail_domain": "mail.example.org",
        "link_keys": KEYS,
    }
    return databases.app_on(url, **usual | settings)


@contextmanager
def posting_from(app: Flask) -> Iterator[Flask]:
    """In the context of an application that nothing was posted from yet."""
    MEMORY.sent.clear()
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


class Clock:
    """A clock that a test moves."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def ahead(self, by: timedelta) -> None:
        self.now += by


def plain_letter(row: Any, **other: Any) -> Letter:
    """A letter without any facts in it."""
    usual = {
        "to": row.payload.get("to", f"reader-{row.id}@example.org"),
        "to_name": "Réader",
        "sender": "office@mail.example.org",
        "sender_name": "Clay & Co",
        "subject": f"Letter {row.id}",
        "text": f"This is letter {row.id}.\n",
        "html": f"<p>This is letter {row.id}.</p>",
        "language": "en",
        "calendar": None,
        "calendar_method": None,
    }
    return Letter(**usual | other)


def compose_plainly(session: Session, rows: Sequence[Any], _settings: Any, _now: Any) -> Any:
    """What takes the place of rendering where a test isn't about it."""
    return {row.id: plain_letter(row) for row in rows}


# --- rows ---


def promise(count: int = 1, **values: Any) -> list[int]:
    """Commit promises, each of an aggregate of its own unless `aggregate` is given; their ids."""
    with write(db.session):
        return [_promised(values).id for _ in range(count)]


def _promised(values: dict[str, Any]) -> Outbox:
    unique = new_uuid()
    usual = {
        "uuid": unique,
        "key": f"test:{unique}",
        "channel": "email",
        "aggregate": f"test/{unique}",
        "kind": "enrolled",
        "payload": {},
        "due_at": NOON,
        "created_at": NOON,
    }
    row = Outbox(**usual | values)
    db.session.add(row)
    db.session.flush()
    return row


def row(id_: int) -> Outbox:
    """A row as the database has it."""
    db.session.rollback()
    return db.session.get_one(Outbox, id_, populate_existing=True)


def states(*ids: int) -> list[str]:
    """The states of rows."""
    return [str(row(id_).state) for id_ in ids]


def channel() -> ChannelState | None:
    """How the channel fares, as the database has it."""
    db.session.rollback()
    return db.session.get(ChannelState, "email", populate_existing=True)


def drain(clock: Clock, transport: Any = None, **more: Any) -> Posted:
    """One drain at the clock's time."""
    return outbox.drain(clock=clock, transport=transport, **more)


def drain_until_quiet(clock: Clock, transport: Any, hours: float, step: timedelta) -> Posted:
    """Drains `step` apart, as a scheduler would, for so long."""
    total, until = Posted(), clock.now + timedelta(hours=hours)
    while clock.now < until:
        total.add(drain(clock, transport))
        clock.ahead(step)
    return total


def someone(name: str = "Ada") -> User:
    """A committed user."""
    with write(db.session):
        user = User(email=f"{new_uuid()}@example.org", first_name=name, active=True)
        user.fs_uniquifier = new_uuid()
        db.session.add(user)
    return user


# --- a mail server with moods ---


CLOSE = "close"
Mood = Callable[[str, Any], "str | float | None"]


@dataclass
class Sink:
    """A mail server that keeps what it gets; `mood(stage, envelope)` may say something else.

    Stages are MAIL, RCPT and DATA; `CLOSE` hangs up, at DATA after having taken the letter; a
    number is so many seconds of silence before the letter is taken.
    """

    port: int
    mood: Mood = lambda _stage, _envelope: None
    taken: list[Any] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    connections: int = 0

    async def handle_EHLO(
        self, server: Any, session: Any, _envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_MAIL(
        self, server: Any, _session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return self._say(server, "MAIL", envelope) or "250 OK"

    async def handle_RCPT(
        self, server: Any, _session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        said = self._say(server, "RCPT", envelope)
        if said and said[0] in "45":
            envelope.rcpt_tos.remove(address)
        return said or "250 OK"

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:
        said = self.mood("DATA", envelope)
        if isinstance(said, float):
            await asyncio.sleep(said)
            said = None
        if said is None or said == CLOSE:
            self.taken.append(message_from_bytes(envelope.content, policy=policy.default))
            self.senders.append(envelope.mail_from)
        return self._act(server, said) or "250 OK"

    def _say(self, server: Any, stage: str, envelope: Any) -> str | None:
        said = self.mood(stage, envelope)
        return self._act(server, said if isinstance(said, str) else None)

    def _act(self, server: Any, said: str | None) -> str | None:
        if said == CLOSE or (said or "").startswith("421"):
            if said != CLOSE:
                server.transport.write(f"{said}\r\n".encode())
            server.transport.close()
        return said

    @property
    def ids(self) -> list[str]:
        """The Message-IDs of what was taken, in order."""
        return [letter["Message-ID"] for letter in self.taken]

    def smtp(self, **other: Any) -> Smtp:
        """The way to this server."""
        return Smtp("127.0.0.1", self.port, **other)


def free_port() -> int:
    """A port that nobody listens on; aiosmtpd cannot take port 0 (libraries T27)."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def a_sink(**options: Any) -> Iterator[Sink]:
    """A mail server that takes everything until its `mood` changes."""
    sink, controller = _started(options)
    try:
        yield sink
    finally:
        controller.stop()


def _started(options: dict[str, Any], tries: int = 5) -> tuple[Sink, Controller]:
    for left in reversed(range(tries)):
        sink = Sink(free_port())
        controller = Controller(
            sink, hostname="127.0.0.1", port=sink.port, ready_timeout=20, **options
        )
        try:
            controller.start()
            return sink, controller
        except OSError:  # somebody else was faster to take the port
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


@contextmanager
def a_dripping_server(greeting: bytes, seconds: float = 0.05) -> Iterator[int]:
    """A server that greets one byte at a time, and never ends the line."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client, contextlib.suppress(OSError):
                    for byte in greeting:
                        client.sendall(bytes([byte]))
                        if over.wait(seconds):
                            return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def count(state: str) -> int:
    """How many rows are in a state."""
    db.session.rollback()
    rows = sa.select(sa.func.count()).select_from(Outbox).where(Outbox.state == state)
    return db.session.scalar(rows) or 0


LONG = 40 * SECOND
