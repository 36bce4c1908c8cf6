"""It runs by itself: a scheduler process, a mail server, nobody at the web (waitlist WQ 2, 21).

An invitation runs out; the next student is invited; both and the trainer are told. The job of the
invitation does it, and so does the sweep: each is seen alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from app.extensions import db, utcnow, write
from app.models import (
    AutomationSchedule,
    EnrolmentStatus,
    Job,
    Outbox,
    OutboxState,
    TrainingEnroll,
)
from app.ops import invariants
from app.services import enrolments, waitlist
from app.services.actors import LINK
from tests.cast import NOON, Cast
from tests.schedulers import ROOT, a_scheduler, environment
from tests.sink import Sink

ANSWER = timedelta(seconds=4)
IN_TIME = 5.0  # seconds after the deadline, letters on the wire
WITHOUT_SWEEP = """
import sys
from datetime import timedelta
from app.automation.scheduler_duties import Duty
from app.ops import scheduler_process
scheduler_process.sweep_duty = lambda epoch: Duty("none", timedelta(days=1), lambda stop: None)
import run_scheduler
sys.exit(run_scheduler.main())
"""


@dataclass
class Scene:
    """Ada has Pottery's one place, Ben and Cleo wait, Tess teaches."""

    app: Flask
    sink: Sink
    env: dict[str, str]
    ada: int  # her enrolment
    ben: str
    cleo: str
    tess: str
    deadline: datetime = NOON

    def offer(self) -> None:
        """Ada leaves: from now on Ben has `ANSWER` to take her place. Who comes next has days."""
        with self.app.app_context(), write(db.session):
            session, now = db.session(), utcnow()
            schedule = session.scalars(sa.select(AutomationSchedule)).one()
            schedule.interval = ANSWER
            enrolments.deroll(session, session.get_one(TrainingEnroll, self.ada), LINK, now)
            schedule.interval = timedelta(days=2)
            told = {"state": OutboxState.SENT, "ended_at": now}
            session.execute(sa.update(Outbox).values(told))  # how they came here
        self.deadline = now + ANSWER

    def all_told(self) -> float:
        """Seconds after the deadline when the last of the four letters came."""
        assert self.sink.wait_for(4, 30), [str(m["Subject"]) for _, _, m in self.sink.letters]
        return max(when for when, _, _ in self.sink.letters) - self.deadline.timestamp()

    def check(self) -> None:
        """Ben ran out, Cleo is invited, everyone concerned knows, and the history is sound."""
        told = {to: self.sink.subjects_to(to) for to in (self.ben, self.cleo, self.tess)}
        assert [len(told[who]) for who in (self.ben, self.cleo, self.tess)] == [1, 1, 2]
        assert "Pottery" in told[self.cleo][0]
        assert set(told[self.tess]) == {
            "Waitlist Invitation Expired - Pottery",
            "Waitlist Invitation Sent - Pottery",
        }
        assert set(self.sink.copies.values()) == {1}
        with self.app.app_context():
            assert invariants.check(db.session(), utcnow()) == []
            db.session.remove()


@pytest.fixture
def scene(app: Flask, url: str) -> Iterator[Scene]:
    with Sink() as sink:
        with app.app_context(), write(db.session):
            cast = Cast(db.session())
            now = utcnow()
            cast.pottery = cast.training("Pottery", 1, now + timedelta(days=30))
            ada, _, _ = (cast.enrol(who, now) for who in ("Ada", "Ben", "Cleo"))
            told = {"state": OutboxState.SENT, "ended_at": now}
            db.session.execute(sa.update(Outbox).values(told))
            ben, cleo = (cast.student(who).user.email for who in ("Ben", "Cleo"))
            tess, ada_id = cast.tess.user.email, ada.id
        env = environment(url, SMTP_PORT=str(sink.port), PYTHONPATH=str(ROOT))
        yield Scene(app, sink, env, ada_id, ben, cleo, tess)


def test_job_and_sweep_together_do_it_once(scene: Scene) -> None:
    with a_scheduler(scene.env, forked=True) as running:
        scene.offer()
        assert scene.all_told() < IN_TIME
        assert running.stop() == 0
    scene.check()


def test_the_sweep_does_it_when_every_job_is_lost(scene: Scene) -> None:
    with a_scheduler(scene.env, forked=True) as running:
        scene.offer()
        with scene.app.app_context(), write(db.session):
            assert db.session.query(Job).delete() == 1
        assert scene.all_told() < IN_TIME
        assert running.stop() == 0
    scene.check()


def test_the_job_does_it_without_a_sweep(scene: Scene, tmp_path: Path) -> None:
    script = tmp_path / "without_sweep.py"
    script.write_text(WITHOUT_SWEEP)
    with a_scheduler(scene.env, str(script), forked=True) as running:
        scene.offer()
        assert scene.all_told() < IN_TIME
        assert running.stop() == 0
    assert any("waitlist_invitation_expiry ended 1, invited 1" in line for line in running.said)
    scene.check()


def test_what_ran_out_while_nobody_ran_is_done_at_the_start(scene: Scene) -> None:
    scene.offer()
    time.sleep(max(0.0, (scene.deadline - utcnow()).total_seconds()))
    with a_scheduler(scene.env) as running:
        ready = utcnow()
        scene.all_told()
        took = max(when for when, _, _ in scene.sink.letters) - ready.timestamp()
        assert took < IN_TIME
        assert running.stop() == 0
    scene.check()


def test_an_answer_in_time_is_left_alone(scene: Scene) -> None:
    with a_scheduler(scene.env, forked=True) as running:
        scene.offer()
        with scene.app.app_context(), write(db.session):
            invited = sa.select(TrainingEnroll).where(
                TrainingEnroll.status == EnrolmentStatus.INVITED
            )
            ben = db.session.scalars(invited).one()
            answer = waitlist.accept(db.session(), ben, LINK, utcnow())
            assert answer is waitlist.Answer.ENROLLED
        assert scene.sink.wait_for(2, 10)  # Ben and Tess
        assert not scene.sink.wait_for(3, 6)  # nothing runs out
        assert running.stop() == 0
