"""Family A, `/scheduler`: each row of its table (schedules A5; Q31-Q34)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from app.models import AutomationRun, AutomationSchedule
from tests.api.program import JOB, NOBODYS, SCHEDULE, Program
from tests.cast import Cast

JOBS = "/scheduler/jobs"
KEYS = {
    *("id", "name", "description", "bot_type", "enabled", "schedule_type", "schedule_config"),
    *("bot_config", "created_at", "updated_at", "last_run_at", "last_run_status"),
    *("last_run_error", "next_run_at", "created_by", "max_instances", "misfire_grace_time"),
    *("coalesce", "timezone", "max_executions", "execution_count", "state", "version", "warnings"),
}
OF_RUN = {
    *("id", "job_id", "started_at", "finished_at", "status", "result", "error", "messages_sent"),
    *("profiles_visited", "trigger_type", "duration_seconds", "result_summary", "attempt"),
    *("dry_run", "missed_count", "reason"),
}


def test_a_job_is_made_with_the_documented_defaults_and_its_next_run(program: Program) -> None:
    job = program.a_job()
    assert set(job) >= KEYS
    assert (job["enabled"], job["max_instances"], job["misfire_grace_time"]) == (True, 1, 3600)
    assert (job["coalesce"], job["state"], job["version"]) == (True, "active", 1)
    assert job["schedule_config"] == {"hour": 8, "minute": 0}
    assert job["bot_config"]["dry_run"] is True
    assert job["next_run_at"].endswith(":00:00Z")
    assert program.get(f"{JOBS}/{job['id']}").json == job


def test_jobs_are_listed_newest_first(program: Program) -> None:
    one, two = program.a_job(), program.a_job(name="Second", enabled=False)
    assert [job["id"] for job in program.get(JOBS).json] == [two["id"], one["id"]]
    assert [job["id"] for job in program.get(f"{JOBS}?enabled_only=true").json] == [one["id"]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": None},
        {"name": "a/b"},
        {"bot_type": "unlimited"},
        {"bot_type": "AutomaticWaitList"},
        {"schedule_type": "event"},
        {"schedule_type": "hourly"},
        {"schedule_config": {"hour": 24}},
        {"schedule_config": {"hour": True}},
        {"schedule_config": {"hours": 2}},
        {"schedule_config": {"hour": 8, "timezone": "UTC"}},
        {"schedule_config": None},
        {"bot_config": {"limt": 3}},
        {"bot_config": {"max_days_late": 400, "process_late": True}},
        {"timezone": "Mars/Base"},
        {"max_instances": 0},
        {"max_executions": 0},
        {"max_executions": 2**31},
        {"context_data": {"schedule_id": "x"}},
        {"enabled": "true"},
        {"limt": 1},
    ],
)
def test_a_job_that_makes_no_sense_is_400_and_is_not_there(
    program: Program, cast: Cast, wrong: dict[str, Any]
) -> None:
    before = cast.session.scalar(sa.select(sa.func.count(AutomationSchedule.id)))
    assert program.post(JOBS, JOB | wrong).status_code == 400
    cast.session.expire_all()
    assert cast.session.scalar(sa.select(sa.func.count(AutomationSchedule.id))) == before


@pytest.mark.parametrize("missing", list(JOB))
def test_what_is_required_is_required(program: Program, missing: str) -> None:
    body = {name: value for name, value in JOB.items() if name != missing}
    answer = program.post(JOBS, body)
    assert (answer.status_code, missing in answer.json["detail"]) == (400, True)


def test_a_name_is_taken_once(program: Program) -> None:
    program.a_job()
    assert program.post(JOBS, JOB).status_code == 409


def test_a_change_keeps_the_rest(program: Program) -> None:
    job = program.a_job(description="At 8am", max_executions=24)
    at = f"{JOBS}/{job['id']}"
    changed = program.put(at, {"schedule_config": {"hour": 9}}).json
    assert changed["schedule_config"] == {"hour": 9, "minute": 0}
    same = KEYS - {"schedule_config", "next_run_at", "version", "updated_at"}
    assert {name: changed[name] for name in same} == {name: job[name] for name in same}
    assert changed["version"] == 2
    weekly = {"schedule_type": "weekly", "schedule_config": {"day_of_week": "mon-wed"}}
    assert program.put(at, weekly).json["schedule_config"]["day_of_week"] == "mon,tue,wed"
    assert (
        program.put(at, {"bot_type": "birthday", "description": None}).json["description"] is None
    )


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"name": None}, 400),
        ({"enabled": None}, 400),
        ({"schedule_config": None}, 400),
        ({"schedule_type": "weekly"}, 400),
        ({"schedule_type": "event", "schedule_config": {"interval": "1 day"}}, 400),
        ({"schedule_type": "cron", "schedule_config": {"cron_expression": "0 9 31 2 *"}}, 400),
        ({"schedule_config": {"timezone": "UTC"}}, 400),
        ({"bot_type": "visitor"}, 400),
        ({"bot_config": {"limit": 3}}, 400),
        ({"limt": 1}, 400),
        ({"version": 7}, 409),
        ({"name": "Other"}, 409),
    ],
)
def test_a_wrong_change_changes_nothing(
    program: Program, wrong: dict[str, Any], status: int
) -> None:
    job = program.a_job()
    program.a_job(name="Other")
    assert program.put(f"{JOBS}/{job['id']}", wrong).status_code == status
    assert program.get(f"{JOBS}/{job['id']}").json == job


def test_off_it_has_no_next_run_and_on_again_it_has(program: Program) -> None:
    job = program.a_job()
    at = f"{JOBS}/{job['id']}/toggle"
    off = program.post(at, {"enabled": False}).json
    assert (off["enabled"], off["next_run_at"], off["state"]) == (False, None, "paused")
    on = program.post(at, {"enabled": True}).json
    assert (on["enabled"], on["next_run_at"]) == (True, job["next_run_at"])
    for body in ({}, {"enabled": "no"}, {"enabled": None}, {"enabled": True, "x": 1}):
        assert program.post(at, body).status_code == 400


def test_a_deleted_job_is_gone(program: Program) -> None:
    job = program.a_job()
    answer = program.delete(f"{JOBS}/{job['id']}")
    assert (answer.status_code, answer.data) == (204, b"")
    assert program.delete(f"{JOBS}/{job['id']}").status_code == 404
    assert program.get(JOBS).json == []


def test_a_run_is_queued_once_for_each_key(program: Program, cast: Cast) -> None:
    job = program.a_job(max_instances=2)
    at, key = f"{JOBS}/{job['id']}/run", {"Idempotency-Key": "one"}
    first = program.post(at, {"dry_run": True}, headers=key)
    said = f"Job {job['id']} queued for immediate execution"
    assert first.status_code == 202
    assert first.json == {
        "message": said,
        "status": "queued",
        "execution_id": first.json["execution_id"],
    }
    assert program.post(at, {"dry_run": True}, headers=key).json == first.json
    assert program.post(at, {"dry_run": False}, headers=key).status_code == 409
    assert program.post(at).status_code == 202
    assert program.post(at).status_code == 409  # as many as may
    assert len(cast.session.scalars(sa.select(AutomationRun.id)).all()) == 2


def test_its_history_is_told_newest_first(program: Program) -> None:
    job = program.a_job(max_instances=3)
    ids = [program.post(f"{JOBS}/{job['id']}/run").json["execution_id"] for _ in range(2)]
    told = program.get(f"{JOBS}/{job['id']}/history").json
    assert [run["id"] for run in told] == ids[::-1]
    assert set(told[0]) >= OF_RUN
    assert (told[0]["trigger_type"], told[0]["status"]) == ("manual", "queued")
    assert (told[0]["job_id"], told[0]["messages_sent"]) == (job["id"], 0)
    assert len(program.get(f"{JOBS}/{job['id']}/history?limit=1").json) == 1


@pytest.mark.parametrize("limit", [0, 201, -1])
def test_a_history_has_its_limits(program: Program, limit: int) -> None:
    answer = program.get(f"{JOBS}/{program.a_job()['id']}/history?limit={limit}")
    assert answer.status_code == 400
    assert answer.json["detail"] == "Limit must be between 1 and 200"


def test_what_is_not_there_is_404(program: Program) -> None:
    at = f"{JOBS}/{NOBODYS}"
    answers = [
        program.get(at),
        program.put(at, {"name": "x"}),
        program.delete(at),
        program.post(f"{at}/toggle", {"enabled": True}),
        program.post(f"{at}/run"),
        program.get(f"{at}/history"),
    ]
    assert {answer.status_code for answer in answers} == {404}


def test_schedules_of_events_are_no_jobs(program: Program, cast: Cast) -> None:
    at = f"{JOBS}/{cast.schedule.schedule_id}"
    assert program.get(JOBS).json == []
    assert {program.get(at).status_code, program.delete(at).status_code} == {404}


def test_both_families_show_the_same_rows(program: Program) -> None:
    job, schedule = program.a_job(), program.a_schedule(name="noon")
    by_b = program.get(f"/api/v1/schedules/{job['id']}").json
    assert (by_b["hour"], by_b["is_active"], by_b["task_key"]) == (8, True, "birthday")
    program.put(f"/api/v1/schedules/{job['id']}", {"schedule_config": {"hour": 9}})
    assert program.get(f"{JOBS}/{job['id']}").json["schedule_config"]["hour"] == 9
    at = f"{JOBS}/{schedule['schedule_id']}"
    program.put(at, {"schedule_config": {"cron_expression": "0 9 * * *"}})
    back = program.get(f"/api/v1/schedules/{schedule['schedule_id']}").json
    assert back["cron_expression"] == "0 9 * * *"
    kept = ("max_instances", "misfire_grace_time", "retry_max")
    assert {k: back["options"][k] for k in kept} == {k: schedule["options"][k] for k in kept}
    assert back["workflow_id"] != SCHEDULE["workflow_id"]  # its uuid, not its name
