"""Nextseat: waitlists and automations for training providers.

`create_app()` is the one place where the parts are wired together.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from flask import Flask

from app import models
from app.addresses import LateRule
from app.automation.registry import load as load_automations
from app.extensions import babel, db, migrate
from app.models.engine import database_url
from app.models.rules import Environment, Rules
from app.ops import cli, health
from app.ops.migrating import MIGRATIONS
from config import Settings, load, with_secrets

__all__ = ["create_app", "db", "models"]


def create_app(settings: Settings | None = None, role: str = "web") -> Flask:
    """The application of one process; `role` names it to the database.

    Without a database only what needs none works: `flask replay` on a scratch one, say.
    Raises `config.BadSettings`, `models.engine.BadDatabaseUrl` and
    `automation.registry.BadAutomationModule`.
    """
    settings = settings or load()
    if settings.demo or settings.environment == "DEVELOPMENT":
        settings = with_secrets(settings)  # all processes sign the same links
    serves = role == "web" and settings.database is not None
    app = _described() if serves else Flask("app", template_folder="../templates")
    app.url_rule_class = LateRule
    app.extensions["settings"] = settings
    app.extensions["rules"] = rules_from(settings)
    app.config["ROLE"] = role
    app.config["THREADS"] = _threads(settings, role)
    app.config["SECRET_KEY"] = settings.secret_key and settings.secret_key.get_secret_value()
    app.config["TRUSTED_HOSTS"] = settings.trusted_hosts or None
    logging.getLogger("app").setLevel(settings.log_level)

    if settings.automation_modules:
        load_automations(settings.automation_modules)
    babel.init_app(app)
    if settings.database is not None:
        app.config["SQLALCHEMY_DATABASE_URI"] = database_url(settings.database)
        db.init_app(app)
        migrate.init_app(app, db, directory=str(MIGRATIONS))
    health.init_app(app)
    cli.init_app(app)
    if serves:
        from app import admin, api, web  # the scheduler and the replay do without

        web.init_app(app)
        admin.init_app(app)
        api.init_app(app)
    return app


def _described() -> Flask:
    """A Flask that describes its REST; the other processes do without what that takes."""
    from app.api.docs import described

    return described("app", template_folder="../templates")


def _threads(settings: Settings, role: str) -> int:
    """How many threads of this process use the database at a time."""
    if role != "scheduler":
        return settings.web_threads
    # Beside the tasks: the loop, the leases, two that post letters, and the five other duties.
    return settings.max_concurrent_workflows + 9


def rules_from(settings: Settings) -> Rules:
    """The waitlist's part of the settings, as the services know it."""
    return Rules(
        environment=Environment(settings.environment),
        cutoff=settings.waitlist_cutoff,
        min_answer=settings.waitlist_min_answer,
        batch_size=settings.waitlist_batch_size,
        invite_limit=settings.waitlist_invite_limit,
        invite_window=timedelta(hours=settings.waitlist_invite_window_hours),
        stagger=timedelta(seconds=settings.waitlist_stagger_seconds),
        trainer_alert=timedelta(hours=settings.trainer_alert_hours),
        schedule_max_catchup=settings.schedule_max_catchup,
        schedule_min_interval=timedelta(seconds=settings.schedule_min_interval_seconds),
        schedule_max_per_practice=settings.schedule_max_per_practice,
        schedule_auto_pause_failures=settings.schedule_auto_pause_failures,
        people_mail_daily_cap=settings.people_mail_daily_cap,
        people_mail_weekly_cap=settings.people_mail_weekly_cap,
        schedule_history=timedelta(days=settings.schedule_history_days),
        schedule_history_most=settings.schedule_history_max_per_schedule,
    )
