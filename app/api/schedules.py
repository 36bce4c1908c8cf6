"""Family B, `/api/v1`: schedules of workflows, as document 004 has them (schedules A6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.tag import Tag
from sqlalchemy.orm import Session

from app.api.auth import caller, count_run, for_anybody, needs
from app.api.bodies import sent
from app.api.docs import SECURITY, answers
from app.api.faces import acted, answered, door, execution_id, schedule_id, state
from app.api.shapes import (
    Ahead,
    Begun,
    CloneBody,
    Conflicts,
    ExecutionPath,
    Executions,
    ExecutionsQuery,
    Explanation,
    PauseBody,
    PreviewQuery,
    Removed,
    ResumeBody,
    RunBody,
    RunHeader,
    Schedule,
    ScheduleBody,
    ScheduleHealth,
    SchedulePage,
    SchedulePatch,
    SchedulePath,
    SchedulesQuery,
    Stats,
    Valid,
    ValidateBody,
    WorkflowPath,
    WorkflowSchedules,
)
from app.extensions import db, utcnow
from app.models.automation import AutomationRun, AutomationSchedule, MadeBy
from app.models.text import is_storable
from app.services import recurrence, recurring, schedules
from app.services.api_keys import READ, RUN, WRITE
from app.services.schedule_config import UTC_ZONE
from app.services.schedule_conflicts import conflicts, conflicts_of
from app.services.schedule_errors import ExecutionNotFoundException, WorkflowNotFoundException
from app.services.schedule_explain import explain, why_not
from app.services.schedule_keys import instant
from app.services.schedule_reading import find_class, timing_of
from app.services.schedule_stats import stats
from app.services.schedule_views import as_execution, as_preview, as_schedule

VIA = MadeBy.SCHEDULES_API
NO_OPTIONS = {"workflow_id", "schedule_config", "context_data", "version"}

bp = APIBlueprint(
    "api_schedules",
    __name__,
    url_prefix="/api/v1",
    abp_tags=[Tag(name="schedules", description="Schedules of workflows, as document 004.")],
    abp_security=SECURITY,
    abp_responses=answers(),
)


# --- making and changing --------------------------------------------------------------------------


@bp.post("/schedules", responses=answers({201: Schedule}, 409))
@needs(WRITE)
def create_schedule(body: ScheduleBody) -> Response:
    """A new schedule, with its next execution."""
    who, now, given = caller(), utcnow(), sent(body)

    def act(session: Session) -> AutomationSchedule:
        return schedules.add_schedule(
            session,
            _workflow(body.workflow_id),
            body.schedule_config,
            who.actor,
            who.practice_id,
            body.context_data,
            now=now,
            door=door(VIA),
            **_options(given),
        )

    return _changed(act, 201)


@bp.put("/schedules/<schedule_id>", responses=answers({200: Schedule}, 409))
@needs(WRITE)
def update_schedule(path: SchedulePath, body: SchedulePatch) -> Response:
    """What was sent changes, the rest stays."""
    its, who, now, given = schedule_id(path.schedule_id), caller(), utcnow(), sent(body)

    def act(session: Session) -> AutomationSchedule:
        return schedules.update_schedule(
            session,
            its,
            body.schedule_config,
            who.actor,
            now=now,
            door=door(VIA),
            version=body.version,
            context_data=body.context_data,
            **_options(given),
        )

    return _changed(act)


@bp.delete("/schedules/<schedule_id>", responses=answers({200: Removed}, 409))
@needs(WRITE)
def remove_schedule(path: SchedulePath) -> Response:
    """It is gone from the lists; what it did stays."""
    its, who, now = schedule_id(path.schedule_id), caller(), utcnow()
    acted(
        lambda session: schedules.remove_schedule(session, its, who.actor, now=now, door=door(VIA))
    )
    return answered({"status": "removed", "schedule_id": its})


@bp.post("/schedules/<schedule_id>/pause", responses=answers({200: Schedule}, 409))
@needs(WRITE)
def pause_schedule(path: SchedulePath, body: PauseBody) -> Response:
    """It rests until it is resumed, by hand or at `resume_at`."""
    its, who, now = schedule_id(path.schedule_id), caller(), utcnow()
    until = instant(body.resume_at, UTC_ZONE) if body.resume_at else None
    return _changed(
        lambda session: schedules.pause_schedule(
            session, its, who.actor, now=now, door=door(VIA), reason=body.reason, resume_at=until
        )
    )


@bp.post("/schedules/<schedule_id>/resume", responses=answers({200: Schedule}, 409))
@needs(WRITE)
def resume_schedule(path: SchedulePath, body: ResumeBody) -> Response:
    """It goes on from now."""
    its, who, now = schedule_id(path.schedule_id), caller(), utcnow()
    return _changed(
        lambda session: schedules.resume_schedule(
            session, its, who.actor, now=now, door=door(VIA), missed=body.missed
        )
    )


@bp.post("/schedules/<schedule_id>/clone", responses=answers({201: Schedule}, 409))
@needs(WRITE)
def clone_schedule(path: SchedulePath, body: CloneBody) -> Response:
    """The same once more, at rest."""
    its, who, now = schedule_id(path.schedule_id), caller(), utcnow()
    return _changed(
        lambda session: schedules.clone_schedule(
            session, its, who.actor, now=now, door=door(VIA), name=body.name
        ),
        201,
    )


# --- runs -----------------------------------------------------------------------------------------


@bp.post("/schedules/<schedule_id>/run", responses=answers({202: Begun}, 409))
@needs(RUN)
def run_schedule(path: SchedulePath, header: RunHeader, body: RunBody) -> Response:
    """A run at once, also while it rests."""
    its, who, now = schedule_id(path.schedule_id), caller(), utcnow()
    count_run(its)

    def act(session: Session) -> AutomationRun:
        return schedules.run_now(
            session,
            its,
            who.actor,
            now=now,
            door=door(VIA),
            dry_run=body.dry_run,
            idempotency_key=header.idempotency_key,
        )

    return _begun(act)


@bp.get("/schedules/<schedule_id>/executions", responses=answers({200: Executions}))
@needs(READ)
def list_executions(path: SchedulePath, query: ExecutionsQuery) -> Response:
    """What became of its runs, newest first."""
    found = schedules.history(
        db.session(),
        schedule_id(path.schedule_id),
        caller().actor,
        status=query.status,
        limit=query.limit,
        before=execution_id(query.before) if query.before is not None else None,
    )
    return answered({"executions": [as_execution(run) for run in found], "count": len(found)})


@bp.post(
    "/schedules/<schedule_id>/executions/<execution_id>/cancel",
    responses=answers({200: Begun}, 409),
)
@needs(RUN)
def cancel_execution(path: ExecutionPath) -> Response:
    """End a run that waits or runs."""
    its, who, now = _execution(path), caller(), utcnow()
    return _begun(
        lambda session: schedules.cancel_run(session, its, who.actor, now=now, door=door(VIA)), 200
    )


@bp.post(
    "/schedules/<schedule_id>/executions/<execution_id>/retry",
    responses=answers({202: Begun}, 409),
)
@needs(RUN)
def retry_execution(path: ExecutionPath) -> Response:
    """Try a run that failed once more."""
    its, who, now = _execution(path), caller(), utcnow()
    return _begun(
        lambda session: schedules.retry_run(session, its, who.actor, now=now, door=door(VIA))
    )


# --- looking --------------------------------------------------------------------------------------


@bp.get("/schedules", responses=answers({200: SchedulePage}))
@needs(READ)
def list_schedules(query: SchedulesQuery) -> Response:
    """A page of the schedules, newest first."""
    found = schedules.list_schedules(
        db.session(),
        caller().actor,
        active=query.active,
        state=query.state,
        type=query.type,
        task=query.task,
        q=query.q,
        page=query.page,
        page_size=query.page_size,
    )
    items = [as_schedule(row) for row in found.items]
    paged = {"page": found.page, "page_size": found.page_size, "total": found.total}
    return answered({"items": items, **paged})


@bp.get("/schedules/workflow/<workflow_id>", responses=answers({200: WorkflowSchedules}))
@needs(READ)
def schedules_of_workflow(path: WorkflowPath) -> Response:
    """The schedules of a workflow, by their next execution."""
    of_class = find_class(db.session(), _workflow(path.workflow_id))
    if of_class is None:
        raise WorkflowNotFoundException(path.workflow_id[:100])
    found = schedules.list_schedules(
        db.session(), caller().actor, task=of_class.workflow_id, page_size=None, by_next=True
    )
    shown = [as_schedule(row) for row in found.items]
    return answered({"workflow_id": of_class.workflow_id, "schedules": shown, "count": len(shown)})


@bp.get("/schedules/stats", responses=answers({200: Stats}))
@needs(READ)
def overall_stats() -> Response:
    """How the runs of all schedules went."""
    return answered(stats(db.session(), None, caller().actor, now=utcnow()))


@bp.get("/schedules/<schedule_id>", responses=answers({200: Schedule}))
@needs(READ)
def get_schedule(path: SchedulePath) -> Response:
    """One schedule."""
    return answered(_shown(db.session(), _schedule(path)))


@bp.get("/schedules/<schedule_id>/stats", responses=answers({200: Stats}))
@needs(READ)
def schedule_stats(path: SchedulePath) -> Response:
    """How its runs went."""
    its = schedule_id(path.schedule_id)
    return answered(stats(db.session(), its, caller().actor, now=utcnow()))


@bp.get("/schedules/<schedule_id>/preview", responses=answers({200: Ahead}))
@needs(READ)
def preview_schedule(path: SchedulePath, query: PreviewQuery) -> Response:
    """What it says in words, and its next runs."""
    now, row = utcnow(), _schedule(path)
    if row.schedule_type in recurring.WITHOUT_TIME:  # its words alone: it has no time of its own
        return answered(
            as_preview(schedules.preview(timing_of(db.session(), row), query.n, now=now))
        )
    its = recurring.recurrence_of(db.session(), row)
    return answered(as_preview(recurrence.preview(its, query.n, now=now)))


@bp.get("/schedules/<schedule_id>/explain", responses=answers({200: Explanation}))
@needs(READ)
def explain_schedule(path: SchedulePath) -> Response:
    """Why it does not run: each cause that was looked at."""
    its = schedule_id(path.schedule_id)
    found = explain(db.session(), its, caller().actor, now=utcnow(), door=door(VIA))
    why = why_not(found)
    return answered(
        {
            "schedule_id": its,
            "runs": why is None,
            "findings": [asdict(one) for one in found],
        }
    )


@bp.get("/schedules/<schedule_id>/conflicts", responses=answers({200: Conflicts}))
@needs(READ)
def schedule_conflicts(path: SchedulePath) -> Response:
    """What it is in conflict with; nothing is blocked by it."""
    its = schedule_id(path.schedule_id)
    found = conflicts(db.session(), its, caller().actor, now=utcnow())
    return answered({"conflicts": [asdict(one) for one in found], "count": len(found)})


@bp.post("/schedules/validate", responses=answers({200: Valid}))
@needs(READ)
def validate_config(body: ValidateBody) -> Response:
    """What a configuration means; writes nothing."""
    found = schedules.preview(body.schedule_config, body.n, now=utcnow())
    return answered({"valid": True, **as_preview(found)})


@bp.get("/health", responses=answers({200: ScheduleHealth, 503: ScheduleHealth}))
@for_anybody
def health() -> Response:
    """Whether schedules are run; 503 if not."""
    found = state()
    said = {
        "status": found.status.value,
        "module": "schedule_service",
        "scheduler_running": found.scheduler_running,
        "active_schedules": found.active,
    }
    return answered(said, found.http)


# --- shared ---------------------------------------------------------------------------------------


def _schedule(path: SchedulePath) -> AutomationSchedule:
    its = schedule_id(path.schedule_id)
    return schedules.get_schedule(db.session(), its, caller().actor)


def _workflow(text: str) -> str:
    """An id or name that any database can be asked for. Raises `WorkflowNotFoundException`."""
    if not is_storable(text) or len(text) > 200:
        raise WorkflowNotFoundException(text[:100])
    return text


def _execution(path: ExecutionPath) -> str:
    """The run, if it is this schedule's. Raises `ExecutionNotFoundException`."""
    its = schedules.get_run(db.session(), execution_id(path.execution_id), caller().actor)
    if its.schedule.schedule_id != schedule_id(path.schedule_id):
        raise ExecutionNotFoundException(path.execution_id[:100])
    return its.execution_id


def _options(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in NO_OPTIONS}


def _shown(session: Session, row: AutomationSchedule) -> dict[str, Any]:
    """With what it is in conflict with (O7)."""
    return as_schedule(row, [one.text for one in conflicts_of(session, row, utcnow())])


def _changed(act: Callable[[Session], AutomationSchedule], status: int = 200) -> Response:
    return answered(acted(lambda session: _shown(session, act(session))), status)


def _begun(act: Callable[[Session], AutomationRun], status: int = 202) -> Response:
    def told(session: Session) -> dict[str, Any]:
        run = act(session)
        return {"execution_id": run.execution_id, "status": str(run.status)}

    return answered(acted(told), status)
