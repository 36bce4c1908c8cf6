"""Signed links of letters about no training: what for, about whom, until when they work.

Nothing of them is kept. What makes one stop earlier stands in it and is compared with the row: the
version of the account, the address that it had (reliability SE3, people PS7).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

SIGN_UP, NEW_PASSWORD, NEW_ADDRESS = "sign-up", "new-password", "new-address"
# Of letters that need no account to be stopped.
NO_GREETINGS, NO_SPOTS, NO_DIGESTS = "no-greetings", "no-free-places", "no-digests"
# Where the page of each is.
PATHS = {
    SIGN_UP: "/sign-up",
    NEW_PASSWORD: "/new-password",
    NEW_ADDRESS: "/new-address",
    NO_GREETINGS: "/no-greetings",
    NO_SPOTS: "/no-free-places",
    NO_DIGESTS: "/no-digests",
}
VALID_FOR = {
    SIGN_UP: timedelta(days=1),
    NEW_PASSWORD: timedelta(hours=3),
    NEW_ADDRESS: timedelta(days=1),
}
INVITED_FOR = timedelta(days=7)  # whoever was given an account gets more time


def write(key: str, purpose: str, facts: list[Any], until: datetime) -> str:
    """The token that carries these facts until then."""
    return str(_signer(key, purpose).dumps([int(until.timestamp()), *facts]))


def read(key: str, purpose: str, token: str, now: datetime) -> list[Any] | None:
    """What a token carries; None: forged, for something else, or too old."""
    try:
        until, *facts = _signer(key, purpose).loads(token[:2000])
    except (BadData, ValueError, TypeError):
        return None
    return facts if now < datetime.fromtimestamp(until, UTC) else None


def path(purpose: str, token: str) -> str:
    """The path of a token's page."""
    return f"{PATHS[purpose]}/{token}"


def _signer(key: str, purpose: str) -> URLSafeSerializer:
    return URLSafeSerializer(key, salt=f"nextseat {purpose}")
