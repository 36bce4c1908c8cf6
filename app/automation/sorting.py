"""What is to become of each due job of a schedule; nothing is written here (waitlist WA10, JX4)."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.automation.automation_base import BaseAutomationTask
from app.automation.claims import Claimed, State
from app.models.automation import (
    AutomationClasses,
    AutomationRun,
    AutomationSchedule,
    RunStatus,
)
from app.models.bulk import send
from app.models.rules import Environment, rules_of
from app.services import runs, runs_by_hand
from app.services.plan import Occurrence
from app.services.runs import Begun, Wanted

log = logging.getLogger("app.automation.execution")

FRESH_SECONDS = 5.0  # what is planned is asked anew for jobs that begin later


@dataclass(slots=True)
class Work:
    """A job, the occurrence it stands for, and its run once it has begun."""

    job: Claimed
    occurrence: Occurrence
    named: str  # what the ledger calls the occurrence
    last_moment: datetime | None
    task: BaseAutomationTask
    terms: Terms
    run: Begun | None = None
    skipped: str | None = None  # the reason its task gave

    @property
    def deadline(self) -> datetime:
        """By when its run, which has begun, must be over."""
        assert self.run is not None  # noqa: S101
        return self.run.started_at + (self.terms.timeout or runs.TIMEOUT)

    @property
    def wanted(self) -> Wanted:
        """As the ledger wants it."""
        item, _, due = self.occurrence
        schedule_id, timeout = self.terms.schedule_id, self.terms.timeout
        return Wanted(schedule_id, item, self.named, due, timeout, int(self.job.died))


@dataclass
class Sorted:
    """Jobs by what is to become of them."""

    to_run: list[Work] = field(default_factory=list)
    verdicts: defaultdict[tuple[RunStatus, str], list[Work]] = field(
        default_factory=lambda: defaultdict(list)
    )
    moved: list[tuple[Claimed, datetime]] = field(default_factory=list)
    broken: list[tuple[Claimed, Exception]] = field(default_factory=list)


@dataclass
class Facts:
    """What the rows say about the items of a batch."""

    asked_at: float
    planned: dict[str, Occurrence] = field(default_factory=dict)
    by_hand: dict[str, AutomationRun] = field(default_factory=dict)  # what staff asked for
    broken: dict[str, Exception] = field(default_factory=dict)  # items that raised

    @property
    def fresh(self) -> bool:
        return time.perf_counter() - self.asked_at <= FRESH_SECONDS


@dataclass(frozen=True)
class Terms:
    """What a schedule says about its jobs now."""

    session: Session
    cls: type[BaseAutomationTask]
    automation: AutomationSchedule
    schedule_id: int
    name: str
    timeout: timedelta | None
    config: dict[str, Any]
    off: str | None  # why it runs nothing
    hurries: bool  # in DEVELOPMENT an occurrence runs a second after it was planned (WA9)

    def is_early(self, occurrence: Occurrence, now: datetime) -> bool:
        """Its event moved: the job came before its time."""
        return occurrence.due > now and not self.hurries


def terms_of(
    session: Session, name: str, class_name: str, cls: type[BaseAutomationTask]
) -> Terms | None:
    """The terms of the schedule of that name, while it runs that class."""
    automation = _schedule(session, name, class_name)
    if automation is None:
        return None
    config = automation.task_config or {}
    seconds = automation.timeout_seconds or cls.timeout_of(config)
    development = rules_of(session).environment is Environment.DEVELOPMENT
    return Terms(
        session,
        cls,
        automation,
        automation.id,
        automation.name,
        timedelta(seconds=seconds) if seconds else None,
        config,
        why_off(automation),
        development and not cls.destructive,
    )


def _schedule(session: Session, name: str, class_name: str) -> AutomationSchedule | None:
    found: AutomationSchedule | None = session.scalars(
        sa.select(AutomationSchedule)
        .join(AutomationClasses)
        .where(
            AutomationSchedule.name == name,
            AutomationSchedule.deleted_at.is_(None),
            AutomationClasses.class_name == class_name,
        )
        .execution_options(populate_existing=True)
    ).one_or_none()
    return found


def still_works(terms: Terms) -> bool:
    """Whether the schedule of these terms is on, and has its name."""
    known = {"id": terms.schedule_id, "name": terms.name}
    return send(terms.session, _working(), known).first() is not None


@cache
def _working() -> sa.Select[Any]:
    s = AutomationSchedule
    mine = (s.id == sa.bindparam("id"), s.name == sa.bindparam("name"))
    return sa.select(s.id).where(*mine, s.works())


def why_off(automation: AutomationSchedule) -> str | None:
    """Why a schedule runs nothing now; None: it does."""
    if automation.automation_class is None or not automation.automation_class.enabled:
        return "class-disabled"
    if not automation.active or automation.deleted_at is not None:
        return "schedule-off"
    return "schedule-paused" if automation.paused_at is not None else None


def ask(terms: Terms, items: list[str], now: datetime) -> Facts:
    """What is planned for these items, and what staff asked for."""
    facts = Facts(time.perf_counter())

    def left_out(item: str, why: str | Exception) -> None:
        if isinstance(why, Exception):
            facts.broken[item] = why

    find: Callable[..., dict[str, Occurrence]] = partial(
        terms.cls.planned, terms.session, terms.automation, now, left_out=left_out
    )
    facts.planned = find(items=items)
    if absent := [item for item in items if item not in facts.planned]:
        facts.by_hand = runs_by_hand.waiting_by_hand(terms.session, absent)
    if facts.by_hand:
        again = find(items=[run.item for run in facts.by_hand.values()])
        facts.planned = again | facts.planned
    mine = set(items)
    for item, error in facts.broken.items():
        if item in mine:
            log.error("item left out: %s %s", terms.name, item[:100], exc_info=error)
    return facts


def sort(terms: Terms, facts: Facts, jobs: Iterable[Claimed], now: datetime) -> Sorted:
    """What is to become of each job."""
    found, seen = Sorted(), set()
    for job in jobs:
        by = item_of(job)
        staff = facts.by_hand.get(by)
        item = staff.item if staff else by
        occurrence, error = facts.planned.get(item), facts.broken.get(item.split(":")[0])
        if occurrence is None and error is not None and not terms.off:
            found.broken.append((job, error))
            continue
        gone = occurrence is None
        occurrence = occurrence or Occurrence(item, job.due, job.due)
        named = staff.occurrence if staff else occurrence.name
        work = _work(terms, job, occurrence, named, now)
        if terms.off:
            found.verdicts[RunStatus.SKIPPED, terms.off].append(work)
        elif gone and not terms.cls.runs_when_gone:
            found.verdicts[RunStatus.SKIPPED, "gone"].append(work)
        elif not staff and terms.is_early(occurrence, now):
            found.moved.append((job, occurrence.due))
        elif not staff and work.last_moment is not None and now > work.last_moment:
            found.verdicts[RunStatus.MISSED, "too-late"].append(work)
        elif (item, named) not in seen:  # of twins the other stays until its lease ends
            found.to_run.append(work)
        seen.add((item, named))
    return found


def plain(terms: Terms, facts: Facts, jobs: Iterable[Claimed], now: datetime) -> Iterator[Work]:
    """The jobs to run as planned, up to the first of which anything else is to be said.

    Only a first claim is plain: over what was claimed before, somebody may have died.
    """
    for job in jobs:
        occurrence = facts.planned.get(item_of(job))
        if occurrence is None or job.attempts > 1 or terms.is_early(occurrence, now):
            return
        work = _work(terms, job, occurrence, occurrence.name, now)
        if work.last_moment is not None and now > work.last_moment:
            return
        yield work


def item_of(job: Claimed) -> str:
    """The item that the job names: a run's execution id, if staff asked for it."""
    assert isinstance(job.state, State)  # noqa: S101  others are parked before
    return job.state.item


def _work(terms: Terms, job: Claimed, occurrence: Occurrence, named: str, now: datetime) -> Work:
    cls, automation = terms.cls, terms.automation
    task = cls(occurrence.item, terms.name)
    task.session, task.config = terms.session, dict(terms.config)
    task.as_of = max(now, occurrence.due) if terms.hurries else now
    return Work(job, occurrence, named, cls.last_moment(automation, occurrence), task, terms)
