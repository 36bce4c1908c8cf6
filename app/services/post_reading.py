"""The outbox as the office of a practice sees it: which letters are theirs, to whom, about what.

Reads only, in as many statements for one letter as for a thousand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.enrolment import TrainingEnroll
from app.models.outbox import Outbox
from app.models.person import Student, Trainer
from app.models.training import Training
from app.models.user import User
from app.models.webhook import CHANNEL
from app.services import account_letters, people_letters, schedule_letters


class Named(NamedTuple):
    """Whom a letter is for and which training it is about; blank where there is none."""

    reader: str
    address: str
    training: str


NOTHING = Named("", "", "")


def of_practices(ids: Iterable[int]) -> sa.ColumnElement[bool]:
    """The letters about trainings of these practices, and about accounts made there (SE7); what
    their endpoints are told.

    An account letter with a link names nothing any more once it is sent (libraries S3): then it is
    theirs if its reader is.
    """
    o, theirs = Outbox, list(ids)
    trainings = sa.select(Training.id).where(Training.practice_id.in_(theirs))
    seats = sa.select(TrainingEnroll.id).where(TrainingEnroll.training_id.in_(trainings))
    no_seat = o.enrolment_id.is_(None)
    of_people = account_letters.KINDS | people_letters.KINDS | schedule_letters.KINDS
    about_account = o.kind.in_(sorted(of_people))
    practice = o.payload["practice"].as_integer()
    told = o.channel.startswith(CHANNEL, autoescape=True)
    return sa.or_(
        o.enrolment_id.in_(seats),
        sa.and_(no_seat, o.payload["training"].as_integer().in_(trainings)),
        sa.and_(sa.or_(about_account, told), practice.in_(theirs)),
        sa.and_(about_account, practice.is_(None), o.user_id.in_(_people(theirs))),
    )


def _people(practices: list[int]) -> Any:
    return sa.union(
        sa.select(Student.user_id).where(Student.practice_id.in_(practices)),
        sa.select(Trainer.user_id).where(Trainer.practice_id.in_(practices)),
        sa.select(User.id).where(User.practice_id.in_(practices)),
    )


def to_address(part: str) -> sa.ColumnElement[bool]:
    """The letters to whom this is part of the name or address, whatever its case."""
    name = User.first_name + " " + User.last_name
    fits = sa.or_(*(text.icontains(part, autoescape=True) for text in (User.email, name)))
    return Outbox.user_id.in_(sa.select(User.id).where(fits))


def name_all(session: Session, rows: Sequence[Outbox]) -> dict[int, Named]:
    """Reader and training of each row by its id, in one statement."""
    o, e, t = Outbox, TrainingEnroll, Training
    ids = [row.id for row in rows]
    if not ids:
        return {}
    training_id = sa.func.coalesce(e.training_id, o.payload["training"].as_integer())
    found = session.execute(
        sa.select(o.id, User.first_name, User.last_name, User.email, t.name)
        .outerjoin(User, User.id == o.user_id)
        .outerjoin(e, e.id == o.enrolment_id)
        .outerjoin(t, t.id == training_id)
        .where(o.id.in_(ids))
    )
    return {
        id_: Named(f"{first or ''} {last or ''}".strip() or email or "", email or "", name or "")
        for id_, first, last, email, name in found
    }
