"""Letters about accounts: rendered as all others, and their links gone once they are (S3)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from app.delivery import outbox, rendering
from app.extensions import db, write
from app.models import Outbox, OutboxState, User
from app.services import account_letters
from app.services.letter_facts import Untrue
from tests.cast import HOUR, NOON, Cast
from tests.delivery import post_office
from tests.delivery.post_office import Clock

PAGE = "/new-password/abc.def"


@pytest.fixture
def app(url: str) -> Any:
    app = post_office.an_app(url)
    with app.app_context():
        yield app
        db.engine.dispose()


def promised(kind: str = "account_reset", until: timedelta = HOUR) -> tuple[User, Outbox]:
    """Ada's letter, and Ada, who wants no mail."""
    with write(db.session):
        cast = Cast(db.session())
        cast.wont_mail("Ada")
        ada = cast.student("Ada").user
        write_it = getattr(account_letters, kind.removeprefix("account_"))
        write_it(db.session(), cast.practice.id, ada, PAGE, NOON + until, NOON)
    row = db.session.query(Outbox).one()
    return ada, row


def test_a_letter_about_the_account_reaches_whoever_opted_out(app: Flask) -> None:
    ada, row = promised()
    letter: Any = rendering.compose(db.session(), [row], app.extensions["settings"], NOON)[row.id]
    assert (letter.to, letter.calendar) == (ada.email, None)
    assert f"https://training.example.org{PAGE}" in letter.text
    assert f"https://training.example.org{PAGE}" in letter.html
    assert "1 hour" in letter.text


def test_once_sent_nothing_that_opens_is_left(app: Flask) -> None:
    promised()
    assert outbox.drain(clock=Clock()).sent == 1
    row = db.session.query(Outbox).one()
    assert (row.state, row.payload) == (OutboxState.SENT, {})


def test_a_link_that_ran_out_is_not_sent_and_not_kept(app: Flask) -> None:
    promised(until=timedelta(seconds=-1))
    assert outbox.drain(clock=Clock()).skipped == 1
    assert db.session.query(Outbox).one().payload == {}


def test_a_letter_without_its_link_is_no_letter(app: Flask) -> None:
    _ada, row = promised()
    with write(db.session):
        row.payload = {}
    made = rendering.compose(db.session(), [row], app.extensions["settings"], NOON)[row.id]
    assert isinstance(made, Untrue)


def test_a_stranger_can_be_written_to(app: Flask) -> None:
    with write(db.session):
        cast = Cast(db.session())
        account_letters.sign_up(
            db.session(), cast.practice.id, "new@example.org", PAGE, NOON + HOUR, NOON
        )
    row = db.session.query(Outbox).one()
    letter: Any = rendering.compose(db.session(), [row], app.extensions["settings"], NOON)[row.id]
    assert (letter.to, letter.to_name) == ("new@example.org", "")
    assert "Hello there," in letter.text
