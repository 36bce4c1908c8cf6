"""Tokens of links stay out of the logs of the servers that we run in (reliability ML4, SE17).

Our own log lines name endpoints, never paths. Gunicorn and Werkzeug log what was asked for.
"""

from __future__ import annotations

import logging
import re

from flask import Flask

SERVERS = ("gunicorn.access", "gunicorn.error", "werkzeug")
# All that follows the rooms of links, however it is spelt, and what looks like a token elsewhere.
TOKENS = re.compile(
    r"(?P<room>/(?:invitations|waitlist|unsubscribe|no-greetings|no-free-places|no-digests|sign-up|new-password|new-address|codes/set-up)/)[^/\s?\"']+"
    r"|(?<![\w-])[A-Za-z0-9_-]{43}(?![\w-])",
    re.I,
)


class Masked(logging.Filter):
    """Every record of a logger, its tokens replaced by `…`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let it through, masked."""
        said = record.getMessage()
        masked = TOKENS.sub(lambda found: (found["room"] or "") + "…", said)
        if masked != said:
            record.msg, record.args = masked, ()
        return True


def init_app(_app: Flask) -> None:
    """Once for each logger, however many applications there are."""
    for name in SERVERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, Masked) for one in logger.filters):
            logger.addFilter(Masked())
