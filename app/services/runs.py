"""The ledger: one row per schedule, item and occurrence, whatever became of it (L7, schedules X).

    new ──► running ──► success, failed, skipped          begin, succeed, fail, skip
               │  ▲
               ▼  │ not_before
             queued                                        try_again
    new ──► missed, skipped, cancelled                     note

A run whose attempt is not ours any more changes nothing: whoever cancelled it, let it time out or
took it over after our lease has won, and all we did is rolled back (schedules X4).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from app.models.automation import AutomationRun, AutomationSchedule, RunStatus
from app.models.bulk import CHUNK, among, chunks, dialect_of, send
from app.models.text import said_by, storable, traceback_of
from app.models.types import new_uuid, new_uuids
from app.services.occurrence import name_of
from app.services.transitions import ENDED, QUEUED, RUNNING, count_moved, move_runs

log = logging.getLogger("app.automation.runs")

TIMEOUT = timedelta(hours=1)  # of a run whose schedule and task say nothing
TOO_LONG = "it took longer than it may"
TRIES_KEPT = 50  # in the record of a run
DEATHS = 3  # workers that may die over one run (schedules R5)


class LostRun(Exception):
    """Our run is no longer ours: cancelled, timed out or taken over. Roll everything back."""


Key = tuple[int, str, str]  # schedule, item, occurrence


@dataclass(frozen=True)
class Begun:
    """A run that is ours until it ends."""

    id: int
    execution_id: str
    attempt: int
    started_at: datetime


@dataclass(frozen=True)
class Dead:
    """A run that just failed for good: its third worker died."""

    run: Begun


Outcome = Begun | Dead | RunStatus | None


@dataclass(frozen=True)
class Wanted:
    """An occurrence that is about to run."""

    schedule_id: int
    item: str
    occurrence: str
    due_at: datetime
    timeout: timedelta | None = None
    deaths: int = 0  # of workers, before the ledger knew of it

    @property
    def key(self) -> Key:
        return self.schedule_id, self.item, self.occurrence


@dataclass(frozen=True)
class Backoff:
    """When a failed run is tried again: 1, 2, 4 … 60 minutes, ten times (reliability JX3)."""

    first: timedelta = timedelta(minutes=1)
    longest: timedelta = timedelta(hours=1)
    tries: int = 10

    def next_try(self, failed: int, now: datetime, jitter: float = 0.0) -> datetime | None:
        """After `failed` failures; None: give up, tell a person. `jitter` is within ±0.1."""
        if failed >= self.tries:
            return None
        wait: timedelta = min(self.first * 2 ** (failed - 1), self.longest)
        return now + wait * (1 + jitter)


MOST_COUNTED = 1_000_000  # letters of one run; what a task says more is no count

# Composed once: two that race for an attempt cannot both have it.
OUR_ATTEMPT = AutomationRun.attempt == sa.bindparam("our_attempt", type_=sa.Integer)
STILL_OURS = sa.and_(
    OUR_ATTEMPT,
    AutomationRun.deadline_at > sa.bindparam("ended", type_=AutomationRun.deadline_at.type),
)
OVERDUE = sa.and_(
    AutomationRun.worker == sa.bindparam("our_worker", type_=AutomationRun.worker.type),
    AutomationRun.deadline_at <= sa.bindparam("ended", type_=AutomationRun.deadline_at.type),
)
PAST_DEADLINE = AutomationRun.deadline_at <= sa.bindparam(
    "ended", type_=AutomationRun.deadline_at.type
)
NEXT_ATTEMPT = AutomationRun.attempt + 1


def begun_of(row: AutomationRun) -> Begun:
    """A run as it was begun last."""
    assert row.started_at is not None  # noqa: S101  it was
    return Begun(row.id, row.execution_id, row.attempt, row.started_at)


# --- beginning -----------------------------------------------------------------------------------


def begin(
    session: Session, wanted: Sequence[Wanted], now: datetime, worker: str
) -> dict[Key, Outcome]:
    """Make these occurrences ours, by their `key`.

    A `RunStatus` instead of a `Begun` says how the occurrence ended before: it is never run again.
    Of one whose worker died the run goes on with the next attempt, after three deaths it failed.
    None: two workers died over it, perhaps because of another that they had begun with it, so it
    is begun only when it is the only one wanted.
    """
    born = [_birth(one, RUNNING, now, worker) for one in wanted]
    mine = _insert(session, born)
    begun: dict[Key, Outcome] = {
        key: Begun(id_, execution_id, 1, now) for key, (id_, execution_id) in mine.items()
    }
    there = [one for one in wanted if one.key not in begun]
    return begun | _begin_again(session, there, now, worker) if there else begun


def _birth(one: Wanted, status: RunStatus, now: datetime, worker: str | None) -> dict[str, Any]:
    return {
        "execution_id": new_uuid(),
        "schedule_id": one.schedule_id,
        "item": one.item,
        "occurrence": one.occurrence,
        "status": status,
        "due_at": one.due_at,
        "started_at": now,
        "deadline_at": now + (one.timeout or TIMEOUT),
        "worker": worker,
        "interruptions": one.deaths,
    }


# What differs from run to run, and how the database reads it out of a JSON text.
OWN: dict[str, Any] = {
    "execution_id": sa.String,
    "item": sa.String,
    "occurrence": sa.String,
    "due_at": sa.DateTime(timezone=True),
    "schedule_id": sa.Integer,
    "result": AutomationRun.result.type,
}


def _insert(session: Session, rows: Sequence[dict[str, Any]]) -> dict[Key, tuple[int, str]]:
    """Insert the rows whose occurrence is new; return them: key -> (id, execution id)."""
    dialect = dialect_of(session)
    own = tuple(OWN)[:-1]
    alike: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        shared = tuple((name, value) for name, value in row.items() if name not in own)
        alike.setdefault(shared, []).append(row)
    new = {}
    for shared, some in alike.items():
        keys = {row["execution_id"]: (row["schedule_id"], row["item"], row["occurrence"])
                for row in some}  # fmt: skip
        for chunk in chunks(some, 10 * CHUNK):
            told = [
                [row["execution_id"], row["item"], row["occurrence"],
                 _instant(row["due_at"], dialect), row["schedule_id"]]
                for row in chunk
            ]  # fmt: skip
            statement = _insertion(dialect, own, tuple(name for name, _ in shared), once=True)
            for id_, execution_id in send(session, statement, _given(told, dict(shared))):
                new[keys[execution_id]] = (id_, execution_id)
    return new


def _given(rows: list[list[Any]], shared: dict[str, Any]) -> dict[str, Any]:
    """The parameters of `_insertion`: own values as one JSON text, read faster than ten thousand of
    them; what the rows share by name.
    """
    return {f"new_{name}": value for name, value in shared.items()} | {"rows": json.dumps(rows)}


@lru_cache(maxsize=10_000)  # what is due together is often due at one instant
def _instant(at: datetime, dialect: str) -> str:
    """An instant as the database would write it itself."""
    if dialect == "postgresql":
        return at.isoformat()
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


@cache
def _insertion(dialect: str, own: tuple[str, ...], shared: tuple[str, ...], *, once: bool) -> Any:
    """`once` passes over what the ledger knows and returns the others; else that is an error."""
    table: Any = AutomationRun.__table__
    c = table.c
    rows = sa.bindparam("rows", type_=sa.Text)
    if dialect == "postgresql":
        # Binary JSON: read once, not once per column.
        each = sa.func.jsonb_array_elements(sa.cast(rows, JSONB)).table_valued("value")
        parts: list[Any] = [
            sa.cast(each.c.value.op("->>")(sa.literal_column(str(n))), OWN[name])
            for n, name in enumerate(own)
        ]
    else:
        each = sa.func.json_each(rows).table_valued("value")
        parts = [sa.func.json_extract(each.c.value, f"$[{n}]") for n in range(len(own))]
    values = [sa.bindparam(f"new_{name}", type_=c[name].type) for name in shared]
    source = sa.select(*parts, *values, sa.literal("schedule", sa.String)).select_from(each)
    insert = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    names = [*own, *shared, "trigger"]
    # A condition, else SQLite reads ON CONFLICT as a join's ON.
    chosen = insert.from_select(names, source.where(sa.true()), include_defaults=False)
    if not once:
        return chosen  # to pass over one costs PostgreSQL a tenth, even if there is none
    key = ["schedule_id", "item", "occurrence"]
    return chosen.on_conflict_do_nothing(index_elements=key).returning(c.id, c.execution_id)


def _begin_again(
    session: Session, wanted: Sequence[Wanted], now: datetime, worker: str
) -> dict[Key, Outcome]:
    found = _found(session, wanted)
    result: dict[Key, Outcome] = {}
    for one in wanted:
        row = found.get(one.key)
        if row is None or row.status in ENDED:
            result[one.key] = row.status if row else RunStatus.CANCELLED
        elif row.status is RUNNING and row.interruptions + 1 >= DEATHS:
            result[one.key] = _give_up(session, row, now)
        elif row.status is RUNNING and row.interruptions and len(wanted) > 1:
            result[one.key] = None
        else:
            result[one.key] = _next_attempt(session, row, one, now, worker)
    return result


def _found(session: Session, wanted: Sequence[Wanted]) -> dict[Key, Any]:
    """The rows of these occurrences."""
    r = AutomationRun
    rows = session.execute(
        sa.select(
            r.id,
            r.execution_id,
            r.schedule_id,
            r.item,
            r.occurrence,
            r.status,
            r.attempt,
            r.attempts,
            r.interruptions,
            r.started_at,
        ).where(
            r.schedule_id.in_({one.schedule_id for one in wanted}),
            among(r.item, [one.item for one in wanted]),
            among(r.occurrence, [one.occurrence for one in wanted]),
        )
    )
    return {(row.schedule_id, row.item, row.occurrence): row for row in rows}


def _next_attempt(
    session: Session, row: Any, one: Wanted, now: datetime, worker: str
) -> Begun | RunStatus:
    died = row.status is RUNNING
    tries = {"attempts": _and_one(row.attempts, row.started_at, now, "interrupted")} if died else {}
    moved = move_runs(
        session,
        [row.id],
        row.status,
        RUNNING,
        where=OUR_ATTEMPT,
        given={"our_attempt": row.attempt},
        attempt=NEXT_ATTEMPT,
        interruptions=row.interruptions + died,
        started_at=now,
        deadline_at=now + (one.timeout or TIMEOUT),
        not_before=None,
        worker=worker,
        **tries,
    )
    # None moved: someone was faster, theirs goes on.
    return Begun(row.id, row.execution_id, moved[row.id], now) if moved else RUNNING


def _and_one(
    tries: Sequence[dict[str, Any]],
    start: datetime | None,
    end: datetime,
    outcome: str,
    error: str | None = None,
) -> list[dict[str, Any]]:
    """The tries before this one, and this one: it ended, and the run did not (schedules D3)."""
    one = {"start": start and name_of(start), "end": name_of(end), "outcome": outcome}
    return [*tries, one | {"error": error}][-TRIES_KEPT:]


def _tries(session: Session, run: Begun) -> list[dict[str, Any]]:
    return session.scalar(sa.select(AutomationRun.attempts).where(AutomationRun.id == run.id)) or []


def _give_up(session: Session, row: Any, now: datetime) -> Dead | RunStatus:
    what = f"interrupted {DEATHS} times: its worker died"
    failed = move_runs(
        session,
        [row.id],
        RUNNING,
        RunStatus.FAILED,
        where=OUR_ATTEMPT,
        given={"our_attempt": row.attempt},
        finished_at=now,
        interruptions=row.interruptions + 1,
        error=what,
    )
    if not failed:
        return RUNNING
    log.error("run failed: %s item=%s because=%s", row.execution_id, row.item, what)
    return Dead(Begun(row.id, row.execution_id, row.attempt, now))


# --- ending --------------------------------------------------------------------------------------


class Span(NamedTuple):
    """What runs have in common that one worker did in one transaction."""

    schedule_id: int
    worker: str
    started_at: datetime
    finished_at: datetime
    timeout: timedelta | None

    @property
    def deadline(self) -> datetime:
        """By when they had to be done."""
        return self.started_at + (self.timeout or TIMEOUT)


class Ended(NamedTuple):
    """One of them: what it was, and what its task returned or why it had nothing to do."""

    item: str
    occurrence: str
    due_at: datetime
    result: dict[str, Any] | None = None
    skipped: str | None = None


def end_at_once(session: Session, span: Span, ends: Sequence[Ended]) -> Begun:
    """Write down runs that began and ended in this very transaction; return the last of them.

    Raises `IntegrityError` if the ledger knows one of the occurrences: nothing of this may count.
    """
    dialect, ids = dialect_of(session), new_uuids(len(ends))
    alike: dict[tuple[str | None, int], list[list[Any]]] = {}
    for id_, (item, occurrence, due_at, result, skipped) in zip(ids, ends, strict=True):
        alike.setdefault((skipped, _letters(result)), []).append(
            [id_, item, occurrence, _instant(due_at, dialect), _shown(result) or None]
        )
    for (reason, letters), rows in alike.items():
        shared = {
            "schedule_id": span.schedule_id,
            "status": RunStatus.SUCCESS if reason is None else RunStatus.SKIPPED,
            "reason": reason and storable(reason, 100),
            "worker": span.worker,
            "started_at": span.started_at,
            "deadline_at": span.deadline,
            "finished_at": span.finished_at,
            "duration_ms": milliseconds(span.finished_at - span.started_at),
            "messages_sent": letters,
            **_one_item(done=reason is None),
        }
        own = ("execution_id", "item", "occurrence", "due_at", "result")
        statement = _insertion(dialect, own, tuple(shared), once=False)
        send(session, statement, _given(rows, shared))
    return Begun(0, ids[-1], 1, span.started_at)


def _shown(result: dict[str, Any] | None) -> str:
    """As text, so that lists and dictionaries can be told apart, and an odd value stops nobody."""
    return json.dumps(result, default=str, skipkeys=True) if result else ""


def _letters(result: dict[str, Any] | None) -> int:
    """How many letters a task says it promised (schedules X6)."""
    told = (result or {}).get("letters")
    return told if type(told) is int and 0 <= told <= MOST_COUNTED else 0


def _one_item(*, done: bool) -> dict[str, int]:
    """What a run counts that is about one thing: a training, an invitation."""
    return {"items_found": 1, "items_done": int(done), "items_skipped": int(not done)}


def succeed(
    session: Session,
    runs: Sequence[Begun],
    now: datetime,
    results: Sequence[dict[str, Any] | None],
) -> None:
    """These runs did what they should, the last statement of their transaction but one.

    Raises `LostRun` if one of them is not ours any more.
    """
    _end(session, runs, RunStatus.SUCCESS, now, results)


def skip(session: Session, runs: Sequence[Begun], now: datetime, reason: str) -> None:
    """The task said there was nothing to do, and why. Raises `LostRun`."""
    _end(session, runs, RunStatus.SKIPPED, now, [None] * len(runs), reason=storable(reason, 100))


def _end(
    session: Session,
    runs: Sequence[Begun],
    to: RunStatus,
    now: datetime,
    results: Sequence[dict[str, Any] | None],
    **changes: Any,
) -> None:
    alike: dict[tuple[int, datetime, str], list[Begun]] = {}
    for run, result in zip(runs, results, strict=True):
        alike.setdefault((run.attempt, run.started_at, _shown(result)), []).append(run)
    for (attempt, started_at, shown), some in alike.items():
        moved = count_moved(
            session,
            [run.id for run in some],
            RUNNING,
            to,
            where=STILL_OURS,
            given={"our_attempt": attempt, "ended": now},
            started_at=started_at,
            finished_at=now,
            duration_ms=milliseconds(now - started_at),
            not_before=None,
            result=(result := json.loads(shown) if shown else None),
            messages_sent=_letters(result),
            **_one_item(done=to is RunStatus.SUCCESS),
            error=None,
            error_type=None,
            traceback=None,
            **changes,
        )
        if moved != len(some):
            raise LostRun


def milliseconds(time: timedelta) -> int:
    """As the ledger counts."""
    return max(0, round(time.total_seconds() * 1000))


def try_again(
    session: Session, run: Begun, error: BaseException, now: datetime, at: datetime | None
) -> bool:
    """A failed attempt: queued for `at`, or failed for good if that is None.

    False: the run was not ours any more.
    """
    said: dict[str, Any] = {
        "error": said_by(error),
        "error_type": storable(type(error).__name__, 200),
        "traceback": traceback_of(error),
    }
    ours: dict[str, Any] = {"where": OUR_ATTEMPT, "given": {"our_attempt": run.attempt}}
    if at is not None:
        tries = _and_one(_tries(session, run), run.started_at, now, "failed", said["error"])
        more: dict[str, Any] = {"not_before": at, "attempts": tries}
        return bool(move_runs(session, [run.id], RUNNING, QUEUED, **more, **ours, **said))
    took = milliseconds(now - run.started_at)
    return bool(
        move_runs(
            session,
            [run.id],
            RUNNING,
            RunStatus.FAILED,
            finished_at=now,
            duration_ms=took,
            **ours,
            **said,
        )
    )


def late(
    session: Session, worker: str, now: datetime, *, recurring: bool, only: int | None = None
) -> list[int]:
    """The runs of this worker that took longer than they may, but for those a task has locked."""
    r, s = AutomationRun, AutomationSchedule
    recurs = sa.exists().where(s.id == r.schedule_id, s.schedule_id == r.item)
    its = sa.select(r.id).where(r.status == RUNNING, OVERDUE, recurs if recurring else ~recurs)
    if only is not None:
        its = its.where(r.id == only)
    given = {"our_worker": worker, "ended": now}
    return list(session.scalars(its.with_for_update(skip_locked=True), given))


def time_out(session: Session, worker: str, now: datetime, only: int | None = None) -> set[int]:
    """End the event runs of this worker that took longer than they may; their ids (schedules R6).

    What they still do is rolled back. Those of a worker that died are begun again, not ended.
    Runs that recur end by `chains.end_overdue`, since something may follow them.
    """
    given = {"our_worker": worker, "ended": now}
    ids = late(session, worker, now, recurring=False, only=only)
    moved = set[int]()
    for took, some in _by_length(session, ids, now).items():
        why = {"finished_at": now, "duration_ms": took, "error": TOO_LONG}
        moved |= set(
            move_runs(session, some, RUNNING, RunStatus.TIMEOUT, where=OVERDUE, given=given, **why)
        )
    for id_ in sorted(moved):
        log.error("run timed out: id=%s", id_)
    return moved


def _by_length(session: Session, ids: Sequence[int], now: datetime) -> dict[int, list[int]]:
    """Milliseconds since they began -> the runs; those of one batch began together."""
    r = AutomationRun
    found: dict[int, list[int]] = {}
    for some in chunks(list(ids), CHUNK):
        for id_, since in session.execute(sa.select(r.id, r.started_at).where(r.id.in_(some))):
            found.setdefault(milliseconds(now - (since or now)), []).append(id_)
    return found


def end_overdue(session: Session, run_id: int, now: datetime) -> bool:
    """Whoever ran it is gone, and nobody will begin it again: it timed out (schedules R6).

    False: it has ended, or has time again.
    """
    why = {"finished_at": now, "not_before": None, "error": TOO_LONG}
    given = {"ended": now}
    return any(
        move_runs(session, ids, RUNNING, RunStatus.TIMEOUT, where=PAST_DEADLINE, given=given,
                  duration_ms=took, **why)
        for took, ids in _by_length(session, [run_id], now).items()
    )  # fmt: skip


def has_timed_out(session: Session, run: Begun) -> bool:
    """Whether this attempt ended so."""
    r = AutomationRun
    mine = sa.select(r.status).where(r.id == run.id, r.attempt == run.attempt)
    return session.scalar(mine) is RunStatus.TIMEOUT


def note(
    session: Session,
    wanted: Sequence[Wanted],
    status: RunStatus,
    now: datetime,
    reason: str | None = None,
    *,
    begun_too: bool = False,
) -> set[Key]:
    """Write down occurrences that do not run: missed, skipped or cancelled; return the new ones.

    One that waited for another try is ended so too, and with `begun_too` one that is `running`: its
    worker is dead, or shall not finish it.
    """
    if not wanted:
        return set()
    why = {"reason": reason, "finished_at": now, "started_at": None, "deadline_at": None}
    born = [_birth(one, status, now, None) | why for one in wanted]
    new: set[Key] = set(_insert(session, born))
    there = [one for one in wanted if one.key not in new]
    if not there:
        return new
    open_ = (QUEUED, RUNNING) if begun_too else (QUEUED,)
    keys = {one.key for one in there}
    waiting = {row.id: key for key, row in _found(session, there).items() if key in keys}
    moved = move_runs(
        session, list(waiting), open_, status, finished_at=now, not_before=None, reason=reason
    )
    return new | {waiting[id_] for id_ in moved}


def note_times(
    session: Session, one: Wanted, status: RunStatus, now: datetime, reason: str, count: int
) -> str | None:
    """One row for `count` occurrences that do not run, under the name of one of them.

    Its execution id; None if it is known.
    """
    row = {
        "execution_id": new_uuid(),
        "schedule_id": one.schedule_id,
        "item": one.item,
        "occurrence": one.occurrence,
        "reason": reason,
        "due_at": one.due_at,
        "finished_at": now,
        "missed_count": count,
    }
    return _born(session, status, row)


def end_waiting_retries(session: Session, schedule_id: int, item: str, now: datetime) -> list[str]:
    """What waits for another try never gets it: it failed, with the error it had (schedules R3).

    Their execution ids.
    """
    r = AutomationRun
    waiting = sa.select(r.id, r.execution_id).where(
        r.schedule_id == schedule_id,
        r.item == item,
        r.status == QUEUED,
        r.attempt > 0,
        r.error.is_not(None),  # else it was given back by a process that stopped (R7)
    )
    found = {row.id: row.execution_id for row in session.execute(waiting)}
    ended = move_runs(session, list(found), QUEUED, RunStatus.FAILED, finished_at=now,
                      not_before=None)  # fmt: skip
    return [found[id_] for id_ in ended]


def queue(session: Session, row: dict[str, Any]) -> str | None:
    """Write down a run that waits for its turn; its execution id, None if it is known."""
    return _born(session, QUEUED, row)


def tried_out(session: Session, row: dict[str, Any]) -> str:
    """Write down a dry run that is over; its execution id."""
    execution_id = _born(session, RunStatus.SUCCESS, row | {"attempt": 1})
    assert execution_id is not None  # noqa: S101  nobody else has this uuid
    return execution_id


def _born(session: Session, status: RunStatus, row: dict[str, Any]) -> str | None:
    """A new run, unless the ledger knows its occurrence; its execution id."""
    insert = postgresql.insert if dialect_of(session) == "postgresql" else sqlite.insert
    once = insert(AutomationRun).on_conflict_do_nothing(
        index_elements=["schedule_id", "item", "occurrence"]
    )
    born = once.values(status=status, **{"attempt": 0} | row).returning(AutomationRun.execution_id)
    execution_id: str | None = session.scalar(born)
    return execution_id


def end_queued(session: Session, run_id: int, to: RunStatus, **changes: Any) -> bool:
    """A run that waited ends without having begun; False: it did not wait any more."""
    return bool(move_runs(session, [run_id], QUEUED, to, **changes))


def wait_again(session: Session, run: Begun, now: datetime) -> None:
    """Our process stops: the run waits for another, and the try counts for nothing (R7)."""
    move_runs(
        session,
        [run.id],
        RUNNING,
        QUEUED,
        where=OUR_ATTEMPT,
        given={"our_attempt": run.attempt},
        attempt=run.attempt - 1,
        attempts=_and_one(_tries(session, run), run.started_at, now, "stopped"),
        not_before=now,
        worker=None,
    )


def is_ours(session: Session, run: Begun, now: datetime) -> bool:
    """Whether the run is still ours, and stays so until this transaction ends (X4)."""
    given = {"our_attempt": run.attempt, "ended": now}
    held = count_moved(session, [run.id], RUNNING, RUNNING, where=STILL_OURS, given=given)
    return held == 1


def count_step(session: Session, run: Begun, told: Mapping[str, int]) -> None:
    """A step of our run was done, in the step's transaction."""
    r = AutomationRun
    more = {
        r.items_done: 1,
        r.messages_sent: told.get("messages_sent", 0),
        r.profiles_visited: told.get("profiles_visited", 0),
    }
    counting = sa.update(r).where(r.id == run.id).values({c: c + n for c, n in more.items()})
    session.execute(counting.execution_options(synchronize_session=False))


def counted(session: Session, run: Begun) -> dict[str, int]:
    """What the steps of a run were, in all of its tries."""
    r = AutomationRun
    asked = sa.select(r.items_done, r.messages_sent, r.profiles_visited).where(r.id == run.id)
    return dict(session.execute(asked).one()._mapping)


def end(
    session: Session,
    run: Begun,
    to: RunStatus,
    now: datetime,
    *,
    result: dict[str, Any] | None,
    reason: str | None,
    error: Exception | None,
    **counters: int,
) -> None:
    """A run of a recurring schedule ends. Raises `LostRun` if it is not ours any more."""
    said: dict[str, Any] = {
        "error": said_by(error) if error else None,
        "error_type": storable(type(error).__name__, 200) if error else None,
        "traceback": traceback_of(error) if error else None,
    }
    shown = _shown(result)
    moved = count_moved(
        session,
        [run.id],
        RUNNING,
        to,
        where=STILL_OURS,
        given={"our_attempt": run.attempt, "ended": now},
        finished_at=now,
        duration_ms=milliseconds(now - run.started_at),
        not_before=None,
        reason=storable(reason, 100) if reason else None,
        result=json.loads(shown) if shown else None,
        **said,
        **counters,
    )
    if moved != 1:
        raise LostRun


# --- what the schedule remembers -----------------------------------------------------------------


def remember(
    session: Session,
    schedule_id: int,
    run: Begun,
    status: RunStatus,
    *,
    ended: int,
    error: str | None = None,
) -> None:
    """The schedule's last run and its counters, in a transaction of its own (reliability JX2).

    `ended`: how many it did; another try is none of its own (schedules R3).
    """
    s = AutomationSchedule
    failed = status in (RunStatus.FAILED, RunStatus.TIMEOUT)
    session.execute(
        sa.update(s)
        .where(s.id == schedule_id)
        .values(
            last_execution_at=run.started_at,
            last_execution_id=run.execution_id,
            last_run_status=status,
            last_run_error=error,
            execution_count=s.execution_count + ended,
            consecutive_failures=s.consecutive_failures + 1 if failed else 0,
        )
        .execution_options(synchronize_session=False)
    )


def count(session: Session, schedule_id: int, ended: int) -> None:
    """So many ended before the last that the schedule remembers already."""
    s = AutomationSchedule
    more = sa.update(s).where(s.id == schedule_id).values(execution_count=s.execution_count + ended)
    session.execute(more.execution_options(synchronize_session=False))


def ended_keys(session: Session, schedule_id: int, items: Iterable[str]) -> set[tuple[str, str]]:
    """(item, occurrence) of a schedule's runs that have ended: never planned again."""
    r = AutomationRun
    rows = session.execute(
        sa.select(r.item, r.occurrence).where(
            r.schedule_id == schedule_id, among(r.item, list(items)), r.finished_at.is_not(None)
        )
    )
    return {(row.item, row.occurrence) for row in rows}
