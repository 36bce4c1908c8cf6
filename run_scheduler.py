"""Run the one scheduler process: `python run_scheduler.py`. Ctrl-C or SIGTERM ends it cleanly."""

from __future__ import annotations

import logging
import sys

import app
from app.automation.registry import BadAutomationModule
from app.models.engine import BadDatabaseUrl
from app.services import aaa
from config import BadSettings, load, mistakes_for_serving, warnings_for_serving

WRONG_USE = 2


def main() -> int:
    """Serve until asked to stop; refuse to start unsafely (reliability SE1)."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    try:
        settings = load()
        if mistakes := mistakes_for_serving(settings):
            return refuse(mistakes)
        application = app.create_app(settings, role="scheduler")
    except (BadSettings, BadDatabaseUrl, BadAutomationModule) as error:
        return refuse(str(error).splitlines())
    aaa.to_console(settings.log_level)
    for warning in warnings_for_serving(settings):
        print(warning, file=sys.stderr)
    from app.ops import scheduler_process  # it needs the application's floors

    return scheduler_process.serve(application)


def refuse(mistakes: list[str]) -> int:
    """A sentence per mistake."""
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    return WRONG_USE


if __name__ == "__main__":
    sys.exit(main())
