"""What a schedule wants against the jobs there are, and how the difference is written (WA4, WA5).

What another process changes meanwhile is left to the next renew: a job is taken away only as it was
seen, and written only where there is none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import GenericFunction

from app.models.automation import RunStatus
from app.models.bulk import chunks, dialect_of
from app.models.job import Job
from app.models.rules import Environment, rules_of
from app.services import plan, runs, runs_by_hand, webhook_events
from app.services.deadline import WAITLIST_TASK
from app.services.plan import DEVELOPMENT_DELAY, Occurrence

log = logging.getLogger("app.automation.renew")

JOBS: Any = Job.__table__
SEEN = (JOBS.c.id, JOBS.c.due, JOBS.c.job_state, JOBS.c.claim, JOBS.c.next_run_time)
OUR_STATE = b'{"v": 1, "args": ["'
LastMoment = Callable[[Occurrence], datetime | None]


@dataclass(frozen=True)
class Source:
    """Whose jobs: a schedule with what its class says of them."""

    schedule_id: int
    name: str
    class_name: str
    last_moment: LastMoment
    destructive: bool = False


@dataclass
class Counts:
    """What a renew did."""

    planned: int = 0
    kept: int = 0
    removed: int = 0
    missed: int = 0
    before_switched_on: int = 0

    def __add__(self, other: Counts) -> Counts:
        mine, theirs = asdict(self), asdict(other)
        return Counts(**{name: mine[name] + theirs[name] for name in mine})


@dataclass(frozen=True)
class There:
    """A job as it was seen."""

    id: str
    item: str
    due: datetime | None
    state: bytes
    leased: bool
    parked: bool


def ours(environment: Environment) -> sa.ColumnElement[bool]:
    """The id ends with our ENVIRONMENT and the state begins as ours do: all a database can tell."""
    return sa.and_(JOBS.c.id.endswith(f"/{environment}"), has_our_state())


def has_our_state() -> sa.ColumnElement[bool]:
    """The state begins as ours do."""
    start = sa.func.substr(JOBS.c.job_state, 1, len(OUR_STATE), type_=sa.LargeBinary)
    return start == OUR_STATE


WAITLIST_STATE = f'", "{WAITLIST_TASK}"], "kwargs": {{}}}}'.encode()


def of_waitlist() -> sa.ColumnElement[bool]:
    """The state ends as those of the waitlist task do."""
    state, size = JOBS.c.job_state, len(WAITLIST_STATE)
    end = sa.func.substr(state, sa.func.length(state) - size + 1, size, type_=sa.LargeBinary)
    return end == WAITLIST_STATE


class item_of(GenericFunction[str]):
    """The second segment of a job's id."""

    type = sa.String()
    inherit_cache = True


@compiles(item_of, "postgresql")
def _item_of_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"split_part({compiler.process(element.clauses, **kw)}, '/', 2)"


@compiles(item_of, "sqlite")
def _item_of_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    id_ = compiler.process(element.clauses, **kw)
    rest = f"substr({id_}, instr({id_}, '/') + 1)"
    return f"substr({rest}, 1, instr({rest}, '/') - 1)"


class schedule_of(GenericFunction[str]):
    """The first segment of a job's id."""

    type = sa.String()
    inherit_cache = True


@compiles(schedule_of, "postgresql")
def _schedule_of_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"split_part({compiler.process(element.clauses, **kw)}, '/', 1)"


@compiles(schedule_of, "sqlite")
def _schedule_of_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    id_ = compiler.process(element.clauses, **kw)
    return f"substr({id_}, 1, instr({id_}, '/') - 1)"


@dataclass
class Plan:
    """The jobs there are, as far as they are ours: `{schedule}/{item}/{our ENVIRONMENT}`, our JSON.

    What is not is nobody's business here (schedules D7).
    """

    of_waitlist: int  # how many
    others: dict[str, dict[str, There]] = field(default_factory=dict)  # schedule -> item -> job


def read_plan(session: Session) -> Plan:
    """The jobs there are: those of the waitlist counted, the others one by one."""
    environment = rules_of(session).environment
    all_, others = session.execute(_listed(dialect_of(session), environment)).one()
    ids = json.loads(others) if isinstance(others, str) else others or []
    found = Plan(of_waitlist=all_ - len(ids))
    for row in _read(session, ids):
        if is_ours(row.id, environment) and _arguments(row.job_state) is not None:
            name, item, _ = row.id.split("/")
            found.others.setdefault(name, {})[item] = seen(row)
    return found


def _read(session: Session, ids: Sequence[str]) -> Iterator[Any]:
    """The jobs of these ids; one that cannot be read is left to whoever claims it, and parks it."""
    for some in chunks(ids):
        try:
            yield from session.execute(sa.select(*SEEN).where(JOBS.c.id.in_(some))).all()
        except (ValueError, TypeError, OverflowError):  # a due time that is no date of Python's
            half = len(some) // 2
            if half:
                yield from _read(session, some[:half])
                yield from _read(session, some[half:])


@cache
def _listed(dialect: str, environment: Environment) -> sa.Select[Any]:
    """How many jobs are ours, and the ids of those that are not of the waitlist: one scan."""
    as_list = sa.func.json_agg if dialect == "postgresql" else sa.func.json_group_array
    others = as_list(JOBS.c.id).filter(~of_waitlist())
    return sa.select(sa.func.count(), others).where(ours(environment))


def seen(row: Any) -> There:
    """A row of `SEEN`."""
    leased, parked = row.claim is not None, row.next_run_time is None
    item = row.id.split("/")[1] if "/" in row.id else ""
    return There(row.id, item, row.due, bytes(row.job_state), leased, parked)


def is_ours(job_id: str, environment: Environment) -> bool:
    """`{schedule}/{item}/{our ENVIRONMENT}`, exactly."""
    parts = job_id.split("/")
    return len(parts) == 3 and all(parts) and parts[2] == environment


def _arguments(state: bytes) -> list[str] | None:
    try:
        args = json.loads(bytes(state))["args"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    texts = isinstance(args, list) and len(args) == 3 and all(isinstance(a, str) for a in args)
    return args if texts else None


def renew_schedule(
    session: Session,
    source: Source,
    wanted: Mapping[str, Occurrence],
    there: Mapping[str, There],
    now: datetime,
) -> Counts:
    """Write what the schedule wants and is not there, take away what it no longer wants."""
    changes = _compare(session, source, wanted, there, now)
    gone = [job for item, job in there.items() if item not in wanted]
    changes.counts.removed += drop(session, gone)
    _write(session, changes)
    return changes.counts


def plan_items(
    session: Session, source: Source, wanted: Mapping[str, Occurrence], now: datetime
) -> dict[str, datetime]:
    """Plan these items, and nothing else; return item -> when its job is due.

    What ended, and what is too late, has none.
    """
    environment = rules_of(session).environment
    ids = {plan.job_id(source.name, item, environment): item for item in wanted}
    changes = _compare(session, source, wanted, _jobs(session, ids), now)
    _write(session, changes)
    return {job.item: job.due for job in _jobs(session, ids).values() if job.due}


def _jobs(session: Session, ids: Mapping[str, str]) -> dict[str, There]:
    """The jobs of these ids, by item."""
    return {ids[row.id]: seen(row) for row in _read(session, list(ids))}


@dataclass
class _Changes:
    counts: Counts = field(default_factory=Counts)
    rows: list[dict[str, Any]] = field(default_factory=list)  # to be there afterwards
    stale: list[There] = field(default_factory=list)  # they make room first


def _compare(
    session: Session,
    source: Source,
    wanted: Mapping[str, Occurrence],
    there: Mapping[str, There],
    now: datetime,
) -> _Changes:
    environment = rules_of(session).environment
    changes, differ = _Changes(), {}
    hurried = environment is Environment.DEVELOPMENT and not source.destructive
    for item, occurrence in wanted.items():
        due = now + DEVELOPMENT_DELAY if hurried else occurrence.due
        row = plan.alarm(source.name, source.class_name, item, environment, due)
        job = there.get(item)
        if job is None or not _agrees(job, row, hurried):
            differ[item] = (occurrence, row)
        else:
            changes.counts.kept += 1
    runnable = _still_to_run(session, source, [o for o, _ in differ.values()], now, changes.counts)
    for item, (_, row) in differ.items():
        job = there.get(item)
        if job is not None:
            changes.stale.append(job)
        if item in runnable:
            changes.rows.append(row)
    return changes


def _agrees(job: There, row: dict[str, Any], hurried: bool) -> bool:
    if job.leased or _arguments(job.state) is None:
        return True  # it is running, or none of ours
    same_time = hurried or job.due == row["due"]  # there, a job planned once stays as it is
    return same_time and not job.parked and job.state == row["job_state"]


def _still_to_run(
    session: Session,
    source: Source,
    occurrences: Sequence[Occurrence],
    now: datetime,
    counts: Counts,
) -> set[str]:
    """The items that neither ended nor are too late; what is too late is recorded once."""
    if not occurrences:
        return set()
    ended = runs.ended_keys(session, source.schedule_id, [o.item for o in occurrences])
    open_ = [
        o
        for o in occurrences
        if (o.item, o.name) not in ended and not _is_forgotten(session, source, o, now)
    ]
    late = [o for o in open_ if _too_late(source, o, now)]
    missed = _record_missed(session, source, late, now)
    counts.missed += len(missed)
    return {o.item for o in open_} - missed


def _is_forgotten(session: Session, source: Source, occurrence: Occurrence, now: datetime) -> bool:
    """Due so long ago that the run that says it is done may be gone (schedules H2).

    What a destructive task did, and whether an invitation is open, shows in the rows themselves; an
    alarm only wakes whoever asks the ledger.
    """
    if source.destructive or source.class_name == WAITLIST_TASK:
        return False
    return occurrence.due < now - rules_of(session).schedule_history


def _too_late(source: Source, occurrence: Occurrence, now: datetime) -> bool:
    last = source.last_moment(occurrence)
    return last is not None and last < now


def _record_missed(
    session: Session, source: Source, late: Sequence[Occurrence], now: datetime
) -> set[str]:
    """One run `missed` and one warning each (WA10); whose run is under way is left to it."""
    wanted = [runs.Wanted(source.schedule_id, o.item, o.name, o.due) for o in late]
    new = runs.note(session, wanted, RunStatus.MISSED, now, "too late")
    missed = {item for _, item, _ in new}
    webhook_events.items_ended(session, source.schedule_id, sorted(missed), now, now)
    for occurrence in late:
        if occurrence.item in missed:
            log.warning(
                "job is scheduler in the past: %s\ntask will probably be ignored event_dt: %s",
                occurrence.due,
                occurrence.at,
            )
    return missed


def _write(session: Session, changes: _Changes) -> None:
    take_away(session, changes.stale)
    insert_jobs(session, changes.rows)
    written = {row["id"] for row in changes.rows}
    changes.counts.planned += len(written)
    changes.counts.removed += sum(job.id not in written for job in changes.stale)


# --- writing -------------------------------------------------------------------------------------


def insert_jobs(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Write jobs where there are none."""
    for chunk in chunks(rows):
        session.execute(_insert(dialect_of(session)), chunk)


@cache
def _insert(dialect: str) -> Any:
    insert = (postgresql if dialect == "postgresql" else sqlite).insert(JOBS)
    return insert.on_conflict_do_nothing(index_elements=["id"])


def drop(session: Session, gone: Sequence[There]) -> int:
    """Take away jobs whose fact is gone, leased or not, if they are as they were seen.

    A run that staff asked for has a job of its own, which waits for nothing but its turn.
    """
    if not gone:
        return 0
    by_hand = runs_by_hand.waiting_by_hand(session, [job.item for job in gone])
    return take_away(session, [job for job in gone if job.item not in by_hand], leased_too=True)


def take_away(session: Session, seen: Iterable[There], *, leased_too: bool = False) -> int:
    """Delete jobs that are still as they were seen; return how many."""
    seen = list(seen)
    free = sa.true() if leased_too else JOBS.c.claim.is_(None)
    dated = [(job.id, job.due) for job in seen if job.due is not None]
    undated = [job.id for job in seen if job.due is None]
    as_seen: list[Any] = [sa.tuple_(JOBS.c.id, JOBS.c.due).in_(some) for some in chunks(dated)]
    as_seen += [sa.and_(JOBS.c.id.in_(ids), JOBS.c.due.is_(None)) for ids in chunks(undated)]
    count = 0
    for these in as_seen:
        gone: Any = session.execute(sa.delete(JOBS).where(these, free))
        count += gone.rowcount
    return count
