"""The documents' words and ours: one visible table, and how a snippet of theirs is run here.

The snippets stand in the tests as the documents have them; nothing but what stands here is changed.
"""

from __future__ import annotations

import ast
import asyncio
import contextvars
import inspect
import re
import textwrap
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

# Where the documents import from, and where that is with us (waitlist WS).
IMPORTS = {
    "bcource": "app",
    "bcource.models": "app.models",
    "bcource.automation.automation_base": "app.automation.automation_base",
    "bcource.automation.automation_tasks": "app.automation.automation_tasks",
    "bcource.automation.scheduler": "app.automation.scheduler",
    "bcource.automation.scheduler_ops": "app.automation.scheduler_ops",
    "bcource.students.common": "app.ops.console",
    "services.schedule_service": "app.ops.schedule_service",
    "services.workflow_engine": "tests.documents.adapters",
    "flask_core": "tests.documents.adapters",
    "src.scheduler.models": "app.services.schedule_models",
}

# What they misspell, and names of theirs that we spell otherwise.
NAMES = {
    "waitlist_enrollments_eligeble": "waitlist_enrollments_eligible",
    "kwags": "kwargs",
    "devited": "deinvited",
    "BCOURSE_LOCK_HOST": "SCHEDULER_LOCK_HOST",
    "BCOURSE_LOCK_PORT": "SCHEDULER_LOCK_PORT",
}

# What only their test runner needs: ours awaits by itself.
DROPPED = ("@pytest.mark.asyncio",)


def ours(snippet: str) -> str:
    """The snippet with our import paths and spellings."""
    text = textwrap.dedent(snippet)
    for theirs, here in sorted(IMPORTS.items(), reverse=True):  # the longest path first
        text = re.sub(rf"\b{re.escape(theirs)}(?!\w)", here, text)
    for theirs in DROPPED:
        text = text.replace(theirs, "")
    for theirs, here in NAMES.items():
        text = re.sub(rf"\b{theirs}\b", here, text)
    return text


def run(snippet: str, **given: Any) -> dict[str, Any]:
    """Run a snippet with these names there already; return all names it leaves."""
    names: dict[str, Any] = dict(given)
    exec(compile(ours(snippet), "<document>", "exec"), names)
    return names


def run_awaiting(snippet: str, **given: Any) -> dict[str, Any]:
    """The same for a snippet that awaits outside any function."""
    names: dict[str, Any] = dict(given)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    # With nothing to await it runs at once, and there is no coroutine.
    waiting = eval(compile(ours(snippet), "<document>", "exec", flags), names)
    if inspect.isawaitable(waiting):
        awaited(_all_of(waiting))
    return names


def awaited(waiting: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns, from a thread of its own: another's loop may run in ours."""
    context = contextvars.copy_context()  # its application and session are ours
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(context.run, asyncio.run, waiting).result()


async def _all_of(waiting: Any) -> None:
    await waiting
