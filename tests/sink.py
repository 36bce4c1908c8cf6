"""A mail server that keeps what it is sent: for tests, benchmarks and scripts."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from email import message_from_bytes
from email.message import Message
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Sink:
    """`with Sink() as sink:` listens on `sink.port`; `sink.letters` are those it accepted."""

    def __init__(self, seconds_per_letter: float = 0.0) -> None:
        self.port, self.pause = free_port(), seconds_per_letter
        self.letters: list[tuple[float, str, Message]] = []  # when, to whom, what
        self.came = threading.Condition()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        if self.pause:
            time.sleep(self.pause)
        letter = message_from_bytes(envelope.content, policy=default)
        with self.came:
            self.letters.append((time.time(), envelope.rcpt_tos[0], letter))
            self.came.notify_all()
        return "250 OK"

    def wait_for(self, count: int, seconds: float) -> bool:
        """Whether so many letters came in time."""
        with self.came:
            return self.came.wait_for(lambda: len(self.letters) >= count, seconds)

    @property
    def copies(self) -> Counter[str]:
        """How often each Message-ID came."""
        return Counter(str(letter["Message-ID"]) for _, _, letter in self.letters)

    def subjects_to(self, address: str) -> list[str]:
        """What someone was sent, in order."""
        return [str(letter["Subject"]) for _, to, letter in self.letters if to == address]

    def __enter__(self) -> Sink:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()
