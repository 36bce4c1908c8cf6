"""What the built-in tasks have to do, and when: read from the rows, by the set (waitlist WA3).

`plan.py` plans one training beside its change; here a schedule is looked at as a whole, by renew,
and by whoever runs a job and asks whether it is still wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from app.models.automation import AutomationSchedule
from app.models.bulk import chunks
from app.models.enrolment import INVITED, TrainingEnroll
from app.models.practice import Practice
from app.models.training import Training, TrainingEvent, schedule_types
from app.services import runs
from app.services.plan import Anchor, Occurrence, anchors, counts, shifted

# An event so long past is no news any more: what was not done for it is not even `missed`.
LOOKS_BACK = timedelta(days=31)


def open_invitations(
    session: Session, schedule: AutomationSchedule, items: Sequence[str] | None = None
) -> dict[str, Occurrence]:
    """The invitations that a waitlist schedule ends, by uuid; due at the stored deadline."""
    e = TrainingEnroll
    columns: tuple[Any, ...] = (e.uuid, e.invite_expires_at)
    mine = sa.select(*columns).where(e.invite_schedule_id == schedule.id, *ends_by_itself())
    found = {}
    for some in _limits(e.uuid, items):
        for uuid, deadline in session.execute(mine.where(*some)):
            found[uuid] = Occurrence(uuid, deadline, deadline)
    return found


def ends_by_itself() -> tuple[sa.ColumnElement[bool], ...]:
    """An invitation that its schedule ends: not exempt, not lifted, with a deadline (WI4, WI5)."""
    e = TrainingEnroll
    return (
        e.status == INVITED,
        ~e.expiry_exempt,
        e.invite_promised_until.is_(None),
        e.invite_expires_at.is_not(None),
    )


def of_trainings(
    session: Session,
    schedule: AutomationSchedule,
    anchor: Anchor,
    now: datetime,
    items: Sequence[str] | None = None,
    left_out: Callable[[str, str | Exception], None] | None = None,
) -> dict[str, Occurrence]:
    """What a schedule of a training task plans: item id -> its occurrence, past ones too.

    Trainings must be active, not cancelled or archived, but for what counts from their end. What
    was due before the schedule was switched on is left out. One whose zone or dates are no good is
    told to `left_out`; without it, it raises.
    """
    found: dict[str, Occurrence] = {}
    ids = None if items is None else sorted({_training_id(item) for item in items})
    for some in _limits(Training.id, ids):
        rows = session.execute(_events(schedule, anchor, now).where(*some))
        for training_id, of_one in groupby(rows, key=lambda row: row.training_id):
            for occurrence in _apart(training_id, list(of_one), schedule, anchor, now, left_out):
                if anchor is Anchor.LAST_END or occurrence.at > now - LOOKS_BACK:
                    found[occurrence.item] = occurrence
    if items is None:
        return found
    return {item: found[item] for item in items if item in found}


def _apart(
    training_id: int,
    events: list[Any],
    schedule: AutomationSchedule,
    anchor: Anchor,
    now: datetime,
    left_out: Callable[[str, str | Exception], None] | None,
) -> list[Occurrence]:
    """Those of one training; what is wrong with it stops no other, if somebody is told."""
    try:
        return list(_of_one(training_id, events, schedule, anchor, now))
    # A zone nobody knows (or no name of one), a date beyond what there is.
    except (LookupError, ValueError, OverflowError, OSError) as error:
        if left_out is None:
            raise
        left_out(str(training_id), error)
        return []


def _of_one(
    training_id: int,
    events: list[Any],
    schedule: AutomationSchedule,
    anchor: Anchor,
    now: datetime,
) -> Iterator[Occurrence]:
    zone, interval = ZoneInfo(events[0].timezone), schedule.interval or timedelta(0)
    for item, at in anchors(training_id, events, anchor, schedule.events):
        occurrence = Occurrence(item, at, shifted(at, interval, schedule.beforeafter, zone))
        if counts(schedule, anchor, occurrence, now):
            yield occurrence


def ended_before(
    session: Session, schedule: AutomationSchedule, now: datetime
) -> list[tuple[str, datetime]]:
    """(training, its last end) of what a schedule of ends leaves alone until it is confirmed (WB).

    It ended before the schedule was switched on; the latest first.
    """
    found = []
    rows = session.execute(_events(schedule, Anchor.LAST_END, now).add_columns(Training.name))
    for training_id, of_one in groupby(rows, key=lambda row: row.training_id):
        events = list(of_one)
        end = max(event.end_time for event in events)
        ended = Occurrence(str(training_id), end, end)
        if end <= now and not counts(schedule, Anchor.LAST_END, ended, now):
            found.append((events[0].name, end))
    return sorted(found, key=lambda one: one[1], reverse=True)


def at_most_due(
    session: Session,
    schedule: AutomationSchedule,
    planned: dict[str, Occurrence],
    now: datetime,
    most: int,
) -> dict[str, Occurrence]:
    """Of what is due already only so many that have not run, the longest due first.

    The others follow once these have: a run of a task that puts things away is small (WB).
    """
    due = sorted((o for o in planned.values() if o.due <= now), key=_longest_due_first)
    if len(due) <= most:
        return planned
    ended = runs.ended_keys(session, schedule.id, [o.item for o in due])
    later = set([o for o in due if (o.item, o.name) not in ended][most:])
    return {item: o for item, o in planned.items() if o not in later}


def _longest_due_first(o: Occurrence) -> tuple[datetime, int, str]:
    """Of what is due at once the one that was made first: item 9 comes before 10."""
    return o.due, len(o.item), o.item


def _events(schedule: AutomationSchedule, anchor: Anchor, now: datetime) -> sa.Select[Any]:
    """The events of all trainings that the schedule covers, training by training."""
    t, event = Training, TrainingEvent
    which: list[Any] = [t.archived_at.is_(None), _covered_by(schedule)]
    if anchor is not Anchor.LAST_END:
        one = aliased(TrainingEvent)
        recent = sa.exists().where(one.training_id == t.id, one.start_time > now - LOOKS_BACK)
        which += [t.active, t.cancelled_at.is_(None), recent]
    if schedule.practice_id is not None:
        which.append(t.practice_id == schedule.practice_id)
    columns: tuple[Any, ...] = (event.training_id, event.id, event.start_time, event.end_time)
    return (
        sa.select(*columns, Practice.timezone)
        .join(t, t.id == event.training_id)
        .join(Practice, Practice.id == t.practice_id)
        .where(*which)
        .order_by(event.training_id, event.start_time, event.id)
    )


def _covered_by(schedule: AutomationSchedule) -> sa.ColumnElement[bool]:
    """A training of its types, or any if it has none (WA3)."""
    typed = schedule_types.c
    types = sa.select(typed.training_type_id).where(typed.schedule_id == schedule.id)
    return sa.or_(~types.exists(), Training.training_type_id.in_(types))


def _limits(column: Any, values: Sequence[Any] | None) -> Iterator[list[sa.ColumnElement[bool]]]:
    """No limit, or one for each thousand of `values`."""
    if values is None:
        yield []
    for some in chunks(values or []):
        yield [column.in_(some)]


def _training_id(item: str) -> int:
    """The training of an item `<id>` or `<id>:<event id>`; -1 for what can be neither."""
    of = item.partition(":")[0]
    return int(of) if of.isdecimal() and len(of) < 10 else -1
