"""Who changed what staff decide, when and from what to what: read only (people PA13)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.admin.filters import Contains, Number, Since, Until
from app.admin.frame import SecureView
from app.admin.freshness import say
from app.admin.names import actors_in_words
from app.extensions import db
from app.models import AuditEntry

# What changed, as the forms call it.
FACTS = {
    "name": _l("Name"),
    "kind": _l("What it is about"),
    "max": _l("At most so many trainings of a type"),
    "days": _l("… within so many days"),
    "hours": _l("Hours before the start"),
    "text_en": _l("What students read, in English"),
    "text_nl": _l("The same in Dutch"),
    "training_types": _l("Training types"),
    "active": _l("Active"),
}
ACTIONS = {
    "policy_create": _l("Policy made"),
    "policy_update": _l("Policy changed"),
    "policy_remove": _l("Policy deleted"),
}


class Changed(NamedTuple):
    """One fact, before and after; None where there was, or is, no row."""

    what: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None or self.after is None:
            return f"{self.what}: {self.before or self.after}"
        return f"{self.what}: {self.before} → {self.after}"


class Told(NamedTuple):
    """An entry, for people."""

    at: datetime
    who: str
    act: str
    changes: list[Changed]


def entries_of(row: Any, most: int) -> list[Told]:
    """The last of a row, the newest first, in two statements."""
    a = AuditEntry
    mine = sa.select(a).where(a.subject == row.__tablename__, a.subject_id == row.id)
    newest = db.session.scalars(mine.order_by(a.at.desc(), a.id.desc()).limit(most)).all()
    who = actors_in_words(entry.actor for entry in newest)
    return [Told(entry.at, who[entry.actor], act_of(entry), changes_of(entry)) for entry in newest]


def act_of(entry: AuditEntry) -> str:
    """What was done, in words."""
    return str(ACTIONS.get(entry.action, entry.action))


def changes_of(entry: AuditEntry) -> list[Changed]:
    """Fact by fact, as a form has them; parameters one by one, and of those only what changed."""
    old, new = _flat(entry.old), _flat(entry.new)
    return [
        Changed(
            str(FACTS.get(name, name)),
            _in_words(old.get(name)) if entry.old is not None else None,
            _in_words(new.get(name)) if entry.new is not None else None,
        )
        for name in sorted(old.keys() | new.keys(), key=_place)
        if entry.old is None or entry.new is None or old.get(name) != new.get(name)
    ]


def _place(name: str) -> tuple[int, str]:
    """JSON of PostgreSQL keeps no order."""
    known = list(FACTS)
    return (known.index(name) if name in known else len(known)), name


def _flat(facts: dict[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in (facts or {}).items():
        found |= value if isinstance(value, dict) else {name: value}
    return found


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or str(_("none"))
    return say(value)


class AuditView(SecureView):
    """All entries of the practice, those about rows that are gone too."""

    column_list = ("at", "act", "called", "changes", "who")
    column_details_list = column_list
    column_export_list = ("at", "action", "subject", "subject_id", "called", "changes", "actor")
    column_filters = (
        Number(AuditEntry.subject_id, _l("No.")),
        Contains(AuditEntry.action, _l("Action")),
        Since(AuditEntry.at, _l("When"), data_type="date"),
        Until(AuditEntry.at, _l("When"), data_type="date"),
    )
    column_searchable_list = ("called", "actor")
    column_sortable_list = ("at",)
    column_default_sort = [("at", True), ("id", True)]
    column_labels = {
        "at": _l("When"),
        "act": _l("What"),
        "called": _l("Of what"),
        "changes": _l("From what to what"),
        "who": _l("By"),
        "action": _l("Action"),
        "subject": _l("Table"),
        "subject_id": _l("No."),
        "actor": _l("Actor"),
    }
    column_formatters = {
        "act": lambda _v, _c, row, _n: act_of(row),
        "changes": lambda _v, _c, row, _n: "; ".join(map(str, changes_of(row))),
        "who": lambda _v, _c, row, _n: row.who,
    }
    column_formatters_detail = column_formatters
    column_formatters_export = {"changes": column_formatters["changes"]}
    form_columns = ()
    can_create = can_edit = False

    def furnish(self, rows: Any) -> None:
        """Rows with the names of who acted, in one further statement."""
        _name_all(rows)

    def name_of(self, row: Any) -> str:
        """`Policy changed: 24h-cancellation`."""
        return f"{act_of(row)}: {row.called}"


def _name_all(rows: list[Any]) -> None:
    who = actors_in_words(row.actor for row in rows)
    for row in rows:
        row.who = who[row.actor]


def views() -> list[SecureView]:
    """Of this module."""
    return [AuditView(AuditEntry, "Audit", "System")]
