"""Serve the web app: `python run_web.py`. `flask --app run_web …` finds the commands here."""

from __future__ import annotations

import logging
import os
import socket
import sys
from typing import Any, NoReturn

import click
from flask import Flask

import app
from app.automation.registry import BadAutomationModule
from app.extensions import db
from app.models.engine import BadDatabaseUrl
from app.ops.exits import explained
from app.ops.memory import settle
from app.ops.migrating import require_migrated
from app.services import aaa
from config import (
    BadSettings,
    Settings,
    load,
    mistakes_for_serving,
    warnings_for_web,
)

WRONG_USE, CONFLICT = 2, 4
# Seconds: who holds a lock waits no longer than that for a thread that only computes.
SWITCH_THREADS = 0.0005


def create_app() -> Flask:
    """The application, or one sentence per mistake and exit code 2."""
    try:
        return app.create_app(load())
    except (BadSettings, BadDatabaseUrl, BadAutomationModule) as error:
        _refuse(str(error).splitlines())


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; refuse to start unsafely (reliability SE1).

    Libraries warn, `app` tells what LOG_LEVEL asks for: who signed in, what was refused (SE17).
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    application = create_app()
    settings: Settings = application.extensions["settings"]
    if mistakes := mistakes_for_serving(settings):
        _refuse(mistakes)
    aaa.to_console(settings.log_level)
    _require_tables(application)
    _require_port(settings)
    for warning in warnings_for_web(settings):
        print(warning, file=sys.stderr)
    if sys.platform == "win32":
        import waitress

        waitress.serve(
            application,
            host=settings.web_host,
            port=settings.web_port,
            threads=settings.web_threads,
        )
    else:
        _gunicorn(application, settings)


def _require_tables(application: Flask) -> None:
    """Nobody is served from tables that this code doesn't know, nor from none."""
    try:
        with application.app_context():
            explained(require_migrated)(application)
            db.engine.dispose()  # nothing of ours is open when workers are forked
    except click.ClickException as no:
        _refuse([no.message], no.exit_code)


def _require_port(settings: Settings) -> None:
    """A port that is taken is one sentence, not five tries and a traceback."""
    family = socket.AF_INET6 if ":" in settings.web_host else socket.AF_INET
    with socket.socket(family) as probe:
        if os.name == "posix":  # elsewhere this would share the port of another
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.web_host, settings.web_port))
        except OSError as error:
            where = f"{settings.web_host}:{settings.web_port}"
            why = error.strerror or str(error)
            cure = "set WEB_HOST or WEB_PORT to another"
            _refuse([f"Cannot listen on {where} ({why}): {cure}."], CONFLICT)


def _compose_pages(application: Flask) -> None:
    """Before there are workers: else each composes them anew while the first people wait."""
    for name in application.jinja_env.list_templates():
        if name.startswith(("frame/", "invitations/")):
            application.jinja_env.get_template(name)


def _gunicorn(application: Flask, settings: Settings) -> None:
    from gunicorn.app.base import BaseApplication

    class Server(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for name, value in {
                "bind": f"{settings.web_host}:{settings.web_port}",
                "workers": settings.web_workers,
                "threads": settings.web_threads,
                "proc_name": "nextseat-web",
                "control_socket_disable": True,  # one more door, and the same for all servers here
            }.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return application  # `_require_tables` left no connection open: none is shared

    _compose_pages(application)
    sys.setswitchinterval(SWITCH_THREADS)
    settle()  # what is loaded by now stays shared: no collection of a worker touches it
    Server().run()


def _refuse(mistakes: list[str], exit_code: int = WRONG_USE) -> NoReturn:
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
