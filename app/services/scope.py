"""Whose row it is (reliability SE7): someone else's reads like none at all.

A student's are their own, staff's are those of their practices; the console and a link see all, for
a link's token has proved whose row it is.
"""

from __future__ import annotations

from app.models.enrolment import TrainingEnroll
from app.models.person import Student
from app.models.practice import Practice
from app.models.training import Training
from app.services.actors import Actor
from app.services.refusals import NotFound


def require_own(enrolment: TrainingEnroll, actor: Actor) -> None:
    """A student acts on their own rows only; where staff may, `within` says. Raises `NotFound`."""
    if actor.staff or actor.user_id is None:
        return
    if enrolment.student.user_id != actor.user_id:
        raise NotFound(what="enrolment", id=enrolment.uuid)


def within(actor: Actor, training: Training) -> Training:
    """The training, just locked, if it belongs to a practice of the actor. Raises `NotFound`."""
    if not _theirs(actor, training.practice_id):
        raise NotFound(what="training", id=training.id)
    return training


def require_student_of(actor: Actor, student: Student) -> None:
    """Staff change students of their own practices. Raises `NotFound`."""
    if not _theirs(actor, student.practice_id):
        raise NotFound(what="student", id=student.id)


def require_practice(actor: Actor, practice: Practice) -> None:
    """Staff change their own practices. Raises `NotFound`."""
    if not _theirs(actor, practice.id):
        raise NotFound(what="practice", id=practice.shortname)


def _theirs(actor: Actor, practice_id: int) -> bool:
    return actor.practice_ids is None or practice_id in actor.practice_ids
