"""What programs read when something can't be done: problem+json (schedules A3, libraries P2).

Every way in which a request of theirs can end badly comes here, unknown addresses below theirs too.
A fault of ours says a number by which we find it in the log, never its own words (reliability
SE17).
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, g, request
from flask_babel import gettext as _
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, TooManyRequests

from app.extensions import db
from app.models.engine import is_away, is_busy
from app.services.refusals import Refusal

log = logging.getLogger("app.api.errors")

FAMILY_A, FAMILY_B = "/scheduler", "/api"
TRY_AGAIN = 5  # seconds, where the database is busy
CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    429: "too_many_requests",
    500: "internal_error",
    503: "unavailable",
}


def init_app(app: Flask) -> None:
    """Answer programs as programs; everybody else as before."""
    answers: dict[type[Exception], Callable[[Any], Response]] = {
        HTTPException: _http,
        Refusal: _refused,
        Exception: _failed,
    }
    pages = app.error_handler_spec[None][None]
    for kind, answer in answers.items():
        app.register_error_handler(kind, _either(answer, pages[kind]))


def asks_the_api() -> bool:
    """Whether this request is about an address of ours."""
    return any(
        request.path == family or request.path.startswith(f"{family}/")
        for family in (FAMILY_A, FAMILY_B)
    )


def _either(ours: Callable[[Any], Response], theirs: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def answer(error: Any) -> Any:
        return ours(error) if asks_the_api() else theirs(error)

    return answer


# --- the answers ----------------------------------------------------------------------------------


def _http(error: HTTPException) -> Response:
    _give_up_what_was_begun()
    status = error.code or 500
    if status < 400 and error.response is not None:
        return current_app.make_response(error.response)
    log.info("request %s: %s at %s", request_id(), status, request.endpoint)
    answer = problem(status, _said(status, error))
    for name, value in error.get_headers(None):
        if name in ("Allow", "WWW-Authenticate"):
            answer.headers[name] = value
    if isinstance(error, TooManyRequests):
        wait = error.retry_after
        answer.headers["Retry-After"] = str(wait if isinstance(wait, int) else 60)
    return answer


def _said(status: int, error: HTTPException) -> str:
    if status == 401:
        return str(_("A valid key is needed: send it in the header X-API-Key."))
    if status == 429:
        return str(_("Too many requests: wait as long as Retry-After says."))
    own = type(error).description
    if error.description and error.description != own:
        return str(error.description)  # of our own making
    return HTTPStatus(status).phrase


def _refused(refusal: Refusal) -> Response:
    _give_up_what_was_begun()
    status = int(getattr(refusal, "status_code", refusal.status))
    if status >= 500:
        return _failed(refusal)
    log.info("request %s: refused, %s, at %s", request_id(), refusal.code, request.endpoint)
    said = str(getattr(refusal, "message", refusal.sentence))
    answer = problem(status, said, refusal.code, getattr(refusal, "problems", None))
    if status == 429:
        answer.headers["Retry-After"] = "60"
    return answer


def _failed(error: Exception) -> Response:
    _give_up_what_was_begun()
    if is_busy(error) or is_away(error):
        why = "busy" if is_busy(error) else "away"
        log.warning("request %s: the database is %s, at %s", request_id(), why, request.endpoint)
        answer = problem(503, _("The database is busy or away: try again in a few seconds."))
        answer.headers["Retry-After"] = str(TRY_AGAIN)
        return answer
    if current_app.testing:
        raise error
    log.error("request %s failed at %s", request_id(), request.endpoint, exc_info=error)
    number = request_id()
    return problem(500, _("Something failed on our side; its number is %(number)s.", number=number))


def problem(
    status: int,
    detail: str,
    code: str | None = None,
    fields: Mapping[str, str] | None = None,
) -> Response:
    """An answer of that status; `fields` has a reason for each field that is wrong."""
    said: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if fields:
        said["fields"] = dict(fields)
    if request.path.startswith(FAMILY_B):
        said |= {"error": detail, "code": code or CODES.get(status, "error")}
        said["request_id"] = request_id()
    answer = Response(json.dumps(said), status, mimetype="application/problem+json")
    answer.headers["X-Request-ID"] = request_id()
    return answer


def request_id() -> str:
    """The number of this request, the one that the pages have."""
    if "request_id" not in g:
        g.request_id = secrets.token_hex(8)
    return str(g.request_id)


def _give_up_what_was_begun() -> None:
    with suppress(SQLAlchemyError):  # a connection that is lost can't even be told
        db.session.rollback()
