"""Why a configuration is refused: the field, the reason, an example (schedules T1, T2).

What was given is never repeated: it may be long, or secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from app.services.schedule_errors import InvalidScheduleException

M = TypeVar("M", bound=BaseModel)

# What JSON calls the types that pydantic asks for.
KINDS = {
    "int_type": _l("a whole number is needed"),
    "int_from_float": _l("a whole number is needed"),
    "int_parsing": _l("a whole number is needed"),
    "int_parsing_size": _l("a whole number is needed"),
    "bool_type": _l("true or false is needed"),
    "bool_parsing": _l("true or false is needed"),
    "string_type": _l("a text is needed"),
    "dict_type": _l("an object is needed"),
    "list_type": _l("a list is needed"),
    "tuple_type": _l("a list is needed"),
    "model_type": _l("an object is needed"),
    "model_attributes_type": _l("an object is needed"),
}
LIMITS = {
    "greater_than_equal": ("ge", _l("not below %(limit)s")),
    "less_than_equal": ("le", _l("not above %(limit)s")),
    "string_too_short": ("min_length", _l("at least %(limit)s characters")),
    "string_too_long": ("max_length", _l("at most %(limit)s characters")),
    "too_short": ("min_length", _l("at least %(limit)s of them")),
    "literal_error": ("expected", _l("one of %(limit)s")),
    "enum": ("expected", _l("one of %(limit)s")),
}


def _(text: str, **values: object) -> str:
    return str(gettext(text, **values))


class Keys(BaseModel):
    """Keys of JSON: no unknown one, and of its very type (T1)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def reason(text: str) -> PydanticCustomError:
    """What a validator raises about its field."""
    return PydanticCustomError("reason", "{said}", {"said": text})


def sentence(text: str, field: str) -> PydanticCustomError:
    """The same for a text that reads on its own; a form shows it at `field`."""
    return PydanticCustomError("sentence", "{said}", {"said": text, "field": field})


def checked(model: type[M], given: Any, context: Mapping[str, Any] | None = None) -> M:
    """`given` as the model has it. Raises `InvalidScheduleException`, all its faults in one."""
    try:
        return model.model_validate(given, context=dict(context or {}))
    except ValidationError as error:
        raise refused(model, error) from error


@contextmanager
def refused_by(field: str) -> Iterator[None]:
    """Inside a validator of `field`: what a part of it refuses is a fault of the whole."""
    try:
        yield
    except InvalidScheduleException as bad:
        raise sentence(bad.detail, field) from bad


def refused(model: type[BaseModel], error: ValidationError) -> InvalidScheduleException:
    """A refusal that names each field once with its reason and an example."""
    problems: dict[str, str] = {}
    said: list[str] = []
    for fault in error.errors(include_url=False, include_input=False):
        field = _field(fault)
        if field not in problems:
            problems[field], text = _told(model, field, fault)
            said.append(text)
    return InvalidScheduleException("; ".join(said), problems)


def _field(fault: Any) -> str:
    if fault["type"] == "sentence":
        return str(fault["ctx"]["field"])
    return ".".join(str(part)[:100] for part in fault["loc"][:2])


def _told(model: type[BaseModel], field: str, fault: Any) -> tuple[str, str]:
    """The reason alone, and with its field in front."""
    example = _example(model, field)
    if fault["type"] == "sentence":
        return fault["msg"], fault["msg"]
    if not field:  # it isn't even an object
        return _reason(model, fault), _reason(model, fault)
    if fault["type"] == "missing":
        text = _("required")
        return text + example, f"{field} {text}{example}"
    why = _reason(model, fault) + example
    return why, f"{field}: {why}"


def _reason(model: type[BaseModel], fault: Any) -> str:
    kind = fault["type"]
    if kind == "extra_forbidden":
        names = ", ".join(model.model_fields)
        return _("unknown here; there are %(names)s", names=names) if names else _("unknown here")
    if kind in LIMITS:
        name, text = LIMITS[kind]
        return str(text) % {"limit": fault["ctx"][name]}
    return str(KINDS.get(kind, fault["msg"]))


def _example(model: type[BaseModel], field: str) -> str:
    known = model.model_fields.get(field.split(".")[0])
    if known is None or not known.examples:
        return ""
    return _(", for example %(example)s", example=json.dumps(known.examples[0]))
