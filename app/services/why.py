"""Why someone was, or was not, invited: the line and its history in words (L8, people PT7).

Reads only. Each face shows the same sentences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from flask_babel import format_datetime, gettext, ngettext
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.models.enrolment import INVITED, EnrolmentStatus, TrainingEnroll
from app.models.enrolment_history import EnrolmentHistory
from app.models.person import Student
from app.models.queue import Standing, clock, obstacle, waiting
from app.models.user import User
from app.services.letter_facts import plain

# Why a waiting row is passed over: the codes of waitlist WD4 in words.
OBSTACLES = {
    "inactive": _l("the account is not active"),
    "unreachable": _l("letters are switched off, or the address bounced"),
    "skipped": _l("skipped by staff"),
    "later": _l("skipped until later"),
    "planned": _l("an invitation is planned"),
    "rate-limited": _l("invited as often as is allowed in this time"),
    "too-late": _l("too little time is left to answer"),
    "no-place": _l("no place was left"),
    None: _l("staff chose someone else"),
}

# What happened, in front of the people it happened to; a reason code makes it more exact.
EVENTS = {
    "enrolled": _l("got a place"),
    "queued": _l("joined the list"),
    "re-enabled": _l("joined the list again, at the end"),
    "invited": _l("invited"),
    "accepted": _l("took the place offered"),
    "declined": _l("declined"),
    "expired": _l("ran out"),
    "expired/bounced": _l("ran out at once, the letter having bounced"),
    "deinvited": _l("invitation ended by staff"),
    "returned": _l("invitation taken back, place in line kept"),
    "forced": _l("let in by staff"),
    "derolled": _l("place freed by a cancellation"),
    "derolled/removed": _l("place freed: removed by staff"),
    "derolled/erased": _l("place freed: the account was erased"),
    "left": _l("left the list"),
    "left/erased": _l("left the list: the account was erased"),
    "removed": _l("removed from the list by staff"),
    "cancelled": _l("told that the training is cancelled"),
    "archived": _l("off the list, the training being over"),
    "skipped": _l("passed over from now on"),
    "unskipped": _l("no longer passed over"),
    "planned": _l("invitation planned, place held"),
    "plan-dropped": _l("planned invitation dropped"),
    "interest-confirmed": _l("said that they still wait"),
    "deadline-changed": _l("time to answer changed"),
    "student-inactive": _l("account switched off"),
    "student-active": _l("account active again"),
    "activated": _l("training opened for booking"),
    "deactivated": _l("training closed for booking"),
    "training-cancelled": _l("training cancelled"),
    "training-archived": _l("training archived"),
    "training-restored": _l("training brought back from the archive"),
    "capacity": _l("number of places changed"),
    "cutoff": _l("last moment of invitations changed"),
    "rescheduled": _l("training moved to other dates"),
    "paused": _l("list paused: nobody is invited"),
    "resumed": _l("list resumed"),
    "kept": _l("places kept back by staff"),
    "released": _l("kept places released"),
    "undelivered": _l("letter not delivered"),
    "kept-used": _l("a kept place given to someone"),
    "paid": _l("paid"),
    "unpaid": _l("payment taken back"),
    "limit-waived": _l("booking limit lifted while a place is free"),
    "limit-restored": _l("booking limit holds again"),
    "exported": _l("list of attendees downloaded"),
}

ENDS_IN_TIME = ("accepted", "declined", "expired")  # how long it took says a lot
MOST_NAMES = 6  # of one decision; further people are counted


def _(text: str, **values: object) -> str:
    return str(gettext(text, **values))


# --- the line ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InLine:
    """Someone invited or waiting, as staff see them."""

    enrolment: str  # its uuid
    student_id: int
    name: str
    status: EnrolmentStatus
    place: int | None  # in the line, from 1; None once invited
    joined_at: datetime | None
    invited_at: datetime | None
    deadline: datetime | None
    planned_at: datetime | None
    not_before: datetime | None
    code: str | None  # of what is in the way (WD4)


def line(session: Session, stand: Standing) -> list[InLine]:
    """Who is invited and who waits, first in line first."""
    code = obstacle(stand.rules).label("code")
    queue = session.execute(
        waiting(stand.training.id, *COLUMNS, code), clock(stand.rules, stand.now)
    )
    return [
        *(_in_line(row, None, None) for row in session.execute(_invited(stand.training.id))),
        *(_in_line(row, place, row.code) for place, row in enumerate(queue, start=1)),
    ]


E = TrainingEnroll
NAME = (User.first_name, User.last_name)
COLUMNS = (E, E.student_id, *NAME)


def _invited(training_id: int) -> Any:
    return (
        sa.select(*COLUMNS)
        .join(Student, Student.id == E.student_id)
        .join(User, User.id == Student.user_id)
        .where(E.training_id == training_id, E.status == INVITED)
        .order_by(E.invite_expires_at.is_(None), E.invite_expires_at, E.queue_position, E.id)
    )


def _in_line(row: Any, place: int | None, code: str | None) -> InLine:
    e: TrainingEnroll = row.TrainingEnroll
    invited = e.status is INVITED
    return InLine(
        enrolment=e.uuid,
        student_id=e.student_id,
        name=_name(row),
        status=e.status,
        place=place,
        joined_at=e.joined_at,
        invited_at=e.invite_date if invited else None,
        deadline=e.invite_expires_at if invited else None,
        planned_at=e.invite_planned_at,
        not_before=e.not_before,
        code=code,
    )


def _name(row: Any) -> str:
    """Who was erased has no name left."""
    return plain(f"{row.first_name} {row.last_name}") or _("student %(id)s", id=row.student_id)


# --- why not yet ---------------------------------------------------------------------------------


def whats_in_the_way(person: InLine, zone: ZoneInfo) -> str | None:
    """The obstacle of one waiting person in words, None if there is none."""
    if person.code == "later" and person.not_before:
        return _("skipped until %(when)s", when=when(person.not_before, zone))
    if person.code == "planned" and person.planned_at:
        return _("an invitation is planned for %(when)s", when=when(person.planned_at, zone))
    return str(OBSTACLES[person.code]) if person.code else None


def why_nobody(stand: Standing, zone: ZoneInfo) -> str | None:
    """What keeps everyone of a training from being invited now, None if nothing does."""
    training, stop = stand.training, stand.hard_stop
    if training.cancelled_at:
        return _("the training is cancelled")
    if training.archived_at:
        return _("the training is archived")
    if not training.active:
        return _("the training is not open for booking")
    if stand.started:
        return _("the training has started")
    if training.waitlist_paused:
        return _("the list is paused")
    if stop is not None and not stand.before_hard_stop:
        return _("invitations ended at %(when)s", when=when(stop, zone))
    return None if stand.invites else str(OBSTACLES["too-late"])


def sentences(
    stand: Standing, people: list[InLine], zone: ZoneInfo
) -> Iterator[tuple[InLine, str]]:
    """Each person of the line with the sentence that says why they are where they are."""
    answering, waiting_ = sum(p.status is INVITED for p in people), stand.waiting
    nobody, before = why_nobody(stand, zone), 0
    for person in people:
        if person.status is INVITED:
            yield person, _was_invited(person, stand.now, zone)
            continue
        why = whats_in_the_way(person, zone) or nobody
        if why is None:
            why = _next(stand, answering) if before >= stand.free else _("will be invited next")
            before += 1
        yield person, _("%(place)s of %(all)s: %(why)s", place=person.place, all=waiting_, why=why)


def _was_invited(person: InLine, now: datetime, zone: ZoneInfo) -> str:
    if person.deadline is None:
        return _("invited, without a deadline")
    if person.deadline <= now:
        return _("the invitation ran out %(when)s", when=when(person.deadline, zone))
    return _("invited, answer before %(when)s", when=when(person.deadline, zone))


def _next(stand: Standing, answering: int) -> str:
    if not answering:
        return _("no place is free")
    return str(
        ngettext(
            "no place is free; %(num)s person is answering now",
            "no place is free; %(num)s people are answering now",
            answering,
        )
    )


def when(at: datetime, zone: ZoneInfo) -> str:
    """`Tue 3 March 2026, 14:30 (Amsterdam)` (people PG7)."""
    said = format_datetime(at.astimezone(zone), "EEE d MMMM yyyy, HH:mm", rebase=False)
    return f"{said} ({zone.key.rpartition('/')[2].replace('_', ' ')})"


# --- what was decided ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Decision:
    """What happened at one instant: what freed a place, who was invited, who was passed over."""

    at: datetime
    steps: list[str]
    enrolments: frozenset[str]  # uuids of all whom it concerns

    def __str__(self) -> str:
        return " → ".join(self.steps)


@dataclass
class _Step:
    """Rows of one event of one instant, which read alike."""

    event: str
    reason: str | None
    said: str  # behind the people
    people: list[str] = field(default_factory=list)


def decisions(session: Session, training_id: int, zone: ZoneInfo) -> list[Decision]:
    """The history of a training as sentences, oldest first."""
    rows = session.execute(_history(training_id)).all()
    names = {row.uuid: _with_number(row) for row in rows if row.uuid}
    invited_at: dict[tuple[int, int], datetime] = {}
    found = []
    for at, some in groupby(rows, key=lambda row: row.EnrolmentHistory.at):
        together = list(some)
        steps, concerned = _steps(together, invited_at, names, zone)
        found.append(Decision(at, steps, frozenset(concerned)))
    return found


def of_student(found: Iterable[Decision], uuid: str) -> list[Decision]:
    """Those that concern one enrolment: its own moves, when it was passed over, the whole list."""
    return [one for one in found if uuid in one.enrolments or not one.enrolments]


def _history(training_id: int) -> Any:
    h = EnrolmentHistory
    return (
        sa.select(h, h.student_id, E.uuid, *NAME)
        .outerjoin(E, E.id == h.enrolment_id)
        .outerjoin(Student, Student.id == h.student_id)
        .outerjoin(User, User.id == Student.user_id)
        .where(h.training_id == training_id)
        .order_by(h.seq)
    )


def _steps(
    rows: list[Any],
    invited_at: dict[tuple[int, int], datetime],
    names: dict[str, str],
    zone: ZoneInfo,
) -> tuple[list[str], set[str]]:
    steps: list[_Step] = []
    passed: list[str] = []
    concerned = {row.uuid for row in rows if row.uuid}
    for row in rows:
        h: EnrolmentHistory = row.EnrolmentHistory
        key = (h.enrolment_id or 0, h.invite_no or 0)
        if h.event == "invited":
            invited_at[key] = h.at
        said = _said(h, invited_at.get(key), zone)
        if not steps or (steps[-1].event, steps[-1].reason, steps[-1].said) != (
            h.event,
            h.reason,
            said,
        ):
            steps.append(_Step(h.event, h.reason, said))
        if row.uuid:
            steps[-1].people.append(_with_number(row))
        for one in (h.data or {}).get("passed_over", []):
            concerned.add(one["enrolment"])
            why = OBSTACLES.get(one["code"], one["code"])
            passed.append(f"{names.get(one['enrolment'], one['enrolment'])}: {why}")
    told = [_sentence(step) for step in steps]
    if passed:
        told[-1] += "; " + _("passed over: %(whom)s", whom=_some(passed, "; "))
    return told, concerned


def _said(h: EnrolmentHistory, invited_at: datetime | None, zone: ZoneInfo) -> str:
    """What stands behind the people: how long it took, until when, from what to what, why."""
    data, said = h.data or {}, []
    if h.event in ENDS_IN_TIME and invited_at:
        said.append(_("after %(time)s", time=_span(h.at - invited_at)))
    if h.event in ("invited", "deadline-changed") and data.get("deadline"):
        said.append(_("answer before %(when)s", when=_stored(data["deadline"], zone)))
    if h.event == "skipped" and data.get("until"):
        said.append(_("until %(when)s", when=_stored(data["until"], zone)))
    if h.event == "capacity":
        said.append(_("from %(from)s to %(to)s", **data))
    if h.event in ("kept", "released", "kept-used"):
        said.append(_("%(count)s, %(kept)s kept now", **data))
    if h.event == "plan-dropped" and h.reason in OBSTACLES:
        said.append(str(OBSTACLES[h.reason]))
    if h.note:
        said.append(f"“{h.note}”")
    return ", ".join(said)


def _stored(text: str, zone: ZoneInfo) -> str:
    return when(datetime.fromisoformat(text), zone)


def _sentence(step: _Step) -> str:
    label = EVENTS.get(f"{step.event}/{step.reason}") or EVENTS.get(step.event, step.event)
    if not step.people:
        return f"{label}: {step.said}" if step.said else str(label)
    return f"{label}: {_some(step.people, ', ')}" + (f", {step.said}" if step.said else "")


def _some(all_: list[str], between: str) -> str:
    if len(all_) <= MOST_NAMES:
        return between.join(all_)
    more = _("and %(count)s more", count=len(all_) - MOST_NAMES)
    return f"{between.join(all_[:MOST_NAMES])} {more}"


def _with_number(row: Any) -> str:
    """The position never changes while someone waits: it tells two of the same name apart."""
    position = row.EnrolmentHistory.queue_position
    return f"{_name(row)} ({_('no. %(n)s', n=position)})" if position else _name(row)


def _span(time: timedelta) -> str:
    minutes = round(time.total_seconds() / 60)
    if minutes < 60:
        return _("%(n)s min", n=minutes)
    if minutes < 72 * 60:
        return _("%(n)s h", n=round(minutes / 60))
    return _("%(n)s days", n=round(minutes / (24 * 60)))
