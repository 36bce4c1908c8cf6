"""In which language a page speaks: the account's, a cookie's, the browser's, English (PW3)."""

from __future__ import annotations

from flask import Flask, has_request_context, request

from app.web import whoami

LANGUAGES = ("en",)  # first the one that everything is written in
COOKIE = "language"


def init_app(app: Flask) -> None:
    """Babel asks us; outside a request it speaks English, and letters say which themselves."""
    babel = app.extensions["babel"]
    babel.locale_selector = language
    app.add_template_global(language, "page_language")


def language() -> str:
    """The first language somebody asks for that we speak; `nl-BE` is also `nl`."""
    if not has_request_context():
        return LANGUAGES[0]
    for asked in (whoami.language(), request.cookies.get(COOKIE)):
        if asked and (spoken := asked.partition("-")[0].lower()) in LANGUAGES:
            return spoken
    return request.accept_languages.best_match(LANGUAGES) or LANGUAGES[0]
