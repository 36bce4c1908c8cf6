"""Our own page on automations: its table is true, and what it tells one to write works (WA1)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from app.automation import registry
from app.automation.automation_base import BaseAutomationTask
from app.automation.automation_tasks import TASKS
from app.automation.scheduler_ops import init_app_scheduler
from app.extensions import db, utcnow
from app.models import AutomationSchedule, Training
from tests import databases
from tests.automation.tasks import Engine
from tests.cast import DAY, HOUR, Cast
from tests.documents.table import run

PAGE = (Path(__file__).parents[2] / "docs" / "automations.md").read_text(encoding="utf-8")
RECURRING = ("TrainerDigestTask", "birthday", "visitor")
CLASS, SCRIPT = re.findall(r"```python\n(.*?)```", PAGE, re.S)


def name_of(task: type[BaseAutomationTask]) -> str:
    """What schedules call it."""
    record = registry.registration_of(task)
    assert record is not None
    return record.name


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package that the page tells one to write, on Python's path."""
    folder = tmp_path / "studio"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "tasks.py").write_text(CLASS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("studio.tasks", "studio"):
        sys.modules.pop(name, None)
    registry._registered.pop("PrepareRoom", None)


@pytest.fixture
def app(studio: None, url: str) -> Iterator[Flask]:
    """An application that is told of it."""
    app = databases.app_on(url, automation_modules=["studio.tasks"])
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def begin(app: Flask) -> datetime:
    """Pottery begins then: the page's script reads the clock."""
    begin = utcnow().replace(microsecond=0) + 30 * DAY
    with app.app_context():
        cast = Cast(db.session())
        event = cast.pottery.events[0]
        event.start_time, event.end_time = begin, begin + 3 * HOUR
        db.session.commit()
    return begin


def description(app: Flask) -> str:
    with app.app_context():
        return str(db.session.scalar(sa.select(Training.description)))


def test_the_class_of_the_page_is_planned_and_runs_once(app: Flask, begin: datetime) -> None:
    init_app_scheduler(app)
    with app.app_context():
        run(SCRIPT)
        assert db.session.scalars(
            sa.select(AutomationSchedule.interval).where(AutomationSchedule.name == "prepare_rooms")
        ).all() == [2 * HOUR]
    engine = Engine(app)
    (job,) = engine.jobs().values()
    assert job.due == begin - 2 * HOUR
    engine.tick(begin - 2 * HOUR - DAY)
    assert description(app) == ""
    for later in (0, 1):
        engine.tick(begin - 2 * HOUR + later * HOUR)
    assert description(app) == f"\nRoom to be prepared by {begin:%H:%M}."
    (ended,) = engine.runs().values()
    assert (str(ended.status), ended.result) == ("success", {"rooms": 1})


def test_the_table_names_every_class_and_how_late_it_runs() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \| (.+?) \|$", PAGE, re.M)
    table = {name: (counts_from, late) for name, counts_from, late in rows}
    assert set(table) == {name_of(task) for task in TASKS}
    assert {name: table[name] for name in RECURRING} == dict.fromkeys(
        RECURRING, ("times of its own", "as its schedule says")
    )
    for task in TASKS:
        if name_of(task) in RECURRING:
            continue
        assert task.late is not None
        counts_from, late = table[task.__name__]
        assert late.split()[0] == task.late.value.split()[0]
        assert counts_from.split(", ")[-1] in ("before", "after", "a day at least")


def test_the_page_names_every_key_of_a_config() -> None:
    for task in TASKS:
        if task.config_model is not None:
            for key in task.config_model.model_fields:
                assert f"| `{name_of(task)}` | `{key}` |" in PAGE
