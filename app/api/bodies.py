"""What programs may send: one JSON object, small, strict, and each parameter once (A2, A3, SE9)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from flask import abort, request
from flask_babel import gettext as _
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from app.models.text import is_storable
from app.services.schedule_errors import InvalidScheduleException
from app.services.schedule_faults import Keys, refused

MOST_BYTES = 256 * 1024
DEEP = 2  # names of a field: task_config.audience


class Query(BaseModel):
    """Parameters of an address: none that is unknown."""

    model_config = ConfigDict(extra="forbid")


class Optional(Keys):
    """A body that may be left out."""

    @model_validator(mode="before")
    @classmethod
    def _nothing(cls, given: Any) -> Any:
        return {} if given is None else given


def sent(body: BaseModel) -> dict[str, Any]:
    """The keys that were sent, and nothing that is a default."""
    return {name: getattr(body, name) for name in body.model_fields_set}


def refuse(error: ValidationError) -> Any:
    """Say which fields are wrong and why; what was given is never repeated."""
    raise refused(_models().get(error.title, Keys), error) from None


def _models() -> dict[str, type[BaseModel]]:
    """By name, all that a body or address is read with."""
    found: dict[str, type[BaseModel]] = {}
    ahead: list[type[BaseModel]] = [Keys, Query]
    while ahead:
        model = ahead.pop()
        found[model.__name__] = model
        ahead += model.__subclasses__()
    return found


# --- before each view -----------------------------------------------------------------------------


def require_small() -> None:
    """413 for a body that is too large, however its length is told."""
    request.max_content_length = MOST_BYTES
    if (request.content_length or 0) > MOST_BYTES:
        abort(413)


def require_strict() -> None:
    """400 for what is no JSON object, and for a parameter that comes twice."""
    if any(len(values) > 1 for values in request.args.listvalues()):
        abort(400, _("A parameter came twice."))
    raw = request.get_data()
    if request.method not in ("POST", "PUT", "PATCH") or not raw:
        return
    if not request.is_json:
        abort(400, _("Send JSON with the header Content-Type: application/json."))
    if not isinstance(read(raw), dict):
        abort(400, _("A JSON object is needed."))


def read(raw: bytes) -> Any:
    """The value that a body holds, if any database can hold it. 400 for all else."""
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_once, parse_constant=_no_number)
        texts = list(_texts(value))
    except (ValueError, RecursionError):
        abort(400, _("This is no JSON, or it has a key twice."))
    for field, text in texts:
        if not is_storable(text):
            _refuse_text(field)
    return value


def _refuse_text(field: str) -> NoReturn:
    """Raises `InvalidScheduleException`; a name that cannot be shown is no field to name."""
    why = _("a text holds a character that no database can hold")
    if not field or not is_storable(field):
        abort(400, _("A name holds a character that no database can hold."))
    raise InvalidScheduleException(f"{field}: {why}", {field: why})


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _no_number(_name: str) -> Any:
    raise ValueError  # NaN and Infinity


def _texts(value: Any, field: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Each text with the field it stands in, as refusals name it: two names deep at most."""
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield field, key
            name = ".".join(part for part in (field, key[:100]) if part)
            yield from _texts(inner, name if depth < DEEP else field, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, field, depth + 1)
