"""Which schedules follow the end of another, and that they end somewhere (schedules R8)."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.models.automation import AutomationSchedule
from app.services.schedule_errors import InvalidScheduleException

DEEPEST = 10  # schedules in a row

Links = Mapping[int, tuple[int, ...]]


def require_chain(session: Session, schedule: AutomationSchedule) -> None:
    """It leads back to no schedule, and is at most ten deep. Raises `InvalidScheduleException`."""
    session.flush()  # a new one needs its id to be followed
    links = _links(session)
    backwards = _turned(links)
    longest = _longest(links, schedule.id, {}) + _longest(backwards, schedule.id, {}) + 1
    if longest > DEEPEST:
        raise _bad(_("at most %(most)s schedules in a row", most=DEEPEST))


def _links(session: Session) -> Links:
    s = AutomationSchedule
    columns = (s.on_success_schedule_id, s.on_failure_schedule_id)
    linked = sa.select(s.id, *columns).where(
        s.deleted_at.is_(None), sa.or_(*(column.is_not(None) for column in columns))
    )
    return {
        id_: tuple(dict.fromkeys(n for n in next_ if n is not None))
        for id_, *next_ in session.execute(linked)
    }


def _turned(links: Links) -> Links:
    turned: dict[int, tuple[int, ...]] = {}
    for id_, following in links.items():
        for other in following:
            turned[other] = (*turned.get(other, ()), id_)
    return turned


def _longest(links: Links, id_: int, known: dict[int, int | None]) -> int:
    """How many schedules follow it in a row; each is counted once, whoever leads to it."""
    if id_ not in known:
        known[id_] = None  # under way: who comes here again goes round in a circle
        known[id_] = max(
            (1 + _longest(links, other, known) for other in links.get(id_, ())), default=0
        )
    length = known[id_]
    if length is None:
        raise _bad(_("a chain that leads back to itself never ends"))
    return length


def _bad(why: str) -> InvalidScheduleException:
    field = "on_success_schedule_id"
    return InvalidScheduleException(f"{field}: {why}", {field: why})
