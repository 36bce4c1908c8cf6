"""Pages of students and trainers, and the links in letters."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from app.extensions import csrf
from app.limits import limiter, storage_uri
from app.web import (
    accounts,
    catalogue,
    errors,
    frame,
    headers,
    invitations,
    languages,
    letterbox,
    masking,
    my_trainings,
    pages,
    profile,
    security,
    sessions,
    sizes,
    trainer,
    trainer_acts,
    trainer_list,
    units,
    whoami,
)
from config import Settings, plain, with_secrets


def init_app(app: Flask) -> None:
    """Everything that answers people in a browser; the order is that in which requests meet it."""
    settings = with_secrets(app.extensions["settings"])
    _configure(app, settings)
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops
        )
    sessions.init_app(app)
    masking.init_app(app)
    headers.init_app(app)
    errors.init_app(app)
    sizes.init_app(app)
    units.init_app(app)
    csrf.init_app(app)
    limiter.init_app(app)
    languages.init_app(app)
    security.init_app(app, settings)
    whoami.init_app(app)
    frame.init_app(app)
    for room in (
        pages,
        accounts,
        profile,
        catalogue,
        my_trainings,
        invitations,
        letterbox,
        trainer,
        trainer_acts,
        trainer_list,
    ):
        app.register_blueprint(room.bp)


def _configure(app: Flask, settings: Settings) -> None:
    secure = not on_plain_http(settings)
    app.config.update(
        SECRET_KEY=plain(settings.secret_key),
        # Cookies (reliability SE2)
        SESSION_COOKIE_NAME="__Host-nextseat" if secure else "nextseat",
        SESSION_COOKIE_SECURE=secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,  # only what changed is sent again
        PERMANENT_SESSION_LIFETIME=timedelta(hours=12),
        WTF_CSRF_TIME_LIMIT=8 * 3600,
        RATELIMIT_STORAGE_URI=storage_uri(settings.ratelimit_storage_uri),
    )


def on_plain_http(settings: Settings) -> bool:
    """Whether people come without TLS, which only the demo and DEVELOPMENT allow."""
    allowed = settings.demo or settings.environment == "DEVELOPMENT"
    return allowed and not (settings.public_base_url or "").startswith("https:")
