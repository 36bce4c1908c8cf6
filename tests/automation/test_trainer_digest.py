"""The daily letter to trainers as its schedule sends it (waitlist WN15, schedules G, P)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from app.automation import scheduler_ops
from app.automation.automation_tasks import TrainerDigestTask
from app.automation.due_schedules import check_due_schedules
from app.automation.registry import get_automation_class
from app.automation.steps import Plan, Stale
from app.automation.trial import plan_of
from app.extensions import db, write
from app.models import (
    AutomationRun,
    AutomationSchedule,
    Outbox,
    Practice,
    TrainerLetters,
    TrainingTrainer,
    UserSettings,
)
from app.models.types import new_uuid
from app.services import digests, people_letters
from tests.automation import tasks
from tests.automation.tasks import Engine
from tests.cast import DAY, HOUR, MINUTE, NOON, Cast

apps, engine = tasks.apps, tasks.engine
EVENING = NOON + 5 * HOUR  # 18:00 in Amsterdam, in winter


def on_digest(cast: Cast, *names: str) -> None:
    """Tess and these teach Pottery, and want one letter a day."""
    for trainer in (cast.tess, *(cast.trainer(name) for name in names)):
        wants = UserSettings(user_id=trainer.user_id, trainer_letters=TrainerLetters.DIGEST)
        cast.add(wants)
        if trainer is not cast.tess:
            cast.pottery.trainers.append(TrainingTrainer(trainer_id=trainer.id))
    cast.session.flush()
    cast.session.expire_all()


def task_of(cast: Cast, schedule: AutomationSchedule | None = None) -> Any:
    """A task as a run of the practice's schedule makes it."""
    row = schedule or digests.ship(cast.session, cast.practice)
    task = TrainerDigestTask(row.schedule_id, row.name)
    task.session = cast.session
    task.trigger_data = {"execution_id": new_uuid()}
    return task


def planned(cast: Cast, task: Any, now: datetime = EVENING) -> Plan:
    plan: Plan = task.plan(cast.session, {}, now)
    return plan


def readers(cast: Cast) -> list[str]:
    return sorted(name for kind, name in cast.letters() if kind == "trainer_digest")


# --- what is planned is what is done -------------------------------------------------------------


def test_what_is_planned_is_what_is_done_and_planning_writes_nothing(cast: Cast) -> None:
    on_digest(cast, "Tina", "Toby")
    cast.enrol_all("Ada", "Ben")
    task = task_of(cast)
    before = cast.everything()
    plan = planned(cast, task)
    assert cast.everything() == before
    assert [(step.kind, step.text) for step in plan.steps] == [
        ("trainer_digest", "2 changes, 1 training")
    ] * 3
    assert plan.as_dry_result["would_send"] == 3
    done = [task.apply(cast.session, step, EVENING) for step in plan.steps]
    assert done == [{"messages_sent": 1}] * 3
    mine = sa.select(Outbox.user_id).where(Outbox.kind == "trainer_digest").order_by(Outbox.id)
    assert list(cast.session.scalars(mine)) == [step.subject_id for step in plan.steps]
    assert planned(cast, task).steps == []


def test_a_step_that_somebody_else_took_is_stale(cast: Cast) -> None:
    on_digest(cast)
    cast.enrol("Ada")
    first, second = task_of(cast), task_of(cast)
    (step,) = planned(cast, first).steps
    assert second.apply(cast.session, step, EVENING) == {"messages_sent": 1}
    with pytest.raises(Stale):
        first.apply(cast.session, step, EVENING)
    assert readers(cast) == ["Tess"]


def test_a_schedule_without_a_practice_writes_for_all_and_one_of_another_for_none(
    cast: Cast,
) -> None:
    on_digest(cast)
    cast.enrol("Ada")
    wool = cast.add(Practice(name="Wool", shortname="wool"))
    theirs = digests.ship(cast.session, wool)
    assert planned(cast, task_of(cast, theirs)).steps == []
    theirs.practice_id = None
    cast.session.flush()
    assert len(planned(cast, task_of(cast, theirs)).steps) == 1


def test_a_dry_run_lists_it_and_an_event_makes_no_sense(cast: Cast) -> None:
    on_digest(cast)
    cast.enrol("Ada")
    trial = plan_of(cast.session, digests.ship(cast.session, cast.practice), EVENING)
    assert (trial.error, trial.skipped, trial.sends) == (None, None, 1)
    assert "by the clock" in (TrainerDigestTask.why_inert(AutomationSchedule()) or "")
    assert get_automation_class(digests.TASK) is not None


def test_a_run_can_tell_how_many_of_its_letters_arrived(cast: Cast) -> None:  # X6
    on_digest(cast, "Tina")
    cast.enrol("Ada")
    task = task_of(cast)
    for step in planned(cast, task).steps:
        task.apply(cast.session, step, EVENING)
    row = cast.session.scalars(sa.select(Outbox).where(Outbox.kind == "trainer_digest")).first()
    assert row is not None
    row.state, row.ended_at = "sent", EVENING
    cast.session.flush()
    run = AutomationRun(
        execution_id=task.trigger_data["execution_id"], schedule_id=1, item="x", occurrence="y",
        started_at=EVENING, messages_sent=2,
    )  # fmt: skip
    assert people_letters.delivered(cast.session, run) == (1, 2)


# --- day by day, on the engine -------------------------------------------------------------------


@pytest.fixture
def studio(engine: Engine) -> Iterator[Cast]:
    """The cast on the engine's database, Tess on digest, and what a new practice begins with."""
    with engine.app.app_context():
        cast = Cast(db.session())
        scheduler_ops.describe_classes(db.session())
        on_digest(cast)
        cast.pottery.max_participants = 9
        schedule = digests.ship(cast.session, cast.practice)
        schedule.next_execution_at = EVENING
        db.session.commit()
        yield cast
        db.session.rollback()


def day(engine: Engine, studio: Cast, now: datetime) -> list[tuple[str, int, int]]:
    """The scheduler looks and works; (status, occurrences merged, letters) of all runs so far."""
    studio.session.commit()
    with engine.app.app_context(), write(db.session):
        check_due_schedules(db.session(), now)
    engine.tick(now)
    studio.session.expire_all()
    rows = sa.select(AutomationRun).order_by(AutomationRun.id)
    return [
        (str(row.status), row.missed_count, row.messages_sent)
        for row in studio.session.scalars(rows)
    ]


def test_it_runs_at_six_in_the_evening_and_writes_if_anything_happened(
    engine: Engine, studio: Cast
) -> None:
    studio.enrol("Ada")
    assert day(engine, studio, EVENING - MINUTE) == []
    assert day(engine, studio, EVENING) == [("success", 0, 1)]
    assert day(engine, studio, EVENING + DAY) == [("success", 0, 1), ("success", 0, 0)]
    studio.enrol("Ben", EVENING + DAY + HOUR)
    assert day(engine, studio, EVENING + 2 * DAY)[-1] == ("success", 0, 1)
    assert readers(studio) == ["Tess", "Tess"]


def test_after_days_in_which_nothing_ran_one_letter_tells_it_all(
    engine: Engine, studio: Cast
) -> None:
    for n, name in enumerate(("Ada", "Ben", "Cleo")):
        studio.enrol(name, NOON + n * DAY)
    back = EVENING + 2 * DAY + 12 * HOUR  # at night: too late for that evening's
    assert day(engine, studio, back) == [("missed", 3, 0)]
    assert day(engine, studio, EVENING + 3 * DAY)[-1] == ("success", 0, 1)
    (row,) = studio.session.scalars(sa.select(Outbox).where(Outbox.kind == "trainer_digest"))
    assert row.payload["news"] == {str(studio.pottery.id): [1, 2, 3]}


def test_a_dry_run_writes_nothing_and_takes_no_news_away(engine: Engine, studio: Cast) -> None:
    studio.enrol("Ada")
    schedule = studio.session.scalars(
        sa.select(AutomationSchedule).where(AutomationSchedule.name == digests.NAME)
    ).one()
    schedule.dry_run = True
    assert day(engine, studio, EVENING) == [("success", 0, 0)]
    (run,) = studio.session.scalars(sa.select(AutomationRun))
    assert run.result is not None
    assert (run.result["would_send"], run.result["total"]) == (1, 1)
    assert readers(studio) == []
    schedule.dry_run = False
    assert day(engine, studio, EVENING + DAY)[-1] == ("success", 0, 1)
