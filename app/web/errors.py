"""What people read when something can't be done (people PG4, reliability SE17).

What happened and what to do, in their language; of a fault of ours only a number by which we find
it in the log.
"""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import suppress
from math import ceil
from typing import Any
from urllib.parse import quote, urlsplit

from flask import Flask, Response, current_app, g, make_response, render_template, request
from flask.globals import request_ctx
from flask_babel import ngettext as _n
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, TooManyRequests
from werkzeug.routing import RoutingException

from app.extensions import db
from app.limits import limiter
from app.models.engine import is_away, is_busy
from app.services.refusals import Refusal
from app.web import frame, whoami
from app.web.units import SAFE

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
    if status == 404 and (there := _without_slash()):
        return make_response("", 308, {"Location": there})
    _give_up_what_was_begun()
    level = logging.DEBUG if status in (404, 405) else logging.INFO  # robots try many addresses
    log.log(level, "request %s: %s at %s", request_id(), status, request.endpoint)
    wait = _wait(error) if isinstance(error, TooManyRequests) else None
    answer = _page(status, wait=in_words(wait) if wait else None)
    for name, value in error.get_headers(None):
        if name in ("Allow", "WWW-Authenticate"):
            answer.headers[name] = value
    if status == 429:
        answer.headers["Retry-After"] = str(wait or 60)
    return answer


def _without_slash() -> str | None:
    """The page that somebody meant who typed a slash behind its address."""
    adapter, path = request_ctx.url_adapter, request.path.rstrip("/")
    if adapter is None or path in ("", request.path) or request.method not in SAFE:
        return None
    try:
        endpoint, values = adapter.match(path)
    except (HTTPException, RoutingException):
        return None
    return adapter.build(endpoint, values) + _behind(request.query_string.decode("latin-1"))


def _refused(refusal: Refusal) -> Response:
    _give_up_what_was_begun()
    log.info("request %s: refused, %s, at %s", request_id(), refusal.code, request.endpoint)
    return make_response(frame.refuse(refusal))


def _failed(error: Exception) -> Response:
    _give_up_what_was_begun()
    if is_busy(error) or is_away(error):
        why = "busy" if is_busy(error) else "away"
        log.warning("request %s: the database is %s, at %s", request_id(), why, request.endpoint)
        answer = _page(503, unsure=_may_be_done(error))
        answer.headers["Retry-After"] = TRY_AGAIN
        return answer
    if current_app.testing:
        raise error
    log.error("request %s failed at %s", request_id(), request.endpoint, exc_info=error)
    return _page(500, request_id=request_id())


def _may_be_done(error: Exception) -> bool:
    """Whether a connection was lost amid an act: nobody knows whether it was committed."""
    return request.method not in SAFE and getattr(error, "connection_invalidated", False)


def _give_up_what_was_begun() -> None:
    with suppress(SQLAlchemyError):  # a connection that is lost can't even be told
        db.session.rollback()


def _page(status: int, **values: Any) -> Response:
    """The page of that status; plain words where even a page can't be made."""
    known = status if status in WITH_A_PAGE else (400 if status < 500 else 500)
    if request_ctx.url_adapter is None:  # a host that we don't serve: no link can be written
        return make_response("We do not serve this address.\n", 400, {"Content-Type": "text/plain"})
    values |= {"status": known, "again": _again(known), "back": _back(known)}
    try:
        page = render_template("frame/error.html", **values)
    except (SQLAlchemyError, TimeoutError):  # whose name stands on a page is in the database
        _give_up_what_was_begun()
        whoami.nobody()  # each template asks who it is, this one too
        page = render_template("frame/bare_error.html", **values)
    return make_response(page, status)


def _again(status: int) -> str | None:
    """This very page, where asking for it again may help."""
    return _here() if status in (500, 503) and request.method in SAFE else None


def _here() -> str:
    """The path asked for, of this site however it is spelt."""
    path = f"{request.script_root}/{request.path.lstrip('/')}"
    return quote(path) + _behind(request.query_string.decode("latin-1"))


def _back(status: int) -> str | None:
    """The page of ours that the browser came from, where something can be mended there."""
    if status not in (400, 409, 413, 429, 500, 503) or request.method in SAFE:
        return None
    came_from = urlsplit(request.referrer or "")
    if f"{came_from.scheme}://{came_from.netloc}/" != request.host_url:
        return None
    return "/" + came_from.path.lstrip("/") + _behind(came_from.query)


def _behind(query: str) -> str:
    return f"?{query}" if query else ""


# --- too many tries ------------------------------------------------------------------------------


def _wait(error: TooManyRequests) -> int:
    """Seconds until the limit that was hit lets the next one through."""
    if isinstance(error.retry_after, int):
        return error.retry_after
    hit = limiter.current_limit
    if hit is None:
        return 60
    return max(int(hit.reset_at - time.time()), 1)


def in_words(seconds: int) -> str:
    """`1 minute`, `15 minutes`, rounded up."""
    minutes = max(ceil(seconds / 60), 1)
    return str(_n("%(num)s minute", "%(num)s minutes", minutes))
