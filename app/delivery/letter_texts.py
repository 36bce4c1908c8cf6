"""A practice's own texts of letters: what each may name, whether it can be sent, how it looks.

Nothing here is sent and nothing real is read: a text is tried on people who do not exist, in the
words, zone and language in which the letter would be written (waitlist WM3, WM4, reliability SE11).
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from flask_babel import force_locale
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.delivery import letter_html, rendering
from app.delivery.rendering import Wording
from app.delivery.sandbox import (
    BadText,
    TextFailed,
    check,
    check_subject,
    is_blank,
    render,
    variables,
)
from app.models.enrolment import INVITED
from app.models.outbox import LetterText, Outbox
from app.models.practice import Practice
from app.services import (
    account_letters,
    letter_reading,
    letter_words,
    people_letters,
    schedule_letters,
    tickets,
)
from app.services.letter_facts import (
    ATTENDEE_LIST,
    MINIMUM_ALERT,
    OPEN_SPOT,
    Change,
    Course,
    Day,
    Facts,
    Happened,
    News,
    Offer,
    Person,
    Seat,
    is_for_trainers,
)
from app.services.letter_rules import RULES
from app.services.links import PATHS, AddressBook

if TYPE_CHECKING:
    from config import Settings

PARTS = ("subject", "text", "html")
KINDS = tuple(RULES)

# --- what a letter may name ----------------------------------------------------------------------

ALWAYS = frozenset({"recipient_name", "practice_name", "links"})
OF_ACCOUNTS = ALWAYS | {"reason", "time_left"}
OF_PEOPLE = frozenset({"name", "first_name", "practice_name", "links"})
OF_TRAININGS = ALWAYS | {"training_name", "type_name", "events", "reason", "policy_text"}
OF_SEATS = frozenset(
    {"student_name", "deadline", "answer_time", "time_left", "place", "waiting", "invitation"}
)
# About the whole training, not about one student in it.
WHOLE = (
    "training_rescheduled_trainer",
    "training_cancelled_trainer",
    "reminder_trainer",
    ATTENDEE_LIST,
    MINIMUM_ALERT,
    OPEN_SPOT,
)
OFFERS = ("invited", "invite_reminder")  # useless without deadline and link (people PA9)


def names_of(kind: str) -> frozenset[str]:
    """The variables that a letter of this kind may name: the others would always be blank."""
    if kind in account_letters.KINDS:
        return OF_ACCOUNTS | ({"student_name"} if kind == "student_created" else frozenset())
    if kind in schedule_letters.KINDS:
        own_name = {schedule_letters.REPORT: {"outcome"}, schedule_letters.STOPPED: {"failures"}}
        return ALWAYS | {"about"} | own_name.get(kind, set())
    if kind == people_letters.TRAINER_DIGEST:
        return ALWAYS | {"trainings", "further"}
    if kind in people_letters.KINDS:
        own = {people_letters.BIRTHDAY_LATE: "days_late", people_letters.PROFILE_CHECK: "missing"}
        return OF_PEOPLE | ({own[kind]} if kind in own else frozenset())
    names = OF_TRAININGS if kind in WHOLE else OF_TRAININGS | OF_SEATS
    if kind in letter_reading.NAMES_ATTENDEES:
        names |= {"attendees"}
    if kind == MINIMUM_ALERT:
        names |= {"minimum"}
    if kind in letter_reading.TELLS_HOW:
        names |= {"ended_by", "next_invited"}
    return names | ({"actor_name"} if kind in letter_reading.TELLS_WHO else frozenset())


# --- people who do not exist ---------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """Made-up facts for one kind of letter of one practice, and the addresses it would name."""

    facts: Facts
    links: dict[str, str]
    now: datetime

    def told(self) -> dict[str, Any]:
        """The variables, in the locale that is in force."""
        return letter_words.variables(self.facts, self.links, self.now)


def sample(practice: Practice, kind: str, settings: Settings, now: datetime) -> Sample:
    """Ada, who is invited to a course of two days; Tess, who teaches it."""
    account = kind in letter_reading.ABOUT_NO_TRAINING
    ada = _person(1, "Ada", "Example")
    of_trainer = is_for_trainers(kind) or kind == people_letters.TRAINER_DIGEST
    reader = _person(2, "Tess", "Example") if of_trainer else ada
    start = (now + timedelta(days=21)).replace(minute=0, second=0, microsecond=0)
    days = tuple(
        Day(1, n, start + timedelta(days=7 * n), start + timedelta(days=7 * n, hours=3), *WHERE)
        for n in (0, 1)
    )
    seat = Seat(1, "", 1, INVITED, 1, now, now + timedelta(hours=48), 0, 1)
    told = Happened(1, 1, 1, 1, False, "", None, "user:2", None, True)
    whole = account or kind in WHOLE
    facts = Facts(
        row=_row(kind, now),
        reader=reader,
        course=Course(
            1,
            "" if account else "Pottery for beginners",
            None if account else "Crafts",
            None,
            None,
            1,
            practice.id,
            practice.name,
            practice.timezone,
            practice.language,
            None,
            5,
        ),
        days=() if account else days,
        seat=None if whole else seat,
        student=ada if kind == "student_created" or not whole else None,
        place=None if whole else 2,
        waiting=None if whole else 5,
        told=None if account else told,
        actor_name="Max Example",
        note="",
        attendees=(ada, _person(3, "Ben", "Example")),
        news=_news(start, now) if kind == people_letters.TRAINER_DIGEST else (),
    )
    return Sample(facts, _links(facts, AddressBook(rendering.base_url(settings))), now)


def _news(start: datetime, now: datetime) -> tuple[News, ...]:
    """Ada has a place, Ben was invited, and of a course that was cancelled."""
    ada, ben, cleo = (_person(n, name, "Example") for n, name in enumerate(("Ada", "Ben", "Cleo")))
    came = (Change("enrolled", ada), Change("queued", cleo), Change("left", _person(4, "Dora", "")))
    offers = (Offer(ben, now + timedelta(hours=48)),)
    first = News(1, "Pottery for beginners", start, 12, 9, 2, False, False, came, offers)
    return (first, News(2, "Weaving", None, 8, 0, 0, True, False, (), ()))


WHERE = ("The Mill", "Mill Lane 3, Utrecht")


def _person(number: int, first: str, last: str) -> Person:
    address = f"{first}@example.org".lower()
    return Person(number, address, first, last, None, None, True, True, True, None)


def _row(kind: str, now: datetime) -> Outbox:
    """A row that is in no database."""
    payload: dict[str, Any] = {"reason": REASONS.get(kind, ""), "policy_text": POLICY}
    if kind == people_letters.BIRTHDAY_LATE:
        payload["days_late"] = 3
    if kind == people_letters.PROFILE_CHECK:
        payload["missing"] = ["phone", "address"]
    if kind in schedule_letters.KINDS:
        payload |= {"about": "Daily greetings", "outcome": "failed", "failures": 5}
    if kind in account_letters.WITH_LINK:
        payload["until"] = (now + timedelta(hours=3)).isoformat()
    return Outbox(key=f"{kind}:sample", kind=kind, invite_no=1, payload=payload, created_at=now)


POLICY = _l("Tell us a day before it starts at the latest.")
# What the payload of these says; the others' readers get what staff typed.
REASONS = dict.fromkeys(set(RULES) - letter_reading.ABOUT_NO_TRAINING, _l("The trainer is ill")) | {
    "account_changed": "password",
    "account_totp_reset": _l("You lost your phone"),
}


def _links(facts: Facts, to: AddressBook) -> dict[str, str]:
    """The same names that a letter of this kind has; their tokens open nothing."""
    kind = facts.row.kind
    if kind in account_letters.KINDS | schedule_letters.KINDS:
        return {"page": to.page("/…")}
    if kind in people_letters.KINDS:
        return rendering.people_links(kind, to) | {"unsubscribe": to.page(_stopping(kind))}
    if facts.to_trainer or facts.seat is None:
        about = rendering.about_training(to, 1, to_trainer=facts.to_trainer)
        no_more = {"unsubscribe": to.page("/no-free-places/…")} if kind == OPEN_SPOT else {}
        return about | no_more
    purposes = rendering.LINKS.get(kind, {})
    tokens = {name: to.page(f"/{PATHS[purpose]}/…") for name, purpose in purposes.items()}
    return tokens | {"my_training": to.my_training("…")}


def _stopping(kind: str) -> str:
    """The page that stops letters of this kind; the token opens nothing."""
    return tickets.path(rendering.STOPPED_BY.get(kind, tickets.NO_GREETINGS), "…")


def _trials(full: Sample) -> Iterator[tuple[Any, Sample]]:
    """What a text is tried on: all is known, next to nothing is, very much is."""
    facts = full.facts
    seat = facts.seat and facts.seat._replace(deadline=None)
    bare = replace(
        facts,
        row=Outbox(key="", kind=facts.row.kind, payload={}, created_at=full.now),
        course=facts.course._replace(type_name=None),
        reader=facts.reader._replace(first_name="", last_name=""),
        days=(),
        seat=seat,
        place=None,
        waiting=None,
        told=None,
        actor_name="",
        attendees=(),
        news=(),
    )
    crowd = replace(
        facts, days=facts.days * 30, attendees=facts.attendees * 150, news=facts.news * 150
    )
    yield "", full
    yield _l("without a deadline, days or a reason: "), replace(full, facts=bare)
    yield _l("with sixty days and three hundred attendees: "), replace(full, facts=crowd)


# --- whether it can be sent ----------------------------------------------------------------------


def faults(wording: Wording, tried_on: Sample) -> dict[str, str]:
    """What is wrong with each part of a text, with its line; nothing: it may be saved."""
    kind, found = tried_on.facts.row.kind, {}
    names, sources = names_of(kind), _sources(wording)
    for part, source in sources.items():
        try:
            if part == "subject":
                check_subject(source, names)
            else:
                check(source, names, html=part == "html")
        except BadText as bad:
            found[part] = str(bad.sentence)
    if "html" not in found and (odd := letter_html.faults(wording.html)):
        found["html"] = str(odd[0].sentence)
    if found:
        return found
    with force_locale(wording.language):
        trials = [(when, one.told()) for when, one in _trials(tried_on)]
    for part, source in sources.items():
        fault = _failure(source, trials, names, part == "html", wording.language)
        if fault is not None:
            found[part] = str(fault.sentence)
    return found or _incomplete(wording, kind, trials[0][1], names)


def _sources(wording: Wording) -> dict[str, str]:
    return {part: getattr(wording, part) for part in PARTS}


def _failure(
    source: str,
    trials: Sequence[tuple[Any, dict[str, Any]]],
    names: frozenset[str],
    html: bool,
    language: str,
) -> BadText | None:
    for when, told in trials:
        try:
            with force_locale(language):
                made = render(source, told, html=html, names=names)
        except TextFailed as error:
            return BadText(_line_of(error), f"{when}{_plainly(error)}")
        if is_blank(made, html=html):
            return BadText(1, f"{when}{_('the text is empty')}")
        if html and (odd := letter_html.faults(made)):  # put together from parts
            return odd[0]
    return None


def _line_of(error: BaseException) -> int | None:
    """The line of the text on which it failed, if that is known."""
    causes = (error.__cause__, error)
    frames = [f for one in causes if one for f in traceback.extract_tb(one.__traceback__)]
    return next((f.lineno for f in reversed(frames) if f.filename == "<template>"), None)


def _plainly(error: TextFailed) -> str:
    """`UndefinedError: 'dict object' has no attribute 'x'` says nothing to who writes letters."""
    unknown = str(error).partition("has no attribute ")[2].strip("'")
    return str(_("there is nothing called %(name)s here", name=unknown)) if unknown else str(error)


def _incomplete(
    wording: Wording, kind: str, told: dict[str, Any], names: frozenset[str]
) -> dict[str, str]:
    """Text and HTML tell the same; an invitation says until when and where (people PA9)."""
    in_text = variables(wording.text, names)
    in_html = variables(wording.html, names, html=True)
    found = {}
    for part, missing in (("text", in_html - in_text), ("html", in_text - in_html)):
        if missing:
            what = ", ".join(sorted(missing))
            found[part] = str(_("This part does not name %(what)s, the other one does.", what=what))
    if kind in OFFERS and not found:
        text = render(wording.text, told, names=names)
        html = render(wording.html, told, names=names, html=True)
        deadline, answer = " ".join(told["deadline"].split()), told["links"]["answer"]
        if deadline not in " ".join(text.split()) or answer not in text:
            found["text"] = str(
                _("An invitation names the deadline and links.answer, or nobody can answer.")
            )
        if deadline not in letter_html.seen(html) or answer not in letter_html.links(html):
            found["html"] = str(
                _(
                    "An invitation names the deadline and links.answer, or nobody can answer:"
                    ' write <a href="{{ links.answer }}">Answer</a>, where everybody sees it.'
                )
            )
    return found


def preview(wording: Wording, tried_on: Sample) -> tuple[str, str, str]:
    """Subject, text and HTML as the reader would get them. Raises `BadText`, `TextFailed`."""
    with force_locale(wording.language):
        return rendering.put(wording, tried_on.told())


# --- the texts there are -------------------------------------------------------------------------


def own_texts(session: Session, practice_id: int) -> list[LetterText]:
    """All that a practice has written itself."""
    t = LetterText
    mine = sa.select(t).where(t.practice_id == practice_id)
    return list(session.scalars(mine.order_by(t.key, t.language, t.variant)))


def own_text(
    session: Session, practice_id: int, kind: str, language: str, variant: str
) -> LetterText | None:
    """What a practice has written itself for one letter; None: the shipped text goes out."""
    t = LetterText
    this = (t.practice_id == practice_id, t.key == kind, t.language == language)
    asked = sa.select(t).where(*this, t.variant == variant)
    return session.scalars(asked.execution_options(populate_existing=True)).one_or_none()


def wording_of(text: LetterText) -> Wording:
    """A row as what it says."""
    return Wording(text.subject, text.text, text.html, text.language, own=True)


def begin_with(kind: str, language: str) -> Wording:
    """What a practice changes when it has no text of its own: the shipped one, else the English."""
    found = rendering.shipped(kind, language) or rendering.shipped(kind, "en")
    assert found is not None  # noqa: S101  each letter is shipped in English
    return replace(found, language=language)


def save(
    session: Session, practice_id: int, kind: str, variant: str, wording: Wording, now: datetime
) -> None:
    """Write a practice's own text, which `faults` has let pass; it goes out from now on."""
    row = own_text(session, practice_id, kind, wording.language, variant)
    if row is None:
        row = LetterText(
            practice_id=practice_id, key=kind, language=wording.language, variant=variant
        )
        session.add(row)
    row.subject, row.text, row.html = wording.subject, wording.text, wording.html
    row.updated_at = now


def examples(tried_on: Sample, language: str, names: frozenset[str]) -> list[tuple[str, str]]:
    """Each variable with what it may say; lists and links part by part, as a text names them."""
    with force_locale(language):
        told = tried_on.told()
    found: list[tuple[str, str]] = []
    for name in sorted(names):
        value = told[name]
        if isinstance(value, dict):
            found += [(f"{name}.{part}", str(said)) for part, said in value.items()]
        elif isinstance(value, list):
            one = ONE_OF[name]
            found.append((f"{{% for {one} in {name} %}} … {{% endfor %}}", ""))
            found += [(f"{one}.{part}", str(said)) for part, said in (value or [{}])[0].items()]
        else:
            found.append((name, str(value)))
    return found


ONE_OF = {"events": "event", "attendees": "attendee", "trainings": "training"}
