"""What there is to see of a schedule: what it would do, why it rests, how it went (U4-U6, S1)."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from flask import Response, abort, flash, redirect, request, url_for
from flask_admin.base import expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.admin import event_trials, items, names, office
from app.admin.schedule_plots import bars_of_days, bars_of_lateness, bars_of_lengths
from app.admin.schedule_typed import door, zone_of
from app.automation import processes
from app.automation import schedules as event_schedules
from app.automation.lock import wake_scheduler
from app.automation.rehearsal import can_rehearse, rehearse
from app.automation.trial import CannotBeTried, Trial, plan_of
from app.extensions import db, unit, utcnow
from app.models import AutomationRun, AutomationSchedule, Student, User
from app.models.automation import RunStatus
from app.models.bulk import among
from app.models.schedule import ScheduleType
from app.models.system import SchedulerEpoch
from app.models.text import storable
from app.services import csv_out, recurrence, recurring, run_reasons
from app.services.refusals import Refusal
from app.services.schedule_errors import InvalidScheduleException
from app.services.schedule_explain import explain
from app.services.schedule_rest import pause_all, resting, resume_all
from app.services.schedule_stats import FINISHED, stats
from app.services.schedule_templates import create_from_template, list_templates
from app.services.symptoms import at_once, lacking_rights

DAY = timedelta(days=1)
MOST_STEPS = 200
MOST_AHEAD = 50  # runs of the next day that the page lists
LAST_RUNS = 50
MOST_REASON = 500
CAUSES = {
    "heartbeat": _l("The scheduler runs"),
    "clock": _l("Clocks agree"),
    "active": _l("It is switched on"),
    "deleted": _l("It is not deleted"),
    "all_paused": _l("Schedules are not all paused"),
    "class": _l("Its task is there"),
    "enabled": _l("Its task is enabled"),
    "config": _l("Its settings are valid"),
    "next": _l("A next run is known"),
    "job": _l("Its alarm is set"),
    "span": _l("It has begun and not ended"),
    "count": _l("It may still run"),
    "live": _l("Not too many run at once"),
    "window": _l("Its next run is inside the hours for letters"),
    "outcomes": _l("Its last runs went well"),
    "missed": _l("It comes in time"),
    "several_times": _l("It runs once, not several times"),
    "wrong_time": _l("It runs at the time that is meant"),
    "at_once": _l("Jobs wait until they are due"),
    "permissions": _l("The database lets us write"),
    "plan": _l("It plans something"),
}


class SchedulePages:
    """The part of the view of schedules that only shows, or asks what would be."""

    # --- what it would do ---

    @expose("/dry-run/", methods=("POST",))
    def dry_run_view(self: Any) -> Any:
        """The plan of a run that would begin now, as a table or a file; nothing is done (P1)."""
        row = self.get_one(request.form.get("id"))
        if row.schedule_type in (None, ScheduleType.EVENT) and can_rehearse(row):
            return self._rehearsed(row)
        try:
            trial = plan_of(db.session(), row, utcnow())
        except CannotBeTried as no:
            db.session.rollback()
            flash(str(no.sentence), "error")
            return redirect(self.get_url(".details_view", id=row.id), 303)
        db.session.rollback()  # whatever planning wrote
        row = self.get_one(request.form.get("id"))
        called = _subjects(trial)
        if request.form.get("as") == "csv":
            return _plan_file(trial, called)
        return self.render(
            "admin/schedules/dry_run.html",
            model=row,
            trial=trial,
            skipped=run_reasons.in_words(trial.skipped) if trial.skipped else None,
            shown=list(trial.plan.steps[:MOST_STEPS]) if trial.plan else [],
            called=called,
        )

    def _rehearsed(self: Any, row: AutomationSchedule) -> Any:
        """The same of one that follows events: what its items would do from now on."""
        session, id_ = db.session(), row.id
        try:
            found = rehearse(session, row, utcnow(), practice_id=office.practice_id())
        except Refusal as no:
            flash(str(no.sentence), "error")
            return redirect(self.get_url(".details_view", id=id_), 303)
        finally:
            session.rollback()  # nobody waits while the page is made
        if request.form.get("as") == "csv":
            return event_trials.file_of(session, found)
        lines = event_trials.lines_of(session, found)
        return self.render(
            "admin/schedules/event_dry_run.html",
            model=self.get_one(str(id_)),
            found=found,
            count=len(lines),
            changes=sum(not line.letter for line in lines),
            shown=lines[: event_trials.MOST_LINES],
            absent=event_trials.absent_of(session, found),
            off=event_trials.in_words(found.off) if found.off else None,
        )

    # --- what became of it ---

    @expose("/history/")
    def history_view(self: Any) -> Any:
        """Its runs, in the list of all runs: with its filters, its pages, its file."""
        row = self.get_one(request.args.get("id"))
        return redirect(url_for("admin_automationrun.index_view", flt5_5=row.id))

    @expose("/stats/")
    def stats_view(self: Any) -> Any:
        """How the runs of one schedule, or of all, came out (schedules U5)."""
        given, now, session = request.args.get("id"), utcnow(), db.session()
        row = self.get_one(given) if given else None
        found = stats(session, row.schedule_id if row else None, office.actor(), now=now)
        lengths = _lengths(row)
        return self.render(
            "admin/schedules/stats.html",
            model=row,
            found=found,
            days=bars_of_days(found["per_day"], now),
            lengths=bars_of_lengths(lengths),
            late=bars_of_lateness(lengths),
            ahead=_ahead(row, now),
        )

    # --- why nothing happens ---

    @expose("/why/")
    def why_view(self: Any) -> Any:
        """Each cause that keeps a schedule from running, and how all of them stand (S1)."""
        given, now, session = request.args.get("id"), utcnow(), db.session()
        row = self.get_one(given) if given else None
        findings = []
        if row is not None:
            findings = [
                (CAUSES.get(one.cause, one.cause), one.ok, one.text)
                for one in explain(
                    session, row.schedule_id, office.actor(), now=now, door=door(), called=names.who
                )
            ]
            if words := event_schedules.why_not(row):
                findings.append((CAUSES["plan"], False, words))
        mine = sa.select(AutomationSchedule).where(self.scope()).order_by(AutomationSchedule.name)
        return self.render(
            "admin/schedules/why.html",
            model=row,
            findings=findings,
            state=_state(now),
            resting=resting(session),
            symptoms=[words for words in (at_once(session), lacking_rights(session)) if words],
            processes=processes.ours(),
            others=session.scalars(mine.limit(self.page_size)).all() if row is None else [],
        )

    @expose("/rest/", methods=("POST",))
    def rest_view(self: Any) -> Any:
        """POST asks; POST with `sure` lets all schedules rest, or go on (U6)."""
        on = request.form.get("on") == "1"
        if not request.form.get("sure"):
            return self.render("admin/schedules/rest.html", on=on)
        reason = storable((request.form.get("reason") or "").strip(), MOST_REASON) or None
        session, actor = db.session(), office.actor()
        try:
            if on:
                unit(db.session, lambda: resume_all(session, actor))
            else:
                unit(db.session, lambda: pause_all(session, actor, now=utcnow(), reason=reason))
        except Refusal as no:
            flash(str(no.sentence), "error")
        else:
            wake_scheduler()
            flash(_("Schedules go on.") if on else _("All schedules rest."), "notice")
        return redirect(self.get_url(".why_view"), 303)

    # --- beginning with what was kept ---

    @expose("/from-template/", methods=("POST",))
    def from_template_view(self: Any) -> Any:
        """A new schedule with the values of a template, switched off, to be looked through."""
        session, actor, now = db.session(), office.actor(), utcnow()
        given = request.form.get("template", "")
        try:
            made = unit(
                db.session,
                lambda: (
                    create_from_template(
                        session, given, actor, office.practice_id(), now=now, door=door()
                    ).id
                ),
            )
        except Refusal as no:
            if no.status == 404:
                abort(404)
            flash(str(no.sentence), "error")
            return redirect(self.get_url(".create_view"), 303)
        flash(_("Look it through, then switch it on."), "notice")
        return redirect(self.get_url(".edit_view", id=made), 303)

    def templates(self: Any) -> list[Any]:
        """What new schedules can begin with."""
        return list_templates(db.session(), office.actor())


# --- the plan ------------------------------------------------------------------------------------


def _subjects(trial: Trial) -> dict[tuple[str, Any], str]:
    """What steps are about, by name: a plan holds ids alone (P1)."""
    steps = trial.plan.steps[:MOST_STEPS] if trial.plan else ()
    of_people = ("birthday", "trainer")
    people = {step.subject_id for step in steps if step.kind.partition("_")[0] in of_people}
    students = {step.subject_id for step in steps if step.kind == "profile_review"}
    session, u = db.session(), User
    found: dict[tuple[str, Any], str] = {}
    if people:
        for user in session.scalars(sa.select(u).where(among(u.id, sorted(people)))):
            for kind in of_people:
                found[kind, user.id] = user.fullname or user.email
    if students:
        asked = sa.select(Student.id, u).join(u, u.id == Student.user_id)
        for id_, user in session.execute(asked.where(among(Student.id, sorted(students)))):
            found["profile", id_] = user.fullname or user.email
    return {
        (step.kind, step.subject_id): found[step.kind.partition("_")[0], step.subject_id]
        for step in steps
        if (step.kind.partition("_")[0], step.subject_id) in found
    }


def _plan_file(trial: Trial, called: dict[tuple[str, Any], str]) -> Response:
    steps = trial.plan.steps if trial.plan else ()
    rows = (
        (
            n,
            step.kind.replace("_", " "),
            called.get((step.kind, step.subject_id), step.subject_id),
            step.text,
        )
        for n, step in enumerate(steps, 1)
    )
    header = (_("No."), _("What"), _("Whom"), _("Why"))
    name = f"dry-run-{trial.at:%Y-%m-%d}.csv"
    return Response(
        csv_out.document(header, rows),
        mimetype="text/csv",
        headers={"Content-Disposition": f"attachment; filename={name}"},
    )


# --- numbers -------------------------------------------------------------------------------------


def _lengths(row: AutomationSchedule | None) -> list[Any]:
    """The last finished live runs, oldest first: when, how they ended, how long they took."""
    r = AutomationRun
    whose = r.schedule_id == row.id if row is not None else items.own_runs()
    facts = (r.id, r.due_at, r.started_at, r.finished_at, r.status, r.duration_ms)
    ended = sa.select(*facts).where(
        whose, r.status.in_(FINISHED), r.dry_run.is_(False), r.duration_ms.is_not(None)
    )
    newest = ended.order_by(r.finished_at.desc(), r.id.desc()).limit(LAST_RUNS)
    return list(reversed(db.session.execute(newest).all()))


def _ahead(row: AutomationSchedule | None, now: datetime) -> list[tuple[Any, datetime, ZoneInfo]]:
    """(schedule, instant, zone) of the next day, the earliest first."""
    s, session = AutomationSchedule, db.session()
    due = sa.select(s).where(
        items.own_schedules(), s.works(), s.next_execution_at <= now + DAY,
        s.schedule_type != ScheduleType.EVENT,
    )  # fmt: skip
    if row is not None:
        due = due.where(s.id == row.id)
    found = []
    for one in session.scalars(due.order_by(s.next_execution_at).limit(MOST_AHEAD)):
        zone = ZoneInfo(zone_of(session, one))
        found += [(one, at, zone) for at in _times(one, now)]
    return sorted(found, key=lambda told: (told[1], told[0].id))[:MOST_AHEAD]


def _times(row: AutomationSchedule, now: datetime) -> list[datetime]:
    try:
        ahead = recurrence.following(recurring.recurrence_of(db.session(), row), now)
        return list(takewhile(lambda at: at <= now + DAY, islice(ahead, MOST_AHEAD)))
    except InvalidScheduleException:  # an earlier version left what makes no sense
        return []


def _state(now: datetime) -> dict[str, Any]:
    """How all schedules stand, in one statement."""
    r, s = AutomationRun, AutomationSchedule
    queued = sa.select(sa.func.count(r.id)).where(r.status == RunStatus.QUEUED, items.own_runs())
    running = sa.select(sa.func.count(r.id)).where(r.status == RunStatus.RUNNING, items.own_runs())
    active = sa.select(sa.func.count(s.id)).where(s.works(), items.own_schedules())
    oldest = sa.select(sa.func.min(s.next_execution_at)).where(s.works(), items.own_schedules())
    seen = sa.select(SchedulerEpoch.seen_at).order_by(SchedulerEpoch.id).limit(1)
    asked = {
        "queued": queued, "running": running, "active": active, "oldest": oldest, "seen_at": seen,
    }  # fmt: skip
    row = db.session.execute(
        sa.select(*(one.scalar_subquery().label(name) for name, one in asked.items()))
    ).one()
    late = row.oldest is not None and row.oldest <= now
    return dict(row._mapping) | {"late": late}
