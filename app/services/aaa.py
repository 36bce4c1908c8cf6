"""Who did what to a schedule, and what it did: the AAA log (schedules M).

One line per event: the documented words, then pairs. Values with a blank, `=` or quote are quoted,
control characters shown as `\\xNN`, so that nobody's name makes a second line.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from app.models.automation import AutomationSchedule
from app.services.actors import Actor

log = logging.getLogger("schedule_service")

VERSION = "1.0.0"
FORMAT = f"%(asctime)s %(levelname)s schedule_service:{VERSION} %(message)s"
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
PLAIN = re.compile(r"[^\s=\"']+")


class Formatter(logging.Formatter):
    """Lines exactly as documented, in UTC (M1)."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__(FORMAT, "%Y-%m-%d %H:%M:%S")


def to_console(level: str) -> None:
    """From now on its lines go to stderr as documented, once, beside no other log (M1)."""
    if not any(isinstance(known.formatter, Formatter) for known in log.handlers):
        handler = logging.StreamHandler()
        handler.setFormatter(Formatter())
        log.addHandler(handler)
    log.setLevel(level)
    log.propagate = False


def line(
    kind: str,
    action: str,
    result: str,
    *,
    community: int | None = None,
    user: int | str | None = None,
    **pairs: Any,
) -> str:
    """`AUDIT community=1 user=42 action=schedule_create result=SUCCESS …`; None is left out."""
    said = {"community": _or_dash(community), "user": _or_dash(user), "action": action}
    told = said | {"result": result} | {k: v for k, v in pairs.items() if v is not None}
    return " ".join([kind, *(f"{name}={shown(value)}" for name, value in told.items())])


def shown(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, datetime):
        value = f"{value:%Y-%m-%dT%H:%M:%SZ}"
    text = CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", str(value))
    if PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"') if '"' in text else text
    return f'"{escaped}"'


def _or_dash(value: int | str | None) -> int | str:
    return "-" if value is None else value


# --- what people do ------------------------------------------------------------------------------


def did(action: str, schedule: AutomationSchedule, actor: Actor, **pairs: Any) -> None:
    """Somebody made, changed, paused … a schedule."""
    log.info(_about(schedule, "AUDIT", action, "SUCCESS", actor.user_id, **pairs))


def warned(action: str, schedule: AutomationSchedule, **pairs: Any) -> None:
    """A run was tried again, timed out, was taken up again, or schedules are in conflict."""
    log.warning(_about(schedule, "AUDIT", action, "SUCCESS", None, **pairs))


def timed_out(schedule: AutomationSchedule, execution_id: str, attempt: int) -> None:
    """A run took longer than it may."""
    warned("schedule_timeout", schedule, execution_id=execution_id, attempt=attempt)


# --- what the clock does -------------------------------------------------------------------------


def triggered(schedule: AutomationSchedule, execution_id: str) -> None:
    """An occurrence became a run."""
    told = {"execution_id": execution_id}
    log.info(_about(schedule, "AUDIT", "schedule_triggered", "SUCCESS", None, **told))


def executed(
    schedule: AutomationSchedule, execution_id: str, *, succeeded: bool, **pairs: Any
) -> None:
    """A run ended; `pairs`: time_ms, messages_sent, profiles_visited, dry_run."""
    result = "SUCCESS" if succeeded else "FAILURE"
    told = {"execution_id": execution_id} | pairs
    log.info(_about(schedule, "AUDIT", "schedule_executed", result, None, **told))


def missed(schedule: AutomationSchedule, newest: datetime, grace: Any, count: int) -> None:
    """Occurrences came too late to run."""
    told = {"next_execution": newest, "grace_threshold": grace, "missed_count": count}
    log.warning(_about(schedule, "AUDIT", "schedule_missed", "MISSED", None, **told))


def skipped(schedule: AutomationSchedule, reason: str) -> None:
    """An occurrence began nothing, for a reason."""
    log.warning(_about(schedule, "AUDIT", "schedule_skipped", "SKIPPED", None, reason=reason))


def limit_reached(schedule: AutomationSchedule) -> None:
    """It has begun as often as it may."""
    told = {
        "execution_count": schedule.execution_count,
        "max_executions": schedule.max_executions,
    }
    log.info(_about(schedule, "AUDIT", "schedule_limit_reached", "SUCCESS", None, **told))


def pruned(count: int) -> None:
    """Runs were taken away that were kept long enough (H1)."""
    log.info(line("SYSTEM", "history_pruned", "SUCCESS", count=count))


def jobs_done(job_ids: Iterable[str]) -> None:
    """Jobs of the scheduler did what they were there for, a line each."""
    if log.isEnabledFor(logging.INFO):  # ten thousand may be done at once
        head = line("SYSTEM", "scheduler_job_executed", "SUCCESS")
        for job_id in job_ids:
            log.info("%s job_id=%s", head, shown(job_id))


def job_failed(job_id: str, exception: str) -> None:
    """A job of the scheduler ended in an exception; its kind, never its words."""
    said = line("ERROR", "scheduler_job_error", "FAILURE", job_id=job_id, exception=exception)
    log.error(said)


def look_failed(exception: str) -> None:
    """Nobody could see which schedules are due."""
    log.error(line("ERROR", "check_due_schedules", "FAILURE", exception=exception))


def process(action: str, **pairs: Any) -> None:
    """The scheduler process loaded its schedules, started, or stopped."""
    log.info(line("SYSTEM", action, "SUCCESS", **pairs))


def error(action: str, schedule: AutomationSchedule, exception: str) -> None:
    """Something about a schedule raised; its kind, never its words."""
    log.error(_about(schedule, "ERROR", action, "FAILURE", None, exception=exception))


def _about(
    schedule: AutomationSchedule,
    kind: str,
    action: str,
    result: str,
    user: int | None,
    **pairs: Any,
) -> str:
    of_class = schedule.automation_class
    which = {
        "schedule_id": schedule.schedule_id,
        "workflow_id": of_class.workflow_id if of_class else None,
        "schedule_type": schedule.schedule_type,
    }
    community = schedule.practice_id
    return line(kind, action, result, community=community, user=user, **(which | pairs))
