"""Locking a row: the first statement of every act (L3, reliability DB3)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import prepared
from app.models.training import Training
from app.services.refusals import NotFound

M = TypeVar("M")


def locked(session: Session, model: type[M], id_: int) -> M:
    """The row, ours until the commit and as it is *now*, whatever was loaded before (STYLE P2).

    Raises `NotFound`.
    """
    session.flush()  # reading anew must not overwrite what is still unwritten
    any_model: Any = model
    row: M | None = session.scalars(
        _locking(any_model), {"id": id_}, execution_options=prepared.OPTION
    ).one_or_none()
    if row is None:
        raise NotFound(what=model.__name__.lower(), id=id_)
    return row


@cache
def _locking(model: Any) -> sa.Select[Any]:
    return (
        sa.select(model)
        .where(model.id == sa.bindparam("id"))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


def locked_trainings(session: Session, ids: Iterable[int]) -> list[Training]:
    """Several trainings, locked in the order of their ids, so that nobody deadlocks (L3)."""
    session.flush()  # as in `locked`
    rows = session.scalars(
        sa.select(Training)
        .where(Training.id.in_(list(ids)))
        .order_by(Training.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return list(rows)
