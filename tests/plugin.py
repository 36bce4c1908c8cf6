"""What every test run has: both databases, migrated once, and a count of tests per database."""

from __future__ import annotations

import collections
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from app.ops.memory import settle
from tests import chromium, compiled, databases, postgres

POSTGRESQL_URL, FOLDER = "NEXTSEAT_TEST_POSTGRESQL", "NEXTSEAT_TEST_FOLDER"
HERE = {"postgresql"}  # no test goes without it: where it is missing nothing runs
if chromium.chromium():
    HERE.add("browser")


def pytest_configure(config: pytest.Config) -> None:
    compiled.once()
    if hasattr(config, "workerinput"):
        return  # the controller has done it for its workers
    require(os.environ.get("NEXTSEAT_REQUIRE", ""))
    folder = Path(tempfile.mkdtemp(prefix="nextseat-tests-", dir=postgres.quick_folder()))
    os.environ[FOLDER] = str(folder)
    config.stash[_folder] = folder
    if url := os.environ.get("TEST_DATABASE_URL"):
        os.environ[POSTGRESQL_URL] = url
    else:
        server = _a_server()
        config.stash[_server] = server
        os.environ[POSTGRESQL_URL] = server.url
    databases.make_templates()


def require(parts: str) -> None:
    """End the run unless all these parts of it are here (rulings RD5)."""
    wanted = {part.strip() for part in parts.split(",") if part.strip()}
    if missing := ", ".join(sorted(wanted - HERE)):
        raise pytest.UsageError(f"NEXTSEAT_REQUIRE asks for {missing}, which these tests lack")


def _a_server() -> postgres.Server:
    try:
        return postgres.Server()
    except postgres.NoPostgresql as no:
        raise pytest.UsageError(str(no)) from no


def pytest_collection_finish() -> None:
    settle()  # as the processes that serve people do: a tenth of the suite's time


def pytest_unconfigure(config: pytest.Config) -> None:
    databases.close_pools()
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
    if "browser" not in HERE:
        terminalreporter.write_line(chromium.MISSING, red=True, bold=True)


_server = pytest.StashKey[postgres.Server]()
_folder = pytest.StashKey[Path]()
