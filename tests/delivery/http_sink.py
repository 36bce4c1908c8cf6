"""An HTTPS endpoint for tests, with moods, and the certificate that it shows."""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from app.delivery.webhook_http import Way

Mood = Callable[[dict[str, Any]], "int | tuple[int, dict[str, str]] | None"]


@dataclass
class Taken:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told


@dataclass
class Endpoint:
    """Takes everything with 204 until its `mood(event)` says another status; None hangs up."""

    port: int
    certificate: Path
    mood: Mood = lambda _event: 204
    taken: list[Taken] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/hooks?from=nextseat"

    def way(self, **other: Any) -> Way:
        """The way to it: its certificate trusted, this machine allowed."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        return Way(**{"private_too": True, "context": context, "seconds": 5.0} | other)


def a_certificate(folder: Path) -> tuple[Path, Path]:
    """For localhost; (certificate, key)."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*made, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


@contextmanager
def an_endpoint(certificate: tuple[Path, Path]) -> Iterator[Endpoint]:
    """It listens as long as the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    endpoint = Endpoint(server.server_address[1], certificate[0])
    server.endpoint = endpoint  # type: ignore[attr-defined]
    server.handle_error = lambda *_of: None  # type: ignore[method-assign]  who hung up is told
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        endpoint: Endpoint = self.server.endpoint  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        taken = Taken(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        endpoint.taken.append(taken)
        said = endpoint.mood(taken.event)
        if said is None:
            return
        status, headers = said if isinstance(said, tuple) else (said, {})
        if status < 0:  # so many bytes of an answer that never ends
            for _ in range(-status):
                with contextlib.suppress(OSError):
                    self.wfile.write(b"H")
                    time.sleep(0.05)
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_words: Any) -> None:
        """Tests say what happened."""
