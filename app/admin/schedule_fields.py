"""The fields of a schedule that follows the clock, and those that its task's model asks (U2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from flask_admin.form import BaseForm
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from pydantic import BaseModel
from wtforms import (
    BooleanField,
    Field,
    Form,
    IntegerField,
    SelectField,
    SelectMultipleField,
    StringField,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import Optional
from wtforms.widgets import CheckboxInput, DateTimeLocalInput, ListWidget

from app.admin import items
from app.admin.acts import Needed
from app.extensions import db
from app.models import AutomationSchedule
from app.models.schedule import OverlapPolicy, RetryBackoff, ScheduleType

KINDS = {
    ScheduleType.EVENT: _l("event: before or after dates of trainings and invitations"),
    ScheduleType.DAILY: _l("daily: at a time of day"),
    ScheduleType.WEEKLY: _l("weekly: on days of the week"),
    ScheduleType.INTERVAL: _l("interval: every so often"),
    ScheduleType.CRON: _l("cron: by an expression"),
    ScheduleType.ONE_TIME: _l("one_time: once"),
    ScheduleType.CHAINED: _l("chained: when another schedule has run"),
}
WEEKDAYS = {
    "mon": _l("Monday"),
    "tue": _l("Tuesday"),
    "wed": _l("Wednesday"),
    "thu": _l("Thursday"),
    "fri": _l("Friday"),
    "sat": _l("Saturday"),
    "sun": _l("Sunday"),
}
OVERLAPS = {
    OverlapPolicy.SKIP: _l("skip it"),
    OverlapPolicy.QUEUE_ONE: _l("let one wait"),
}
BACKOFFS = {
    RetryBackoff.EXPONENTIAL: _l("longer each time"),
    RetryBackoff.FIXED: _l("always the same"),
}
# Which fields each kind asks for; all that recur have a zone, a start and an end.
ASKED: dict[ScheduleType, tuple[str, ...]] = {
    ScheduleType.EVENT: ("beforeafter", "events", "interval"),
    ScheduleType.DAILY: ("at",),
    ScheduleType.WEEKLY: ("weekdays", "at"),
    ScheduleType.INTERVAL: ("every",),
    ScheduleType.CRON: ("cron",),
    ScheduleType.ONE_TIME: ("once",),
    ScheduleType.CHAINED: (),
}
OF_KINDS = tuple(dict.fromkeys(name for names in ASKED.values() for name in names))


def kinds_with(name: str) -> str:
    """The kinds that ask for a field, as the page's script reads them."""
    return " ".join(kind.value for kind, names in ASKED.items() if name in names)


class KindField(SelectField):
    """What the time of a schedule follows from; not sent, it is what it was."""

    data: ScheduleType

    def __init__(self, label: Any = None, validators: Any = None, **asked: Any) -> None:
        choices = [SelectChoice(kind.value, said) for kind, said in KINDS.items()]
        asked.setdefault("default", ScheduleType.EVENT)
        super().__init__(label, validators, choices=choices, coerce=ScheduleType, **asked)


class WeekdaysField(SelectMultipleField):
    """Days of the week, a box for each."""

    widget = ListWidget(prefix_label=False)
    option_widget = CheckboxInput()

    def __init__(self, label: Any = None, validators: Any = None, **asked: Any) -> None:
        choices = [SelectChoice(day, said) for day, said in WEEKDAYS.items()]
        super().__init__(label, validators, choices=choices, **asked)


class LocalField(StringField):
    """A local time of the schedule's own zone, as it was typed; the service reads it."""

    widget = DateTimeLocalInput()


class EitherField(SelectField):
    """Yes, no, or as the task has it."""

    def __init__(self, label: Any = None, validators: Any = None, **asked: Any) -> None:
        said = {"": _l("as the task has it"), "yes": _l("yes"), "no": _l("no")}
        choices = [SelectChoice(value, words) for value, words in said.items()]
        super().__init__(label, validators, choices=choices, coerce=_either, **asked)


def _either(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    said = {"": None, "yes": True, "no": False}
    if value not in said:
        raise ValueError(value)  # refused at its field
    return said[value]


class FollowerField(SelectField):
    """Another schedule that starts when this one has run; what has no name here is refused."""

    data: int | None

    def __init__(self, label: Any = None, validators: Any = None, **asked: Any) -> None:
        super().__init__(label, validators, choices=[], coerce=_number, **asked)

    def process(self, *given: Any, **more: Any) -> None:
        """Offer what there is now, then read."""
        s = AutomationSchedule
        mine = sa.select(s.id, s.name, s.schedule_id).where(
            items.own_schedules(), s.deleted_at.is_(None), s.schedule_type != ScheduleType.EVENT
        )
        rows = db.session.execute(mine.order_by(s.name)).all()
        self.uuids = {row.id: row.schedule_id for row in rows}
        self.choices = [SelectChoice("", _l("(none)"))]
        self.choices += [SelectChoice(str(row.id), row.name) for row in rows]
        super().process(*given, **more)

    @property
    def uuid(self) -> str | None:
        """The id that services know it by."""
        return self.uuids.get(self.data) if self.data is not None else None


def _number(value: Any) -> int | None:
    return int(value) if value not in (None, "") else None


# --- the form ------------------------------------------------------------------------------------


class ScheduleForm(BaseForm):
    """A form of which only the fields of the chosen kind count.

    `settings` holds the fields of each task that has a model, by class name.
    """

    settings: Mapping[str, Form]

    @property
    def kind(self) -> ScheduleType:
        """The chosen kind; what is none is an event's, and refused at its field."""
        found = self.schedule_type.data
        return found if isinstance(found, ScheduleType) else ScheduleType.EVENT

    @property
    def is_event(self) -> bool:
        """Whether it follows events."""
        return self.kind is ScheduleType.EVENT

    def validate(self, extra_validators: Any = None) -> bool:
        """What is wrong with the fields that count."""
        super().validate(extra_validators)
        asked = ASKED[self.kind]
        for name in OF_KINDS:
            if name not in asked:
                self[name].errors = ()
            elif not self.is_event and not self[name].data and not self[name].errors:
                self[name].errors = [_("Fill this in.")]
        if not self.is_event and not self.automation_class.chosen_key:
            self.automation_class.errors = [_("Choose what it does.")]
        own = self.own_settings
        settings_fit = own is None or own.validate()
        return not self.errors and settings_fit

    @property
    def class_name(self) -> str:
        """The class that was chosen."""
        return str(self.automation_class.class_name)

    @property
    def own_settings(self) -> Form | None:
        """The fields of its task, if they are on the page that was sent."""
        found = self.settings.get(self.class_name)
        return found if found is not None and found.sent else None

    def faults(self) -> list[tuple[str | None, Any]]:
        """(id of the field, sentence) of all that is wrong, for the summary."""
        return [
            *((None, words) for words in self.form_errors),
            *((f.id, words) for f in self for words in f.errors),
            *((f.id, words) for f in self.own_settings or () for words in f.errors),
        ]

    @property
    def errors(self) -> Any:
        """By field; those of the task's settings too, so that a page with them is a refusal."""
        own = self.own_settings
        return super().errors | ({"settings": own.errors} if own and own.errors else {})


# --- what a task's model asks --------------------------------------------------------------------


SETTING_WORDS = {
    "send_window": _l("Sends between"),
    "stagger_seconds": _l("Seconds between two letters"),
    "process_late": _l("Also late birthdays"),
    "max_days_late": _l("Days late at most"),
    "max_messages_per_run": _l("Letters per run at most"),
    "audience": _l("For whom"),
    "feb29": _l("29 February in other years"),
    "require_consent": _l("Only who agreed to be congratulated"),
    "limit": _l("Profiles per run at most"),
    "revisit_after_days": _l("Days until a profile is looked at again"),
    "dormant_days": _l("Days without a sign of life"),
    "invite": _l("Ask people to check their profile"),
    "max_invitations_per_run": _l("Letters per run at most"),
    "checks": _l("What a profile must have"),
}
CHOICE_WORDS = {"feb28": _l("on 28 February"), "mar1": _l("on 1 March")}
SETTING_HINTS = {
    "send_window": _l("Local times, such as 07:00-19:00. Outside of them nothing is sent."),
    "max_messages_per_run": _l("Empty: no limit of its own."),
    "max_invitations_per_run": _l("Empty: as many as profiles."),
    "max_days_late": _l("Counts with late birthdays only."),
}


def setting_words(key: str) -> Any:
    """What a setting of a task is called."""
    return SETTING_WORDS.get(key) or key.replace("_", " ").capitalize()


class Settings(Form):
    """The fields of one task; `sent` says whether they were on the page that was sent."""

    sent = False


def settings_form(name: str, model: type[BaseModel], formdata: Any, config: Any) -> Settings:
    """The fields that a model asks for, filled in from a configuration or its defaults."""
    prefix = f"{name}-"
    shape = model.model_json_schema()["properties"]
    fields = {key: _field(key, part) for key, part in shape.items() if key != "dry_run"}
    filled = {key: part.get("default") for key, part in shape.items()} | dict(config or {})
    form = type("TaskSettings", (Settings,), fields)(formdata, prefix=prefix, data=filled)
    form.sent = any(key.startswith(prefix) for key in formdata or ())
    return form


def _field(key: str, part: Mapping[str, Any]) -> Field:
    may_be_none = any(one.get("type") == "null" for one in part.get("anyOf", ()))
    marks = [] if may_be_none else [Needed()]
    label = setting_words(key)
    hint = SETTING_HINTS.get(key, "")
    plain = next((one for one in part.get("anyOf", ()) if one.get("type") != "null"), part)
    if plain.get("type") == "boolean":
        return BooleanField(label, description=hint)
    if plain.get("type") == "integer":
        return IntegerField(label, [*marks, Optional()], description=hint)
    if plain.get("type") == "array":
        words = _choices(plain["items"].get("enum", ()))
        return SelectMultipleField(label, marks, choices=words, description=hint)
    if "enum" in plain:
        return SelectField(label, marks, choices=_choices(plain["enum"]), description=hint)
    return StringField(label, marks, description=hint)


def _choices(values: Any) -> list[SelectChoice]:
    return [SelectChoice(v, CHOICE_WORDS.get(v, v.replace("_", " "))) for v in values]


def settings_typed(form: Settings, model: type[BaseModel]) -> dict[str, Any]:
    """What was typed, as the model reads it; an empty number is no limit, or the model's."""
    shape, found = model.model_json_schema()["properties"], {}
    for key, part in shape.items():
        if key == "dry_run":
            continue
        value = form[key].data
        may_be_none = any(one.get("type") == "null" for one in part.get("anyOf", ()))
        if value is not None or may_be_none:
            found[key] = value
    return found
