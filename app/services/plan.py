"""The plan: jobs that follow from rows, written in the transaction of the fact (L1, rulings RC4).

A job names a schedule and an item, never a deadline; whoever wakes asks the row. Losing every job
loses nothing, since all of them can be computed again from the rows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models.automation import (
    AutomationClasses,
    AutomationRun,
    AutomationSchedule,
    BeforeAfterEnum,
    EventsEnum,
)
from app.models.bulk import (
    among,
    composed,
    dialect_of,
    given,
    send,
    upsert_many,
    upsert_selected,
    utf8,
)
from app.models.enrolment import TrainingEnroll
from app.models.job import Job
from app.models.rules import Environment, rules_of
from app.models.training import Training, TrainingEvent, schedule_types
from app.services.deadline import WAITLIST_TASK, Governing
from app.services.occurrence import Occurrence as Occurrence
from app.services.transitions import Place

DEVELOPMENT_DELAY = timedelta(seconds=1)  # waitlist WA9


class Anchor(Enum):
    """From which instant of a training a task counts (waitlist WB)."""

    EVENT_START = "the start of the first, the last or all events"
    FIRST_START = "the start of the first event"
    LAST_END = "the end of the last event"


# The built-in tasks whose items are trainings; a provider's own classes come with renew.
TRAINING_TASKS: dict[str, Anchor] = {
    "StudentReminderTask": Anchor.EVENT_START,
    "TrainerReminderTask": Anchor.EVENT_START,
    "SendAttendeeListTask": Anchor.EVENT_START,
    "StudentOpenSpotReminder": Anchor.FIRST_START,
    "WaitlistReminderTask": Anchor.FIRST_START,
    "MinimumNumberAlert": Anchor.FIRST_START,
    "DeleteTrainingTask": Anchor.LAST_END,
}


# Never hurried in DEVELOPMENT (waitlist WA9).
DESTRUCTIVE = frozenset({"DeleteTrainingTask"})
LEAST_AFTER_END = timedelta(days=1)  # a training is put away no sooner (waitlist WB)
CONFIRMED_UNTIL = "confirmed_until"  # in the config of what counts from the last end


def job_id(schedule_name: str, item: str, environment: Environment) -> str:
    """`{schedule name}/{item id}/{ENVIRONMENT}`, always three segments (waitlist WA4)."""
    return f"{schedule_name}/{item}/{environment}"


# --- expiry jobs, one for each open invitation ---------------------------------------------------


def expiry_jobs(
    session: Session,
    places: Sequence[Place],
    schedule: Governing | AutomationSchedule | None,
    deadline: datetime | None,
    now: datetime,
) -> None:
    """Plan the end of invitations that `schedule` governs; without one the sweep ends them."""
    if not places or schedule is None or deadline is None:
        return
    environment = rules_of(session).environment
    before, after = _state_around_item(schedule.name, WAITLIST_TASK)
    alarm = {
        "ids": [place.id for place in places],
        "name": schedule.name,
        "before": before,
        "after": after,
    }
    due = _alarm(_due(deadline, environment, now))
    send(session, _expiry_alarms(dialect_of(session), environment), alarm | due)


@composed
def _expiry_alarms(dialect: str, environment: Environment) -> Any:
    e = TrainingEnroll
    name, before, after = (sa.bindparam(b, type_=sa.String) for b in ("name", "before", "after"))
    columns = {column: given(column) for column in ALARM} | {
        "id": name + "/" + e.uuid + f"/{environment}",
        "job_state": utf8(before + e.uuid + after),
    }
    these = sa.select(e).where(among(e.id, "ids"))
    return upsert_selected(dialect, Job, columns, these, key="id")


def drop_expiry(session: Session, enrolment_ids: Sequence[int]) -> None:
    """Take the expiry jobs of enrolments away: they left `waitlist-invited`, or run no more."""
    if enrolment_ids:
        gone = {"ids": list(enrolment_ids)}
        environment = rules_of(session).environment
        send(session, _no_expiry_alarms(dialect_of(session), environment), gone)


@composed
def _no_expiry_alarms(dialect: str, environment: Environment) -> Any:
    e, s, job = TrainingEnroll, AutomationSchedule, Job.__table__
    ids = (
        sa.select(s.name + "/" + e.uuid + f"/{environment}")
        .select_from(e)
        .join(s, s.id == e.invite_schedule_id)
        .where(among(e.id, "ids"))
    )
    # PostgreSQL: one look into the index for each, however few jobs there were when it planned.
    in_array = job.c.id == sa.any_(sa.func.array(ids.scalar_subquery()))
    which: Any = in_array if dialect == "postgresql" else job.c.id.in_(ids)
    return sa.delete(job).where(which)  # type: ignore[arg-type]


# --- jobs of a training: reminders, attendee lists, archiving -------------------------------------


def training_jobs(session: Session, training: Training, now: datetime) -> None:
    """Bring the jobs of a training in line with its events: what is due anew, moved or gone."""
    environment = rules_of(session).environment
    wanted: dict[str, dict[str, Any]] = {}
    for schedule, class_name in _training_schedules(session, training):
        planned = occurrences(training, schedule, class_name, now)
        for occurrence in _unfinished(session, schedule, planned):
            job = _job(schedule, class_name, occurrence, environment, now)
            wanted[job["id"]] = job
    there = _jobs_of(session, training.id)
    _delete(session, Job.id.in_([id_ for id_ in there if id_ not in wanted]))
    at_once = environment is Environment.DEVELOPMENT  # there, a job planned again stays as it is
    changed = [
        job
        for id_, job in wanted.items()
        if id_ not in there or (not at_once and there[id_] != job["due"])
    ]
    upsert_many(session, Job, changed, key="id")


def drop_training_jobs(session: Session, training: Training) -> None:
    """Take the jobs of a training away: it is closed."""
    _delete(session, Job.id.in_(list(_jobs_of(session, training.id))))


def occurrences(
    training: Training, schedule: AutomationSchedule, class_name: str, now: datetime
) -> list[Occurrence]:
    """When a schedule of a built-in training task is due for a training (waitlist WA2, WB).

    Left out: trainings that are closed and anchors that are past (but of `LAST_END`), what was due
    before the schedule was switched on, and all of a schedule that makes no sense.
    """
    zone, anchor = ZoneInfo(training.practice.timezone), TRAINING_TASKS[class_name]
    found: list[Occurrence] = []
    of_end = anchor is Anchor.LAST_END
    there = training.archived_at is None if of_end else training.bookable
    if not there or _is_inert(schedule, anchor):
        return found
    for item, at in anchors(training.id, training.events, anchor, schedule.events):
        due = shifted(at, schedule.interval or timedelta(0), schedule.beforeafter, zone)
        occurrence = Occurrence(item, at, due)
        if (at > now or of_end) and counts(schedule, anchor, occurrence, now):
            found.append(occurrence)
    return found


def counts(
    schedule: AutomationSchedule, anchor: Anchor, occurrence: Occurrence, now: datetime
) -> bool:
    """Whether a schedule is for it: not if it was due before that was switched on (WA3).

    What counts from the last end must have ended since, or an administrator has seen and confirmed
    it: a fresh schedule puts nothing away that nobody looked at (WB).
    """
    since = schedule.active_since
    if anchor is not Anchor.LAST_END:
        return since is None or occurrence.due >= since
    confirmed = confirmed_until(schedule)
    return occurrence.at >= (since or now) or (confirmed is not None and occurrence.at <= confirmed)


def confirmed_until(schedule: AutomationSchedule) -> datetime | None:
    """Up to which end an administrator has seen what a schedule puts away; None: nothing."""
    try:
        at = datetime.fromisoformat(str((schedule.task_config or {}).get(CONFIRMED_UNTIL)))
    except ValueError:  # nothing there, or spoilt past the form
        return None
    return at if at.tzinfo else None


def _is_inert(schedule: AutomationSchedule, anchor: Anchor) -> bool:
    """A letter after the event, archiving too soon, counted from an invitation (WA7)."""
    before = schedule.beforeafter is BeforeAfterEnum.before
    if anchor is Anchor.LAST_END:
        return before or (schedule.interval or timedelta(0)) < LEAST_AFTER_END
    return not before or schedule.events is EventsEnum.invited


def anchors(
    training_id: int,
    events: Sequence[TrainingEvent],
    anchor: Anchor,
    which: EventsEnum | None,
) -> list[tuple[str, datetime]]:
    """(item id, instant) of a training: `<id>`, or `<id>:<event id>` for each of all events."""
    if not events:
        return []
    item = str(training_id)
    starts = sorted(events, key=lambda event: (event.start_time, event.id))
    if anchor is Anchor.LAST_END:
        return [(item, max(event.end_time for event in events))]
    if anchor is Anchor.FIRST_START or which in (None, EventsEnum.first):
        return [(item, starts[0].start_time)]
    if which is EventsEnum.last:
        return [(item, starts[-1].start_time)]
    if which is EventsEnum.all:
        return [(f"{item}:{event.id}", event.start_time) for event in starts]
    return []  # `invited` makes no sense for a training: inert (WA7)


def shifted(at: datetime, interval: timedelta, side: BeforeAfterEnum, zone: ZoneInfo) -> datetime:
    """`interval` before or after an instant, in UTC.

    Whole days are calendar days of `zone`: "7 days before 09:00" is 09:00 on either side of a clock
    change. What is left is elapsed time (waitlist WA3).
    """
    sign = -1 if side is BeforeAfterEnum.before else 1
    days = timedelta(days=interval.days)
    same_clock = (at.astimezone(zone) + sign * days).astimezone(UTC)
    return same_clock + sign * (interval - days)


# --- writing -------------------------------------------------------------------------------------


def _job(
    schedule: AutomationSchedule,
    class_name: str,
    occurrence: Occurrence,
    environment: Environment,
    now: datetime,
) -> dict[str, Any]:
    before, after = _state_around_item(schedule.name, class_name)
    destroys = class_name in DESTRUCTIVE
    due = occurrence.due if destroys else _due(occurrence.due, environment, now)
    return _alarm(due) | {
        "id": job_id(schedule.name, occurrence.item, environment),
        "job_state": f"{before}{occurrence.item}{after}".encode(),
    }


def alarm(
    schedule_name: str, class_name: str, item: str, environment: Environment, due: datetime
) -> dict[str, Any]:
    """A row of the job table that wakes `item` of a schedule at `due`."""
    before, after = _state_around_item(schedule_name, class_name)
    return _alarm(due) | {
        "id": job_id(schedule_name, item, environment),
        "job_state": f"{before}{item}{after}".encode(),
    }


def _state_around_item(schedule_name: str, class_name: str) -> tuple[str, str]:
    """The arguments of `_execute_automation_task_job` as JSON, in front of and behind the item.

    Items are uuids and ids, so they need no escaping, and the database can put them in (DB8).
    """
    names = f"{json.dumps(schedule_name)}, {json.dumps(class_name)}"
    return '{"v": 1, "args": ["', f'", {names}], "kwargs": {{}}}}'


ALARM = ("next_run_time", "due", "attempts", "claim", "last_error")


def _alarm(due: datetime) -> dict[str, Any]:
    return dict(zip(ALARM, (due.timestamp(), due, 0, None, None), strict=True))


def _due(due: datetime, environment: Environment, now: datetime) -> datetime:
    return now + DEVELOPMENT_DELAY if environment is Environment.DEVELOPMENT else due


def _delete(session: Session, which: sa.ColumnElement[bool]) -> None:
    session.execute(sa.delete(Job).where(which).execution_options(synchronize_session=False))


def _training_schedules(
    session: Session, training: Training
) -> list[tuple[AutomationSchedule, str]]:
    s, typed = AutomationSchedule, schedule_types.c
    types_of = sa.select(typed.schedule_id).where(typed.schedule_id == s.id)
    covers = sa.or_(
        ~types_of.exists(),
        types_of.where(typed.training_type_id == training.training_type_id).exists(),
    )
    rows = session.execute(
        sa.select(s, AutomationClasses.class_name)
        .join(AutomationClasses, AutomationClasses.id == s.automation_class_id)
        .where(
            AutomationClasses.class_name.in_(list(TRAINING_TASKS)),
            s.works(),
            s.interval.is_not(None),
            sa.or_(s.practice_id.is_(None), s.practice_id == training.practice_id),
            covers,
        )
        .order_by(s.id)
    )
    return [(schedule, class_name) for schedule, class_name in rows]


def _unfinished(
    session: Session, schedule: AutomationSchedule, planned: list[Occurrence]
) -> list[Occurrence]:
    """Without those that the ledger knows: what ran is never run again (L7)."""
    if not planned:
        return []
    done = session.execute(
        sa.select(AutomationRun.item, AutomationRun.occurrence).where(
            AutomationRun.schedule_id == schedule.id,
            AutomationRun.item.in_([o.item for o in planned]),
            AutomationRun.finished_at.is_not(None),
        )
    ).all()
    return [o for o in planned if (o.item, o.name) not in {tuple(row) for row in done}]


def _jobs_of(session: Session, training_id: int) -> dict[str, datetime | None]:
    """Job id -> due of all jobs of a training, its removed events included."""
    environment = rules_of(session).environment
    names = session.scalars(
        sa.select(AutomationSchedule.name)
        .join(AutomationClasses)
        .where(AutomationClasses.class_name.in_(list(TRAINING_TASKS)))
        .distinct()
    ).all()
    if not names:
        return {}
    mine = [Job.id.startswith(f"{name}/{training_id}:", autoescape=True) for name in names]
    whole = Job.id.in_([job_id(name, str(training_id), environment) for name in names])
    found = session.execute(sa.select(Job.id, Job.due).where(sa.or_(whole, *mine)))
    return {id_: due for id_, due in found if id_.endswith(f"/{environment}")}
