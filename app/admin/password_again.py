"""The password once more, before others' roles, addresses and codes are changed (SE4)."""

from __future__ import annotations

from typing import Any

from flask import current_app, flash, redirect, url_for
from flask_babel import gettext as _
from flask_security import check_and_update_authn_fresh


def password_first(back: str) -> Any:
    """303 to the page that asks for the password and leads `back`; None: it was typed lately."""
    within = current_app.config["SECURITY_FRESHNESS"]
    if check_and_update_authn_fresh(within, current_app.config["SECURITY_FRESHNESS_GRACE_PERIOD"]):
        return None
    flash(_("Type your password first; nothing is changed yet."), "notice")
    return redirect(url_for("security.verify", next=back), 303)
