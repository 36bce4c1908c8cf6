"""Task classes as the services see them, and schedules made through a real door (waitlist WA7)."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from app.automation import registry
from app.automation import schedules as office
from app.automation.faces import door, face_of
from app.models import AutomationSchedule, MadeBy, ScheduleType
from app.services import schedules
from app.services.schedule_errors import InvalidScheduleException
from app.services.schedule_faces import Door
from app.services.schedule_options import OF_JOBS, OF_SCHEDULES, OptionDefaults
from tests.cast import DAY, HOUR, NOON, Cast

B = door(MadeBy.SCHEDULES_API)
ANSWER = {
    "schedule_type": "event", "beforeafter": "after", "events": "invited", "interval": "2 00:00:00",
}  # fmt: skip
HOURLY = {"schedule_type": "interval", "hours": 1}


@pytest.fixture(autouse=True)
def _classes() -> None:
    registry.load()


def add(cast: Cast, config: dict[str, Any], task: str, **options: Any) -> AutomationSchedule:
    cast.task(task)
    here = cast.practice.id
    return schedules.add_schedule(
        cast.session, task, config, cast.max, here, now=NOON, door=B, **options
    )


def test_a_class_shows_its_face_and_an_unknown_one_none() -> None:
    face = face_of("AutomaticWaitList")
    assert face is not None
    assert (face.name, face.can_plan, face.enabled) == ("AutomaticWaitList", False, True)
    assert face_of("Nothing") is None


def test_the_waitlist_s_configuration_is_checked(cast: Cast) -> None:
    face = face_of("AutomaticWaitList")
    assert face is not None
    good = {"remind_before": ["1 00:00:00"]}
    assert face.config(good) == good
    for bad in ({"colour": "red"}, {"remind_before": "soon"}, {"answer_windows": 7}):
        with pytest.raises(InvalidScheduleException) as refused:
            face.config(bad)
        assert list(refused.value.problems) == [f"task_config.{next(iter(bad))}"]


def test_an_event_schedule_is_made_and_planned_by_its_task(cast: Cast) -> None:
    row = add(cast, ANSWER, "AutomaticWaitList", name="answers")
    assert (row.interval, str(row.events), row.schedule_config) == (2 * DAY, "invited", {})
    assert (row.next_execution_at, row.retry_max, row.timezone) == (None, 10, "Europe/Amsterdam")
    schedules.update_schedule(
        cast.session, row.schedule_id, {"interval": "3 00:00:00"}, cast.max, now=NOON, door=B
    )
    assert (row.interval, str(row.events)) == (3 * DAY, "invited")


def test_an_event_schedule_that_its_task_cannot_follow_is_refused(cast: Cast) -> None:
    with pytest.raises(InvalidScheduleException) as refused:
        add(cast, ANSWER | {"beforeafter": "before"}, "AutomaticWaitList")
    assert list(refused.value.problems) == ["schedule_config"]


def test_the_office_s_acts_clear_the_next_occurrence_of_what_recurs(cast: Cast) -> None:  # N2
    row = add(cast, HOURLY, "AutomaticWaitList", name="hourly")
    id_ = f"hourly/{row.schedule_id}/PRODUCTION"
    for off in (office.pause, lambda *of: office.switch(*of[:2], False, *of[2:])):
        off(cast.session, row, cast.max, NOON)
        assert (row.next_execution_at, str(row.state), id_ in cast.jobs()) == (
            None,
            "paused",
            False,
        )
        office.switch(cast.session, row, True, cast.max, NOON)
        assert (row.next_execution_at, cast.jobs()[id_]) == (NOON + HOUR, NOON + HOUR)


def test_what_the_office_deletes_leaves_no_run_waiting(cast: Cast) -> None:
    row = add(cast, HOURLY, "AutomaticWaitList", name="hourly")
    run = schedules.run_now(cast.session, row.schedule_id, cast.max, now=NOON, door=B)
    office.delete(cast.session, row, cast.max, NOON)
    cast.session.refresh(run)
    assert (run.status, [id_ for id_ in cast.jobs() if id_.startswith("hourly/")]) == (
        "cancelled", [],
    )  # fmt: skip


def test_what_plain_code_made_is_planned_by_the_next_renew_and_harmless_without_a_class(
    stage: Cast, renew: Any
) -> None:  # Q8
    of_class = stage.task("AutomaticWaitList")
    config = {"interval_seconds": 3600}
    made = {"schedule_type": "interval", "schedule_config": config, "created_at": NOON}
    planned = stage.add(AutomationSchedule(name="planned", automation_class=of_class, **made))
    inert = stage.add(AutomationSchedule(name="inert", **made))
    renewed = renew()
    assert (planned.next_execution_at, inert.next_execution_at) == (NOON + HOUR, None)
    assert stage.jobs()[f"planned/{planned.schedule_id}/PRODUCTION"] == NOON + HOUR
    assert ("inert", "it has no task class") in renewed.left_out


# --- what the settings say where nothing was said (T10) ------------------------------------------

SET = {
    "scheduler_job_defaults_max_instances": 5,
    "scheduler_job_defaults_coalesce": False,
    "scheduler_misfire_grace_time": 60,
    "schedule_grace_period_minutes": 7,
    "scheduler_local_timezone": "Asia/Tokyo",
    "scheduler_timezone": "America/New_York",
    "workflow_max_retries": 1,
    "workflow_timeout_seconds": 90,
    "bot_timeout_birthday": 2,
    "bot_timeout_late": 3,
    "bot_timeout_visitor": 4,
}


def test_the_settings_are_what_a_door_writes(app: Flask) -> None:
    app.extensions["settings"] = app.extensions["settings"].model_copy(update=SET)
    with app.app_context():
        schedules_api, jobs_api = door(MadeBy.SCHEDULES_API), door(MadeBy.SCHEDULER_API)
    daily = ScheduleType.DAILY
    assert schedules_api.defaults(daily, "birthday", {}) == OptionDefaults(
        "America/New_York", 5, 420, False, 1, 90
    )
    of_jobs = {
        name: jobs_api.defaults(daily, name, config)
        for name, config in (("birthday", {}), ("visitor", {}))
    }
    assert of_jobs["birthday"] == OptionDefaults("Asia/Tokyo", 1, 60, False, 0, 120)
    assert of_jobs["visitor"].timeout_seconds == 240
    late = jobs_api.defaults(daily, "birthday", {"process_late": True})
    assert late.timeout_seconds == 180


def test_without_settings_a_door_writes_what_is_documented(app: Flask) -> None:
    with app.app_context():
        its = door(MadeBy.FORM)
        assert its == Door(MadeBy.FORM, face_of, its.renew, its.rehearse)
    assert (B.of_jobs, B.of_schedules) == (OF_JOBS, OF_SCHEDULES)


def test_whoever_names_defaults_has_them(app: Flask) -> None:
    with app.app_context():
        assert door(MadeBy.FORM, of_jobs=OF_SCHEDULES).of_jobs == OF_SCHEDULES
