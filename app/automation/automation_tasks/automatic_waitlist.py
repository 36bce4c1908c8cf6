"""Ends the invitations that nobody answered and offers the places to the next (waitlist WB)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.automation.automation_base import BaseAutomationTask, Late, LeftOut, register_automation
from app.extensions import db
from app.models.automation import AutomationSchedule, BeforeAfterEnum, EventsEnum
from app.models.bulk import among, send
from app.models.enrolment import INVITED, TrainingEnroll
from app.models.person import Student
from app.models.training import Training
from app.services import deadline_changes, occurrences, waitlist
from app.services.locks import locked
from app.services.plan import Occurrence
from app.services.transitions import Place

log = logging.getLogger("app.automation.waitlist")


@register_automation(description="Automatic Waitlist.")
class AutomaticWaitList(BaseAutomationTask):
    """One open invitation, by the uuid of its enrolment; due at its stored deadline.

    An invitation that is gone, or answered, is no failure: the training is filled all the same.
    """

    misfire_grace_time = None
    late = Late.ALWAYS
    runs_when_gone = True
    only_rows = True

    @staticmethod
    def query() -> Sequence[TrainingEnroll]:
        """The open invitations."""
        invited = sa.select(TrainingEnroll).where(TrainingEnroll.status == INVITED)
        return db.session.scalars(invited.order_by(TrainingEnroll.id)).all()

    @staticmethod
    def get_event_dt(item: TrainingEnroll) -> datetime | None:
        """When the student was invited."""
        return item.invite_date

    @classmethod
    def occurrences(
        cls, item: TrainingEnroll, automation: AutomationSchedule
    ) -> list[tuple[str, datetime | None]]:
        """The stored deadline: an invitation is a promise that later edits don't touch (WI3)."""
        return [(item.uuid, item.invite_expires_at)]

    @classmethod
    def planned(
        cls,
        session: Session,
        automation: AutomationSchedule,
        now: datetime,
        items: Sequence[str] | None = None,
        left_out: LeftOut | None = None,
    ) -> dict[str, Occurrence]:
        """As of every task, by one SELECT; `at` and `due` are the stored deadline."""
        return occurrences.open_invitations(session, automation, items)

    @classmethod
    def last_moment(cls, automation: AutomationSchedule, occurrence: Occurrence) -> datetime | None:
        """None, whatever the schedule says: an expiry always runs (reliability JX4)."""
        return None

    @classmethod
    def why_inert(cls, automation: AutomationSchedule) -> str | None:
        if automation.beforeafter is BeforeAfterEnum.before:
            return "the waitlist runs after the invitation, not before it"
        if automation.events not in (None, EventsEnum.invited):
            return "the waitlist counts from the invitation"
        return None

    def execute(self) -> bool:
        """End it if its deadline has come, then fill; True, also if it is unknown."""
        type(self).execute_batch([self], self.now)
        return True

    @classmethod
    def batches(cls, session: Session, tasks: Sequence[Any]) -> list[list[Any]]:
        """One list per training, in the order of their ids; the unknown come last, together."""
        e = TrainingEnroll
        which = sa.select(e.uuid, e.training_id).where(among(e.uuid, [task.id for task in tasks]))
        training_of = {row.uuid: row.training_id for row in session.execute(which)}
        lists: dict[int | None, list[Any]] = {}
        for task in tasks:
            lists.setdefault(training_of.get(task.id), []).append(task)
        known = sorted(id_ for id_ in lists if id_ is not None)
        return [lists[id_] for id_ in (*known, *([None] if None in lists else []))]

    @classmethod
    def execute_batch(cls, tasks: Sequence[Any], now: datetime) -> None:
        """End and refill, training by training; each task's `result` counts its own ending."""
        session = tasks[0].session
        for task in tasks:
            log.warning(
                "Started %s id: %s automation_name: %s",
                cls.__name__,
                task.id,
                task.automation_name,
            )
            task.result = {"ended": 0, "invited": 0}
        rows = _rows_of(session, [task.id for task in tasks])
        for training_id in sorted({row.training_id for row in rows.values()}):
            mine = [t for t in tasks if t.id in rows and rows[t.id].training_id == training_id]
            _run_training(session, training_id, mine, rows, now)
        for task in tasks:
            if task.id not in rows:
                log.warning("no enrolment with this id: %s", task.id)


def _run_training(
    session: Session, training_id: int, tasks: Sequence[Any], rows: dict[str, Any], now: datetime
) -> None:
    training = locked(session, Training, training_id)
    ended: list[Place] = []
    for as_of in sorted({task.as_of for task in tasks}):  # one, but in DEVELOPMENT (WA9)
        only = [rows[task.id].id for task in tasks if task.as_of == as_of]
        ended += waitlist.end_overdue(session, training, now, as_of=as_of, only=only)
    if len(ended) < len(tasks):  # some were answered, or could not be told yet
        deadline_changes.postpone_failing(session, training, now)
    invited = waitlist.refill(session, training, now).invited
    over = {place.uuid for place in ended}
    for task in tasks:
        task.result["ended"] = int(task.id in over)
        if task.id not in over and rows[task.id].status is not INVITED:
            log.warning("<TrainingEnroll %s> status is not waitlist-invited", rows[task.id].id)
    for task, _ in zip(tasks, invited, strict=False):
        task.result["invited"] = 1
    tasks[0].result["invited"] += max(0, len(invited) - len(tasks))
    for word, uuids in (("deinvited", sorted(over)), ("invited", invited)):
        for user_id in _users(session, uuids):
            log.info("%s user: <User %s> from training: <Training %s>", word, user_id, training_id)


def _rows_of(session: Session, uuids: Sequence[str]) -> dict[str, Any]:
    return {row.uuid: row for row in send(session, _named(), {"uuids": list(uuids)})}


@cache
def _named() -> Any:
    e = TrainingEnroll
    return sa.select(e.uuid, e.id, e.training_id, e.status).where(among(e.uuid, "uuids"))


def _users(session: Session, uuids: Sequence[str]) -> list[int]:
    """The users behind enrolments, in the order of these."""
    if not uuids or not log.isEnabledFor(logging.INFO):
        return []
    e = TrainingEnroll
    of = sa.select(e.uuid, Student.user_id).join(Student, Student.id == e.student_id)
    rows = session.execute(of.where(among(e.uuid, uuids)))
    users = {row.uuid: row.user_id for row in rows}
    return [users[uuid] for uuid in uuids]
