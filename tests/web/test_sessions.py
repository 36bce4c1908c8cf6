"""Sessions are signed by the keys of now (libraries S1)."""

from __future__ import annotations

from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from app.web import sessions


def test_what_signs_is_made_once_and_anew_for_other_keys() -> None:
    app = Flask("signing")
    app.secret_key = "the first"
    sessions.init_app(app)
    ours = app.session_interface
    assert isinstance(ours, SecureCookieSessionInterface)
    first = ours.get_signing_serializer(app)
    assert first is not None
    assert ours.get_signing_serializer(app) is first
    signed = first.dumps({"who": 7})

    app.secret_key = "the second"
    second = ours.get_signing_serializer(app)
    assert second is not None
    assert second.loads_unsafe(signed)[0] is False

    app.config["SECRET_KEY_FALLBACKS"] = ["the first"]
    third = ours.get_signing_serializer(app)
    assert third is not None
    assert third.loads(signed) == {"who": 7}
