"""Keys of programs: what is kept of them, and when they open nothing (people PA12)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import ApiKey
from app.services import api_keys
from app.services.actors import CONSOLE, staff
from app.services.api_keys import READ, RUN, SCOPES, WRITE
from app.services.refusals import NotFound, Refusal
from tests.cast import DAY, NOON, SECOND, Cast

END = NOON + api_keys.DAYS * DAY


def made(session: Session, **more: Any) -> tuple[ApiKey, str]:
    given = {"practice_id": None} | more
    return api_keys.create(session, " robot ", [RUN, READ], CONSOLE, NOON, **given)


def test_a_key_is_random_and_only_its_digest_is_kept(session: Session) -> None:
    key, text = made(session)
    assert re.fullmatch(r"nsk_[0-9a-f]{8}_[\w-]{43}", text)
    assert (key.name, key.scopes, key.first_characters) == ("robot", [READ, RUN], text[4:8])
    row = session.execute(sa.select(ApiKey.__table__)).one()
    assert text[13:] not in repr(row)
    assert made(session)[1] != text


def test_it_is_found_by_its_text_alone(session: Session) -> None:
    key, text = made(session)
    assert api_keys.find(session, text, NOON) is key
    wrong = text[:-1] + ("A" if text[-1] != "A" else "B")
    for given in (wrong, text[:12], text + " ", text.upper(), key.digest, "", "nsk_\x00", "é" * 56):
        assert api_keys.find(session, given, NOON) is None


def test_it_opens_until_its_end_and_not_at_it(session: Session) -> None:
    key, text = made(session)
    assert api_keys.find(session, text, END - SECOND) is key
    assert api_keys.find(session, text, END) is None


def test_a_revoked_key_opens_nothing_and_is_not_revoked_twice(session: Session) -> None:
    key, text = made(session)
    api_keys.revoke(session, key, CONSOLE, NOON)
    assert key.revoked_at == NOON
    assert api_keys.find(session, text, NOON) is None
    with pytest.raises(api_keys.AlreadyRevoked):
        api_keys.revoke(session, key, CONSOLE, NOON + SECOND)
    assert key.revoked_at == NOON


def test_staff_revoke_keys_of_their_own_practice_alone(session: Session, cast: Cast) -> None:
    ours, _ = made(session, practice_id=cast.practice.id)
    of_all, text = made(session)
    with pytest.raises(NotFound):
        api_keys.revoke(session, of_all, cast.max, NOON)
    mallory = staff(cast.user("Mallory").id, [cast.practice.id + 1])
    with pytest.raises(NotFound):
        api_keys.revoke(session, ours, mallory, NOON)
    api_keys.revoke(session, ours, cast.max, NOON)
    assert api_keys.find(session, text, NOON) is of_all


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"name": " "}, "bad_key_name"),
        ({"name": "\u200b"}, "bad_key_name"),
        ({"name": "n" * 101}, "bad_key_name"),
        ({"scopes": []}, "bad_scopes"),
        ({"scopes": [READ, "schedules:all"]}, "bad_scopes"),
        ({"days": 0}, "bad_key_life"),
        ({"days": 3651}, "bad_key_life"),
    ],
)
def test_what_makes_no_key_is_refused(session: Session, wrong: dict[str, Any], code: str) -> None:
    given = {"name": "robot", "scopes": [WRITE], "practice_id": None} | wrong
    name, scopes = given.pop("name"), given.pop("scopes")
    with pytest.raises(Refusal) as no:
        api_keys.create(session, name, scopes, CONSOLE, NOON, **given)
    assert (no.value.code, no.value.status) == (code, 400)
    assert session.scalars(sa.select(ApiKey)).all() == []


def test_the_last_use_is_written_once_a_minute(session: Session) -> None:
    key, _ = made(session)
    assert api_keys.needs_mark(key, NOON)
    api_keys.mark_used(session, key.id, NOON)
    session.refresh(key)
    assert not api_keys.needs_mark(key, NOON + timedelta(seconds=59))
    assert api_keys.needs_mark(key, NOON + timedelta(seconds=60))


def test_a_key_is_meant_by_its_id_its_first_characters_or_its_name(session: Session) -> None:
    key, text = made(session)
    for means in (str(key.id), text[4:8], "robot"):
        assert api_keys.named(session, means) == [key]
    assert api_keys.named(session, "nobody") == []
    other, _ = made(session)
    assert api_keys.named(session, "robot") == [key, other]
    assert api_keys.listed(session) == [other, key]
    assert api_keys.listed(session, [4711]) == []


def test_there_is_nothing_a_key_may_do_but_these_three() -> None:
    assert SCOPES == ("schedules:read", "schedules:write", "schedules:run")
