"""From rows of the outbox to letters that are ready to post (L6, waitlist WM3–WM5, OB4).

`compose` reads, renders and only then writes: the tokens of the links, last, so that no lock is
held meanwhile. A practice's own text that fails or says nothing is replaced by the shipped one, and
an alert is logged: never a blank letter (WM4).
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from css_inline import CSSInliner
from flask_babel import force_locale
from jinja2 import Environment, Template
from sqlalchemy.orm import Session

from app.delivery import calendar
from app.delivery.message import is_sender, mail_domain, our_sender
from app.delivery.sandbox import TextFailed, is_blank, render, subject_line
from app.delivery.transports import trace
from app.models.enrolment import INVITED
from app.models.outbox import LetterText, Outbox
from app.services import (
    account_letters,
    letter_reading,
    letter_words,
    links,
    people_letters,
    schedule_letters,
    tickets,
)
from app.services.letter_facts import OPEN_SPOT, Facts, Untrue, plain
from app.services.letter_words import NAMES
from app.services.links import AddressBook, Ticket
from app.services.refusals import Refusal

if TYPE_CHECKING:
    from config import Settings

__all__ = ["Letter", "Unrenderable", "Untrue", "Wording", "compose", "languages", "shipped"]

log = logging.getLogger("app.delivery.rendering")

LETTERS = Path(__file__).parent.parent.parent / "templates" / "letters"
INLINER = CSSInliner(load_remote_stylesheets=False)


@dataclass(frozen=True)
class Letter:
    """A letter with nothing left to look up."""

    to: str
    to_name: str
    sender: str
    sender_name: str
    subject: str
    text: str
    html: str
    language: str
    calendar: bytes | None
    calendar_method: str | None  # REQUEST or CANCEL
    unsubscribe: str | None = None  # a URL, only for what one can do without (ML5)
    cancelled: bytes | None = None  # a calendar of days that are no more, beside the other


class Unrenderable(Exception):
    """Not even the shipped text makes a letter: the row is dead, for this reason."""


@dataclass(frozen=True)
class Wording:
    """What one letter says in one language, before any fact is put in."""

    subject: str
    text: str
    html: str
    language: str
    own: bool = False  # a practice's, not the shipped one


def compose(
    session: Session,
    rows: Sequence[Outbox],
    settings: Settings,
    now: datetime,
    *,
    mint: bool = True,
) -> dict[int, Letter | Untrue | Unrenderable]:
    """Each row's letter by its id, or why there is none; never raises for one row.

    A constant number of statements. May insert tokens in the caller's transaction; never commits.
    With `mint` off nothing is written: who only looks makes no link valid.
    """
    found = letter_reading.gather(session, rows, now)
    desk = _Desk(settings, now, _own_texts(session, found.values()))
    made = {id_: desk.letter(facts) for id_, facts in found.items()}
    if desk.tickets and mint:
        links.mint_many(session, desk.tickets, desk.keys, now)
    return made


# --- one letter ----------------------------------------------------------------------------------


@dataclass
class _Desk:
    """Where the letters of one batch are written."""

    settings: Settings
    now: datetime
    own: dict[tuple[int, str], list[LetterText]]
    tickets: list[Ticket] = field(default_factory=list)
    alerted: set[int] = field(default_factory=set)
    alerted_senders: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.keys = link_keys(self.settings)
        self.addresses = AddressBook(base_url(self.settings))
        self.domain = mail_domain(self.settings)

    def letter(self, facts: Facts | Untrue) -> Letter | Untrue | Unrenderable:
        """The letter that these facts make, or why they make none."""
        if isinstance(facts, Untrue):
            return facts
        try:
            tickets = self._tickets(facts)
            letter = self._written(facts, self._links(facts, tickets))
        except Unrenderable as error:
            return error
        except Exception as error:  # this row's alone: the others of the batch go out
            row = facts.row
            log.error("letter failed: outbox=%s letter=%s %s", row.id, row.kind, trace(error))
            return Unrenderable(type(error).__name__)
        self.tickets += tickets.values()
        return letter

    def _written(self, facts: Facts, urls: dict[str, str]) -> Letter:
        failed: list[str] = []
        for wording in self._wordings(facts):
            try:
                with force_locale(wording.language):
                    told = letter_words.variables(facts, urls, self.now)
                    subject, text, html = put(wording, told)
            except Exception as error:  # a text may fail in any way: the next best one goes out
                failed.append(_why(error))
                self._alert(facts, wording, failed[-1])
                continue
            return self._envelope(facts, wording.language, subject, text, html, urls)
        raise Unrenderable(failed[-1] if failed else f"no text for {facts.row.kind}")

    def _wordings(self, facts: Facts) -> Iterator[Wording]:
        """What may go out, best first: in the reader's language, own before shipped (WM3, WM4)."""
        own = self.own.get((facts.course.practice_id, facts.row.kind), [])
        variant = str(facts.row.payload.get("variant") or "")
        for language in facts.languages:
            mine = [t for t in own if t.language == language and t.variant in ("", variant)]
            for t in sorted(mine, key=lambda text: text.variant != variant):
                yield Wording(t.subject, t.text, t.html, language, own=True)
            if language in languages() and (wording := shipped(facts.row.kind, language)):
                yield wording

    def _envelope(
        self,
        facts: Facts,
        language: str,
        subject: str,
        text: str,
        html: str,
        urls: dict[str, str],
    ) -> Letter:
        sender = self._sender(facts)
        entry = calendar.entry(facts, sender, self.domain)
        return Letter(
            to=facts.reader.email,
            to_name=facts.reader.fullname,
            sender=sender,
            sender_name=plain(facts.course.practice_name),
            subject=subject,
            text=text,
            html=html,
            language=language,
            calendar=entry.ical if entry else None,
            calendar_method=entry.method if entry else None,
            unsubscribe=urls.get("unsubscribe") if self.keys else None,
            cancelled=entry.cancelled if entry else None,
        )

    def _sender(self, facts: Facts) -> str:
        """The practice's address, or ours where that is none."""
        own, practice = facts.course.sender, facts.course.practice_id
        if own and is_sender(own):
            return own
        if own and practice not in self.alerted_senders:
            self.alerted_senders.add(practice)
            log.error("the sender of a practice is no e-mail address: practice=%s", practice)
        return our_sender(self.settings)

    def _tickets(self, facts: Facts) -> dict[str, Ticket]:
        """What the letter's links stand for, by the name it has for them."""
        seat = facts.seat
        if seat is None or not self.keys:
            return {}
        number = facts.invite_no or 0
        reader = facts.reader
        return {
            name: Ticket(purpose, seat.id, seat.uuid, number, reader.id, reader.email)
            for name, purpose in LINKS.get(facts.row.kind, {}).items()
            if purpose != "answer" or seat.status is INVITED
        }

    def _links(self, facts: Facts, tickets: dict[str, Ticket]) -> dict[str, str]:
        """The letter's addresses; without keys what needs a token leads to the own page."""
        if facts.row.kind in account_letters.KINDS:
            return {"page": self.addresses.page(str(facts.row.payload.get("page", "/")))}
        if facts.row.kind in schedule_letters.KINDS:
            return {"page": self.addresses.page(str(facts.row.payload.get("page", "/admin/")))}
        if facts.row.kind in people_letters.KINDS:
            return self._links_of_people(facts)
        if facts.to_trainer or facts.seat is None:
            urls = about_training(self.addresses, facts.course.id, to_trainer=facts.to_trainer)
            return urls | self._no_free_places(facts)
        mine = self.addresses.my_training(facts.seat.uuid)
        urls = dict.fromkeys(LINKS.get(facts.row.kind, {}), mine) | {"my_training": mine}
        for name, ticket in tickets.items():
            token = links.token_of(ticket, self.keys[0])
            urls[name] = self.addresses.link(ticket.purpose, token)
        return urls

    def _links_of_people(self, facts: Facts) -> dict[str, str]:
        """To their profile or the trainings, and how to get no more such letters."""
        urls = people_links(facts.row.kind, self.addresses)
        if self.keys:
            practice, reader = facts.course.practice_id, facts.reader
            since, purpose = facts.row.created_at, STOPPED_BY.get(facts.row.kind)
            path = people_letters.no_more(
                self.keys[0],
                reader.id,
                practice,
                reader.email,
                since,
                purpose or tickets.NO_GREETINGS,
            )
            urls["unsubscribe"] = self.addresses.page(path)
        return urls

    def _no_free_places(self, facts: Facts) -> dict[str, str]:
        """How to get no more news of free places; a trainer's letter has nothing of the kind."""
        if facts.row.kind != OPEN_SPOT:
            return {}
        if not self.keys:
            return {"unsubscribe": self.addresses.notifications()}
        practice, reader = facts.course.practice_id, facts.reader
        since, purpose = facts.row.created_at, tickets.NO_SPOTS
        path = people_letters.no_more(
            self.keys[0], reader.id, practice, reader.email, since, purpose
        )
        return {"unsubscribe": self.addresses.page(path)}

    def _alert(self, facts: Facts, wording: Wording, why: str) -> None:
        """Say it once a batch, with ids only: a text may hold what was meant for one reader."""
        if id(wording.html) in self.alerted:
            return
        self.alerted.add(id(wording.html))
        log.error(
            "letter text failed: letter=%s language=%s practice=%s own=%s because=%s",
            facts.row.kind,
            wording.language,
            facts.course.practice_id,
            wording.own,
            why,
        )


def _why(error: Exception) -> str:
    """Ours say why without anything of the reader's; others may hold what they stumbled over."""
    ours = isinstance(error, (TextFailed, Refusal))
    return (plain(str(error)) if ours else "") or type(error).__name__


def about_training(to: AddressBook, training_id: int, *, to_trainer: bool) -> dict[str, str]:
    """The links of a letter about a whole training; both pages ask to sign in, if they need it."""
    page = to.for_trainers(training_id) if to_trainer else to.training(training_id)
    return {"training": page, "notifications": to.notifications()}


# The links of each letter: its own name for it, and what the token is for (WK1).
LINKS: dict[str, dict[str, str]] = {
    "waitlisted": {"leave": "leave"},
    "invited": {"answer": "answer"},
    "invite_reminder": {"answer": "answer"},
    "deadline_changed": {"answer": "answer"},
    "training_rescheduled": {"answer": "answer"},  # for who is invited
    "invitation_withdrawn": {"leave": "leave"},
    "declined": {"join_again": "re-enable"},
    "expired": {"join_again": "re-enable"},
    "reminder_student": {"unsubscribe": "unsubscribe"},
    "reminder_waitlist": {"keep": "keep", "leave": "leave", "unsubscribe": "unsubscribe"},
}


def people_links(kind: str, to: AddressBook) -> dict[str, str]:
    """What a letter about no training leads to, as far as it needs no token."""
    page = PAGES.get(kind, "/trainings")
    return {"page": to.page(page), "unsubscribe": to.notifications()}


PAGES = {
    people_letters.PROFILE_CHECK: "/me/profile",
    people_letters.TRAINER_DIGEST: "/trainer/trainings",
}
# What the link of a letter stops, if not greetings.
STOPPED_BY = {people_letters.TRAINER_DIGEST: tickets.NO_DIGESTS}


def put(wording: Wording, told: dict[str, Any]) -> tuple[str, str, str]:
    """Subject, text and HTML with the facts put in. Raises `BadText`, `TextFailed`."""
    subject = subject_line(render(wording.subject, told, names=NAMES))
    text = render(wording.text, told, names=NAMES)
    body = render(wording.html, told, names=NAMES, html=True)
    if not subject or is_blank(text) or is_blank(body, html=True):
        raise TextFailed("it comes out blank")
    page = layout().render(
        body=body,
        subject=subject,
        practice_name=told["practice_name"],
        language=wording.language,
    )
    return subject, text.strip() + "\n", INLINER.inline(page)


# --- the texts -----------------------------------------------------------------------------------


def _own_texts(session: Session, found: Any) -> dict[tuple[int, str], list[LetterText]]:
    """The practices' own wordings of these letters."""
    wanted = {(f.course.practice_id, f.row.kind) for f in found if isinstance(f, Facts)}
    if not wanted:
        return {}
    asked = sa.select(LetterText).where(
        LetterText.practice_id.in_({practice for practice, _kind in wanted}),
        LetterText.key.in_({kind for _practice, kind in wanted}),
    )
    texts: dict[tuple[int, str], list[LetterText]] = defaultdict(list)
    for text in session.scalars(asked.execution_options(populate_existing=True)):
        texts[text.practice_id, text.key].append(text)
    return texts


@cache
def languages() -> frozenset[str]:
    """The languages that letters are shipped in: the folders there are."""
    return frozenset(path.name for path in LETTERS.iterdir() if path.is_dir())


@cache
def shipped(kind: str, language: str) -> Wording | None:
    """The shipped wording of a letter, or None; read once."""
    folder = LETTERS / language
    try:
        text = (folder / f"{kind}.txt").read_text(encoding="utf-8")
        html = (folder / f"{kind}.html").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    first, _blank, rest = text.partition("\n\n")
    return Wording(first.removeprefix("Subject:").strip(), rest, html, language)


@cache
def layout() -> Template:
    """What stands around the HTML of every letter; the sandbox has escaped what is in that."""
    source = (LETTERS / "layout.html").read_text(encoding="utf-8")
    return Environment(autoescape=True).from_string(source)


# --- settings ------------------------------------------------------------------------------------


def base_url(settings: Settings) -> str:
    """Where the links of letters lead; without PUBLIC_BASE_URL to this very machine (ML4)."""
    return settings.public_base_url or f"http://127.0.0.1:{settings.web_port}"


def link_keys(settings: Settings) -> list[bytes]:
    """The keys of the links, newest first: LINK_KEYS, else one made from SECRET_KEY, else none.

    One secret per purpose (SE18): what is derived tells nothing of SECRET_KEY.
    """
    given = [key.get_secret_value().encode() for key in settings.link_keys]
    secret = settings.secret_key.get_secret_value() if settings.secret_key else ""
    if given or not secret:
        return given
    return [hashlib.blake2b(secret.encode(), person=b"nextseat links").digest()]
