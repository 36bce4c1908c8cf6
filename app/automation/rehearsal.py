"""What a schedule that follows events would do: its own work, done and taken back (schedules P1).

The tasks of events have no plan apart from their work, so a dry run does that work in a savepoint,
reads what it wrote and undoes all of it. What is listed is therefore what a run would write, letter
by letter, from the facts as they are now: what became due through it, say the deadline of somebody
it would invite, is not followed further.

Whoever is invited or accepts meanwhile waits: at most `MOST` occurrences are tried out, and none
begins after `SECONDS`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.automation import sorting
from app.automation.automation_base import (
    Skip,
    exited,
    get_automation_class,
    no_exit,
    why_inert,
)
from app.automation.claims import Claimed, State
from app.automation.execution import rollbacks_of
from app.automation.planned import Planned, planned
from app.automation.rehearsed import LeftOut, Part, Rehearsal
from app.automation.scheduler_ops import renew_one
from app.automation.sharing import does_together, lists_of
from app.automation.sorting import Terms, Work
from app.automation.steps import Step
from app.models.automation import AutomationRun, AutomationSchedule, RunStatus
from app.models.bulk import among
from app.models.enrolment import TrainingEnroll
from app.models.enrolment_history import EnrolmentHistory
from app.models.job import Job
from app.models.outbox import Outbox
from app.models.text import named, said_by
from app.models.training import Training
from app.services import runs
from app.services.locks import locked, locked_trainings
from app.services.occurrence import Occurrence, name_of
from app.services.refusals import Refusal

AHEAD = timedelta(days=30)  # how far a dry run looks unless told
FARTHEST = timedelta(days=366)
MOST = 50  # occurrences that it tries out
SECONDS = 2.0  # after which it begins no other one: it holds what others may wait for
EVER = datetime(1, 1, 1, tzinfo=UTC)

TOO_LATE, BEFORE, ITS_TURN = "too-late", "before-switched-on", "waits-for-its-turn"


class RollsBack(Refusal):
    """Who ends the transaction of its run also ends the savepoint that a dry run lives in."""

    code, status = "cannot_be_tried", 400
    sentence = _l("This task can't be tried out: it rolls back by itself.")


class _TakenBack(Exception):
    """Ends the savepoint: nothing of it stays."""


def can_rehearse(schedule: AutomationSchedule) -> bool:
    """Whether the work of its task can be done and taken back."""
    row = schedule.automation_class
    record = get_automation_class(row.class_name) if row else None
    return record is not None and record.cls.only_writes_rows()


def rehearse(
    session: Session,
    schedule: AutomationSchedule,
    now: datetime,
    *,
    ahead: timedelta = AHEAD,
    practice_id: int | None = None,
) -> Rehearsal:
    """What is planned until `now` + `ahead`, and what each of it would do; nothing of it stays.

    Its task `can_rehearse`. Of a schedule of all practices only what concerns `practice_id`, if
    given. The caller ends its transaction soon: until then SQLite lets nobody else write. Raises
    `RollsBack`.
    """
    found = Rehearsal(now, now + min(ahead, FARTHEST))
    with _unheard(), rollbacks_of(session) as rolled_back:
        try:
            with suppress(_TakenBack), session.begin_nested():
                schedule = locked(session, AutomationSchedule, schedule.id)
                _Stage(session, schedule, found, practice_id).play()
                raise _TakenBack
        except sa.exc.InvalidRequestError as closed:
            if rolled_back:
                raise RollsBack from closed
            raise
    return found


# --- unheard -------------------------------------------------------------------------------------

_rehearsing: ContextVar[bool] = ContextVar("rehearsing", default=False)


def _is_real(_record: logging.LogRecord) -> bool:
    return not _rehearsing.get()


# What they say happened did not happen; what matters of it stands in the plan.
for _name in ("", ".execution", ".renew", ".runs", ".waitlist"):
    logging.getLogger(f"app.automation{_name}").addFilter(_is_real)


@contextmanager
def _unheard() -> Iterator[None]:
    token = _rehearsing.set(True)
    try:
        yield
    finally:
        _rehearsing.reset(token)


# --- the work ------------------------------------------------------------------------------------


class _Stage:
    """One rehearsal, inside its savepoint."""

    def __init__(
        self,
        session: Session,
        schedule: AutomationSchedule,
        found: Rehearsal,
        practice_id: int | None,
    ) -> None:
        self.session, self.schedule, self.found = session, schedule, found
        self.practice_id = practice_id
        row = schedule.automation_class
        record = get_automation_class(row.class_name) if row else None
        assert record is not None  # noqa: S101  `can_rehearse` was asked
        self.record, self.cls = record, record.cls

    def play(self) -> None:
        """Plan as it stands, then work through it in the order of time."""
        self._switch_on()
        self.found.inert = why_inert(self.schedule, self.record)
        if self.found.inert is not None:
            return
        jobs = self._jobs()
        terms = sorting.terms_of(self.session, self.schedule.name, self.record.name, self.cls)
        assert terms is not None  # noqa: S101  its row is locked
        began, done = time.perf_counter(), 0
        for at, some in groupby(jobs, key=lambda job: max(job.due, self.found.at)):
            for together in self._lists(list(some)):
                if time.perf_counter() - began > SECONDS:
                    self.found.cut += len(jobs) - done
                    return
                self._take(terms, together, at)
                done += len(together)

    def _switch_on(self) -> None:
        """What rests is tried out as if it went on now; then nothing past is caught up on (WA3)."""
        schedule = self.schedule
        self.found.off = sorting.why_off(schedule)
        if not schedule.switched_on:
            schedule.active, schedule.paused_at, schedule.stopped_because = True, None, None
            schedule.active_since = None
        if schedule.automation_class is not None:
            schedule.automation_class.enabled = True

    # --- which ---

    def _jobs(self) -> list[Claimed]:
        """The occurrences to try out, as a renew would plan them now; notes what is left out."""
        mark = self._last(AutomationRun)
        renewed = renew_one(self.session, self.schedule, self.schedule.name, self.found.at)
        for what, why in renewed.left_out:
            self.found.left_out.append(LeftOut(what.rpartition("/")[2], None, None, why))
        mine = Job.id.startswith(f"{self.schedule.name}/", autoescape=True)
        there = self._of_practice(list(planned(self.session, mine)))
        self._note_missed(mark)
        self._note_held_back({job.item for job in there if job.item})
        due = [job for job in there if job.due is not None and job.due <= self.found.until]
        self.found.cut = max(0, len(due) - MOST)
        due = due[:MOST]
        self._lock([job.item for job in due if job.item])
        return [claimed for job in due if (claimed := self._claimed(job)) is not None]

    def _claimed(self, job: Planned) -> Claimed | None:
        """As a scheduler would claim it; None, noted, if it would not."""
        if job.parked or job.running or job.item is None or job.due is None:
            why = "running" if job.running else job.error or "parked"
            self.found.left_out.append(LeftOut(job.item or job.id, job.due, None, why))
            return None
        state = State(job.item, self.schedule.name, self.record.name)
        return Claimed(job.id, state, job.due, 1, "")

    def _note_missed(self, mark: int) -> None:
        """What the renew found to be too late."""
        r = AutomationRun
        missed = sa.select(r.item, r.due_at).where(r.id > mark, r.schedule_id == self.schedule.id)
        rows = self.session.execute(missed.where(r.status == RunStatus.MISSED).order_by(r.due_at))
        self._leave_out([(item, due) for item, due in rows], RunStatus.MISSED, TOO_LATE)

    def _note_held_back(self, there: Collection[str]) -> None:
        """What is due by its dates and has no job, without ever having run."""
        wanted = self._planned_by(self.cls.planned)
        on = self._planned_by(self.cls.without_limit)
        since, self.schedule.active_since = self.schedule.active_since, EVER
        ever = self._planned_by(self.cls.without_limit)
        self.schedule.active_since = since
        known = {*there, *(one.item for one in self.found.left_out)}
        absent = [one for item, one in ever.items() if item not in known]
        for one in self._not_ended([one for one in absent if one.due <= self.found.at]):
            waits = one.item in on and one.item not in wanted
            reason = BEFORE if one.item not in on else ITS_TURN if waits else TOO_LATE
            self._leave_out([(one.item, one.due)], None, reason)

    def _planned_by(self, plan: Callable[..., dict[str, Occurrence]]) -> dict[str, Occurrence]:
        return plan(self.session, self.schedule, self.found.at, None, _untold)

    def _not_ended(self, some: Sequence[Occurrence]) -> list[Occurrence]:
        ended = runs.ended_keys(self.session, self.schedule.id, [one.item for one in some])
        return sorted((o for o in some if (o.item, o.name) not in ended), key=lambda o: o.due)

    def _leave_out(
        self,
        some: Sequence[tuple[str, datetime | None]],
        status: RunStatus | None,
        reason: str,
    ) -> None:
        known = self._trainings([item for item, _ in some])
        for item, due in some:
            if self._concerns(known.get(item)):
                self.found.left_out.append(LeftOut(item, due, status, reason))

    # --- whose ---

    def _of_practice(self, jobs: Sequence[Planned]) -> list[Planned]:
        known = self._trainings([job.item for job in jobs if job.item])
        return [job for job in jobs if self._concerns(known.get(job.item or ""))]

    def _concerns(self, training: tuple[int, int] | None) -> bool:
        """Nothing of another practice is shown; what is about no training is nobody's."""
        return self.practice_id is None or training is None or training[1] == self.practice_id

    def _trainings(self, items: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Item -> the id of its training and of that one's practice."""
        t, e = Training, TrainingEnroll
        of = {item: int(n) for item in items if (n := item.partition(":")[0]).isdecimal()}
        numbers = sorted({n for n in of.values() if n < 2**31})
        asked = sa.select(t.id, t.practice_id).where(among(t.id, numbers))
        practices = {row.id: row.practice_id for row in self.session.execute(asked)}
        found = {item: (n, practices[n]) for item, n in of.items() if n in practices}
        uuids = [item for item in items if item not in of]
        by_enrolment = sa.select(e.uuid, t.id, t.practice_id).join(t, t.id == e.training_id)
        for uuid, id_, practice in self.session.execute(by_enrolment.where(among(e.uuid, uuids))):
            found[uuid] = (id_, practice)
        return found

    def _lock(self, items: Sequence[str]) -> None:
        """All of their trainings at once: taken one by one, two could wait for each other (L3)."""
        known = self._trainings(items)
        locked_trainings(self.session, sorted({id_ for id_, _ in known.values()}))

    # --- doing it ---

    def _lists(self, jobs: list[Claimed]) -> list[list[Claimed]]:
        """As the engine deals with them: what belongs together in one transaction, else alone."""
        if does_together(self.cls):
            return lists_of(self.session, self.cls, jobs)
        return [[job] for job in jobs]

    def _take(self, terms: Terms, jobs: list[Claimed], at: datetime) -> None:
        facts = sorting.ask(terms, [sorting.item_of(job) for job in jobs], at)
        sorted_ = sorting.sort(terms, facts, jobs, at)
        for (status, reason), works in sorted_.verdicts.items():
            for work in works:
                self._note(work, status, reason)
        for job, due in sorted_.moved:
            self.found.left_out.append(LeftOut(sorting.item_of(job), due, None, "moved"))
        for job, error in sorted_.broken:
            item = sorting.item_of(job)
            self.found.left_out.append(LeftOut(item, job.due, RunStatus.FAILED, said_by(error)))
        if sorted_.to_run:
            self._together(sorted_.to_run, at)

    def _together(self, works: list[Work], at: datetime) -> None:
        """Do these in one savepoint; if one of them raises, each alone, as the engine would."""
        letters, moves = self._last(Outbox), self._last(EnrolmentHistory)
        try:
            with self.session.begin_nested(), no_exit():
                self._execute(works, at)
        except Skip as skip:
            if len(works) == 1:
                self._note(works[0], RunStatus.SKIPPED, skip.reason)
                return
            self._each(works, at)
        except Exception as error:  # theirs: it may fail in any way
            if len(works) == 1:
                self._note(works[0], RunStatus.FAILED, named(error, 200))
                return
            self._each(works, at)
        else:
            self._write_down(works, at, letters, moves)

    def _each(self, works: list[Work], at: datetime) -> None:
        for work in works:
            self._together([work], at)

    def _execute(self, works: list[Work], at: datetime) -> None:
        for work in works:
            work.task.now, work.task.result = at, None
        try:
            self.cls.execute_batch([work.task for work in works], at)
        except SystemExit as stop:  # of a task, not of us
            raise exited(stop) from stop
        self.session.flush()  # what it left to the commit is looked at now

    def _note(self, work: Work, status: RunStatus, reason: str) -> None:
        one = work.occurrence
        self.found.left_out.append(LeftOut(one.item, one.due, status, reason))

    # --- what it wrote ---

    def _last(self, model: Any) -> int:
        return self.session.scalar(sa.select(sa.func.max(model.id))) or 0

    def _write_down(self, works: list[Work], at: datetime, letters: int, moves: int) -> None:
        """What others committed meanwhile is not ours: the instant of our rows is."""
        o, h, e = Outbox, EnrolmentHistory, TrainingEnroll
        due = min(work.occurrence.due for work in works)
        moved = sa.select(h, e.uuid).outerjoin(e, e.id == h.enrolment_id)
        rows = self.session.execute(moved.where(h.id > moves, h.at == at).order_by(h.id))
        steps = [_moved(row, uuid, due) for row, uuid in rows]
        told = sa.select(o, e.training_id).outerjoin(e, e.id == o.enrolment_id)
        mine = told.where(o.id > letters, o.created_at == at).order_by(o.id)
        steps += [_told(row, training, due) for row, training in self.session.execute(mine)]
        items = tuple(work.occurrence.item for work in works)
        self.found.parts.append(Part(items, due, tuple(steps)))


def _untold(_item: str, _why: str | Exception) -> None:
    """The renew has told it."""


def _moved(row: EnrolmentHistory, uuid: str | None, due: datetime) -> Step:
    """A line of the history, of an enrolment or of the training itself."""
    data = {"event": row.event, "training": row.training_id, "due": due}
    subject = uuid or row.training_id
    text = f"{row.from_status or '-'} to {row.to_status or '-'}, " if uuid else ""
    return Step(f"history_{row.event}", subject, text + _about(row.training_id, due), data=data)


def _told(row: Outbox, training: int | None, due: datetime) -> Step:
    """A row of the outbox: a letter, or what a program is told."""
    of = training or (row.payload or {}).get("training")
    data = {"letter": row.kind, "training": of, "due": due}
    letter = row.channel == "email"
    kind, subject = f"letter_{row.kind}", row.user_id or row.aggregate
    return Step(kind, subject, _about(of, due), sends=int(letter), data=data)


def _about(training: int | None, due: datetime) -> str:
    return f"training {training}, due {name_of(due)}"
