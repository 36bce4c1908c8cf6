"""What every answer says to the browser (reliability SE6, libraries F2), and how long it keeps."""

from __future__ import annotations

import hashlib
import secrets
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask, Response, current_app, g, request, session

YEAR = 365 * 24 * 3600


def init_app(app: Flask) -> None:
    """Put the headers on every answer, errors and static files included."""
    app.after_request(_put)
    app.url_defaults(_name_the_version)
    app.add_template_global(csp_nonce)
    app.add_template_global(content_security_policy)


def csp_nonce() -> str:
    """What an inline script or style of this very answer carries."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    return str(g.csp_nonce)


def content_security_policy(**other: str) -> str:
    """The policy of an answer; `frame_ancestors="'self'"` changes a part for one page."""
    own = f"'self' 'nonce-{csp_nonce()}'"
    parts = {
        "default-src": "'self'",
        "script-src": own,
        "style-src": own,
        "img-src": "'self' data:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "form-action": "'self'",
    } | {name.replace("_", "-"): value for name, value in other.items()}
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def _put(answer: Response) -> Response:
    put = answer.headers.setdefault
    put("Content-Security-Policy", content_security_policy())
    put("X-Content-Type-Options", "nosniff")
    put("Referrer-Policy", "same-origin")
    if request.is_secure:
        put("Strict-Transport-Security", f"max-age={YEAR}; includeSubDomains")
    if request.endpoint == "static":
        if request.args.get("v") and answer.status_code == 200:
            answer.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable"
    elif session:  # signed in, or a form that is this visitor's alone
        answer.headers["Cache-Control"] = "no-store"
    return answer


def _name_the_version(endpoint: str, values: dict[str, Any]) -> None:
    """A static file is asked for with its version, so that a browser may keep it for ever."""
    if endpoint == "static" and "v" not in values and current_app.static_folder:
        values["v"] = _version(Path(current_app.static_folder) / values["filename"])


@cache
def _version(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else None
