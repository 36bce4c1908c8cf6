"""The outbox: what became of each letter, and what the office may do about it (people PA8)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask import current_app
from flask_admin.base import expose
from flask_admin.contrib.sqla import filters as stock
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import TextAreaField
from wtforms.validators import Length

from app.admin import letter_names, office
from app.admin.acts import Act, Needed, WithReason
from app.admin.fields import readable
from app.admin.filters import Choice, Since, Until
from app.admin.frame import SecureView
from app.admin.names import badge, local
from app.delivery import letterbox, message
from app.extensions import db, utcnow
from app.models import ChannelState, Outbox, OutboxState
from app.models.outbox import FAILURES_TO_PAUSE
from app.services import post, post_reading

WAITS = (OutboxState.PENDING, OutboxState.DEAD)


class WithNote(WithReason):
    """An act whose reason stays with the letter."""

    reason = TextAreaField(
        _l("Reason"),
        [Needed(), Length(max=500), readable],
        description=_l("5 to 500 characters; it stays with the letter."),
    )


class OneLetter(stock.FilterEqual):
    """The letters of one kind."""

    def clean(self, value: str) -> str:
        """The kind. Raises `ValueError` for what is none."""
        if value not in letter_names.ALL_KINDS:
            raise ValueError
        return value


# --- acts ----------------------------------------------------------------------------------------


def _on(service: Any) -> Any:
    """An act of the post, which takes a row by its id."""

    def do(session: Any, row: Outbox, actor: Any, now: datetime, reason: str | None = None) -> None:
        service(session, row.id, *([] if reason is None else [reason]), actor, now)

    return do


def _left_behind(row: Outbox) -> bool:
    return row.state is OutboxState.SENDING and row.due_at <= utcnow()


ACTS = (
    Act(
        "retry",
        _l("Try now"),
        _on(post.retry),
        _l("It is due at once, and stays the same letter."),
        offered=lambda row: row.state in WAITS or _left_behind(row),
    ),
    Act(
        "resend",
        _l("Send again"),
        _on(post.resend),
        _l("It goes out once more, as a letter of its own and if it is still true."),
        WithNote,
        offered=lambda row: row.ended_at is not None,
    ),
    Act(
        "drop",
        _l("Do not send"),
        _on(post.drop),
        _l("It never goes out. Its reader is not told of that."),
        WithNote,
        danger=True,
        offered=lambda row: row.state in WAITS or _left_behind(row),
    ),
)


# --- cells ---------------------------------------------------------------------------------------


def _state(_view: Any, _context: Any, row: Outbox, _name: str) -> Any:
    return badge(letter_names.LOOKS[row.state], letter_names.fate(row.state, row.attempts))


def _letter(_view: Any, _context: Any, row: Outbox, _name: str) -> str:
    return letter_names.called(row.kind)


def _named(name: str) -> Any:
    return lambda _view, _context, row, _n: getattr(row.named, name)


def _due(_view: Any, _context: Any, row: Outbox, _name: str) -> Any:
    return local(row.due_at) if row.state is OutboxState.PENDING else ""


def _held(_view: Any, _context: Any, row: Outbox, _name: str) -> Any:
    """Who has claimed it; until when, should they die (OB2)."""
    if row.state is not OutboxState.SENDING:
        return _("no")
    return _("By a worker, at most until %(at)s", at=local(row.due_at))


def _message_id(_view: Any, _context: Any, row: Outbox, _name: str) -> str:
    return f"<{row.uuid}@{message.mail_domain(current_app.extensions['settings'])}>"


SHOWN = {
    "state": _state,
    "kind": _letter,
    "reader": _named("reader"),
    "address": _named("address"),
    "training": _named("training"),
    "due_at": _due,
    "held": _held,
    "message_id": _message_id,
}


# --- the view ------------------------------------------------------------------------------------


class OutboxView(SecureView):
    """Letters promised; nothing of them is typed, and what they were given is never listed."""

    column_list = (
        "kind", "reader", "training", "state", "attempts", "created_at", "due_at", "last_error",
    )  # fmt: skip
    column_details_list = (
        "kind", "reader", "address", "training", "channel", "state", "last_error", "created_at",
        "due_at", "attempts", "first_tried_at", "held", "ended_at", "message_id",
    )  # fmt: skip
    column_export_list = (
        "id", "created_at", "kind", "reader", "address", "training", "channel", "state", "attempts",
        "due_at", "first_tried_at", "ended_at", "last_error", "uuid",
    )  # fmt: skip
    column_filters = (
        Choice(Outbox.state, _l("State"), [(s.value, w) for s, w in letter_names.STATES.items()]),
        OneLetter(Outbox.kind, _l("Letter"), list(letter_names.ALL_KINDS.items())),
        Since(Outbox.created_at, _l("Written"), data_type="date"),
        Until(Outbox.created_at, _l("Written"), data_type="date"),
    )
    column_sortable_list = ("created_at", "attempts", "due_at")
    column_default_sort = [("id", True)]
    column_labels = {
        "created_at": _l("Written"),
        "kind": _l("Letter"),
        "reader": _l("Reader"),
        "address": _l("E-mail"),
        "training": _l("Training"),
        "channel": _l("Channel"),
        "state": _l("State"),
        "attempts": _l("Tries"),
        "due_at": _l("Due"),
        "first_tried_at": _l("First tried"),
        "held": _l("In hand"),
        "ended_at": _l("Ended"),
        "last_error": _l("Reason"),
        "message_id": _l("Message-ID"),
        "uuid": _l("Number"),
    }
    column_formatters = SHOWN
    column_formatters_detail = SHOWN
    column_formatters_export = {n: SHOWN[n] for n in ("kind", "reader", "address", "training")}
    form_columns = ()
    can_create = can_edit = False
    acts = ACTS
    list_template = "admin/outbox/list.html"
    details_template = "admin/outbox/details.html"

    def scope(self) -> sa.ColumnElement[bool]:
        """About the practice's trainings, and accounts made there."""
        return post_reading.of_practices([office.practice_id()])

    def init_search(self) -> bool:
        """By reader, whom no column of the table names, or by channel."""
        return True

    def _apply_search(
        self, query: Any, count_query: Any, joins: Any, count_joins: Any, search: str
    ) -> Any:
        fits = sa.or_(post_reading.to_address(search), Outbox.channel == search.strip())
        counted = None if count_query is None else count_query.filter(fits)
        return query.filter(fits), counted, joins, count_joins

    def furnish(self, rows: Any) -> None:
        """Rows with the names of readers and trainings, in one further statement."""
        _name(rows)

    def _ticked(self) -> list[Any]:
        rows = super()._ticked()
        _name(rows)
        return rows

    def name_of(self, row: Any) -> str:
        """`Invitation to Ada Example`."""
        kind, to = letter_names.called(row.kind), row.named.reader
        return _("%(letter)s to %(reader)s", letter=kind, reader=to) if to else kind

    def paused(self) -> str | None:
        """Why letters wait as a whole; None: they go out (OB7)."""
        now, c = utcnow(), ChannelState
        rests = sa.or_(c.paused_until > now, c.failures >= FAILURES_TO_PAUSE)
        found = db.session.scalars(sa.select(c).where(c.channel == "email", rests)).first()
        return None if found is None else found.reason or _("the mail server takes no letter")

    @expose("/details/")
    def details_view(self) -> Any:
        """Its fate, and the letter in a frame that may do nothing."""
        return letter_names.with_letter(super().details_view())

    def details_more(self, row: Outbox) -> dict[str, Any]:
        """The letter without its tokens: looking makes no link valid, and shows none."""
        settings = current_app.extensions["settings"]
        return {"letter": letterbox.open_for_staff(db.session(), row, settings, utcnow())}


def _name(rows: list[Any]) -> None:
    named = post_reading.name_all(db.session(), rows)
    for row in rows:
        row.named = named.get(row.id, post_reading.NOTHING)


def views() -> list[SecureView]:
    """Of this module."""
    return [OutboxView(Outbox, "Outbox", "Letters")]
