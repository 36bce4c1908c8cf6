"""The plan as people look at it: jobs read one by one, whatever stands in them (DB8, RC8)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.automation.claims import DUE_TEXT, STATE, UNREADABLE, BadState, instant, read_state
from app.automation.registry import get_automation_class
from app.models.job import Job
from app.services.refusals import NotFound, Refusal


@dataclass(frozen=True)
class Planned:
    """A job as operators see it; what cannot be read has only its id and the reason."""

    id: str
    item: str | None
    schedule: str | None
    task: str | None
    due: datetime | None
    parked: bool
    attempts: int
    error: str | None
    odd_due: bool = False  # something stands there that is no date
    running: bool = False  # somebody has claimed it

    def late_by(self, now: datetime) -> timedelta | None:
        """How long it has been due, if it is; what is parked waits for a person."""
        return now - self.due if self.due and self.due < now and not self.parked else None

    @property
    def args(self) -> list[str | None] | None:
        """As its function gets them; None: they can't be read."""
        return [self.item, self.schedule, self.task] if self.item is not None else None


# The alarm's own instant counts, not the end of a lease (rulings RC8).
DUE = (Job.due.is_(None), Job.due, Job.id)


def planned(
    session: Session, which: sa.ColumnElement[bool], limit: int | None = None
) -> Iterator[Planned]:
    """The jobs of a condition, the earliest due first; one statement."""
    j = Job
    rows = session.execute(
        sa.select(j.id, STATE, DUE_TEXT, j.next_run_time, j.attempts, j.last_error, j.claim)
        .where(which)
        .order_by(*DUE)
        .limit(limit)
    )
    for id_, state, due_text, next_run, attempts, error, claim in rows:
        item = schedule = task = due = None
        try:
            read = read_state(state)
            item, schedule, task = read.item, read.schedule_name, read.class_name
        except BadState as bad:
            error = error or str(bad)
        with contextlib.suppress(*UNREADABLE):
            due = instant(due_text)
        odd = due is None and due_text is not None
        error = error or ("when it is due cannot be read" if odd else None)
        running = claim is not None
        parked = next_run is None
        yield Planned(id_, item, schedule, task, due, parked, attempts, error, odd, running)


# --- trying again --------------------------------------------------------------------------------


class Unreadable(Refusal):
    """A job that names no class that is there would only be parked again."""

    code = "unreadable"
    sentence = _l("This job cannot run: what it says is unreadable, or its task class is missing.")


class NotDue(Refusal):
    """Before its time a job does nothing."""

    code = "not_due"
    sentence = _l("This job is not due yet: it runs by itself when it is.")


class RunsNow(Refusal):
    """Somebody is at it."""

    code = "runs_now"
    sentence = _l("This job is running now.")


def try_now(session: Session, job_id: str, now: datetime) -> None:
    """Let a job that is due run at once: one that was put off after a failure, or is parked.

    A parked one that is not due yet waits for its time again. Raises `NotFound`, `Unreadable`,
    `NotDue`, `RunsNow`.
    """
    job = next(planned(session, Job.id == job_id), None)
    if job is None:
        raise NotFound(what="job", id=job_id[:100])
    if job.task is None or get_automation_class(job.task) is None or job.due is None:
        raise Unreadable
    if job.due > now and not job.parked:
        raise NotDue
    at = max(job.due, now).timestamp()
    free = sa.and_(Job.id == job_id, Job.claim.is_(None))
    released = sa.update(Job).where(free).values(next_run_time=at).returning(Job.id)
    if not session.execute(released.execution_options(synchronize_session=False)).all():
        raise RunsNow
