"""Whoever commits for the scheduler rings it: it looks at once, not a second later (SI2)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from app.automation import lock as module
from app.automation.lock import SchedulerLock, wake_scheduler
from app.extensions import db, write
from app.models import AutomationRun, Job, Outbox, OutboxState, RunStatus, Training
from app.ops import console
from tests.cast import HOUR, MINUTE
from tests.ops.test_console import a_place_is_free, the_row
from tests.shell import Shell
from tests.sink import free_port

BEARABLE = 0.05  # seconds that whoever rings waits at most


@pytest.fixture
def port(shell: Shell) -> int:
    """Where the scheduler of this shell listens, if there is one."""
    port, settings = free_port(), shell.app.extensions["settings"]
    shell.app.extensions["settings"] = settings.model_copy(update={"scheduler_lock_port": port})
    return port


@pytest.fixture
def bell(port: int) -> Iterator[threading.Event]:
    """Set when somebody rings."""
    lock, rung = SchedulerLock("127.0.0.1", port), threading.Event()
    lock.take()
    lock.serve(rung.set)
    yield rung
    lock.release()


def rings(bell: threading.Event, shell: Shell, *args: str) -> bool:
    bell.clear()
    assert shell(*args).exit_code == 0
    return bell.wait(0.5)


@pytest.mark.parametrize("kind", ["sqlite"])
def test_what_a_command_commits_rings(shell: Shell, bell: threading.Event) -> None:
    shell.overdue("Ben")
    assert rings(bell, shell, "waitlist", "sweep")
    assert rings(bell, shell, "waitlist", "fill", "--all", "--yes")
    assert rings(bell, shell, "jobs", "renew")
    assert rings(bell, shell, "outbox", "release", "--yes")
    with shell.app.app_context(), write(db.session):
        a_letter = sa.select(sa.func.min(Outbox.id)).scalar_subquery()
        given_up = {"state": OutboxState.DEAD, "ended_at": shell.now - MINUTE}
        db.session.execute(sa.update(Outbox).where(Outbox.id == a_letter).values(**given_up))
        id_ = db.session.scalar(sa.select(sa.func.min(Outbox.id)))
        db.session.execute(sa.delete(Job))
    assert rings(bell, shell, "outbox", "requeue", "--channel", "email", "--since", "1 hour",
                 "--yes")  # fmt: skip
    assert rings(bell, shell, "outbox", "retry", str(id_))


@pytest.mark.parametrize("kind", ["sqlite"])
def test_a_run_that_is_tried_again_rings(shell: Shell, bell: threading.Event) -> None:
    with shell.cast() as cast:
        row = {"schedule_id": cast.schedule.id, "item": "x", "occurrence": "once"}
        run = cast.add(AutomationRun(status=RunStatus.FAILED, **row))
        id_ = str(run.id)
    assert rings(bell, shell, "runs", "retry", id_)


@pytest.mark.parametrize("kind", ["sqlite"])
def test_what_writes_nothing_rings_nobody(shell: Shell, bell: threading.Event) -> None:
    shell.overdue("Ben")
    for command in ("jobs renew --dry-run", "waitlist sweep --dry-run", "jobs list"):
        assert not rings(bell, shell, *command.split())


def test_the_documents_functions_ring_once_it_is_committed(
    shell: Shell, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, bool]] = []

    def ring(_host: str, to: int) -> None:
        seen.append((to, db.session().in_transaction() and bool(db.session.dirty)))

    monkeypatch.setattr(module, "ring", ring)
    ben, cleo = a_place_is_free(shell, "Ben", "Cleo")
    with shell.app.app_context():
        assert console.invite_from_waitlist(the_row(ben)) is True
        assert len(seen) == 1
        assert console.invite_from_waitlist(the_row(ben)) is False  # refused: nothing to tell
        assert len(seen) == 1
        assert console.deinvite_from_waitlist(the_row(ben)) is True
        console.schedule_invitation(the_row(cleo), HOUR)
        console.invite_batch_from_waitlist(db.session.scalars(sa.select(Training)).all()[-1])
    assert len(seen) >= 3
    assert set(seen) == {(port, False)}


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1", "no such host.invalid", "a" * 300])
def test_where_nobody_listens_ringing_fails_nobody_and_takes_no_time(
    shell: Shell, port: int, host: str
) -> None:
    settings = shell.app.extensions["settings"]
    shell.app.extensions["settings"] = settings.model_copy(update={"scheduler_lock_host": host})
    with shell.app.app_context():
        wake_scheduler()  # the first thread costs more
        before = time.monotonic()
        for _ in range(5):
            wake_scheduler()
    assert (time.monotonic() - before) / 5 < BEARABLE
