"""A task class for tests, and an engine whose clock is theirs."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from flask import Flask

from app.automation import claims, execution, registry, worker
from app.automation.automation_base import BaseAutomationTask, register_automation
from app.automation.claims import Claimed
from app.extensions import db, write
from app.models import AutomationClasses, AutomationRun, AutomationSchedule, Job
from app.models.rules import rules_of
from app.models.types import new_uuid
from app.services import plan
from tests import databases
from tests.cast import NOON

OWN = sa.MetaData()
EFFECTS = sa.Table("effect", OWN, sa.Column("item", sa.String(100)))


@dataclass
class Thing:
    """An item: what a chore is about."""

    id: str
    at: datetime | None


class Chore(BaseAutomationTask):
    """Writes its item into the table of effects; `acts` says what else happens to it before."""

    misfire_grace_time = 24 * 3600
    things: ClassVar[dict[str, datetime | None]] = {}
    acts: ClassVar[dict[str, Callable[[Any], Any]]] = {}
    torn_down: ClassVar[list[str]] = []

    @staticmethod
    def query() -> Sequence[Thing]:
        return [Thing(id_, at) for id_, at in Chore.things.items()]

    @staticmethod
    def get_event_dt(item: Thing) -> datetime | None:
        if item.id == "unreadable":
            raise ValueError("no date of this world")
        return item.at

    def execute(self) -> Any:
        act = self.acts.get(self.id)
        outcome = act(self) if act else None
        self.session.execute(sa.insert(EFFECTS).values(item=self.id))
        return outcome

    def teardown(self) -> None:
        self.torn_down.append(self.id)


class Chores(Chore):
    """The same, all items of a batch in one statement."""

    @classmethod
    def execute_batch(cls, tasks: Sequence[Any], now: datetime) -> None:
        for task in tasks:
            if act := cls.acts.get(task.id):
                act(task)
            task.result = {"done": 1}
        rows = [{"item": task.id} for task in tasks]
        tasks[0].session.execute(sa.insert(EFFECTS), rows)


@contextmanager
def registered(*classes: type[BaseAutomationTask]) -> Iterator[None]:
    """These are known as long as the block lasts."""
    for cls in classes:
        register_automation()(cls)
    Chore.things, Chore.acts, Chore.torn_down = {}, {}, []
    try:
        yield
    finally:
        for cls in classes:
            registry._registered.pop(cls.__name__, None)


def raises(error: BaseException) -> Callable[[Any], Any]:
    """An act that raises."""

    def act(_task: Any) -> Any:
        raise error

    return act


def raises_with(error: BaseException) -> Callable[..., Any]:
    """The same for any arguments."""

    def act(*_args: Any, **_more: Any) -> Any:
        raise error

    return act


def says(outcome: Any) -> Callable[[Any], Any]:
    """An act after which `execute` returns this."""
    return lambda _task: outcome


class Pause:
    """An act that stops in the middle, until the test lets it go on."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self, _task: Any) -> None:
        self.reached.set()
        assert self.go_on.wait(20)


class Paced(worker.Paces):
    """So many items are thought to fit, whatever they took."""

    def __init__(self, items: int) -> None:
        self._items = items

    def note(self, class_name: str, seconds: float, items: int) -> None:
        pass

    def fitting(self, class_name: str, seconds: float) -> int:
        return self._items


QUICK, SLOW = Paced(1000), Paced(0)


class Engine:
    """The engine on a database of one's own; it is noon until `now` is set."""

    def __init__(self, app: Flask) -> None:
        self.app, self.now = app, NOON
        with app.app_context():
            OWN.create_all(db.engine)

    # --- arranging ---

    def schedule(self, name: str = "chores", cls: Any = Chore, **more: Any) -> int:
        """A schedule that runs at the instant of its item; its id."""
        with self.app.app_context(), write(db.session):
            known = db.session.scalars(
                sa.select(AutomationClasses).where(AutomationClasses.class_name == cls.__name__)
            ).one_or_none()
            known = known or AutomationClasses(class_name=cls.__name__)
            more.setdefault("interval", timedelta(0))
            row = AutomationSchedule(name=name, automation_class=known, **more)
            db.session.add(row)
            db.session.flush()
            return row.id

    def plan(self, *items: str, due: datetime = NOON, schedule: str = "chores", cls: Any = Chore,
             at: datetime | None = None) -> None:  # fmt: skip
        """Jobs of these items; the items' instant is `at`, else when they are due."""
        with self.app.app_context(), write(db.session):
            environment = rules_of(db.session).environment
            Chore.things |= dict.fromkeys(items, at or due)
            jobs = [plan.alarm(schedule, cls.__name__, i, environment, due) for i in items]
            db.session.execute(sa.insert(Job), jobs)

    def raw_job(self, id_: str, state: Any, due: datetime | None = NOON) -> None:
        """A row that no code of ours wrote."""
        with self.app.app_context(), write(db.session):
            insert = sa.text(
                "INSERT INTO apscheduler_jobs (id, next_run_time, job_state) VALUES (:i, :n, :s)"
            )
            db.session.execute(insert, {"i": id_, "n": due and due.timestamp(), "s": state})

    def change(self, model: Any, **values: Any) -> None:
        """Every row of a table, past all services."""
        self.sql(sa.update(model).values(**values))

    def sql(self, statement: Any) -> None:
        with self.app.app_context(), write(db.session):
            db.session.execute(statement)

    # --- acting ---

    def claim(self, room: int = 10_000, now: datetime | None = None) -> list[Claimed]:
        with self.app.app_context(), write(db.session):
            return claims.claim(db.session(), now or self.now, room, new_uuid())

    def run(self, jobs: Sequence[Claimed], **more: Any) -> list[worker.Line]:
        """Run what was claimed; what the console is told."""
        lines: list[worker.Line] = []
        with self.app.app_context():
            who = worker.Worker("tester", lambda: self.now, lines.append, **more)
            execution.run_jobs(jobs, who)
        return lines

    def tick(self, now: datetime | None = None, **more: Any) -> list[worker.Line]:
        """One pass: claim what is due, run it."""
        self.now = now or self.now
        return self.run(self.claim(), **more)

    # --- asking ---

    def runs(self) -> dict[str, AutomationRun]:
        """The ledger by item."""
        with self.app.app_context():
            rows = db.session.scalars(sa.select(AutomationRun).order_by(AutomationRun.id)).all()
            db.session.expunge_all()
            return {row.item: row for row in rows}

    def statuses(self) -> dict[str, str]:
        return {item: str(run.status) for item, run in self.runs().items()}

    def jobs(self) -> dict[str, Job]:
        """The plan by item, or by id what has none."""
        with self.app.app_context():
            rows = db.session.scalars(sa.select(Job).order_by(Job.id)).all()
            db.session.expunge_all()
            return {row.id.split("/")[1] if "/" in row.id else row.id: row for row in rows}

    def effects(self) -> Counter[str]:
        """How often something was done for an item."""
        with self.app.app_context():
            return Counter(db.session.scalars(sa.select(EFFECTS.c.item)))

    def the_schedule(self, name: str = "chores") -> AutomationSchedule:
        with self.app.app_context():
            row = db.session.scalars(
                sa.select(AutomationSchedule).where(AutomationSchedule.name == name)
            ).one()
            db.session.expunge_all()
            return row


@pytest.fixture(scope="module")
def apps() -> Iterator[Callable[[str], Flask]]:
    """One application per kind of database, which the tests of a module empty after them."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def app_on(kind: str) -> Flask:
            app = databases.app_on(stack.enter_context(databases.a_database(kind)))
            stack.callback(databases.dispose, app)
            return app

        yield app_on


@pytest.fixture
def engine(kind: str, apps: Callable[[str], Flask]) -> Iterator[Engine]:
    """With one schedule of chores."""
    with registered(Chore, Chores):
        engine = Engine(apps(kind))
        engine.schedule()
        yield engine
    databases.empty(engine.app, EFFECTS.name)
