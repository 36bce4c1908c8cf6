"""The counter of tries (reliability SE16). A module of its own: the scheduler starts without it."""

from __future__ import annotations

from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

limiter = Limiter(get_remote_address)
