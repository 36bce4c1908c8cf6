"""Document 003, "Quick API Examples": its curl calls, its jobs, and what is answered."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.api.conftest import (
    _bots,
    cast,
    client,
    program,
    shared_web_apps,
    stage,
    web_app,
)
from tests.api.program import Program

__all__ = ["_bots", "cast", "client", "program", "shared_web_apps", "stage", "web_app"]

LIST = 'curl -H "X-API-Key: your-api-key" http://localhost:8000/scheduler/jobs'
GET = 'curl -H "X-API-Key: your-api-key" http://localhost:8000/scheduler/jobs/{job_id}'
CREATE = r"""
curl -X POST -H "X-API-Key: your-api-key" \
  -H "Content-Type: application/json" \
  -d @job.json \
  http://localhost:8000/scheduler/jobs
"""
DAILY = {
    "name": "Daily Birthday Messages",
    "description": "Send birthday messages every day at 8am",
    "bot_type": "birthday",
    "schedule_type": "daily",
    "schedule_config": {"hour": 8, "minute": 0},
    "bot_config": {
        "dry_run": False,
        "process_late": True,
        "max_days_late": 7,
        "max_messages_per_run": 10,
    },
}
WEEKLY = {
    "name": "Weekly Profile Visits",
    "description": "Visit profiles Mon/Wed/Fri at 2pm",
    "bot_type": "visitor",
    "schedule_type": "weekly",
    "schedule_config": {"day_of_week": "mon,wed,fri", "hour": 14, "minute": 0},
    "bot_config": {"dry_run": True, "limit": 50},
}
HOURLY = {
    "name": "Hourly Birthday Check",
    "bot_type": "birthday",
    "schedule_type": "interval",
    "schedule_config": {"hours": 1, "minutes": 0},
    "bot_config": {"dry_run": False, "process_late": False},
}
OFFICE_HOURS = HOURLY | {
    "name": "Office hours",
    "schedule_type": "cron",
    "schedule_config": {"cron_expression": "0 8-18 * * 1-5"},
}


def curl(program: Program, command: str, tmp_path: Path, **names: str) -> TestResponse:
    """What the document's command line would be answered, with our key in place of its own."""
    words = shlex.split(command.replace("\\\n", " "))
    headers, method, body, address = {}, "GET", None, ""
    for before, word in itertools.pairwise(words):
        if before == "-H":
            name, _colon, value = word.partition(": ")
            headers[name] = value.replace("your-api-key", str(program.key))
        elif before == "-X":
            method = word
        elif before == "-d":
            body = (tmp_path / word.removeprefix("@")).read_text()
        elif word.startswith("http"):
            address = word.removeprefix("http://localhost:8000").format(**names)
    return program(method, address, headers=headers, data=body)


@pytest.mark.parametrize("job", [DAILY, WEEKLY, HOURLY, OFFICE_HOURS])
def test_its_jobs_are_made_listed_and_found(
    program: Program, tmp_path: Path, job: dict[str, Any]
) -> None:
    (tmp_path / "job.json").write_text(json.dumps(job))
    made = curl(program, CREATE, tmp_path)
    assert made.status_code == 201
    same = ("name", "bot_type", "schedule_type", "schedule_config")
    assert {name: made.json[name] for name in same} == {name: job[name] for name in same}
    assert made.json["bot_config"] | job["bot_config"] == made.json["bot_config"]
    assert (made.json["enabled"], made.json["last_run_at"]) == (True, None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made.json["next_run_at"])
    assert curl(program, LIST, tmp_path).json == [made.json]
    assert curl(program, GET, tmp_path, job_id=made.json["id"]).json == made.json


def test_its_key_is_an_example_and_opens_nothing(program: Program, tmp_path: Path) -> None:
    nobody = Program(program.client, "your-api-key")
    for command in (LIST, GET, CREATE):
        (tmp_path / "job.json").write_text(json.dumps(DAILY))
        assert curl(nobody, command, tmp_path, job_id="x").status_code == 401
