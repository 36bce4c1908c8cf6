"""The automation module's page, and what of the guide needs it (WS1, 3, 4, 9, 12, 20, 21)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from app.automation import registry
from app.automation.scheduler_ops import init_app_scheduler, renew_automations
from app.extensions import db, utcnow, write
from app.models import AutomationClasses, AutomationSchedule, Job
from tests.cast import DAY, HOUR, Cast
from tests.documents.table import run

MY_TASK = """
from bcource.automation.automation_base import BaseAutomationTask, register_automation

@register_automation(
    name="my_task",
    description="Description of what this task does",
    enabled=True
)
class MyAutomationTask(BaseAutomationTask):

    @staticmethod
    def query():
        \"\"\"Return items that need processing.\"\"\"
        return MyModel.query.filter(MyModel.needs_processing == True).all()

    @staticmethod
    def get_event_dt(item):
        \"\"\"Return the datetime when this item should be processed.\"\"\"
        return item.scheduled_time

    def execute(self):
        \"\"\"Execute the automation logic.\"\"\"
        # Your automation logic here
        pass
"""


class Column:
    """Something a snippet can compare."""

    def __eq__(self, other: object) -> bool:
        return bool(other)

    __hash__ = None  # type: ignore[assignment]


class MyModel:
    """The model that the page's task is about."""

    needs_processing = Column()
    items: list[Any] = []  # noqa: RUF012

    class query:
        @staticmethod
        def filter(_needed: bool) -> Any:
            return SimpleNamespace(all=lambda: MyModel.items)


@pytest.fixture
def database(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cast]:
    """A database of one's own, with the classes described and all that the guide sets up."""
    registry.load()
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    with app.app_context():
        with write(db.session):
            cast = Cast(db.session())
            for start in cast.pottery.events:
                start.start_time = utcnow() + 30 * DAY
                start.end_time = start.start_time + HOUR
        init_app_scheduler(app)
        yield cast
        db.session.rollback()


@pytest.fixture
def ben(database: Cast) -> Any:
    """Ben is invited; his job is there."""
    with write(db.session):
        database.enrol("Ada", utcnow())
        ben = database.enrol("Ben", utcnow())
        database.leave(database.row("Ada"), utcnow())
    return ben


@pytest.fixture
def my_task(database: Cast) -> dict[str, Any]:
    """The page's task, registered, with a schedule an hour after its time."""
    names = run(MY_TASK, MyModel=MyModel)
    MyModel.items = [SimpleNamespace(id=7, scheduled_time=utcnow() + DAY)]
    automation = AutomationSchedule(
        name="mine", automation_class=database.task("my_task"), interval=timedelta(hours=1)
    )
    with write(db.session):
        db.session.add(automation)
    return names | {"automation": automation}


# --- the page of the module ----------------------------------------------------------------------


def test_my_task_is_registered_planned_set_up_run_and_torn_down(my_task: dict[str, Any]) -> None:
    found = run(
        """
        # Create job for single item
        job = MyAutomationTask.create_job(item, automation)

        # Create jobs for all items
        jobs = MyAutomationTask.create_jobs(automation)
        """,
        item=MyModel.items[0],
        **my_task,
    )  # WS20
    assert found["job"].id == "mine/7/PRODUCTION"
    assert found["jobs"] == [found["job"]]
    cls, done = my_task["MyAutomationTask"], []
    for name in ("setup", "execute", "teardown"):
        setattr(cls, name, lambda self, name=name: done.append(name))
    cls.execute_batch([cls("7", "mine")], utcnow())
    assert done == ["setup", "execute", "teardown"]


def test_the_registry_answers_by_name(database: Cast) -> None:  # WS9
    found = run(
        """
        from bcource.automation.automation_base import (
            BaseAutomationTask, register_automation,
            get_registered_automation_classes, get_automation_class,
        )

        @register_automation(
            name="custom_name",        # Optional, defaults to class name
            description="Description", # Optional
            enabled=True              # Optional, defaults to True
        )
        class MyTask(BaseAutomationTask):
            pass

        # Get all registered automations
        automations = get_registered_automation_classes()

        # Get specific automation
        task_class = get_automation_class("custom_name")
        """
    )
    assert found["automations"]["custom_name"] == found["task_class"]
    assert found["task_class"]["class"] is found["MyTask"]


def test_the_documented_class_is_registered(
    database: Cast, capsys: pytest.CaptureFixture[str]
) -> None:  # WS9, check 1
    run(
        """
        from bcource.automation.automation_base import get_registered_automation_classes

        classes = get_registered_automation_classes()
        print('AutomaticWaitList' in classes)  # Should be True
        """
    )
    assert capsys.readouterr().out == "True\n"


def test_the_scheduler_s_start_writes_the_documented_row(database: Cast) -> None:  # WS4
    row = db.session.scalars(
        sa.select(AutomationClasses).where(AutomationClasses.class_name == "AutomaticWaitList")
    ).one()
    assert (row.description, row.module_path, row.qualified_name) == (
        "Automatic Waitlist.",
        "app.automation.automation_tasks",
        "app.automation.automation_tasks.AutomaticWaitList",
    )


def test_the_id_is_the_documented_one(my_task: dict[str, Any]) -> None:
    found = run(
        'str_id = f"{automation.name}/{item.id}/{environment}"',
        item=MyModel.items[0],
        environment="PRODUCTION",
        **my_task,
    )
    job = my_task["MyAutomationTask"].create_job(MyModel.items[0], my_task["automation"])
    assert job.id == found["str_id"]


def test_debugging_says_more(database: Cast, caplog: pytest.LogCaptureFixture) -> None:  # WS21
    logger = logging.getLogger("app.automation")
    before = logger.level
    try:
        renew_automations()
        quiet = len(caplog.records)
        run(
            """
            import logging
            # Enable debug logging
            logging.getLogger('bcource.automation').setLevel(logging.DEBUG)
            """
        )
        renew_automations()
    finally:
        logger.setLevel(before)
    assert len(caplog.records) > 2 * quiet


# --- the guide -----------------------------------------------------------------------------------


def test_the_body_of_renew_automations_plans_jobs(ben: Any) -> None:  # WS3
    with write(db.session):
        db.session.execute(sa.delete(Job))
    run(
        """
        from bcource.models import AutomationSchedule
        from bcource.automation.automation_base import get_automation_class

        def renew_automations():
            automations = AutomationSchedule().query.filter(
                AutomationSchedule.active == True
            ).all()

            for automation in automations:
                # Get the automation class
                cls = get_automation_class(automation.automation_class.class_name)['class']

                # Create jobs for all matching items
                cls.create_jobs(automation)

        renew_automations()
        """
    )
    ids = list(db.session.scalars(sa.select(Job.id)))
    assert ids == [f"waitlist_invitation_expiry/{ben.uuid}/PRODUCTION"]


def test_disabling_and_renewing_takes_the_jobs_away(ben: Any) -> None:  # WS12
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Job)) == 1
    run(
        """
        from bcource.models import AutomationSchedule

        # Via code
        schedule = AutomationSchedule.query.filter_by(
            name="waitlist_invitation_expiry"
        ).first()
        schedule.active = False
        db.session.commit()

        # Refresh automations to remove jobs
        from bcource.automation.scheduler_ops import renew_automations
        renew_automations()
        """,
        db=db,
    )
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Job)) == 0


def test_executing_ends_what_is_due_and_fills(ben: Any) -> None:  # WS1
    deadline = ben.invite_expires_at
    found = run(
        """
        from bcource.automation.automation_tasks import AutomaticWaitList

        task = AutomaticWaitList(uuid, "waitlist_invitation_expiry")
        task.now = now
        done = task.execute()
        unknown = AutomaticWaitList("unknown", "waitlist_invitation_expiry").execute()
        """,
        uuid=ben.uuid,
        now=deadline,
    )
    assert (found["done"], found["unknown"]) == (True, True)
    db.session.refresh(ben)
    assert ben.status == "waitlist-invite-expired"
