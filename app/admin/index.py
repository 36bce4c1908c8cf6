"""The first page, and the banner of all: what needs an eye (people PA0, PA1)."""

from __future__ import annotations

from typing import Any

from flask import current_app, g
from flask_admin.base import expose

from app.admin import items, office
from app.admin.frame import SecureIndex
from app.extensions import db, utcnow
from app.services import attention
from app.services.attention import Warnings


class Index(SecureIndex):
    """What needs attention, each line a link to the list behind it."""

    @expose()
    def index(self) -> Any:
        """The first page of the administration."""
        counts = attention.attention(
            db.session(), office.practice_id(), utcnow(), items.own_jobs(), items.own_runs()
        )
        return self.render("admin/index.html", counts=counts)


def banner() -> Warnings:
    """What stands on top of every page; asked once a request."""
    if "admin_warnings" not in g:
        g.admin_warnings = attention.warnings(db.session(), utcnow())
    found: Warnings = g.admin_warnings
    return found


def development() -> bool:
    """Whether this installation is one to develop with."""
    return bool(current_app.extensions["settings"].environment == "DEVELOPMENT")
