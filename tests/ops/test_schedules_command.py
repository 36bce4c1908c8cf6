"""`flask schedules`: see, explain, try out, steer, move and tidy up schedules (people PC)."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.automation import faces, registry, scheduler_ops
from app.extensions import db, write
from app.models import (
    AutomationRun,
    AutomationSchedule,
    MadeBy,
    Outbox,
    RunStatus,
    SchedulerEpoch,
)
from app.services import schedules
from tests.cast import DAY, HOUR
from tests.shell import Shell

NAME = "Congratulate"
DAILY = {"schedule_type": "daily", "hour": 8, "minute": 30}
ACTS = ("show", "explain", "preview", "dry-run", "history", "run", "pause", "resume")


@pytest.fixture
def daily(shell: Shell) -> str:
    """A schedule that congratulates people daily; its uuid."""
    return a_schedule(shell)


def a_schedule(shell: Shell, name: str = NAME, task: str = "birthday", **options: Any) -> str:
    with shell.app.app_context(), write(db.session):
        registry.load()
        scheduler_ops.describe_classes(db.session())
        db.session.flush()  # classes are looked up
        row = schedules.add_schedule(
            db.session(), task, DAILY, None, None,
            now=shell.now, door=faces.door(MadeBy.COMMAND), name=name, **options,
        )  # fmt: skip
        return row.schedule_id


def shown(shell: Shell, *args: str) -> Any:
    done = shell("schedules", *args, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def change(shell: Shell, model: Any, **values: Any) -> None:
    with shell.app.app_context(), write(db.session):
        db.session.execute(sa.update(model).values(**values))


# --- look ----------------------------------------------------------------------------------------


def test_the_list_says_in_words_when_each_runs_and_what_came_of_it(
    shell: Shell, daily: str
) -> None:
    a_schedule(shell, "Try out", dry_run=True, active=False)
    done = shell("schedules", "list")
    assert (done.exit_code, done.stderr) == (0, "schedules: 2.\n")
    header, first, second = done.stdout.splitlines()
    assert header.split()[:5] == ["id", "name", "task", "state", "mode"]
    assert [word in first for word in (NAME, "birthday", "active", "live", "08:30")] == [True] * 5
    assert [word in second for word in ("Try out", "paused", "test")] == [True] * 3
    assert [row["name"] for row in shown(shell, "list", "--state", "active")] == [NAME]
    assert shown(shell, "list", "--task", "visitor") == []
    assert "2, 1 shown" in shell("schedules", "list", "--limit", "1").stderr
    assert shell("schedules", "list", "--state", "lost").exit_code == 2


def test_one_whose_times_make_no_sense_hides_no_other_and_says_so(shell: Shell, daily: str) -> None:
    change(shell, AutomationSchedule, schedule_type="cron",
           schedule_config={"cron_expression": "0 9 31 2 *"})  # fmt: skip
    a_schedule(shell, "Good one")
    done = shell("schedules", "list")
    assert done.exit_code == 0
    assert "what is stored says no time" in done.stdout
    assert "Good one" in done.stdout
    assert shell("schedules", "show", NAME).exit_code == 0
    told = shell("schedules", "preview", NAME)
    assert (told.exit_code, "what is stored says no time" in told.stderr) == (2, True)


def test_a_schedule_goes_by_name_id_and_uuid(shell: Shell, daily: str) -> None:
    by_name = shown(shell, "show", NAME)
    assert by_name["schedule_id"] == daily
    assert shown(shell, "show", str(by_name["id"])) == by_name
    assert shown(shell, "show", daily.upper()) == by_name
    plain = shell("schedules", "show", NAME).stdout
    assert daily in plain
    assert "max instances" in plain


def test_one_that_is_not_there_ends_with_3_and_changes_nothing(shell: Shell, daily: str) -> None:
    before = shell.everything()
    for act in ACTS:
        for text in ("0", "-1", str(10**20), NAME.lower(), "", "%", "x" * 5000):
            done = shell("schedules", act, "--", text)
            assert (done.exit_code, done.stdout) == (3, "")
        assert shell("schedules", act, "a\0b").exit_code == 2
        assert shell("schedules", act).exit_code == 2
    assert shell.everything() == before


def test_a_name_that_is_also_an_id_is_ambiguous(shell: Shell, daily: str) -> None:
    id_ = str(shown(shell, "show", NAME)["id"])
    a_schedule(shell, id_)
    done = shell("schedules", "pause", id_)
    assert (done.exit_code, done.stdout) == (2, "")
    assert NAME in done.stderr


def test_why_it_does_not_run_is_told_cause_by_cause(shell: Shell, daily: str) -> None:
    shell("schedules", "pause", NAME, "--reason", "holidays")
    found = shown(shell, "explain", NAME)
    causes = {one["cause"]: one for one in found["findings"]}
    assert (found["runs"], causes["active"]["ok"], causes["deleted"]["ok"]) == (False, False, True)
    assert "holidays" in causes["active"]["text"]
    done = shell("schedules", "explain", NAME)
    assert (done.exit_code, "✗  active" in done.stdout) == (0, True)
    change(shell, AutomationSchedule, deleted_at=shell.now)
    assert "removed" in shell("schedules", "explain", NAME).stdout
    assert shell("schedules", "show", NAME).exit_code == 3


def test_the_preview_has_the_next_times_and_writes_nothing(shell: Shell, daily: str) -> None:
    before = shell.everything()
    found = shown(shell, "preview", NAME, "-n", "3")
    assert len(found["next"]) == 3
    done = shell("schedules", "preview", NAME)
    assert done.stdout.count("08:30") == 1 + 5
    assert shell("schedules", "preview", NAME, "-n", "51").exit_code == 2
    assert shell.everything() == before


def test_of_one_that_follows_events_the_preview_has_the_jobs_of_its_items(shell: Shell) -> None:
    (ben,) = shell.overdue("Ben")
    found = shown(shell, "preview", "waitlist_invitation_expiry")
    assert [job["item"] for job in found["jobs"]] == [ben]
    assert ben in shell("schedules", "preview", "waitlist_invitation_expiry").stdout


# --- trying out ----------------------------------------------------------------------------------


def test_a_dry_run_shows_the_plan_and_writes_nothing(shell: Shell) -> None:
    with shell.cast() as cast:
        ada = cast.student("Ada").user
        ada.birthday = shell.now.date().replace(year=1992)
        cast.practice.timezone = "UTC"
    a_schedule(shell, task_config={"send_window": "00:00-24:00"})
    before = shell.everything()
    done = shell("schedules", "dry-run", NAME)
    assert (done.exit_code, done.stderr) == (0, "steps: 1 (letters 1); nothing was written.\n")
    assert "Ada" not in done.stdout  # ids, no names
    assert shown(shell, "dry-run", NAME)["would_send"] == 1
    assert shell.everything() == before
    assert shell.rows(Outbox, Outbox.kind) == []


def test_a_dry_run_of_events_shows_what_each_run_would_do_and_writes_nothing(shell: Shell) -> None:
    (ben, cleo) = shell.overdue("Ben", "Cleo")
    before = shell.everything()
    done = shell("schedules", "dry-run", "waitlist_invitation_expiry", "--days", "0")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.startswith("steps: 6 (letters 4) until ")
    assert "Ben" not in done.stdout  # ids, no names
    told = shown(shell, "dry-run", "waitlist_invitation_expiry")
    moves = [(step["kind"], step["subject_id"]) for step in told["steps"]][:2]
    assert moves == [("history_expired", ben), ("history_invited", cleo)]
    assert shell.everything() == before
    recorded = shell("schedules", "run", "waitlist_invitation_expiry", "--dry-run")
    assert recorded.stdout.startswith("tried out: run ")
    assert shown(shell, "history", "waitlist_invitation_expiry")[0]["result"]["would_send"] == 4


def test_a_run_by_hand_is_queued_once_as_many_as_may(shell: Shell, daily: str) -> None:
    done = shell("schedules", "run", NAME, "--dry-run")
    assert done.exit_code == 0
    (run,) = shown(shell, "history", NAME)
    assert run["execution_id"] in done.stdout
    assert (run["status"], run["trigger_type"], run["dry_run"]) == ("queued", "manual", True)
    before = shell.everything()
    assert shell("schedules", "run", NAME).exit_code == 4
    assert shell.everything() == before
    assert "queued" in shell("schedules", "history", NAME).stdout
    assert shown(shell, "history", NAME, "--status", "failed") == []
    assert shell("schedules", "history", NAME, "--limit", "201").exit_code == 2


# --- resting and going on ------------------------------------------------------------------------


def test_the_history_tells_why_a_run_failed(shell: Shell, daily: str) -> None:
    assert shell("schedules", "run", NAME).exit_code == 0
    change(shell, AutomationRun, status=RunStatus.FAILED, error="no road\nat all")
    _header, line = shell("schedules", "history", NAME).stdout.splitlines()
    assert line.endswith("failed: no road")


def test_paused_it_plans_nothing_resumed_it_goes_on(shell: Shell, daily: str) -> None:
    assert shell("schedules", "pause", NAME, "--until", "2 hours").exit_code == 0
    row = shown(shell, "show", NAME)
    assert (row["status"], row["next_execution_at"]) == ("paused", None)
    assert row["resume_at"] > f"{shell.now + HOUR:%Y-%m-%dT%H:%M:%SZ}"
    assert shell("schedules", "pause", NAME, "--until", "2020-01-01T00:00Z").exit_code == 2
    assert shell("schedules", "pause", NAME, "--until", "soon").exit_code == 2
    done = shell("schedules", "resume", NAME)
    assert done.stdout.startswith(f"resumed {NAME}, next 20")
    assert shown(shell, "show", NAME)["status"] == "active"


def test_resumed_with_run_once_one_run_makes_up_for_what_was_missed(
    shell: Shell, daily: str
) -> None:
    shell("schedules", "pause", NAME)
    change(shell, AutomationSchedule, paused_at=shell.now - 3 * DAY)
    assert shell("schedules", "resume", NAME, "--run-once").exit_code == 0
    assert [run["status"] for run in shown(shell, "history", NAME)] == ["queued"]


def test_one_with_nothing_left_is_not_resumed(shell: Shell, daily: str) -> None:
    shell("schedules", "pause", NAME)
    change(shell, AutomationSchedule, end_at=shell.now - DAY)
    before = shell.everything()
    done = shell("schedules", "resume", NAME)
    assert (done.exit_code, "nothing is left" in done.stderr) == (2, True)
    assert shell.everything() == before


def test_all_rest_and_go_on(shell: Shell, daily: str) -> None:
    assert shell("schedules", "pause-all").exit_code == 2  # nobody said yes
    assert shell("schedules", "pause-all", "--yes", "--reason", "moving").stdout == "all rest\n"
    assert "moving" in shell("schedules", "list").stderr
    assert shell("schedules", "resume-all").stdout == "all go on\n"
    assert "rest" not in shell("schedules", "list").stderr


# --- out and in ----------------------------------------------------------------------------------


def test_what_is_exported_is_imported_inactive_and_exported_the_same(
    shell: Shell, daily: str, tmp_path: Path
) -> None:
    file = tmp_path / "schedules.json"
    assert shell("schedules", "export", "--out", str(file)).exit_code == 0
    taken = shell("schedules", "import", str(file))
    assert (taken.exit_code, taken.stdout) == (2, "")
    assert taken.stderr.startswith("row 1: ")  # the name is taken
    change(shell, AutomationSchedule, deleted_at=shell.now, active=False, next_execution_at=None)
    done = shell("schedules", "import", str(file))
    assert (done.exit_code, done.stdout) == (0, f"{NAME}\n")
    row = shown(shell, "show", NAME)
    assert (row["is_active"], row["execution_count"]) == (False, 0)
    assert row["schedule_id"] != daily
    assert json.loads(shell("schedules", "export").stdout) == json.loads(file.read_text())


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, 3),
        (b"no json", 2),
        (b"\xff", 2),
        (b"[" * 100_000, 2),
        (b"[]", 2),
        (b'{"format": 1, "schedules": [{"name": "x", "task": "y"}]}', 2),
    ],
)
def test_a_file_with_faults_imports_nothing(
    shell: Shell, daily: str, tmp_path: Path, content: bytes | None, code: int
) -> None:
    file = tmp_path / "schedules.json"
    if content is not None:
        file.write_bytes(content)
    before = shell.everything()
    done = shell("schedules", "import", str(file))
    assert (done.exit_code, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    assert shell.everything() == before
    assert shell("schedules", "import", str(tmp_path)).exit_code == 2


# --- upkeep --------------------------------------------------------------------------------------


def test_prune_asks_and_takes_away_what_is_too_old(shell: Shell, daily: str) -> None:
    with shell.app.app_context(), write(db.session):
        id_ = db.session.scalar(sa.select(AutomationSchedule.id))
        for days in (89, 91):
            at = shell.now - timedelta(days=days)
            row = {"schedule_id": id_, "item": daily, "status": RunStatus.SKIPPED}
            db.session.add(AutomationRun(occurrence=str(days), due_at=at, finished_at=at, **row))
    before = shell.everything()
    assert shell("schedules", "prune").exit_code == 2
    assert shell.everything() == before
    assert shell("schedules", "prune", "--yes").stdout == "pruned runs 1\n"
    assert shell("schedules", "prune", "--yes").stdout == "pruned nothing\n"
    assert shell.rows(AutomationRun, AutomationRun.occurrence) == [("89",)]


def test_the_status_ends_with_5_while_the_scheduler_is_down(shell: Shell, daily: str) -> None:
    down = shell("schedules", "status")
    assert (down.exit_code, "run_scheduler.py" in down.stderr) == (5, True)
    assert json.loads(shell("schedules", "status", "--json").stdout)["scheduler_running"] is False
    with shell.app.app_context(), write(db.session):
        facts = {"holder": "here:1", "seen_at": shell.now, "started_at": shell.now}
        db.session.add(SchedulerEpoch(id=1, epoch=3, **facts))
    up = shown(shell, "status")
    assert (up["scheduler_running"], up["epoch"], up["holder"]) == (True, 3, "here:1")
    assert (up["active"], up["jobs"], up["late"], up["queued"]) == (1, 1, 0, 0)


def test_the_status_says_which_grace_would_have_let_it_run(shell: Shell, daily: str) -> None:
    with shell.app.app_context(), write(db.session):
        id_ = db.session.scalar(sa.select(AutomationSchedule.id))
        for n, (late, missed) in enumerate(((2 * HOUR, 3), (HOUR, 0), (9 * HOUR, 1))):
            row = {"schedule_id": id_, "item": daily, "status": RunStatus.MISSED}
            at = shell.now - (40 * DAY if n == 2 else DAY)
            times = {"due_at": at - late, "finished_at": at}
            row |= {"occurrence": str(n), "missed_count": missed}
            db.session.add(AutomationRun(**row, **times))
    said = shell("schedules", "status").stderr
    assert f"missed in 30 days: {NAME}, 4 times; raise its grace to 7200 s" in said
