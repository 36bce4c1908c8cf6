"""`flask users`: the first administrator, roles, and that somebody can always let people in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from app.models import Outbox, Student, User
from tests import databases
from tests.shell import Shell

EVA = "eva@example.org"
SECRETS = {"secret_key": "s" * 40, "security_password_salt": "p" * 40}


@pytest.fixture(scope="module")
def apps() -> Iterator[dict[str, Flask]]:
    """Where people choose the passwords that commands give them links for."""
    with databases.shared_web_apps(public_base_url="https://t.example.org", **SECRETS) as apps:
        yield apps


@pytest.fixture
def shell(kind: str, apps: dict[str, Flask]) -> Iterator[Shell]:
    """The cast's practice; Max has no account of the office yet."""
    shell = Shell(apps[kind])
    with shell.cast():
        pass
    yield shell
    databases.empty(shell.app)


def one(shell: Shell, email: str = EVA) -> dict[str, Any]:
    listed = json.loads(shell("users", "list", "--json").stdout)
    return next(row for row in listed if row["email"] == email)


def test_an_account_is_made_with_a_link_that_lets_its_owner_choose_a_password(
    shell: Shell,
) -> None:
    done = shell("users", "create", EVA, "--role", "admin", "--role", "trainer")
    assert done.exit_code == 0
    assert re.fullmatch(r"https://t\.example\.org/new-password/[\w.-]+\n", done.stdout)
    assert one(shell)["roles"] == ["admin", "trainer"]
    page = shell.app.test_client().get(done.stdout.strip(), base_url="https://t.example.org")
    assert page.status_code == 200
    assert EVA in page.text


def test_a_password_comes_by_stdin_and_obeys_the_rules(shell: Shell) -> None:
    words = ("users", "create", EVA, "--password-stdin")
    assert shell(*words, input="short\n").exit_code == 2
    assert shell(*words, input="qwerty123456\n").exit_code == 2
    done = shell(*words, input="four quiet otters swim\n")
    assert (done.exit_code, done.stdout) == (0, "")
    assert one(shell)["password"]
    (kept,) = [row.password for row in shell.rows(User, User.password) if row.password]
    assert kept.startswith("$argon2id$")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("create", "no address"), 2),
        (("create", EVA, "--role", "king"), 2),
        (("create", EVA, "--practice", "none"), 3),
        (("roles", EVA), 2),
        (("roles", EVA, "--add", "admin"), 3),
        (("activate", EVA), 3),
        (("deactivate", EVA), 3),
        (("reset-totp", EVA), 2),
        (("reset-totp", EVA, "--reason", "no"), 2),
        (("reset-totp", EVA, "--reason", "lost the phone"), 3),
    ],
)
def test_what_is_wrong_says_so_and_writes_nothing(
    shell: Shell, words: tuple[str, ...], code: int
) -> None:
    before = shell.everything()
    assert shell("users", *words).exit_code == code
    assert shell.everything() == before


def test_an_address_belongs_to_one_account(shell: Shell) -> None:
    shell("users", "create", EVA)
    assert shell("users", "create", EVA.upper()).exit_code == 4


def test_the_last_administrator_stays(shell: Shell) -> None:
    shell("users", "create", EVA, "--role", "admin")
    for words in (("roles", EVA, "--remove", "admin"), ("deactivate", EVA)):
        done = shell("users", *words)
        assert (done.exit_code, "last administrator" in done.stderr) == (4, True)
    shell("users", "create", "fay@example.org", "--role", "admin")
    assert shell("users", "roles", EVA, "--remove", "admin").exit_code == 0
    assert one(shell)["roles"] == []
    assert shell("users", "deactivate", "fay@example.org").exit_code == 4


def test_roles_come_and_go_as_accounts_and_rows_keep_them(shell: Shell) -> None:
    shell("users", "create", EVA)
    done = shell(
        "users", "roles", EVA, "--add", "student", "--add", "trainer", "--add", "organiser"
    )
    assert done.stdout == f"{EVA}: organiser, trainer, student\n"
    done = shell("users", "roles", EVA, "--remove", "trainer", "--remove", "student")
    assert done.stdout == f"{EVA}: organiser\n"


def test_whoever_is_deactivated_is_signed_out_and_passed_over(shell: Shell) -> None:
    shell("users", "create", EVA, "--role", "student")
    (before,) = shell.rows(User, User.fs_uniquifier)[-1]
    assert shell("users", "deactivate", EVA).exit_code == 0
    row = one(shell)
    assert (row["active"], row["roles"]) == (False, [])
    assert shell.rows(User, User.fs_uniquifier)[-1][0] != before
    assert shell.rows(Student, Student.status)[-1][0] == "inactive"
    assert shell("users", "activate", EVA).exit_code == 0
    assert one(shell)["roles"] == ["student"]


def test_a_reset_of_codes_is_told_with_its_reason(shell: Shell) -> None:
    shell("users", "create", EVA)
    assert shell("users", "reset-totp", EVA, "--reason", "lost the phone").exit_code == 0
    kind, payload = shell.rows(Outbox, Outbox.kind, Outbox.payload)[-1]
    assert (kind, payload["reason"]) == ("account_totp_reset", "lost the phone")


def test_in_production_without_secrets_nothing_is_hashed_that_opens_nothing(url: str) -> None:
    shell = Shell(databases.web_app_on(url))
    with shell.cast():
        pass
    done = shell("users", "create", EVA)
    assert (done.exit_code, "SECRET_KEY" in done.stderr) == (2, True)


def test_the_list_is_a_table_for_people(shell: Shell) -> None:
    shell("users", "create", EVA, "--role", "admin", "--first-name", "Eva")
    lines = shell("users", "list", "--role", "admin").stdout.splitlines()
    assert lines[0].split() == ["email", "name", "roles", "active", "password", "codes"]
    assert lines[1].split() == [EVA, "Eva", "admin", "yes", "no", "no"]
    assert len(lines) == 2
