"""Family A, `/scheduler`: jobs, as document 003 has them (schedules A5).

Jobs are the schedules that recur, whichever door made them; those of events are not here (A4).
"""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_babel import gettext as _
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.tag import Tag
from sqlalchemy.orm import Session

from app.api.auth import caller, count_run, for_anybody, needs
from app.api.bodies import sent
from app.api.docs import SECURITY, answers, many
from app.api.faces import acted, answered, door, schedule_id, state
from app.api.shapes import (
    Execution,
    HistoryQuery,
    Job,
    JobPatch,
    JobPath,
    JobsQuery,
    Queued,
    RunBody,
    RunHeader,
    SchedulerHealth,
    Switch,
)
from app.extensions import db, utcnow
from app.models.automation import AutomationSchedule, MadeBy
from app.services import schedules
from app.services.api_keys import READ, RUN, WRITE
from app.services.schedule_config import Common
from app.services.schedule_errors import InvalidScheduleException
from app.services.schedule_models import OF_JOBS, ScheduledJobConfig
from app.services.schedule_views import as_execution, as_job

VIA = MadeBy.SCHEDULER_API
THEIRS = {"enabled": "active", "bot_config": "task_config"}  # their words for options of ours
NO_OPTIONS = {"bot_type", "schedule_type", "schedule_config", "context_data", "version"}

bp = APIBlueprint(
    "api_scheduler",
    __name__,
    url_prefix="/scheduler",
    abp_tags=[Tag(name="scheduler", description="Jobs, as document 003 has them.")],
    abp_security=SECURITY,
    abp_responses=answers(),
)


@bp.get("/jobs", responses=answers({200: many(Job)}))
@needs(READ)
def list_jobs(query: JobsQuery) -> Response:
    """All jobs, newest first."""
    found = schedules.list_schedules(
        db.session(),
        caller().actor,
        active=True if query.enabled_only else None,
        page_size=None,
        recurring_only=True,
    )
    return answered([as_job(row) for row in found.items])


@bp.post("/jobs", responses=answers({201: Job}, 409))
@needs(WRITE)
def create_job(body: ScheduledJobConfig) -> Response:
    """A new job, with its next run."""
    who, now, given = caller(), utcnow(), sent(body)
    config = {"schedule_type": body.schedule_type.value, **body.schedule_config}

    def act(session: Session) -> dict[str, Any]:
        row = schedules.add_schedule(
            session,
            body.bot_type.value,
            config,
            who.actor,
            who.practice_id,
            body.context_data,
            now=now,
            door=door(VIA),
            **_options(given | {"bot_config": body.bot_config}),
        )
        return as_job(row)

    return answered(acted(act), 201)


@bp.get("/jobs/<job_id>", responses=answers({200: Job}))
@needs(READ)
def get_job(path: JobPath) -> Response:
    """One job."""
    return answered(as_job(_job(db.session(), path)))


@bp.put("/jobs/<job_id>", responses=answers({200: Job}, 409))
@needs(WRITE)
def update_job(path: JobPath, body: JobPatch) -> Response:
    """What was sent changes, the rest stays."""
    who, now, given = caller(), utcnow(), sent(body)
    config = _patch(given)

    def act(session: Session) -> dict[str, Any]:
        row = _job(session, path)
        if "bot_type" in given:
            _require_same_bot(row, body.bot_type)
        row = schedules.update_schedule(
            session,
            row.schedule_id,
            config,
            who.actor,
            now=now,
            door=door(VIA),
            version=given.get("version"),
            context_data=given.get("context_data"),
            **_options(given),
        )
        return as_job(row)

    return answered(acted(act))


@bp.delete("/jobs/<job_id>", responses=answers({204: None}, 409))
@needs(WRITE)
def delete_job(path: JobPath) -> Response:
    """It is gone from the lists; what it did stays."""
    who, now = caller(), utcnow()

    def act(session: Session) -> bool:
        row = _job(session, path)
        return schedules.remove_schedule(
            session, row.schedule_id, who.actor, now=now, door=door(VIA)
        )

    acted(act)
    return Response(status=204)


@bp.post("/jobs/<job_id>/toggle", responses=answers({200: Job}, 409))
@needs(WRITE)
def toggle_job(path: JobPath, body: Switch) -> Response:
    """On or off; off it has no next run."""
    who, now = caller(), utcnow()

    def act(session: Session) -> dict[str, Any]:
        its = _job(session, path).schedule_id
        row = schedules.update_schedule(
            session, its, None, who.actor, now=now, door=door(VIA), active=body.enabled
        )
        return as_job(row)

    return answered(acted(act))


@bp.post("/jobs/<job_id>/run", responses=answers({202: Queued}, 409))
@needs(RUN)
def run_job(path: JobPath, header: RunHeader, body: RunBody) -> Response:
    """A run at once, also while the job is off."""
    who, now = caller(), utcnow()
    its = _job(db.session(), path).schedule_id
    count_run(its)

    def act(session: Session) -> dict[str, Any]:
        run = schedules.run_now(
            session,
            its,
            who.actor,
            now=now,
            door=door(VIA),
            dry_run=body.dry_run,
            idempotency_key=header.idempotency_key,
        )
        said = f"Job {its} queued for immediate execution"
        return {"message": said, "status": "queued", "execution_id": run.execution_id}

    return answered(acted(act), 202)


@bp.get("/jobs/<job_id>/history", responses=answers({200: many(Execution)}))
@needs(READ)
def job_history(path: JobPath, query: HistoryQuery) -> Response:
    """What became of its runs, newest first."""
    its = schedule_id(path.job_id)
    found = schedules.history(
        db.session(), its, caller().actor, limit=query.limit, recurring_only=True
    )
    return answered([as_execution(run) for run in found])


@bp.get("/health", responses=answers({200: SchedulerHealth, 503: SchedulerHealth}))
@for_anybody
def health() -> Response:
    """Whether jobs are run; 503 if not."""
    found = state()
    said = {
        "status": found.status.value,
        "scheduler_running": found.scheduler_running,
        "redis_connected": found.database,  # what holds the jobs
        "total_jobs": found.schedules,
        "enabled_jobs": found.active,
    }
    return answered(said, found.http)


# --- their words ----------------------------------------------------------------------------------


def _job(session: Session, path: JobPath) -> AutomationSchedule:
    return schedules.get_schedule(
        session, schedule_id(path.job_id), caller().actor, recurring_only=True
    )


def _options(given: dict[str, Any]) -> dict[str, Any]:
    return {THEIRS.get(name, name): v for name, v in given.items() if name not in NO_OPTIONS}


def _patch(given: dict[str, Any]) -> dict[str, Any] | None:
    """The times that were sent, flat. Raises `InvalidScheduleException`."""
    keys = given.get("schedule_config", {})
    for name in keys:
        if name in Common.model_fields or name == "schedule_type":
            why = _("unknown here: it stands beside schedule_config")
            raise InvalidScheduleException(f"{name}: {why}", {name: why})
    if "schedule_type" not in given:
        return dict(keys) or None
    if given["schedule_type"] not in tuple(OF_JOBS):
        why = _("one of %(names)s", names=", ".join(OF_JOBS))
        raise InvalidScheduleException(f"schedule_type: {why}", {"schedule_type": why})
    return {"schedule_type": given["schedule_type"], **keys}


def _require_same_bot(row: AutomationSchedule, bot_type: str) -> None:
    """A job keeps its task: its runs and its configuration are that task's."""
    task = row.automation_class
    if task is None or task.class_name != bot_type:
        why = _("a job keeps its task; make another job for this one")
        raise InvalidScheduleException(f"bot_type: {why}", {"bot_type": why})
