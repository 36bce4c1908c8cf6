"""Which task classes there are, and how they are told (waitlist WA1, WA2, WA6; STYLE R8)."""

from __future__ import annotations

import logging
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.automation import registry
from app.automation.automation_base import (
    BadAutomationModule,
    BaseAutomationTask,
    get_automation_class,
    get_registered_automation_classes,
    item_id,
    register_automation,
)
from app.automation.automation_tasks import TASKS, AutomaticWaitList
from app.automation.scheduler_ops import describe_classes
from app.models import AutomationClasses
from app.models.automation_class import workflow_id_of
from tests.cast import Cast

pytestmark = pytest.mark.usefixtures("_registry")


def test_the_table_of_tasks_and_the_registry_agree() -> None:
    registered = get_registered_automation_classes()
    assert [record.cls for record in registered.values()] == list(TASKS)
    folder = Path(sys.modules[registry.BUILT_IN].__file__ or "").parent
    files = {path.stem for path in folder.glob("*.py")} - {
        "__init__",
        "people_task",
        "training_task",
    }
    assert {task.__module__.rsplit(".")[-1] for task in TASKS} == files


def test_a_record_is_read_as_mapping_and_by_attribute() -> None:
    record = get_automation_class("AutomaticWaitList")
    assert record is not None
    assert record["class"] is record.cls is AutomaticWaitList
    assert dict(record) == {
        "class": AutomaticWaitList,
        "name": "AutomaticWaitList",
        "description": "Automatic Waitlist.",
        "enabled": True,
        "module": "app.automation.automation_tasks",
        "qualified_name": "app.automation.automation_tasks.AutomaticWaitList",
    }
    with pytest.raises(KeyError):
        record["cls"]
    with pytest.raises(AttributeError):
        record.name = "other"  # type: ignore[misc]


def test_registering_returns_the_class_and_takes_its_name_unless_told() -> None:
    class Mine(BaseAutomationTask):
        pass

    assert register_automation()(Mine) is Mine
    register_automation(name="custom_name", description="Of mine.", enabled=False)(Mine)
    assert get_registered_automation_classes()["Mine"].enabled
    custom = get_registered_automation_classes()["custom_name"]
    assert (custom.cls, custom.description, custom.enabled) == (Mine, "Of mine.", False)


def test_a_name_that_is_taken_is_refused_and_changes_nothing() -> None:
    class Other(BaseAutomationTask):
        pass

    with pytest.raises(ValueError, match=r"'AutomaticWaitList' is registered already"):
        register_automation(name="AutomaticWaitList")(Other)
    assert get_registered_automation_classes()["AutomaticWaitList"].cls is AutomaticWaitList


def test_the_classes_are_a_copy() -> None:
    get_registered_automation_classes().clear()
    assert "AutomaticWaitList" in get_registered_automation_classes()
    assert get_automation_class("Nobody") is None


def test_a_renamed_class_answers_to_its_old_name() -> None:
    registry.RENAMED["OldWaitList"] = "AutomaticWaitList"
    record = get_automation_class("OldWaitList")
    assert record is not None
    assert record.name == "AutomaticWaitList"


# --- AUTOMATION_MODULES --------------------------------------------------------------------------


def test_a_module_of_ones_own_is_imported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
from app.automation.automation_base import BaseAutomationTask, register_automation

@register_automation()
class OfMyOwn(BaseAutomationTask):
    pass
"""
    (tmp_path / "my_own_tasks.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    registry.load(["my_own_tasks"])
    registry.load(["my_own_tasks"])
    record = get_automation_class("OfMyOwn")
    assert record is not None
    assert record.qualified_name == "my_own_tasks.OfMyOwn"
    del sys.modules["my_own_tasks"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "ModuleNotFoundError"),
        ("1 +", "SyntaxError"),
        ("raise RuntimeError('not today')", "RuntimeError: not today"),
        ("raise RuntimeError('not\\ntoday')", "RuntimeError: not. Mend"),
        ("import sys; sys.exit('bye')", "sys.exit('bye')"),
        (
            "from app.automation.automation_base import *\n"
            "register_automation(name='AutomaticWaitList')(BaseAutomationTask)",
            "ValueError: the automation 'AutomaticWaitList' is registered already",
        ),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / "broken_tasks.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BadAutomationModule) as refused:
        registry.load(["broken_tasks"])
    message = str(refused.value)
    assert message.startswith("AUTOMATION_MODULES names broken_tasks, which cannot be imported:")
    assert said in message
    assert "\n" not in message


# --- what a task is ------------------------------------------------------------------------------


def test_making_a_task_reads_nothing_and_keeps_what_it_is_given() -> None:
    task = BaseAutomationTask("7", "reminder", 1, two=2)
    assert (task.id, task.automation_name, task.args, task.kwargs) == (
        "7",
        "reminder",
        (1,),
        {"two": 2},
    )
    assert task.setup() is None
    assert task.teardown() is None
    with pytest.raises(NotImplementedError):
        task.execute()


def test_the_documented_defaults() -> None:
    task = BaseAutomationTask
    assert (task.misfire_grace_time, task.max_instances, task.replace_existing) == (1, 1, True)
    assert (task.late, task.timeout_seconds, task.destructive) == (None, None, False)


def test_an_item_is_called_by_its_uuid_or_its_id() -> None:
    assert item_id(types.SimpleNamespace(uuid="u-1", id=7)) == "u-1"
    assert item_id(types.SimpleNamespace(id=7, name="seven")) == "7"
    assert item_id(types.SimpleNamespace(uuid=None, id=7)) == "7"


# --- the rows (WA6) ------------------------------------------------------------------------------


def rows_of(cast: Cast) -> dict[str, Any]:
    rows = cast.session.scalars(sa.select(AutomationClasses)).all()
    return {row.class_name: row for row in rows}


def test_every_class_has_a_row_that_describes_it(cast: Cast) -> None:
    describe_classes(cast.session)
    row = rows_of(cast)["AutomaticWaitList"]  # it was there without a description
    assert (row.description, row.module_path, row.qualified_name) == (
        "Automatic Waitlist.",
        "app.automation.automation_tasks",
        "app.automation.automation_tasks.AutomaticWaitList",
    )
    named = get_registered_automation_classes()
    assert set(rows_of(cast)) == set(named)
    assert [record.cls for record in named.values()] == list(TASKS)


def test_describing_twice_is_describing_once(cast: Cast) -> None:
    describe_classes(cast.session)
    before = {name: row.workflow_id for name, row in rows_of(cast).items()}
    cast.session.flush()
    describe_classes(cast.session)
    assert not [row for row in rows_of(cast).values() if cast.session.is_modified(row)]
    assert {name: row.workflow_id for name, row in rows_of(cast).items()} == before


def test_a_row_whose_class_is_gone_stays_with_a_warning(
    cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    cast.task("Vanished")
    with caplog.at_level(logging.WARNING, "app.automation"):
        describe_classes(cast.session)
    assert "Vanished" in rows_of(cast)
    assert [r for r in caplog.records if "class=Vanished" in r.getMessage()]


def test_a_class_disabled_in_the_code_is_disabled_in_its_row_and_no_other(cast: Cast) -> None:
    register_automation(name="Off", enabled=False)(BaseAutomationTask)
    cast.task("AutomaticWaitList").enabled = False  # by an administrator
    describe_classes(cast.session)
    enabled = {name: row.enabled for name, row in rows_of(cast).items()}
    assert enabled.pop("Off") is False
    assert enabled.pop("AutomaticWaitList") is False
    assert set(enabled.values()) == {True}


@pytest.mark.parametrize("there", [False, True])
def test_the_schedules_of_a_renamed_class_follow_it(cast: Cast, there: bool) -> None:
    old = cast.task("OldWaitList")
    schedule = cast.waitlist_schedule("of the old", cast.schedule.interval)
    schedule.automation_class = old
    registry.RENAMED["OldWaitList"] = "AutomaticWaitList"
    if not there:
        cast.schedule.automation_class = None
        cast.session.flush()
        cast.session.delete(cast.task("AutomaticWaitList"))
    cast.session.flush()
    describe_classes(cast.session)
    cast.session.flush()
    cast.session.expire_all()
    found = schedule.automation_class
    assert (found.class_name, found.workflow_id) == (
        "AutomaticWaitList",
        workflow_id_of("AutomaticWaitList"),
    )
