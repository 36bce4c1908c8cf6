"""Lists as CSV: all rows that the filters leave, read before the answer begins (T5, T11, PG5)."""

from __future__ import annotations

import re
from typing import Any

from flask import Response, abort
from flask_admin.base import expose

from app.extensions import utcnow
from app.services import csv_out


class Exporting:
    """The part of a view that exports."""

    export_types = ("csv",)
    export_max_rows = csv_out.MOST_ROWS

    @expose("/export/<export_type>/")
    def export(self: Any, export_type: str) -> Any:
        """The list as a file; its cells are guarded against spreadsheets (reliability SE13)."""
        if export_type != "csv":
            abort(404)
        _count, rows = self._export_data()
        header = [str(words) for _name, words in self._export_columns]
        cells = (
            [str(self.get_export_value(row, name)) for name, _w in self._export_columns]
            for row in rows
        )
        file = f"{re.sub('[^a-z]+', '-', str(self.endpoint))}-{utcnow():%Y-%m-%d}.csv"
        return Response(
            csv_out.document(header, cells),
            mimetype="text/csv",
            headers={"Content-Disposition": f"attachment; filename={file}"},
        )
