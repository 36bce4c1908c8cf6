"""What a mail server reports about a letter that it could not deliver (reliability OB10)."""

from __future__ import annotations

import email
import re
from dataclasses import dataclass
from email.message import Message
from typing import Any

from app.delivery.message import bounced_row
from config import Settings

MOST_BYTES = 1 << 20  # of a report; what it quotes of the letter stands behind what we need
STATUS = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})")


@dataclass(frozen=True)
class Bounce:
    """A report about one of our letters; `hard`: the address will not work until it changes."""

    row_id: int
    status: str | None  # RFC 3463, such as 5.1.1
    hard: bool

    @property
    def reason(self) -> str:
        """For the row; names nobody."""
        return f"bounced: {self.status or 'failed'}"


def read(content: bytes, settings: Settings) -> Bounce | None:
    """The report in a message; None if no envelope address that we made stands in it.

    Whether an answer is a report its delivery status says: an out-of-office reply has none.
    """
    row_id = bounced_row(content.decode("latin-1"), settings)
    if row_id is None:
        return None
    try:
        fields = list(
            _of_recipients(email.message_from_bytes(content, policy=email.policy.compat32))
        )
    except (ValueError, LookupError, RecursionError):  # whoever writes to us writes what they like
        fields = []
    for one in fields:
        found = STATUS.match(_value(one, "Status"))
        status = found[1] if found else None
        failed = _value(one, "Action").strip().lower() in ("failed", "")
        if failed and (status or _value(one, "Action")):
            return Bounce(row_id, status, hard=status is None or status.startswith("5"))
    return Bounce(row_id, None, hard=False)


def _value(fields: Message[Any, Any], name: str) -> str:
    return str(fields.get(name, ""))


def _of_recipients(message: Message[Any, Any]) -> list[Message[Any, Any]]:
    """The groups of fields of all delivery statuses (RFC 3464), the message's own included."""
    return [
        group
        for part in message.walk()
        if part.get_content_type() == "message/delivery-status" and part.is_multipart()
        for group in part.get_payload()
        if isinstance(group, Message)
    ]
