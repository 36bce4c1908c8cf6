"""Who may see the administration, and what a forged or foreign request does (SE5, SE7, SE8)."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from app.models import Location, Practice, Role
from tests.admin.desk import Desk
from tests.cast import Cast
from tests.web.browsing import Client, sign_in

ODD = [
    "",
    "0",
    "-1",
    "1,2",
    "x",
    "9" * 20,
    "1 OR 1=1",
    "٣",
    "1e3",
    "0x1",
    "0" * 19 + "1" + "9" * 30,
]


def rules(app: Flask) -> list[tuple[str, str]]:
    """(method, address) of all there is below /admin/ but static files."""
    found = []
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/admin") and not rule.endpoint.endswith("static"):
            at = rule.rule.replace("<export_type>", "csv")
            found += [(m, at) for m in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})]
    return found


def all_answers(app: Flask, client: Client) -> set[int]:
    return {client.open(at, method=method).status_code for method, at in rules(app)}


def test_there_is_something_to_guard(web_app: Flask) -> None:
    assert len(rules(web_app)) > 60


def test_a_stranger_is_asked_to_sign_in_everywhere(
    web_app: Flask, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(web_app.config, "WTF_CSRF_ENABLED", False)
    assert all_answers(web_app, client) == {302}


def test_signing_in_leads_back_to_an_own_page(client: Client) -> None:
    answer = client.get("/admin/location/?search=x")
    assert answer.headers["Location"] == "/sign-in?next=/admin/location/?search%3Dx"


@pytest.mark.parametrize("who", ["Ada", "Tess"])
def test_another_role_is_refused_everywhere(
    web_app: Flask, client: Client, cast: Cast, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(web_app.config, "WTF_CSRF_ENABLED", False)
    sign_in(client, cast.tess if who == "Tess" else cast.student("Ada"))
    assert all_answers(web_app, client) == {403}


def test_an_administrator_without_an_office_sees_nothing(client: Client, cast: Cast) -> None:
    nobody = cast.user("Nora")
    nobody.roles.append(cast.add(Role(name="admin")))
    sign_in(client, nobody)
    assert client.get("/admin/").status_code == 403


def test_an_administrator_sees_each_list_page_and_form(web_app: Flask, desk: Desk) -> None:
    for method, at in rules(web_app):
        if method == "GET" and at.endswith(("/", "/new/", "csv/")):
            answer = desk.client.get(at)
            if "/edit/" in at or "/details/" in at or "/ajax/" in at:
                assert answer.status_code == 404, at
            else:
                assert answer.status_code in (200, 404), at


# --- forged requests -----------------------------------------------------------------------------


def test_a_post_without_the_key_changes_nothing(web_app: Flask, desk: Desk, cast: Cast) -> None:
    row = cast.add(Location(practice_id=cast.practice.id, name="Loft"))
    ben = cast.in_status("waitlist-invited")
    before = cast.everything()
    posts = [
        ("location/new/", {"name": "Attic"}),
        (f"location/edit/?id={row.id}", {"name": "Attic"}),
        ("location/delete/", {"id": row.id, "sure": "1"}),
        ("location/ajax/update/", {"list_form_pk": row.id, "name": "Attic"}),
        (
            "trainingenroll/action/",
            {"action": "end", "rowid": ben.id, "sure": "1", "reason": "a good reason"},
        ),
    ]
    for path, fields in posts:
        for key in ({}, {"csrf_token": "forged"}):
            assert desk.client.post(f"/admin/{path}", data=fields | key).status_code == 400, path
    cast.session.expire_all()
    assert cast.everything() == before
    assert cast.session.get_one(Location, row.id).name == "Loft"


# --- other practices, odd ids --------------------------------------------------------------------


@pytest.fixture
def theirs(cast: Cast) -> dict[str, Any]:
    """Rows of another practice, by the path of their view."""
    mill = cast.add(Practice(name="Mill", shortname="mill"))
    own, cast.practice = cast.practice, mill
    trainer = cast.trainer("Vera")
    tess, cast.tess = cast.tess, trainer
    training = cast.training("Weaving")
    row = cast.enrol("Mallory", training=training)
    student = cast.student("Mallory")
    place = cast.add(Location(practice_id=mill.id, name="Barn"))
    history = cast.events(training)[0]
    cast.practice, cast.tess = own, tess
    return {
        "training": training,
        "trainingenroll": row,
        "student": student,
        "trainer": trainer,
        "user": student.user,
        "location": place,
        "practice": mill,
        "enrolmenthistory": history,
    }


def test_rows_of_another_practice_are_not_found(desk: Desk, theirs: dict[str, Any]) -> None:
    for path, row in theirs.items():
        assert desk.get(f"{path}/details/?id={row.id}").status_code == 404, path
        assert desk.get(f"{path}/edit/?id={row.id}").status_code == 404, path
        assert desk.post(f"{path}/edit/?id={row.id}", name="x").status_code == 404, path
        assert desk.delete(path, row.id).status_code == 404, path


def test_rows_of_another_practice_are_in_no_list(desk: Desk, theirs: dict[str, Any]) -> None:
    for path in theirs:
        text = desk.get(f"{path}/").text + "".join(desk.csv(path))
        for name in ("Weaving", "Mallory", "Vera", "Barn", "mill"):
            assert name not in text, (path, name)


def test_acts_on_rows_of_another_practice_are_not_found(
    desk: Desk, cast: Cast, theirs: dict[str, Any]
) -> None:
    before = cast.everything()
    for path, act in (
        ("trainingenroll", "remove"),
        ("training", "cancel"),
        ("student", "erase"),
        ("trainer", "deactivate"),
        ("user", "deactivate"),
    ):
        answer = desk.act(path, act, theirs[path].id, reason="a good reason")
        assert answer.status_code == 404, path
    assert cast.everything() == before


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_id_is_not_found(desk: Desk, odd: str) -> None:
    for path in ("location", "training", "student", "user"):
        assert desk.client.get(f"/admin/{path}/edit/", query_string={"id": odd}).status_code == 404
        assert (
            desk.client.get(f"/admin/{path}/details/", query_string={"id": odd}).status_code == 404
        )


def test_an_odd_id_is_neither_deleted_nor_acted_on(desk: Desk) -> None:
    for odd in ODD:
        assert desk.delete("location", odd).status_code == 404
        if odd:
            assert desk.act("training", "fill", odd).status_code == 404


@pytest.mark.parametrize("bad", ["//evil.example", "/\\evil.example", "https:evil", "javascript:x"])
def test_nobody_is_sent_to_a_foreign_page(desk: Desk, cast: Cast, bad: str) -> None:
    saved = desk.create("location", name="Loft", back=bad)
    assert saved.headers["Location"] == "/admin/location/"
    assert bad not in desk.client.get("/admin/location/new/", query_string={"url": bad}).text


def test_unknown_acts_and_closed_doors_are_not_found(desk: Desk, cast: Cast) -> None:
    assert desk.act("training", "explode", cast.pottery.id).status_code == 404
    assert desk.act("training", "delete", cast.pottery.id).status_code == 404
    assert desk.get("practice/new/").status_code == 404
    assert desk.get("location/ajax/lookup/?name=x").status_code == 404
    assert desk.post("location/ajax/update/", list_form_pk="1").status_code == 404
    assert desk.get("location/export/xlsx/").status_code == 404
