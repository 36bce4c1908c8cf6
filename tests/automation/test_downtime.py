"""Three days without a scheduler: what it does, records and leaves alone once it starts again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from app.automation import recurring_runs, scheduler_ops
from app.automation.automation_base import BaseAutomationTask
from app.automation.scheduler_duties import sweep_once
from app.automation.scheduler_upkeep import check_due_once, reap_once
from app.extensions import db, write
from app.models import (
    AutomationRun,
    AutomationSchedule,
    BeforeAfterEnum,
    EnrolmentHistory,
    Job,
    Outbox,
    RunStatus,
    SchedulerEpoch,
    ScheduleType,
)
from app.services import trainings
from tests.automation import tasks
from tests.automation.tasks import EFFECTS, Engine, registered
from tests.cast import DAY, HOUR, MINUTE, NOON, SECOND, Cast

apps, engine = tasks.apps, tasks.engine
BACK = NOON + 3 * DAY + 30 * SECOND
INVITED, REMINDED, OVER = 200, 40, 10


class EveryTwentyMinutes(BaseAutomationTask):
    """Leaves a trace for each run."""

    misfire_grace_time = 900
    coalesce = True

    def execute(self) -> Any:
        self.session.execute(sa.insert(EFFECTS).values(item=self.automation_name))


@pytest.fixture
def down(engine: Engine) -> Iterator[Engine]:
    """At noon all is planned; then nothing runs for three days."""
    with registered(EveryTwentyMinutes):
        engine.sql(sa.insert(SchedulerEpoch).values(id=1, epoch=1))
        with engine.app.app_context(), write(db.session):
            cast = Cast(db.session())
            weaving = cast.several(INVITED)
            trainings.set_capacity(cast.session, weaving.id, INVITED, cast.max, NOON)
            cast.add(
                AutomationSchedule(
                    name="reminder",
                    automation_class=cast.task("StudentReminderTask"),
                    beforeafter=BeforeAfterEnum.before,
                    interval=DAY,
                    active_since=NOON - DAY,
                )
            )
            starts = [BACK + HOUR] * REMINDED + [BACK - HOUR] * OVER
            for n, start in enumerate(starts):
                cast.enrol("Ada", training=cast.training(f"Course {n}", start=start))
        engine.schedule(
            "ticking",
            EveryTwentyMinutes,
            schedule_type=ScheduleType.INTERVAL,
            schedule_config={"interval_seconds": 1200},
            anchor_at=NOON,
            next_execution_at=NOON + 20 * MINUTE,
        )
        with engine.app.app_context():
            scheduler_ops.renew_automations(NOON)
        yield engine


def start(engine: Engine) -> None:
    """What the process does after it took the lock, until nothing is due any more."""
    engine.now = BACK
    with engine.app.app_context():
        scheduler_ops.init_app_scheduler(engine.app, BACK, epoch=1)
        recurring_runs.claim_each(db.session(), lambda: BACK, 1)
    while jobs := engine.claim():
        engine.run(jobs)
    with engine.app.app_context():
        sweep_once(epoch=1, clock=lambda: BACK)
        check_due_once(1, lambda: BACK)
        reap_once(epoch=1, clock=lambda: BACK)
        scheduler_ops.renew_automations(BACK, epoch=1)


def counted(engine: Engine, *columns: Any) -> Counter[Any]:
    with engine.app.app_context():
        return Counter(tuple(map(str, row)) for row in db.session.execute(sa.select(*columns)))


def test_what_was_due_is_done_once_or_on_record_and_nothing_comes_twice(down: Engine) -> None:
    before = counted(down, Outbox.kind)
    assert before["invited",] == INVITED
    start(down)

    # Each invitation ran out, once, and its student was told.
    happened = counted(down, EnrolmentHistory.event)
    assert (happened["invited",], happened["expired",]) == (INVITED, INVITED)
    letters = counted(down, Outbox.kind) - before
    assert letters["expired",] == INVITED

    # Who can still come is reminded; of what is over it stands that it was missed.
    assert letters["reminder_student",] == REMINDED
    with down.app.app_context():
        joined = sa.select(AutomationSchedule.name, AutomationRun.status).join(AutomationRun)
        runs = Counter((name, status) for name, status in db.session.execute(joined))
    assert runs["reminder", RunStatus.SUCCESS] == REMINDED
    assert runs["reminder", RunStatus.MISSED] == OVER

    # The interval made up for all it missed with one run, which says for how many it stands.
    assert down.effects() == {"ticking": 1}
    assert runs["ticking", RunStatus.SUCCESS] == 1
    row = down.the_schedule("ticking")
    with down.app.app_context():
        mine = sa.select(AutomationRun.missed_count).where(AutomationRun.schedule_id == row.id)
        assert list(db.session.scalars(mine)) == [3 * 24 * 3 - 1]
    assert row.next_execution_at == NOON + 3 * DAY + 20 * MINUTE

    # Nothing is left that is due, and another start finds nothing to do.
    with down.app.app_context():
        late = sa.select(sa.func.count()).where(Job.next_run_time <= BACK.timestamp())
        assert db.session.scalar(late) == 0
    as_it_is = everything(down)
    start(down)
    assert everything(down) == as_it_is


def everything(engine: Engine) -> dict[str, Any]:
    """What people would notice."""
    with engine.app.app_context():
        return {
            model.__tablename__: db.session.execute(
                sa.select(model.__table__).order_by(*model.__table__.primary_key)
            ).all()
            for model in (AutomationRun, EnrolmentHistory, Outbox, Job)
        }
