"""`python -m benchmarks [NAME] [--db sqlite|postgresql] [--n N] [--json FILE]`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile

from benchmarks.cases import HEAD, Case, report
from tests import databases, postgres
from tests.plugin import FOLDER, POSTGRESQL_URL

NAMES = (
    "renew",
    "dispatch",
    "expiry_storm",
    "fill",
    "outbox",
    "latency",
    "idle",
    "replay",
    "answers",
    "one_seat",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=NAMES)
    parser.add_argument("--db", choices=databases.KINDS)
    parser.add_argument("--n", type=int)
    parser.add_argument("--json", metavar="FILE")
    given = parser.parse_args()
    server = postgres.Server(durable=True)  # as in production
    try:
        with tempfile.TemporaryDirectory(prefix="nextseat-bench-") as folder:
            os.environ |= {POSTGRESQL_URL: server.url, FOLDER: folder}
            databases.make_templates()
            cases = _run(given)
    finally:
        server.stop()
    report(cases, given.json)
    return 0 if all(case.met for case in cases) else 1


def _run(given: argparse.Namespace) -> list[Case]:
    print(HEAD)
    cases: list[Case] = []
    for name in (given.name,) if given.name else NAMES:
        for db in (given.db,) if given.db else databases.KINDS:
            for case in importlib.import_module(f"benchmarks.{name}").run(db, given.n):
                print(case.as_line(), flush=True)
                cases.append(case)
    return cases


if __name__ == "__main__":
    sys.exit(main())
