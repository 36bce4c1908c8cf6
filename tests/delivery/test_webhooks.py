"""Telling programs what schedules did: signed, again, to nobody of ours (schedules O9, F36)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app.delivery import webhook_http, webhooks
from app.delivery.outbox import LEASE, RETRY, Posted
from app.delivery.webhook_http import Answer, NotPublic, Way, is_public
from app.extensions import db, write
from app.models import ChannelState, Webhook
from app.services.actors import CONSOLE
from app.services.webhooks import BadWebhookUrl, create, parts_of
from tests.cast import HOUR, MINUTE, NOON
from tests.delivery.http_sink import Endpoint, a_certificate, an_endpoint
from tests.delivery.post_office import Clock, promise, row, states

DONE = "schedule.run.succeeded"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return a_certificate(tmp_path_factory.mktemp("endpoint"))


@pytest.fixture
def endpoint(certificate: tuple[Path, Path]) -> Iterator[Endpoint]:
    with an_endpoint(certificate) as endpoint:
        yield endpoint


@pytest.fixture
def hook(app: Flask, endpoint: Endpoint) -> Webhook:
    return a_hook(endpoint.url)


def a_hook(url: str, secret: str | None = None) -> Webhook:
    with write(db.session):
        hook = create(db.session(), "Cash desk", url, [], CONSOLE, NOON, practice_id=None)
        hook.secret = secret or hook.secret
    db.session.refresh(hook)
    return hook


def events(hook: Webhook, count: int = 1, **values: Any) -> list[int]:
    """Rows as the services write them, each of a schedule of its own."""
    ids = []
    for n in range(count):
        event = {"id": f"event-{n}", "type": DONE, "timestamp": "2026-03-02T11:00:00Z", "data": {}}
        told = {"webhook": hook.id, "practice": None, "event": event}
        ids += promise(channel=hook.channel, kind=DONE, payload=told, **values)
    return ids


def tell(clock: Clock, endpoint: Endpoint, **more: Any) -> Posted:
    return webhooks.drain(clock=clock, way=endpoint.way(), **more)


def rests(hook: Webhook) -> Any:
    db.session.rollback()
    state = db.session.get(ChannelState, hook.channel, populate_existing=True)
    return state and state.paused_until


def test_an_event_is_told_once_signed_and_with_its_id(hook: Webhook, endpoint: Endpoint) -> None:
    (id_,) = events(hook)
    assert tell(Clock(), endpoint).sent == 1
    assert states(id_) == ["sent"]
    (taken,) = endpoint.taken
    assert (taken.path, taken.event["type"]) == ("/hooks?from=nextseat", DONE)
    said = f"event-0.{int(NOON.timestamp())}.".encode() + taken.body
    key = base64.b64decode(hook.secret.removeprefix("whsec_"))
    mac = base64.b64encode(hmac.new(key, said, hashlib.sha256).digest()).decode()
    assert taken.headers["webhook-signature"] == f"v1,{mac}"
    assert taken.headers["webhook-id"] == taken.event["id"] == "event-0"
    assert tell(Clock(), endpoint).total == 0


def test_another_secret_signs_otherwise() -> None:
    one = webhooks.signed("whsec_" + base64.b64encode(b"a" * 32).decode(), "x", NOON, b"{}")
    other = webhooks.signed("whsec_" + base64.b64encode(b"b" * 32).decode(), "x", NOON, b"{}")
    assert one["webhook-signature"] != other["webhook-signature"]


def test_what_cannot_be_signed_waits_and_stops_no_other(hook: Webhook, endpoint: Endpoint) -> None:
    """A secret that somebody spoilt in the table costs its own endpoint a try, and no more."""
    (spoilt,) = events(a_hook(endpoint.url, secret="whsec_a"))
    (whole,) = events(hook)
    for _ in range(2):
        tell(Clock(), endpoint)
    assert states(whole) == ["sent"]
    assert (states(spoilt), row(spoilt).attempts) == (["pending"], 1)


def test_what_may_pass_is_tried_again_with_the_same_id(hook: Webhook, endpoint: Endpoint) -> None:
    clock = Clock()
    (id_,) = events(hook)
    endpoint.mood = lambda _event: (503, {"Retry-After": "7200"})
    assert tell(clock, endpoint).retried == 1
    assert (states(id_), row(id_).attempts) == (["pending"], 1)
    assert "503" in str(row(id_).last_error)
    assert row(id_).due_at >= NOON + 2 * HOUR
    endpoint.mood = lambda _event: 200
    clock.now = row(id_).due_at
    assert tell(clock, endpoint).sent == 1
    assert [taken.event["id"] for taken in endpoint.taken] == ["event-0"] * 2


def test_no_redirect_is_followed(hook: Webhook, endpoint: Endpoint) -> None:
    (id_,) = events(hook)
    endpoint.mood = lambda _event: (307, {"Location": endpoint.url})
    assert tell(Clock(), endpoint).dead == 1
    assert (states(id_), len(endpoint.taken)) == (["dead"], 1)
    assert "redirect" in str(row(id_).last_error)


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_a_good_answer_means_that_it_was_taken(status: int) -> None:
    assert webhooks.judge(Answer(status)) is None


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 599])
def test_what_may_pass_is_the_fault_of_the_moment(status: int) -> None:
    fault = webhooks.judge(Answer(status, HOUR))
    assert fault is not None
    assert (fault.lasting, fault.of_endpoint, fault.wait) == (False, False, HOUR)


@pytest.mark.parametrize("status", [301, 302, 303, 308, 400, 404, 410, 413, 422])
def test_what_will_not_pass_is_given_up_at_once(status: int) -> None:
    fault = webhooks.judge(Answer(status))
    assert fault is not None
    assert (fault.lasting, fault.gone) == (True, status == 410)


@pytest.mark.parametrize(
    ("said", "wait"),
    [
        ("7200", 2 * HOUR),
        ("Mon, 02 Mar 2026 13:00:00 GMT", HOUR),
        ("Mon, 02 Mar 2020 12:00:00 GMT", 0 * HOUR),
        ("99999999", 24 * HOUR),
        ("soon", None),
        ("-1", None),
        (None, None),
    ],
)
def test_how_long_an_endpoint_asks_us_to_wait(said: str | None, wait: Any) -> None:
    assert webhook_http._retry_after(said, NOON) == wait


def test_an_endpoint_that_is_gone_is_switched_off_and_the_rest_skipped(
    hook: Webhook, endpoint: Endpoint
) -> None:
    first, second = events(hook, 2)
    endpoint.mood = lambda _event: 410
    clock = Clock()
    tell(clock, endpoint)
    tell(clock, endpoint)
    assert (states(first, second), len(endpoint.taken)) == (["dead", "skipped"], 1)
    db.session.refresh(hook)
    assert (hook.active, hook.off_because) == (False, "it answered 410")


def test_after_the_last_try_it_is_dead(hook: Webhook, endpoint: Endpoint) -> None:
    (id_,) = events(hook, attempts=RETRY.tries - 1, first_tried_at=NOON - HOUR)
    endpoint.mood = lambda _event: 500
    assert tell(Clock(), endpoint).dead == 1
    assert (states(id_), row(id_).attempts) == (["dead"], RETRY.tries)


def test_an_endpoint_that_refuses_us_rests_and_holds_up_no_other(
    hook: Webhook, endpoint: Endpoint, certificate: tuple[Path, Path]
) -> None:
    clock, ids = Clock(), events(hook, 8)
    endpoint.mood = lambda _event: 401
    with an_endpoint(certificate) as other:
        (there,) = events(a_hook(other.url))
        for _ in range(8):
            tell(clock, endpoint)
        assert len(endpoint.taken) == 5  # then it rests (OB7)
        assert rests(hook) > clock.now
        assert states(there) == ["sent"]
    endpoint.mood = lambda _event: 204
    clock.ahead(2 * MINUTE)
    for _ in range(3):
        tell(clock, endpoint)
        clock.ahead(HOUR)
    assert (states(*ids), rests(hook)) == (["sent"] * 8, None)


def test_nobody_there_counts_as_a_try_so_that_it_ends(hook: Webhook, endpoint: Endpoint) -> None:
    (id_,) = events(a_hook(f"https://localhost:{_closed_port()}/"))
    assert tell(Clock(), endpoint).retried == 1
    assert (states(id_), row(id_).attempts) == (["pending"], 1)


def _closed_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_whoever_shows_no_certificate_of_that_name_is_told_nothing(
    hook: Webhook, endpoint: Endpoint
) -> None:
    (id_,) = events(hook)
    posted = webhooks.drain(clock=Clock(), way=Way(private_too=True, seconds=5))
    assert (posted.retried, endpoint.taken) == (1, [])
    assert "ertificate" in str(row(id_).last_error)


@pytest.mark.parametrize("mood", [None, -100])
def test_hanging_up_and_dripping_are_tried_again_in_bounded_time(
    hook: Webhook, endpoint: Endpoint, mood: Any
) -> None:
    (id_,) = events(hook)
    endpoint.mood = lambda _event: mood
    posted = webhooks.drain(clock=Clock(), way=endpoint.way(seconds=0.5))
    assert (posted.retried, states(id_)) == (1, ["pending"])


def test_who_died_before_marking_leaves_it_to_the_next(hook: Webhook, endpoint: Endpoint) -> None:
    (id_,) = events(hook)
    clock = Clock()
    batch = webhooks._claim(hook.channel, 5, clock)
    assert [row.id for row in batch.rows] == [id_]
    assert tell(clock, endpoint).total == 0
    clock.ahead(LEASE)
    assert tell(clock, endpoint).sent == 1


def test_it_tells_no_more_than_it_is_asked_to(hook: Webhook, endpoint: Endpoint) -> None:
    events(hook, 3)
    assert tell(Clock(), endpoint, limit=1).sent == 1
    assert len(endpoint.taken) == 1


# --- where it leads ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://",
        "https://user@example.org/",
        "https://user:word@example.org/",
        "https://example.org/#part",
        "https://exa mple.org/",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://[::1/",
        "https://example.org/\r\nX: y",
        "https://éxample.org/",
        "https://a..b/",
        "https://" + "a" * 64 + ".org/",
        "https://example.org/" + "x" * 500,
        "",
    ],
)
def test_what_is_no_plain_https_address_is_refused(url: str) -> None:
    with pytest.raises(BadWebhookUrl):
        parts_of(url)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.1.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "::127.0.0.1",
        "::ffff:0:7f00:1",
        "fec0::1",
        "2002:7f00:1::",
        "ff02::1",
    ],
)
def test_no_private_address_is_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_addresses_of_the_world_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", ["https://127.0.0.1/", "https://[::ffff:10.0.0.1]/"])
def test_a_private_address_is_told_nothing(app: Flask, address: str) -> None:
    (id_,) = events(a_hook(address))
    assert webhooks.drain(clock=Clock()).dead == 1
    assert states(id_) == ["dead"]
    assert "public" in str(row(id_).last_error)


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(0, 0, 0, "", (address, 443)) for address in ("93.184.216.34", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_of, **_how: found)
    with pytest.raises(NotPublic):
        Way().address_of(parts_of("https://example.org/"))


def test_a_name_is_asked_for_once_so_that_its_answer_cannot_change(
    hook: Webhook, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: the first answer is judged, and the connection goes there (F36)."""
    answers = [[(0, 0, 0, "", ("93.184.216.34", 443))], [(0, 0, 0, "", ("127.0.0.1", 443))]]
    connected: list[Any] = []

    def connect(where: Any, _seconds: Any) -> Any:
        connected.append(where[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(webhook_http.socket, "getaddrinfo", lambda *_of, **_how: answers.pop(0))
    monkeypatch.setattr(webhook_http.socket, "create_connection", connect)
    with pytest.raises(ConnectionRefusedError):
        Way().post("https://example.org/", b"{}", {}, NOON)
    assert (connected, len(answers)) == (["93.184.216.34"], 1)


def test_letters_are_not_sent_to_endpoints_nor_events_as_letters(
    hook: Webhook, endpoint: Endpoint
) -> None:
    (event,) = events(hook)
    (letter,) = promise(kind="enrolled")
    assert tell(Clock(), endpoint).total == 1
    assert states(event, letter) == ["sent", "pending"]
