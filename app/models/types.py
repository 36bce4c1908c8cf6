"""Column types that mean the same on both databases."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.mutable import MutableDict


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An instant: aware UTC in Python and in the database (L9, libraries D3).

    A naive value is taken as UTC, since the documents' snippets pass `datetime.utcnow()`.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return aware.replace(tzinfo=None) if dialect.name == "sqlite" else aware

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def enum_type(values: type[StrEnum], name: str) -> sa.Enum:
    """Documented texts in the database, guarded by a CHECK called `name` (libraries D4)."""
    return sa.Enum(
        values,
        values_callable=lambda members: [member.value for member in members],
        native_enum=False,
        validate_strings=True,
        create_constraint=True,
        name=name,
        length=40,
    )


# One object of plain values; changes in place are noticed (libraries D5).
JsonObject = MutableDict.as_mutable(sa.JSON().with_variant(JSONB(), "postgresql"))
# The same for rows that are written once.
PlainJson: sa.types.TypeEngine[Any] = sa.JSON(none_as_null=True).with_variant(
    JSONB(none_as_null=True), "postgresql"
)
# UUIDs are text: the documents compare and filter them as such (libraries T20).
Uuid = sa.String(36)


def new_uuid() -> str:
    """A fresh random UUID as text."""
    return str(uuid4())


def new_uuids(count: int) -> list[str]:
    """So many of them, for the price of a few."""
    random = os.urandom(16 * count).hex()
    digits = [random[n : n + 32] for n in range(0, 32 * count, 32)]
    variant = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
    return [
        f"{d[:8]}-{d[8:12]}-4{d[13:16]}-{variant[d[16]]}{d[17:20]}-{d[20:]}"  # version 4
        for d in digits
    ]
