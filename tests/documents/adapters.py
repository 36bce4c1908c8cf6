"""What document 004's snippets import and we have no use for (rulings RE1)."""

from __future__ import annotations

from typing import Any


class AsyncDAL:
    """The document's way to a database; ours is the application's session."""

    def __init__(self, database_uri: str, read_replicas: list[str] | None = None) -> None:
        self.database_uri, self.read_replicas = database_uri, read_replicas or []


class WorkflowEngine:
    """The document's executor; here a run is the scheduler process's, so it is never called."""

    def __init__(self, dal: AsyncDAL) -> None:
        self.dal = dal

    async def execute_workflow(self, *_args: Any, **_kwargs: Any) -> Any:
        """As documented."""
        raise AssertionError("runs are the scheduler's")
