"""The documents' functions for a shell: they commit and log, or refuse and change nothing (RC5)."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.extensions import db, utcnow
from app.models import Job, Student, Training, TrainingEnroll
from app.ops import console
from tests.cast import HOUR, MINUTE
from tests.shell import Shell

LOGGER = "app.automation.console"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="app.automation")
    return caplog


def told(log: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """(level, text) of what the console wrote."""
    return [(r.levelname, r.getMessage()) for r in log.records if r.name == LOGGER]


def the_row(uuid: str) -> TrainingEnroll:
    return db.session.scalars(sa.select(TrainingEnroll).where(TrainingEnroll.uuid == uuid)).one()


def seen(app: Flask, uuid: str) -> tuple[str, int]:
    """Status of a row and how many jobs there are, as another session has it."""
    with app.app_context(), Session(db.engine) as other:
        row = sa.select(TrainingEnroll.status).where(TrainingEnroll.uuid == uuid)
        return str(other.scalar(row)), other.scalar(
            sa.select(sa.func.count()).select_from(Job)
        ) or 0


def a_place_is_free(shell: Shell, *names: str) -> list[str]:
    """`names` wait for Bread, which has two places and one taken."""
    uuids = shell.line(*names)
    with shell.app.app_context():
        two = sa.update(Training).where(Training.name == "Bread").values(max_participants=2)
        db.session.execute(two)
        db.session.commit()
    return uuids


def test_an_invitation_is_committed_and_logged(shell: Shell, log: pytest.LogCaptureFixture) -> None:
    (ben,) = a_place_is_free(shell, "Ben")
    with shell.app.app_context():
        row = the_row(ben)
        assert console.invite_from_waitlist(row) is True
        assert row.status == "waitlist-invited"  # the caller's object shows it
        people = f"user: <User {row.student.user_id}> from training: <Training {row.training_id}>"
    assert seen(shell.app, ben) == ("waitlist-invited", 1)
    assert told(log) == [("INFO", f"invited {people}")]
    log.clear()
    with shell.app.app_context():
        assert console.deinvite_from_waitlist(the_row(ben)) is True
    assert seen(shell.app, ben) == ("waitlist-invite-expired", 0)
    assert told(log) == [("INFO", f"deinvited {people}")]


def test_without_expiry_there_is_no_job(shell: Shell) -> None:
    (ben,) = a_place_is_free(shell, "Ben")
    with shell.app.app_context():
        assert console.invite_from_waitlist(the_row(ben), schedule_expiry=False)
    assert seen(shell.app, ben) == ("waitlist-invited", 0)


def test_what_is_refused_is_a_warning_and_changes_nothing(
    shell: Shell, log: pytest.LogCaptureFixture
) -> None:
    (ben,) = shell.line("Ben")
    before = shell.everything()
    with shell.app.app_context():
        row = the_row(ben)
        name = repr(row)
        assert console.invite_from_waitlist(row) is False  # the training is full
        assert console.deinvite_from_waitlist(row) is False
        assert console.schedule_invitation(row, MINUTE) is False
    assert shell.everything() == before
    assert [level for level, _ in told(log)] == ["WARNING"] * 3
    assert told(log)[0][1].startswith(f"{name} left as it is: No place is free.")
    assert told(log)[1][1] == f"{name} status is not waitlist-invited"


def test_who_cannot_be_reached_is_not_invited(shell: Shell, log: pytest.LogCaptureFixture) -> None:
    (ben,) = a_place_is_free(shell, "Ben")
    with shell.app.app_context():
        the_row(ben).student.user.undeliverable_at = utcnow()
        db.session.commit()
    before = shell.everything()
    with shell.app.app_context():
        assert console.invite_from_waitlist(the_row(ben)) is False
    assert shell.everything() == before
    assert "unreachable" in told(log)[0][1]


def test_inviting_twice_is_refused_the_second_time(
    shell: Shell, log: pytest.LogCaptureFixture
) -> None:
    (ben,) = a_place_is_free(shell, "Ben")
    with shell.app.app_context():
        assert console.invite_from_waitlist(the_row(ben))
    before = shell.everything()
    with shell.app.app_context():
        row = the_row(ben)
        assert console.invite_from_waitlist(row) is False
        assert told(log)[-1] == ("WARNING", f"{row!r} status is not waitlist")
    assert shell.everything() == before


def test_a_row_of_an_earlier_context_will_do(shell: Shell) -> None:
    ben, cleo = a_place_is_free(shell, "Ben", "Cleo")
    with shell.app.app_context():
        stale = the_row(ben)
    with shell.app.app_context():
        assert console.invite_from_waitlist(stale) is True
    assert seen(shell.app, ben)[0] == "waitlist-invited"
    assert seen(shell.app, cleo)[0] == "waitlist"


def test_no_row_at_all_is_refused(shell: Shell, log: pytest.LogCaptureFixture) -> None:
    with shell.app.app_context():
        for act in (console.invite_from_waitlist, console.deinvite_from_waitlist):
            assert act(None) is False
            assert act(TrainingEnroll()) is False
    assert [text.split(":")[0] for _, text in told(log)] == ["no such enrollment"] * 4


def test_a_batch_is_planned_and_one_by_one_too(shell: Shell, log: pytest.LogCaptureFixture) -> None:
    ben, cleo, dan = a_place_is_free(shell, "Ben", "Cleo", "Dan")
    with shell.app.app_context():
        training = the_row(ben).training
        assert console.invite_batch_from_waitlist(training) == [ben]
        assert console.invite_batch_from_waitlist(training) == []
        training.max_participants = 3
        db.session.commit()
        assert console.schedule_invitation(the_row(cleo), timedelta(hours=2)) is True
        assert console.schedule_invitation(the_row(dan), HOUR) is False
    with shell.app.app_context():
        at = [the_row(uuid).invite_planned_at for uuid in (ben, cleo, dan)]
    assert at[0] is not None
    assert at[1] is not None
    assert at[2] is None
    assert abs(at[1] - at[0] - 2 * HOUR) < MINUTE
    assert told(log)[0][1].startswith("planned invitations: 1 from training: <Training")


def test_the_rate_is_asked_of_the_clock(shell: Shell) -> None:
    (ben,) = a_place_is_free(shell, "Ben")
    with shell.app.app_context():
        row = the_row(ben)
        student: Student = row.student
        assert console.check_invitation_rate(student) is True
        console.invite_from_waitlist(row)
        assert console.check_invitation_rate(student, limit=1) is False
        assert console.check_invitation_rate(student, limit=2, window_hours=1) is True


def test_without_an_application_nothing_works(shell: Shell) -> None:
    (ben,) = shell.line("Ben")
    with shell.app.app_context():
        row = the_row(ben)
    with pytest.raises(RuntimeError, match="application context"):
        console.invite_from_waitlist(row)
