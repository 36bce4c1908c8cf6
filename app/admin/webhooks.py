"""Endpoints of programs that are told what schedules do (people PA12, schedules O9)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import request, url_for
from flask_admin.base import expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from markupsafe import Markup
from wtforms import SelectMultipleField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length, ValidationError
from wtforms.widgets import CheckboxInput, ListWidget

from app.admin import letter_names, office
from app.admin.acts import Act
from app.admin.fields import readable
from app.admin.frame import SecureView
from app.admin.names import badge
from app.admin.password_again import password_first
from app.delivery import webhook_http
from app.delivery import webhooks as delivery
from app.extensions import db
from app.models import Webhook
from app.services import webhooks
from app.services.webhooks import BadWebhookUrl


def _types(_view: Any, _context: Any, row: Webhook, _name: str) -> str:
    if not row.types:
        return str(_("Everything"))
    return ", ".join(letter_names.called(kind) for kind in row.types)


def _state(_view: Any, _context: Any, row: Webhook, _name: str) -> Any:
    if row.active:
        return badge("ok", _("On"))
    return badge("bad" if row.off_because else "dim", _("Off"))


def _deliveries(_view: Any, _context: Any, row: Webhook, _name: str) -> Any:
    """To what became of each event, where staff can send it again."""
    words, there = _("See deliveries"), url_for("admin_outbox.index_view", search=row.channel)
    return Markup('<a href="{}">{}</a>').format(there, words)


def _secret(_view: Any, _context: Any, row: Webhook, _name: str) -> Any:
    """Whoever checks our signatures needs it as it is."""
    return Markup("<code>{}</code>").format(row.secret)


def leads_out(_form: Any, field: Any) -> None:
    """Where its address leads, asked before a lock is held: looking a name up may take long.

    Raises `ValidationError`.
    """
    try:
        delivery.usual_way().address_of(webhooks.parts_of(field.data.strip()))
    except (webhook_http.NotPublic, BadWebhookUrl) as error:
        raise ValidationError(str(BadWebhookUrl.sentence)) from error
    except OSError as error:
        raise ValidationError(_("Nobody knows where this address leads.")) from error


class WebhookView(SecureView):
    """The practice's endpoints; the secret stands on the page of one, never in a list or file."""

    column_list = ("name", "url", "types", "state", "deliveries")
    column_details_list = (*column_list, "off_because", "secret", "created_at")
    column_export_list = ("id", "name", "url", "active", "created_at")
    column_searchable_list = ("name", "url")
    column_sortable_list = ("name",)
    column_default_sort = ("id", True)
    column_labels = {
        "name": _l("Name"),
        "url": _l("Address"),
        "types": _l("Is told of"),
        "state": _l("State"),
        "active": _l("On"),
        "deliveries": _l("Deliveries"),
        "off_because": _l("Off because"),
        "secret": _l("Secret"),
        "created_at": _l("Made"),
    }
    column_formatters = {"types": _types, "state": _state, "deliveries": _deliveries}
    column_formatters_detail = column_formatters | {"secret": _secret}
    form_columns = ("name", "url", "types")
    form_extra_fields = {
        "name": StringField(
            _l("Name"),
            [InputRequired(_l("Say whose endpoint it is.")), Length(max=100), readable],
            description=_l("Whose it is, such as the program that listens there."),
        ),
        "url": StringField(
            _l("Address"),
            [
                InputRequired(_l("Write the address.")),
                Length(max=webhooks.MOST_URL),
                readable,
                leads_out,
            ],
            description=_l("A public https address; it is asked whether it leads out at once."),
        ),
        "types": SelectMultipleField(
            _l("Is told of"),
            choices=[SelectChoice(kind, letter_names.EVENTS[kind]) for kind in webhooks.TYPES],
            widget=ListWidget(prefix_label=False),
            option_widget=CheckboxInput(),
            description=_l("Nothing ticked means everything."),
        ),
    }
    refused_at = {
        "bad_webhook_name": "name",
        "bad_webhook_url": "url",
        "bad_webhook_types": "types",
    }
    acts = (
        Act(
            "off",
            _l("Switch off"),
            webhooks.switch_off,
            _l("It is told nothing any more, nor what waits for it."),
            offered=lambda row: row.active,
        ),
        Act(
            "on",
            _l("Switch on"),
            webhooks.switch_on,
            _l("It is told what happens from now on."),
            offered=lambda row: not row.active,
        ),
        Act(
            "secret",
            _l("New secret"),
            webhooks.renew_secret,
            _l("The next event is signed with it: whoever listens there needs it first."),
            danger=True,
            bulk=False,
            weighty=True,
        ),
    )

    def _handle_view(self, name: str, **values: Any) -> Any:
        """What signs is shown to whoever typed their password lately (reliability SE4)."""
        refused = super()._handle_view(name, **values)
        if refused is None and name in ("create_view", "details_view"):
            return password_first(request.full_path)
        return refused

    def get_empty_list_message(self) -> str:
        """What will stand there."""
        return str(_("No program is told anything yet. An endpoint hears what schedules do."))

    # exposed again: what it shows is nobody else's to keep
    @expose("/details/")
    def details_view(self) -> Any:
        """One endpoint, with its secret."""
        return super().details_view(), 200, {"Cache-Control": "no-store"}

    def save(self, form: Any, row: Any, created: bool, now: datetime) -> str | None:
        """An endpoint; its form has seen that its address leads out into the world."""
        typed = (form.name.data, form.url.data, form.types.data or ())
        if created:
            practice = office.practice_id()
            webhooks.create(db.session(), *typed, office.actor(), now, practice_id=practice)
            return _("The endpoint is made. Its page shows the secret that signs what it is told.")
        webhooks.change(db.session(), row, *typed)
        return None


def views() -> list[SecureView]:
    """Of this module."""
    return [WebhookView(Webhook, "Webhooks", "System")]
