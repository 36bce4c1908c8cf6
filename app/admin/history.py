"""What happened, append-only: who moved whom, when and why (law L8)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import joinedload

from app.admin import office
from app.admin.filters import Contains, Number, Since, Until
from app.admin.frame import SecureView
from app.admin.names import name_of
from app.extensions import db
from app.models import EnrolmentHistory, Student, Training, User
from app.services.why import EVENTS


def _event(_view: Any, _context: Any, row: Any, _name: str) -> str:
    return str(EVENTS.get(f"{row.event}/{row.reason}") or EVENTS.get(row.event, row.event))


def _fact(name: str) -> Any:
    return lambda _view, _context, row, _n: getattr(row, name)


class HistoryView(SecureView):
    """Read only; names are read for a whole page at once."""

    column_list = ("at", "training", "student", "event", "who", "note")
    column_details_list = (
        "at", "training", "seq", "student", "event", "from_status", "to_status", "invite_no",
        "queue_position", "who", "reason", "note",
    )  # fmt: skip
    column_export_list = (
        "at", "training_id", "training", "seq", "student", "event", "from_status", "to_status",
        "invite_no", "queue_position", "actor", "who", "reason", "note",
    )  # fmt: skip
    column_filters = (
        Number(EnrolmentHistory.training_id, _l("Training no.")),
        Contains(EnrolmentHistory.event, _l("Event")),
        Since(EnrolmentHistory.at, _l("When"), data_type="date"),
        Until(EnrolmentHistory.at, _l("When"), data_type="date"),
    )
    column_searchable_list = ("note", "actor")
    column_sortable_list = ("at",)
    column_default_sort = [("at", True), ("id", True)]
    column_labels = {
        "at": _l("When"),
        "training_id": _l("Training no."),
        "seq": _l("No."),
        "event": _l("What"),
        "who": _l("By"),
        "actor": _l("Actor"),
        "from_status": _l("From"),
        "to_status": _l("To"),
        "note": _l("Reason"),
        "reason": _l("Code"),
        "queue_position": _l("No. in line"),
        "invite_no": _l("Invitation no."),
    }
    column_formatters = {
        "event": _event,
        "training": _fact("training_name"),
        "student": _fact("student_name"),
        "who": _fact("who_name"),
    }
    column_formatters_detail = column_formatters
    column_formatters_export = {
        name: _fact(f"{name}_name") for name in ("training", "student", "who")
    }
    form_columns = ()
    can_create = can_edit = False

    def scope(self) -> sa.ColumnElement[bool]:
        """Of the practice's trainings."""
        ours = sa.select(Training.id).where(Training.practice_id == office.practice_id())
        return EnrolmentHistory.training_id.in_(ours)

    def furnish(self, rows: Any) -> None:
        """Rows with their names, in three further statements however many they are."""
        _name_all(rows)

    def name_of(self, row: Any) -> str:
        """`Pottery, no. 12`."""
        return f"{row.training_name}, {_l('no.')} {row.seq}"


def _name_all(rows: list[Any]) -> None:
    session = db.session()
    trainings = {row.training_id for row in rows}
    students = {row.student_id for row in rows if row.student_id}
    users = {int(row.actor[5:]) for row in rows if row.actor.startswith("user:")}
    called = sa.select(Training.id, Training.name).where(Training.id.in_(trainings))
    named = {row.id: row.name for row in session.execute(called)}
    asked = sa.select(Student).where(Student.id.in_(students)).options(joinedload(Student.user))
    people = {s.id: name_of(s) for s in session.scalars(asked)} if students else {}
    staff = {}
    if users:
        staff = {
            u.id: name_of(u) for u in session.scalars(sa.select(User).where(User.id.in_(users)))
        }
    for row in rows:
        row.training_name = named.get(row.training_id, "")
        row.student_name = people.get(row.student_id, "")
        by = row.actor
        row.who_name = staff.get(int(by[5:]), by) if by.startswith("user:") else by


def views() -> list[SecureView]:
    """Of this module."""
    return [HistoryView(EnrolmentHistory, "History", "Trainings")]
