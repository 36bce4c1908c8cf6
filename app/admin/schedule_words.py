"""What is said of a schedule: when it runs, whether it plans, what became of saving it."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext as _n
from markupsafe import Markup

from app.admin import office
from app.admin.names import badge, local
from app.admin.runs import status_badge
from app.admin.schedule_form import SIDES
from app.automation import schedules
from app.automation.scheduler_ops import Renewed
from app.extensions import db
from app.models import AutomationSchedule, EventsEnum
from app.models.schedule import ScheduleState, ScheduleType
from app.services.deadline import WAITLIST_TASK
from app.services.intervals import show_interval
from app.services.letter_words import duration
from app.services.schedule_words import explained

FROM = {
    EventsEnum.first: _l("the first meeting"),
    EventsEnum.last: _l("the last meeting"),
    EventsEnum.all: _l("each meeting"),
    EventsEnum.invited: _l("each invitation"),
}


def when_of(row: AutomationSchedule) -> str:
    """`2 days after each invitation`, `Mondays at 09:00 (Europe/Paris)`."""
    if row.schedule_type not in (None, ScheduleType.EVENT):
        return _clock_of(row)
    if row.interval is None:
        return ""
    task = row.automation_class.class_name if row.automation_class else ""
    events = row.events or (EventsEnum.invited if task == WAITLIST_TASK else EventsEnum.first)
    return str(
        _(
            "%(length)s %(side)s %(event)s",
            length=duration(row.interval),
            side=SIDES[row.beforeafter],
            event=FROM[events],
        )
    )


def _clock_of(row: AutomationSchedule) -> str:
    """Its times, in its own zone; empty if an earlier version left what makes no sense."""
    zone = row.timezone or office.zone().key
    try:
        said = explained(row.schedule_type, row.schedule_config or {}, ZoneInfo(zone))
    except (KeyError, ValueError):
        return ""
    of_calendar = row.schedule_type not in (ScheduleType.INTERVAL, ScheduleType.CHAINED)
    return f"{said} ({zone})" if of_calendar else said


def interval_of(row: AutomationSchedule) -> str:
    """`2 00:00:00 (2 days)`."""
    if row.interval is None:
        return ""
    return f"{show_interval(row.interval)} ({duration(row.interval)})"


def state_of(row: AutomationSchedule) -> Markup:
    """Whether it plans; and whether it is only tried out."""
    plans = _plans(row)
    return Markup("{} {}").format(plans, badge("hold", _("Test mode"))) if row.dry_run else plans


def _plans(row: AutomationSchedule) -> Markup:
    if row.paused_at:
        return badge("hold", _("Paused"))
    if row.state is ScheduleState.COMPLETED:
        return badge("dim", _("Completed"))
    if row.state is ScheduleState.FAILED:
        return badge("bad", _("Failed"))
    if not row.active:
        return badge("dim", _("Off"))
    return badge("late", _("Plans nothing")) if schedules.why_not(row) else badge("ok", _("Active"))


def last_run_of(row: AutomationSchedule) -> Markup | str:
    """When it last ran and how that went."""
    if row.last_execution_at is None:
        return ""
    status = status_badge(row.last_run_status) if row.last_run_status else ""
    return Markup("{} {}").format(local(row.last_execution_at), status)


def said_of(done: Renewed) -> str:
    """`3 jobs planned, 2 removed.`"""
    jobs = _n("%(num)s job planned", "%(num)s jobs planned", done.planned)
    said = [_("%(jobs)s, %(gone)s removed.", jobs=jobs, gone=done.removed)]
    if done.switched:
        said.append(_("Open deadlines moved: %(n)s.", n=done.switched))
    if done.before_switched_on:
        said.append(_("Due before now, so not planned: %(n)s.", n=done.before_switched_on))
    if done.missed:
        said.append(_("Too late, recorded as missed: %(n)s.", n=done.missed))
    return " ".join(said)


def told(row: AutomationSchedule, done: Renewed) -> list[str]:
    """What is worth knowing of a schedule that was just planned."""
    found = schedules.remarks(db.session(), row)
    if not found:  # whatever raised is left to the next renew
        found = [
            _("Not planned: %(what)s (%(why)s).", what=what, why=why)
            for what, why in done.left_out[:5]
        ]
    return found
