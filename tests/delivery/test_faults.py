"""Whose fault it is that a letter doesn't go, and that ours cost no letter a thing (OB6, OB7)."""

from __future__ import annotations

import logging
import smtplib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dotenv import dotenv_values
from flask import Flask

from app.delivery import outbox, rendering
from app.delivery.transports import MEMORY, Blame, fault, plain
from app.extensions import db, write
from app.models import OnBounce, Outbox, TrainingEnroll
from tests import databases
from tests.cast import HOUR, MINUTE, NOON, SECOND
from tests.delivery.post_office import (
    CLOSE,
    Clock,
    Sink,
    an_app,
    channel,
    count,
    drain,
    plain_letter,
    posting_from,
    promise,
    row,
    states,
)
from tests.delivery.test_smtp import at
from tests.races.runners import committed

ROOT = Path(__file__).parent.parent.parent


def failures() -> int:
    state = channel()
    return state.failures if state else 0


# --- our own address ------------------------------------------------------------------------------


@pytest.mark.parametrize("here", [{"environment": "DEVELOPMENT"}, {"demo": True}])
def test_with_the_defaults_alone_letters_go_into_the_folder(
    url: str, here: dict[str, Any], tmp_path: Path
) -> None:
    """A developer's machine and the demo, as `.env.example` leaves them."""
    defaults = {n.lower(): v for n, v in dotenv_values(ROOT / ".env.example").items() if v}
    del defaults["scheduler_lock_port"]
    own = {"mail_folder": str(tmp_path / "outbox"), "secret_key": "s" * 40}
    app = databases.app_on(url, **defaults | own | here)
    with posting_from(app):
        with committed(app) as cast:
            cast.student("Ada").user.email = "ada@demo.example"
            cast.student("Ben").user.email = "ben@demo.local"
            cast.enrol_all("Ada", "Ben")
        posted = drain(Clock())
        assert (posted.sent, posted.total) == (4, 4)
        letters = list((tmp_path / "outbox").glob("*.eml"))
        assert len(letters) == 4
        assert all(b"From: " in letter.read_bytes() for letter in letters)
        assert {letter.stat().st_mode & 0o777 for letter in letters} == {0o600}
        assert (tmp_path / "outbox").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "bad",
    [
        {"mail_sender": "Office <office@example.org>"},
        {"mail_domain": "m.example\r\nBcc: x@y.example", "mail_sender": "a@example.org"},
    ],
)
def test_a_bad_address_of_ours_pauses_the_channel_and_costs_nothing(
    url: str, bad: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    app = an_app(url, **bad)
    with posting_from(app):
        with committed(app) as cast:
            cast.practice.on_bounce = OnBounce.RELEASE
            ben = cast.offer("Ben", "Cleo")[0].id
        clock, waiting = Clock(), count("pending")
        for _ in range(6):
            drain(clock)
            clock.ahead(SECOND)
        assert count("pending") == waiting
        assert set(db.session.scalars(sa.select(Outbox.attempts))) == {0}
        assert db.session.get_one(TrainingEnroll, ben).invite_undelivered_at is None
        assert failures() == 5
        assert "channel rests" in caplog.text
        assert next(iter(bad)).upper() in caplog.text


def test_a_practice_whose_sender_is_bad_writes_from_our_address(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    with committed(app) as cast:
        cast.practice.sender = "Clay <clay@example.org>"
        cast.enrol("Ada")
    assert drain(Clock()).sent == 2
    assert all(b"noreply@mail.example.org" in letter.content for letter in MEMORY.sent)
    assert [r for r in caplog.messages if "sender of a practice" in r] == [
        "the sender of a practice is no e-mail address: practice=1"
    ]


def test_a_sender_that_turns_out_bad_is_the_channels_fault(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = promise(3)

    def compose(_session: Any, rows: Any, *_: Any) -> Any:
        return {r.id: plain_letter(r, sender="@") for r in rows}

    monkeypatch.setattr(rendering, "compose", compose)
    drain(Clock())
    assert states(*ids) == ["pending"] * 3
    assert [row(id_).attempts for id_ in ids] == [0, 0, 0]
    assert failures() == 1


# --- who is refused: we, or they ------------------------------------------------------------------


def said(code: int, words: str) -> Exception:
    return smtplib.SMTPRecipientsRefused({"x": (code, words.encode())})


@pytest.mark.parametrize(
    ("error", "blame"),
    [
        (smtplib.SMTPSenderRefused(550, b"sender rejected", "x"), Blame.CHANNEL),
        (smtplib.SMTPSenderRefused(451, b"4.3.0 later", "x"), Blame.CHANNEL),
        (smtplib.SMTPSenderRefused(552, b"5.3.4 too large", "x"), Blame.LETTER),
        (said(550, "5.4.5 daily sending quota exceeded"), Blame.CHANNEL),
        (said(550, "5.1.8 sender's domain unknown"), Blame.CHANNEL),
        (said(554, "Relay access denied"), Blame.CHANNEL),
        (said(550, "5.1.1 user unknown in relay recipient table"), Blame.LETTER),
        (said(552, "5.2.2 over quota"), Blame.LETTER),
        (smtplib.SMTPServerDisconnected("mid-letter"), Blame.MOMENT),
    ],
)
def test_what_speaks_of_us_is_no_fault_of_the_letter(error: Exception, blame: Blame) -> None:
    assert fault(error).blame is blame


@pytest.mark.parametrize(
    ("words", "refused", "doubtful"),
    [
        ("5.1.1 no such user", True, False),
        ("no", True, True),
        ("5.3.4 too large", False, False),
        ("5.6.0 what a letter", False, False),
    ],
)
def test_a_refusal_says_whom_it_is_about_or_not(words: str, refused: bool, doubtful: bool) -> None:
    found = fault(said(550, words))
    assert (found.refused, found.doubtful) == (refused, doubtful)


@pytest.mark.usefixtures("app", "plainly")
@pytest.mark.parametrize(("stage", "words"), [("MAIL", "550 sender rejected"), ("RCPT", "550 no")])
def test_when_all_are_refused_it_is_we_who_are(sink: Sink, stage: str, words: str) -> None:
    ids, clock = promise(12), Clock()
    sink.mood = at(stage, words)
    for _ in range(7):
        drain(clock, sink.smtp())
        clock.ahead(MINUTE)
    assert states(*ids) == ["pending"] * 12
    assert {row(id_).attempts for id_ in ids} == {0}
    assert failures() >= 5
    sink.mood = lambda *_: None
    clock.ahead(HOUR)
    assert drain(clock, sink.smtp()).sent == 12
    assert failures() == 0


@pytest.mark.usefixtures("app", "plainly")
def test_a_few_that_are_refused_without_a_word_are_dead(sink: Sink) -> None:
    ids = promise(4)
    sink.mood = at("RCPT", "550 no")
    assert drain(Clock(), sink.smtp()).dead == 4
    assert states(*ids) == ["dead"] * 4
    assert failures() == 0


@pytest.mark.usefixtures("app", "plainly")
def test_many_that_are_refused_beside_one_that_is_taken_are_dead(sink: Sink) -> None:
    ids = promise(8)
    sink.mood = at("RCPT", "550 no", *ids[:4], *ids[5:])
    posted = drain(Clock(), sink.smtp())
    assert (posted.sent, posted.dead) == (1, 7)


@pytest.mark.usefixtures("app", "plainly")
def test_many_unknown_readers_are_many_bad_addresses(sink: Sink) -> None:
    promise(8)
    sink.mood = at("RCPT", "550 5.1.1 no such user")
    assert drain(Clock(), sink.smtp()).dead == 8
    assert failures() == 0


@pytest.mark.usefixtures("app", "plainly")
def test_a_server_that_hangs_up_after_each_letter_costs_no_try(sink: Sink) -> None:
    ids, first = promise(4), set()

    def mood(stage: str, _envelope: Any) -> str | None:
        if stage == "DATA":
            first.add(sink.connections)
        return CLOSE if stage == "MAIL" and sink.connections in first else None

    sink.mood = mood
    posted = drain(Clock(), sink.smtp())
    assert (posted.sent, posted.retried) == (4, 0)
    assert sink.connections == 4
    assert [row(id_).attempts for id_ in ids] == [1] * 4
    assert failures() == 0


@pytest.mark.parametrize("reason", ["550 5.1.1 no such user", "it is no fault of the reader's"])
def test_only_what_is_refused_for_the_readers_sake_releases_the_place(
    app: Flask, reason: str
) -> None:
    with committed(app) as cast:
        cast.practice.on_bounce = OnBounce.RELEASE
        ben = cast.offer("Ben", "Cleo")[0].id
    error = said(550, reason[4:]) if reason.startswith("550") else ValueError(reason)
    drain(Clock(), _Refusing("invited", error))
    status = db.session.get_one(TrainingEnroll, ben).status
    assert (status == "waitlist-invite-expired") is reason.startswith("550")


class _Refusing:
    """A way out that raises an error for each letter of a kind."""

    alive = True

    def __init__(self, kind: str, error: Exception) -> None:
        self.kind, self.error = kind, error

    def open(self) -> Any:
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def send(self, envelope: Any) -> None:
        if envelope.kind == self.kind:
            raise self.error


# --- rows that nobody can read --------------------------------------------------------------------


GARBAGE = {
    "sqlite": [
        "created_at = 'garbage'",
        "first_tried_at = 'garbage'",
        "kind = CAST(x'ff' AS TEXT)",
        "payload = 'garbage'",
        "attempts = 'garbage'",
        "attempts = 9223372036854775807",
    ],
    "postgresql": [
        "created_at = TIMESTAMPTZ '20000-01-01'",
        "first_tried_at = TIMESTAMPTZ '4000-01-01 BC'",
        "attempts = 2147483647",
        "attempts = -2147483648",
    ],
}


@pytest.mark.usefixtures("app")
def test_rows_that_nobody_can_read_stop_no_other(kind: str) -> None:
    """All end within a day, with a reason; those between them at once."""
    garbage = GARBAGE[kind]
    ids = promise(2 * len(garbage) + 1)
    with write(db.session):
        for id_, what in zip(ids[1::2], garbage, strict=True):
            db.session.execute(sa.text(f"UPDATE outbox SET {what} WHERE id = {id_}"))
    clock, o = Clock(), outbox.OUTBOX.c
    drain(clock)
    ended = sa.select(o.id).where(o.ended_at.is_not(None)).order_by(o.id)
    assert set(ids[::2]) <= set(db.session.scalars(ended))
    for _ in range(13):
        clock.ahead(7 * HOUR)
        drain(clock)
    assert db.session.scalars(ended).all() == ids
    assert db.session.scalar(sa.select(sa.func.count(o.last_error))) == len(ids)


# --- a database that is away for a moment ---------------------------------------------------------


class Away:
    """`unit`, but the database is away for the next `times` units once a letter has gone."""

    def __init__(self, times: int) -> None:
        self.times, self.real, self.gone = times, outbox.unit, False

    def __call__(self, session: Any, act: Any) -> Any:
        if self.gone and self.times:
            self.times -= 1
            raise sa.exc.OperationalError("UPDATE", {}, Exception("server closed the connection"))
        return self.real(session, act)

    def open(self) -> Any:
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    alive = True

    def send(self, _envelope: Any) -> None:
        self.gone = True


@pytest.mark.usefixtures("app", "plainly")
def test_a_letter_that_has_gone_is_marked_when_the_database_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids, away, waits = promise(3), Away(4), []
    monkeypatch.setattr(outbox, "unit", away)
    monkeypatch.setattr(outbox.time, "sleep", waits.append)
    assert drain(Clock(), away).sent == 3
    assert states(*ids) == ["sent"] * 3
    assert waits == [0.5, 1, 2, 4]


@pytest.mark.usefixtures("app", "plainly")
def test_what_was_not_tried_is_due_again_if_the_database_stays_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids, clock, away = promise(3), Clock(), Away(8)
    monkeypatch.setattr(outbox, "unit", away)
    monkeypatch.setattr(outbox.time, "sleep", lambda s: clock.ahead(timedelta(seconds=5 * s)))
    with pytest.raises(sa.exc.OperationalError):
        drain(clock, away)
    assert states(*ids) == ["sending", "sending", "sending"]
    away.times = 0
    assert clock.now - NOON > 90 * SECOND  # it asked as long as the lease lasted


@pytest.mark.usefixtures("app", "plainly")
def test_whatever_goes_wrong_what_was_not_tried_is_due_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = promise(4)
    real = outbox._mark

    def mark(batch: Any, which: list[int], **values: Any) -> int:
        if which == [ids[1]] and values["state"] == "sent":
            raise RuntimeError("a fault of ours")
        return real(batch, which, **values)

    monkeypatch.setattr(outbox, "_mark", mark)
    with pytest.raises(RuntimeError):
        drain(Clock())
    assert states(*ids) == ["sent", "sending", "pending", "pending"]
    assert [row(id_).attempts for id_ in ids[2:]] == [0, 0]
    assert row(ids[2]).due_at == NOON


# --- nobody's address or letter in rows and logs (SE17) -------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "<reader-1@example.org>: unknown",
        '"reader-1"@example.org unknown',
        "user READER-1 unknown",
        "reader-1@[10.0.0.1]",
    ],
)
def test_no_address_is_kept_of_what_a_server_says(words: str) -> None:
    assert "reader-1" not in plain(words, "reader-1@example.org").lower()


@pytest.mark.usefixtures("app", "plainly")
def test_no_address_stays_with_an_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "app")
    (id_,) = promise(payload={"to": "reader-1@example.org"})
    drain(Clock(), _Refusing("enrolled", said(550, "5.1.1 user reader-1 unknown")))
    assert row(id_).last_error == "550 5.1.1 user <address> unknown"
    assert "reader-1" not in caplog.text


@pytest.mark.usefixtures("app")
def test_an_error_of_ours_is_logged_without_what_it_stumbled_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (id_,) = promise()

    error = ValueError("Dear Ada, your secret is safe with ada@example.org")

    def compose(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(rendering, "compose", compose)
    drain(Clock())
    assert row(id_).last_error == "ValueError"
    assert "secret" not in caplog.text
    assert "in compose" in caplog.text  # where it was, for who mends it
