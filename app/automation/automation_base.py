"""What a task that runs by the clock is, and which there are (waitlist WA1, WA2, WA4, WA10).

A task names its items and their instants; a schedule (`AutomationSchedule`) says how long before or
after. `register_automation` only records: what is imported stands in `automation_tasks`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, ClassVar

from sqlalchemy.orm import Session

from app.automation.registry import (
    BadAutomationModule,
    Registration,
    get_automation_class,
    get_registered_automation_classes,
    register_automation,
    registration_of,
)
from app.automation.steps import Plan, Step
from app.extensions import db, utcnow
from app.models.automation import AutomationSchedule, BeforeAfterEnum
from app.models.rules import rules_of
from app.services import diff
from app.services.plan import Occurrence, job_id

__all__ = [
    "BadAutomationModule",
    "BaseAutomationTask",
    "Failed",
    "Late",
    "PlannedJob",
    "Registration",
    "Skip",
    "func_ref",
    "get_automation_class",
    "get_registered_automation_classes",
    "item_id",
    "register_automation",
    "source_of",
    "why_inert",
]

log = logging.getLogger("app.automation")

LEAST_GRACE = timedelta(seconds=15)  # nothing is too late sooner than that (WA10)

LeftOut = Callable[[str, "str | Exception"], None]


class Late(Enum):
    """How late a task may run if its schedule states no grace; None: `misfire_grace_time`."""

    ALWAYS = "always"
    UNTIL_EVENT = "until its event"


class Skip(Exception):
    """Nothing to do, for a reason worth recording: the run ends `skipped`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Failed(Exception):
    """`execute()` said so: it returned False, or `{"success": False, "message": …}`."""


@contextmanager
def no_exit() -> Iterator[None]:
    """Code of a task class that calls `sys.exit` has failed; our process goes on."""
    try:
        yield
    except SystemExit as stop:
        raise exited(stop) from stop


def exited(stop: SystemExit) -> Failed:
    """What `sys.exit` in a task means to us."""
    return Failed(f"it called sys.exit({stop.code!r})")


class BaseAutomationTask:
    """One item of a schedule, about to be dealt with. Making one reads no database.

    To write your own: `query()` gives the items, `get_event_dt(item)` the instant of each (naive
    is taken as UTC, None leaves the item out), `execute()` does the work. Return False or raise:
    the run failed, and what was written is rolled back. Never commit: the run is one transaction.

    Whoever has written and then works outside the database, say asks a web service, keeps others
    from the same rows, on SQLite from all writing, and has until the time-out of the run; do that
    first. A class whose items took less than a second has 5 s for it on PostgreSQL, then that work
    is rolled back and done once more with its time-out.
    """

    misfire_grace_time: ClassVar[int | None] = 1  # seconds a run may be late; None = any time
    late: ClassVar[Late | None] = None
    max_instances: ClassVar[int] = 1
    replace_existing: ClassVar[bool] = True
    timeout_seconds: ClassVar[int | None] = None
    coalesce: ClassVar[bool] = True  # of a recurring schedule: what was missed is made up for once
    retry_max: ClassVar[int] = 0  # tries after the first, of a recurring run
    min_period: ClassVar[timedelta | None] = None  # the shortest time between two runs (T7)
    # Runs of one group share a limit: in one practice, and in all (schedules G7).
    concurrency_group: ClassVar[str | None] = None
    concurrency_in_practice: ClassVar[int] = 1
    concurrency_in_all: ClassVar[int] = 3
    destructive: ClassVar[bool] = False  # never hurried in DEVELOPMENT
    config_model: ClassVar[Any] = None  # the pydantic model of the schedule's `task_config`
    runs_when_gone: ClassVar[bool] = False  # runs although its item is no longer planned
    # Its work is rows of our database and nothing else, so that a dry run can do it and take it
    # back. Each class says so for itself: one that adds to another may also ask a web service.
    only_rows: ClassVar[bool] = False

    result: dict[str, Any] | None = None  # counters, for the run's record

    def __init__(self, id: str, automation_name: str, *args: Any, **kwargs: Any) -> None:
        self.id = id
        self.automation_name = automation_name
        self.args = args
        self.kwargs = kwargs
        self._session: Session | None = None
        self._now: datetime | None = None
        self._as_of: datetime | None = None
        self.config: Any = {}
        # Of a recurring run: context data, then what it is and why it runs (schedules P4).
        self.trigger_data: dict[str, Any] = {}

    # --- what a run gives it; called directly, it uses the session and the clock (rulings RC6) ---

    @property
    def session(self) -> Session:
        return self._session or db.session()

    @session.setter
    def session(self, session: Session) -> None:
        self._session = session

    @property
    def now(self) -> datetime:
        self._now = self._now or utcnow()
        return self._now

    @now.setter
    def now(self, now: datetime) -> None:
        self._now = now

    @property
    def as_of(self) -> datetime:
        """What deadlines are compared with: `now`, in DEVELOPMENT the true due time (WA9)."""
        return self._as_of or self.now

    @as_of.setter
    def as_of(self, as_of: datetime) -> None:
        self._as_of = as_of

    # --- what to deal with, and when ---

    @staticmethod
    def query() -> Sequence[Any]:
        """The items there are."""
        raise NotImplementedError("query() of a task returns its items")

    @staticmethod
    def get_event_dt(item: Any) -> datetime | None:
        """The instant of an item that the schedule counts from."""
        raise NotImplementedError("get_event_dt(item) of a task returns the instant of an item")

    @classmethod
    def occurrences(
        cls, item: Any, automation: AutomationSchedule
    ) -> list[tuple[str, datetime | None]]:
        """(item id, instant) of an item; one pair unless a task says otherwise (WA2)."""
        return [(item_id(item), cls.get_event_dt(item))]

    @classmethod
    def planned(
        cls,
        session: Session,
        automation: AutomationSchedule,
        now: datetime,
        items: Sequence[str] | None = None,
        left_out: LeftOut | None = None,
    ) -> dict[str, Occurrence]:
        """What the schedule plans now: item id -> its occurrence, `items` only if given.

        Past ones too, ended ones too. An item that raises or has no instant is told to `left_out`;
        without it, it raises. What was due before the schedule was switched on is left out (WA3).
        """
        shift, since = _shift(automation), automation.active_since
        wanted = None if items is None else set(items)
        planned = {}
        for item in cls.query() if wanted is None else _chosen(cls, wanted):
            for one in _of_item(cls, item, automation, shift, left_out):
                if (wanted is None or one.item in wanted) and (since is None or one.due >= since):
                    planned[one.item] = one
        return planned

    @classmethod
    def without_limit(
        cls,
        session: Session,
        automation: AutomationSchedule,
        now: datetime,
        items: Sequence[str] | None = None,
        left_out: LeftOut | None = None,
    ) -> dict[str, Occurrence]:
        """As `planned`, with what waits for its turn because only so many are done at once."""
        return cls.planned(session, automation, now, items, left_out)

    @classmethod
    def last_moment(cls, automation: AutomationSchedule, occurrence: Occurrence) -> datetime | None:
        """Until when it may run; afterwards it is `missed`. None: it is never too late (WA10)."""
        grace = automation.misfire_grace_time
        try:
            if grace is None and cls.late is Late.UNTIL_EVENT:
                return max(occurrence.at, occurrence.due + LEAST_GRACE)
            if grace is None and cls.late is None:
                grace = cls.misfire_grace_time
            if grace is None:
                return None
            return occurrence.due + max(timedelta(seconds=grace), LEAST_GRACE)
        except OverflowError:  # beyond the last date there is
            return None

    @classmethod
    def why_inert(cls, automation: AutomationSchedule) -> str | None:
        """What makes no sense about a schedule of this task, in words; None: nothing (WA7)."""
        return None

    # --- doing it ---

    def setup(self) -> None:
        """Before `execute`; nothing unless a task says otherwise."""

    def execute(self) -> Any:
        """The work. True, None or a dictionary of counters: done; False: failed."""
        raise NotImplementedError("execute() of a task does its work")

    def teardown(self) -> None:
        """After `execute`, also when that failed; nothing unless a task says otherwise."""

    @classmethod
    def batches(cls, session: Session, tasks: Sequence[Any]) -> list[list[Any]]:
        """Which tasks belong into one transaction, in the order to run them."""
        return [list(tasks)]

    @classmethod
    def execute_batch(cls, tasks: Sequence[Any], now: datetime) -> None:
        """Deal with tasks that share a transaction. Raises what they raise, `Skip`, `Failed`."""
        for task in tasks:
            task.setup()
            try:
                task.result = _result_of(task.execute())
            finally:
                task.teardown()

    # --- by the clock alone: a task that recurs (schedules P) ---

    def plan(self, session: Session, config: Any, now: datetime) -> Plan | Sequence[Step]:
        """What is to be done now; reads only. `Skip` with a reason if it is not the time for it."""
        raise NotImplementedError("plan() of a task returns the steps it would take")

    def apply(self, session: Session, step: Step, now: datetime) -> Mapping[str, int] | None:
        """Do one step, in a transaction of its own; what to count. `Stale` if it is done or void.

        It asks again what its plan was made from: time has passed, and it may be a second try.
        """
        raise NotImplementedError("apply(step) of a task takes one step of its plan")

    @classmethod
    def timeout_of(cls, config: Mapping[str, Any]) -> float | None:
        """Seconds that a run may take with this configuration; None: as long as any."""
        return cls.timeout_seconds

    @classmethod
    def has_plan(cls) -> bool:
        """It says beforehand what it would do, so that it can be tried out."""
        return cls.plan is not BaseAutomationTask.plan

    @classmethod
    def only_writes_rows(cls) -> bool:
        """Its work can be done and taken back, so that a schedule of events can be tried out."""
        return bool(vars(cls).get("only_rows"))

    # --- planning by hand (WA4) ---

    @classmethod
    @no_exit()
    def create_job(cls, item: Any, automation: AutomationSchedule) -> PlannedJob | None:
        """Plan one item, in the caller's transaction; None if there is nothing (more) to plan.

        An item with several instants gets a job for each; the first due is returned.
        """
        ids = [id_ for id_, _ in cls.occurrences(item, automation)]
        jobs = cls._create(automation, ids)
        return min(jobs, key=lambda job: job.next_run_time) if jobs else None

    @classmethod
    @no_exit()
    def create_jobs(cls, automation: AutomationSchedule) -> list[PlannedJob]:
        """Plan all items of the schedule, in the caller's transaction; the jobs, soonest first."""
        return sorted(cls._create(automation, None), key=lambda job: (job.next_run_time, job.id))

    @classmethod
    def _create(
        cls, automation: AutomationSchedule, items: Sequence[str] | None
    ) -> list[PlannedJob]:
        session, now, record = db.session(), utcnow(), registration_of(cls)
        session.flush()  # the schedule or its items may be fresh
        why_not = why_inert(automation, record)
        if record is None or why_not or not automation.switched_on:
            log.warning(
                "no job planned: schedule=%s because=%s", automation.name, why_not or "it is off"
            )
            return []
        wanted = cls.planned(session, automation, now, items, _left_out_of(automation))
        due = diff.plan_items(session, source_of(automation, record), wanted, now)
        environment = rules_of(session).environment
        return [
            PlannedJob(
                job_id(automation.name, item, environment),
                at,
                func_ref(record.name),
                (item, automation.name, record.name),
            )
            for item, at in due.items()
        ]


@dataclass(frozen=True)
class PlannedJob:
    """A job as `create_job` returns it; `next_run_time` is aware."""

    id: str
    next_run_time: datetime
    func_ref: str
    args: tuple[str, str, str]  # item id, schedule name, class name


def _chosen(cls: type[BaseAutomationTask], wanted: Set[str]) -> Iterator[Any]:
    """The items that can be meant: most jobs are about a few of very many.

    All of a class that names their occurrences in a way of its own.
    """
    as_named = _function(cls.occurrences) is _function(BaseAutomationTask.occurrences)
    return (item for item in cls.query() if not as_named or _is_meant(item, wanted))


def _function(method: Callable[..., Any]) -> Any:
    """What a class method calls, or a static method is."""
    return getattr(method, "__func__", method)


def _is_meant(item: Any, wanted: Set[str]) -> bool:
    try:
        return item_id(item) in wanted
    except (Exception, SystemExit):  # theirs: whoever asks for its occurrences meets it again
        return True


def _of_item(
    cls: type[BaseAutomationTask],
    item: Any,
    automation: AutomationSchedule,
    shift: timedelta,
    left_out: LeftOut | None,
) -> list[Occurrence]:
    """The occurrences of an item; what is wrong with it stops no other, if somebody is told."""
    found = []
    try:
        for id_, at in cls.occurrences(item, automation):
            if at is not None:
                instant = at if at.tzinfo is UTC else _aware(cls, at)
                found.append(Occurrence(id_, instant, instant + shift))
            elif left_out is not None:
                left_out(id_, "it has no instant")
    except SystemExit as stop:
        if left_out is None:
            raise exited(stop) from stop
        left_out(_named(item), exited(stop))
    except Exception as error:  # theirs: it may fail in any way
        if left_out is None:
            raise
        left_out(_named(item), error)
    return found


def _shift(automation: AutomationSchedule) -> timedelta:
    """From an event to what is due."""
    interval = automation.interval or timedelta(0)
    return -interval if automation.beforeafter is BeforeAfterEnum.before else interval


_naive: set[type] = set()  # classes whose instants we have said to be naive


def _aware(cls: type[BaseAutomationTask], at: datetime) -> datetime:
    if at.tzinfo is not None:
        return at.astimezone(UTC)
    if cls not in _naive:
        _naive.add(cls)
        log.warning("naive instants are taken as UTC: class=%s", cls.__qualname__)
    return at.replace(tzinfo=UTC)


def _named(item: Any) -> str:
    """What to call an item that may not even have an id."""
    try:
        with no_exit():
            return item_id(item)
    except Exception:  # theirs
        return repr(type(item))


def _left_out_of(automation: AutomationSchedule) -> LeftOut:
    def told(item: str, why: str | Exception) -> None:
        error = why if isinstance(why, Exception) else None
        log.error(
            "item left out: schedule=%s item=%s because=%s",
            automation.name,
            item,
            why,
            exc_info=error,
        )

    return told


def _result_of(outcome: Any) -> dict[str, Any] | None:
    """What `execute()` returned, as counters. Raises `Failed`."""
    if outcome is False:
        raise Failed("execute() returned False")
    if not isinstance(outcome, dict):
        return None
    if outcome.get("success") is False:
        raise Failed(str(outcome.get("message") or outcome.get("error") or "no message"))
    return outcome


def source_of(automation: AutomationSchedule, record: Registration) -> diff.Source:
    """The schedule with what its class says of its jobs."""
    return diff.Source(
        automation.id,
        automation.name,
        record.name,
        lambda occurrence: record.cls.last_moment(automation, occurrence),
        record.cls.destructive,
    )


def why_inert(automation: AutomationSchedule, record: Registration | None) -> str | None:
    """Why a schedule that is switched on plans nothing, in words; None: it plans (WA7)."""
    why_not = why_idle(automation, record)
    if record is None or why_not is not None:
        return why_not
    if automation.interval is None:
        return "it has no interval"
    return record.cls.why_inert(automation)


def why_idle(automation: AutomationSchedule, record: Registration | None) -> str | None:
    """Why nothing answers to a schedule, whatever its times; None: a task does."""
    if automation.automation_class is None:
        return "it has no task class"
    if record is None:
        return f"its task class {automation.automation_class.class_name} is missing"
    if not record.enabled or not automation.automation_class.enabled:
        return f"its task class {record.name} is disabled"
    return None


def item_id(item: Any) -> str:
    """How jobs and runs call an item: its `uuid` if it has one, else its `id` (WA2)."""
    uuid = getattr(item, "uuid", None)
    return str(uuid if uuid is not None else item.id)


def func_ref(class_name: str) -> str:
    """How job lists show what a job calls: the one function, and for which class (RC8)."""
    return f"{__name__}:_execute_automation_task_job({class_name})"


def _execute_automation_task_job(item_id: str, automation_name: str, class_name: str) -> Any:
    """Run one job now, recorded: the function that every job in the store stands for (WA8)."""
    from app.automation import execution  # it imports this module

    return execution.run(item_id, automation_name, class_name)
