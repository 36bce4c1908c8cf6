"""A key of one practice and the schedules of another: they are not there, in both families."""

from __future__ import annotations

from typing import Any

import pytest

from app.models import AutomationRun, AutomationSchedule, Practice
from app.models.automation import RunStatus
from tests.api.program import SCHEDULE, Program
from tests.cast import NOON, Cast

JOB, PLAN = "/scheduler/jobs/{id}", "/api/v1/schedules/{id}"
ASKED: tuple[tuple[str, str, Any], ...] = (
    ("GET", JOB, None),
    ("PUT", JOB, {"name": "mine"}),
    ("DELETE", JOB, None),
    ("POST", JOB + "/toggle", {"enabled": False}),
    ("POST", JOB + "/run", None),
    ("GET", JOB + "/history", None),
    ("GET", PLAN, None),
    ("PUT", PLAN, {"schedule_config": SCHEDULE["schedule_config"]}),
    ("DELETE", PLAN, None),
    ("POST", PLAN + "/pause", {}),
    ("POST", PLAN + "/resume", {}),
    ("POST", PLAN + "/run", {}),
    ("POST", PLAN + "/clone", {}),
    ("GET", PLAN + "/executions", None),
    ("POST", PLAN + "/executions/{run}/cancel", None),
    ("POST", PLAN + "/executions/{run}/retry", None),
    ("GET", PLAN + "/preview", None),
    ("GET", PLAN + "/stats", None),
    ("GET", PLAN + "/explain", None),
    ("GET", PLAN + "/conflicts", None),
)


@pytest.fixture
def theirs(cast: Cast, program: Program) -> tuple[AutomationSchedule, AutomationRun]:
    """A schedule of the Mill with a run under way; the program's key is of another practice."""
    mill = cast.add(Practice(name="Mill", shortname="mill"))
    id_ = program.a_job()["id"]
    row = cast.session.query(AutomationSchedule).filter_by(schedule_id=id_).one()
    row.practice_id = mill.id
    run = cast.add(
        AutomationRun(schedule_id=row.id, item=id_, occurrence="x", status=RunStatus.QUEUED,
                      due_at=NOON, not_before=NOON, attempt=0)
    )  # fmt: skip
    return row, run


@pytest.mark.parametrize(("method", "path", "body"), ASKED)
def test_it_is_not_found_and_nothing_happens_to_it(
    cast: Cast, program: Program, theirs: Any, method: str, path: str, body: Any
) -> None:
    row, run = theirs
    there = cast.session.query(AutomationSchedule).count()
    before = (row.name, row.active, row.deleted_at, row.version, run.status)
    at = path.format(id=row.schedule_id, run=run.execution_id)
    answer = program(method, at, **({"json": body} if body is not None else {}))
    assert answer.status_code == 404
    cast.session.expire_all()
    assert (row.name, row.active, row.deleted_at, row.version, run.status) == before
    assert cast.session.query(AutomationSchedule).count() == there
    assert cast.session.query(AutomationRun).count() == 1


@pytest.mark.parametrize(
    "path",
    ["/scheduler/jobs", "/api/v1/schedules", "/api/v1/schedules/workflow/birthday",
     "/api/v1/schedules/stats"],
)  # fmt: skip
def test_it_is_in_no_list_either(program: Program, theirs: Any, path: str) -> None:
    answer = program.get(path)
    assert answer.status_code == 200
    assert theirs[0].schedule_id not in answer.text
    assert theirs[1].execution_id not in answer.text
