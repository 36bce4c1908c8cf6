"""What the two families take and give, as OpenAPI describes it (schedules A5, A6).

The keys of a type of schedule are checked by the services, which know the time and the zone.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.api.bodies import Optional, Query
from app.models.automation import RunStatus, ScheduleState, ScheduleType
from app.models.schedule import MOST
from app.services.schedule_config import UTC_ZONE, Zone
from app.services.schedule_faults import Keys
from app.services.schedule_keys import instant, shown_instant


def _moment(text: str) -> str:
    return shown_instant(instant(text, UTC_ZONE))


Object = dict[str, Any]
Moment = Annotated[str, AfterValidator(_moment)]
# Checked by the services, which say no in the documented words.
A_UUID = "0b5a1c9e-3f1d-4f0e-8a57-2f1f5a3c9d11"
FROM_1_TO_200: dict[str, Any] = {"minimum": 1, "maximum": 200}
FROM_1_TO_50: dict[str, Any] = {"minimum": 1, "maximum": 50}


class Problem(BaseModel):
    """What went wrong (problem+json); family B adds error, code and request_id."""

    type: str
    title: str
    status: int
    detail: str
    fields: dict[str, str] | None = None
    error: str | None = None
    code: str | None = None
    request_id: str | None = None


# --- addresses ------------------------------------------------------------------------------------


class JobPath(BaseModel):
    """A job."""

    job_id: str


class SchedulePath(BaseModel):
    """A schedule."""

    schedule_id: str


class ExecutionPath(BaseModel):
    """A run of a schedule."""

    schedule_id: str
    execution_id: str


class WorkflowPath(BaseModel):
    """A task class, by its workflow id or its name."""

    workflow_id: str


class JobsQuery(Query):
    """Which jobs."""

    enabled_only: bool = False


class HistoryQuery(Query):
    """How many runs."""

    limit: int = Field(default=50, json_schema_extra=FROM_1_TO_200)


class SchedulesQuery(Query):
    """Which schedules, and which page of them."""

    active: bool | None = None
    state: ScheduleState | None = None
    type: ScheduleType | None = None
    task: Annotated[str, Field(max_length=200)] | None = None
    q: Annotated[str, Field(max_length=200)] | None = None
    page: int = Field(default=1, ge=1, le=1_000_000)
    page_size: int = Field(default=50, ge=1, le=100)


class ExecutionsQuery(HistoryQuery):
    """Which runs: of a status, older than another one."""

    status: RunStatus | None = None
    before: Annotated[str, Field(max_length=100)] | None = None


class PreviewQuery(Query):
    """How many of the next runs."""

    n: int = Field(default=5, json_schema_extra=FROM_1_TO_50)


class RunHeader(BaseModel):
    """The same key within a day is the same run."""

    idempotency_key: str | None = Field(default=None, alias="Idempotency-Key")


# --- family A -------------------------------------------------------------------------------------


class JobPatch(Keys):
    """What of a job changes; what isn't sent stays."""

    name: str = Field(default="", examples=["Daily Birthday Messages"])
    description: str | None = None
    bot_type: str = Field(default="", examples=["birthday"])
    enabled: bool = True
    schedule_type: str = Field(default="", examples=["daily"])
    timezone: Zone | None = None
    schedule_config: Object = Field(default_factory=dict, examples=[{"hour": 8, "minute": 0}])
    bot_config: Object = Field(default_factory=dict, examples=[{"dry_run": True}])
    max_instances: int = Field(default=1, ge=1, le=100)
    misfire_grace_time: int = Field(default=3600, ge=0, le=31_536_000)
    coalesce: bool = True
    max_executions: Annotated[int, Field(ge=1, le=MOST)] | None = None
    context_data: Object = Field(default_factory=dict)
    version: int = Field(default=1)


class Switch(Keys):
    """On or off."""

    enabled: bool = Field(examples=[False])


class RunBody(Optional):
    """A run by hand; dry_run wins over the schedule's own.

    A schedule that follows events only takes true: what its items would do is told at once.
    """

    dry_run: bool | None = None


class Job(BaseModel):
    """A job."""

    id: str
    name: str
    description: str | None
    bot_type: str | None
    enabled: bool
    schedule_type: str
    schedule_config: Object
    bot_config: Object
    created_at: str
    updated_at: str | None
    last_run_at: str | None
    last_run_status: str | None
    last_run_error: str | None
    next_run_at: str | None
    created_by: str
    max_instances: int | None
    misfire_grace_time: int | None
    coalesce: bool | None
    timezone: str | None
    max_executions: int | None
    execution_count: int
    state: str
    version: int
    warnings: list[Any]


class Execution(BaseModel):
    """What became of a run."""

    id: str
    job_id: str
    started_at: str | None
    finished_at: str | None
    status: RunStatus
    result: Object | None
    error: str | None
    messages_sent: int
    profiles_visited: int
    trigger_type: str
    duration_seconds: float | None
    result_summary: str | None
    attempt: int
    dry_run: bool
    missed_count: int
    reason: str | None


class Queued(BaseModel):
    """A run that waits for the scheduler; a dry run of events is over already."""

    message: str
    status: str
    execution_id: str


class SchedulerHealth(BaseModel):
    """How it stands."""

    status: Literal["healthy", "degraded", "unhealthy"]
    scheduler_running: bool
    redis_connected: bool
    total_jobs: int | None
    enabled_jobs: int | None


# --- family B -------------------------------------------------------------------------------------


class Options(Keys):
    """What beside its times can be said of a schedule; the services check it."""

    name: str | None = Field(default=None, examples=["Nightly"])
    description: str | None = Field(default=None, examples=["Each night"])
    task_config: Object | None = Field(default=None, examples=[{"max_messages_per_run": 10}])
    dry_run: bool | None = Field(default=None, examples=[True])
    active: bool | None = Field(default=None, examples=[False])
    timezone: Zone | None = Field(default=None, examples=["Europe/Paris"])
    start_at: str | None = Field(default=None, examples=["2026-03-02T09:00:00Z"])
    end_at: str | None = Field(default=None, examples=["2026-12-31T18:00:00Z"])
    max_executions: Annotated[int, Field(ge=1, le=MOST)] | None = Field(default=None, examples=[24])
    max_instances: Annotated[int, Field(ge=1, le=100)] | None = Field(default=None, examples=[1])
    misfire_grace_time: Annotated[int, Field(ge=0, le=31_536_000)] | None = Field(
        default=None, examples=[3600]
    )
    coalesce: bool | None = Field(default=None, examples=[True])
    timeout_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = Field(
        default=None, examples=[3600]
    )
    overlap_policy: Literal["skip", "queue_one"] = Field(default="skip", examples=["queue_one"])
    retry_max: Annotated[int, Field(ge=0, le=10)] | None = Field(default=None, examples=[3])
    retry_backoff: Literal["exponential", "fixed"] = Field(
        default="exponential", examples=["fixed"]
    )
    retry_base_seconds: int = Field(default=60, ge=1, le=86_400, examples=[60])
    retry_cap_seconds: int = Field(default=3600, ge=1, le=86_400, examples=[3600])
    on_success_schedule_id: Annotated[str, Field(max_length=100)] | None = Field(
        default=None, examples=[A_UUID]
    )
    on_failure_schedule_id: Annotated[str, Field(max_length=100)] | None = Field(
        default=None, examples=[A_UUID]
    )
    context_data: Object | None = Field(
        default=None, examples=[{"retry_config": {"max_retries": 3}}]
    )


class ScheduleBody(Options):
    """A new schedule of a workflow."""

    workflow_id: str = Field(max_length=200, examples=["birthday"])
    schedule_config: Object = Field(
        examples=[{"schedule_type": "cron", "cron_expression": "0 12 * * *"}]
    )


class SchedulePatch(Options):
    """What of a schedule changes; what isn't sent stays."""

    schedule_config: Object = Field(examples=[{"cron_expression": "0 9 * * *"}])
    version: int | None = None


class PauseBody(Optional):
    """Why, and until when."""

    reason: Annotated[str, Field(max_length=500)] | None = None
    resume_at: Moment | None = Field(default=None, examples=["2026-03-02T09:00:00Z"])


class ResumeBody(Optional):
    """Whether one run makes up for what was missed."""

    missed: Literal["skip", "run_once"] = "skip"


class CloneBody(Optional):
    """What the copy is called."""

    name: str | None = None


class ValidateBody(Keys):
    """A configuration to be looked at."""

    schedule_config: Object = Field(
        examples=[{"schedule_type": "cron", "cron_expression": "0 12 * * *"}]
    )
    n: int = Field(default=5, ge=1, le=50)


class Schedule(BaseModel):
    """A schedule; with the keys of its type beside these."""

    schedule_id: str
    workflow_id: str | None
    schedule_type: str
    timezone: str | None
    is_active: bool
    next_execution_at: str | None
    last_execution_at: str | None
    last_execution_id: str | None
    execution_count: int
    max_executions: int | None
    context_data: Object
    created_at: str
    updated_at: str | None
    name: str
    description: str | None
    task_key: str | None
    task_config: Object
    status: str
    options: Object
    version: int
    warnings: list[Any]


class SchedulePage(BaseModel):
    """Some of the schedules."""

    items: list[Schedule]
    page: int
    page_size: int
    total: int


class WorkflowSchedules(BaseModel):
    """The schedules of a workflow, by their next run."""

    workflow_id: str
    schedules: list[Schedule]
    count: int


class Removed(BaseModel):
    """It is gone from the lists."""

    status: Literal["removed"]
    schedule_id: str


class Begun(BaseModel):
    """A run that waits for the scheduler; a dry run of events is over already."""

    execution_id: str
    status: RunStatus


class Executions(BaseModel):
    """Runs, newest first."""

    executions: list[Object]
    count: int


class Valid(BaseModel):
    """What a configuration means."""

    valid: Literal[True]
    explanation: str
    next: list[Object]
    notices: list[str]


class Ahead(BaseModel):
    """What a schedule will do."""

    explanation: str
    next: list[Object]
    notices: list[str]


class ScheduleHealth(BaseModel):
    """How it stands."""

    status: Literal["healthy", "degraded", "unhealthy"]
    module: str
    scheduler_running: bool
    active_schedules: int | None


class Conflicts(BaseModel):
    """What a schedule is in conflict with."""

    conflicts: list[Object]
    count: int


class Explanation(BaseModel):
    """Why a schedule does not run, if it doesn't."""

    schedule_id: str
    runs: bool
    findings: list[Object]


class Stats(BaseModel):
    """How runs went; with plain counts beside."""

    model_config = ConfigDict(extra="allow")
