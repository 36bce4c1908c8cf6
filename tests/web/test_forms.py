"""What forms read of what was typed (people PG4, PT3)."""

from __future__ import annotations

import pytest
from flask import Flask
from wtforms import PasswordField, StringField, TextAreaField

from app.services.refusals import ReasonNeeded, a_reason
from app.web.forms import Form
from tests.cast import Cast
from tests.web.browsing import Client, sign_in

UNSEEN = "\u200b" * 5


class Everything(Form):
    """A field of each kind."""

    line = StringField(filters=[lambda text: text and text.replace("x", "y")])
    lines = TextAreaField()
    password = PasswordField()


@pytest.mark.parametrize(
    ("typed", "line", "lines"),
    [
        ("Ada  Moss", "Ada Moss", "Ada  Moss"),
        ("a\0b\x1b[1m", "a b [1m", "a b [1m"),
        ("one\r\n\ttwo\rx", "one two y", "one\n two\nx"),
        ("to \u202eright", "to right", "to  right"),
        (UNSEEN, "", ""),
        ("👩\u200d🌾", "👩\u200d🌾", "👩\u200d🌾"),
    ],
)
def test_texts_come_as_they_can_be_kept_and_shown(
    shared_web_apps: dict[str, Flask], typed: str, line: str, lines: str
) -> None:
    data = {"line": typed, "lines": typed, "password": typed}
    with shared_web_apps["sqlite"].test_request_context(method="POST", data=data):
        form = Everything()
        assert (form.line.data, form.lines.data) == (line, lines)
        assert form.password.data == typed


def test_what_shows_nothing_is_no_name_and_no_reason(client: Client, cast: Cast) -> None:
    sign_in(client, cast.student("Ada"))
    profile = {"last_name": "Mo\0ss\n", "phone": "", "birthday": "", "language": "en"}
    assert client.act("/me/profile", first_name=UNSEEN, **profile).status_code == 400
    assert client.act("/me/profile", first_name="A\0da", **profile).status_code == 303
    cast.session.expire_all()
    assert cast.student("Ada").user.fullname == "A da Mo ss"
    for typed in (UNSEEN, "ab" + UNSEEN, "ab \u200bc"):
        with pytest.raises(ReasonNeeded):
            a_reason(typed)
    assert a_reason(" ill \u200bnow ") == "ill \u200bnow"


def test_no_address_has_a_nul(client: Client) -> None:
    for path in ("/trainings?search=a%00b", "/help?%00"):
        assert client.get(path).status_code == 400


def test_a_version_of_absurd_length_is_no_fault(client: Client, cast: Cast) -> None:
    (row,) = cast.offer("Ben")
    sign_in(client, cast.tess)
    acts = f"/trainer/trainings/{cast.pottery.id}/acts"
    for version in ("9" * 5000, "9" * 10, "²"):
        seen = f"{row.uuid}:{version}:waitlist-invited"
        answer = client.act(f"{acts}?act=end", row=seen, reason="They moved away")
        assert answer.status_code < 500
