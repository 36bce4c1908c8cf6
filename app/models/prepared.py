"""Hot statements that PostgreSQL plans once per connection, not once per click.

psycopg2 sends each statement as text to be planned anew, which for ours takes as long as running
it. What is marked `prepared` goes out as `PREPARE …; EXECUTE …` the first time, as `EXECUTE …` from
then on. Sets of ids go the plain way: their plan depends on how many there are.
"""

from __future__ import annotations

import re
from itertools import count
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine

OPTION = {"prepared": True}
MOST_IDS = 20  # in one list
MOST_STATEMENTS = 200  # of one connection
PLACE = re.compile(r"%\((\w+)\)s|%%")

_numbers = count(1)


def prepare_on(engine: Engine) -> None:
    """Let the connections of a PostgreSQL engine prepare what is marked so."""
    event.listen(engine, "before_cursor_execute", _as_prepared, retval=True)
    event.listen(engine, "after_cursor_execute", _remember)


def _as_prepared(
    conn: Any, _cursor: Any, statement: str, given: Any, context: Any, many: bool
) -> tuple[str, Any]:
    marked = context is not None and "prepared" in context.execution_options
    if many or not marked or not isinstance(given, dict) or _is_long(given):
        return statement, given
    context.as_composed = statement  # for whoever counts or reads what is sent
    known = conn.connection.info.setdefault("prepared", {})
    if statement in known:
        return known[statement], given
    if len(known) >= MOST_STATEMENTS or context.compiled is None:
        return statement, given
    # A fresh name each time: PREPARE outlives a rollback, also of the transaction it failed in.
    prepare, execute = _written(statement, context.compiled, f"nextseat_{next(_numbers)}")
    context.prepares = (statement, execute)
    return f"{prepare}; {execute}", given


def _remember(
    conn: Any, _cursor: Any, _statement: str, _given: Any, context: Any, _many: bool
) -> None:
    """Only what succeeded is known to be there."""
    done = getattr(context, "prepares", None)
    if done is not None:
        statement, execute = done
        conn.connection.info["prepared"][statement] = execute


def _is_long(given: dict[str, Any]) -> bool:
    return any(isinstance(value, list) and len(value) > MOST_IDS for value in given.values())


def _written(statement: str, compiled: Any, name: str) -> tuple[str, str]:
    """The PREPARE and the EXECUTE of a statement whose places are `%(name)s`."""
    names: list[str] = []

    def numbered(found: re.Match[str]) -> str:
        if found[1] is None:
            return "%%"
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    text = PLACE.sub(numbered, statement)
    kinds = ", ".join(_kind(compiled, place) for place in names)
    places = ", ".join(f"%({place})s" for place in names)
    declared, used = (f"({kinds})", f"({places})") if names else ("", "")
    return f"PREPARE {name}{declared} AS {text}", f"EXECUTE {name}{used}"


def _kind(compiled: Any, place: str) -> str:
    """The type of a parameter, as PostgreSQL calls it; `unknown` lets it find out."""
    bound = compiled.binds.get(place)
    if bound is None or isinstance(bound.type, sa.types.NullType):
        return "unknown"
    try:
        kind: str = compiled.dialect.type_compiler_instance.process(bound.type)
    except (AttributeError, sa.exc.CompileError):  # a type without a name of its own
        return "unknown"
    return kind
