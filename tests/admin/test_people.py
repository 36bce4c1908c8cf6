"""Students, trainers, accounts and roles (people PA15, waitlist WT5-WT7)."""

from __future__ import annotations

import time
from urllib.parse import unquote

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import PersonStatus, Practice, Student, Trainer, User
from app.services import accounts, students
from app.services.actors import CONSOLE
from tests.admin.desk import Desk, form_values
from tests.cast import NOON, REASON, Cast
from tests.web.browsing import HOME

DAN = {"first_name": "Dan", "last_name": "Example", "email": "dan@example.org"}


def test_a_student_is_made_and_gets_a_letter(desk: Desk, cast: Cast) -> None:
    since = cast.last_letter()
    assert desk.create("student", **DAN, phone="+31 6 12345678").status_code == 303
    dan = cast.session.scalars(sa.select(User).filter_by(email="dan@example.org")).one()
    assert (dan.first_name, dan.phone) == ("Dan", "+31612345678")
    assert cast.session.scalars(sa.select(Student).filter_by(user_id=dan.id)).one()
    assert cast.letters(since) == [("account_invite", "Dan")]


def test_a_bad_address_or_one_that_is_taken_is_refused(desk: Desk, cast: Cast) -> None:
    ada = cast.student("Ada").user.email
    for email, status in (("@x", 400), ("a@@x", 400), ("a@x,b@x", 400), (ada.upper(), 409)):
        answer = desk.create("student", **DAN | {"email": email})
        assert answer.status_code == status, email
    assert desk.create("student", **DAN, phone="call me").status_code == 400
    assert cast.session.scalar(sa.select(sa.func.count(Student.id))) == 1


def test_a_profile_and_an_address_are_changed(desk: Desk, cast: Cast) -> None:
    ada = cast.student("Ada")
    changed = {"first_name": "Ada Maria", "email": "ada@new.example", "birthday": "1990-02-03"}
    assert desk.edit("student", ada.id, **changed).status_code == 303
    cast.session.refresh(ada.user)
    assert (ada.user.first_name, ada.user.email) == ("Ada Maria", "ada@new.example")
    assert f"{ada.user.birthday}" == "1990-02-03"


def test_a_student_is_switched_off_on_and_erased(desk: Desk, cast: Cast) -> None:
    ada = cast.student("Ada")
    assert desk.act("student", "deactivate", ada.id).status_code == 303
    cast.session.refresh(ada)
    assert ada.status is PersonStatus.INACTIVE
    assert desk.act("student", "activate", ada.id).status_code == 303
    assert desk.act("student", "erase", ada.id).status_code == 303
    cast.session.refresh(ada.user)
    assert ada.user.erased_at is not None
    assert ada.user.first_name == ""
    assert desk.get("student/").status_code == 200


def test_a_trainer_is_switched_off_and_on(desk: Desk, cast: Cast) -> None:
    for act, status in (("deactivate", PersonStatus.INACTIVE), ("activate", PersonStatus.ACTIVE)):
        assert desk.act("trainer", act, cast.tess.id).status_code == 303
        cast.session.refresh(cast.tess)
        assert cast.tess.status is status


def test_roles_are_given_and_taken(desk: Desk, cast: Cast) -> None:
    ada = cast.student("Ada").user
    assert desk.edit("user", ada.id, held=["student", "trainer", "admin"]).status_code == 303
    cast.session.refresh(ada)
    assert ada.practice_id == cast.practice.id
    assert [role.name for role in ada.roles] == ["admin"]
    assert desk.edit("user", ada.id, held=["student"]).status_code == 303
    cast.session.refresh(ada)
    assert ada.roles == []
    assert desk.edit("user", ada.id, held=["root"]).status_code == 400


def test_the_last_administrator_stays(desk: Desk, cast: Cast) -> None:
    answer = desk.edit("user", desk.who.id, held=[])
    assert answer.status_code == 409
    assert "last administrator" in answer.text
    assert desk.act("user", "deactivate", desk.who.id).status_code == 409
    assert desk.get("").status_code == 200


def test_codes_are_reset_with_a_reason(desk: Desk, cast: Cast) -> None:
    ada = cast.student("Ada").user
    ada.tf_primary_method, ada.tf_totp_secret = "authenticator", "SECRET-CANARY"
    page = desk.get(f"user/details/?id={ada.id}").text + desk.get("user/").text
    assert "Set up" in page
    assert "CANARY" not in page + "".join(desk.csv("user"))
    assert desk.act("user", "reset-codes", ada.id, reason="no").status_code == 400
    assert desk.act("user", "reset-codes", ada.id, reason=REASON).status_code == 303
    cast.session.refresh(ada)
    assert ada.tf_totp_secret is None


def test_the_office_makes_an_account(desk: Desk, cast: Cast) -> None:
    fields = {"email": "max@example.org", "first_name": "Max", "held": ["admin"]}
    assert desk.create("user", **fields).status_code == 303
    made = cast.session.scalars(sa.select(User).filter_by(email="max@example.org")).one()
    assert made.practice_id == cast.practice.id
    assert [role.name for role in made.roles] == ["admin"]


def test_an_administrator_of_another_office_is_changed_there(desk: Desk, cast: Cast) -> None:
    ada = cast.student("Ada").user
    ada.practice_id = elsewhere(cast).id
    assert desk.edit("user", ada.id, held=["student", "admin"]).status_code == 409
    assert desk.act("user", "deactivate", ada.id).status_code == 409


# --- what an office does not do to an account ----------------------------------------------------

EVIL = {"email": "evil@evil.example"}


def office_of(cast: Cast, who: User, practice: Practice) -> User:
    """Make somebody an administrator."""
    accounts.give_role(cast.session, who, "admin", practice, CONSOLE, NOON)
    who.password = "x"
    cast.session.flush()
    return who


def elsewhere(cast: Cast) -> Practice:
    return cast.add(Practice(name="Mill", shortname="mill"))


def test_an_account_that_another_practice_uses_is_not_changed_from_here(
    desk: Desk, cast: Cast
) -> None:
    ada, bob, mill = cast.student("Ada"), cast.student("Bob"), elsewhere(cast)
    cast.add(Trainer(user_id=ada.user_id, practice_id=mill.id))
    office_of(cast, bob.user, mill)
    ada.user.password, ada.user.tf_primary_method = "x", "authenticator"
    for who in (ada, bob):
        before = (who.user.email, who.user.fs_uniquifier)
        for view, id_ in (("student", who.id), ("user", who.user_id)):
            assert desk.edit(view, id_, **EVIL).status_code == 409
        refused = desk.act("student", "erase", who.id)
        assert (refused.status_code, "Another practice uses" in refused.text) == (409, True)
        for act in ("sign-out", "deactivate"):
            assert desk.act("user", act, who.user_id).status_code == 409
        cast.session.refresh(who.user)
        assert (who.user.email, who.user.fs_uniquifier) == before
        assert (who.user.active, who.user.erased_at) == (True, None)
    codes = desk.act("user", "reset-codes", ada.user_id, reason=REASON)
    ada.user.password = None
    assert (codes.status_code, desk.act("user", "invite", ada.user_id).status_code) == (409, 409)
    assert desk.act("student", "deactivate", ada.id).status_code == 303  # in their own practice


def test_the_last_administrator_is_not_erased_and_nobody_shuts_themselves_out(
    desk: Desk, cast: Cast
) -> None:
    orla = cast.session.get_one(User, desk.who.id)
    student = cast.add(Student(user_id=orla.id, practice_id=cast.practice.id))
    assert "last administrator" in desk.act("student", "erase", student.id).text
    bob = office_of(cast, cast.user("Bob"), cast.practice)
    for answer in (
        desk.edit("user", orla.id, held=["student"]),
        desk.act("user", "deactivate", orla.id),
        desk.act("student", "erase", student.id),
    ):
        assert (answer.status_code, "from yourself" in answer.text) == (409, True)
    assert desk.edit("user", bob.id, held=[]).status_code == 303
    cast.session.refresh(orla)
    assert (orla.active, [role.name for role in orla.roles]) == (True, ["admin"])


def test_whoever_is_erased_stays_so(desk: Desk, cast: Cast) -> None:
    ada = cast.student("Ada")
    user = office_of(cast, ada.user, cast.practice)
    tutor = cast.add(Trainer(user_id=user.id, practice_id=cast.practice.id))
    user.tf_totp_secret, user.mf_recovery_codes = "secret", ["code"]
    assert desk.act("student", "erase", ada.id).status_code == 303
    for row in (user, tutor):
        cast.session.refresh(row)
    assert (user.tf_totp_secret, user.mf_recovery_codes, user.roles) == (None, [], [])
    assert (user.practice_id, tutor.status) == (None, PersonStatus.INACTIVE)
    before, since = user.email, cast.last_letter()
    refused = [
        *(desk.act("student", act, ada.id) for act in ("activate", "erase")),
        *(desk.act("user", act, user.id) for act in ("activate", "invite")),
        desk.act("trainer", "activate", tutor.id),
        desk.edit("student", ada.id, first_name="Zed", last_name="Zed"),
        desk.edit("student", ada.id, first_name="Zed", last_name="Zed", email="z@x.example"),
        desk.edit("user", user.id, first_name="Zed"),
        desk.edit("user", user.id, held=["admin"]),
        desk.edit("user", user.id, email="z@x.example"),
    ]
    assert [answer.status_code for answer in refused] == 10 * [409]
    cast.session.refresh(user)
    assert (user.email, user.first_name, user.active) == (before, "", False)
    assert cast.letters(since) == []


def test_the_letter_to_choose_a_password_goes_to_whoever_needs_one(desk: Desk, cast: Cast) -> None:
    ada, ben, since = cast.student("Ada").user, cast.student("Ben").user, cast.last_letter()
    ada.password = "x"
    assert desk.act("user", "invite", ada.id).status_code == 409
    assert desk.act("user", "invite", ada.id, ben.id).status_code == 303
    assert desk.act("user", "deactivate", ben.id).status_code == 303
    assert desk.act("user", "invite", ben.id).status_code == 409
    assert cast.letters(since) == [("account_invite", "Ben")]


def test_ticking_student_switches_the_student_on(desk: Desk, cast: Cast) -> None:
    ada = cast.student("Ada")
    assert desk.act("student", "deactivate", ada.id).status_code == 303
    assert desk.edit("user", ada.user_id, held=["student"]).status_code == 303
    cast.session.refresh(ada)
    assert ada.status is PersonStatus.ACTIVE


def test_roles_addresses_and_codes_of_others_take_the_password(desk: Desk, cast: Cast) -> None:
    ada = cast.student("Ada")
    ada.user.tf_primary_method = "authenticator"
    page = form_values(desk.get(f"student/edit/?id={ada.id}"))
    account = form_values(desk.get(f"user/edit/?id={ada.user_id}"))
    with desk.client.session_transaction(headers={"Referer": HOME}) as cookie:
        cookie["fs_paa"] = time.time() - 16 * 60
        cookie.pop("fs_gexp", None)
    at = f"user/edit/?id={ada.user_id}"
    for answer in (
        desk.get(at),
        desk.post(at, **account | {"held": ["admin"]}),
        desk.post("user/new/", **DAN, held=["admin"]),
        desk.post(f"student/edit/?id={ada.id}", **page | EVIL),
        desk.act("user", "reset-codes", ada.user_id, reason=REASON),
        desk.act("trainer", "deactivate", cast.tess.id),
    ):
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/password?next=/admin/")
    assert f"{at}" in unquote(desk.get(at).headers["Location"])
    cast.session.refresh(ada.user)
    assert (ada.user.email, ada.user.roles) == (page["email"], [])
    assert ada.user.tf_primary_method == "authenticator"
    named = desk.post(f"student/edit/?id={ada.id}", **page | {"first_name": "Ada Maria"})
    assert named.headers["Location"] == "/admin/student/"


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)  # on SQLite one writes at a time
@pytest.mark.parametrize("view", ["student", "user"])
def test_of_two_saves_at_once_the_later_hears_of_the_earlier(
    desk: Desk, cast: Cast, view: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, lock = cast.student("Ada"), students.lock_person

    def somebody_is_faster(session: Session, user: User) -> list[Student]:
        ada.user.last_name = "Lovelace"
        cast.session.commit()
        return lock(session, user)

    monkeypatch.setattr(students, "lock_person", somebody_is_faster)
    answer = desk.edit(view, ada.id if view == "student" else ada.user_id, first_name="Mine")
    assert (answer.status_code, "Last name: Lovelace" in answer.text) == (409, True)
    cast.session.refresh(ada.user)
    assert (ada.user.first_name, ada.user.last_name) == ("Ada", "Lovelace")


# --- the practice --------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["timezone", "invite_cutoff", "sender"])
def test_the_practice_refuses_nonsense(desk: Desk, cast: Cast, field: str) -> None:
    assert desk.edit("practice", cast.practice.id, **{field: "nonsense"}).status_code == 400


def test_the_practice_is_changed(desk: Desk, cast: Cast) -> None:
    changed = {"name": "Clay", "invite_cutoff": "0 48:00:00", "on_bounce": "RELEASE"}
    assert desk.edit("practice", cast.practice.id, **changed).status_code == 303
    cast.session.refresh(cast.practice)
    assert (cast.practice.name, cast.practice.on_bounce) == ("Clay", "release")
    page = desk.get(f"practice/edit/?id={cast.practice.id}").text
    assert 'value="2 00:00:00"' in page
    assert '<option selected value="RELEASE">' in page
