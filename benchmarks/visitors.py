"""People at a real web server: `run_web.py` as it is, and clients that speak HTTP to it."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import urlencode

from flask import Flask

from app.extensions import db as database
from tests.schedulers import Running, environment
from tests.sink import free_port

HOST = "training.example.org"
KEY = re.compile(
    r'action="([^"]+)"[^>]*>\s*<input[^>]*name="token"[^>]*>\s*<input[^>]*name="key" value="(\w+)"'
)


@dataclass(frozen=True)
class Answer:
    """What came back, and after how many milliseconds."""

    status: int
    text: str
    ms: float


class Visitor:
    """One client with one connection; each person it speaks for has an address of their own."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, person: int, path: str, form: dict[str, str] | None = None) -> Answer:
        """GET, or POST of a form; the time is from asking to the last byte."""
        headers = {
            "Host": HOST,
            "X-Forwarded-For": f"10.{person >> 16 & 255}.{person >> 8 & 255}.{person & 255}",
            "X-Forwarded-Proto": "https",
        }
        body = urlencode(form) if form else None
        if form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        began = time.perf_counter()
        self._connection.request("POST" if form else "GET", path, body, headers)
        answer = self._connection.getresponse()
        text = answer.read().decode()
        return Answer(answer.status, text, (time.perf_counter() - began) * 1000)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def a_web_server(app: Flask) -> Iterator[int]:
    """`run_web.py` with 2 workers of 8 threads on the application's database; its port."""
    port = free_port()
    with app.app_context():
        url = database.engine.url.render_as_string(hide_password=False)
    more = {"WEB_PORT": str(port), "TRUSTED_PROXIES": "1", "LOG_LEVEL": "WARNING"}
    running = Running(environment(url, **more), "run_web.py")
    try:
        _wait_until_it_serves(port)
        yield port
    finally:
        running.stop()


def _wait_until_it_serves(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            visitor = Visitor(port)
            assert visitor.ask(0, "/healthz").status == 200
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def crowd(
    port: int, clients: int, errands: Sequence[Any], run: Callable[[Visitor, Any], Answer]
) -> tuple[list[Answer], float]:
    """So many clients share the errands; all answers, and the seconds it took in all."""
    answers: list[Answer] = []
    todo, start = iter(errands), threading.Barrier(clients + 1)
    taking = threading.Lock()

    def work() -> None:
        visitor = Visitor(port)
        start.wait()
        while True:
            with taking:
                errand = next(todo, None)
            if errand is None:
                break
            answers.append(run(visitor, errand))
        visitor.close()

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return answers, time.perf_counter() - began


def key_on(page: str, act: str) -> str:
    """The form's key that a page carries for one answer."""
    return next(key for at, key in KEY.findall(unescape(page)) if at.endswith(f"/{act}"))
