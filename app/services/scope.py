"""Whose row it is (reliability SE7): someone else's reads like none at all."""

from __future__ import annotations

from app.models.enrolment import TrainingEnroll
from app.services.actors import Actor
from app.services.refusals import NotFound


def require_own(enrolment: TrainingEnroll, actor: Actor) -> None:
    """A student acts on their own rows only. Raises `NotFound`.

    Staff may act on all; a link's token has proved whose row it is.
    """
    if actor.staff or actor.user_id is None:
        return
    if enrolment.student.user_id != actor.user_id:
        raise NotFound(what="enrolment", id=enrolment.uuid)
