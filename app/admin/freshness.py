"""Saving over what somebody else saved meanwhile is refused, in words (people PG3)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from flask import request
from flask_babel import gettext as _
from markupsafe import Markup

from app.admin import names
from app.services.refusals import Refusal


class Stale(Refusal):
    """Somebody saved the row since its form was opened (people PG3)."""

    code = "stale"


class Freshness:
    """The part of a view that knows whether its row is still the one that the form showed."""

    form_columns: Any

    def stamp(self, row: Any) -> str:
        """A digest of what the form shows of a row."""
        shown = [_plain(self.present(row, name)) for name in self.form_columns or ()]
        text = repr([shown, getattr(row, "version", None)])
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def present(self, row: Any, name: str) -> Any:
        """What the row has now where the form has a field of that name."""
        return getattr(row, name, None)

    def typed(self, _name: str, field: Any) -> Any:
        """The same of what was typed."""
        return field.data

    def in_words(self, row: Any, name: str) -> str:
        """What the row has now, for people."""
        return say(self.present(row, name))

    def _require_fresh(self, form: Any, row: Any) -> None:
        if request.form.get("version") == self.stamp(row):
            return
        now = []
        for name, field in form._fields.items():
            if name not in (self.form_columns or ()) or not hasattr(row, name):
                continue  # it asks what no row has, such as a reason
            if _plain(self.present(row, name)) != _plain(self.typed(name, field)):
                now.append(f"{field.label.text}: {self.in_words(row, name)}")
        changed = "; ".join(now) or _("nothing that you changed")
        raise Stale(
            _("Somebody saved this meanwhile. Nothing of yours is saved yet. There is now: ")
            + changed
            + _(". Save again to put yours in its place.")
        )


def say(value: Any) -> str:
    """A value as plain text."""
    if value is None or value in ("", []):
        return str(_("nothing"))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    for kind, cell in names.CELLS.items():
        if isinstance(value, kind):
            said = cell(None, value, "")
            return str(said.striptags() if isinstance(said, Markup) else said)
    return str(value)


def _plain(value: Any) -> Any:
    """A value as a digest compares it: rows by id, lists in order."""
    if isinstance(value, list | tuple | set):
        return sorted(repr(_plain(one)) for one in value)
    if hasattr(value, "__table__"):
        return sa.inspect(value).identity
    return None if value == "" else value
