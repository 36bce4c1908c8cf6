"""The dry run of a schedule that follows events, as its page and its file show it (people PA5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask import Response
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.admin import items, letter_names
from app.admin.items import Named
from app.automation.rehearsal import BEFORE, ITS_TURN
from app.automation.rehearsed import Rehearsal
from app.automation.steps import Step
from app.models import User
from app.models.bulk import among
from app.services import csv_out, run_reasons, why
from app.services.occurrence import name_of

MOST_LINES = 200


@dataclass(frozen=True)
class Line:
    """One thing that would be written, in words."""

    due: datetime
    about: Named | None
    letter: bool
    what: str
    whom: str


@dataclass(frozen=True)
class Absent:
    """Something for which nothing would be done."""

    due: datetime | None
    about: Named | str
    why: str


def lines_of(session: Session, found: Rehearsal) -> list[Line]:
    """All steps, in the order of time."""
    steps = found.steps
    enrolments = [one.subject_id for one in steps if isinstance(one.subject_id, str)]
    trainings = [str(one.data["training"]) for one in steps if one.data["training"] is not None]
    called = items.named(session, [*enrolments, *trainings])
    people = _people(session, steps)
    return [_line(one, called, people) for one in steps]


def _people(session: Session, steps: list[Step]) -> dict[Any, str]:
    ids = sorted({one.subject_id for one in steps if one.sends})
    users = session.scalars(sa.select(User).where(among(User.id, ids)))
    return {user.id: user.fullname or user.email for user in users}


def _line(step: Step, called: dict[str, Named], people: dict[Any, str]) -> Line:
    about = called.get(str(step.data["training"]))
    if "letter" in step.data:
        what = letter_names.called(step.data["letter"])
        whom = people.get(step.subject_id, str(step.subject_id))
        return Line(step.data["due"], about, True, what, whom)
    event = step.data["event"]
    what = str(why.EVENTS.get(event) or event.replace("-", " "))
    person = called.get(str(step.subject_id)) if isinstance(step.subject_id, str) else None
    whom = person.words.partition(" · ")[0] if person else ""
    return Line(step.data["due"], about, False, what, whom)


def absent_of(session: Session, found: Rehearsal) -> list[Absent]:
    """The first of what would be left out, and why."""
    some = found.left_out[:MOST_LINES]
    called = items.named(session, [one.item for one in some])
    return [Absent(one.due, called.get(one.item, one.item), in_words(one.reason)) for one in some]


def in_words(reason: str) -> str:
    """Why something is left out, for people."""
    words = {
        BEFORE: _("it was due before this schedule was switched on"),
        ITS_TURN: _("only so many are done at once: it follows once these are done"),
        "moved": _("its date has moved"),
        "running": _("it is being done at this moment"),
        "parked": _("it is parked: see its job"),
    }
    return words.get(reason) or run_reasons.in_words(reason)


def file_of(session: Session, found: Rehearsal) -> Response:
    """All of it as CSV."""
    header = (_("No."), _("Due"), _("Training"), _("What"), _("Whom"))
    return Response(
        csv_out.document(header, _rows(lines_of(session, found))),
        mimetype="text/csv",
        headers={"Content-Disposition": f"attachment; filename=dry-run-{found.at:%Y-%m-%d}.csv"},
    )


def _rows(lines: list[Line]) -> Iterator[tuple[Any, ...]]:
    for n, line in enumerate(lines, 1):
        what = _("Letter: %(what)s", what=line.what) if line.letter else line.what
        yield n, name_of(line.due), line.about.words if line.about else "", what, line.whom
