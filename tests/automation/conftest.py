"""What the tests of tasks share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from flask import Flask

from app.automation import registry, scheduler_ops
from app.extensions import db
from tests.cast import NOON, Cast


@pytest.fixture
def _registry() -> Iterator[None]:
    """What a test registers or renames is forgotten after it."""
    registry.load()
    registered, renamed = dict(registry._registered), dict(registry.RENAMED)
    yield
    registry._registered.clear()
    registry._registered.update(registered)
    registry.RENAMED.clear()
    registry.RENAMED.update(renamed)


@pytest.fixture
def stage(app: Flask, _registry: None) -> Iterator[Cast]:
    """The cast on a database of its own, where renews are committed."""
    with app.app_context():
        yield Cast(db.session())
        db.session.rollback()
    scheduler_ops._said.clear()


@pytest.fixture
def renew(stage: Cast) -> Callable[..., Any]:
    """Commit what was arranged, renew at noon unless told, and look at what is there now."""

    def at(now: datetime = NOON) -> Any:
        stage.session.commit()
        renewed = scheduler_ops.renew_automations(now)
        stage.session.expire_all()
        return renewed

    return at
