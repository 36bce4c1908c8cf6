"""`/dev/outbox`: where letters of the demo are read (people PF4)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from app.delivery import outbox
from app.extensions import utcnow
from app.limits import limiter
from app.models import Outbox, TrainingEnroll
from tests import databases
from tests.cast import DAY, Cast
from tests.web.browsing import Client, client_of
from tests.web.links import checksum, heading

SECRET = "a secret of at least thirty-two bytes, for tests alone"


@pytest.fixture(scope="module")
def demo_apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Flask]]:
    """The demo per kind of database, its letters in one folder."""
    with databases.shared_web_apps(
        demo=True,
        secret_key=SECRET,
        security_password_salt=SECRET + "!",
        security_totp_secrets=[SECRET + "?"],
        mail_transport="file",
        mail_domain="example.org",
        mail_folder=str(tmp_path_factory.mktemp("letters")),
    ) as apps:
        yield apps


@pytest.fixture
def web_app(kind: str, demo_apps: dict[str, Flask]) -> Iterator[Flask]:
    """The demo with an empty database."""
    app = demo_apps[kind]
    limiter.enabled = False
    yield app
    limiter.enabled = True  # applications made later have it, too
    databases.empty(app)
    for path in Path(app.extensions["settings"].mail_folder).iterdir():
        path.unlink()


@pytest.fixture
def invited(cast: Cast) -> Outbox:
    """Ben is invited to a training of next month; the row of his letter."""
    now = utcnow()
    wheel = cast.training("Wheel", 1, now + 30 * DAY)
    ada, _ben = (cast.enrol(name, now, wheel) for name in ("Ada", "Ben"))
    cast.leave(ada, now)
    return newest(cast, "invited")


def newest(cast: Cast, kind: str) -> Outbox:
    cast.session.flush()
    rows = cast.session.query(Outbox).filter_by(kind=kind).order_by(Outbox.id.desc())
    return rows.first()  # type: ignore[return-value]


def send_all(web_app: Flask, cast: Cast) -> None:
    cast.session.commit()
    with web_app.app_context():
        assert outbox.drain().sent


def listed(client: Client, query: str = "") -> list[tuple[str, str]]:
    """(letter, reader) as the list shows them."""
    page = client.get(f"/dev/outbox{query}").text
    found = re.findall(r"<td[^>]*><a[^>]*>([^<]+)</a></td>\s*<td[^>]*>([^<]+)</td>", page)
    return [(kind, name) for kind, name in found]


def test_nobody_reads_letters_of_a_real_installation(cast: Cast, kind: str) -> None:
    with databases.a_database(kind) as url:
        app = databases.web_app_on(url, public_base_url="https://localhost")
        client = client_of(app)
        statuses = [client.get(at).status_code for at in ("/dev/outbox", "/dev/outbox/1")]
        databases.dispose(app)
    assert statuses == [404, 404]


def test_letters_are_listed_newest_first_and_by_person(
    client: Client, cast: Cast, invited: Outbox
) -> None:
    everything = listed(client)
    assert everything[:2] == [("Invited trainer", "Tess Example"), ("Invited", "Ben Example")]
    bens = listed(client, f"?person={invited.user_id}")
    assert bens == [("Invited", "Ben Example"), ("Waitlisted", "Ben Example")]
    assert listed(client, "?person=x") == everything
    page = client.get("/dev/outbox").text
    assert re.search(r'<section id="letters" data-refresh="3"', page)


def test_a_letter_that_was_sent_is_shown_as_it_went_out(
    client: Client, web_app: Flask, cast: Cast, invited: Outbox
) -> None:
    send_all(web_app, cast)
    page = client.get(f"/dev/outbox/{invited.id}")
    assert heading(page) == "A place is free for you: Wheel"
    assert "/invitations/" in page.text
    for header in ("Message-ID", "From: ", "To: ", "Auto-Submitted"):
        assert header in page.text
    (frame,) = re.findall(r"<iframe[^>]*>", page.text)
    sandbox = re.search(r'sandbox="([^"]*)"', frame)
    assert sandbox is not None
    assert "allow-scripts" not in sandbox[1]
    assert "allow-same-origin" not in sandbox[1]
    assert "&lt;base target=&#34;_blank&#34;&gt;" in frame
    accept = re.search(r"http://[^/]+(/invitations/[\w-]{43})", page.text)
    assert accept is not None
    assert heading(client.get(accept[1])) == "A place is free for you"


def test_a_letter_still_to_be_sent_is_shown_and_nothing_is_written(
    client: Client, web_app: Flask, cast: Cast, invited: Outbox
) -> None:
    before = checksum(cast)
    page = client.get(f"/dev/outbox/{invited.id}")
    assert "has not gone out yet" in page.text
    assert heading(page) == "A place is free for you: Wheel"
    accept = re.search(r"(/invitations/[\w-]{43})", page.text)
    assert accept is not None
    assert client.get(accept[1]).status_code == 410
    assert checksum(cast) == before
    send_all(web_app, cast)
    assert client.get(accept[1]).status_code == 200  # the very same link


def test_the_calendar_stands_beside_the_letter(
    client: Client, web_app: Flask, cast: Cast, invited: Outbox
) -> None:
    cast.enrol("Dora", utcnow(), cast.training("Glazing", 1, utcnow() + 30 * DAY))
    send_all(web_app, cast)
    row = newest(cast, "enrolled")
    page = client.get(f"/dev/outbox/{row.id}").text
    assert "BEGIN:VCALENDAR" in page
    assert "METHOD:REQUEST" in page


def test_a_letter_that_is_not_true_any_more_says_why(
    client: Client, cast: Cast, invited: Outbox
) -> None:
    cast.accept(cast.session.get_one(TrainingEnroll, invited.enrolment_id), utcnow())
    page = client.get(f"/dev/outbox/{invited.id}")
    assert page.status_code == 200
    assert "now enrolled" in page.text


@pytest.mark.parametrize("number", ["0", "-1", "99999", str(10**20), "1,2"])
def test_there_is_no_such_letter(client: Client, number: str) -> None:
    assert client.get(f"/dev/outbox/{number}").status_code == 404


def test_the_letterbox_takes_five_statements_however_many_letters(
    client: Client, web_app: Flask, cast: Cast, invited: Outbox
) -> None:
    from tests.web.links import statements_of

    with statements_of(web_app) as few:
        client.get("/dev/outbox")
    cast.several(20, 20)
    with statements_of(web_app) as many:
        client.get("/dev/outbox")
    assert len(few) == len(many) <= 5


@pytest.mark.parametrize("asked", ["9" * 23, "-1", "9" * 5000, "%00"])
def test_a_number_that_nobody_has_is_no_fault(client: Client, asked: str) -> None:
    assert client.get(f"/dev/outbox?person={asked}").status_code in (200, 400)
