"""Whether this process answers at all (people PO2)."""

from __future__ import annotations

from flask import Blueprint, Flask, Response

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def healthz() -> Response:
    """Alive; touches nothing."""
    return Response("ok", mimetype="text/plain")


def init_app(app: Flask) -> None:
    """Answer `/healthz`."""
    app.register_blueprint(bp)
