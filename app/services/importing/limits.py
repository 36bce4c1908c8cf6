"""Whom an import books above the limits of the practice: staff may, and are told (waitlist WP2)."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.models.queue import Standing
from app.services import policies
from app.services.importing.report import RowWarning
from app.services.importing.rows import EnrolmentRow


class Joining(NamedTuple):
    """A row of the file that brings somebody into a training, or into its line."""

    row: EnrolmentRow
    student_id: int
    stand: Standing
    waived: bool  # no limit held while its places were not taken

    @property
    def key(self) -> tuple[int, int]:
        """The student, and the type of training."""
        return self.student_id, self.stand.training.training_type_id or 0


def warnings_of(session: Session, joinings: Collection[Joining]) -> list[RowWarning]:
    """The rows that no student could have booked alone; asked when all of them are written.

    Rows above count for those below them, so that of three where two may be had the last is told.
    Who waits holds nothing, unless invited at once. Two statements, however many rows.
    """
    limits = policies.limits_of(session, [one.stand.training for one in joinings])
    limited = [one for one in joinings if one.stand.training.id in limits]
    if not limited:
        return []
    students, types = zip(*(one.key for one in limited), strict=True)
    held = policies.held(session, set(students), set(types))
    new = {(one.key, one.stand.training.id) for one in limited}
    counted = {key: [h for h in some if (key, h.training_id) not in new]
               for key, some in held.items()}  # fmt: skip
    found = []
    for one in sorted(limited, key=lambda joining: joining.row.line):
        id_, begins = one.stand.training.id, one.stand.starts_at
        theirs = counted.get(one.key, [])
        if begins is not None and not one.waived:
            over = policies.over_limit(limits[id_], id_, begins, theirs)
            if over is not None:
                line, email = one.row.line, one.row.email
                found.append(RowWarning(line, email, over.limit.policy, over.to_staff))
        theirs += [h for h in held.get(one.key, []) if h.training_id == id_]
    return found
