"""Endpoints as the office makes them, and what became of each event (people PA12)."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.extensions import db, utcnow
from app.models import Outbox, Webhook
from app.services import webhooks
from app.services.actors import CONSOLE
from tests.admin.desk import Desk
from tests.cast import Cast


def leads_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(0, 0, 0, "", (address, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_of, **_how: found)


def test_an_endpoint_is_made_and_only_its_page_shows_the_secret(
    desk: Desk, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads_to("93.184.216.34", monkeypatch)
    kinds = ["schedule.run.failed", "schedule.paused"]
    answer = desk.create("webhook", name="Cash", url="https://example.org/h", types=kinds)
    assert answer.status_code == 303, answer.text
    hook = cast.session.scalars(sa.select(Webhook)).one()
    assert (hook.practice_id, hook.types, hook.user_id) == (cast.practice.id, kinds, desk.who.id)
    assert hook.secret not in desk.get("webhook/").text + "".join(desk.csv("webhook"))
    page = desk.get(f"webhook/details/?id={hook.id}")
    assert (hook.secret in page.text, page.headers["Cache-Control"]) == (
        True,
        "no-store",
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254"])
def test_one_that_leads_inside_is_refused_at_its_field(
    desk: Desk, cast: Cast, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    leads_to(address, monkeypatch)
    page = desk.create("webhook", name="Cash", url="https://example.org/h")
    assert (page.status_code, "public https address" in page.text) == (400, True)
    assert cast.session.scalars(sa.select(Webhook)).all() == []


def test_an_office_without_endpoints_reads_what_they_are_for(desk: Desk, cast: Cast) -> None:
    assert "An endpoint hears what schedules do." in desk.get("webhook/").text
    assert "<h1>New webhook</h1>" in desk.get("webhook/new/").text.replace("\n", "")


def test_the_password_leads_to_the_page_that_was_asked_for(desk: Desk, cast: Cast) -> None:
    with desk.client.session_transaction() as cookie:
        cookie["fs_paa"] -= 16 * 60
    for page in ("new/", "details/?id=7"):
        asked = parse_qs(urlsplit(desk.get(f"webhook/{page}").location).query)
        assert asked["next"][0].rstrip("?") == f"/admin/webhook/{page}"


def test_a_name_is_looked_up_while_nobody_waits_for_the_row(
    desk: Desk, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = webhooks.create(
        cast.session, "Cash", "https://example.org/h", [], CONSOLE, utcnow(),
        practice_id=cast.practice.id,
    )  # fmt: skip
    cast.session.commit()
    asked: list[str] = []

    def look_up(host: str, *_of: Any, **_how: Any) -> Any:
        with Session(db.engine) as other, other.begin():
            other.execute(sa.select(Webhook).with_for_update(nowait=True))
        asked.append(host)
        return [(0, 0, 0, "", ("93.184.216.34", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    answer = desk.edit("webhook", hook.id, url="https://slow.example.org/h")
    assert (answer.status_code, asked) == (303, ["slow.example.org"])
    cast.session.expire_all()
    assert hook.url == "https://slow.example.org/h"


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".org"])
def test_a_host_that_no_name_can_be_is_refused_at_its_field(
    desk: Desk, cast: Cast, host: str
) -> None:
    page = desk.create("webhook", name="Cash", url=f"https://{host}/h")
    assert (page.status_code, "public https address" in page.text) == (400, True)


def test_what_it_is_told_stands_in_the_outbox_of_its_practice_alone(desk: Desk, cast: Cast) -> None:
    def told(practice_id: int | None) -> Outbox:
        hook = webhooks.create(
            cast.session, "Cash", "https://example.org/h", [], CONSOLE, utcnow(),
            practice_id=practice_id,
        )  # fmt: skip
        payload: dict[str, Any] = {"practice": practice_id, "event": {"id": "unmistakable"}}
        return cast.add(
            Outbox(
                key=f"{hook.channel}:1",
                channel=hook.channel,
                aggregate=hook.channel,
                kind="schedule.run.failed",
                payload=payload,
                due_at=utcnow(),
                created_at=utcnow(),
            )
        )

    ours, of_all = told(cast.practice.id), told(None)
    assert "Run failed" in desk.get(f"outbox/?search={ours.channel}").text
    assert "unmistakable" in desk.get(f"outbox/details/?id={ours.id}").text
    assert desk.get(f"outbox/details/?id={of_all.id}").status_code == 404
    assert desk.act("outbox", "drop", ours.id, reason="nobody listens").status_code == 303
