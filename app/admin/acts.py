"""What administrators do to rows: a question, then the service everyone calls (people PT3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from sqlalchemy.orm import Session
from wtforms import TextAreaField
from wtforms.validators import Length

from app.admin.fields import readable
from app.services.actors import Actor

MOST_ROWS = 100  # at once


class Question(FlaskForm):
    """An act that asks nothing but whether it is meant."""

    class Meta(FlaskForm.Meta):
        """The key against forged requests is asked for once, before any view."""

        csrf = False


class Needed:
    """Marks a field as one to fill in; the service says what it takes."""

    field_flags: ClassVar[dict[str, bool]] = {"required": True}

    def __call__(self, _form: Any, _field: Any) -> None:
        """Nothing is refused here."""


class WithReason(Question):
    """An act whose reason stays in the history; its length is the service's to judge."""

    reason = TextAreaField(
        _l("Reason"),
        [Needed(), Length(max=500), readable],
        description=_l("5 to 500 characters; it stays in the history."),
    )


Do = Callable[..., Any]


@dataclass(frozen=True)
class Act:
    """`do(session, row, actor, now, **answers of the form)`; commits nothing, may refuse.

    `explains` says on the question page what will happen, `offered(row)` whether it is possible:
    if not, no button shows and a POST is refused. `weighty`: the password is asked again (SE4).
    """

    name: str
    words: Any
    do: Do
    explains: Any = ""
    form: type[Question] = Question
    danger: bool = False
    bulk: bool = True
    weighty: bool = False
    offered: Callable[[Any], bool] = field(default=lambda _row: True)

    def run(self, session: Session, row: Any, actor: Actor, now: datetime, answers: Any) -> Any:
        """Do it to one row."""
        return self.do(session, row, actor, now, **answers)
