"""How lists are filtered: a labelled field for each column (libraries A4, T6, T7)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask_admin.contrib.sqla import filters as stock
from flask_admin.model.filters import convert
from flask_babel import lazy_gettext as _l

from app.admin import office
from app.admin.fields import LARGEST, local_instant
from app.admin.names import words
from app.extensions import utcnow


class Contains(stock.FilterLike):
    """Part of a text."""

    def clean(self, value: str) -> str:
        """The text; Flask-Admin's signs `^` and `=` mean themselves."""
        if "\x00" in value:
            raise ValueError
        return value


class Number(stock.IntEqualFilter):
    """A whole number that the database can hold."""

    def clean(self, value: str) -> int:
        """The number. Raises `ValueError`."""
        number = int(value)
        if abs(number) > LARGEST:
            raise ValueError
        return number


class Choice(stock.FilterEqual):
    """One value of an enumeration, by its documented text."""

    def clean(self, value: str) -> Any:
        """The member. Raises `ValueError`, on what is none too."""
        return self.column.type.enum_class(value)


class ChoiceOrMore(Choice):
    """The same, or a condition under a name: `{"late": (words, condition of now)}`."""

    def __init__(self, column: Any, name: Any, options: Any, more: dict[str, Any]) -> None:
        self.more = {key: condition for key, (_words, condition) in more.items()}
        named = [(key, said) for key, (said, _condition) in more.items()]
        super().__init__(column, name, [*options, *named])

    def clean(self, value: str) -> Any:
        """The member or the name. Raises `ValueError`, on what is none too."""
        return value if value in self.more else super().clean(value)

    def apply(self, query: Any, value: Any, alias: Any = None) -> Any:
        """Those of this value, or those for whom the condition holds now."""
        if value in self.more:
            return query.filter(self.more[value](utcnow()))
        return super().apply(query, value, alias)


class OneOf(stock.FilterEqual):
    """One of some texts."""

    def clean(self, value: str) -> str:
        """The text. Raises `ValueError` for what is none of them."""
        if value not in {key for key, _words in self.options or ()}:
            raise ValueError
        return value


class Since(stock.FilterGreater):
    """At or after an instant, typed in the office's zone."""

    def clean(self, value: str) -> datetime:
        """The instant; a day means its begin."""
        return _instant(value)

    def apply(self, query: Any, value: Any, alias: Any = None) -> Any:
        """`>=`, where Flask-Admin says `>`."""
        return query.filter(self.get_column(alias) >= value)

    def operation(self) -> Any:
        """Named on the page."""
        return _l("from")


class Until(stock.FilterSmaller):
    """Before an instant; a day is meant with all its hours."""

    def clean(self, value: str) -> datetime:
        """The instant from which on nothing is shown."""
        day = len(value.strip()) == 10
        return _instant(value) + (timedelta(days=1) if day else timedelta(0))

    def operation(self) -> Any:
        """Named on the page."""
        return _l("until")


def _instant(text: str) -> datetime:
    text = text.strip()
    return local_instant(f"{text} 00:00" if len(text) == 10 else text, office.zone())


class Filters(stock.FilterConverter):
    """One filter per column, two for instants: what the page shows as labelled fields."""

    strings = (Contains,)
    int_filters = (Number,)
    bool_filters = (stock.BooleanEqualFilter,)
    date_filters = (stock.DateGreaterFilter, stock.DateSmallerFilter)

    @convert("utcdatetime")
    def conv_instant(self, column: Any, name: Any, **asked: Any) -> list[stock.BaseSQLAFilter]:
        """From and until."""
        return [
            Since(column, name, data_type="date", **asked),
            Until(column, name, data_type="date", **asked),
        ]

    @convert("enum")
    def conv_enum(
        self, column: Any, name: Any, options: Any = None, **asked: Any
    ) -> list[stock.BaseSQLAFilter]:
        """One of its values, in words."""
        members = column.type.enum_class
        return [Choice(column, name, [(m.value, words(m)) for m in members], **asked)]
