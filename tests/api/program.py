"""A program with a key: what it asks, and what it is answered."""

from __future__ import annotations

from typing import Any

from werkzeug.test import TestResponse

from app.extensions import utcnow
from app.services import api_keys
from app.services.actors import CONSOLE
from tests.cast import Cast
from tests.web.browsing import Client, client_of

NOBODYS = "00000000-0000-4000-8000-000000000000"
JOB: dict[str, Any] = {
    "name": "Daily Birthday Messages",
    "bot_type": "birthday",
    "schedule_type": "daily",
    "schedule_config": {"hour": 8, "minute": 0},
    "bot_config": {"dry_run": True},
}
CRON = {"schedule_type": "cron", "cron_expression": "0 12 * * *"}
SCHEDULE: dict[str, Any] = {"workflow_id": "birthday", "schedule_config": CRON}


class Program:
    """Asks with its own key; `None` has none."""

    def __init__(self, client: Client, key: str | None) -> None:
        self.client, self.key = client, key

    def __call__(self, method: str, path: str, **asked: Any) -> TestResponse:
        headers = dict(asked.pop("headers", {}))
        if self.key is not None:
            headers.setdefault("X-API-Key", self.key)
        return self.client.open(path, method=method, headers=headers, **asked)

    def get(self, path: str, **asked: Any) -> TestResponse:
        return self("GET", path, **asked)

    def post(self, path: str, body: Any = None, **asked: Any) -> TestResponse:
        return self("POST", path, **({"json": body} if body is not None else {}), **asked)

    def put(self, path: str, body: Any) -> TestResponse:
        return self("PUT", path, json=body)

    def delete(self, path: str) -> TestResponse:
        return self("DELETE", path)

    def a_job(self, **more: Any) -> dict[str, Any]:
        """A job that was just made."""
        made = self.post("/scheduler/jobs", JOB | more)
        assert made.status_code == 201, made.text
        return dict(made.json)

    def a_schedule(self, **more: Any) -> dict[str, Any]:
        """A schedule that was just made."""
        made = self.post("/api/v1/schedules", SCHEDULE | more)
        assert made.status_code == 201, made.text
        return dict(made.json)


def program_of(cast: Cast, client: Client, *scopes: str, practice_id: int | None = None) -> Program:
    """A program with a key for the cast's practice, or another one, and these scopes or all."""
    where = practice_id or cast.practice.id
    _row, text = api_keys.create(
        cast.session, "robot", scopes or api_keys.SCOPES, CONSOLE, utcnow(), practice_id=where
    )
    return Program(client_of(client.application, cast.session), text)
