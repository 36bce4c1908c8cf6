"""Acts over rows: asked on a page, then done, one transaction per row (people PT3, B47)."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import abort, flash, redirect, request
from flask_admin.base import expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.admin import office
from app.admin.acts import MOST_ROWS, Act
from app.admin.password_again import password_first
from app.extensions import db, unit, utcnow
from app.services.refusals import Refusal


class NotOffered(Refusal):
    """An act whose button the row does not have, or no longer."""

    code = "not_offered"
    sentence = _l("This is not possible, or was done meanwhile.")


class Acting:
    """The part of a view that acts; `acts` lists what it can."""

    acts: tuple[Act, ...] = ()

    def allowed_acts(self: Any) -> list[Act]:
        """The acts this person may do."""
        return [act for act in self.acts if self.is_action_allowed(act.name)]

    def is_action_allowed(self, name: str) -> bool:
        """Only what is listed: Flask-Admin's own deletion in bulk is not."""
        return any(act.name == name for act in self.acts)

    def get_actions_list(self: Any) -> tuple[list[Any], dict[Any, Any]]:
        """What the list offers for the ticked rows."""
        return [(act.name, act.words) for act in self.allowed_acts() if act.bulk], {}

    @expose("/action/", methods=("POST",))
    def action_view(self: Any) -> Any:
        """POST asks; POST with `sure` acts. 404 for unknown acts and rows of others.

        Before a weighty act the password is asked again.
        """
        act = next((a for a in self.allowed_acts() if a.name == request.form.get("action")), None)
        if act is None:
            abort(404)
        if act.weighty and (answer := password_first(self.back())) is not None:
            return answer
        rows = self._ticked()
        if not rows:
            flash(_("Tick at least one row first."), "error")
            return redirect(self.back(), 303)
        form = act.form(obj=None)
        if not request.form.get("sure"):
            return self._question(act, rows, act.form(formdata=None))
        if not form.validate():
            return self._question(act, rows, form)
        return self._act(act, rows, form)

    def _act(self: Any, act: Act, rows: list[Any], form: Any) -> Any:
        answers = {name: field.data for name, field in form._fields.items()}
        keys = [(self.get_pk_value(row), self.name_of(row)) for row in rows]
        refused: list[tuple[str, Refusal]] = []
        for key, called in keys:
            try:
                unit(db.session, partial(self._act_on, act, key, answers))
            except Refusal as no:
                refused.append((called, no))
        if refused and len(keys) == 1:
            form.answer = refused[0][1].status
            form.form_errors.append(str(refused[0][1].sentence))
            return self._question(act, self._ticked(), form)
        done = len(keys) - len(refused)
        if len(keys) == 1:
            flash(_("%(name)s: done.", name=keys[0][1]), "notice")
        else:
            flash(_("%(done)s of %(all)s done.", done=done, all=len(keys)), "notice")
        for called, refusal in refused:
            flash(f"{called}: {refusal.sentence}", "error")
        return redirect(self.back(), 303)

    def _act_on(self: Any, act: Act, key: Any, answers: Any) -> None:
        row = self.get_one(str(key))
        offered = act.offered(row)  # asked before: doing it changes the row
        act.run(db.session(), row, office.actor(), utcnow(), answers)
        if not offered:  # a service that refuses says why; what it lets through is taken back
            raise NotOffered

    def _question(self: Any, act: Act, rows: list[Any], form: Any) -> Any:
        return self.render(
            "admin/model/act.html", act=act, rows=rows, form=form, return_url=self.back()
        )

    def _ticked(self: Any) -> list[Any]:
        """The rows that were ticked, each once; 404 if one is none of ours, 400 if too many."""
        keys = list(dict.fromkeys(self._key(given) for given in request.form.getlist("rowid")))
        if len(keys) > MOST_ROWS:
            abort(400)
        column = getattr(self.model, str(self._primary_key))
        found = (
            {self.get_pk_value(row): row for row in self.get_query().filter(column.in_(keys)).all()}
            if keys
            else {}
        )
        if len(found) != len(keys):
            abort(404)
        return [found[key] for key in keys]
