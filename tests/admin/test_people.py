"""Students, trainers, accounts and roles (people PA15, waitlist WT5-WT7)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.models import PersonStatus, Student, User
from tests.admin.desk import Desk
from tests.cast import REASON, Cast

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
    from app.models import Practice

    ada = cast.student("Ada").user
    ada.practice_id = cast.add(Practice(name="Mill", shortname="mill")).id
    assert desk.edit("user", ada.id, held=["student", "admin"]).status_code == 409
    assert desk.act("user", "deactivate", ada.id).status_code == 409


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
