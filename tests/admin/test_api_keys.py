"""Keys of programs, as the office makes and revokes them (people PA12)."""

from __future__ import annotations

import re

import sqlalchemy as sa

from app.extensions import utcnow
from app.models import ApiKey, Practice
from app.services import api_keys
from app.services.actors import CONSOLE
from tests.admin.desk import Desk
from tests.cast import Cast


def made(cast: Cast, practice_id: int | None) -> ApiKey:
    key, _ = api_keys.create(
        cast.session, "robot", [api_keys.READ], CONSOLE, utcnow(), practice_id=practice_id
    )
    return key


def test_a_new_key_is_shown_once(desk: Desk, cast: Cast) -> None:
    page = desk.create("apikey", name="Cash desk", scopes=[api_keys.READ, api_keys.RUN])
    (text,) = re.findall(r"<code data-key>(nsk_[\w-]+)</code>", page.text)
    assert (page.status_code, page.headers["Cache-Control"]) == (201, "no-store")
    key = api_keys.find(cast.session, text, utcnow())
    assert key is not None
    assert (key.name, key.scopes) == ("Cash desk", [api_keys.READ, api_keys.RUN])
    assert (key.practice_id, key.user_id) == (cast.practice.id, desk.who.id)
    for path in ("apikey/", f"apikey/details/?id={key.id}", "apikey/export/csv/"):
        assert text[:8] in desk.get(path).text or path.endswith("csv/")
        assert text[13:] not in desk.get(path).text


def test_a_key_that_may_do_nothing_is_refused_at_its_field(desk: Desk, cast: Cast) -> None:
    page = desk.create("apikey", name="Cash desk")
    assert page.status_code == 400
    assert "Tick at least one thing that it may do." in page.text
    assert "(optional)" not in page.text
    assert "schedules:write, " not in page.text
    assert cast.session.scalars(sa.select(ApiKey)).all() == []


def test_a_key_is_revoked_after_a_question(desk: Desk, cast: Cast) -> None:
    key = made(cast, cast.practice.id)
    assert "never comes back" in desk.ask("apikey", "revoke", key.id).text
    cast.session.refresh(key)
    assert key.revoked_at is None
    assert desk.act("apikey", "revoke", key.id).status_code == 303
    cast.session.refresh(key)
    assert key.revoked_at is not None
    assert "Revoked" in desk.get("apikey/").text


def test_keys_of_others_and_of_the_installation_are_not_there(desk: Desk, cast: Cast) -> None:
    other = cast.add(Practice(name="Other", shortname="other"))
    for key in (made(cast, other.id), made(cast, None)):
        assert desk.get(f"apikey/details/?id={key.id}").status_code == 404
        assert desk.act("apikey", "revoke", key.id).status_code == 404
        cast.session.refresh(key)
        assert key.revoked_at is None
