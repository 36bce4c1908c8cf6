"""Policies for tests: a type of training, and what holds for it."""

from __future__ import annotations

from typing import Any

from app.models import Policy, PolicyKind, Training, TrainingType
from tests.cast import Cast

CANCEL = "Cancel a day before."


def kind_of_training(cast: Cast, name: str = "Crafts") -> TrainingType:
    row: TrainingType = cast.add(TrainingType(practice_id=cast.practice.id, name=name))
    return row


def policy(cast: Cast, kind: PolicyKind, *types: TrainingType, **more: Any) -> Policy:
    """One that holds for these types; `parameters` as a form would have saved them."""
    facts = {"name": f"{kind}-{len(types)}", "text_en": CANCEL, "parameters": {}} | more
    row: Policy = cast.add(Policy(practice_id=cast.practice.id, kind=kind, **facts))
    row.training_types = list(types)
    cast.session.flush()
    return row


def limit(cast: Cast, *types: TrainingType, max: int = 2, days: int = 28, **more: Any) -> Policy:
    parameters = {"max": max, "days": days}
    return policy(cast, PolicyKind.BOOKING_LIMIT, *types, parameters=parameters, **more)


def window(cast: Cast, *types: TrainingType, hours: int = 24, **more: Any) -> Policy:
    parameters = {"hours": hours}
    return policy(cast, PolicyKind.CANCELLATION_WINDOW, *types, parameters=parameters, **more)


def of_type(cast: Cast, training: Training, type_: TrainingType) -> Training:
    training.training_type_id = type_.id
    cast.session.flush()
    return training
