"""What is said of a schedule: when it runs, whether it plans, what became of saving it."""

from __future__ import annotations

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext as _n
from markupsafe import Markup

from app.admin.names import badge, local
from app.admin.runs import status_badge
from app.admin.schedule_form import SIDES
from app.automation import schedules
from app.automation.scheduler_ops import Renewed
from app.extensions import db
from app.models import AutomationSchedule, EventsEnum
from app.services.deadline import WAITLIST_TASK
from app.services.intervals import show_interval
from app.services.letter_words import duration

FROM = {
    EventsEnum.first: _l("the first meeting"),
    EventsEnum.last: _l("the last meeting"),
    EventsEnum.all: _l("each meeting"),
    EventsEnum.invited: _l("each invitation"),
}


def when_of(row: AutomationSchedule) -> str:
    """`2 days after each invitation`."""
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


def interval_of(row: AutomationSchedule) -> str:
    """`2 00:00:00 (2 days)`."""
    if row.interval is None:
        return ""
    return f"{show_interval(row.interval)} ({duration(row.interval)})"


def state_of(row: AutomationSchedule) -> Markup:
    """One badge: whether it plans."""
    if not row.active:
        return badge("dim", _("Off"))
    if row.paused_at:
        return badge("hold", _("Paused"))
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
