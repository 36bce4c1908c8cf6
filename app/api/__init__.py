"""REST for programs: two families over the same schedules (schedules 13).

`/scheduler` speaks as document 003, `/api/v1` as document 004; both are thin over
`services/schedules.py`. Keys and logins are `auth.py`, what may be sent `bodies.py`, how a request
ends badly `errors.py`, what OpenAPI says of it all `docs.py` and `shapes.py`.
"""

from __future__ import annotations

from flask import Flask
from flask_openapi.openapi import OpenAPI

from app.api import auth, bodies, docs, errors, scheduler, schedules
from app.extensions import csrf

FAMILIES = (scheduler.bp, schedules.bp)

for family in FAMILIES:
    for hook in (bodies.require_small, auth.let_in, bodies.require_strict):
        family.before_request(hook)
    family.after_request(auth.tell_what_is_left)


def init_app(app: Flask) -> None:
    """Answer programs; after the pages, whose errors and headers stay as they are."""
    assert isinstance(app, OpenAPI)  # noqa: S101  `docs.described` made it
    errors.init_app(app)
    for family in FAMILIES:
        csrf.exempt(family)  # `auth` asks for the key wherever a cookie counts (libraries T15)
        app.register_api(family)
    app.register_blueprint(docs.bp)
