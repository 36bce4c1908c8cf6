"""Lists: what is asked of them is tidied before Flask-Admin reads it (people PG4, PG5)."""

from __future__ import annotations

from typing import Any

from flask import flash, g, request
from flask_babel import gettext as _

FARTHEST = 1_000_000  # pages


class Listing:
    """The part of a view that lists: 50 rows a page, never past the end."""

    page_size = 50

    def _get_list_extra_args(self: Any) -> Any:
        asked = super()._get_list_extra_args()  # type: ignore[misc]
        asked.extra_args = {}  # what we don't know is not carried along
        asked.page = min(max(asked.page or 0, 0), FARTHEST)
        asked.search = (asked.search or "").replace("\x00", "").strip()[:200] or None
        return asked

    def _get_list_filter_args(self: Any) -> Any:
        known, found = self._filter_args or {}, []
        for name, value in request.args.items():
            if not name.startswith("flt") or not value.strip():
                continue
            _place, _underscore, key = name.partition("_")
            if key not in known:
                flash(_("A filter that this list does not have is ignored."), "error")
                continue
            index, filter_ = known[key]
            if filter_.validate(value):
                found.append((index, str(filter_.name), value))
            else:
                flash(
                    _("The filter %(name)s cannot be that: it is ignored.", name=filter_.name),
                    "error",
                )
        return found

    def get_list(self: Any, page: Any, *asked: Any, **more: Any) -> Any:
        """Count and rows; a page past the end is the last one."""
        count, rows = super().get_list(page, *asked, **more)  # type: ignore[misc]
        size = more.get("page_size") or self.page_size
        if count and page and not rows:
            page = (count - 1) // size
            count, rows = super().get_list(page, *asked, **more)  # type: ignore[misc]
        g.admin_page = page if count else 0
        self.furnish(rows)
        return count, rows

    def export_url(self: Any) -> str:
        """Where the same rows are a file."""
        kept = {
            name: value
            for name, value in request.args.items()
            if name in ("search", "sort", "desc") or name.startswith("flt")
        }
        return str(self.get_url(".export", export_type="csv", **kept))

    def shown_page(self) -> int:
        """The page that is shown, from 0."""
        return int(g.get("admin_page") or 0)

    def filter_fields(self: Any, active: Any) -> list[dict[str, Any]]:
        """Each filter as a field of the page: name, label, options, value."""
        values = {index: value for index, _name, value in active or []}
        several = [str(f.name) for f in self._filters or []]
        fields = []
        for index, filter_ in enumerate(self._filters or []):
            label = str(filter_.name)
            if several.count(label) > 1:
                label = f"{label} {filter_.operation()}"
            fields.append(
                {
                    "name": f"flt{index}_{self.get_filter_arg(index, filter_)}",
                    "label": label,
                    "kind": filter_.data_type or "text",
                    "options": filter_.get_options(self),
                    "value": values.get(index, ""),
                }
            )
        return fields
