"""The browser of the tests: CHROMIUM, else Debian's `chromium` (rulings RD5)."""

from __future__ import annotations

import os
import shutil
from functools import cache

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MISSING = "NO BROWSER: the tests in tests/browser did not run; install Debian's chromium."


@cache
def chromium() -> str | None:
    """Where it is, or None."""
    named = os.environ.get("CHROMIUM")
    return shutil.which(named) if named else shutil.which("chromium")
