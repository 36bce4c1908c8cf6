"""The snippets of the waitlist guide that people type into a shell (waitlist WS2, 7, 8, 13–18).

They commit and read the clock, so the cast lives now.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from app.automation.scheduler import app_scheduler
from app.automation.scheduler_ops import renew_automations
from app.extensions import db, utcnow, write
from app.models import Job, Outbox, Training, TrainingEnroll
from app.ops import console
from app.services import waitlist
from config import Settings
from tests.cast import HOUR, MINUTE, SECOND
from tests.documents.table import run
from tests.shell import Shell

MANUAL_TEST = """
from bcource import create_app, db
from bcource.models import Training, Student, TrainingEnroll
from bcource.students.common import invite_from_waitlist
from datetime import datetime, timedelta

app = create_app()
with app.app_context():
    # Get a training with waitlist
    training = Training.query.filter_by(name="Your Training").first()

    # Get waitlist enrollments
    waitlist = TrainingEnroll.query.filter_by(
        training_id=training.id,
        status="waitlist"
    ).first()

    # Manually invite (this should create automation job)
    invite_from_waitlist(waitlist)

    # Check scheduled jobs
    from bcource.automation.scheduler import app_scheduler
    jobs = app_scheduler.get_jobs()
    for job in jobs:
        print(f"Job: {job.id}, Next run: {job.next_run_time}")
"""

ACTIVE_JOBS = """
from bcource.automation.scheduler import app_scheduler

# List all scheduled jobs
jobs = app_scheduler.get_jobs()
for job in jobs:
    print(f"ID: {job.id}")
    print(f"  Next run: {job.next_run_time}")
    print(f"  Function: {job.func_ref}")
    print(f"  Args: {job.args}")
"""

WITHOUT_AUTOMATION = """
from bcource.students.common import invite_from_waitlist

# Invite student
invite_from_waitlist(enrollment)

# Manually remove the scheduled job
from bcource.automation.scheduler import app_scheduler
job_id = f"waitlist_invitation_expiry/{enrollment.uuid}/PRODUCTION"
app_scheduler.remove_job(job_id)
"""

QUEUE_SIZE = """
# Add to monitoring
def check_job_queue():
    jobs = app_scheduler.get_jobs()
    waitlist_jobs = [j for j in jobs if 'AutomaticWaitList' in str(j.func_ref)]

    if len(waitlist_jobs) > 100:
        logger.warning(f"Large waitlist job queue: {len(waitlist_jobs)}")

    return len(waitlist_jobs)
"""

BACKUP = """
# Export scheduled jobs
jobs = app_scheduler.get_jobs()
job_data = [{
    'id': job.id,
    'next_run': job.next_run_time,
    'args': job.args
} for job in jobs]

import json
with open('jobs_backup.json', 'w') as f:
    json.dump(job_data, f, default=str)
"""

BATCH = """
# Example: Invite in batches with delays
def invite_batch_from_waitlist(training, batch_size=5):
    eligible = training.waitlist_enrollments_eligeble()

    for i, enrollment in enumerate(list(eligible)[:batch_size]):
        # Stagger invitations by 1 minute each
        delay = timedelta(minutes=i)
        schedule_invitation(enrollment, delay)
"""

RATE = """
# Example rate limit check
def check_invitation_rate(student, limit=3, window_hours=24):
    recent = TrainingEnroll.query.filter(
        TrainingEnroll.student_id == student.id,
        TrainingEnroll.status == 'waitlist-invited',
        TrainingEnroll.invite_date > datetime.utcnow() - timedelta(hours=window_hours)
    ).count()

    return recent < limit
"""


@pytest.fixture
def shell(app: Flask) -> Iterator[Shell]:
    """Ada has the place of a training that gets another one: who is first can be invited."""
    shell = Shell(app)
    with app.app_context():
        yield shell
        db.session.remove()


def waiting(shell: Shell, *names: str, places: int = 2) -> list[str]:
    """The uuids of `names`, who wait for "Your Training"; a place is free."""
    uuids = shell.line(*names)
    with write(db.session):
        more = {"max_participants": places, "name": "Your Training"}
        db.session.execute(sa.update(Training).where(Training.name == "Bread").values(more))
    return uuids


def the_row(uuid: str) -> TrainingEnroll:
    return db.session.scalars(sa.select(TrainingEnroll).where(TrainingEnroll.uuid == uuid)).one()


def letters() -> list[str]:
    return list(db.session.scalars(sa.select(Outbox.kind).order_by(Outbox.id)))


# --- WS2: invite and take back -------------------------------------------------------------------


def test_inviting_and_ending_are_two_letters_each_and_a_job_that_comes_and_goes(
    shell: Shell, caplog: pytest.LogCaptureFixture
) -> None:
    (ben,) = waiting(shell, "Ben")
    caplog.set_level(logging.INFO, logger="app.automation")
    names = run("from bcource.students.common import deinvite_from_waitlist, invite_from_waitlist")
    before = letters()
    assert names["invite_from_waitlist"](the_row(ben)) is True
    row = the_row(ben)
    assert row.status == "waitlist-invited"
    assert row.invite_date is not None
    assert abs(utcnow() - row.invite_date) < MINUTE
    assert sorted(letters()[len(before) :]) == ["invited", "invited_trainer"]
    (job,) = app_scheduler.get_jobs()
    invited_at, before = row.invite_date, letters()
    assert names["deinvite_from_waitlist"](row) is True
    assert (row.status, row.invite_date) == ("waitlist-invite-expired", invited_at)
    assert sorted(letters()[len(before) :]) == ["expired", "expired_trainer"]
    assert app_scheduler.get_jobs() == []
    assert app_scheduler.get_job(job.id) is None
    said = f"user: {row.student.user} from training: {row.training}"
    assert [r.getMessage() for r in caplog.records if r.name.startswith("app.automation")] == [
        f"invited {said}",
        f"deinvited {said}",
    ]


# --- WS7, WS8: the manual test, in both environments ---------------------------------------------


def configured(monkeypatch: pytest.MonkeyPatch, url: str, environment: str) -> None:
    """`create_app()` reads the environment, as in somebody's shell."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    monkeypatch.setenv("SQLALCHEMY_DATABASE_URI", url)
    monkeypatch.setenv("ENVIRONMENT", environment)


def manual_test() -> tuple[str, datetime, datetime]:
    """Type it; the uuid invited, when, and the next run of its job."""
    names = run(MANUAL_TEST)
    (job,), made = names["jobs"], names["app"]
    with made.app_context():
        row = db.session.scalars(
            sa.select(TrainingEnroll).where(TrainingEnroll.status == "waitlist-invited")
        ).one()
        db.engine.dispose()
        assert row.invite_date is not None
        return job.id, row.invite_date, job.next_run_time


def test_the_manual_test_shows_the_job_at_once_and_in_another_process_too(
    shell: Shell, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ben, _ = waiting(shell, "Ben", "Cleo")
    configured(monkeypatch, url, "PRODUCTION")
    id_, invited_at, next_run = manual_test()
    assert id_ == f"waitlist_invitation_expiry/{ben}/PRODUCTION"
    assert abs(next_run - invited_at - 48 * HOUR) < SECOND
    assert capsys.readouterr().out == f"Job: {id_}, Next run: {next_run}\n"
    run(ACTIVE_JOBS)  # by another application on the same database
    assert capsys.readouterr().out.splitlines() == [
        f"ID: {id_}",
        f"  Next run: {next_run}",
        f"  Function: {app_scheduler.get_jobs()[0].func_ref}",
        f"  Args: {(ben, 'waitlist_invitation_expiry', 'AutomaticWaitList')!r}",
    ]
    assert "AutomaticWaitList" in str(app_scheduler.get_jobs()[0].func_ref)


def test_in_development_the_job_is_due_in_a_second(
    shell: Shell, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ben,) = waiting(shell, "Ben")
    configured(monkeypatch, url, "DEVELOPMENT")
    id_, invited_at, next_run = manual_test()
    assert id_ == f"waitlist_invitation_expiry/{ben}/DEVELOPMENT"
    assert next_run - invited_at == SECOND


# --- WS13: an invitation without automation ------------------------------------------------------


def test_a_job_taken_away_stays_away_and_the_invitation_open(shell: Shell) -> None:
    (ben,) = waiting(shell, "Ben")
    run(WITHOUT_AUTOMATION, enrollment=the_row(ben))
    assert app_scheduler.get_jobs() == []
    assert renew_automations().planned == 0
    assert app_scheduler.get_jobs() == []
    db.session.expire_all()
    row = the_row(ben)
    assert (row.status, row.expiry_exempt) == ("waitlist-invited", True)


# --- WS14, WS15: watching and saving the queue ---------------------------------------------------


def test_the_queue_is_counted_and_a_large_one_warns(
    shell: Shell, caplog: pytest.LogCaptureFixture
) -> None:
    given = {"app_scheduler": app_scheduler, "logger": logging.getLogger("monitoring")}
    check_job_queue = run(QUEUE_SIZE, **given)["check_job_queue"]
    assert check_job_queue() == console.check_job_queue() == 0
    with shell.cast() as cast:
        training = cast.several(101, places=100)
        training.events.clear()
        cast.session.flush()
        id_ = training.id
        waitlist.fill_open_spots(cast.session, id_, shell.now)
    assert check_job_queue() == console.check_job_queue() == 100
    assert "queue" not in caplog.text
    with write(db.session):
        db.session.get_one(Training, id_).max_participants = 101
        waitlist.fill_open_spots(db.session(), id_, shell.now)
    assert check_job_queue() == 101
    assert "Large waitlist job queue: 101" in caplog.text
    caplog.clear()
    assert console.check_job_queue() == 101
    assert "Large waitlist job queue: 101" in caplog.text


def test_the_backup_is_valid_json_and_so_is_ours(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ben,) = waiting(shell, "Ben")
    console.invite_from_waitlist(the_row(ben))
    monkeypatch.chdir(tmp_path)
    run(BACKUP, app_scheduler=app_scheduler)
    theirs = json.loads(Path("jobs_backup.json").read_text())
    assert set(theirs[0]) == {"id", "next_run", "args"}
    assert theirs[0]["args"] == [ben, "waitlist_invitation_expiry", "AutomaticWaitList"]
    assert shell("jobs", "export", "--out", "ours.json").exit_code == 0
    ours = json.loads(Path("ours.json").read_text())
    for job in (*theirs, *ours):
        job["next_run"] = datetime.fromisoformat(job["next_run"])
    assert ours == theirs


# --- WS17, WS18: batches and rates, with commits -------------------------------------------------


def document_batch(training: Training) -> None:
    given = {"timedelta": timedelta, "schedule_invitation": console.schedule_invitation}
    run(BATCH, **given)["invite_batch_from_waitlist"](training)


def our_batch(training: Training) -> None:
    snippet = "from bcource.students.common import invite_batch_from_waitlist"
    assert len(run(snippet)["invite_batch_from_waitlist"](training)) == 5


@pytest.mark.parametrize("batch", [document_batch, our_batch])
def test_a_batch_of_five_is_planned_a_minute_apart(shell: Shell, batch: Any) -> None:
    names = ("Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hal")
    uuids = waiting(shell, *names, places=7)
    batch(the_row(uuids[0]).training)
    at = [the_row(uuid).invite_planned_at for uuid in uuids]
    first = at[0]
    assert first is not None
    for minutes, planned in enumerate(at[:5]):
        assert planned is not None
        assert abs(planned - first - minutes * MINUTE) < 5 * SECOND
    assert at[5:] == [None, None]
    assert db.session.scalars(sa.select(Job)).all() == []  # nobody is invited yet


def test_both_rates_are_true_below_three_and_false_from_three(shell: Shell) -> None:
    given = {"TrainingEnroll": TrainingEnroll, "datetime": datetime, "timedelta": timedelta}
    theirs = run(RATE, **given)["check_invitation_rate"]
    ours = run("from bcource.students.common import check_invitation_rate")["check_invitation_rate"]
    asked = []
    with shell.cast() as cast:
        ben = cast.student("Ben")
        for n in range(4):
            asked.append((theirs(ben), ours(ben)))
            training = cast.training(f"Course {n}", 1, start=None)
            ada = cast.enrol("Ada", shell.now, training)
            cast.enrol("Ben", shell.now, training)
            cast.leave(ada, shell.now)
    assert asked == [(True, True), (True, True), (True, True), (False, False)]
