"""The description of both families, for people and programs (libraries P1-P3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flask_openapi_swagger
from flask import Blueprint, Response, current_app, render_template, send_from_directory
from flask_openapi.models.info import Info
from flask_openapi.models.schema import Schema
from flask_openapi.openapi import OpenAPI
from pydantic import BaseModel

from app.api.bodies import refuse
from app.api.shapes import Problem

SECURITY: list[dict[str, list[str]]] = [{"key": []}, {"bearer": []}, {"login": []}]
SCHEMES: dict[str, Any] = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "login": {"type": "apiKey", "in": "cookie", "name": "__Host-nextseat"},
}
SWAGGER = Path(flask_openapi_swagger.__file__).parent / "templates" / "swagger"
FILES = ("css/swagger-ui.css", "js/swagger-ui-bundle.js")

bp = Blueprint("api_docs", __name__, url_prefix="/openapi")


def described(name: str, **more: Any) -> OpenAPI:
    """A Flask application that describes its REST as OpenAPI."""
    app = OpenAPI(
        name,
        info=Info(title="Nextseat", version="1.0.0"),
        security_schemes=SCHEMES,
        validation_error_status=400,
        validation_error_callback=refuse,
        doc_ui=False,  # its pages need what our Content-Security-Policy forbids
        **more,
    )
    app.openapi_version = "3.1.0"
    app.components_schemas["Problem"] = Schema(**Problem.model_json_schema())
    return app


def answers(good: dict[int, Any] | None = None, *more: int) -> dict[str | int, Any]:
    """What a view may answer, as OpenAPI has it: `good`, and errors, its own and every view's."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    content = {"application/problem+json": schema}
    bad = sorted({400, 401, 403, 404, 413, 429, 500, 503, *more})
    told: dict[str | int, Any] = {status: {"content": content} for status in bad}
    for status, model in (good or {}).items():
        told[status] = model
    return told


def many(model: type[BaseModel]) -> dict[str, Any]:
    """A list of these, as OpenAPI has it."""
    schema = {"type": "array", "items": model.model_json_schema(mode="serialization")}
    return {"content": {"application/json": {"schema": schema}}}


@bp.get("/")
def index() -> str:
    """All addresses, to be read and tried out."""
    return render_template("api/index.html")


@bp.get("/openapi.json")
def description() -> Any:
    """The same for programs."""
    app = current_app
    assert isinstance(app, OpenAPI)  # noqa: S101  `described` made it
    return app.api_doc


@bp.get("/files/<path:name>")
def file(name: str) -> Response:
    """What the page needs; the description's own package brings it."""
    if name not in FILES:
        name = "none"
    return send_from_directory(SWAGGER, name, max_age=86400)
