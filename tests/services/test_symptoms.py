"""It runs, but not as it was meant; or the database lets it do too little (rulings RE4)."""

from __future__ import annotations

import os
from typing import Any

import pytest
import sqlalchemy as sa

from app.models import Job, SchedulerEpoch
from app.models.bulk import dialect_of
from app.models.rules import Environment, Rules
from app.services import symptoms
from tests.cast import HOUR, NOON, Cast
from tests.services.scheduling import DAILY, Desk


@pytest.fixture
def desk(cast: Cast) -> Desk:
    return Desk(cast)


def test_who_does_the_same_at_the_same_times_is_named(desk: Desk) -> None:
    row = desk.add(name="one")
    assert symptoms.several_times(desk.session, row) is None
    twin, everyone = desk.add(name="two"), desk.add(name="all", community_id=None, user_id=None)
    everyone.timezone = row.timezone
    said = symptoms.several_times(desk.session, row)
    assert said is not None
    assert "by two, all: pause one" in said
    desk.pause(twin)
    desk.remove(everyone, user_id=None)
    assert symptoms.several_times(desk.session, row) is None


def test_another_time_zone_task_or_setting_is_no_twin(desk: Desk) -> None:
    row = desk.add(name="one")
    desk.add(DAILY | {"minute": 31}, name="later")
    desk.add(name="there", timezone="Europe/Paris")
    desk.add(name="deed", task="Deed")
    desk.add(name="other", task_config={"a": 1})
    assert symptoms.several_times(desk.session, row) is None


def test_event_schedules_that_do_the_same_twice_are_named(cast: Cast) -> None:
    first, second = (
        cast.waitlist_schedule("one", 48 * HOUR),
        cast.waitlist_schedule("two", 48 * HOUR),
    )
    third = cast.waitlist_schedule("three", 24 * HOUR)
    assert "two" in (symptoms.several_times(cast.session, first) or "")
    assert symptoms.several_times(cast.session, second) is not None
    assert symptoms.several_times(cast.session, third) is None


def test_a_job_of_another_environment_is_found(desk: Desk) -> None:
    row = desk.add(name="one")
    [job] = desk.session.scalars(sa.select(Job).where(Job.id.startswith("one/")))
    desk.cast.add(
        Job(id=job.id.replace("PRODUCTION", "DEVELOPMENT"), job_state=job.job_state, due=job.due)
    )
    assert "end the scheduler" in (symptoms.several_times(desk.session, row) or "")


def test_an_alarm_beside_its_row_is_the_wrong_time(desk: Desk) -> None:
    row = desk.add(name="one")
    assert symptoms.wrong_time(desk.session, row) is None
    desk.session.execute(sa.update(Job).values(due=NOON + HOUR))
    desk.session.expire_all()
    said = symptoms.wrong_time(desk.session, row)
    assert said is not None
    assert "2026-03-02T13:00:00Z, but it is due at 2026-03-03T08:30:00Z: renew" in said


def test_a_zone_other_than_the_practice_s_is_told_where_a_clock_is_read(desk: Desk) -> None:
    said = symptoms.other_zone(desk.session, desk.add(name="one"))
    assert said == "Its times are read in UTC; the practice lives in Europe/Amsterdam."
    here = desk.add(name="here", timezone="Europe/Amsterdam")
    often = desk.add({"schedule_type": "interval", "hours": 1}, name="often")
    assert symptoms.other_zone(desk.session, here) is None
    assert symptoms.other_zone(desk.session, often) is None


def test_development_and_two_environments_run_at_once(desk: Desk) -> None:
    session = desk.session
    assert symptoms.at_once(session) is None
    desk.cast.add(SchedulerEpoch(id=1, epoch=1, environment="DEVELOPMENT"))
    assert "one .env" in (symptoms.at_once(session) or "")
    session.info["rules"] = Rules(environment=Environment.DEVELOPMENT)
    assert "set ENVIRONMENT=PRODUCTION" in (symptoms.at_once(session) or "")


def test_a_right_that_is_missing_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    session = desk.session
    assert symptoms.lacking_rights(session) is None
    if dialect_of(session) == "postgresql":
        session.execute(sa.text("CREATE ROLE reader_of_symptoms"))
        session.execute(
            sa.text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_of_symptoms")
        )
        session.execute(sa.text("SET LOCAL ROLE reader_of_symptoms"))
        said = symptoms.lacking_rights(session)
        session.execute(sa.text("RESET ROLE"))
        assert said is not None
        assert "DELETE apscheduler_jobs, INSERT apscheduler_jobs" in said
        return
    may: Any = os.access
    monkeypatch.setattr(os, "access", lambda path, how: how != os.W_OK and may(path, how))
    assert "cannot be written" in (symptoms.lacking_rights(session) or "")
