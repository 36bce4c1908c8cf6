"""What schedules refuse, under the names of the documents (schedules E1).

They are refusals like all others, so that each face answers them in its one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_babel import lazy_gettext as _l

from app.services.refusals import Refusal


class ScheduleServiceException(Refusal):
    """Of all of them; `message` is what the documents print, `status_code` its HTTP answer.

    That is the `status` of its class, unless whoever raises it says another.
    """

    code, status = "schedule_error", 500

    def __init__(self, message: Any, status_code: int | None = None) -> None:
        super().__init__(message)
        self.message = str(message)
        self.status_code = status_code or self.status


class ScheduleNotFoundException(ScheduleServiceException):
    """There is no such schedule, or it belongs to others."""

    code, status = "schedule_not_found", 404

    def __init__(self, schedule_id: str) -> None:
        super().__init__(_l("Schedule not found: %(id)s", id=schedule_id))


class WorkflowNotFoundException(ScheduleServiceException):
    """There is no such task class (A6)."""

    code, status = "workflow_not_found", 404

    def __init__(self, workflow_id: str) -> None:
        super().__init__(_l("Workflow not found: %(id)s", id=workflow_id))


class ExecutionNotFoundException(ScheduleServiceException):
    """There is no such run, or its schedule belongs to others."""

    code, status = "execution_not_found", 404

    def __init__(self, execution_id: str) -> None:
        super().__init__(_l("Execution not found: %(id)s", id=execution_id))


class InvalidScheduleException(ScheduleServiceException):
    """What was given makes no schedule.

    `message` and `detail` read as documented ("Invalid cron expression: …", rulings RE2); as a
    sentence of its own, `str(error)`, it says that the configuration is what is wrong (E1).
    `problems` has a reason per field, for forms.
    """

    code, status = "invalid_schedule", 400

    def __init__(self, message: Any, problems: Mapping[str, str] | None = None) -> None:
        self.detail = str(message)
        self.problems = dict(problems or {})
        super().__init__(_l("Invalid schedule configuration: %(detail)s", detail=self.detail))
        self.message = self.detail


class ScheduleConflictException(ScheduleServiceException):
    """Not now: another version, a name taken, too many at once, a run that is over."""

    code, status = "schedule_conflict", 409


class SchedulePermissionException(ScheduleServiceException):
    """The key or the account may not do this."""

    code, status = "schedule_permission", 403


class ScheduleQuotaException(ScheduleServiceException):
    """The practice has as many schedules as it may (O5)."""

    code, status = "schedule_quota", 429
