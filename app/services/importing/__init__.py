"""Students, trainings and enrolments from a CSV file: all of it, or nothing (rulings RD2, SE13).

    bytes ──reading──► cells ──rows──► typed rows ──students | trainings | enrolments──► Report

Every fault of the file is collected with its line (`FaultyFile`). What is there already is changed
through the services that everyone uses, so their laws hold; an empty cell leaves what is there.
No letter is written unless asked, but to those whom a free place or a closed training concerns at
once: an invitation that nobody hears of would only run out.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from app.models.practice import Practice
from app.services.actors import Actor
from app.services.importing import enrolments, students, trainings
from app.services.importing.practices import ImportRunning, create_practice, find_practice, lock
from app.services.importing.reading import MOST_BYTES, read
from app.services.importing.report import Fault, FaultyFile, Report, RowWarning, Wishes
from app.services.importing.rows import EnrolmentRow, StudentRow, TrainingRow
from app.services.scope import require_practice

__all__ = [
    "MOST_BYTES",
    "Fault",
    "FaultyFile",
    "ImportRunning",
    "Kind",
    "Report",
    "RowWarning",
    "Wishes",
    "create_practice",
    "find_practice",
    "import_file",
]


class Kind(StrEnum):
    """What a file holds."""

    STUDENTS = "students"
    TRAININGS = "trainings"
    ENROLMENTS = "enrolments"


# What a row of each kind looks like, and who writes them.
KINDS: dict[Kind, tuple[type[Any], Callable[..., Report]]] = {
    Kind.STUDENTS: (StudentRow, students.put),
    Kind.TRAININGS: (TrainingRow, trainings.put),
    Kind.ENROLMENTS: (EnrolmentRow, enrolments.put),
}


def import_file(
    session: Session,
    kind: Kind,
    content: bytes,
    practice: Practice,
    actor: Actor,
    now: datetime,
    wishes: Wishes | None = None,
) -> Report:
    """Bring the rows of `practice` in line with a file; the same file again changes nothing.

    Raises `FaultyFile` with all that is wrong, `ImportRunning`, `NotFound`: roll back then.
    """
    require_practice(actor, practice)
    row, put = KINDS[kind]
    rows = read(row, content, ZoneInfo(practice.timezone), now)  # before anything is locked
    lock(session, practice)
    return put(session, practice, rows, actor, now, wishes or Wishes())
