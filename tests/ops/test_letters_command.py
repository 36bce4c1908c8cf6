"""`flask letters`: which there are, whether each can be sent, how it looks (people PA9, PC)."""

from __future__ import annotations

import email
import json
from pathlib import Path
from typing import Any

import pytest

from app.delivery import letter_texts
from app.extensions import db, write
from app.models import LetterText
from tests.shell import Shell


@pytest.fixture
def practice(shell: Shell) -> int:
    """Somebody's letters; their id."""
    with shell.cast() as cast:
        return int(cast.practice.id)


def own_text(shell: Shell, practice_id: int, text: str) -> None:
    row = {"key": "declined", "language": "en", "variant": "", "subject": "You declined"}
    body = {"text": text, "html": f"<p>{text}</p>", "updated_at": shell.now}
    with shell.app.app_context(), write(db.session):
        db.session.add(LetterText(practice_id=practice_id, **row, **body))


def settings(shell: Shell, **values: Any) -> None:
    known = shell.app.extensions["settings"]
    shell.app.extensions["settings"] = known.model_copy(update=values)


def test_the_list_says_whose_text_goes_out(shell: Shell, practice: int) -> None:
    own_text(shell, practice, "Bye.")
    done = shell("letters", "list")
    assert (done.exit_code, done.stderr) == (0, f"letters: {len(letter_texts.KINDS)}.\n")
    found = {row["key"]: row for row in json.loads(shell("letters", "list", "--json").stdout)}
    assert found["invited"] == {"key": "invited", "en": "shipped", "nl": "English"}
    assert found["declined"]["en"] == "shipped, 1 own"


def test_every_shipped_text_can_be_sent(shell: Shell) -> None:
    done = shell("letters", "check")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"checked {len(letter_texts.KINDS)} texts, 0 with faults\n"


def test_an_own_text_that_fails_is_named_and_ends_with_1(shell: Shell, practice: int) -> None:
    own_text(shell, practice, "Bye {{ stranger }}.")
    done = shell("letters", "check")
    assert done.exit_code == 1
    assert done.stdout.startswith("declined en of clay: text: ")
    assert shell("letters", "preview", "declined").exit_code == 2


def test_the_preview_is_what_a_reader_would_get(shell: Shell, practice: int) -> None:
    before = shell.everything()
    done = shell("letters", "preview", "invited", "--lang", "nl")  # not shipped yet: English
    assert done.exit_code == 0
    assert done.stdout.startswith("Subject: ")
    assert "Pottery for beginners" in done.stdout
    told = json.loads(shell("letters", "preview", "invited", "--json").stdout)
    assert set(told) == {"subject", "text", "html"}
    own_text(shell, practice, "Until soon.")
    assert "Until soon." in shell("letters", "preview", "declined").stdout
    for bad in ("nothing", "", "../layout", "x" * 5000):
        assert shell("letters", "preview", "--", bad).exit_code == 3
    assert shell("letters", "preview", "invited", "--lang", "fr").exit_code == 2
    assert {name: rows for name, rows in shell.everything().items() if name != "letter_text"} == {
        name: rows for name, rows in before.items() if name != "letter_text"
    }


def test_a_letter_is_sent_for_trial_and_nothing_is_promised(
    shell: Shell, practice: int, tmp_path: Path
) -> None:
    settings(shell, mail_transport="file", mail_folder=str(tmp_path / "out"),
             mail_domain="example.org")  # fmt: skip
    before = shell.everything()
    done = shell("letters", "test-send", "invited", "--to", "max@example.org")
    assert (done.exit_code, done.stdout) == (0, "sent invited to max@example.org\n")
    (file,) = (tmp_path / "out").iterdir()
    letter = email.message_from_bytes(file.read_bytes())
    assert (letter["To"], "Clay & Co" in str(letter["From"])) == ("max@example.org", True)
    for bad in ("nobody", "a@example.org\nBcc: b@example.org", ""):
        assert shell("letters", "test-send", "invited", "--to", bad).exit_code == 2
    assert len(list((tmp_path / "out").iterdir())) == 1
    assert shell.everything() == before


def test_without_a_mail_server_it_ends_with_5(shell: Shell, practice: int) -> None:
    nowhere = {"mail_transport": "smtp", "smtp_host": "127.0.0.1", "smtp_port": 1}
    settings(shell, mail_domain="example.org", smtp_tls="none", **nowhere)
    done = shell("letters", "test-send", "invited", "--to", "max@example.org")
    assert (done.exit_code, done.stdout) == (5, "")
    assert "Traceback" not in done.stderr
