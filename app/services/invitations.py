"""Invitations by the set: make them, end them, take them back, hold a place for later.

The mechanics behind `waitlist.py`: whoever calls holds the training's lock and has chosen whom.
Each function takes a constant number of statements, however many people it concerns.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from app.models.bulk import among, composed, send
from app.models.enrolment import EXPIRED, INVITED, WAITLIST, TrainingEnroll
from app.models.queue import Standing, clock, obstacle, waiting
from app.models.rules import Rules
from app.services import history, letters, plan
from app.services.actors import Actor
from app.services.deadline import answer_until, governing_schedule, next_reminder
from app.services.ledger import next_position
from app.services.transitions import (
    ALWAYS,
    NEXT_INVITATION,
    NEXT_SEQUENCE,
    ONE_MORE_MISSED,
    Place,
    forget,
    move_many,
)

log = logging.getLogger("app.services.invitations")


def make(
    session: Session,
    stand: Standing,
    ids: Sequence[int],
    actor: Actor,
    *,
    schedule_expiry: bool = True,
    note: str | None = None,
) -> list[Place]:
    """waitlist -> waitlist-invited (WE2 4); `schedule_expiry=False` leaves only the hard stop."""
    if not ids:
        return []
    now = stand.now
    schedule = governing_schedule(session, stand.training)
    deadline = answer_until(schedule if schedule_expiry else None, stand, now)
    places = move_many(
        session,
        ids,
        WAITLIST,
        INVITED,
        invite_no=NEXT_INVITATION,
        invite_date=now,
        invite_expires_at=deadline,
        invite_promised_until=None,
        invite_remind_at=next_reminder(schedule, deadline, now) if schedule_expiry else None,
        invite_planned_at=None,
        invite_undelivered_at=None,
        invite_schedule_id=schedule.id if schedule else None,
        expiry_exempt=not schedule_expiry,
        more_time_used=False,
    )
    why = {
        "free": stand.free,
        "schedule": schedule.name if schedule else None,
        "deadline": deadline.isoformat() if deadline else None,
    }
    # Who was passed over is written once, with the first of those invited together.
    passed_over = {"passed_over": _passed_over(session, stand, places)}
    history.record_many(
        session,
        places,
        "invited",
        WAITLIST,
        INVITED,
        actor,
        now,
        note=note,
        data=why,
        data_of_first=passed_over,
    )
    letters.invited(session, places, now)
    if schedule_expiry:
        plan.expiry_jobs(session, places, schedule, deadline, now)
    return places


def _passed_over(session: Session, stand: Standing, places: list[Place]) -> list[dict[str, Any]]:
    """Who stood before the last one invited, with the code why they weren't: "why not me?"."""
    last = max((place.queue_position or 0 for place in places), default=0)
    if last == stand.first_position:
        return []
    asked = clock(stand.rules, stand.now) | {"training": stand.training.id, "last": last}
    rows = send(session, _waiting_before(stand.rules), asked)
    passed = [{"enrolment": uuid, "position": at, "code": why} for uuid, at, why in rows]
    for one in passed:
        if one["code"] == "rate-limited":
            log.info("passed over, rate-limited: enrolment=%s", one["enrolment"])
    return passed


@composed
def _waiting_before(rules: Rules) -> sa.Select[Any]:
    e, code = TrainingEnroll, obstacle(rules).label("code")
    of, last = (sa.bindparam(name, type_=sa.Integer) for name in ("training", "last"))
    return waiting(of, e.uuid, e.queue_position, code).where(e.queue_position < last)


def end(
    session: Session,
    ids: Sequence[int],
    event: str,
    actor: Actor,
    now: datetime,
    *,
    where: ColumnElement[bool] = ALWAYS,
    given: dict[str, Any] | None = None,
    reason: str | None = None,
    note: str | None = None,
) -> list[Place]:
    """waitlist-invited -> waitlist-invite-expired (WE2 7, 8); `invite_date` stays.

    Only those of which `where` is true, with the values `given` for its parameters.
    """
    places = move_many(
        session,
        ids,
        INVITED,
        EXPIRED,
        where=where,
        given=given,
        missed_invites=ONE_MORE_MISSED,
        ical_sequence=NEXT_SEQUENCE,
    )
    history.record_many(
        session, places, event, INVITED, EXPIRED, actor, now, reason=reason, note=note
    )
    letters.expired(session, places, now)
    plan.drop_expiry(session, [place.id for place in places])
    return places


def withdraw(
    session: Session,
    ids: Sequence[int],
    actor: Actor,
    now: datetime,
    *,
    silent: bool = False,
    reason: str | None = None,
    note: str | None = None,
    **changes: Any,
) -> list[Place]:
    """waitlist-invited -> waitlist at the same position (WE2 9); `changes` say when next."""
    _give_positions(session, ids)
    places = move_many(session, ids, INVITED, WAITLIST, **changes)
    history.record_many(
        session, places, "returned", INVITED, WAITLIST, actor, now, reason=reason, note=note
    )
    if not silent:
        letters.invitation_withdrawn(session, places, now)
    plan.drop_expiry(session, [place.id for place in places])
    return places


def _give_positions(session: Session, ids: Sequence[int]) -> None:
    """Rows written past the services may have no position to go back to: the tail (RC9)."""
    e = TrainingEnroll
    without = sa.select(e.id, e.training_id).where(
        among(e.id, ids), e.status == INVITED, e.queue_position.is_(None)
    )
    for id_, training_id in session.execute(without).all():
        session.execute(
            sa.update(e)
            .where(e.id == id_)
            .values(queue_position=next_position(session, training_id))
            .execution_options(synchronize_session=False)
        )


def hold_for_later(
    session: Session,
    when: dict[Place, datetime],
    actor: Actor,
    now: datetime,
    *,
    note: str | None = None,
) -> None:
    """Plan invitations, each for its instant; a planned row holds its place (WF8)."""
    if not when:
        return
    table = TrainingEnroll.__table__
    plan_one = table.update().where(table.c.id == sa.bindparam("row"))  # type: ignore[attr-defined]
    plans = [{"row": place.id, "at": at} for place, at in when.items()]
    session.connection().execute(plan_one.values(invite_planned_at=sa.bindparam("at")), plans)
    forget(session, [place.id for place in when])
    at = {place.uuid: instant.isoformat() for place, instant in when.items()}
    history.record_many(
        session,
        list(when),
        "planned",
        WAITLIST,
        WAITLIST,
        actor,
        now,
        note=note,
        data_of_first={"at": at},
    )
