"""What all views of the administration stand on (libraries A, people PA0, reliability SE8).

A view is a class in a module of its own; the module ends in `def views() -> list[SecureView]`, and
its name stands in ROOMS of `app/admin/__init__.py`. Flask-Admin finds, sorts, filters and pages;
templates, forms, acts and transactions are ours:

    class LocationView(SecureView):
        # Always explicit:
        column_list, column_details_list, column_export_list, form_columns = …
        # As Flask-Admin's:
        column_searchable_list, column_filters, column_sortable_list, column_labels = …
        column_default_sort = "name"  # several: [("name", False)]
        loads = (joinedload(Training.training_type),)  # what cells show, so that a list costs two
        can_create, can_edit, can_delete, can_view_details = …  # statements

    def views() -> list[SecureView]:
        return [LocationView(Location, "Locations", "Trainings")]  # model, name, one of GROUPS

It is at `/admin/location/`, its endpoints are `admin_location.index_view`, `.edit_view` and so on.

- **Scope.** `scope()` is the condition that keeps a view within the office's practice; the default
  compares `practice_id`, a model without one overrides it. Whatever is asked for by id (edit,
  details, delete, act) goes through `get_one`: others' rows and odd ids are 404. `office.py` beside
  says who works here: `practice_id()`, `actor()`, `zone()`, `practice()`.
- **Saving.** `save(form, row, created, now)` runs in one transaction, the row locked and as it is
  now (a new one isn't added yet); the default populates and adds. Call services there. Raise a
  `Refusal` (`refused_at` maps its code to a field) or wtforms' `ValidationError`: the form comes
  again with 400 or the refusal's status, nothing is saved. Return a sentence to be the notice. A
  view whose service locks trainings first sets `locks = False`. `delete(row, now)` likewise.
- **Stale edits.** The form carries `stamp(row)`, a digest of what it shows; who saves over a change
  made meanwhile gets 409 and what is there now. A column `version` is counted up.
- **Acts.** `acts = (Act("pause", _l("Pause"), do, form=WithReason, explains=…, offered=…),)` are
  buttons on the details page and, if `bulk`, a choice over the ticked rows. POST `/action/` with
  `action`, `rowid`… asks on a page of its own; with `sure=1` it acts: a transaction per row, each
  done or refused with its reason, 303 to where it came from. See `app/admin/acts.py`.
- **Cells.** `app/admin/names.py` formats plain values (instants in the reader's zone, intervals
  `2 00:00:00`, enumerations in words, rows by name: extend `name_of`). `column_formatters` as
  Flask-Admin's, `f(view, context, row, name)`, return text, which is escaped, or Markup built by
  `.format` (T29). A column may be virtual: then it has one, and one in `column_formatters_export`.
- **Forms.** `app/admin/fields.py` converts Interval, UtcDateTime, Enum, texts and relations (whose
  choices are the practice's: `choices_of`); `form_extra_fields` as Flask-Admin's. Filters: one
  field per column, two for instants (`app/admin/filters.py`).
- **Pages.** `details_more(row)` gives values to `details_template`, which extends
  `admin/model/details.html` and fills its block `more`. Lists have the blocks `above`, `below`,
  `tools`; forms (`admin/model/edit.html`) `form_fields`, `after_form`, `beside`. A page of its own:
  `@expose("/preview/", methods=…)` and `self.render("admin/….html")`, extending `admin/base.html`,
  blocks `heading` (the h1), `tools`, `body`. A page that is no table: `SecurePage`.
- **Keys.** CSRFProtect guards every POST before a view runs (T14); templates write `{{ csrf() }}`.
- **Scripts.** None is needed, none is Flask-Admin's. `app/static/admin.js` adds rows to lists of
  fields (`data-more="id"`), app.js ticks all. Styles: app.css, then `app/static/admin.css`.
- **Tests.** `desk` of tests/admin/conftest.py: `get create edit act ask delete csv`.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, ClassVar

import sqlalchemy as sa
from flask import abort, flash, redirect, request, url_for
from flask_admin import AdminIndexView
from flask_admin.base import BaseView, expose
from flask_admin.contrib.sqla import ModelView
from flask_admin.form import BaseForm
from flask_admin.helpers import is_form_submitted
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_security import current_user
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError
from wtforms.validators import ValidationError

from app.admin import names, office
from app.admin.acting import Acting
from app.admin.acts import Act
from app.admin.exporting import Exporting
from app.admin.fields import LARGEST, Converter
from app.admin.filters import Filters
from app.admin.freshness import Freshness
from app.admin.listing import Listing
from app.extensions import db, utcnow, write
from app.services.locks import locked
from app.services.refusals import Refusal

GROUPS = ("Trainings", "People", "Automation", "Letters", "System")
OWN_PAGE = re.compile(r"/admin/[\w/?=&%.+-]*", re.ASCII)


class InUse(Refusal):
    """The database keeps what other rows hang on."""

    code = "in_use"


class Guarded:
    """Administrators of a practice only: strangers sign in first, others get 403 (A2)."""

    def is_accessible(self) -> bool:
        """Whether whoever asks is one."""
        return office.administrator() is not None

    def inaccessible_callback(self, name: str, **values: Any) -> Any:
        """302 to the sign-in page, which leads back to this one; 403 for another role."""
        if current_user and current_user.is_authenticated:
            abort(403)
        came_for = request.full_path.rstrip("?") if request.method in ("GET", "HEAD") else None
        return redirect(url_for("security.login", next=came_for))

    def _run_view(self, fn: Any, *args: Any, **values: Any) -> Any:
        """Just run it: Flask-Admin runs a view twice that raises TypeError."""
        return fn(self, *args, **values)


class SecureIndex(Guarded, AdminIndexView):
    """A page of the administration that is no table."""


class SecurePage(Guarded, BaseView):
    """The same, beside the index."""


class SecureView(Guarded, Acting, Freshness, Listing, Exporting, ModelView):
    """One table; see above."""

    list_template = "admin/model/list.html"
    create_template = "admin/model/edit.html"
    edit_template = "admin/model/edit.html"
    details_template = "admin/model/details.html"
    model_form_converter = Converter
    filter_converter = Filters()
    column_type_formatters = names.CELLS
    column_type_formatters_detail = names.CELLS
    column_type_formatters_export = names.EXPORTED
    named_filter_urls = False
    can_delete = False
    can_view_details = True
    can_export = True

    loads: tuple[Any, ...] = ()
    acts: tuple[Act, ...] = ()
    locks = True
    create_words: Any = _l("New")
    refused_at: ClassVar[dict[str, str]] = {}

    def __init__(self, model: Any, name: Any, category: str, **more: Any) -> None:
        at = model.__name__.lower()
        more = {"endpoint": f"admin_{at}", "url": at} | more
        super().__init__(model, db, name, category, **more)

    def scaffold_form(self) -> Any:
        """Exactly `form_columns`: Flask-Admin takes none for all."""
        return super().scaffold_form() if self.form_columns else type("NoForm", (BaseForm,), {})

    # --- whose rows ---

    def scope(self) -> sa.ColumnElement[bool]:
        """The rows of the office's practice."""
        condition: sa.ColumnElement[bool] = self.model.practice_id == office.practice_id()
        return condition

    def scaffold_auto_joins(self) -> list[Any]:
        """`loads` says what a list reads."""
        return []

    def get_query(self) -> Any:
        """What lists show."""
        return super().get_query().filter(self.scope()).options(*self.loads)

    def get_count_query(self) -> Any:
        """How many there are."""
        return super().get_count_query().filter(self.scope())

    def get_one(self, id: Any) -> Any:
        """One row of the scope; 404 for all else."""
        key = self._key(id)
        column = getattr(self.model, str(self._primary_key))
        found = self.get_query().filter(column == key).one_or_none()
        if found is None:
            abort(404)
        self.furnish([found])
        return found

    def furnish(self, rows: Any) -> None:
        """Give rows what is shown of them and stands in other tables, asked for all at once."""

    def _key(self, given: Any) -> Any:
        """An id as the database knows it; 404 where it can't be one."""
        (column,) = sa.inspect(self.model).primary_key
        if not isinstance(given, str) or not given or "\x00" in given or len(given) > 300:
            abort(404)
        if column.type.python_type is str:
            return given
        plain = given.isascii() and given.isdigit() and len(given) <= 20
        if not (plain and 0 < int(given) <= LARGEST):
            abort(404)
        return int(given)

    def get_pk_value(self, model: Any) -> Any:
        """The id of a row, as addresses carry it."""
        return getattr(model, str(self._primary_key))

    def _handle_view(self, name: str, **values: Any) -> Any:
        refused = super()._handle_view(name, **values)
        closed = {
            "create_view": not self.can_create,
            "edit_view": not self.can_edit,
            "details_view": not self.can_view_details,
            "delete_view": not self.can_delete,
            "export": not self.can_export,
        }
        if refused is None and closed.get(name):
            abort(404)
        return refused

    # --- pages ---

    def name_of(self, row: Any) -> str:
        """What a row is called."""
        return names.name_of(row)

    def get_empty_list_message(self) -> str:
        """What a list without rows says."""
        return str(_("There is nothing here yet."))

    def new_words(self) -> Any:
        """What the form of a new row is headed with."""
        return names.NEW.get(self.model.__name__, self.create_words)

    def render(self, template: str, **values: Any) -> Any:
        """The page; 400, or the refusal's status, where its form has errors (people PG4)."""
        form = values.get("form")
        page = super().render(template, **values)
        wrong = getattr(form, "errors", None)
        return (page, getattr(form, "answer", 400)) if wrong else page

    def back(self) -> str:
        """Where the page was opened from: an own list, never a foreign address."""
        asked = request.form.get("back") or request.values.get("url", "")
        return asked if OWN_PAGE.fullmatch(asked) else self.get_url(".index_view")

    # exposed again: our transactions, our statuses, one notice
    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """A new row."""
        form = self.create_form()
        if is_form_submitted() and form.validate():
            row = self.build_new_instance()
            if "practice_id" in self.model.__table__.columns:
                row.practice_id = office.practice_id()
            if self._saved(form, row, created=True):
                return redirect(self.get_save_return_url(row, is_created=True), 303)
        return self._form_page(self.create_template, form, None)

    @expose("/edit/", methods=("GET", "POST"))
    def edit_view(self) -> Any:
        """A row that is there."""
        row = self.get_one(request.args.get("id"))
        form = self.edit_form(obj=row)
        if request.method == "GET":
            self.on_form_prefill(form, row.id)
        if is_form_submitted() and form.validate():
            if self._saved(form, row, created=False):
                return redirect(self.get_save_return_url(row), 303)
            row = self.get_one(request.args.get("id"))  # as it is now, if it is still there
        return self._form_page(self.edit_template, form, row)

    def get_save_return_url(self, model: Any, is_created: bool = False) -> str:
        """Where saving leads: back."""
        return self.back()

    def _form_page(self, template: str, form: Any, row: Any) -> Any:
        stamp = self.stamp(row) if row is not None else ""
        return self.render(template, form=form, model=row, stamp=stamp, return_url=self.back())

    @expose("/details/")
    def details_view(self) -> Any:
        """One row, what can be done to it, what happened to it."""
        row = self.get_one(request.args.get("id"))
        return self.render(
            self.details_template,
            model=row,
            details_columns=self.details_of(row),
            get_value=self.get_detail_value,
            return_url=self.back(),
            acts=[act for act in self.allowed_acts() if act.offered(row)],
            **self.details_more(row),
        )

    def details_of(self, row: Any) -> Any:
        """(column, label) of what the details page lists."""
        return self._details_columns

    def details_more(self, row: Any) -> dict[str, Any]:
        """Further values of the details page."""
        return {}

    @expose("/delete/", methods=("POST",))
    def delete_view(self) -> Any:
        """A question, then the deletion."""
        row = self.get_one(request.form.get("id"))
        no = None
        if request.form.get("sure"):
            called = self.name_of(row)
            no = self._deleted(row)
            if no is None:
                flash(_("%(name)s is deleted.", name=called), "notice")
                return redirect(self.back(), 303)
            row = self.get_one(request.form.get("id"))
        page = self.render("admin/model/delete.html", model=row, no=no, return_url=self.back())
        return (page, no.status) if no else page

    # --- saving ---

    def save(self, form: Any, row: Any, created: bool, now: datetime) -> str | None:
        """Write what was typed into the row, add a new one; a sentence to show, or None."""
        form.populate_obj(row)
        if created:
            db.session.add(row)
        return None

    def _saved(self, form: Any, row: Any, created: bool) -> bool:
        typed = {name: field.data for name, field in form._fields.items()}
        try:
            with write(db.session):
                if created:
                    said = self.save(form, row, True, utcnow())
                else:
                    if self.locks:
                        locked(db.session(), self.model, row.id)
                    self._require_fresh(form, row)
                    version = getattr(row, "version", None)
                    said = self.save(form, row, False, utcnow())
                    if version is not None and row.version == version:  # no service counted it
                        row.version += 1
                db.session.flush()  # what the database refuses is said in the form
                said = said or _("%(name)s is saved.", name=self.name_of(row))
        except (Refusal, ValidationError) as no:
            self._refuse(form, no, typed)
        except IntegrityError:
            self._refuse(form, InUse(_("Another row has this value already.")), typed)
        except (ObjectDeletedError, StaleDataError):  # somebody deleted it meanwhile
            abort(404)
        else:
            flash(said, "notice")
            return True
        return False

    def _refuse(self, form: Any, no: Refusal | ValidationError, typed: dict[str, Any]) -> None:
        """Put a no into the form, above it or at its field; what was typed stays."""
        if isinstance(no, Refusal):
            form.answer = no.status
        sentence = str(getattr(no, "sentence", no))
        at = self.refused_at.get(getattr(no, "code", ""))
        if at and at in form:
            form[at].errors = [*form[at].errors, sentence]
        else:
            form.form_errors.append(sentence)

    def _deleted(self, row: Any) -> Refusal | None:
        try:
            with write(db.session):
                self.delete(row, utcnow())
                db.session.flush()  # what still hangs on it is told on the page
        except Refusal as no:
            return no
        except IntegrityError:
            return InUse(_("Other rows hang on this one: it can't be deleted."))
        return None

    def delete(self, row: Any, now: datetime) -> None:
        """Remove a row; a service's, where there is one."""
        db.session.delete(row)
