"""`flask outbox`: look at letters, send them, and what staff may do (people PA8, PC)."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.delivery.message import bounce_address
from app.extensions import db, write
from app.models import ChannelState, Outbox, User
from app.models.outbox import OutboxState
from tests import databases
from tests.shell import Shell

NO_SUCH = ("0", str(10**20), "x", "٣", "'; --")
SETTINGS: dict[str, Any] = {
    "mail_transport": "file",
    "link_keys": ["a key of thirty-two bytes or more!"],
    "public_base_url": "https://training.example.org",
    "mail_domain": "training.example.org",
    "mail_sender": "office@training.example.org",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "letters"


@pytest.fixture
def shell(url: str, folder: Path) -> Any:
    """Letters go into a folder."""
    app = databases.app_on(url, mail_folder=str(folder), **SETTINGS)
    yield Shell(app)
    with app.app_context():
        db.engine.dispose()


def letters(shell: Shell, *columns: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in shell.rows(Outbox, *(columns or (Outbox.kind, Outbox.state)))]


def change(shell: Shell, kind: str, **values: Any) -> int:
    """A letter in another state; its id."""
    with shell.app.app_context(), write(db.session):
        row = db.session.scalars(sa.select(Outbox).where(Outbox.kind == kind)).first()
        assert row is not None
        for name, value in values.items():
            setattr(row, name, value)
        return row.id


def dead(shell: Shell, kind: str = "waitlisted") -> int:
    error = "550 no such mailbox"
    ended = {"state": OutboxState.DEAD, "ended_at": shell.now, "last_error": error}
    return change(shell, kind, **ended, attempts=1)


def pause(shell: Shell) -> None:
    with shell.app.app_context(), write(db.session):
        until = shell.now + timedelta(hours=1)
        state = ChannelState(channel="email", paused_until=until, reason="421 try later")
        db.session.add(state)


# --- list, show ----------------------------------------------------------------------------------


def test_the_list_shows_letters_without_any_address(shell: Shell) -> None:
    shell.line("Ben")
    id_ = dead(shell)
    done = shell("outbox", "list")
    assert (done.exit_code, "@" in done.output) == (0, False)
    lines = done.stdout.splitlines()
    assert [line.split()[2] for line in lines[1:]][-1] == "enrolled"
    assert done.stderr == f"letters: {len(lines) - 1}.\n"
    only = shell("outbox", "list", "--state", "dead")
    assert [line.split()[0] for line in only.stdout.splitlines()] == ["id", str(id_)]
    assert "550 no such mailbox" in only.stdout
    (row,) = json.loads(shell("outbox", "list", "--state", "dead", "--json").stdout)
    assert (row["id"], row["state"], row["kind"]) == (id_, "dead", "waitlisted")
    assert shell("outbox", "list", "--state", "lost").exit_code == 2


def test_a_paused_channel_is_told_beside_the_list(shell: Shell) -> None:
    pause(shell)
    assert "email is paused until" in shell("outbox", "list").stderr


def test_show_has_attempts_headers_and_text_but_no_token(shell: Shell) -> None:
    with shell.cast() as cast:
        ada, ben = cast.enrol_all("Ada", "Ben", now=shell.now)
        cast.leave(ada, shell.now)
        mail, uuid = ben.student.user.email, ben.uuid
    ((id_, key, letter),) = [row for row in letters(shell, Outbox.id, Outbox.key, Outbox.uuid)
                             if row[1].startswith("invited:")]  # fmt: skip
    before = shell.everything()
    done = shell("outbox", "show", str(id_))
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"Message-ID: <{letter}@training.example.org>" in done.stdout
    assert f"<{mail}>" in done.stdout
    assert "Subject: " in done.stdout
    assert "Bread" in done.stdout
    assert "https://training.example.org/invitations/…" in done.stdout
    assert uuid in done.stdout  # in the key
    assert shell.everything() == before  # composing wrote no token
    for other in (key, letter):
        assert shell("outbox", "show", other).stdout == done.stdout
    shown = json.loads(shell("outbox", "show", str(id_), "--json").stdout)
    assert shown["not_sent_because"] is None
    assert ["Auto-Submitted", "auto-generated"] in shown["headers"]


def test_show_of_what_is_no_longer_true_says_so(shell: Shell) -> None:
    with shell.cast() as cast:
        ada, ben = cast.enrol_all("Ada", "Ben", now=shell.now)
        cast.leave(ada, shell.now)
        cast.decline(ben, shell.now)
    (id_,) = [id_ for id_, kind in letters(shell, Outbox.id, Outbox.kind) if kind == "invited"]
    done = shell("outbox", "show", str(id_))
    assert (done.exit_code, "It would not go out now: " in done.stdout) == (0, True)


def test_a_letter_that_is_not_there_ends_with_3(shell: Shell) -> None:
    shell.line("Ben")
    before = shell.everything()
    for act in (["show"], ["retry"], ["drop", "--reason", "not needed"]):
        for text in (*NO_SUCH, "-1"):
            done = shell("outbox", *act, "--", text)
            assert (done.exit_code, done.stdout) == (3, "")
        assert shell("outbox", *act, "a\0b").exit_code == 2
    assert shell.everything() == before


# --- send ----------------------------------------------------------------------------------------


def test_send_sends_what_is_due(shell: Shell, folder: Path) -> None:
    shell.line("Ben")
    count = len(letters(shell))
    one = shell("outbox", "send", "--limit", "1")
    assert (one.exit_code, one.stdout) == (0, "sent 1, skipped 0, dead 0, retried 0\n")
    rest = shell("outbox", "send")
    assert (rest.exit_code, rest.stderr) == (0, "")
    assert rest.stdout == f"sent {count - 1}, skipped 0, dead 0, retried 0\n"
    assert {state for _, state in letters(shell)} == {OutboxState.SENT}
    assert len([path for path in folder.rglob("*") if path.is_file()]) == count
    assert shell("outbox", "send").stdout == "sent 0, skipped 0, dead 0, retried 0\n"
    assert shell("outbox", "send", "--limit", "0").exit_code == 2


def test_send_without_a_server_ends_with_5_and_costs_no_letter(url: str) -> None:
    app = databases.app_on(url, **SETTINGS | {"mail_transport": "smtp", "smtp_port": 1})
    shell = Shell(app)
    shell.line("Ben")
    done = shell("outbox", "send")
    assert (done.exit_code, "Traceback" in done.output) == (5, False)
    assert {state for _, state in letters(shell)} == {OutboxState.PENDING}
    with app.app_context():
        db.engine.dispose()


def test_a_letter_nobody_takes_ends_with_1(shell: Shell) -> None:
    shell.line("Ben")
    with shell.app.app_context(), write(db.session):
        user = db.session.scalars(sa.select(User).where(User.first_name == "Ben")).one()
        user.email = "not an address"
    done = shell("outbox", "send")
    assert done.exit_code == 1
    assert "dead 1" in done.stdout


def test_while_the_channel_rests_nothing_is_sent(shell: Shell) -> None:
    shell.line("Ben")
    pause(shell)
    done = shell("outbox", "send")
    assert (done.exit_code, done.stdout) == (5, "sent 0, skipped 0, dead 0, retried 0\n")
    assert "421 try later" in done.stderr


# --- acts of staff -------------------------------------------------------------------------------


def test_what_was_given_up_is_tried_again(shell: Shell) -> None:
    shell.line("Ben")
    id_ = dead(shell)
    done = shell("outbox", "retry", str(id_))
    assert (done.exit_code, done.stdout) == (0, f"letter {id_} is due now\n")
    assert ("waitlisted", OutboxState.PENDING) in letters(shell)
    shell("outbox", "send")
    again = shell("outbox", "retry", str(id_))
    assert (again.exit_code, again.stdout) == (4, "")
    assert "resend it instead" in again.stderr


def test_dropping_takes_a_reason(shell: Shell) -> None:
    shell.line("Ben")
    id_ = str(dead(shell))
    before = shell.everything()
    assert shell("outbox", "drop", id_).exit_code == 2
    for reason in ("", "no", "x" * 501, "a\0bcdef"):
        assert shell("outbox", "drop", id_, "--reason", reason).exit_code == 2
    assert shell.everything() == before
    done = shell("outbox", "drop", id_, "--reason", "told them by phone")
    assert (done.exit_code, done.stdout) == (0, f"letter {id_} will not be sent\n")
    assert ("waitlisted", OutboxState.SKIPPED) in letters(shell)
    assert shell("outbox", "drop", id_, "--reason", "told them by phone").exit_code == 4


def test_requeue_asks_and_tries_all_again(shell: Shell) -> None:
    shell.line("Ben")
    dead(shell)
    before = shell.everything()
    requeue = ("outbox", "requeue", "--channel", "email", "--since")
    assert shell(*requeue, "2 hours").exit_code == 2
    assert shell(*requeue, "2 hours", input="n\n").exit_code == 2
    assert shell(*requeue[:3], "pigeon", "--since", "2 hours", "--yes").exit_code == 3
    later = (shell.now + timedelta(hours=1)).isoformat()
    assert shell(*requeue, later, "--yes").stdout == "requeued 0\n"
    for bad in ("", "soon", "-2 hours", "2026-02-30", "0001-01-01T00:00+14:00", "1\0"):
        assert shell(*requeue, bad, "--yes").exit_code == 2
    assert shell.everything() == before
    done = shell(*requeue, "2 hours", "--yes")
    assert (done.exit_code, done.stdout) == (0, "requeued 1\n")
    assert ("waitlisted", OutboxState.PENDING) in letters(shell)


def test_release_lets_a_paused_channel_send(shell: Shell) -> None:
    shell.line("Ben")
    pause(shell)
    assert shell("outbox", "release").exit_code == 2
    done = shell("outbox", "release", input="y\n")
    assert (done.exit_code, done.stdout) == (
        0,
        f"channels released: 1, letters waiting: {len(letters(shell))}\n",
    )
    assert shell("outbox", "send").exit_code == 0
    assert shell("outbox", "release").stdout == "channels released: 0, letters waiting: 0\n"


# --- bounces -------------------------------------------------------------------------------------

REPORT = """\
From: MAILER-DAEMON@mx.example.org
To: {to}
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

It could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; somebody@example.org
Action: {action}
Status: {status}

--b--
"""


def bounce_of(shell: Shell, id_: int) -> str:
    to = bounce_address(id_, shell.app.extensions["settings"])
    assert to is not None
    return to


def test_a_hard_bounce_marks_letter_and_address(shell: Shell) -> None:
    shell.line("Ben")
    shell("outbox", "send")
    ((id_, user),) = [(i, u) for i, k, u in letters(shell, Outbox.id, Outbox.kind, Outbox.user_id)
                      if k == "waitlisted"]  # fmt: skip
    report = REPORT.format(to=bounce_of(shell, id_), action="failed", status="5.1.1")
    done = shell("outbox", "bounce", input=report)
    assert (done.exit_code, done.stdout) == (0, f"letter {id_} bounced\n")
    assert ("waitlisted", OutboxState.BOUNCED) in letters(shell)
    bad = [u for u, at in shell.rows(User, User.id, User.undeliverable_at) if at]
    assert bad == [user]
    assert shell("outbox", "bounce", input=report).stdout == f"letter {id_} had bounced already\n"


@pytest.mark.parametrize(
    ("action", "status"), [("delayed", "4.4.7"), ("failed", "4.2.2"), ("delivered", "2.0.0")]
)
def test_what_is_no_lasting_failure_changes_nothing(shell: Shell, action: str, status: str) -> None:
    shell.line("Ben")
    shell("outbox", "send")
    (id_, _), *_ = letters(shell, Outbox.id, Outbox.kind)
    before = shell.everything()
    report = REPORT.format(to=bounce_of(shell, id_), action=action, status=status)
    done = shell("outbox", "bounce", input=report)
    assert (done.exit_code, done.stdout) == (0, "")
    away = f"From: ben@example.org\nTo: {bounce_of(shell, id_)}\n\nI am away until 5.1.1.\n"
    assert shell("outbox", "bounce", input=away).exit_code == 0
    assert shell.everything() == before


def test_a_report_that_is_not_ours_ends_with_3(shell: Shell) -> None:
    shell.line("Ben")
    shell("outbox", "send")
    before = shell.everything()
    genuine = bounce_of(shell, 1)
    forged = genuine.replace(genuine[genuine.index(".") + 1], "0" if "." in genuine else "1", 1)
    for to in ("", "bounce+1.0000000000000000@x", forged.replace("bounce+1.", "bounce+2.")):
        report = REPORT.format(to=to, action="failed", status="5.1.1")
        assert shell("outbox", "bounce", input=report).exit_code == 3
    assert shell("outbox", "bounce", input="\0é" * 10).exit_code == 3
    assert shell("outbox", "bounce").exit_code == 3
    assert shell.everything() == before


def test_a_letter_that_never_went_out_cannot_bounce(shell: Shell) -> None:
    shell.line("Ben")
    report = REPORT.format(to=bounce_of(shell, 1), action="failed", status="5.1.1")
    assert shell("outbox", "bounce", input=report).exit_code == 4
