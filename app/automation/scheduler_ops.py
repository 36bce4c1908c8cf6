"""Starting up and catching up: the task classes in the database, the plan in line with the facts.

Both work in any application context, in transactions of their own, and start no thread
(waitlist WA5, WA6; reliability JX6, JX7).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from flask import Flask, current_app
from sqlalchemy.orm import Session, joinedload

from app.automation import registry
from app.automation.automation_base import no_exit, source_of, why_inert
from app.automation.claims import require_epoch
from app.automation.registry import Registration, get_automation_class
from app.extensions import db, utcnow, write
from app.models.automation import AutomationClasses, AutomationSchedule, ScheduleType
from app.models.automation_class import workflow_id_of
from app.models.engine import has_written
from app.models.text import named, said_by
from app.services import diff, digests, recurring, renewal, repairs
from app.services.deadline import WAITLIST_TASK
from app.services.diff import Counts, There
from app.services.plan import Occurrence

log = logging.getLogger("app.automation.renew")


@dataclass
class Renewed(Counts):
    """What a renew did; `left_out` says of which schedule or item it did nothing, and why."""

    repaired: int = 0  # rows that plain code had left incomplete
    switched: int = 0  # invitations whose schedule went off or works again (WI5)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    dry_run: bool = False
    epoch: int | None = None

    def add(self, counts: Counts) -> None:
        """Count these too."""
        for name in vars(counts):
            setattr(self, name, getattr(self, name) + getattr(counts, name))


# --- starting up ---------------------------------------------------------------------------------


def init_app_scheduler(
    app: Flask, now: datetime | None = None, *, epoch: int | None = None
) -> Renewed:
    """Write the task classes into the database and renew the plan; no job is wiped.

    Raises `BadAutomationModule`, and `Fenced` if `epoch` is no longer the last.
    """
    with app.app_context():
        _load()
        with write(db.session):
            describe_classes(db.session())
            digests.provide(db.session())
        return renew_automations(now, epoch=epoch)


def describe_classes(session: Session) -> None:
    """One row per registered class, as it describes itself now.

    A row whose class is gone stays, with a warning: its schedules plan nothing until it returns.
    """
    rows = {row.class_name: row for row in session.scalars(sa.select(AutomationClasses))}
    registered = registry.get_registered_automation_classes()
    for old, new in registry.RENAMED.items():
        if old in rows and new in registered:
            _rename(session, rows, old, new)
    for name, record in registered.items():
        row = rows.get(name)
        if row is None:
            row = AutomationClasses(class_name=name)
            session.add(row)
        row.description = record.description
        row.module_path, row.qualified_name = record.module, record.qualified_name
        if not record.enabled:
            row.enabled = False
    for name in sorted(rows.keys() - registered.keys() - registry.RENAMED.keys()):
        log.warning("task class is missing: class=%s; its schedules plan nothing", name)


def _rename(session: Session, rows: dict[str, AutomationClasses], old: str, new: str) -> None:
    """The schedules of a renamed class go on under its new name."""
    if new not in rows:
        rows[new] = rows.pop(old)
        rows[new].class_name, rows[new].workflow_id = new, workflow_id_of(new)
        return
    s = AutomationSchedule
    mine = sa.update(s).where(s.automation_class_id == rows[old].id)
    session.execute(mine.values(automation_class_id=rows[new].id))


# --- catching up ---------------------------------------------------------------------------------


def renew_automations(
    now: datetime | None = None, *, dry_run: bool = False, epoch: int | None = None
) -> Renewed:
    """Bring the jobs of all event schedules in line with the rows; twice is harmless (WA5).

    A schedule or an item that raises is logged, reported in `left_out` and stops no other.
    Writes nothing while nothing changed; a `dry_run` only counts what it would write. Raises
    `Fenced` if `epoch`, the number of a scheduler's start, is no longer the last (SI4).
    """
    with current_app.app_context():  # a session of its own: the caller's stays as it is
        _load()
        renewed, now = Renewed(dry_run=dry_run, epoch=epoch), now or utcnow()
        session = db.session()
        _repair(session, renewed, now)
        planned = diff.read_plan(session)
        with _apart(session, renewed, "invitations"):
            renewed.add(renewal.renew_invitations(session, planned.of_waitlist, now))
        there = planned.others
        for schedule_id, name in _schedules(session):
            with _apart(session, renewed, name):
                jobs = there.pop(name, {})
                renewed.add(_renew(session, schedule_id, jobs, renewed, now))
        with _apart(session, renewed, "jobs of renamed or deleted schedules"):
            _drop_strays(session, there, renewed)
        log.debug("renewed: %s", renewed)
        return renewed


def renew_one(
    session: Session, schedule: AutomationSchedule, former_name: str, now: datetime
) -> Renewed:
    """Bring one schedule's jobs in line, in the transaction of its change; its row is locked.

    Deadlines that it granted are lifted or restored (WI5), jobs under its former name go. What
    raises is undone and told in `left_out`: the next renew tries again.
    """
    renewed = Renewed()
    session.flush()  # the plan is computed from the rows
    try:
        with session.begin_nested(), no_exit():
            _load()
            for schedule_id, on in repairs.schedules_to_switch(session):
                if schedule_id == schedule.id:
                    renewed.switched += repairs.switch(session, schedule_id, on, now)
            planned = diff.read_plan(session)
            if former_name != schedule.name:
                stale = planned.others.pop(former_name, {})
                renewed.removed += diff.drop(session, list(stale.values()))
            renewed.add(renewal.renew_invitations(session, planned.of_waitlist, now))
            jobs = planned.others.pop(schedule.name, {})
            renewed.add(_renew(session, schedule.id, jobs, renewed, now))
    except Exception as error:  # theirs: what was typed is saved all the same
        log.exception("left out of the plan: schedule=%s", schedule.id)
        renewed.left_out.append((schedule.name, named(error)))
    return renewed


def _load() -> None:
    registry.load(current_app.extensions["settings"].automation_modules)


@contextmanager
def _apart(session: Session, renewed: Renewed, what: str) -> Iterator[None]:
    """A transaction of its own; what fails in it is told and rolled back.

    Its fence comes last: a task class that takes long to say what it plans keeps nothing locked.
    """
    try:
        with write(session), no_exit():
            yield
            if renewed.dry_run:
                session.rollback()
            elif renewed.epoch is not None:
                _fence(session, renewed.epoch)
    except Exception as error:  # theirs or the database's: the next one shall have its turn
        log.exception("left out of the plan: %s", what)
        renewed.left_out.append((what, named(error)))


def _fence(session: Session, epoch: int) -> None:
    session.flush()  # what was changed is written by now
    if has_written(session.connection()):
        require_epoch(session, epoch)


def _repair(session: Session, renewed: Renewed, now: datetime) -> None:
    for training_id in repairs.trainings_to_repair(session):
        with _apart(session, renewed, f"training {training_id}"):
            renewed.repaired += repairs.repair(session, training_id, now)
    for schedule_id, on in repairs.schedules_to_switch(session):
        with _apart(session, renewed, f"invitations of schedule {schedule_id}"):
            renewed.switched += repairs.switch(session, schedule_id, on, now)


def _schedules(session: Session) -> list[tuple[int, str]]:
    s = AutomationSchedule
    rows = session.execute(sa.select(s.id, s.name).where(s.deleted_at.is_(None)).order_by(s.id))
    return [(id_, name) for id_, name in rows]


def _renew(
    session: Session, schedule_id: int, there: Mapping[str, There], renewed: Renewed, now: datetime
) -> Counts:
    with_class = joinedload(AutomationSchedule.automation_class)
    schedule = session.get_one(AutomationSchedule, schedule_id, options=[with_class])
    if schedule.schedule_type != ScheduleType.EVENT:
        return _renew_recurring(session, schedule, there, renewed, now)
    if not schedule.switched_on:
        schedule.active_since = None  # once it is on again, it does not catch up
        return Counts(removed=diff.drop(session, list(there.values())))
    row = schedule.automation_class
    record = get_automation_class(row.class_name) if row else None
    why_not = why_inert(schedule, record)
    if record is None or why_not is not None:
        why_not = why_not or "its task class is missing"
        _say_once(schedule.name, why_not)
        renewed.left_out.append((schedule.name, why_not))
        # Of a class that is gone they are parked when they come due, and wait for its return.
        gone = [] if row and record is None else list(there.values())
        return Counts(removed=diff.drop(session, gone))
    if record.name == WAITLIST_TASK:
        wanted = {}  # by the set; what is there stems from another class
        schedule.active_since = schedule.active_since or now
    else:
        wanted = _wanted(session, schedule, record, renewed, now)
    return diff.renew_schedule(session, source_of(schedule, record), wanted, there, now)


def _renew_recurring(
    session: Session,
    schedule: AutomationSchedule,
    there: Mapping[str, There],
    renewed: Renewed,
    now: datetime,
) -> Counts:
    """Its alarm, at the next occurrence that it knows, and a job for each run that waits (C5).

    The job of a run that has begun stays as it is: its lease ends when its worker has died.
    """
    row = schedule.automation_class
    if row is None or get_automation_class(row.class_name) is None:
        why_not = "its task class is missing" if row else "it has no task class"
        _say_once(schedule.name, why_not)
        renewed.left_out.append((schedule.name, why_not))
        return Counts(removed=0 if row else diff.drop(session, list(there.values())))
    if schedule.switched_on and schedule.next_execution_at is None:  # plain code made it
        schedule.next_execution_at = recurring.next_of(session, schedule, now)
    wanted = recurring.jobs_of(session, schedule)
    begun = recurring.under_way(session, schedule)
    there = {item: job for item, job in there.items() if item not in begun}
    # Never hurried, and never too late here: what is late is judged when it is claimed (G).
    source = diff.Source(schedule.id, schedule.name, row.class_name, lambda _: None, True)
    return diff.renew_schedule(session, source, wanted, there, now)


def _wanted(
    session: Session,
    schedule: AutomationSchedule,
    record: Registration,
    renewed: Renewed,
    now: datetime,
) -> dict[str, Occurrence]:
    """What the schedule plans, but for what was due before it was switched on (WA3)."""

    def left_out(item: str, why: str | Exception) -> None:
        log.error(
            "left out of the plan: schedule=%s item=%s because=%s",
            schedule.name,
            item,
            why,
            exc_info=why if isinstance(why, Exception) else None,
        )
        told = said_by(why) if isinstance(why, Exception) else why
        renewed.left_out.append((f"{schedule.name}/{item}", told))

    wanted = record.cls.planned(session, schedule, now, None, left_out)
    if schedule.active_since is None:
        early = [item for item, occurrence in wanted.items() if occurrence.due < now]
        schedule.active_since = now
        renewed.before_switched_on += len(early)
        for item in early:
            del wanted[item]
        if early:
            log.info(
                "not planned, due before the schedule was switched on: schedule=%s count=%s",
                schedule.name,
                len(early),
            )
    return wanted


def _drop_strays(
    session: Session, there: Mapping[str, Mapping[str, There]], renewed: Renewed
) -> None:
    """The jobs of names that no schedule has (any more)."""
    strays = [job for jobs in there.values() for job in jobs.values()]
    renewed.removed += diff.drop(session, strays)


_said: set[tuple[str, str]] = set()


def _say_once(name: str, why_not: str) -> None:
    """A schedule that plans nothing is warned of once, not each minute."""
    if (name, why_not) not in _said:
        _said.add((name, why_not))
        log.warning("the schedule plans nothing: schedule=%s because=%s", name, why_not)
