"""Which jobs of a claim go to which thread, and which of them belong into one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy.orm import Session

from app.automation.automation_base import BaseAutomationTask, get_automation_class, no_exit
from app.automation.claims import BadState, Claimed
from app.automation.sorting import item_of
from app.models.bulk import dialect_of

WORTH_SPLITTING = 200  # jobs of a schedule; fewer run in one thread


def split(session: Session, jobs: Sequence[Claimed], parts: int) -> list[list[Claimed]]:
    """The jobs in at most so many parts that can run side by side; what belongs together stays.

    Each schedule has a part of its own, as far as there are so many: a task that hangs holds up no
    other schedule. Threads to spare help the largest, but not on SQLite, which lets one write.
    """
    by_schedule: defaultdict[Any, list[Claimed]] = defaultdict(list)
    for job in jobs:
        by_schedule[None if isinstance(job.state, BadState) else job.state[1:]].append(job)
    groups = sorted(by_schedule.values(), key=len, reverse=True)
    if len(groups) >= parts:
        return _dealt(groups, parts)
    several = dialect_of(session) != "sqlite"
    hands = _hands([len(group) for group in groups], parts) if several else [1] * len(groups)
    return [
        part
        for group, count in zip(groups, hands, strict=True)
        for part in (_dealt(_together(session, group), count) if count > 1 else [group])
    ]


def _hands(sizes: list[int], hands: int) -> list[int]:
    """How many threads each of these groups gets; only the large ones more than one."""
    given = [1] * len(sizes)
    for _ in range(hands - len(sizes)):
        most = max(range(len(sizes)), key=lambda n: sizes[n] / given[n])
        if sizes[most] / given[most] < WORTH_SPLITTING:
            break
        given[most] += 1
    return given


def _dealt(groups: Iterable[list[Claimed]], parts: int) -> list[list[Claimed]]:
    """The groups in at most so many parts of about one size."""
    found: list[list[Claimed]] = [[] for _ in range(max(1, parts))]
    for group in groups:
        min(found, key=len).extend(group)
    return [part for part in found if part]


def _together(session: Session, jobs: list[Claimed]) -> list[list[Claimed]]:
    """The jobs of a schedule in groups that its class wants in one transaction, largest first."""
    state = jobs[0].state
    registration = None if isinstance(state, BadState) else get_automation_class(state.class_name)
    if registration is None or not does_together(registration.cls):
        return [jobs[n : n + WORTH_SPLITTING] for n in range(0, len(jobs), WORTH_SPLITTING)]
    try:
        with no_exit():
            return sorted(lists_of(session, registration.cls, jobs), key=len, reverse=True)
    except Exception:  # theirs: who runs it meets it again, and puts it off
        return [jobs]


def lists_of(
    session: Session, cls: type[BaseAutomationTask], jobs: Sequence[Claimed]
) -> list[list[Claimed]]:
    """The jobs that belong into one transaction, in the order to run them."""
    tasks = [cls(item_of(job), "") for job in jobs]
    job_of = {id(task): job for task, job in zip(tasks, jobs, strict=True)}
    return [[job_of[id(task)] for task in some] for some in cls.batches(session, tasks)]


def does_together(cls: type[BaseAutomationTask]) -> bool:
    """The class deals with the items of a batch at once, not one after another."""
    own, plain = cls.execute_batch, BaseAutomationTask.execute_batch
    return own.__func__ is not plain.__func__  # type: ignore[attr-defined]
