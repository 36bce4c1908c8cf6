"""`flask jobs`: list, export, remove, renew, and how each ends (people PA6, PC)."""

from __future__ import annotations

import json
from pathlib import Path

import sqlalchemy as sa

from app.extensions import db, write
from app.models import Job, TrainingEnroll
from tests.cast import HOUR
from tests.shell import Shell

PICKLE = b"\x80\x05\x95"


def ids(shell: Shell) -> list[str]:
    return [id_ for (id_,) in shell.rows(Job, Job.id)]


def park(shell: Shell, id_: str = "a/b/PRODUCTION", state: bytes = PICKLE) -> None:
    """A row that cannot be read, put aside by the scheduler."""
    with shell.app.app_context(), write(db.session):
        error = "its state is no JSON of ours"
        db.session.add(Job(id=id_, job_state=state, next_run_time=None, last_error=error))


# --- list ----------------------------------------------------------------------------------------


def test_the_list_has_id_schedule_item_due_in_both_zones_and_lateness(shell: Shell) -> None:
    (ben,) = shell.overdue("Ben")
    done = shell("jobs", "list")
    assert (done.exit_code, done.stderr) == (0, "jobs: 1.\n")
    header, line = done.stdout.splitlines()
    assert header.split("  ")[0] == "id"
    assert line.startswith(f"waitlist_invitation_expiry/{ben}/PRODUCTION  waitlist_invitation_e")
    due = shell.now - 11 * HOUR
    assert f"{due:%Y-%m-%d %H:%M:%SZ}" in line
    assert "CE" in line  # CET or CEST: the practice's clock
    assert "11 h" in line


def test_late_shows_what_is_overdue_and_what_is_parked(shell: Shell) -> None:
    shell.overdue("Ben")
    with shell.app.app_context(), write(db.session):
        coming = Job(
            id="later/1/PRODUCTION",
            job_state=b'{"v": 1, "args": ["1", "later", "X"], "kwargs": {}}',
            next_run_time=(shell.now + HOUR).timestamp(),
            due=shell.now + HOUR,
        )
        db.session.add(coming)
    park(shell)
    assert len(shell("jobs", "list").stdout.splitlines()) == 4
    late = shell("jobs", "list", "--late")
    assert late.stderr == "late or parked jobs: 2.\n"
    assert "later/1" not in late.stdout
    assert "parked: its state is no JSON of ours" in late.stdout.splitlines()[-1]


def test_the_list_as_json(shell: Shell) -> None:
    (ben,) = shell.overdue("Ben")
    park(shell)
    first, parked = json.loads(shell("jobs", "list", "--json").stdout)
    assert first["item"] == ben
    assert (first["schedule"], first["task"]) == ("waitlist_invitation_expiry", "AutomaticWaitList")
    assert (first["parked"], first["late_seconds"] > 10 * 3600) == (False, True)
    assert (parked["parked"], parked["schedule"], parked["due"]) == (True, None, None)
    assert parked["error"] == "its state is no JSON of ours"


def test_nothing_planned_is_no_fault(shell: Shell) -> None:
    done = shell("jobs", "list")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "jobs: 0.\n")
    assert json.loads(shell("jobs", "list", "--json").stdout) == []


def test_a_long_list_is_cut_and_says_so(shell: Shell) -> None:
    for n in range(3):
        park(shell, f"a/{n}/PRODUCTION")
    done = shell("jobs", "list", "--limit", "2")
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr == "jobs: 3, 2 shown: --limit 3 shows all.\n"
    for bad in ("0", "-1", "many", "1000001", "9" * 20):
        assert shell("jobs", "list", "--limit", bad).exit_code == 2


def test_a_bad_row_cannot_play_with_the_screen(shell: Shell) -> None:
    park(shell, "a\x1b[2J/b/PRODUCTION")
    assert "\\x1b[2J" in shell("jobs", "list").stdout


# --- export --------------------------------------------------------------------------------------


def test_the_export_is_valid_json_of_id_next_run_and_args(shell: Shell, tmp_path: Path) -> None:
    (ben,) = shell.overdue("Ben")
    park(shell)
    out = tmp_path / "jobs_backup.json"
    out.write_text("older")
    done = shell("jobs", "export", "--out", str(out))
    assert (done.exit_code, done.stdout) == (0, f"exported 2 jobs to {out}\n")
    assert "cannot be read: 1" in done.stderr
    expiry, parked = json.loads(out.read_text())
    assert set(expiry) == {"id", "next_run", "args"}
    assert expiry["args"] == [ben, "waitlist_invitation_expiry", "AutomaticWaitList"]
    assert expiry["next_run"].endswith("Z")
    assert parked == {"id": "a/b/PRODUCTION", "next_run": None, "args": None}
    assert [path.name for path in tmp_path.iterdir()] == ["jobs_backup.json"]


def test_an_export_that_cannot_be_written_says_why(shell: Shell, tmp_path: Path) -> None:
    gone = shell("jobs", "export", "--out", str(tmp_path / "no" / "jobs.json"))
    assert (gone.exit_code, gone.stderr) == (3, f"Error: There is no folder {tmp_path / 'no'}.\n")
    folder = shell("jobs", "export", "--out", str(tmp_path))
    assert (folder.exit_code, "Is a directory" in folder.stderr) == (2, True)
    for bad in (str(tmp_path / ("x" * 300)), "a\0b"):
        done = shell("jobs", "export", "--out", bad)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "Traceback" not in done.stderr
    assert shell("jobs", "export").exit_code == 2
    assert list(tmp_path.iterdir()) == []


# --- renew ---------------------------------------------------------------------------------------


def lose_every_job(shell: Shell) -> None:
    with shell.app.app_context(), write(db.session):
        db.session.execute(sa.delete(Job))


def test_renew_writes_what_is_missing_and_counts(shell: Shell) -> None:
    shell.overdue("Ben")
    before = shell.rows(Job, Job.id, Job.due)
    lose_every_job(shell)
    done = shell("jobs", "renew")
    assert (done.exit_code, done.stdout) == (0, "planned 1, kept 0, removed 0\n")
    assert shell.rows(Job, Job.id, Job.due) == before
    again = shell("jobs", "renew")
    assert (again.exit_code, again.stdout) == (0, "planned 0, kept 1, removed 0\n")


def test_a_dry_renew_counts_the_same_and_writes_nothing(shell: Shell) -> None:
    shell.overdue("Ben")
    lose_every_job(shell)
    before = shell.everything()
    done = shell("jobs", "renew", "--dry-run")
    assert done.stdout == "planned 1, kept 0, removed 0 (nothing written)\n"
    assert shell.everything() == before


def test_what_is_left_out_ends_with_1_and_is_named(shell: Shell) -> None:
    with shell.cast() as cast:
        cast.waitlist_schedule("the other way", HOUR).beforeafter = "before"
    done = shell("jobs", "renew")
    assert done.exit_code == 1
    assert done.stderr.startswith("left out: the other way: ")


# --- remove --------------------------------------------------------------------------------------


def test_removing_the_end_of_an_invitation_asks_and_exempts_it(shell: Shell) -> None:
    shell.overdue("Ben")
    (id_,) = ids(shell)
    before = shell.everything()
    assert shell("jobs", "remove", id_).exit_code == 2
    assert shell("jobs", "remove", id_, input="n\n").exit_code == 2
    assert shell.everything() == before
    done = shell("jobs", "remove", id_, input="y\n")
    assert (done.exit_code, done.stdout) == (0, f"removed {id_}\n")
    exempt = shell.rows(TrainingEnroll, TrainingEnroll.expiry_exempt)
    assert [row for (row,) in exempt] == [False, True]
    assert shell("jobs", "renew").stdout == "planned 0, kept 0, removed 0\n"  # none comes back
    assert ids(shell) == []
    assert shell("jobs", "remove", id_, "--yes").exit_code == 3


def test_what_cannot_be_read_can_be_removed(shell: Shell) -> None:
    park(shell)
    assert shell("jobs", "remove", "a/b/PRODUCTION").exit_code == 0
    assert ids(shell) == []


def test_a_job_that_is_not_there_ends_with_3(shell: Shell) -> None:
    shell.overdue("Ben")
    before = shell.everything()
    for text in ("0", "-1", str(10**20), "", "a/b/c", "%", "x" * 5000):
        assert shell("jobs", "remove", "--yes", "--", text).exit_code == 3
    for text in ("a\0b", "\udcff"):
        assert shell("jobs", "remove", "--yes", text).exit_code == 2
    assert shell.everything() == before


def test_a_due_time_that_cannot_be_read_is_shown_and_can_be_removed(
    shell: Shell, kind: str, tmp_path: Path
) -> None:
    shell.overdue("Ben")
    odd = "a/b/PRODUCTION"
    park(shell, odd, state=b'{"v": 1, "args": ["b", "a", "X"], "kwargs": {}}')
    date = "0044-03-15 12:00:00+00 BC" if kind == "postgresql" else "garbage"
    typed = sa.text("UPDATE apscheduler_jobs SET due = :due, last_error = NULL WHERE id = :id")
    with shell.app.app_context(), write(db.session):
        db.session.execute(typed, {"due": date, "id": odd})
    done = shell("jobs", "list")
    (line,) = (line for line in done.stdout.splitlines() if line.startswith(odd))
    assert (done.exit_code, "unreadable" in line) == (0, True)
    assert "when it is due cannot be read" in line
    (told,) = (j for j in json.loads(shell("jobs", "list", "--json").stdout) if j["id"] == odd)
    assert (told["due"], told["error"]) == (None, "when it is due cannot be read")
    assert shell("jobs", "export", "--out", str(tmp_path / "jobs.json")).exit_code == 0
    assert shell("jobs", "renew").exit_code == 0
    assert shell("jobs", "remove", odd).stdout == f"removed {odd}\n"
    assert odd not in ids(shell)
