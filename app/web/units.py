"""A request is a unit of work: GET, HEAD and OPTIONS get a database that refuses writes (L10)."""

from __future__ import annotations

from flask import Flask, request

from app.extensions import db

SAFE = ("GET", "HEAD", "OPTIONS")


def init_app(app: Flask) -> None:
    """Say at the start of each request whether it may write, and forget it afterwards."""
    app.before_request(_open)
    app.teardown_request(_close)


def _open() -> None:
    if request.endpoint != "static":
        db.session.info["read"] = request.method in SAFE


def _close(_error: BaseException | None) -> None:
    if db.session.registry.has():
        db.session.info.pop("read", None)  # a session that outlives its request, as in a shell
