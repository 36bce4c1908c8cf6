"""Schedules: the documented steps, what is refused, what becomes of the plan (people PA3, PA4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.automation.automation_tasks import StudentReminderTask
from app.extensions import utcnow
from app.models import (
    AutomationClasses,
    AutomationSchedule,
    BeforeAfterEnum,
    Practice,
    TrainingType,
)
from tests.admin.desk import Desk, form_values
from tests.cast import DAY, HOUR, Cast

NAME = "waitlist_invitation_expiry"


def steps(cast: Cast, **more: Any) -> dict[str, Any]:
    """What the guide says to fill in."""
    return {
        "name": NAME,
        "automation_class": str(cast.task("AutomaticWaitList").id),
        "beforeafter": "after",
        "events": "invited",
        "interval": "2 00:00:00",
        "active": "y",
    } | more


def without_schedules(cast: Cast) -> None:
    cast.session.delete(cast.schedule)
    cast.session.flush()


def only(cast: Cast) -> AutomationSchedule:
    cast.session.expire_all()
    return cast.session.scalars(sa.select(AutomationSchedule)).one()


def invited(cast: Cast) -> Any:
    """Ben has an open invitation, a month before Pottery begins."""
    now = utcnow()
    start = now + 30 * DAY
    cast.pottery.events[0].start_time, cast.pottery.events[0].end_time = start, start + 3 * HOUR
    cast.enrol_all("Ada", "Ben", now=now)
    cast.leave(cast.row("Ada"), now)
    cast.session.flush()
    return cast.row("Ben")


# --- the documented steps ------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["2 00:00:00", "0 48:00:00"])
def test_the_documented_steps_lead_to_an_active_schedule(
    desk: Desk, cast: Cast, typed: str
) -> None:
    without_schedules(cast)
    assert "Create</a>" in desk.get("automationschedule/").text
    answer = desk.create("automationschedule", **steps(cast, interval=typed))
    assert answer.status_code == 303, answer.text
    row = only(cast)
    assert (row.name, row.active, row.interval) == (NAME, True, 48 * HOUR)
    assert row.practice_id == cast.practice.id
    assert f"{NAME} is saved. 0 jobs planned, 0 removed." in desk.get("automationschedule/").text
    invited(cast)
    page = desk.get("automationschedule/").text
    assert "2 days after each invitation" in page
    assert "Active" in page
    assert NAME in desk.get("job/").text
    assert "Ben Example · Pottery" in desk.get("job/").text
    assert "2 00:00:00 (2 days)" in desk.get(f"automationschedule/details/?id={row.id}").text


def test_the_form_offers_what_the_guide_names(desk: Desk, cast: Cast) -> None:
    page = desk.get("automationschedule/new/").text
    for label in ("Name", "Automation Class", "Before/After", "Events", "Interval", "Active"):
        assert f">{label}" in page, label
    for option in ("AutomaticWaitList", "after", "before", "StudentReminderTask"):
        assert f">{option}</option>" in page, option


def test_a_class_that_no_scheduler_wrote_down_yet_can_be_chosen(desk: Desk, cast: Cast) -> None:
    given = steps(cast, name="remind", automation_class="StudentReminderTask")
    given |= {"beforeafter": "before", "events": "first", "interval": "7 days"}
    assert desk.create("automationschedule", **given).status_code == 303
    tasks = cast.session.scalars(sa.select(AutomationClasses.class_name)).all()
    assert "StudentReminderTask" in tasks


def test_a_reminder_is_planned_at_once(desk: Desk, cast: Cast) -> None:
    row = invited(cast)
    given = steps(cast, name="remind", automation_class="StudentReminderTask")
    given |= {"beforeafter": "before", "events": "first", "interval": "7 days"}
    assert desk.create("automationschedule", **given).status_code == 303
    assert "remind is saved. 1 job planned, 0 removed." in desk.get("automationschedule/").text
    assert f"remind/{row.training_id}/PRODUCTION" in cast.jobs()


NONSENSE = ("two days", "-1", "99:99", "0", "400 days", "9" * 40, "2 00:61:00", "<i>", "")
WRONG: tuple[tuple[dict[str, str], str], ...] = (
    ({"events": "first"}, "The waitlist counts from the invitation."),
    ({"beforeafter": "before"}, "The waitlist runs after the invitation"),
    ({"beforeafter": "sideways"}, "Invalid Choice"),
    ({"events": "sometimes"}, "Invalid Choice"),
    ({"automation_class": "Nothing"}, "Not a valid choice"),
    ({"name": "a/b"}, "without a slash"),
    ({"name": "system:x"}, "without a slash"),
    ({"name": "a\tb"}, "without a slash"),
    ({"name": "x" * 201}, "200"),
    ({"name": "taken"}, "Another schedule has this name already."),
    ({"task_config": "[1]"}, "no JSON object"),
    ({"task_config": "{"}, "no JSON object"),
    ({"task_config": '{"speed": 1}'}, "This task knows no speed."),
    ({"task_config": '{"remind_before": ["x"]}'}, "Write a time like"),
    ({"timeout_seconds": "0"}, "between 1"),
    ({"misfire_grace_time": "-1"}, "between 0"),
)


def test_nonsense_is_refused_with_the_accepted_forms(desk: Desk, cast: Cast) -> None:
    without_schedules(cast)
    given = form_values(desk.get("automationschedule/new/")) | steps(cast, description="kept")
    for typed in NONSENSE:
        answer = desk.post("automationschedule/new/", **(given | {"interval": typed}))
        assert answer.status_code == 400, typed
        wrong = answer.text[answer.text.index('id="interval-error"') :]
        assert ("Write a time like 2 00:00:00, 0 48:00:00" in wrong) == bool(typed), typed
        assert form_values(answer)["name"] == NAME
        assert form_values(answer)["interval"] == typed
        assert "kept</textarea>" in answer.text or 'value="kept"' in answer.text
        assert "<i>" not in answer.text
    assert cast.session.scalars(sa.select(AutomationSchedule)).all() == []


def test_what_makes_no_sense_is_refused_at_its_field(desk: Desk, cast: Cast) -> None:
    cast.schedule.name = "taken"
    given = form_values(desk.get("automationschedule/new/")) | steps(cast)
    for wrong, said in WRONG:
        answer = desk.post("automationschedule/new/", **(given | wrong))
        (field,) = wrong
        status = 409 if wrong == {"name": "taken"} else 400
        assert answer.status_code == status, wrong
        assert said in answer.text[answer.text.index(f'id="{field}-error"') :], wrong
        assert only(cast).name == "taken"


def test_a_schedule_that_plans_nothing_is_saved_and_says_why(desk: Desk, cast: Cast) -> None:
    answer = desk.create("automationschedule", **steps(cast, name="empty", automation_class=""))
    assert answer.status_code == 303
    page = desk.get("automationschedule/").text
    assert "It plans nothing: It has no task class." in page
    assert "Plans nothing" in page
    row = cast.session.scalars(sa.select(AutomationSchedule).filter_by(name="empty")).one()
    assert "It has no task class." in desk.get(f"automationschedule/details/?id={row.id}").text


def test_one_that_never_sets_a_deadline_says_which_comes_first(desk: Desk, cast: Cast) -> None:
    given = steps(cast, name="second", interval="5 days")
    assert desk.create("automationschedule", **given).status_code == 303
    page = desk.get("automationschedule/").text
    assert "It never sets a deadline: waitlist_invitation_expiry comes first." in page
    assert "An answer time from 24 to 72 hours suits most people; this one is 5 days." in page


# --- changing ------------------------------------------------------------------------------------


def test_a_change_keeps_promised_deadlines_and_its_runs(desk: Desk, cast: Cast) -> None:
    ben = invited(cast)
    deadline, job = ben.invite_expires_at, f"{NAME}/{ben.uuid}/PRODUCTION"
    assert cast.jobs()[job] == deadline
    assert desk.edit("automationschedule", cast.schedule.id, interval="1 day").status_code == 303
    cast.session.expire_all()
    assert cast.schedule.interval == timedelta(days=1)
    assert cast.schedule.version == 2
    assert cast.row("Ben").invite_expires_at == deadline
    assert cast.jobs() == {job: deadline}


def test_a_new_name_renames_the_jobs_at_once(desk: Desk, cast: Cast) -> None:
    ben = invited(cast)
    assert desk.edit("automationschedule", cast.schedule.id, name=" expiry ").status_code == 303
    assert list(cast.jobs()) == [f"expiry/{ben.uuid}/PRODUCTION"]


def test_neither_a_new_schedule_nor_a_change_fires_what_is_past(desk: Desk, cast: Cast) -> None:
    invited(cast)
    given = steps(cast, name="remind", automation_class="StudentReminderTask")
    given |= {"beforeafter": "before", "events": "first", "interval": "60 days"}
    desk.create("automationschedule", **given)
    page = desk.get("automationschedule/").text
    assert "0 jobs planned, 0 removed. Due before now, so not planned: 1." in page
    row = cast.session.scalars(sa.select(AutomationSchedule).filter_by(name="remind")).one()
    reminder = f"remind/{cast.pottery.id}/PRODUCTION"
    for interval, planned in (("7 days", True), ("50 days", False)):
        assert desk.edit("automationschedule", row.id, interval=interval).status_code == 303
        assert (reminder in cast.jobs()) == planned, interval


def test_what_a_task_raises_is_told_and_the_schedule_saved(
    desk: Desk, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def planned(*_asked: Any) -> Any:
        raise RuntimeError("a bug of theirs")

    monkeypatch.setattr(StudentReminderTask, "planned", planned)
    given = steps(cast, name="remind", automation_class="StudentReminderTask")
    given |= {"beforeafter": "before", "events": "first", "interval": "7 days"}
    assert desk.create("automationschedule", **given).status_code == 303
    page = desk.get("automationschedule/").text
    assert "remind is saved." in page
    assert "Not planned: remind (RuntimeError" in page


def test_a_schedule_of_a_vanished_class_stays_and_says_so(desk: Desk, cast: Cast) -> None:
    cast.schedule.automation_class = cast.task("Gone")
    assert "Plans nothing" in desk.get("automationschedule/").text
    details = desk.get(f"automationschedule/details/?id={cast.schedule.id}").text
    assert "It plans nothing: Its task class Gone is missing." in details
    form = desk.get(f"automationschedule/edit/?id={cast.schedule.id}")
    assert "Gone (missing)</option>" in form.text
    assert desk.edit("automationschedule", cast.schedule.id, description="x").status_code == 303
    cast.session.expire_all()
    assert cast.schedule.automation_class is cast.task("Gone")


@pytest.mark.parametrize("how", ["form", "pause", "delete-schedule"])
def test_a_schedule_that_goes_off_lifts_what_it_granted(desk: Desk, cast: Cast, how: str) -> None:
    ben = invited(cast)
    promised, id_ = ben.invite_expires_at, cast.schedule.id
    if how == "form":
        page = desk.get(f"automationschedule/edit/?id={id_}")
        fields = form_values(page)
        del fields["active"]
        answer = desk.post(f"automationschedule/edit/?id={id_}", **fields)
    else:
        assert "Its jobs are removed" in desk.ask("automationschedule", how, id_).text
        answer = desk.act("automationschedule", how, id_)
    assert answer.status_code == 303
    assert cast.jobs() == {}
    row = cast.row("Ben")
    assert row.invite_promised_until == promised
    assert row.invite_expires_at > promised
    cast.session.expire_all()
    assert (cast.schedule.deleted_at is not None) == (how == "delete-schedule")
    page = desk.get("automationschedule/").text
    assert (f"id={id_}" in page) == (how != "delete-schedule")
    if how == "delete-schedule":
        assert desk.get(f"automationschedule/details/?id={id_}").status_code == 404
        assert desk.create("automationschedule", **steps(cast)).status_code == 303
    else:
        assert desk.act("automationschedule", "resume", id_).status_code == 303
        assert cast.row("Ben").invite_expires_at == promised
        assert list(cast.jobs()) == [f"{NAME}/{ben.uuid}/PRODUCTION"]


def test_an_edit_meanwhile_is_told_and_nothing_saved(desk: Desk, cast: Cast) -> None:
    fields = form_values(desk.get(f"automationschedule/edit/?id={cast.schedule.id}"))
    cast.schedule.interval = 24 * HOUR
    path = f"automationschedule/edit/?id={cast.schedule.id}"
    answer = desk.post(path, **(fields | {"interval": "3 days"}))
    assert answer.status_code == 409
    assert "Somebody saved this meanwhile." in answer.text
    assert "Interval: 1 00:00:00" in answer.text
    cast.session.expire_all()
    assert cast.schedule.interval == 24 * HOUR


def test_types_limit_a_schedule(desk: Desk, cast: Cast) -> None:
    kind = cast.add(TrainingType(practice_id=cast.practice.id, name="Crafts"))
    page = desk.edit("automationschedule", cast.schedule.id, training_types=[str(kind.id)])
    assert page.status_code == 303
    cast.session.expire_all()
    assert [one.name for one in cast.schedule.training_types] == ["Crafts"]
    assert "Crafts" in desk.get(f"automationschedule/details/?id={cast.schedule.id}").text


def test_what_holds_for_all_practices_is_no_single_offices_to_change(
    desk: Desk, cast: Cast
) -> None:
    cast.add(Practice(name="Mill", shortname="mill"))
    answer = desk.edit("automationschedule", cast.schedule.id, interval="1 day")
    assert answer.status_code == 409
    assert "This holds for all practices" in answer.text
    assert desk.act("automationschedule", "pause", cast.schedule.id).status_code == 409
    row = cast.task("AutomaticWaitList")
    assert desk.act("automationclasses", "disable", row.id).status_code == 409
    cast.session.expire_all()
    assert cast.schedule.switched_on
    assert row.enabled


# --- preview -------------------------------------------------------------------------------------


def test_a_preview_says_what_saving_would_do_and_writes_nothing(desk: Desk, cast: Cast) -> None:
    invited(cast)
    before = cast.everything()
    given = steps(cast, name="remind", automation_class="StudentReminderTask")
    given |= {"beforeafter": "before", "events": "first", "interval": "7 days"}
    page = desk.post("automationschedule/preview/", **given)
    assert page.status_code == 200
    assert "7 days before the first meeting" in page.text
    assert "1 job planned, 0 removed." in page.text
    assert 'value="remind"' in page.text
    edited = desk.post(
        "automationschedule/preview/",
        **steps(cast, row=str(cast.schedule.id), interval="1 day", name="other"),
    )
    assert edited.status_code == 200
    assert "1 day after each invitation" in edited.text
    refused = desk.post("automationschedule/preview/", **steps(cast, name="a/b"))
    assert refused.status_code == 400
    cast.session.expire_all()
    assert cast.everything() == before
    assert only(cast).name == NAME


# --- what ended before a schedule that archives --------------------------------------------------


def archiving(cast: Cast) -> AutomationSchedule:
    """Switched on a day after Pottery ended."""
    end = utcnow() - 30 * DAY
    event = cast.pottery.events[0]
    event.start_time, event.end_time = end - HOUR, end
    without_schedules(cast)
    return cast.add(
        AutomationSchedule(
            name="archive",
            automation_class=cast.task("DeleteTrainingTask"),
            interval=7 * DAY,
            active_since=end + DAY,
        )
    )


def test_what_ended_before_is_listed_and_archived_once_it_is_confirmed(  # WB, WQ29
    desk: Desk, cast: Cast
) -> None:
    row = archiving(cast)
    page = desk.get(f"automationschedule/details/?id={row.id}").text
    assert "1 training ended before this schedule was switched on." in page
    assert cast.jobs() == {}
    assert desk.act("automationschedule", "confirm-past", row.id, count="1").status_code == 303
    assert only(cast).task_config == {"confirmed_until": row.active_since.isoformat()}
    assert list(cast.jobs()) == [f"archive/{cast.pottery.id}/PRODUCTION"]
    assert (
        "ended before this schedule"
        not in desk.get(f"automationschedule/details/?id={row.id}").text
    )


def test_who_has_seen_another_list_confirms_nothing(desk: Desk, cast: Cast) -> None:
    row = archiving(cast)
    assert desk.act("automationschedule", "confirm-past", row.id, count="2").status_code == 409
    assert only(cast).task_config == {}
    assert cast.jobs() == {}


def test_other_schedules_have_nothing_to_confirm(desk: Desk, cast: Cast) -> None:
    answer = desk.act("automationschedule", "confirm-past", cast.schedule.id, count="1")
    assert answer.status_code == 409


# --- tried out -----------------------------------------------------------------------------------


def test_a_dry_run_tells_what_becomes_of_each_invitation_and_changes_nothing(
    desk: Desk, cast: Cast
) -> None:
    invited(cast)
    cast.enrol("Cleo", utcnow())
    cast.session.commit()
    assert "Dry run" in desk.get(f"automationschedule/details/?id={cast.schedule.id}").text
    before = cast.everything()
    page = desk.post("automationschedule/dry-run/", id=cast.schedule.id)
    assert page.status_code == 200
    assert ("Ben Example" in page.text, "ran out" in page.text) == (True, True)
    assert ("Cleo Example" in page.text, "Letter: Invitation<" in page.text) == (True, True)
    file = desk.post("automationschedule/dry-run/", **{"id": cast.schedule.id, "as": "csv"})
    told = [line.split(",")[2:] for line in file.get_data().decode("utf-8-sig").splitlines()[1:]]
    assert sorted(told) == sorted(
        [
            ["Pottery", "ran out", "Ben Example"],
            ["Pottery", "invited", "Cleo Example"],
            ["Pottery", "Letter: Invitation ran out", "Ben Example"],
            ["Pottery", "Letter: Student's invitation ran out", "Tess Example"],
            ["Pottery", "Letter: Invitation", "Cleo Example"],
            ["Pottery", "Letter: Student invited", "Tess Example"],
        ]
    )
    cast.session.expire_all()
    assert cast.everything() == before


def test_a_dry_run_tells_what_is_left_out_and_why(desk: Desk, cast: Cast) -> None:
    now = utcnow()
    cast.pottery.events[0].start_time = now + 5 * DAY
    cast.pottery.events[0].end_time = now + 5 * DAY + HOUR
    of = cast.task("StudentReminderTask")
    facts = {"beforeafter": BeforeAfterEnum.before, "interval": 3 * DAY, "active": False}
    row = cast.add(AutomationSchedule(name="Remind", automation_class=of, **facts))
    cast.session.commit()
    page = desk.post("automationschedule/dry-run/", id=row.id).text
    assert "its schedule is off. It is what would happen if it were switched on now." in page
    assert "there is nobody to write to" in page
    assert "There is nothing to do until then." in page
    row.beforeafter = BeforeAfterEnum.after
    cast.session.commit()
    page = desk.post("automationschedule/dry-run/", id=row.id).text
    assert "It plans nothing: a reminder runs before its event." in page
