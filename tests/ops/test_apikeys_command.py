"""`flask apikeys`: a key is printed once, and revoked by what one knows of it (people PC)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.extensions import db, utcnow
from app.models import ApiKey
from app.services import api_keys
from tests.shell import Shell


def listed(shell: Shell) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(shell("apikeys", "list", "--json").stdout)
    return rows


def test_a_key_is_made_and_printed_alone(shell: Shell) -> None:
    done = shell("apikeys", "create", "robot", "--scope", "schedules:read")
    assert done.exit_code == 0
    text = done.stdout.strip()
    with shell.app.app_context():
        key = api_keys.find(db.session(), text, utcnow())
        assert key is not None
    (row,) = listed(shell)
    assert (row["name"], row["scopes"], row["state"]) == ("robot", ["schedules:read"], "works")
    assert text[13:] not in shell("apikeys", "list").stdout


def test_it_is_revoked_by_its_prefix(shell: Shell) -> None:
    text = shell("apikeys", "create", "robot", "--scope", "schedules:run").stdout.strip()
    done = shell("apikeys", "revoke", text[4:8])
    assert (done.exit_code, done.stdout) == (0, f"{text[4:8]} robot: revoked\n")
    assert listed(shell)[0]["state"] == "revoked"
    assert shell("apikeys", "revoke", text[4:8]).exit_code == 4


def test_a_name_that_two_have_is_not_enough(shell: Shell) -> None:
    for _ in range(2):
        shell("apikeys", "create", "robot", "--scope", "schedules:run")
    done = shell("apikeys", "revoke", "robot")
    assert done.exit_code == 2
    ids = [str(row.id) for row in shell.rows(ApiKey, ApiKey.id)]
    assert all(f"{id_} (robot)" in done.stderr for id_ in ids)
    assert {row["state"] for row in listed(shell)} == {"works"}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("create", "robot"), 2),
        (("create", "robot", "--scope", "everything"), 2),
        (("create", " ", "--scope", "schedules:read"), 2),
        (("create", "robot", "--scope", "schedules:read", "--days", "0"), 2),
        (("create", "robot", "--scope", "schedules:read", "--practice", "none"), 3),
        (("revoke", "none"), 3),
    ],
)
def test_what_is_wrong_says_so_and_makes_no_key(
    shell: Shell, words: tuple[str, ...], code: int
) -> None:
    assert shell("apikeys", *words).exit_code == code
    assert shell.rows(ApiKey, ApiKey.id) == []
