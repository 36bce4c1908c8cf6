"""A mail server in a process of its own, as the real one is: it takes none of our time to think."""

from __future__ import annotations

import multiprocessing
import re
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any

from aiosmtpd.controller import Controller

from tests.sink import free_port

MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.I | re.M)


class Mailbox:
    """`with Mailbox() as box:` listens on `box.port`; afterwards `box.copies` has what came."""

    def __init__(self) -> None:
        self.port, self.copies = free_port(), Counter[bytes]()
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self.port, theirs), daemon=True)

    def __enter__(self) -> Mailbox:
        self._process.start()
        self._ours.recv()  # it listens
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ask what came, how often each letter, and end it."""
        if self._process.is_alive():
            self._ours.send("over")
            self.copies = self._ours.recv()
            self._process.join(10)


class _Keeper:
    def __init__(self) -> None:
        self.copies: Counter[bytes] = Counter()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        found = MESSAGE_ID.search(envelope.content)
        self.copies[found[1] if found else b""] += 1
        return "250 OK"


def _serve(port: int, theirs: Connection) -> None:
    keeper = _Keeper()
    controller = Controller(keeper, hostname="127.0.0.1", port=port)
    controller.start()
    theirs.send("listening")
    theirs.recv()
    controller.stop()
    theirs.send(keeper.copies)
