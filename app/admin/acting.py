"""Acts over rows: asked on a page, then done, one transaction per row (people PT3, B47)."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from flask import abort, flash, redirect, request
from flask_admin.base import expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext as _n
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError
from werkzeug.exceptions import NotFound

from app.admin import office
from app.admin.acts import MOST_ROWS, Act
from app.admin.password_again import password_first
from app.extensions import db, unit, utcnow
from app.models.engine import is_away, is_busy
from app.services.refusals import Refusal

log = logging.getLogger("app.admin")

MOST_NAMES = 8  # of rows that one sentence tells of
BUSY = _l("The database is busy: try these again in a moment.")


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
        if len(keys) == 1:
            return self._act_alone(act, *keys[0], form, answers)
        refused: dict[str, list[str]] = {}
        no: Any = None
        for key, called in keys:
            no = self._tried(act, key, answers) if no is not BUSY else BUSY
            if no is not None:
                refused.setdefault(str(no), []).append(called)
        done = len(keys) - sum(map(len, refused.values()))
        flash(_("%(done)s of %(all)s done.", done=done, all=len(keys)), "notice")
        for sentence, names in refused.items():
            flash(f"{_some(names)}: {sentence}", "error")
        return redirect(self.back(), 303)

    def _act_alone(self: Any, act: Act, key: Any, called: str, form: Any, answers: Any) -> Any:
        """To one row: a refusal is read in the form, a fault is the page of a fault."""
        try:
            unit(db.session, partial(self._act_on, act, key, answers))
        except Refusal as no:
            form.answer = no.status
            form.form_errors.append(str(no.sentence))
            return self._question(act, self._ticked(), form)
        flash(_("%(name)s: done.", name=called), "notice")
        return redirect(self.back(), 303)

    def _tried(self: Any, act: Act, key: Any, answers: Any) -> Any:
        """To one of several rows: why not, or None. `BUSY`: trying the others is in vain."""
        try:
            unit(db.session, partial(self._act_on, act, key, answers))
        except Refusal as no:
            return no.sentence
        except (NotFound, ObjectDeletedError, StaleDataError):
            return _("It is no longer there.")
        except Exception as error:
            log.exception("act failed: act=%s row=%s", act.name, key)
            if is_busy(error) or is_away(error):
                return BUSY
            return _("It failed, and nothing of it was done. It is in the log.")
        return None

    def _act_on(self: Any, act: Act, key: Any, answers: Any) -> None:
        row = self.get_one(str(key))
        offered = act.offered(row)  # asked before: doing it changes the row
        act.run(db.session(), row, office.actor(), utcnow(), answers)
        if not offered:  # a service that refuses says why; what it lets through is taken back
            raise NotOffered

    def _question(self: Any, act: Act, rows: list[Any], form: Any) -> Any:
        return self.render(
            "admin/model/act.html",
            act=act,
            rows=rows,
            form=form,
            told=self.told_before(act, rows),
            return_url=self.back(),
        )

    def told_before(self, act: Act, rows: list[Any]) -> list[str]:
        """What the question says beside what the act explains, such as whom it reaches."""
        return []

    def _ticked(self: Any) -> list[Any]:
        """The rows that were ticked, each once; what is gone, or of others, is told.

        404 if none is there, 400 if too many are asked for.
        """
        keys = list(dict.fromkeys(self._key(given) for given in request.form.getlist("rowid")))
        if len(keys) > MOST_ROWS:
            abort(400)
        if not keys:
            return []
        column = getattr(self.model, str(self._primary_key))
        rows = self.get_query().filter(column.in_(keys)).all()
        found = {self.get_pk_value(row): row for row in rows}
        if not found:
            abort(404)
        if gone := len(keys) - len(found):
            flash(
                _n("%(num)s row is no longer there.", "%(num)s rows are no longer there.", gone),
                "error",
            )
        return [found[key] for key in keys if key in found]


def _some(names: list[str]) -> str:
    """The first of them: what is told travels in a cookie."""
    more = len(names) - MOST_NAMES
    said = ", ".join(names[:MOST_NAMES])
    return f"{said} {_('and %(more)s more', more=more)}" if more > 0 else said
