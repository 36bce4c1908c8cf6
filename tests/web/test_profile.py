"""Names, phone, birthday; which letters come (people PS7, PS8)."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from app.extensions import utcnow
from app.models import TrainerLetters, User
from tests.cast import Cast
from tests.web.browsing import Client, sign_in
from tests.web.post import there

PROFILE, NOTIFICATIONS = "/me/profile", "/me/notifications"
FIELDS = {"first_name": "Ada", "last_name": "Lee", "language": "en"}


@pytest.fixture
def ada(client: Client, cast: Cast) -> User:
    """Ada, signed in."""
    return sign_in(client, cast.student("Ada"))


def now(stage: Session, user: User) -> User:
    found = there(stage, user.email)
    assert found is not None
    return found


@pytest.mark.parametrize("path", [PROFILE, NOTIFICATIONS, "/me/password", "/me/address"])
def test_strangers_sign_in_first(client: Client, path: str) -> None:
    assert client.get(path).location == f"/sign-in?next={path}"


def test_what_is_typed_is_kept(client: Client, ada: User, stage: Session) -> None:
    typed = FIELDS | {"phone": "+31 (0)6-1234 5678", "birthday": "1990-02-28"}
    assert client.act(PROFILE, **typed).status_code == 303
    kept = now(stage, ada)
    assert (kept.fullname, kept.phone, str(kept.birthday)) == (
        "Ada Lee",
        "+31612345678",
        "1990-02-28",
    )
    assert "+31612345678" in client.get(PROFILE).text
    client.act(PROFILE, **FIELDS, phone=" ", birthday="")
    assert (now(stage, ada).phone, now(stage, ada).birthday) == (None, None)


@pytest.mark.parametrize("join", ["-4", "100000000000000000000", "x", "4242"])
@pytest.mark.usefixtures("ada")
def test_a_training_that_is_none_is_not_gone_back_to(client: Client, join: str) -> None:
    assert client.act(f"{PROFILE}?join={join}", **FIELDS).location == PROFILE


@pytest.mark.parametrize(
    "wrong",
    [
        {"phone": "0612345678"},
        {"phone": "+31 6"},
        {"phone": "call me"},
        {"birthday": "1990-02-30"},
        {"birthday": "2999-01-01"},
        {"birthday": "1800-01-01"},
        {"first_name": ""},
        {"last_name": "x" * 101},
        {"language": "xx"},
    ],
)
def test_what_is_wrong_changes_nothing(
    client: Client, ada: User, stage: Session, wrong: dict[str, str]
) -> None:
    answer = client.act(PROFILE, **FIELDS | {"first_name": "New"} | wrong)
    assert answer.status_code == 400
    assert 'class="wrong"' in answer.text
    kept = now(stage, ada)
    assert (kept.first_name, kept.last_name, kept.phone) == ("Ada", "Example", None)


def test_letters_are_switched_off_and_on(client: Client, ada: User, stage: Session) -> None:
    assert client.act(NOTIFICATIONS, invitations="y").status_code == 303
    kept = now(stage, ada).settings
    assert kept is not None
    assert (kept.msg_transactional_emails, kept.msg_reminders) == (True, False)
    client.act(NOTIFICATIONS, reminders="y")
    kept = now(stage, ada).settings
    assert kept is not None
    assert (kept.msg_transactional_emails, kept.msg_reminders) == (False, True)


def test_whoever_waits_is_asked_before_being_passed_over(
    client: Client, cast: Cast, stage: Session
) -> None:
    cast.enrol_all("Ada", "Ben")
    ben = sign_in(client, cast.student("Ben"))
    asked = client.act(NOTIFICATIONS)
    assert asked.status_code == 400
    assert "Pottery" in asked.text
    assert now(stage, ben).settings is None
    assert client.act(NOTIFICATIONS, sure="y").status_code == 303
    kept = now(stage, ben).settings
    assert kept is not None
    assert not kept.msg_transactional_emails


def test_only_trainers_choose_how_they_hear_of_their_trainings(
    client: Client, cast: Cast, stage: Session
) -> None:
    tess = sign_in(client, cast.tess)
    assert "trainings you teach" in client.get(NOTIFICATIONS).text
    client.act(NOTIFICATIONS, invitations="y", reminders="y", trainer_letters="digest")
    kept = now(stage, tess).settings
    assert kept is not None
    assert kept.trainer_letters is TrainerLetters.DIGEST
    cast.enrol("Ada", utcnow(), cast.training("Baking", 3, start=None))
    client.act(NOTIFICATIONS, invitations="y", reminders="y", trainer_letters="each")
    assert ("trainer_digest", "Tess") in cast.letters()  # what no digest told yet
    ada = sign_in(client, cast.student("Ada"))
    assert "trainings you teach" not in client.get(NOTIFICATIONS).text
    client.act(NOTIFICATIONS, invitations="y", reminders="y", trainer_letters="digest")
    kept = now(stage, ada).settings
    assert kept is not None
    assert kept.trainer_letters is TrainerLetters.EACH
