"""How much anybody may send at once; more is answered by 413 (reliability SE15)."""

from __future__ import annotations

from flask import Flask, abort, request

MEGABYTE = 1024 * 1024
BODY = 2 * MEGABYTE
FORM = 500_000  # bytes, without uploaded files
PARTS = 1000


def init_app(app: Flask) -> None:
    """Werkzeug keeps these limits for multipart; for plain forms, which it reads at once, we do."""
    app.config["MAX_CONTENT_LENGTH"] = BODY
    app.config["MAX_FORM_MEMORY_SIZE"] = FORM
    app.config["MAX_FORM_PARTS"] = PARTS
    app.before_request(_check)


def _check() -> None:
    if (request.content_length or 0) > BODY:
        abort(413)
    if b"%00" in request.query_string:  # no text of ours has it, and PostgreSQL takes it for none
        abort(400)
    if request.mimetype == "application/x-www-form-urlencoded":
        request.max_content_length = FORM
        if sum(len(values) for values in request.form.listvalues()) > PARTS:
            abort(413)
