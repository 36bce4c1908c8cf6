"""The documented form of a schedule: its labels, its words, the spellings it takes (WA7)."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import SelectField, TextAreaField
from wtforms.fields.choices import Choice, SelectChoice
from wtforms.validators import ValidationError

from app.admin import items
from app.admin.fields import ChoiceField, IntervalField
from app.automation import schedules
from app.extensions import db
from app.models import AutomationClasses, BeforeAfterEnum, EventsEnum
from app.services.letter_words import duration

SIDES = {BeforeAfterEnum.before: _l("before"), BeforeAfterEnum.after: _l("after")}
EVENTS = {
    EventsEnum.first: _l("first: the first meeting"),
    EventsEnum.last: _l("last: the last meeting"),
    EventsEnum.all: _l("all: each meeting"),
    EventsEnum.invited: _l("invited: the invitation"),
}
BLANK = _l("(not set)")
FORMS = _l(
    "Such as 2 00:00:00 (2 days), 0 48:00:00 (48 hours), 48:00:00, 2d 3h, 2 weeks or 90 minutes."
)


class WordsField(ChoiceField):
    """The members of an enumeration under the documented words."""

    def __init__(self, label: Any = None, validators: Any = None, **asked: Any) -> None:
        said, none = asked.pop("said"), asked.pop("none", None)
        super().__init__(label, validators, members=type(next(iter(said))), **asked)
        self._blank = none is not None
        self.choices = [SelectChoice(member.name, words) for member, words in said.items()]
        if none is not None:
            self.choices.insert(0, SelectChoice("", none))


class TaskField(SelectField):
    """A task class: those of the database by their id, as yet unwritten ones by their name."""

    data: AutomationClasses | None

    def __init__(self, label: Any = None, validators: Any = None, **asked: Any) -> None:
        super().__init__(label, validators, choices=[], coerce=str, **asked)

    def process(self, *given: Any, **more: Any) -> None:
        """Offer what there is now, then read."""
        rows = db.session.scalars(sa.select(AutomationClasses)).all()
        self._rows = {str(row.id): row for row in rows}
        there = items.registered()
        offered = {key: _called(row, there) for key, row in self._rows.items()}
        written = {row.class_name for row in rows}
        offered |= {name: name for name in there if name not in written}
        self.choices = [SelectChoice("", BLANK)]
        self.choices += [SelectChoice(*one) for one in sorted(offered.items(), key=lambda o: o[1])]
        super().process(*given, **more)

    def process_data(self, value: Any) -> None:
        """The row that the schedule has."""
        self.data = value

    def process_formdata(self, valuelist: list[str]) -> None:
        """What was chosen; `chosen` is its key until it is saved."""
        self.chosen = valuelist[0] if valuelist else ""
        self.data = self._rows.get(self.chosen)

    @property
    def chosen_key(self) -> str:
        """As the page has it."""
        here = getattr(self, "chosen", None)
        return here if here is not None else (str(self.data.id) if self.data else "")

    @property
    def class_name(self) -> str:
        """The name of what is chosen; empty for nothing."""
        row = self._rows.get(self.chosen_key)
        return row.class_name if row else self.chosen_key

    def key_of(self, class_name: str) -> str:
        """The value that the page has for a class."""
        rows = (key for key, row in self._rows.items() if row.class_name == class_name)
        return next(rows, class_name)

    def iter_choices(self) -> Any:
        """Each, the present one selected."""
        for one in self.choices:
            yield Choice(one.value, one.label, one.value == self.chosen_key, {})

    def pre_validate(self, form: Any) -> None:
        """Only what is listed."""
        if self.chosen_key not in {str(one.value) for one in self.choices}:
            raise ValidationError(self.gettext("Not a valid choice."))

    def row(self) -> AutomationClasses | None:
        """The row of what was chosen, written down now if no scheduler ever started."""
        return self.data or (
            schedules.class_row(db.session(), self.chosen_key) if self.chosen_key else None
        )


def _called(row: AutomationClasses, there: Any) -> str:
    if row.class_name not in there:
        return str(_("%(name)s (missing)", name=row.class_name))
    return row.class_name if row.enabled else str(_("%(name)s (disabled)", name=row.class_name))


class ObjectField(TextAreaField):
    """A JSON object; nothing typed is an empty one."""

    data: Any

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        return json.dumps(self.data, indent=2, ensure_ascii=False) if self.data else ""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read what was typed. Raises `ValueError`."""
        text = valuelist[0].strip() if valuelist else ""
        try:
            self.data = json.loads(text, parse_constant=_refuse) if text else {}
        except (ValueError, RecursionError):
            self.data = None
        if not isinstance(self.data, dict) or "\\u0000" in text:
            self.data = None
            raise ValueError(str(schedules.BadConfig.sentence))


def _refuse(word: str) -> Any:
    raise ValueError(word)


class LengthField(IntervalField):
    """An interval that says in words how it was read."""

    @property
    def in_words(self) -> str:
        """`2 days`; empty if it could not be read."""
        return duration(self.data) if self.data else ""
