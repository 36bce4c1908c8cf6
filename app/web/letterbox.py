"""`/dev/outbox`: every letter written here, for the demo and DEVELOPMENT alone (people PF4).

In the demo no letter leaves the machine, so this is where people read theirs.
"""

from __future__ import annotations

import re

from flask import Blueprint, Response, abort, current_app, make_response, render_template, request

from app.delivery import letterbox
from app.extensions import db, utcnow
from app.models.outbox import Outbox, OutboxState
from app.web.headers import content_security_policy
from config import Settings

bp = Blueprint("letterbox", __name__, url_prefix="/dev/outbox")

LOOKS = {
    OutboxState.PENDING: "wait",
    OutboxState.SENDING: "act",
    OutboxState.SENT: "ok",
    OutboxState.SKIPPED: "dim",
    OutboxState.DEAD: "bad",
    OutboxState.BOUNCED: "bad",
}


@bp.before_request
def _only_where_nothing_is_real() -> None:
    if not letterbox.is_open(_settings()):
        abort(404)


@bp.get("", strict_slashes=False)
def index() -> Response:
    """The latest letters, newest first; the list comes anew by itself."""
    session, asked = db.session(), request.args.get("person", "")
    person = int(asked) if re.fullmatch("[0-9]{1,9}", asked) else None
    return _kept_nowhere(
        render_template(
            "letterbox/index.html",
            rows=letterbox.newest(session, person),
            readers=letterbox.readers(session),
            chosen=person,
            looks=LOOKS,
        )
    )


@bp.get("/<int:row_id>")
def show(row_id: int) -> Response:
    """One letter: HTML in a frame that may do nothing but open its links, text, headers, ICS."""
    session = db.session()
    row = session.get(Outbox, row_id) if row_id < 2**31 else None
    if row is None:
        abort(404)
    letter = letterbox.open_letter(session, row, _settings(), utcnow())
    answer = _kept_nowhere(
        render_template("letterbox/show.html", row=row, letter=letter, looks=LOOKS)
    )
    # The frame inherits this policy, and letters carry their styles inline.
    answer.headers["Content-Security-Policy"] = content_security_policy(
        style_src="'self' 'unsafe-inline'"
    )
    return answer


def _kept_nowhere(page: str) -> Response:
    return make_response(page, {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"})


def _settings() -> Settings:
    found: Settings = current_app.extensions["settings"]
    return found
