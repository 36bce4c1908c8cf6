"""What people read when something can't be done (people PG4, reliability SE17).

What happened and what to do, in their language; of a fault of ours only a number by which we find
it in the log.
"""

from __future__ import annotations

import logging
import secrets
import time
from math import ceil
from typing import Any

from flask import Flask, Response, current_app, g, make_response, render_template, request
from flask.globals import request_ctx
from flask_babel import ngettext as _n
from flask_limiter import RateLimitExceeded
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from app.extensions import db
from app.limits import limiter
from app.models.engine import is_busy
from app.services.refusals import Refusal
from app.web import frame

log = logging.getLogger("app.web.errors")

TRY_AGAIN = "5"  # seconds, where the database is busy
WITH_A_PAGE = (400, 401, 403, 404, 405, 409, 410, 413, 429, 500, 503)


def init_app(app: Flask) -> None:
    """A page for every way in which a request can end badly."""
    app.before_request(_number)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(Exception, _failed)


def request_id() -> str:
    """The number of this request: on the page of a fault, and in the log."""
    if "request_id" not in g:
        g.request_id = secrets.token_hex(8)
    return str(g.request_id)


def _number() -> None:
    request_id()


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400 and error.response:
        return make_response(error.response)
    db.session.rollback()
    log.info("request %s: %s at %s", request_id(), status, request.endpoint)
    wait = _wait() if isinstance(error, RateLimitExceeded) else None
    answer = _page(status, wait=in_words(wait) if wait else None)
    for name, value in error.get_headers(None):
        if name in ("Allow", "WWW-Authenticate"):
            answer.headers[name] = value
    if status == 429:
        answer.headers["Retry-After"] = str(wait or 60)
    return answer


def _refused(refusal: Refusal) -> Response:
    db.session.rollback()
    log.info("request %s: refused, %s, at %s", request_id(), refusal.code, request.endpoint)
    return make_response(frame.refuse(refusal))


def _failed(error: Exception) -> Response:
    db.session.rollback()
    if is_busy(error):
        log.warning("request %s: the database is busy, at %s", request_id(), request.endpoint)
        answer = _page(503)
        answer.headers["Retry-After"] = TRY_AGAIN
        return answer
    if current_app.testing:
        raise error
    log.error("request %s failed at %s", request_id(), request.endpoint, exc_info=error)
    return _page(500, request_id=request_id())


def _page(status: int, **values: Any) -> Response:
    """The page of that status; plain words where even a page can't be made."""
    known = status if status in WITH_A_PAGE else (400 if status < 500 else 500)
    if request_ctx.url_adapter is None:  # a host that we don't serve: no link can be written
        return make_response("We do not serve this address.\n", 400, {"Content-Type": "text/plain"})
    try:
        page = render_template("frame/error.html", status=known, **values)
    except (SQLAlchemyError, TimeoutError):  # whose name stands on a page is in the database
        db.session.rollback()
        page = render_template("frame/bare_error.html", status=known, **values)
    return make_response(page, status)


# --- too many tries ------------------------------------------------------------------------------


def _wait() -> int:
    """Seconds until the limit that was hit lets the next one through."""
    hit = limiter.current_limit
    if hit is None:
        return 60
    return max(int(hit.reset_at - time.time()), 1)


def in_words(seconds: int) -> str:
    """`1 minute`, `15 minutes`, rounded up."""
    minutes = max(ceil(seconds / 60), 1)
    return str(_n("%(num)s minute", "%(num)s minutes", minutes))
