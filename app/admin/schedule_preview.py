"""What a schedule would do, said beside its form before it is saved (schedules U2, people PA4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import gettext as _
from flask_babel import ngettext as _n
from sqlalchemy.orm import Session

from app.admin.schedule_fields import ASKED, ScheduleForm
from app.admin.schedule_typed import (
    changed_config,
    changed_times,
    config_of,
    door,
    options_of,
    place,
    task_config_of,
    times_of,
)
from app.automation.trial import Trial, can_be_tried, plan_of
from app.models import AutomationSchedule, Practice
from app.models.schedule import ScheduleType
from app.models.types import new_uuid
from app.services import recurrence, run_reasons
from app.services import schedule_filling as filling
from app.services.recurrence import Coming, Recurrence
from app.services.refusals import Refusal
from app.services.schedule_config import Timing
from app.services.schedule_conflicts import conflicts_of
from app.services.schedule_errors import InvalidScheduleException, ScheduleConflictException
from app.services.schedule_options import read_context

SHOWN = 5


@dataclass
class Seen:
    """What there is to say; of a schedule that follows events the jobs, of others the times."""

    sentence: str = ""
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    times: Sequence[Coming] = ()
    notices: list[str] = field(default_factory=list)
    reach: str = ""
    done: str = ""
    jobs: Sequence[Any] | None = None
    problems: list[tuple[str | None, Any]] = field(default_factory=list)

    def differs(self, at: datetime, there: ZoneInfo) -> bool:
        """Whether a clock there shows another time than the schedule's."""
        return at.astimezone(there).utcoffset() not in (
            at.astimezone(self.zone).utcoffset(),
            at.utcoffset(),
        )


def seen_of(
    session: Session,
    form: ScheduleForm,
    row: AutomationSchedule | None,
    practice: Practice,
    now: datetime,
) -> Seen:
    """What a recurring schedule would do; what is wrong is put beside its fields.

    Writes into the transaction, which the caller takes back.
    """
    seen = Seen()
    timing = _timing(session, form, row, practice, now)
    if timing is None:
        return seen
    its = Recurrence.of(timing, _anchor(session, form, row, now))
    ahead = recurrence.preview(its, SHOWN, now=now)
    seen.sentence = _sentence(ahead.explanation, ahead.timezone, timing.type)
    seen.zone, seen.times, seen.notices = ZoneInfo(ahead.timezone), ahead.next, [*ahead.notices]
    draft = _draft(form, row, practice, timing, ahead.next[0].utc if ahead.next else None, now)
    if _fill(session, form, draft, timing, now) and draft.automation_class is not None:
        seen.notices += [one.text for one in conflicts_of(session, draft, now)]
        seen.reach = _reach(session, draft, row, now)
    with session.no_autoflush:
        _look_over(session, form, row, timing)
    return seen


def _sentence(said: str, zone: str, kind: ScheduleType) -> str:
    said = f"{said[:1].upper()}{said[1:]}"
    if kind in (ScheduleType.INTERVAL, ScheduleType.CHAINED):
        return f"{said}."
    return f"{said} ({zone})."


def _timing(
    session: Session,
    form: ScheduleForm,
    row: AutomationSchedule | None,
    practice: Practice,
    now: datetime,
) -> Timing | None:
    """When it would run; None: what was typed does not say."""
    read = ("schedule_type", "timezone", "starts", "ends", *ASKED[form.kind])
    if any(form[name].errors for name in read):
        return None
    try:
        if row is not None:
            config = changed_config(session, form, row)
            times = changed_times(session, form, row)
            return filling.changed_timing(session, row, config, times, now)
        zone = filling.zone_of(door(), practice, form.class_name, form.kind.value)
        return filling.read_timing(session, config_of(form), times_of(form), zone, now)
    except InvalidScheduleException as no:
        place(form, no)
    return None


def _anchor(
    session: Session, form: ScheduleForm, row: AutomationSchedule | None, now: datetime
) -> datetime:
    """An interval goes on in its phase unless it is changed (N1)."""
    if row is None or changed_config(session, form, row) or changed_times(session, form, row):
        return now
    return row.anchor_at or row.created_at or now


def _draft(
    form: ScheduleForm,
    row: AutomationSchedule | None,
    practice: Practice,
    timing: Timing,
    coming: datetime | None,
    now: datetime,
) -> AutomationSchedule:
    """The row as saving would write it, of no session yet."""
    draft = AutomationSchedule(
        schedule_id=row.schedule_id if row is not None else new_uuid(),
        practice_id=row.practice_id if row is not None else practice.id,
        name=new_uuid(),
        active=True,
        anchor_at=now,
        next_execution_at=coming,
        task_config={},
        context_data={},
    )
    filling.set_timing(draft, timing)
    draft.automation_class = form.automation_class.row() if form.class_name else None
    return draft


def _fill(
    session: Session, form: ScheduleForm, draft: AutomationSchedule, timing: Timing, now: datetime
) -> bool:
    """What saving would check of the rest; False if something is wrong with it."""
    face = door().face(form.class_name) if form.class_name else None
    if face is None:
        return False
    try:
        filling.require_period(timing, face, now)
        filling.set_task_config(draft, task_config_of(form, face), form.dry_run.data, face)
    except InvalidScheduleException as no:
        if not place(form, no):
            form.form_errors.append(str(no.sentence))
        return False
    return True


def _look_over(
    session: Session, form: ScheduleForm, row: AutomationSchedule | None, timing: Timing
) -> None:
    """What saving would refuse of that which its runs do not follow from."""
    checks: list[Callable[[], Any]] = [lambda: read_context(form.context_data.data or {})]
    if not form.name.errors:
        checks.append(lambda: filling.a_name(session, form.name.data, row.id if row else None))
    options = options_of(form, created=row is None)
    if row is not None:
        checks.append(lambda: filling.set_changed_options(row, options, timing))
    elif form.class_name:
        name, its = form.class_name, door()
        checks.append(lambda: filling.new_options(options, timing, its, name, {}))
    for check in checks:
        try:
            check()
        except ScheduleConflictException as no:
            form.name.errors = [*form.name.errors, str(no.sentence)]
        except InvalidScheduleException as no:
            place(form, no)


def _reach(
    session: Session, draft: AutomationSchedule, row: AutomationSchedule | None, now: datetime
) -> str:
    """Whom its next run would reach; empty for a task that does not say."""
    if not can_be_tried(draft):
        return ""
    if row is None:
        session.add(draft)  # its task asks the row whose practice it works for
        session.flush()
    return _reach_at(session, draft, draft.next_execution_at, now)


def reach(
    session: Session, row: AutomationSchedule, now: datetime, *, at_once: bool = False
) -> str:
    """The same of a schedule as it is; the caller rolls back. Empty if nothing is known.

    `at_once`: of a run that begins now, whenever the next one is due.
    """
    coming = None if at_once else row.next_execution_at
    try:
        return _reach_at(session, row, max(coming, now) if coming else None, now)
    except Refusal:
        return ""


def _reach_at(
    session: Session, row: AutomationSchedule, coming: datetime | None, now: datetime
) -> str:
    """Of its next run; of one that begins now, if none is planned."""
    trial = plan_of(session, row, coming or now)
    return reach_words(trial, _("Its next run") if coming else _("A run now"))


def reach_words(trial: Trial, run: str) -> str:
    """In a sentence, whom that run would reach."""
    if trial.skipped is not None:
        why = run_reasons.in_words(trial.skipped)
        return _("%(run)s would be skipped: %(why)s.", run=run, why=why)
    if trial.error is not None:
        return _("What it would do cannot be said: %(why)s", why=trial.error)
    letters = _n("%(num)s letter", "%(num)s letters", trial.sends)
    if trial.visits:
        looked = _n("%(num)s profile", "%(num)s profiles", trial.visits)
        return _("%(run)s would look at %(p)s and send %(l)s.", run=run, p=looked, l=letters)
    return _("%(run)s would send %(letters)s.", run=run, letters=letters)
