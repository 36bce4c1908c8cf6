"""Kinds of trainings: a schedule may hold for some of them only."""

from __future__ import annotations

from app.admin.frame import SecureView
from app.models import TrainingType


class TrainingTypeView(SecureView):
    """A kind; one that a training or a schedule names is kept."""

    column_list = ("name", "description")
    column_details_list = column_list
    column_export_list = column_list
    column_searchable_list = column_list
    column_sortable_list = ("name",)
    column_default_sort = "name"
    form_columns = column_list
    can_delete = True


def views() -> list[SecureView]:
    """Of this module."""
    return [TrainingTypeView(TrainingType, "Training types", "Trainings")]
