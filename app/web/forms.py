"""The form that all forms of pages are: one key against forgery, errors where they belong."""

from __future__ import annotations

from typing import Any

from flask_wtf import FlaskForm

from app.services.refusals import Refusal


class Form(FlaskForm):  # type: ignore[misc]
    """Write fields as in WTForms; show it with `field` and `errors` of frame/macros.html."""

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
