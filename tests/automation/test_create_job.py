"""Planning by hand (waitlist WA4)."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from app.automation.automation_base import BaseAutomationTask, register_automation
from app.automation.automation_tasks import AutomaticWaitList, StudentReminderTask
from app.extensions import utcnow
from app.models import AutomationSchedule, BeforeAfterEnum, EventsEnum, Job, TrainingEvent
from app.services import documented
from tests.cast import DAY, HOUR, Cast

pytestmark = pytest.mark.usefixtures("_registry")


def own(items: list[Any]) -> Any:
    @register_automation(name="Own")
    class Own(BaseAutomationTask):
        @staticmethod
        def query() -> list[Any]:
            return items

        @staticmethod
        def get_event_dt(item: Any) -> datetime | None:
            return item.at

    return Own


def schedule(cast: Cast, task: str, **more: Any) -> AutomationSchedule:
    usual: dict[str, Any] = {"beforeafter": BeforeAfterEnum.before, "interval": HOUR}
    return cast.add(
        AutomationSchedule(name="by hand", automation_class=cast.task(task), **(usual | more))
    )


def test_a_job_says_what_it_will_call_and_when(cast: Cast) -> None:
    at = utcnow() + DAY
    item = SimpleNamespace(id=7, at=at)
    by = schedule(cast, "Own")
    job = own([item]).create_job(item, by)
    assert (job.id, job.next_run_time) == ("by hand/7/PRODUCTION", at - HOUR)
    assert job.next_run_time.tzinfo is not None
    assert job.args == ("7", "by hand", "Own")
    assert "Own" in job.func_ref
    assert cast.jobs() == {job.id: at - HOUR}


def test_an_item_without_an_instant_has_none(cast: Cast) -> None:
    item = SimpleNamespace(id=7, at=None)
    assert own([item]).create_job(item, schedule(cast, "Own")) is None
    assert cast.jobs() == {}


def test_what_is_too_late_has_none(cast: Cast) -> None:
    item = SimpleNamespace(id=7, at=utcnow() - DAY)
    assert own([item]).create_job(item, schedule(cast, "Own")) is None
    assert cast.jobs() == {}


def test_all_items_have_theirs_soonest_first_and_twice_is_once(cast: Cast) -> None:
    now = utcnow()
    items = [SimpleNamespace(uuid=f"u{n}", at=now + (4 - n) * DAY) for n in range(3)]
    task, by = own(items), schedule(cast, "Own")
    jobs = task.create_jobs(by)
    assert [job.args[0] for job in jobs] == ["u2", "u1", "u0"]
    assert task.create_jobs(by) == jobs
    assert len(cast.jobs()) == 3


def test_a_moved_item_replaces_its_job(cast: Cast) -> None:
    item = SimpleNamespace(id=7, at=utcnow() + DAY)
    task, by = own([item]), schedule(cast, "Own")
    task.create_job(item, by)
    item.at += DAY
    job = task.create_job(item, by)
    assert cast.jobs() == {job.id: item.at - HOUR}


def test_each_invitation_has_a_job_of_its_own(cast: Cast) -> None:  # WX3
    cast.pottery.events.clear()
    cast.schedule.interval = timedelta(days=365)
    rows = cast.line("Ben", "Cleo")
    cast.pottery.max_participants = 3
    for row in rows:
        documented.invite_from_waitlist(cast.session, row)
    cast.session.execute(sa.delete(Job))
    jobs = AutomaticWaitList.create_jobs(cast.schedule)
    assert {job.id for job in jobs} == {
        f"waitlist_invitation_expiry/{row.uuid}/PRODUCTION" for row in rows
    }
    one = AutomaticWaitList.create_job(rows[0], cast.schedule)
    assert one is not None
    assert one.next_run_time == rows[0].invite_expires_at


def test_a_course_with_several_events_returns_the_first_of_its_jobs(cast: Cast) -> None:
    begin = utcnow() + 30 * DAY
    cast.pottery.events.clear()
    for day in (0, 1):
        start = begin + day * DAY
        cast.pottery.events.append(TrainingEvent(start_time=start, end_time=start + HOUR))
    by = schedule(cast, "StudentReminderTask", events=EventsEnum.all)
    job = StudentReminderTask.create_job(cast.pottery, by)
    assert job is not None
    assert job.next_run_time == begin - HOUR
    assert len(cast.jobs()) == 2


@pytest.mark.parametrize(
    "off", [{"active": False}, {"interval": None}, {"beforeafter": BeforeAfterEnum.after}]
)
def test_a_schedule_that_plans_nothing_gives_no_job(cast: Cast, off: dict[str, Any]) -> None:
    by = schedule(cast, "StudentReminderTask")
    for name, value in off.items():
        setattr(by, name, value)
    assert StudentReminderTask.create_jobs(by) == []
    assert cast.jobs() == {}


def test_a_class_nobody_registered_gives_no_job(cast: Cast) -> None:
    class Nobody(BaseAutomationTask):
        pass

    assert Nobody.create_jobs(schedule(cast, "Own")) == []
