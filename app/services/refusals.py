"""Saying no: an exception that carries its sentence (STYLE R13, waitlist WD5).

Each face turns a refusal into its page, its JSON or its exit code, in one place. Whoever raises one
has changed nothing that its caller doesn't roll back.
"""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _l

from app.models.text import shown


class Refusal(Exception):
    """Something isn't possible; `sentence` says why and what to do, `status` is its HTTP answer."""

    code = "refused"
    status = 409
    sentence: Any = _l("This is not possible now.")

    def __init__(self, sentence: Any = None, **facts: Any) -> None:
        self.sentence = (sentence or type(self).sentence) if not facts else None
        if facts:
            self.sentence = str(sentence or type(self).sentence) % facts
        super().__init__(str(self.sentence))


class NotFound(Refusal):
    """There is no such thing, or it belongs to others: the same answer (reliability SE7)."""

    code, status = "not_found", 404
    sentence = _l("There is no %(what)s %(id)s.")


class ReasonNeeded(Refusal):
    """An override without a reason (waitlist WO1, WO2)."""

    code, status = "reason_needed", 400
    sentence = _l("Give a reason of 5 to 500 characters; it stays in the history.")


def a_reason(text: str | None) -> str:
    """The mandatory reason of an override, trimmed. Raises `ReasonNeeded`."""
    reason = (text or "").strip()
    if len(shown(reason)) < 5 or len(reason) > 500:
        raise ReasonNeeded
    return reason
