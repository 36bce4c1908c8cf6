"""A browser without a browser: keeps cookies, sends the key against forgery, speaks https."""

from __future__ import annotations

import re
import time
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from app.models import Student, Trainer, User

HOME = "https://localhost/"


class Client(FlaskClient):
    """Before each request, what the test wrote is committed; `stage` is the test's session."""

    stage: Session | None = None

    def open(self, *args: Any, **asked: Any) -> TestResponse:
        if self.stage is not None:
            self.stage.commit()
        asked.setdefault("buffered", True)  # files are closed at once
        asked["headers"] = {"Referer": HOME, **dict(asked.get("headers") or {})}
        return super().open(*args, **asked)

    def act(self, path: str, **fields: Any) -> TestResponse:
        """POST what a form there would send, the key included."""
        return self.post(path, data={"csrf_token": self.key(), **fields})

    def key(self) -> str:
        """A key as this session's forms carry it, without asking for a page each time."""
        with self.session_transaction(headers={"Referer": HOME}) as cookie:
            secret = cookie.setdefault("csrf_token", "0" * 40)
        signer = URLSafeTimedSerializer(self.application.secret_key, salt="wtf-csrf-token")
        return str(signer.dumps(secret))


def client_of(app: Flask, stage: Session | None = None) -> Client:
    """A client of its own, with no cookie yet: a second person, say."""
    app.test_client_class = Client
    client = app.test_client()
    assert isinstance(client, Client)
    client.stage = stage
    return client


def csrf_token(page: TestResponse) -> str | None:
    """The key in the first form of a page."""
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
    return found[1] if found else None


def sign_in(client: Client, who: User | Student | Trainer | str) -> User:
    """Sign somebody in by the session alone: hashing a password takes long."""
    assert client.stage is not None
    if isinstance(who, str):
        user = client.stage.scalars(sa.select(User).where(User.email == who)).one()
    else:
        user = who if isinstance(who, User) else who.user
    client.stage.commit()
    now = int(time.time())
    with client.session_transaction(headers={"Referer": HOME}) as cookie:
        cookie.clear()
        cookie.update(
            _user_id=user.fs_uniquifier, _fresh=True, fs_paa=now, since=now, seen=now, code=True
        )
    return user
