"""Out to an address that somebody typed, and to no machine of ours (reliability SE14).

The name is resolved once, every address it has must be public, and the connection goes to that very
address: whoever changes the name's answer meanwhile changes nothing. No redirect is followed, and
one answer may not take longer than `SECONDS`, however slowly its bytes drip.
"""

from __future__ import annotations

import email.utils
import http.client
import io
import ipaddress
import re
import socket
import ssl
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import SplitResult

from app.services.webhooks import parts_of

SECONDS = 10.0  # for a connection, and for an answer
MOST_BYTES = 16 * 1024  # of an answer's head; its body is nobody's business
# All v6 addresses that machines of the world have (RFC 4291); not those of sites, as fec0::/10.
WORLD = ipaddress.ip_network("2000::/3")
# What leads on to a v4 address that is not judged here (RFC 3056, 4380).
LEADS_ON = tuple(map(ipaddress.ip_network, ("2002::/16", "2001::/32")))


class NotPublic(Exception):
    """A name that leads to a machine which the world cannot reach, or should not by us."""


@dataclass(frozen=True)
class Answer:
    """What an endpoint said: its status, and how long it asked us to wait."""

    status: int
    retry_after: timedelta | None = None


@dataclass(frozen=True)
class Way:
    """How to get there. `private_too`: also to our own machines, for tests and development."""

    private_too: bool = False
    seconds: float = SECONDS
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def post(self, url: str, body: bytes, headers: dict[str, str], now: datetime) -> Answer:
        """The answer to a POST.

        Raises `BadWebhookUrl`, `NotPublic`, and `OSError`, `http.client.HTTPException`,
        `TimeoutError` for what goes wrong on the way.
        """
        parts = parts_of(url)
        address = self.address_of(parts)
        client = _Client(parts, address, self)
        until = time.monotonic() + self.seconds
        try:
            client.request("POST", _target(parts), body, headers)
            return _read(client.sock, until, now)
        finally:
            client.close()

    def address_of(self, parts: SplitResult) -> str:
        """The one address to connect to. Raises `NotPublic`, `OSError`."""
        host, port = str(parts.hostname), parts.port or 443
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(where[0]) for *_, where in found]
        if not self.private_too and not all(map(is_public, addresses)):
            raise NotPublic("it leads to an address that is not public")
        return addresses[0]


def is_public(address: str) -> bool:
    """Whether the world can reach this address, and it is one machine."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip not in WORLD or any(ip in network for network in LEADS_ON):
            return False
    return ip.is_global and not ip.is_multicast


class _Client(http.client.HTTPSConnection):
    """Connects to the address that was judged; its certificate must be the name's."""

    def __init__(self, parts: SplitResult, address: str, way: Way) -> None:
        host = str(parts.hostname)
        super().__init__(host, parts.port or 443, timeout=way.seconds, context=way.context)
        self.address, self.trusting = address, way.context

    def connect(self) -> None:
        plain = socket.create_connection((self.address, self.port), self.timeout)
        try:
            self.sock = self.trusting.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


# --- the answer ----------------------------------------------------------------------------------


def _read(sock: Any, until: float, now: datetime) -> Answer:
    """The head of an answer, and no more of it."""
    head = b""
    while b"\r\n\r\n" not in head and b"\n\n" not in head:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        if len(head) > MOST_BYTES:
            raise http.client.HTTPException("its head has no end")
        sock.settimeout(left)
        part = sock.recv(4096)
        if not part:
            break
        head += part
    response = http.client.HTTPResponse(_Said(head))  # type: ignore[arg-type]
    response.begin()
    return Answer(response.status, _retry_after(response.headers.get("Retry-After"), now))


class _Said:
    """What was received, in the shape of a socket."""

    def __init__(self, head: bytes) -> None:
        self.head = head

    def makefile(self, *_mode: Any) -> io.BytesIO:
        return io.BytesIO(self.head)


def _retry_after(said: str | None, now: datetime) -> timedelta | None:
    """Seconds or a date; None where it says nothing of use. At most a day."""
    said = (said or "").strip()
    if re.fullmatch(r"[0-9]{1,9}", said):
        wait = timedelta(seconds=int(said))
    else:
        try:
            wait = email.utils.parsedate_to_datetime(said) - now
        except (TypeError, ValueError):
            return None
    return min(max(wait, timedelta(0)), timedelta(days=1))
