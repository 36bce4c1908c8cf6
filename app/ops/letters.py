"""`flask letters`: what each letter says, whether it can be sent, how it looks (people PA9, PC)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime

import click
import sqlalchemy as sa
from flask import current_app
from flask.cli import with_appcontext

from app.delivery import letter_texts, message, rendering
from app.delivery.letter_texts import Sample
from app.delivery.message import BadLetter
from app.delivery.rendering import Letter, Wording
from app.delivery.transports import fault, transport_for
from app.extensions import db, utcnow
from app.models import LetterText, Practice
from app.models.types import new_uuid
from app.ops.exits import NOT_FOUND, REFUSED, UNREACHABLE, WITH_FAULTS, Ended, needs_database
from app.ops.terminal import (
    TEXT,
    json_option,
    note,
    practice_option,
    print_json,
    print_table,
    printable,
    the_practice,
)
from config import Settings

LANGUAGES = ("en", "nl")

key_argument = click.argument("key", metavar="KEY", type=TEXT)
language_option = click.option(
    "--lang", "language", type=click.Choice(LANGUAGES), default="en", show_default=True
)


@click.group("letters")
def command() -> None:
    """The texts of letters. KEY is one that flask letters list shows."""


# --- look ----------------------------------------------------------------------------------------


@command.command("list")
@json_option
@with_appcontext
@needs_database
def list_(as_json: bool) -> None:
    """Every letter, and whose text goes out in each language."""
    own = db.session.scalars(sa.select(LetterText)).all()
    rows = [
        {"key": kind, **{language: _state(kind, language, own) for language in LANGUAGES}}
        for kind in letter_texts.KINDS
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(("letter", *LANGUAGES), [list(row.values()) for row in rows])
    note(f"letters: {len(rows)}.")


def _state(kind: str, language: str, own: Sequence[LetterText]) -> str:
    """`shipped`, `English`, and how many texts practices have put in its place."""
    count = sum(text.key == kind and text.language == language for text in own)
    stands = "shipped" if rendering.shipped(kind, language) else "English"
    return f"{stands}, {count} own" if count else stands


@command.command("check")
@with_appcontext
@needs_database
def check() -> None:
    """Try every text on people who do not exist; 1 if one could not be sent."""
    failed = count = 0
    for name, wording, tried_on in _texts(utcnow()):
        count += 1
        faults = letter_texts.faults(wording, tried_on)
        failed += bool(faults)
        for part, sentence in faults.items():
            click.echo(printable(f"{name}: {part}: {sentence}"))
    click.echo(f"checked {count} texts, {failed} with faults")
    if failed:
        sys.exit(WITH_FAULTS)


def _texts(now: datetime) -> Iterator[tuple[str, Wording, Sample]]:
    """Each text there is, with what to call it and what to try it on."""
    anybody = db.session.scalars(sa.select(Practice).order_by(Practice.id).limit(1)).first()
    anybody = anybody or Practice(id=0, name="Example", timezone="UTC", language="en")
    for kind in letter_texts.KINDS:
        for language in LANGUAGES:
            if wording := rendering.shipped(kind, language):
                yield f"{kind} {language}", wording, _sample(anybody, kind, now)
    for text in db.session.scalars(sa.select(LetterText).order_by(LetterText.id)):
        practice = db.session.get_one(Practice, text.practice_id)
        name = f"{text.key} {text.language} of {practice.shortname}"
        if text.key in letter_texts.KINDS:
            wording = letter_texts.wording_of(text)
            yield name, wording, _sample(practice, text.key, now)


def _sample(practice: Practice, kind: str, now: datetime) -> Sample:
    return letter_texts.sample(practice, kind, current_app.extensions["settings"], now)


@command.command("preview")
@key_argument
@language_option
@practice_option
@json_option
@with_appcontext
@needs_database
def preview(key: str, language: str, practice: str | None, as_json: bool) -> None:
    """One letter as a reader who does not exist would get it."""
    _, subject, text, html = _written(key, language, the_practice(practice))
    if as_json:
        print_json({"subject": subject, "text": text, "html": html})
        return
    click.echo(printable(f"Subject: {subject}"))
    click.echo()
    for line in text.splitlines():
        click.echo(printable(line))


def _written(key: str, language: str, practice: Practice) -> tuple[Sample, str, str, str]:
    """What would go out. Raises `Ended`: 3 for an unknown letter, 2 for a text that fails."""
    if key not in letter_texts.KINDS:
        raise Ended(f"There is no letter {printable(key)}: see flask letters list.", NOT_FOUND)
    own = letter_texts.own_text(db.session(), practice.id, key, language, "")
    wording = letter_texts.wording_of(own) if own else letter_texts.begin_with(key, language)
    tried_on = _sample(practice, key, utcnow())
    faults = letter_texts.faults(wording, tried_on)
    if faults:
        raise Ended("\n".join(f"{part}: {why}" for part, why in faults.items()), REFUSED)
    return tried_on, *letter_texts.preview(wording, tried_on)


# --- act -----------------------------------------------------------------------------------------


@command.command("test-send")
@key_argument
@click.option("--to", type=TEXT, required=True, help="Whose mailbox it goes to.")
@language_option
@practice_option
@with_appcontext
@needs_database
def test_send(key: str, to: str, language: str, practice: str | None) -> None:
    """Send one letter about people who do not exist; its links open nothing. 5 if mail fails."""
    settings: Settings = current_app.extensions["settings"]
    of = the_practice(practice)
    tried_on, subject, text, html = _written(key, language, of)
    row = tried_on.facts.row
    row.id, row.uuid = 0, new_uuid()
    letter = Letter(
        to=to,
        to_name="",
        sender=message.our_sender(settings),
        sender_name=of.name,
        subject=subject,
        text=text,
        html=html,
        language=language,
        calendar=None,
        calendar_method=None,
    )
    try:
        envelope = message.envelope(letter, row, settings)
    except BadLetter as bad:
        raise Ended(f"It cannot be sent: {printable(bad)}.", REFUSED) from bad
    try:
        with transport_for(settings).open() as connection:
            connection.send(envelope)
    except Exception as error:  # whatever the network says
        why = printable(fault(error).reason)
        raise Ended(f"The mail server did not take it: {why}", UNREACHABLE) from error
    click.echo(f"sent {key} to {printable(to)}")
