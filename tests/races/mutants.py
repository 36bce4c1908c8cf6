"""Mutants of the services: each leaves one promise unkept, for the oracle to see (TM2, RD3)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import Training, TrainingEnroll
from app.models.rules import Rules
from app.services import waitlist
from app.services.ledger import settle


def last_in_first_out() -> AbstractContextManager[object]:
    """The newest is invited first."""

    in_order = waitlist._line

    def reversed_line(rules: Rules) -> sa.Select[Any]:
        return in_order(rules).order_by(None).order_by(TrainingEnroll.queue_position.desc())

    return patch.object(waitlist, "_line", reversed_line)


def no_refill() -> AbstractContextManager[object]:
    """Who leaves or declines frees a place, and nobody is invited."""

    def only_counted(session: Session, training: Training, *_: object, **__: object) -> None:
        settle(session, training, takes_spot=False)

    return patch.object(waitlist, "freed", only_counted)


@contextmanager
def no_deadline() -> Iterator[None]:
    """Every answer is in time."""
    composed = (waitlist._answerable, waitlist._declinable)
    with patch.object(TrainingEnroll, "open_at", staticmethod(lambda _now: sa.true())):
        for guard in composed:
            guard.cache_clear()  # composed once, with the deadline in it
        yield
    for guard in composed:
        guard.cache_clear()
