"""The snippets of the waitlist guide that need no running clock (waitlist WS4, 5, 9–11, 16–18)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from app.extensions import db, write
from app.models import AutomationSchedule, Job, Practice, Training, TrainingEnroll, TrainingEvent
from app.services import deadline, documented, plan, waitlist
from app.services.intervals import parse_interval
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, START, Cast
from tests.documents.table import ours, run

CLASSES_ROW = """
from bcource.models import AutomationClasses

db.session.add(
    AutomationClasses(
        class_name="AutomaticWaitList",
        description="Automatic Waitlist.",
        module_path="bcource.automation.automation_tasks",
        qualified_name="bcource.automation.automation_tasks.AutomaticWaitList"
    )
)
db.session.commit()
"""

STEP_TWO = """
from bcource.models import AutomationSchedule, AutomationClasses, BeforeAfterEnum, EventsEnum
from datetime import timedelta

# Get the AutomaticWaitList class
waitlist_class = AutomationClasses.query.filter_by(
    class_name="AutomaticWaitList"
).first()

# Create a schedule to expire invitations 48 hours after they're sent
schedule = AutomationSchedule(
    name="waitlist_invitation_expiry",
    automation_class=waitlist_class,
    beforeafter=BeforeAfterEnum.after,  # After the invitation
    events=EventsEnum.invited,           # Event type
    interval=timedelta(hours=48),        # 48 hours to respond
    active=True
)

db.session.add(schedule)
db.session.commit()
"""

ADVANCED = """
# VIP trainings: 7 days to respond
vip_schedule = AutomationSchedule(
    name="waitlist_vip_expiry",
    automation_class=waitlist_class,
    beforeafter=BeforeAfterEnum.after,
    interval=timedelta(days=7),
    active=True
)

# Regular trainings: 48 hours
regular_schedule = AutomationSchedule(
    name="waitlist_regular_expiry",
    automation_class=waitlist_class,
    beforeafter=BeforeAfterEnum.after,
    interval=timedelta(hours=48),
    active=True
)
"""

TEST_SCHEDULE = """
# Test with short interval in development
test_schedule = AutomationSchedule(
    name="waitlist_test",
    interval=timedelta(seconds=30),  # 30 second test
    active=True
)
"""


@pytest.fixture
def database(app: Flask) -> Iterator[Flask]:
    """A database of one's own, for snippets that commit, inside the application's context."""
    with app.app_context():
        yield app
        db.session.remove()


def documented_schedules() -> dict[str, Any]:
    """All of step 1 and 2 has been typed."""
    run(CLASSES_ROW, db=db)
    return run(STEP_TWO, db=db)


def add(*rows: Any) -> None:
    with write(db.session):
        db.session.add_all(rows)


# --- WS4, WS5: the rows --------------------------------------------------------------------------


@pytest.mark.usefixtures("database")
def test_the_class_row_has_the_four_documented_fields() -> None:
    run(CLASSES_ROW, db=db)
    cls = run(
        """
        from bcource.models import AutomationClasses

        cls = AutomationClasses.query.filter_by(class_name="AutomaticWaitList").first()
        print(cls)  # Should not be None
        """
    )["cls"]
    assert (cls.class_name, cls.description) == ("AutomaticWaitList", "Automatic Waitlist.")
    assert cls.module_path == "app.automation.automation_tasks"
    assert cls.qualified_name == "app.automation.automation_tasks.AutomaticWaitList"


@pytest.mark.usefixtures("database")
def test_step_two_saves_the_schedule_that_governs() -> None:
    documented_schedules()
    row = db.session.scalars(sa.select(AutomationSchedule)).one()
    assert (row.name, row.interval, row.active) == ("waitlist_invitation_expiry", 2 * DAY, True)
    assert (row.beforeafter, row.events) == ("after", "invited")


@pytest.mark.usefixtures("database")
def test_vip_and_regular_are_saved_and_either_governs_by_itself(kind: str) -> None:
    names = documented_schedules()
    first = names["schedule"]
    rows = run(ADVANCED, **{n: names[n] for n in names if not n.startswith("_")})
    add(rows["vip_schedule"], rows["regular_schedule"])
    with write(db.session):
        first.active = False
    training = a_training()
    assert governing(training).name == "waitlist_vip_expiry"  # two catch-alls: the lowest id
    with write(db.session):
        rows["vip_schedule"].active = False
    assert governing(training).name == "waitlist_regular_expiry"


@pytest.mark.usefixtures("database")
def test_the_test_schedule_is_saved_and_inert() -> None:
    names = documented_schedules()
    test = run(TEST_SCHEDULE, **{n: names[n] for n in names if not n.startswith("_")})
    row = test["test_schedule"]
    add(row)
    assert (row.active, row.interval) == (True, timedelta(seconds=30))
    assert (row.automation_class, row.beforeafter, row.events) == (None, "after", None)
    training = a_training()
    assert governing(training).name == "waitlist_invitation_expiry"
    plan.training_jobs(db.session(), training, NOON)
    assert db.session.scalars(sa.select(Job)).all() == []


def a_training() -> Training:
    """A training in the documents' database, where the only schedules are theirs."""
    practice = Practice(name="Clay & Co", shortname="clay")
    training = Training(name="Pottery", practice=practice, max_participants=1, active=True)
    training.events.append(TrainingEvent(start_time=START, end_time=START + HOUR))
    add(training)
    return training


def governing(training: Training) -> deadline.Governing:
    schedule = deadline.governing_schedule(db.session(), training)
    assert schedule is not None
    return schedule


@pytest.mark.parametrize("text", ["2 00:00:00", "0 48:00:00"])
def test_both_ways_to_type_the_interval_are_48_hours(text: str) -> None:
    assert parse_interval(text) == timedelta(hours=48)


# --- WS9: the checks -----------------------------------------------------------------------------


def test_check_two_and_three_find_class_and_schedule(
    cast: Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        """
        from bcource.models import AutomationClasses

        cls = AutomationClasses.query.filter_by(class_name="AutomaticWaitList").first()
        print(cls)  # Should not be None
        """
    )
    run(
        """
        from bcource.models import AutomationSchedule

        schedule = AutomationSchedule.query.filter_by(
            name="waitlist_invitation_expiry"
        ).first()
        print(f"Active: {schedule.active}")  # Should be True
        """
    )
    assert capsys.readouterr().out == "<AutomationClasses AutomaticWaitList>\nActive: True\n"


# --- WS10, WS11: debugging -----------------------------------------------------------------------


def test_no_enrolment_has_two_jobs(
    cast: Cast, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    training = cast.several(3, places=2)
    waitlist.fill_open_spots(session, training.id, NOON)
    counts = run(
        """
        job_ids = [job.id for job in jobs]

        # Count occurrences of same UUID
        from collections import Counter
        counts = Counter([jid.split('/')[1] for jid in job_ids if '/' in jid])
        duplicates = {k: v for k, v in counts.items() if v > 1}
        print(f"Duplicates: {duplicates}")
        """,
        jobs=session.scalars(sa.select(Job)).all(),
    )["counts"]
    assert capsys.readouterr().out == "Duplicates: {}\n"
    invited = sa.select(TrainingEnroll.uuid).where(TrainingEnroll.status == "waitlist-invited")
    assert set(counts) == set(session.scalars(invited))
    assert len(counts) == 2


def test_the_past_date_check_prints_the_dates(
    cast: Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    cast.offer("Ben")
    enrollment = run(
        """
        enrollment = TrainingEnroll.query.filter_by(
            status="waitlist-invited"
        ).first()

        print(f"Invite date: {enrollment.invite_date}")
        print(f"Current time: {datetime.utcnow()}")
        """,
        TrainingEnroll=TrainingEnroll,
        datetime=datetime,
    )["enrollment"]
    assert capsys.readouterr().out.startswith(f"Invite date: {NOON}\nCurrent time: 2")
    schedule = cast.schedule
    assert enrollment.invite_date + schedule.interval == enrollment.invite_expires_at == DEADLINE


CASCADE = """
# In AutomaticWaitList.execute()
enrollment = TrainingEnroll().query.filter(
    TrainingEnroll.uuid == self.id
).first()

print(f"Found enrollment: {enrollment}")
print(f"Status: {enrollment.status}")

# Check eligible students
waitlist_eligible = enrollment.training.waitlist_enrollments_eligeble()
print(f"Eligible students: {list(waitlist_eligible)}")
"""


def test_the_cascade_debug_lists_who_would_be_invited_in_order(
    cast: Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    ben, cleo, dan = cast.line("Ben", "Cleo", "Dan")
    names = {"TrainingEnroll": TrainingEnroll, "self": SimpleNamespace(id=ben.uuid)}
    cast.pottery.events.clear()  # it reads the clock, and the cast lives at its own time
    assert run(CASCADE, **names)["waitlist_eligible"] == []  # full
    cast.pottery.max_participants = 3
    cast.session.flush()
    assert run(CASCADE, **names)["waitlist_eligible"] == [ben, cleo]
    cast.pottery.max_participants = 9
    cast.session.flush()
    assert run(CASCADE, **names)["waitlist_eligible"] == [ben, cleo, dan]
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == [f"Found enrollment: {ben!r}", "Status: waitlist", "Eligible students: []"]


# --- WS16: the indexes ---------------------------------------------------------------------------


def test_the_documented_indexes_are_there_already(session: Session) -> None:
    for statement in (
        "CREATE INDEX idx_training_enroll_status ON training_enroll(status)",
        "CREATE INDEX idx_training_enroll_invite_date ON training_enroll(invite_date)",
    ):
        with pytest.raises(sa.exc.DBAPIError, match="already exists"), session.begin_nested():
            session.execute(sa.text(statement))


# --- WS17: batches -------------------------------------------------------------------------------

BATCH = """
# Example: Invite in batches with delays
def invite_batch_from_waitlist(training, batch_size=5):
    eligible = training.waitlist_enrollments_eligeble()

    for i, enrollment in enumerate(list(eligible)[:batch_size]):
        # Stagger invitations by 1 minute each
        delay = timedelta(minutes=i)
        schedule_invitation(enrollment, delay)
"""


def planned(cast: Cast, training: Training) -> list[datetime | None]:
    of = sa.select(TrainingEnroll.invite_planned_at).where(
        TrainingEnroll.training_id == training.id
    )
    return list(cast.session.scalars(of.order_by(TrainingEnroll.queue_position)))


def by_the_document(cast: Cast, training: Training) -> None:
    def schedule_invitation(enrolment: TrainingEnroll, delay: timedelta) -> None:
        documented.schedule_invitation(cast.session, enrolment, delay, NOON)

    names = {"timedelta": timedelta, "schedule_invitation": schedule_invitation}
    run(BATCH, **names)["invite_batch_from_waitlist"](training)


def by_our_service(cast: Cast, training: Training) -> None:
    assert len(documented.invite_batch_from_waitlist(cast.session, training, now=NOON)) == 5


@pytest.mark.parametrize("batch", [by_the_document, by_our_service])
def test_a_batch_plans_five_a_minute_apart(
    cast: Cast, batch: Callable[[Cast, Training], None]
) -> None:
    training = cast.several(7, places=6)
    training.events.clear()  # as above: the document's function reads the clock
    cast.session.flush()
    batch(cast, training)
    assert planned(cast, training) == [*(NOON + n * MINUTE for n in range(5)), None, None]


def test_a_batch_plans_no_more_than_there_are_places(cast: Cast) -> None:
    training = cast.several(7, places=2)
    assert len(documented.invite_batch_from_waitlist(cast.session, training, now=NOON)) == 2
    assert documented.invite_batch_from_waitlist(cast.session, training, now=NOON) == []


# --- WS18: the rate ------------------------------------------------------------------------------


def test_the_invitation_rate_is_true_below_three_and_false_from_three(cast: Cast) -> None:
    ben, asked = cast.student("Ben"), []
    for n in range(3):
        asked.append(documented.check_invitation_rate(cast.session, ben, now=NOON + n * MINUTE))
        training = cast.training(f"Course {n}")
        ada = cast.enrol("Ada", training=training)
        cast.enrol("Ben", training=training)
        cast.leave(ada, NOON + n * MINUTE)
    asked.append(documented.check_invitation_rate(cast.session, ben, now=NOON + HOUR))
    assert asked == [True, True, True, False]
    assert documented.check_invitation_rate(cast.session, ben, limit=4, now=NOON + HOUR)
    assert documented.check_invitation_rate(cast.session, ben, now=NOON + DAY)


# --- the two documented functions, as services ---------------------------------------------------


def test_the_documented_functions_invite_and_take_back(cast: Cast) -> None:
    ben, cleo = cast.line("Ben", "Cleo")
    cast.pottery.max_participants = 2
    before = cast.last_letter()
    documented.invite_from_waitlist(cast.session, ben, now=NOON)
    assert (ben.status, ben.invite_date) == ("waitlist-invited", NOON)
    assert list(cast.jobs()) == [f"waitlist_invitation_expiry/{ben.uuid}/PRODUCTION"]
    documented.deinvite_from_waitlist(cast.session, ben, now=NOON + HOUR)
    assert cast.statuses(ben, cleo) == ["waitlist-invite-expired", "waitlist-invited"]
    assert cast.letters(before)[:4] == [
        ("invited", "Ben"),
        ("invited_trainer", "Tess"),
        ("expired", "Ben"),
        ("expired_trainer", "Tess"),
    ]


# --- the table -----------------------------------------------------------------------------------


def test_a_snippet_gets_our_paths_and_spellings() -> None:
    assert ours("from bcource.models import Training") == "from app.models import Training"
    assert ours("from bcource import db") == "from app import db"
    assert ours("x.waitlist_enrollments_eligeble()") == "x.waitlist_enrollments_eligible()"
