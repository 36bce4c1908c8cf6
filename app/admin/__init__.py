"""The administration at `/admin/`: Flask-Admin, one table per view; `frame.py` says how."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_admin import Admin
from flask_admin.theme import Bootstrap4Theme

from app.admin import (
    api_keys,
    audit,
    automation_classes,
    enrolments,
    history,
    index,
    jobs,
    letter_texts,
    locations,
    office,
    outbox,
    persons,
    policies,
    practices,
    runs,
    schedules,
    training_types,
    trainings,
    users,
    webhooks,
)
from app.admin.frame import GROUPS

# In the order of the menu; `views()` of each gives its tables.
ROOMS: tuple[Any, ...] = (
    trainings,
    enrolments,
    training_types,
    policies,
    locations,
    history,
    persons,
    users,
    practices,
    schedules,
    jobs,
    runs,
    automation_classes,
    outbox,
    letter_texts,
    api_keys,
    webhooks,
    audit,
)


def init_app(app: Flask) -> None:
    """Put the administration on; its pages stand in the frame of the web."""
    admin = Admin(
        app,
        "Nextseat",
        theme=Bootstrap4Theme(swatch="default", fluid=True),
        index_view=index.Index(name="Overview"),
        csp_nonce_generator=app.jinja_env.globals["csp_nonce"],
    )
    app.add_template_global(index.banner, "admin_banner")
    app.add_template_global(index.development, "in_development")
    app.add_template_global(office.zone, "admin_zone")
    for group in GROUPS:
        admin.add_category(group)
    for room in ROOMS:
        for view in room.views():
            admin.add_view(view)
