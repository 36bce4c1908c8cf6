"""Trainings with their meetings and trainers; every change goes through the services (PA2)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from markupsafe import Markup
from sqlalchemy.orm import joinedload, selectinload
from wtforms import BooleanField, RadioField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length, NumberRange, Optional

from app.admin import office
from app.admin.acts import Act, WithReason
from app.admin.fields import RowsField, WholeNumber, choices_of, readable
from app.admin.frame import SecureView
from app.admin.names import badge, local, name_of
from app.admin.timetable import Timetable, as_data
from app.extensions import db, utcnow
from app.models import Trainer, Training, TrainingEvent, TrainingTrainer
from app.models.queue import standing
from app.models.training import MOST_PARTICIPANTS
from app.services import digests, overrides, plan, trainings, waitlist, why
from app.services.trainings import BelowTakenChoice

LATEST = 40  # decisions on the details page
WITHDRAW = _l("Withdraw the newest invitations")
OVERBOOK = _l("Stay overbooked; nobody new until it fits")


class HowMany(WithReason):
    """Some places, and why."""

    count = WholeNumber(
        _l("How many places"),
        [InputRequired(_l("Say how many.")), NumberRange(1, MOST_PARTICIPANTS)],
    )


# --- acts ----------------------------------------------------------------------------------------


def _fill(session: Any, row: Training, _actor: Any, now: datetime) -> None:
    waitlist.fill_open_spots(session, row.id, now)


def _by_id(service: Any) -> Any:
    """An act of a service that takes the training's id."""

    def do(session: Any, row: Training, *rest: Any, **answers: Any) -> None:
        service(session, row.id, *rest, **answers)

    return do


def _counted(service: Any) -> Any:
    def do(session: Any, row: Training, actor: Any, now: datetime, count: int, reason: str) -> None:
        service(session, row.id, count, actor, now, reason)

    return do


def _runs(row: Training) -> bool:
    return row.cancelled_at is None and row.archived_at is None


ACTS = (
    Act(
        "fill",
        _l("Fill free places now"),
        _fill,
        _l("Whoever is first in line is invited, as many as places are free."),
        offered=lambda row: row.bookable and not row.waitlist_paused,
    ),
    Act(
        "open",
        _l("Open for booking"),
        _by_id(trainings.activate),
        _l("Students can book, and whoever waits is invited where a place is free."),
        offered=lambda row: _runs(row) and not row.active,
    ),
    Act(
        "close",
        _l("Close for booking"),
        _by_id(trainings.deactivate),
        _l("Nobody can book. Who has a place keeps it; open invitations are taken back."),
        offered=lambda row: _runs(row) and row.active,
    ),
    Act(
        "pause",
        _l("Pause the waitlist"),
        _by_id(overrides.pause_list),
        _l("Nobody is invited until you go on; open invitations run on."),
        WithReason,
        offered=lambda row: _runs(row) and not row.waitlist_paused,
    ),
    Act(
        "resume",
        _l("Go on with the waitlist"),
        _by_id(overrides.resume_list),
        _l("Invitations go out again, for free places at once."),
        WithReason,
        offered=lambda row: row.waitlist_paused,
    ),
    Act(
        "keep",
        _l("Keep places back"),
        _counted(overrides.keep_spots),
        _l("Free places that you give away yourself."),
        HowMany,
        bulk=False,
        offered=_runs,
    ),
    Act(
        "release",
        _l("Release kept places"),
        _counted(overrides.release_spots),
        _l("The first in line are invited to them."),
        HowMany,
        bulk=False,
        offered=lambda row: row.seats_kept > 0,
    ),
    Act(
        "limit",
        _l("Apply the booking limit again"),
        _by_id(overrides.restore_limit),
        _l("The free place was announced to everybody. The limit holds again for it."),
        WithReason,
        offered=lambda row: row.limit_waived_at is not None,
    ),
    Act(
        "cancel",
        _l("Cancel the training"),
        _by_id(trainings.cancel),
        _l("It does not take place. Everyone enrolled, invited or waiting is told. This is final."),
        WithReason,
        danger=True,
        offered=_runs,
    ),
    Act(
        "archive",
        _l("Archive"),
        _by_id(trainings.archive),
        _l("The training is over and leaves the lists. Who still waits leaves silently."),
        offered=lambda row: row.archived_at is None,
    ),
    Act(
        "restore",
        _l("Bring back from the archive"),
        _by_id(trainings.restore),
        _l("The training is in the lists again. Who waited for it does not come back."),
        offered=lambda row: row.archived_at is not None,
    ),
)


# --- the view ------------------------------------------------------------------------------------


def state_of(row: Training) -> Markup:
    """One badge: what the training is now."""
    if row.cancelled_at:
        return badge("bad", _("Cancelled"))
    if row.archived_at:
        return badge("dim", _("Archived"))
    if not row.active:
        return badge("dim", _("Closed"))
    if row.waitlist_paused:
        return badge("hold", _("List paused"))
    return badge("ok", _("Open"))


def meeting_in_words(event: TrainingEvent) -> str:
    """`Tue 3 March 2026, 14:30 (Amsterdam) – …, Loft`."""
    said = " – ".join(local(at).striptags() for at in (event.start_time, event.end_time))
    return f"{said}, {event.location.name}" if event.location else said


class TrainingView(SecureView):
    """Capacity, dates and being open are changed by `services/trainings.py`, which may refuse."""

    column_list = ("name", "training_type", "starts", "taken", "state", "trainers")
    column_details_list = (
        "name", "state", "training_type", "description", "starts", "taken", "seats_kept",
        "min_participants", "invite_cutoff", "trainers", "apply_policies", "limit_waived_at",
    )  # fmt: skip
    column_export_list = (
        "id", "name", "training_type.name", "max_participants", "seats_taken", "starts", "ends",
        "trainers", "active", "waitlist_paused", "cancelled_at", "archived_at",
    )  # fmt: skip
    column_searchable_list = ("name", "description")
    column_filters = ("active", "training_type.name")
    column_sortable_list = ("name", "active", ("training_type", "training_type.name"))
    column_default_sort = [("archived_at", False), ("id", True)]
    column_labels = {
        "training_type": _l("Type"),
        "training_type.name": _l("Type"),
        "starts": _l("Begins"),
        "ends": _l("Ends"),
        "taken": _l("Places taken"),
        "state": _l("State"),
        "trainers": _l("Trainers"),
        "max_participants": _l("Places"),
        "seats_taken": _l("Places taken"),
        "min_participants": _l("Fewest participants"),
        "seats_kept": _l("Places kept back"),
        "invite_cutoff": _l("Invitations end before the start"),
        "active": _l("Open for booking"),
        "apply_policies": _l("Booking limits hold"),
        "limit_waived_at": _l("Booking limit lifted since"),
        "waitlist_paused": _l("List paused"),
        "cancelled_at": _l("Cancelled"),
        "archived_at": _l("Archived"),
    }
    column_formatters = {
        "starts": lambda view, _c, row, _n: view.day(row, "start_time"),
        "taken": lambda _v, _c, row, _n: _(
            "%(taken)s of %(places)s", taken=row.seats_taken, places=row.max_participants
        ),
        "state": lambda _v, _c, row, _n: state_of(row),
    }
    column_formatters_detail = column_formatters
    column_formatters_export = {
        "starts": lambda view, _c, row, _n: view.exact(row, "start_time"),
        "ends": lambda view, _c, row, _n: view.exact(row, "end_time"),
    }
    form_columns = (
        "name", "training_type", "description", "max_participants", "min_participants",
        "invite_cutoff", "teachers", "timetable", "notify", "active", "apply_policies", "choice",
        "reason",
    )  # fmt: skip
    form_args = {
        "max_participants": {
            "validators": [InputRequired(_l("Say how many.")), NumberRange(0, MOST_PARTICIPANTS)],
        },
        "min_participants": {"validators": [Optional(), NumberRange(0, MOST_PARTICIPANTS)]},
        "invite_cutoff": {
            "description": _l("Such as 2:00:00 or 1 day; empty: as the practice has it.")
        },
        "active": {"description": _l("Students can book, and whoever waits is invited.")},
        "apply_policies": {
            "description": _l("Off: students may book this one above the limit of its type."),
        },
    }
    form_extra_fields = {
        "teachers": RowsField(
            _l("Trainers"),
            query_factory=lambda: choices_of(Trainer),
            get_label=name_of,
            description=_l("Hold Ctrl or ⌘ to choose several."),
        ),
        "timetable": Timetable(_l("Meetings")),
        "notify": BooleanField(_l("Write to everyone if the dates change"), default=True),
        "choice": RadioField(
            _l("Fewer places than are taken"),
            [Optional()],
            choices=[
                SelectChoice(
                    BelowTakenChoice.WITHDRAW.value, _l("Withdraw the newest invitations")
                ),
                SelectChoice(
                    BelowTakenChoice.OVERBOOK.value, _l("Stay overbooked; nobody new until it fits")
                ),
            ],
        ),
        "reason": TextAreaField(
            _l("Reason"),
            [Length(max=500), readable],
            description=_l("5 to 500 characters; it stays in the history."),
        ),
    }
    refused_at = {
        "below_taken": "choice",
        "reason_needed": "reason",
        "bad_capacity": "max_participants",
        "bad_event": "timetable",
    }
    loads = (
        joinedload(Training.training_type),
        selectinload(Training.events).joinedload(TrainingEvent.location),
        selectinload(Training.trainers)
        .joinedload(TrainingTrainer.trainer)
        .joinedload(Trainer.user),
    )
    acts = ACTS
    can_delete = True
    edit_template = create_template = "admin/trainings/edit.html"
    details_template = "admin/trainings/details.html"

    def day(self, row: Training, attribute: str) -> Any:
        """Its first begin, as people read it."""
        days = [getattr(event, attribute) for event in row.events]
        return self.column_type_formatters[datetime](self, min(days), "") if days else ""

    def exact(self, row: Training, attribute: str) -> str:
        """Its first begin or last end, as a file has it."""
        days = [getattr(event, attribute) for event in row.events]
        found = (min if attribute == "start_time" else max)(days) if days else None
        return found.astimezone(office.zone()).isoformat(timespec="minutes") if found else ""

    # --- form ---

    def create_form(self, obj: Any = None) -> Any:
        """With an empty meeting."""
        form = super().create_form(obj)
        if not form.timetable.entries:
            form.timetable.append_entry()
        return form

    def edit_form(self, obj: Any = None) -> Any:
        """With its meetings and trainers."""
        obj.timetable, obj.teachers = as_data(obj), [one.trainer for one in obj.trainers]
        return super().edit_form(obj)

    def present(self, row: Any, name: str) -> Any:
        """Meetings and trainers are compared by their rows."""
        if name == "teachers":
            return [one.trainer for one in row.trainers]
        if name == "timetable":
            return [(e.id, e.start_time, e.end_time, e.location_id) for e in row.events]
        return getattr(row, name, None)

    def typed(self, name: str, field: Any) -> Any:
        """Meetings as those of the row."""
        if name != "timetable":
            return super().typed(name, field)
        return [(m.id, m.start_time, m.end_time, m.location_id) for m in field.meetings()]

    def in_words(self, row: Any, name: str) -> str:
        """The timetable as people read it."""
        if name == "timetable" and row.events:
            return ", ".join(meeting_in_words(event) for event in row.events)
        return super().in_words(row, name)

    def save(self, form: Any, row: Training, created: bool, now: datetime) -> str | None:
        """Plain fields by hand, the rest by the services, which lock the training (WT, WO4)."""
        session, actor = db.session(), office.actor()
        if created:
            row.max_participants, row.active = form.max_participants.data, False
        before = row.training_type_id
        for name in ("name", "training_type", "description", "min_participants", "apply_policies"):
            form[name].populate_obj(row, name)
        if created:
            session.add(row)
        session.flush()  # the services lock it by its id
        self._assign(form, row)
        trainings.set_cutoff(session, row.id, form.invite_cutoff.data, actor, now)
        answers = {"choice": form.choice.data or None, "reason": form.reason.data}
        places = form.max_participants.data
        invited = trainings.set_capacity(session, row.id, places, actor, now, **answers)
        tell = form.notify.data and not created
        moved = trainings.reschedule(
            session, row.id, form.timetable.meetings(), actor, now, notify=tell
        )
        invited += moved.invited
        if form.active.data and not row.active:
            invited += trainings.activate(session, row.id, actor, now)
        elif row.active and not form.active.data:
            trainings.deactivate(session, row.id, actor, now)
        elif row.active and row.training_type_id != before:
            plan.training_jobs(session, row, now)
        if invited:
            return str(_("%(name)s is saved; %(n)s invited.", name=row.name, n=len(invited)))
        return None

    def _assign(self, form: Any, row: Training) -> None:
        wanted = list(form.teachers.data)
        for one in list(row.trainers):
            if one.trainer not in wanted:
                row.trainers.remove(one)
        there = [one.trainer for one in row.trainers]
        rank = max((one.rank for one in row.trainers), default=0)
        for trainer in wanted:
            if trainer not in there:
                rank += 1
                known = digests.so_far(row)
                row.trainers.append(TrainingTrainer(trainer=trainer, rank=rank, told_seq=known))
        db.session.flush()  # letters name its trainers

    def delete(self, row: Training, now: datetime) -> None:
        """Only what nobody was ever in (WT4)."""
        trainings.delete(db.session(), row.id, office.actor())

    # --- details ---

    def details_more(self, row: Training) -> dict[str, Any]:
        """How it stands, who waits and why, what was decided."""
        session, zone = db.session(), office.zone()
        stand = standing(session, row, utcnow())
        line = list(why.sentences(stand, why.line(session, stand), zone))
        decided = why.decisions(session, row.id, zone)
        return {
            "stand": stand,
            "line": line,
            "decisions": decided[-LATEST:][::-1],
            "enrolments": url_for("admin_trainingenroll.index_view", flt0_0=row.id),
            "history": url_for("admin_enrolmenthistory.index_view", flt0_0=row.id),
        }


def views() -> list[SecureView]:
    """Of this module."""
    return [TrainingView(Training, "Trainings", "Trainings")]
