"""What people do to schedules: the services everyone calls, behind a question (people PA5)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_babel import lazy_gettext as _l
from wtforms import SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length, NumberRange, Optional

from app.admin.acts import Act, Question
from app.admin.fields import InstantField, WholeNumber, legible, readable
from app.admin.schedule_typed import door
from app.automation import schedules as event_schedules
from app.automation.rehearsal import can_rehearse
from app.automation.trial import can_be_tried
from app.models.schedule import ScheduleType
from app.services import schedules
from app.services.actors import Actor
from app.services.plan import TRAINING_TASKS, Anchor
from app.services.schedule_templates import save_as_template

MOST_REASON = 500


def recurs(row: Any) -> bool:
    """Whether it follows the clock or another schedule, and no events."""
    return row.schedule_type not in (None, ScheduleType.EVENT)


# --- what is asked -------------------------------------------------------------------------------


class Resting(Question):
    """Why it rests, and until when."""

    reason = TextAreaField(
        _l("Reason"),
        [Optional(), Length(max=MOST_REASON), readable],
        description=_l("Whoever wonders why nothing runs reads it."),
    )
    resume_at = InstantField(
        _l("Goes on by itself"),
        [Optional()],
        description=_l("In your own time zone. Empty: until somebody switches it on."),
    )


class GoingOn(Question):
    """What becomes of what was due meanwhile."""

    missed = SelectField(
        _l("What was due meanwhile"),
        choices=[
            SelectChoice("skip", _l("leave it out")),
            SelectChoice("run_once", _l("make up for it with one run")),
        ],
        default="skip",
    )


class Called(Question):
    """A name; empty for a copy means that it gets one."""

    name = StringField(
        _l("Its name"),
        [Optional(), Length(max=200), readable],
        description=_l("Empty: one is made."),
    )


class Kept(Question):
    """The name of a template."""

    name = StringField(
        _l("Name of the template"),
        [InputRequired(_l("Give it a name.")), Length(max=200), readable, legible],
    )


class HowMany(Question):
    """Who has seen the list knows how long it is."""

    count = WholeNumber(
        _l("How many trainings the list has"),
        [InputRequired(_l("Count what the list of the schedule has.")), NumberRange(1)],
    )


# --- what is done --------------------------------------------------------------------------------


def _run(session: Any, row: Any, actor: Actor, now: datetime) -> None:
    schedules.run_now(session, row.schedule_id, actor, now=now, door=door())


def _go_live(session: Any, row: Any, actor: Actor, now: datetime) -> None:
    schedules.update_schedule(
        session, row.schedule_id, None, actor, now=now, door=door(), dry_run=False
    )


def _pause(
    session: Any,
    row: Any,
    actor: Actor,
    now: datetime,
    reason: str | None,
    resume_at: datetime | None,
) -> None:
    event_schedules.require_own(session, row)
    schedules.pause_schedule(
        session, row.schedule_id, actor, now=now, door=door(), reason=reason or None,
        resume_at=resume_at,
    )  # fmt: skip


def _resume(session: Any, row: Any, actor: Actor, now: datetime, missed: str) -> None:
    event_schedules.require_own(session, row)
    schedules.resume_schedule(session, row.schedule_id, actor, now=now, door=door(), missed=missed)


def _clone(session: Any, row: Any, actor: Actor, now: datetime, name: str | None) -> None:
    schedules.clone_schedule(
        session, row.schedule_id, actor, now=now, door=door(), name=name or None
    )


def _keep(session: Any, row: Any, actor: Actor, now: datetime, name: str) -> None:
    save_as_template(session, row.schedule_id, name, actor, now=now)


def _remove(session: Any, row: Any, actor: Actor, now: datetime) -> None:
    event_schedules.require_own(session, row)
    schedules.remove_schedule(session, row.schedule_id, actor, now=now, door=door())


def _confirm(session: Any, row: Any, actor: Actor, now: datetime, count: int) -> None:
    event_schedules.confirm_past(session, row, count, actor, now)


def puts_away(row: Any) -> bool:
    """It counts from the ends of trainings: what ended before it waits to be confirmed (WB)."""
    task = row.automation_class
    anchor = TRAINING_TASKS.get(task.class_name) if task else None
    return anchor is Anchor.LAST_END and bool(row.switched_on)


ACTS = (
    Act(
        "go-live",
        _l("Go live"),
        _go_live,
        _l("From its next run on it does what it now only plans: letters go out to people."),
        bulk=False,
        offered=lambda row: recurs(row) and bool(row.dry_run),
    ),
    Act(
        "run-now",
        _l("Run now"),
        _run,
        _l("A run begins at once, also while the schedule rests. Its next run stays as planned."),
        bulk=False,
        offered=lambda row: recurs(row) and row.automation_class is not None,
    ),
    Act(
        "confirm-past",
        _l("Archive what ended before"),
        _confirm,
        _l(
            "Trainings that ended before this schedule was switched on leave the lists, fifty at a"
            " time. Who still waits for one leaves it silently. Look at the list first."
        ),
        HowMany,
        danger=True,
        bulk=False,
        offered=puts_away,
    ),
    Act(
        "resume",
        _l("Switch on"),
        _resume,
        _l(
            "It plans again from now on, and catches up on nothing. Invitations that it had granted"
            " keep what was promised, with two hours left at least."
        ),
        GoingOn,
        offered=lambda row: not row.switched_on,
    ),
    Act(
        "pause",
        _l("Pause"),
        _pause,
        _l(
            "Its jobs are removed; what runs goes on. Open invitations that it granted stay open"
            " until the last moment before the training."
        ),
        Resting,
        offered=lambda row: row.switched_on,
    ),
    Act(
        "clone",
        _l("Copy"),
        _clone,
        _l("The same once more, switched off, with nothing run yet."),
        Called,
        bulk=False,
    ),
    Act(
        "template",
        _l("Keep as template"),
        _keep,
        _l("New schedules can begin with its values; they follow no later change of it."),
        Kept,
        bulk=False,
    ),
    Act(
        "delete-schedule",
        _l("Delete"),
        _remove,
        _l(
            "Its jobs are removed and it leaves this list. Open invitations stay open until the"
            " last moment; what ran is kept. A new schedule may take its name."
        ),
        danger=True,
    ),
)

REACHING = ("go-live", "run-now")  # acts that are asked with how many they reach


def can_try(row: Any) -> bool:
    """Whether the page offers to try it out."""
    return can_be_tried(row) if recurs(row) else can_rehearse(row)
