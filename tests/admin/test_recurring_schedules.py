"""Schedules that follow the clock: typed, explained, tried out, steered, looked at (U1-U6, S1)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.extensions import utcnow
from app.models import (
    AutomationRun,
    AutomationSchedule,
    Outbox,
    Practice,
    RunStatus,
    ScheduleAudit,
    SchedulerEpoch,
    ScheduleTemplate,
    TrainerLetters,
    UserSettings,
)
from app.models.schedule import MadeBy, ScheduleType
from tests.admin.desk import Desk, form_values
from tests.cast import DAY, HOUR, MINUTE, Cast
from tests.statements import count_statements

AT = "automationschedule"


def typed(cast: Cast, **more: Any) -> dict[str, Any]:
    """A weekly schedule of greetings, as somebody types it."""
    return {
        "name": "Greetings",
        "automation_class": str(cast.task("birthday").id),
        "schedule_type": "weekly",
        "weekdays": ["mon", "fri"],
        "at": "09:30",
        "timezone": "Europe/Paris",
        "active": "y",
    } | more


def saved(desk: Desk, cast: Cast, **more: Any) -> AutomationSchedule:
    given = typed(cast, **more)
    answer = desk.create(AT, **given)
    assert answer.status_code == 303, answer.text
    cast.session.expire_all()
    mine = sa.select(AutomationSchedule).where(AutomationSchedule.name == given["name"].strip())
    return cast.session.scalars(mine).one()


def preview(desk: Desk, cast: Cast, **more: Any) -> str:
    """What stands beside the form while one types."""
    given = {"csrf_token": desk.client.key(), **typed(cast, **more)}
    answer = desk.client.post(f"/admin/{AT}/preview/", data=given, headers={"X-Live": "1"})
    assert answer.status_code == 200
    assert "<html" not in answer.text
    return answer.text


def celebrating(cast: Cast, *names: str) -> None:
    """Students with a birthday each day of the next weeks count as late at most a year."""
    for name in names:
        cast.student(name).user.birthday = cast.today.replace(year=1992)
    cast.session.flush()


# --- the form ------------------------------------------------------------------------------------


CLOCKS: tuple[tuple[dict[str, Any], dict[str, Any], str], ...] = (
    ({"schedule_type": "daily", "at": "08:05"}, {"hour": 8, "minute": 5}, "every day at 08:05"),
    (
        {},
        {"day_of_week": "mon,fri", "hour": 9, "minute": 30},
        "Mondays and Fridays at 09:30 (Europe/Paris)",
    ),
    ({"schedule_type": "interval", "every": "90 minutes"}, {"interval_seconds": 5400}, "1 hour 30"),
    (
        {"schedule_type": "cron", "cron": "0 9 * * 1-5"},
        {"cron_expression": "0 9 * * 1-5"},
        "Monday to Friday at 09:00",
    ),
    (
        {"schedule_type": "one_time", "once": "2027-07-01T10:00"},
        {"scheduled_time": "2027-07-01T08:00:00Z"},
        "once, on 2027-07-01 at 10:00",
    ),
    ({"schedule_type": "chained"}, {}, "when another schedule starts it"),
)


@pytest.mark.parametrize(("given", "config", "said"), CLOCKS)
def test_each_kind_is_saved_as_the_services_store_it(
    desk: Desk, cast: Cast, given: dict[str, Any], config: dict[str, Any], said: str
) -> None:
    row = saved(desk, cast, **given)
    assert (row.schedule_type, row.schedule_config) == (
        given.get("schedule_type", "weekly"),
        config,
    )
    assert (row.created_via, row.practice_id) == (MadeBy.FORM, cast.practice.id)
    chained = row.schedule_type is ScheduleType.CHAINED
    assert (row.next_execution_at is None) == chained
    assert len(cast.jobs()) == (0 if chained else 1)
    page = desk.get(f"{AT}/").text
    assert said in page
    assert "Test mode" in page
    again = desk.edit(AT, row.id, description="only this")
    assert again.status_code == 303, again.text
    cast.session.expire_all()
    assert (row.schedule_config, row.description, row.version) == (config, "only this", 2)


WRONG: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"weekdays": []}, "weekdays", "Fill this in."),
    ({"at": ""}, "at", "Fill this in."),
    ({"at": "25:00"}, "at", "Not a valid time"),
    ({"timezone": "Mars/Base"}, "timezone", "No time zone of that name"),
    ({"schedule_type": "cron", "cron": "0 0 9 * * 1"}, "cron", "Invalid cron expression"),
    ({"schedule_type": "cron", "cron": "* * * * *"}, "", "at most every 15 minutes"),
    ({"schedule_type": "interval", "every": "30 seconds"}, "every", "At least one minute."),
    ({"schedule_type": "interval", "every": "soon"}, "every", "Write a time like"),
    ({"schedule_type": "one_time", "once": "2020-01-01T10:00"}, "once", "Must be in the future"),
    ({"schedule_type": "sometimes"}, "schedule_type", "Invalid Choice"),
    ({"automation_class": ""}, "automation_class", "Choose what it does."),
    ({"name": "waitlist_invitation_expiry"}, "name", "Another schedule has this name"),
    ({"name": "a/b"}, "name", "without a slash"),
    ({"max_executions": "0"}, "max_executions", "Not below 1"),
    ({"coalesce": "maybe"}, "coalesce", "Invalid Choice"),
    (
        {"starts": "2027-02-01T00:00", "ends": "2027-01-01T00:00"},
        "ends",
        "“Not before” must be before “Not after”.",
    ),
    (
        {"retry_base_seconds": "90", "retry_cap_seconds": "60"},
        "retry_base_seconds",
        "“First wait (seconds)”: not above “Longest wait (seconds)”.",
    ),
    (
        {"birthday-max_days_late": "400", "birthday-process_late": "y"},
        "birthday-max_days_late",
        "365",
    ),
    ({"birthday-send_window": "x"}, "birthday-send_window", "Write two times of a day"),
    ({"context_data": '{"schedule_id": 1}'}, "context_data", "is set by each run"),
)


def test_what_saving_would_refuse_is_said_while_one_types(desk: Desk, cast: Cast) -> None:
    row = saved(desk, cast)
    for wrong, said in (
        ({"name": "waitlist_invitation_expiry"}, "Another schedule has this name"),
        ({"max_instances": "101"}, "Not above 100"),
        ({"context_data": '{"schedule_id": 1}'}, "is set by each run"),
    ):
        for more in ({"name": "another"}, {"row": str(row.id)}):
            text = preview(desk, cast, **(more | wrong))
            assert said in text[text.index("Still to do") :]
            assert "Mondays and Fridays at 09:30" in text
    assert "Still to do" not in preview(desk, cast, row=str(row.id))


def test_what_is_wrong_stands_at_its_field_and_what_was_typed_stays(desk: Desk, cast: Cast) -> None:
    blank = form_values(desk.get(f"{AT}/new/"))
    for wrong, field, said in WRONG:
        answer = desk.post(f"{AT}/new/", **(blank | typed(cast, description="kept") | wrong))
        assert answer.status_code in (400, 409), wrong
        begin = answer.text.index(f'id="{field}-error"' if field else 'class="summary"')
        assert said in answer.text[begin : begin + 600], wrong
        assert form_values(answer)["description"] == "kept"
    cast.session.expire_all()
    assert cast.session.scalars(sa.select(AutomationSchedule.name)).all() == [cast.schedule.name]


def test_the_fields_of_the_task_come_from_its_model(desk: Desk, cast: Cast) -> None:
    given = {"birthday-process_late": "y", "birthday-max_days_late": "3"}
    row = saved(desk, cast, **given, **{"birthday-max_messages_per_run": ""})
    assert row.task_config["process_late"] is True
    assert row.task_config["max_days_late"] == 3
    assert row.task_config["max_messages_per_run"] is None
    shown = form_values(desk.get(f"{AT}/edit/?id={row.id}"))
    assert (shown["birthday-max_days_late"], shown["birthday-process_late"]) == ("3", "y")


def test_limits_retries_and_followers_are_kept(desk: Desk, cast: Cast) -> None:
    first = saved(desk, cast, name="First", schedule_type="chained")
    row = saved(
        desk, cast, max_executions="24", max_instances="2", retry_max="4", retry_backoff="FIXED",
        coalesce="no", on_success_schedule_id=str(first.id), starts="2027-01-01T00:00",
    )  # fmt: skip
    assert (row.max_executions, row.max_instances, row.retry_max) == (24, 2, 4)
    assert (row.retry_backoff, row.coalesce, row.on_success_schedule_id) == (
        "fixed",
        False,
        first.id,
    )
    page = desk.get(f"{AT}/details/?id={row.id}").text
    assert "after a success First" in page
    assert desk.edit(AT, row.id, max_executions="", ends="2027-06-01T00:00").status_code == 303
    cast.session.expire_all()
    assert (row.max_executions, row.retry_max) == (None, 4)
    assert row.end_at is not None


def test_a_schedule_may_change_its_kind(desk: Desk, cast: Cast) -> None:
    row = saved(desk, cast)
    given = {"schedule_type": "interval", "every": "2 hours"}
    assert desk.edit(AT, row.id, **given).status_code == 303
    cast.session.expire_all()
    assert row.schedule_config == {"interval_seconds": 7200}
    assert desk.edit(AT, row.id, schedule_type="event", interval="2 days").status_code == 400
    cast.session.expire_all()
    assert row.schedule_type is ScheduleType.INTERVAL


def test_the_form_asks_for_no_status_no_counter_and_no_next_time(desk: Desk, cast: Cast) -> None:
    row = saved(desk, cast)
    shown = form_values(desk.get(f"{AT}/edit/?id={row.id}"))
    assert not {"next_execution_at", "execution_count", "last_run_status", "state"} & set(shown)
    was = row.next_execution_at
    assert (
        desk.edit(AT, row.id, execution_count="9", next_execution_at="2030-01-01").status_code
        == 303
    )
    cast.session.expire_all()
    assert (row.execution_count, row.next_execution_at) == (0, was)


# --- while one types -----------------------------------------------------------------------------


def test_typing_is_answered_with_a_sentence_and_five_times(desk: Desk, cast: Cast) -> None:
    before = cast.everything()
    text = preview(desk, cast)
    assert "Mondays and Fridays at 09:30 (Europe/Paris)." in text
    assert text.count("UTC") == 5
    assert text.count("(Paris)") == 5
    assert "letter" in text or "skipped" in text
    assert "Still to do" not in text
    cast.session.expire_all()
    assert cast.everything() == before
    assert cast.session.scalars(sa.select(ScheduleAudit)).all() == []


def test_half_of_a_form_says_as_much_as_it_can(desk: Desk, cast: Cast) -> None:
    text = preview(desk, cast, name="", automation_class="")
    assert "Mondays and Fridays at 09:30" in text
    assert "Give it a name." in text
    assert "Choose what it does." in text
    assert "Mondays" not in preview(desk, cast, at="")


def test_what_may_surprise_is_said_before_it_is_saved(desk: Desk, cast: Cast) -> None:
    either = preview(desk, cast, schedule_type="cron", cron="0 9 1 * 1")
    assert "either is enough" in either
    drift = preview(desk, cast, schedule_type="interval", every="1 day")
    assert "A daily or weekly schedule keeps its time." in drift
    saved(desk, cast)
    assert "Within ten minutes of the same task: Greetings." in preview(desk, cast, name="Twin")


def test_whom_it_would_reach_is_counted(desk: Desk, cast: Cast) -> None:
    celebrating(cast, "Ada", "Ben")
    late = {"birthday-process_late": "y", "birthday-max_days_late": "365", "schedule_type": "daily"}
    late |= {"birthday-send_window": "07:00-19:00", "birthday-audience": "students"}
    late |= {"birthday-feb29": "feb28", "birthday-stagger_seconds": "0"}
    assert "Its next run would send 2 letters." in preview(desk, cast, **late)


# --- acts ----------------------------------------------------------------------------------------


def test_new_greetings_begin_in_test_mode_and_go_live_by_an_act_of_its_own(
    desk: Desk, cast: Cast
) -> None:
    celebrating(cast, "Ada", "Ben", "Cleo")
    row = saved(desk, cast, schedule_type="daily", **{"birthday-process_late": "y"})
    assert row.dry_run
    desk.edit(AT, row.id, dry_run="")
    cast.session.expire_all()
    assert row.dry_run
    question = desk.ask(AT, "go-live", row.id).text
    assert "Its next run would send" in question
    assert desk.act(AT, "go-live", row.id).status_code == 303
    cast.session.expire_all()
    assert not row.dry_run
    assert desk.act(AT, "go-live", row.id).status_code == 409


def test_a_dry_run_shows_its_plan_and_changes_nothing(desk: Desk, cast: Cast) -> None:
    celebrating(cast, "Ada")
    row = saved(desk, cast, **{"birthday-send_window": "00:00-24:00"})
    before = cast.everything()
    page = desk.post(f"{AT}/dry-run/", id=row.id)
    assert page.status_code == 200
    assert "Ada Example" in page.text
    assert "on the day" in page.text
    file = desk.post(f"{AT}/dry-run/", **{"id": row.id, "as": "csv"})
    assert file.get_data().decode("utf-8-sig").splitlines()[1] == (
        "1,birthday today,Ada Example,on the day"
    )
    cast.session.expire_all()
    assert cast.everything() == before
    assert cast.session.scalars(sa.select(AutomationRun)).all() == []


def test_a_task_without_a_plan_is_not_tried_out(desk: Desk, cast: Cast) -> None:
    cast.schedule.automation_class = cast.task("SomebodyElses")
    cast.session.commit()
    assert desk.post(f"{AT}/dry-run/", id=cast.schedule.id).status_code == 303
    assert "can&#39;t be tried out" in desk.get(f"{AT}/").text
    assert "Dry run" not in desk.get(f"{AT}/details/?id={cast.schedule.id}").text


def test_who_is_asked_whether_to_run_now_reads_what_a_run_now_would_do(
    desk: Desk, cast: Cast
) -> None:
    celebrating(cast, "Ada")
    later, here = f"{cast.today + 3 * DAY:%a}".lower(), cast.practice.timezone
    always = {"timezone": here, "weekdays": [later], "birthday-send_window": "00:00-24:00"}
    row = saved(desk, cast, **always)
    assert "A run now would send 1 letter." in desk.ask(AT, "run-now", row.id).text
    assert "Its next run would send 0 letters." in desk.ask(AT, "go-live", row.id).text


def test_run_now_queues_a_run_and_says_no_when_as_many_run_as_may(desk: Desk, cast: Cast) -> None:
    row = saved(desk, cast)
    assert "A run now would" in desk.ask(AT, "run-now", row.id).text
    assert desk.act(AT, "run-now", row.id).status_code == 303
    run = cast.session.scalars(sa.select(AutomationRun)).one()
    assert (run.status, run.trigger, run.dry_run) == (RunStatus.QUEUED, "manual", True)
    assert desk.act(AT, "run-now", row.id).status_code == 409
    assert desk.act(AT, "run-now", cast.schedule.id).status_code in (400, 409)


def test_a_pause_has_a_reason_and_an_end_and_switching_on_goes_on_from_now(
    desk: Desk, cast: Cast
) -> None:
    row = saved(desk, cast)
    until = f"{utcnow() + 2 * DAY:%Y-%m-%dT%H:%M}"
    assert desk.act(AT, "pause", row.id, reason="Holidays", resume_at=until).status_code == 303
    cast.session.expire_all()
    assert (row.next_execution_at, row.pause_reason) == (None, "Holidays")
    assert row.resume_at is not None
    assert cast.jobs() == {}
    page = desk.get(f"{AT}/details/?id={row.id}").text
    assert "Holidays" in page
    assert "Paused" in page
    assert "It is paused by Orla Example (Holidays)" in desk.get(f"{AT}/why/?id={row.id}").text
    assert desk.act(AT, "resume", row.id, missed="skip").status_code == 303
    cast.session.expire_all()
    assert row.next_execution_at is not None
    assert row.pause_reason is None
    actions = cast.session.scalars(sa.select(ScheduleAudit.action).order_by(ScheduleAudit.id)).all()
    assert list(actions) == ["schedule_create", "schedule_pause", "schedule_resume"]


def test_a_copy_and_what_is_made_from_a_template_are_switched_off(desk: Desk, cast: Cast) -> None:
    row = saved(desk, cast)
    assert desk.act(AT, "clone", row.id).status_code == 303
    copy = cast.session.scalars(
        sa.select(AutomationSchedule).filter_by(name="Greetings (copy)")
    ).one()
    assert not copy.active
    kept = {"action": "template", "rowid": str(row.id), "sure": "1", "name": "Our greetings"}
    assert desk.post(f"{AT}/action/", **kept).status_code == 303
    template = cast.session.scalars(sa.select(ScheduleTemplate)).one()
    assert "Our greetings" in desk.get(f"{AT}/new/").text
    answer = desk.post(f"{AT}/from-template/", template=template.template_id)
    assert answer.status_code == 303
    made = cast.session.scalars(sa.select(AutomationSchedule).filter_by(name="Our greetings")).one()
    assert (made.active, made.dry_run, made.schedule_config) == (False, True, row.schedule_config)
    assert desk.post(f"{AT}/from-template/", template="nonsense").status_code == 404


# --- pages ---------------------------------------------------------------------------------------


def a_run(cast: Cast, row: AutomationSchedule, n: int, status: str, **more: Any) -> AutomationRun:
    at = utcnow() - n * HOUR
    facts = {
        "schedule_id": row.id,
        "item": row.schedule_id,
        "occurrence": f"{n}-{status}",
        "status": RunStatus(status),
        "due_at": at,
        "started_at": at,
        "finished_at": at + MINUTE,
        "duration_ms": 1000 + n,
    }
    return cast.add(AutomationRun(**(facts | more)))  # type: ignore[no-any-return]


def test_the_history_of_a_schedule_holds_its_runs_alone_and_is_filtered(
    desk: Desk, cast: Cast
) -> None:
    row, other = saved(desk, cast), saved(desk, cast, name="Other greetings")
    failed = a_run(cast, row, 1, "failed", error="Boom: no mail", error_type="Boom")
    tested = a_run(cast, row, 2, "success", dry_run=True, items_done=3, trigger="manual")
    theirs = a_run(cast, other, 3, "missed", reason="grace")
    answer = desk.get(f"{AT}/history/?id={row.id}")
    at = answer.headers["Location"].removeprefix("/admin/")
    page = desk.get(at).text
    for words in ("Boom: no mail", "done: 3", "Failed", "Test"):
        assert words in page, words
    assert f"details/?id={theirs.id}" not in page
    assert "Boom" not in desk.get(f"{at}&flt7_7=1").text
    assert "Boom" not in desk.get(f"{at}&flt6_6=manual").text
    assert f"id={tested.id}&" in desk.get(f"{at}&flt6_6=manual").text.replace("&amp;", "&")
    lines = desk.csv("automationrun", f"?flt5_5={row.id}")
    assert len(lines) == 3
    assert any(failed.execution_id in line and "Boom: no mail" in line for line in lines)
    assert desk.get(f"{AT}/history/?id=99999").status_code == 404


def test_the_page_of_a_run_shows_what_it_ran_with_its_tries_and_its_kin(
    desk: Desk, cast: Cast
) -> None:
    row = saved(desk, cast)
    steps = [{"kind": "birthday_today", "subject_id": 7, "text": "on the day"}]
    run = a_run(
        cast, row, 1, "success", dry_run=True, result={"steps": steps, "total": 1},
        config_snapshot={"task_config": {"max_days_late": 7}},
        attempts=[{"start": "a", "end": "b", "outcome": "failed", "error": "first try"}],
    )  # fmt: skip
    child = a_run(cast, row, 2, "failed", parent_execution_id=run.execution_id)
    page = desk.get(f"automationrun/details/?id={run.id}").text
    for words in (
        "on the day",
        "max_days_late",
        "first try",
        f"?id={child.id}",
        f"automationschedule/details/?id={row.id}",
        "Nothing was sent",
    ):
        assert words in page, words
    assert desk.act("automationrun", "again", child.id).status_code == 303
    again = cast.session.scalars(
        sa.select(AutomationRun).where(AutomationRun.retry_of.is_not(None))
    )
    queued = again.one()
    assert desk.act("automationrun", "cancel", queued.id).status_code == 303
    cast.session.expire_all()
    assert queued.status is RunStatus.CANCELLED


def test_people_read_no_names_of_settings_and_columns(desk: Desk, cast: Cast) -> None:
    row = saved(desk, cast, **{"birthday-process_late": "y"})
    page = desk.get(f"{AT}/details/?id={row.id}").text
    assert "Also late birthdays: yes" in page
    assert "29 February in other years: on 28 February" in page
    assert "process_late" not in page
    run = a_run(cast, row, 1, "success", triggered_by=f"user:{desk.who.id}")
    page = desk.get(f"automationrun/details/?id={run.id}").text
    assert "Orla Example" in page
    assert "user:" not in page


def test_a_list_may_break_its_long_names(desk: Desk, cast: Cast) -> None:
    page = desk.get(f"{AT}/").text
    assert "waitlist_<wbr>invitation_<wbr>expiry" in page
    assert "Automatic<wbr>Wait<wbr>List" in page
    assert "AutomaticWaitList" in "".join(desk.csv(AT))


def test_statistics_are_drawn_and_written_as_tables(desk: Desk, cast: Cast) -> None:
    row = saved(desk, cast)
    assert "No run has ended" in desk.get(f"{AT}/stats/?id={row.id}").text
    a_run(cast, row, 1, "success", messages_sent=4)
    a_run(cast, row, 2, "failed", error_type="Boom", due_at=utcnow() - 2 * HOUR - 5 * MINUTE)
    a_run(cast, row, 3, "missed", duration_ms=None)
    for asked in (f"?id={row.id}", ""):
        page = desk.get(f"{AT}/stats/{asked}").text
        for words in ("50.0 %", "Boom", "<rect", "Show as table", "1.0 s", "5.0 min"):
            assert words in page, (asked, words)
        assert page.count("<figure") == 3
        assert "style=" not in page
    assert desk.get(f"{AT}/stats/?id=99999").status_code == 404


def test_the_page_says_why_nothing_runs_and_how_to_mend_it(desk: Desk, cast: Cast) -> None:
    row = saved(desk, cast)
    page = desk.get(f"{AT}/why/?id={row.id}").text
    assert "start run_scheduler.py" in page
    cast.add(SchedulerEpoch(id=1, epoch=1, seen_at=utcnow()))
    assert "Nothing keeps it from running." in desk.get(f"{AT}/why/?id={row.id}").text
    desk.act(AT, "pause", row.id, reason="Holidays")
    assert "(Holidays): switch it on again." in desk.get(f"{AT}/why/?id={row.id}").text
    whole = desk.get(f"{AT}/why/").text
    assert row.name in whole
    assert "Runs that wait" in whole
    assert "CPU since it began" in whole
    assert "this page's process" in whole


def test_one_that_came_too_late_says_at_its_field_which_grace_it_needs(
    desk: Desk, cast: Cast
) -> None:
    row = saved(desk, cast)
    assert "raise grace" not in desk.get(f"{AT}/edit/?id={row.id}").text
    a_run(cast, row, 5, "missed", finished_at=utcnow(), due_at=utcnow() - 5 * HOUR)
    assert "Missed 1 times in 30 days: raise grace to 18000 s." in (
        desk.get(f"{AT}/edit/?id={row.id}").text
    )


def test_all_schedules_rest_and_go_on_after_a_question(desk: Desk, cast: Cast) -> None:
    assert "go on until all" not in desk.get(f"{AT}/why/").text
    assert desk.post(f"{AT}/rest/", on="0").status_code == 200
    assert "They may run" in desk.get(f"{AT}/why/").text
    assert desk.post(f"{AT}/rest/", on="0", sure="1", reason="Moving").status_code == 303
    page = desk.get(f"{AT}/why/").text
    assert "Moving" in page
    assert "All paused" in page
    assert desk.post(f"{AT}/rest/", on="1", sure="1").status_code == 303
    assert "They may run" in desk.get(f"{AT}/why/").text


# --- whose, and what it costs --------------------------------------------------------------------


def test_a_schedule_of_another_practice_is_not_there(desk: Desk, cast: Cast) -> None:
    row = saved(desk, cast)
    mill = cast.add(Practice(name="Mill", shortname="mill"))
    row.practice_id = mill.id
    cast.session.flush()
    for page in ("details", "edit", "history", "stats", "why"):
        assert desk.get(f"{AT}/{page}/?id={row.id}").status_code == 404, page
    assert desk.post(f"{AT}/dry-run/", id=row.id).status_code == 404
    assert desk.post(f"{AT}/preview/", row=row.id).status_code == 404
    for act in ("go-live", "run-now", "pause", "clone", "template", "delete-schedule"):
        assert desk.act(AT, act, row.id).status_code == 404, act
    assert "Greetings" not in desk.get(f"{AT}/why/").text


def test_no_page_acts_without_the_key(desk: Desk, cast: Cast) -> None:
    row = saved(desk, cast)
    before = cast.everything()
    for path in ("dry-run", "rest", "from-template", "preview", "action"):
        fields = {"id": row.id, "rowid": row.id, "sure": "1", "action": "run-now", "on": "0"}
        assert desk.client.post(f"/admin/{AT}/{path}/", data=fields).status_code == 400, path
    cast.session.expire_all()
    assert cast.everything() == before


def test_a_list_of_recurring_schedules_costs_the_same_however_long(desk: Desk, cast: Cast) -> None:
    engine, costs = Session(cast.session.get_bind()), []
    task = cast.task("birthday")
    for count in (2, 40):
        for n in range(count):
            row = cast.add(
                AutomationSchedule(
                    name=f"Daily {count}-{n}",
                    automation_class=task,
                    timezone="Europe/Paris",
                    schedule_type=ScheduleType.DAILY,
                    schedule_config={"hour": 8, "minute": 0},
                    practice_id=cast.practice.id,
                    dry_run=True,
                    next_execution_at=utcnow() + timedelta(hours=n),
                )
            )
            a_run(cast, row, n, "failed")
        cast.session.commit()
        cost = {}
        for at in (f"{AT}/", "automationrun/", f"{AT}/stats/", f"{AT}/why/"):
            with count_statements(engine) as sent:
                assert desk.get(at).status_code == 200
            cost[at] = len(sent)
        costs.append(cost)
    assert costs[0] == costs[1]
    assert {at: n for at, n in costs[1].items() if n > 8} == {}


def test_a_digest_is_made_tried_out_and_explained_like_the_others(desk: Desk, cast: Cast) -> None:
    wants = UserSettings(user_id=cast.tess.user_id, trainer_letters=TrainerLetters.DIGEST)
    cast.add(wants)
    cast.enrol("Ada", utcnow(), cast.training("Baking", 3, start=None))
    digest = {"name": "Evening", "automation_class": str(cast.task("TrainerDigestTask").id)}
    digest |= {"schedule_type": "daily", "at": "18:00"}
    row = saved(desk, cast, **digest)
    assert (row.task_config, row.schedule_config) == ({}, {"hour": 18, "minute": 0})
    for path in ("details", "edit", "why"):
        assert desk.get(f"{AT}/{path}/?id={row.id}").status_code == 200
    since = cast.last_letter()
    shown = desk.post(f"{AT}/dry-run/", id=row.id)
    assert "Tess Example" in shown.text
    assert "1 change, 1 training" in shown.text
    assert cast.letters(since) == []


def test_nothing_is_promised_by_looking(desk: Desk, cast: Cast) -> None:
    celebrating(cast, "Ada")
    row = saved(desk, cast)
    for path in ("details", "edit", "stats", "why"):
        assert desk.get(f"{AT}/{path}/?id={row.id}").status_code == 200
    desk.post(f"{AT}/dry-run/", id=row.id)
    assert cast.session.scalars(sa.select(Outbox)).all() == []
