"""What tests of the post share: an application to post from, plain letters, a mail server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from app.delivery import rendering
from tests.delivery.post_office import Clock, Sink, a_sink, an_app, compose_plainly, posting_from


@pytest.fixture
def app(url: str) -> Iterator[Flask]:
    """The application on a database of one's own, its memory of letters empty."""
    with posting_from(an_app(url)) as app:
        yield app


@pytest.fixture
def plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters are not rendered: the test isn't about their texts."""
    monkeypatch.setattr(rendering, "compose", compose_plainly)


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A mail server that takes everything until its `mood` changes."""
    with a_sink() as sink:
        yield sink


@pytest.fixture
def clock() -> Clock:
    """It is noon until the test says otherwise."""
    return Clock()
