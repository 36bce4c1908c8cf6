"""A shell on a database of one's own, for the tests of commands."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.shell import Shell


@pytest.fixture
def shell(app: Flask) -> Shell:
    """A shell on a database of one's own."""
    return Shell(app)
