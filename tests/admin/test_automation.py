"""Task classes, jobs and runs: seen whatever stands there, steered by the services (PA6, PA7)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.automation.removal import withdraw
from app.extensions import utcnow
from app.models import (
    AutomationClasses,
    AutomationRun,
    AutomationSchedule,
    Job,
    Practice,
    RunStatus,
)
from tests.admin.desk import Desk
from tests.cast import DAY, HOUR, MINUTE, Cast
from tests.statements import count_statements

LISTS = ("automationclasses", "automationschedule", "job", "automationrun")
PICKLE = b"\x80\x04\x95)\x00\x00\x00cos\nsystem\n"


def a_job(cast: Cast, item: str, due: datetime, **more: Any) -> str:
    """A job as the plan writes them, or as somebody spoilt it; its id."""
    args = f'["{item}", "{cast.schedule.name}", "AutomaticWaitList"]'
    state = f'{{"v": 1, "args": {args}, "kwargs": {{}}}}'
    given = {
        "id": f"{cast.schedule.name}/{item}/PRODUCTION",
        "job_state": state.encode(),
        "due": due,
        "next_run_time": due.timestamp(),
    }
    cast.session.execute(sa.insert(Job), [given | more])
    return str((given | more)["id"])


def a_run(cast: Cast, item: str = "1", status: str = "failed", **more: Any) -> AutomationRun:
    now = utcnow()
    facts = {
        "schedule_id": cast.schedule.id,
        "item": item,
        "occurrence": f"{now.isoformat()}-{item}",
        "status": RunStatus(status),
        "due_at": now,
        "started_at": now,
        "finished_at": None if status in ("queued", "running") else now,
    }
    row: AutomationRun = cast.add(AutomationRun(**(facts | more)))
    return row


def invited(cast: Cast) -> Any:
    """Ben has an open invitation, a month before Pottery begins."""
    start = utcnow() + 30 * DAY
    cast.pottery.events[0].start_time, cast.pottery.events[0].end_time = start, start + 3 * HOUR
    cast.enrol_all("Ada", "Ben", now=utcnow())
    cast.leave(cast.row("Ada"), utcnow())
    cast.session.flush()
    return cast.row("Ben")


# --- task classes --------------------------------------------------------------------------------


def test_classes_say_what_they_are_and_which_are_missing(desk: Desk, cast: Cast) -> None:
    cast.add(AutomationClasses(class_name="Gone", description="Was here once"))
    cast.task("AutomaticWaitList").description = "Automatic Waitlist."
    cast.task("AutomaticWaitList").module_path = "app.automation.automation_tasks"
    page = desk.get("automationclasses/").text
    for words in ("Automatic Waitlist.", "app.automation.automation_tasks", "Gone", "Missing"):
        assert words in page, words
    lines = desk.csv("automationclasses")
    assert any(
        line.startswith("AutomaticWaitList,Automatic Waitlist.,Yes,False,1,") for line in lines
    )
    assert any(line.startswith("Gone,Was here once,Yes,True,0,") for line in lines)
    gone = cast.task("Gone")
    assert (
        "No code answers to this name" in desk.get(f"automationclasses/details/?id={gone.id}").text
    )
    gone.enabled = False
    answer = desk.act("automationclasses", "enable", gone.id)
    assert answer.status_code == 409
    assert "This task class is missing" in answer.text
    for path in ("new/", f"edit/?id={gone.id}"):
        assert desk.get(f"automationclasses/{path}").status_code == 404
    assert desk.delete("automationclasses", gone.id).status_code == 404


def test_a_disabled_class_ends_nothing_and_goes_on_when_it_is_enabled(
    desk: Desk, cast: Cast
) -> None:
    ben, row = invited(cast), cast.task("AutomaticWaitList")
    promised, job = ben.invite_expires_at, list(cast.jobs())
    page = desk.get(f"automationclasses/details/?id={row.id}").text
    assert cast.schedule.name in page
    assert desk.act("automationclasses", "disable", row.id).status_code == 303
    assert cast.jobs() == {}
    assert cast.row("Ben").invite_promised_until == promised
    assert "Plans nothing" in desk.get("automationschedule/").text
    assert desk.act("automationclasses", "enable", row.id).status_code == 303
    assert list(cast.jobs()) == job
    assert cast.row("Ben").invite_expires_at == promised


# --- jobs ----------------------------------------------------------------------------------------


def test_jobs_say_what_about_when_and_how_they_stand(desk: Desk, cast: Cast) -> None:
    now = utcnow()
    ben = invited(cast)
    late = a_job(cast, "no-such-item", now - 2 * HOUR, last_error="boom", attempts=3)
    parked = a_job(cast, "7", now, next_run_time=None, last_error="class missing: Old")
    claimed = a_job(cast, "8", now - MINUTE, claim="somebody")
    page = desk.get("job/").text
    for words in ("Ben Example · Pottery", "in 1 day", "2 hours ago", "Trying again", "Parked"):
        assert words in page, words
    assert "Running" in page
    assert "somebody" not in page
    assert "boom" in page
    for asked, there, not_there in (
        ("flt1_1=parked", parked, late),
        ("flt1_1=failing", late, parked),
        ("flt1_1=running", claimed, late),
        ("flt0_0=waitlist", late, "Nothing here"),
        ("flt0_0=%25", "Nothing here", late),
        (f"search={ben.uuid}", ben.uuid, late),
        (f"flt2_2={cast.today + DAY}", ben.uuid, late),
    ):
        text = desk.get(f"job/?{asked}").text
        assert there in text, asked
        assert f"{not_there}</a>" not in text, asked
    assert "ignored" in desk.get("job/?flt1_1=junk").text
    details = desk.client.get("/admin/job/details/", query_string={"id": parked}).text
    assert "class missing: Old" in details
    lines = desk.csv("job")
    assert len(lines) == 5
    assert any(",Ben Example · Pottery,AutomaticWaitList," in line for line in lines)


def test_a_job_that_cannot_be_read_is_shown_and_never_loaded(
    desk: Desk, cast: Cast, kind: str
) -> None:
    planted = a_job(cast, "9", utcnow(), job_state=PICKLE)
    if kind == "sqlite":  # PostgreSQL lets none in
        odd = sa.text(
            "UPDATE apscheduler_jobs SET due = 'soon', job_state = 5, next_run_time = 'x'"
        )
        cast.session.execute(odd)
    page = desk.get("job/").text
    assert planted in page
    assert "its state is no JSON of ours" in page
    at = {"id": planted}
    details = desk.client.get("/admin/job/details/", query_string=at).text
    assert "What this job says cannot be read" in details
    assert len(desk.csv("job")) == 2
    if kind == "postgresql":
        assert "\\x80\\x04" in details
        refused = desk.act("job", "now", planted)
        assert refused.status_code == 409
        assert "This job cannot run" in refused.text
    assert desk.get("automationschedule/").status_code == 200
    assert desk.act("job", "remove", planted).status_code == 303
    assert cast.session.scalars(sa.select(Job.id)).all() == []


def test_what_waits_after_a_failure_is_tried_now_and_nothing_else_is(
    desk: Desk, cast: Cast
) -> None:
    cast.task("AutomaticWaitList")
    now = utcnow()
    failed = a_job(cast, "a", now - HOUR, next_run_time=(now + HOUR).timestamp(), last_error="boom")
    parked = a_job(cast, "b", now + HOUR, next_run_time=None, last_error="class missing")
    early, busy = a_job(cast, "c", now + HOUR), a_job(cast, "d", now - HOUR, claim="somebody")
    assert "runs as soon as it is due" in desk.ask("job", "now", failed).text
    assert desk.act("job", "now", failed).status_code == 303
    assert desk.act("job", "now", parked).status_code == 303
    for refused in (early, busy):
        assert desk.act("job", "now", refused).status_code == 409
    at = {
        row.id: row.at
        for row in cast.session.execute(sa.select(Job.id, Job.next_run_time.label("at")))
    }
    assert abs(at[failed] - now.timestamp()) < 60
    assert at[parked] == pytest.approx((now + HOUR).timestamp(), abs=0.01)
    assert at[early] == pytest.approx((now + HOUR).timestamp(), abs=0.01)


def test_removing_the_end_of_an_invitation_leaves_it_open(desk: Desk, cast: Cast) -> None:
    ben = invited(cast)
    (job,) = cast.jobs()
    assert "that invitation stays open" in desk.ask("job", "remove", job).text
    assert desk.act("job", "remove", job).status_code == 303
    assert cast.jobs() == {}
    row = cast.row("Ben")
    assert row.expiry_exempt
    assert row.status == ben.status
    assert cast.last_event("deadline-changed").actor == f"user:{desk.who.id}"


def test_planning_again_says_first_what_it_would_do(desk: Desk, cast: Cast) -> None:
    invited(cast)
    planned = cast.jobs()
    cast.session.execute(sa.delete(Job))
    page = desk.post("job/renew/")
    assert page.status_code == 200
    assert "<b>1</b> planned" in page.text
    assert cast.jobs() == {}
    assert desk.post("job/renew/", sure="1").status_code == 303
    assert cast.jobs() == planned
    assert desk.get("job/renew/").status_code == 405


# --- runs ----------------------------------------------------------------------------------------


def test_runs_tell_what_became_of_each_occurrence(desk: Desk, cast: Cast) -> None:
    ben = invited(cast)
    run = a_run(
        cast,
        ben.uuid,
        error="RuntimeError: <boom>\nmore",
        traceback="Traceback …",
        result={"ended": 1},
        duration_ms=2500,
    )
    done = a_run(cast, "7:pot", "success")
    page = desk.get("automationrun/").text
    for words in (
        "Ben Example · Pottery",
        "RuntimeError: &lt;boom&gt;",
        "Failed",
        "2.5\N{NO-BREAK SPACE}s",
    ):
        assert words in page, words
    assert "Success" in page
    details = desk.get(f"automationrun/details/?id={run.id}").text
    for words in ("Traceback …", "&lt;boom&gt;", "ended", "Run again"):
        assert words in details, words
    for asked, there in (
        ("flt1_1=failed", run.id),
        ("flt2_2=7:pot", done.id),
        ("flt0_0=waitlist&search=boom", run.id),
        (f"flt3_3={cast.today}&flt1_1=success", done.id),
    ):
        text = desk.get(f"automationrun/?{asked}").text
        other = run.id + done.id - there
        assert f"?id={there}&" in text, asked
        assert f"?id={other}&" not in text, asked
    for path in ("new/", f"edit/?id={run.id}"):
        assert desk.get(f"automationrun/{path}").status_code == 404
    lines = desk.csv("automationrun")
    assert sum("Ben Example · Pottery" in line or ",7:pot," in line for line in lines) == 2


def test_a_run_is_cancelled_or_run_again_where_that_is_possible(desk: Desk, cast: Cast) -> None:
    failed, waiting = a_run(cast, "a"), a_run(cast, "b", "queued")
    assert desk.act("automationrun", "cancel", waiting.id).status_code == 303
    again = desk.act("automationrun", "cancel", waiting.id)
    assert again.status_code == 409
    assert "This run has ended already." in again.text
    assert desk.act("automationrun", "again", failed.id).status_code == 303
    cast.session.expire_all()
    new = cast.session.scalars(sa.select(AutomationRun).order_by(AutomationRun.id.desc())).first()
    assert new is not None
    assert (new.item, new.trigger, new.status) == ("a", "manual", RunStatus.QUEUED)
    assert waiting.status is RunStatus.CANCELLED
    assert list(cast.jobs()) == [f"{cast.schedule.name}/{new.execution_id}/PRODUCTION"]
    assert f"Run no. {new.id}, by hand" in desk.get("job/").text
    assert desk.act("automationrun", "again", new.id).status_code == 409


# --- others' rows, and what a list costs ---------------------------------------------------------


def test_what_is_another_practices_is_not_there(desk: Desk, cast: Cast) -> None:
    ours, own = invited(cast), cast.practice
    mill = cast.add(Practice(name="Mill", shortname="mill"))
    cast.practice = mill
    training = cast.training("Weaving", start=utcnow() + 30 * DAY)
    cast.enrol("Vera", utcnow(), training)
    cast.enrol("Mallory", utcnow(), training)
    cast.leave(cast.row("Vera", training), utcnow())
    theirs = cast.waitlist_schedule("theirs", 24 * HOUR, practice_id=mill.id)
    cast.practice = own
    hidden = f"{cast.schedule.name}/{cast.row('Mallory', training).uuid}/PRODUCTION"
    reminder = a_job(cast, str(training.id), utcnow())
    other = a_job(cast, "1", utcnow(), id="theirs/anything/PRODUCTION")
    assert hidden in cast.jobs()
    run = a_run(cast, cast.row("Mallory", training).uuid)
    foreign = a_run(cast, "1", schedule_id=theirs.id)
    for name in LISTS:
        text = desk.get(f"{name}/").text + "".join(desk.csv(name))
        for word in ("theirs", "Mallory", "Weaving", hidden, reminder, run.execution_id):
            assert word not in text, (name, word)
    assert ours.uuid in desk.get("job/").text
    for at in (hidden, reminder, other):
        answer = desk.client.get("/admin/job/details/", query_string={"id": at})
        assert answer.status_code == 404
        for act in ("now", "remove"):
            assert desk.act("job", act, at).status_code == 404
    for row in (run, foreign):
        assert desk.get(f"automationrun/details/?id={row.id}").status_code == 404
        assert desk.act("automationrun", "again", row.id).status_code == 404
    assert desk.get(f"automationschedule/details/?id={theirs.id}").status_code == 404
    assert desk.get(f"automationschedule/edit/?id={theirs.id}").status_code == 404
    assert desk.act("automationschedule", "pause", theirs.id).status_code == 404
    assert desk.post("automationschedule/preview/", row=theirs.id).status_code == 404
    assert "theirs" not in desk.post("job/renew/").text


def test_a_list_of_the_automation_costs_the_same_however_long(desk: Desk, cast: Cast) -> None:
    engine = Session(cast.session.get_bind())
    ben, costs = invited(cast), []
    for count in (2, 40):
        for n in range(count):
            key = f"{count}-{n}"
            task = cast.add(AutomationClasses(class_name=f"Task {key}"))
            cast.add(AutomationSchedule(name=f"S {key}", automation_class=task, interval=HOUR))
            a_job(cast, f"{cast.pottery.id}:{count}{n}", utcnow())
            a_run(cast, ben.uuid, occurrence=key)
        cast.session.commit()
        cost = {}
        for name in LISTS:
            with count_statements(engine) as sent:
                assert desk.get(f"{name}/").status_code == 200
            cost[name] = len(sent)
        costs.append(cost)
    assert costs[0] == costs[1]
    assert {name: n for name, n in costs[1].items() if n > 8} == {}


def test_the_console_still_removes_under_its_own_name(cast: Cast) -> None:
    invited(cast)
    (job,) = cast.jobs()
    assert withdraw(cast.session, job, datetime.now(UTC))
    assert cast.last_event("deadline-changed").actor == "console"
