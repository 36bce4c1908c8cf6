"""What trainers see: their trainings, who is in one of them, why, the attendees (people PT)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, render_template, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext as _n
from wtforms import TextAreaField
from wtforms.validators import Length

from app.extensions import db, unit, utcnow
from app.models.queue import Standing, standing
from app.models.training import Training
from app.services import courses, csv_out, overrides, policies, roster, why
from app.services.actors import Actor
from app.services.courses import Course
from app.services.letter_words import zone_of
from app.services.refusals import NotFound, ReasonNeeded, Refusal
from app.services.roster import Entry, Section
from app.web import whoami
from app.web.trainer_words import (
    CLOSED_STATUS_WORDS,
    CLOSED_WORDS,
    LETTER_WORDS,
    SECTION_WORDS,
    STATUS_LOOKS,
)

bp = Blueprint("trainer", __name__)

STAFF = whoami.role_needed("trainer", "admin")
ID = "<int(max=2147483647):training_id>"
SOON = timedelta(hours=2)  # a deadline nearer than this wants attention (PT1)


@dataclass(frozen=True)
class Page:
    """Which page of a list this is."""

    number: int
    pages: int
    total: int


# --- my trainings --------------------------------------------------------------------------------


@bp.get("/trainer/trainings")
@STAFF
def index() -> str:
    """The trainings of whoever looks, or all of the practice, each with what wants attention."""
    actor, now, session = whoami.staff_actor(), utcnow(), db.session()
    ignored: list[str] = []
    past = chosen("when", ("coming", "past"), ignored) == "past"
    whose = chosen("whose", ("mine", "all") if whoami.trainer() else ("all",), ignored)
    search, asked = words_of("q"), page_asked()

    def found_on(page: int) -> courses.Courses:
        return courses.courses(
            session,
            actor.practice_ids or frozenset(),
            now,
            taught_by=actor.user_id if whose == "mine" else None,
            past=past,
            search=search,
            page=page,
        )

    found, number = found_on(asked), asked
    if asked > 1 and not found.courses:  # past the end: the last page (PG5)
        total = found_on(1).total
        number = pages_of(total)
        found = found_on(number)
    return render_template(
        "trainer/index.html",
        courses=[(one, attention(one, now)) for one in found.courses],
        page=Page(number, pages_of(found.total), found.total),
        past=past,
        whose=whose,
        teaches=whoami.trainer() is not None,
        search=search,
        ignored=ignored,
        now=now,
        zone_for=zone_for,
    )


def attention(course: Course, now: datetime) -> list[tuple[str, str]]:
    """(look, words) of what somebody should see to."""
    training, over = course.training, course.taken - course.training.max_participants
    if training.cancelled_at or training.archived_at:
        return []
    found: list[tuple[str, str]] = []
    if over > 0:
        words = _n("%(num)s person too many", "%(num)s people too many", over)
        found.append(("bad", words))
    if course.undelivered:
        count = course.undelivered
        words = _n("%(num)s letter not delivered", "%(num)s letters not delivered", count)
        found.append(("bad", words))
    if course.next_deadline and course.next_deadline - now < SOON:
        found.append(("late", _("An answer is due soon")))
    if training.waitlist_paused:
        found.append(("hold", _("List paused")))
    if training.seats_kept:
        words = _n("%(num)s place kept back", "%(num)s places kept back", training.seats_kept)
        found.append(("hold", words))
    if not course.trainers:
        found.append(("late", _("No trainer")))
    return [(look, str(words)) for look, words in found]


# --- the roster ----------------------------------------------------------------------------------


@bp.get(f"/trainer/trainings/{ID}")
@STAFF
def show(training_id: int) -> str:
    """Everyone in a training: enrolled, invited, waiting, closed (PT2)."""
    actor, now, session = whoami.staff_actor(), utcnow(), db.session()
    seen = courses.training_of(session, actor, training_id)
    ignored: list[str] = []
    shown = chosen("show", ("all", *Section), ignored)
    section, search, number = (
        Section(shown) if shown != "all" else None,
        words_of("q"),
        page_asked(),
    )

    def found_on(page: int) -> tuple[list[Entry], int]:
        return roster.people(session, training_id, now, section=section, search=search, page=page)

    entries, total = found_on(number)
    if number > 1 and not entries:
        number = pages_of(found_on(1)[1])
        entries, total = found_on(number)
    zone, stand = zone_for(seen.training), standing(session, seen.training, now)
    return render_template(
        "trainer/roster.html",
        seen=seen,
        stand=stand,
        numbers=roster.totals(session, training_id),
        meetings=courses.meetings(session, training_id),
        groups=[
            (one, [(e, said(e, now, zone)) for e in entries if e.section is one]) for one in Section
        ],
        nobody=why.why_nobody(stand, zone),
        limit_waived=policies.waived(stand),
        page=Page(number, pages_of(total), total),
        shown=shown,
        search=search,
        ignored=ignored,
        **in_template(seen.training, now),
    )


@dataclass(frozen=True)
class Said:
    """What the roster says of one person, in words, with the looks of its badges."""

    look: str
    state: str
    letter: tuple[str, str] | None
    passed_over: str | None


def said(entry: Entry, now: datetime, zone: ZoneInfo) -> Said:
    """State, letter and skip code of one row in words (PT2)."""
    look = STATUS_LOOKS[entry.status]
    state = SECTION_WORDS.get(entry.section) or _closed(entry)
    letter = None
    if entry.section is Section.INVITED:
        failing = entry.letter_fails and entry.letter in ("pending", "sending")
        letter = LETTER_WORDS["failing" if failing else entry.letter]
        if entry.enrolment.invite_undelivered_at:
            letter = LETTER_WORDS["dead"]
        letter = (letter[0], str(letter[1]))
    return Said(look, str(state), letter, passed_over(entry, zone))


def _closed(entry: Entry) -> Any:
    by = (entry.event, entry.reason), (entry.event, None)
    known = (CLOSED_WORDS[key] for key in by if key in CLOSED_WORDS)
    return next(known, CLOSED_STATUS_WORDS[entry.status])


def passed_over(entry: Entry, zone: ZoneInfo) -> str | None:
    """Why a waiting person is passed over, None if nothing is in the way (WD4)."""
    row = entry.enrolment
    if entry.code == "later" and row.not_before:
        return str(_("skipped until %(when)s", when=why.when(row.not_before, zone)))
    if entry.code == "planned" and row.invite_planned_at:
        at = why.when(row.invite_planned_at, zone)
        return str(_("an invitation is planned for %(when)s", when=at))
    return str(why.OBSTACLES[entry.code]) if entry.code else None


# --- why -----------------------------------------------------------------------------------------


@bp.get(f"/trainer/trainings/{ID}/why")
@STAFF
def explain(training_id: int) -> str:
    """Why each waiting person waits, and what was decided; of one person, if asked (PT7)."""
    actor, now, session = whoami.staff_actor(), utcnow(), db.session()
    training = courses.training_of(session, actor, training_id).training
    zone, stand = zone_for(training), standing(session, training, now)
    people = list(why.sentences(stand, why.line(session, stand), zone))
    past = why.decisions(session, training_id, zone)
    one = uuid_or_none(request.args.get("person", ""))
    if one is not None:
        people = [(person, sentence) for person, sentence in people if person.enrolment == one]
        past = why.of_student(past, one)
    names = roster.picked(session, training_id, [one], now) if one else []
    return render_template(
        "trainer/why.html",
        people=people,
        nobody=why.why_nobody(stand, zone),
        decisions=list(reversed(past)),
        only=names[0] if names else None,
        stand=stand,
        **in_template(training, now),
    )


# --- the list of attendees -----------------------------------------------------------------------

COLUMNS = {
    "name": _l("Name"),
    "email": _l("E-mail"),
    "phone": _l("Phone"),
    "since": _l("Enrolled since"),
    "paid": _l("Paid"),
}


@bp.get(f"/trainer/trainings/{ID}/attendees")
@STAFF
def attendees(training_id: int) -> str:
    """The list to print, with room for signatures, and the choice of columns of the file (PT5)."""
    actor, now, session = whoami.staff_actor(), utcnow(), db.session()
    seen = courses.training_of(session, actor, training_id)
    return render_template(
        "trainer/attendees.html",
        seen=seen,
        people=roster.attendees(session, training_id, now),
        meetings=courses.meetings(session, training_id),
        columns=COLUMNS,
        **in_template(seen.training, now),
    )


@bp.post(f"/trainer/trainings/{ID}/attendees.csv")
@STAFF
def attendees_csv(training_id: int) -> Response:
    """Those who have a place, as a guarded file; who took it away stays in the history (PT5)."""
    actor, now, session = whoami.staff_actor(), utcnow(), db.session()
    training = courses.training_of(session, actor, training_id).training
    zone = zone_for(training)
    wanted = [name for name in COLUMNS if name in request.form.getlist("column")] or ["name"]
    people = roster.attendees(session, training_id, now)
    rows = [[cell(person, name, zone) for name in wanted] for person in people]
    unit(session, lambda: overrides.note_export(session, training_id, actor, now))
    file = csv_out.document([COLUMNS[name] for name in wanted], rows)
    name = f"attendees-{training_id}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(file, mimetype="text/csv", headers=headers)


def cell(person: Entry, column: str, zone: ZoneInfo) -> str:
    """What stands in one column of an attendee."""
    if column == "since":
        return person.since.astimezone(zone).isoformat(" ", "minutes") if person.since else ""
    if column == "paid":
        return str(_("yes") if person.enrolment.paid else _("no"))
    return str(getattr(person, column) or "")


# --- what all pages of trainers share ------------------------------------------------------------


def in_template(training: Training, now: datetime) -> dict[str, Any]:
    """What every template about one training is given."""
    return {"training": training, "zone": zone_for(training), "now": now}


def zone_for(training: Training) -> ZoneInfo:
    """The zone in which a training's times are shown and typed: its practice's."""
    return zone_of(training.practice.timezone)


def staff_training(actor: Actor, training_id: int, now: datetime) -> tuple[Training, Standing]:
    """A training that the actor may see, counted. Raises `NotFound`."""
    session = db.session()
    training = courses.training_of(session, actor, training_id).training
    return training, standing(session, training, now)


def reason_field(*first: Any) -> TextAreaField:
    """Why staff do something: 5 to 500 characters (PT3). `first` says whether it may be empty."""
    return TextAreaField(
        _l("Reason"),
        [*first, Length(min=5, max=500, message=ReasonNeeded.sentence)],
        filters=[lambda text: (text or "").replace("\r\n", "\n").strip()],
        description=_l("5 to 500 characters. It stays in the history; only staff read it."),
    )


def tried(work: Callable[[], Any]) -> Refusal | None:
    """One unit of work; the refusal if there was one, but what is others' stays unknown."""
    try:
        unit(db.session(), work)
    except NotFound:
        raise
    except Refusal as no:
        return no
    return None


def then_invited(training_id: int, now: datetime) -> str:
    """Whom the act of this instant invited, behind its notice."""
    names = roster.invited_at(db.session(), training_id, now)
    return " " + _("Invited now: %(names)s.", names=", ".join(names)) if names else ""


def chosen(name: str, choices: tuple[str, ...], ignored: list[str]) -> str:
    """One of the choices of a filter, the first by default; unknown ones are noted (PG4)."""
    value = request.args.get(name) or choices[0]
    if value in choices:
        return value
    ignored.append(name)
    return choices[0]


def words_of(name: str) -> str:
    """What was typed into a search."""
    return request.args.get(name, "").replace("\0", "").strip()[:100]


def page_asked() -> int:
    """The number of a page; the first for whatever is none."""
    text = request.args.get("page", "1")
    return max(int(text), 1) if re.fullmatch(r"[0-9]{1,6}", text) else 1


def pages_of(total: int) -> int:
    """How many pages a list has, at least one."""
    return max(ceil(total / courses.PAGE), 1)


def uuid_or_none(text: str) -> str | None:
    """The text, if it can be an enrolment's uuid."""
    return text if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) else None
