"""How columns become fields: intervals, instants and choices as people write them (A4)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from flask_admin.contrib.sqla.fields import QuerySelectField, QuerySelectMultipleField
from flask_admin.contrib.sqla.form import AdminModelConverter
from flask_admin.model.form import converts
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import joinedload
from wtforms import DateField, Field, IntegerField, SelectField, StringField, TextAreaField
from wtforms.fields.choices import Choice, SelectChoice
from wtforms.validators import InputRequired, Length, NumberRange, ValidationError
from wtforms.widgets import DateTimeLocalInput, Select, TextInput

from app.admin import office
from app.admin.names import name_of, words
from app.extensions import db
from app.services.intervals import parse_interval, show_interval
from app.services.refusals import Refusal

LARGEST = 2**31 - 1
LANGUAGES = (SelectChoice("en", "English"), SelectChoice("nl", "Nederlands"))
TYPED = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S")


class IntervalField(Field):
    """A length of time, typed in any accepted form and shown as `2 00:00:00` (waitlist WA7)."""

    widget = TextInput()

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        return show_interval(self.data) if isinstance(self.data, timedelta) else ""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read what was typed; nothing typed is nothing, never 0."""
        self.data = None
        if valuelist and valuelist[0].strip():
            try:
                self.data = parse_interval(valuelist[0])
            except Refusal as no:
                raise ValueError(str(no.sentence)) from no


class InstantField(Field):
    """An instant, shown and typed in the office's zone (people PG7)."""

    widget = DateTimeLocalInput()

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        if not isinstance(self.data, datetime):
            return ""
        return _shown(self.data, office.zone())

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read what was typed; what the field showed is kept to the second, and in its hour."""
        before, self.data = self.object_data, None
        if valuelist and valuelist[0].strip():
            zone = office.zone()
            self.data = local_instant(valuelist[0], zone)
            if isinstance(before, datetime) and _shown(before, zone) == _shown(self.data, zone):
                self.data = before  # of a doubled hour it may be the second


def _shown(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime(TYPED[0])


def local_instant(text: str, zone: ZoneInfo) -> datetime:
    """The instant that a clock in `zone` shows as `text`; of a doubled hour the first.

    Raises `ValueError` for what is no time, and for one that the clocks skip.
    """
    for form in TYPED:
        try:
            typed = datetime.strptime(text.strip(), form)  # noqa: DTZ007  its zone comes below
            break
        except ValueError:
            continue
    else:
        raise ValueError(str(_("Write a date and time like 2026-03-02 14:30.")))
    if not 2000 <= typed.year <= 2200:
        raise ValueError(str(_("Write a year from 2000 to 2200.")))
    at = typed.replace(tzinfo=zone).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) != typed:
        raise ValueError(str(_("The clocks skip this time: it does not exist on that day.")))
    return at


class ChoiceField(SelectField):
    """The members of an enumeration; an unknown one is refused, the present one selected."""

    def __init__(self, label: Any = None, validators: Any = None, **asked: Any) -> None:
        self._members: type[Enum] = asked.pop("members")
        self._blank = bool(asked.pop("allow_blank", False))
        choices = [SelectChoice(member.name, words(member)) for member in self._members]
        if self._blank:
            choices.insert(0, SelectChoice("", _l("(not set)")))
        super().__init__(label, validators, choices=choices, coerce=self._member, **asked)

    def _member(self, value: Any) -> Enum | None:
        if value is None or value == "":
            return None
        if isinstance(value, self._members):
            return value
        try:
            return self._members[str(value)]
        except KeyError:
            raise ValueError(str(_("Not a valid choice"))) from None

    def iter_choices(self) -> Any:
        """Each, the present one selected."""
        for one in self.choices:
            yield Choice(one.value, one.label, self._member(one.value) == self.data, {})

    def pre_validate(self, form: Any) -> None:
        """Only what is listed."""
        if self.data is None and not self._blank:
            raise ValidationError(self.gettext("Not a valid choice."))


class WholeNumber(IntegerField):
    """A number that the database can hold."""

    data: int | None

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read what was typed."""
        super().process_formdata(valuelist)
        if self.data is not None and abs(self.data) > LARGEST:
            self.data = None
            raise ValueError(_("This number is too large."))


class RowField(QuerySelectField):
    """One row of a table, by its name."""

    widget = Select()

    def pre_validate(self, form: Any) -> None:
        """What is none of the choices is refused, not read as nothing."""
        super().pre_validate(form)
        if self.data is None and self._formdata is not None:
            raise ValidationError(_("Not a valid choice."))

    def iter_choices(self) -> Any:
        """As WTForms wants them now."""
        return (Choice(*one) for one in super().iter_choices())


class RowsField(QuerySelectMultipleField):
    """Several rows of a table."""

    widget = Select(multiple=True)

    def pre_validate(self, form: Any) -> None:
        """What is none of the choices is refused, not left out."""
        known = [row for _key, row in self._get_object_list()]
        chosen = self.data  # reading it tells what is no choice
        if self._invalid_formdata or any(row not in known for row in chosen):
            raise ValidationError(_("Something that you chose is not there: choose again."))

    def iter_choices(self) -> Any:
        """As WTForms wants them now."""
        return (Choice(*one) for one in super().iter_choices())


def readable(_form: Any, field: Any) -> None:
    """No control characters but line breaks and tabs: a database refuses some of them."""
    text = field.data if isinstance(field.data, str) else ""
    if any(
        (ord(char) < 32 and char not in "\r\n\t") or "\ud800" <= char <= "\udfff" for char in text
    ):
        raise ValidationError(_("Use letters, digits and signs only."))


def legible(_form: Any, field: Any) -> None:
    """Something that people see: spaces and invisible signs alone are no name."""
    text = field.data if isinstance(field.data, str) else ""
    if not any(char.isprintable() and char != " " for char in text):
        raise ValidationError(_("Type something that can be read."))


def stripped(text: Any) -> Any:
    """What was typed, without the space around it."""
    return text.strip() if isinstance(text, str) else text


def choices_of(model: Any) -> Any:
    """The rows of a model that the office may choose from: those of its own practice."""
    query = db.session.query(model)
    if "practice_id" in model.__table__.columns:
        query = query.filter(model.practice_id == office.practice_id())
    if "user_id" in model.__table__.columns:
        query = query.options(joinedload(model.user))
    order = [model.__table__.columns[n] for n in ("name", "id") if n in model.__table__.columns]
    return query.order_by(*order)


class Converter(AdminModelConverter):
    """Flask-Admin's, with our types and without its scripts."""

    def _model_select_field(
        self, prop: Any, multiple: Any, remote_model: Any, **asked: Any
    ) -> QuerySelectField:
        asked.setdefault("query_factory", lambda: choices_of(remote_model))
        asked.setdefault("get_label", name_of)
        if multiple:
            return RowsField(**asked)
        asked.setdefault("blank_text", _l("(not set)"))
        return RowField(**asked)

    @converts("String")
    def conv_String(self, column: Any, field_args: Any, **_more: Any) -> Field:
        """One line of text."""
        return StringField(**self._text(column, field_args))

    @converts("Text")
    def conv_Text(self, field_args: Any, column: Any = None, **_more: Any) -> Field:
        """Several lines of text."""
        return TextAreaField(**self._text(column, field_args))

    def _text(self, column: Any, field_args: Any) -> Any:
        length = getattr(column.type, "length", None)
        needed = any(isinstance(v, InputRequired) for v in field_args["validators"])
        field_args["validators"] += [Length(max=length or 20_000), readable]
        field_args["validators"] += [legible] if needed else []
        field_args["filters"] = [stripped, *field_args["filters"]]
        self._nullable_common(column, field_args)
        if not column.nullable:  # an empty text is none
            field_args["filters"].append(lambda text: "" if text is None else text)
        return field_args

    @converts("Integer")
    def handle_integer_types(self, column: Any, field_args: Any, **_more: Any) -> Field:
        """A whole number that the database holds."""
        ranged = any(isinstance(v, NumberRange) for v in field_args["validators"])
        if not ranged:
            field_args["validators"].append(NumberRange(-LARGEST - 1, LARGEST))
        return WholeNumber(**field_args)

    @converts("Interval")
    def convert_interval(self, field_args: Any, **_more: Any) -> Field:
        """A length of time."""
        return IntervalField(**field_args)

    @converts("UtcDateTime")
    def convert_instant(self, field_args: Any, **_more: Any) -> Field:
        """An instant."""
        return InstantField(**field_args)

    @converts("Date")
    def convert_date(self, field_args: Any, **_more: Any) -> Field:
        """A day."""
        return DateField(**field_args)

    @converts("sqlalchemy.sql.sqltypes.Enum")
    def convert_enum(self, column: Any, field_args: Any, **_more: Any) -> Field:
        """A choice."""
        kept: list[Callable[..., Any]] = [
            v for v in field_args["validators"] if not isinstance(v, InputRequired)
        ]
        field_args["validators"] = kept
        return ChoiceField(
            members=column.type.enum_class, allow_blank=column.nullable, **field_args
        )
