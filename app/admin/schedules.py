"""Schedules at `/admin/automationschedule/`: a task class joined with a time (people PA3, PA4)."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from flask import request, url_for
from flask_admin.base import expose
from flask_admin.helpers import get_form_data
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from markupsafe import Markup
from sqlalchemy.orm import joinedload, selectinload
from wtforms import BooleanField, StringField, TimeField
from wtforms.validators import InputRequired, Length, NumberRange, Optional

from app.admin import items, office, schedule_typed
from app.admin.acts import Act, Needed
from app.admin.fields import WholeNumber, readable
from app.admin.frame import SecureView
from app.admin.jobs import read_jobs
from app.admin.names import breakable, local
from app.admin.runs import look_of, why_of
from app.admin.schedule_acts import ACTS, REACHING, can_try, puts_away, recurs
from app.admin.schedule_fields import (
    BACKOFFS,
    CHOICE_WORDS,
    OVERLAPS,
    EitherField,
    FollowerField,
    KindField,
    LocalField,
    ScheduleForm,
    WeekdaysField,
    kinds_with,
    setting_words,
    settings_form,
)
from app.admin.schedule_form import (
    BLANK,
    EVENTS,
    FORMS,
    SIDES,
    LengthField,
    ObjectField,
    TaskField,
    WordsField,
)
from app.admin.schedule_pages import SchedulePages
from app.admin.schedule_preview import Seen, reach, seen_of
from app.admin.schedule_words import (
    interval_of,
    last_run_of,
    said_of,
    state_of,
    told,
    when_of,
)
from app.automation import schedules
from app.automation.claims import DUE_TEXT, UNREADABLE, instant
from app.automation.lock import wake_scheduler
from app.automation.scheduler_ops import Renewed
from app.extensions import db, utcnow
from app.models import AutomationRun, AutomationSchedule, BeforeAfterEnum, Job, MadeBy
from app.models.bulk import among
from app.models.schedule import OverlapPolicy, RetryBackoff
from app.services import occurrences
from app.services.diff import schedule_of
from app.services.letter_words import instant as instant_words
from app.services.local_time import zone_names
from app.services.refusals import Refusal
from app.services.schedule_conflicts import warnings_of
from app.services.schedule_explain import grace_words
from app.services.schedule_health import missed_lately

log = logging.getLogger("app.admin")

LATEST = 10  # jobs and runs on the details page
MOST_LEFT = 200  # trainings that ended before, by name
YEAR_SECONDS = 31_536_000
# What a schedule that follows events is made of; the rest of the form is for what recurs.
OF_EVENTS = (
    "name", "automation_class", "beforeafter", "events", "interval", "active", "training_types",
    "description", "misfire_grace_time", "timeout_seconds", "task_config",
)  # fmt: skip
ONLY_OF_EVENTS = {"beforeafter", "events", "interval", "training_types", "active_since"}
ONLY_OF_CLOCKS = {
    "starts", "follows", "max_executions", "max_instances", "retry_max",
}  # fmt: skip
IF_SAID = {"starts", "follows", "resume_at", "pause_reason", "max_executions", "description"}


# --- the view ------------------------------------------------------------------------------------


class ScheduleView(SchedulePages, SecureView):
    """No counter, no `last_…` is typed; saving plans in the same transaction (schedules U2)."""

    column_list = ("name", "automation_class", "when", "state", "next_due", "jobs", "last_run")
    column_details_list = (
        "name", "state", "automation_class", "when", "beforeafter", "events", "interval",
        "starts", "follows", "pause_reason", "resume_at",
        "training_types", "whose", "description", "misfire_grace_time", "timeout_seconds",
        "max_executions", "max_instances", "retry_max", "task_config", "next_due", "jobs",
        "last_run", "last_run_error", "execution_count",
        "consecutive_failures", "active_since", "created_at", "schedule_id",
    )  # fmt: skip
    column_export_list = (
        "id", "name", "automation_class", "schedule_type", "when", "beforeafter", "events",
        "interval", "training_types", "active", "paused_at", "dry_run", "next_due",
        "jobs", "last_execution_at", "last_run_status",
        "execution_count", "schedule_id",
    )  # fmt: skip
    column_searchable_list = ("name", "description")
    column_filters = ("automation_class.class_name", "active", "schedule_type", "dry_run")
    column_sortable_list = (
        "name", ("automation_class", "automation_class.class_name"),
        ("last_run", "last_execution_at"),
    )  # fmt: skip
    column_default_sort = "name"
    column_labels = {
        "name": _l("Name"),
        "automation_class": _l("Automation Class"),
        "automation_class.class_name": _l("Automation Class"),
        "when": _l("When"),
        "schedule_type": _l("Kind"),
        "dry_run": _l("Test mode"),
        "starts": _l("Starts and ends"),
        "follows": _l("Afterwards"),
        "pause_reason": _l("Why it rests"),
        "resume_at": _l("Goes on by itself"),
        "max_executions": _l("Runs at most"),
        "max_instances": _l("Runs at once"),
        "retry_max": _l("Further tries"),
        "beforeafter": _l("Before/After"),
        "events": _l("Events"),
        "interval": _l("Interval"),
        "active": _l("Active"),
        "state": _l("State"),
        "next_due": _l("Next"),
        "jobs": _l("Jobs"),
        "last_run": _l("Last run"),
        "last_run_error": _l("Last error"),
        "last_execution_at": _l("Last run"),
        "last_run_status": _l("Last status"),
        "training_types": _l("Training types"),
        "description": _l("Description"),
        "misfire_grace_time": _l("May run late by (seconds)"),
        "timeout_seconds": _l("Time-out (seconds)"),
        "task_config": _l("Settings of the task"),
        "execution_count": _l("Runs so far, but those by hand"),
        "consecutive_failures": _l("Failures in a row"),
        "active_since": _l("Plans what is due since"),
        "created_at": _l("Created"),
        "paused_at": _l("Paused"),
        "whose": _l("Holds for"),
        "schedule_id": _l("Number"),
    }
    column_formatters = {
        "name": lambda _v, _c, row, _n: breakable(row.name),
        "automation_class": lambda _v, _c, row, _n: task_of(row),
        "when": lambda _v, _c, row, _n: when_of(row),
        "state": lambda _v, _c, row, _n: state_of(row),
        "interval": lambda _v, _c, row, _n: interval_of(row),
        "next_due": lambda _v, _c, row, _n: local(row.next_due) if row.next_due else "",
        "jobs": lambda _v, _c, row, _n: str(row.jobs),
        "last_run": lambda _v, _c, row, _n: last_run_of(row),
        "task_config": lambda _v, _c, row, _n: config_words(row.task_config),
        "training_types": lambda view, _c, row, _n: view.types_of(row),
        "whose": lambda _v, _c, row, _n: _("this practice") if row.practice_id else _("all"),
        "starts": lambda _v, _c, row, _n: span_of(row),
        "follows": lambda view, _c, row, _n: view.followers_of(row),
    }
    column_formatters_detail = column_formatters
    column_formatters_export = {
        "next_due": lambda _v, _c, row, _n: row.next_due.isoformat() if row.next_due else "",
        "jobs": column_formatters["jobs"],
        "when": column_formatters["when"],
    }
    form_base_class = ScheduleForm
    form_columns = (
        "name", "automation_class", "schedule_type", "beforeafter", "events", "interval",
        "weekdays", "at", "every", "cron", "once", "timezone", "starts", "ends", "active",
        "dry_run", "training_types", "description", "max_executions", "max_instances",
        "overlap_policy", "coalesce", "misfire_grace_time", "timeout_seconds", "retry_max",
        "retry_backoff", "retry_base_seconds", "retry_cap_seconds", "on_success_schedule_id",
        "on_failure_schedule_id", "task_config", "context_data",
    )  # fmt: skip
    form_args = {
        "name": {
            "label": _l("Name"),
            "validators": [InputRequired(_l("Give it a name."))],
            "description": _l("It begins the id of each of its jobs: no slash."),
        },
        "training_types": {
            "label": _l("Training types"),
            "description": _l("None chosen: all. Hold Ctrl or ⌘ to choose several."),
        },
        "misfire_grace_time": {
            "label": _l("May run late by (seconds)"),
            "validators": [Optional(), NumberRange(0, YEAR_SECONDS)],
            "description": _l("Empty: as the task has it. Later it is recorded as missed."),
        },
        "timeout_seconds": {
            "label": _l("Time-out (seconds)"),
            "validators": [Optional(), NumberRange(1, 86_400)],
            "description": _l("Empty: as the task has it."),
        },
    }
    form_extra_fields = {
        "automation_class": TaskField(
            _l("Automation Class"),
            [Needed()],
            description=_l("What it does. Without one the schedule is saved, but does nothing."),
        ),
        "beforeafter": WordsField(
            _l("Before/After"),
            [InputRequired(_l("Say before or after."))],
            said=SIDES,
            default=BeforeAfterEnum.after,
        ),
        "events": WordsField(
            _l("Events"),
            said=EVENTS,
            none=BLANK,
            description=_l("Not set: invited for AutomaticWaitList, first for all others."),
        ),
        "interval": LengthField(
            _l("Interval"), [InputRequired(_l("Say how long."))], description=FORMS
        ),
        "active": BooleanField(_l("Active"), default=True),
        "schedule_type": KindField(_l("Kind"), [Needed()]),
        "weekdays": WeekdaysField(_l("Days"), [Needed()], default=("mon",)),
        "at": TimeField(_l("Time of day"), [Needed(), Optional()], default=time(8)),
        "every": LengthField(
            _l("Every"),
            [Needed()],
            description=_l("Such as 90 minutes, 6 hours or 2 days; counted from when it is saved."),
        ),
        "cron": StringField(
            _l("Cron expression"),
            [Needed(), Optional(), Length(max=255), readable],
            description=_l(
                "Minute, hour, day, month, weekday: 0 9 * * 1-5 means 09:00 from Monday to Friday."
            ),
        ),
        "once": LocalField(_l("Day and time"), [Needed(), Optional(), readable]),
        "timezone": StringField(
            _l("Time zone"),
            [Optional(), Length(max=64), readable],
            description=_l("All times of this schedule are read in it, such as Europe/Paris."),
        ),
        "starts": LocalField(_l("Not before"), [Optional(), readable]),
        "ends": LocalField(_l("Not after"), [Optional(), readable]),
        "dry_run": BooleanField(
            _l("Test mode"),
            description=_l("It runs and says what it would do, but writes to nobody."),
        ),
        "max_executions": WholeNumber(
            _l("Runs at most"), [Optional()], description=_l("Empty: without end.")
        ),
        "max_instances": WholeNumber(
            _l("Runs at once"), [Optional()], description=_l("Empty: as is usual.")
        ),
        "overlap_policy": WordsField(
            _l("If as many run already"), said=OVERLAPS, default=OverlapPolicy.SKIP
        ),
        "coalesce": EitherField(_l("One run for several that are overdue")),
        "retry_max": WholeNumber(
            _l("Further tries after a failure"),
            [Optional()],
            description=_l("Empty: as is usual."),
        ),
        "retry_backoff": WordsField(
            _l("The wait between tries"), said=BACKOFFS, default=RetryBackoff.EXPONENTIAL
        ),
        "retry_base_seconds": WholeNumber(_l("First wait (seconds)"), [Optional()], default=60),
        "retry_cap_seconds": WholeNumber(_l("Longest wait (seconds)"), [Optional()], default=3600),
        "on_success_schedule_id": FollowerField(_l("After a success starts")),
        "on_failure_schedule_id": FollowerField(_l("After a failure starts")),
        "context_data": ObjectField(
            _l("Context for the task"), description=_l("JSON, handed to each run.")
        ),
        "task_config": ObjectField(
            _l("Settings of the task"),
            description=_l(
                'JSON; for AutomaticWaitList such as {"remind_before": ["1 00:00:00"],'
                ' "answer_windows": [{"within": "1 00:00:00", "answer": "0 01:30:00"}]}.'
            ),
        ),
    }
    refused_at = {
        "bad_name": "name",
        "name_taken": "name",
        "wrong_side": "beforeafter",
        "wrong_events": "events",
        "bad_config": "task_config",
        "bad_answer_windows": "task_config",
        "bad_remind_before": "task_config",
        "bad_interval": "task_config",
        "schedule_conflict": "name",
        "workflow_not_found": "automation_class",
    }
    loads = (
        joinedload(AutomationSchedule.automation_class),
        selectinload(AutomationSchedule.training_types),
    )
    acts = ACTS
    create_words = _l("Create")
    create_template = edit_template = "admin/schedules/edit.html"
    list_template = "admin/schedules/list.html"
    details_template = "admin/schedules/details.html"

    def scope(self) -> sa.ColumnElement[bool]:
        """The practice's and everybody's; what is deleted is in the runs only."""
        return sa.and_(items.own_schedules(), AutomationSchedule.deleted_at.is_(None))

    def get_empty_list_message(self) -> str:
        """What will stand there."""
        return str(_("Nothing runs by itself yet. A schedule says what is done, and when."))

    def furnish(self, rows: Any) -> None:
        """Rows with their jobs, in one further statement however many they are."""
        items.registered()
        with_jobs(rows)

    def types_of(self, row: AutomationSchedule) -> str:
        """Their names; none means all."""
        return ", ".join(kind.name for kind in row.training_types) or _("all")

    def followers_of(self, row: AutomationSchedule) -> str:
        """What starts when it has run."""
        s, ids = AutomationSchedule, (row.on_success_schedule_id, row.on_failure_schedule_id)
        if not any(ids):
            return ""
        names = dict(db.session.execute(sa.select(s.id, s.name).where(s.id.in_(ids))).all())
        said = (_("after a success %(name)s"), _("after a failure %(name)s"))
        return "; ".join(
            words % {"name": names[id_]} for words, id_ in zip(said, ids, strict=True) if id_
        )

    def details_of(self, row: Any) -> Any:
        """Only what its kind has."""
        other = ONLY_OF_EVENTS if recurs(row) else ONLY_OF_CLOCKS
        return [
            (name, words)
            for name, words in self._details_columns
            if name not in other and (name not in IF_SAID or self.get_detail_value(None, row, name))
        ]

    # --- the form ---

    def create_form(self, obj: Any = None) -> Any:
        """Times are those of the office's zone unless another is typed."""
        zone = office.zone().key
        return self._with_settings(
            self._create_form_class(get_form_data(), obj=obj, timezone=zone), None
        )

    def edit_form(self, obj: Any = None) -> Any:
        """With what stands in the row but is no column."""
        there = schedule_typed.shown(db.session(), obj)
        form = self._edit_form_class(get_form_data(), obj=obj, **there)
        if not form.timezone.data:
            form.timezone.data = schedule_typed.zone_of(db.session(), obj)
        return self._with_settings(form, obj)

    def _with_settings(self, form: Any, row: Any) -> Any:
        """The fields of each task that has a model."""
        own = row.automation_class.class_name if row is not None and row.automation_class else None
        form.settings = {
            name: settings_form(
                name,
                face.config_model,
                get_form_data(),
                row.task_config if name == own else None,
            )
            for name in items.registered()
            if (face := schedule_typed.door().face(name)) and face.config_model
        }
        return form

    # --- saving ---

    def save(self, form: Any, row: Any, created: bool, now: datetime) -> str | None:
        """Fill in, check and plan; what became of the plan is the notice."""
        if form.is_event and (created or not recurs(row)):
            done = self._fill_in(form, row, created, now)
            return " ".join(
                [_("%(name)s is saved.", name=row.name), said_of(done), *told(row, done)]
            )
        saved = self._save_recurring(form, row, created, now)
        said = [_("%(name)s is saved.", name=saved.name), next_words(saved)]
        if saved.dry_run:
            said.append(_("It is in test mode: it writes to nobody until it goes live."))
        return " ".join([*said, *warnings_of(db.session(), saved, now)])

    def _save_recurring(
        self, form: Any, row: Any, created: bool, now: datetime
    ) -> AutomationSchedule:
        session, actor = db.session(), office.actor()
        if created:
            return schedule_typed.create(session, form, actor, office.practice_id(), now)
        schedules.require_own(session, row)
        return schedule_typed.change(session, form, row, actor, now)

    def _fill_in(self, form: Any, row: Any, created: bool, now: datetime) -> Renewed:
        session = db.session()
        was = None if created else schedules.timing(row)
        former = row.name
        with session.no_autoflush:  # not before it is checked
            schedules.require_own(session, row)
            row.automation_class = form.automation_class.row()
            for name in OF_EVENTS:
                if name != "automation_class":
                    form[name].populate_obj(row, name)
            row.name = schedules.a_name(session, row)
            if created:
                row.created_via, row.created_by = MadeBy.FORM, office.actor().name
                session.add(row)
            return schedules.save(session, row, former or row.name, was, now)

    def _refuse(self, form: Any, no: Any, typed: dict[str, Any]) -> None:
        """What services refuse stands beside its field."""
        if isinstance(no, Refusal) and schedule_typed.place(form, no):
            form.answer = no.status
            return
        super()._refuse(form, no, typed)

    def _saved(self, form: Any, row: Any, created: bool) -> bool:
        if saved := super()._saved(form, row, created):
            log.info("schedule saved: schedule=%s actor=%s", form.name.data, office.actor().name)
            wake_scheduler()
        return saved

    def _act(self, *asked: Any) -> Any:
        answer = super()._act(*asked)
        wake_scheduler()
        return answer

    def told_before(self, act: Act, rows: list[Any]) -> list[str]:
        """Of what writes to people, how many it reaches (schedules U3)."""
        if act.name not in REACHING or not rows:
            return []
        try:
            session, now, at_once = db.session(), utcnow(), act.name == "run-now"
            said = (reach(session, row, now, at_once=at_once) for row in rows)
            return [words for words in said if words]
        finally:
            db.session.rollback()

    # --- pages ---

    @expose("/preview/", methods=("POST",))
    def preview_view(self) -> Any:
        """What saving would do, and nothing done (people PA4); of a script only what it says."""
        key, now = request.form.get("row", ""), utcnow()
        row = self.get_one(key) if key else None
        form = self.edit_form(obj=row) if key else self.create_form()
        stamp = self.stamp(row) if key else ""
        valid = form.validate()
        try:
            seen = self._seen(form, row, valid, now)
        finally:
            db.session.rollback()
        if request.headers.get("X-Live"):
            seen.problems = form.faults()
            return super().render("admin/schedules/seen.html", seen=seen)
        row = self.get_one(key) if key else None
        return self.render(
            self.edit_template,
            form=form,
            model=row,
            stamp=stamp,
            return_url=self.back(),
            seen=seen,
            action=self.get_url(".edit_view", id=key) if key else self.get_url(".create_view"),
        )

    def _seen(self, form: Any, row: Any, valid: bool, now: datetime) -> Seen:
        practice = office.practice()
        assert practice is not None  # noqa: S101  views are guarded
        if not form.is_event:
            return seen_of(db.session(), form, row, practice, now)
        seen = Seen()
        if form.interval.data and not form.beforeafter.errors and not form.events.errors:
            seen.sentence = self._sentence(form)
        if valid and not (row is not None and recurs(row)):
            self._see_jobs(seen, form, row, now)
        return seen

    def _sentence(self, form: Any) -> str:
        like = AutomationSchedule(
            beforeafter=form.beforeafter.data,
            events=form.events.data,
            interval=form.interval.data,
            automation_class=form.automation_class.data,
        )
        return when_of(like)

    def _see_jobs(self, seen: Seen, form: Any, row: Any, now: datetime) -> None:
        typed = {name: field.data for name, field in form._fields.items()}
        created = row is None
        if created:
            row = self.build_new_instance()
            row.practice_id = office.practice_id()
        try:
            done = self._fill_in(form, row, created, now)
            which = schedule_of(Job.id) == row.name
            seen.jobs = read_jobs(db.session(), which, now, 5) if row.switched_on else []
            seen.done, seen.notices = said_of(done), told(row, done)
            seen.sentence = when_of(row)
        except Refusal as no:
            self._refuse(form, no, typed)

    def render(self, template: str, **values: Any) -> Any:
        """With what the form needs to show the fields of its kind."""
        if "form" in values and template == self.edit_template:
            values |= {"kinds_with": kinds_with, "zones": zone_choices()}
            values["grace_hint"] = grace_hint(values.get("model"))
        return super().render(template, **values)

    def details_more(self, row: Any) -> dict[str, Any]:
        """What is to be said of it, what can be tried, its next jobs, its latest runs."""
        session, r = db.session(), AutomationRun
        runs = session.scalars(
            sa.select(r)
            .where(r.schedule_id == row.id, items.not_of_others(r.item))
            .order_by(r.id.desc())
            .limit(LATEST)
        ).all()
        jobs = read_jobs(session, schedule_of(Job.id) == row.name, utcnow(), LATEST)
        left = occurrences.ended_before(session, row, utcnow()) if puts_away(row) else []
        return {
            "left_alone": left[:MOST_LEFT],
            "left_count": len(left),
            "remarks": schedules.remarks(session, row),
            "next_jobs": jobs,
            "runs": runs,
            "look_of": look_of,
            "why_of": why_of,
            "called": items.named(session, [run.item for run in runs]),
            "all_jobs": url_for("admin_job.index_view", search=f"{row.name}/"),
            "all_runs": self.get_url(".history_view", id=row.id),
            "can_try": can_try(row),
            "recurs": recurs(row),
        }


def with_jobs(rows: Sequence[Any]) -> None:
    """How many jobs each schedule has and when the first is due: `.jobs`, `.next_due`."""
    name = schedule_of(Job.id)
    first = sa.cast(sa.func.min(DUE_TEXT.element), sa.Text)
    asked = sa.select(name, sa.func.count(), first).where(
        among(name, [row.name for row in rows]), Job.next_run_time.is_not(None)
    )
    found = {n: (count, due) for n, count, due in db.session.execute(asked.group_by(name))}
    for row in rows:
        row.jobs, due = found.get(row.name, (0, None))
        try:
            row.next_due = instant(due)
        except UNREADABLE:  # somebody wrote there what is no date
            row.next_due = None


def task_of(row: AutomationSchedule) -> Markup | str:
    """The name of its task."""
    return breakable(row.automation_class.class_name) if row.automation_class else ""


def grace_hint(row: AutomationSchedule | None) -> str:
    """The grace that would have let it run of late; empty if it was never too late (S2)."""
    missed = missed_lately(db.session(), utcnow(), row) if row is not None else []
    return grace_words(missed[0]) if missed else ""


def config_words(config: dict[str, Any] | None) -> str:
    """`Days late at most: 7; Also late birthdays: no`; what is nested as JSON."""
    said = {True: _("yes"), False: _("no"), None: _("none")}
    plain = (str, int, float)
    parts = []
    for name, value in (config or {}).items():
        words = said[value] if value is None or isinstance(value, bool) else value
        words = str(CHOICE_WORDS.get(words, words)) if isinstance(words, str) else words
        words = words if isinstance(words, plain) else json.dumps(words)
        parts.append(f"{setting_words(name)}: {words}")
    return "; ".join(parts)


def span_of(row: AutomationSchedule) -> Markup | str:
    """From when to when it runs; empty if nothing was said."""
    parts = ((_("from"), row.start_at), (_("until"), row.end_at))
    said = [Markup("{} {}").format(words, local(at)) for words, at in parts if at]
    return Markup(" ").join(said)


def next_words(row: AutomationSchedule) -> str:
    """When a saved schedule runs next, in its own zone."""
    if row.next_execution_at is None:
        return ""
    zone = ZoneInfo(schedule_typed.zone_of(db.session(), row))
    return _("Its next run: %(at)s.", at=instant_words(row.next_execution_at, zone))


def zone_choices() -> list[str]:
    """The zones that people mean: those of places, and UTC."""
    return ["UTC", *sorted(name for name in zone_names() if "/" in name and name[:3] != "Etc")]


def views() -> list[SecureView]:
    """Of this module."""
    return [ScheduleView(AutomationSchedule, "Schedules", "Automation")]
