"""Holding a link: make its token, open its page, press what stands on it."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask import Flask
from werkzeug.test import TestResponse

from app.extensions import db
from app.models import TrainingEnroll
from app.services import links
from app.services.links import PATHS, Ticket
from tests.cast import NOON, Cast
from tests.web.browsing import Client

KEY = b"k" * 32
FORM = re.compile(
    r'<form method="post" action="(?P<at>[^"]+)".*?name="token" value="(?P<token>[^"]*)"'
    r'.*?name="key" value="(?P<key>[^"]*)"',
    re.S,
)


class Clock:
    """What time it is for the links' pages; a test sets it."""

    def __init__(self) -> None:
        self.now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


def token_for(
    cast: Cast, row: TrainingEnroll, purpose: str = "answer", now: datetime = NOON
) -> str:
    """The token that a letter about this enrolment would carry now."""
    user = row.student.user
    ticket = Ticket(purpose, row.id, row.uuid, row.invite_no, user.id, user.email)
    return links.mint_many(cast.session, [ticket], [KEY], now)[ticket]


def path_of(token: str, purpose: str = "answer") -> str:
    return f"/{PATHS[purpose]}/{token}"


def forms(page: TestResponse) -> dict[str, dict[str, str]]:
    """The answers that a page offers: act -> where to post it, and what."""
    found = [m.groupdict() for m in FORM.finditer(html.unescape(page.text))]
    return {form["at"].rsplit("/", 1)[-1]: form for form in found}


def press(client: Client, page: TestResponse, act: str) -> TestResponse:
    """Press a button of a page that was opened before; does not follow."""
    form = forms(page)[act]
    return client.post(form["at"], data={"token": form["token"], "key": form["key"]})


def click(client: Client, path: str, act: str) -> TestResponse:
    """Open a page, press its button and see where it leads."""
    answer = press(client, client.get(path), act)
    assert answer.status_code == 303
    return client.get(answer.headers["Location"])


def heading(page: TestResponse) -> str:
    """The one h1, in plain words."""
    (found,) = re.findall(r"<h1[^>]*>(.*?)</h1>", page.text, re.S)
    return html.unescape(" ".join(re.sub(r"<[^>]+>", "", found).split()))


def checksum(cast: Cast) -> str:
    """Of all rows of all tables."""
    cast.session.commit()
    digest = hashlib.sha256()
    for table in db.metadata.sorted_tables:
        rows = cast.session.execute(sa.select(table)).all()
        digest.update(repr((table.name, sorted(map(repr, rows)))).encode())
    cast.session.commit()
    return digest.hexdigest()


@contextmanager
def statements_of(app: Flask) -> Iterator[list[str]]:
    """What the application asks of its database meanwhile (rulings RC11)."""
    sent: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(("PRAGMA", "BEGIN", "SAVEPOINT")):
            sent.append(statement)

    with app.app_context():
        engine = db.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
