"""A full training, told with commits: people queue, one leaves, silence, the next one answers.

After each step a second session reads what everybody else would see: statuses, history, letters,
jobs (waitlist WQ 1–3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.extensions import db, write
from app.models import EnrolmentHistory, Job, Outbox, Student, Training, TrainingEnroll, User
from app.services import sweep, waitlist
from app.services.waitlist import Answer
from tests.cast import DEADLINE, HOUR, NOON, SECOND, Cast

SECOND_DEADLINE = DEADLINE + 48 * HOUR


@dataclass
class Story:
    """The cast in a session that commits, and a reader beside it."""

    cast: Cast
    reader: Session
    read_so_far: int = field(default=0)

    def seen(self) -> dict[str, str]:
        """First name -> status, as another session sees it."""
        rows = self.reader.execute(
            sa.select(User.first_name, TrainingEnroll.status)
            .join(Student, Student.user_id == User.id)
            .join(TrainingEnroll, TrainingEnroll.student_id == Student.id)
            .order_by(TrainingEnroll.id)
        )
        found = {name: str(status) for name, status in rows}
        self.reader.rollback()
        return found

    def new_letters(self) -> list[tuple[str, str]]:
        """(letter, reader) of those promised since we last looked."""
        rows = self.reader.execute(
            sa.select(Outbox.id, Outbox.kind, User.first_name)
            .join(User, User.id == Outbox.user_id)
            .where(Outbox.id > self.read_so_far)
            .order_by(Outbox.id)
        ).all()
        self.read_so_far = max([self.read_so_far, *(row.id for row in rows)])
        self.reader.rollback()
        return [(row.kind, row.first_name) for row in rows]

    def jobs(self) -> dict[str, datetime | None]:
        """Uuid of the enrolment -> when its invitation ends."""
        found = {
            id_.split("/")[1]: due for id_, due in self.reader.execute(sa.select(Job.id, Job.due))
        }
        self.reader.rollback()
        return found

    def history(self) -> list[tuple[int, str, str]]:
        """(number, who did it, what happened)."""
        h = EnrolmentHistory
        rows = self.reader.execute(sa.select(h.seq, h.actor, h.event).order_by(h.seq))
        found = [(row.seq, row.actor.split(":")[0], row.event) for row in rows]
        self.reader.rollback()
        return found

    def ledger(self) -> int:
        taken = self.reader.scalar(sa.select(Training.seats_taken))
        self.reader.rollback()
        return taken or 0


@pytest.fixture
def story(app: Flask) -> Iterator[Story]:
    """Pottery with one place; Ada has it, Ben and Cleo wait; nobody has read a letter."""
    with app.app_context():
        with write(db.session):
            cast = Cast(db.session())
            cast.enrol_all("Ada", "Ben", "Cleo")
        with Session(db.engine) as reader:
            yield Story(cast, reader)
        db.session.remove()


def test_who_comes_to_a_full_training_waits_and_is_told(story: Story) -> None:
    assert story.seen() == {"Ada": "enrolled", "Ben": "waitlist", "Cleo": "waitlist"}
    assert story.new_letters() == [
        ("enrolled", "Ada"),
        ("enrolled_trainer", "Tess"),
        ("waitlisted", "Ben"),
        ("waitlisted_trainer", "Tess"),
        ("waitlisted", "Cleo"),
        ("waitlisted_trainer", "Tess"),
    ]
    assert (story.jobs(), story.ledger()) == ({}, 1)


def test_nothing_is_seen_before_the_commit_and_nothing_after_a_failure(story: Story) -> None:
    before = story.seen(), story.history(), story.jobs()
    story.new_letters()
    ada = story.cast.row("Ada")

    def fail_half_way() -> None:
        with write(db.session):
            story.cast.leave(ada)
            assert (story.seen(), story.history(), story.jobs()) == before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert (story.seen(), story.history(), story.jobs()) == before
    assert story.new_letters() == []


def test_from_the_full_course_to_the_accepted_invitation(story: Story) -> None:
    cast = story.cast
    ada, ben, cleo = (cast.row(name) for name in ("Ada", "Ben", "Cleo"))
    story.new_letters()

    # Ada leaves: in that very transaction Ben is invited, the job is there at once.
    with write(db.session):
        cast.leave(ada, NOON)
    assert story.seen() == {"Ada": "derolled", "Ben": "waitlist-invited", "Cleo": "waitlist"}
    assert story.jobs() == {ben.uuid: DEADLINE}
    assert story.new_letters() == [
        ("derolled", "Ada"),
        ("derolled_trainer", "Tess"),
        ("invited", "Ben"),
        ("invited_trainer", "Tess"),
    ]

    # A second before the deadline nothing happens, whoever looks.
    with write(db.session):
        assert not waitlist.expire(db.session(), ben, cast.max, DEADLINE - SECOND)
    assert sweep.trainings_to_sweep(db.session(), DEADLINE - SECOND) == []
    assert (story.jobs(), story.new_letters()) == ({ben.uuid: DEADLINE}, [])

    # Ben is silent: at the deadline the sweep ends his invitation and Cleo is next.
    for training_id in sweep.trainings_to_sweep(db.session(), DEADLINE):
        with write(db.session):
            sweep.sweep_training(db.session(), training_id, DEADLINE)
    assert story.seen() == {
        "Ada": "derolled",
        "Ben": "waitlist-invite-expired",
        "Cleo": "waitlist-invited",
    }
    assert story.jobs() == {cleo.uuid: SECOND_DEADLINE}
    assert story.new_letters() == [
        ("expired", "Ben"),
        ("expired_trainer", "Tess"),
        ("invited", "Cleo"),
        ("invited_trainer", "Tess"),
    ]
    assert ben.invite_date == NOON

    # Ben is too late; nothing changes, nobody is written to.
    with write(db.session):
        assert cast.accept(ben, DEADLINE + SECOND) is Answer.TOO_LATE
    assert story.new_letters() == []

    # Cleo accepts in the last second, and clicks once more.
    for expected in (Answer.ENROLLED, Answer.ALREADY_ENROLLED):
        with write(db.session):
            assert cast.accept(cleo, SECOND_DEADLINE - SECOND) is expected
    assert story.seen()["Cleo"] == "enrolled"
    assert story.new_letters() == [("accepted", "Cleo"), ("accepted_trainer", "Tess")]
    assert (story.jobs(), story.ledger()) == ({}, 1)

    # The history tells all of it, in order.
    assert story.history() == [
        (1, "user", "enrolled"),
        (2, "user", "queued"),
        (3, "user", "queued"),
        (4, "link", "derolled"),
        (5, "system", "invited"),
        (6, "system", "expired"),
        (7, "system", "invited"),
        (8, "link", "accepted"),
    ]
    # At rest: who sweeps again, whenever, finds nothing to do.
    assert sweep.trainings_to_sweep(db.session(), SECOND_DEADLINE + HOUR) == []


def test_when_all_have_been_silent_the_place_is_free_for_who_comes_next(story: Story) -> None:
    cast = story.cast
    with write(db.session):
        cast.leave(cast.row("Ada"), NOON)
    for now in (DEADLINE, SECOND_DEADLINE):
        with write(db.session):
            sweep.sweep_training(db.session(), cast.pottery.id, now)
    assert (story.jobs(), story.ledger()) == ({}, 0)
    with write(db.session):
        cast.enrol("Dan", SECOND_DEADLINE)
    assert story.seen() == {
        "Ada": "derolled",
        "Ben": "waitlist-invite-expired",
        "Cleo": "waitlist-invite-expired",
        "Dan": "enrolled",
    }


def test_who_comes_back_after_silence_stands_behind_who_waited(story: Story) -> None:
    cast = story.cast
    with write(db.session):
        cast.leave(cast.row("Ada"), NOON)
        ben = cast.row("Ben")
        cast.expire(ben)
        cast.enrol("Ben", DEADLINE)
        cast.decline(cast.row("Cleo"), DEADLINE)
    assert story.seen() == {
        "Ada": "derolled",
        "Ben": "waitlist-invited",
        "Cleo": "waitlist-declined",
    }
    assert (ben.queue_position, ben.invite_no) == (3, 2)
