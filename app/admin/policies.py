"""The rules of the practice: fields for each kind, and whom a change touches (people PA10)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext as _n
from sqlalchemy.orm import selectinload
from wtforms import BooleanField, SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired

from app.admin import audit, office
from app.admin.acts import Needed
from app.admin.frame import SecureView
from app.extensions import db, utcnow
from app.models import Policy, PolicyKind
from app.services import policies
from app.services.policies import BadPolicy, Reach
from app.services.refusals import Refusal

KIND_WORDS = {
    PolicyKind.BOOKING_LIMIT: _l("How much a student may book"),
    PolicyKind.CANCELLATION_WINDOW: _l("Until when one cancels"),
}
LATEST = 50  # entries of the audit that a page shows
# The fields of each kind, as its parameters are called.
FIELDS = {kind: tuple(model.model_fields) for kind, model in policies.PARAMETERS.items()}


class AsksFirst(Refusal):
    """A change that touches people is shown before it is saved."""

    code = "asks_first"


def in_words(row: Policy) -> str:
    """What a policy asks, as a line of a list."""
    try:
        said = policies.validated(row.kind, row.parameters)
    except BadPolicy as bad:
        return str(_("Cannot be applied. %(why)s", why=str(bad)))
    if row.kind is PolicyKind.BOOKING_LIMIT:
        return str(_("at most %(max)s of a type within %(days)s days", **said))
    return str(_n("%(num)s hour before the start", "%(num)s hours before the start", said["hours"]))


def reach_in_words(reach: Reach) -> str:
    """`3 coming trainings (Glazing, Pottery); 17 students have a place, or are offered one`."""
    trainings = _n("%(num)s coming training", "%(num)s coming trainings", reach.trainings)
    students = _n(
        "%(num)s student has a place in them, or is offered one",
        "%(num)s students have a place in them, or are offered one",
        reach.students,
    )
    more = " …" if reach.trainings > len(reach.names) else ""
    return f"{trainings} ({', '.join(reach.names)}{more}); {students}"


class PolicyView(SecureView):
    """What holds for which types of training."""

    column_list = ("name", "kind", "asks", "training_types", "active")
    column_details_list = (
        "name", "kind", "asks", "text_en", "text_nl", "training_types", "active", "reach",
    )  # fmt: skip
    column_export_list = ("id", "name", "kind", "asks", "active")
    column_searchable_list = ("name",)
    column_sortable_list = ("name", "kind", "active")
    column_default_sort = "name"
    column_labels = {
        "name": _l("Name"),
        "kind": _l("What it is about"),
        "asks": _l("What it asks"),
        "text_en": _l("What students read, in English"),
        "text_nl": _l("The same in Dutch"),
        "training_types": _l("Training types"),
        "active": _l("Active"),
        "reach": _l("Holds for"),
    }
    column_formatters = {
        "kind": lambda _v, _c, row, _n: KIND_WORDS[row.kind],
        "asks": lambda _v, _c, row, _n: in_words(row),
        "training_types": lambda view, _c, row, _n: view.types_of(row),
    }
    column_formatters_detail = column_formatters | {
        "reach": lambda view, _c, row, _n: view.reach_of(row),
    }
    column_formatters_export = {"asks": lambda _v, _c, row, _n: in_words(row)}
    form_columns = (
        "name", "of_kind", "max", "days", "hours", "text_en", "text_nl", "training_types", "active",
        "sure",
    )  # fmt: skip
    form_args = {
        "training_types": {
            "label": _l("Training types"),
            "description": _l("It holds for these only; none: for no training."),
        },
        "text_en": {
            "label": _l("What students read, in English"),
            "description": _l("Such as: Cancel at least 24 hours before the start."),
        },
        "text_nl": {
            "label": _l("The same in Dutch"),
            "description": _l("Empty: Dutch readers get the English text."),
        },
        "active": {"label": _l("Active"), "default": True},
    }
    form_extra_fields = {
        "of_kind": SelectField(
            _l("What it is about"),
            [InputRequired(_l("Choose what it is about."))],
            choices=[SelectChoice(kind.value, words) for kind, words in KIND_WORDS.items()],
            description=_l("Stays as it is once the policy is made."),
        ),
        "max": StringField(
            _l("At most so many trainings of a type"), [Needed()], description=_l("Such as 2.")
        ),
        "days": StringField(
            _l("… within so many days"),
            [Needed()],
            description=_l("Calendar days, by the first day of each training; such as 28."),
        ),
        "hours": StringField(
            _l("Hours before the start"),
            [Needed()],
            description=_l("Who cancels later is told that it is late; such as 24."),
        ),
        "sure": BooleanField(_l("I have seen whom this touches")),
    }
    refused_at = {"asks_first": "sure", "needs_text": "text_en"}
    loads = (selectinload(Policy.training_types),)
    edit_template = create_template = "admin/policies/edit.html"
    details_template = "admin/policies/details.html"
    can_delete = True

    def get_empty_list_message(self) -> str:
        """What will stand there."""
        return str(_("There are no policies yet: nobody is limited, and nobody cancels too late."))

    def types_of(self, row: Policy) -> str:
        """For which it holds."""
        return ", ".join(sorted(one.name for one in row.training_types)) or str(_("none yet"))

    def reach_of(self, row: Policy) -> str:
        """Whom it touches now."""
        types = [one.id for one in row.training_types] if row.active else []
        found = policies.reach(db.session(), types, utcnow())
        return reach_in_words(found) if found.trainings else str(_("no coming training"))

    def details_more(self, row: Policy) -> dict[str, Any]:
        """Who changed it, when and from what to what."""
        all_ = url_for("admin_auditentry.index_view", flt0_0=row.id)
        return {"entries": audit.entries_of(row, LATEST), "audit": all_}

    # --- form ---

    def edit_form(self, obj: Any = None) -> Any:
        """With the parameters of its kind in their fields; the kind itself is only shown."""
        for name in {name for names in FIELDS.values() for name in names}:
            setattr(obj, name, obj.parameters.get(name))
        form = super().edit_form(obj)
        form.of_kind.data = obj.kind.value
        for kind, names in FIELDS.items():
            for name in names:
                if kind is not obj.kind:
                    del form[name]
        return form

    def present(self, row: Any, name: str) -> Any:
        """A parameter as its field shows it; the rest as the row has it."""
        if any(name in names for names in FIELDS.values()):
            value = row.parameters.get(name)
            return None if value is None else str(value)
        return {"of_kind": row.kind.value, "sure": False}.get(name, getattr(row, name, None))

    def typed(self, name: str, field: Any) -> Any:
        """The tick is no part of the row."""
        return False if name == "sure" else super().typed(name, field)

    def save(self, form: Any, row: Policy, created: bool, now: datetime) -> str | None:
        """Write what the services let pass, once whom it touches has been seen."""
        before = None if created else _what_counts(row)
        was = None if created else policies.decided(row)
        if created:
            row.kind = PolicyKind(form.of_kind.data)
        for name in ("name", "text_en", "text_nl", "training_types", "active"):
            form[name].populate_obj(row, name)
        row.parameters = {name: form[name].data for name in FIELDS[row.kind]}
        policies.prepare(row)
        if created:
            db.session.add(row)
        if _what_counts(row) != before and not form.sure.data:
            _ask_first(before, row, now)
        policies.record(db.session(), row, office.actor(), now, was)
        return None

    def delete(self, row: Policy, now: datetime) -> None:
        """The service's."""
        policies.remove(db.session(), row, office.actor(), now)

    def _refuse(self, form: Any, no: Any, typed: dict[str, Any]) -> None:
        """Each parameter that is refused says why at its own field."""
        if not isinstance(no, BadPolicy):
            super()._refuse(form, no, typed)
            return
        form.answer = no.status
        for name, words in no.faults.items():
            form[name].errors = [*form[name].errors, words]


def _what_counts(row: Policy) -> tuple[Any, ...]:
    """What of a policy decides about people; its name and texts do not."""
    types = frozenset(one.id for one in row.training_types)
    return (dict(row.parameters), types, row.active is not False)


def _ask_first(before: tuple[Any, ...] | None, row: Policy, now: datetime) -> None:
    """Raises `AsksFirst` if trainings come under the policy, leave it, or are held otherwise."""
    types: set[int] = set()
    for _parameters, named, active in filter(None, (before, _what_counts(row))):
        types |= named if active else frozenset()
    with db.session.no_autoflush:
        touched = policies.reach(db.session(), types, now)
    if touched.trainings:
        words = reach_in_words(touched)
        raise AsksFirst(_("This touches %(what)s. Tick that you have seen it.", what=words))


def views() -> list[SecureView]:
    """Of this module."""
    return [PolicyView(Policy, "Policies", "Trainings")]
