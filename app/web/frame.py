"""What every page stands in, and the few words that all views share."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from flask import Flask, current_app, flash, redirect, render_template, url_for
from flask_babel import get_locale
from flask_babel import lazy_gettext as _l
from markupsafe import Markup
from werkzeug import Response

from app.services.letter_facts import plain
from app.services.letter_words import duration, instant, zone_of
from app.services.refusals import Refusal
from app.web import whoami


class Door(NamedTuple):
    """A link of the navigation; `roles` empty: for everybody."""

    endpoint: str
    words: Any
    roles: tuple[str, ...] = ()


# What the header leads to. A door whose room isn't built is not shown.
DOORS = (
    Door("catalogue.index", _l("Trainings")),
    Door("my_trainings.index", _l("My trainings"), ("student",)),
    Door("trainer.index", _l("My courses"), ("trainer",)),
    Door("admin.index", _l("Administration"), ("admin",)),
)
ROLE_WORDS = {
    "admin": _l("Administrator"),
    "trainer": _l("Trainer"),
    "student": _l("Student"),
    "organiser": _l("Organiser"),
    "venue-owner": _l("Venue owner"),
}


def init_app(app: Flask) -> None:
    """Filters and functions of templates."""
    app.add_template_filter(when)
    app.add_template_filter(interval)
    app.add_template_filter(ordinal)
    app.add_template_filter(plain)
    app.add_template_global(doors)
    app.add_template_global(has_page)
    app.add_template_global(ROLE_WORDS, "role_words")  # type: ignore[arg-type]


# --- answers of views ----------------------------------------------------------------------------


def see_other(endpoint: str, notice: Any = None, **values: Any) -> Response:
    """303 to the page that shows what is true now, with one notice (people PG3)."""
    if notice:
        flash(str(notice), "notice")
    return redirect(url_for(endpoint, **values), 303)


def refuse(refusal: Refusal) -> tuple[str, int]:
    """The page of a refusal: one sentence why, with its status (waitlist WD5)."""
    if refusal.status == 404:
        return render_template("frame/error.html", status=404), 404
    sentence = str(refusal.sentence)
    return render_template("frame/refused.html", sentence=sentence), refusal.status


def page_of_form(template: str, form: Any, **values: Any) -> tuple[str, int]:
    """A page with a form: 400 where it has errors, and what was typed is kept (people PG4)."""
    return render_template(template, form=form, **values), 400 if form.errors else 200


# --- what templates ask --------------------------------------------------------------------------


def doors() -> list[Door]:
    """The navigation of whoever looks, in the role they chose."""
    role = whoami.role()
    return [
        door for door in DOORS if has_page(door.endpoint) and (not door.roles or role in door.roles)
    ]


def has_page(endpoint: str) -> bool:
    """Whether that room is built."""
    return endpoint in current_app.view_functions


def zone() -> ZoneInfo:
    """The zone that its reader's times are in: the practice's."""
    practice = whoami.practice()
    return zone_of(practice.timezone if practice else "UTC")


def when(at: datetime, in_zone: ZoneInfo | None = None) -> Markup:
    """`<time>`: "Tue 3 March 2026, 14:30 (Amsterdam)", machine-readable in UTC (people PG7)."""
    words = instant(at, in_zone or zone())
    return Markup('<time datetime="{}">{}</time>').format(f"{at:%Y-%m-%dT%H:%M:%S}Z", words)


def interval(length: timedelta) -> str:
    """`2 days`, `1 day 3 hours`."""
    return duration(length)


def ordinal(number: int) -> str:
    """`2nd` in English, `2e` in Dutch, elsewhere `2.`."""
    language = str(get_locale() or "en").partition("_")[0]
    if language == "nl":
        return f"{number}e"
    if language != "en":
        return f"{number}."
    teens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
