"""Kinds of trainings: a schedule may hold for some of them only."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from flask_babel import gettext as _

from app.admin import office
from app.admin.frame import InUse, SecureView
from app.extensions import db
from app.models import AutomationSchedule, TrainingType
from app.models.training import schedule_types
from app.services import policies


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

    def delete(self, row: TrainingType, now: datetime) -> None:
        """Refuses while a schedule names it: without the type it would hold for all trainings."""
        session, s, named = db.session(), AutomationSchedule, schedule_types.c
        for_it = sa.select(named.schedule_id).where(named.training_type_id == row.id)
        there = sa.select(s.name).where(s.id.in_(for_it), s.deleted_at.is_(None)).order_by(s.name)
        if names := session.scalars(there).all():
            raise InUse(
                _(
                    "Schedules hold for this type: %(names)s. Change or delete them first.",
                    names=", ".join(names),
                )
            )
        gone = sa.select(s.id).where(s.deleted_at.is_not(None))
        of_gone = (named.training_type_id == row.id, named.schedule_id.in_(gone))
        session.execute(sa.delete(schedule_types).where(*of_gone))
        policies.leave_type(session, row, office.actor(), now)
        # past the relationship, which would take the type from a schedule that came meanwhile
        session.execute(sa.delete(TrainingType).where(TrainingType.id == row.id))


def views() -> list[SecureView]:
    """Of this module."""
    return [TrainingTypeView(TrainingType, "Training types", "Trainings")]
