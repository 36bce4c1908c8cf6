"""Where trainings meet."""

from __future__ import annotations

from app.admin.frame import SecureView
from app.models import Location


class LocationView(SecureView):
    """A place with its address; one that a meeting names is kept."""

    column_list = ("name", "address")
    column_details_list = ("name", "address")
    column_export_list = ("name", "address")
    column_searchable_list = ("name", "address")
    column_sortable_list = ("name", "address")
    column_default_sort = "name"
    form_columns = ("name", "address")
    can_delete = True


def views() -> list[SecureView]:
    """Of this module."""
    return [LocationView(Location, "Locations", "Trainings")]
