"""The meetings of a training in its form: rows of begin, end and place (libraries A5)."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField, FieldList, Form, FormField, HiddenField

from app.admin.fields import LARGEST, InstantField, RowField, choices_of
from app.admin.names import name_of
from app.models import Location, Training, TrainingEvent
from app.services.trainings import Meeting

SPARE = 1  # empty rows, for those without scripts
MOST = 60


class MeetingForm(Form):
    """One meeting; without begin and end it is none."""

    id = HiddenField()
    start_time = InstantField(_l("Begins"))
    end_time = InstantField(_l("Ends"))
    location = RowField(
        _l("Place"),
        query_factory=lambda: choices_of(Location),
        get_label=name_of,
        allow_blank=True,
        blank_text=_l("(not set)"),
    )
    gone = BooleanField(_l("Remove"))


class Timetable(FieldList):
    """All meetings of a training; `.meetings()` is what was typed."""

    def __init__(self, label: Any = None, validators: Any = None, **asked: Any) -> None:
        super().__init__(FormField(MeetingForm), label, validators, max_entries=MOST, **asked)

    def populate_obj(self, obj: Any, name: str) -> None:
        """Nothing: `trainings.reschedule` moves them."""

    def validate(self, form: Any, extra_validators: Any = ()) -> bool:
        """Each has a begin and an end after it; all that is wrong reads as sentences."""
        super().validate(form, extra_validators)
        wrong = [said for entry in self.entries for f in entry.form for said in f.errors]
        self.errors = wrong or [said for entry in self.entries for said in _mistakes(entry.form)]
        return not self.errors

    def meetings(self) -> list[Meeting]:
        """What the timetable should be."""
        found = []
        for entry in self.entries:
            one = entry.form
            if one.gone.data or not typed(one):
                continue
            place = one.location.data.id if one.location.data else None
            found.append(
                Meeting(one.start_time.data, one.end_time.data, place, number(one.id.data))
            )
        return found

    def _extract_indices(self, prefix: str, formdata: Any) -> Any:
        """The numbers in names of fields; WTForms would read `²` as one."""
        before = prefix + self._field_separator
        named = [key.removeprefix(before) for key in formdata if key.startswith(before)]
        found = [number(name.partition(self._field_separator)[0]) for name in named]
        return [index for index in found if index is not None]


def number(text: str | None) -> int | None:
    """A plain whole number that the database holds; None for all else."""
    if not text or len(text) > len(str(LARGEST)) or not (text.isascii() and text.isdigit()):
        return None
    return int(text) if int(text) <= LARGEST else None


def typed(one: Any) -> bool:
    """Whether a row of the timetable says anything."""
    return bool(one.id.data or one.start_time.data or one.end_time.data)


def as_data(training: Training) -> list[dict[str, Any]]:
    """The rows of the form for a training that is there, an empty one last."""
    return [*map(_row, training.events), *({} for _n in range(SPARE))]


def _row(event: TrainingEvent) -> dict[str, Any]:
    return {
        "id": str(event.id),
        "start_time": event.start_time,
        "end_time": event.end_time,
        "location": event.location,
    }


def _mistakes(one: Any) -> list[str]:
    if one.gone.data or not typed(one):
        return []
    if one.id.data and number(one.id.data) is None:
        return [_("There is no such meeting: open the form again.")]
    if not one.start_time.data or not one.end_time.data:
        return [_("Say of each meeting when it begins and when it ends.")]
    if one.start_time.data >= one.end_time.data:
        return [_("Each meeting ends after it begins.")]
    return []
