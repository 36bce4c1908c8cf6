"""Whether this process answers at all (people PO2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Blueprint, Flask, Response

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def healthz() -> Response:
    """Alive; touches nothing."""
    return Response("ok", mimetype="text/plain")


def init_app(app: Flask) -> None:
    """Answer `/healthz`, whatever host name it is asked by."""
    app.register_blueprint(bp)
    if hosts := app.config["TRUSTED_HOSTS"]:
        app.wsgi_app = _by_any_name(app.wsgi_app, hosts[0].lstrip("."))  # type: ignore[method-assign]


def _by_any_name(app: Callable[..., Iterable[bytes]], host: str) -> Callable[..., Any]:
    """A probe knows us by the number of the machine, which no link is ever built from."""

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == "/healthz":
            environ["HTTP_HOST"] = host
        return app(environ, start)

    return answer
