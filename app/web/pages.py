"""The front page, the pages everybody may read, and the choice of a role."""

from __future__ import annotations

from flask import Blueprint, abort, current_app, render_template, request, session
from werkzeug import Response

from app.web import whoami
from app.web.frame import see_other

bp = Blueprint("pages", __name__)


@bp.get("/")
def front() -> str:
    """What this is, and the way to the trainings."""
    return render_template("pages/front.html")


@bp.get("/terms")
def terms() -> str:
    """What one agrees to when one joins."""
    return render_template("pages/terms.html")


@bp.get("/privacy")
def privacy() -> str:
    """What is kept of people, and for how long."""
    return render_template("pages/privacy.html")


@bp.get("/help")
def help_page() -> str:
    """How it works, and whom to ask."""
    return render_template("pages/help.html")


@bp.post("/role")
@whoami.signed_in
def choose_role() -> Response:
    """Look through another of one's roles (people PG1)."""
    chosen = request.form.get("role", "")
    if chosen not in whoami.roles():
        abort(400)
    session["role"] = chosen
    return see_other("pages.front")


@bp.get("/favicon.ico")
def favicon() -> Response:
    """For browsers that ask without being told."""
    return current_app.send_static_file("favicon.svg")
