"""The form that all forms of pages are: one key against forgery, errors where they belong."""

from __future__ import annotations

from typing import Any

from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField, TextAreaField

from app.models.text import shown
from app.services.letter_facts import plain, plain_lines
from app.services.refusals import Refusal


class Form(FlaskForm):  # type: ignore[misc]
    """Write fields as in WTForms; show it with `field` and `errors` of frame/macros.html.

    Texts come without control characters and what turns the direction of reading, of one line
    unless their field has several; what shows nothing is nothing. Passwords stay as they are typed.
    """

    class Meta(FlaskForm.Meta):  # type: ignore[misc]
        """Where WTForms makes the fields."""

        def bind_field(self, form: Any, unbound_field: Any, options: dict[str, Any]) -> Any:
            """A field of this form, which reads what can be stored and shown."""
            kind = unbound_field.field_class
            if issubclass(kind, StringField) and not issubclass(kind, PasswordField):
                first = _lines if issubclass(kind, TextAreaField) else _line
                filters = [first, *unbound_field.kwargs.get("filters", ())]
                options = options | {"filters": filters}
            return super().bind_field(form, unbound_field, options)

    def refuse(self, no: Refusal | str, field: str | None = None) -> None:
        """Put a sentence at a field, or above the form: the page then answers 400."""
        sentence = str(no.sentence) if isinstance(no, Refusal) else no
        if field is None:
            self.form_errors.append(sentence)
        else:
            self[field].errors = [*self[field].errors, sentence]

    def faults(self) -> list[tuple[str, Any]]:
        """(id of the field or "", sentence) of all that is wrong, for the summary on top."""
        at_fields = [(f.id, words) for f in self if f.name != "csrf_token" for words in f.errors]
        return [*(("", words) for words in self.form_errors), *at_fields]


def _line(text: Any) -> Any:
    return plain(text) if isinstance(text, str) and shown(text) else text and ""


def _lines(text: Any) -> Any:
    return plain_lines(text) if isinstance(text, str) and shown(text) else text and ""
