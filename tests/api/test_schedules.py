"""Family B, `/api/v1`: each row of its table (schedules A6; Q31-Q34)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from app.extensions import utcnow
from app.models import AutomationClasses, AutomationRun, AutomationSchedule, Practice
from tests.api.program import CRON, NOBODYS, SCHEDULE, Program, program_of
from tests.cast import DAY, HOUR, Cast
from tests.web.browsing import Client

SCHEDULES = "/api/v1/schedules"
KEYS = {
    *("schedule_id", "workflow_id", "schedule_type", "cron_expression", "timezone", "is_active"),
    *("next_execution_at", "last_execution_at", "last_execution_id", "execution_count"),
    *("max_executions", "context_data", "created_at", "updated_at", "name", "description"),
    *("task_key", "task_config", "status", "options", "version", "warnings"),
}


def test_a_schedule_is_made_with_its_doors_defaults(program: Program, cast: Cast) -> None:
    made = program.a_schedule(context_data={"custom_param": "value"})
    assert set(made) >= KEYS
    assert made["workflow_id"] == cast.task("birthday").workflow_id
    assert (made["timezone"], made["is_active"], made["status"]) == ("UTC", True, "active")
    options = made["options"]
    assert (options["max_instances"], options["misfire_grace_time"]) == (3, 900)
    assert (options["retry_max"], options["timeout_seconds"]) == (3, 3600)
    assert made["next_execution_at"].endswith("T12:00:00Z")
    assert program.get(f"{SCHEDULES}/{made['schedule_id']}").json == made


def test_a_workflow_goes_by_its_id_too(program: Program, cast: Cast) -> None:
    id_ = cast.task("birthday").workflow_id
    made = program.a_schedule(workflow_id=id_)
    for asked in (id_, "birthday"):
        found = program.get(f"{SCHEDULES}/workflow/{asked}").json
        assert (found["workflow_id"], found["count"]) == (id_, 1)
        assert found["schedules"][0]["schedule_id"] == made["schedule_id"]


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"workflow_id": "none"}, 404),
        ({"workflow_id": NOBODYS}, 404),
        ({"workflow_id": None}, 400),
        ({"schedule_config": {"schedule_type": "cron"}}, 400),
        ({"schedule_config": {"cron_expression": "* * * * *"}}, 400),
        ({"schedule_config": CRON | {"cron_expression": "0 0 12 * * *"}}, 400),
        ({"schedule_config": CRON | {"interval_seconds": 60}}, 400),
        ({"schedule_config": CRON | {"max_executions": 0}}, 400),
        ({"schedule_config": CRON | {"max_executions": 2**31}}, 400),
        ({"schedule_config": CRON | {"timezone": "+02:00"}}, 400),
        ({"schedule_config": {"schedule_type": "interval", "interval_seconds": "60"}}, 400),
        ({"context_data": {"execution_id": 1}}, 400),
        ({"context_data": []}, 400),
        ({"task_config": {"limt": 1}}, 400),
        ({"start_at": "2026-03-02", "end_at": "soon"}, 400),
        ({"on_success_schedule_id": NOBODYS}, 400),
        ({"community_id": 1}, 400),
        ({"status": "running"}, 400),
    ],
)
def test_what_makes_no_schedule_is_refused_and_not_there(
    program: Program, cast: Cast, wrong: dict[str, Any], status: int
) -> None:
    before = cast.session.scalar(sa.select(sa.func.count(AutomationSchedule.id)))
    assert program.post(SCHEDULES, SCHEDULE | wrong).status_code == status
    cast.session.expire_all()
    assert cast.session.scalar(sa.select(sa.func.count(AutomationSchedule.id))) == before


def test_the_documented_words_are_said(program: Program) -> None:
    def said(**config: Any) -> str:
        answer = program.post(SCHEDULES, SCHEDULE | {"schedule_config": config})
        return str(answer.json["error"])

    assert said(schedule_type="cron", cron_expression="x").startswith("Invalid cron expression: ")
    assert said(schedule_type="cron").startswith("cron_expression required")


def test_a_list_is_paged_and_filtered(program: Program) -> None:
    ids = [program.a_schedule(name=f"s{n}")["schedule_id"] for n in range(3)]
    program.post(f"{SCHEDULES}/{ids[0]}/pause")
    page = program.get(f"{SCHEDULES}?type=cron&page_size=2").json
    assert [row["schedule_id"] for row in page["items"]] == ids[:0:-1]
    assert (page["page"], page["page_size"], page["total"]) == (1, 2, 3)
    for asked in (
        "active=false&type=cron",
        "state=paused&type=cron",
        "q=s0",
        "page=2&page_size=2&type=cron",
    ):
        found = program.get(f"{SCHEDULES}?{asked}").json["items"]
        assert [row["schedule_id"] for row in found] == [ids[0]], asked
    for asked in ("page=0", "page_size=101", "state=odd", "type=odd", "limt=1"):
        assert program.get(f"{SCHEDULES}?{asked}").status_code == 400, asked


def test_a_change_keeps_the_rest(program: Program) -> None:
    made = program.a_schedule(context_data={"a": 1}, description="d", max_instances=2)
    at = f"{SCHEDULES}/{made['schedule_id']}"
    config = {"cron_expression": "0 9 * * *", "timezone": "America/New_York"}
    changed = program.put(at, {"schedule_config": config}).json
    assert {name: changed[name] for name in config} == config
    same = {"name", "description", "context_data", "task_config", "options", "created_at"}
    assert {name: changed[name] for name in same} == {name: made[name] for name in same}
    again = program.put(at, {"schedule_config": {}, "retry_max": 1, "version": 2}).json
    assert (again["options"]["retry_max"], again["cron_expression"]) == (1, "0 9 * * *")
    assert program.put(at, {"schedule_config": {}, "version": 2}).status_code == 409
    assert program.put(at, {"version": 3}).status_code == 400
    assert (
        program.put(at, {"schedule_config": {"schedule_type": "daily", "hour": 7}}).json["hour"]
        == 7
    )


def test_it_rests_and_goes_on(program: Program) -> None:
    made = program.a_schedule()
    at = f"{SCHEDULES}/{made['schedule_id']}"
    rests = program.post(f"{at}/pause", {"reason": "holiday", "resume_at": "2999-01-01T00:00:00Z"})
    assert (rests.json["status"], rests.json["next_execution_at"]) == ("paused", None)
    on = program.post(f"{at}/resume", {"missed": "skip"}).json
    assert (on["status"], on["next_execution_at"]) == ("active", made["next_execution_at"])
    for body in ({"resume_at": "2020-01-01T00:00:00Z"}, {"resume_at": "soon"}, {"reason": 1}):
        assert program.post(f"{at}/pause", body).status_code == 400
    assert program.post(f"{at}/resume", {"missed": "all"}).status_code == 400


def test_a_copy_rests(program: Program) -> None:
    made = program.a_schedule(name="noon")
    at = f"{SCHEDULES}/{made['schedule_id']}/clone"
    copy = program.post(at)
    assert (copy.status_code, copy.json["name"]) == (201, "noon (copy)")
    assert (copy.json["is_active"], copy.json["execution_count"]) == (False, 0)
    assert program.post(at, {"name": "noon"}).status_code == 409


def test_a_removed_schedule_is_gone(program: Program) -> None:
    at = f"{SCHEDULES}/{program.a_schedule()['schedule_id']}"
    answer = program.delete(at)
    assert answer.json == {"status": "removed", "schedule_id": at.rpartition("/")[2]}
    assert program.delete(at).status_code == 404


def test_a_run_is_started_cancelled_and_tried_again(program: Program, cast: Cast) -> None:
    at = f"{SCHEDULES}/{program.a_schedule()['schedule_id']}"
    begun = program.post(f"{at}/run", {"dry_run": True})
    assert (begun.status_code, begun.json["status"]) == (202, "queued")
    one = f"{at}/executions/{begun.json['execution_id']}"
    assert program.post(f"{one}/retry").status_code == 409
    assert program.post(f"{one}/cancel").json["status"] == "cancelled"
    assert program.post(f"{one}/cancel").status_code == 409
    again = program.post(f"{one}/retry")
    assert (again.status_code, again.json["status"]) == (202, "queued")
    told = program.get(f"{at}/executions").json
    assert (told["count"], told["executions"][0]["execution_id"]) == (2, again.json["execution_id"])
    assert program.get(f"{at}/executions?status=cancelled").json["count"] == 1
    older = program.get(f"{at}/executions?before={again.json['execution_id']}").json
    assert older["executions"][0]["execution_id"] == begun.json["execution_id"]
    for asked in ("limit=0", "limit=201", "status=odd"):
        assert program.get(f"{at}/executions?{asked}").status_code == 400
    assert len(cast.session.scalars(sa.select(AutomationRun.id)).all()) == 2


def test_a_run_belongs_to_its_schedule(program: Program) -> None:
    mine, other = (program.a_schedule(name=name)["schedule_id"] for name in ("a", "b"))
    run = program.post(f"{SCHEDULES}/{mine}/run").json["execution_id"]
    assert program.post(f"{SCHEDULES}/{other}/executions/{run}/cancel").status_code == 404
    assert program.post(f"{SCHEDULES}/{mine}/executions/x/cancel").status_code == 404


def test_one_looks_ahead_and_back(program: Program) -> None:
    at = f"{SCHEDULES}/{program.a_schedule()['schedule_id']}"
    ahead = program.get(f"{at}/preview?n=3").json
    assert (ahead["explanation"], len(ahead["next"])) == ("every day at 12:00", 3)
    assert program.get(f"{at}/preview?n=51").status_code == 400
    assert program.get(f"{at}/stats").status_code == 200
    assert program.get(f"{SCHEDULES}/stats").status_code == 200
    why = program.get(f"{at}/explain").json
    assert why["runs"] is False  # no scheduler is alive
    assert {"cause", "ok", "text"} == set(why["findings"][0])
    twin = program.a_schedule(name="twin")
    found = program.get(f"{SCHEDULES}/{twin['schedule_id']}/conflicts").json
    assert found["count"] == len(found["conflicts"]) > 0
    assert [one["text"] for one in found["conflicts"]] == twin["warnings"]


def test_a_schedule_of_events_can_be_looked_at(program: Program, cast: Cast) -> None:
    at = f"{SCHEDULES}/{cast.schedule.schedule_id}"
    assert program.get(at).json["schedule_type"] == "event"
    for part in ("preview", "stats", "explain", "conflicts", "executions"):
        assert program.get(f"{at}/{part}").status_code == 200, part
    assert program.post(f"{at}/run").status_code == 400


def test_a_schedule_of_events_is_tried_out_and_only_the_record_of_it_stays(
    program: Program, cast: Cast
) -> None:
    now = utcnow()
    cast.pottery.events[0].start_time = now + 9 * DAY
    cast.pottery.events[0].end_time = now + 9 * DAY + HOUR
    cast.enrol_all("Ada", "Ben", "Cleo", now=now - 3 * DAY)
    cast.leave(cast.row("Ada"), now - 3 * DAY)
    cast.session.commit()
    at, before = f"{SCHEDULES}/{cast.schedule.schedule_id}", cast.everything()
    key = {"Idempotency-Key": "once"}
    begun = program.post(f"{at}/run", {"dry_run": True}, headers=key)
    assert (begun.status_code, begun.json["status"]) == (202, "success")
    assert program.post(f"{at}/run", {"dry_run": True}, headers=key).json == begun.json
    (run,) = program.get(f"{at}/executions").json["executions"]
    assert (run["execution_id"], run["dry_run"]) == (begun.json["execution_id"], True)
    assert (run["messages_sent"], run["profiles_visited"]) == (0, 0)
    assert (run["result"]["total"], run["result"]["would_send"]) == (6, 4)
    ben = cast.row("Ben").uuid
    assert ("history_expired", ben) in {
        (step["kind"], step["subject_id"]) for step in run["result"]["steps"]
    }
    cast.session.expire_all()
    assert cast.everything() == before
    for live in ({"dry_run": False}, {}):
        assert program.post(f"{at}/run", live).status_code == 400


def test_who_cannot_be_tried_out_says_so(program: Program, cast: Cast) -> None:
    cast.schedule.automation_class = cast.task("birthday")  # it follows no events
    cast.session.commit()
    refused = program.post(f"{SCHEDULES}/{cast.schedule.schedule_id}/run", {"dry_run": True})
    assert (refused.status_code, "can't be tried out" in refused.text) == (400, True)


def test_a_configuration_is_looked_at_and_nothing_written(program: Program, cast: Cast) -> None:
    said = program.post(f"{SCHEDULES}/validate", {"schedule_config": CRON, "n": 2}).json
    assert (said["valid"], said["explanation"]) == (True, "every day at 12:00")
    assert len(said["next"]) == 2
    bad = program.post(f"{SCHEDULES}/validate", {"schedule_config": {"schedule_type": "cron"}})
    assert bad.status_code == 400


def test_what_is_not_there_is_404(program: Program) -> None:
    at = f"{SCHEDULES}/{NOBODYS}"
    looks = ("", "/executions", "/preview", "/stats", "/explain", "/conflicts")
    acts = ("/pause", "/resume", "/run", "/clone", f"/executions/{NOBODYS}/cancel")
    assert {program.get(at + part).status_code for part in looks} == {404}
    assert {program.post(at + part).status_code for part in acts} == {404}
    assert program.put(at, {"schedule_config": {}}).status_code == 404


def test_what_belongs_to_others_is_404_too(program: Program, cast: Cast, client: Client) -> None:
    other = cast.add(Practice(name="Other", shortname="other"))
    stranger = program_of(cast, client, practice_id=other.id)
    job = program.a_job()
    run = program.post(f"/scheduler/jobs/{job['id']}/run").json["execution_id"]
    at, jobs = f"{SCHEDULES}/{job['id']}", f"/scheduler/jobs/{job['id']}"
    answers = [
        stranger.get(at),
        stranger.put(at, {"schedule_config": {}}),
        stranger.delete(at),
        *(stranger.post(f"{at}/{act}") for act in ("pause", "resume", "run", "clone")),
        *(stranger.get(f"{at}/{part}") for part in ("executions", "preview", "stats", "explain")),
        stranger.post(f"{at}/executions/{run}/cancel"),
        stranger.get(jobs),
        stranger.put(jobs, {"name": "mine"}),
        stranger.delete(jobs),
        stranger.post(f"{jobs}/toggle", {"enabled": False}),
        stranger.post(f"{jobs}/run"),
        stranger.get(f"{jobs}/history"),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert stranger.get("/scheduler/jobs").json == []
    assert program.get(jobs).json["version"] == job["version"]


def test_a_task_that_is_gone_has_no_workflow(program: Program, cast: Cast) -> None:
    assert program.get(f"{SCHEDULES}/workflow/none").status_code == 404
    cast.add(AutomationClasses(class_name="Vanished"))
    assert program.post(SCHEDULES, SCHEDULE | {"workflow_id": "Vanished"}).status_code == 404


@pytest.mark.parametrize(
    "times",
    [
        {"start_at": "9999-12-31T20:00:00Z"},
        {"start_at": "0001-01-01T00:00:00Z"},
        {"end_at": "9999-12-31T23:59:59Z"},
    ],
)
@pytest.mark.parametrize(
    "config",
    [
        {"schedule_type": "daily"},
        {"schedule_type": "interval", "hours": 5},
        {"schedule_type": "cron", "cron_expression": "0 9 29 2 *"},
    ],
)
def test_a_year_in_which_clocks_have_no_time_is_refused(
    program: Program, config: dict[str, Any], times: dict[str, str]
) -> None:
    answer = program.post("/api/v1/schedules", SCHEDULE | {"schedule_config": config | times})
    assert answer.status_code == 400
    assert "a year from 2000 to 2999" in answer.json["fields"][next(iter(times))]
    looked = program.post("/api/v1/schedules/validate", {"schedule_config": config | times})
    assert looked.status_code == 400


def test_the_last_year_and_fifty_of_the_longest_intervals_are_still_shown(program: Program) -> None:
    last = {"start_at": "2999-12-31T23:59:59Z", "interval_seconds": 31_622_400}
    config = {"schedule_type": "interval", "timezone": "Pacific/Kiritimati", **last}
    looked = program.post("/api/v1/schedules/validate", {"schedule_config": config, "n": 50})
    assert looked.status_code == 200
    made = program.a_schedule(schedule_config=config)
    assert made["next_execution_at"] == "2999-12-31T23:59:59Z"


def test_a_pause_until_the_end_of_time_is_refused(program: Program) -> None:
    its = program.a_schedule()["schedule_id"]
    until = {"resume_at": "9999-12-31T23:59:59Z"}
    assert program.post(f"/api/v1/schedules/{its}/pause", until).status_code == 400


@pytest.mark.parametrize(
    "option",
    [
        {"name": "a/b"},
        {"description": 5},
        {"task_config": []},
        {"dry_run": 1},
        {"active": "yes"},
        {"max_instances": 0},
        {"misfire_grace_time": -1},
        {"timeout_seconds": 0},
        {"overlap_policy": "x"},
        {"coalesce": 1},
        {"retry_max": 11},
        {"retry_base_seconds": 0},
        {"on_success_schedule_id": 7},
        {"schedule_config": {"schedule_type": "interval", "minutes": 1}},
    ],
)
def test_a_refusal_names_the_field_and_gives_an_example(
    program: Program, option: dict[str, Any]
) -> None:
    (name,) = option
    answer = program.post("/api/v1/schedules", SCHEDULE | option)
    assert answer.status_code == 400
    assert ", for example " in answer.json["fields"][name]


def test_a_parameter_of_the_wrong_kind_is_refused_in_words_of_ours(program: Program) -> None:
    said = program.get("/api/v1/schedules?page=x&active=maybe").json["fields"]
    assert said == {"page": "a whole number is needed", "active": "true or false is needed"}
