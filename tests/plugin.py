"""What every test run has: both databases, migrated once, and a count of tests per database."""

from __future__ import annotations

import collections
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests import databases, postgres

POSTGRESQL_URL, FOLDER = "NEXTSEAT_TEST_POSTGRESQL", "NEXTSEAT_TEST_FOLDER"


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return  # the controller has done it for its workers
    folder = Path(tempfile.mkdtemp(prefix="nextseat-tests-"))
    os.environ[FOLDER] = str(folder)
    config.stash[_folder] = folder
    if url := os.environ.get("TEST_DATABASE_URL"):
        os.environ[POSTGRESQL_URL] = url
    else:
        server = postgres.Server()
        config.stash[_server] = server
        os.environ[POSTGRESQL_URL] = server.url
    databases.make_templates()


def pytest_unconfigure(config: pytest.Config) -> None:
    if server := config.stash.get(_server, None):
        server.stop()
    if folder := config.stash.get(_folder, None):
        shutil.rmtree(folder, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The last lines: how many tests ran on which database (rulings RD5)."""
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            if report.when == "call" or outcome == "error":
                name = dict(report.user_properties).get("database", "no database")
                counts[name][outcome] += 1
    terminalreporter.write_sep("-", "tests per database")
    for name, outcomes in sorted(counts.items()):
        told = ", ".join(f"{n} {outcome}" for outcome, n in outcomes.items())
        terminalreporter.write_line(f"{name:12} {told}")


_server = pytest.StashKey[postgres.Server]()
_folder = pytest.StashKey[Path]()
