"""The data of the demo, and `flask demo load` (people PF2, PF3, rulings RD4)."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from flask import Flask

from app.automation.automation_tasks import TASKS
from app.automation.registry import registration_of
from app.extensions import db, write
from app.models import (
    AutomationClasses,
    AutomationSchedule,
    EnrolmentHistory,
    Outbox,
    Practice,
    Student,
    SystemDuty,
    Training,
    TrainingEnroll,
    TrainingEvent,
    TrainingTrainer,
    TrainingType,
    User,
)
from app.models.enrolment import EnrolmentStatus
from app.models.outbox import OutboxState
from app.ops import demo
from app.ops.demo_data import COURSES, Story, people
from app.ops.invariants import check
from app.services import digests
from tests import databases
from tests.web.browsing import csrf_token

E = TrainingEnroll
NOW = databases.begun_at()
PASSWORD = "bado-kemi-luna-tofi"


def demo_on(url: str, folder: Path, **settings: Any) -> Flask:
    app = databases.web_app_on(
        url,
        **{
            "demo": True,
            "mail_transport": "file",
            "mail_folder": str(folder / "outbox"),
            "public_base_url": "http://127.0.0.1:8000",
            "secret_key": "s" * 32,
            "security_password_salt": "p" * 32,
            "security_totp_secrets": ["t" * 32],
            **settings,
        },
    )
    return app


@pytest.fixture(scope="module", params=databases.KINDS)
def told(request: pytest.FixtureRequest) -> Iterator[Flask]:
    """The whole demo, made once for all workers; nobody here changes it."""
    letters = databases.folder() / f"demo-letters-{request.param}"

    def fill(url: str) -> None:
        app = demo_on(url, letters)
        with app.app_context():
            demo.load(PASSWORD, 1, NOW)
            demo.open_invitations(NOW)
        databases.dispose(app)

    app = demo_on(databases.made_once(request.param, "demo", fill), letters)
    yield app
    databases.dispose(app)


@pytest.fixture
def loaded(told: Flask) -> Iterator[Flask]:
    """The same, with its context."""
    with told.app_context():
        yield told
        db.session.rollback()


def count(what: Any) -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(what)) or 0


def waiting() -> list[int]:
    lines = sa.select(sa.func.count()).where(E.status == EnrolmentStatus.WAITLIST)
    return sorted(db.session.scalars(lines.group_by(E.training_id)))


def where_is(address: str) -> dict[str, str]:
    """The trainings of somebody, with their status there."""
    rows = db.session.execute(
        sa.select(Training.name, E.status)
        .join(Training, Training.id == E.training_id)
        .join(Student, Student.id == E.student_id)
        .join(User, User.id == Student.user_id)
        .where(User.email == f"{address}@demo.example")
    )
    return {name: str(status) for name, status in rows}


def test_there_are_24_trainings_and_120_students(loaded: Flask) -> None:
    assert (count(Training), count(Student)) == (24, 120)


def test_every_status_occurs_and_lines_are_of_1_to_14(loaded: Flask) -> None:
    assert set(db.session.scalars(sa.select(E.status).distinct())) == set(EnrolmentStatus)
    assert set(waiting()) == set(range(1, 15))


def test_all_that_holds_for_real_data_holds_for_these(loaded: Flask) -> None:
    assert check(db.session(), NOW) == []


def test_trainings_are_past_today_long_full_over_full_cancelled_and_paused(loaded: Flask) -> None:
    t, ev = Training, TrainingEvent
    first = sa.select(sa.func.min(ev.start_time)).where(ev.training_id == t.id).scalar_subquery()
    days = sa.select(sa.func.count()).where(ev.training_id == t.id).scalar_subquery()
    for which in (
        first < NOW - timedelta(days=1),
        sa.and_(first <= NOW, first > NOW - timedelta(hours=1)),
        days > 3,
        sa.and_(t.seats_taken == t.max_participants, t.overbooked_by == 0),
        t.overbooked_by > 0,
        t.cancelled_at.is_not(None),
        t.archived_at.is_not(None),
        t.waitlist_paused,
        sa.not_(t.active),
        t.seats_taken < t.max_participants,
    ):
        assert db.session.scalar(sa.select(t.id).where(which).limit(1)) is not None, which


def test_one_training_meets_on_both_sides_of_a_clock_change_at_the_same_hour(loaded: Flask) -> None:
    rows = db.session.execute(
        sa.select(Training.name, TrainingEvent.start_time).join(TrainingEvent.training)
    )
    on_the_clock = [(name, at.astimezone(ZoneInfo("Europe/Amsterdam"))) for name, at in rows]
    boat = [at for name, at in on_the_clock if "boat" in name]
    assert len({at.utcoffset() for at in boat}) == 2
    assert {at.hour for at in boat} == {10}


def test_every_task_is_scheduled(loaded: Flask) -> None:
    of = sa.select(AutomationClasses.class_name).join(AutomationSchedule.automation_class)
    assert set(db.session.scalars(of)) == {
        record.name for task in TASKS if (record := registration_of(task))
    }


def test_the_first_digest_of_the_demo_tells_of_what_happens_in_it(loaded: Flask) -> None:
    known = {t.training_id: t.told_seq for t in db.session.scalars(sa.select(TrainingTrainer))}
    assert sum(known.values()) > 100
    waits = [one for digest in digests.plan(db.session(), None, NOW) for one in digest.news.items()]
    h = EnrolmentHistory
    events = [
        db.session.scalars(sa.select(h.event).where(h.training_id == id_, h.seq.in_(numbers))).all()
        for id_, numbers in waits
    ]
    assert events == [["derolled", "invited"]] * len(waits)  # the last invitations of the demo
    assert waits != []


def test_three_quick_invitations_run_out_after_60_90_and_120_seconds(loaded: Flask) -> None:
    quick = db.session.scalars(
        sa.select(E.invite_expires_at)
        .join(Training, Training.id == E.training_id)
        .join(TrainingType)
        .where(TrainingType.name == "Quick", E.status == EnrolmentStatus.INVITED)
    )
    assert sorted((at - NOW).total_seconds() for at in quick if at) == [60, 90, 120]


def test_the_newest_letter_invites_somebody_who_can_sign_in(loaded: Flask) -> None:
    newest = sa.select(Outbox.kind, User.email).join(User, User.id == Outbox.user_id)
    found = db.session.execute(newest.order_by(Outbox.id.desc()).limit(1)).one()
    assert tuple(found) == ("invited", "invited@demo.example")


def test_letters_of_the_past_went_out_but_one(loaded: Flask) -> None:
    states = Counter(db.session.scalars(sa.select(Outbox.state)))
    assert states[OutboxState.DEAD] == 1
    assert set(states) == {OutboxState.SENT, OutboxState.DEAD, OutboxState.PENDING}
    due = sa.select(sa.func.min(Outbox.created_at)).where(Outbox.state == OutboxState.PENDING)
    assert db.session.scalar(due) >= NOW - timedelta(minutes=2)
    files = list(Path(loaded.extensions["settings"].mail_folder).glob("*.eml"))
    assert len(files) == states[OutboxState.SENT]


def test_the_accounts_are_where_their_names_say(loaded: Flask) -> None:
    assert set(where_is("enrolled").values()) == {"enrolled"}
    assert "waitlist" in where_is("waiting").values()
    assert "waitlist-invited" in where_is("invited").values()
    known = sa.select(User.email).where(User.password.is_not(None)).order_by(User.id)
    assert [address.partition("@")[0] for address in db.session.scalars(known)] == [
        "admin",
        "trainer",
        "enrolled",
        "waiting",
        "invited",
    ]


def test_they_sign_in_with_the_password_and_without_a_code(loaded: Flask) -> None:
    client = loaded.test_client()
    page = client.get("/sign-in", base_url="http://127.0.0.1")
    answer = client.post(
        "/sign-in",
        base_url="http://127.0.0.1",
        data={
            "email": "admin@demo.example",
            "password": PASSWORD,
            "csrf_token": csrf_token(page),
        },
    )
    assert answer.status_code in (302, 303)
    assert "code" not in answer.headers["Location"]


# --- the same again ------------------------------------------------------------------------------


def who_comes(seed: int) -> list[Any]:
    """The people of a seed, and who of them joins what."""
    chance, anyone = random.Random(seed), SimpleNamespace(id=1, user_id=1)
    students = {one.address: anyone for one in people.students(chance)}
    scene: Any = SimpleNamespace(students=students)
    story = Story(scene, chance, NOW)
    return [list(students), *(story._people(course, 3) for course in COURSES)]


def test_a_seed_tells_the_same_again_and_another_one_tells_something_else() -> None:
    assert who_comes(1) == who_comes(1) != who_comes(2)


@pytest.mark.parametrize("kind", ["sqlite"])
def test_data_are_usable_until_the_first_quick_training(url: str, here: Path) -> None:
    app = demo_on(url, here)
    with app.app_context():
        assert demo.made_at(NOW) is None
        demo.load(PASSWORD, 1, NOW)
        assert demo.made_at(NOW + timedelta(days=2)) == NOW
        assert demo.made_at(NOW + timedelta(days=4)) is None
        with write(db.session):  # as if the loading had been interrupted
            db.session.execute(sa.delete(SystemDuty))
        assert demo.made_at(NOW) is None
        db.session.rollback()
        db.engine.dispose()


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(demo, "INSTANCE", tmp_path)
    monkeypatch.setattr(demo.demo_data, "Story", NoStory)
    monkeypatch.setattr(demo.demo_data, "opening", lambda *_: None)
    return tmp_path


class NoStory:
    """People and trainings to whom nothing has happened: quick."""

    def __init__(self, *_: object) -> None: ...

    def acts(self) -> list[Any]:
        return []


def run(app: Flask, *args: str) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["demo", "load", *args])
    with app.app_context():
        db.engine.dispose()
    return result.exit_code, result.output


@pytest.mark.parametrize("kind", ["sqlite"])
def test_it_prints_what_to_open_and_keeps_the_password_to_itself(url: str, here: Path) -> None:
    code, said = run(demo_on(url, here))
    password = demo.kept_password(here)
    assert code == 0
    assert said == (
        "Nextseat demo  http://127.0.0.1:8000        Ctrl-C stops it\n"
        "Letters        http://127.0.0.1:8000/dev/outbox   open the newest, press Accept\n"
        f"Password       {password}\n"
        "admin@ trainer@ enrolled@ waiting@ invited@demo.example\n"
        "No codes: TOTP is off in the demo\n"
    )
    assert re.fullmatch(r"([a-z]{4}-){3}[a-z]{4}", str(password))
    assert (here / "demo.txt").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["sqlite"])
def test_what_is_there_is_only_removed_when_asked_and_the_password_stays(
    url: str, here: Path
) -> None:
    app = demo_on(url, here)
    run(app)
    password = demo.kept_password(here)
    code, said = run(app)
    assert (code, "add --reset" in said) == (2, True)
    assert run(app, "--reset")[0] == 0
    assert demo.kept_password(here) == password


@pytest.mark.parametrize("kind", ["sqlite"])
def test_nobody_elses_practice_is_removed(url: str, here: Path) -> None:
    app = demo_on(url, here)
    with app.app_context(), write(db.session):
        db.session.add(Practice(name="Clay & Co", shortname="clay"))
    code, said = run(app, "--reset")
    assert (code, "clay is not the demo's" in said) == (2, True)


@pytest.mark.parametrize("kind", ["sqlite"])
def test_made_up_people_are_for_a_demo_alone(url: str, here: Path) -> None:
    code, said = run(demo_on(url, here, demo=False))
    assert (code, "DEMO=1" in said) == (2, True)
    assert not (here / "demo.txt").exists()
