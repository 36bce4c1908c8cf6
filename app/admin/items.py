"""What jobs and runs are about, in names, and whose they are; the automation's part of the office.

A schedule without a practice is everybody's: of its jobs and runs an office sees those about its
own enrolments and trainings.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from flask import current_app, url_for
from flask_babel import gettext as _
from markupsafe import Markup
from sqlalchemy.orm import Session

from app.admin import office
from app.automation import registry
from app.automation.registry import BadAutomationModule, Registration
from app.models import (
    AutomationRun,
    AutomationSchedule,
    Job,
    Practice,
    Student,
    Training,
    TrainingEnroll,
    User,
)
from app.models.bulk import among
from app.services.diff import item_of, schedule_of

log = logging.getLogger("app.admin")


# --- whose ---------------------------------------------------------------------------------------


def own_schedules() -> sa.ColumnElement[bool]:
    """The practice's schedules and everybody's."""
    s = AutomationSchedule
    return sa.or_(s.practice_id.is_(None), s.practice_id == office.practice_id())


def not_of_others(item: Any) -> sa.ColumnElement[bool]:
    """The item of a run is no enrolment and no training of another practice."""
    e, t, p = TrainingEnroll, Training, Practice
    theirs = t.practice_id != office.practice_id()
    number = sa.cast(t.id, sa.String)
    enrolments = sa.exists().where(e.uuid == item, e.training_id == t.id, theirs)
    itself = sa.or_(item == number, item.startswith(number + ":"))
    several = sa.exists().where(p.id != office.practice_id())
    return ~sa.and_(several, sa.or_(enrolments, sa.exists().where(theirs, itself)))


def not_job_of_others(job_id: Any, item: Any) -> sa.ColumnElement[bool]:
    """Nor is the schedule another practice's, nor the run that staff started."""
    r, s, p = AutomationRun, AutomationSchedule, Practice
    theirs = s.practice_id != office.practice_id()
    of_schedule = sa.exists().where(s.name == schedule_of(job_id), theirs, s.deleted_at.is_(None))
    of_run = sa.exists().where(r.execution_id == item, ~not_of_others(r.item))
    several = sa.exists().where(p.id != office.practice_id())
    by_name = ~sa.and_(several, sa.or_(of_schedule, of_run))
    return sa.and_(by_name, not_of_others(item))


def own_jobs() -> sa.ColumnElement[bool]:
    """The jobs that the office sees."""
    return not_job_of_others(Job.id, item_of(Job.id))


def own_runs() -> sa.ColumnElement[bool]:
    """The runs that it sees: of its schedules and everybody's, about nothing of others."""
    r, ours = AutomationRun, sa.select(AutomationSchedule.id).where(own_schedules())
    return sa.and_(r.schedule_id.in_(ours), not_of_others(r.item))


# --- names ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Named:
    """What an item or a schedule is called, and where its page is."""

    words: str
    at: str

    def link(self) -> Markup:
        """As a link."""
        return Markup('<a href="{}">{}</a>').format(self.at, self.words)


def named(session: Session, items: Iterable[str | None]) -> dict[str, Named]:
    """The enrolments, trainings and runs behind items, by one statement."""
    wanted = {item for item in items if item}
    numbers = {int(item.partition(":")[0]) for item in wanted if _is_number(item)}
    texts = wanted - {item for item in wanted if _is_number(item)}
    if not wanted:
        return {}
    called = {(kind, key): (words, id_) for kind, key, words, id_ in _read(session, texts, numbers)}
    found = {}
    for item in wanted:
        number = _is_number(item)
        at = ("training", item.partition(":")[0]) if number else ("enrolment", item)
        for kind, key in (at, ("run", item)):
            if (kind, key) in called:
                words, id_ = called[kind, key]
                found[item] = _as_link(kind, words, id_)
    return found


def _is_number(item: str) -> bool:
    number = item.partition(":")[0]
    return number.isascii() and number.isdigit() and len(number) < 10


def _read(session: Session, texts: set[str], numbers: set[int]) -> Any:
    e, t, r, u, st = TrainingEnroll, Training, AutomationRun, User, Student
    person = sa.func.trim(u.first_name + " " + u.last_name)
    whole = sa.func.coalesce(sa.func.nullif(person, ""), u.email) + " · " + t.name
    enrolments = (
        sa.select(sa.literal("enrolment"), e.uuid, whole, e.id)
        .join(t, t.id == e.training_id)
        .join(st, st.id == e.student_id)
        .join(u, u.id == st.user_id)
        .where(among(e.uuid, list(texts)), t.practice_id == office.practice_id())
    )
    trainings = sa.select(sa.literal("training"), sa.cast(t.id, sa.String), t.name, t.id).where(
        among(t.id, list(numbers)), t.practice_id == office.practice_id()
    )
    by_hand = sa.select(sa.literal("run"), r.execution_id, r.item, r.id).where(
        among(r.execution_id, list(texts))
    )
    return session.execute(sa.union_all(enrolments, trainings, by_hand)).all()


def _as_link(kind: str, words: str, id_: int) -> Named:
    if kind == "run":
        return Named(_("Run no. %(id)s, by hand", id=id_), at_page("automationrun", id_))
    return Named(words, at_page("trainingenroll" if kind == "enrolment" else "training", id_))


def at_page(view: str, id_: Any) -> str:
    """The page of a row in the administration."""
    return url_for(f"admin_{view}.details_view", id=id_)


# --- task classes --------------------------------------------------------------------------------


def registered() -> dict[str, Registration]:
    """The task classes there are; one bad module of somebody's costs only its own."""
    try:
        registry.load(current_app.extensions["settings"].automation_modules)
    except BadAutomationModule as bad:
        log.warning("%s", bad)
    return registry.get_registered_automation_classes()
