"""How letters leave the house: by SMTP, or into files, to the console, into memory (libraries M1).

A transport is opened once per batch. What goes wrong is an exception of whatever library; `fault`
says what it means (reliability OB6), and nothing else here decides.
"""

from __future__ import annotations

import collections
import contextlib
import os
import re
import smtplib
import socket
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

from app.delivery.message import Envelope, is_private
from config import Settings

TIMEOUT = 15.0  # seconds, for each answer of a server
LONGEST_LETTER = 25.0  # seconds for one letter in all: less than what a lease must have left
FAREWELL = 2.0  # seconds for a server to say goodbye
LONGEST_REASON = 500


class Connection(Protocol):
    """What a transport gives for one batch."""

    @property
    def alive(self) -> bool:
        """Whether another letter may be tried over it."""

    def send(self, envelope: Envelope) -> None:
        """Hand one letter over, or raise; when this returns, it is theirs to deliver."""


class Transport(Protocol):
    """A way out; to be opened once per batch."""

    def open(self) -> AbstractContextManager[Connection]:
        """A connection for one batch of letters, or what prevents it, raised."""


def transport_for(settings: Settings) -> Transport:
    """The transport that the settings name; in DEVELOPMENT and the demo smtp is file (WA9)."""
    name = settings.mail_transport
    stays_here = is_private(settings) and not settings.mail_real_in_development
    if name == "file" or (name == "smtp" and stays_here):
        return ToFiles(Path(settings.mail_folder))
    if name == "smtp":
        return Smtp.of(settings)
    return ToConsole() if name == "console" else MEMORY


# --- SMTP -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Smtp:
    """A mail server. With TLS its certificate is checked against its name."""

    host: str
    port: int
    tls: str = "none"  # none, starttls, tls
    username: str | None = None
    password: str | None = None
    timeout: float = TIMEOUT
    longest_letter: float = LONGEST_LETTER
    context: ssl.SSLContext | None = None  # whom to trust; None: whom this machine trusts

    @classmethod
    def of(cls, settings: Settings) -> Smtp:
        """The server that the settings name."""
        secret = settings.smtp_password
        password = secret.get_secret_value() if secret else None
        server = (settings.smtp_host, settings.smtp_port, settings.smtp_tls)
        return cls(*server, settings.smtp_username, password)

    @contextmanager
    def open(self) -> Iterator[Connection]:
        """One connection, greeted, secured and signed in to."""
        client = self._client()
        try:
            if self.tls == "starttls":
                client.starttls(context=self._trusted())
            if self.username:
                client.login(self.username, self.password or "")
            yield _SmtpConnection(client, self.longest_letter)
        finally:
            client.ends_at = time.monotonic() + FAREWELL
            with contextlib.suppress(smtplib.SMTPException, OSError):
                client.quit()  # all letters have been answered for: its own answer matters no more
            client.close()

    def _client(self) -> _Client:
        if self.tls == "tls":
            context = self._trusted()
            return _SecureClient(self.host, self.port, timeout=self.timeout, context=context)
        return _Client(self.host, self.port, timeout=self.timeout)

    def _trusted(self) -> ssl.SSLContext:
        return self.context or ssl.create_default_context()


class _SmtpConnection:
    def __init__(self, client: _Client, seconds: float) -> None:
        self.client, self.seconds = client, seconds
        self.used = False  # it has carried a letter

    @property
    def alive(self) -> bool:
        return self.client.sock is not None

    def send(self, envelope: Envelope) -> None:
        self.client.ends_at = time.monotonic() + self.seconds
        self.client.gave_content = False
        try:
            self.client.sendmail(envelope.sender, [envelope.to], envelope.content)
        except smtplib.SMTPServerDisconnected as error:
            if self.used and not self.client.gave_content:
                raise HungUp(str(error)) from error
            raise
        self.used = True


class HungUp(smtplib.SMTPServerDisconnected):
    """The server ended a connection between two letters, as some do after each: nobody's fault."""


class _Client(smtplib.SMTP):
    """`smtplib.SMTP` whose time-out is that of an answer, not of a byte.

    Otherwise a server that drips one byte a second holds a worker as long as it likes (F31).
    """

    ends_at = float("inf")  # monotonic: when the letter must be through
    gave_content = False  # whether the present letter has begun to leave
    timeout: float

    def data(self, msg: Any) -> tuple[int, bytes]:
        self.gave_content = True
        return super().data(msg)

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None:
            self.file = cast(Any, _Lines(cast(socket.socket, self.sock)))
        lines = cast(Any, self.file)
        lines.until = min(time.monotonic() + self.timeout, self.ends_at)
        try:
            return super().getreply()
        finally:
            if self.sock is not None:
                self.sock.settimeout(self.timeout)


class _SecureClient(_Client, smtplib.SMTP_SSL):
    pass


class _Lines:
    """Reads the lines of an answer, until `until` and no longer."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.buffer, self.until = sock, b"", 0.0

    def readline(self, limit: int) -> bytes:
        while b"\n" not in self.buffer and len(self.buffer) < limit:
            left = self.until - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self.sock.settimeout(left)
            received = self.sock.recv(4096)
            if not received:
                break
            self.buffer += received
        end = min(self.buffer.find(b"\n") + 1 or len(self.buffer), limit)
        line, self.buffer = self.buffer[:end], self.buffer[end:]
        return line

    def close(self) -> None:
        """The socket is closed by who opened it."""


# --- others ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ToFiles:
    """An .eml file per letter, named in the order of promises; sent again is written again.

    For the owner alone: the links in letters need no password.
    """

    folder: Path
    alive: ClassVar[bool] = True

    @contextmanager
    def open(self) -> Iterator[Connection]:
        """The folder, made if need be."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield self

    def send(self, envelope: Envelope) -> None:
        """Write the whole file or none: whoever watches the folder never sees half a letter."""
        path = self.path_of(envelope)
        unfinished = self.folder / f".{path.name}.{threading.get_ident()}"
        unfinished.unlink(missing_ok=True)  # of one who died: whose rights we don't know
        with open(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(envelope.content)
        unfinished.replace(path)

    def path_of(self, row: Any) -> Path:
        """The file of a letter; `row` is an envelope or its row in the outbox."""
        return self.folder / f"{row.created_at:%Y%m%dT%H%M%S}-{row.id:010d}-{row.kind}.eml"


@dataclass(frozen=True)
class ToConsole:
    """What a reader would see, on standard output."""

    alive: ClassVar[bool] = True

    @contextmanager
    def open(self) -> Iterator[Connection]:
        """Standard output is always open."""
        yield self

    def send(self, envelope: Envelope) -> None:
        """Print the headers that matter and the text."""
        letter = message_from_bytes(envelope.content, policy=policy.default)
        body = letter.get_body(("plain",))
        text = body.get_content() if body else ""
        heads = "\n".join(f"{name}: {letter[name]}" for name in ("To", "Subject", "Message-ID"))
        sys.stdout.write(f"{heads}\n\n{text.strip()}\n{'-' * 72}\n")
        sys.stdout.flush()  # whoever watches sees it now


@dataclass(frozen=True)
class ToMemory:
    """The latest letters, kept in this process."""

    sent: collections.deque[Envelope]
    alive: ClassVar[bool] = True

    @contextmanager
    def open(self) -> Iterator[Connection]:
        """Memory is always open."""
        yield self

    def send(self, envelope: Envelope) -> None:
        """Keep it."""
        self.sent.append(envelope)


MEMORY = ToMemory(collections.deque(maxlen=10_000))


# --- what an error means (OB6) --------------------------------------------------------------------


class Blame(Enum):
    """Who is to blame for a failure, and so what follows from it."""

    LETTER = "permanent: this letter will never go, it is dead now"
    MOMENT = "transient: this letter is tried again, and the try counts"
    CHANNEL = "the channel: it rests, no try counts"
    NOBODY = "the connection was over before this letter began: it goes over the next one"


@dataclass(frozen=True)
class Fault:
    """What an error means; `over`: this connection carries nothing more."""

    blame: Blame
    reason: str  # for the row and the log: no address in it
    over: bool
    refused: bool = False  # for its reader's sake, by the server or an address that is none
    doubtful: bool = False  # a refusal that may mean all of us: see `DOUBTS`


DOUBTS = 5  # letters refused in a row, none taken: then it is we who are refused (OB6)

# What a refusal is about, where the server says so (RFC 3463).
US = re.compile(r"\b5\.(?:7\.\d{1,3}|4\.5|1\.[78])\b")
RELAY = re.compile(r"\brelay", re.I)  # denied, whatever its number
READER = re.compile(r"\b5\.(?:1\.(?:[1-6]|10)|2\.\d{1,3})\b")
CONTENT = re.compile(r"\b5\.(?:3\.4|6\.\d{1,3})\b")
ADDRESS = re.compile(r"(?:\"[^\"\s]*\"|[^\s<>\"'(),;:])+@[^\s<>\"'(),;]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def fault(error: Exception, *, connecting: bool = False) -> Fault:
    """What `error` means; while `connecting` no letter can be to blame."""
    code, said = _answer_of(error)
    blame = Blame.CHANNEL if connecting else _blame(error, code, said)
    over = connecting or _ends(error, code)
    reason = _reason(error, code, said)
    if blame is not Blame.LETTER or code is None:
        return Fault(blame, reason, over)
    about_content = code == 552 or CONTENT.search(said) is not None
    doubtful = not about_content and READER.search(said) is None
    return Fault(blame, reason, over, refused=not about_content, doubtful=doubtful)


def _answer_of(error: Exception) -> tuple[int | None, str]:
    """The server's code and words, if it was the server who said no."""
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code, _text(error.smtp_error)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        for code, said in error.recipients.values():
            return code, _text(said)
    return None, ""


def _blame(error: Exception, code: int | None, said: str) -> Blame:
    if isinstance(error, HungUp):
        return Blame.NOBODY
    if code is not None:
        of_sender = isinstance(error, smtplib.SMTPSenderRefused) and code != 552  # 552: too large
        if code in (421, 530, 535) or of_sender or (code >= 500 and _refuses_us(said)):
            return Blame.CHANNEL
        return Blame.LETTER if 500 <= code < 600 else Blame.MOMENT
    if isinstance(error, (smtplib.SMTPServerDisconnected, TimeoutError, ConnectionResetError)):
        return Blame.MOMENT
    if isinstance(error, (smtplib.SMTPException, OSError)):  # refused, DNS, TLS, a full disk
        return Blame.CHANNEL
    return Blame.LETTER if isinstance(error, ValueError) else Blame.MOMENT


def _refuses_us(said: str) -> bool:
    of_reader = READER.search(said) is not None  # "unknown in relay recipient table"
    return US.search(said) is not None or (RELAY.search(said) is not None and not of_reader)


def _ends(error: Exception, code: int | None) -> bool:
    if code is not None:
        return code == 421 or code < 0  # below zero: that was no answer of a mail server
    return isinstance(error, (smtplib.SMTPException, OSError))


def _reason(error: Exception, code: int | None, said: str) -> str:
    return plain(f"{code} {said}" if code is not None else f"{type(error).__name__}: {error}")


def plain(words: str, address: str = "") -> str:
    """Fit for a row or a log line: one line, no address, not endless (reliability SE17).

    Of `address`, the reader's, neither the whole nor the name in it is kept.
    """
    name = address.partition("@")[0]
    for own in (address, name if len(name) > 2 else ""):
        if own:
            words = re.sub(rf"(?<!\w){re.escape(own)}(?!\w)", "<address>", words, flags=re.I)
    return CONTROL.sub(" ", ADDRESS.sub("<address>", words)).strip()[:LONGEST_REASON]


def trace(error: BaseException) -> str:
    """Where it happened and what kind of error it is, for the log.

    Not what it says: that may hold what was meant for one reader (reliability SE17).
    """
    frames = traceback.format_tb(error.__traceback__)
    return "".join(frames) + type(error).__name__


def _text(said: Any) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
