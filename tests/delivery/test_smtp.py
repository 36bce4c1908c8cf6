"""Against a mail server with moods, over a real socket (reliability TM7, F28–F31)."""

from __future__ import annotations

import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app.delivery.message import bounced_row
from app.delivery.transports import Smtp
from tests.cast import HOUR, MINUTE, NOON, SECOND
from tests.delivery.post_office import (
    CLOSE,
    Clock,
    Sink,
    a_dripping_server,
    a_sink,
    channel,
    count,
    drain,
    drain_until_quiet,
    free_port,
    promise,
    row,
    states,
)
from tests.races.runners import committed

pytestmark = pytest.mark.usefixtures("app", "plainly")


def at(stage: str, said: str, *ids: int) -> Any:
    """A mood: `said` at `stage` for these rows, or for all."""
    to = {f"reader-{id_}@example.org" for id_ in ids}
    return lambda now, e: said if now == stage and (not ids or to & set(e.rcpt_tos)) else None


# --- as it should be ---


def test_a_batch_goes_over_one_connection(sink: Sink) -> None:
    ids = promise(20)
    assert drain(Clock(), sink.smtp()).sent == 20
    assert sink.connections == 1
    assert sink.ids == [f"<{row(id_).uuid}@mail.example.org>" for id_ in ids]
    assert set(states(*ids)) == {"sent"}


def test_the_envelope_names_the_row_so_that_a_bounce_finds_it(sink: Sink, app: Flask) -> None:
    (id_,) = promise()
    drain(Clock(), sink.smtp())
    (sender,) = sink.senders
    assert sender.startswith(f"bounce+{id_}.")
    assert sender.endswith("@mail.example.org")
    settings = app.extensions["settings"]
    assert bounced_row(f"Final-Recipient: x\r\nTo: <{sender}>\r\n", settings) == id_
    assert bounced_row(sender.replace(f"+{id_}.", f"+{id_ + 1}."), settings) is None


def test_a_letter_arrives_as_it_was_written(sink: Sink) -> None:
    (id_,) = promise()
    drain(Clock(), sink.smtp())
    (letter,) = sink.taken
    assert isinstance(letter, EmailMessage)
    assert letter["Subject"] == f"Letter {id_}"
    assert letter["From"].addresses[0].display_name == "Clay & Co"
    assert letter["To"].addresses[0].display_name == "Réader"
    assert letter["Date"].datetime == NOON
    assert letter["Auto-Submitted"] == "auto-generated"
    parts = {part.get_content_type(): part for part in letter.walk()}
    assert parts["text/plain"].get_content().strip() == f"This is letter {id_}."
    assert "<p>" in parts["text/html"].get_content()


# --- refusals of one letter ---


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
@pytest.mark.parametrize("said", ["550 5.1.1 no such user", "552 5.3.4 too large", "554 no"])
def test_a_permanent_refusal_is_dead_at_once_and_the_batch_goes_on(
    sink: Sink, caplog: pytest.LogCaptureFixture, stage: str, said: str
) -> None:
    ids = promise(3)
    sink.mood = at(stage, said, ids[1])
    posted = drain(Clock(), sink.smtp())
    assert (posted.sent, posted.dead) == (2, 1)
    assert states(*ids) == ["sent", "dead", "sent"]
    assert row(ids[1]).last_error == said
    assert f"letter given up: outbox={ids[1]}" in caplog.text


@pytest.mark.parametrize("said", ["450 4.2.1 later", "451 local trouble", "452 full"])
def test_a_transient_refusal_is_tried_again_and_counts(sink: Sink, said: str) -> None:
    ids = promise(3)
    sink.mood = at("RCPT", said, ids[1])
    clock = Clock()
    assert drain(clock, sink.smtp()).retried == 1
    assert states(*ids) == ["sent", "pending", "sent"]
    waiting = row(ids[1])
    assert (waiting.attempts, waiting.last_error) == (1, said)
    assert NOON + 5 * SECOND <= waiting.due_at <= NOON + MINUTE
    sink.mood = lambda *_: None
    clock.ahead(MINUTE)
    drain(clock, sink.smtp())
    assert states(*ids) == ["sent"] * 3
    assert Counter(sink.ids).most_common(1)[0][1] == 1


def test_no_address_of_a_person_is_kept_with_an_error(sink: Sink) -> None:
    (id_,) = promise()
    sink.mood = at("RCPT", f"550 <reader-{id_}@example.org>: never heard of\t\x07")
    drain(Clock(), sink.smtp())
    assert row(id_).last_error == "550 <<address>>: never heard of"


# --- a connection that ends ---


def test_who_hangs_up_after_the_letter_gets_it_again_under_the_same_id(sink: Sink) -> None:
    ids = promise(3)
    first = iter([CLOSE])
    sink.mood = lambda stage, e: next(first, None) if stage == "DATA" else None
    clock = Clock()
    posted = drain(clock, sink.smtp())
    assert (posted.sent, posted.retried) == (2, 1)  # the others went over a second connection
    assert (row(ids[0]).state, row(ids[0]).attempts) == ("pending", 1)
    clock.ahead(MINUTE)
    assert drain(clock, sink.smtp()).sent == 1
    copies = Counter(sink.ids)
    assert len(copies) == 3
    assert copies[f"<{row(ids[0]).uuid}@mail.example.org>"] == 2
    assert [row(id_).attempts for id_ in ids[1:]] == [1, 1]


def test_421_in_a_batch_costs_no_letter_a_try(sink: Sink) -> None:
    ids = promise(4)
    sink.mood = at("RCPT", "421 4.3.2 going down", ids[2])
    clock = Clock()
    posted = drain(clock, sink.smtp())
    assert posted.sent == 2
    assert states(*ids) == ["sent", "sent", "pending", "pending"]
    assert [row(id_).attempts for id_ in ids[2:]] == [0, 0]
    state = channel()
    assert state is not None
    assert (state.failures, state.paused_until) == (1, None)
    sink.mood = lambda *_: None
    clock.ahead(MINUTE)
    assert drain(clock, sink.smtp()).sent == 2
    assert channel().failures == 0  # type: ignore[union-attr]


def test_five_times_421_pause_the_channel(sink: Sink) -> None:
    ids = promise(2)
    sink.mood = at("MAIL", "421 4.7.0 too many letters")
    clock = Clock()
    for _ in range(5):
        drain(clock, sink.smtp())
        clock.ahead(MINUTE)
    assert sink.connections == 5
    state = channel()
    assert state is not None
    assert state.failures == 5
    assert state.reason == "421 4.7.0 too many letters"
    assert [row(id_).attempts for id_ in ids] == [0, 0]


def test_one_address_that_policy_refuses_does_not_stop_the_others(sink: Sink) -> None:
    """Alone it looks like the channel's fault; beside letters that are taken it is its own."""
    (bad,) = promise()
    sink.mood = at("RCPT", "550 5.7.1 relaying denied", bad)
    clock = Clock()
    drain(clock, sink.smtp())
    assert (row(bad).attempts, channel().failures) == (0, 1)  # type: ignore[union-attr]
    for _ in range(30):
        clock.ahead(6 * HOUR)
        promise(2, due_at=clock.now)
        assert drain(clock, sink.smtp()).sent == 2
    assert states(bad) == ["dead"]
    assert channel().failures == 0  # type: ignore[union-attr]


# --- a server that is slow or away ---


def test_a_byte_a_moment_does_not_hold_a_worker() -> None:
    promise(2)
    with a_dripping_server(b"220 " + b"x" * 1000) as port:
        began = time.monotonic()
        posted = drain(Clock(), Smtp("127.0.0.1", port, timeout=0.4))
        took = time.monotonic() - began
    assert posted.retried == 2
    assert 0.3 < took < 3
    assert channel().failures == 1  # type: ignore[union-attr]


def test_a_slow_answer_to_a_letter_is_its_own_try(sink: Sink) -> None:
    ids = promise(2)
    slow = iter([1.5])
    sink.mood = lambda stage, _e: next(slow, None) if stage == "DATA" else None
    clock = Clock()
    posted = drain(clock, sink.smtp(timeout=0.7))
    assert (posted.sent, posted.retried) == (1, 1)
    assert [row(id_).attempts for id_ in ids] == [1, 1]
    assert channel().failures == 0  # type: ignore[union-attr]
    time.sleep(1)  # until the server has made up its mind
    clock.ahead(MINUTE)
    assert drain(clock, sink.smtp()).sent == 1
    assert set(Counter(sink.ids).values()) <= {1, 2}


def test_an_hour_without_a_server_costs_nothing_but_time(app: Flask, sink: Sink) -> None:
    """All letters arrive later, in order, none twice, and no try is spent (F28)."""
    ids = promise(30) + promise(3, aggregate="ada")
    nobody, clock = Smtp("127.0.0.1", free_port()), Clock()
    posted = drain_until_quiet(clock, nobody, 1, 15 * SECOND)
    assert posted.sent == posted.dead == 0
    assert {row(id_).attempts for id_ in ids} == {0}
    state = channel()
    assert state is not None
    assert 8 <= state.failures <= 16  # 30 s, doubling to ten minutes: not one connection a tick
    assert "refused" in str(state.reason)
    drain_until_quiet(clock, sink.smtp(), 0.25, 15 * SECOND)
    assert sink.ids == [f"<{row(id_).uuid}@mail.example.org>" for id_ in ids]
    assert {row(id_).attempts for id_ in ids} == {1}
    assert channel().failures == 0  # type: ignore[union-attr]


def test_people_enrol_while_no_mail_goes(app: Flask) -> None:
    nobody, clock = Smtp("127.0.0.1", free_port()), Clock()
    promise()
    for _ in range(7):
        drain(clock, nobody)
    assert channel().failures == 5  # type: ignore[union-attr]  # then it rests
    with committed(app) as cast:
        cast.enrol_all("Ada", "Ben")
    assert count("pending") == 5


# --- TLS ---


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*made, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


@pytest.fixture
def secure_sink(certificate: tuple[Path, Path]) -> Iterator[Sink]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    with a_sink(tls_context=context, require_starttls=True) as sink:
        yield sink


def test_starttls_is_used_and_the_certificate_checked(
    secure_sink: Sink, certificate: tuple[Path, Path]
) -> None:
    promise()
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    clock = Clock()
    unknown = Smtp("localhost", secure_sink.port, "starttls")
    assert drain(clock, unknown).retried == 1
    assert "certificate" in str(channel().reason or row(1).last_error).lower()  # type: ignore[union-attr]
    other_name = Smtp("127.0.0.1", secure_sink.port, "starttls", context=trusting)
    assert drain(clock, other_name).sent == 0
    in_the_clear = Smtp("localhost", secure_sink.port, "none")
    assert drain(clock, in_the_clear).sent == 0
    assert secure_sink.taken == []
    clock.ahead(HOUR)
    right = Smtp("localhost", secure_sink.port, "starttls", context=trusting)
    assert drain(clock, right).sent == 1


def test_a_server_without_starttls_is_no_way_out(sink: Sink) -> None:
    (id_,) = promise()
    assert drain(Clock(), sink.smtp(tls="starttls")).sent == 0
    assert (states(id_), row(id_).attempts) == (["pending"], 0)
    assert sink.taken == []
