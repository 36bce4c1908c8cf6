"""`flask runs`: what became of each occurrence, tried again or cancelled (people PA7, PC)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from app.extensions import db, write
from app.models import AutomationRun, AutomationSchedule, Job, RunStatus
from tests.shell import Shell

NO_SUCH = ("0", "-1", str(10**20), "x", "", "٣", "%", "x" * 5000)


def a_run(shell: Shell, status: RunStatus, **more: Any) -> int:
    """A run of the waitlist's schedule, made if there is none; its id."""
    with shell.app.app_context():
        there = db.session.scalar(sa.select(AutomationSchedule.id))
    if there is None:
        with shell.cast() as cast:
            there = cast.schedule.id
    facts: dict[str, Any] = {
        "item": "7",
        "occurrence": f"2026-03-0{1 + len(shell.rows(AutomationRun, AutomationRun.id))}T12:00:00Z",
        "due_at": shell.now - timedelta(hours=3),
        "started_at": shell.now - timedelta(hours=3),
    }
    if status not in (RunStatus.QUEUED, RunStatus.RUNNING):
        facts |= {"finished_at": shell.now, "duration_ms": 38}
    with shell.app.app_context(), write(db.session):
        run = AutomationRun(schedule_id=there, status=status, **facts | more)
        db.session.add(run)
        db.session.flush()
        return run.id


# --- list, show ----------------------------------------------------------------------------------


def test_the_list_shows_the_latest_first(shell: Shell) -> None:
    done_, failed = (
        a_run(shell, RunStatus.SUCCESS),
        a_run(shell, RunStatus.FAILED, error="no such item\nmore", error_type="ValueError"),
    )
    done = shell("runs", "list")
    assert (done.exit_code, done.stderr) == (0, "runs: 2.\n")
    header, *lines = done.stdout.splitlines()
    assert header.split()[:3] == ["id", "status", "schedule"]
    assert [line.split()[:2] for line in lines] == [
        [str(failed), "failed"],
        [str(done_), "success"],
    ]
    assert lines[0].endswith("no such item")
    assert "38 ms" in lines[1]


def test_the_list_by_status_and_since(shell: Shell) -> None:
    success = a_run(shell, RunStatus.SUCCESS)
    recent = a_run(shell, RunStatus.MISSED, started_at=None, due_at=shell.now)
    shown = json.loads(shell("runs", "list", "--status", "success", "--json").stdout)
    assert [run["id"] for run in shown] == [success]
    shown = json.loads(shell("runs", "list", "--since", "2 hours", "--json").stdout)
    assert [run["id"] for run in shown] == [recent]
    since = (shell.now - timedelta(hours=4)).isoformat()
    assert len(shell("runs", "list", "--since", since).stdout.splitlines()) == 3
    assert "runs: 2, 1 shown" in shell("runs", "list", "--limit", "1").stderr
    assert (shell("runs", "list", "--status", "queued").stdout) == ""
    bad = (
        ["--status", "lost"],
        ["--since", "soon"],
        ["--since", ""],
        ["--limit", "0"],
        ["--limit", "9" * 20],
    )
    for args in bad:
        assert shell("runs", "list", *args).exit_code == 2


def test_show_has_all_that_is_known(shell: Shell) -> None:
    id_ = a_run(
        shell,
        RunStatus.FAILED,
        result={"ended": 1},
        error="boom",
        error_type="ValueError",
        traceback="Traceback\n  \x1b[2Jboom",
        worker="host:1",
    )
    done = shell("runs", "show", str(id_))
    assert (done.exit_code, done.stderr) == (0, "")
    for part in ("waitlist_invitation_expiry", "failed", "38", "boom", "ValueError", "host:1"):
        assert part in done.stdout
    assert "\\x1b[2J" in done.stdout  # an error's text cannot play with the screen
    shown = json.loads(shell("runs", "show", str(id_), "--json").stdout)
    assert (shown["status"], shown["result"], shown["error"]) == ("failed", {"ended": 1}, "boom")
    assert shell("runs", "show", shown["execution_id"]).stdout == done.stdout


def test_show_tells_each_try_after_which_the_run_went_on(shell: Shell) -> None:
    tries = [
        {"start": "2026-03-02T11:00:00Z", "end": "2026-03-02T11:01:00Z", "outcome": "interrupted",
         "error": None},
        {"start": "2026-03-02T11:02:00Z", "end": "2026-03-02T11:03:00Z", "outcome": "failed",
         "error": "no road"},
    ]  # fmt: skip
    id_ = str(a_run(shell, RunStatus.SUCCESS, attempts=tries))
    told = shell("runs", "show", id_).stdout
    assert "ended at 2026-03-02T11:01:00Z  interrupted\n" in told
    assert "ended at 2026-03-02T11:03:00Z  failed: no road\n" in told
    assert json.loads(shell("runs", "show", id_, "--json").stdout)["attempts"] == tries


def test_a_run_that_is_not_there_ends_with_3(shell: Shell) -> None:
    a_run(shell, RunStatus.FAILED)
    before = shell.everything()
    for act in ("show", "retry", "cancel"):
        for text in NO_SUCH:
            done = shell("runs", act, "--", text)
            assert (done.exit_code, done.stdout) == (3, "")
        assert shell("runs", act, "a\0b").exit_code == 2
        assert shell("runs", act).exit_code == 2
    assert shell.everything() == before


# --- retry, cancel -------------------------------------------------------------------------------


def test_a_failed_run_is_run_once_more_as_a_run_of_its_own(shell: Shell) -> None:
    failed = a_run(shell, RunStatus.FAILED)
    done = shell("runs", "retry", str(failed))
    assert done.exit_code == 0
    again = int(done.stdout.removeprefix("queued run "))
    shown = json.loads(shell("runs", "show", str(again), "--json").stdout)
    assert (shown["status"], shown["trigger"], shown["item"]) == ("queued", "manual", "7")
    assert len(shell.rows(Job, Job.id)) == 1
    assert json.loads(shell("runs", "show", str(failed), "--json").stdout)["status"] == "failed"


def test_what_went_well_is_not_retried(shell: Shell) -> None:
    id_ = a_run(shell, RunStatus.SUCCESS)
    before = shell.everything()
    done = shell("runs", "retry", str(id_))
    assert (done.exit_code, done.stdout) == (4, "")
    assert shell.everything() == before


def test_what_waits_or_runs_is_cancelled_what_ended_is_not(shell: Shell) -> None:
    for status in (RunStatus.QUEUED, RunStatus.RUNNING):
        id_ = str(a_run(shell, status))
        done = shell("runs", "cancel", id_)
        assert (done.exit_code, done.stdout) == (0, f"cancelled run {id_}\n")
        assert json.loads(shell("runs", "show", id_, "--json").stdout)["status"] == "cancelled"
        before = shell.everything()
        assert shell("runs", "cancel", id_).exit_code == 4
        assert shell.everything() == before
