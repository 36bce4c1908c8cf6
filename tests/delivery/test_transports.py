"""Ways out of the house, and what their errors mean (libraries M1, reliability OB6)."""

from __future__ import annotations

import errno
import re
import smtplib
import socket
import ssl
import threading
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.delivery import message
from app.delivery.transports import (
    MEMORY,
    Blame,
    Smtp,
    ToConsole,
    ToFiles,
    ToMemory,
    fault,
    plain,
    transport_for,
)
from config import Settings
from tests.cast import NOON
from tests.delivery.post_office import KEYS, plain_letter

LETTER, MOMENT, CHANNEL = Blame.LETTER, Blame.MOMENT, Blame.CHANNEL


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **{"mail_domain": "mail.example.org"} | given)


def envelope(number: int = 7, given: Settings | None = None, **other: Any) -> message.Envelope:
    row = SimpleNamespace(
        id=number, uuid=f"uuid-{number}", kind="invited", created_at=NOON, payload={}
    )
    return message.envelope(plain_letter(row, **other), row, given or settings())


def read(envelope: message.Envelope) -> EmailMessage:
    return message_from_bytes(envelope.content, policy=policy.default)  # type: ignore[return-value]


# --- the table of OB6 ---


@pytest.mark.parametrize(
    ("error", "blame", "over"),
    [
        (smtplib.SMTPDataError(450, b"4.2.0 greylisted"), MOMENT, False),
        (smtplib.SMTPDataError(450, b"4.7.1 greylisted"), MOMENT, False),
        (smtplib.SMTPDataError(451, b"local error"), MOMENT, False),
        (smtplib.SMTPDataError(-1, b"gibberish"), MOMENT, True),
        (smtplib.SMTPServerDisconnected("after DATA"), MOMENT, True),
        (TimeoutError("timed out"), MOMENT, True),
        (ConnectionResetError(errno.ECONNRESET, "reset"), MOMENT, True),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), CHANNEL, True),
        (socket.gaierror(-2, "Name or service not known"), CHANNEL, True),
        (ssl.SSLCertVerificationError("certificate verify failed"), CHANNEL, True),
        (smtplib.SMTPNotSupportedError("STARTTLS"), CHANNEL, True),
        (smtplib.SMTPAuthenticationError(535, b"5.7.8 no"), CHANNEL, False),
        (smtplib.SMTPSenderRefused(421, b"bye", "x"), CHANNEL, True),
        (smtplib.SMTPSenderRefused(530, b"authenticate first", "x"), CHANNEL, False),
        (smtplib.SMTPRecipientsRefused({"a": (550, b"5.7.1 relaying denied")}), CHANNEL, False),
        (smtplib.SMTPDataError(554, b"5.7.26 unauthenticated"), CHANNEL, False),
        (smtplib.SMTPRecipientsRefused({"a": (421, b"4.3.2 bye")}), CHANNEL, True),
        (smtplib.SMTPRecipientsRefused({"a": (450, b"full")}), MOMENT, False),
        (smtplib.SMTPRecipientsRefused({"a": (550, b"5.1.1 unknown")}), LETTER, False),
        (smtplib.SMTPRecipientsRefused({"a": (553, b"no such address")}), LETTER, False),
        (smtplib.SMTPDataError(552, b"5.3.4 message too large"), LETTER, False),
        (smtplib.SMTPDataError(554, b"version 15.7.1 says no"), LETTER, False),
        (OSError(errno.ENOSPC, "No space left on device"), CHANNEL, True),
        (ValueError("not ASCII"), LETTER, False),
        (RuntimeError("a fault of ours"), MOMENT, False),
    ],
)
def test_what_an_error_means(error: Exception, blame: Blame, over: bool) -> None:
    found = fault(error)
    assert (found.blame, found.over) == (blame, over)
    assert found.reason
    connecting = fault(error, connecting=True)
    assert (connecting.blame, connecting.over) == (CHANNEL, True)


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("550 <ada@example.org>: unknown", "550 <<address>>: unknown"),
        ("no ada+x@example.org, sorry", "no <address>, sorry"),
        ("a\r\nb\x00c\x1b[31m", "a b c [31m"),
        ("x" * 900, "x" * 500),
    ],
)
def test_reasons_name_nobody_and_are_one_line(words: str, kept: str) -> None:
    assert plain(words) == kept


# --- which way ---


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, Smtp),
        ({"mail_transport": "file"}, ToFiles),
        ({"mail_transport": "console"}, ToConsole),
        ({"mail_transport": "memory"}, ToMemory),
        ({"environment": "DEVELOPMENT"}, ToFiles),
        ({"demo": True}, ToFiles),
        ({"environment": "DEVELOPMENT", "mail_transport": "console"}, ToConsole),
        ({"environment": "DEVELOPMENT", "mail_real_in_development": True}, Smtp),
    ],
)
def test_the_settings_name_the_way(given: dict[str, Any], kind: type) -> None:
    assert type(transport_for(settings(**given))) is kind


def test_smtp_takes_its_server_from_the_settings() -> None:
    given = {"smtp_host": "m", "smtp_port": 587, "smtp_tls": "tls"}
    given |= {"smtp_username": "u", "smtp_password": "p"}
    assert transport_for(settings(**given)) == Smtp("m", 587, "tls", "u", "p")


# --- files, console, memory ---


def test_files_are_whole_sorted_by_promise_and_written_once(tmp_path: Path) -> None:
    files = ToFiles(tmp_path / "deep" / "folder")
    with files.open() as connection:
        for number in (10, 9, 100, 9):
            connection.send(envelope(number))
    found = sorted(files.folder.iterdir())
    assert [file.name for file in found] == [
        f"20260302T120000-{number:010d}-invited.eml" for number in (9, 10, 100)
    ]
    assert b"uuid-9" in found[0].read_bytes()


def test_letters_in_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    """The links in them need no password (reliability SE17)."""
    files = ToFiles(tmp_path / "folder")
    with files.open() as connection:
        connection.send(envelope(9))
        (file,) = files.folder.iterdir()
        file.with_name(f".{file.name}.{threading.get_ident()}").write_text("by one who died")
        connection.send(envelope(9))
    assert list(files.folder.iterdir()) == [file]
    assert files.folder.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("sender", ["office@localhost", "office@firm.local", "office@firm"])
def test_our_own_address_need_be_known_to_our_own_server_only(sender: str) -> None:
    assert envelope(sender=sender).sender == sender


def test_made_up_readers_are_for_demos() -> None:
    with pytest.raises(message.BadReader):
        envelope(to="ada@demo.local")
    assert envelope(given=settings(demo=True), to="ada@demo.local").to == "ada@demo.local"


def test_the_console_shows_what_a_reader_sees(capsys: pytest.CaptureFixture[str]) -> None:
    with ToConsole().open() as connection:
        connection.send(envelope(7, text="Günther, come!\n"))
    shown = capsys.readouterr().out
    assert "Subject: Letter 7" in shown
    assert "Günther, come!" in shown


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"text": "Günther, come!\n", "html": "<p>Günther, come!</p>"},
        {"unsubscribe": "https://training.example.org/unsubscribe/" + "x" * 200},
        {"calendar": b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "calendar_method": "REQUEST"},
        {"cancelled": b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"},
    ],
)
def test_headers_read_once_for_all_make_the_same_letter(
    monkeypatch: pytest.MonkeyPatch, other: dict[str, Any]
) -> None:
    """Byte for byte what the library makes of each letter anew, but for the random boundaries."""
    envelope(6, **other)  # the one that the next is like
    quick = envelope(7, **other).content
    monkeypatch.setattr(message, "THE_SAME", ())
    assert bounded(quick) == bounded(envelope(7, **other).content)


def bounded(content: bytes) -> bytes:
    return re.sub(rb"===============\d+==", b"boundary", content)


def test_memory_keeps_the_envelope() -> None:
    with MEMORY.open() as connection:
        connection.send(one := envelope())
    assert MEMORY.sent[-1] is one


# --- messages ---


def test_a_letter_with_a_calendar_has_three_faces() -> None:
    ics = "BEGIN:VCALENDAR\r\nMETHOD:CANCEL\r\nSUMMARY:Tøpfern\r\nEND:VCALENDAR\r\n"
    letter = read(envelope(calendar=ics.encode(), calendar_method="CANCEL"))
    assert letter.get_content_type() == "multipart/alternative"
    kinds = [part.get_content_type() for part in letter.iter_parts()]  # type: ignore[attr-defined]
    assert kinds == ["text/plain", "text/html", "text/calendar"]
    part = list(letter.iter_parts())[2]
    assert part["Content-Type"].params["method"] == "CANCEL"
    assert part["Content-Type"].params["charset"].lower() == "utf-8"
    assert part.get_payload(decode=True) == ics.encode()  # type: ignore[attr-defined]


def test_only_what_can_be_unsubscribed_says_so() -> None:
    url = "https://training.example.org/unsubscribe/" + "t" * 150
    letter = read(envelope(unsubscribe=url))
    assert letter["List-Unsubscribe"] == f"<{url}>"
    assert letter["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert f"List-Unsubscribe: <{url}>\r\n".encode() in envelope(unsubscribe=url).content
    assert read(envelope())["List-Unsubscribe"] is None


def test_everything_on_the_wire_is_ascii_lines_of_bearable_length() -> None:
    words = {"subject": "Ünïcödé " * 20, "text": "ö" * 5000, "html": "<p>" + "ß" * 5000}
    content = envelope(**words).content
    assert content.isascii()
    assert max(len(line) for line in content.split(b"\r\n")) <= 998
    assert read(envelope(**words))["Subject"].strip() == ("Ünïcödé " * 20).strip()


def test_a_subject_too_long_is_cut_not_refused() -> None:
    assert len(read(envelope(subject="x" * 300))["Subject"]) == 200


def test_an_international_domain_is_written_as_dns_knows_it() -> None:
    assert envelope(to="ada@bücher.example").to == "ada@xn--bcher-kva.example"


def test_days_that_are_no_more_go_in_a_file_beside_the_calendar() -> None:
    """Not as a third way to show the letter: it is of another METHOD (RFC 5546)."""
    both = read(envelope(calendar=b"BEGIN:VCALENDAR", cancelled=b"BEGIN:VCALENDAR"))
    parts = {
        part.get_param("method"): part.get_content_disposition()
        for part in both.walk()
        if part.get_content_type() == "text/calendar"
    }
    assert parts == {"REQUEST": None, "CANCEL": "attachment"}
    assert both.get_content_type() == "multipart/mixed"


def test_date_and_id_are_the_same_on_each_try() -> None:
    first, again = read(envelope()), read(envelope())
    assert first["Message-ID"] == again["Message-ID"] == "<uuid-7@mail.example.org>"
    assert first["Date"] == again["Date"]
    assert first["Date"].datetime - NOON == timedelta(0)


@pytest.mark.parametrize(
    ("given", "domain"),
    [
        ({"mail_domain": "m.example"}, "m.example"),
        (
            {"mail_domain": None, "public_base_url": "https://t.example.org:8443/x"},
            "t.example.org",
        ),
        ({"mail_domain": None}, "localhost.localdomain"),
        *(
            ({"mail_domain": None, "public_base_url": f"http://{host}"}, domain)
            for host, domain in (
                ("127.0.0.1:8000", "localhost.localdomain"),
                ("[::1]:8000", "localhost.localdomain"),
                ("[::1", "localhost.localdomain"),
                ("localhost:8000", "localhost"),
            )
        ),
        ({"mail_domain": "büro.example"}, "xn--bro-hoa.example"),
    ],
)
def test_the_domain_of_our_mail(given: dict[str, Any], domain: str) -> None:
    assert message.mail_domain(settings(**given)) == domain


def test_bounces_find_home_while_keys_rotate() -> None:
    old, new = settings(link_keys=KEYS), settings(link_keys=f"{'n' * 32},{KEYS}")
    address = envelope(12, old).sender
    assert address == message.bounce_address(12, old)
    assert message.bounced_row(f"X: <{address.upper()}>", new) == 12
    assert message.bounced_row(address, settings(link_keys="o" * 32)) is None
    assert message.bounced_row("bounce+12.0000000000000000@x", new) is None
    assert envelope().sender == "office@mail.example.org"  # without keys: as the letter says
