"""Fixtures for REST: those of pages, the two tasks of document 003, and a program with a key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.automation import registry
from app.automation.automation_base import BaseAutomationTask
from app.services.schedule_models import BotType
from tests.api.program import Program, program_of
from tests.cast import Cast
from tests.web.browsing import Client
from tests.web.conftest import cast, client, counting, office, shared_web_apps, stage, web_app

__all__ = ["cast", "client", "counting", "office", "shared_web_apps", "stage", "web_app"]


class Greets(BaseAutomationTask):
    """Has a plan, and finds nobody."""

    def plan(self, session: Any, config: Any, now: Any) -> Any:
        return []

    def apply(self, session: Any, step: Any, now: Any) -> Any:
        return None


@pytest.fixture(autouse=True)
def _bots(cast: Cast) -> Iterator[None]:
    """Document 003's two tasks are there, ours or one that does nothing."""
    registry.load()
    before = dict(registry._registered)
    for bot in BotType:
        if bot.value not in registry._registered:
            registry.register_automation(bot.value, f"{bot.value} bot")(Greets)
        cast.task(bot.value)
    yield
    registry._registered.clear()
    registry._registered.update(before)


@pytest.fixture
def program(cast: Cast, client: Client) -> Program:
    """A program that may do all in the cast's practice."""
    return program_of(cast, client)
