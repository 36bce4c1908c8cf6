"""The texts of letters: the shipped ones, and those that the practice has put in their place (PA9).

A text that could not be sent is refused with its line; the shipped one goes out wherever there is
no own text, and instead of one that fails (waitlist WM4).
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flask import abort, current_app, flash, redirect, request
from flask_admin.base import expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.exc import IntegrityError
from wtforms import StringField, TextAreaField
from wtforms.validators import InputRequired

from app.admin import letter_names, office
from app.admin.acts import Question
from app.admin.fields import LANGUAGES, readable
from app.admin.frame import SecurePage
from app.admin.freshness import Stale
from app.delivery import letter_texts, rendering
from app.delivery.letter_texts import Sample
from app.delivery.rendering import Wording
from app.extensions import db, utcnow, write
from app.models import LetterText
from app.services.locks import locked
from app.services.refusals import Refusal

log = logging.getLogger("app.admin.letter_texts")

SOURCE = {"spellcheck": "false", "class": "source"}


class TextForm(Question):
    """The three parts of a letter."""

    subject = StringField(_l("Subject"), [InputRequired(_l("Type a subject.")), readable])
    text = TextAreaField(
        _l("Text"),
        [InputRequired(_l("Type a text.")), readable],
        description=_l("For readers whose mail program shows no HTML."),
        render_kw={"rows": 14, "required": True} | SOURCE,
    )
    html = TextAreaField(
        _l("HTML"),
        [InputRequired(_l("Type a text.")), readable],
        description=_l("What most readers see. The practice's name stands above it."),
        render_kw={"rows": 18, "required": True} | SOURCE,
    )

    def put(self, faults: dict[str, str]) -> None:
        """Each fault at its field."""
        for part, sentence in faults.items():
            self[part].errors = [*self[part].errors, sentence]


@dataclass(frozen=True)
class Entry:
    """One letter in one language, as the list shows it."""

    kind: str
    language: str
    variant: str
    own: LetterText | None
    fails: bool = False

    @property
    def state(self) -> tuple[str, str]:
        """A badge: whose text goes out."""
        if self.own and self.fails:
            return "bad", str(_("Own, fails"))
        if self.own:
            return "ok", str(_("Own"))
        if rendering.shipped(self.kind, self.language):
            return "dim", str(_("Shipped"))
        return "wait", str(_("English goes out"))


class OneText:
    """The letter that a request names. 404 for what is none."""

    def __init__(self) -> None:
        asked = {name: request.values.get(name, "") for name in ("key", "language", "variant")}
        self.kind, self.language, self.variant = asked.values()
        self.now = utcnow()
        known = self.kind in letter_texts.KINDS and self.language in LANGUAGES_BY_CODE
        if not known or (self.variant and self.own is None):
            abort(404)

    @cached_property
    def own(self) -> LetterText | None:
        """The practice's own text, as it is now."""
        if "\x00" in self.variant:
            return None
        return letter_texts.own_text(
            db.session(), office.practice_id(), self.kind, self.language, self.variant
        )

    @property
    def stands(self) -> Wording:
        """What goes out now."""
        if self.own is not None:
            return letter_texts.wording_of(self.own)
        return letter_texts.begin_with(self.kind, self.language)

    @property
    def name(self) -> str:
        """`Invitation, English`."""
        parts = (letter_names.called(self.kind), LANGUAGES_BY_CODE[self.language], self.variant)
        return ", ".join(part for part in parts if part)

    @property
    def address(self) -> dict[str, str]:
        """How a link names it."""
        named = {"key": self.kind, "language": self.language}
        return named | ({"variant": self.variant} if self.variant else {})

    def stamp(self) -> str:
        """A digest of the own text, or of there being none."""
        own = self.own
        text = repr(own and (own.subject, own.text, own.html))
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def tried_on(self) -> Sample:
        """People who do not exist, whom the practice writes to."""
        practice = office.practice()
        assert practice is not None  # noqa: S101  administrators have one
        return letter_texts.sample(
            practice, self.kind, current_app.extensions["settings"], self.now
        )

    def save(self, wording: Wording) -> None:
        """Put it in the place of what goes out; `Stale` if that changed meanwhile."""
        try:
            with write(db.session):
                if self.own is not None:
                    locked(db.session(), LetterText, self.own.id)
                self.__dict__.pop("own", None)  # as it is under the lock
                if request.form.get("version") != self.stamp():
                    raise Stale(SAVED_MEANWHILE)
                letter_texts.save(
                    db.session(), office.practice_id(), self.kind, self.variant, wording, self.now
                )
        except IntegrityError as error:
            raise Stale(SAVED_MEANWHILE) from error
        self.say("saved")

    def say(self, what: str) -> None:
        """Staff acts are logged, by numbers only (SE17)."""
        log.info(
            "letter text %s: letter=%s language=%s practice=%s actor=%s",
            what,
            self.kind,
            self.language,
            office.practice_id(),
            office.actor().name,
        )


LANGUAGES_BY_CODE = {choice.value: str(choice.label) for choice in LANGUAGES}
SAVED_MEANWHILE = _l(
    "Somebody saved this letter meanwhile. Nothing of yours is saved yet:"
    " open it in another window, compare, and save again to put yours in its place."
)


class LetterTexts(SecurePage):
    """Every letter there is, in each language; its text, and how that looks."""

    @expose("/")
    def index(self) -> Any:
        """Whose text goes out, letter by letter."""
        own = letter_texts.own_texts(db.session(), office.practice_id())
        return self.render(
            "admin/letter_texts/index.html",
            groups=[
                (title, [(name, _entries(kind, own)) for kind, name in kinds.items()])
                for title, kinds in letter_names.GROUPS
            ],
            languages=LANGUAGES_BY_CODE,
        )

    @expose("/edit/", methods=("GET", "POST"))
    def edit(self) -> Any:
        """What it says. POST saves, POST with `look` only shows how it would look."""
        one = OneText()
        form = TextForm(obj=one.stands)
        stamp = request.form.get("version") or one.stamp()
        if request.method == "GET":
            return self._page(one, form, stamp, one.stands)
        typed = _typed(form, one.language)
        if form.validate():
            form.put(letter_texts.faults(typed, one.tried_on()))
        if form.errors:
            return self._page(one, form, stamp, None, 400)
        if request.form.get("look"):
            return self._page(one, form, stamp, typed)
        try:
            one.save(typed)
        except Refusal as no:
            form.form_errors.append(str(no.sentence))
            return self._page(one, form, one.stamp(), typed, no.status)
        flash(_("%(letter)s is saved. It goes out from now on.", letter=one.name), "notice")
        return redirect(self.get_url(".edit", **one.address), 303)

    @expose("/back/", methods=("POST",))
    def back_to_shipped(self) -> Any:
        """A question, then the own text is gone and the shipped one goes out."""
        one = OneText()
        if one.own is None:
            abort(404)
        if not request.form.get("sure"):
            return self.render("admin/letter_texts/back.html", one=one)
        with write(db.session):
            db.session.delete(one.own)
        one.say("deleted")
        flash(_("%(letter)s: the shipped text goes out again.", letter=one.name), "notice")
        return redirect(self.get_url(".index"), 303)

    def _page(
        self, one: OneText, form: TextForm, stamp: str, seen: Wording | None, status: int = 200
    ) -> Any:
        tried_on, names = one.tried_on(), letter_texts.names_of(one.kind)
        page = self.render(
            "admin/letter_texts/edit.html",
            one=one,
            form=form,
            stamp=stamp,
            variables=letter_texts.examples(tried_on, one.language, names),
            preview=_preview(seen, tried_on) if seen else None,
            state=Entry(one.kind, one.language, one.variant, one.own).state,
        )
        answer = letter_names.with_letter(page)
        answer.status_code = status
        return answer


def _entries(kind: str, own: list[LetterText]) -> list[list[Entry]]:
    """For each language: the letter, and what the practice has written besides."""
    return [
        [
            _entry(kind, language, variant, own)
            for variant in sorted(
                {""} | {t.variant for t in own if (t.key, t.language) == (kind, language)}
            )
        ]
        for language in LANGUAGES_BY_CODE
    ]


def _entry(kind: str, language: str, variant: str, own: list[LetterText]) -> Entry:
    this = (kind, language, variant)
    found = next((t for t in own if (t.key, t.language, t.variant) == this), None)
    return Entry(*this, found, found is not None and _fails(found))


def _fails(text: LetterText) -> bool:
    practice = office.practice()
    assert practice is not None  # noqa: S101  administrators have one
    settings = current_app.extensions["settings"]
    tried_on = letter_texts.sample(practice, text.key, settings, utcnow())
    return bool(letter_texts.faults(letter_texts.wording_of(text), tried_on))


def _typed(form: TextForm, language: str) -> Wording:
    """What was typed, with the line ends of a file."""
    parts = [(form[part].data or "").replace("\r\n", "\n") for part in letter_texts.PARTS]
    return Wording(parts[0].strip(), parts[1], parts[2], language, own=True)


def _preview(wording: Wording, tried_on: Sample) -> tuple[str, str, str] | None:
    """How it looks; None for a text, saved past us, that makes no letter."""
    if letter_texts.faults(wording, tried_on):
        return None
    return letter_texts.preview(wording, tried_on)


def views() -> list[SecurePage]:
    """Of this module."""
    return [
        LetterTexts("Letter texts", "Letters", endpoint="admin_letter_texts", url="letter-text")
    ]
